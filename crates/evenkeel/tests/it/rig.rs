//! Starts the real program on free ports and asks it as clients do. Nothing of ours decodes the answers: a
//! mistake in the wire crate must not hide itself.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::bencode::Value;

/// How long anything may take that ought to happen at once. Long, for machines that are busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What the program's memory may grow by where it must not grow: allocator and system hand it out in grains of some MiB,
/// and each thread takes its first ones when it first needs them.
pub(crate) const MEMORY_GRAINS_BYTES: f64 = 16e6;

/// A running program; killed when dropped.
pub(crate) struct Program {
    child: Child,
    pub(crate) port: u16,
    pub(crate) admin: SocketAddr,
    /// What it printed when it was ready.
    pub(crate) banner: String,
    pub(crate) folder: TempDir,
}

/// A dialect and the family it is spoken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    HttpV4,
    HttpV6,
    UdpV4,
    UdpV6,
}

pub(crate) const WAYS: [Way; 4] = [Way::HttpV4, Way::HttpV6, Way::UdpV4, Way::UdpV6];

/// Starts the program with nothing but free ports and a state directory of its own.
pub(crate) fn start() -> Program {
    start_with("")
}

/// Starts the program with a configuration beside that.
pub(crate) fn start_with(config: &str) -> Program {
    let folder = tempfile::tempdir().unwrap();
    start_in(folder, config)
}

/// Starts the program in a folder that may have been used before.
pub(crate) fn start_in(folder: TempDir, config: &str) -> Program {
    std::fs::write(folder.path().join("evenkeel.toml"), config).unwrap();
    let mut command = command(folder.path());
    command.stderr(Stdio::null());
    start_as(folder, command)
}

/// Starts the program by a command of one's own.
pub(crate) fn start_as(folder: TempDir, mut command: Command) -> Program {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut banner = String::new();
    // The line of the capacity is the last one.
    while !banner.contains("capacity") {
        assert_ne!(lines.read_line(&mut banner).unwrap(), 0, "the program ended: {:?}", child.wait());
    }
    let port_after = |before: &str| -> Option<u16> {
        let rest = &banner[banner.find(before)? + before.len()..];
        rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
    };
    // With a public name, only the URL of UDP holds the port.
    let urls = ["announce    http://127.0.0.1:", "udp://127.0.0.1:", "udp://tracker.example.org:"];
    let port = urls.into_iter().find_map(port_after).unwrap();
    let admin = port_after("metrics     http://127.0.0.1:").unwrap_or(0);
    Program { child, port, admin: SocketAddr::from(([127, 0, 0, 1], admin)), banner, folder }
}

/// The program, told to use `folder` and free ports; flags override that.
pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    command.env_clear().current_dir(folder).stdin(Stdio::null());
    command.env("EVENKEEL_SERVER__PORT", "0").env("EVENKEEL_ADMIN__ADDRESS", "127.0.0.1:0");
    command.env("EVENKEEL_STATE_DIR", "state");
    command
}

impl Program {
    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// Its number on this machine.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How many files the program has open.
    pub(crate) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Waits until the program ends by itself.
    pub(crate) fn wait(mut self) -> (ExitStatus, TempDir) {
        let status = wait_for("the program to end", || self.child.try_wait().unwrap());
        (status, std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap()))
    }

    /// Where the tracker is for a family.
    pub(crate) fn address(&self, way: Way) -> SocketAddr {
        SocketAddr::new(if way.is_v4() { loopback("127.0.0.1") } else { loopback("::1") }, self.port)
    }

    /// Sends raw bytes over TCP and reads until the program closes or nothing comes for a while.
    pub(crate) fn raw(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address(Way::HttpV4)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// GETs a page of the public port; answers status and body.
    pub(crate) fn get(&self, target: &str) -> (u16, Vec<u8>) {
        get(self.address(Way::HttpV4), None, target)
    }

    /// GETs a page of the admin port.
    pub(crate) fn get_admin(&self, target: &str) -> (u16, String) {
        let (status, body) = get(self.admin, None, target);
        (status, String::from_utf8(body).unwrap())
    }

    /// The value of a metric, with its labels if it has any.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.get_admin("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no metric {name} in {text}")).parse().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Way {
    pub(crate) fn is_v4(self) -> bool {
        matches!(self, Self::HttpV4 | Self::UdpV4)
    }

    pub(crate) fn is_udp(self) -> bool {
        matches!(self, Self::UdpV4 | Self::UdpV6)
    }
}

