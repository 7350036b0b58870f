//! One scenario for every dialect and family, and swarms that mix them.

use std::net::SocketAddr;

use crate::rig::{Ask, WAYS, Way, start, start_with};

const TORRENT: [u8; 20] = *b"\x00\xff torrent %&+=\n\x7f...";

#[test]
fn the_life_of_a_swarm_is_the_same_over_every_dialect_and_family() {
    let program = start();
    for (number, way) in (0..).zip(WAYS) {
        let torrent = [number; 20];
        let counts = |ask: &Ask| {
            let answer = program.announce(way, ask);
            (
                answer.complete,
                answer.incomplete,
                answer.peers.iter().map(SocketAddr::port).collect::<Vec<_>>(),
            )
        };
        let (leecher, seeder) = (Ask::leecher(torrent, 1001), Ask::seeder(torrent, 1002));
        assert_eq!(counts(&leecher), (0, 1, vec![]), "{way:?}: alone, and not handed itself");
        assert_eq!(counts(&seeder), (1, 1, vec![1001]), "{way:?}");
        assert_eq!(counts(&leecher.event("")), (1, 1, vec![1002]), "{way:?}: update");
        assert_eq!(
            counts(&leecher.event("paused")),
            (1, 1, vec![1002]),
            "{way:?}: a partial seed is incomplete"
        );
        let done = Ask { left: 0, ..leecher.clone() };
        assert_eq!(counts(&done.event("completed")), (2, 0, vec![]), "{way:?}: no seeders for seeders");
        assert_eq!(program.scrape(way, &[torrent]), [(2, 1, 0)], "{way:?}");
        assert_eq!(counts(&Ask::leecher(torrent, 1003)).2.len(), 2, "{way:?}");
        assert_eq!(counts(&seeder.event("stopped")), (1, 1, vec![]), "{way:?}: counts and no peers");
        assert_eq!(counts(&seeder.event("stopped")), (1, 1, vec![]), "{way:?}: gone already, and no failure");
        assert_eq!(program.scrape(way, &[torrent]), [(1, 1, 1)], "{way:?}");
    }
}

#[test]
fn all_dialects_share_one_swarm() {
    let program = start();
    program.announce(Way::UdpV4, &Ask::seeder(TORRENT, 1001));
    program.announce(Way::HttpV6, &Ask::seeder(TORRENT, 1002));
    let http = program.announce(Way::HttpV4, &Ask::leecher(TORRENT, 1003));
    assert_eq!((http.complete, http.incomplete, http.peers.len()), (2, 1, 2));
    assert!(http.peers.contains(&"127.0.0.1:1001".parse().unwrap()));
    assert!(http.peers.contains(&"[::1]:1002".parse().unwrap()));
    // UDP tells the family of its socket.
    let udp = program.announce(Way::UdpV6, &Ask::leecher(TORRENT, 1004));
    assert_eq!(udp.peers, ["[::1]:1002".parse().unwrap()]);
    assert_eq!((udp.complete, udp.incomplete), (2, 2));
    for way in WAYS {
        assert_eq!(program.scrape(way, &[TORRENT]), [(2, 0, 2)], "{way:?}");
    }
    // What came over UDP may leave over HTTP: a peer is its endpoint.
    program.announce(Way::HttpV4, &Ask::seeder(TORRENT, 1001).event("stopped"));
    assert_eq!(program.scrape(Way::UdpV4, &[TORRENT]), [(1, 0, 2)]);
}

#[test]
fn a_client_on_both_families_counts_once_even_over_two_dialects() {
    let program = start();
    let ask = Ask { key: 0xABCD_EF01, ..Ask::leecher(TORRENT, 1001) };
    program.announce(Way::HttpV4, &ask);
    let second = program.announce(Way::UdpV6, &ask);
    assert_eq!((second.complete, second.incomplete, second.peers), (0, 1, vec![]));
    let other = program.announce(Way::HttpV6, &Ask::leecher(TORRENT, 1002));
    assert_eq!((other.incomplete, other.peers.len()), (2, 2), "both addresses are handed out");
}

#[test]
fn a_partial_seed_that_wants_more_again_is_a_downloader_again() {
    let program = start();
    let downloaders = || {
        let (_, body) = program.get(&format!("/scrape?info_hash={}", crate::rig::escape(&TORRENT)));
        let text = String::from_utf8_lossy(&body).into_owned();
        text.split("downloadersi").nth(1).unwrap().split('e').next().unwrap().to_owned()
    };
    let peer = Ask::leecher(TORRENT, 1001);
    program.announce(Way::HttpV4, &peer.event("paused"));
    assert_eq!(downloaders(), "0");
    program.announce(Way::HttpV4, &peer.event(""));
    assert_eq!(downloaders(), "1");
}

#[test]
fn nobody_can_touch_another_endpoints_record() {
    let program = start();
    program.announce(Way::HttpV4, &Ask::seeder(TORRENT, 1001));
    // The same peer id and port from another address.
    let thief = Ask::seeder(TORRENT, 1001).event("stopped");
    program.announce(Way::HttpV6, &thief);
    assert_eq!(program.scrape(Way::HttpV4, &[TORRENT]), [(1, 0, 0)]);
}

#[test]
fn numwant_is_obeyed_and_capped_over_every_dialect() {
    let program = start();
    for port in 2000..2250 {
        program.announce(Way::UdpV4, &Ask::leecher(TORRENT, port));
        program.announce(Way::UdpV6, &Ask::leecher(TORRENT, port + 1000));
    }
    for (way, numwant, expected) in [
        (Way::HttpV4, -1, 50),
        (Way::HttpV4, 0, 0),
        (Way::HttpV4, 7, 7),
        (Way::HttpV4, 1_000_000, 200),
        (Way::UdpV4, -1, 50),
        (Way::UdpV4, 0, 0),
        (Way::UdpV4, 7, 7),
        (Way::UdpV4, 1_000_000, 200),
        (Way::UdpV6, 1_000_000, 66),
    ] {
        let answer = program.announce(way, &Ask { numwant, ..Ask::leecher(TORRENT, 1001) });
        assert_eq!(answer.peers.len(), expected, "{way:?} numwant {numwant}");
        let mut different = answer.peers.clone();
        different.sort();
        different.dedup();
        assert_eq!(different.len(), expected, "{way:?}: no peer twice");
    }
}

#[test]
fn intervals_are_spread_around_the_configured_one() {
    let program = start_with("[announce]\ninterval_secs = 1000\nmin_interval_secs = 77\n");
    for way in WAYS {
        let intervals: Vec<u64> =
            (0..40).map(|_| program.announce(way, &Ask::leecher(TORRENT, 1001)).interval).collect();
        assert!(intervals.iter().all(|interval| (900..=1100).contains(interval)), "{way:?} {intervals:?}");
        assert!(intervals.iter().any(|interval| *interval != intervals[0]), "{way:?}: all the same");
    }
}

#[test]
fn limits_hold_for_the_program_too_and_are_counted() {
    let program = start_with(
        "[limits]\npeers_per_swarm_max = 3\npeers_per_address_and_swarm_max = 5\nlimit_local_addresses = true\n",
    );
    for port in 1001..=1005 {
        program.announce(Way::UdpV4, &Ask::leecher(TORRENT, port));
    }
    assert_eq!(program.scrape(Way::HttpV4, &[TORRENT]), [(0, 0, 3)]);
    let evicted = "evenkeel_requests_total{dialect=\"udp\",reason=\"announced_after_eviction\"}";
    assert_eq!(program.metric(evicted), 2.0);
}
