//! What was completed and is to be seeded for a while. A snatch counts as kept as long as it is seeded, and when it is not,
//! as far as it was.

use super::identities::Identities;
use super::identity::{Identity, seconds};
use super::slab::{Hashed, Slab};
use crate::account::spread;
use crate::rules::standing::StandingRules;
use crate::time::Time;

/// Snatches of one identity that are remembered; those beyond are not kept.
const SNATCHES_PER_IDENTITY_MAX: u16 = 4096;

/// All of them that are not kept in full yet.
pub(super) struct Snatches {
    slab: Slab<Snatch>,
    /// Where the sweep goes on.
    next: u32,
}

/// One of them.
#[derive(Clone, Copy)]
pub(super) struct Snatch {
    torrent: u64,
    pub(super) slot: u32,
    seeded_secs: u32,
    last: Time,
    generation: u8,
    /// It is being seeded, and counts in full.
    is_open: bool,
}

const _: () = assert!(size_of::<Option<Snatch>>() <= 24);

/// An announce, as far as it matters here.
#[derive(Clone, Copy)]
pub(super) struct Held {
    pub(super) slot: u32,
    pub(super) torrent: u64,
    pub(super) now: Time,
    /// Seconds of seeding; 0 if it has not seeded.
    pub(super) secs: u32,
    pub(super) completed: bool,
    pub(super) stopped: bool,
}

impl Snatches {
    pub(super) fn new(rules: &StandingRules) -> Self {
        Self { slab: Slab::new(rules.snatches_max), next: 0 }
    }

    /// Takes up an announce.
    pub(super) fn note(&mut self, own: &mut Identity, held: &Held, rules: &StandingRules) {
        if !held.completed && own.snatches == 0 {
            return;
        }
        let hash = hash(held.slot, held.torrent);
        let is_it = |snatch: &Snatch| (snatch.slot, snatch.torrent) == (held.slot, held.torrent);
        let at = self.slab.find(hash, is_it);
        let at = at.filter(|at| self.slab.get(*at).is_some_and(|it| it.generation == own.generation));
        let Some(at) = at.or_else(|| if held.completed { self.begin(own, held) } else { None }) else {
            return;
        };
        let Some(snatch) = self.slab.get_mut(at) else { return };
        if held.secs > 0 {
            snatch.open(own, rules);
            let secs = snatch.last.age(held.now).min(held.secs);
            own.advanced -= snatch.missing(rules);
            snatch.seeded_secs = snatch.seeded_secs.saturating_add(secs);
            own.advanced = (own.advanced + snatch.missing(rules)).max(0.0);
        }
        snatch.last = held.now;
        if held.stopped {
            snatch.close(own, rules);
        }
        if snatch.seeded_secs >= rules.kept_after_secs {
            own.snatches = own.snatches.saturating_sub(1);
            self.slab.remove(at);
        }
    }

    /// Adds one; it counts as not kept if there is no room.
    fn begin(&mut self, own: &mut Identity, held: &Held) -> Option<u32> {
        own.snatched += 1.0;
        if own.snatches >= SNATCHES_PER_IDENTITY_MAX {
            return None;
        }
        let at = self.slab.insert(Snatch {
            torrent: held.torrent,
            slot: held.slot,
            seeded_secs: 0,
            last: held.now,
            generation: own.generation,
            is_open: true,
        })?;
        own.snatches += 1;
        own.kept += 1.0;
        own.advanced += 1.0;
        Some(at)
    }

    /// Closes those that fell silent, and forgets those that nobody comes back to, looking at no more than `budget`.
    pub(super) fn sweep(
        &mut self,
        budget: usize,
        now: Time,
        (identities, rules): (&mut Identities, &StandingRules),
    ) {
        for _ in 0..budget.min(self.slab.places()) {
            let at = self.next;
            self.next = if self.next as usize + 1 < self.slab.places() { self.next + 1 } else { 0 };
            let Some(snatch) = self.slab.get_mut(at) else { continue };
            let own = identities.get_mut(snatch.slot).filter(|own| own.generation == snatch.generation);
            let silent_secs = snatch.last.age(now);
            let Some(own) = own else {
                self.slab.remove(at);
                continue;
            };
            if silent_secs > rules.bin_secs.saturating_mul(5) / 2 {
                snatch.close(own, rules);
            }
            if silent_secs > rules.trading_half_life_secs {
                own.snatches = own.snatches.saturating_sub(1);
                self.slab.remove(at);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.slab.bytes()
    }
}

impl Snatch {
    /// Share of the time for which it is still to be seeded.
    fn missing(&self, rules: &StandingRules) -> f32 {
        seconds(rules.kept_after_secs.saturating_sub(self.seeded_secs)) / seconds(rules.kept_after_secs)
    }

    fn open(&mut self, own: &mut Identity, rules: &StandingRules) {
        if !std::mem::replace(&mut self.is_open, true) {
            own.kept += self.missing(rules);
            own.advanced += self.missing(rules);
        }
    }

    fn close(&mut self, own: &mut Identity, rules: &StandingRules) {
        if std::mem::replace(&mut self.is_open, false) {
            own.kept = (own.kept - self.missing(rules)).max(0.0);
            own.advanced = (own.advanced - self.missing(rules)).max(0.0);
        }
    }
}

impl Hashed for Snatch {
    fn hash(&self) -> u64 {
        hash(self.slot, self.torrent)
    }
}

/// Torrents have keyed hashes or numbers that nobody chooses, and so have slots.
fn hash(slot: u32, torrent: u64) -> u64 {
    spread(torrent ^ spread(u64::from(slot)))
}
