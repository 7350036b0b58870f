//! WebTorrent: what peers are told over a WebSocket, and what is passed on between them.

use serde_json::{Value, json};

use crate::rig::{Ask, Program, WAYS, Way, start, start_with, wait_for};
use crate::websocket::{UPGRADE, WebSocket, announce, answer, binary, frame, offer};

const TORRENT: [u8; 20] = *b"\x00\xff torrent \"\\\n\x7f\x80....";
const OTHER: [u8; 20] = *b"another torrent.....";

/// A swarm of two: the first one leeches, and hears the offers of the second.
fn pair(program: &Program) -> ((WebSocket, Ask), (WebSocket, Ask)) {
    let (first, second) = (Ask::leecher(TORRENT, 1), Ask::leecher(TORRENT, 2));
    let (mut a, mut b) = (program.websocket(Way::HttpV4), program.websocket(Way::HttpV6));
    a.announce(&first);
    b.announce(&second);
    ((a, first), (b, second))
}

#[test]
fn all_dialects_share_one_swarm_and_nobody_is_handed_who_it_cannot_reach() {
    let program = start();
    program.announce(Way::UdpV4, &Ask::seeder(TORRENT, 1001));
    program.announce(Way::HttpV6, &Ask::leecher(TORRENT, 1002));
    let (mut first, mut second) = (program.websocket(Way::HttpV4), program.websocket(Way::HttpV6));
    let seen = first.announce(&Ask::seeder(TORRENT, 1));
    assert_eq!((seen.complete, seen.incomplete), (2, 1));
    let seen = second.announce(&Ask::leecher(TORRENT, 2));
    assert_eq!((seen.complete, seen.incomplete), (2, 2));
    for way in WAYS {
        assert_eq!(program.scrape(way, &[TORRENT]), [(2, 0, 2)], "{way:?}");
        let seen = program.announce(way, &Ask::leecher(TORRENT, 1003));
        let ports: Vec<u16> = seen.peers.iter().map(std::net::SocketAddr::port).collect();
        assert!(ports.iter().all(|port| *port > 1000), "{way:?} is handed {ports:?}");
        program.announce(way, &Ask::leecher(TORRENT, 1003).event("stopped"));
    }
    assert_eq!(first.scrape(&TORRENT), (2, 0, 2));
    // Ten offers, of which one finds its peer: those who are dialled cannot be introduced.
    let offers: Vec<Value> = (0..10).map(offer).collect();
    second.exchange(&announce(&Ask::leecher(TORRENT, 2).event(""), &offers));
    assert_eq!(first.message()["peer_id"], binary(&Ask::leecher(TORRENT, 2).peer_id));
    first.assert_silence();
    second.assert_silence();
    assert_eq!(program.metric("evenkeel_webtorrent_offers_relayed_total"), 1.0);
    assert_eq!(program.metric("evenkeel_peers{family=\"webtorrent\"}"), 2.0);
    assert_eq!(program.metric("evenkeel_webtorrent_sockets"), 2.0);
}

#[test]
fn the_life_of_a_peer_is_what_it_is_over_every_dialect() {
    let program = start();
    let (mut a, mut b) = (program.websocket(Way::HttpV4), program.websocket(Way::HttpV4));
    let (leecher, seeder) = (Ask::leecher(TORRENT, 1), Ask::seeder(TORRENT, 2));
    let mut counts = |socket: usize, ask: &Ask| {
        let seen = [&mut a, &mut b][socket].announce(ask);
        assert!((108..=132).contains(&seen.interval), "{}", seen.interval);
        (seen.complete, seen.incomplete)
    };
    assert_eq!(counts(0, &leecher), (0, 1));
    assert_eq!(counts(1, &seeder), (1, 1));
    assert_eq!(counts(0, &leecher.event("paused")), (1, 1), "a partial seed is incomplete");
    assert_eq!(counts(0, &Ask { left: 0, ..leecher.event("completed") }), (2, 0));
    assert_eq!(program.scrape(Way::UdpV4, &[TORRENT]), [(2, 1, 0)]);
    assert_eq!(counts(1, &seeder.event("stopped")), (1, 0));
    assert_eq!(counts(1, &seeder.event("stopped")), (1, 0), "gone already, and no failure");
    assert_eq!(counts(1, &seeder), (2, 0), "and back");
}

