//! What identities earn: the analyst of the core, asked as the program asks it.

use evenkeel_core::analyst::{Analyst, Observation};
use evenkeel_core::rules::standing::StandingRules;
use evenkeel_core::standing::Standing;
use evenkeel_core::{Tier, Time};

use super::constants::{EVALUATED_EVERY_SECS, HALF_LIFE_SECS, KEPT_AFTER_SECS};
use super::graph::narrow;

/// All identities there ever were.
pub(super) struct Earned {
    analyst: Analyst,
    published: Standing,
    /// What each has moved and completed, ever: for policies that count.
    pub sums: Vec<Sums>,
}

/// Bytes and downloads of an identity.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub uploaded: u64,
    pub downloaded: u64,
    pub snatched: u32,
}

/// Identities of a run at most, those that are thrown away included.
const SLOTS: u32 = 1 << 16;

impl Earned {
    pub(super) fn new() -> Self {
        let rules = StandingRules {
            seeding_half_life_secs: HALF_LIFE_SECS,
            trading_half_life_secs: HALF_LIFE_SECS,
            kept_after_secs: KEPT_AFTER_SECS,
            evaluation_secs: EVALUATED_EVERY_SECS,
            ..StandingRules::default()
        };
        Self {
            analyst: Analyst::new(&rules, SLOTS, Time(0)),
            published: Standing::new(SLOTS),
            sums: Vec::new(),
        }
    }

    /// Somebody whom nobody knows. Publishers are in the top tier and are not compared with anybody.
    pub(super) fn create(&mut self, is_publisher: bool) -> usize {
        let identity = self.sums.len();
        self.sums.push(Sums::default());
        if is_publisher && let Some(change) = self.analyst.pin(narrow(identity), Some(Tier::TOP)) {
            self.published.publish(change.slot, change.tier);
        }
        identity
    }

    /// Takes in what an announce says.
    pub(super) fn note(&mut self, said: &Observation) {
        self.analyst.observe(said);
        if let Some(sums) = self.sums.get_mut(said.slot as usize) {
            sums.uploaded += said.uploaded;
            sums.downloaded += said.downloaded;
            sums.snatched += u32::from(said.completed);
        }
    }

    /// Makes tiers of scores.
    pub(super) fn evaluate(&mut self, now: u32) {
        for change in self.analyst.tick(Time(now)) {
            self.published.publish(change.slot, change.tier);
        }
    }

    pub(super) fn tier(&self, identity: usize) -> Tier {
        self.published.tier(narrow(identity))
    }
}
