use super::*;
use crate::Event;
use crate::limits::OFFERS_MAX;

const TORRENT: InfoHash = InfoHash(*b"tttttttttttttttttttt");
const PEER: PeerId = PeerId(*b"-WW0091-abcdefghijkl");

/// The head of every announce in these tests.
const HEAD: &str =
    r#"{"action":"announce","info_hash":"tttttttttttttttttttt","peer_id":"-WW0091-abcdefghijkl""#;

fn read(rest: &str) -> Result<(Announce, usize, usize), Failure> {
    let message = format!("{HEAD}{rest}}}");
    match decode(message.as_bytes()) {
        Ok(Message::Announce(ask, offers)) => Ok((ask, offers.list.len(), offers.dropped)),
        Ok(other) => panic!("{other:?}"),
        Err(refused) => Err(refused.failure),
    }
}

fn failure(message: &str) -> (Failure, Subject) {
    let refused = decode(message.as_bytes()).unwrap_err();
    (refused.failure, refused.subject)
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn an_announce_is_read_field_by_field() {
    let (ask, offers, dropped) = read(
        r#","uploaded":1,"downloaded":2,"left":3,"event":"started","numwant":50,"offers":[
            {"offer":{"type":"offer","sdp":"v=0"},"offer_id":"01234567890123456789"}]"#,
    )
    .unwrap();
    assert_eq!((offers, dropped), (1, 0));
    let expected = Announce {
        info_hash: TORRENT,
        peer_id: PEER,
        port: 0,
        uploaded: 1,
        downloaded: 2,
        left: Some(3),
        event: Event::Started,
        numwant: Some(1),
        key: Key::NONE,
    };
    assert_eq!(ask, expected);
}

