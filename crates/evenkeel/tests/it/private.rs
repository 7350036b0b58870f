//! Who may announce what: users and torrents in a database, written past the program, as a site does.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::bencode::Value;
use crate::postgres::{Server, shared};
use crate::rig::{
    Ask, Program, Way, assert_silence, connect, exchange, get, start_in, start_with, udp_announce, wait_for,
};
use crate::websocket::{UPGRADE, WebSocket};

pub(crate) const PASSKEY: &str = "0123456789abcdef0123456789abcdef";
const TORRENT: [u8; 20] = [7; 20];

/// Where users and torrents are.
pub(crate) enum Database {
    Sqlite,
    Postgres(Arc<Server>, String),
}

pub(crate) struct Rig {
    pub(crate) program: Program,
    pub(crate) database: Database,
}

pub(crate) fn sqlite(access: &str) -> Rig {
    Rig { program: start_with(&format!("[access]\n{access}\n")), database: Database::Sqlite }
}

pub(crate) fn postgres(access: &str) -> Rig {
    let (server, name) = shared();
    postgres_on(server, name, access)
}

pub(crate) fn postgres_on(server: Arc<Server>, name: String, access: &str) -> Rig {
    let url = server.address("evenkeel", &name);
    let program = start_with(&format!("[access]\n{access}\n[database]\nurl = \"{url}\"\n"));
    Rig { program, database: Database::Postgres(server, name) }
}

impl Rig {
    /// Writes as a site does, when the tracker is ready.
    pub(crate) fn write(&self, sql: &str) {
        self.wait_until_ready();
        match &self.database {
            Database::Sqlite => {
                let path = self.program.folder.path().join("state/evenkeel.sqlite");
                let connection = rusqlite::Connection::open(path).unwrap();
                connection.busy_timeout(crate::rig::PATIENCE).unwrap();
                connection.execute_batch(sql).unwrap();
            }
            Database::Postgres(server, name) => server.query(name, sql).unwrap(),
        }
    }

    /// Bytes as the database writes them.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> String {
        let hex = HEXLOWER.encode(bytes);
        match self.database {
            Database::Sqlite => format!("x'{hex}'"),
            Database::Postgres(..) => format!("'\\x{hex}'"),
        }
    }

    pub(crate) fn wait_until_ready(&self) {
        wait_for("the tracker to be ready", || (self.program.get_admin("/ready").0 == 200).then_some(()));
    }

    /// A user with the passkey, and a torrent.
    pub(crate) fn populate(&self) {
        let (hash, info_hash) = (self.bytes(&Sha256::digest(PASSKEY)), self.bytes(&TORRENT));
        self.write(&format!(
            "INSERT INTO users (name, passkey_hash) VALUES ('a', {hash});
             INSERT INTO torrents (info_hash_v1, name) VALUES ({info_hash}, 't')"
        ));
        self.wait_for_text(None);
    }

    /// Waits until the user's announce is answered with this text, or without one.
    fn wait_for_text(&self, text: Option<&str>) {
        let path = format!("/{PASSKEY}/announce");
        wait_for("a change to hold", || (self.refusal(&path).as_deref() == text).then_some(()));
    }

    fn announce(&self, path: &str) -> Value {
        let separator = if path.contains('?') { '&' } else { '?' };
        let target = format!("{path}{separator}{}&compact=1", Ask::leecher(TORRENT, 1001).query());
        let (status, body) = get(self.program.address(Way::HttpV4), None, &target);
        assert_eq!(status, 200, "{path}");
        Value::read(&body)
    }

    fn refusal(&self, path: &str) -> Option<String> {
        let text = self.announce(path).bytes("failure reason")?.to_vec();
        Some(String::from_utf8(text).unwrap())
    }

    /// What is answered over UDP with a path behind the announce (BEP 41): an action and what follows.
    fn announce_udp(&self, path: &str) -> (u32, Vec<u8>) {
        let socket = self.program.udp(Way::UdpV4);
        let id = connect(&socket);
        let option = [&[2, u8::try_from(path.len()).unwrap()], path.as_bytes()].concat();
        let packet = [udp_announce(id, &Ask::leecher(TORRENT, 1002)), option].concat();
        let reply = exchange(&socket, &packet).unwrap();
        (u32::from_be_bytes(reply[..4].try_into().unwrap()), reply[8..].to_vec())
    }

    fn announce_ws(&self, path: &str) -> serde_json::Value {
        let stream = std::net::TcpStream::connect(self.program.address(Way::HttpV4)).unwrap();
        stream.set_read_timeout(Some(crate::rig::PATIENCE)).unwrap();
        let upgrade = UPGRADE.replace("/announce", path);
        let mut socket = WebSocket::over_as(stream, &upgrade, b"");
        let text: String = TORRENT.iter().map(|byte| char::from(*byte)).collect();
        socket.send(&serde_json::json!({
            "action": "announce", "info_hash": text, "peer_id": "-XX0001-0123456789ab", "uploaded": 0,
            "downloaded": 0, "left": 5, "event": "started", "numwant": 5, "offers": []
        }));
        socket.message()
    }
}

