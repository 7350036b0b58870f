//! Heads that servers have been fooled with, and the exact bytes of every answer.

use super::*;

fn head(text: &str) -> Result<Option<(Request<'_>, usize)>, HeadError> {
    decode_head(text.as_bytes())
}

fn good(text: &str) -> Request<'_> {
    let (request, len) = head(text).unwrap().unwrap();
    assert_eq!(len, text.len());
    request
}

#[test]
fn a_head_is_complete_at_its_last_byte_and_not_before() {
    let text = "GET /announce?a=b HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n";
    for len in 0..text.len() {
        assert_eq!(head(&text[..len]), Ok(None), "{len}");
    }
    let request = good(text);
    assert_eq!((request.path, request.query), (&b"/announce"[..], &b"a=b"[..]));
    assert!(request.keep_alive && !request.head_only);
}

#[test]
fn pipelined_requests_are_read_one_by_one() {
    let text = "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n";
    let (first, len) = head(text).unwrap().unwrap();
    assert_eq!(first.path, b"/a");
    let (second, rest) = head(&text[len..]).unwrap().unwrap();
    assert_eq!((second.path, len + rest), (&b"/b"[..], text.len()));
    assert_eq!(good("\r\n\r\nGET /c HTTP/1.1\r\n\r\n").path, b"/c");
}

/// Found by fuzzing: half an empty line was taken for garbage; and empty lines without end were kept in memory.
#[test]
fn empty_lines_before_a_request_may_come_in_halves_but_not_without_end() {
    let text = "\r\n\r\nGET / HTTP/1.1\r\n\r\n";
    for len in 0..text.len() {
        assert_eq!(head(&text[..len]), Ok(None), "{len}");
    }
    assert_eq!(good(text).path, b"/");
    assert_eq!(head(&"\r\n".repeat(3)), Err(HeadError::Malformed));
    assert_eq!(head("\r\n\r\n\r"), Err(HeadError::Malformed));
}

#[test]
fn keep_alive_follows_version_and_header() {
    assert!(good("GET / HTTP/1.1\r\n\r\n").keep_alive);
    assert!(!good("GET / HTTP/1.1\r\nConnection: x, Close\r\n\r\n").keep_alive);
    assert!(!good("GET / HTTP/1.0\r\n\r\n").keep_alive);
    assert!(good("GET / HTTP/1.0\r\nconnection: Keep-Alive\r\n\r\n").keep_alive);
}

#[test]
fn a_target_may_hold_raw_bytes_but_no_controls() {
    let raw = b"GET /announce?info_hash=\xff\xfe\x80 HTTP/1.1\r\n\r\n";
    assert_eq!(decode_head(raw).unwrap().unwrap().0.query, b"info_hash=\xff\xfe\x80");
    for control in [0, 1, 9, 0x7F] {
        let text = [b"GET /a", &[control][..], b" HTTP/1.1\r\n\r\n"].concat();
        assert_eq!(decode_head(&text), Err(HeadError::Malformed), "{control}");
    }
}

#[test]
fn the_absolute_form_is_taken() {
    assert_eq!(good("GET http://host:6969/scrape?x HTTP/1.1\r\n\r\n").path, b"/scrape");
    assert_eq!(good("GET http://host HTTP/1.1\r\n\r\n").path, b"/");
    assert_eq!(head("GET host HTTP/1.1\r\n\r\n"), Err(HeadError::Malformed));
    assert_eq!(head("GET * HTTP/1.1\r\n\r\n"), Err(HeadError::Malformed));
}

#[test]
fn bodies_and_ambiguous_lengths_are_refused() {
    for (headers, error) in [
        ("Content-Length: 5", HeadError::Body),
        ("Transfer-Encoding: chunked", HeadError::Body),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", HeadError::Malformed),
        ("Content-Length: 5\r\nContent-Length: 5", HeadError::Malformed),
        ("Content-Length: 0\r\nContent-Length: 5", HeadError::Malformed),
        ("Content-Length: -1", HeadError::Malformed),
        ("Content-Length:", HeadError::Malformed),
        ("Content-Length: 1, 2", HeadError::Malformed),
        ("X: a\r\n folded", HeadError::Malformed),
        ("X : a", HeadError::Malformed),
        ("X: a\rb", HeadError::Malformed),
        ("X: a\0b", HeadError::Malformed),
        ("no colon", HeadError::Malformed),
    ] {
        assert_eq!(head(&format!("GET / HTTP/1.1\r\n{headers}\r\n\r\n")), Err(error), "{headers:?}");
    }
    assert!(head("GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n").unwrap().is_some());
}

