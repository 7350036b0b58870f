//! What is booked, rule by rule. Most rules are there because trackers before this one lost or invented credit without
//! them.

use evenkeel_core::Time;
use evenkeel_core::account::{BASELINE_SECS, Booking, Factors, SESSIONS_PER_USER_AND_TORRENT_MAX, Settled};
use evenkeel_wire::{Announce, Endpoint, Event, Key, PeerId};

use super::Books;
use crate::rig;

const V4: Endpoint = Endpoint::V4([8, 8, 8, 8, 1, 1]);
const V6: Endpoint = Endpoint::V6([8; 18]);

/// A leecher with these counters.
fn ask(event: Event, uploaded: u64, downloaded: u64) -> Announce {
    Announce { event, uploaded, downloaded, key: Key::from_number(1), ..rig::ask(1, [7; 20]) }
}

fn seeder(event: Event, uploaded: u64) -> Announce {
    Announce { left: Some(0), ..ask(event, uploaded, 1000) }
}

fn other_client(number: u32, ask: &Announce) -> Announce {
    Announce { key: Key::from_number(number), ..ask.clone() }
}

impl Books {
    /// An announce of user 1 on torrent 1, so many seconds after the one before.
    fn after(&mut self, secs: u32, source: &Endpoint, ask: &Announce) -> Settled {
        self.now = Time(self.now.0 + secs);
        self.settle(1, 1, source, ask)
    }

    fn booked(&mut self, secs: u32, ask: &Announce) -> Booking {
        self.after(secs, &V4, ask).booking.unwrap()
    }

    fn moved(&mut self, secs: u32, ask: &Announce) -> (u64, u64) {
        let booking = self.booked(secs, ask);
        (booking.uploaded, booking.downloaded)
    }
}

#[test]
fn the_first_announce_of_a_session_credits_nothing_and_the_next_the_difference() {
    let mut books = Books::new();
    assert_eq!(books.moved(0, &ask(Event::Started, 5000, 700)), (0, 0));
    assert_eq!(books.moved(1800, &ask(Event::Update, 5100, 900)), (100, 200));
}

#[test]
fn a_stopped_announce_that_comes_again_credits_once() {
    let mut books = Books::new();
    books.booked(0, &ask(Event::Started, 0, 0));
    assert_eq!(books.moved(600, &ask(Event::Stopped, 100, 50)), (100, 50));
    for secs in [0, 1, 1799, 1800, 3600] {
        assert_eq!(books.moved(secs, &ask(Event::Stopped, 100, 50)), (0, 0), "after {secs} s");
    }
    books.now = Time(books.now.0 + 2 * BASELINE_SECS);
    assert!(books.after(0, &V4, &ask(Event::Stopped, 100, 50)).booking.is_none(), "it is forgotten");
}

#[test]
fn a_client_that_resumes_with_its_counters_within_six_hours_goes_on() {
    let mut books = Books::new();
    books.booked(0, &ask(Event::Started, 0, 0));
    books.booked(600, &ask(Event::Stopped, 100, 50));
    assert_eq!(books.moved(BASELINE_SECS, &ask(Event::Started, 130, 50)), (30, 0));
    assert_eq!(books.moved(1800, &ask(Event::Update, 150, 60)), (20, 10));
}

#[test]
fn a_client_that_resumes_from_zero_loses_nothing_and_repeats_nothing() {
    let mut books = Books::new();
    books.booked(0, &ask(Event::Started, 0, 0));
    books.booked(60, &ask(Event::Stopped, 100, 50));
    assert_eq!(books.moved(5, &ask(Event::Started, 0, 0)), (0, 0));
    assert_eq!(books.moved(60, &ask(Event::Stopped, 80, 10)), (80, 10));
    assert_eq!(books.sums(1, 1).uploaded, 180);
}

