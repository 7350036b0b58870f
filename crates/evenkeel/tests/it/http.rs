//! What only HTTP has: the forms of an answer, connections, heads.

use std::io::{Read, Write};

use crate::bencode::Value;
use crate::rig::{Ask, Program, Way, get, start, start_with, wait_for};

const TORRENT: [u8; 20] = [1; 20];

fn announce(program: &Program, extra: &str) -> Value {
    let (status, body) = program.get(&format!("/announce?{}{extra}", Ask::leecher(TORRENT, 1009).query()));
    assert_eq!(status, 200);
    Value::read(&body)
}

fn failure(program: &Program, target: &str) -> String {
    let (status, body) = program.get(target);
    assert_eq!(status, 200, "{target}: with any other status no client shows the text");
    let answer = Value::read(&body);
    assert_eq!(answer.keys(), ["failure reason", "interval", "min interval", "retry in"], "{target}");
    String::from_utf8(answer.bytes("failure reason").unwrap().to_vec()).unwrap()
}

#[test]
fn a_compact_answer_has_these_keys_and_no_others() {
    let program = start();
    program.announce(Way::HttpV6, &Ask::seeder(TORRENT, 1002));
    program.announce(Way::HttpV4, &Ask::seeder(TORRENT, 1001));
    let answer = announce(&program, "&compact=1");
    let keys = [
        "complete",
        "downloaded",
        "downloaders",
        "external ip",
        "incomplete",
        "interval",
        "min interval",
        "peers",
        "peers6",
    ];
    assert_eq!(answer.keys(), keys);
    assert_eq!(answer.bytes("external ip"), Some(&[127, 0, 0, 1][..]));
    assert_eq!(answer.bytes("peers"), Some(&[127, 0, 0, 1, 3, 0xE9][..]));
    assert_eq!(answer.bytes("peers6"), Some(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 0xEA][..]));
    assert_eq!(answer.number("min interval"), Some(300));
    let (_, body) =
        get(program.address(Way::HttpV6), None, &format!("/announce?{}", Ask::leecher(TORRENT, 9).query()));
    assert_eq!(Value::read(&body).bytes("external ip").map(<[u8]>::len), Some(16));
}

#[test]
fn peers_are_dictionaries_unless_compact_is_asked_for() {
    let program = start();
    program.announce(Way::HttpV4, &Ask::seeder(TORRENT, 1001));
    program.announce(Way::HttpV6, &Ask::seeder(TORRENT, 1002));
    for extra in ["", "&compact=0", "&no_peer_id=1"] {
        let answer = announce(&program, extra);
        let Some(Value::List(peers)) = answer.get("peers") else { panic!("{answer:?}") };
        assert_eq!(peers.len(), 2, "{extra}");
        assert!(
            peers
                .iter()
                .any(|peer| peer.bytes("ip") == Some(b"127.0.0.1") && peer.number("port") == Some(1001))
        );
        assert!(
            peers.iter().any(|peer| peer.bytes("ip") == Some(b"::1") && peer.number("port") == Some(1002))
        );
        assert!(peers.iter().all(|peer| peer.get("peer id").is_none()), "ids are not kept by default");
    }
}

