//! Who says to have sent and received how much of which torrent, in bins of time that are settled when all have spoken of
//! them.
//!
//! An announce speaks of the time since the one before. What it says was moved is spread evenly over that time, in bins;
//! three of them are open, and when a fourth begins, two intervals after its end, the oldest is settled. What a session
//! says of a time before that is laid into those that are open.

use std::num::NonZeroU8;

use super::excess::Excess;
use super::identities::Identities;
use super::identity::{Identity, mib, percent, seconds};
use super::observation::Observation;
use super::settle::{Settlement, with_tolerance};
use super::size::Size;
use super::slab::{Hashed, Slab};
use crate::account::spread;
use crate::rules::standing::StandingRules;
use crate::time::Time;

/// Bins that are open at once.
const OPEN: u32 = 3;
/// Amounts in MiB, the oldest bin first.
type Bins = [f32; OPEN as usize];

/// Torrents of one identity that are watched; of those beyond no upload is credited.
const WATCHED_PER_IDENTITY_MAX: u16 = 16_384;
/// A torrent that nobody announces is forgotten after a day, with the size that was named of it.
const KEPT_SECS: u32 = 86_400;
/// Less than a torrent, in MiB: what is left of a claim after hours.
const CRUMB: f32 = 1.0;
/// How much more than its size somebody may have received of a torrent for it to be believed that others sent it.
const WASTE: f32 = 1.15;

/// All torrents with identities in them.
pub(super) struct Swarms {
    pub(super) swarms: Slab<Swarm>,
    pub(super) watches: Slab<Watch>,
    settlement: Settlement,
    /// Where the sweep goes on.
    next: u32,
    /// Hashes of the watches that a batch will touch.
    ahead: Vec<u64>,
}

/// One torrent.
pub(super) struct Swarm {
    torrent: u64,
    /// Number of the oldest open bin.
    pub(super) bin: u32,
    /// The first of those that are watched in it.
    pub(super) head: u32,
    pub(super) seeders: u32,
    pub(super) leechers: u32,
    seen: Time,
    /// MiB that were taken and not claimed, so far.
    pub(super) bank: f32,
    /// What is said by those who are nobody in particular.
    pub(super) others: Traffic,
    size: Size,
    pub(super) lately: Lately,
    /// Of the claims of those who are nobody in particular.
    pub(super) excess: Excess,
}

/// What was moved of late, in MiB, fading as the bank does.
#[derive(Clone, Copy, Default)]
pub(super) struct Lately {
    pub(super) taken: f32,
    /// Claimed by those who are nobody in particular.
    pub(super) others: f32,
    /// Sent by those who are gone.
    pub(super) gone: f32,
}

/// An identity on a torrent.
pub(super) struct Watch {
    pub(super) slot: u32,
    swarm: u32,
    /// The next one of the same torrent.
    pub(super) next: u32,
    pub(super) traffic: Traffic,
    /// MiB received that counted, so far: hardly more than the torrent has.
    counted: f32,
    /// MiB received in settled bins, fading as the bank does: as much of what is in there may be its own.
    pub(super) own_bank: f32,
    /// MiB claimed of late.
    pub(super) claimed: f32,
    /// What the swarm has told of its claims.
    pub(super) told: f32,
    /// Bins that it has spoken of, and in which it seeded, the oldest in the lowest bit.
    heard: NonZeroU8,
    pub(super) seeding: u8,
    pub(super) generation: u8,
}

/// Beside a record, with its place in the index: 4 bytes of which a quarter up to two thirds are empty.
const _: () = assert!(size_of::<Option<Watch>>() <= 60);

/// What was moved, in MiB.
#[derive(Clone, Copy, Default)]
pub(super) struct Traffic {
    pub(super) claims: Bins,
    pub(super) taken: Bins,
    /// What was claimed in settled bins and not credited.
    pub(super) pending: f32,
}

/// No position.
pub(super) const NONE: u32 = u32::MAX;