#[test]
fn counters_that_go_backwards_credit_nothing_and_count_from_there() {
    let mut books = Books::new();
    books.booked(0, &ask(Event::Started, 0, 0));
    books.booked(1800, &ask(Event::Update, 1000, 1000));
    assert_eq!(books.moved(1801, &ask(Event::Update, 10, 1200)), (0, 0), "either counter");
    assert_eq!(books.moved(1800, &ask(Event::Update, 30, 1200)), (20, 0));
}

#[test]
fn announces_of_two_families_that_overtake_each_other_credit_once() {
    let mut books = Books::new();
    books.after(0, &V4, &ask(Event::Started, 0, 0));
    books.after(5, &V6, &ask(Event::Started, 0, 0));
    books.after(1800, &V4, &ask(Event::Update, 1000, 10));
    let late = books.after(3, &V6, &ask(Event::Update, 990, 10)).booking.unwrap();
    assert_eq!((late.uploaded, late.downloaded), (0, 0));
    books.after(1797, &V4, &ask(Event::Update, 1500, 20));
    books.after(2, &V6, &ask(Event::Stopped, 1510, 20));
    books.after(0, &V4, &ask(Event::Stopped, 1510, 20));
    let sums = books.sums(1, 1);
    assert_eq!((sums.uploaded, sums.downloaded), (1510, 20));
    assert_eq!(books.sessions.len(), 1, "two addresses are one session");
}

#[test]
fn a_start_that_the_other_family_overtook_is_no_new_run() {
    let mut books = Books::new();
    books.after(0, &V4, &ask(Event::Started, 0, 0));
    books.after(20, &V4, &seeder(Event::Completed, 500));
    books.after(40, &V6, &ask(Event::Started, 0, 0));
    books.after(1740, &V4, &seeder(Event::Update, 700));
    assert_eq!(books.sums(1, 1).uploaded, 700);
}

#[test]
fn what_a_crashed_client_did_since_is_booked_once_that_is_clear() {
    let mut books = Books::new();
    books.booked(0, &ask(Event::Started, 0, 0));
    books.booked(900, &ask(Event::Update, 1000, 1000));
    assert_eq!(books.moved(60, &ask(Event::Started, 0, 0)), (0, 0), "or it came late");
    assert_eq!(books.moved(1800, &ask(Event::Update, 70, 300)), (70, 300));
    assert_eq!(books.sums(1, 1).uploaded, 1070);
}

#[test]
fn libtorrent_may_take_back_a_hundredth_of_a_complete_download() {
    let mut books = Books::new();
    books.booked(0, &ask(Event::Started, 0, 0));
    let complete = |downloaded, uploaded| Announce { downloaded, ..seeder(Event::Completed, uploaded) };
    assert_eq!(books.moved(1800, &complete(100_000, 5)), (5, 100_000));
    assert_eq!(books.moved(60, &complete(99_000, 9)), (4, 0));
    assert_eq!(books.moved(60, &complete(99_500, 9)), (0, 0), "it was booked already");
    assert_eq!(books.moved(60, &complete(100_001, 9)), (0, 1));
}

#[test]
fn amounts_beyond_32_bits_are_exact() {
    const TIB: u64 = 1 << 40;
    let mut books = Books::new();
    books.booked(0, &ask(Event::Started, 0, 0));
    assert_eq!(
        books.moved(1800, &ask(Event::Update, 3 * TIB + 1, (1 << 32) + 7)),
        (3 * TIB + 1, (1 << 32) + 7)
    );
    assert_eq!(books.moved(1800, &ask(Event::Update, u64::MAX, (1 << 32) + 7)).0, u64::MAX - 3 * TIB - 1);
}

#[test]
fn announces_within_one_second_add_up() {
    let mut books = Books::new();
    books.booked(0, &ask(Event::Started, 0, 0));
    for step in 1..=3 {
        assert_eq!(books.moved(0, &ask(Event::Update, 10 * step, 0)), (10, 0));
    }
    assert_eq!(books.sums(1, 1).uploaded, 30);
}

