//! What no client sends: too long, too slow, too many. Answered or dropped; never hung, never grown, never down.

use std::io::{Read, Write};
use std::time::Instant;

use crate::rig::{
    Ask, MEMORY_GRAINS_BYTES, PATIENCE, Way, connect, exchange, start, start_with, udp_announce, wait_for,
};

#[test]
fn a_megabyte_of_url_is_cut_off() {
    let program = start();
    let answer = flood(&program, format!("GET /{}", "a".repeat(1 << 20)).as_bytes());
    assert!(answer.starts_with("HTTP/1.1 414 "), "{answer}");
}

#[test]
fn a_thousand_headers_are_cut_off() {
    let program = start();
    let answer = flood(&program, format!("GET / HTTP/1.1\r\n{}\r\n", "X: a\r\n".repeat(1000)).as_bytes());
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[test]
fn a_header_without_end_is_cut_off() {
    let program = start();
    let answer = flood(&program, format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(1 << 20)).as_bytes());
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[test]
fn empty_lines_without_end_are_cut_off() {
    let program = start();
    let answer = flood(&program, "\r\n".repeat(1 << 19).as_bytes());
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

/// Sends more than the program wants to read; it may close before all is sent.
fn flood(program: &crate::rig::Program, request: &[u8]) -> String {
    let mut stream = program.connect();
    stream.write_all(request).ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn slow_heads_are_cut_off_however_steadily_they_drip() {
    let program = start_with("[limits]\nhead_timeout_secs = 1\n");
    let mut stream = program.connect();
    let began = Instant::now();
    let mut answer = Vec::new();
    stream.set_read_timeout(Some(std::time::Duration::from_millis(100))).unwrap();
    // A byte every tenth of a second would be a head in 100 s.
    for byte in b"GET /".iter().chain(std::iter::repeat_n(&b'a', 1000)) {
        if stream.write_all(&[*byte]).is_err() || stream.read_to_end(&mut answer).is_ok() {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "still served");
    }
    assert!(String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 408 "), "{}", answer.escape_ascii());
}

#[test]
fn silent_and_idle_connections_are_closed() {
    let program = start_with("[limits]\nhead_timeout_secs = 1\nidle_timeout_secs = 1\n");
    let mut silent = program.connect();
    assert_eq!(silent.read(&mut [0; 64]).unwrap(), 0, "closed without a word");
    let mut idle = program.connect();
    idle.write_all(b"GET /health HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    idle.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("ok\n"));
}

#[test]
fn a_connection_is_closed_after_its_last_request() {
    let program = start_with("[limits]\nrequests_per_connection_max = 3\n");
    let answers = program.raw("GET /health HTTP/1.1\r\n\r\n".repeat(5).as_bytes());
    assert_eq!(answers.matches("ok\n").count(), 3);
    assert_eq!(answers.matches("Connection: close").count(), 1);
}

#[test]
fn too_many_connections_are_refused_and_counted() {
    let program = start_with("[limits]\nconnections_max = 3\n");
    let _open: Vec<_> = (0..3).map(|_| program.connect()).collect();
    wait_for("three connections", || (program.metric("evenkeel_http_connections") == 3.0).then_some(()));
    let mut fourth = program.connect();
    assert!(matches!(fourth.read(&mut [0; 1]), Ok(0) | Err(_)));
    wait_for("the count", || {
        (program.metric("evenkeel_http_connections_refused_total") >= 1.0).then_some(())
    });
}

#[test]
fn twenty_pipelining_connections_leave_others_their_turn() {
    let program = start();
    let pipeline = "GET /health HTTP/1.1\r\n\r\n".repeat(900);
    let greedy: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = program.connect();
            stream.write_all(pipeline.as_bytes()).unwrap();
            stream
        })
        .collect();
    assert_eq!(program.get("/health").0, 200);
    for mut stream in greedy {
        let mut answers = vec![0; 900 * 60];
        stream.read_exact(&mut answers).unwrap();
    }
}

#[test]
fn a_peer_that_never_reads_does_not_grow_the_program() {
    let program = start_with("[limits]\nrequests_per_connection_max = 1000000\n");
    let before = program.metric("evenkeel_memory_bytes");
    let mut stream = program.connect();
    stream.set_write_timeout(Some(std::time::Duration::from_secs(1))).unwrap();
    let pipeline = "GET /announce?x HTTP/1.1\r\n\r\n".repeat(10_000);
    // Both buffers of the connection fill, and then nothing moves.
    while stream.write_all(pipeline.as_bytes()).is_ok() {}
    let grown = program.metric("evenkeel_memory_bytes") - before;
    assert!(grown < MEMORY_GRAINS_BYTES, "{grown} bytes");
    assert_eq!(program.get("/health").0, 200);
}

#[test]
fn a_million_random_packets_change_nothing() {
    let program = start();
    let socket = program.udp(Way::UdpV4);
    let id = connect(&socket);
    let before = program.metric("evenkeel_memory_bytes");
    let mut rng = fastrand::Rng::with_seed(5);
    let mut packet = [0; 120];
    for round in 0..1_000_000 {
        rng.fill(&mut packet);
        socket.send(&packet[..rng.usize(..120)]).ok();
        // Now and then one that must be answered, so that the flood does not only fill a buffer.
        if round % 1000 == 0 {
            exchange(&socket, &udp_announce(id, &Ask::leecher([1; 20], 1001)));
        }
    }
    wait_for("an answer", || {
        socket.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
        exchange(&socket, &udp_announce(id, &Ask::leecher([1; 20], 1001)))
    });
    assert_eq!(program.metric("evenkeel_swarms"), 1.0);
    let grown = program.metric("evenkeel_memory_bytes") - before;
    assert!(grown < MEMORY_GRAINS_BYTES, "{grown} bytes");
}

#[test]
fn a_flood_of_torrents_stops_at_the_limit() {
    let program = start_with("[limits]\nswarms_max = 100\n");
    let socket = program.udp(Way::UdpV4);
    let id = connect(&socket);
    let mut rng = fastrand::Rng::with_seed(6);
    let refused = wait_for("a refusal", || {
        let mut torrent = [0; 20];
        rng.fill(&mut torrent);
        let reply = exchange(&socket, &udp_announce(id, &Ask::leecher(torrent, 1001)))?;
        (reply[3] == 3).then(|| String::from_utf8_lossy(&reply[8..]).into_owned())
    });
    assert!(refused.contains("full"), "{refused}");
    assert_eq!(program.metric("evenkeel_store_is_full"), 1.0);
}
