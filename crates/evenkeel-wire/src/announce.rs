//! One announce, whatever dialect it came in.

use std::fmt;

use crate::limits::KEY_BYTES_MAX;
use crate::{InfoHash, PeerId, Warning};

/// A decoded announce (BEP 3, BEP 15). Only what carries a rule: `ip`, `ipv4`, `ipv6`, `trackerid` and
/// anything unknown are read, bounded and ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announce {
    /// The torrent.
    pub info_hash: InfoHash,
    /// What the client calls itself.
    pub peer_id: PeerId,
    /// Where it listens; 0 for WebTorrent, where nobody dials, and never 0 else.
    pub port: u16,
    /// Bytes sent since `started`, by its own account.
    pub uploaded: u64,
    /// Bytes received since `started`, by its own account.
    pub downloaded: u64,
    /// Bytes still missing; 0 is a seeder. `None` (not said) is a leecher, never a seeder.
    pub left: Option<u64>,
    /// What happened.
    pub event: Event,
    /// Peers wanted; `None` when absent, negative or unreadable.
    pub numwant: Option<u32>,
    /// Recognises a client across a change of address.
    pub key: Key,
}

/// What the client says happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Event {
    /// A regular announce: absent, empty, `update` or 0.
    #[default]
    Update,
    /// The download finished just now.
    Completed,
    /// First announce of a session.
    Started,
    /// Last announce of a session.
    Stopped,
    /// Has all that it wants, but not everything: a partial seed (BEP 21).
    Paused,
    /// Something that no document names: answered like [`Event::Update`].
    Unknown,
}

impl Event {
    /// From the text of HTTP and WebTorrent.
    pub fn from_text(text: &[u8]) -> Self {
        match text {
            b"" | b"empty" | b"update" => Self::Update,
            b"completed" => Self::Completed,
            b"started" => Self::Started,
            b"stopped" => Self::Stopped,
            b"paused" => Self::Paused,
            _ => Self::Unknown,
        }
    }

    /// From the number of BEP 15; 4 is what BEP 21 clients send for `paused`.
    pub fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Update,
            1 => Self::Completed,
            2 => Self::Started,
            3 => Self::Stopped,
            4 => Self::Paused,
            _ => Self::Unknown,
        }
    }
}

/// The `key` parameter: opaque bytes, at most [`KEY_BYTES_MAX`].
///
/// Eight hex digits (the usual HTTP form) and the 32-bit number of UDP that they stand for are equal, so that
/// a client is recognised across dialects.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key {
    bytes: [u8; KEY_BYTES_MAX],
    len: u8,
}

impl Key {
    /// No key was given.
    pub const NONE: Self = Self { bytes: [0; KEY_BYTES_MAX], len: 0 };

    /// From the number of BEP 15; 0 means none.
    pub fn from_number(number: u32) -> Self {
        if number == 0 { Self::NONE } else { Self::from_short(&number.to_be_bytes()) }
    }

    /// From the decoded text of HTTP; too long a key is as good as none.
    pub fn from_text(text: &[u8]) -> Self {
        if text.len() > KEY_BYTES_MAX {
            return Self::NONE;
        }
        let hex = (text.len() == 8 && text.iter().all(u8::is_ascii_hexdigit))
            .then(|| std::str::from_utf8(text).ok().and_then(|text| u32::from_str_radix(text, 16).ok()))
            .flatten();
        hex.map_or_else(|| Self::from_short(text), Self::from_number)
    }

    /// The bytes; empty when none was given.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    fn from_short(bytes: &[u8]) -> Self {
        let mut key = Self::NONE;
        key.bytes[..bytes.len()].copy_from_slice(bytes);
        key.len = u8::try_from(bytes.len()).unwrap_or_default();
        key
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.as_bytes().escape_ascii())
    }
}

/// The figures of an answer to an announce; the peers are already where they will be sent from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Counts after the event, the caller included.
    pub stats: crate::Stats,
    /// Seconds until the next announce.
    pub interval_secs: u32,
    /// Seconds before which an announce is not welcome.
    pub min_interval_secs: u32,
    /// Something that the person behind the client should read.
    pub warning: Option<Warning>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_over_udp_and_http() {
        assert_eq!(Key::from_number(0xABCD_EF01), Key::from_text(b"ABCDEF01"));
        assert_eq!(Key::from_number(0xABCD_EF01), Key::from_text(b"abcdef01"));
        assert_eq!(Key::from_number(0), Key::from_text(b""));
    }

    #[test]
    fn a_key_may_be_any_bytes_but_not_too_many() {
        assert_eq!(Key::from_text(b"\xd2]B\0+zzz").as_bytes(), b"\xd2]B\0+zzz");
        assert_eq!(Key::from_text(&[7; KEY_BYTES_MAX]).as_bytes(), [7; KEY_BYTES_MAX]);
        assert_eq!(Key::from_text(&[7; KEY_BYTES_MAX + 1]), Key::NONE);
    }
}