#[test]
fn kept_peer_ids_are_told_unless_they_are_not_wanted() {
    let program = start_with("[announce]\nkeep_peer_ids = true\n");
    let seeder = Ask::seeder(TORRENT, 1001);
    program.announce(Way::UdpV4, &seeder);
    let first = |extra: &str| match announce(&program, extra).get("peers") {
        Some(Value::List(peers)) => peers[0].clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(first("").bytes("peer id"), Some(&seeder.peer_id[..]));
    assert_eq!(first("&no_peer_id=1").get("peer id"), None);
}

#[test]
fn addresses_in_parameters_and_headers_of_strangers_are_ignored() {
    let program = start();
    let target = format!(
        "/announce?{}&compact=1&ip=8.8.8.8&ipv4=8.8.8.8%3A1&ipv6=%5B2a00%3A%3A1%5D%3A1",
        Ask::seeder(TORRENT, 1001).query()
    );
    let headers = "X-Forwarded-For: 8.8.8.8\r\nForwarded: for=8.8.8.8\r\nX-Real-IP: 8.8.8.8\r\n";
    let (_, body) = get(program.address(Way::HttpV4), Some(headers), &target);
    assert_eq!(Value::read(&body).bytes("external ip"), Some(&[127, 0, 0, 1][..]));
    let peers = program.announce(Way::HttpV4, &Ask::leecher(TORRENT, 1002)).peers;
    assert_eq!(peers, ["127.0.0.1:1001".parse().unwrap()]);
}

#[test]
fn wrong_announces_get_a_reason_and_when_to_come_back() {
    let program = start();
    let good = Ask::leecher(TORRENT, 1001).query();
    let hash = "info_hash=aaaaaaaaaaaaaaaaaaaa";
    let id = "peer_id=aaaaaaaaaaaaaaaaaaaa";
    for (query, text) in [
        (String::new(), "info_hash must"),
        (format!("info_hash=short&{id}&port=1"), "info_hash must"),
        (format!("info_hash=aaaaaaaaaaaaaaaaaaaaa&{id}&port=1"), "info_hash must"),
        (format!("{hash}&peer_id=aaaaaaaaaaaaaaaaaaa&port=1"), "peer_id must"),
        (format!("{hash}&port=1"), "peer_id must"),
        (format!("{hash}&{id}"), "port must"),
        (format!("{hash}&{id}&port=0"), "port must"),
        (format!("{hash}&{id}&port=65536"), "port must"),
        (format!("{hash}&{id}&port=6881.5"), "port must"),
        (format!("{good}&info_hash=aaaaaaaaaaaaaaaaaaaa"), "more than once"),
        (format!("{good}&port=1001"), "more than once"),
        (format!("{hash}&{id}&port=1&left=-1"), "whole numbers"),
        (format!("{hash}&{id}&port=1&left=1.5"), "whole numbers"),
        (format!("{hash}&{id}&port=1&uploaded=18446744073709551616"), "whole numbers"),
        (format!("info_hash=%zz&{id}&port=1"), "percent sign"),
        (format!("info_hash=%&{id}&port=1"), "percent sign"),
    ] {
        let told = failure(&program, &format!("/announce?{query}"));
        assert!(told.contains(text), "{query}: {told}");
    }
    assert_eq!(program.metric("evenkeel_swarms"), 0.0, "a refused announce leaves no trace");
}

#[test]
fn wrong_scrapes_get_a_reason() {
    let program = start();
    for (query, text) in [
        (String::new(), "name at least one"),
        ("info_hash=short".to_owned(), "info_hash must"),
        ("info_hash=aaaaaaaaaaaaaaaaaaaa&info_hash=aaaaaaaaaa".to_owned(), "info_hash must"),
        ("info_hash=aaaaaaaaaaaaaaaaaaaa&".repeat(75), "at most 74"),
    ] {
        let told = failure(&program, &format!("/scrape?{query}"));
        assert!(told.contains(text), "{query}: {told}");
    }
}

#[test]
fn unknown_paths_are_404_for_people_and_a_reason_for_clients() {
    let program = start();
    for path in ["/nope", "/announce/", "/announce.php", "/ANNOUNCE", "/metrics", "/ready", "//announce"] {
        assert_eq!(program.get(path).0, 404, "{path}");
        let told = failure(&program, &format!("{path}?info_hash=aaaaaaaaaaaaaaaaaaaa"));
        assert!(told.contains("/announce"), "{told}");
    }
}

#[test]
fn one_connection_carries_many_requests_and_pipelines() {
    let program = start();
    let mut stream = program.connect();
    let request = format!(
        "GET /announce?{}&compact=1 HTTP/1.1\r\nHost: x\r\n\r\n",
        Ask::leecher(TORRENT, 1001).query()
    );
    for _ in 0..3 {
        stream.write_all(request.as_bytes()).unwrap();
        let mut start = [0; 15];
        stream.read_exact(&mut start).unwrap();
        assert_eq!(&start, b"HTTP/1.1 200 OK");
        read_until(&mut stream, b"peers60:e");
    }
    // 100 at once: more than one turn.
    stream.write_all(request.repeat(99).as_bytes()).unwrap();
    stream.write_all(request.replace("Host: x", "Connection: close").as_bytes()).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap_or_else(|_| panic!("binary only in the head"));
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 100);
}

