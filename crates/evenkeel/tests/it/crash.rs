//! The program is killed at random moments while users announce. What the books must say is known to the byte: a session
//! whose baseline was stored goes on from it, and one that began just before begins anew. Ten kills for each database;
//! `just prove-crash` asks for more through `EVENKEEL_CRASH_ROUNDS`, and gets a line of a table for each database in the
//! file that `EVENKEEL_CRASH_REPORT` names.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::bencode::Value;
use crate::postgres::Server;
use crate::private::{PASSKEY, Rig, postgres, postgres_on, sqlite};
use crate::rig::{Ask, PATIENCE, Way, start_in, wait_for};

const TORRENT: [u8; 20] = [7; 20];
const CLIENTS: u16 = 8;
/// So often a client begins that was not there before, on a torrent of its own.
const NEWCOMER: Duration = Duration::from_millis(50);
/// The longest time from the start to the kill, in milliseconds.
const LIFE_MILLIS: u64 = 2500;

/// What a client has moved since it started.
struct Client {
    info_hash: [u8; 20],
    key: u32,
    uploaded: u64,
    downloaded: u64,
    /// What it had moved when the books last began with it: that counts for nothing.
    based: [u64; 2],
    /// When it was first answered since.
    answered_secs: Option<u64>,
}

impl Client {
    fn new(key: u32) -> Self {
        // It has moved something before we hear of it.
        let (uploaded, downloaded) = (1_000_000, 2_000_000);
        let based = [uploaded, downloaded];
        Self { info_hash: TORRENT, key, uploaded, downloaded, based, answered_secs: None }
    }

    fn newcomer(number: u32) -> Self {
        Self { info_hash: torrent_of(number), ..Self::new(1) }
    }

    fn move_on(&mut self, rng: &mut fastrand::Rng) {
        self.uploaded += rng.u64(0..1 << 20);
        self.downloaded += rng.u64(0..1 << 20);
    }

    /// What the books must have of it.
    fn moved(&self) -> [u64; 2] {
        [self.uploaded - self.based[0], self.downloaded - self.based[1]]
    }

    /// The books begin with it once more, when it announces next; answers what they will never have.
    fn begin_anew(&mut self) -> u64 {
        let [uploaded, downloaded] = self.moved();
        (self.based, self.answered_secs) = ([self.uploaded, self.downloaded], None);
        uploaded + downloaded
    }

    /// Announces; whether there was an answer.
    fn announce(&mut self, address: SocketAddr, event: &'static str) -> bool {
        let ask = Ask { key: self.key, ..Ask::leecher(self.info_hash, 3000).event(event) };
        let moved = format!("uploaded={}&downloaded={}&left=9", self.uploaded, self.downloaded);
        let query = ask.query().replace("uploaded=0&downloaded=0&left=1000", &moved);
        let mut told = Vec::new();
        let request =
            format!("GET /{PASSKEY}/announce?{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let asked = TcpStream::connect(address).and_then(|mut stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(request.as_bytes())?;
            stream.read_to_end(&mut told)
        });
        let Some(at) = told.windows(4).position(|four| four == b"\r\n\r\n").filter(|_| asked.is_ok()) else {
            return false;
        };
        assert_eq!(Value::read(&told[at + 4..]).bytes("failure reason"), None);
        self.answered_secs.get_or_insert_with(now_secs);
        true
    }
}

/// The torrent that a newcomer has for itself.
fn torrent_of(number: u32) -> [u8; 20] {
    let mut info_hash = [8; 20];
    info_hash[..4].copy_from_slice(&number.to_be_bytes());
    info_hash
}

fn now_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Kills for each database.
fn rounds() -> u32 {
    std::env::var("EVENKEEL_CRASH_ROUNDS").ok().map_or(10, |rounds| rounds.parse().unwrap())
}

/// A user's clients.
struct World {
    rng: fastrand::Rng,
    /// Those whose baselines are stored.
    known: Vec<Client>,
    /// Those of which that is not certain.
    fresh: Vec<Client>,
    newcomers: u32,
    answered: u64,
    /// What sessions had moved that began in the flush window before a kill.
    unbased_bytes: u64,
    unbased_sessions: u32,
}

