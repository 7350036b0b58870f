//! What an identity is worth: the score that a tracker would add up from announces, and the tier that follows from it.

use evenkeel_core::Tier;

use super::constants::{
    ACTIVE_SECS, ENOUGH, HALF_LIFE_SECS, HALF_MARKS, HYSTERESIS, KEPT_AFTER_SECS, QUANTILES, TIER_LEAST,
    WEIGHTS,
};

/// Longest time between two announces that counts: an interval and a half.
const LONGEST_SECS: u32 = 2700;

/// Steps up to the highest tier.
const STEPS: usize = Tier::COUNT - 1;

/// What is known of an identity. Amounts are in GB; those that fade have a half-life.
#[derive(Clone, Debug, Default)]
pub(super) struct Identity {
    /// Decayed to this moment.
    as_of: u32,
    /// When it announced last.
    seen: u32,
    /// Until when its seeding time is counted: an hour counts once, in however many swarms.
    covered: u32,
    gb_secs: f64,
    secs: f64,
    up: f64,
    down: f64,
    snatched: f64,
    kept: f64,
    /// Never fading.
    life_gb_secs: f64,
    life_secs: f64,
    pub up_ever: f64,
    pub down_ever: f64,
    pub snatched_ever: u32,
    pub tier: u8,
    /// A lower tier was due at the last evaluation, too.
    is_falling: bool,
    /// Publishers are in the top tier and are not compared with anybody.
    is_publisher: bool,
}

/// What an announce says of an identity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    pub now: u32,
    /// When the same session announced last.
    pub before: u32,
    /// It seeded then, and seeds now.
    pub has_seeded: bool,
    pub size_gb: f64,
    pub seeders: u32,
    /// GB since then.
    pub up: f64,
    pub down: f64,
}

/// All identities there ever were.
#[derive(Default)]
pub(super) struct Scores {
    pub identities: Vec<Identity>,
    half_marks: [f64; 3],
}

impl Scores {
    pub(super) fn new() -> Self {
        Self { half_marks: HALF_MARKS, ..Self::default() }
    }

    /// Somebody whom nobody knows.
    pub(super) fn create(&mut self, now: u32, is_publisher: bool) -> usize {
        let tier = if is_publisher { Tier::TOP.number() } else { 0 };
        let identity = Identity { as_of: now, covered: now, is_publisher, tier, ..Identity::default() };
        self.identities.push(identity);
        self.identities.len() - 1
    }

    /// Takes in an announce.
    pub(super) fn note(&mut self, identity: usize, said: &Said) {
        let own = &mut self.identities[identity];
        own.fade(said.now);
        own.seen = said.now;
        own.up += said.up;
        own.down += said.down;
        own.up_ever += said.up;
        own.down_ever += said.down;
        if said.has_seeded {
            let secs = f64::from((said.now - said.before).min(LONGEST_SECS));
            // The fewer seeders there are, the more one counts.
            let weight = (2.0 / f64::from(1 + said.seeders).sqrt()).clamp(0.25, 2.0);
            own.gb_secs += said.size_gb * secs * weight;
            own.life_gb_secs += said.size_gb * secs;
            own.life_secs += secs;
            let from = said.before.max(own.covered).max(said.now.saturating_sub(LONGEST_SECS));
            own.secs += f64::from(said.now.saturating_sub(from));
            own.covered = said.now;
        }
    }

    /// A download has come to its end; as long as it is seeded it counts as kept.
    pub(super) fn note_completion(&mut self, identity: usize, now: u32) {
        let own = &mut self.identities[identity];
        own.fade(now);
        own.snatched += 1.0;
        own.kept += 1.0;
        own.snatched_ever += 1;
    }

    /// A download is seeded no more, after so many seconds.
    pub(super) fn note_end(&mut self, identity: usize, seeded_secs: u32) {
        let own = &mut self.identities[identity];
        let missing = 1.0 - (f64::from(seeded_secs) / KEPT_AFTER_SECS).min(1.0);
        own.kept = (own.kept - missing).max(0.0);
    }

    /// Makes tiers of scores.
    pub(super) fn evaluate(&mut self, now: u32) {
        self.identities.iter_mut().for_each(|identity| identity.fade(now));
        let is_active = |identity: &&Identity| {
            !identity.is_publisher && identity.seen > 0 && now - identity.seen <= ACTIVE_SECS
        };
        let values = |of: fn(&Identity) -> f64| {
            let mut values: Vec<f64> = self.identities.iter().filter(is_active).map(of).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let amounts: [fn(&Identity) -> f64; 3] = [|own| own.gb_secs, Identity::average_gb, |own| own.secs];
        let mut half_marks = HALF_MARKS;
        for (half_mark, amount) in half_marks.iter_mut().zip(amounts) {
            *half_mark = quantile(&values(amount), 0.5).clamp(*half_mark / 4.0, *half_mark * 4.0);
        }
        self.half_marks = half_marks;
        let mut scores: Vec<f64> =
            self.identities.iter().filter(is_active).map(|own| own.score(&half_marks)).collect();
        scores.sort_by(f64::total_cmp);
        let mut least = 0.0;
        let thresholds: [f64; STEPS] = std::array::from_fn(|tier| {
            least += TIER_LEAST;
            quantile(&scores, QUANTILES[tier]).min(ENOUGH[tier]).max(least)
        });
        for identity in self.identities.iter_mut().filter(|own| !own.is_publisher) {
            identity.promote(&half_marks, &thresholds);
        }
    }

    #[cfg(test)]
    pub(super) fn score(&self, identity: usize) -> f64 {
        self.identities[identity].score(&self.half_marks)
    }
}

impl Identity {
    fn fade(&mut self, now: u32) {
        let secs = f64::from(now - self.as_of);
        if secs > 0.0 {
            let left = (-secs / HALF_LIFE_SECS).exp2();
            for amount in [
                &mut self.gb_secs,
                &mut self.secs,
                &mut self.up,
                &mut self.down,
                &mut self.snatched,
                &mut self.kept,
            ] {
                *amount *= left;
            }
            self.as_of = now;
        }
    }

