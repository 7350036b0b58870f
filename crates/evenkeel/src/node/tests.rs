use super::*;
use evenkeel_wire::{Event, Key};
use std::time::Duration;

fn ask(torrent: u8) -> Announce {
    Announce {
        info_hash: InfoHash([torrent; 20]),
        peer_id: PeerId([1; 20]),
        port: 6881,
        uploaded: 0,
        downloaded: 0,
        left: Some(0),
        event: Event::Started,
        numwant: None,
        key: Key::NONE,
    }
}

#[test]
fn after_a_panic_only_the_swarm_concerned_is_gone() {
    let node = Node::new(Orders::default(), &SECRETS);
    let mut worker = node.worker(Dialect::Http, 1);
    let key = PeerKey::Dialled("192.0.2.1:6881".parse::<std::net::SocketAddr>().unwrap().into());
    for torrent in 0..50 {
        assert!(
            node.announce(
                &mut worker,
                Announcer { key, place: node.place(&ask(torrent).info_hash), secret: None, found: None },
                &ask(torrent),
                &mut Handout::new(&mut [], &mut [])
            )
            .is_ok()
        );
    }
    let broken = InfoHash([7; 20]);
    let slot = &node.slots[node.keys.place(&broken).shard()];
    let outcome = node.recover(&mut lock(&slot.shard), &broken, None);
    assert_eq!(outcome.answer, Err(Failure::Internal));
    for torrent in 0..50 {
        let seeders = node.scrape(&InfoHash([torrent; 20])).seeders;
        assert_eq!(seeders, u32::from(torrent != 7), "{torrent}");
    }
    assert!(
        node.announce(
            &mut worker,
            Announcer { key, place: node.place(&ask(7).info_hash), secret: None, found: None },
            &ask(7),
            &mut Handout::new(&mut [], &mut [])
        )
        .is_ok()
    );
    assert_eq!(node.scrape(&broken).seeders, 1, "the next announce builds it again");
}

#[test]
fn announces_of_peers_that_come_and_go_are_timed() {
    let node = Node::new(Orders::default(), &SECRETS);
    let mut worker = node.worker(Dialect::Http, 1);
    let key = PeerKey::Dialled("192.0.2.1:6881".parse::<std::net::SocketAddr>().unwrap().into());
    let mut is_timed = |event| {
        node.longest_hold_nanos.store(0, Ordering::Relaxed);
        let ask = Announce { event, ..ask(1) };
        let place = node.place(&ask.info_hash);
        node.announce(
            &mut worker,
            Announcer { key, place, secret: None, found: None },
            &ask,
            &mut Handout::new(&mut [], &mut []),
        )
        .unwrap();
        node.longest_hold_nanos.load(Ordering::Relaxed) > 0
    };
    assert!(is_timed(Event::Started));
    assert!(!is_timed(Event::Update), "that would cost too much");
    assert!(is_timed(Event::Stopped));
}

#[test]
fn a_hold_of_more_than_a_millisecond_is_counted() {
    let node = Node::new(Orders::default(), &SECRETS);
    // However slow the machine is, this one has not begun.
    node.note_hold(Instant::now() + Duration::from_secs(60));
    assert_eq!(node.long_holds.load(Ordering::Relaxed), 0);
    let began = Instant::now().checked_sub(Duration::from_millis(2)).unwrap();
    node.note_hold(began);
    assert_eq!(node.long_holds.load(Ordering::Relaxed), 1);
    assert!(node.longest_hold_nanos.load(Ordering::Relaxed) >= 2_000_000);
}

#[test]
fn a_panic_ends_its_own_request_and_is_counted() {
    let node = Node::new(Orders::default(), &SECRETS);
    assert_eq!(node.catch(|| -> u8 { panic!("as a test") }), None);
    assert_eq!(node.catch(|| 7), Some(7));
    assert_eq!(node.panics.load(Ordering::Relaxed), 1);
}
