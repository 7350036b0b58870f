//! How far somebody's word is taken: whether what it says to have sent is good enough for tiers 2 and 3.
//!
//! Who exaggerates seeds, too, and most of a score comes from that: until it is found out it would be as high as any honest
//! member. So whoever is new is on trial: until as much was learned of its claims as was thought before
//! ([`super::excess`]), or for two days where swarms tell little. On trial a little blame is enough to be kept out of tiers 2
//! and 3. Who was found good is kept out when it likely exaggerates *and* is credited less than is usual: blame alone
//! falls on honest ones, too, who were beside somebody else's lie, but they are credited in full.
//!
//! Known weakness: of whoever is in one swarm only, together with a liar, too much is thought to be made up, for good.

use super::excess::Excess;
use super::identity::{percent, seconds};
use crate::rules::standing::StandingRules;

/// Whose word it is, and since when there is any.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Word {
    state: State,
    /// Number of the bin in which its first claim was settled: the lower bits, in bytes, which have their place between others.
    since: [u8; 2],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// It has claimed nothing yet.
    #[default]
    Silent,
    /// It is new, and nothing speaks against it.
    OnTrial,
    /// Found good.
    Good,
    /// Likely one who exaggerates.
    Doubted,
    /// Certainly one who exaggerates.
    Bad,
}

/// What a word is weighed by.
#[derive(Clone, Copy)]
pub(super) struct Evidence<'a> {
    pub(super) excess: &'a Excess,
    /// Share of its claims that was credited, and the usual one.
    pub(super) reliability: f32,
    pub(super) usual: f32,
    /// Number of the present bin.
    pub(super) bin: u32,
}

/// Nobody's trial is shorter.
const TRIAL_LEAST_SECS: f32 = 8.0 * 3600.0;
/// Time alone is enough after this, for who is hardly blamed.
const TRIAL_MOST_SECS: f32 = 48.0 * 3600.0;
/// After this also for who is blamed for more, if its claims are credited.
const TRIAL_OF_BLAMED_SECS: f32 = 96.0 * 3600.0;
/// Part of the usual share of a claim: who is credited as much is credited in full.
const CREDITED_IN_FULL: f32 = 0.98;

impl Word {
    /// Of somebody who was found good before.
    pub(super) const GOOD: Self = Self { state: State::Good, since: [0; 2] };

    /// It claims something.
    pub(super) fn note_claim(&mut self, bin: u32) {
        if self.state == State::Silent {
            *self = Self { state: State::OnTrial, since: low(bin).to_ne_bytes() };
        }
    }

    /// Whether it is good enough for tiers 2 and 3.
    pub(super) fn is_good(self) -> bool {
        matches!(self.state, State::Silent | State::OnTrial | State::Good)
    }

    /// Whether it certainly is not: half of too much is enough to stay known for it.
    pub(super) fn is_bad(self) -> bool {
        self.state == State::Bad
    }

    /// Thinks again.
    pub(super) fn weigh(&mut self, evidence: &Evidence<'_>, rules: &StandingRules) {
        let most = percent(rules.exaggerated_most);
        let surely = evidence.excess.surely();
        self.state = match self.state {
            _ if rules.exaggerated_most >= 100 => State::Good,
            State::Bad if surely > most / 2.0 => State::Bad,
            _ if surely > most => State::Bad,
            State::Silent => State::Silent,
            State::Good if evidence.is_blamed(most) && !evidence.is_credited() => State::Doubted,
            State::Good => State::Good,
            _ if self.stands(evidence, rules) => State::Good,
            State::OnTrial if evidence.is_hardly_blamed(most) => State::OnTrial,
            State::OnTrial | State::Doubted | State::Bad => State::Doubted,
        };
    }

    /// Whether its trial is over, and speaks for it.
    fn stands(self, evidence: &Evidence<'_>, rules: &StandingRules) -> bool {
        let bins = low(evidence.bin).wrapping_sub(u16::from_ne_bytes(self.since));
        let secs = seconds(u32::from(bins) * rules.bin_secs);
        let most = percent(rules.exaggerated_most);
        let is_tried = secs >= TRIAL_LEAST_SECS && evidence.excess.learned() + secs / TRIAL_MOST_SECS >= 1.0;
        let is_cleared = secs >= TRIAL_OF_BLAMED_SECS && !evidence.is_blamed(most) && evidence.is_credited();
        is_cleared || is_tried && evidence.is_hardly_blamed(most)
    }
}

impl Evidence<'_> {
    /// Whether it likely makes up no more than a third of what is too much.
    fn is_hardly_blamed(&self, most: f32) -> bool {
        self.excess.part() <= most / 3.0
    }

    /// Whether it likely makes up more than two thirds of what is too much.
    fn is_blamed(&self, most: f32) -> bool {
        self.excess.part() > most * 2.0 / 3.0
    }

    /// Whether as much of its claims is credited as of most members'.
    fn is_credited(&self) -> bool {
        self.reliability >= self.usual * CREDITED_IN_FULL
    }
}

/// The lower bits of a bin's number, which tell it from those of years.
pub(super) fn low(bin: u32) -> u16 {
    let [low, high, ..] = bin.to_le_bytes();
    u16::from_le_bytes([low, high])
}
