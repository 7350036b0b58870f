//! The exam that every store has to pass, and the stores that sit it. SQLite needs nothing for that, PostgreSQL a real
//! server, which is started in a temporary folder (`exam/server.rs`).

use std::sync::Arc;

use super::{
    Address, AnnounceKey, Batch, Class, Counts, Edit, Error, Hash32, Increment, Kind, List, Listed, Mark,
    NodeId, Postgres, Reader, Row, Scope, Scopes, SessionId, SessionRow, Setting, Standing, Store, Token,
    Torrent, TorrentId, TorrentState, Unique, User, UserId, UserState, Whose,
};

mod booked;
mod changed;
mod kept;
mod large;
mod of_postgres;
pub(crate) mod server;
mod stood;

/// A database of its own for one test.
pub(crate) trait Desk {
    /// A new connection.
    fn open(&self) -> Result<Box<dyn Store>, Error>;
    /// What a site writes past us.
    fn write(&self, sql: &str) -> Result<(), String>;
}

/// A test for each desk from one function.
macro_rules! sit {
    ($($name:ident)+) => {
        mod sqlite {
            $( #[test] fn $name() { super::$name(&crate::store::exam::file()); } )+
        }
        mod postgres {
            $( #[test] fn $name() { super::$name(&crate::store::exam::database()); } )+
        }
    };
}
use sit;

/// A file of its own.
pub(crate) struct File(tempfile::TempDir);

pub(crate) fn file() -> File {
    File(tempfile::tempdir().unwrap())
}

impl File {
    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.0.path().join("evenkeel.sqlite")
    }
}

impl Desk for File {
    fn open(&self) -> Result<Box<dyn Store>, Error> {
        Ok(Box::new(super::Sqlite::open(&self.path())?))
    }

    fn write(&self, sql: &str) -> Result<(), String> {
        let connection = rusqlite::Connection::open(self.path()).unwrap();
        connection.execute_batch(sql).map_err(|error| error.to_string())
    }
}

/// A database of its own on a real server.
pub(crate) struct Database {
    pub(crate) server: Arc<server::Server>,
    name: String,
}

pub(crate) fn database() -> Database {
    let (server, name) = server::shared();
    Database { server, name }
}

impl Database {
    pub(crate) fn location(&self) -> String {
        self.server.address("evenkeel", &self.name)
    }

    pub(crate) fn address(&self) -> Address {
        Address::new(&self.location(), None).unwrap()
    }
}

impl Desk for Database {
    fn open(&self) -> Result<Box<dyn Store>, Error> {
        Ok(Box::new(Postgres::open(&self.address())?))
    }

    fn write(&self, sql: &str) -> Result<(), String> {
        self.server.query(&self.name, sql)
    }
}

/// Everything that a store shows.
#[derive(Default)]
pub(crate) struct Shown {
    pub(crate) rows: Vec<Row>,
    pub(crate) gone: Vec<(Kind, i64)>,
}

impl Reader for Shown {
    fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    fn gone(&mut self, kind: Kind, id: i64) {
        self.gone.push((kind, id));
    }
}

fn load(store: &mut dyn Store) -> (Mark, Vec<Row>) {
    let mut shown = Shown::default();
    let mark = store.load(&mut shown).unwrap();
    assert!(shown.gone.is_empty());
    (mark, shown.rows)
}

fn changes(store: &mut dyn Store, mark: &mut Mark) -> Shown {
    let mut shown = Shown::default();
    *mark = store.changes_since(mark, &mut shown).unwrap();
    shown
}

pub(crate) fn user(name: &str) -> User {
    let mut passkey = [7; 32];
    passkey[..name.len().min(32)].copy_from_slice(&name.as_bytes()[..name.len().min(32)]);
    User {
        id: 0,
        name: name.to_owned(),
        passkey: Hash32(passkey),
        previous_passkey: None,
        previous_until: 0,
        state: UserState::Active,
        class: None,
        upload_percent: None,
        download_percent: None,
        pinned_tier: None,
        created_at: 1_700_000_000,
    }
}

pub(crate) fn torrent(number: u8) -> Torrent {
    Torrent {
        id: 0,
        info_hash_v1: Some([number; 20]),
        info_hash_v2: None,
        name: format!("torrent {number}"),
        size_bytes: Some(5_000_000_000),
        state: TorrentState::Approved,
        reason: String::new(),
        upload_percent: 100,
        download_percent: 100,
        freeleech_until: 0,
        created_at: 1_700_000_000,
    }
}

/// Adds users a and b and torrents 1 and 2, and answers with their ids.
pub(crate) fn populate(store: &mut dyn Store) -> ([UserId; 2], [TorrentId; 2]) {
    let edits =
        [Edit::User(user("a")), Edit::User(user("b")), Edit::Torrent(torrent(1)), Edit::Torrent(torrent(2))];
    let ids = store.edit(&edits).unwrap();
    ([UserId(ids[0]), UserId(ids[1])], [TorrentId(ids[2]), TorrentId(ids[3])])
}

const NODE: NodeId = NodeId(0x1234_5678_9abc);
const NOON: i64 = 1_700_049_600;

fn batch(sequence: u64) -> Batch {
    Batch { node: NODE, after: sequence - 1, sequence, at_secs: NOON, ..Batch::default() }
}

pub(crate) fn increment(user: UserId, torrent: TorrentId, amount: u64) -> Increment {
    Increment {
        user,
        torrent,
        uploaded: amount,
        downloaded: amount * 2,
        credited: amount * 3,
        charged: amount / 2,
        seeded_secs: 60,
        leeched_secs: 30,
        snatched_at: None,
    }
}

fn session(user: UserId, torrent: TorrentId, session: u64) -> SessionRow {
    SessionRow {
        user,
        torrent,
        session: SessionId(session),
        uploaded: 10,
        downloaded: 20,
        left: Some(30),
        run: 255,
        seen_at: NOON,
        is_stopped: false,
    }
}

fn sessions(store: &mut dyn Store) -> Vec<SessionRow> {
    let mut found = Vec::new();
    store.load_sessions(&mut |row| found.push(row)).unwrap();
    found.sort_by_key(|row| (row.user, row.torrent, row.session));
    found
}
