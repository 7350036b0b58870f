//! Everything that a peer may be told besides an answer. Nothing else reaches a stranger: what an operator
//! reads is logged and counted elsewhere.

use std::fmt;

/// A refusal, sent as `failure reason` (BEP 3) or as UDP action 3 (BEP 15). The `Display` form is the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The info hash is missing, repeated where one is asked for, or not 20 bytes.
    InfoHash,
    /// The peer id is missing or not 20 bytes.
    PeerId,
    /// The port is missing or not a number from 1 to 65,535.
    Port,
    /// `uploaded`, `downloaded` or `left` is not a whole number below 2^64.
    Number,
    /// A parameter that matters came twice.
    Repeated,
    /// A percent sign without two hex digits behind it.
    Escape,
    /// A scrape of more torrents than one request may name.
    TooManyHashes,
    /// A scrape that names no torrent: the full scrape is off.
    NoHashes,
    /// A UDP packet of a known action that is too short, or ends inside an info hash.
    Truncated,
    /// An action (UDP, WebTorrent) that no document names.
    Action,
    /// Neither `/announce` nor `/scrape` nor a page.
    Path,
    /// A WebTorrent message that is no JSON object, or says something twice.
    Json,
    /// A WebTorrent answer that does not say whose offer it answers.
    ToPeerId,
    /// A WebTorrent answer that is no session description, or too long.
    Sdp,
    /// A WebSocket that speaks for as many peers as one may.
    SocketFull,
    /// The swarm store is full and this torrent is new.
    Full,
    /// Users and torrents are not loaded yet.
    NotReady,
    /// No passkey or announce key, where one is needed.
    Identity,
    /// A passkey or announce key that nobody has.
    Secret,
    /// Many unknown passkeys came from this address.
    Guesses,
    /// The account is disabled.
    Disabled,
    /// The account is banned.
    Banned,
    /// The account may seed, and not leech.
    LeechDisabled,
    /// A torrent that this tracker does not know.
    Unlisted,
    /// A torrent that nobody has approved yet.
    Pending,
    /// A torrent that was deleted.
    Deleted,
    /// The same, with the reason that the operator gave; counted with it.
    DeletedFor(Told),
    /// A torrent that is never served.
    Denied,
    /// A scrape over UDP, which cannot carry a passkey.
    UdpScrape,
    /// The program failed; the announce was not taken.
    Internal,
}

impl Failure {
    /// Every failure, for the documentation and for the counters. [`Failure::DeletedFor`] is counted as the one without.
    pub const ALL: [Self; 29] = [
        Self::InfoHash,
        Self::PeerId,
        Self::Port,
        Self::Number,
        Self::Repeated,
        Self::Escape,
        Self::TooManyHashes,
        Self::NoHashes,
        Self::Truncated,
        Self::Action,
        Self::Path,
        Self::Json,
        Self::ToPeerId,
        Self::Sdp,
        Self::SocketFull,
        Self::Full,
        Self::NotReady,
        Self::Identity,
        Self::Secret,
        Self::Guesses,
        Self::Disabled,
        Self::Banned,
        Self::LeechDisabled,
        Self::Unlisted,
        Self::Pending,
        Self::Deleted,
        Self::Denied,
        Self::UdpScrape,
        Self::Internal,
    ];

    /// Position among all, for an array of counters.
    pub fn place(self) -> usize {
        let plain = if let Self::DeletedFor(_) = self { Self::Deleted } else { self };
        Self::ALL.iter().position(|failure| *failure == plain).unwrap_or(0)
    }

    /// The text that the peer's user may read; ASCII, at most 100 bytes, or what a [`Told`] may be.
    pub fn text(self) -> &'static str {
        match self {
            Self::InfoHash => "info_hash must be given once and be exactly 20 bytes",
            Self::PeerId => "peer_id must be given and be exactly 20 bytes",
            Self::Port => "port must be a number from 1 to 65535",
            Self::Number => {
                "uploaded, downloaded and left must be whole numbers from 0 to 18446744073709551615"
            }
            Self::Repeated => "a parameter was given more than once",
            Self::Escape => "a percent sign in the URL is not followed by two hex digits",
            Self::TooManyHashes => "one scrape may name at most 74 torrents",
            Self::NoHashes => "name at least one info_hash: this tracker does not list all its torrents",
            Self::Truncated => "the packet ends too early",
            Self::Action => "unknown action: this tracker answers announces and scrapes",
            Self::Path => "unknown path: this tracker answers at /announce and /scrape",
            Self::Json => "a message must be one JSON object that names everything once",
            Self::ToPeerId => "an answer must name the 20 bytes of the peer that offered, as to_peer_id",
            Self::Sdp => "an answer must be an object with a session description, of at most 8 KiB",
            Self::SocketFull => "this connection has announced as many torrents as one may: open another one",
            Self::Full => "this tracker is full and takes no new torrents for now",
            Self::NotReady => "this tracker is starting; please try again",
            Self::Identity => "this tracker needs a passkey: download the torrent again from its site",
            Self::Secret => "this passkey is not known: download the torrent again from its site",
            Self::Guesses => "too many unknown passkeys from your address: try again in an hour",
            Self::Disabled => "your account is disabled",
            Self::Banned => "your account is banned",
            Self::LeechDisabled => "your account may seed, but not download",
            Self::Unlisted => "this torrent is not registered with this tracker",
            Self::Pending => "this torrent is not approved yet",
            Self::Deleted => "this torrent was deleted",
            Self::DeletedFor(Told(text)) => text,
            Self::Denied => "this torrent is not served by this tracker",
            Self::UdpScrape => "a scrape over UDP cannot carry a passkey: scrape over HTTP",
            Self::Internal => "the tracker failed to handle this request; please try again",
        }
    }

    /// When asking again could help.
    pub fn retry(self) -> Retry {
        match self {
            Self::Full => Retry::Minutes(30),
            Self::NotReady | Self::Pending => Retry::Soon,
            Self::Guesses => Retry::Minutes(60),
            Self::Internal => Retry::Minutes(2),
            _ => Retry::Never,
        }
    }
}