/// All of these wait when the program looks: more than are answered in one go, and each is answered on its own connection.
#[test]
fn requests_that_come_together_are_answered_each_to_its_own() {
    let program = start();
    let torrent = |at: u16| [u8::try_from(at).unwrap(); 20];
    for at in 0..200 {
        program.announce(Way::UdpV4, &Ask::seeder(torrent(at), 1000 + at));
    }
    let announce = |at: u16, port: u16| {
        let query = Ask::leecher(torrent(at), port).query();
        format!("GET /announce?{query}&compact=1&no_peer_id=1 HTTP/1.1\r\nHost: x\r\n\r\n")
    };
    let mut streams: Vec<_> = (0..200).map(|_| program.connect()).collect();
    program.signal("STOP");
    for (at, stream) in (0..).zip(&mut streams) {
        let asked = match at % 5 {
            0 => announce(at, 2000).repeat(2),
            1 => announce(at, 2000)[..60].to_owned(),
            2 => "GET /health HTTP/1.1\r\n\r\n".to_owned(),
            3 if at % 2 == 0 => "hello\r\n\r\n".to_owned(),
            _ => announce(at, 2000),
        };
        stream.write_all(asked.as_bytes()).unwrap();
    }
    program.signal("CONT");
    for (at, stream) in (0..).zip(&mut streams) {
        let seeder = [&b"5:peers6:\x7f\0\0\x01"[..], &(1000_u16 + at).to_be_bytes(), b"6:peers60:e"].concat();
        match at % 5 {
            0 => read_until(stream, &seeder),
            1 => stream.write_all(&announce(at, 2000).as_bytes()[60..]).unwrap(),
            2 => read_until(stream, b"\r\n\r\nok\n"),
            3 if at % 2 == 0 => {
                read_until(stream, b"HTTP/1.1 400 Bad Request\r\n");
                assert!(stream.read_to_end(&mut Vec::new()).is_ok(), "{at} is closed");
                continue;
            }
            _ => {}
        }
        if at % 5 != 2 {
            read_until(stream, &seeder);
        }
        stream.write_all(announce(at, 2001).as_bytes()).unwrap();
        // The other leecher is told, too, or had not come.
        read_until(stream, b"6:peers60:e");
    }
    assert_eq!(program.metric("evenkeel_panics_total"), 0.0);
}

fn read_until(stream: &mut impl Read, end: &[u8]) {
    let mut read = Vec::new();
    while !read.ends_with(end) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        read.push(byte[0]);
    }
}

