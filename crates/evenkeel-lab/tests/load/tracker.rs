//! A tracker that remembers who announced, hands out three made-up peers, and can misbehave.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use evenkeel_wire::udp::{self, Ask, Request};
use evenkeel_wire::{Announce, InfoHash, Reply, Stats, http, query};

/// What it does wrong.
#[derive(Clone, Copy, Default)]
pub(crate) struct Faults {
    /// Leaves each n-th announce unanswered, and forgets it; 0 answers all.
    pub drop_every: usize,
    /// Answers whoever claims any connection id.
    pub believes_all: bool,
}

/// The tracker. Its threads end with the test's process.
pub(crate) struct Tracker {
    pub address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    faults: Faults,
    peers: Mutex<HashSet<(InfoHash, IpAddr, u16)>>,
    announces: AtomicUsize,
    refused: AtomicUsize,
}

impl Tracker {
    /// Listens on any free port of `ip`.
    pub(crate) fn start(ip: &str, protocol: &str, faults: Faults) -> Self {
        let any = SocketAddr::new(ip.parse().unwrap(), 0);
        let state = Arc::new(State { faults, ..State::default() });
        let for_thread = Arc::clone(&state);
        let address = if protocol == "udp" {
            let socket = UdpSocket::bind(any).unwrap();
            let address = socket.local_addr().unwrap();
            std::thread::spawn(move || for_thread.serve_udp(&socket));
            address
        } else {
            let listener = TcpListener::bind(any).unwrap();
            let address = listener.local_addr().unwrap();
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let (state, stream) = (Arc::clone(&for_thread), stream.unwrap());
                    std::thread::spawn(move || state.serve_http(stream));
                }
            });
            address
        };
        Self { address, state }
    }

    /// Peers that it can tell apart.
    pub(crate) fn peers(&self) -> usize {
        self.state.peers.lock().unwrap().len()
    }

    /// Packets that it left unanswered since they proved nothing.
    pub(crate) fn refused(&self) -> usize {
        self.state.refused.load(Ordering::Relaxed)
    }
}

impl State {
    fn serve_udp(&self, socket: &UdpSocket) {
        let (mut packet, mut out) = ([0; 2048], [0; 2048]);
        while let Ok((len, source)) = socket.recv_from(&mut packet) {
            let answered = self.answer(&packet[..len], source, &mut out);
            if answered > 0 {
                // Who asked may be gone already.
                socket.send_to(&out[..answered], source).ok();
            }
        }
    }

    fn answer(&self, packet: &[u8], source: SocketAddr, out: &mut [u8]) -> usize {
        match udp::decode(packet) {
            Some(Request::Connect { transaction }) => {
                udp::write_connect(out, transaction, id_of(source.ip()))
            }
            Some(Request::Claimed { connection_id, transaction, ask: Ok(ask) })
                if connection_id == id_of(source.ip()) || self.faults.believes_all =>
            {
                match ask {
                    Ask::Announce(ask, _) if self.record(&ask, source.ip()) => {
                        let bytes = if source.is_ipv4() { 3 * 6 } else { 3 * 18 };
                        udp::write_announce(out, transaction, &reply(), bytes)
                    }
                    Ask::Announce(..) => 0,
                    Ask::Scrape(_) => udp::write_scrape(out, transaction, &[Stats::default()]),
                }
            }
            _ => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                0
            }
        }
    }

    fn serve_http(&self, mut stream: TcpStream) {
        let ip = stream.peer_addr().unwrap().ip();
        let (mut bytes, mut some) = (Vec::new(), [0; 4096]);
        loop {
            // Hostile clients come here, too.
            let Ok(decoded) = http::decode_head(&bytes) else { return };
            let (answer, len, keep_alive) = match decoded {
                Some((request, len)) => {
                    let body: &[u8] = if request.path == b"/announce" {
                        let Ok((announce, _)) = query::announce(request.query) else { return };
                        if !self.record(&announce, ip) {
                            return;
                        }
                        b"d5:peers18:abcdefghijklmnopqre"
                    } else {
                        if request.path != b"/scrape" || query::scrape(request.query).is_err() {
                            return;
                        }
                        b"d5:filesdee"
                    };
                    let framing = http::Framing::of(&request);
                    let mut out = Vec::new();
                    http::write_answer(&mut out, "200 OK", "text/plain", body, framing);
                    (out, len, request.keep_alive)
                }
                None => match stream.read(&mut some) {
                    Ok(read @ 1..) => {
                        bytes.extend_from_slice(&some[..read]);
                        continue;
                    }
                    _ => return,
                },
            };
            bytes.drain(..len);
            if stream.write_all(&answer).is_err() || !keep_alive {
                return;
            }
        }
    }

    /// Whether the announce is answered.
    fn record(&self, ask: &Announce, ip: IpAddr) -> bool {
        let number = self.announces.fetch_add(1, Ordering::Relaxed) + 1;
        if self.faults.drop_every > 0 && number.is_multiple_of(self.faults.drop_every) {
            return false;
        }
        self.peers.lock().unwrap().insert((ask.info_hash, ip, ask.port));
        true
    }
}

/// A connection id that is good for one address only.
fn id_of(ip: IpAddr) -> u64 {
    match ip {
        IpAddr::V4(ip) => 0x5AFE_0000_0000_0000 | u64::from(u32::from(ip)),
        IpAddr::V6(_) => 0x5AFE_6666_6666_6666,
    }
}

fn reply() -> Reply {
    Reply { stats: Stats::default(), interval_secs: 1800, min_interval_secs: 300, warning: None }
}

/// `evenkeel-lab echo`, or another command of it that says last in its first line where it listens.
pub(crate) struct Echo {
    pub address: String,
    child: Child,
}

impl Echo {
    pub(crate) fn start(program: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(program).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Self { address: line.split_ascii_whitespace().last().unwrap().to_owned(), child }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // It never ends by itself.
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}