/// A text of the operator's that a peer is told: such that it can stand in an answer of every dialect as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Told(&'static str);

impl Told {
    /// Bytes of what an operator may say.
    pub const REASON_BYTES_MAX: usize = 100;

    /// `None` for a text that is longer than a reason behind ours, or holds what is not [plain](Self::plain).
    pub fn new(text: &'static str) -> Option<Self> {
        let max = Self::REASON_BYTES_MAX + Failure::Deleted.text().len() + 2;
        (text.len() <= max && text.bytes().all(is_plain)).then_some(Self(text))
    }

    /// The beginning of a reason, with stand-ins for what JSON would have to escape and what is no ASCII.
    pub fn plain(reason: &str) -> String {
        let plain = reason.chars().map(|letter| match letter {
            '"' => '\'',
            letter if letter.is_ascii() && is_plain(letter as u8) => letter,
            _ => '?',
        });
        plain.take(Self::REASON_BYTES_MAX).collect()
    }
}

fn is_plain(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\'
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for Failure {}

/// `retry in` (BEP 31). No client that we measured obeys it, so the same is said as `interval`, which
/// libtorrent does obey: without one it goes silent for half an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Ask again after half a minute, or a minute for those who count in minutes.
    Soon,
    /// Ask again after so many minutes.
    Minutes(u32),
    /// The same request will never succeed.
    Never,
}

impl Retry {
    /// What `interval` says beside it, in seconds.
    pub fn interval_secs(self) -> u32 {
        match self {
            Self::Soon => 30,
            Self::Minutes(minutes) => minutes.saturating_mul(60),
            Self::Never => 1800,
        }
    }
}

/// Sent beside an answer as `warning message`; peers are handed out all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Warning {
    /// The passkey has been replaced, and is good for a day more.
    OutdatedPasskey,
    /// This address has as many peers here as it may: the caller is answered, but not listed.
    AddressLimit,
    /// This user has as many clients on this torrent as it may: the caller is answered, but not listed.
    ClientLimit,
    /// This user announces from as many addresses as it may: the caller is answered, but not listed.
    UserAddressLimit,
    /// The caller announces again and again before the time.
    TooSoon,
    /// There are as many sessions as may be: the caller's traffic does not count.
    Unbooked,
}

impl Warning {
    /// The text that the peer's user may read.
    pub fn text(self) -> &'static str {
        match self {
            Self::OutdatedPasskey => "your passkey was replaced: download the torrent again within a day",
            Self::AddressLimit => {
                "your address already has as many peers here as one address may: you get peers, but are not listed"
            }
            Self::ClientLimit => {
                "you have as many clients on this torrent as you may: this one gets peers, but is not listed"
            }
            Self::UserAddressLimit => {
                "you announce from as many addresses as you may: from here you get peers, but are not listed"
            }
            Self::TooSoon => "you announce too often: please keep to the interval",
            Self::Unbooked => "this tracker is full: what you send and get now does not count",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operator_says_is_told_as_far_as_it_is_plain() {
        let told = Told::new("this torrent was deleted: a duplicate").unwrap();
        let failure = Failure::DeletedFor(told);
        assert_eq!(failure.text(), "this torrent was deleted: a duplicate");
        assert_eq!((failure.place(), failure.retry()), (Failure::Deleted.place(), Retry::Never));
        for text in ["a\"b", "a\\b", "a\nb", "a\0b", "\u{e9}", "\u{7f}"] {
            assert_eq!(Told::new(text), None, "{text:?}");
            assert!(Told::plain(text).bytes().all(is_plain), "{text:?}");
        }
        assert_eq!(Told::plain(&"x".repeat(101)).len(), 100);
    }

    #[test]
    fn every_text_is_short_ascii_and_its_own() {
        for (position, failure) in Failure::ALL.into_iter().enumerate() {
            let text = failure.text();
            assert!(text.is_ascii() && !text.is_empty() && text.len() <= 100, "{text}");
            assert!(Failure::ALL[position + 1..].iter().all(|other| other.text() != text), "{text}");
            assert_eq!(failure.place(), position, "{text}");
        }
    }
}
