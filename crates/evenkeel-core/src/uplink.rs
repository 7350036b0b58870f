//! Whose uplink is exhausted: from what identities report to have sent, over all their torrents.
//!
//! An uplink is busy while it sends at nearly the best rate that was ever seen of it. One that seeds several torrents
//! announces them at different times, so that what each announce reports is laid out over the time it speaks of, in bins
//! of half an interval; a bin is judged when all torrents have spoken of it, and not before. An uplink becomes busy at
//! once, and has room again only when it had room for two intervals: an introduction cannot be taken back.
//!
//! Known weakness: the best rate is a guess. Of somebody whose uplink was never exhausted it is too low, and the uplink
//! seems busy when it is not. What is reported can be made up; it earns nothing here but to be rationed.

use std::sync::atomic::{AtomicI8, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::addresses::source;
use crate::equilibrium::rbs::Ration;
use crate::identity::Tier;
use crate::keyed::Keyed;
use crate::rules::Rules;
use crate::shard::Place;
use crate::swarm::PeerKey;
use crate::time::Time;

/// Uplinks of identities; shared by all shards. Nothing but numbered slots grows, and each to a fixed size.
pub struct Uplinks {
    /// Slot n is in part n modulo their number.
    parts: Box<[Mutex<Slots>]>,
    /// Percent by which shares of the best rate are thought to be less than they are.
    shift: AtomicI8,
}

type Slots = Vec<Option<Box<Uplink>>>;

/// Slots that can be told apart; higher numbers share theirs with lower ones.
const SLOTS: u32 = 1 << 24;

const PARTS: usize = 64;

/// What one announce says of its sender's uplink.
pub(crate) struct Sample {
    pub(crate) place: Place,
    /// The announce before this one, and what was sent since.
    pub(crate) sent: Option<(Time, u64)>,
    pub(crate) now: Time,
    /// If it seeds: leechers of each tier or above, for each seeder that is here.
    pub(crate) wanted: Wanted,
}

/// Leechers of tiers from 1, from 2 and from 3 on, for each seeder.
pub(crate) type Wanted = [f32; Tier::COUNT - 1];

/// What outlives the program of an uplink.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UplinkRecord {
    /// Best bytes per second.
    pub best: f32,
    /// Share of it that was used of late.
    pub share: f32,
    /// Bins that have been judged, up to as many as matter.
    pub bins: u8,
}

impl Default for Uplinks {
    fn default() -> Self {
        Self { parts: (0..PARTS).map(|_| Mutex::default()).collect(), shift: AtomicI8::new(0) }
    }
}

impl Uplinks {
    /// The first slots are of networks: where nobody is known by anything else, no memory is taken for others.
    pub const NETWORKS: u32 = 1 << 20;
    /// Identities that are known by a number of their own, below this one, have a slot that nobody shares.
    pub const KNOWN_MAX: u32 = SLOTS - Self::NETWORKS;

    /// The slot of somebody who is known by address alone (IPv4 address, IPv6 /56: what one household has). Two share one by
    /// chance: one in a million.
    pub fn slot(keyed: &Keyed, key: &PeerKey) -> u32 {
        let source = source(key.source());
        let hash = keyed.hash(&source[..source.len().min(7)]);
        u32::try_from(hash % u64::from(Self::NETWORKS)).unwrap_or_default()
    }

    /// The slot of one of them.
    pub fn known_slot(number: u32) -> u32 {
        Self::NETWORKS + number % Self::KNOWN_MAX
    }

    /// Takes up what an announce says. Answers whom the uplink has no room for: tiers below the one that is answered.
    pub(crate) fn judge(&self, slot: u32, sample: &Sample, ration: &Ration, rules: &Rules) -> u8 {
        let slot = (slot % SLOTS) as usize;
        let mut part = self.parts[slot % PARTS].lock().unwrap_or_else(PoisonError::into_inner);
        if part.len() <= slot / PARTS {
            part.resize_with(slot / PARTS + 1, || None);
        }
        let uplink = part[slot / PARTS].get_or_insert_with(|| Box::new(Uplink::new(sample.now, rules)));
        uplink.judge(sample, (ration, self.shifted()), rules)
    }

    /// Moves the shares from which on uplinks are busy, and below which they have room, by so many percent from what the preset
    /// says.
    pub fn shift(&self, percent: i8) {
        self.shift.store(percent, Ordering::Relaxed);
    }

