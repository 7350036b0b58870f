//! Bookings that wait, merged: what is added is added up, of what replaces the last counts.
//!
//! An announce writes to the end of a list, and looks at no memory that the caches do not have. Once a second the keeper
//! takes these lists, sorts them and merges them into one that names each session once. It needs that order anyway: a
//! batch is sorted.

use std::collections::HashMap;

use evenkeel_core::prefetch;

use super::Booking;
use crate::store::{Batch, Counts, Increment, KeyUse, SessionId, SessionRow, TorrentId, UserId};

/// Announces on several threads rarely want the same part.
pub(super) const PARTS: usize = 16;

/// Counts of torrents that a part may hold before those that are out of date are thrown away.
const COUNTS_MAX: usize = 16_384;

/// A part of what has come since the keeper looked: what is booked for a user, or is known of a torrent or a key.
#[derive(Debug)]
pub(super) struct Part {
    /// As they came, or merged if it is full.
    bookings: Vec<Booking>,
    /// It has as many sessions as it may.
    is_full: bool,
    /// As they came.
    counts: Vec<Counts>,
    /// So long that list may become until it is merged.
    counts_max: usize,
    key_uses: HashMap<i64, KeyUse>,
}

/// See the module. Each list is sorted, and names nothing twice.
#[derive(Debug, Default)]
pub(super) struct Pending {
    bookings: Vec<Booking>,
    counts: Vec<Counts>,
    key_uses: Vec<KeyUse>,
}

/// What had no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) bookings: u64,
    pub(super) bytes: u64,
}

impl Booking {
    fn session(&self) -> (UserId, TorrentId, SessionId) {
        (self.baseline.user, self.baseline.torrent, self.baseline.session)
    }

    /// Adds what came later of the same session.
    fn merge(&mut self, later: &Self) {
        add(&mut self.add, &later.add);
        self.baseline = later.baseline;
    }
}

impl Default for Part {
    fn default() -> Self {
        Self {
            bookings: Vec::new(),
            is_full: false,
            counts: Vec::new(),
            counts_max: COUNTS_MAX,
            key_uses: HashMap::new(),
        }
    }
}

impl Part {
    /// Adds a booking, unless it needs room that there is not. Lists may be twice as long as they may have sessions, so
    /// that merging them is rare.
    pub(super) fn book(&mut self, booking: &Booking, sessions_max: usize) -> bool {
        if self.bookings.len() >= sessions_max.saturating_mul(2) && !self.is_full {
            self.bookings = in_order(self.bookings.iter());
            self.is_full = self.bookings.len() >= sessions_max;
        }
        if !self.is_full {
            self.bookings.push(*booking);
            // Whoever comes next writes behind it.
            prefetch::value(self.bookings.as_ptr_range().end);
            return true;
        }
        let known = find(&self.bookings, booking);
        if let Some(at) = known {
            self.bookings[at].merge(booking);
        }
        known.is_some()
    }

    pub(super) fn count(&mut self, counts: Counts) {
        if self.counts.len() >= self.counts_max {
            self.counts = counts_in_order(std::mem::take(&mut self.counts));
            self.counts_max = COUNTS_MAX.max(2 * self.counts.len());
        }
        self.counts.push(counts);
    }

    pub(super) fn note_key(&mut self, key_use: KeyUse) {
        last_use(self.key_uses.entry(key_use.key).or_insert(key_use), &key_use);
    }

    /// Forgets everything, and keeps the room for about as much.
    fn clear(&mut self) {
        fn clear<T>(list: &mut Vec<T>) {
            let used = list.len();
            list.clear();
            list.shrink_to(used * 4);
        }
        clear(&mut self.bookings);
        clear(&mut self.counts);
        self.key_uses.clear();
        (self.is_full, self.counts_max) = (false, COUNTS_MAX);
    }
}

impl Pending {
    /// All that has come; the parts are empty afterwards.
    pub(super) fn of(parts: &mut [Part]) -> Self {
        let key_uses = parts.iter().flat_map(|part| part.key_uses.values().copied());
        let mut pending = Self {
            bookings: in_order(parts.iter().flat_map(|part| &part.bookings)),
            counts: counts_in_order(parts.iter().flat_map(|part| &part.counts).copied().collect()),
            key_uses: key_uses.collect(),
        };
        pending.key_uses.sort_unstable_by_key(|key_use| key_use.key);
        parts.iter_mut().for_each(Part::clear);
        pending
    }

    /// Adds what came later.
    pub(super) fn merge(&mut self, later: Self) {
        merge(&mut self.bookings, later.bookings, Booking::session, Booking::merge);
        merge(&mut self.counts, later.counts, |counts| counts.torrent, last_counts);
        merge(&mut self.key_uses, later.key_uses, |key_use| key_use.key, last_use);
    }

    /// Takes out of `fresh` what would make this hold more than it may.
    pub(super) fn refuse(&self, fresh: &mut Self, waiting_max: usize) -> Refused {
        let mut room = waiting_max.saturating_sub(self.bookings());
        let mut refused = Refused::default();
        if fresh.bookings() > room {
            fresh.bookings.retain(|booking| {
                let is_known = find(&self.bookings, booking).is_some();
                if !is_known && room == 0 {
                    let Increment { uploaded, downloaded, .. } = booking.add;
                    refused.bookings += 1;
                    refused.bytes = refused.bytes.saturating_add(uploaded.saturating_add(downloaded));
                    return false;
                }
                room -= usize::from(!is_known);
                true
            });
        }
        refused
    }