#[test]
fn several_clients_of_a_user_are_sessions_of_their_own() {
    let mut books = Books::new();
    for step in 0..4 {
        books.booked(900, &ask(Event::Update, 1_000_000 + step, 0));
        books.booked(900, &other_client(2, &ask(Event::Update, 10 * step, 0)));
    }
    assert_eq!(books.sums(1, 1).uploaded, 3 + 30);
    // Without a key the peer id tells them apart.
    let keyless = |id| Announce { key: Key::NONE, peer_id: PeerId([id; 20]), ..ask(Event::Update, 0, 0) };
    books.booked(0, &keyless(1));
    books.booked(0, &keyless(2));
    assert_eq!(books.sessions.len(), 4);
}

#[test]
fn users_and_torrents_do_not_mix() {
    let mut books = Books::new();
    for (user, torrent) in [(1, 2), (2, 1), (1, 1)] {
        books.settle(user, torrent, &V4, &ask(Event::Started, 0, 0));
    }
    books.settle(1, 2, &V4, &ask(Event::Update, 5, 0));
    assert_eq!([(1, 2), (2, 1), (1, 1)].map(|(user, torrent)| books.sums(user, torrent).uploaded), [5, 0, 0]);
}

#[test]
fn a_client_that_fell_silent_keeps_its_baseline() {
    let mut books = Books::new();
    books.booked(0, &ask(Event::Started, 0, 0));
    books.booked(1800, &ask(Event::Update, 100, 0));
    // It sleeps past its time to live, and the sweep comes by.
    let silent_secs = books.rules.peer_ttl_secs() + BASELINE_SECS;
    books.now = Time(books.now.0 + silent_secs);
    assert!(books.sessions.sweep(books.now, &books.rules, 100));
    assert_eq!(books.moved(0, &ask(Event::Update, 150, 0)), (50, 0));
    books.now = Time(books.now.0 + silent_secs + 1);
    assert!(books.sessions.sweep(books.now, &books.rules, 100));
    assert!(books.sessions.is_empty());
    assert_eq!(books.moved(0, &ask(Event::Update, 170, 0)), (0, 0), "and not for ever");
}

#[test]
fn sessions_go_on_after_a_restart_from_where_they_were_stored() {
    let mut books = Books::new();
    books.booked(0, &ask(Event::Started, 0, 0));
    books.booked(1800, &ask(Event::Update, 100, 0));
    let stored = books.store.clone();
    books.booked(1, &ask(Event::Update, 120, 0));
    books.restart(stored, 60);
    assert_eq!(books.sums(1, 1).uploaded, 100, "what was not stored is gone");
    assert_eq!(
        books.moved(900, &ask(Event::Update, 150, 0)),
        (50, 0),
        "and comes back with the next announce"
    );
}

#[test]
fn a_session_that_was_not_stored_begins_anew() {
    let mut books = Books::new();
    let stored = books.store.clone();
    books.booked(0, &ask(Event::Started, 0, 0));
    books.booked(0, &ask(Event::Update, 70, 0));
    books.restart(stored, 1);
    assert_eq!(books.moved(900, &ask(Event::Update, 90, 0)), (0, 0));
    assert_eq!(books.moved(900, &ask(Event::Update, 95, 0)), (5, 0));
}

#[test]
fn a_session_in_doubt_is_begun_anew() {
    let mut books = Books::new();
    books.booked(0, &ask(Event::Started, 0, 0));
    books.settle(1, 2, &V4, &ask(Event::Started, 0, 0));
    books.sessions.forget(evenkeel_core::account::TorrentNumber(1));
    assert_eq!(books.moved(0, &ask(Event::Update, 70, 0)), (0, 0));
    books.settle(1, 2, &V4, &ask(Event::Update, 30, 0));
    assert_eq!(books.sums(1, 2).uploaded, 30);
}

#[test]
fn a_snatch_is_one_however_often_it_is_said() {
    let mut books = Books::new();
    books.booked(0, &ask(Event::Started, 0, 0));
    assert!(!books.booked(600, &ask(Event::Completed, 0, 500)).snatched, "it lacks something");
    assert!(books.booked(600, &seeder(Event::Completed, 0)).snatched);
    // What follows within the same second neither erases nor repeats it.
    for event in [Event::Update, Event::Completed, Event::Completed] {
        assert!(!books.booked(0, &seeder(event, 0)).snatched);
    }
    assert!(
        !books.booked(0, &other_client(2, &seeder(Event::Completed, 0))).snatched,
        "nor does another client"
    );
    assert_eq!(books.sums(1, 1).snatches, 1);
}

