//! The control data: who may use the tracker for what.

use std::fmt;

use super::columns::{Cells, Columns, Table, Value};
use super::token::{TOKENS, Token};
use super::{Error, Row};

/// SHA-256 of a secret. Secrets are drawn at random and long, so that this needs no salt; a site writes it as
/// `sha256(convert_to(secret, 'UTF8'))`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash32(pub [u8; 32]);

impl fmt::Debug for Hash32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The tables of the control data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// [`User`].
    User,
    /// [`Class`].
    Class,
    /// [`Torrent`].
    Torrent,
    /// [`AnnounceKey`].
    Key,
    /// [`Listed`].
    Listed,
    /// [`Setting`].
    Setting,
    /// [`Token`].
    Token,
}

impl Kind {
    /// Those whose changes are noted, in the order of their numbers in the change log, which begin at 1; 0 means all of
    /// them.
    pub const FOLLOWED: [Self; 6] =
        [Self::User, Self::Class, Self::Torrent, Self::Key, Self::Listed, Self::Setting];

    pub(super) fn of_number(number: i64) -> Option<Self> {
        Self::FOLLOWED.get(usize::try_from(number).ok()?.checked_sub(1)?).copied()
    }

    pub(super) fn table(self) -> &'static Table {
        match self {
            Self::User => &USERS,
            Self::Class => &CLASSES,
            Self::Torrent => &TORRENTS,
            Self::Key => &KEYS,
            Self::Listed => &LISTED,
            Self::Setting => &SETTINGS,
            Self::Token => &TOKENS,
        }
    }

    /// How the row is found that has something alone; of some kinds, none has it.
    pub(super) fn by(self, unique: &Unique) -> Option<(String, Value)> {
        let (column, value) = match (self, unique) {
            (Self::User | Self::Class | Self::Setting | Self::Token, Unique::Name(name)) => {
                ("name", name.as_str().into())
            }
            (Self::User, Unique::Secret(hash)) => ("passkey_hash", hash.0.into()),
            (Self::Key, Unique::Secret(hash)) => ("key_hash", hash.0.into()),
            (Self::Token, Unique::Secret(hash)) => ("token_hash", hash.0.into()),
            (Self::Torrent, Unique::InfoHashV1(hash)) => ("info_hash_v1", (*hash).into()),
            (Self::Torrent, Unique::InfoHashV2(hash)) => ("info_hash_v2", (*hash).into()),
            (Self::Listed, Unique::InfoHashV1(hash)) => ("info_hash", (*hash).into()),
            _ => return None,
        };
        Some((format!("{} WHERE {column} = $1", self.table().select()), value))
    }

    pub(super) fn read(self, row: &dyn Columns) -> Result<Row, Error> {
        let mut cells = Cells::new(row, self.table());
        let cells = &mut cells;
        Ok(match self {
            Self::User => Row::User(User::read(cells)?),
            Self::Class => Row::Class(Class::read(cells)?),
            Self::Torrent => Row::Torrent(Torrent::read(cells)?),
            Self::Key => Row::Key(AnnounceKey::read(cells)?),
            Self::Listed => Row::Listed(Listed::read(cells)?),
            Self::Setting => Row::Setting(Setting::read(cells)?),
            Self::Token => Row::Token(Token::read(cells)?),
        })
    }
}

/// What only one row of a kind has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unique {
    /// The name of a user, class, setting or token.
    Name(String),
    /// The info hash of a torrent of version 1, or one on a list.
    InfoHashV1([u8; 20]),
    /// The info hash of a torrent of version 2.
    InfoHashV2([u8; 32]),
    /// The present passkey of a user, an announce key or a token, by its hash.
    Secret(Hash32),
}

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserState {
    /// Everything.
    Active,
    /// Seed.
    LeechDisabled,
    /// Nothing, for now.
    Disabled,
    /// Nothing.
    Banned,
}