impl World {
    /// Announces until the program is gone, which is soon.
    fn announce_until_killed(&mut self, rig: &Rig) {
        let address = rig.program.address(Way::HttpV4);
        let mut newcomer_due = Instant::now();
        std::thread::scope(|scope| {
            let after = Duration::from_millis(self.rng.u64(0..LIFE_MILLIS));
            scope.spawn(move || {
                std::thread::park_timeout(after);
                rig.program.signal("KILL");
            });
            loop {
                let mut event = "";
                if newcomer_due <= Instant::now() {
                    newcomer_due += NEWCOMER;
                    self.newcomers += 1;
                    self.fresh.push(Client::newcomer(self.newcomers));
                    event = "started";
                }
                let (known, fresh) = (self.known.len(), self.fresh.len());
                let client = match self.rng.usize(..2) {
                    _ if !event.is_empty() => &mut self.fresh[fresh - 1],
                    0 if fresh > 0 => &mut self.fresh[self.rng.usize(..fresh)],
                    _ => &mut self.known[self.rng.usize(..known)],
                };
                if event.is_empty() {
                    client.move_on(&mut self.rng);
                }
                if !client.announce(address, event) {
                    return;
                }
                self.answered += 1;
            }
        });
    }

    /// After a start: looks which sessions go on, and lets the others begin anew. None of those may have begun before the
    /// last batch that was booked.
    fn look(&mut self, rig: &Rig) {
        let mut unbased = Vec::new();
        for client in std::mem::take(&mut self.fresh) {
            let of_torrent = format!("torrents WHERE info_hash_v1 = {}", rig.bytes(&client.info_hash));
            let stored = format!("SELECT 1 FROM sessions WHERE torrent_id = (SELECT id FROM {of_torrent})");
            if rig.has(&stored) {
                self.known.push(client);
                continue;
            }
            if let Some(secs) = client.answered_secs {
                let later = format!("SELECT 1 FROM books WHERE last_at > {secs}");
                assert!(!rig.has(&later), "a session is not stored that began before the last flush");
            }
            unbased.push(client);
        }
        // Only now: what they say is flushed, too.
        for mut client in unbased {
            self.unbased_sessions += 1;
            client.move_on(&mut self.rng);
            self.unbased_bytes += client.begin_anew();
            assert!(client.announce(rig.program.address(Way::HttpV4), ""));
            self.fresh.push(client);
        }
    }

    fn all(&self) -> impl Iterator<Item = &Client> {
        self.known.iter().chain(&self.fresh)
    }

    /// All that the books must have in the end, or less as long as somebody has not told them.
    fn moved(&self) -> [u64; 2] {
        self.all().map(Client::moved).fold([0; 2], |sum, moved| [sum[0] + moved[0], sum[1] + moved[1]])
    }
}

