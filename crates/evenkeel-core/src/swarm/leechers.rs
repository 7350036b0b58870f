//! Of which tiers a swarm's leechers are.

use super::column::{List, Record};
use super::{Kind, View};
use crate::identity::Tier;
use crate::uplink::Wanted;

/// Peers of a family that are looked at; of more, those that come first stand for the others.
const LOOKED_AT_MAX: usize = 128;

impl View<'_> {
    /// The highest tier of a leecher.
    pub(crate) fn top_tier_of_leechers(self) -> u8 {
        (1..=Tier::TOP.number()).rev().find(|tier| self.has_leecher_above(tier - 1)).unwrap_or_default()
    }

    /// Whether there is a leecher above a tier.
    pub(crate) fn has_leecher_above(self, tier: u8) -> bool {
        has_leecher_above(self.v4(), tier)
            || has_leecher_above(self.v6(), tier)
            || has_leecher_above(self.web(), tier)
    }

    /// Leechers of each tier above the lowest or above it, for each seeder.
    pub(crate) fn wanted(self) -> Wanted {
        let [_, first, second, third] = self.leechers_by_tier();
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        [first + second + third, second + third, third]
            .map(|leechers| leechers as f32 / self.swarm.stats.seeders.max(1) as f32)
    }

    /// Leechers of each tier, about.
    pub(crate) fn leechers_by_tier(self) -> [u32; Tier::COUNT] {
        let mut tiers = [0; Tier::COUNT];
        add_leechers(self.v4(), &mut tiers);
        add_leechers(self.v6(), &mut tiers);
        add_leechers(self.web(), &mut tiers);
        tiers
    }
}

fn has_leecher_above<R: Record>(list: List<'_, R>, tier: u8) -> bool {
    let others = others(list);
    others.iter().take(LOOKED_AT_MAX).any(|peer| is_leecher(peer) && peer.state().grade() > tier)
}

fn add_leechers<R: Record>(list: List<'_, R>, tiers: &mut [u32; Tier::COUNT]) {
    let others = others(list);
    let each = u32::try_from(others.len() / LOOKED_AT_MAX).unwrap_or(u32::MAX).max(1);
    for peer in others.iter().take(LOOKED_AT_MAX).filter(|peer| is_leecher(*peer)) {
        let tier = &mut tiers[usize::from(peer.state().grade())];
        *tier = tier.saturating_add(each);
    }
}

fn others<R: Record>(list: List<'_, R>) -> &[R] {
    &list.records()[list.seeders()..]
}

fn is_leecher<R: Record>(peer: &R) -> bool {
    peer.state().kind() == Kind::Leecher
}
