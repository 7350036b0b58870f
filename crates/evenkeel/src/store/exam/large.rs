//! Many rows at once. Small here; `just prove-flush` asks for a hundred thousand bookings through `EVENKEEL_FLUSH_BOOKINGS`,
//! and gets lines of a table in the file that `EVENKEEL_FLUSH_REPORT` names.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use super::*;

/// The database's own CPU time for a flush of a hundred thousand bookings, at most.
const CPU_MAX: Duration = Duration::from_secs(3);
/// Users and torrents are as many as that part of the bookings: each user has ten torrents in a flush.
const EACH: i64 = 10;
/// Flushes that the tables hold before anything is measured.
const EARLIER: u64 = 5;

/// Bookings of a flush.
fn bookings() -> i64 {
    std::env::var("EVENKEEL_FLUSH_BOOKINGS").map_or(10_000, |bookings| bookings.parse().unwrap())
}

/// A flush of all users, each on torrents of its own; `of` says which by the user and a number.
fn flush(sequence: u64, users: &[i64], of: impl Fn(usize, i64) -> i64) -> Batch {
    let torrents = bookings() / EACH;
    let mut pairs: Vec<(UserId, TorrentId)> = Vec::new();
    for (at, user) in users.iter().enumerate() {
        pairs.extend((0..EACH).map(|number| (UserId(*user), TorrentId(of(at, number) % torrents + 1))));
    }
    pairs.sort_unstable();
    let counts = |torrent| Counts { torrent: TorrentId(torrent), seeders: 7, leechers: 3, partial: 0 };
    Batch {
        increments: pairs.iter().map(|(user, torrent)| increment(*user, *torrent, 1 << 20)).collect(),
        sessions: pairs.iter().map(|(user, torrent)| session(*user, *torrent, 1)).collect(),
        counts: (1..=torrents).map(counts).collect(),
        ..batch(sequence)
    }
}

/// Which torrent a user had as its `number`th in an earlier flush; no two are the same.
fn place(flush: u64, user: usize, number: i64) -> i64 {
    i64::try_from(user).unwrap() * 7 + number * 13 + i64::try_from(flush).unwrap() * 101
}

fn a_large_flush_is_cheap(store: &mut dyn Store, database: &str, cpu: impl Fn() -> Duration) {
    let users = bookings() / EACH;
    let users: Vec<Edit> = (0..users).map(|number| Edit::User(user(&format!("user {number}")))).collect();
    let users = store.edit(&users).unwrap();
    for sequence in 1..=EARLIER {
        let earlier = flush(sequence, &users, |user, number| place(sequence, user, number));
        store.apply(&earlier).unwrap();
    }
    let new = flush(6, &users, |user, number| place(6, user, number));
    // Some of each earlier flush, all over the tables.
    let changed = flush(7, &users, |user, number| place(1 + number.unsigned_abs() % EARLIER, user, number));
    for (what, batch) in [("new", &new), ("changed", &changed)] {
        let (began, before) = (Instant::now(), cpu());
        store.apply(batch).unwrap();
        let (took, used) = (began.elapsed(), cpu().saturating_sub(before));
        let line = format!(
            "| {database} | {} {what} | {:.2} s | {:.1} us | {:.2} s |",
            batch.sessions.len(),
            used.as_secs_f64(),
            used.as_secs_f64() * 1e6 / batch.sessions.len() as f64,
            took.as_secs_f64(),
        );
        println!("{line}");
        if let Some(path) = std::env::var_os("EVENKEEL_FLUSH_REPORT") {
            let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
            writeln!(file, "{line}").unwrap();
        }
        assert!(used < CPU_MAX, "{line}");
    }
    // What was changed was there.
    let booked = usize::try_from(EARLIER + 1).unwrap() * new.sessions.len();
    assert_eq!(sessions(store).len(), booked);
    let totals = store.totals(UserId(users[0])).unwrap();
    assert_eq!(totals.uploaded, ((EARLIER + 2) * EACH.unsigned_abs()) << 20);
}

/// What a thread has run, as `/proc` counts it: to the nanosecond.
fn ran(schedstat: &Path) -> Option<Duration> {
    let text = std::fs::read_to_string(schedstat).ok()?;
    Some(Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?))
}

#[test]
fn a_large_flush_is_cheap_with_sqlite() {
    let desk = file();
    let mut store = desk.open().unwrap();
    // The database is a library, and runs on the thread that asks it.
    a_large_flush_is_cheap(&mut *store, "SQLite", || ran(Path::new("/proc/thread-self/schedstat")).unwrap());
}

#[test]
fn a_large_flush_is_cheap_with_postgresql() {
    // A server of its own: nobody else makes it work.
    let server = server::Server::start(&["-c", "listen_addresses="]);
    let desk = Database { server: Arc::new(server), name: "flush".to_owned() };
    let mut store = desk.open().unwrap();
    let of_server = std::fs::read_to_string(desk.server.folder().join("data/postmaster.pid")).unwrap();
    let parent = of_server.lines().next().unwrap().to_owned();
    let cpu = || {
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
        let all = children.split_whitespace().chain([parent.as_str()]);
        all.filter_map(|process| ran(&Path::new("/proc").join(process).join("schedstat"))).sum()
    };
    a_large_flush_is_cheap(&mut *store, "PostgreSQL", cpu);
}