/// Waits for something that happens without a sign.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

fn loopback(ip: &str) -> IpAddr {
    ip.parse().unwrap()
}

/// What a client asks.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) info_hash: [u8; 20],
    pub(crate) peer_id: [u8; 20],
    pub(crate) port: u16,
    pub(crate) left: u64,
    pub(crate) event: &'static str,
    pub(crate) numwant: i32,
    pub(crate) key: u32,
}

impl Ask {
    /// A leecher that starts, told apart by its port.
    pub(crate) fn leecher(info_hash: [u8; 20], port: u16) -> Self {
        let mut peer_id = *b"-XX0001-............";
        peer_id[8..13].copy_from_slice(format!("{port:05}").as_bytes());
        Self { info_hash, peer_id, port, left: 1000, event: "started", numwant: 50, key: 0 }
    }

    pub(crate) fn seeder(info_hash: [u8; 20], port: u16) -> Self {
        Self { left: 0, ..Self::leecher(info_hash, port) }
    }

    pub(crate) fn event(&self, event: &'static str) -> Self {
        Self { event, ..self.clone() }
    }

    pub(crate) fn query(&self) -> String {
        let event = if self.event.is_empty() { String::new() } else { format!("&event={}", self.event) };
        format!(
            "info_hash={}&peer_id={}&port={}&uploaded=0&downloaded=0&left={}{event}&numwant={}&key={:08X}",
            escape(&self.info_hash),
            escape(&self.peer_id),
            self.port,
            self.left,
            self.numwant,
            self.key
        )
    }
}

/// What every dialect answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) complete: u64,
    pub(crate) incomplete: u64,
    pub(crate) interval: u64,
    pub(crate) peers: Vec<SocketAddr>,
}

pub(crate) fn escape(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02X}")).collect()
}

impl Program {
    /// Announces over a dialect and family; a failure is a panic.
    pub(crate) fn announce(&self, way: Way, ask: &Ask) -> Answer {
        if way.is_udp() { self.announce_udp(way, ask) } else { self.announce_http(way, ask) }
    }

    fn announce_http(&self, way: Way, ask: &Ask) -> Answer {
        let (status, body) = get(self.address(way), None, &format!("/announce?{}&compact=1", ask.query()));
        assert_eq!(status, 200);
        let answer = Value::read(&body);
        assert_eq!(answer.bytes("failure reason"), None, "{ask:?}");
        let mut peers = v4_peers(answer.bytes("peers").unwrap());
        peers.extend(v6_peers(answer.bytes("peers6").unwrap()));
        Answer {
            complete: answer.number("complete").unwrap(),
            incomplete: answer.number("incomplete").unwrap(),
            interval: answer.number("interval").unwrap(),
            peers,
        }
    }

    fn announce_udp(&self, way: Way, ask: &Ask) -> Answer {
        let socket = self.udp(way);
        let id = connect(&socket);
        let reply = exchange(&socket, &udp_announce(id, ask)).expect("an answer");
        assert_eq!(reply[..8], [0, 0, 0, 1, 9, 9, 9, 9], "{}", reply.escape_ascii());
        let number = |at: usize| u64::from(u32::from_be_bytes(reply[at..at + 4].try_into().unwrap()));
        let peers = if way.is_v4() { v4_peers(&reply[20..]) } else { v6_peers(&reply[20..]) };
        Answer { interval: number(8), incomplete: number(12), complete: number(16), peers }
    }

    /// (complete, downloaded, incomplete) of each torrent.
    pub(crate) fn scrape(&self, way: Way, hashes: &[[u8; 20]]) -> Vec<(u64, u64, u64)> {
        if way.is_udp() {
            let socket = self.udp(way);
            let id = connect(&socket);
            let request = [&id[..], &[0, 0, 0, 2, 9, 9, 9, 9], &hashes.concat()].concat();
            let reply = exchange(&socket, &request).expect("an answer");
            assert_eq!(reply[..8], [0, 0, 0, 2, 9, 9, 9, 9]);
            let number = |bytes: &[u8]| u64::from(u32::from_be_bytes(bytes.try_into().unwrap()));
            let entries = reply[8..].chunks(12);
            return entries
                .map(|entry| (number(&entry[..4]), number(&entry[4..8]), number(&entry[8..])))
                .collect();
        }
        let query: Vec<String> = hashes.iter().map(|hash| format!("info_hash={}", escape(hash))).collect();
        let (status, body) = get(self.address(way), None, &format!("/scrape?{}", query.join("&")));
        assert_eq!(status, 200);
        let Value::Dictionary(mut root) = Value::read(&body) else { panic!() };
        let Some(Value::Dictionary(files)) = root.remove(&b"files"[..]) else {
            panic!("{}", body.escape_ascii())
        };
        let number = |hash: &[u8; 20], key: &str| files[&hash[..]].number(key).unwrap();
        hashes
            .iter()
            .map(|hash| (number(hash, "complete"), number(hash, "downloaded"), number(hash, "incomplete")))
            .collect()
    }

