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
    /// Removes a row; with a user go his totals, books and sessions.
    Remove(Kind, i64),
}

/// An edit as it is sent to a database.
pub(super) struct Sentence {
    pub(super) text: String,
    pub(super) values: Vec<Value>,
    /// 0 when the database is to answer with it.
    pub(super) id: i64,
}

impl Edit {
    pub(super) fn sentence(&self) -> Sentence {
        let (kind, id, mut values) = match self {
            Self::User(row) => (Kind::User, row.id, row.values()),
            Self::Class(row) => (Kind::Class, row.id, row.values()),
            Self::Torrent(row) => (Kind::Torrent, row.id, row.values()),
            Self::Key(row) => (Kind::Key, row.id, row.values()),
            Self::Listed(row) => (Kind::Listed, row.id, row.values()),
            Self::Setting(row) => (Kind::Setting, row.id, row.values()),
            Self::Token(row) => (Kind::Token, row.id, row.values()),
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
