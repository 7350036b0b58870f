//! WebSocket messages that no client sends. Each is told so or closed with a reason; nobody else notices.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::rig::{Ask, MEMORY_GRAINS_BYTES, PATIENCE, Program, Way, start, start_with, wait_for};
use crate::websocket::{
    CLOSE, Frame, PING, PONG, TEXT, UPGRADE, WebSocket, announce, answer, binary, frame, offer,
};

const TORRENT: [u8; 20] = *b"a hostile torrent...";

/// Sends bytes and answers what comes back: the text of a failure, or code and reason of a close.
fn told(program: &Program, bytes: &[u8]) -> String {
    let mut socket = program.websocket(Way::HttpV4);
    socket.try_send_raw(bytes);
    match socket.receive() {
        Some(Frame { opcode: TEXT, payload }) => {
            let reply: Value = serde_json::from_slice(&payload).unwrap();
            reply["failure reason"].as_str().unwrap_or_else(|| panic!("{reply}")).to_owned()
        }
        Some(Frame { opcode: CLOSE, payload }) => {
            format!("{} {}", u16::from_be_bytes([payload[0], payload[1]]), payload[2..].escape_ascii())
        }
        other => panic!("{other:?} is the answer to {:.100}", bytes.escape_ascii().to_string()),
    }
}

/// A message with one field replaced.
fn with(message: &Value, key: &str, value: Value) -> Value {
    let mut message = message.clone();
    message[key] = value;
    message
}

