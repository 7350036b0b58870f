//! The books: exactly once, whatever happens.

use super::super::{
    Applied, Book, Hour, SILENT_SESSION_SECS, STOPPED_SESSION_SECS, Span, Tidied, TorrentStats, Totals,
};
use super::*;

sit! {
    increments_add_up_and_baselines_are_replaced
    a_batch_that_is_repeated_books_nothing
    a_batch_that_failed_leaves_nothing_behind
    somebody_who_books_under_our_name_is_noticed
    a_database_that_was_restored_takes_what_is_new
    nodes_that_book_side_by_side_add_up
    amounts_beyond_four_gigabytes_are_kept
    amounts_beyond_a_column_stay_at_the_largest
    a_snatch_counts_once_for_a_user_and_torrent
    nothing_is_booked_for_a_user_who_is_gone
    with_a_user_go_his_books
    a_stopped_session_keeps_its_baseline_for_six_hours
    figures_of_a_torrent_are_kept_by_the_hour_and_then_by_the_day
}

fn increments_add_up_and_baselines_are_replaced(desk: &dyn Desk) {
    let mut store = desk.open().unwrap();
    let ([a, b], [first, second]) = populate(&mut *store);
    let one = Batch {
        increments: vec![increment(a, first, 100), increment(a, second, 10), increment(b, first, 1)],
        sessions: vec![session(a, first, u64::MAX), SessionRow { left: None, ..session(a, second, 3) }],
        ..batch(1)
    };
    assert_eq!(store.apply(&one).unwrap(), Applied::Now);
    let later = SessionRow { uploaded: 11, is_stopped: true, ..session(a, first, u64::MAX) };
    let two = Batch {
        increments: vec![increment(a, first, 1000)],
        sessions: vec![later],
        at_secs: NOON + 5,
        ..batch(2)
    };
    assert_eq!(store.apply(&two).unwrap(), Applied::Now);

    let expected = Book {
        uploaded: 1100,
        downloaded: 2200,
        credited: 3300,
        charged: 550,
        seeded_secs: 120,
        leeched_secs: 60,
        snatched_at: None,
        first_at: NOON,
        last_at: NOON + 5,
    };
    assert_eq!(store.book(a, first).unwrap(), Some(expected));
    assert_eq!(store.book(b, second).unwrap(), None);
    let totals = store.totals(a).unwrap();
    assert_eq!((totals.uploaded, totals.charged, totals.seeded_secs), (1110, 555, 180));
    assert_eq!(store.totals(b).unwrap().uploaded, 1);
    drop(store);
    let found = sessions(&mut *desk.open().unwrap());
    assert_eq!(found.len(), 2);
    assert!(found.contains(&later) && found.contains(&SessionRow { left: None, ..session(a, second, 3) }));
}

fn a_batch_that_is_repeated_books_nothing(desk: &dyn Desk) {
    let mut store = desk.open().unwrap();
    let ([a, _], [first, _]) = populate(&mut *store);
    let one = Batch {
        increments: vec![Increment { snatched_at: Some(NOON), ..increment(a, first, 100) }],
        ..batch(7)
    };
    assert_eq!(store.last_sequence(NODE).unwrap(), 0);
    assert_eq!(store.apply(&one).unwrap(), Applied::Now);
    let (book, totals) = (store.book(a, first).unwrap(), store.totals(a).unwrap());
    for _ in 0..3 {
        // Whoever did not hear that it was booked connects anew and tries again.
        store = desk.open().unwrap();
        assert_eq!(store.apply(&one).unwrap(), Applied::Before);
    }
    assert_eq!(store.book(a, first).unwrap(), book);
    assert_eq!(store.totals(a).unwrap(), totals);
    assert_eq!(store.torrent_stats(first).unwrap().unwrap().completed, 1);
    assert_eq!(store.last_sequence(NODE).unwrap(), 7);
    assert_eq!(store.last_sequence(NodeId(1)).unwrap(), 0);
}

