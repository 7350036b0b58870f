//! More connections than there is room for: the longest idle one ends, and new clients are served.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::rig::{Ask, Way, command, get, start_as, start_with, wait_for};
use crate::websocket::WebSocket;

const TORRENT: [u8; 20] = [1; 20];
const ENDED: &str = "evenkeel_http_connections_ended_idle_total";

/// Asks over a connection, which stays open.
fn ask(mut stream: &TcpStream) {
    stream.write_all(b"HEAD /health HTTP/1.1\r\n\r\n").unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
}

/// Whether the program has ended a connection.
fn is_ended(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let read = stream.read(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    !matches!(read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

#[test]
fn at_95_percent_the_longest_idle_connection_ends_and_newcomers_are_served() {
    // One worker: which connection is the longest idle of its thread must be known.
    let program = start_with("[server]\nworkers = 1\n[limits]\nconnections_max = 40\n");
    let mut web = program.websocket(Way::HttpV4);
    web.announce(&Ask::leecher(TORRENT, 1));
    let open = || {
        let stream = program.connect();
        ask(&stream);
        stream
    };
    let mut streams: Vec<TcpStream> = (0..37).map(|_| open()).collect();
    assert_eq!(program.metric(ENDED), 0.0);
    // The first one is of use again: the second one is the longest idle.
    ask(&streams[0]);
    streams.rotate_left(1);
    for ended in 1..=20 {
        streams.push(open());
        let longest = streams.remove(0);
        wait_for("the longest idle to end", || is_ended(&longest).then_some(()));
        assert_eq!(program.metric(ENDED), f64::from(ended));
    }
    assert!(!streams.iter().any(is_ended), "nobody else");
    assert_eq!(program.metric("evenkeel_http_connections_refused_total"), 0.0);
    // WebSockets make room when nobody else is left, and their peers go with them.
    assert_eq!(web.announce(&Ask::leecher(TORRENT, 2)).incomplete, 2);
    let mut sockets: Vec<WebSocket> = (0..60).map(|_| program.websocket(Way::HttpV4)).collect();
    assert!(web.receive().is_none());
    assert!(streams.iter().all(is_ended));
    assert_eq!(sockets.last_mut().unwrap().announce(&Ask::leecher(TORRENT, 3)).incomplete, 1);
}

#[test]
fn without_descriptors_room_is_made_and_nothing_spins() {
    let toml = "[server]\nworkers = 1\n[limits]\nconnections_max = 100000\n";
    let own = start_with(toml).open_files();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("evenkeel.toml"), toml).unwrap();
    let mut limited = Command::new("sh");
    // Fewer connections than the 95 % of half of this: descriptors run out first.
    let script = format!("ulimit -n {} && exec \"$0\"", own + 6);
    limited.args(["-c", &script, env!("CARGO_BIN_EXE_evenkeel")]);
    let plain = command(folder.path());
    limited.env_clear().current_dir(folder.path()).stdin(Stdio::null()).stderr(Stdio::null());
    limited.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let program = start_as(folder, limited);
    let began = Instant::now();
    let kept: Vec<TcpStream> = (0..30).map(|_| program.connect()).collect();
    for _ in 0..5 {
        let (status, _) = get(program.address(Way::HttpV4), None, "/health");
        assert_eq!(status, 200);
    }
    wait_for("some to end", || (kept.iter().filter(|stream| is_ended(stream)).count() > 20).then_some(()));
    drop(kept);
    let (failures, ended) = (program.metric("evenkeel_http_accept_failures_total"), program.metric(ENDED));
    // Each of the two listeners looks again after 10 ms, and not before.
    let looks = began.elapsed().as_secs_f64() * 100.0 * 2.0 + 2.0;
    assert!((20.0..=looks).contains(&failures) && ended >= 20.0, "{failures} of {looks}, {ended} ended");
}
