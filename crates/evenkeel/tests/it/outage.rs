//! The database is gone while users announce at a steady rate: nobody notices, and afterwards the books are exact.
//!
//! Some seconds of each kind of outage. `just prove-outage` asks for minutes and more announces through
//! `EVENKEEL_OUTAGE_SECS` and `EVENKEEL_OUTAGE_RATE`, has lost acknowledgements through `EVENKEEL_OUTAGE_CUTS`, and gets a
//! line of a table for each test in the file that `EVENKEEL_OUTAGE_REPORT` names.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::postgres::Server;
use crate::private::{Database, Rig, postgres_on};
use crate::rig::{Ask, PATIENCE, Way, command, start_as, start_in, wait_for};

const TORRENT: [u8; 20] = [7; 20];
/// Each with one client. As many connections announce for all of them.
const USERS: u16 = 400;
const CONNECTIONS: u16 = 4;

fn asked<T: std::str::FromStr>(name: &str, default: T) -> T {
    let value = std::env::var(name).ok();
    value.map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name}: {value}")))
}

/// How long the database is gone.
fn outage() -> Duration {
    Duration::from_secs(asked("EVENKEEL_OUTAGE_SECS", 5))
}

/// How long a disk is full: nobody needs longer to see what happens then.
fn full() -> Duration {
    outage().min(Duration::from_secs(60))
}

/// A shorter time with and without it before and after.
fn window() -> Duration {
    (outage() / 10).max(Duration::from_secs(2))
}

fn report(line: &str) {
    println!("{line}");
    if let Some(path) = std::env::var_os("EVENKEEL_OUTAGE_REPORT") {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        writeln!(file, "{line}").unwrap();
    }
}

fn passkey(user: u16) -> String {
    format!("{user:032x}")
}

/// Some users' clients, behind one connection.
struct Voice {
    stream: TcpStream,
    clients: Vec<Client>,
}

struct Client {
    user: u16,
    uploaded: u64,
    downloaded: u64,
}

impl Voice {
    fn announce(&mut self, at: usize, event: &'static str) -> Duration {
        let Client { user, uploaded, downloaded } = self.clients[at];
        let ask = Ask { key: 1, ..Ask::leecher(TORRENT, 3000 + user).event(event) };
        let moved = format!("uploaded={uploaded}&downloaded={downloaded}&left=9");
        let query = ask.query().replace("uploaded=0&downloaded=0&left=1000", &moved);
        let request =
            format!("GET /{}/announce?{query}&compact=1 HTTP/1.1\r\nHost: x\r\n\r\n", passkey(user));
        let began = Instant::now();
        self.stream.write_all(request.as_bytes()).unwrap();
        let mut answer = [0; 4096];
        let mut len = 0;
        loop {
            let more = self.stream.read(&mut answer[len..]).unwrap();
            assert!(more > 0, "the connection was closed");
            len += more;
            let text = &answer[..len];
            let Some(head) = text.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let length =
                std::str::from_utf8(&text[..head]).unwrap().split("Content-Length: ").nth(1).unwrap();
            let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
            if len == head + 4 + length {
                let (took, body) = (began.elapsed(), &text[head + 4..]);
                let refused = body.windows(7).any(|text| text == b"failure");
                assert!(!refused, "{}", String::from_utf8_lossy(body));
                // It has had its share of requests.
                if text[..head].windows(17).any(|text| text == b"Connection: close") {
                    self.stream = connected(self.stream.peer_addr().unwrap());
                }
                return took;
            }
        }
    }

    /// Announces at a rate for some time; answers how long each took.
    fn go_on(&mut self, rate: f64, time: Duration) -> Vec<Duration> {
        let mut rng = fastrand::Rng::with_seed(u64::from(self.clients[0].user));
        let (began, mut took) = (Instant::now(), Vec::new());
        loop {
            let due = began + Duration::from_secs_f64(took.len() as f64 / rate);
            if due.duration_since(began) >= time {
                return took;
            }
            let ahead = due.saturating_duration_since(Instant::now());
            if !ahead.is_zero() {
                std::thread::park_timeout(ahead);
            }
            let at = rng.usize(..self.clients.len());
            self.clients[at].uploaded += rng.u64(..1 << 20);
            self.clients[at].downloaded += rng.u64(..1 << 20);
            took.push(self.announce(at, ""));
        }
    }
}

/// All that announce.
struct Crowd {
    voices: Vec<Voice>,
}

/// What a time with or without a database was like.
struct Window {
    announces: usize,
    p99: Duration,
    took: Duration,
}

