//! Which peers a caller is given.
//!
//! A seeder has no use for seeders and gets leechers and partial seeds only. Nobody is given itself, in either
//! family. Whose address is not global is told to callers of the same scope only. Within that, the policy
//! decides: one file each, under `equilibrium/`.

mod candidates;
pub(crate) mod handout;
pub(crate) mod list_size;
mod lottery;
pub(crate) mod random;
pub(crate) mod rbs;
pub(crate) mod tier_backoff;

use std::fmt;
use std::str::FromStr;

use crate::identity::{Identity, Tier};
use crate::keyed::Keyed;
use crate::rules::Rules;
use crate::swarm::{Kind, Known, PeerKey, Role, State, View};
use crate::time::Time;
use candidates::{ALL, Anybody, Everybody, OTHERS, Part, SEEDERS};
use handout::Handout;
use list_size::Formula;
use random::Scratch;
use rbs::Preset;
use tier_backoff::Form;

/// How peers are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Policy {
    /// At random: see `equilibrium/random.rs`.
    #[default]
    Random,
    /// Busy seeders are rationed: see `equilibrium/rbs.rs`.
    Rbs(Preset),
    /// Lower tiers wait: see `equilibrium/tier_backoff.rs`.
    TierBackoff(Form),
    /// At random, and fewer of them: see `equilibrium/list_size.rs`.
    ListSize(Formula),
}

impl Policy {
    /// All of them, with their names.
    pub const ALL: [(&str, Self); 10] = [
        ("random", Self::Random),
        ("rbs", Self::Rbs(Preset::Default)),
        ("rbs-aggressive", Self::Rbs(Preset::Aggressive)),
        ("rbs-mild", Self::Rbs(Preset::Mild)),
        ("tier-backoff", Self::TierBackoff(Form::Literal)),
        ("tier-backoff-symmetric", Self::TierBackoff(Form::Symmetric)),
        ("list-announces", Self::ListSize(Formula::Announces)),
        ("list-seeds", Self::ListSize(Formula::Seeds)),
        ("list-good-seeds", Self::ListSize(Formula::GoodSeeds)),
        ("list-ratio", Self::ListSize(Formula::Ratio)),
    ];

    /// Whether it must know how long a peer has been there, and what it says to have sent.
    pub fn needs_reports(self) -> bool {
        matches!(self, Self::Rbs(_) | Self::TierBackoff(_))
    }
}

/// A name that no policy has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownPolicy;

impl FromStr for Policy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let named = Self::ALL.iter().find(|(name, _)| *name == text);
        named.map(|(_, policy)| *policy).ok_or(UnknownPolicy)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Self::ALL.iter().find(|(_, policy)| policy == self);
        f.write_str(named.map_or("", |(name, _)| name))
    }
}

/// The caller, as far as it matters for what it is given.
#[derive(Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) key: PeerKey,
    pub(crate) policy: Policy,
    pub(crate) lottery: &'a Keyed,
    pub(crate) known: Known,
    pub(crate) role: Role,
    pub(crate) identity: &'a Identity,
    pub(crate) want: usize,
    pub(crate) now: Time,
    /// Seconds since it came.
    pub(crate) stay_secs: u32,
    /// How often it has announced since it came.
    pub(crate) turn: u16,
}

impl Asker<'_> {
    fn part(&self) -> Part {
        if self.role.kind == Kind::Seeder { OTHERS } else { ALL }
    }
}

/// What is left to chance, and memory for it.
pub(crate) struct Chance<'a> {
    pub(crate) rng: &'a mut fastrand::Rng,
    pub(crate) scratch: &'a mut Scratch,
}

/// Writes the peers that `asker` is given to `out`. Answers after how many seconds it should ask again, if that is sooner
/// than others: when some were held back.
pub(crate) fn choose(
    swarm: View<'_>,
    asker: &Asker<'_>,
    rules: &Rules,
    chance: &mut Chance<'_>,
    out: &mut Handout<'_>,
) -> Option<u32> {
    if asker.want == 0 {
        return None;
    }
    match asker.policy {
        Policy::Random => random::choose(swarm, asker, chance, out),
        policy if policy.needs_reports() && !rules.keep_reports => {
            random::choose(swarm, asker, chance, out);
        }
        Policy::ListSize(formula) => {
            let want = list_size::length(formula, &asker.identity.figures, asker.want);
            random::choose(swarm, &Asker { want, ..*asker }, chance, out);
        }
        Policy::TierBackoff(form) => {
            let is_held_back = tier_backoff::choose(swarm, asker, form, chance, out);
            return is_held_back.then_some(rules.min_interval_secs);
        }
        Policy::Rbs(preset) => {
            let is_held_back = rbs::choose(swarm, asker, (preset.ration(), rules), chance, out);
            return (is_held_back && asker.turn < rbs::HURRIED_TURNS).then_some(rules.ration_interval_secs);
        }
    }
    None
}

/// What a record says of its peer for the policies, besides its kind.
pub(crate) fn grade(policy: Policy, kind: Kind, tier: Tier, busy_below: u8) -> u8 {
    match (policy, kind) {
        (Policy::Rbs(_), Kind::Seeder) => busy_below,
        (Policy::Rbs(_) | Policy::TierBackoff(_), _) => tier.number(),
        // For whom tiers are nothing they do not put records in another order either.
        _ => 0,
    }
}

/// Two that cannot be dialled cannot meet.
#[inline]
fn may_connect(asker: &Asker<'_>, other: State) -> bool {
    !(asker.role.is_unconnectable && other.is_unconnectable())
}

/// One peer, a seeder if there is one, for a caller that would go away empty-handed.
fn give_anybody(swarm: View<'_>, asker: &Asker<'_>, chance: &mut Chance<'_>, out: &mut Handout<'_>) {
    let everybody = Everybody::of(swarm, asker, None);
    for part in [SEEDERS, OTHERS] {
        if out.len() == 0 {
            random::take(&everybody.part(part, out), asker.want.min(1), &Anybody, chance, out);
        }
    }
}