impl Swarms {
    pub(super) fn new(rules: &StandingRules) -> Self {
        Self {
            swarms: Slab::new(rules.watched_swarms_max),
            watches: Slab::new(rules.watched_max),
            settlement: Settlement::default(),
            next: 0,
            ahead: Vec::new(),
        }
    }

    /// Has fetched from memory what announces will touch, one step of four for a whole batch.
    pub(super) fn prefetch<'a>(&mut self, batch: impl Iterator<Item = &'a Observation> + Clone) {
        let Self { swarms, watches, ahead, .. } = self;
        batch.clone().for_each(|said| swarms.prefetch_slot(spread(said.torrent)));
        let watch_of =
            |said: &Observation| Some(hash(said.slot, swarms.prefetch_item(spread(said.torrent))?));
        ahead.clear();
        ahead.extend(batch.filter_map(watch_of));
        ahead.iter().for_each(|watch| watches.prefetch_slot(*watch));
        ahead.iter().for_each(|watch| {
            watches.prefetch_item(*watch);
        });
    }

    /// Takes up an announce. Answers the size of its torrent, in bytes, if it is known.
    pub(super) fn note(
        &mut self,
        said: &Observation,
        now: Time,
        (identities, rules): (&mut Identities, &StandingRules),
    ) -> Option<u64> {
        let at = self.swarm(said.torrent, now)?;
        self.settle_until(at, now, (identities, rules));
        let swarm = self.swarms.get_mut(at)?;
        (swarm.seen, swarm.seeders, swarm.leechers) = (now, said.seeders, said.leechers);
        if said.begins && said.left != Observation::NOT_SAID {
            swarm.size.name(said.slot, said.left);
        }
        let size = swarm.size.known(rules);
        let taken = mib(taken(said));
        if said.slot == Observation::NOBODY {
            let span = Span::new(swarm.bin, said, rules);
            swarm.others.lay_out(&span, mib(said.uploaded), taken);
        } else {
            let most = size.map_or(f32::INFINITY, |size| mib(size) * WASTE);
            if let Some(own) = identities.get_mut(said.slot) {
                self.note_own((at, own), said, (taken, most), rules);
            }
        }
        size
    }

    /// The operator says how large a torrent is.
    pub(super) fn tell_size(&mut self, torrent: u64, bytes: u64, now: Time) {
        let at = self.swarm(torrent, now);
        if let Some(swarm) = at.and_then(|at| self.swarms.get_mut(at)) {
            swarm.size.tell(bytes);
        }
    }

    /// Settles what is due of the next torrents, and forgets what nobody announces, looking at no more than `budget`.
    pub(super) fn sweep(
        &mut self,
        budget: usize,
        now: Time,
        (identities, rules): (&mut Identities, &StandingRules),
    ) {
        for _ in 0..budget.min(self.swarms.places()) {
            let at = self.next;
            self.next = if (self.next as usize) + 1 < self.swarms.places() { self.next + 1 } else { 0 };
            self.settle_until(at, now, (identities, rules));
            let is_stale = |swarm: &Swarm| {
                swarm.head == NONE && !swarm.size.is_told() && swarm.seen.age(now) > KEPT_SECS
            };
            if self.swarms.get(at).is_some_and(is_stale) {
                self.swarms.remove(at);
            }
        }
    }

    /// From now on those are doubted of whose claims less was credited.
    pub(super) fn doubt_below(&mut self, share: f32) {
        self.settlement.doubted_below = share;
    }

    pub(super) fn bytes(&self) -> usize {
        self.swarms.bytes() + self.watches.bytes()
    }

    /// Where a torrent is, after it was given a place if it had none and there is room.
    fn swarm(&mut self, torrent: u64, now: Time) -> Option<u32> {
        let found = self.swarms.find(spread(torrent), |swarm| swarm.torrent == torrent);
        found.or_else(|| {
            self.swarms.insert(Swarm {
                torrent,
                bin: 0,
                head: NONE,
                seeders: 0,
                leechers: 0,
                seen: now,
                bank: 0.0,
                others: Traffic::default(),
                size: Size::default(),
                lately: Lately::default(),
                excess: Excess::default(),
            })
        })
    }

    fn note_own(
        &mut self,
        (at, own): (u32, &mut Identity),
        said: &Observation,
        (taken, most): (f32, f32),
        rules: &StandingRules,
    ) {
        let Some(watch) = self.watch((at, own), said.slot) else { return };
        let (Some(swarm), Some(watch)) = (self.swarms.get(at), self.watches.get_mut(watch)) else { return };
        let span = Span::new(swarm.bin, said, rules);
        let counted = taken.min((most - watch.counted).max(0.0));
        watch.counted += counted;
        watch.traffic.lay_out(&span, mib(said.uploaded), counted);
        watch.heard |= span.bits();
        if said.has_seeded {
            watch.seeding |= span.bits().get();
        }
    }

    /// Where an identity is on a torrent, after it was given a place if it had none and there is room.
    fn watch(&mut self, (swarm, own): (u32, &mut Identity), slot: u32) -> Option<u32> {
        let is_it = |watch: &Watch| (watch.slot, watch.swarm) == (slot, swarm);
        if let Some(at) = self.watches.find(hash(slot, swarm), is_it) {
            let watch = self.watches.get_mut(at)?;
            if watch.generation != own.generation {
                // The slot was somebody else's.
                (watch.traffic, watch.counted, watch.own_bank) = (Traffic::default(), 0.0, 0.0);
                (watch.claimed, watch.told) = (0.0, 0.0);
                watch.seeding = 0;
                watch.generation = own.generation;
                own.watched = own.watched.saturating_add(1);
            }
            return Some(at);
        }
        if own.watched >= WATCHED_PER_IDENTITY_MAX {
            return None;
        }
        let next = self.swarms.get(swarm)?.head;
        let at = self.watches.insert(Watch {
            slot,
            swarm,
            next,
            traffic: Traffic::default(),
            counted: 0.0,
            own_bank: 0.0,
            claimed: 0.0,
            told: 0.0,
            heard: NonZeroU8::MIN,
            seeding: 0,
            generation: own.generation,
        })?;
        own.watched += 1;
        self.swarms.get_mut(swarm)?.head = at;
        Some(at)
    }

    /// Settles all bins of a torrent that are due.
    fn settle_until(&mut self, at: u32, now: Time, (identities, rules): (&mut Identities, &StandingRules)) {
        let first = (now.0 / rules.bin_secs).saturating_sub(OPEN - 1);
        for _ in 0..OPEN {
            let Some(swarm) = self.swarms.get(at).filter(|swarm| swarm.bin < first) else { return };
            if swarm.head == NONE && swarm.others.is_nothing() {
                break;
            }
            let mut settlement = std::mem::take(&mut self.settlement);
            settlement.settle(self, at, now, (identities, rules));
            self.settlement = settlement;
            self.shift(at, (identities, rules));
        }
        if let Some(swarm) = self.swarms.get_mut(at).filter(|swarm| swarm.bin < first) {
            let bins = i32::try_from(first - swarm.bin).unwrap_or(i32::MAX);
            let left = percent(rules.bank_percent).powi(bins);
            swarm.bank *= left;
            swarm.lately.fade(left);
            swarm.bin = first;
        }
    }

    /// The oldest bin gives way, and those who have said nothing of late do.
    fn shift(&mut self, at: u32, (identities, rules): (&mut Identities, &StandingRules)) {
        let Some(swarm) = self.swarms.get_mut(at) else { return };
        swarm.bin += 1;
        swarm.others.shift();
        let mut from = std::mem::replace(&mut swarm.head, NONE);
        let (mut head, mut gone) = (NONE, 0.0);
        while let Some(watch) = self.watches.get_mut(from) {
            watch.own_bank =
                watch.own_bank * percent(rules.bank_percent) + with_tolerance(watch.traffic.taken[0], rules);
            watch.traffic.shift();
            watch.seeding >>= 1;
            let next = watch.next;
            if let Some(heard) = NonZeroU8::new(watch.heard.get() >> 1) {
                watch.heard = heard;
                watch.next = std::mem::replace(&mut head, from);
            } else {
                let (slot, generation) = (watch.slot, watch.generation);
                gone += watch.claimed;
                if let Some(own) = identities.get_mut(slot).filter(|own| own.generation == generation) {
                    own.watched = own.watched.saturating_sub(1);
                    gone -= watch.claimed * own.excess.part();
                }
                self.watches.remove(from);
            }
            from = next;
        }
        if let Some(swarm) = self.swarms.get_mut(at) {
            swarm.head = head;
            swarm.lately.gone += gone;
        }
    }
}