#[test]
fn an_offer_reaches_another_peer_and_its_answer_comes_back() {
    let program = start();
    let ((mut a, first), (mut b, second)) = pair(&program);
    // The reply comes first, and says nothing of offers.
    let reply = b.exchange(&announce(&second.event(""), &[offer(7)]));
    assert_eq!((&reply["complete"], &reply["incomplete"]), (&json!(0), &json!(2)));
    let relayed = a.message();
    let expected = json!({
        "action": "announce",
        "info_hash": binary(&TORRENT),
        "peer_id": binary(&second.peer_id),
        "offer": offer(7)["offer"],
        "offer_id": offer(7)["offer_id"],
    });
    assert_eq!(relayed, expected);
    a.send(&answer(&first, &second, 7));
    let expected = json!({
        "action": "announce",
        "info_hash": binary(&TORRENT),
        "peer_id": binary(&first.peer_id),
        "answer": answer(&first, &second, 7)["answer"],
        "offer_id": offer(7)["offer_id"],
    });
    assert_eq!(b.message(), expected);
    // Nobody confirms an answer, and nothing is passed on twice.
    a.send(&answer(&first, &second, 7));
    a.assert_silence();
    b.assert_silence();
    assert_eq!(program.metric("evenkeel_requests_total{dialect=\"ws\",reason=\"answered\"}"), 1.0);
    assert_eq!(program.metric("evenkeel_requests_total{dialect=\"ws\",reason=\"answered_stranger\"}"), 1.0);
}

#[test]
fn an_answer_goes_nowhere_unless_its_sender_was_handed_the_offer() {
    let program = start();
    let ((mut a, first), (mut b, second)) = pair(&program);
    let mut stranger = program.websocket(Way::HttpV4);
    b.exchange(&announce(&second.event(""), &[offer(7)]));
    a.message();
    // A stranger who knows everything, whoever it says it is.
    stranger.send(&answer(&Ask::leecher(TORRENT, 3), &second, 7));
    stranger.send(&answer(&first, &second, 7));
    stranger.assert_silence();
    // The right socket with a wrong torrent, a wrong offer, a wrong offerer, or no offer at all.
    let right = answer(&first, &second, 7);
    for (key, wrong) in [
        ("info_hash", json!(binary(&OTHER))),
        ("offer_id", json!("x".repeat(20))),
        ("offer_id", json!("short")),
        ("offer_id", Value::Null),
        ("to_peer_id", json!(binary(&first.peer_id))),
    ] {
        let mut wrong_answer = right.clone();
        wrong_answer[key] = wrong;
        a.send(&wrong_answer);
    }
    a.assert_silence();
    b.assert_silence();
    a.send(&right);
    assert!(b.message().get("answer").is_some(), "none of that used up the offer");
}

#[test]
fn an_answer_finds_the_socket_that_offered_whoever_else_claims_its_peer_id() {
    let program = start();
    let ((mut a, first), (mut b, second)) = pair(&program);
    let mut thief = program.websocket(Way::HttpV4);
    assert_eq!(thief.announce(&second).incomplete, 2, "the same peer id is the same client");
    b.exchange(&announce(&second.event(""), &[offer(7), offer(8)]));
    assert_eq!(a.message()["offer_id"], offer(7)["offer_id"]);
    thief.assert_silence();
    a.send(&answer(&first, &second, 7));
    assert!(b.message().get("answer").is_some());
    thief.assert_silence();
    // The thief leaves, or says that it does: nobody else has.
    thief.announce(&second.event("stopped"));
    assert_eq!(b.scrape(&TORRENT), (0, 0, 2));
    thief.reset();
    assert_eq!(b.scrape(&TORRENT), (0, 0, 2));
}

#[test]
fn each_offer_goes_to_one_peer_and_each_peer_gets_one() {
    let program = start();
    let mut sockets: Vec<WebSocket> = (1..=16)
        .map(|number| {
            let mut socket = program.websocket(if number % 2 == 0 { Way::HttpV4 } else { Way::HttpV6 });
            socket.announce(&Ask::leecher(TORRENT, number));
            socket
        })
        .collect();
    let mut offerer = program.websocket(Way::HttpV4);
    let me = Ask::leecher(TORRENT, 99);
    // With two threads, about half of these sockets are another thread's.
    let offers: Vec<Value> = (0..20).map(offer).collect();
    offerer.exchange(&announce(&me, &offers));
    let mut seen: Vec<String> = sockets
        .iter_mut()
        .map(|socket| {
            let message = socket.message();
            assert_eq!(message["peer_id"], binary(&me.peer_id));
            message["offer_id"].as_str().unwrap().to_owned()
        })
        .collect();
    seen.sort();
    let expected: Vec<String> = (0..16).map(|number| format!("{number:020}")).collect();
    assert_eq!(seen, expected, "the first 16 of 20 offers, each to somebody else");
    offerer.assert_silence();
    sockets.iter_mut().for_each(WebSocket::assert_silence);
}

