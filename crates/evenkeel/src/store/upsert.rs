//! A batch as rows to be put into tables: the same rows and nearly the same words for every database.

use std::collections::{BTreeMap, BTreeSet};

use super::columns::stored;
use super::flush::{Batch, Totals};

/// What becomes of a column whose row is there already.
#[derive(Clone, Copy, Debug)]
pub(super) enum Put {
    /// The row is found by it.
    Key,
    /// The new value is added, up to the largest there is.
    Add,
    /// The new value replaces the old one.
    Set,
    /// The larger one stays.
    Max,
    /// The old one stays.
    Keep,
    /// The old one stays unless there was none.
    First,
    /// The new one replaces the old one, if there is one.
    Last,
}

use Put::{Add, First, Keep, Key, Last, Max, Set};

/// A table that a flush writes to, all of whose columns are 64-bit integers.
#[derive(Debug)]
pub(super) struct Upsert {
    pub(super) table: &'static str,
    pub(super) columns: &'static [(&'static str, Put)],
}

pub(super) static BOOKS: Upsert = Upsert {
    table: "books",
    columns: &[
        ("user_id", Key),
        ("torrent_id", Key),
        ("uploaded", Add),
        ("downloaded", Add),
        ("credited", Add),
        ("charged", Add),
        ("seeded_secs", Add),
        ("leeched_secs", Add),
        ("snatched_at", First),
        ("first_at", Keep),
        ("last_at", Max),
    ],
};

pub(super) static USER_TOTALS: Upsert = Upsert {
    table: "user_totals",
    columns: &[
        ("user_id", Key),
        ("uploaded", Add),
        ("downloaded", Add),
        ("credited", Add),
        ("charged", Add),
        ("seeded_secs", Add),
        ("leeched_secs", Add),
        ("snatches", Add),
    ],
};

pub(super) static SESSIONS: Upsert = Upsert {
    table: "sessions",
    columns: &[
        ("user_id", Key),
        ("torrent_id", Key),
        ("session", Key),
        ("uploaded", Set),
        ("downloaded", Set),
        ("lacking", Set),
        ("run", Set),
        ("seen_at", Set),
        ("is_stopped", Set),
    ],
};

pub(super) static COUNTS: Upsert = Upsert {
    table: "torrent_stats",
    columns: &[
        ("torrent_id", Key),
        ("seeders", Set),
        ("leechers", Set),
        ("partial", Set),
        ("completed", Add),
        ("uploaded", Add),
        ("downloaded", Add),
        ("seed_seen_at", Last),
    ],
};

/// What was done, without a word on who is there.
pub(super) static TRAFFIC: Upsert = Upsert {
    table: "torrent_stats",
    columns: &[
        ("torrent_id", Key),
        ("seeders", Keep),
        ("leechers", Keep),
        ("partial", Keep),
        ("completed", Add),
        ("uploaded", Add),
        ("downloaded", Add),
    ],
};

pub(super) static HOURS: Upsert = Upsert { table: "torrent_hours", columns: SPAN };
pub(super) static DAYS: Upsert = Upsert { table: "torrent_days", columns: SPAN };

const SPAN: &[(&str, Put)] = &[
    ("torrent_id", Key),
    ("from_secs", Key),
    ("seeders", Max),
    ("leechers", Max),
    ("partial", Max),
    ("completed", Add),
    ("uploaded", Add),
    ("downloaded", Add),
];

impl Upsert {
    /// The statement; `source` is `VALUES` or `SELECT` with a value for each column.
    pub(super) fn statement(&self, source: &str) -> String {
        let (mut keys, mut sets) = (Vec::new(), Vec::new());
        for (name, put) in self.columns {
            let old = format!("{}.{name}", self.table);
            let value = match put {
                Key => {
                    keys.push(*name);
                    continue;
                }
                Keep => continue,
                Add => {
                    let max = i64::MAX;
                    format!(
                        "CASE WHEN {old} > {max} - excluded.{name} THEN {max} ELSE {old} + excluded.{name} END"
                    )
                }
                Set => format!("excluded.{name}"),
                Max => format!("CASE WHEN {old} > excluded.{name} THEN {old} ELSE excluded.{name} END"),
                First => format!("coalesce({old}, excluded.{name})"),
                Last => format!("coalesce(excluded.{name}, {old})"),
            };
            sets.push(format!("{name} = {value}"));
        }
        let columns: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        format!(
            "INSERT INTO {} ({}) {source} ON CONFLICT ({}) DO UPDATE SET {}",
            self.table,
            columns.join(", "),
            keys.join(", "),
            sets.join(", ")
        )
    }

    /// How many columns there are.
    pub(super) fn width(&self) -> usize {
        self.columns.len()
    }
}

/// Rows for a table, in the order of its key, each key once.
pub(super) struct Rows {
    pub(super) upsert: &'static Upsert,
    /// Row after row.
    pub(super) values: Vec<Option<i64>>,
}

impl Rows {
    pub(super) fn new(upsert: &'static Upsert) -> Self {
        Self { upsert, values: Vec::new() }
    }

    pub(super) fn push(&mut self, row: &[Option<i64>]) {
        debug_assert_eq!(row.len(), self.upsert.width());
        self.values.extend_from_slice(row);
    }

    /// One after the other.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[Option<i64>]> {
        self.values.chunks_exact(self.upsert.width())
    }

    /// Column after column.
    pub(super) fn columns(&self) -> Vec<Vec<Option<i64>>> {
        let width = self.upsert.width();
        (0..width).map(|at| self.values.iter().skip(at).step_by(width).copied().collect()).collect()
    }
}