fn a_batch_that_failed_leaves_nothing_behind(desk: &dyn Desk) {
    let mut store = desk.open().unwrap();
    let ([a, _], [first, _]) = populate(&mut *store);
    desk.write("ALTER TABLE torrent_hours RENAME TO elsewhere").unwrap();
    let one = Batch {
        increments: vec![increment(a, first, 100)],
        sessions: vec![session(a, first, 1)],
        ..batch(1)
    };
    store.apply(&one).unwrap_err();
    assert_eq!(store.book(a, first).unwrap(), None);
    assert_eq!(sessions(&mut *store), []);
    assert_eq!(store.last_sequence(NODE).unwrap(), 0);
    desk.write("ALTER TABLE elsewhere RENAME TO torrent_hours").unwrap();
    assert_eq!(store.apply(&one).unwrap(), Applied::Now);
    assert_eq!(store.totals(a).unwrap().uploaded, 100);
}

fn somebody_who_books_under_our_name_is_noticed(desk: &dyn Desk) {
    let mut store = desk.open().unwrap();
    let ([a, _], [first, _]) = populate(&mut *store);
    store.apply(&Batch { increments: vec![increment(a, first, 1)], ..batch(5) }).unwrap();
    for (after, sequence) in [(2, 3), (2, 4), (4, 6), (0, 9)] {
        let theirs = Batch { increments: vec![increment(a, first, 1)], after, ..batch(sequence) };
        let error = store.apply(&theirs).unwrap_err();
        assert!(matches!(error, Error::Conflict { stored: 5, .. }), "{error}");
        assert!(!error.is_retryable());
    }
    assert_eq!(store.totals(a).unwrap().uploaded, 1);
}

fn a_database_that_was_restored_takes_what_is_new(desk: &dyn Desk) {
    let mut store = desk.open().unwrap();
    let ([a, _], [first, _]) = populate(&mut *store);
    store.apply(&Batch { increments: vec![increment(a, first, 1)], ..batch(5) }).unwrap();
    let later = Batch { increments: vec![increment(a, first, 10)], after: 90, ..batch(91) };
    assert_eq!(store.apply(&later).unwrap(), Applied::Now);
    assert_eq!(store.totals(a).unwrap().uploaded, 11);
    assert_eq!(store.last_sequence(NODE).unwrap(), 91);
}

fn nodes_that_book_side_by_side_add_up(desk: &dyn Desk) {
    let mut store = desk.open().unwrap();
    let ([a, b], [first, second]) = populate(&mut *store);
    std::thread::scope(|scope| {
        for node in 1..=4 {
            let mut store = desk.open().unwrap();
            scope.spawn(move || {
                for sequence in 1..=20 {
                    let mut increments =
                        vec![increment(a, first, 1), increment(a, second, 1), increment(b, first, 1)];
                    increments[0].snatched_at = Some(NOON + node);
                    let theirs = Batch { node: NodeId(node), increments, ..batch(sequence) };
                    assert_eq!(store.apply(&theirs).unwrap(), Applied::Now);
                }
            });
        }
    });
    let totals = store.totals(a).unwrap();
    assert_eq!((totals.uploaded, totals.snatches), (160, 1));
    assert_eq!(store.totals(b).unwrap().uploaded, 80);
    assert_eq!(store.torrent_stats(first).unwrap().unwrap().completed, 1);
}

fn amounts_beyond_four_gigabytes_are_kept(desk: &dyn Desk) {
    let mut store = desk.open().unwrap();
    let ([a, _], [first, _]) = populate(&mut *store);
    let amount = 5_u64 << 40;
    let wide = Batch {
        increments: vec![increment(a, first, amount)],
        sessions: vec![SessionRow {
            uploaded: amount,
            downloaded: amount,
            left: Some(amount),
            ..session(a, first, 1)
        }],
        ..batch(1)
    };
    store.apply(&wide).unwrap();
    let book = store.book(a, first).unwrap().unwrap();
    assert_eq!((book.uploaded, book.downloaded, book.credited), (amount, amount * 2, amount * 3));
    assert_eq!(sessions(&mut *store)[0].left, Some(amount));
}