    /// By how much they are moved.
    pub fn shifted(&self) -> i8 {
        self.shift.load(Ordering::Relaxed)
    }

    /// What has to be stored of an uplink; nothing of one that was never judged.
    pub fn record(&self, slot: u32) -> UplinkRecord {
        let slot = (slot % SLOTS) as usize;
        let part = self.parts[slot % PARTS].lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Some(uplink)) = part.get(slot / PARTS) else { return UplinkRecord::default() };
        UplinkRecord { best: uplink.best, share: uplink.share, bins: uplink.evidence }
    }

    /// Takes up an uplink as it was recorded. Whether it is busy shows with the next bins.
    pub fn restore(&self, slot: u32, record: &UplinkRecord, now: Time, rules: &Rules) {
        let sane = |amount: f32| amount.is_finite() && amount >= 0.0;
        if record.bins == 0 || !sane(record.best) || !sane(record.share) {
            return;
        }
        let slot = (slot % SLOTS) as usize;
        let mut part = self.parts[slot % PARTS].lock().unwrap_or_else(PoisonError::into_inner);
        if part.len() <= slot / PARTS {
            part.resize_with(slot / PARTS + 1, || None);
        }
        let UplinkRecord { best, share, bins } = *record;
        part[slot / PARTS] =
            Some(Box::new(Uplink { best, share, evidence: bins, ..Uplink::new(now, rules) }));
    }

    /// The identity takes no part in a swarm any more.
    pub(crate) fn leave(&self, slot: u32, place: Place) {
        let slot = (slot % SLOTS) as usize;
        let mut part = self.parts[slot % PARTS].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Some(uplink)) = part.get_mut(slot / PARTS) {
            uplink.torrents.retain(|torrent| torrent.place != place);
        }
    }
}

/// Bins of an uplink: four intervals.
const BINS: u32 = 8;
/// Torrents of an identity that are remembered apart; of more, those that announced last. Everybody's bytes count.
const TORRENTS_MAX: usize = 64;
/// Bins that must have been judged before an uplink can be called busy, four hours: its best rate is no guess any more.
const EVIDENCE: u8 = 8;
/// Bins with room in a row after which it has room: two intervals.
const ROOMY_BINS: u8 = 4;
/// What the leechers of a bin weigh in the average: two hours.
const WANTED_WEIGHT: f32 = 0.125;
/// The best rate counts half after this time: people move, and contracts change.
const BEST_HALVES_SECS: f32 = 7.0 * 86_400.0;

struct Uplink {
    bin_secs: u32,
    /// Number of the first bin that is not judged yet, and those from there on.
    next: u32,
    bins: [Bin; BINS as usize],
    torrents: Vec<Torrent>,
    /// Best bytes per second.
    best: f32,
    /// Share of the best, averaged over the last bins, each counting half as much as the one after it.
    share: f32,
    evidence: u8,
    roomy_bins: u8,
    is_busy: bool,
    /// Leechers that rest on it, averaged over the last hours: who is there at a moment is chance.
    wanted: Wanted,
}

/// What was sent in a stretch of time, and which part of it is known.
#[derive(Clone, Copy, Default)]
struct Bin {
    bytes: f32,
    from: u32,
    to: u32,
}

#[derive(Clone, Copy)]
struct Torrent {
    place: Place,
    last: Time,
    wanted: Wanted,
}

impl Uplink {
    fn new(now: Time, rules: &Rules) -> Self {
        let bin_secs = (rules.interval_secs / 2).max(1);
        Self {
            bin_secs,
            next: now.0 / bin_secs,
            bins: [Bin::default(); BINS as usize],
            torrents: Vec::new(),
            best: 0.0,
            share: 0.0,
            evidence: 0,
            roomy_bins: 0,
            is_busy: false,
            wanted: Wanted::default(),
        }
    }

    fn judge(&mut self, sample: &Sample, (ration, shift): (&Ration, i8), rules: &Rules) -> u8 {
        if self.bin_secs != (rules.interval_secs / 2).max(1) {
            *self = Self::new(sample.now, rules);
        }
        if let Some((from, bytes)) = sample.sent {
            self.lay_out(from, sample.now, bytes);
        }
        self.note_torrent(sample);
        let told = self.torrents.iter().map(|torrent| torrent.last.0).min().unwrap_or_default();
        // Whoever is silent holds nothing up for longer than there are bins.
        let now = sample.now.0 / self.bin_secs;
        let complete = (told / self.bin_secs).max((now + 1).saturating_sub(BINS));
        for _ in self.next..complete.min(self.next.saturating_add(BINS)) {
            let bin = std::mem::take(&mut self.bins[0]);
            self.bins.rotate_left(1);
            self.weigh(bin, (ration, shift));
        }
        self.next = self.next.max(complete);
        if self.is_busy { self.wanted_by(ration) } else { 0 }
    }

