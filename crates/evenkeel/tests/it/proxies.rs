//! Behind proxies: who is believed, what about, and who is not.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::authority::{Authority, connect_over};
use crate::bencode::Value;
use crate::rig::{Ask, PATIENCE, Program, Way, command, get_over, start_with, wait_for};
use crate::websocket::{UPGRADE, WebSocket};

const TORRENT: [u8; 20] = [1; 20];
/// Where the proxy is; all other loopback addresses are strangers.
const PROXY: [u8; 4] = [127, 0, 0, 2];
const STRANGER: [u8; 4] = [127, 0, 0, 3];
const TRUST: &str = "[proxy]\ntrusted_networks = [\"127.0.0.2\"]\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn connect_from(ip: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((ip, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Announces through a proxy that adds these header lines; answers the address that the program saw, and the peers.
fn announce_over(stream: &mut (impl Read + Write), headers: &str, port: u16) -> (IpAddr, Vec<u8>) {
    let target = format!("/announce?{}&compact=1", Ask::leecher(TORRENT, port).query());
    let (status, body) = get_over(stream, Some(headers), &target).unwrap();
    assert_eq!(status, 200);
    let answer = Value::read(&body);
    let seen = answer.bytes("external ip").unwrap_or_else(|| panic!("{answer:?}"));
    let ip = match seen.len() {
        4 => <[u8; 4]>::try_from(seen).unwrap().into(),
        _ => <[u8; 16]>::try_from(seen).unwrap().into(),
    };
    (ip, [answer.bytes("peers").unwrap(), answer.bytes("peers6").unwrap()].concat())
}