impl Crowd {
    /// Users and a torrent in the database, and a first announce of each, which is safe when this returns.
    fn new(rig: &Rig) -> Self {
        let rows: Vec<String> = (0..=USERS)
            .map(|user| format!("('u{user}', {})", rig.bytes(&Sha256::digest(passkey(user)))))
            .collect();
        let info_hash = rig.bytes(&TORRENT);
        rig.write(&format!(
            "INSERT INTO torrents (info_hash_v1, name) VALUES ({info_hash}, 't');
             INSERT INTO users (name, passkey_hash) VALUES {}",
            rows.join(", ")
        ));
        let address = rig.program.address(Way::HttpV4);
        // The last one is there for this alone.
        let page = format!("/{}/announce?{}", passkey(USERS), Ask::leecher(TORRENT, 1001).query());
        wait_for("the users and the torrent to be known", || {
            let (_, body) = crate::rig::get(address, None, &page);
            (!body.windows(7).any(|text| text == b"failure")).then_some(())
        });
        let voice = |number| {
            let users = (0..USERS).filter(|user| user % CONNECTIONS == number);
            let client = |user| Client { user, uploaded: 1000, downloaded: 1000 };
            let mut voice = Voice { stream: connected(address), clients: users.map(client).collect() };
            for at in 0..voice.clients.len() {
                voice.announce(at, "started");
            }
            voice
        };
        let crowd = Self { voices: (0..CONNECTIONS).map(voice).collect() };
        let based = format!("SELECT 1 WHERE (SELECT count(*) FROM sessions) > {USERS}");
        wait_for("the baselines", || rig.has(&based).then_some(()));
        crowd
    }

