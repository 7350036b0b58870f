//! TLS in the program: https and wss on a port beside the plain one, and certificates that are exchanged.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use evenkeel_client::{Announce, Client, Event, InfoHash, Key, PeerId};
use rcgen::{CertificateParams, KeyPair};
use tokio_rustls::rustls::{ClientConfig, HandshakeKind};

use crate::authority::{Authority, Secure, connect};
use crate::bencode::Value;
use crate::rig::{Ask, PATIENCE, Program, Way, command, get_over, start_in, wait_for};
use crate::websocket::WebSocket;

const TORRENT: [u8; 20] = [1; 20];
const CONFIG: &str = "[tls]\ncertificate_file = \"chain.pem\"\nkey_file = \"key.pem\"\nport = 0\n";

/// The program with a certificate of an authority; answers where https is, too.
fn start_secure(authority: &Authority, config: &str) -> (Program, SocketAddr) {
    let folder = tempfile::tempdir().unwrap();
    authority.issue(folder.path());
    let program = start_in(folder, &format!("{CONFIG}{config}"));
    let address = secure_address(&program);
    (program, address)
}

/// Where a program speaks TLS.
pub(crate) fn secure_address(program: &Program) -> SocketAddr {
    let port = program.banner.split("https://127.0.0.1:").nth(1).unwrap();
    SocketAddr::from(([127, 0, 0, 1], port.split('/').next().unwrap().parse().unwrap()))
}

fn announce(stream: &mut Secure, ask: &Ask) -> Value {
    let (status, body) = get_over(stream, None, &format!("/announce?{}&compact=1", ask.query())).unwrap();
    assert_eq!(status, 200);
    Value::read(&body)
}