#[test]
fn whoever_comes_to_lack_nothing_has_completed_and_whoever_never_lacked_has_not() {
    let mut books = Books::new();
    books.booked(0, &ask(Event::Started, 0, 0));
    assert!(books.booked(1800, &seeder(Event::Update, 0)).snatched, "its announce of that was lost");
    let mut books = Books::new();
    books.booked(0, &seeder(Event::Started, 0));
    assert!(!books.booked(1800, &seeder(Event::Update, 0)).snatched);
    let mut books = Books::new();
    let unsaid = Announce { left: None, ..ask(Event::Started, 0, 0) };
    books.booked(0, &unsaid);
    assert!(!books.booked(1800, &seeder(Event::Update, 0)).snatched, "it never said that it lacks");
}

#[test]
fn a_second_counts_once_whatever_number_of_clients_seed() {
    let mut books = Books::new();
    let second = |event| other_client(2, &seeder(event, 0));
    books.booked(0, &seeder(Event::Started, 0));
    books.booked(600, &second(Event::Started));
    assert_eq!(books.booked(1200, &seeder(Event::Update, 0)).seeded_secs, 1800);
    assert_eq!(books.booked(600, &second(Event::Update)).seeded_secs, 600, "the rest was counted");
    assert_eq!(books.booked(600, &seeder(Event::Stopped, 0)).seeded_secs, 600);
    assert_eq!(books.booked(600, &second(Event::Stopped)).seeded_secs, 600);
    assert_eq!(books.sums(1, 1).seeded_secs, 3600);
}

#[test]
fn time_in_which_nobody_was_there_does_not_count() {
    let mut books = Books::new();
    books.booked(0, &seeder(Event::Started, 0));
    let ttl_secs = books.rules.peer_ttl_secs();
    assert_eq!(books.booked(ttl_secs + 1, &seeder(Event::Update, 0)).seeded_secs, 0);
    assert_eq!(books.booked(ttl_secs, &seeder(Event::Stopped, 0)).seeded_secs, ttl_secs);
    assert_eq!(books.booked(600, &seeder(Event::Started, 0)).seeded_secs, 0, "it had stopped");
    let paused = Announce { left: Some(5), ..seeder(Event::Paused, 0) };
    assert_eq!(books.booked(600, &paused).seeded_secs, 0, "it does not have everything any more");
    let booking = books.booked(600, &paused);
    assert_eq!((booking.seeded_secs, booking.leeched_secs), (0, 0), "a partial seed does neither");
}

#[test]
fn time_to_download_is_counted_apart_and_the_down_time_of_the_tracker_not_at_all() {
    let mut books = Books::new();
    books.booked(0, &ask(Event::Started, 0, 0));
    let booking = books.booked(1800, &seeder(Event::Completed, 0));
    assert_eq!((booking.seeded_secs, booking.leeched_secs), (0, 1800));
    let stored = books.store.clone();
    books.restart(stored, 600);
    assert_eq!(books.booked(600, &seeder(Event::Update, 0)).seeded_secs, 0);
    assert_eq!(books.booked(600, &seeder(Event::Update, 0)).seeded_secs, 600);
}

