//! What identities earn: a score of what each has done, and the tier that follows from it.
//!
//! The logic beside the announces, and like them driven: the program hands over what announces say ([`Observation`]) in
//! about their order, and asks now and then whose tier has changed ([`Analyst::tick`]). Nothing here is reached from an
//! announce but what an announce reads, [`crate::standing::Standing`].
//!
//! *What counts* is in `identity.rs`: amounts that fade. *What is believed* is in `swarms.rs` and `settle.rs`: of what is
//! said to have been sent no more than others say they received, and of seeding nothing until some of it was wanted.
//! *What it is worth* is in `score.rs`. docs/standing.md explains all three.
//!
//! Known weakness: where identities cost nothing, whoever has many of them lets one receive what the other sends.

mod excess;
mod identities;
mod identity;
mod observation;
mod record;
mod score;
mod settle;
mod size;
mod slab;
mod snatches;
mod spread;
mod swarms;
mod view;
mod word;

pub(crate) use observation::Before;
pub use observation::Observation;
pub use record::Record;
pub use score::Part;
pub use view::{Advice, Mark, Raw, View};

use self::identities::Identities;
use self::identity::{Identity, Seeding, mib, percent};
use self::score::Yardstick;
use self::snatches::{Held, Snatches};
use self::swarms::Swarms;
pub(crate) use self::swarms::taken;
use crate::identity::Tier;
use crate::rules::standing::StandingRules;
use crate::time::Time;

/// Identities that a tick evaluates at most: some milliseconds. A round goes on with the next tick.
const EVALUATED_AT_ONCE: u32 = 1 << 16;
/// Torrents, and snatches, that a tick looks at, or this part of all of them if that is more.
const SWEPT_AT_ONCE: usize = 4096;
const SWEPT_PART: usize = 16;

/// Adds up what identities earn.
pub struct Analyst {
    rules: StandingRules,
    now: Time,
    identities: Identities,
    swarms: Swarms,
    snatches: Snatches,
    yardstick: Yardstick,
    round: Round,
    changes: Vec<Change>,
}

/// An identity's tier has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whose.
    pub slot: u32,
    /// It is of this one from now on.
    pub tier: Tier,
}

/// What an analyst holds, for gauges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Watched {
    /// Identities that are known.
    pub identities: usize,
    /// Identities on torrents.
    pub watches: usize,
    /// Torrents with identities in them.
    pub swarms: usize,
    /// Snatches that are not kept yet.
    pub snatches: usize,
    /// Memory that all of it takes.
    pub bytes: usize,
}

/// Where a round of evaluations is.
struct Round {
    began: Time,
    /// The next slot; none between rounds.
    next: Option<u32>,
}

impl Analyst {
    /// Of a tracker with so many slots for identities, whose clock shows `now`.
    pub fn new(rules: &StandingRules, slots: u32, now: Time) -> Self {
        let rules = rules.bounded();
        Self {
            now,
            identities: Identities::new(slots),
            swarms: Swarms::new(&rules),
            snatches: Snatches::new(&rules),
            yardstick: Yardstick::new(&rules),
            round: Round { began: now, next: None },
            changes: Vec::new(),
            rules,
        }
    }

    /// Goes on with other rules. Limits, and how long a bin is, stay as they were.
    pub fn renew_rules(&mut self, rules: &StandingRules) {
        self.rules = StandingRules { bin_secs: self.rules.bin_secs, ..rules.bounded() };
    }