#[test]
fn head_and_http_1_0_are_served() {
    let program = start();
    let head = program.raw(b"HEAD /health HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(head.contains("Content-Length: 3"));
    let old = program.raw(b"GET /health HTTP/1.0\r\n\r\n");
    assert!(old.ends_with("\r\n\r\nok\n") && old.contains("Connection: close"), "{old}");
    let raw = b"GET /announce?peer_id=aaaaaaaaaaaaaaaaaaaa&port=1&compact=1&info_hash=\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7\xf6\xf5\xf4\xf3\xf2\xf1\xf0\xef\xee\xed\xec HTTP/1.0\r\n\r\n";
    assert!(program.raw(raw).contains("8:complete"), "an unescaped info hash is as good as an escaped one");
}

#[test]
fn what_is_not_answerable_gets_a_status_and_a_close() {
    let program = start();
    for (request, status) in [
        ("POST /announce HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "405"),
        ("GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "413"),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "413"),
        ("GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", "400"),
        ("GET /\0 HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\nHost: x\n\n", "400"),
        ("GET / HTTP/3.0\r\n\r\n", "505"),
        ("\x16\x03\x01\x02\x00\x01\x00", "400"),
        ("hello\r\n\r\n", "400"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"),
    ] {
        let answer = program.raw(request.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
        assert!(answer.contains("Connection: close"), "{request:?}");
    }
}

#[test]
fn figures_of_traffic_change_no_answer() {
    let program = start();
    let most = u64::MAX;
    let query = Ask::leecher(TORRENT, 1001)
        .query()
        .replace("uploaded=0", &format!("uploaded={most}"))
        .replace("downloaded=0", &format!("downloaded={most}"));
    let (_, body) = program.get(&format!("/announce?{query}&compact=1"));
    assert_eq!(Value::read(&body).number("incomplete"), Some(1));
    assert_eq!(program.scrape(Way::HttpV4, &[TORRENT]), [(0, 0, 1)]);
}

#[test]
fn an_upgrade_that_we_do_not_know_is_an_ordinary_get() {
    let program = start();
    let answer = program.raw(b"GET /health HTTP/1.1\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("ok\n"), "{answer}");
}

#[test]
fn pages_of_any_origin_may_read_answers_unless_the_operator_objects() {
    let allowed = "Access-Control-Allow-Origin: *\r\n";
    for (config, is_allowed) in [("", true), ("[server]\nany_origin = false\n", false)] {
        let program = start_with(config);
        for target in ["/announce", "/scrape?info_hash=x", "/stats.json"] {
            let head =
                program.raw(format!("GET {target} HTTP/1.0\r\nOrigin: https://a.example\r\n\r\n").as_bytes());
            assert_eq!(head.contains(allowed), is_allowed, "{target}: {head}");
        }
        for target in ["/", "/stats", "/health", "/nowhere"] {
            let head = program.raw(format!("GET {target} HTTP/1.0\r\n\r\n").as_bytes());
            assert!(!head.contains("Access-Control"), "{target}: {head}");
        }
    }
}

#[test]
fn search_engines_are_told_what_is_no_reading() {
    let (status, body) = start().get("/robots.txt");
    let text = String::from_utf8(body).unwrap();
    assert_eq!(status, 200);
    assert!(text.starts_with("User-agent: *\n") && text.contains("\nDisallow: /announce\n"), "{text}");
}

#[test]
fn a_redirect_names_the_other_place_with_the_query_and_changes_at_reload() {
    let rule =
        |status: u16| format!("[server]\nredirects = [\"/announce {status} https://example.org/x\"]\n");
    let program = start_with(&rule(301));
    let asked = || program.raw(b"GET /announce?info_hash=%ff\xfe&a=b HTTP/1.0\r\n\r\n");
    let answer = asked();
    assert!(answer.starts_with("HTTP/1.1 301 Moved Permanently\r\n"), "{answer}");
    assert!(answer.contains("\r\nLocation: https://example.org/x?info_hash=%ff%FE&a=b\r\n"), "{answer}");
    assert_eq!(program.metric("evenkeel_http_redirects_total"), 1.0);
    for status in [302, 307] {
        std::fs::write(program.folder.path().join("evenkeel.toml"), rule(status)).unwrap();
        program.signal("HUP");
        wait_for("the new rule", || asked().starts_with(&format!("HTTP/1.1 {status} ")).then_some(()));
    }
    assert_eq!(program.get("/health").0, 200);
    assert_eq!(
        program.announce(Way::UdpV4, &Ask::seeder(TORRENT, 1001)).complete,
        1,
        "UDP knows no redirects"
    );
}
