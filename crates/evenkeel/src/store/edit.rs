//! Changes of the control data.

use super::columns::{Table, Value};
use super::control::{AnnounceKey, Class, Kind, Listed, Setting, Torrent, User};
use super::token::Token;

/// One change. A row whose id is 0 is a new one, every other one is replaced, and must exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Puts a user.
    User(User),
    /// Puts a class.
    Class(Class),
    /// Puts a torrent.
    Torrent(Torrent),
    /// Puts an announce key.
    Key(AnnounceKey),
    /// Puts an info hash on a list.
    Listed(Listed),
    /// Puts a setting.
    Setting(Setting),
    /// Puts a token.
    Token(Token),
    /// Keeps the `.torrent` file of a torrent; 0 is that of the edit before.
    File(i64, Vec<u8>),
    /// Removes a row; with a user go his totals, books and sessions, with a torrent its file.
    Remove(Kind, i64),
}

/// An edit as it is sent to a database.
pub(super) struct Sentence {
    pub(super) text: String,
    pub(super) values: Vec<Value>,
    /// 0 when the database is to answer with it.
    pub(super) id: i64,
}

/// How a file is read.
pub(super) const FILE: &str = "SELECT content FROM torrent_files WHERE torrent_id = $1";
const PUT_FILE: &str = "INSERT INTO torrent_files (torrent_id, content) VALUES ($1, $2)
     ON CONFLICT (torrent_id) DO UPDATE SET content = excluded.content";

impl Edit {
    /// `before` is the id of the row of the edit before.
    pub(super) fn sentence(&self, before: Option<i64>) -> Sentence {
        let (kind, id, mut values) = match self {
            Self::User(row) => (Kind::User, row.id, row.values()),
            Self::Class(row) => (Kind::Class, row.id, row.values()),
            Self::Torrent(row) => (Kind::Torrent, row.id, row.values()),
            Self::Key(row) => (Kind::Key, row.id, row.values()),
            Self::Listed(row) => (Kind::Listed, row.id, row.values()),
            Self::Setting(row) => (Kind::Setting, row.id, row.values()),
            Self::Token(row) => (Kind::Token, row.id, row.values()),
            Self::File(torrent, content) => {
                let id = if *torrent == 0 { before.unwrap_or(0) } else { *torrent };
                let values = vec![id.into(), Value::Bytes(content.clone())];
                return Sentence { text: PUT_FILE.to_owned(), values, id };
            }
            Self::Remove(kind, id) => {
                return Sentence { text: kind.table().delete(), values: vec![(*id).into()], id: *id };
            }
        };
        let table: &Table = kind.table();
        if id == 0 {
            return Sentence { text: table.insert(), values, id };
        }
        values.push(id.into());
        Sentence { text: table.update(), values, id }
    }
}

/// The column that a broken constraint is about. Constraints are called `table__column__why`; of a unique one SQLite
/// says `table.column` instead.
pub(super) fn field_of(constraint: &str) -> String {
    let last = constraint.rsplit([' ', ',']).next().unwrap_or(constraint);
    let field = last.split("__").nth(1).or_else(|| last.split('.').nth(1));
    field.unwrap_or(last).to_owned()
}
