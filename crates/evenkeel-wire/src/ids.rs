//! The 20-byte names of the protocol. All are chosen by strangers and carry no authority.

use std::fmt;
use std::str::FromStr;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Identity of a torrent on the wire: SHA-1 of its info dictionary, or the first 20 bytes of the SHA-256
/// for version 2 torrents (BEP 3, BEP 52).
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(transparent)]
pub struct InfoHash(pub [u8; 20]);

/// A text that is no info hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnInfoHash;

/// What a client calls itself; the first bytes often tell the software (see [`crate::client_name`]).
#[derive(Clone, Copy, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(transparent)]
pub struct PeerId(pub [u8; 20]);

/// What an answer to a WebRTC offer refers to; chosen by the one who offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OfferId(pub [u8; 20]);

impl FromStr for InfoHash {
    type Err = NotAnInfoHash;

    /// Reads 40 hex digits, of either case.
    fn from_str(text: &str) -> Result<Self, NotAnInfoHash> {
        let digits: &[u8; 40] = text.as_bytes().try_into().map_err(|_| NotAnInfoHash)?;
        let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        let mut hash = Self([0; 20]);
        for (byte, [high, low]) in hash.0.iter_mut().zip(digits.as_chunks().0) {
            *byte = value(*high).ok_or(NotAnInfoHash)? << 4 | value(*low).ok_or(NotAnInfoHash)?;
        }
        Ok(hash)
    }
}

impl fmt::Display for NotAnInfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an info hash is 40 hex digits")
    }
}

impl std::error::Error for NotAnInfoHash {}

impl fmt::Display for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InfoHash({self})")
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({})", self.0.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forty_hex_digits_of_either_case_are_an_info_hash_and_nothing_else_is() {
        let hash = InfoHash(std::array::from_fn(|index| u8::try_from(index * 13).unwrap()));
        let text = hash.to_string();
        assert_eq!(text.parse(), Ok(hash));
        assert_eq!(text.to_uppercase().parse(), Ok(hash));
        let off = |changed: &str| format!("{changed}{}", &text[changed.len()..]);
        for wrong in [&text[1..], &format!("{text}0"), &off("g"), &off("+"), &off(" "), &off("\u{e9}"), ""] {
            assert_eq!(wrong.parse::<InfoHash>(), Err(NotAnInfoHash), "{wrong}");
        }
    }
}
