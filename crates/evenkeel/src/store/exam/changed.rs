//! Changes: whoever makes them, they are seen.

use std::time::{Duration, Instant};

use super::*;

sit! {
    what_a_site_writes_by_sql_is_seen
    changes_are_shown_once_and_nothing_else_is
    who_was_away_for_too_long_is_told_to_load_anew
    nonsense_that_a_site_writes_is_refused_by_the_tables
    bookings_are_no_changes
}

fn ids(rows: &[Row]) -> Vec<(Kind, i64)> {
    let id = |row: &Row| match row {
        Row::User(row) => (Kind::User, row.id),
        Row::Class(row) => (Kind::Class, row.id),
        Row::Torrent(row) => (Kind::Torrent, row.id),
        Row::Key(row) => (Kind::Key, row.id),
        Row::Listed(row) => (Kind::Listed, row.id),
        Row::Setting(row) => (Kind::Setting, row.id),
        Row::Token(row) => (Kind::Token, row.id),
    };
    rows.iter().map(id).collect()
}

fn what_a_site_writes_by_sql_is_seen(desk: &dyn Desk) {
    let mut store = desk.open().unwrap();
    let ([a, b], [first, _]) = populate(&mut *store);
    let (mut mark, _) = load(&mut *store);

    desk.write(&format!("UPDATE users SET state = 3 WHERE id = {}", a.0)).unwrap();
    let shown = changes(&mut *store, &mut mark);
    assert_eq!(shown.rows, [Row::User(User { id: a.0, state: UserState::Banned, ..user("a") })]);

    desk.write(
        "INSERT INTO classes (name) VALUES ('c');
         INSERT INTO listed (info_hash, list) SELECT info_hash_v1, 1 FROM torrents WHERE name = 'torrent 1';
         INSERT INTO settings (name, value) VALUES ('a', 'b');
         INSERT INTO announce_keys (key_hash) SELECT passkey_hash FROM users WHERE name = 'a'",
    )
    .unwrap();
    let shown = changes(&mut *store, &mut mark);
    assert_eq!(ids(&shown.rows), [(Kind::Class, 1), (Kind::Key, 1), (Kind::Listed, 1), (Kind::Setting, 1)]);

    desk.write(&format!(
        "UPDATE users SET id = 70 WHERE id = {}; DELETE FROM torrents WHERE id = {}",
        b.0, first.0
    ))
    .unwrap();
    let shown = changes(&mut *store, &mut mark);
    assert_eq!(ids(&shown.rows), [(Kind::User, 70)]);
    assert_eq!(shown.gone, [(Kind::User, b.0), (Kind::Torrent, first.0)]);
}

fn changes_are_shown_once_and_nothing_else_is(desk: &dyn Desk) {
    let mut store = desk.open().unwrap();
    populate(&mut *store);
    let (mut mark, _) = load(&mut *store);
    let mut other = desk.open().unwrap();
    for round in 0..5_u8 {
        let [id] = other.edit(&[Edit::Torrent(torrent(10 + round))]).unwrap()[..] else { panic!() };
        assert_eq!(ids(&changes(&mut *store, &mut mark).rows), [(Kind::Torrent, id)]);
        assert_eq!(changes(&mut *store, &mut mark).rows, []);
    }
}

fn who_was_away_for_too_long_is_told_to_load_anew(desk: &dyn Desk) {
    let mut store = desk.open().unwrap();
    let (mark, _) = load(&mut *store);
    let ([a, b], _) = populate(&mut *store);
    // Everything that has happened is old by then. What others are still writing beside may have to be waited for.
    let in_a_year = crate::store::CHANGES_SECS * 365 + i64::from(u32::MAX);
    let deadline = Instant::now() + Duration::from_secs(60);
    let error = loop {
        store.tidy(in_a_year).unwrap();
        match store.changes_since(&mark, &mut Shown::default()) {
            Err(error) => break error,
            Ok(_) => assert!(Instant::now() < deadline, "nothing is forgotten"),
        }
        std::thread::park_timeout(Duration::from_millis(10));
    };
    assert!(matches!(error, Error::TooOld), "{error}");

    let (mut mark, _) = load(&mut *store);
    store.tidy(in_a_year).unwrap();
    assert_eq!(changes(&mut *store, &mut mark).rows, [], "who was there has missed nothing");
    store.edit(&[Edit::Remove(Kind::User, a.0), Edit::Remove(Kind::User, b.0)]).unwrap();
    assert_eq!(changes(&mut *store, &mut mark).gone, [(Kind::User, a.0), (Kind::User, b.0)]);
}

fn nonsense_that_a_site_writes_is_refused_by_the_tables(desk: &dyn Desk) {
    let mut store = desk.open().unwrap();
    populate(&mut *store);
    for nonsense in [
        "UPDATE users SET state = 4",
        "UPDATE users SET state = -1",
        "UPDATE users SET upload_percent = -5",
        "UPDATE users SET name = ''",
        "UPDATE torrents SET size_bytes = -1",
        "UPDATE torrents SET download_percent = 1001",
        "INSERT INTO listed (info_hash, list) SELECT passkey_hash, 0 FROM users",
        "INSERT INTO announce_keys (key_hash) SELECT info_hash_v1 FROM torrents",
    ] {
        assert!(desk.write(nonsense).is_err(), "{nonsense}");
    }
    load(&mut *store);
}

fn bookings_are_no_changes(desk: &dyn Desk) {
    let mut store = desk.open().unwrap();
    let ([a, _], [first, _]) = populate(&mut *store);
    let key = AnnounceKey { id: 0, hash: Hash32([5; 32]), note: String::new(), created_at: 1, used_at: 1 };
    let [key] = store.edit(&[Edit::Key(key)]).unwrap()[..] else { panic!() };
    let (mut mark, _) = load(&mut *store);
    let full = Batch {
        increments: vec![increment(a, first, 5)],
        sessions: vec![session(a, first, 1)],
        counts: vec![Counts { torrent: first, seeders: 1, leechers: 0, partial: 0 }],
        key_uses: vec![super::super::KeyUse { key, at_secs: NOON }],
        ..batch(1)
    };
    store.apply(&full).unwrap();
    assert_eq!(changes(&mut *store, &mut mark).rows, []);
    let used = load(&mut *store).1;
    assert!(used.iter().any(|row| matches!(row, Row::Key(AnnounceKey { used_at: NOON, .. }))));
}