const NEEDED: &str = "this tracker needs a passkey: download the torrent again from its site";
const UNKNOWN: &str = "this passkey is not known: download the torrent again from its site";

fn a_passkey_opens_every_door(rig: &Rig) {
    rig.populate();
    let ways = [
        format!("/{PASSKEY}/announce"),
        format!("/announce/{PASSKEY}"),
        format!("/announce?passkey={PASSKEY}"),
    ];
    for path in &ways {
        assert_eq!(rig.refusal(path), None, "{path}");
        assert_eq!(rig.announce_udp(path).0, 1, "{path}");
        assert_eq!(rig.announce_ws(path)["action"], "announce", "{path}");
        assert!(rig.announce_ws(path).get("failure reason").is_none(), "{path}");
    }
    let wrong = PASSKEY.replace('0', "1");
    for (path, text) in [("/announce".to_owned(), NEEDED), (format!("/{wrong}/announce"), UNKNOWN)] {
        assert_eq!(rig.refusal(&path).as_deref(), Some(text));
        assert_eq!(rig.announce_udp(&path), (3, text.as_bytes().to_vec()));
        assert_eq!(rig.announce_ws(&path)["failure reason"], text);
    }
    assert_eq!(rig.program.metric("evenkeel_swarms"), 1.0);
}

#[test]
fn a_passkey_opens_every_door_with_users_in_sqlite() {
    a_passkey_opens_every_door(&sqlite("preset = \"private\""));
}

#[test]
fn a_passkey_opens_every_door_with_users_in_postgresql() {
    a_passkey_opens_every_door(&postgres("preset = \"private\""));
}

fn what_a_site_writes_holds(rig: &Rig) {
    rig.populate();
    for (sql, text) in [
        ("UPDATE users SET state = 1", Some("your account may seed, but not download")),
        ("UPDATE users SET state = 2", Some("your account is disabled")),
        ("UPDATE users SET state = 3", Some("your account is banned")),
        ("UPDATE users SET state = 0", None),
        ("UPDATE torrents SET state = 1", Some("this torrent is not approved yet")),
        ("UPDATE torrents SET state = 2, reason = 'Dupe'", Some("this torrent was deleted: Dupe")),
        ("UPDATE torrents SET reason = ''", Some("this torrent was deleted")),
        ("DELETE FROM torrents", Some("this torrent is not registered with this tracker")),
        ("DELETE FROM users", Some(UNKNOWN)),
    ] {
        rig.write(sql);
        rig.wait_for_text(text);
    }
}

#[test]
fn why_a_torrent_was_deleted_is_told_over_every_dialect() {
    let rig = sqlite("preset = \"private\"");
    rig.populate();
    rig.write("UPDATE torrents SET state = 2, reason = 'say \"no\" to ünï'");
    let text = "this torrent was deleted: say 'no' to ?n?";
    rig.wait_for_text(Some(text));
    let path = format!("/{PASSKEY}/announce");
    assert_eq!(rig.announce_udp(&path), (3, text.as_bytes().to_vec()));
    assert_eq!(rig.announce_ws(&path)["failure reason"], text);
    assert!(rig.program.metric("evenkeel_requests_total{dialect=\"udp\",reason=\"failed_deleted\"}") >= 1.0);
}

#[test]
fn what_a_site_writes_into_sqlite_holds() {
    what_a_site_writes_holds(&sqlite("preset = \"private\""));
}

#[test]
fn what_a_site_writes_into_postgresql_holds() {
    what_a_site_writes_holds(&postgres("preset = \"private\""));
}