fn amounts_beyond_a_column_stay_at_the_largest(desk: &dyn Desk) {
    let mut store = desk.open().unwrap();
    let ([a, _], [first, second]) = populate(&mut *store);
    let huge = |torrent| Increment {
        uploaded: u64::MAX,
        downloaded: u64::MAX - 1,
        credited: i64::MAX as u64 - 1,
        charged: 1 << 63,
        ..increment(a, torrent, 0)
    };
    for sequence in 1..=3 {
        let huge = Batch {
            increments: vec![huge(first), huge(second)],
            sessions: vec![SessionRow { left: Some(u64::MAX), ..session(a, first, 1) }],
            ..batch(sequence)
        };
        assert_eq!(store.apply(&huge).unwrap(), Applied::Now);
    }
    let most = i64::MAX as u64;
    let book = store.book(a, first).unwrap().unwrap();
    assert_eq!((book.uploaded, book.downloaded, book.credited, book.charged), (most, most, most, most));
    let totals = store.totals(a).unwrap();
    assert_eq!((totals.uploaded, totals.credited, totals.seeded_secs), (most, most, 360));
    assert_eq!(sessions(&mut *store)[0].left, Some(most));
    assert_eq!(store.torrent_stats(first).unwrap().unwrap().uploaded, most);
    store.tidy(NOON + 100 * 24 * 3600).unwrap();
    assert_eq!(store.history(first, Span::Days).unwrap()[0].uploaded, most);
}

fn a_snatch_counts_once_for_a_user_and_torrent(desk: &dyn Desk) {
    let mut store = desk.open().unwrap();
    let ([a, b], [first, second]) = populate(&mut *store);
    let snatch = |user, torrent, at| Increment { snatched_at: Some(at), ..increment(user, torrent, 0) };
    for (sequence, increments) in [
        (1, vec![snatch(a, first, NOON), increment(b, first, 0)]),
        (2, vec![snatch(a, first, NOON + 9), snatch(a, second, NOON), snatch(b, first, NOON)]),
        (3, vec![snatch(a, first, NOON + 99)]),
    ] {
        store.apply(&Batch { increments, ..batch(sequence) }).unwrap();
    }
    assert_eq!(store.book(a, first).unwrap().unwrap().snatched_at, Some(NOON), "the first one stays");
    assert_eq!(store.totals(a).unwrap().snatches, 2);
    assert_eq!(store.totals(b).unwrap().snatches, 1);
    assert_eq!(store.torrent_stats(first).unwrap().unwrap().completed, 2);
    assert_eq!(store.torrent_stats(second).unwrap().unwrap().completed, 1);
}

fn nothing_is_booked_for_a_user_who_is_gone(desk: &dyn Desk) {
    let mut store = desk.open().unwrap();
    let ([a, b], [first, _]) = populate(&mut *store);
    store.edit(&[Edit::Remove(Kind::User, a.0)]).unwrap();
    let late = Batch {
        increments: vec![increment(a, first, 100), increment(b, first, 1)],
        sessions: vec![session(a, first, 1), session(b, first, 1)],
        ..batch(1)
    };
    assert_eq!(store.apply(&late).unwrap(), Applied::Now);
    assert_eq!(store.book(a, first).unwrap(), None);
    assert_eq!(store.totals(a).unwrap(), Totals::default());
    assert_eq!(store.totals(b).unwrap().uploaded, 1, "the others' are booked");
    assert_eq!(sessions(&mut *store), [session(b, first, 1)]);
}