#[test]
fn the_fourth_client_on_a_torrent_is_booked_but_not_listed() {
    let mut books = Books::new();
    for number in 1..=3 {
        assert!(books.after(0, &V4, &other_client(number, &ask(Event::Started, 0, 0))).is_listed);
    }
    let first_again = books.after(1, &V6, &other_client(1, &ask(Event::Started, 0, 0)));
    assert!(first_again.is_listed, "two addresses of one client are one");
    let fourth = |event, uploaded| other_client(4, &ask(event, uploaded, 0));
    assert!(!books.after(0, &V4, &fourth(Event::Started, 0)).is_listed);
    let settled = books.after(1800, &V4, &fourth(Event::Update, 70));
    assert!(!settled.is_listed && settled.booking.unwrap().uploaded == 70);
    books.after(0, &V4, &other_client(2, &ask(Event::Stopped, 0, 0)));
    assert!(books.after(0, &V4, &fourth(Event::Update, 70)).is_listed, "there is room now");
    assert!(!books.after(0, &V4, &other_client(2, &ask(Event::Started, 0, 0))).is_listed);
}

#[test]
fn whoever_announces_too_soon_again_and_again_is_told_and_booked_all_the_same() {
    let mut books = Books::new();
    books.booked(0, &ask(Event::Started, 0, 0));
    let min_secs = books.rules.min_interval_secs;
    let mut is_hasty = |secs, source, event| books.after(secs, source, &ask(event, 10, 0)).is_hasty;
    assert!(!is_hasty(1, &V4, Event::Update), "this may be its second URL");
    assert!(is_hasty(min_secs - 1, &V4, Event::Update));
    assert!(!is_hasty(1, &V4, Event::Completed), "this does not wait");
    assert!(!is_hasty(1, &V6, Event::Update), "another address");
    assert!(!is_hasty(min_secs, &V4, Event::Update));
    assert!(!is_hasty(1, &V4, Event::Update));
    assert!(is_hasty(1, &V4, Event::Update));
    assert_eq!(books.sums(1, 1).uploaded, 10);
}

#[test]
fn a_full_table_books_known_sessions_and_takes_no_new_one() {
    let mut books = Books::new();
    books.booked(0, &ask(Event::Started, 0, 0));
    books.is_full = true;
    assert_eq!(books.moved(60, &ask(Event::Update, 9, 0)), (9, 0));
    let new = books.after(0, &V4, &other_client(2, &ask(Event::Started, 0, 0)));
    assert!(new.is_unbooked && new.booking.is_none() && books.sessions.len() == 1);
}

#[test]
fn a_user_cannot_fill_the_table_with_clients_of_one_torrent() {
    let mut books = Books::new();
    let most = u32::try_from(SESSIONS_PER_USER_AND_TORRENT_MAX).unwrap();
    for number in 1..=10 * most {
        books.booked(1, &other_client(number, &ask(Event::Started, 0, 0)));
    }
    assert_eq!(books.sessions.len(), SESSIONS_PER_USER_AND_TORRENT_MAX);
    assert_eq!(books.moved(0, &other_client(10 * most, &ask(Event::Update, 5, 0))), (5, 0));
    assert_eq!(books.moved(0, &other_client(1, &ask(Event::Update, 5, 0))), (0, 0), "it made room long ago");
}

#[test]
fn raw_amounts_are_booked_whatever_the_factors_are() {
    let mut books = Books::new();
    books.booked(0, &ask(Event::Started, 0, 0));
    books.factors = Factors { up_percent: 150, down_percent: 0 };
    let booking = books.booked(1800, &ask(Event::Update, 101, 101));
    assert_eq!((booking.uploaded, booking.downloaded, booking.credited, booking.charged), (101, 101, 151, 0));
    books.factors = Factors { up_percent: 0, down_percent: 33 };
    let booking = books.booked(1800, &ask(Event::Update, 202, 202));
    assert_eq!((booking.uploaded, booking.downloaded, booking.credited, booking.charged), (101, 101, 0, 34));
}

/// With the growth of its lists, at their fullest and right after they grew.
#[test]
fn a_session_takes_at_most_160_bytes() {
    let mut books = Books::new();
    let mut most = 0;
    for number in 1..=200_000 {
        books.settle(number, number % 1000, &V4, &ask(Event::Started, 0, 0));
        if number > 50_000 {
            most = most.max(books.sessions.bytes() * 100 / books.sessions.len());
        }
    }
    println!("{}.{:02} bytes per session at most", most / 100, most % 100);
    assert!(most <= 160 * 100, "{most}");
}
