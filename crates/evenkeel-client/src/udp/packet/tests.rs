use evenkeel_wire::udp::{Ask, Request, decode};
use evenkeel_wire::{PeerId, Stats};

use super::*;

/// Bytes written as hex, spaces for the eye.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn ask() -> Announce {
    Announce {
        info_hash: InfoHash([0x11; 20]),
        peer_id: PeerId(*b"-XX0001-abcdefghijkl"),
        port: 6881,
        uploaded: 7,
        downloaded: 5,
        left: Some(6),
        event: Event::Started,
        numwant: None,
        key: Key::from_number(9),
    }
}

fn v4() -> SocketAddr {
    "1.2.3.4:5".parse().unwrap()
}

#[test]
fn requests_have_the_bytes_of_bep_15() {
    assert_eq!(connect(0xAABB_CCDD), hex("0000041727101980 00000000 aabbccdd"));
    let mut packet = announce(&ask(), "/");
    address(&mut packet, 0x0102_0304_0506_0708, 0xAABB_CCDD);
    let expected = hex("
        0102030405060708 00000001 aabbccdd
        1111111111111111111111111111111111111111
        2d5858303030312d6162636465666768696a6b6c
        0000000000000005 0000000000000006 0000000000000007
        00000002 00000000 00000009 ffffffff 1ae1");
    assert_eq!(packet, expected);
    let mut packet = scrape(&[InfoHash([1; 20]), InfoHash([2; 20])]);
    address(&mut packet, 1, 2);
    assert_eq!(packet, [hex("0000000000000001 00000002 00000002"), vec![1; 20], vec![2; 20]].concat());
}

#[test]
fn an_announce_comes_out_of_the_tracker_s_decoder_as_it_went_in() {
    let events = [Event::Update, Event::Completed, Event::Started, Event::Stopped, Event::Paused];
    for (event, numwant) in events.into_iter().zip([None, Some(0), Some(1), Some(200), Some(74)]) {
        let ask = Announce { event, numwant, ..ask() };
        let packet = announce(&ask, "/");
        let Some(Request::Claimed { ask: Ok(Ask::Announce(read, url)), .. }) = decode(&packet) else {
            panic!()
        };
        assert_eq!(read, ask);
        assert_eq!(url.pieces().count(), 0);
    }
}

#[test]
fn missing_figures_are_the_largest_numbers() {
    let packet = announce(&Announce { left: None, numwant: Some(u32::MAX), ..ask() }, "/");
    assert_eq!(packet[64..72], [0xFF; 8]);
    assert_eq!(packet[92..96], hex("7fffffff"));
}

#[test]
fn path_and_query_travel_in_pieces_of_at_most_255_bytes() {
    assert_eq!(announce(&ask(), "/a?b=c")[98..], *b"\x02\x06/a?b=c");
    for len in [1, 254, 255, 256, 510, 511] {
        let text = "x".repeat(len);
        let packet = announce(&ask(), &text);
        assert_eq!(packet.len(), 98 + len + 2 * len.div_ceil(255));
        let Some(Request::Claimed { ask: Ok(Ask::Announce(_, url)), .. }) = decode(&packet) else { panic!() };
        assert_eq!(url.pieces().collect::<Vec<_>>().concat(), text.as_bytes());
    }
}

#[test]
fn a_key_of_any_length_becomes_a_number() {
    for (text, number) in [
        (&b""[..], 0),
        (b"0000000f", 15),
        (b"\x01\x02\x03\x04", 0x0102_0304),
        (b"a", 0xE40C_292C),      // a known value of FNV-1a
        (b"foobar", 0xBF9C_F968), // another
    ] {
        assert_eq!(key(&Key::from_text(text)), number, "{}", text.escape_ascii());
    }
}

#[test]
fn only_the_reply_to_the_transaction_counts() {
    let expected = (Action::Announce, 0xAABB_CCDD);
    for (datagram, answer) in [
        ("", Some(false)),
        ("00000001 aabbcc", Some(false)),
        ("00000001 aabbccde", Some(false)),
        ("00000003 aabbccde 78", Some(false)),
        ("00000001 aabbccdd", Some(true)),
        ("00000002 aabbccdd", None),
    ] {
        assert_eq!(is_reply(&hex(datagram), expected).ok(), answer, "{datagram}");
    }
    for (datagram, reason) in [("00000003 aabbccdd 6e6f", "no"), ("00000003aabbccdd 6e6f 00 00", "no")] {
        let error = is_reply(&hex(datagram), expected).unwrap_err();
        assert_eq!(error.to_string(), format!("the tracker refused: {reason}"));
    }
}

#[test]
fn replies_are_read_from_the_bytes_of_bep_15() {
    let reply = hex("00000000 aabbccdd 1122334455667788");
    assert_eq!(read_connect(&reply).unwrap(), 0x1122_3344_5566_7788);
    let reply = hex("00000001 aabbccdd 00000708 00000005 00000001 01020304 1ae1 05060708 0000");
    let response = read_announce(&reply, v4()).unwrap();
    let expected = AnnounceResponse {
        interval: Some(Duration::from_secs(1800)),
        seeders: Some(1),
        leechers: Some(5),
        peers: vec![Peer { addr: "1.2.3.4:6881".parse().unwrap(), id: None }],
        unusable_peers: 1,
        ..AnnounceResponse::default()
    };
    assert_eq!(response, expected);
    let reply = hex("00000001 aabbccdd 00000708 00000005 00000001 20010db8000000000000000000000001 1ae1");
    let response = read_announce(&reply, "[::1]:5".parse().unwrap()).unwrap();
    assert_eq!(response.peers, [Peer { addr: "[2001:db8::1]:6881".parse().unwrap(), id: None }]);
    let reply = hex("00000002 aabbccdd 00000001 00000004 00000005 00000000 00000000 00000000");
    let (a, b) = (InfoHash([1; 20]), InfoHash([2; 20]));
    let response = read_scrape(&reply, &[b, a]).unwrap();
    assert_eq!(response.get(b), Some(Stats { seeders: 1, leechers: 5, partial: 0, downloaded: 4 }));
    assert_eq!(response.get(a), Some(Stats::default()));
}

#[test]
fn replies_that_are_cut_off_are_malformed() {
    let malformed = |error: Option<Error>| matches!(error, Some(Error::Malformed(_)));
    let whole = [0; 20 + 6];
    for len in 0..16 {
        assert!(malformed(read_connect(&whole[..len]).err()), "{len}");
    }
    for len in (0..20).chain(21..26) {
        assert!(malformed(read_announce(&whole[..len], v4()).err()), "{len}");
    }
    for len in 0..20 {
        assert!(malformed(read_scrape(&whole[..len], &[InfoHash([0; 20])]).err()), "{len}");
    }
    assert!(read_announce(&whole[..20], v4()).is_ok());
    assert!(read_scrape(&whole[..20], &[InfoHash([0; 20])]).is_ok());
}
