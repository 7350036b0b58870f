//! An announce over a connection that stays open takes no memory from the heap, all of the program counted: the kernel's
//! bytes, the request's head, the swarm, the answer. In a program of its own, whose allocator counts.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use counting::allocations_elsewhere;
use evenkeel::args::Flags;
use evenkeel::config::Reload;
use evenkeel::log;
use evenkeel::serve::{self, Start};
use evenkeel::state::StateDir;

#[expect(dead_code, reason = "shared with the tests of the core, which count for one thread")]
#[path = "../../../evenkeel-core/tests/allocations/counting.rs"]
mod counting;

const PATIENCE: Duration = Duration::from_secs(20);
/// Peers of the torrent: a whole answer.
const PEERS: u16 = 60;
const ANNOUNCES: u16 = 500;
/// Other threads look after the store now and then, which may take memory: not in each of so many rounds.
const ROUNDS: usize = 10;

/// Starts the program in this process, on an address of its own; it ends with the process.
fn start(folder: &Path) -> SocketAddr {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    let address = SocketAddr::from((Ipv4Addr::new(127, 64 + (a & 15), b, c), 6969));
    let settings = [
        ("SERVER__ADDRESSES", format!("[\"{}\"]", address.ip())),
        ("SERVER__PORT", address.port().to_string()),
        ("SERVER__WORKERS", "1".to_owned()),
        ("SERVER__UDP", "false".to_owned()),
        ("ADMIN__ENABLED", "false".to_owned()),
        ("LIMITS__REQUESTS_PER_CONNECTION_MAX", "1_000_000".to_owned()),
    ];
    let settings = settings.map(|(name, value)| (format!("EVENKEEL_{name}").into(), value.into()));
    let reload = Reload::new(Flags::default(), settings);
    let config = reload.load().unwrap();
    let log = log::start(config.log.level, config.log.format).unwrap();
    let start = Start { config, reload, state: StateDir::open(folder).unwrap(), log };
    std::thread::spawn(move || serve::run(&start).unwrap());
    address
}

fn connect(address: SocketAddr) -> TcpStream {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                return stream;
            }
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Announces a peer and answers the length of the list that came back.
fn announce(stream: &mut TcpStream, number: u16, form: &str) -> usize {
    let request = format!(
        "GET /announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=-XX0001-{number:012}&port={}&uploaded=0&downloaded=0&left=1\
         {form} HTTP/1.1\r\nHost: tracker\r\nUser-Agent: test\r\nAccept-Encoding: gzip\r\n\r\n",
        1024 + number
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut room = [0; 16 * 1024];
    loop {
        let len = stream.read(&mut room).unwrap();
        assert_ne!(len, 0, "the connection stays open");
        answer.extend_from_slice(&room[..len]);
        let text = String::from_utf8_lossy(&answer);
        let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        let body = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        let body_len: usize = body.parse().unwrap();
        let head_len = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        if answer.len() == head_len + body_len {
            assert!(!text.contains("failure reason"), "{text}");
            return body_len;
        }
    }
}

#[test]
fn an_announce_on_an_open_connection_takes_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let mut stream = connect(start(folder.path()));
    for form in
        ["&compact=1", "&compact=0", "&compact=1&numwant=200&event=started", "&compact=1&event=stopped"]
    {
        for number in 0..PEERS {
            announce(&mut stream, number, "&compact=1");
        }
        let is_leaving = form.ends_with("stopped");
        let least = (0..ROUNDS)
            .map(|_| {
                allocations_elsewhere(|| {
                    for number in 0..ANNOUNCES {
                        let len = announce(&mut stream, number % PEERS, form);
                        assert!(is_leaving || len > 50 * 6, "{len} bytes are no list of peers");
                    }
                })
            })
            .min();
        assert_eq!(
            least,
            Some(0),
            "times that {ANNOUNCES} announces with {form} took memory, in the best of {ROUNDS} rounds"
        );
    }
    // The count is of what the program does: a new connection takes memory, and so does a page.
    let taken = allocations_elsewhere(|| {
        announce(&mut connect(stream.peer_addr().unwrap()), 0, "&compact=1");
    });
    assert!(taken > 0);
}
