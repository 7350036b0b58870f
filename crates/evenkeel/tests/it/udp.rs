//! What only UDP has: connection ids, silence, odd packets.

use std::net::UdpSocket;

use crate::rig::{Ask, Way, assert_silence, connect, exchange, start, start_in, udp_announce};

const WAYS: [Way; 2] = [Way::UdpV4, Way::UdpV6];

#[test]
fn an_id_works_from_its_address_and_from_no_other() {
    let program = start();
    let mine = program.udp(Way::UdpV4);
    let id = connect(&mine);
    let ask = Ask::leecher([1; 20], 1001);
    assert_eq!(exchange(&mine, &udp_announce(id, &ask)).unwrap().len(), 20);
    // Another port of the same address is the same client behind the same NAT.
    assert_eq!(exchange(&program.udp(Way::UdpV4), &udp_announce(id, &ask)).unwrap().len(), 20);
    let other = UdpSocket::bind("127.0.0.2:0").unwrap();
    other.connect(program.address(Way::UdpV4)).unwrap();
    other.set_read_timeout(Some(crate::rig::PATIENCE)).unwrap();
    assert_silence(&other, &[udp_announce(id, &ask)]);
    assert_silence(&program.udp(Way::UdpV6), &[udp_announce(id, &ask)]);
}

#[test]
fn the_constant_of_the_protocol_is_no_id() {
    let program = start();
    for way in WAYS {
        let constant = [0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80];
        let scrape = [&constant[..], &[0, 0, 0, 2, 9, 9, 9, 9], &[1; 20]].concat();
        assert_silence(&program.udp(way), &[udp_announce(constant, &Ask::leecher([1; 20], 1001)), scrape]);
    }
}

#[test]
fn ids_outlive_a_restart() {
    let program = start();
    let id = connect(&program.udp(Way::UdpV4));
    program.signal("TERM");
    let (_, folder) = program.wait();
    let program = start_in(folder, "");
    let answer = exchange(&program.udp(Way::UdpV4), &udp_announce(id, &Ask::leecher([1; 20], 1001)));
    assert_eq!(answer.unwrap().len(), 20);
}

#[test]
fn garbage_gets_silence() {
    let program = start();
    let announce = |id| udp_announce(id, &Ask::leecher([1; 20], 1001));
    let mut packets =
        vec![vec![], vec![0], vec![0; 15], vec![0; 16], vec![0xFF; 98], vec![7; 1400], vec![0; 2000]];
    packets.push(announce([0; 8]));
    packets.push(announce([0xFF; 8])[..50].to_vec());
    for way in WAYS {
        assert_silence(&program.udp(way), &packets);
    }
    assert!(program.metric("evenkeel_requests_total{dialect=\"udp\",reason=\"garbage\"}") >= 4.0);
    assert!(program.metric("evenkeel_requests_total{dialect=\"udp\",reason=\"connection_id\"}") >= 4.0);
    assert_eq!(program.metric("evenkeel_swarms"), 0.0);
}

#[test]
fn a_proven_sender_is_told_what_is_wrong() {
    let program = start();
    for way in WAYS {
        let socket = program.udp(way);
        let id = connect(&socket);
        let head = |action| [&id[..], &[0, 0, 0, action, 9, 9, 9, 9]].concat();
        let announce = udp_announce(id, &Ask::leecher([1; 20], 1001));
        for (packet, text) in [
            (announce[..97].to_vec(), "ends too early"),
            (head(1), "ends too early"),
            (udp_announce(id, &Ask { port: 0, ..Ask::leecher([1; 20], 1) }), "port must be"),
            (head(2), "name at least one"),
            ([head(2), vec![1; 30]].concat(), "ends too early"),
            ([head(2), vec![1; 75 * 20]].concat(), "at most 74"),
            (head(9), "unknown action"),
        ] {
            let reply = exchange(&socket, &packet).unwrap();
            assert_eq!(reply[..8], [0, 0, 0, 3, 9, 9, 9, 9]);
            let told = String::from_utf8_lossy(&reply[8..]).into_owned();
            assert!(told.contains(text), "{way:?}: {told}");
        }
    }
}

#[test]
fn bytes_after_an_announce_are_tolerated() {
    let program = start();
    let socket = program.udp(Way::UdpV4);
    let announce = udp_announce(connect(&socket), &Ask::leecher([1; 20], 1001));
    for tail in
        [&[0, 0][..], &[2, 9, b'/', b'a', b'n', b'n', b'o', b'u', b'n', b'c', b'e'], &[2, 255, 1], &[9; 300]]
    {
        let reply = exchange(&socket, &[&announce, tail].concat()).unwrap();
        assert_eq!(reply[..4], [0, 0, 0, 1], "{}", tail.escape_ascii());
    }
}

#[test]
fn unknown_events_and_the_ip_field_are_ignored() {
    let program = start();
    let socket = program.udp(Way::UdpV4);
    let mut announce = udp_announce(connect(&socket), &Ask::seeder([1; 20], 1001));
    announce[80..84].copy_from_slice(&77_u32.to_be_bytes());
    announce[84..88].copy_from_slice(&[8, 8, 8, 8]);
    assert_eq!(exchange(&socket, &announce).unwrap()[..4], [0, 0, 0, 1]);
    let peers = program.announce(Way::UdpV4, &Ask::leecher([1; 20], 1002)).peers;
    assert_eq!(peers, ["127.0.0.1:1001".parse().unwrap()]);
}

#[test]
fn the_answer_comes_from_the_address_that_was_asked() {
    let program = start();
    // A connected socket only hears the address that it asked.
    let socket = UdpSocket::bind("127.0.0.9:0").unwrap();
    socket.connect(("127.0.0.77", program.port)).unwrap();
    socket.set_read_timeout(Some(crate::rig::PATIENCE)).unwrap();
    connect(&socket);
}

#[test]
fn many_packets_at_once_are_all_answered() {
    let program = start();
    let socket = program.udp(Way::UdpV4);
    let id = connect(&socket);
    let mut reply = [0; 2048];
    // As many at once as fit the receive buffer of this side, with room to spare.
    for ports in [1..=40, 41..=80, 81..=120, 121..=160, 161..=200] {
        for port in ports.clone() {
            socket.send(&udp_announce(id, &Ask::leecher([1; 20], port))).unwrap();
        }
        for _ in ports {
            socket.recv(&mut reply).unwrap();
            assert_eq!(reply[..4], [0, 0, 0, 1]);
        }
    }
    assert_eq!(program.scrape(Way::UdpV4, &[[1; 20]]), [(0, 0, 200)]);
}
