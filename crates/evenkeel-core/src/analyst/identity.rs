//! What an identity has done: amounts that fade, from which its score is made.

use super::excess::Excess;
use super::record::Record;
use super::word::{Evidence, Word, low};
use crate::identity::Tier;
use crate::rules::standing::StandingRules;
use crate::time::Time;

/// MiB in place of bytes: sums keep seven digits.
const MIB: f32 = 1_048_576.0;
/// MiB by which received bytes are thought to be more, so that a ratio means something from the first GiB on.
const RATIO_FLOOR_MIB: f32 = 1024.0;
/// MiB that are taken to have been claimed and credited before the first: nobody is doubted for a little.
const TRUST_FLOOR_MIB: f32 = 1024.0;

/// The highest tier of whose word is not good.
pub(super) const WORD_TIER_MAX: u8 = 1;

/// One of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Identity {
    /// It exists; all else is of nobody where it does not.
    pub(super) is_known: bool,
    pub(super) is_proven: bool,
    /// A lower tier was due at the last evaluation, too.
    pub(super) is_falling: bool,
    pub(super) tier: Tier,
    pub(super) pin: Option<Tier>,
    /// Tells it from those that had its slot before.
    pub(super) generation: u8,
    /// Torrents of it that are watched, and snatches that are remembered.
    pub(super) watched: u16,
    pub(super) snatches: u16,
    /// Until when amounts have faded.
    as_of: Time,
    pub(super) seen: Time,
    /// Until when its seeding time is counted: an hour counts once, in however many swarms.
    covered: Time,
    proven: Time,
    /// GiB times hours times scarcity, and seconds: fading as seeding does.
    pub(super) seeded: f32,
    pub(super) seeding_secs: f32,
    /// GiB times hours, and hours, of all torrents: never fading.
    life_gib_hours: f32,
    life_hours: f32,
    /// MiB, and snatches: fading as trading does.
    pub(super) credited: f32,
    pub(super) claimed: f32,
    pub(super) charged: f32,
    pub(super) snatched: f32,
    pub(super) kept: f32,
    /// Of the snatches that count as kept, what is still to be seeded of them.
    pub(super) advanced: f32,
    /// What of its claims is made up, and whether that is little enough.
    pub(super) excess: Excess,
    pub(super) word: Word,
    /// MiB since the last proof: an equal share of what its swarms took, and what it was credited.
    owed: f32,
    given: f32,
    /// Seconds of seeding since the last proof where others were served.
    barren_secs: u32,
    /// The bin that was counted last of these, the lower bits of its number.
    barren_bin: u16,
}

const _: () = assert!(size_of::<Identity>() <= 96);

/// A stretch of seeding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seeding {
    pub(super) now: Time,
    pub(super) secs: u32,
    pub(super) bytes: u64,
    pub(super) seeders: u32,
}

impl Identity {
    pub(super) fn new(now: Time, generation: u8) -> Self {
        Self {
            is_known: true,
            generation,
            as_of: now,
            seen: now,
            covered: now,
            proven: now,
            barren_bin: u16::MAX,
            ..Self::default()
        }
    }

    /// Nobody, in a slot that was somebody's.
    pub(super) fn nobody(generation: u8) -> Self {
        Self { generation, ..Self::default() }
    }

    /// Lets amounts fade. Not for every second that goes by: a two hundredth of a half-life is soon enough.
    pub(super) fn fade(&mut self, now: Time, rules: &StandingRules) {
        let secs = self.as_of.age(now);
        let (seeding, trading) = (rules.seeding_half_life_secs, rules.trading_half_life_secs);
        if secs < seeding.min(trading) / 200 {
            return;
        }
        self.as_of = now;
        let left = |half_life: u32| (-seconds(secs) / seconds(half_life)).exp2();
        let (seeding, trading) = (left(seeding), left(trading));
        for amount in [&mut self.seeded, &mut self.seeding_secs] {
            *amount *= seeding;
        }
        let Self { credited, claimed, charged, snatched, kept, advanced, .. } = self;
        for amount in [credited, claimed, charged, snatched, kept, advanced] {
            *amount *= trading;
        }
        self.excess.fade(trading);
    }

    /// It has seeded a torrent. The fewer seeders there are, the more one counts.
    pub(super) fn note_seeding(&mut self, seeding: &Seeding) {
        let Seeding { now, secs, bytes, seeders } = *seeding;
        let hours = seconds(secs) / 3600.0;
        let gib_hours = mib(bytes) / 1024.0 * hours;
        self.seeded += gib_hours * (2.0 / (1.0 + count(seeders)).sqrt()).clamp(0.25, 2.0);
        self.life_gib_hours += gib_hours;
        self.life_hours += hours;
        let uncovered = self.covered.age(now).min(secs);
        self.seeding_secs += seconds(uncovered);
        self.covered = if uncovered > 0 { now } else { self.covered };
    }

    /// The tier that it has: the operator's word, or its own by its score.
    pub(super) fn tier_shown(&self) -> Tier {
        self.pin.unwrap_or(self.tier)
    }

    /// So many MiB of what it claims to have sent are believed.
    pub(super) fn credit(&mut self, mib: f32, now: Time, rules: &StandingRules) {
        self.credited += mib;
        self.given += mib;
        let enough = (self.owed * percent(rules.proof_share)).max(count(rules.proof_mib));
        if self.given >= enough {
            (self.is_proven, self.proven) = (true, now);
            (self.owed, self.given, self.barren_secs) = (0.0, 0.0, 0);
        }
    }

