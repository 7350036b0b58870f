//! Bookings that wait, merged: what is added is added up, of what replaces the last counts.
//!
//! They are in parts from the announce on: the keeper takes a part as it is, and only merges where something waits already.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use foldhash::fast::RandomState;

use super::Booking;
use crate::store::{Batch, Counts, Increment, KeyUse, SessionId, SessionRow, TorrentId, UserId};

/// Announces on several threads rarely want the same part.
pub(super) const PARTS: usize = 16;

/// See the module. What is booked for a user and torrent is in one part, and what is known of a torrent or a key.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending {
    parts: [Part; PARTS],
}

/// A part of what waits.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    books: Map<(UserId, TorrentId), Waiting>,
    sessions: usize,
    counts: Map<TorrentId, Counts>,
    key_uses: Map<i64, KeyUse>,
}

/// Its keys are numbers that the books give: nobody chooses them.
type Map<K, V> = HashMap<K, V, RandomState>;

/// What waits of a user and torrent. A baseline goes with the increments that were counted up to it: one without the
/// other would be credited twice, or never.
#[derive(Clone, Debug)]
struct Waiting {
    add: Increment,
    session: SessionRow,
    /// A user has one client on a torrent, as a rule.
    others: Vec<SessionRow>,
}

/// What had no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) bookings: u64,
    pub(super) bytes: u64,
}

impl Waiting {
    fn new(booking: &Booking) -> Self {
        let SessionRow { user, torrent, .. } = booking.baseline;
        let add = Increment {
            user,
            torrent,
            uploaded: booking.uploaded,
            downloaded: booking.downloaded,
            credited: booking.credited,
            charged: booking.charged,
            seeded_secs: booking.seeded_secs,
            leeched_secs: booking.leeched_secs,
            snatched_at: booking.snatched_at,
        };
        Self { add, session: booking.baseline, others: Vec::new() }
    }

    fn sessions(&self) -> impl Iterator<Item = &SessionRow> {
        std::iter::once(&self.session).chain(&self.others)
    }

    fn knows(&self, session: SessionId) -> bool {
        self.sessions().any(|row| row.session == session)
    }

    fn add(&mut self, add: &Increment) {
        let sum = &mut self.add;
        sum.uploaded = sum.uploaded.saturating_add(add.uploaded);
        sum.downloaded = sum.downloaded.saturating_add(add.downloaded);
        sum.credited = sum.credited.saturating_add(add.credited);
        sum.charged = sum.charged.saturating_add(add.charged);
        sum.seeded_secs = sum.seeded_secs.saturating_add(add.seeded_secs);
        sum.leeched_secs = sum.leeched_secs.saturating_add(add.leeched_secs);
        sum.snatched_at = sum.snatched_at.or(add.snatched_at);
    }

    /// Puts a row in the place of an older one of its session; answers whether there was none.
    fn put(&mut self, row: &SessionRow) -> bool {
        let mut rows = std::iter::once(&mut self.session).chain(&mut self.others);
        match rows.find(|known| known.session == row.session) {
            Some(known) => *known = *row,
            None => {
                self.others.push(*row);
                return true;
            }
        }
        false
    }
}

impl Part {
    /// Adds a booking, unless it needs room that there is not.
    pub(super) fn book(&mut self, booking: &Booking, sessions_max: usize) -> bool {
        let SessionRow { user, torrent, session, .. } = booking.baseline;
        let is_full = self.sessions >= sessions_max;
        match self.books.entry((user, torrent)) {
            Entry::Vacant(_) if is_full => return false,
            Entry::Vacant(vacant) => {
                vacant.insert(Waiting::new(booking));
                self.sessions += 1;
            }
            Entry::Occupied(known) if is_full && !known.get().knows(session) => return false,
            Entry::Occupied(mut known) => {
                let waiting = known.get_mut();
                waiting.add(&Waiting::new(booking).add);
                self.sessions += usize::from(waiting.put(&booking.baseline));
            }
        }
        true
    }

    pub(super) fn count(&mut self, counts: Counts) {
        self.counts.insert(counts.torrent, counts);
    }

    pub(super) fn note_key(&mut self, key_use: KeyUse) {
        let noted = self.key_uses.entry(key_use.key).or_insert(key_use);
        noted.at_secs = noted.at_secs.max(key_use.at_secs);
    }

    /// What there is, with room in its place for as much: announces need not wait for it to grow.
    pub(super) fn take(&mut self) -> Self {
        let room = Self {
            books: Map::with_capacity_and_hasher(self.books.len(), RandomState::default()),
            counts: Map::with_capacity_and_hasher(self.counts.len(), RandomState::default()),
            ..Self::default()
        };
        std::mem::replace(self, room)
    }

    fn is_empty(&self) -> bool {
        self.books.is_empty() && self.counts.is_empty() && self.key_uses.is_empty()
    }

