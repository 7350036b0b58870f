//! The program is killed at random moments while users announce. What the books must say is known to the byte: a session
//! whose baseline was stored goes on from it. Ten kills for each database; `EVENKEEL_CRASH_ROUNDS` asks for more.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::bencode::Value;
use crate::postgres::Server;
use crate::private::{PASSKEY, Rig, postgres, postgres_on, sqlite};
use crate::rig::{Ask, PATIENCE, start_in, wait_for};

const TORRENT: [u8; 20] = [7; 20];
const CLIENTS: u16 = 8;

/// What a client has moved since it started.
struct Client {
    key: u32,
    uploaded: u64,
    downloaded: u64,
}

impl Client {
    fn new(key: u32) -> Self {
        // It has moved something before we hear of it, which counts for nothing.
        Self { key, uploaded: 1_000_000, downloaded: 2_000_000 }
    }

    fn move_on(&mut self, rng: &mut fastrand::Rng) {
        self.uploaded += rng.u64(0..1 << 20);
        self.downloaded += rng.u64(0..1 << 20);
    }

    /// Announces; whether there was an answer.
    fn announce(&self, address: SocketAddr, event: &'static str) -> bool {
        let ask = Ask { key: self.key, ..Ask::leecher(TORRENT, 3000).event(event) };
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
        true
    }
}

/// Kills for each database.
fn rounds() -> u32 {
    std::env::var("EVENKEEL_CRASH_ROUNDS").ok().map_or(10, |rounds| rounds.parse().unwrap())
}

/// Announces until the program is gone, which is soon.
fn announce_until_killed(rig: &Rig, clients: &mut [Client], rng: &mut fastrand::Rng) -> u64 {
    let address = rig.program.address(crate::rig::Way::HttpV4);
    let mut answered = 0;
    std::thread::scope(|scope| {
        let after = Duration::from_millis(rng.u64(0..2500));
        scope.spawn(move || {
            std::thread::park_timeout(after);
            rig.program.signal("KILL");
        });
        loop {
            let client = rng.choice(&mut *clients).unwrap();
            client.move_on(rng);
            if !client.announce(address, "") {
                return;
            }
            answered += 1;
        }
    });
    answered
}

fn books_are_exact_after_kills(mut rig: Rig) -> Rig {
    let config = std::fs::read_to_string(rig.program.folder.path().join("evenkeel.toml")).unwrap();
    let mut rng = fastrand::Rng::with_seed(6);
    rig.populate();
    let mut clients: Vec<Client> = (1..=CLIENTS).map(|number| Client::new(number.into())).collect();
    for client in &clients {
        assert!(client.announce(rig.program.address(crate::rig::Way::HttpV4), "started"));
    }
    let based = format!("SELECT 1 WHERE (SELECT count(*) FROM sessions) >= {CLIENTS}");
    wait_for("the baselines", || rig.has(&based).then_some(()));

    let mut answered = 0;
    for _ in 0..rounds() {
        answered += announce_until_killed(&rig, &mut clients, &mut rng);
        let (_, folder) = rig.program.wait();
        rig = Rig { program: start_in(folder, &config), database: rig.database };
        rig.wait_until_ready();
        let [uploaded, downloaded] = moved(&clients);
        let too_much =
            format!("SELECT 1 FROM user_totals WHERE uploaded > {uploaded} OR downloaded > {downloaded}");
        assert!(!rig.has(&too_much), "more is booked than was moved");
    }
    for client in &clients {
        assert!(client.announce(rig.program.address(crate::rig::Way::HttpV4), ""));
    }
    let [uploaded, downloaded] = moved(&clients);
    rig.wait_for_totals(uploaded, downloaded);
    println!(
        "{} kills, {answered} announces answered, {uploaded} and {downloaded} bytes booked to the byte",
        rounds()
    );
    rig
}

/// All that they have moved since they were first heard of.
fn moved(clients: &[Client]) -> [u64; 2] {
    let sum = |of: fn(&Client) -> u64, before| clients.iter().map(|client| of(client) - before).sum();
    [sum(|client| client.uploaded, 1_000_000), sum(|client| client.downloaded, 2_000_000)]
}

#[test]
fn books_are_exact_after_kills_with_sqlite() {
    let rig = books_are_exact_after_kills(sqlite("preset = \"private\""));
    assert!(rig.has("SELECT 1 FROM pragma_integrity_check WHERE integrity_check = 'ok'"));
}

#[test]
fn books_are_exact_after_kills_with_postgresql() {
    books_are_exact_after_kills(postgres("preset = \"private\""));
}

#[test]
fn a_database_that_hangs_and_a_kill_together_lose_nothing_that_was_made_safe() {
    let server = Arc::new(Server::start(&["-c", "fsync=off", "-c", "listen_addresses="]));
    let mut rig = postgres_on(Arc::clone(&server), "books".to_owned(), "preset = \"private\"");
    let config = std::fs::read_to_string(rig.program.folder.path().join("evenkeel.toml")).unwrap();
    rig.populate();
    let address = rig.program.address(crate::rig::Way::HttpV4);
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
