//! Tokens of the API: who may do what over the admin port.

use super::columns::{Cells, Table, Value};
use super::control::Hash32;
use super::{Error, Kind};

/// What the holder of a token may do: a set of [`Scope`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u32);

/// One thing that a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// To read rows of every kind. Secrets are never among what is read.
    Read,
    /// To read and change rows of one kind.
    All(Kind),
}

impl Scope {
    /// Each of them, with its name.
    pub const ALL: [(&str, Self); 8] = [
        ("read", Self::Read),
        ("users", Self::All(Kind::User)),
        ("classes", Self::All(Kind::Class)),
        ("torrents", Self::All(Kind::Torrent)),
        ("keys", Self::All(Kind::Key)),
        ("listed", Self::All(Kind::Listed)),
        ("settings", Self::All(Kind::Setting)),
        ("tokens", Self::All(Kind::Token)),
    ];

    /// The number of a scope never changes: tokens are stored with it.
    fn bit(self) -> u32 {
        let number = match self {
            Self::Read => 0,
            Self::All(Kind::User) => 1,
            Self::All(Kind::Class) => 2,
            Self::All(Kind::Torrent) => 3,
            Self::All(Kind::Key) => 4,
            Self::All(Kind::Listed) => 5,
            Self::All(Kind::Setting) => 6,
            Self::All(Kind::Token) => 7,
        };
        1 << number
    }
}

impl Scopes {
    /// What the first token may do.
    pub const EVERYTHING: Self = Self(u32::MAX);

    /// The set of these.
    pub fn of(scopes: impl IntoIterator<Item = Scope>) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }

    /// Whether one is among them.
    pub fn contain(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Whether all of the others are among them: nobody gives what they do not have.
    pub fn include(self, others: Self) -> bool {
        others.0 & !self.0 == 0
    }
}

/// A token of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// 0 in an edit that makes a new one.
    pub id: i64,
    /// 1 to 200 bytes, of one token only.
    pub name: String,
    /// Of the token.
    pub hash: Hash32,
    /// What it is good for; at least one thing.
    pub scopes: Scopes,
    /// From when on it is good for nothing, in seconds since 1970.
    pub expires_at: Option<i64>,
    /// In seconds since 1970.
    pub created_at: i64,
}

pub(super) static TOKENS: Table =
    Table { name: "tokens", columns: &["name", "token_hash", "scopes", "expires_at", "created_at"] };

impl Token {
    pub(super) fn read(cells: &mut Cells<'_>) -> Result<Self, Error> {
        Ok(Self {
            id: cells.id(),
            name: cells.text()?,
            hash: Hash32(cells.bytes()?),
            scopes: Scopes(cells.number()?),
            expires_at: cells.maybe_integer()?,
            created_at: cells.integer()?,
        })
    }

    pub(super) fn values(&self) -> Vec<Value> {
        vec![
            self.name.as_str().into(),
            self.hash.0.into(),
            self.scopes.0.into(),
            self.expires_at.into(),
            self.created_at.into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scope_is_another_one_and_none_gives_another() {
        let all = Scope::ALL.map(|(_, scope)| scope);
        for scope in all {
            let alone = Scopes::of([scope]);
            for other in all {
                assert_eq!(alone.contain(other), scope == other);
                assert_eq!(alone.include(Scopes::of([other])), scope == other);
            }
            assert!(Scopes::EVERYTHING.include(alone) && !alone.include(Scopes::EVERYTHING));
        }
    }
}