#[test]
fn scrapes_need_a_passkey_too_and_udp_has_no_place_for_it() {
    let rig = sqlite("preset = \"private\"");
    rig.populate();
    let scrape = |path: &str| {
        let target = format!("{path}?info_hash={}", crate::rig::escape(&TORRENT));
        Value::read(&get(rig.program.address(Way::HttpV4), None, &target).1)
    };
    assert_eq!(scrape("/scrape").bytes("failure reason"), Some(NEEDED.as_bytes()));
    assert!(scrape(&format!("/{PASSKEY}/scrape")).get("files").is_some());
    let socket = rig.program.udp(Way::UdpV4);
    let id = connect(&socket);
    let reply = exchange(&socket, &[&id[..], &[0, 0, 0, 2, 9, 9, 9, 9], &TORRENT].concat()).unwrap();
    assert_eq!(reply[..4], [0, 0, 0, 3]);
}

#[test]
fn with_listed_torrents_anybody_announces_those() {
    let rig = sqlite("preset = \"listed\"");
    rig.populate_torrent();
    assert_eq!(rig.refusal("/announce"), None);
    let path = format!("/{PASSKEY}/announce");
    let target = format!("{path}?{}", Ask::leecher(TORRENT, 1).query());
    let (_, body) = rig.program.get(&target);
    let text = Value::read(&body).bytes("failure reason").unwrap().to_vec();
    assert_eq!(text, b"unknown path: this tracker answers at /announce and /scrape", "passkeys mean nothing");
    rig.write("DELETE FROM torrents");
    wait_for("the torrent to be unknown", || rig.refusal("/announce"));
}

impl Rig {
    fn populate_torrent(&self) {
        let info_hash = self.bytes(&TORRENT);
        self.write(&format!("INSERT INTO torrents (info_hash_v1, name) VALUES ({info_hash}, 't')"));
        wait_for("the torrent to be known", || self.refusal("/announce").is_none().then_some(()));
    }
}

#[test]
fn users_and_torrents_outlive_a_restart() {
    let rig = sqlite("preset = \"private\"");
    rig.populate();
    rig.program.signal("TERM");
    let (status, folder) = rig.program.wait();
    assert!(status.success());
    let program = start_in(folder, "[access]\npreset = \"private\"\n");
    let rig = Rig { program, database: Database::Sqlite };
    rig.wait_until_ready();
    assert_eq!(rig.refusal(&format!("/{PASSKEY}/announce")), None);
}

#[test]
fn nobody_is_answered_while_the_database_is_away() {
    let rig = Rig {
        program: start_with(
            "[access]\npreset = \"private\"\n[database]\nurl = \"host=/nonexistent user=u dbname=d\"\n",
        ),
        database: Database::Sqlite,
    };
    assert_eq!(rig.program.get_admin("/ready"), (503, "loading\n".to_owned()));
    let answer = rig.announce(&format!("/{PASSKEY}/announce"));
    assert_eq!(answer.bytes("failure reason"), Some(&b"this tracker is starting; please try again"[..]));
    assert_eq!(answer.number("interval"), Some(30));
    let socket = rig.program.udp(Way::UdpV4);
    let id = connect(&socket);
    assert_silence(&socket, &[udp_announce(id, &Ask::leecher(TORRENT, 1))]);
}

/// What a client says that it has moved.
fn counters(
    port: u16,
    key: u32,
    (uploaded, downloaded, left): (u64, u64, u64),
    event: &'static str,
) -> String {
    let ask = Ask { key, ..Ask::leecher(TORRENT, port).event(event) };
    let moved = format!("uploaded={uploaded}&downloaded={downloaded}&left={left}");
    ask.query().replace("uploaded=0&downloaded=0&left=1000", &moved)
}

impl Rig {
    fn tell(&self, query: &str) {
        let (_, body) = self.program.get(&format!("/{PASSKEY}/announce?{query}&compact=1"));
        assert_eq!(Value::read(&body).bytes("failure reason"), None, "{query}");
    }

    /// Whether a row is there.
    pub(crate) fn has(&self, rows: &str) -> bool {
        match &self.database {
            Database::Sqlite => {
                let path = self.program.folder.path().join("state/evenkeel.sqlite");
                let connection = rusqlite::Connection::open(path).unwrap();
                connection.busy_timeout(crate::rig::PATIENCE).unwrap();
                connection.query_row(&format!("SELECT EXISTS ({rows})"), [], |row| row.get(0)).unwrap()
            }
            Database::Postgres(server, name) => {
                server.query(name, &format!("DO $$ BEGIN ASSERT EXISTS ({rows}); END $$")).is_ok()
            }
        }
    }

    pub(crate) fn wait_for_totals(&self, uploaded: u64, downloaded: u64) {
        let rows =
            format!("SELECT 1 FROM user_totals WHERE uploaded = {uploaded} AND downloaded = {downloaded}");
        wait_for(&rows, || self.has(&rows).then_some(()));
    }
}

