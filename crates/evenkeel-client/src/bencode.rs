//! Reading bencode (BEP 3) as trackers really write it.
//!
//! Dictionaries may be unsorted and keys may repeat (the first one counts). Nesting is bounded, because a
//! reader that calls itself would otherwise let a few kilobytes of `l` exhaust the stack.

/// Trackers nest four deep (answer, files, torrent, counts); the rest is slack for extensions.
const DEPTH_MAX: u32 = 16;

/// A value that borrows from the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Number(i64),
    Bytes(&'a [u8]),
    List(Vec<Self>),
    Dictionary(Vec<(&'a [u8], Self)>),
}

impl<'a> Value<'a> {
    /// Reads one value; what follows it is ignored (some trackers end with a newline). `None` is not bencode.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        Cursor { rest: bytes }.value(DEPTH_MAX)
    }

    /// The entry of a dictionary.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entries()?.iter().find(|(name, _)| *name == key.as_bytes()).map(|(_, value)| value)
    }

    pub(crate) fn entries(&self) -> Option<&[(&'a [u8], Self)]> {
        if let Self::Dictionary(entries) = self { Some(entries) } else { None }
    }

    pub(crate) fn bytes(&self) -> Option<&'a [u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    /// A number that is not negative. A string of digits is taken as well: some trackers write
    /// `retry in` and counts that way.
    pub(crate) fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => u64::try_from(*number).ok(),
            Self::Bytes(digits) => std::str::from_utf8(digits).ok()?.parse().ok(),
            _ => None,
        }
    }
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn value(&mut self, depth: u32) -> Option<Value<'a>> {
        let depth = depth.checked_sub(1)?;
        match self.rest.first()? {
            b'i' => {
                self.skip(1);
                Some(Value::Number(self.decimal(b'e')?))
            }
            b'l' => {
                self.skip(1);
                let mut items = Vec::new();
                while !self.ended()? {
                    items.push(self.value(depth)?);
                }
                Some(Value::List(items))
            }
            b'd' => {
                self.skip(1);
                let mut entries = Vec::new();
                while !self.ended()? {
                    entries.push((self.bytes()?, self.value(depth)?));
                }
                Some(Value::Dictionary(entries))
            }
            _ => self.bytes().map(Value::Bytes),
        }
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.decimal(b':')?).ok()?;
        let (bytes, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(bytes)
    }

    /// A whole number and the byte behind it. 21 bytes hold every 64-bit number, so a long run of digits
    /// is not searched to its end.
    fn decimal(&mut self, end: u8) -> Option<i64> {
        let len = self.rest.iter().take(21).position(|byte| *byte == end)?;
        let number = std::str::from_utf8(&self.rest[..len]).ok()?.parse().ok()?;
        self.skip(len + 1);
        Some(number)
    }

    /// Whether the list or dictionary ends here; its end is stepped over.
    fn ended(&mut self) -> Option<bool> {
        let ended = *self.rest.first()? == b'e';
        self.skip(usize::from(ended));
        Some(ended)
    }

    /// Callers have looked at the bytes that they skip.
    fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_in_any_order_of_keys() {
        let value = Value::parse(b"d1:bi-7e1:a2:\xff\x001:cl1:xdeee\n").unwrap();
        assert_eq!(value.get("a").and_then(Value::bytes), Some(b"\xff\0".as_slice()));
        assert_eq!(value.get("b"), Some(&Value::Number(-7)));
        assert_eq!(value.get("c"), Some(&Value::List(vec![Value::Bytes(b"x"), Value::Dictionary(vec![])])));
        assert_eq!(value.get("d"), None);
    }

    #[test]
    fn a_number_may_be_a_string_but_not_negative() {
        for (text, number) in
            [("i5e", Some(5)), ("1:5", Some(5)), ("i-5e", None), ("2:-5", None), ("le", None)]
        {
            assert_eq!(Value::parse(text.as_bytes()).unwrap().number(), number, "{text}");
        }
    }

    #[test]
    fn what_is_cut_off_or_wrong_is_not_a_value() {
        let whole = b"d1:ad1:bli1e2:xyee1:c3:abce";
        assert!(Value::parse(whole).is_some());
        for len in 0..whole.len() {
            assert_eq!(Value::parse(&whole[..len]), None, "{len}");
        }
        for wrong in [
            "",
            "e",
            "ie",
            "i e",
            "i1x",
            "x",
            "-1:a",
            "1a",
            "di1ei2ee",
            "d1:ae",
            "9223372036854775807:",
            "i99999999999999999999e",
            "18446744073709551616:a",
        ] {
            assert_eq!(Value::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| [b"l".repeat(depth), b"e".repeat(depth)].concat();
        assert!(Value::parse(&nested(16)).is_some());
        assert_eq!(Value::parse(&nested(17)), None);
        assert_eq!(Value::parse(&b"d1:a".repeat(1 << 18)), None);
    }
}