impl UserState {
    /// In the order of their numbers in the store, from 0.
    pub const ALL: [Self; 4] = [Self::Active, Self::LeechDisabled, Self::Disabled, Self::Banned];
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// 0 in an edit that makes a new one.
    pub id: i64,
    /// 1 to 200 bytes, of one user only.
    pub name: String,
    /// Of the passkey.
    pub passkey: Hash32,
    /// Of the passkey before that.
    pub previous_passkey: Option<Hash32>,
    /// Until when that one is good, in seconds since 1970.
    pub previous_until: i64,
    /// What the user may do.
    pub state: UserState,
    /// See [`Class`].
    pub class: Option<i64>,
    /// What of an upload is credited, in percent; above that of class and torrent it wins.
    pub upload_percent: Option<u32>,
    /// What of a download is charged, in percent; below that of class and torrent it wins.
    pub download_percent: Option<u32>,
    /// The tier that the user is held at, 0 to 3, whatever was earned.
    pub pinned_tier: Option<u32>,
    /// In seconds since 1970.
    pub created_at: i64,
}

static USERS: Table = Table {
    name: "users",
    columns: &[
        "name",
        "passkey_hash",
        "previous_passkey_hash",
        "previous_passkey_until",
        "state",
        "class_id",
        "upload_percent",
        "download_percent",
        "pinned_tier",
        "created_at",
    ],
};

impl User {
    fn read(cells: &mut Cells<'_>) -> Result<Self, Error> {
        Ok(Self {
            id: cells.id(),
            name: cells.text()?,
            passkey: Hash32(cells.bytes()?),
            previous_passkey: cells.maybe_bytes()?.map(Hash32),
            previous_until: cells.integer()?,
            state: cells.word(&UserState::ALL)?,
            class: cells.maybe_integer()?,
            upload_percent: cells.maybe_number()?,
            download_percent: cells.maybe_number()?,
            pinned_tier: cells.maybe_number()?,
            created_at: cells.integer()?,
        })
    }

    pub(super) fn values(&self) -> Vec<Value> {
        vec![
            self.name.as_str().into(),
            self.passkey.0.into(),
            self.previous_passkey.map(|hash| hash.0).into(),
            self.previous_until.into(),
            (self.state as u32).into(),
            self.class.into(),
            self.upload_percent.into(),
            self.download_percent.into(),
            self.pinned_tier.into(),
            self.created_at.into(),
        ]
    }
}

/// What users of a kind have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// 0 in an edit that makes a new one.
    pub id: i64,
    /// 1 to 200 bytes, of one class only.
    pub name: String,
    /// What of an upload is credited, in percent.
    pub upload_percent: u32,
    /// What of a download is charged, in percent.
    pub download_percent: u32,
    /// Clients that a user may have on one torrent; `None` means as many as anybody.
    pub clients_per_torrent_max: Option<u32>,
    /// Addresses that a user may announce from; `None` means as many as anybody.
    pub addresses_max: Option<u32>,
}

static CLASSES: Table = Table {
    name: "classes",
    columns: &["name", "upload_percent", "download_percent", "clients_per_torrent_max", "addresses_max"],
};

impl Class {
    fn read(cells: &mut Cells<'_>) -> Result<Self, Error> {
        Ok(Self {
            id: cells.id(),
            name: cells.text()?,
            upload_percent: cells.number()?,
            download_percent: cells.number()?,
            clients_per_torrent_max: cells.maybe_number()?,
            addresses_max: cells.maybe_number()?,
        })
    }

    pub(super) fn values(&self) -> Vec<Value> {
        vec![
            self.name.as_str().into(),
            self.upload_percent.into(),
            self.download_percent.into(),
            self.clients_per_torrent_max.into(),
            self.addresses_max.into(),
        ]
    }
}

/// Whether a torrent is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TorrentState {
    /// It is.
    Approved,
    /// Not yet.
    Pending,
    /// Not any more; clients are told the reason.
    Deleted,
}

impl TorrentState {
    /// In the order of their numbers in the store, from 0.
    pub const ALL: [Self; 3] = [Self::Approved, Self::Pending, Self::Deleted];
}

/// A catalogued torrent. One with two info hashes (a hybrid) is one torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torrent {
    /// 0 in an edit that makes a new one.
    pub id: i64,
    /// Of version 1: SHA-1.
    pub info_hash_v1: Option<[u8; 20]>,
    /// Of version 2: SHA-256. Peers announce its first 20 bytes.
    pub info_hash_v2: Option<[u8; 32]>,
    /// 1 to 1,000 bytes.
    pub name: String,
    /// Bytes, if known.
    pub size_bytes: Option<u64>,
    /// Whether it is served.
    pub state: TorrentState,
    /// Why it is not, in at most 100 bytes of ASCII.
    pub reason: String,
    /// What of an upload is credited, in percent.
    pub upload_percent: u32,
    /// What of a download is charged, in percent.
    pub download_percent: u32,
    /// Until when downloads are free, in seconds since 1970.
    pub freeleech_until: i64,
    /// In seconds since 1970.
    pub created_at: i64,
}