    /// Adds what came later.
    fn merge(&mut self, later: Self) {
        if self.is_empty() {
            *self = later;
            return;
        }
        for (key, more) in later.books {
            match self.books.entry(key) {
                Entry::Vacant(vacant) => {
                    self.sessions += vacant.insert(more).sessions().count();
                }
                Entry::Occupied(mut known) => {
                    let waiting = known.get_mut();
                    waiting.add(&more.add);
                    self.sessions += more.sessions().filter(|row| waiting.put(row)).count();
                }
            }
        }
        self.counts.extend(later.counts);
        later.key_uses.into_values().for_each(|key_use| self.note_key(key_use));
    }

    /// See [`Pending::refuse`].
    fn refuse(&self, fresh: &mut Self, room: &mut usize, refused: &mut Refused) {
        let mut kept = 0;
        fresh.books.retain(|key, waiting| {
            let sessions = waiting.sessions().count();
            let needed = if self.books.contains_key(key) { 0 } else { sessions };
            if needed > *room {
                let Increment { uploaded, downloaded, .. } = waiting.add;
                refused.bookings += sessions as u64;
                refused.bytes = refused.bytes.saturating_add(uploaded.saturating_add(downloaded));
                return false;
            }
            *room -= needed;
            kept += sessions;
            true
        });
        fresh.sessions = kept;
    }
}

impl Pending {
    /// All that has come, which leaves nothing behind.
    pub(super) fn of(parts: impl Iterator<Item = Part>) -> Self {
        let mut pending = Self::default();
        pending.parts.iter_mut().zip(parts).for_each(|(place, part)| *place = part);
        pending
    }

    /// Adds what came later.
    pub(super) fn merge(&mut self, later: Self) {
        self.parts.iter_mut().zip(later.parts).for_each(|(part, later)| part.merge(later));
    }

    /// Takes out of `fresh` what would make this hold more than it may.
    pub(super) fn refuse(&self, fresh: &mut Self, waiting_max: usize) -> Refused {
        let mut room = waiting_max.saturating_sub(self.bookings());
        let mut refused = Refused::default();
        if fresh.bookings() > room {
            for (part, fresh) in self.parts.iter().zip(&mut fresh.parts) {
                part.refuse(fresh, &mut room, &mut refused);
            }
        }
        refused
    }

    /// Bookings that wait: sessions, each with what its user and torrent share.
    pub(super) fn bookings(&self) -> usize {
        self.parts.iter().map(|part| part.sessions).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.iter().all(Part::is_empty)
    }

    /// All of it as the lists of a batch.
    pub(super) fn into_batch(self) -> Batch {
        let mut batch = Batch::default();
        batch.increments.reserve_exact(self.parts.iter().map(|part| part.books.len()).sum());
        batch.sessions.reserve_exact(self.bookings());
        for part in self.parts {
            for waiting in part.books.into_values() {
                batch.increments.push(waiting.add);
                batch.sessions.extend(waiting.sessions());
            }
            batch.counts.extend(part.counts.into_values());
            batch.key_uses.extend(part.key_uses.into_values());
        }
        batch.increments.sort_unstable_by_key(|add| (add.user, add.torrent));
        batch.sessions.sort_unstable_by_key(|row| (row.user, row.torrent, row.session));
        batch.counts.sort_unstable_by_key(|counts| counts.torrent);
        batch.key_uses.sort_unstable_by_key(|key_use| key_use.key);
        batch
    }

    /// What a batch holds, which was made of such a thing: there are sessions to each of its increments.
    pub(super) fn from_batch(batch: &Batch) -> Self {
        let mut pending = Self::default();
        let mut sessions = batch.sessions.iter().peekable();
        for add in &batch.increments {
            let key = (add.user, add.torrent);
            let mut own = std::iter::from_fn(|| sessions.next_if(|row| (row.user, row.torrent) == key));
            let Some(session) = own.next().copied() else { continue };
            let waiting = Waiting { add: *add, session, others: own.copied().collect() };
            let part = &mut pending.parts[part_of(add.user.0)];
            part.sessions += waiting.sessions().count();
            part.books.insert(key, waiting);
        }
        for counts in &batch.counts {
            pending.parts[part_of(counts.torrent.0)].count(*counts);
        }
        for key_use in &batch.key_uses {
            pending.parts[part_of(key_use.key)].note_key(*key_use);
        }
        pending
    }

    /// The part that a booking is in, for tests that have no threads.
    #[cfg(test)]
    pub(super) fn part(&mut self, booking: &Booking) -> &mut Part {
        &mut self.parts[part_of(booking.baseline.user.0)]
    }
}

/// The part of a user's bookings, of a torrent's counts or of the use of a key.
pub(super) fn part_of(number: i64) -> usize {
    usize::try_from(number.unsigned_abs()).unwrap_or(0) % PARTS
}