    /// A swarm that it seeds took so many MiB for each seeder, in a bin.
    pub(super) fn owe(&mut self, mib: f32) {
        self.owed += mib;
    }

    /// Others were served where it seeds. A bin counts once, in however many swarms.
    pub(super) fn note_barren(&mut self, bin: u32, rules: &StandingRules) {
        let bin = low(bin);
        if self.barren_bin != bin {
            self.barren_bin = bin;
            self.barren_secs = self.barren_secs.saturating_add(rules.bin_secs);
        }
    }

    /// How far it is proven that it seeds what it says, from 0 to 1.
    pub(super) fn proof(&self, now: Time, rules: &StandingRules) -> f32 {
        if !self.is_proven || self.proven.age(now) > rules.proof_secs {
            return 0.0;
        }
        let doubted = self.barren_secs.saturating_sub(rules.barren_secs);
        (1.0 - seconds(doubted) / seconds(rules.doubt_secs)).max(0.0)
    }

    /// Share of its claims that was credited.
    pub(super) fn reliability(&self) -> f32 {
        ((self.credited + TRUST_FLOOR_MIB) / (self.claimed + TRUST_FLOOR_MIB)).min(1.0)
    }

    /// Looks whether its word is good, where so much of a claim is credited as a rule.
    pub(super) fn weigh_word(&mut self, usual: f32, now: Time, rules: &StandingRules) {
        let (excess, reliability, bin) = (&self.excess, self.reliability(), now.0 / rules.bin_secs);
        self.word.weigh(&Evidence { excess, reliability, usual, bin }, rules);
    }

    /// How far its claims can be true, from 0 to 1, where so much of a claim is credited as a rule.
    pub(super) fn trust(&self, usual: f32, rules: &StandingRules) -> f32 {
        let (from, full) = (percent(rules.trust_from) * usual, percent(rules.trust_full) * usual);
        let over = self.reliability() - from;
        if over <= 0.0 {
            return 0.0;
        }
        if full > from { (over / (full - from)).min(1.0) } else { 1.0 }
    }

    /// Of credited and received bytes.
    pub(super) fn ratio(&self) -> f32 {
        self.credited / (self.charged + RATIO_FLOOR_MIB)
    }

    /// GiB.
    pub(super) fn average_gib(&self) -> f32 {
        if self.life_hours > 0.0 { self.life_gib_hours / self.life_hours } else { 0.0 }
    }

    /// Whether it ever seeded anything.
    pub(super) fn has_seeded(&self) -> bool {
        self.life_hours > 0.0
    }

    /// Share of its snatches that it keeps; as if there were one more, so that nobody starts with all of them.
    pub(super) fn kept_share(&self) -> f32 {
        (self.kept / (self.snatched + 1.0)).clamp(0.0, 1.0)
    }

    /// What has to be stored of it. What a snatch counts before it is seeded for as long is left out: nobody would know of it.
    pub(super) fn record(&self, now: Time) -> Record {
        Record {
            tier: self.tier,
            is_falling: self.is_falling,
            faded_secs: self.as_of.age(now),
            seen_secs: self.seen.age(now),
            proven_secs: self.is_proven.then(|| self.proven.age(now)),
            barren_secs: self.barren_secs,
            seeded_gib_hours: self.seeded,
            seeding_secs: self.seeding_secs,
            life_gib_hours: self.life_gib_hours,
            life_hours: self.life_hours,
            credited_mib: self.credited,
            claimed_mib: self.claimed,
            charged_mib: self.charged,
            snatched: self.snatched,
            kept: (self.kept - self.advanced).max(0.0),
            owed_mib: self.owed,
            given_mib: self.given,
        }
    }

    /// As it was recorded so many seconds ago. Numbers that cannot be are none.
    pub(super) fn restored(record: &Record, idle_secs: u32, (now, generation): (Time, u8)) -> Self {
        let ago = |secs: u32| now.before(secs.saturating_add(idle_secs).min(u32::MAX / 2));
        let sane = |amount: f32| if amount.is_finite() && amount > 0.0 { amount } else { 0.0 };
        Self {
            tier: record.tier,
            is_falling: record.is_falling,
            is_proven: record.proven_secs.is_some(),
            as_of: ago(record.faded_secs),
            seen: ago(record.seen_secs),
            proven: ago(record.proven_secs.unwrap_or(0)),
            seeded: sane(record.seeded_gib_hours),
            seeding_secs: sane(record.seeding_secs),
            life_gib_hours: sane(record.life_gib_hours),
            life_hours: sane(record.life_hours),
            credited: sane(record.credited_mib),
            claimed: sane(record.claimed_mib),
            charged: sane(record.charged_mib),
            snatched: sane(record.snatched),
            kept: sane(record.kept),
            owed: sane(record.owed_mib),
            given: sane(record.given_mib),
            barren_secs: record.barren_secs,
            // Whoever was of a high tier had been found good; of others it is found out anew.
            word: if record.tier.number() > WORD_TIER_MAX { Word::GOOD } else { Word::default() },
            ..Self::new(now, generation)
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "seven digits are enough")]
pub(super) fn mib(bytes: u64) -> f32 {
    bytes as f32 / MIB
}

pub(super) fn seconds(secs: u32) -> f32 {
    count(secs)
}

#[expect(clippy::cast_precision_loss, reason = "seven digits are enough")]
pub(super) fn count(number: u32) -> f32 {
    number as f32
}

pub(super) fn percent(number: u32) -> f32 {
    count(number) / 100.0
}
