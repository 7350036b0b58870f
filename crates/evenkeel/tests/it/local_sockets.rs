//! Unix sockets, and sockets that systemd passes: how else the tracker is reached.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::authority::{Authority, connect};
use crate::bencode::Value;
use crate::rig::{
    Ask, PATIENCE, Program, Way, command, get, get_over, start_as, start_in, start_with, wait_for,
};
use crate::websocket::{UPGRADE, WebSocket};

const TORRENT: [u8; 20] = [1; 20];
const UNIX: &str = "[server]\nunix_socket = \"tracker.sock\"\n";

fn dial(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Announces over a Unix socket; answers the address that the program took it for.
fn announce(path: &Path, before: &str, headers: &str) -> Vec<u8> {
    let mut stream = dial(path);
    stream.write_all(before.as_bytes()).unwrap();
    let target = format!("/announce?{}&compact=1", Ask::leecher(TORRENT, 1001).query());
    let (status, body) = get_over(&mut stream, Some(headers), &target).unwrap();
    assert_eq!(status, 200);
    Value::read(&body).bytes("external ip").unwrap().to_vec()
}

#[test]
fn a_unix_socket_is_for_a_proxy_that_names_its_clients() {
    let program = start_with(UNIX);
    let path = program.folder.path().join("tracker.sock");
    assert!(program.banner.contains("tracker.sock"), "{}", program.banner);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    assert_eq!(announce(&path, "", "X-Forwarded-For: 203.0.113.9, 8.8.8.8\r\n"), [8, 8, 8, 8]);
    assert_eq!(announce(&path, "", ""), [127, 0, 0, 1], "the proxy itself");
    let upgrade = UPGRADE.replace("Host: x\r\n", "Host: x\r\nX-Forwarded-For: 8.8.4.4\r\n");
    let mut socket = WebSocket::over_as(dial(&path), &upgrade, b"");
    assert_eq!(socket.announce(&Ask::leecher(TORRENT, 1)).incomplete, 3);
    // What comes over TCP is not trusted for that.
    let headers = Some("X-Forwarded-For: 8.8.8.8\r\n");
    let target = format!("/announce?{}", Ask::leecher(TORRENT, 1002).query());
    let (_, body) = get(program.address(Way::HttpV4), headers, &target);
    assert_eq!(Value::read(&body).bytes("external ip"), Some(&[127, 0, 0, 1][..]));
    let (status, folder) = {
        program.signal("TERM");
        program.wait()
    };
    assert!(status.success() && !path.exists(), "it goes with the program");
    drop(folder);
}

#[test]
fn the_proxy_protocol_comes_over_a_unix_socket_too() {
    let program = start_with(&format!("{UNIX}[proxy]\nprotocol_on_unix = true\nheader = \"none\"\n"));
    let path = program.folder.path().join("tracker.sock");
    assert_eq!(announce(&path, "PROXY TCP4 8.8.8.8 127.0.0.1 1 2\r\n", ""), [8, 8, 8, 8]);
    // Behind the introduction it is the client who speaks.
    let forged = "X-Forwarded-For: 8.8.4.4\r\n";
    assert_eq!(announce(&path, "PROXY TCP4 8.8.8.8 127.0.0.1 1 2\r\n", forged), [8, 8, 8, 8]);
}

#[test]
fn a_socket_file_that_was_left_is_taken_over_and_one_in_use_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tracker.sock");
    drop(UnixListener::bind(&path).unwrap());
    let program = start_in(folder, UNIX);
    assert_eq!(get_over(&mut dial(&path), None, "/health").unwrap().0, 200);
    let refused = |config: &str| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("evenkeel.toml"), config).unwrap();
        std::fs::write(folder.path().join("file"), "of somebody else's").unwrap();
        let output = command(folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(std::fs::read_to_string(folder.path().join("file")).unwrap(), "of somebody else's");
        String::from_utf8(output.stderr).unwrap()
    };
    let used = refused(&format!("[server]\nunix_socket = \"{}\"\n", path.display()));
    assert!(used.contains("tracker.sock"), "{used}");
    assert!(refused("[server]\nunix_socket = \"file\"\n").contains("file"));
    assert_eq!(get_over(&mut dial(&path), None, "/health").unwrap().0, 200, "the first one does not mind");
    drop(program);
}

