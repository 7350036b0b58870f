//! Bookings that wait, merged: what is added is added up, of what replaces the last counts.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::Booking;
use crate::store::{Batch, Counts, Increment, KeyUse, SessionId, SessionRow, TorrentId, UserId};

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending {
    increments: HashMap<(UserId, TorrentId), Increment>,
    sessions: HashMap<(UserId, TorrentId, SessionId), SessionRow>,
    counts: HashMap<TorrentId, Counts>,
    key_uses: HashMap<i64, KeyUse>,
}

/// What had no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) bookings: u64,
    pub(super) bytes: u64,
}

impl Pending {
    /// Adds a booking, unless it needs room that there is not.
    pub(super) fn book(&mut self, booking: &Booking, waiting_max: usize) -> bool {
        let SessionRow { user, torrent, session, .. } = booking.baseline;
        let is_full = self.bookings() >= waiting_max;
        if is_full && !self.sessions.contains_key(&(user, torrent, session)) {
            return false;
        }
        self.sessions.insert((user, torrent, session), booking.baseline);
        self.add(Increment {
            user,
            torrent,
            uploaded: booking.uploaded,
            downloaded: booking.downloaded,
            credited: booking.credited,
            charged: booking.charged,
            seeded_secs: booking.seeded_secs,
            leeched_secs: booking.leeched_secs,
            snatched_at: booking.snatched_at,
        });
        true
    }

    pub(super) fn count(&mut self, counts: Counts) {
        self.counts.insert(counts.torrent, counts);
    }

    pub(super) fn note_key(&mut self, key_use: KeyUse) {
        let noted = self.key_uses.entry(key_use.key).or_insert(key_use);
        noted.at_secs = noted.at_secs.max(key_use.at_secs);
    }

    fn add(&mut self, add: Increment) {
        match self.increments.entry((add.user, add.torrent)) {
            Entry::Vacant(vacant) => {
                vacant.insert(add);
            }
            Entry::Occupied(mut occupied) => {
                let sum = occupied.get_mut();
                sum.uploaded = sum.uploaded.saturating_add(add.uploaded);
                sum.downloaded = sum.downloaded.saturating_add(add.downloaded);
                sum.credited = sum.credited.saturating_add(add.credited);
                sum.charged = sum.charged.saturating_add(add.charged);
                sum.seeded_secs = sum.seeded_secs.saturating_add(add.seeded_secs);
                sum.leeched_secs = sum.leeched_secs.saturating_add(add.leeched_secs);
                sum.snatched_at = sum.snatched_at.or(add.snatched_at);
            }
        }
    }

    /// Adds what came later.
    pub(super) fn merge(&mut self, later: Self) {
        if self.is_empty() {
            *self = later;
            return;
        }
        later.increments.into_values().for_each(|add| self.add(add));
        self.sessions.extend(later.sessions);
        self.counts.extend(later.counts);
        later.key_uses.into_values().for_each(|key_use| self.note_key(key_use));
    }

    /// Takes out of `fresh` what would make this hold more than it may. A baseline goes with the increments that were
    /// counted up to it: one without the other would be credited twice, or never.
    pub(super) fn refuse(&self, fresh: &mut Self, waiting_max: usize) -> Refused {
        let mut room = waiting_max.saturating_sub(self.bookings());
        let mut refused = Refused::default();
        let is_known = |user, torrent| self.increments.contains_key(&(user, torrent));
        let unknown = fresh.sessions.keys().filter(|(user, torrent, _)| !is_known(*user, *torrent)).count();
        if unknown <= room {
            return refused;
        }
        let mut sessions_of: HashMap<(UserId, TorrentId), usize> = HashMap::new();
        for (user, torrent, _) in fresh.sessions.keys() {
            *sessions_of.entry((*user, *torrent)).or_default() += 1;
        }
        fresh.increments.retain(|key, add| {
            let sessions = sessions_of.get(key).copied().unwrap_or(0);
            if self.increments.contains_key(key) {
                return true;
            }
            if sessions <= room {
                room -= sessions;
                return true;
            }
            refused.bookings += sessions as u64;
            refused.bytes = refused.bytes.saturating_add(add.uploaded.saturating_add(add.downloaded));
            false
        });
        let kept = &fresh.increments;
        fresh.sessions.retain(|(user, torrent, _), _| kept.contains_key(&(*user, *torrent)));
        refused
    }

    /// Bookings that wait: sessions, each with what its user and torrent share.
    pub(super) fn bookings(&self) -> usize {
        self.sessions.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.increments.is_empty()
            && self.sessions.is_empty()
            && self.counts.is_empty()
            && self.key_uses.is_empty()
    }

    /// All of it as the lists of a batch.
    pub(super) fn into_batch(self) -> Batch {
        let mut batch = Batch {
            increments: self.increments.into_values().collect(),
            sessions: self.sessions.into_values().collect(),
            counts: self.counts.into_values().collect(),
            key_uses: self.key_uses.into_values().collect(),
            ..Batch::default()
        };
        batch.increments.sort_unstable_by_key(|add| (add.user, add.torrent));
        batch.sessions.sort_unstable_by_key(|row| (row.user, row.torrent, row.session));
        batch.counts.sort_unstable_by_key(|counts| counts.torrent);
        batch.key_uses.sort_unstable_by_key(|key_use| key_use.key);
        batch
    }

    /// Adds a batch that came later.
    pub(super) fn merge_batch(&mut self, later: Batch) {
        later.increments.into_iter().for_each(|add| self.add(add));
        self.sessions
            .extend(later.sessions.into_iter().map(|row| ((row.user, row.torrent, row.session), row)));
        self.counts.extend(later.counts.into_iter().map(|counts| (counts.torrent, counts)));
        later.key_uses.into_iter().for_each(|key_use| self.note_key(key_use));
    }
}
