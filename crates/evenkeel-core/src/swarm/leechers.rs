//! Of which tiers a swarm's leechers are.

use super::peers::{RANKS, leecher_rank};
use super::{Family, View};
use crate::identity::Tier;
use crate::uplink::Wanted;

/// Where the records of each rank begin in the lists of a swarm: found once for all questions of an announce.
pub(crate) struct Starts([[u32; RANKS as usize + 1]; 3]);

impl View<'_> {
    pub(crate) fn starts(self) -> Starts {
        Starts([self.v4().starts(), self.v6().starts(), self.web().starts()])
    }

    /// Leechers of each tier above the lowest or above it, for each seeder.
    pub(crate) fn wanted(self) -> Wanted {
        let (starts, seeders) = (self.starts(), self.swarm.stats.seeders.max(1));
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        [0, 1, 2].map(|tier| starts.leechers_above(tier) as f32 / seeders as f32)
    }
}

impl Starts {
    /// The first record of a rank in the list of a family, or behind it.
    #[inline]
    pub(crate) fn of(&self, family: Family, rank: u8) -> usize {
        self.0[family as usize][usize::from(rank)] as usize
    }

    /// The highest tier of a leecher.
    pub(crate) fn top_tier_of_leechers(&self) -> Option<u8> {
        (0..=Tier::TOP.number()).rev().find(|tier| self.before(leecher_rank(*tier) + 1) > self.before(1))
    }

    /// How many leechers are of higher tiers.
    pub(crate) fn leechers_above(&self, tier: u8) -> u32 {
        self.before(leecher_rank(tier)) - self.before(1)
    }

    /// Records of lower ranks.
    fn before(&self, rank: u8) -> u32 {
        self.0.iter().map(|starts| starts[usize::from(rank)]).sum()
    }
}