/// As if somebody had pulled the plug, and then started it again.
pub(crate) fn kill(rig: Rig, config: &str) -> Rig {
    rig.program.signal("KILL");
    let (_, folder) = rig.program.wait();
    let rig = Rig { program: start_in(folder, config), database: rig.database };
    rig.wait_until_ready();
    rig
}

fn what_is_moved_is_booked_once(rig: Rig, config: &str) {
    const GIB: u64 = 1 << 30;
    rig.populate();
    rig.tell(&counters(2001, 7, (0, 0, 10 * GIB), "started"));
    rig.tell(&counters(2001, 7, (GIB, 6 * GIB, 4 * GIB), ""));
    rig.wait_for_totals(GIB, 6 * GIB);
    rig.tell(&counters(2001, 7, (GIB, 6 * GIB, 4 * GIB), ""));
    rig.tell(&counters(2001, 7, (2 * GIB, 10 * GIB, 0), "completed"));
    rig.wait_for_totals(2 * GIB, 10 * GIB);
    wait_for("the snatch", || rig.has("SELECT 1 FROM books WHERE snatched_at IS NOT NULL").then_some(()));
    assert!(rig.has("SELECT 1 FROM torrent_stats WHERE completed = 1 AND seeders = 1"));

    let rig = kill(rig, config);
    rig.tell(&counters(2001, 7, (5 * GIB, 10 * GIB, 0), ""));
    rig.tell(&counters(2001, 7, (6 * GIB, 10 * GIB, 0), "stopped"));
    rig.tell(&counters(2001, 7, (6 * GIB, 10 * GIB, 0), "stopped"));
    rig.wait_for_totals(6 * GIB, 10 * GIB);

    rig.program.signal("TERM");
    let (status, folder) = rig.program.wait();
    assert!(status.success());
    let rig = Rig { program: start_in(folder, config), database: rig.database };
    rig.wait_until_ready();
    rig.tell(&counters(2001, 7, (7 * GIB, 10 * GIB, 0), "started"));
    rig.tell(&counters(2001, 7, (8 * GIB, 10 * GIB, 0), ""));
    rig.wait_for_totals(8 * GIB, 10 * GIB);
    assert!(rig.has("SELECT 1 FROM torrent_stats WHERE completed = 1"), "and is snatched once");
    assert!(rig.program.metric("evenkeel_flushes_total") >= 1.0);
}

#[test]
fn what_is_moved_is_booked_once_in_sqlite() {
    let config = "[access]\npreset = \"private\"\n";
    what_is_moved_is_booked_once(sqlite("preset = \"private\""), config);
}

#[test]
fn what_is_moved_is_booked_once_in_postgresql() {
    let rig = postgres("preset = \"private\"");
    let config = std::fs::read_to_string(rig.program.folder.path().join("evenkeel.toml")).unwrap();
    what_is_moved_is_booked_once(rig, &config);
}

#[test]
fn factors_decide_what_counts() {
    let rig = sqlite("preset = \"private\"");
    rig.populate();
    rig.write("UPDATE torrents SET upload_percent = 200, download_percent = 50");
    // Each time another client, until what the site wrote is seen.
    let mut key = 0;
    wait_for("the factors to hold", || {
        key += 1;
        rig.tell(&counters(2001, key, (0, 0, 1000), "started"));
        rig.tell(&counters(2001, key, (100, 100, 900), ""));
        let doubled =
            "SELECT 1 FROM books WHERE credited > uploaded AND charged < downloaded AND uploaded > 0";
        rig.has(doubled).then_some(())
    });
}

#[test]
fn a_database_that_goes_away_degrades_the_tracker_and_loses_nothing() {
    let rig = sqlite("preset = \"private\"");
    rig.populate();
    rig.tell(&counters(2001, 7, (0, 0, 1000), "started"));
    rig.write("ALTER TABLE books RENAME TO elsewhere");
    rig.tell(&counters(2001, 7, (100, 200, 800), ""));
    wait_for("trouble", || rig.program.get_admin("/ready").1.starts_with("degraded").then_some(()));
    rig.tell(&counters(2001, 7, (300, 400, 600), ""));
    rig.write("ALTER TABLE elsewhere RENAME TO books");
    rig.wait_for_totals(300, 400);
    wait_for("no trouble", || (rig.program.get_admin("/ready").1 == "ready\n").then_some(()));
}
