//! From what an identity has done to a score from 0 to 1, and from the score to a tier.

use super::identity::{Identity, WORD_TIER_MAX, count, percent};
use super::spread::{Scale, Spread};
use crate::identity::Tier;
use crate::rules::standing::StandingRules;
use crate::time::Time;

/// What a score is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Recent seeding: size times time times scarcity.
    Seeding,
    /// Average size of what is seeded.
    Average,
    /// Recent time in which anything was seeded.
    Time,
    /// Credited bytes over received ones.
    Ratio,
    /// Share of snatches that was kept.
    Kept,
}

impl Part {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [Self::Seeding, Self::Average, Self::Time, Self::Ratio, Self::Kept];
}

/// MiB that somebody must have claimed for it to tell how much of a claim is credited as a rule.
const CLAIMS_MANY_MIB: f32 = 1024.0;
/// It is at least so much, however many claim what is not true.
const USUAL_LEAST: f32 = 0.5;
/// Steps up to the highest tier.
pub(super) const STEPS: usize = Tier::COUNT - 1;

/// What a community is measured by: renewed whenever all have been evaluated.
pub(super) struct Yardstick {
    /// Amounts that are half of a full mark: GiB times hours, GiB, seconds.
    pub(super) halves: [f32; 3],
    /// Scores that each tier takes.
    pub(super) thresholds: [f32; STEPS],
    /// Share of a claim that is credited as a rule.
    pub(super) usual: f32,
    amounts: [Spread; 3],
    scores: Spread,
    reliabilities: Spread,
}

/// A score and what it is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Marks {
    pub(super) parts: [f32; 5],
    pub(super) proof: f32,
    pub(super) trust: f32,
    pub(super) score: f32,
}

impl Yardstick {
    pub(super) fn new(rules: &StandingRules) -> Self {
        let mut scale = Self {
            halves: halves(rules),
            thresholds: [0.0; STEPS],
            amounts: std::array::from_fn(|_| Spread::new(Scale::Amount)),
            scores: Spread::new(Scale::Score),
            reliabilities: Spread::new(Scale::Score),
            usual: 1.0,
        };
        scale.renew(rules);
        scale
    }

    /// What an identity's doings are worth.
    pub(super) fn marks(&self, own: &Identity, now: Time, rules: &StandingRules) -> Marks {
        let of_half = |amount: f32, half: f32| amount / (amount + half);
        let parts = [
            of_half(own.seeded, self.halves[0]),
            of_half(own.average_gib(), self.halves[1]),
            of_half(own.seeding_secs, self.halves[2]),
            own.ratio().min(2.0) / 2.0,
            own.kept_share(),
        ];
        let (proof, trust) = (own.proof(now, rules), own.trust(self.usual, rules));
        let weights = weights(rules);
        let sum: f32 = Part::ALL
            .into_iter()
            .zip(parts.iter().zip(weights))
            .map(|(part, (mark, weight))| {
                // What is credited is proven by itself.
                mark * weight * if part == Part::Ratio { 1.0 } else { proof }
            })
            .sum();
        Marks { parts, proof, trust, score: (sum * trust).clamp(0.0, 1.0) }
    }

    /// Takes note of somebody with whom others are compared.
    pub(super) fn note(&mut self, own: &Identity, marks: &Marks) {
        let amounts = [own.seeded, own.average_gib(), own.seeding_secs / 3600.0];
        self.amounts.iter_mut().zip(amounts).for_each(|(spread, amount)| spread.note(amount));
        self.scores.note(marks.score);
        if own.claimed >= CLAIMS_MANY_MIB {
            self.reliabilities.note(own.reliability());
        }
    }

    /// Measures by those that were noted since the last time.
    pub(super) fn renew(&mut self, rules: &StandingRules) {
        let units = [1.0, 1.0, 3600.0];
        self.halves = halves(rules);
        for ((half, unit), spread) in self.halves.iter_mut().zip(units).zip(&mut self.amounts) {
            let median = spread.quantile(50).map_or(*half, |median| median * unit);
            *half = median.clamp(*half / 4.0, *half * 4.0);
            *spread = Spread::new(Scale::Amount);
        }
        let enough = [rules.tier_1_score, rules.tier_2_score, rules.tier_3_score];
        let quantiles = [rules.tier_1_quantile, rules.tier_2_quantile, rules.tier_3_quantile];
        let mut least: f32 = 0.0;
        for (at, threshold) in self.thresholds.iter_mut().enumerate() {
            let enough = percent(enough[at]);
            let wanted = self.scores.quantile(quantiles[at]).map_or(enough, |score| score.min(enough));
            // Each is above the one below, whatever the settings are.
            *threshold = wanted.max(least + percent(rules.tier_step));
            least = *threshold;
        }
        self.scores = Spread::new(Scale::Score);
        self.usual = self.reliabilities.quantile(50).map_or(self.usual, |median| median.max(USUAL_LEAST));
        self.reliabilities = Spread::new(Scale::Score);
    }

    /// The tier of a score, not a high one of whose word is not good: up at once, down when two evaluations in a row say so.
    pub(super) fn judge(&self, own: &mut Identity, score: f32, rules: &StandingRules) {
        let hysteresis = percent(rules.hysteresis);
        let reached = |slack: &dyn Fn(f32) -> f32| {
            self.thresholds
                .iter()
                .take_while(|least| score > 0.0 && score >= **least + slack(**least))
                .count()
        };
        let up = reached(&|_| hysteresis);
        // Half of a threshold is enough to fall from: else nobody could fall from the lowest.
        let down = reached(&|least| -hysteresis.min(least / 2.0));
        let most = if own.word.is_good() { STEPS } else { usize::from(WORD_TIER_MAX) };
        let (up, tier) = (up.min(most), usize::from(own.tier.number()).min(most));
        let is_falling = down < tier;
        let next = match (up > tier, is_falling && own.is_falling) {
            (true, _) => up,
            (false, true) => down,
            (false, false) => tier,
        };
        own.is_falling = is_falling && next == tier;
        own.tier = u8::try_from(next).ok().and_then(Tier::new).unwrap_or(own.tier);
    }
}

/// Weights, of which the sum is 1; nothing where none is set.
pub(super) fn weights(rules: &StandingRules) -> [f32; 5] {
    let weights = [
        rules.seeding_weight,
        rules.average_weight,
        rules.time_weight,
        rules.ratio_weight,
        rules.kept_weight,
    ];
    let sum = count(weights.iter().sum::<u32>().max(1));
    weights.map(|weight| count(weight) / sum)
}

fn halves(rules: &StandingRules) -> [f32; 3] {
    [count(rules.seeding_half_gib_hours), count(rules.average_half_mib) / 1024.0, count(rules.time_half_secs)]
}