    /// Bookings that wait: one for each session.
    pub(super) fn bookings(&self) -> usize {
        self.bookings.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bookings.is_empty() && self.counts.is_empty() && self.key_uses.is_empty()
    }

    /// All of it as the lists of a batch.
    pub(super) fn batch(&self) -> Batch {
        let mut increments: Vec<Increment> = Vec::with_capacity(self.bookings.len());
        for Booking { add: more, .. } in &self.bookings {
            match increments.last_mut() {
                Some(sum) if (sum.user, sum.torrent) == (more.user, more.torrent) => add(sum, more),
                _ => increments.push(*more),
            }
        }
        Batch {
            increments,
            sessions: self.bookings.iter().map(|booking| booking.baseline).collect(),
            counts: self.counts.clone(),
            key_uses: self.key_uses.clone(),
            ..Batch::default()
        }
    }

    /// What a batch holds, which was made of such a thing: there are sessions to each of its increments. What they share is
    /// the first one's.
    pub(super) fn from_batch(batch: &Batch) -> Self {
        let mut increments = batch.increments.iter().peekable();
        let booking = |baseline: &SessionRow| {
            let SessionRow { user, torrent, .. } = *baseline;
            let own = increments.next_if(|add| (add.user, add.torrent) == (user, torrent));
            let add = own.copied().unwrap_or_else(|| nothing(user, torrent));
            Booking { add, baseline: *baseline }
        };
        Self {
            bookings: batch.sessions.iter().map(booking).collect(),
            counts: batch.counts.clone(),
            key_uses: batch.key_uses.clone(),
        }
    }
}

/// The part of a user's bookings, of a torrent's counts or of the use of a key.
pub(super) fn part_of(number: i64) -> usize {
    usize::try_from(number.unsigned_abs()).unwrap_or(0) % PARTS
}

/// Where the session of a booking is in a list in order.
fn find(bookings: &[Booking], booking: &Booking) -> Option<usize> {
    bookings.binary_search_by_key(&booking.session(), Booking::session).ok()
}

/// Bookings as they came, sorted and merged. What is sorted is where each of them is: they are large.
fn in_order<'a>(bookings: impl Iterator<Item = &'a Booking>) -> Vec<Booking> {
    /// So many are fetched from memory while one is copied.
    const AHEAD: usize = 8;
    let mut order: Vec<_> = bookings.map(|booking| (booking.session(), booking)).collect();
    // Those of one session came in the order in which they are in the list of their part.
    order.sort_unstable_by_key(|(session, booking)| (*session, std::ptr::from_ref::<Booking>(booking)));
    let mut merged = Vec::with_capacity(order.len());
    for (at, (_, booking)) in order.iter().enumerate() {
        if let Some((_, soon)) = order.get(at + AHEAD) {
            prefetch::value(*soon);
        }
        put(&mut merged, **booking, Booking::session, Booking::merge);
    }
    merged
}

/// Adds to a list in order what came later and is in order, too.
fn merge<T, K: Ord>(known: &mut Vec<T>, later: Vec<T>, key_of: impl Fn(&T) -> K, add: impl Fn(&mut T, &T)) {
    if known.is_empty() {
        *known = later;
        return;
    }
    let mut merged = Vec::with_capacity(known.len() + later.len());
    let (mut known_rows, mut later) =
        (std::mem::take(known).into_iter().peekable(), later.into_iter().peekable());
    loop {
        let comes_later = match (known_rows.peek(), later.peek()) {
            (Some(known), Some(later)) => key_of(later) < key_of(known),
            (known, _) => known.is_none(),
        };
        let next = if comes_later { later.next() } else { known_rows.next() };
        let Some(next) = next else { break };
        put(&mut merged, next, &key_of, &add);
    }
    *known = merged;
}

/// Puts an element at the end of a list, or adds it to the last one if that has the same key.
fn put<T, K: Eq>(list: &mut Vec<T>, next: T, key_of: impl Fn(&T) -> K, add: impl Fn(&mut T, &T)) {
    match list.last_mut() {
        Some(last) if key_of(last) == key_of(&next) => add(last, &next),
        _ => list.push(next),
    }
}

fn nothing(user: UserId, torrent: TorrentId) -> Increment {
    Increment {
        user,
        torrent,
        uploaded: 0,
        downloaded: 0,
        credited: 0,
        charged: 0,
        seeded_secs: 0,
        leeched_secs: 0,
        snatched_at: None,
    }
}

fn add(sum: &mut Increment, more: &Increment) {
    sum.uploaded = sum.uploaded.saturating_add(more.uploaded);
    sum.downloaded = sum.downloaded.saturating_add(more.downloaded);
    sum.credited = sum.credited.saturating_add(more.credited);
    sum.charged = sum.charged.saturating_add(more.charged);
    sum.seeded_secs = sum.seeded_secs.saturating_add(more.seeded_secs);
    sum.leeched_secs = sum.leeched_secs.saturating_add(more.leeched_secs);
    sum.snatched_at = sum.snatched_at.or(more.snatched_at);
}

/// Counts as they came, sorted; the last ones of each torrent.
fn counts_in_order(mut counts: Vec<Counts>) -> Vec<Counts> {
    // A sort that keeps the order of what is equal.
    counts.sort_by_key(|counts| counts.torrent);
    let mut last = Vec::with_capacity(counts.len());
    counts.iter().for_each(|counts| put(&mut last, *counts, |counts| counts.torrent, last_counts));
    last
}

fn last_counts(known: &mut Counts, later: &Counts) {
    *known = *later;
}

fn last_use(known: &mut KeyUse, later: &KeyUse) {
    known.at_secs = known.at_secs.max(later.at_secs);
}
