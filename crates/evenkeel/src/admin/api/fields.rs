//! The fields of a JSON object, each read once and by name: what is left over is unknown.

use data_encoding::HEXLOWER_PERMISSIVE;
use evenkeel_core::Tier;
use serde_json::{Map, Value};

use super::problem::Problem;
use crate::store::{Kind, Scope, Scopes, Unique};

/// See the module.
pub(super) struct Fields(Map<String, Value>);

/// What a row of a kind is looked for by: `name=` or `info_hash=`.
pub(super) fn unique(kind: Kind, name: &str, value: &str) -> Result<Unique, Problem> {
    match (kind, name) {
        (Kind::User | Kind::Class | Kind::Setting | Kind::Token, "name") if !value.contains('\0') => {
            Ok(Unique::Name(value.to_owned()))
        }
        (Kind::Torrent | Kind::Listed, "info_hash") => {
            let value = Value::from(value);
            let v2 = || hash(&value).filter(|_| kind == Kind::Torrent).map(Unique::InfoHashV2);
            let found = hash(&value).map(Unique::InfoHashV1).or_else(v2);
            found.ok_or_else(|| Problem::invalid("info_hash", "hexadecimal digits of an info hash"))
        }
        (_, "name") => {
            Err(Problem::invalid("name", "a text without NUL, of a kind that has names of its own"))
        }
        (_, name) => Err(Problem::unknown_field(name)),
    }
}

/// Reads a body.
pub(super) fn parse(body: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::not_json(&error.to_string()))
}

impl Fields {
    pub(super) fn new(value: Value) -> Result<Self, Problem> {
        match value {
            Value::Object(fields) => Ok(Self(fields)),
            _ => Err(Problem::not_json("an object is expected")),
        }
    }

    /// Puts a field in its place, if it is given.
    fn take<T>(
        &mut self,
        name: &str,
        into: &mut T,
        read: impl FnOnce(&Value) -> Option<T>,
        must: &str,
    ) -> Result<(), Problem> {
        if let Some(value) = self.0.remove(name) {
            *into = read(&value).ok_or_else(|| Problem::invalid(name, must))?;
        }
        Ok(())
    }

    pub(super) fn text(&mut self, name: &str, into: &mut String) -> Result<(), Problem> {
        // PostgreSQL has no texts with a NUL in them.
        let read = |value: &Value| value.as_str().filter(|text| !text.contains('\0')).map(str::to_owned);
        self.take(name, into, read, "a text without NUL")
    }

    pub(super) fn number(&mut self, name: &str, into: &mut u32) -> Result<(), Problem> {
        let read = |value: &Value| u32::try_from(value.as_u64()?).ok();
        self.take(name, into, read, "a whole number from 0 to 4294967295")
    }

    pub(super) fn maybe_number(&mut self, name: &str, into: &mut Option<u32>) -> Result<(), Problem> {
        let read = |value: &Value| match value {
            Value::Null => Some(None),
            value => u32::try_from(value.as_u64()?).ok().map(Some),
        };
        self.take(name, into, read, "a whole number from 0 to 4294967295, or null")
    }

    pub(super) fn maybe_tier(&mut self, name: &str, into: &mut Option<u32>) -> Result<(), Problem> {
        let top = u64::from(Tier::TOP.number());
        let read = |value: &Value| match value {
            Value::Null => Some(None),
            value => value.as_u64().filter(|tier| *tier <= top).map(|tier| u32::try_from(tier).ok()),
        };
        self.take(name, into, read, &format!("a whole number from 0 to {top}, or null"))
    }

    pub(super) fn secs(&mut self, name: &str, into: &mut i64) -> Result<(), Problem> {
        let read = |value: &Value| value.as_i64().filter(|secs| *secs >= 0);
        self.take(name, into, read, "seconds since 1970")
    }

    pub(super) fn maybe_secs(&mut self, name: &str, into: &mut Option<i64>) -> Result<(), Problem> {
        let read = |value: &Value| match value {
            Value::Null => Some(None),
            value => value.as_i64().filter(|secs| *secs >= 0).map(Some),
        };
        self.take(name, into, read, "seconds since 1970, or null")
    }

    /// A list of words, of which one at least is needed.
    pub(super) fn scopes(&mut self, name: &str, into: &mut Scopes) -> Result<(), Problem> {
        let known = |word: &Value| {
            Scope::ALL.into_iter().find(|(name, _)| word.as_str() == Some(name)).map(|(_, scope)| scope)
        };
        let read = |value: &Value| {
            let words = value.as_array().filter(|words| !words.is_empty())?;
            Some(Scopes::of(words.iter().map(known).collect::<Option<Vec<Scope>>>()?))
        };
        let words = Scope::ALL.map(|(name, _)| name).join(", ");
        self.take(name, into, read, &format!("a list of some of {words}"))
    }

    pub(super) fn maybe_id(&mut self, name: &str, into: &mut Option<i64>) -> Result<(), Problem> {
        let read = |value: &Value| match value {
            Value::Null => Some(None),
            value => value.as_i64().filter(|id| *id > 0).map(Some),
        };
        self.take(name, into, read, "the id of a row, or null")
    }

    pub(super) fn maybe_bytes(&mut self, name: &str, into: &mut Option<u64>) -> Result<(), Problem> {
        let read = |value: &Value| match value {
            Value::Null => Some(None),
            value => value.as_u64().filter(|bytes| i64::try_from(*bytes).is_ok()).map(Some),
        };
        self.take(name, into, read, "a number of bytes below 2^63, or null")
    }

    pub(super) fn maybe_hash<const N: usize>(
        &mut self,
        name: &str,
        into: &mut Option<[u8; N]>,
    ) -> Result<(), Problem> {
        let read = |value: &Value| match value {
            Value::Null => Some(None),
            value => hash(value).map(Some),
        };
        self.take(name, into, read, &format!("{} hexadecimal digits, or null", 2 * N))
    }

    pub(super) fn hash<const N: usize>(&mut self, name: &str, into: &mut [u8; N]) -> Result<(), Problem> {
        self.take(name, into, hash, &format!("{} hexadecimal digits", 2 * N))
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(
        &mut self,
        name: &str,
        into: &mut T,
        words: &[(&str, T)],
    ) -> Result<(), Problem> {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let read =
            |value: &Value| words.iter().find(|(word, _)| value.as_str() == Some(word)).map(|(_, of)| *of);
        self.take(name, into, read, &format!("one of {}", known.join(", ")))
    }

    /// All that can be read has been.
    pub(super) fn end(self) -> Result<(), Problem> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(Problem::unknown_field(name)),
        }
    }
}

fn hash<const N: usize>(value: &Value) -> Option<[u8; N]> {
    HEXLOWER_PERMISSIVE.decode(value.as_str()?.as_bytes()).ok()?.try_into().ok()
}