    /// Has fetched from memory what these announces will touch: they wait for it together instead of one after the other.
    pub fn prefetch<'a>(&mut self, batch: impl Iterator<Item = &'a Observation> + Clone) {
        batch.clone().for_each(|said| self.identities.prefetch(said.slot));
        self.swarms.prefetch(batch);
    }

    /// Takes up what an announce says.
    pub fn observe(&mut self, said: &Observation) {
        self.go_on(said.now);
        let Self { identities, rules, now, .. } = self;
        let (now, longest_secs) = (*now, rules.bin_secs * 3 / 2);
        let secs = u32::from(said.secs).min(longest_secs);
        if said.slot != Observation::NOBODY {
            let Some(own) = identities.get_or_create(said.slot, now) else { return };
            own.fade(now, rules);
            own.seen = now;
            own.charged += mib(taken(said));
            let held = Held {
                slot: said.slot,
                torrent: said.torrent,
                now,
                secs: if said.has_seeded { secs } else { 0 },
                completed: said.completed,
                stopped: said.stopped,
            };
            self.snatches.note(own, &held, rules);
        }
        let size = self.swarms.note(said, now, (identities, rules));
        if let Some(own) = identities.get_mut(said.slot).filter(|_| said.has_seeded && secs > 0) {
            let size = size.unwrap_or_else(|| u64::from(rules.size_unknown_mib) << 20);
            let (bytes, seeders) = (size.saturating_sub(said.left), said.seeders);
            own.note_seeding(&Seeding { now, secs, bytes, seeders });
        }
    }

    /// Does what is due: settles, forgets, evaluates. Answers whose tier has changed since the last tick. Once a second or so;
    /// if less often, evaluations may take longer than they should.
    pub fn tick(&mut self, now: Time) -> impl Iterator<Item = Change> {
        self.go_on(now);
        let Self { identities, swarms, snatches, rules, now, .. } = self;
        let budget = |all: usize| SWEPT_AT_ONCE.max(all / SWEPT_PART);
        swarms.sweep(budget(swarms.swarms.len()), *now, (identities, rules));
        snatches.sweep(budget(snatches.len()), *now, (identities, rules));
        self.evaluate();
        self.changes.drain(..)
    }

    /// What has to be stored of an identity, if there is one.
    pub fn record(&self, slot: u32) -> Option<Record> {
        Some(self.identities.get(slot)?.record(self.now))
    }

    /// Takes up an identity as it was recorded so many seconds ago, in place of who has its slot. Answers the tier that is
    /// to be published; nothing where there is no such slot.
    pub fn restore(&mut self, slot: u32, record: &Record, idle_secs: u32) -> Option<Change> {
        let now = self.now;
        let own = self
            .identities
            .put(slot, |generation| Identity::restored(record, idle_secs, (now, generation)))?;
        Some(Change { slot, tier: own.tier })
    }

    /// What a member is shown of its standing.
    pub fn view(&self, slot: u32) -> Option<View> {
        let mut own = *self.identities.get(slot)?;
        own.fade(self.now, &self.rules);
        Some(View::of(&own, &self.yardstick, (self.now, &self.rules)))
    }

    /// The slot is nobody's any more. Answers what is to be published.
    pub fn forget(&mut self, slot: u32) -> Change {
        self.identities.forget(slot);
        Change { slot, tier: Tier::NEWEST }
    }

    /// The operator gives an identity a tier, or leaves it to its score. Answers what is to be published; nothing where there
    /// is no such slot.
    pub fn pin(&mut self, slot: u32, tier: Option<Tier>) -> Option<Change> {
        let own = self.identities.get_or_create(slot, self.now)?;
        own.pin = tier;
        Some(Change { slot, tier: own.tier_shown() })
    }

    /// The operator says how large a torrent is, by the number that observations name it with.
    pub fn tell_size(&mut self, torrent: u64, bytes: u64) {
        self.swarms.tell_size(torrent, bytes, self.now);
    }

    /// What it holds.
    pub fn watched(&self) -> Watched {
        let Self { identities, swarms, snatches, .. } = self;
        Watched {
            identities: identities.len(),
            watches: swarms.watches.len(),
            swarms: swarms.swarms.len(),
            snatches: snatches.len(),
            bytes: identities.bytes() + swarms.bytes() + snatches.bytes(),
        }
    }

    /// Time goes on, or stands still: a clock that went back is waited for.
    fn go_on(&mut self, now: Time) {
        if self.now.age(now) > 0 {
            self.now = now;
        }
    }

    /// Goes on with the round of evaluations, if one is due.
    fn evaluate(&mut self) {
        let Self { identities, swarms, rules, yardstick, changes, round, now, .. } = self;
        if round.next.is_none() && round.began.age(*now) >= rules.evaluation_secs {
            *round = Round { began: *now, next: Some(0) };
        }
        let Some(mut slot) = round.next else { return };
        let mut budget = EVALUATED_AT_ONCE;
        while budget > 0 && slot < identities.slots() {
            if let Some(next) = identities.skip(slot) {
                (slot, budget) = (next, budget - 1);
                continue;
            }
            if let Some(own) = identities.get_mut(slot) {
                let before = own.tier_shown();
                own.fade(*now, rules);
                let marks = yardstick.marks(own, *now, rules);
                own.weigh_word(yardstick.usual, *now, rules);
                yardstick.judge(own, marks.score, rules);
                if own.pin.is_none() && own.seen.age(*now) <= rules.active_secs {
                    yardstick.note(own, &marks);
                }
                let tier = own.tier_shown();
                changes.extend((tier != before).then_some(Change { slot, tier }));
            }
            (slot, budget) = (slot + 1, budget - 1);
        }
        round.next = Some(slot).filter(|slot| *slot < identities.slots());
        if round.next.is_none() {
            yardstick.renew(rules);
            swarms.doubt_below(yardstick.usual * percent(rules.trust_from));
        }
    }
}