#[test]
fn binary_strings_are_read_escaped_and_as_utf_8() {
    let bytes: [u8; 20] = *b"\x00\x09\n\x1f !\"\\/az~\x7f\x80\x9f\xa0\xc3\xe9\xfe\xff";
    let escaped: String = bytes.iter().map(|byte| format!("\\u00{byte:02x}")).collect();
    let plain = written(|out| write_twenty(out, &bytes));
    let short = (r#""\b\f\n\r\t\"\\\/\u00E9 3456789012""#.to_owned(), *b"\x08\x0C\n\r\t\"\\/\xE9 3456789012");
    for (text, bytes) in [(format!("\"{escaped}\""), bytes), (plain, bytes), short] {
        let message = format!(r#"{{"action":"scrape","info_hash":{text}}}"#);
        let Ok(Message::Scrape(scrape)) = decode(message.as_bytes()) else { panic!("{message}") };
        assert_eq!(scrape.hashes(), [InfoHash(bytes)]);
    }
}

#[test]
fn every_byte_is_written_as_a_character_that_json_reads_back() {
    for first in (0..=255_u8).step_by(20) {
        let bytes: [u8; 20] = std::array::from_fn(|at| first.wrapping_add(u8::try_from(at).unwrap()));
        let text = written(|out| write_twenty(out, &bytes));
        let read: String = serde_json::from_str(&text).unwrap();
        assert!(read.chars().map(u32::from).eq(bytes.iter().copied().map(u32::from)), "{text}");
    }
}

#[test]
fn a_string_that_is_not_20_bytes_names_nobody() {
    for wrong in [
        r#""""#,
        r#""ttttttttttttttttttt""#,
        r#""ttttttttttttttttttttt""#,
        r#""ttttttttttttttttttt\u0100""#,
        r#""ttttttttttttttttttt\ud800""#,
        "\"tttttttttttttttttttt\u{20AC}\"",
        "7",
        "null",
        "[]",
        "{}",
        "true",
    ] {
        let message =
            format!(r#"{{"action":"announce","info_hash":{wrong},"peer_id":"-WW0091-abcdefghijkl"}}"#);
        assert_eq!(failure(&message), (Failure::InfoHash, Subject::Unknown), "{wrong}");
        let message =
            format!(r#"{{"action":"announce","info_hash":"tttttttttttttttttttt","peer_id":{wrong}}}"#);
        assert_eq!(failure(&message), (Failure::PeerId, Subject::Announce(TORRENT)), "{wrong}");
        let rest = format!(r#"{HEAD},"answer":{{}},"to_peer_id":{wrong}}}"#);
        assert_eq!(failure(&rest), (Failure::ToPeerId, Subject::Announce(TORRENT)), "{wrong}");
    }
}

#[test]
fn what_is_no_json_object_is_refused() {
    for wrong in [
        "",
        " ",
        "x",
        "null",
        "7",
        "\"announce\"",
        "[\"announce\"]",
        "{",
        "{}x",
        "{\"action\"}",
        "{'action':'announce'}",
        r#"{"action":"announce","action":"scrape"}"#,
        "{\"action\":\"\u{0}\"}",
    ] {
        assert_eq!(failure(wrong), (Failure::Json, Subject::Unknown), "{wrong}");
    }
    assert_eq!(decode(b"{\"action\":\"\xFF\"}").unwrap_err().failure, Failure::Json);
    let nested = format!("{{\"x\":{}{},\"action\":\"nested\"}}", "[".repeat(30_000), "]".repeat(30_000));
    assert_eq!(failure(&nested).0, Failure::Action, "depth costs no stack");
}

#[test]
fn an_unknown_action_is_refused() {
    for wrong in
        ["{}", r#"{"action":"connect"}"#, r#"{"action":1}"#, r#"{"action":null}"#, r#"{"action":""}"#]
    {
        assert_eq!(failure(wrong), (Failure::Action, Subject::Unknown), "{wrong}");
    }
}

#[test]
fn left_reads_as_nothing_only_when_it_says_so() {
    for (text, left) in [
        ("0", Some(0)),
        ("\"0\"", Some(0)),
        ("0.0", Some(0)),
        ("0.1", Some(1)),
        ("1e3", Some(1000)),
        ("\"16384\"", Some(16384)),
        ("18446744073709551615", Some(u64::MAX)),
        ("99999999999999999999999", Some(u64::MAX)),
        ("null", None),
        ("-1", None),
        ("\"\"", None),
        ("\"many\"", None),
        ("[]", None),
        ("true", None),
    ] {
        assert_eq!(read(&format!(",\"left\":{text}")).unwrap().0.left, left, "{text}");
    }
    assert_eq!(read("").unwrap().0.left, None);
}

#[test]
fn an_event_of_the_wrong_type_is_an_unknown_one() {
    for (text, event) in [
        ("\"completed\"", Event::Completed),
        ("\"stopped\"", Event::Stopped),
        ("\"update\"", Event::Update),
        ("\"\"", Event::Update),
        ("null", Event::Update),
        ("\"melted\"", Event::Unknown),
        ("3", Event::Unknown),
    ] {
        assert_eq!(read(&format!(",\"event\":{text}")).unwrap().0.event, event, "{text}");
    }
}

#[test]
fn offers_are_taken_as_far_as_they_can_be_passed_on() {
    let id = r#""offer_id":"01234567890123456789""#;
    let many = vec![format!("{{\"offer\":{{}},{id}}}"); 1000].join(",");
    let long = format!("{{\"offer\":{{\"sdp\":\"{}\"}},{id}}}", "x".repeat(SDP_BYTES_MAX));
    for (offers, taken, dropped) in [
        ("[]", 0, 0),
        ("null", 0, 0),
        ("7", 0, 0),
        ("{}", 0, 0),
        ("[null]", 0, 1),
        ("[null,7,\"x\",[],[{}],true]", 0, 6),
        ("[{}]", 1, 0),
        ("[{\"fake_offer\":\"fake_offer_0\"}]", 1, 0),
        ("[{\"offer\":{\"sdp\":1}}]", 1, 0),
        ("[{\"offer\":\"text\"}]", 0, 1),
        ("[{\"offer\":{},\"offer_id\":\"short\"}]", 0, 1),
        ("[{\"offer\":{},\"offer_id\":7},{}]", 1, 1),
        (&format!("[{many}]"), OFFERS_MAX, 1000 - OFFERS_MAX),
        (&format!("[{long}]"), 0, 1),
    ] {
        let (ask, offers_taken, offers_dropped) = read(&format!(",\"offers\":{offers}")).unwrap();
        assert_eq!((offers_taken, offers_dropped), (taken, dropped), "{offers:.60}");
        assert_eq!(ask.numwant.map(|want| want as usize), Some(taken));
    }
}

#[test]
fn an_offer_is_passed_on_as_it_came() {
    let sdp = r#"{ "type" : "offer", "sdp": "v=0\r\no=- 1 2 IN IP4 127.0.0.1 \u00e9 é", "x":[1.50, 1e2] }"#;
    let message = format!(r#"{HEAD},"offers":[{{"offer":{sdp},"offer_id":"01234567890123456789"}}]}}"#);
    let Ok(Message::Announce(ask, offers)) = decode(message.as_bytes()) else { panic!() };
    let head = written(|out| write_relay_head(out, &ask.info_hash, &ask.peer_id));
    let out = written(|out| write_offer(out, head.as_bytes(), &offers.list[0]));
    let expected = format!(
        r#"{{"action":"announce","info_hash":"tttttttttttttttttttt","peer_id":"-WW0091-abcdefghijkl","offer":{sdp},"offer_id":"01234567890123456789"}}"#
    );
    assert_eq!(out, expected);
}

#[test]
fn half_an_offer_is_passed_on_as_half() {
    let head = written(|out| write_relay_head(out, &TORRENT, &PEER));
    let out = written(|out| write_offer(out, head.as_bytes(), &Offer { id: None, sdp: None }));
    assert_eq!(
        out,
        r#"{"action":"announce","info_hash":"tttttttttttttttttttt","peer_id":"-WW0091-abcdefghijkl"}"#
    );
}

#[test]
fn an_answer_is_read_and_passed_on_as_it_came() {
    let sdp = r#"{"type":"answer","sdp":"v=0\r\n"}"#;
    let message = format!(
        r#"{HEAD},"to_peer_id":"-WW0091-000000000000","offer_id":"01234567890123456789","answer":{sdp}}}"#
    );
    let Ok(Message::Answer(answer)) = decode(message.as_bytes()) else { panic!() };
    let expected = Answer {
        info_hash: TORRENT,
        peer_id: PEER,
        to_peer_id: PeerId(*b"-WW0091-000000000000"),
        offer_id: Some(OfferId(*b"01234567890123456789")),
        sdp,
    };
    assert_eq!(answer, expected);
    assert_eq!(
        written(|out| write_answer(out, &answer)),
        format!(
            r#"{{"action":"announce","info_hash":"tttttttttttttttttttt","peer_id":"-WW0091-abcdefghijkl","answer":{sdp},"offer_id":"01234567890123456789"}}"#
        )
    );
}

#[test]
fn an_answer_that_is_none_is_an_announce() {
    for none in ["null", "false", "0", "\"\""] {
        assert!(read(&format!(",\"answer\":{none}")).is_ok(), "{none}");
    }
}

#[test]
fn an_answer_that_cannot_be_passed_on_is_refused() {
    let long = format!("{{\"sdp\":\"{}\"}}", "x".repeat(SDP_BYTES_MAX));
    for wrong in ["7", "\"v=0\"", "[]", "true", &long] {
        let message = format!(r#"{HEAD},"to_peer_id":"-WW0091-000000000000","answer":{wrong}}}"#);
        assert_eq!(failure(&message).0, Failure::Sdp, "{wrong:.20}");
    }
}

#[test]
fn a_scrape_names_one_torrent_some_or_all() {
    let hashes = |message: &str| match decode(message.as_bytes()) {
        Ok(Message::Scrape(scrape)) => Ok(scrape.hashes().len()),
        Ok(Message::ScrapeAll) => Ok(0),
        Ok(other) => panic!("{other:?}"),
        Err(refused) => {
            assert_eq!(refused.subject, Subject::Scrape);
            Err(refused.failure)
        }
    };
    let one = r#""tttttttttttttttttttt""#;
    let list = |count| vec![one; count].join(",");
    let of = |info_hash: &str| hashes(&format!(r#"{{"action":"scrape","info_hash":{info_hash}}}"#));
    assert_eq!(hashes(r#"{"action":"scrape"}"#), Ok(0));
    assert_eq!(of("null"), Ok(0));
    assert_eq!(of(one), Ok(1));
    assert_eq!(of(&format!("[{}]", list(74))), Ok(74));
    assert_eq!(of(&format!("[{}]", list(75))), Err(Failure::TooManyHashes));
    assert_eq!(of("[]"), Err(Failure::NoHashes));
    for wrong in ["7", "\"x\"", "[7]", "[null]", "{}"] {
        assert_eq!(of(wrong), Err(Failure::InfoHash), "{wrong}");
    }
}

#[test]
fn replies_are_what_clients_read() {
    let stats = Stats { seeders: 1, leechers: 2, partial: 3, downloaded: 4 };
    let reply = Reply { stats, interval_secs: 120, min_interval_secs: 60, warning: None };
    assert_eq!(
        written(|out| write_announce(out, &TORRENT, &reply)),
        r#"{"action":"announce","complete":1,"incomplete":5,"info_hash":"tttttttttttttttttttt","interval":120,"min interval":60}"#
    );
    assert_eq!(
        written(|out| write_scrape(
            out,
            [(TORRENT, stats), (InfoHash([b'"'; 20]), Stats::default())].into_iter(),
            9
        )),
        format!(
            r#"{{"action":"scrape","files":{{"tttttttttttttttttttt":{{"complete":1,"downloaded":4,"incomplete":5}},"{}":{{"complete":0,"downloaded":0,"incomplete":0}}}},"flags":{{"min_request_interval":9}}}}"#,
            "\\\"".repeat(20)
        )
    );
    let warned = Reply { warning: Some(crate::Warning::AddressLimit), ..reply };
    assert!(
        written(|out| write_announce(out, &TORRENT, &warned)).contains(r#","warning message":"your address"#)
    );
}

#[test]
fn a_refusal_says_what_it_refuses_as_far_as_that_is_known() {
    for (subject, expected) in [
        (Subject::Unknown, r#"{"failure reason":"TEXT","interval":1800}"#),
        (Subject::Scrape, r#"{"action":"scrape","failure reason":"TEXT","interval":1800}"#),
        (
            Subject::Announce(TORRENT),
            r#"{"action":"announce","failure reason":"TEXT","info_hash":"tttttttttttttttttttt","interval":1800}"#,
        ),
    ] {
        let out = written(|out| write_failure(out, &Refused { failure: Failure::PeerId, subject }));
        assert_eq!(out, expected.replace("TEXT", Failure::PeerId.text()));
    }
}

#[test]
fn every_text_is_json_as_it_is() {
    for failure in Failure::ALL {
        let out = written(|out| write_failure(out, &Refused { failure, subject: Subject::Unknown }));
        assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok(), "{out}");
    }
}