    /// The highest tier for whose sake others may be held back.
    fn wanted_by(&self, ration: &Ration) -> u8 {
        let wanted = (0..Tier::COUNT - 1).rev().find(|tier| self.wanted[*tier] >= ration.wanted);
        wanted.map_or(0, |tier| u8::try_from(tier + 1).unwrap_or_default())
    }

    /// Spreads what was sent over the time in which it was.
    fn lay_out(&mut self, from: Time, to: Time, bytes: u64) {
        let secs = to.0.saturating_sub(from.0);
        if secs == 0 {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 24 bits")]
        let rate = bytes as f32 / secs as f32;
        for (number, bin) in (self.next..).zip(&mut self.bins) {
            let start = number.saturating_mul(self.bin_secs);
            let end = start.saturating_add(self.bin_secs);
            let (from, to) = (from.0.max(start), to.0.min(end));
            if from >= to {
                continue;
            }
            #[expect(clippy::cast_precision_loss, reason = "a bin has less than 2^24 seconds")]
            let secs = (to - from) as f32;
            bin.bytes += rate * secs;
            (bin.from, bin.to) = if bin.to == 0 { (from, to) } else { (bin.from.min(from), bin.to.max(to)) };
        }
    }

    fn note_torrent(&mut self, sample: &Sample) {
        let Sample { place, now, wanted, .. } = *sample;
        let patience_secs = self.bin_secs * 4;
        self.torrents.retain(|torrent| {
            torrent.place != place && now.0.saturating_sub(torrent.last.0) <= patience_secs
        });
        if self.torrents.len() == TORRENTS_MAX {
            self.torrents.remove(0);
        }
        self.torrents.push(Torrent { place, last: now, wanted });
    }

    /// Takes up a bin that is complete.
    fn weigh(&mut self, bin: Bin, (ration, shift): (&Ration, i8)) {
        for (tier, wanted) in self.wanted.iter_mut().enumerate() {
            let now: f32 = self.torrents.iter().map(|torrent| torrent.wanted[tier]).sum();
            *wanted += (now - *wanted) * WANTED_WEIGHT;
        }
        let secs = bin.to - bin.from;
        #[expect(clippy::cast_precision_loss, reason = "a bin has less than 2^24 seconds")]
        let (known, whole) = (secs as f32, self.bin_secs as f32);
        if known < whole / 3.0 {
            return;
        }
        let rate = bin.bytes / known;
        self.best = rate.max(self.best * (-whole / BEST_HALVES_SECS).exp2());
        let share = if self.best > 0.0 { rate / self.best } else { 0.0 };
        self.share = if self.evidence == 0 { share } else { (self.share + share) / 2.0 };
        self.evidence = self.evidence.saturating_add(1);
        let percent = self.share * 100.0 - f32::from(shift);
        if percent >= f32::from(ration.busy_percent) && self.evidence >= EVIDENCE {
            self.is_busy = true;
            self.roomy_bins = 0;
        } else if percent < f32::from(ration.idle_percent) {
            self.roomy_bins = self.roomy_bins.saturating_add(1);
            self.is_busy &= self.roomy_bins < ROOMY_BINS;
        } else {
            self.roomy_bins = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::equilibrium::rbs::Preset;
    use evenkeel_wire::InfoHash;

    const MIB: u64 = 1 << 20;

    fn place(number: u8) -> Place {
        Place::of(&Keyed::new([1, 2]), &InfoHash([number; 20]))
    }

    /// Announces of one identity, every half hour for each torrent, each `rates[n]` bytes a second; answers the last
    /// judgement of each half hour.
    fn judgements(half_hours: &[&[u64]]) -> Vec<u8> {
        let (uplinks, rules) = (Uplinks::default(), Rules::default());
        let mut answers = Vec::new();
        let mut now = 3600;
        for rates in half_hours {
            let mut answer = 0;
            for (number, rate) in (0..).zip(*rates) {
                let at = Time(now + u32::from(number) * 200);
                let sent = Some((Time(at.0 - 1800), rate * 1800));
                let sample = Sample { place: place(number), sent, now: at, wanted: [1.0, 1.0, 0.0] };
                answer = uplinks.judge(7, &sample, Preset::Default.ration(), &rules);
            }
            answers.push(answer);
            now += 1800;
        }
        answers
    }

    #[test]
    fn an_uplink_is_busy_at_its_best_and_roomy_two_intervals_after() {
        let (busy, roomy): (&[u64], &[u64]) = (&[MIB], &[MIB / 2]);
        let answers = judgements(&[[busy; 6].as_slice(), &[roomy; 5], &[busy]].concat());
        assert_eq!(answers[5], 2, "wanted by tier 2: the tiers below it are rationed");
        assert_eq!(answers[6..8], [2, 2], "not yet");
        assert_eq!(answers[9..11], [0, 0]);
    }

    #[test]
    fn torrents_share_an_uplink() {
        // Alone, then shared by two, then three: always exhausted, whatever each of them has of it.
        let (one, two, three): (&[u64], &[u64], &[u64]) =
            (&[6 * MIB], &[3 * MIB, 3 * MIB], &[2 * MIB, 2 * MIB, 2 * MIB]);
        let answers = judgements(&[[one; 6].as_slice(), &[two; 3], &[three; 5]].concat());
        assert!(answers[5..].iter().all(|answer| *answer == 2), "{answers:?}");
    }

    #[test]
    fn what_is_not_known_has_room() {
        let answers = judgements(&[&[MIB]]);
        assert_eq!(answers, [0]);
        let (uplinks, rules) = (Uplinks::default(), Rules::default());
        for now in [0, 0, u32::MAX, 5, u32::MAX] {
            let sample = Sample {
                place: place(1),
                sent: Some((Time(now / 2), u64::MAX)),
                now: Time(now),
                wanted: [9.0; 3],
            };
            uplinks.judge(u32::MAX, &sample, Preset::Default.ration(), &rules);
        }
    }

    #[test]
    fn a_moved_threshold_calls_fewer_uplinks_busy() {
        let rules = Rules::default();
        let last = |shift| {
            let uplinks = Uplinks::default();
            uplinks.shift(shift);
            assert_eq!(uplinks.shifted(), shift);
            // An hour at its best, of which half is seen, then always at 84 percent of that.
            let rates = (0..12).map(|at| if at < 2 { 100 * MIB } else { 84 * MIB });
            let judged = (2..).zip(rates).map(|(half_hour, rate)| {
                let now = half_hour * 1800;
                let sent = Some((Time(now - 1800), rate * 1800));
                let sample = Sample { place: place(1), sent, now: Time(now), wanted: [1.0, 1.0, 0.0] };
                uplinks.judge(7, &sample, Preset::Default.ration(), &rules)
            });
            judged.last()
        };
        assert_eq!([last(0), last(6), last(10), last(16)], [Some(2), Some(2), Some(0), Some(0)]);
    }

    #[test]
    fn what_was_learned_of_an_uplink_is_known_after_a_restart() {
        let sample = |now: u32, rate: u64| Sample {
            place: place(1),
            sent: Some((Time(now - 1800), rate * 1800)),
            now: Time(now),
            wanted: [1.0, 1.0, 0.0],
        };
        let (before, after, rules) = (Uplinks::default(), Uplinks::default(), Rules::default());
        assert_eq!(before.record(7), UplinkRecord::default());
        for half_hour in 2..10 {
            before.judge(7, &sample(half_hour * 1800, MIB), Preset::Default.ration(), &rules);
        }
        let record = before.record(7);
        assert!(record.bins >= EVIDENCE, "{record:?}");
        after.restore(7, &record, Time(0), &rules);
        assert_eq!(after.record(7), record);
        // Of somebody new the first hours say nothing.
        let new = Uplinks::default();
        let judge =
            |uplinks: &Uplinks, now| uplinks.judge(7, &sample(now, MIB), Preset::Default.ration(), &rules);
        for half_hour in 2..6 {
            let now = half_hour * 1800;
            assert_eq!([judge(&after, now), judge(&new, now)], [2, 0], "{half_hour}");
        }
        after.restore(8, &UplinkRecord { best: f32::NAN, share: 1.0, bins: 9 }, Time(0), &rules);
        assert_eq!(after.record(8), UplinkRecord::default());
    }
}