#[test]
fn every_wrong_message_is_told_what_is_wrong_and_nobody_else_notices() {
    let program = start();
    let mut witness = program.websocket(Way::HttpV4);
    witness.announce(&Ask::leecher(TORRENT, 1));
    let good = announce(&Ask::leecher(TORRENT, 2), &[offer(1)]);
    let good_answer = answer(&Ask::leecher(TORRENT, 2), &Ask::leecher(TORRENT, 1), 1);
    let no_json = "a message must be one JSON object that names everything once";
    let no_action = "unknown action: this tracker answers announces and scrapes";
    let no_hash = "info_hash must be given once and be exactly 20 bytes";
    let no_id = "peer_id must be given and be exactly 20 bytes";
    for (message, expected) in [
        ("not JSON".to_owned(), no_json),
        (String::new(), no_json),
        ("[".repeat(10_000), no_json),
        ("[[1]]".to_owned(), no_json),
        ("null".to_owned(), no_json),
        (r#"{"action":"announce","action":"announce"}"#.to_owned(), no_json),
        (format!("{good}}}"), no_json),
        ("{}".to_owned(), no_action),
        (with(&good, "action", json!("connect")).to_string(), no_action),
        (with(&good, "action", json!(7)).to_string(), no_action),
        (with(&good, "info_hash", json!(7)).to_string(), no_hash),
        (with(&good, "info_hash", Value::Null).to_string(), no_hash),
        (with(&good, "info_hash", json!("x".repeat(21))).to_string(), no_hash),
        (with(&good, "info_hash", json!("\u{20ac}".repeat(20))).to_string(), no_hash),
        (with(&good, "peer_id", json!({})).to_string(), no_id),
        (with(&good, "peer_id", json!("short")).to_string(), no_id),
        (
            with(&good_answer, "to_peer_id", json!(7)).to_string(),
            "an answer must name the 20 bytes of the peer that offered, as to_peer_id",
        ),
        (
            with(&good_answer, "answer", json!("x")).to_string(),
            "an answer must be an object with a session description, of at most 8 KiB",
        ),
        (
            with(&good_answer, "answer", json!({"sdp": "x".repeat(9000)})).to_string(),
            "an answer must be an object with a session description, of at most 8 KiB",
        ),
    ] {
        assert_eq!(told(&program, &frame(0x81, message.as_bytes())), expected, "{message:.100}");
    }
    witness.assert_silence();
    assert_eq!(witness.scrape(&TORRENT), (0, 0, 1), "none of them is listed");
    assert_eq!(program.metric("evenkeel_panics_total"), 0.0);
}

#[test]
fn a_socket_that_was_told_may_try_again() {
    let program = start();
    let mut socket = program.websocket(Way::HttpV4);
    for _ in 0..100 {
        socket.send_raw(&frame(0x81, b"{"));
        assert!(socket.message().get("failure reason").is_some());
    }
    assert_eq!(socket.announce(&Ask::seeder(TORRENT, 1)).complete, 1);
}

#[test]
fn wrong_types_where_nothing_depends_on_them_refuse_nobody() {
    let program = start();
    let mut socket = program.websocket(Way::HttpV4);
    for (key, value) in [
        ("offers", Value::Null),
        ("offers", json!("x")),
        ("offers", json!([null, 7, [], [[]], "x", true, {}])),
        ("numwant", json!("x")),
        ("uploaded", json!([])),
        ("downloaded", json!(-1)),
        ("event", json!(7)),
        ("unheard of", json!({"deep": [[[[]]]]})),
        ("answer", Value::Null),
    ] {
        let reply = socket.exchange(&with(&announce(&Ask::leecher(TORRENT, 1), &[]), key, value.clone()));
        assert_eq!(reply["incomplete"], 1, "{key} {value}: {reply}");
    }
    // What is missing is missing: no seeder comes of it.
    for left in [Value::Null, json!("x"), json!([]), json!(-5)] {
        let reply = socket.exchange(&with(&announce(&Ask::leecher(TORRENT, 1), &[]), "left", left.clone()));
        assert_eq!((&reply["complete"], &reply["incomplete"]), (&json!(0), &json!(1)), "{left}");
    }
}

#[test]
fn broken_frames_are_closed_with_a_reason() {
    let program = start();
    let mut witness = program.websocket(Way::HttpV4);
    let message = announce(&Ask::leecher(TORRENT, 1), &[]).to_string();
    let unmasked = [&[0x81, 5][..], b"hello"].concat();
    for (what, bytes, code) in [
        ("a binary frame", frame(0x82, message.as_bytes()), "1003"),
        ("an unmasked frame", unmasked, "1002"),
        ("a reserved bit", frame(0xC1, message.as_bytes()), "1002"),
        ("an unknown opcode", frame(0x83, b"x"), "1002"),
        ("a continuation of nothing", frame(0x80, b"x"), "1002"),
        ("a message within a message", [frame(0x01, b"{"), frame(0x81, b"{}")].concat(), "1002"),
        ("a cut ping", frame(PING, b"x"), "1002"),
        ("a long ping", frame(0x80 | PING, &[0; 126]), "1002"),
        ("a text that is none", frame(0x81, b"\xC3\x28"), "1007"),
        ("a long message", frame(0x81, &vec![b' '; 1 << 20]), "1009"),
        ("a length of 2^63", [&[0x81, 0xFF, 0x80][..], &[0; 11]].concat(), "100"),
        ("a close with a wrong code", frame(0x80 | CLOSE, &[0, 1]), "1002"),
    ] {
        let told = told(&program, &bytes);
        assert!(told.starts_with(code), "{what}: {told}");
    }
    assert_eq!(witness.announce(&Ask::seeder(TORRENT, 9)).complete, 1);
}

#[test]
fn a_message_in_many_frames_is_one_message_up_to_a_length() {
    let program = start();
    let mut socket = program.websocket(Way::HttpV4);
    let message = announce(&Ask::seeder(TORRENT, 1), &[]).to_string();
    let last = message.len() - 1;
    for (at, byte) in message.bytes().enumerate() {
        let first = if at == 0 { TEXT } else { 0 } | if at == last { 0x80 } else { 0 };
        socket.send_raw(&frame(first, &[byte]));
        if at == last / 2 {
            // Pings may come in between.
            socket.send_raw(&frame(0x80 | PING, b"now?"));
            assert_eq!(socket.receive(), Some(Frame { opcode: PONG, payload: b"now?".to_vec() }));
        }
    }
    assert_eq!(socket.message()["complete"], 1);
    for part in 0..40 {
        if !socket.try_send_raw(&frame(if part == 0 { TEXT } else { 0 }, &[b' '; 4096])) {
            break;
        }
    }
    wait_for("the socket to be gone", || {
        (program.metric("evenkeel_webtorrent_sockets") == 0.0).then_some(())
    });
}

#[test]
fn messages_of_all_kinds_that_come_together_are_each_answered_as_soon_as_they_are_whole() {
    let program = start();
    let mut socket = program.websocket(Way::HttpV4);
    let [first, second, third] =
        [1, 2, 3].map(|number| announce(&Ask::seeder([number; 20], number.into()), &[]).to_string());
    let (half, rest) = second.split_at(20);
    let ping = frame(0x80 | PING, b"now?");
    let whole = |message: &str| frame(0x80 | TEXT, message.as_bytes());
    socket.send_raw(&[whole(&first), ping.clone(), frame(TEXT, half.as_bytes())].concat());
    assert_eq!(socket.message()["complete"], 1);
    assert_eq!(socket.receive(), Some(Frame { opcode: PONG, payload: b"now?".to_vec() }));
    let third = whole(&third);
    let (part, end) = third.split_at(third.len() - 1);
    socket.send_raw(&[&frame(0x80, rest.as_bytes())[..], part].concat());
    assert_eq!(socket.message()["complete"], 1);
    socket.send_raw(&[end, &whole(&first)[..], &frame(TEXT, half.as_bytes())].concat());
    assert_eq!(socket.message()["complete"], 1);
    assert_eq!(socket.message()["complete"], 1);
}

#[test]
fn a_flood_of_pings_is_closed() {
    let program = start();
    let mut socket = program.websocket(Way::HttpV4);
    for _ in 0..100_000 {
        if !socket.try_send_raw(&frame(0x80 | PING, &[0; 125])) {
            break;
        }
    }
    let mut witness = program.websocket(Way::HttpV4);
    assert_eq!(witness.announce(&Ask::seeder(TORRENT, 1)).complete, 1);
    wait_for("the flood to be closed", || {
        (program.metric("evenkeel_webtorrent_sockets") == 1.0).then_some(())
    });
}

#[test]
fn a_socket_that_never_reads_costs_a_bounded_queue_and_then_its_life() {
    let program = start();
    let mut deaf = program.websocket(Way::HttpV4);
    deaf.announce(&Ask::leecher(TORRENT, 1));
    let mut loud = program.websocket(Way::HttpV4);
    let me = Ask::seeder(TORRENT, 2);
    let long = json!({"offer": {"sdp": "x".repeat(8000)}, "offer_id": "01234567890123456789"});
    let message = frame(0x81, announce(&me, &[long]).to_string().as_bytes());
    let memory = program.metric("evenkeel_memory_bytes");
    let began = Instant::now();
    // One offer goes to one peer: some thousand of them fill what the system buffers, and then the queue.
    while program.metric("evenkeel_webtorrent_relays_lost_total") < 100.0 {
        for _ in 0..200 {
            loud.send_raw(&message);
            loud.message();
        }
        assert!(began.elapsed() < 3 * PATIENCE, "nothing is ever lost");
    }
    let grown = program.metric("evenkeel_memory_bytes") - memory;
    assert!(grown < MEMORY_GRAINS_BYTES, "{grown} bytes");
    // Whoever takes nothing for ten seconds is gone, and so is its peer.
    wait_for("the deaf socket to be closed", || (loud.scrape(&TORRENT) == (1, 0, 0)).then_some(()));
}

#[test]
fn a_silent_socket_is_pinged_and_closed_and_one_that_answers_stays() {
    let program = start_with("[limits]\nwebsocket_idle_timeout_secs = 2\n");
    let mut silent = program.websocket(Way::HttpV4);
    let mut alive = program.websocket(Way::HttpV6);
    silent.announce(&Ask::leecher(TORRENT, 1));
    alive.announce(&Ask::leecher(TORRENT, 2));
    let began = Instant::now();
    // The one that answers outlives the other, and three time-outs more.
    let mut pings = 0;
    while began.elapsed() < Duration::from_secs(6) {
        assert_eq!(alive.receive(), Some(Frame { opcode: PING, payload: vec![] }));
        alive.send_raw(&frame(0x80 | PONG, b""));
        pings += 1;
    }
    assert!(pings >= 4, "{pings}");
    assert_eq!(silent.receive(), Some(Frame { opcode: PING, payload: vec![] }));
    assert_eq!(silent.end(), Some((1008, "silent for too long".to_owned())));
    assert_eq!(alive.scrape(&TORRENT), (0, 0, 1));
}

#[test]
fn a_frame_that_drips_buys_no_time() {
    let program = start_with("[limits]\nwebsocket_idle_timeout_secs = 2\n");
    let mut socket = program.websocket(Way::HttpV4);
    let began = Instant::now();
    for byte in frame(0x81, &[b' '; 60_000]) {
        if !socket.try_send_raw(&[byte]) {
            break;
        }
        std::thread::park_timeout(Duration::from_millis(50));
        assert!(began.elapsed() < PATIENCE, "still served");
    }
    assert!(began.elapsed() >= Duration::from_secs(2));
}

#[test]
fn a_thousand_offers_are_twenty() {
    let program = start();
    let mut socket = program.websocket(Way::HttpV4);
    let offers: Vec<Value> = (0..1000).map(|_| json!({})).collect();
    assert_eq!(socket.exchange(&announce(&Ask::seeder(TORRENT, 1), &offers))["complete"], 1);
    assert_eq!(program.metric("evenkeel_webtorrent_offers_dropped_total"), 980.0);
}

#[test]
fn a_socket_speaks_for_a_thousand_peers_and_no_more() {
    let program = start();
    let mut socket = program.websocket(Way::HttpV4);
    let torrent = |number: u32| {
        let mut torrent = TORRENT;
        torrent[..4].copy_from_slice(&number.to_be_bytes());
        torrent
    };
    for number in 0..1000 {
        socket.announce(&Ask::seeder(torrent(number), 1));
    }
    let one_more = announce(&Ask::seeder(torrent(1000), 1), &[]);
    let reply = socket.exchange(&one_more);
    assert_eq!(
        reply["failure reason"],
        "this connection has announced as many torrents as one may: open another one"
    );
    assert_eq!(reply["info_hash"], binary(&torrent(1000)));
    // Those that are there go on, and one that leaves makes room.
    assert_eq!(socket.announce(&Ask::seeder(torrent(999), 1)).complete, 1);
    assert_eq!(socket.announce(&Ask::seeder(torrent(5), 1).event("stopped")).complete, 0);
    assert_eq!(socket.exchange(&one_more)["complete"], 1);
}

#[test]
fn an_upgrade_that_cannot_succeed_is_refused() {
    let program = start();
    for (wrong, status) in [
        (UPGRADE.replace("Version: 13", "Version: 8"), "426"),
        (UPGRADE.replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhl"), "400"),
        (UPGRADE.replacen("GET", "POST", 1), "405"),
        (UPGRADE.replace("Host: x", "Content-Length: 5"), "413"),
    ] {
        let answer = program.raw(wrong.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}

#[test]
fn websockets_count_against_the_connections() {
    let program = start_with("[limits]\nconnections_max = 3\n");
    let sockets: Vec<WebSocket> = (0..3).map(|_| program.websocket(Way::HttpV4)).collect();
    let mut answer = Vec::new();
    std::io::Read::read_to_end(&mut program.connect(), &mut answer).ok();
    assert_eq!(answer, b"", "a fourth is not served");
    drop(sockets);
    wait_for("room", || std::panic::catch_unwind(|| program.get("/health")).ok());
}

#[test]
fn a_socket_that_sends_too_many_messages_is_closed() {
    let config = "[limits]\nwebsocket_messages_per_minute_max = 20\n";
    let program = start_with(&format!("{config}limit_local_addresses = true\n"));
    let mut busy = program.websocket(Way::HttpV4);
    let mut calm = program.websocket(Way::HttpV4);
    for _ in 0..20 {
        busy.announce(&Ask::leecher(TORRENT, 1));
    }
    busy.send(&announce(&Ask::leecher(TORRENT, 1), &[]));
    assert_eq!(busy.end(), Some((1008, "too many messages".to_owned())));
    assert_eq!(program.metric("evenkeel_webtorrent_sockets_too_busy_total"), 1.0);
    assert_eq!(calm.announce(&Ask::leecher(TORRENT, 2)).incomplete, 1, "its peer has left, and nobody else");
    // Like all limits of addresses, it is not for those of a private network unless it is said to be.
    let program = start_with(config);
    let mut local = program.websocket(Way::HttpV4);
    for _ in 0..40 {
        local.announce(&Ask::leecher(TORRENT, 1));
    }
}
