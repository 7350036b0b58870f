//! Reading the books back: the same words for every database.

use std::collections::BTreeMap;

use super::columns::amount;
use super::flush::{Book, Counts, Hour, TorrentId, TorrentStats, Totals};
use super::{HOURS_SECS, SILENT_SESSION_SECS, STOPPED_SESSION_SECS, Span, UNUSED_KEY_SECS};

pub(super) const BOOK: &str = "SELECT uploaded, downloaded, credited, charged, seeded_secs, leeched_secs, snatched_at, first_at, last_at
     FROM books WHERE user_id = $1 AND torrent_id = $2";
pub(super) const STATS: &str =
    "SELECT seeders, leechers, partial, completed, uploaded, downloaded, seed_seen_at
     FROM torrent_stats WHERE torrent_id = $1";

const OF_HOURS: &str = "SELECT from_secs, seeders, leechers, partial, completed, uploaded, downloaded
     FROM torrent_hours WHERE torrent_id = $1 ORDER BY from_secs";
const OF_DAYS: &str = "SELECT from_secs, seeders, leechers, partial, completed, uploaded, downloaded
     FROM torrent_days WHERE torrent_id = $1 ORDER BY from_secs";
const ANSWER_MAX: usize = 1000;

/// What is older is forgotten.
pub(super) struct Bounds {
    pub(super) stopped: i64,
    pub(super) silent: i64,
    pub(super) hours: i64,
    pub(super) keys: i64,
}

impl Bounds {
    pub(super) fn at(now_secs: i64) -> Self {
        Self {
            stopped: now_secs.saturating_sub(STOPPED_SESSION_SECS),
            silent: now_secs.saturating_sub(SILENT_SESSION_SECS),
            // Of whole days: one that is a day already gets no hour more.
            hours: day_of(now_secs.saturating_sub(HOURS_SECS)),
            keys: now_secs.saturating_sub(UNUSED_KEY_SECS),
        }
    }
}

/// The beginning of a day.
pub(super) fn day_of(secs: i64) -> i64 {
    secs - secs.rem_euclid(24 * 3600)
}

/// What is to be read for a history. The hours of the last weeks are not in the days yet.
pub(super) fn selects(span: Span) -> &'static [&'static str] {
    match span {
        Span::Hours => &[OF_HOURS],
        Span::Days => &[OF_DAYS, OF_HOURS],
    }
}

/// Puts hours together to what was asked for.
pub(super) fn merge(hours: Vec<Hour>, span: Span) -> Vec<Hour> {
    let mut merged: BTreeMap<i64, Hour> = BTreeMap::new();
    for hour in hours {
        let from_secs = if span == Span::Days { day_of(hour.from_secs) } else { hour.from_secs };
        let sum = merged.entry(from_secs).or_insert(Hour {
            from_secs,
            seeders: 0,
            leechers: 0,
            partial: 0,
            completed: 0,
            uploaded: 0,
            downloaded: 0,
        });
        sum.seeders = sum.seeders.max(hour.seeders);
        sum.leechers = sum.leechers.max(hour.leechers);
        sum.partial = sum.partial.max(hour.partial);
        sum.completed = sum.completed.saturating_add(hour.completed);
        sum.uploaded = sum.uploaded.saturating_add(hour.uploaded);
        sum.downloaded = sum.downloaded.saturating_add(hour.downloaded);
    }
    let skipped = merged.len().saturating_sub(ANSWER_MAX);
    merged.into_values().skip(skipped).collect()
}

/// The numbers of a row, in the order of the statements above.
struct Numbers<'a>(std::slice::Iter<'a, Option<i64>>);

impl Numbers<'_> {
    fn maybe(&mut self) -> Option<i64> {
        self.0.next().copied().flatten()
    }

    fn secs(&mut self) -> i64 {
        self.maybe().unwrap_or(0)
    }

    fn amount(&mut self) -> u64 {
        amount(self.secs())
    }

    fn count(&mut self) -> u32 {
        u32::try_from(self.amount()).unwrap_or(u32::MAX)
    }
}

pub(super) fn totals(row: &[Option<i64>]) -> Totals {
    let mut numbers = Numbers(row.iter());
    Totals {
        uploaded: numbers.amount(),
        downloaded: numbers.amount(),
        credited: numbers.amount(),
        charged: numbers.amount(),
        seeded_secs: numbers.amount(),
        leeched_secs: numbers.amount(),
        snatches: numbers.amount(),
    }
}

pub(super) fn book(row: &[Option<i64>]) -> Book {
    let mut numbers = Numbers(row.iter());
    Book {
        uploaded: numbers.amount(),
        downloaded: numbers.amount(),
        credited: numbers.amount(),
        charged: numbers.amount(),
        seeded_secs: numbers.amount(),
        leeched_secs: numbers.amount(),
        snatched_at: numbers.maybe(),
        first_at: numbers.secs(),
        last_at: numbers.secs(),
    }
}

pub(super) fn stats(torrent: TorrentId, row: &[Option<i64>]) -> TorrentStats {
    let mut numbers = Numbers(row.iter());
    TorrentStats {
        counts: Counts {
            torrent,
            seeders: numbers.count(),
            leechers: numbers.count(),
            partial: numbers.count(),
        },
        completed: numbers.amount(),
        uploaded: numbers.amount(),
        downloaded: numbers.amount(),
        seed_seen_at: numbers.maybe(),
    }
}

pub(super) fn hour(row: &[Option<i64>]) -> Hour {
    let mut numbers = Numbers(row.iter());
    Hour {
        from_secs: numbers.secs(),
        seeders: numbers.amount(),
        leechers: numbers.amount(),
        partial: numbers.amount(),
        completed: numbers.amount(),
        uploaded: numbers.amount(),
        downloaded: numbers.amount(),
    }
}