/// What a store has to say before a batch can be booked.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Users that are no more: nothing is booked for them.
    pub(super) gone: BTreeSet<i64>,
    /// Users and torrents of the batch whose snatch is on the books.
    pub(super) snatched: BTreeSet<(i64, i64)>,
}

#[derive(Default)]
struct Traffic {
    completed: u64,
    uploaded: u64,
    downloaded: u64,
}

const HOUR_SECS: i64 = 3600;

impl Batch {
    /// Every user of the batch, each once.
    pub(super) fn users(&self) -> Vec<i64> {
        let sessions = self.sessions.iter().map(|session| session.user.0);
        let users: BTreeSet<i64> = self.increments.iter().map(|add| add.user.0).chain(sessions).collect();
        users.into_iter().collect()
    }

    /// Users and torrents that the batch says are snatched.
    pub(super) fn snatches(&self) -> impl Iterator<Item = (i64, i64)> {
        let snatches = self.increments.iter().filter(|add| add.snatched_at.is_some());
        snatches.map(|add| (add.user.0, add.torrent.0))
    }

    /// The rows to be put, table after table.
    pub(super) fn upserts(&self, known: &Known) -> Vec<Rows> {
        let (mut books, mut sessions) = (Rows::new(&BOOKS), Rows::new(&SESSIONS));
        let mut users: BTreeMap<i64, Totals> = BTreeMap::new();
        let mut torrents: BTreeMap<i64, Traffic> = BTreeMap::new();
        for add in self.increments.iter().filter(|add| !known.gone.contains(&add.user.0)) {
            let (user, torrent) = (add.user.0, add.torrent.0);
            let snatches = u64::from(add.snatched_at.is_some() && !known.snatched.contains(&(user, torrent)));
            let amounts =
                [add.uploaded, add.downloaded, add.credited, add.charged, add.seeded_secs, add.leeched_secs];
            let mut row = vec![Some(user), Some(torrent)];
            row.extend(amounts.map(|amount| Some(stored(amount))));
            row.extend([add.snatched_at, Some(self.at_secs), Some(self.at_secs)]);
            books.push(&row);
            users.entry(user).or_default().add(amounts, snatches);
            let traffic = torrents.entry(torrent).or_default();
            traffic.completed += snatches;
            traffic.uploaded = traffic.uploaded.saturating_add(add.uploaded);
            traffic.downloaded = traffic.downloaded.saturating_add(add.downloaded);
        }
        for session in self.sessions.iter().filter(|session| !known.gone.contains(&session.user.0)) {
            sessions.push(&[
                Some(session.user.0),
                Some(session.torrent.0),
                Some(session.session.0.cast_signed()),
                Some(stored(session.uploaded)),
                Some(stored(session.downloaded)),
                session.left.map(stored),
                Some(session.run.into()),
                Some(session.seen_at),
                Some(session.is_stopped.into()),
            ]);
        }
        let mut totals = Rows::new(&USER_TOTALS);
        for (user, sum) in users {
            let mut row = vec![Some(user)];
            let amounts = [sum.uploaded, sum.downloaded, sum.credited, sum.charged];
            row.extend(amounts.map(|amount| Some(stored(amount))));
            row.extend([sum.seeded_secs, sum.leeched_secs, sum.snatches].map(|sum| Some(stored(sum))));
            totals.push(&row);
        }
        let mut rows = vec![books, totals, sessions];
        rows.extend(self.torrent_rows(&torrents));
        rows.retain(|rows| !rows.values.is_empty());
        rows
    }

    fn torrent_rows(&self, torrents: &BTreeMap<i64, Traffic>) -> [Rows; 4] {
        let (mut counts, mut counts_of_hour) = (Rows::new(&COUNTS), Rows::new(&HOURS));
        let (mut traffic, mut traffic_of_hour) = (Rows::new(&TRAFFIC), Rows::new(&HOURS));
        let hour = self.at_secs - self.at_secs.rem_euclid(HOUR_SECS);
        for count in &self.counts {
            let torrent = Some(count.torrent.0);
            let [seeders, leechers, partial] =
                [count.seeders, count.leechers, count.partial].map(|count| Some(i64::from(count)));
            let seed_seen_at = (count.seeders > 0).then_some(self.at_secs);
            let nothing = Some(0);
            counts.push(&[torrent, seeders, leechers, partial, nothing, nothing, nothing, seed_seen_at]);
            counts_of_hour.push(&[
                torrent,
                Some(hour),
                seeders,
                leechers,
                partial,
                nothing,
                nothing,
                nothing,
            ]);
        }
        for (torrent, sum) in torrents {
            let nobody = [Some(0); 3];
            let done = [sum.completed, sum.uploaded, sum.downloaded].map(|amount| Some(stored(amount)));
            traffic.push(&[&[Some(*torrent)][..], &nobody, &done].concat());
            traffic_of_hour.push(&[&[Some(*torrent), Some(hour)][..], &nobody, &done].concat());
        }
        [counts, traffic, counts_of_hour, traffic_of_hour]
    }
}

impl Totals {
    fn add(&mut self, amounts: [u64; 6], snatches: u64) {
        let sums = [
            &mut self.uploaded,
            &mut self.downloaded,
            &mut self.credited,
            &mut self.charged,
            &mut self.seeded_secs,
            &mut self.leeched_secs,
            &mut self.snatches,
        ];
        let added = amounts.into_iter().chain([snatches]);
        for (sum, amount) in sums.into_iter().zip(added) {
            *sum = sum.saturating_add(amount);
        }
    }
}