#[test]
fn other_methods_and_versions_are_refused() {
    assert!(good("HEAD / HTTP/1.1\r\n\r\n").head_only);
    for method in ["POST", "PUT", "OPTIONS", "CONNECT", "PRI"] {
        assert_eq!(head(&format!("{method} / HTTP/1.1\r\n\r\n")), Err(HeadError::Method), "{method}");
    }
    assert_eq!(head("GET / HTTP/2.0\r\n\r\n"), Err(HeadError::Version));
    assert_eq!(head("GET / HTTP/0.9\r\n\r\n"), Err(HeadError::Version));
    for line in [
        "GET /",
        "GET  / HTTP/1.1",
        " GET / HTTP/1.1",
        "get / HTTP/1.1",
        "GET / a HTTP/1.1",
        "GET / FTP/1",
        "",
    ] {
        assert!(head(&format!("{line}\r\nX: a\r\n\r\n")).is_err(), "{line:?}");
    }
    assert_eq!(head("GET / HTTP/1.1\n\n"), Err(HeadError::Malformed), "bare line feeds");
}

#[test]
fn what_is_not_http_is_told_at_once() {
    for start in ["\x16\x03\x01", "\0", "hello", "a", "GETGETGETGETGETGET", " GET"] {
        assert_eq!(head(start), Err(HeadError::Malformed), "{start:?}");
    }
    for start in ["", "G", "GET", "GET ", "GET /announce"] {
        assert_eq!(head(start), Ok(None), "{start:?}");
    }
}

#[test]
fn targets_and_heads_have_a_limit() {
    let long = "a".repeat(TARGET_BYTES_MAX);
    assert!(head(&format!("GET /{} HTTP/1.1\r\n\r\n", &long[1..])).unwrap().is_some());
    assert_eq!(head(&format!("GET /{long} HTTP/1.1\r\n\r\n")), Err(HeadError::TargetTooLong));
    assert_eq!(head(&format!("GET /{}", "a".repeat(1 << 20))), Err(HeadError::TargetTooLong));
    let headers = |count: usize| "X: a\r\n".repeat(count);
    assert!(head(&format!("GET / HTTP/1.1\r\n{}\r\n", headers(HEADERS_MAX))).unwrap().is_some());
    assert_eq!(head(&format!("GET / HTTP/1.1\r\n{}\r\n", headers(1000))), Err(HeadError::HeadTooLong));
    let endless = format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(HEAD_BYTES_MAX));
    assert_eq!(head(&endless), Err(HeadError::HeadTooLong));
}

const STATS: Stats = Stats { seeders: 1, leechers: 2, partial: 3, downloaded: 4 };

fn announced(form: PeerForm, caller: Endpoint, ids: &[PeerId], warning: Option<crate::Warning>) -> String {
    let reply = Reply { stats: STATS, interval_secs: 1800, min_interval_secs: 300, warning };
    let mut out = Vec::new();
    let mut v6 = [0; 18];
    v6[15] = 1;
    v6[17] = 80;
    let (v4_ids, v6_ids) = ids.split_at(ids.len() / 2);
    let peers = Peers { v4: &[1, 2, 3, 4, 0, 80], v6: &v6, v4_ids, v6_ids };
    write_announce(&mut out, &reply, caller, peers, form);
    out.escape_ascii().to_string()
}

#[test]
fn an_announce_answer_has_sorted_keys_and_both_families() {
    let caller = Endpoint::V4([9, 9, 9, 9, 0, 1]);
    assert_eq!(
        announced(PeerForm::Compact, caller, &[], None),
        "d8:completei1e10:downloadedi4e11:downloadersi2e11:external ip4:\\t\\t\\t\\t10:incompletei5e\
         8:intervali1800e12:min intervali300e5:peers6:\\x01\\x02\\x03\\x04\\x00P\
         6:peers618:\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x01\\x00Pe"
    );
}

#[test]
fn dictionaries_carry_ids_only_when_known_and_wanted() {
    let caller = Endpoint::V6([9; 18]);
    let ids = [PeerId(*b"aaaaaaaaaaaaaaaaaaaa"), PeerId(*b"bbbbbbbbbbbbbbbbbbbb")];
    let with = announced(PeerForm::Dictionary, caller, &ids, None);
    assert!(with.contains(
        "5:peersld2:ip7:1.2.3.47:peer id20:aaaaaaaaaaaaaaaaaaaa4:porti80eed2:ip3:::17:peer id20:bbbbbbbbbbbbbbbbbbbb4:porti80eee"
    ));
    let without = "5:peersld2:ip7:1.2.3.44:porti80eed2:ip3:::14:porti80eee";
    assert!(announced(PeerForm::DictionaryWithoutId, caller, &ids, None).contains(without));
    assert!(announced(PeerForm::Dictionary, caller, &[], None).contains(without));
    assert!(with.contains("11:external ip16:\\t\\t"));
}

#[test]
fn a_warning_comes_last() {
    let text = announced(PeerForm::Compact, Endpoint::V4([0; 6]), &[], Some(crate::Warning::AddressLimit));
    assert!(text.contains("15:warning message") && text.ends_with("not listede"));
}

#[test]
fn a_scrape_answer_has_the_form_of_bep_48() {
    let mut out = Vec::new();
    let files = [(InfoHash([b'a'; 20]), STATS), (InfoHash([b'b'; 20]), Stats::default())];
    write_scrape(&mut out, files.into_iter(), 300);
    assert_eq!(
        out.escape_ascii().to_string(),
        "d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei1e10:downloadedi4e11:downloadersi2e10:incompletei5ee\
         20:bbbbbbbbbbbbbbbbbbbbd8:completei0e10:downloadedi0e11:downloadersi0e10:incompletei0eee\
         5:flagsd20:min_request_intervali300eee"
    );
}

