//! What a member is shown of its standing, and what would raise it.

use super::identity::{Identity, percent};
use super::score::{Part, STEPS, Yardstick, weights};
use crate::identity::Tier;
use crate::rules::standing::StandingRules;
use crate::time::Time;

/// The standing of an identity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// Its tier.
    pub tier: Tier,
    /// Whether the operator has given it its tier.
    pub is_pinned: bool,
    /// From 0 to 1: the sum of the marks by their weights, as far as they count.
    pub score: f32,
    /// What the score is made of.
    pub marks: [Mark; 5],
    /// How far it is proven that it seeds what it says, from 0 to 1; all marks but that of its ratio count so much.
    pub proof: f32,
    /// How far what it says to have sent can be true, from 0 to 1; the whole score counts so much.
    pub trust: f32,
    /// Part of what it says to have sent that certainly nobody received, from 0 to 1.
    pub exaggerated: f32,
    /// Whether that is so much that it is kept out of tiers 2 and 3.
    pub is_exaggerating: bool,
    /// Whether it is kept out of them because too much of it is likely made up, as far as is known.
    pub is_doubted: bool,
    /// Scores that tiers 1, 2 and 3 take, at this moment.
    pub thresholds: [f32; STEPS],
    /// What it has done.
    pub raw: Raw,
    /// The next tier, and the score that it takes.
    pub next: Option<(Tier, f32)>,
    /// What would raise it.
    pub advice: Option<Advice>,
}

/// One of the things that a score is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark {
    /// Which.
    pub part: Part,
    /// From 0 to 1.
    pub value: f32,
    /// Its share of the score.
    pub weight: f32,
}

/// What an identity has done, in natural units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Raw {
    /// Recent seeding: GiB times hours, more where there are few seeders.
    pub seeded_gib_hours: f32,
    /// Average GiB seeded.
    pub average_gib: f32,
    /// Recent seconds in which anything was seeded.
    pub seeding_secs: f32,
    /// MiB sent of late, as it says.
    pub claimed_mib: f32,
    /// MiB of these that are believed.
    pub credited_mib: f32,
    /// MiB received of late.
    pub charged_mib: f32,
    /// Torrents completed of late.
    pub snatched: f32,
    /// Those of them that are kept.
    pub kept: f32,
}

/// What would raise a score most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// To seed anything at all.
    Seed,
    /// To send something of what it seeds to somebody: so far nothing shows that it does.
    Prove,
    /// To report what was sent, and no more: it does not add up with what others say they received.
    AddUp,
    /// To do more of this.
    Raise(Part),
}

impl View {
    pub(super) fn of(own: &Identity, yardstick: &Yardstick, (now, rules): (Time, &StandingRules)) -> Self {
        let marks = yardstick.marks(own, now, rules);
        let weights = weights(rules);
        let shown = std::array::from_fn(|at| Mark {
            part: Part::ALL[at],
            value: marks.parts[at],
            weight: weights[at],
        });
        let tier = own.tier_shown();
        let next = Tier::new(tier.number() + 1).filter(|_| own.pin.is_none());
        let threshold = |tier: Tier| yardstick.thresholds[usize::from(tier.number()) - 1];
        Self {
            tier,
            is_pinned: own.pin.is_some(),
            score: marks.score,
            marks: shown,
            proof: marks.proof,
            trust: marks.trust,
            exaggerated: own.excess.surely(),
            is_exaggerating: own.word.is_bad(),
            is_doubted: !own.word.is_good() && !own.word.is_bad(),
            thresholds: yardstick.thresholds,
            raw: Raw {
                seeded_gib_hours: own.seeded,
                average_gib: own.average_gib(),
                seeding_secs: own.seeding_secs,
                claimed_mib: own.claimed,
                credited_mib: own.credited,
                charged_mib: own.charged,
                snatched: own.snatched,
                kept: own.kept,
            },
            next: next.map(|tier| (tier, threshold(tier) + percent(rules.hysteresis))),
            advice: next.and_then(|_| {
                let trust = if own.word.is_bad() { 0.0 } else { marks.trust };
                advice(&shown, own.has_seeded(), (marks.proof, trust))
            }),
        }
    }
}

fn advice(marks: &[Mark; 5], has_seeded: bool, (proof, trust): (f32, f32)) -> Option<Advice> {
    if trust < 1.0 {
        return Some(Advice::AddUp);
    }
    if !has_seeded {
        return Some(Advice::Seed);
    }
    if proof < 1.0 {
        return Some(Advice::Prove);
    }
    let room = |mark: &Mark| mark.weight * (1.0 - mark.value);
    let most = marks.iter().max_by(|one, other| room(one).total_cmp(&room(other)))?;
    Some(Advice::Raise(most.part))
}
