//! Of which tiers a swarm's leechers are.

use super::View;
use super::column::{List, Record};
use super::peers::{Kind, leecher_rank};
use crate::uplink::Wanted;

impl View<'_> {
    /// The highest tier of a leecher.
    pub(crate) fn top_tier_of_leechers(self) -> Option<u8> {
        top_tier(self.v4()).max(top_tier(self.v6())).max(top_tier(self.web()))
    }

    /// Leechers of each tier above the lowest or above it, for each seeder.
    pub(crate) fn wanted(self) -> Wanted {
        let seeders = self.swarm.stats.seeders.max(1);
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        [0, 1, 2].map(|tier| self.leechers_above(tier) as f32 / seeders as f32)
    }

    /// How many leechers are of higher tiers.
    pub(crate) fn leechers_above(self, tier: u8) -> usize {
        leechers_above(self.v4(), tier) + leechers_above(self.v6(), tier) + leechers_above(self.web(), tier)
    }
}

/// They are the first ones behind the seeders.
fn top_tier<R: Record>(list: List<'_, R>) -> Option<u8> {
    let first = list.records().get(list.seeders())?.state();
    (first.kind() == Kind::Leecher).then(|| first.grade())
}

fn leechers_above<R: Record>(list: List<'_, R>, tier: u8) -> usize {
    list.start_of(leecher_rank(tier)) - list.seeders()
}