#[test]
fn a_failure_says_when_to_come_back() {
    let mut out = Vec::new();
    write_failure(&mut out, Failure::Internal);
    let text = out.escape_ascii().to_string();
    assert!(
        text.starts_with("d14:failure reason")
            && text.ends_with("8:intervali120e12:min intervali120e8:retry ini2ee")
    );
    out.clear();
    write_failure(&mut out, Failure::Port);
    assert!(out.ends_with(b"8:intervali1800e12:min intervali1800e8:retry in5:nevere"));
}

#[test]
fn an_answer_says_what_becomes_of_the_connection() {
    let answer = |request: &str| {
        let mut out = Vec::new();
        write_answer(&mut out, "200 OK", "text/plain", b"abc", Framing::of(&good(request)));
        String::from_utf8(out).unwrap()
    };
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n";
    assert_eq!(answer("GET / HTTP/1.1\r\n\r\n"), format!("{head}\r\nabc"));
    assert_eq!(answer("HEAD / HTTP/1.1\r\n\r\n"), format!("{head}\r\n"), "the length of what is left out");
    assert_eq!(answer("GET / HTTP/1.0\r\n\r\n"), format!("{head}Connection: close\r\n\r\nabc"));
    assert_eq!(
        answer("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
        format!("{head}Connection: keep-alive\r\n\r\nabc")
    );
}

#[test]
fn a_refusal_closes_and_names_the_methods_that_are_not_refused() {
    let refusal = |error| {
        let mut out = Vec::new();
        write_refusal(&mut out, error);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(
        refusal(HeadError::Method),
        "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain\r\nContent-Length: 22\r\n\
         Allow: GET, HEAD\r\nConnection: close\r\n\r\n405 Method Not Allowed"
    );
    assert!(refusal(HeadError::Timeout).contains("\r\nConnection: close\r\n\r\n408 "));
}

/// The request of RFC 6455, 1.3, with lines left out or put in.
fn upgrade(lines: &[&str]) -> Result<Option<Vec<u8>>, HeadError> {
    let head = format!("GET /any?path HTTP/1.1\r\nHost: x\r\n{}\r\n", lines.concat());
    decode_head(head.as_bytes()).map(|read| read.unwrap().0.websocket_key.map(<[u8]>::to_vec))
}

const UPGRADE: &str = "Upgrade: websocket\r\n";
const CONNECTION: &str = "Connection: keep-alive, Upgrade\r\n";
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";

#[test]
fn an_upgrade_to_a_websocket_shows_its_key() {
    let key = Ok(Some(b"dGhlIHNhbXBsZSBub25jZQ==".to_vec()));
    assert_eq!(upgrade(&[UPGRADE, CONNECTION, KEY, VERSION]), key);
    assert_eq!(upgrade(&["upgrade: WebSocket\r\n", "connection: upgrade\r\n", KEY, VERSION]), key);
}

#[test]
fn another_upgrade_or_half_of_one_is_ignored() {
    assert_eq!(upgrade(&["Upgrade: h2c\r\n", CONNECTION, KEY, VERSION]), Ok(None));
    assert_eq!(upgrade(&[UPGRADE, KEY, VERSION]), Ok(None));
    assert_eq!(upgrade(&[CONNECTION, KEY, VERSION]), Ok(None));
    let old = format!("GET / HTTP/1.0\r\n{UPGRADE}{CONNECTION}{KEY}{VERSION}\r\n");
    assert_eq!(decode_head(old.as_bytes()).unwrap().unwrap().0.websocket_key, None);
}

#[test]
fn an_upgrade_that_cannot_succeed_is_refused() {
    for version in ["", "Sec-WebSocket-Version: 8\r\n", "Sec-WebSocket-Version: 13, 8\r\n"] {
        assert_eq!(upgrade(&[UPGRADE, CONNECTION, KEY, version]), Err(HeadError::WebSocketVersion));
    }
    for key in [
        "",
        "Sec-WebSocket-Key: short\r\n",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=!\r\n",
        &[KEY, KEY].concat(),
    ] {
        assert_eq!(upgrade(&[UPGRADE, CONNECTION, key, VERSION]), Err(HeadError::Malformed), "{key}");
    }
    let head = format!("HEAD / HTTP/1.1\r\n{UPGRADE}{CONNECTION}{KEY}{VERSION}\r\n");
    assert_eq!(decode_head(head.as_bytes()), Err(HeadError::Malformed));
    let mut out = Vec::new();
    write_refusal(&mut out, HeadError::WebSocketVersion);
    let out = String::from_utf8(out).unwrap();
    assert!(out.starts_with("HTTP/1.1 426 ") && out.contains("\r\nSec-WebSocket-Version: 13\r\n"), "{out}");
}
