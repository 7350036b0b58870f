//! Reads bencode strictly: sorted keys, no leading zeros, nothing left over. What does not parse is not sent by
//! a correct tracker.

use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Number(u64),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    Dictionary(BTreeMap<Vec<u8>, Value>),
}

impl Value {
    /// Reads one value that takes up all of `bytes`.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let (value, rest) = read(bytes);
        assert!(rest.is_empty(), "bytes after the value: {}", rest.escape_ascii());
        value
    }

    /// An entry of a dictionary.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Self::Dictionary(entries) => entries.get(key.as_bytes()),
            other => panic!("{other:?} is no dictionary"),
        }
    }

    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        match self.get(key)? {
            Self::Number(number) => Some(*number),
            other => panic!("{key} is {other:?}"),
        }
    }

    pub(crate) fn bytes(&self, key: &str) -> Option<&[u8]> {
        match self.get(key)? {
            Self::Bytes(bytes) => Some(bytes),
            other => panic!("{key} is {other:?}"),
        }
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        match self {
            Self::Dictionary(entries) => entries.keys().map(|key| key.escape_ascii().to_string()).collect(),
            other => panic!("{other:?} is no dictionary"),
        }
    }
}

fn read(bytes: &[u8]) -> (Value, &[u8]) {
    match bytes {
        [b'i', rest @ ..] => {
            let (number, rest) = decimal(rest, b'e');
            (Value::Number(number), rest)
        }
        [b'l', rest @ ..] => {
            let (mut rest, mut list) = (rest, Vec::new());
            while rest[0] != b'e' {
                let (value, after) = read(rest);
                list.push(value);
                rest = after;
            }
            (Value::List(list), &rest[1..])
        }
        [b'd', rest @ ..] => {
            let (mut rest, mut entries) = (rest, BTreeMap::new());
            while rest[0] != b'e' {
                let (key, after) = string(rest);
                assert!(entries.last_key_value().is_none_or(|(last, _)| *last < key), "keys out of order");
                let (value, after) = read(after);
                entries.insert(key, value);
                rest = after;
            }
            (Value::Dictionary(entries), &rest[1..])
        }
        _ => {
            let (text, rest) = string(bytes);
            (Value::Bytes(text), rest)
        }
    }
}

fn string(bytes: &[u8]) -> (Vec<u8>, &[u8]) {
    let (len, rest) = decimal(bytes, b':');
    let (text, rest) = rest.split_at(usize::try_from(len).unwrap());
    (text.to_vec(), rest)
}

fn decimal(bytes: &[u8], end: u8) -> (u64, &[u8]) {
    let len = bytes.iter().position(|byte| *byte == end).unwrap();
    let digits = std::str::from_utf8(&bytes[..len]).unwrap();
    assert!(digits == "0" || !digits.starts_with('0'), "leading zero in {digits}");
    (digits.parse().unwrap(), &bytes[len + 1..])
}