#[test]
fn a_seeder_is_introduced_to_leechers_only_and_leavers_to_nobody() {
    let program = start();
    let [mut seeder, mut other, mut leecher] = [(); 3].map(|()| program.websocket(Way::HttpV4));
    other.announce(&Ask::seeder(TORRENT, 1));
    leecher.announce(&Ask::leecher(TORRENT, 2));
    let me = Ask::seeder(TORRENT, 3);
    seeder.exchange(&announce(&me, &[offer(1), offer(2)]));
    assert!(leecher.message().get("offer").is_some());
    seeder.exchange(&announce(&me.event("stopped"), &[offer(3), offer(4)]));
    [&mut seeder, &mut other, &mut leecher].into_iter().for_each(WebSocket::assert_silence);
}

#[test]
fn offers_are_passed_on_as_they_came_even_half_ones() {
    let program = start();
    let ((mut a, _), (mut b, second)) = pair(&program);
    let head = announce(&second.event(""), &[]).to_string();
    let sdp = r#"{ "type" : "offer" ,"sdp":"\u00e9 é \ud83d\ude00", "n":[1.50,1e2] }"#;
    let id = r#""offer_id":"\u0000\u00ff345678901234567890""#;
    for (sent, relayed) in [
        (format!(r#"{{"offer":{sdp},{id}}}"#), format!(r#""offer":{sdp},"offer_id":"#)),
        (format!(r#"{{"offer":{sdp}}}"#), format!(r#""offer":{sdp}}}"#)),
        (format!("{{{id}}}"), r#","offer_id":"#.to_owned()),
        (r#"{"fake_offer":"fake"}"#.to_owned(), r#""}"#.to_owned()),
    ] {
        let message = head.replace(r#""offers":[]"#, &format!(r#""offers":[{sent}]"#));
        b.send_raw(&frame(0x81, message.as_bytes()));
        b.message();
        let text = String::from_utf8(a.receive().unwrap().payload).unwrap();
        assert!(text.contains(&relayed), "{text} does not contain {relayed}");
    }
    // What cannot be passed on is dropped and counted; the announce stands.
    let long = json!({"offer": {"sdp": "x".repeat(9000)}, "offer_id": "01234567890123456789"});
    b.exchange(&announce(&second.event(""), &[Value::Null, json!(7), long]));
    a.assert_silence();
    assert_eq!(program.metric("evenkeel_webtorrent_offers_dropped_total"), 3.0);
}

#[test]
fn binary_strings_are_taken_escaped_and_as_utf_8() {
    let program = start();
    let mut socket = program.websocket(Way::HttpV4);
    let escaped: String = TORRENT.iter().map(|byte| format!("\\u00{byte:02X}")).collect();
    let message = format!(
        r#"{{"action":"announce","info_hash":"{escaped}","peer_id":"-WW0091-abcdefghijkl","left":0}}"#
    );
    socket.send_raw(&frame(0x81, message.as_bytes()));
    assert_eq!(socket.message()["info_hash"], binary(&TORRENT));
    assert_eq!(socket.scrape(&TORRENT), (1, 0, 0));
    assert_eq!(program.scrape(Way::HttpV4, &[TORRENT]), [(1, 0, 0)]);
}

#[test]
fn one_socket_speaks_for_several_torrents_and_peers() {
    let program = start();
    let mut socket = program.websocket(Way::HttpV4);
    for torrent in [TORRENT, OTHER] {
        socket.announce(&Ask::leecher(torrent, 1));
        assert_eq!(socket.announce(&Ask::seeder(torrent, 2)).complete, 1);
    }
    // They can even be introduced to each other.
    let reply = socket.exchange(&announce(&Ask::leecher(TORRENT, 1), &[offer(1)]));
    assert_eq!(reply["complete"], 1, "the reply comes first");
    assert_eq!(socket.message()["peer_id"], binary(&Ask::leecher(TORRENT, 1).peer_id));
    socket.send(&answer(&Ask::seeder(TORRENT, 2), &Ask::leecher(TORRENT, 1), 1));
    assert_eq!(socket.message()["peer_id"], binary(&Ask::seeder(TORRENT, 2).peer_id));
    socket.announce(&Ask::leecher(OTHER, 1).event("stopped"));
    assert_eq!(program.scrape(Way::UdpV4, &[TORRENT, OTHER]), [(1, 0, 1), (1, 0, 0)]);
    drop(socket);
    wait_for("all of them to leave", || {
        (program.scrape(Way::UdpV4, &[TORRENT, OTHER]) == [(0, 0, 0); 2]).then_some(())
    });
}

#[test]
fn a_socket_takes_its_peers_along_however_it_ends() {
    let program = start();
    let mut witness = program.websocket(Way::HttpV4);
    type End = fn(WebSocket);
    let ends: [(&str, End); 5] = [
        ("a close frame", |mut socket| {
            socket.send_raw(&frame(0x88, &[0x03, 0xE8]));
            assert_eq!(socket.end(), Some((1000, String::new())), "the close is confirmed");
        }),
        ("the end of the stream", drop),
        ("a reset", WebSocket::reset),
        ("half a frame", |mut socket| socket.send_raw(&frame(0x81, &[b' '; 200])[..100])),
        ("a frame that is none", |mut socket| {
            socket.send_raw(&[0xFF; 10]);
            socket.end();
        }),
    ];
    for (what, end) in ends {
        let mut socket = program.websocket(Way::HttpV4);
        socket.announce(&Ask::leecher(TORRENT, 1));
        assert_eq!(witness.scrape(&TORRENT), (0, 0, 1), "{what}");
        end(socket);
        wait_for(what, || (witness.scrape(&TORRENT) == (0, 0, 0)).then_some(()));
    }
    wait_for("the sockets to be gone", || {
        (program.metric("evenkeel_webtorrent_sockets") == 1.0).then_some(())
    });
}

#[test]
fn scrapes_name_one_torrent_or_several() {
    let program = start();
    let mut socket = program.websocket(Way::HttpV4);
    socket.announce(&Ask::seeder(TORRENT, 1));
    program.announce(Way::UdpV6, &Ask::leecher(OTHER, 1001));
    let unknown = [7; 20];
    let reply = socket.exchange(
        &json!({"action": "scrape", "info_hash": [binary(&TORRENT), binary(&OTHER), binary(&unknown)]}),
    );
    let counts = |complete: u32, incomplete: u32| json!({"complete": complete, "downloaded": 0, "incomplete": incomplete});
    let expected = json!({
        "action": "scrape",
        "files": {binary(&TORRENT): counts(1, 0), binary(&OTHER): counts(0, 1), binary(&unknown): counts(0, 0)},
        "flags": {"min_request_interval": 300},
    });
    assert_eq!(reply, expected);
    let many: Vec<String> = (0..75).map(|number| binary(&[number; 20])).collect();
    let reply = socket.exchange(&json!({"action": "scrape", "info_hash": many}));
    assert_eq!(
        (&reply["action"], &reply["failure reason"]),
        (&json!("scrape"), &json!("one scrape may name at most 74 torrents"),)
    );
}

#[test]
fn everything_is_scraped_only_when_the_operator_says_so() {
    let refused = "name at least one info_hash: this tracker does not list all its torrents";
    let program = start();
    let mut socket = program.websocket(Way::HttpV4);
    assert_eq!(socket.exchange(&json!({"action": "scrape"}))["failure reason"], refused);
    assert!(String::from_utf8_lossy(&program.get("/scrape").1).contains(refused));

    let program = start_with("[limits]\nfull_scrape_torrents_max = 2\n");
    let mut socket = program.websocket(Way::HttpV4);
    socket.announce(&Ask::seeder(TORRENT, 1));
    program.announce(Way::HttpV4, &Ask::leecher(OTHER, 1001));
    let reply = socket.exchange(&json!({"action": "scrape"}));
    assert_eq!(reply["files"].as_object().unwrap().len(), 2, "{reply}");
    assert_eq!(reply["files"][binary(&TORRENT)]["complete"], 1);
    let body = crate::bencode::Value::read(&program.get("/scrape").1);
    let crate::bencode::Value::Dictionary(body) = body else { panic!() };
    let crate::bencode::Value::Dictionary(files) = &body[&b"files"[..]] else { panic!() };
    assert_eq!(files.keys().collect::<Vec<_>>(), [&TORRENT.to_vec(), &OTHER.to_vec()]);
    socket.announce(&Ask::leecher([3; 20], 1));
    assert_eq!(
        socket.exchange(&json!({"action": "scrape"}))["failure reason"],
        refused,
        "three are too many"
    );
}

#[test]
fn bytes_that_come_with_the_upgrade_are_the_first_message() {
    let program = start();
    let message = announce(&Ask::seeder(TORRENT, 1), &[]).to_string();
    let mut socket = WebSocket::open(program.address(Way::HttpV4), &frame(0x81, message.as_bytes()));
    assert_eq!(socket.message()["complete"], 1);
    // And a request before it is answered before it.
    let both = format!("GET /health HTTP/1.1\r\n\r\n{UPGRADE}");
    let mut stream = program.connect();
    std::io::Write::write_all(&mut stream, both.as_bytes()).unwrap();
    let mut answer = String::new();
    while !answer.contains("101 Switching") {
        let mut bytes = [0; 512];
        let len = std::io::Read::read(&mut stream, &mut bytes).unwrap();
        assert_ne!(len, 0, "{answer}");
        answer.push_str(std::str::from_utf8(&bytes[..len]).unwrap());
    }
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

#[test]
fn each_dialect_can_be_switched_off_without_the_others() {
    let program = start_with("[server]\nwebtorrent = false\n");
    assert!(!program.banner.contains("ws://"), "{}", program.banner);
    let answer = program.raw(UPGRADE.replace("Connection: Upgrade", "Connection: Upgrade, close").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 200 "), "an ordinary announce, refused: {answer}");

    let program = start_with("[server]\nhttp = false\n");
    assert!(
        !program.banner.contains(&format!("http://127.0.0.1:{}/announce", program.port)),
        "{}",
        program.banner
    );
    let (status, body) = program.get("/announce?info_hash=x");
    assert_eq!(status, 200);
    assert!(String::from_utf8_lossy(&body).contains("failure reason"));
    assert_eq!(program.get("/stats.json").0, 200, "pages stay");
    let mut socket = program.websocket(Way::HttpV6);
    assert_eq!(socket.announce(&Ask::seeder(TORRENT, 1)).complete, 1);
    assert_eq!(program.scrape(Way::UdpV4, &[TORRENT])[0].0, 1);
}

#[test]
fn the_statistics_know_webtorrent_peers_by_their_id() {
    let program = start();
    let mut socket = program.websocket(Way::HttpV4);
    let peer_id = *b"-WW0091-abcdefghijkl";
    for torrent in [TORRENT, OTHER] {
        socket.announce(&Ask { peer_id, ..Ask::leecher(torrent, 1) });
    }
    let mut seeder = program.websocket(Way::HttpV6);
    seeder.announce(&Ask::seeder(TORRENT, 2));
    let (_, body) = program.get("/stats.json");
    let stats: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(stats["clients"]["WebTorrent"]["0.91"], 1, "{stats}");
    assert_eq!(stats["torrents"], 2);
    assert_eq!(stats["peersAll"], 2, "one peer in two swarms is one: {stats}");
    assert_eq!((&stats["peersIPv4"], &stats["peersIPv6"]), (&json!(1), &json!(1)));
}

#[test]
fn a_tracker_that_stops_says_goodbye() {
    let program = start();
    let mut socket = program.websocket(Way::HttpV4);
    socket.announce(&Ask::seeder(TORRENT, 1));
    program.signal("TERM");
    assert_eq!(socket.end(), Some((1001, "the tracker stops".to_owned())));
    assert!(program.wait().0.success());
}

#[test]
fn anybody_may_answer_anybody_only_where_the_operator_says_so() {
    let program = start_with("[webtorrent]\nstrict = false\n");
    let ((mut a, first), (mut b, second)) = pair(&program);
    // An offer that nobody was handed, and a socket that announces nothing.
    let mut stranger = program.websocket(Way::HttpV4);
    stranger.send(&answer(&Ask::leecher(TORRENT, 3), &second, 7));
    assert_eq!(b.message()["peer_id"], binary(&Ask::leecher(TORRENT, 3).peer_id));
    // A peer that has left is nowhere, by whatever it leaves, nor is one of another torrent.
    a.exchange(&announce(&first.event("stopped"), &[]));
    stranger.send(&answer(&Ask::leecher(TORRENT, 3), &first, 7));
    stranger.send(&answer(&Ask::leecher(OTHER, 3), &second, 7));
    stranger.assert_silence();
    a.assert_silence();
    b.assert_silence();
    drop(b);
    let stranded = "evenkeel_requests_total{dialect=\"ws\",reason=\"answered_stranger\"}";
    wait_for("the socket to be gone", || {
        let before = program.metric(stranded);
        stranger.send(&answer(&Ask::leecher(TORRENT, 3), &second, 7));
        stranger.assert_silence();
        (program.metric(stranded) > before).then_some(())
    });
    // An offer that was handed out is answered as ever.
    let mut c = program.websocket(Way::HttpV4);
    a.exchange(&announce(&first.event("started"), &[]));
    c.exchange(&announce(&Ask::leecher(TORRENT, 4), &[offer(1)]));
    a.message();
    a.send(&answer(&first, &Ask::leecher(TORRENT, 4), 1));
    assert_eq!(c.message()["offer_id"], offer(1)["offer_id"]);
}