    fn average_gb(&self) -> f64 {
        if self.life_secs > 0.0 { self.life_gb_secs / self.life_secs } else { 0.0 }
    }

    /// From 0 to 1.
    fn score(&self, half_marks: &[f64; 3]) -> f64 {
        let of_half = |amount: f64, half: f64| amount / (amount + half);
        let ratio = self.up / (self.down + 1.0);
        let marks = [
            of_half(self.gb_secs, half_marks[0]),
            of_half(self.average_gb(), half_marks[1]),
            of_half(self.secs, half_marks[2]),
            ratio.min(2.0) / 2.0,
            (self.kept / (self.snatched + 1.0)).min(1.0),
        ];
        marks.iter().zip(WEIGHTS).map(|(mark, weight)| mark * weight).sum()
    }

    /// Up at once, down when two evaluations in a row say so.
    fn promote(&mut self, half_marks: &[f64; 3], thresholds: &[f64; STEPS]) {
        let score = self.score(half_marks);
        let reached = |slack: f64| {
            (0..)
                .zip(thresholds)
                .take_while(|(_, least)| score >= **least + slack)
                .map(|(tier, _)| tier + 1)
                .last()
        };
        let (up, down) = (reached(HYSTERESIS).unwrap_or(0), reached(-HYSTERESIS).unwrap_or(0));
        if up > self.tier {
            self.tier = up;
        }
        if down < self.tier && self.is_falling {
            self.tier = down;
        }
        self.is_falling = down < self.tier;
    }
}

/// Of sorted values; 0 of none.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let at = super::people::count(part * sorted.len() as f64);
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(now: u32, has_seeded: bool, up: f64, down: f64) -> Said {
        Said { now, before: now.saturating_sub(1800), has_seeded, size_gb: 5.0, seeders: 5, up, down }
    }

    /// One who gives, one who takes, one who gives while taking; a day of announces.
    fn community() -> Scores {
        let mut scores = Scores::new();
        (0..3).for_each(|_| {
            scores.create(0, false);
        });
        for round in 1..=48 {
            let now = round * 1800;
            scores.note(0, &said(now, true, 2.0, 1.0));
            scores.note(1, &said(now, false, 0.0, 1.0));
            scores.note(2, &said(now, false, 0.7, 1.0));
            if round % 3 == 0 {
                (0..3).for_each(|identity| scores.note_completion(identity, now));
                (1..3).for_each(|identity| scores.note_end(identity, 0));
            }
            scores.evaluate(now);
        }
        scores
    }

    #[test]
    fn those_who_seed_are_at_the_top_and_those_who_only_take_at_the_bottom() {
        let scores = community();
        assert!(scores.score(0) > 0.5 && scores.score(1) < 0.01, "{} {}", scores.score(0), scores.score(1));
        assert!(scores.score(2) > scores.score(1) && scores.score(2) < scores.score(0));
        assert_eq!([0, 1].map(|identity| scores.identities[identity].tier), [3, 0]);
    }

    #[test]
    fn an_hour_counts_once_in_however_many_swarms() {
        let mut scores = Scores::new();
        let identity = scores.create(0, false);
        for now in [1800, 3600] {
            (0..5).for_each(|_| scores.note(identity, &said(now, true, 0.0, 0.0)));
        }
        let secs = scores.identities[identity].secs;
        assert!((3400.0..=3600.0).contains(&secs), "{secs}");
    }

    #[test]
    fn what_was_is_halved_in_a_day_and_a_tier_is_lost_slowly() {
        let mut scores = community();
        let (before, end) = (scores.identities[0].secs, 48 * 1800);
        scores.identities[0].fade(end + 86_400);
        assert!((scores.identities[0].secs * 2.0 - before).abs() < 1e-6);
        let identity = &mut scores.identities[0];
        (identity.up, identity.gb_secs, identity.secs, identity.kept) = (0.0, 0.0, 0.0, 0.0);
        identity.life_gb_secs = 0.0;
        let thresholds = [0.1, 0.2, 0.3];
        identity.promote(&HALF_MARKS, &thresholds);
        assert_eq!(identity.tier, 3, "once may be chance");
        identity.promote(&HALF_MARKS, &thresholds);
        assert_eq!(identity.tier, 0);
    }
}
