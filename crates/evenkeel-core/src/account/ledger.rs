//! All sessions, and where users announce from, in parts that each have a lock of their own.
//!
//! Not in the shards of swarms: a torrent with two info hashes has two swarms, and one session for each client of a user.
//! A lock here is held for one announce, inside that of a shard; nothing in here takes another one.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::sessions::{self, Claim, Sessions, Settled};
use super::sources::{self, Sources};
use super::{Baseline, TorrentNumber, UserNumber};
use crate::index::Hint;
use crate::rules::Rules;
use crate::time::Time;

/// The sessions of a tracker.
pub struct Ledger {
    sessions: Box<[Part<Sessions>]>,
    sources: Box<[Part<Sources>]>,
    len: AtomicU32,
}

#[derive(Default)]
struct Part<T> {
    table: Mutex<T>,
    hint: Hint,
}

/// Parts of a ledger; a power of two.
pub const PARTS: usize = 256;

/// What a ledger holds, for gauges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Held {
    /// Sessions that are remembered.
    pub sessions: usize,
    /// Memory that they take.
    pub session_bytes: usize,
    /// Addresses of users that are remembered.
    pub addresses: usize,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            sessions: (0..PARTS).map(|_| Part::default()).collect(),
            sources: (0..PARTS).map(|_| Part::default()).collect(),
            len: AtomicU32::new(0),
        }
    }
}

impl Ledger {
    /// Books an announce.
    pub(crate) fn settle(&self, claim: &Claim<'_>, now: Time, rules: &Rules) -> Settled {
        let is_full = self.len.load(Ordering::Relaxed) >= rules.sessions_max;
        self.change(claim.account.torrent, |sessions| sessions.settle(claim, now, rules, is_full))
    }

    /// Notes that a user announces from an address; answers whether it may have that one, too.
    pub(crate) fn note_source(&self, claim: &Claim<'_>, now: Time, rules: &Rules) -> bool {
        let super::Account { user, allowance, .. } = claim.account;
        let max = allowance.addresses_max.unwrap_or(rules.addresses_per_user_max);
        let part = &self.sources[part_of(user.0)];
        let mut sources = part.lock();
        let may = sources.note((*user, max), claim.source, now, rules);
        sources.show(&part.hint);
        may
    }

    /// Has fetched from memory what an announce of a user on a torrent will touch: the first of two steps, the second of
    /// which is [`Ledger::prefetch_rows`]. A batch takes each step for all of its announces.
    pub fn prefetch_slots(&self, (user, torrent): (UserNumber, TorrentNumber)) {
        self.sessions[part_of(torrent.0)].hint.prefetch(sessions::hash(user, torrent));
        self.sources[part_of(user.0)].hint.prefetch(sources::hash(user));
    }

    /// The second step.
    pub fn prefetch_rows(&self, (user, torrent): (UserNumber, TorrentNumber)) {
        self.sessions[part_of(torrent.0)].lock().prefetch_row((user, torrent));
        self.sources[part_of(user.0)].lock().prefetch_row(user);
    }

    /// See [`Sessions::restore`].
    pub fn restore(
        &self,
        (user, torrent): (UserNumber, TorrentNumber),
        stored: (&Baseline, u32),
        now: Time,
        rules: &Rules,
    ) -> bool {
        self.change(torrent, |sessions| sessions.restore((user, torrent), stored, now, rules))
    }

    /// Forgets what is stale in part `number`, a slice of about `budget` for each call, as [`Sessions::sweep`] does.
    pub fn sweep(&self, number: usize, now: Time, rules: &Rules, budget: usize) -> bool {
        let number = number % PARTS;
        let sessions_done = self.change_part(number, |sessions| sessions.sweep(now, rules, budget));
        let part = &self.sources[number];
        let mut sources = part.lock();
        let sources_done = sources.sweep(now, rules, budget);
        sources.show(&part.hint);
        sessions_done && sources_done
    }

    /// After a panic: see [`Sessions::forget`].
    pub fn forget(&self, torrent: TorrentNumber) {
        self.change(torrent, |sessions| sessions.forget(torrent));
    }

    /// What it holds; locks its parts one after the other.
    pub fn held(&self) -> Held {
        let mut held = Held::default();
        for sessions in self.sessions.iter().map(Part::lock) {
            held.sessions += sessions.len();
            held.session_bytes += sessions.bytes();
        }
        held.addresses = self.sources.iter().map(|sources| sources.lock().len()).sum();
        held
    }

    fn change<R>(&self, torrent: TorrentNumber, change: impl FnOnce(&mut Sessions) -> R) -> R {
        self.change_part(part_of(torrent.0), change)
    }

    fn change_part<R>(&self, number: usize, change: impl FnOnce(&mut Sessions) -> R) -> R {
        let part = &self.sessions[number];
        let mut sessions = part.lock();
        let before = sessions.len();
        let result = change(&mut sessions);
        self.note_len(before, sessions.len());
        sessions.show(&part.hint);
        result
    }

    fn note_len(&self, before: usize, after: usize) {
        let difference = |more: usize, less: usize| u32::try_from(more - less).unwrap_or(u32::MAX);
        if after > before {
            self.len.fetch_add(difference(after, before), Ordering::Relaxed);
        } else if before > after {
            self.len.fetch_sub(difference(before, after), Ordering::Relaxed);
        }
    }
}

/// Numbers are given in order: their low bits spread them.
fn part_of(number: u32) -> usize {
    number as usize % PARTS
}

impl<T> Part<T> {
    /// A panic under the lock leaves at worst a row that is booked less: sessions of its torrent are forgotten then.
    fn lock(&self) -> MutexGuard<'_, T> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