fn announce(program: &Program, from: [u8; 4], headers: &str, port: u16) -> (IpAddr, Vec<u8>) {
    announce_over(&mut connect_from(from, program.address(Way::HttpV4)), headers, port)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn the_header_that_a_trusted_proxy_sets_names_the_peer() {
    for (header, value) in [
        ("x-forwarded-for", "X-Forwarded-For: 203.0.113.9, 8.8.8.8\r\n"),
        ("forwarded", "Forwarded: for=203.0.113.9\r\nForwarded: for=\"8.8.8.8:80\";proto=https\r\n"),
        ("x-real-ip", "X-Real-IP: 8.8.8.8\r\n"),
        ("cf-connecting-ip", "CF-Connecting-IP: 8.8.8.8\r\n"),
    ] {
        let program = start_with(&format!("{TRUST}header = \"{header}\"\n"));
        assert_eq!(announce(&program, PROXY, value, 1001).0, ip("8.8.8.8"), "{header}");
        let other = value.replace("8.8.8.8", "8.8.4.4");
        let (seen, peers) = announce(&program, PROXY, &other, 1002);
        assert_eq!((seen, &peers[..]), (ip("8.8.4.4"), &[8, 8, 8, 8, 3, 0xE9][..]), "{header}");
        let v6 = value.replace("8.8.8.8:80", "[2a00::1]:80").replace("8.8.8.8", "2a00::1");
        assert_eq!(announce(&program, PROXY, &v6, 1003).0, ip("2a00::1"), "{header}");
    }
}

#[test]
fn one_connection_of_a_proxy_carries_requests_of_many() {
    let program = start_with(TRUST);
    let mut stream = connect_from(PROXY, program.address(Way::HttpV4));
    for last in 1..=20_u16 {
        let query = Ask::leecher(TORRENT, 1000 + last).query();
        let head =
            format!("GET /announce?{query}&compact=1 HTTP/1.1\r\nX-Forwarded-For: 8.8.8.{last}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
    }
    stream.write_all(b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
    let mut answers = Vec::new();
    stream.read_to_end(&mut answers).unwrap();
    let (_, peers) = announce(&program, PROXY, "X-Forwarded-For: 8.8.4.4\r\n", 2000);
    let mut seen: Vec<&[u8]> = peers.chunks(6).collect();
    seen.sort_unstable();
    let expected: Vec<[u8; 6]> = (1..=20).map(|last| [8, 8, 8, last, 3, 232 + last]).collect();
    assert_eq!(seen, expected.iter().map(<[u8; 6]>::as_slice).collect::<Vec<_>>());
}

#[test]
fn headers_of_strangers_show_nothing_and_are_counted() {
    let program = start_with(TRUST);
    let forged = "X-Forwarded-For: 8.8.8.8\r\nForwarded: for=8.8.8.8\r\nX-Real-IP: 8.8.8.8\r\n";
    assert_eq!(announce(&program, STRANGER, forged, 1001).0, ip("127.0.0.3"));
    assert_eq!(program.metric("evenkeel_forwarding_ignored_total"), 1.0, "requests are counted, not headers");
    // A proxy that adds its line behind a forged one, and one that passes a header on which it does not know.
    for forged in [
        "X-Forwarded-For: 8.8.8.8\r\nX-Forwarded-For: 8.8.4.4\r\n",
        "X-Forwarded-For: 8.8.8.8, \" 8.8.8.8 , 8.8.4.4\r\n",
        "CF-Connecting-IP: 8.8.8.8\r\nX-Real-IP: 8.8.8.8\r\nForwarded: for=8.8.8.8\r\nX-Forwarded-For: 8.8.4.4\r\n",
    ] {
        assert_eq!(announce(&program, PROXY, forged, 1002).0, ip("8.8.4.4"), "{forged}");
    }
    assert_eq!(program.metric("evenkeel_forwarding_missing_total"), 0.0);
}

#[test]
fn a_proxy_that_names_nobody_speaks_for_itself_and_is_counted() {
    let program = start_with(TRUST);
    for headers in ["", "X-Forwarded-For: unknown\r\n", "X-Forwarded-For:\r\n", "X-Real-IP: 8.8.8.8\r\n"] {
        assert_eq!(announce(&program, PROXY, headers, 1001).0, ip("127.0.0.2"), "{headers}");
    }
    assert_eq!(program.metric("evenkeel_forwarding_missing_total"), 4.0);
}

#[test]
fn limits_hold_for_the_address_that_a_proxy_names() {
    let program = start_with(&format!("{TRUST}[limits]\npeers_per_address_and_swarm_max = 2\n"));
    for port in 1001..1010 {
        announce(&program, PROXY, "X-Forwarded-For: 8.8.8.8\r\n", port);
    }
    let (_, peers) = announce(&program, PROXY, "X-Forwarded-For: 8.8.4.4\r\n", 1001);
    assert_eq!(peers.len(), 2 * 6);
}

/// An upgrade on behalf of somebody.
fn upgrade_for(client: &str) -> String {
    UPGRADE.replace("Host: x\r\n", &format!("Host: x\r\nX-Forwarded-For: {client}\r\n"))
}

#[test]
fn a_websocket_behind_a_proxy_is_counted_for_its_client() {
    let program = start_with(&format!(
        "{TRUST}[limits]\nconnections_per_address_max = 2\npeers_per_address_and_swarm_max = 1\n"
    ));
    let open = |client: &str| {
        let mut stream = connect_from(PROXY, program.address(Way::HttpV4));
        stream.write_all(upgrade_for(client).as_bytes()).unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        (std::str::from_utf8(&status[9..]).unwrap().to_owned(), stream)
    };
    let mut sockets: Vec<_> = (0..2).map(|_| open("8.8.8.8")).collect();
    assert!(sockets.iter().all(|(status, _)| status == "101"));
    assert_eq!(open("8.8.8.8").0, "503");
    assert_eq!(open("8.8.4.4").0, "101");
    assert_eq!(program.metric("evenkeel_http_connections_refused_total"), 1.0);
    sockets.pop();
    wait_for("the place", || (open("8.8.8.8").0 == "101").then_some(()));
    // And so are its peers.
    let stream = connect_from(PROXY, program.address(Way::HttpV4));
    let mut socket = WebSocket::over_as(stream, &upgrade_for("8.8.4.4"), b"");
    for port in 1..4 {
        socket.announce(&Ask::leecher(TORRENT, port));
    }
    assert_eq!(program.metric("evenkeel_peers{family=\"webtorrent\"}"), 1.0);
}

#[test]
fn the_proxy_protocol_names_the_peer_in_both_versions() {
    let program = start_with(&format!("{TRUST}protocol_on_http = true\nheader = \"none\"\n"));
    let v4 = [V2, &[0x21, 0x11, 0, 12, 8, 8, 8, 8, 127, 0, 0, 1, 1, 1, 2, 2]].concat();
    let mut v6 = [V2, &[0x21, 0x21, 0, 36]].concat();
    v6.extend([0x2a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    v6.extend([0; 20]);
    for (introduction, seen) in [
        (&b"PROXY TCP4 8.8.8.8 127.0.0.1 513 80\r\n"[..], "8.8.8.8"),
        (b"PROXY TCP6 2a00::1 ::1 513 80\r\n", "2a00::1"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.2"),
        (&v4, "8.8.8.8"),
        (&v6, "2a00::1"),
        (b"", "127.0.0.2"),
    ] {
        let mut stream = connect_from(PROXY, program.address(Way::HttpV4));
        // In two parts, and the second one together with the request or alone.
        let (first, second) = introduction.split_at(introduction.len() / 2);
        stream.set_nodelay(true).unwrap();
        stream.write_all(first).unwrap();
        stream.write_all(second).unwrap();
        assert_eq!(announce_over(&mut stream, "", 1001).0, ip(seen), "{}", introduction.escape_ascii());
    }
    assert_eq!(program.metric("evenkeel_forwarding_missing_total"), 1.0);
    // Whoever is not trusted is read as anybody else is: what he says of himself is no request.
    let mut stranger = connect_from(STRANGER, program.address(Way::HttpV4));
    stranger.write_all(b"PROXY TCP4 8.8.8.8 127.0.0.1 513 80\r\nGET /health HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    stranger.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    assert_eq!(announce(&program, STRANGER, "", 1002).0, ip("127.0.0.3"));
}

#[test]
fn a_broken_or_endless_introduction_ends_the_connection() {
    let program = start_with(&format!("{TRUST}protocol_on_http = true\n[limits]\nhead_timeout_secs = 1\n"));
    let ended = |introduction: &[u8]| {
        let mut stream = connect_from(PROXY, program.address(Way::HttpV4));
        stream.write_all(introduction).unwrap();
        let mut answer = Vec::new();
        // The end may be a reset.
        stream.read_to_end(&mut answer).ok();
        assert!(answer.is_empty(), "{}", answer.escape_ascii());
    };
    ended(b"PROXY TCP4 8.8.8.8 nowhere 513 80\r\nGET /health HTTP/1.1\r\n\r\n");
    ended(&[b"PROXY UNKNOWN".as_slice(), &[b' '; 200]].concat());
    ended(&[V2, &[0x21, 0x11, 0xFF, 0xFF]].concat());
    assert_eq!(program.metric("evenkeel_proxy_protocol_malformed_total"), 3.0);
    ended(b"PROXY TCP4 8.8.8.8 ");
    ended(b"");
}

#[test]
fn the_proxy_protocol_comes_before_tls() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    authority.issue(folder.path());
    let config = format!(
        "[tls]\ncertificate_file = \"chain.pem\"\nkey_file = \"key.pem\"\nport = 0\n{TRUST}protocol_on_https = true\n"
    );
    let program = crate::rig::start_in(folder, &config);
    let address = crate::tls::secure_address(&program);
    let mut stream = connect_from(PROXY, address);
    stream.write_all(b"PROXY TCP4 8.8.8.8 127.0.0.1 513 443\r\n").unwrap();
    let mut stream = connect_over(&authority.trusted(&[]), stream).unwrap();
    // What a client of the proxy says of itself inside of TLS is a stranger's word.
    assert_eq!(announce_over(&mut stream, "X-Forwarded-For: 8.8.4.4\r\n", 1001).0, ip("8.8.8.8"));
    let mut direct = connect_over(&authority.trusted(&[]), connect_from(STRANGER, address)).unwrap();
    assert_eq!(announce_over(&mut direct, "", 1002).0, ip("127.0.0.3"));
    // The plain port has a switch of its own.
    assert_eq!(announce(&program, PROXY, "X-Forwarded-For: 8.8.4.4\r\n", 1003).0, ip("8.8.4.4"));
}

#[test]
fn who_is_trusted_changes_at_reload() {
    let program = start_with("");
    let named = "X-Forwarded-For: 8.8.8.8\r\n";
    assert_eq!(announce(&program, PROXY, named, 1001).0, ip("127.0.0.2"), "nobody is trusted by default");
    std::fs::write(program.folder.path().join("evenkeel.toml"), TRUST).unwrap();
    program.signal("HUP");
    wait_for("the new list", || (announce(&program, PROXY, named, 1001).0 == ip("8.8.8.8")).then_some(()));
}

#[test]
fn the_proxy_protocol_without_anybody_to_believe_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("evenkeel.toml"), "[proxy]\nprotocol_on_http = true\n").unwrap();
    let output = command(folder.path()).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text.contains("protocol_on_http") && text.contains("trusted_networks"), "{text}");
}