    fn go_on(&mut self, time: Duration) -> Window {
        let rate = asked("EVENKEEL_OUTAGE_RATE", 1000.0) / f64::from(CONNECTIONS);
        let began = Instant::now();
        let mut took: Vec<Duration> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                self.voices.iter_mut().map(|voice| scope.spawn(move || voice.go_on(rate, time))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        took.sort_unstable();
        Window { announces: took.len(), p99: took[took.len() * 99 / 100], took: began.elapsed() }
    }

    /// Waits until all that was moved is in the books; answers how long that took.
    fn wait_for_books(&self, rig: &Rig) -> Duration {
        let clients = || self.voices.iter().flat_map(|voice| &voice.clients);
        let uploaded: u64 = clients().map(|client| client.uploaded - 1000).sum();
        let downloaded: u64 = clients().map(|client| client.downloaded - 1000).sum();
        let exact = format!(
            "SELECT 1 WHERE (SELECT sum(uploaded) FROM user_totals) = {uploaded}
             AND (SELECT sum(downloaded) FROM user_totals) = {downloaded}"
        );
        let too_much = format!("SELECT 1 WHERE (SELECT sum(uploaded) FROM user_totals) > {uploaded}");
        let began = Instant::now();
        while !rig.has(&exact) {
            assert!(!rig.has(&too_much), "more is booked than was moved");
            assert!(began.elapsed() < Duration::from_secs(60), "the books are not exact after a minute");
            std::thread::park_timeout(Duration::from_millis(100));
        }
        began.elapsed()
    }
}

fn connected(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn is_degraded(rig: &Rig) -> bool {
    rig.program.get_admin("/ready").1.starts_with("degraded")
}

fn micros(windows: &[&Window]) -> String {
    windows.iter().map(|window| window.p99.as_micros().to_string()).collect::<Vec<_>>().join(" / ")
}

/// Whether the slowest of a hundred took no longer without the database: up to a fifth, or two milliseconds.
fn holds(pairs: &[(&Window, &Window)]) -> &'static str {
    let holds = |(with, without): &(&Window, &Window)| {
        without.p99 <= with.p99.mul_f64(1.2).max(with.p99 + Duration::from_millis(2))
    };
    if pairs.iter().all(holds) { "yes" } else { "**no**" }
}

/// With the database, without it, with it, without it once more for a shorter time.
fn outages(kind: &str, rig: &Rig, go: impl Fn(), come: impl Fn()) {
    let mut crowd = Crowd::new(rig);
    let with = crowd.go_on(window());
    go();
    let without = crowd.go_on(outage());
    assert!(is_degraded(rig), "it says that the database is away");
    let (waiting, waiting_max) = (
        rig.program.metric("evenkeel_bookings_waiting"),
        rig.program.metric("evenkeel_bookings_waiting_limit"),
    );
    assert!(waiting > 0.0 && waiting <= waiting_max);
    come();
    let drained = crowd.wait_for_books(rig);
    wait_for("no trouble", || (!is_degraded(rig)).then_some(()));
    let with_again = crowd.go_on(window());
    go();
    let without_again = crowd.go_on(window().max(Duration::from_secs(4)));
    come();
    crowd.wait_for_books(rig);
    assert_eq!(rig.program.metric("evenkeel_bookings_refused_total"), 0.0);
    let windows = [&with, &without, &with_again, &without_again];
    let announces: usize = windows.iter().map(|window| window.announces).sum();
    let took: f64 = windows.iter().map(|window| window.took.as_secs_f64()).sum();
    report(&format!(
        "| {kind} | {} s | {announces} | {:.0} | 0 | {} | {} | {waiting:.0} of {waiting_max:.0} | {:.1} s | yes |",
        outage().as_secs(),
        announces as f64 / took,
        micros(&windows),
        holds(&[(&with, &without), (&with_again, &without_again)]),
        drained.as_secs_f64(),
    ));
}

fn own_postgres() -> (Arc<Server>, Rig) {
    let server = Arc::new(Server::start(&["-c", "fsync=off", "-c", "listen_addresses="]));
    let rig = postgres_on(Arc::clone(&server), "books".to_owned(), "preset = \"private\"");
    (server, rig)
}

#[test]
fn nobody_notices_that_postgresql_is_stopped() {
    let (server, rig) = own_postgres();
    outages("PostgreSQL stopped", &rig, || server.stop(), || server.start_again());
}

#[test]
fn nobody_notices_that_postgresql_hangs() {
    let (server, rig) = own_postgres();
    let signal = |name: &'static str| move || server.signal_all(name);
    outages("PostgreSQL hangs", &rig, signal.clone()("STOP"), signal("CONT"));
}

#[test]
fn nobody_notices_that_postgresql_takes_no_writes() {
    let (server, rig) = own_postgres();
    let set = |value: &str| {
        let sql = format!("ALTER SYSTEM SET default_transaction_read_only = {value}");
        server.query("postgres", &sql).unwrap();
        server.query("postgres", "SELECT pg_reload_conf()").unwrap();
    };
    outages("PostgreSQL read-only", &rig, || set("on"), || set("off"));
}

/// Between the program and the server: hands everything on, but for as many answers to COMMIT as it is told to lose, each
/// with its connection.
fn lose_commits(folder: &Path, server: &Server, cuts: &Arc<AtomicU32>) {
    let listener = UnixListener::bind(folder.join(".s.PGSQL.5432")).unwrap();
    let (behind, cuts) = (server.folder().join(".s.PGSQL.5432"), Arc::clone(cuts));
    std::thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            let (server, cuts) = (UnixStream::connect(&behind).unwrap(), Arc::clone(&cuts));
            std::thread::spawn(move || hand_on(client, server, &cuts));
        }
    });
}

fn hand_on(mut client: UnixStream, mut server: UnixStream, cuts: &AtomicU32) {
    let (mut to_client, mut from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let is_cut = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let told = Arc::clone(&is_cut);
    let back = std::thread::spawn(move || {
        let mut bytes = [0; 1 << 16];
        while let Ok(len @ 1..) = from_server.read(&mut bytes) {
            // The server has done it, and nobody hears of it.
            if told.load(Ordering::SeqCst) || to_client.write_all(&bytes[..len]).is_err() {
                break;
            }
        }
        to_client.shutdown(std::net::Shutdown::Both).ok();
        from_server.shutdown(std::net::Shutdown::Both).ok();
    });
    let mut bytes = [0; 1 << 16];
    while let Ok(len @ 1..) = client.read(&mut bytes) {
        let commits = bytes[..len].windows(7).any(|text| text == b"COMMIT\0");
        let take = |left: u32| left.checked_sub(1);
        if commits && cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
            is_cut.store(true, Ordering::SeqCst);
        }
        if server.write_all(&bytes[..len]).is_err() {
            break;
        }
    }
    server.shutdown(std::net::Shutdown::Write).ok();
    back.join().unwrap();
}

