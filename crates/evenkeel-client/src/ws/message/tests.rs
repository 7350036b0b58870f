use evenkeel_wire::{Event, Key, Stats};
use serde_json::{Value, json};

use super::*;

/// Every kind of character that JSON writes differently: control, quote, ASCII, latin1.
const BYTES: [u8; 20] = *b"\x00\x1f\"\\/aZ09\x7f\x80\x9f\xa0\xc3\xe9\xff'<>&";
const TEXT: &str = "\u{0}\u{1f}\"\\/aZ09\u{7f}\u{80}\u{9f}\u{a0}\u{c3}\u{e9}\u{ff}'<>&";
const ESCAPED: &str = r#"\u0000\u001f\"\\\/aZ09\u007f\u0080\u009f\u00a0\u00c3\u00e9\u00FF'<>&"#;

fn ask() -> Announce {
    Announce {
        info_hash: InfoHash(BYTES),
        peer_id: PeerId([b'p'; 20]),
        port: 0,
        uploaded: 1,
        downloaded: 2,
        left: Some(3),
        event: Event::Started,
        numwant: Some(50),
        key: Key::NONE,
    }
}

fn parsed(text: Result<String, Error>) -> Value {
    serde_json::from_str(&text.unwrap()).unwrap()
}

#[test]
fn bytes_are_characters_of_the_same_number() {
    assert_eq!(latin1(&BYTES), TEXT);
    assert_eq!(twenty(TEXT), Some(BYTES));
    let unescaped: String = serde_json::from_str(&format!("\"{ESCAPED}\"")).unwrap();
    assert_eq!(twenty(&unescaped), Some(BYTES));
    for wrong in ["", "abc", "aaaaaaaaaaaaaaaaaaa\u{100}", "aaaaaaaaaaaaaaaaaaaaa"] {
        assert_eq!(twenty(wrong), None, "{wrong}");
    }
}

#[test]
fn an_announce_carries_offers_as_they_are() {
    let offer = Offer { id: OfferId([0xE9; 20]), json: r#"{"type":"offer","sdp":"x\r\n"}"#.into() };
    let expected = json!({
        "action": "announce", "info_hash": TEXT, "peer_id": "pppppppppppppppppppp",
        "uploaded": 1, "downloaded": 2, "left": 3, "event": "started", "numwant": 1,
        "offers": [{"offer": {"type": "offer", "sdp": "x\r\n"}, "offer_id": "\u{e9}".repeat(20)}],
    });
    assert_eq!(parsed(announce(&ask(), &[offer])), expected);
    let quiet = parsed(announce(&Announce { left: None, event: Event::Update, ..ask() }, &[]));
    assert_eq!((quiet.get("left"), quiet.get("event"), &quiet["offers"]), (None, None, &json!([])));
}

#[test]
fn an_offer_that_is_not_json_is_not_sent() {
    for json in ["", "{", "{} {}", "sdp"] {
        let offer = Offer { id: OfferId([1; 20]), json: json.into() };
        assert!(matches!(announce(&ask(), &[offer]), Err(Error::InvalidRequest(_))), "{json}");
    }
}

#[test]
fn answers_and_scrapes_have_their_form() {
    let sent = parsed(answer(&Answer {
        info_hash: InfoHash([b'h'; 20]),
        peer_id: PeerId([b'p'; 20]),
        to_peer_id: PeerId([b't'; 20]),
        offer_id: OfferId([b'o'; 20]),
        json: "[1]".into(),
    }));
    let text = |letter: &str| letter.repeat(20);
    let expected = json!({
        "action": "announce", "info_hash": text("h"), "peer_id": text("p"), "to_peer_id": text("t"),
        "answer": [1], "offer_id": text("o"),
    });
    assert_eq!(sent, expected);
    let sent = parsed(scrape(&[InfoHash([b'a'; 20]), InfoHash(BYTES)]));
    assert_eq!(sent, json!({"action": "scrape", "info_hash": [text("a"), TEXT]}));
}

#[test]
fn a_reply_to_an_announce_has_counts_and_interval() {
    let text = format!(
        r#"{{"action":"announce","info_hash":"{ESCAPED}","interval":120,"complete":1,"incomplete":2,"x":[]}}"#
    );
    let Incoming::Reply(expect, Reply::Announce(response)) = read(&text).unwrap() else { panic!() };
    assert_eq!(expect, Expect::Announce(InfoHash(BYTES)));
    let expected = AnnounceResponse {
        interval: Some(Duration::from_secs(120)),
        seeders: Some(1),
        leechers: Some(2),
        ..AnnounceResponse::default()
    };
    assert_eq!(response, expected);
}

#[test]
fn relays_keep_their_json_byte_by_byte() {
    let ids = format!(r#""info_hash":"{ESCAPED}","peer_id":"{0}","offer_id":"{0}""#, "p".repeat(20));
    let (info_hash, peer_id, offer_id) = (InfoHash(BYTES), PeerId([b'p'; 20]), OfferId([b'p'; 20]));
    let raw = r#"{ "sdp" : "\u00e9" }"#;
    let Incoming::Relay(relay) = read(&format!(r#"{{"offer":{raw},{ids}}}"#)).unwrap() else { panic!() };
    assert_eq!(relay, Relay::Offer { info_hash, peer_id, offer_id, json: raw.into() });
    let Incoming::Relay(relay) = read(&format!(r#"{{{ids},"answer":{raw}}}"#)).unwrap() else { panic!() };
    assert_eq!(relay, Relay::Answer { info_hash, peer_id, offer_id, json: raw.into() });
    assert!(matches!(read(&format!("{{{ids}}}")), Ok(Incoming::Ignored)));
}

#[test]
fn a_scrape_reply_has_files() {
    let text = format!(
        r#"{{"action":"scrape","files":{{"{ESCAPED}":{{"complete":1,"incomplete":5,"downloaded":7}}}},
            "flags":{{"min_request_interval":600}}}}"#
    );
    let Incoming::Reply(Expect::Scrape, Reply::Scrape(response)) = read(&text).unwrap() else { panic!() };
    let counts = Stats { seeders: 1, leechers: 5, partial: 0, downloaded: 7 };
    assert_eq!(response.get(InfoHash(BYTES)), Some(counts));
    assert_eq!(response.min_request_interval, Some(Duration::from_secs(600)));
}

#[test]
fn a_failure_says_what_it_is_about() {
    let hash = "h".repeat(20);
    for (text, expect) in [
        (r#"{"failure reason":"no"}"#.to_owned(), None),
        (r#"{"action":"scrape","failure reason":"no"}"#.into(), Some(Expect::Scrape)),
        (
            format!(r#"{{"action":"announce","failure reason":"no","info_hash":"{hash}"}}"#),
            Some(Expect::Announce(InfoHash([b'h'; 20]))),
        ),
    ] {
        let Incoming::Failure(subject, error) = read(&text).unwrap() else { panic!() };
        assert_eq!((subject, error.to_string().as_str()), (expect, "the tracker refused: no"));
    }
}

#[test]
fn what_is_not_a_message_is_malformed() {
    let short = r#"{"action":"announce","info_hash":"abc","complete":1}"#;
    let no_ids = format!(r#"{{"info_hash":"{}","offer":{{}}}}"#, "h".repeat(20));
    for text in [
        "",
        "[]",
        "{}",
        "{",
        r#"{"action":"scrape"}"#,
        r#"{"action":"scrape","files":{"a":{}}}"#,
        short,
        &no_ids,
    ] {
        assert!(matches!(read(text), Err(Error::Malformed(_))), "{text}");
    }
}