/// Starts the program with sockets that are open already, as systemd does: 3 is what comes in as standard input, 4 what
/// comes in as standard error.
fn start_activated(config: &str, names: &str, third: OwnedFd, fourth: OwnedFd) -> Program {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("evenkeel.toml"), config).unwrap();
    Authority::new().issue(folder.path());
    let mut activated = Command::new("sh");
    let script = "exec 3<&0 4<&2 </dev/null 2>/dev/null; export LISTEN_PID=$$ LISTEN_FDS=2; exec \"$0\"";
    activated.args(["-c", script, env!("CARGO_BIN_EXE_evenkeel")]);
    let plain = command(folder.path());
    activated.env_clear().current_dir(folder.path()).env("LISTEN_FDNAMES", names);
    activated.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    activated.stdin(Stdio::from(third)).stderr(Stdio::from(fourth));
    start_as(folder, activated)
}

#[test]
fn sockets_that_systemd_passes_are_served_by_every_worker() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (http, datagrams) = (tcp.local_addr().unwrap(), udp.local_addr().unwrap());
    let program = start_activated("[server]\nworkers = 3\n", "http:udp", tcp.into(), udp.into());
    assert!(program.banner.contains(&format!("http://{http}/announce")), "{}", program.banner);
    assert!(program.banner.contains(&format!("udp://{datagrams}/announce")), "{}", program.banner);
    for _ in 0..20 {
        assert_eq!(get(http, None, "/health").0, 200);
    }
    let target = format!("/announce?{}&compact=1", Ask::leecher(TORRENT, 1001).query());
    assert_eq!(Value::read(&get(http, None, &target).1).number("incomplete"), Some(1));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(datagrams).unwrap();
    for _ in 0..20 {
        crate::rig::connect(&socket);
    }
}

#[test]
fn every_listener_can_be_passed_by_its_name() {
    let (tls, admin) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let (https, metrics) = (tls.local_addr().unwrap(), admin.local_addr().unwrap());
    let config = "[tls]\ncertificate_file = \"chain.pem\"\nkey_file = \"key.pem\"\n";
    let program = start_activated(config, "https:admin", tls.into(), admin.into());
    assert!(program.banner.contains(&format!("https://{https}/announce")), "{}", program.banner);
    assert_eq!(program.admin, metrics);
    // It speaks TLS: with a certificate of somebody whom this client does not trust.
    assert!(connect(&Authority::new().trusted(&[]), https).is_err());
    let failed = "evenkeel_tls_handshakes_total{kind=\"failed\"}";
    wait_for("the count", || (program.metric(failed) == 1.0).then_some(()));

    let folder = tempfile::tempdir().unwrap();
    let unix = UnixListener::bind(folder.path().join("a.sock")).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let _program = start_activated("", "evenkeel.socket:evenkeel.socket", unix.into(), udp.into());
    let seen = announce(&folder.path().join("a.sock"), "", "X-Forwarded-For: 8.8.8.8\r\n");
    assert_eq!(seen, [8, 8, 8, 8], "by its kind");
}

#[test]
fn a_socket_of_another_kind_than_its_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut activated = Command::new("sh");
    let script = "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=udp; exec \"$0\"";
    activated.args(["-c", script, env!("CARGO_BIN_EXE_evenkeel")]).env_clear().current_dir(folder.path());
    activated.stdin(Stdio::from(OwnedFd::from(TcpListener::bind(address).unwrap())));
    let output = activated.env("EVENKEEL_STATE_DIR", "state").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("another kind"), "{text}");
}

/// A peer that closes at once is no reason to stop accepting.
#[test]
fn a_unix_socket_outlives_those_who_hang_up() {
    let program = start_with(UNIX);
    let path = program.folder.path().join("tracker.sock");
    for _ in 0..50 {
        drop(dial(&path));
    }
    let mut answer = Vec::new();
    let mut stream = dial(&path);
    stream.write_all(b"GET /health HTTP/1.0\r\n\r\n").unwrap();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.ends_with(b"ok\n"));
}
