//! What the core says of announces.

use evenkeel_core::account::{Account, Allowance, Factors, TorrentNumber, UserNumber};
use evenkeel_core::{Identity, Rules};
use evenkeel_wire::{Announce, Endpoint, Event};

use super::*;
use crate::rig::{Families, Rig, ask};

const CALLER: Endpoint = Endpoint::V4([8, 8, 8, 8, 1, 1]);

fn rig(is_keyed: bool) -> Rig {
    let mut rig = Rig::new(3);
    rig.rules = Rules { keep_reports: true, ..rig.rules };
    rig.observes = true;
    rig.now = Time(10_000);
    rig.identity = Identity { slot: Some(77), ..Identity::default() };
    rig.account = is_keyed.then_some(Account {
        user: UserNumber(1),
        torrent: TorrentNumber(1),
        factors: Factors::PLAIN,
        allowance: Allowance::default(),
    });
    rig
}

fn observe(rig: &mut Rig, from: Endpoint, ask: &Announce) -> Option<Observation> {
    rig.announce(from, 7, ask, Families::Both);
    rig.observation
}

#[test]
fn books_and_reports_say_the_same() {
    let [booked, reported] = [true, false].map(|is_keyed| {
        let mut rig = rig(is_keyed);
        let start = Announce { left: Some(8 * MIB), ..ask(1, [7; 20]) };
        let asks = [
            start.clone(),
            Announce {
                event: Event::Update,
                left: Some(3 * MIB),
                downloaded: 5 * MIB,
                uploaded: MIB,
                ..start.clone()
            },
            Announce {
                event: Event::Completed,
                left: Some(0),
                downloaded: 8 * MIB,
                uploaded: MIB,
                ..start.clone()
            },
            Announce {
                event: Event::Update,
                left: Some(0),
                downloaded: 8 * MIB,
                uploaded: 4 * MIB,
                ..start.clone()
            },
            Announce {
                event: Event::Stopped,
                left: Some(0),
                downloaded: 8 * MIB,
                uploaded: 6 * MIB,
                ..start
            },
        ];
        asks.map(|ask| {
            rig.now = Time(rig.now.0 + INTERVAL);
            observe(&mut rig, CALLER, &ask).unwrap()
        })
    });
    assert_eq!(booked, reported);
    let moved = booked.map(|said| (said.uploaded / MIB, said.downloaded / MIB));
    assert_eq!(moved, [(0, 0), (1, 5), (0, 3), (3, 0), (2, 0)]);
    assert_eq!(booked.map(|said| said.secs), [0, 1800, 1800, 1800, 1800]);
    assert_eq!(booked.map(|said| said.has_seeded), [false, false, false, true, true]);
    assert_eq!(booked.map(|said| said.seeds), [false, false, true, true, false]);
    assert_eq!(booked.map(|said| said.completed), [false, false, true, false, false]);
    assert_eq!(booked.map(|said| said.stopped), [false, false, false, false, true]);
    assert_eq!(booked.map(|said| said.begins), [true, false, false, false, false]);
    let lacked = booked.map(|said| said.lacked);
    assert_eq!(lacked, [Observation::NOT_SAID, 8 * MIB, 3 * MIB, 0, 0]);
    assert!(booked.iter().all(|said| said.slot == 77));
    assert_eq!((booked[0].seeders, booked[0].leechers), (0, 1));
}

#[test]
fn what_a_client_says_over_two_families_is_said_once() {
    for is_keyed in [true, false] {
        let mut rig = rig(is_keyed);
        let [v4, v6] = [CALLER, Endpoint::V6([8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 1, 1])];
        let start = ask(1, [7; 20]);
        for from in [v4, v6] {
            observe(&mut rig, from, &start);
        }
        let next = Announce { event: Event::Update, uploaded: 4 * MIB, ..start };
        let said = [v4, v6].map(|from| {
            rig.now = Time(rig.now.0 + 900);
            observe(&mut rig, from, &next).unwrap()
        });
        assert_eq!(said.map(|said| said.uploaded), [4 * MIB, 0], "keyed: {is_keyed}");
        assert_eq!(said.map(|said| said.secs), [900, 900]);
    }
}

#[test]
fn nothing_is_said_where_nobody_listens_or_nothing_is_answered() {
    let mut rig = rig(false);
    rig.observes = false;
    assert_eq!(observe(&mut rig, CALLER, &ask(1, [7; 20])), None);
    rig.observes = true;
    rig.store_is_full = true;
    assert_eq!(observe(&mut rig, CALLER, &ask(2, [7; 20])), None, "it is refused");
}

#[test]
fn whoever_is_not_listed_does_not_seed() {
    let mut rig = rig(true);
    rig.rules.clients_per_user_and_torrent_max = 1;
    let seeder = Announce { left: Some(0), ..ask(1, [7; 20]) };
    let other = Announce { peer_id: evenkeel_wire::PeerId([8; 20]), ..seeder.clone() };
    for from in [&seeder, &other] {
        observe(&mut rig, CALLER, from);
        rig.now = Time(rig.now.0 + INTERVAL);
    }
    let [listed, unlisted] = [seeder, other].map(|ask| {
        let said = observe(&mut rig, CALLER, &Announce { event: Event::Update, uploaded: MIB, ..ask });
        said.unwrap()
    });
    assert_eq!((listed.has_seeded, listed.uploaded), (true, MIB));
    assert_eq!((unlisted.has_seeded, unlisted.uploaded), (false, MIB), "what it has sent, it has sent");
}

#[test]
fn callers_who_are_nobody_in_particular_are_told_of_too() {
    let mut rig = rig(false);
    rig.identity = Identity::default();
    let said = observe(&mut rig, CALLER, &ask(1, [7; 20])).unwrap();
    assert_eq!(said.slot, Observation::NOBODY);
}