fn books_are_exact_after_kills(mut rig: Rig, database: &str) -> Rig {
    let config = std::fs::read_to_string(rig.program.folder.path().join("evenkeel.toml")).unwrap();
    rig.populate();
    // Enough for the longest lives, and for a kill that comes late.
    let newcomers = rounds() * 100;
    let rows: Vec<String> =
        (1..=newcomers).map(|number| format!("({}, 't')", rig.bytes(&torrent_of(number)))).collect();
    rig.write(&format!("INSERT INTO torrents (info_hash_v1, name) VALUES {}", rows.join(", ")));
    let mut known: Vec<Client> = (1..=CLIENTS).map(|number| Client::new(number.into())).collect();
    for client in &mut known {
        assert!(client.announce(rig.program.address(Way::HttpV4), "started"));
    }
    let based = format!("SELECT 1 WHERE (SELECT count(*) FROM sessions) >= {CLIENTS}");
    wait_for("the baselines", || rig.has(&based).then_some(()));
    let all_listed = format!("evenkeel_torrents {}", newcomers + 1);
    wait_for("the torrents", || rig.program.get_admin("/metrics").1.contains(&all_listed).then_some(()));

    let rng = fastrand::Rng::with_seed(6);
    let fresh = Vec::new();
    let mut world =
        World { rng, known, fresh, newcomers: 0, answered: 0, unbased_bytes: 0, unbased_sessions: 0 };
    for _ in 0..rounds() {
        world.announce_until_killed(&rig);
        let (_, folder) = rig.program.wait();
        rig = Rig { program: start_in(folder, &config), database: rig.database };
        rig.wait_until_ready();
        world.look(&rig);
        let [uploaded, downloaded] = world.moved();
        let too_much =
            format!("SELECT 1 FROM user_totals WHERE uploaded > {uploaded} OR downloaded > {downloaded}");
        assert!(!rig.has(&too_much), "more is booked than was moved");
    }
    for client in world.known.iter_mut().chain(&mut world.fresh) {
        assert!(client.announce(rig.program.address(Way::HttpV4), ""));
    }
    let [uploaded, downloaded] = world.moved();
    rig.wait_for_totals(uploaded, downloaded);
    report(&world, database);
    rig
}

/// A line of the table; what it says of exactness has been asserted.
fn report(world: &World, database: &str) {
    let [uploaded, downloaded] = world.moved();
    let World { answered, unbased_bytes, unbased_sessions, .. } = world;
    let line = format!(
        "| {database} | {} | {answered} | {} | {uploaded} | {downloaded} | {unbased_sessions} | {unbased_bytes} | 0 |",
        rounds(),
        world.all().count(),
    );
    println!("{line}");
    if let Some(path) = std::env::var_os("EVENKEEL_CRASH_REPORT") {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        writeln!(file, "{line}").unwrap();
    }
}

#[test]
fn books_are_exact_after_kills_with_sqlite() {
    let rig = books_are_exact_after_kills(sqlite("preset = \"private\""), "SQLite");
    assert!(rig.has("SELECT 1 FROM pragma_integrity_check WHERE integrity_check = 'ok'"));
}

#[test]
fn books_are_exact_after_kills_with_postgresql() {
    books_are_exact_after_kills(postgres("preset = \"private\""), "PostgreSQL");
}

#[test]
fn a_database_that_hangs_and_a_kill_together_lose_nothing_that_was_made_safe() {
    let server = Arc::new(Server::start(&["-c", "fsync=off", "-c", "listen_addresses="]));
    let mut rig = postgres_on(Arc::clone(&server), "books".to_owned(), "preset = \"private\"");
    let config = std::fs::read_to_string(rig.program.folder.path().join("evenkeel.toml")).unwrap();
    rig.populate();
    let address = rig.program.address(Way::HttpV4);
    let mut client = Client::new(1);
    assert!(client.announce(address, "started"));
    (client.uploaded, client.downloaded) = (3_000_000, 3_000_000);
    assert!(client.announce(address, ""));
    rig.wait_for_totals(2_000_000, 1_000_000);

    server.signal_all("STOP");
    let began = Instant::now();
    while !rig.program.get_admin("/ready").1.starts_with("degraded") {
        client.uploaded += 1000;
        let asked = Instant::now();
        assert!(client.announce(address, ""));
        assert!(asked.elapsed() < Duration::from_secs(2), "an announce waits for no database");
        assert!(began.elapsed() < PATIENCE, "nobody says that the database hangs");
        std::thread::park_timeout(Duration::from_millis(100));
    }
    // What has been announced until here is in the file when it has grown once more.
    let before = rig.program.metric("evenkeel_journal_bytes");
    wait_for("the file to grow", || {
        assert!(client.announce(address, ""));
        (rig.program.metric("evenkeel_journal_bytes") > before).then_some(())
    });
    rig.program.signal("KILL");
    let (_, folder) = rig.program.wait();
    server.signal_all("CONT");
    rig = Rig { program: start_in(folder, &config), database: rig.database };
    rig.wait_for_totals(client.uploaded - 1_000_000, 1_000_000);
}
