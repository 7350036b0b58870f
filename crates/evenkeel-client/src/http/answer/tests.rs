use evenkeel_wire::Stats;

use super::*;

fn addresses(response: &AnnounceResponse) -> Vec<String> {
    response.peers.iter().map(|peer| peer.addr.to_string()).collect()
}

#[test]
fn every_field_of_an_announce_is_read() {
    let body = b"d8:completei3e10:downloadedi9e11:external ip4:\x01\x02\x03\x0410:incompletei5e\
        8:intervali1800e12:min intervali900e5:peers12:\x01\x02\x03\x04\x1a\xe1\x05\x06\x07\x08\x00\x50\
        6:peers618:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe1\
        10:tracker id3:\xff\0a15:warning message4:slowe";
    let response = announce(body).unwrap();
    assert_eq!(addresses(&response), ["1.2.3.4:6881", "5.6.7.8:80", "[2001:db8::1]:6881"]);
    let expected = AnnounceResponse {
        interval: Some(Duration::from_secs(1800)),
        min_interval: Some(Duration::from_secs(900)),
        seeders: Some(3),
        leechers: Some(5),
        downloaded: Some(9),
        peers: response.peers.clone(),
        unusable_peers: 0,
        warning: Some("slow".into()),
        external_ip: Some("1.2.3.4".parse().unwrap()),
        tracker_id: Some(b"\xff\0a".to_vec()),
    };
    assert_eq!(response, expected);
}

#[test]
fn an_empty_dictionary_says_nothing() {
    assert_eq!(announce(b"de").unwrap(), AnnounceResponse::default());
}

#[test]
fn dictionary_peers_are_read_and_those_that_nobody_could_dial_are_counted() {
    let body = b"d5:peersl\
        d2:ip7:1.2.3.47:peer id20:-XX0001-abcdefghijkl4:porti6881ee\
        d4:porti6881e2:ip11:2001:db8::1e\
        d2:ip7:1.2.3.47:peer id3:abc4:porti1ee\
        d2:ip9:a.example4:porti1ee\
        d2:ip7:1.2.3.44:porti0ee\
        d2:ip7:1.2.3.44:porti65536ee\
        d4:porti1ee3:abce6:peers6l\
        d2:ip3:::24:porti5eeee";
    let response = announce(body).unwrap();
    assert_eq!(addresses(&response), ["1.2.3.4:6881", "[2001:db8::1]:6881", "1.2.3.4:1", "[::2]:5"]);
    assert_eq!(response.peers[0].id, Some(PeerId(*b"-XX0001-abcdefghijkl")));
    assert!(response.peers[1..].iter().all(|peer| peer.id.is_none()));
    assert_eq!(response.unusable_peers, 5);
}

#[test]
fn a_compact_peer_of_port_0_is_counted_and_left_out() {
    let response = announce(b"d5:peers12:\x01\x02\x03\x04\0\0\x01\x02\x03\x04\0\x01e").unwrap();
    assert_eq!((addresses(&response), response.unusable_peers), (vec!["1.2.3.4:1".into()], 1));
}

#[test]
fn a_refusal_keeps_its_text_and_says_when_to_come_back() {
    let minutes = |minutes| Some(Retry::Minutes(minutes));
    for (body, expected) in [
        (&b"d14:failure reason2:noe"[..], None),
        (b"d14:failure reason2:no8:retry ini5ee", minutes(5)),
        (b"d14:failure reason2:no8:retry in1:7e", minutes(7)),
        (b"d14:failure reason2:no8:retry in5:nevere", Some(Retry::Never)),
        (b"d8:retry in5:never14:failure reason2:noe", Some(Retry::Never)),
        (b"d14:failure reason2:no8:retry in4:soone", None),
    ] {
        let Err(Error::Tracker { reason, retry, interval: None }) = announce(body) else { panic!() };
        assert_eq!((reason.as_str(), retry), ("no", expected));
    }
    let error = announce(b"d14:failure reason3:\xffno8:intervali60ee").unwrap_err();
    assert_eq!(error.to_string(), "the tracker refused: \u{fffd}no");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(60)));
}

#[test]
fn what_is_not_an_answer_is_malformed() {
    for body in [
        &b""[..],
        b"<html>",
        b"le",
        b"d5:peers",
        b"d5:peers7:\x01\x02\x03\x04\0\x01\x01e",
        b"d5:peersi5ee",
        b"d6:peers66:\x01\x02\x03\x04\0\x01e",
        b"d14:failure reasoni5ee",
    ] {
        assert!(matches!(announce(body), Err(Error::Malformed(_))), "{}", body.escape_ascii());
    }
}

#[test]
fn an_external_address_has_three_forms() {
    for (bytes, expected) in [
        (&b"\x01\x02\x03\x04"[..], Some("1.2.3.4")),
        (b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", Some("2001:db8::1")),
        (b"1.2.3.4", Some("1.2.3.4")),
        (b"", None),
        (b"abcde", None),
    ] {
        assert_eq!(external_ip(bytes), expected.map(|ip| ip.parse().unwrap()));
    }
}

#[test]
fn a_scrape_holds_what_was_asked_for() {
    let (a, b, c) = (InfoHash([0xFF; 20]), InfoHash([b'b'; 20]), InfoHash([b'c'; 20]));
    let entry = |hash: InfoHash, counts: &[u8]| [b"20:", hash.0.as_slice(), counts].concat();
    let body = [
        b"d5:filesd".as_slice(),
        &entry(a, b"d10:downloadedi7e8:completei1e10:incompletei5e11:downloadersi2ee"),
        &entry(b, b"d8:completei4ee"),
        b"e5:flagsd20:min_request_intervali900eee",
    ]
    .concat();
    let response = scrape(&body, &[a, c]).unwrap();
    assert_eq!(response.torrents.len(), 1, "b was not asked for, c is not known");
    assert_eq!(response.get(a), Some(Stats { seeders: 1, leechers: 2, partial: 3, downloaded: 7 }));
    assert_eq!(response.min_request_interval, Some(Duration::from_secs(900)));
}

#[test]
fn a_hash_that_was_written_as_text_is_still_the_hash() {
    let body = [b"d5:filesd40:", "\u{ab}".repeat(20).as_bytes(), b"d8:completei1eeee"].concat();
    let hash = InfoHash([0xAB; 20]);
    assert_eq!(scrape(&body, &[hash]).unwrap().get(hash).unwrap().seeders, 1);
}

#[test]
fn a_scrape_without_files_or_with_a_short_hash_is_malformed() {
    for body in [&b"de"[..], b"d5:filesle", b"d5:filesd3:abcdeee", b"d5:filesi1ee"] {
        assert!(matches!(scrape(body, &[]), Err(Error::Malformed(_))), "{}", body.escape_ascii());
    }
    assert!(matches!(scrape(b"d14:failure reason2:noe", &[]), Err(Error::Tracker { .. })));
}