#[test]
fn nothing_is_booked_twice_when_acknowledgements_are_lost() {
    let server = Arc::new(Server::start(&["-c", "fsync=off", "-c", "listen_addresses="]));
    let (folder, cuts) = (tempfile::tempdir().unwrap(), Arc::new(AtomicU32::new(0)));
    lose_commits(folder.path(), &server, &cuts);
    let config = format!(
        "[access]\npreset = \"private\"\n[database]\nurl = \"host={} user=evenkeel dbname=books\"\n",
        folder.path().display()
    );
    let program = start_in(tempfile::tempdir().unwrap(), &config);
    let rig = Rig { program, database: Database::Postgres(Arc::clone(&server), "books".to_owned()) };
    let mut crowd = Crowd::new(&rig);
    let wanted = asked("EVENKEEL_OUTAGE_CUTS", 5);
    cuts.store(wanted, Ordering::SeqCst);
    let (began, mut announces) = (Instant::now(), 0);
    while cuts.load(Ordering::SeqCst) > 0 {
        announces += crowd.go_on(Duration::from_millis(500)).announces;
        assert!(began.elapsed() < 10 * PATIENCE * (wanted / 50 + 1), "no commits");
    }
    let drained = crowd.wait_for_books(&rig);
    let took = began.elapsed().as_secs_f64();
    report(&format!(
        "| {wanted} answers to COMMIT lost | {took:.0} s | {announces} | {:.0} | 0 | - | - | - | {:.1} s | yes |",
        f64::from(u32::try_from(announces).unwrap()) / took,
        drained.as_secs_f64()
    ));
}

/// Announces go on while SQLite cannot write, and are all booked when it can again.
fn a_full_disk(kind: &str, rig: &Rig, fill: impl Fn(), free: impl Fn()) {
    let mut crowd = Crowd::new(rig);
    let with = crowd.go_on(window());
    fill();
    let without = crowd.go_on(full());
    assert!(is_degraded(rig), "it says that the database is away");
    free();
    let drained = crowd.wait_for_books(rig);
    assert!(drained < Duration::from_secs(10), "{drained:?}");
    wait_for("no trouble", || (!is_degraded(rig)).then_some(()));
    let with_again = crowd.go_on(window());
    crowd.wait_for_books(rig);
    let windows = [&with, &without, &with_again];
    let announces: usize = windows.iter().map(|window| window.announces).sum();
    let took: f64 = windows.iter().map(|window| window.took.as_secs_f64()).sum();
    report(&format!(
        "| {kind} | {} s | {announces} | {:.0} | 0 | {} | {} | - | {:.1} s | yes |",
        full().as_secs(),
        announces as f64 / took,
        micros(&windows),
        holds(&[(&with, &without)]),
        drained.as_secs_f64()
    ));
}

const PRIVATE: &str = "[access]\npreset = \"private\"\n";

#[test]
fn nobody_notices_that_sqlite_may_write_no_more() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("evenkeel.toml"), PRIVATE).unwrap();
    let program = command(folder.path());
    // What is beyond the limit shall be an error, and not the end.
    let mut lenient = Command::new("env");
    lenient.arg("--ignore-signal=XFSZ").arg(program.get_program()).args(program.get_args());
    lenient.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    lenient.current_dir(folder.path()).stdin(Stdio::null()).stderr(Stdio::null());
    let rig = Rig { program: start_as(folder, lenient), database: Database::Sqlite };
    let limit = |bytes: &str| {
        let (process, limit) = (rig.program.id().to_string(), format!("--fsize={bytes}:unlimited"));
        assert!(Command::new("prlimit").args(["--pid", &process, &limit]).status().unwrap().success());
    };
    a_full_disk("SQLite, files may not grow", &rig, || limit("4096"), || limit("unlimited"));
}

/// A file system of its own for the state directory.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Nothing where this machine does not let us mount.
    fn mount(folder: &Path) -> Option<Self> {
        std::fs::create_dir(folder).unwrap();
        let mut mount = Command::new("mount");
        // Room for the books of the longest run: what fills it shall be the ballast alone.
        mount.args(["-t", "tmpfs", "-o", "size=64m", "evenkeel"]).arg(folder).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then(|| Self(folder.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

#[test]
fn nobody_notices_that_the_disk_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&folder.path().join("state")) else {
        // The other one has shown the same with a limit of the system.
        report(
            "| SQLite, disk full: this machine does not let us mount | - | - | - | - | - | - | - | - | - |",
        );
        return;
    };
    let ballast = disk.0.join("ballast");
    let rig = Rig { program: start_in(folder, PRIVATE), database: Database::Sqlite };
    // Before the program ends, so that its folder can be removed.
    let _disk = disk;
    let fill = || {
        let mut file = std::fs::File::create(&ballast).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    };
    a_full_disk("SQLite, disk full", &rig, fill, || std::fs::remove_file(&ballast).unwrap());
}