impl Lately {
    pub(super) fn fade(&mut self, left: f32) {
        for amount in [&mut self.taken, &mut self.others, &mut self.gone] {
            *amount *= left;
        }
    }
}

impl Traffic {
    /// Spreads what was moved over the time in which it was.
    fn lay_out(&mut self, span: &Span, claimed: f32, taken: f32) {
        for ((claims, all), part) in self.claims.iter_mut().zip(&mut self.taken).zip(span.parts) {
            *claims += claimed * part;
            *all += taken * part;
        }
    }

    fn shift(&mut self) {
        for bins in [&mut self.claims, &mut self.taken] {
            bins.rotate_left(1);
            bins[OPEN as usize - 1] = 0.0;
        }
    }

    fn is_nothing(&self) -> bool {
        self.pending < CRUMB && self.claims.iter().chain(&self.taken).all(|amount| *amount == 0.0)
    }
}

/// The time that an announce speaks of: which part of it is in which open bin.
struct Span {
    parts: Bins,
}

impl Span {
    fn new(oldest: u32, said: &Observation, rules: &StandingRules) -> Self {
        let start = |bin: u32| oldest.saturating_add(bin).saturating_mul(rules.bin_secs);
        let end = said.now.0.clamp(start(0), start(OPEN));
        let begin = said.now.0.saturating_sub(u32::from(said.secs)).clamp(start(0), end);
        let mut parts = Bins::default();
        if begin == end {
            let last = (end.saturating_sub(start(0)) / rules.bin_secs).min(OPEN - 1);
            parts[last as usize] = 1.0;
            return Self { parts };
        }
        for (bin, part) in (0..).zip(&mut parts) {
            let overlap = end.min(start(bin + 1)).saturating_sub(begin.max(start(bin)));
            *part = seconds(overlap) / seconds(end - begin);
        }
        Self { parts }
    }

    /// The bins that it is in; it is in one at least.
    fn bits(&self) -> NonZeroU8 {
        let bits =
            self.parts.iter().zip([1, 2, 4]).filter(|(part, _)| **part > 0.0).map(|(_, bit)| bit).sum();
        NonZeroU8::new(bits).unwrap_or(NonZeroU8::MIN)
    }
}

/// Bytes that somebody has received: what it says, or what it lacks less if that is more. One who says that it received
/// nothing and yet has everything has found it elsewhere.
pub(crate) fn taken(said: &Observation) -> u64 {
    let is_found = said.downloaded == 0 && said.left == 0;
    if is_found || said.left == Observation::NOT_SAID || said.lacked == Observation::NOT_SAID {
        return said.downloaded;
    }
    said.downloaded.max(said.lacked.saturating_sub(said.left))
}

impl Hashed for Swarm {
    fn hash(&self) -> u64 {
        spread(self.torrent)
    }
}

impl Hashed for Watch {
    fn hash(&self) -> u64 {
        hash(self.slot, self.swarm)
    }
}

fn hash(slot: u32, swarm: u32) -> u64 {
    spread(u64::from(slot) << 32 | u64::from(swarm))
}