fn with_a_user_go_his_books(desk: &dyn Desk) {
    let mut store = desk.open().unwrap();
    let ([a, b], [first, _]) = populate(&mut *store);
    let both = Batch {
        increments: vec![increment(a, first, 100), increment(b, first, 1)],
        sessions: vec![session(a, first, 1), session(b, first, 1)],
        ..batch(1)
    };
    store.apply(&both).unwrap();
    store.edit(&[Edit::Remove(Kind::User, a.0)]).unwrap();
    assert_eq!(store.book(a, first).unwrap(), None);
    assert_eq!(store.totals(a).unwrap(), Totals::default());
    assert_eq!(sessions(&mut *store), [session(b, first, 1)]);
    assert_eq!(store.torrent_stats(first).unwrap().unwrap().uploaded, 101, "the torrent's figures stay");
}

fn a_stopped_session_keeps_its_baseline_for_six_hours(desk: &dyn Desk) {
    let mut store = desk.open().unwrap();
    let ([a, _], [first, _]) = populate(&mut *store);
    let stopped = SessionRow { is_stopped: true, ..session(a, first, 1) };
    let rows = vec![stopped, session(a, first, 2)];
    store.apply(&Batch { sessions: rows.clone(), ..batch(1) }).unwrap();
    store.tidy(NOON + STOPPED_SESSION_SECS).unwrap();
    assert_eq!(sessions(&mut *store), rows);
    let tidied = store.tidy(NOON + STOPPED_SESSION_SECS + 1).unwrap();
    assert_eq!(tidied.sessions, 1);
    assert_eq!(sessions(&mut *store), rows[1..], "one that fell silent may come back");
    store.tidy(NOON + SILENT_SESSION_SECS + 1).unwrap();
    assert_eq!(sessions(&mut *store), []);
}

fn figures_of_a_torrent_are_kept_by_the_hour_and_then_by_the_day(desk: &dyn Desk) {
    let mut store = desk.open().unwrap();
    let ([a, _], [first, _]) = populate(&mut *store);
    let counts = |seeders, leechers| vec![Counts { torrent: first, seeders, leechers, partial: 1 }];
    for (sequence, counts, at_secs) in [
        (1, counts(2, 5), NOON),
        (2, counts(0, 9), NOON + 60),
        (3, counts(1, 1), NOON + 3600),
        (4, vec![], NOON + 3700),
    ] {
        let increments = vec![Increment { snatched_at: Some(at_secs), ..increment(a, first, 10) }];
        store.apply(&Batch { at_secs, increments, counts, ..batch(sequence) }).unwrap();
    }
    let stats = TorrentStats {
        counts: Counts { torrent: first, seeders: 1, leechers: 1, partial: 1 },
        completed: 1,
        uploaded: 40,
        downloaded: 80,
        seed_seen_at: Some(NOON + 3600),
    };
    assert_eq!(store.torrent_stats(first).unwrap(), Some(stats));
    let hour = |from_secs, seeders, leechers, completed, uploaded| Hour {
        from_secs,
        seeders,
        leechers,
        partial: 1,
        completed,
        uploaded,
        downloaded: uploaded * 2,
    };
    let hours = [hour(NOON, 2, 9, 1, 20), hour(NOON + 3600, 1, 1, 0, 20)];
    assert_eq!(store.history(first, Span::Hours).unwrap(), hours);
    let midnight = NOON - 12 * 3600;
    let days = [hour(midnight, 2, 9, 1, 40)];
    assert_eq!(store.history(first, Span::Days).unwrap(), days);

    assert_eq!(store.tidy(NOON + 29 * 24 * 3600).unwrap().hours, 0);
    let tidied = store.tidy(NOON + 31 * 24 * 3600).unwrap();
    assert_eq!(tidied, Tidied { hours: 2, ..tidied });
    assert_eq!(store.history(first, Span::Hours).unwrap(), []);
    assert_eq!(store.history(first, Span::Days).unwrap(), days, "the day stays, for ever");
    assert_eq!(store.tidy(NOON + 31 * 24 * 3600).unwrap().hours, 0, "and is made once");
}