fn shown(stream: &Secure) -> Vec<u8> {
    stream.conn.peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn https_and_wss_share_the_swarms_of_the_plain_port() {
    let authority = Authority::new();
    let (program, address) = start_secure(&authority, "");
    for scheme in ["https", "wss"] {
        for host in ["127.0.0.1", "[::1]"] {
            let url = format!("{scheme}://{host}:{}/announce\n", address.port());
            assert!(program.banner.contains(&url), "{}", program.banner);
        }
    }
    let client = authority.trusted(&[]);
    program.announce(Way::HttpV4, &Ask::seeder(TORRENT, 1001));
    let answer = announce(&mut connect(&client, address).unwrap(), &Ask::leecher(TORRENT, 1002));
    assert_eq!(answer.bytes("peers"), Some(&[127, 0, 0, 1, 3, 0xE9][..]));
    assert_eq!(answer.bytes("external ip"), Some(&[127, 0, 0, 1][..]));
    let mut socket = WebSocket::over(connect(&client, address).unwrap(), b"");
    assert_eq!(socket.announce(&Ask::leecher(TORRENT, 1003)).incomplete, 2);
    drop(socket);
    wait_for("the peer to leave with its socket", || {
        (program.metric("evenkeel_peers{family=\"webtorrent\"}") == 0.0).then_some(())
    });
    let v6 = SocketAddr::new("::1".parse().unwrap(), address.port());
    assert_eq!(get_over(&mut connect(&client, v6).unwrap(), None, "/health").unwrap().0, 200);
}

#[test]
fn the_client_library_announces_over_https_and_wss_with_a_private_authority() {
    let authority = Authority::new();
    let (_program, address) = start_secure(&authority, "");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let trusting =
        Client::builder().without_builtin_roots().root_certificates_pem(authority.pem().as_bytes()).build();
    for (scheme, torrent) in [("https", 1), ("wss", 2)] {
        let url = format!("{scheme}://localhost:{}/announce", address.port());
        let ask = Announce {
            info_hash: InfoHash([torrent; 20]),
            peer_id: PeerId([7; 20]),
            port: 1001,
            uploaded: 0,
            downloaded: 0,
            left: Some(1),
            event: Event::Started,
            numwant: None,
            key: Key::NONE,
        };
        let ask_as = |client: &Client| runtime.block_on(client.tracker(&url).unwrap().announce(&ask));
        assert_eq!(ask_as(trusting.as_ref().unwrap()).unwrap().leechers, Some(1), "{url}");
        let refused = ask_as(&Client::new()).unwrap_err();
        assert!(matches!(refused, evenkeel_client::Error::Tls(_)), "{refused}");
    }
}

#[test]
fn http_1_1_is_agreed_on_and_a_client_that_knows_nothing_else_is_refused() {
    let authority = Authority::new();
    let (program, address) = start_secure(&authority, "");
    for (offered, agreed) in [(&["h2", "http/1.1"][..], Some(&b"http/1.1"[..])), (&[], None)] {
        let stream = connect(&authority.trusted(offered), address).unwrap();
        assert_eq!(stream.conn.alpn_protocol(), agreed);
    }
    assert!(connect(&authority.trusted(&["h2"]), address).is_err());
    let failed = "evenkeel_tls_handshakes_total{kind=\"failed\"}";
    wait_for("the count", || (program.metric(failed) == 1.0).then_some(()));
}

#[test]
fn a_session_is_resumed_and_counted() {
    let authority = Authority::new();
    // Whichever thread gets a connection: the key of the tickets is everybody's.
    let (program, address) = start_secure(&authority, "[server]\nworkers = 4\n");
    let client = authority.trusted(&[]);
    let kinds: Vec<_> = (0..9)
        .map(|_| {
            let mut stream = connect(&client, address).unwrap();
            // The ticket comes with the answer.
            assert_eq!(get_over(&mut stream, None, "/health").unwrap().0, 200);
            stream.conn.handshake_kind().unwrap()
        })
        .collect();
    assert_eq!(kinds[0], HandshakeKind::Full);
    assert!(kinds[1..].iter().all(|kind| *kind == HandshakeKind::Resumed), "{kinds:?}");
    assert_eq!(program.metric("evenkeel_tls_handshakes_total{kind=\"full\"}"), 1.0);
    assert_eq!(program.metric("evenkeel_tls_handshakes_total{kind=\"resumed\"}"), 8.0);
}

#[test]
fn a_certificate_is_exchanged_under_load_without_one_failed_announce() {
    let authority = Authority::new();
    let (program, address) = start_secure(&authority, "");
    let client = authority.trusted(&[]);
    let mut kept = connect(&client, address).unwrap();
    let old = shown(&kept);
    let (announced, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    // Announces on one fresh connection after the other; anything that fails is a panic.
    let load = |client: &dyn Fn() -> Arc<ClientConfig>| {
        while !stop.load(Ordering::Relaxed) {
            let answer = announce(&mut connect(&client(), address).unwrap(), &Ask::leecher(TORRENT, 1002));
            assert_eq!(answer.bytes("failure reason"), None);
            announced.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        // One side resumes its sessions, the other one begins each anew.
        scope.spawn(|| load(&|| Arc::clone(&client)));
        scope.spawn(|| load(&|| authority.trusted(&[])));
        let ten_more = || {
            let before = announced.load(Ordering::Relaxed);
            wait_for("the load", || (announced.load(Ordering::Relaxed) > before + 10).then_some(()));
        };
        ten_more();
        let new = authority.issue(program.folder.path()).to_vec();
        wait_for("the new certificate", || {
            let current = shown(&connect(&authority.trusted(&[]), address).unwrap());
            assert!(current == old || current == new);
            (current == new).then_some(())
        });
        ten_more();
        stop.store(true, Ordering::Relaxed);
    });
    // A connection that was open all along does not notice.
    assert_eq!(announce(&mut kept, &Ask::leecher(TORRENT, 1003)).bytes("failure reason"), None);
    assert!(program.metric("evenkeel_tls_certificate_renewals_total") >= 1.0);
}

#[test]
fn a_bad_certificate_changes_nothing_and_hang_up_reads_a_good_one() {
    let authority = Authority::new();
    let (program, address) = start_secure(&authority, "");
    let current = || shown(&connect(&authority.trusted(&[]), address).unwrap());
    let old = current();
    std::fs::write(program.folder.path().join("chain.pem"), "nonsense").unwrap();
    program.signal("HUP");
    wait_for("the complaint", || {
        (program.metric("evenkeel_tls_certificate_failures_total") >= 1.0).then_some(())
    });
    assert_eq!(current(), old);
    let new = authority.issue(program.folder.path()).to_vec();
    program.signal("HUP");
    wait_for("the new certificate", || (current() == new).then_some(()));
}

#[test]
fn a_certificate_that_ends_soon_is_told_of_until_it_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let (day, now) = (Duration::from_secs(24 * 3600), SystemTime::now());
    let ends = now + day * 13 + day / 2;
    (params.not_before, params.not_after) = ((now - day * 77).into(), ends.into());
    std::fs::write(folder.path().join("chain.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
    let program = start_in(folder, CONFIG);
    let told = "degraded: the certificate for TLS expires in 13 days\n".to_owned();
    assert_eq!(program.get_admin("/ready"), (200, told));
    assert_eq!(program.metric("evenkeel_tls_certificate_expires_soon"), 1.0);
    let expected = ends.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((program.metric("evenkeel_tls_certificate_expiry_timestamp_seconds") - expected).abs() <= 1.0);
    Authority::new().issue(program.folder.path());
    wait_for("the new certificate", || {
        (program.metric("evenkeel_tls_certificate_expires_soon") == 0.0).then_some(())
    });
    assert_eq!(program.get_admin("/ready"), (200, "ready\n".to_owned()));
}

#[test]
fn a_certificate_that_cannot_be_used_is_one_sentence_and_status_2() {
    let folder = tempfile::tempdir().unwrap();
    for (config, named) in [
        (CONFIG, "chain.pem"),
        ("[tls]\nkey_file = \"key.pem\"\n", "tls.certificate_file"),
        ("[tls]\ncertificate_file = \"chain.pem\"\n", "tls.key_file"),
    ] {
        std::fs::write(folder.path().join("evenkeel.toml"), config).unwrap();
        let output = command(folder.path()).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(named), "{text}");
    }
}

#[test]
fn what_is_no_tls_and_who_never_finishes_a_handshake_is_cut_off() {
    let authority = Authority::new();
    let (program, address) = start_secure(&authority, "[limits]\nhead_timeout_secs = 1\n");
    let open = || {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let mut plain = open();
    plain.write_all(b"GET /health HTTP/1.1\r\n\r\n").unwrap();
    let mut silent = open();
    let mut half = open();
    half.write_all(&[0x16, 3, 1, 2, 0, 1]).unwrap();
    // The clock of the first request runs from the connection's begin.
    let mut late = connect(&authority.trusted(&[]), address).unwrap();
    for (name, stream) in [("plain", &mut plain), ("silent", &mut silent), ("half", &mut half)] {
        let mut answer = Vec::new();
        // An alert, or nothing; and then the end, be it a reset.
        stream.read_to_end(&mut answer).ok();
        assert!(!answer.starts_with(b"HTTP"), "{name}");
    }
    late.read_to_end(&mut Vec::new()).unwrap();
    let failed = "evenkeel_tls_handshakes_total{kind=\"failed\"}";
    wait_for("the count", || (program.metric(failed) == 3.0).then_some(()));
    assert_eq!(
        get_over(&mut connect(&authority.trusted(&[]), address).unwrap(), None, "/health").unwrap().0,
        200
    );
}