static TORRENTS: Table = Table {
    name: "torrents",
    columns: &[
        "info_hash_v1",
        "info_hash_v2",
        "name",
        "size_bytes",
        "state",
        "reason",
        "upload_percent",
        "download_percent",
        "freeleech_until",
        "created_at",
    ],
};

impl Torrent {
    fn read(cells: &mut Cells<'_>) -> Result<Self, Error> {
        Ok(Self {
            id: cells.id(),
            info_hash_v1: cells.maybe_bytes()?,
            info_hash_v2: cells.maybe_bytes()?,
            name: cells.text()?,
            size_bytes: cells.maybe_integer()?.and_then(|size| u64::try_from(size).ok()),
            state: cells.word(&TorrentState::ALL)?,
            reason: cells.text()?,
            upload_percent: cells.number()?,
            download_percent: cells.number()?,
            freeleech_until: cells.integer()?,
            created_at: cells.integer()?,
        })
    }

    pub(super) fn values(&self) -> Vec<Value> {
        vec![
            self.info_hash_v1.into(),
            self.info_hash_v2.into(),
            self.name.as_str().into(),
            self.size_bytes.into(),
            (self.state as u32).into(),
            self.reason.as_str().into(),
            self.upload_percent.into(),
            self.download_percent.into(),
            self.freeleech_until.into(),
            self.created_at.into(),
        ]
    }
}

/// A key that lets its holder announce, without an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnounceKey {
    /// 0 in an edit that makes a new one.
    pub id: i64,
    /// Of the key.
    pub hash: Hash32,
    /// What it is for, in at most 200 bytes.
    pub note: String,
    /// In seconds since 1970.
    pub created_at: i64,
    /// When it was last used, in seconds since 1970; when it was made, before that.
    pub used_at: i64,
}

static KEYS: Table = Table { name: "announce_keys", columns: &["key_hash", "note", "created_at", "used_at"] };

impl AnnounceKey {
    fn read(cells: &mut Cells<'_>) -> Result<Self, Error> {
        Ok(Self {
            id: cells.id(),
            hash: Hash32(cells.bytes()?),
            note: cells.text()?,
            created_at: cells.integer()?,
            used_at: cells.integer()?,
        })
    }

    pub(super) fn values(&self) -> Vec<Value> {
        vec![self.hash.0.into(), self.note.as_str().into(), self.created_at.into(), self.used_at.into()]
    }
}

/// The lists that an info hash can be on without being a catalogued torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// Served where only listed torrents are.
    Allowed,
    /// Never served.
    Denied,
}

impl List {
    /// In the order of their numbers in the store, from 0.
    pub const ALL: [Self; 2] = [Self::Allowed, Self::Denied];
}

/// An info hash on a list; it is on one list at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// 0 in an edit that makes a new one.
    pub id: i64,
    /// As peers announce it.
    pub info_hash: [u8; 20],
    /// Which list.
    pub list: List,
    /// Why, in at most 200 bytes.
    pub note: String,
}

static LISTED: Table = Table { name: "listed", columns: &["info_hash", "list", "note"] };

impl Listed {
    fn read(cells: &mut Cells<'_>) -> Result<Self, Error> {
        Ok(Self {
            id: cells.id(),
            info_hash: cells.bytes()?,
            list: cells.word(&List::ALL)?,
            note: cells.text()?,
        })
    }

    pub(super) fn values(&self) -> Vec<Value> {
        vec![self.info_hash.into(), (self.list as u32).into(), self.note.as_str().into()]
    }
}

/// A setting that takes effect at once and outlives a restart, such as the end of a freeleech for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// 0 in an edit that makes a new one.
    pub id: i64,
    /// 1 to 200 bytes, of one setting only.
    pub name: String,
    /// At most 1,000 bytes.
    pub value: String,
}

static SETTINGS: Table = Table { name: "settings", columns: &["name", "value"] };

impl Setting {
    fn read(cells: &mut Cells<'_>) -> Result<Self, Error> {
        Ok(Self { id: cells.id(), name: cells.text()?, value: cells.text()? })
    }

    pub(super) fn values(&self) -> Vec<Value> {
        vec![self.name.as_str().into(), self.value.as_str().into()]
    }
}