    /// A UDP socket that talks to the program.
    pub(crate) fn udp(&self, way: Way) -> UdpSocket {
        let socket = UdpSocket::bind(if way.is_v4() { "127.0.0.1:0" } else { "[::1]:0" }).unwrap();
        socket.connect(self.address(way)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }
}

/// Gets a connection id.
pub(crate) fn connect(socket: &UdpSocket) -> [u8; 8] {
    let reply = exchange(socket, &[0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 7, 7, 7, 7]).unwrap();
    assert_eq!((reply.len(), &reply[..8]), (16, &[0, 0, 0, 0, 7, 7, 7, 7][..]));
    reply[8..].try_into().unwrap()
}

/// Sends a packet and waits for its answer.
pub(crate) fn exchange(socket: &UdpSocket, packet: &[u8]) -> Option<Vec<u8>> {
    socket.send(packet).unwrap();
    let mut reply = [0; 2048];
    let len = socket.recv(&mut reply).ok()?;
    Some(reply[..len].to_vec())
}

/// Sends packets that shall get no answer, then one that must, and asserts that the first answer is the latter's.
pub(crate) fn assert_silence(socket: &UdpSocket, packets: &[Vec<u8>]) {
    for packet in packets {
        socket.send(packet).unwrap();
    }
    connect(socket);
}

pub(crate) fn udp_announce(connection_id: [u8; 8], ask: &Ask) -> Vec<u8> {
    let event: u32 = match ask.event {
        "" => 0,
        "completed" => 1,
        "started" => 2,
        "stopped" => 3,
        "paused" => 4,
        other => panic!("{other}"),
    };
    [
        &connection_id[..],
        &[0, 0, 0, 1, 9, 9, 9, 9],
        &ask.info_hash,
        &ask.peer_id,
        &0_u64.to_be_bytes(),
        &ask.left.to_be_bytes(),
        &0_u64.to_be_bytes(),
        &event.to_be_bytes(),
        &[0; 4],
        &ask.key.to_be_bytes(),
        &ask.numwant.to_be_bytes(),
        &ask.port.to_be_bytes(),
    ]
    .concat()
}

fn v4_peers(bytes: &[u8]) -> Vec<SocketAddr> {
    assert_eq!(bytes.len() % 6, 0);
    let peer = |bytes: &[u8]| {
        let ip: [u8; 4] = bytes[..4].try_into().unwrap();
        SocketAddr::new(ip.into(), u16::from_be_bytes(bytes[4..].try_into().unwrap()))
    };
    bytes.chunks(6).map(peer).collect()
}

fn v6_peers(bytes: &[u8]) -> Vec<SocketAddr> {
    assert_eq!(bytes.len() % 18, 0);
    let peer = |bytes: &[u8]| {
        let ip: [u8; 16] = bytes[..16].try_into().unwrap();
        SocketAddr::new(ip.into(), u16::from_be_bytes(bytes[16..].try_into().unwrap()))
    };
    bytes.chunks(18).map(peer).collect()
}

/// GETs a page, with more header lines if wanted; answers status and body.
pub(crate) fn get(address: SocketAddr, headers: Option<&str>, target: &str) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    get_over(&mut stream, headers, target).unwrap()
}

/// The same over a connection, which is closed by it.
pub(crate) fn get_over(
    stream: &mut (impl Read + Write),
    headers: Option<&str>,
    target: &str,
) -> std::io::Result<(u16, Vec<u8>)> {
    let headers = headers.unwrap_or_default();
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let split = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
    Ok((status, answer[split + 4..].to_vec()))
}
