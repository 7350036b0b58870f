//! The query string of an HTTP announce or scrape (BEP 3, BEP 48).
//!
//! Values are bytes, not text: an info hash is any 20 bytes, percent-encoded or raw. `+` is a space, as in
//! forms; every client that means a plus sign writes `%2B`. A parameter that matters may come once only.

use crate::announce::{Announce, Event, Key};
use crate::limits::KEY_BYTES_MAX;
use crate::{Failure, InfoHash, PeerId, Scrape};

/// How the caller wants its peers written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerForm {
    /// 6 or 18 bytes each (BEP 23, BEP 7).
    Compact,
    /// Dictionaries of `ip`, `port` and, when it is known, `peer id`.
    Dictionary,
    /// Dictionaries of `ip` and `port` (`no_peer_id`).
    DictionaryWithoutId,
}

/// Reads an announce and the form that its answer shall have.
pub fn announce(query: &[u8]) -> Result<(Announce, PeerForm), Failure> {
    Fields::find(query)?.announce()
}

/// Reads a scrape of one or more torrents.
pub fn scrape(query: &[u8]) -> Result<Scrape, Failure> {
    let mut scrape = Scrape::new();
    for (name, value) in pairs(query) {
        if name == b"info_hash" {
            scrape.push(InfoHash(twenty(Some(value), Failure::InfoHash)?))?;
        }
    }
    if scrape.hashes().is_empty() { Err(Failure::NoHashes) } else { Ok(scrape) }
}

/// The parameters of an announce that carry a rule, still encoded.
#[derive(Default)]
struct Fields<'a> {
    info_hash: Option<&'a [u8]>,
    peer_id: Option<&'a [u8]>,
    port: Option<&'a [u8]>,
    uploaded: Option<&'a [u8]>,
    downloaded: Option<&'a [u8]>,
    left: Option<&'a [u8]>,
    event: Option<&'a [u8]>,
    numwant: Option<&'a [u8]>,
    key: Option<&'a [u8]>,
    compact: Option<&'a [u8]>,
    no_peer_id: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    fn find(query: &'a [u8]) -> Result<Self, Failure> {
        let mut fields = Self::default();
        for (name, value) in pairs(query) {
            if let Some(slot) = fields.slot(name)
                && slot.replace(value).is_some()
            {
                return Err(Failure::Repeated);
            }
        }
        Ok(fields)
    }

    fn announce(&self) -> Result<(Announce, PeerForm), Failure> {
        let numwant = number(self.numwant).ok().flatten();
        let announce = Announce {
            info_hash: InfoHash(twenty(self.info_hash, Failure::InfoHash)?),
            peer_id: PeerId(twenty(self.peer_id, Failure::PeerId)?),
            port: port(self.port)?,
            uploaded: number(self.uploaded)?.unwrap_or(0),
            downloaded: number(self.downloaded)?.unwrap_or(0),
            left: number(self.left)?,
            event: Event::from_text(&Value::<16>::decode_lossy(self.event.unwrap_or_default())?),
            numwant: numwant.map(|peers| u32::try_from(peers).unwrap_or(u32::MAX)),
            key: Key::from_text(&Value::<{ KEY_BYTES_MAX + 1 }>::decode_lossy(self.key.unwrap_or_default())?),
        };
        // BEP 3 alone means dictionaries; whoever understands BEP 23 says compact=1.
        let form = match (self.compact, self.no_peer_id) {
            (Some(flag), _) if flag != b"0" && !flag.is_empty() => PeerForm::Compact,
            (_, Some(flag)) if flag != b"0" => PeerForm::DictionaryWithoutId,
            _ => PeerForm::Dictionary,
        };
        Ok((announce, form))
    }

    fn slot(&mut self, name: &[u8]) -> Option<&mut Option<&'a [u8]>> {
        Some(match name {
            b"info_hash" => &mut self.info_hash,
            b"peer_id" => &mut self.peer_id,
            b"port" => &mut self.port,
            b"uploaded" => &mut self.uploaded,
            b"downloaded" => &mut self.downloaded,
            b"left" => &mut self.left,
            b"event" => &mut self.event,
            b"numwant" => &mut self.numwant,
            b"key" => &mut self.key,
            b"compact" => &mut self.compact,
            b"no_peer_id" => &mut self.no_peer_id,
            _ => return None,
        })
    }
}

fn pairs(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = Some(query);
    std::iter::from_fn(move || {
        let (pair, after) = split_at(rest?, memchr::memchr(b'&', rest?));
        rest = after;
        // Names are short: to look at them byte by byte takes less than to begin anything cleverer.
        let (name, value) = split_at(pair, pair.iter().position(|byte| *byte == b'='));
        Some((name, value.unwrap_or_default()))
    })
}

/// What stands before a byte, and what behind it.
fn split_at(bytes: &[u8], at: Option<usize>) -> (&[u8], Option<&[u8]>) {
    match at {
        Some(at) => (&bytes[..at], Some(&bytes[at + 1..])),
        None => (bytes, None),
    }
}

fn twenty(value: Option<&[u8]>, failure: Failure) -> Result<[u8; 20], Failure> {
    let value = value.ok_or(failure)?;
    if let Some(bytes) = twenty_at_once(value) {
        return Ok(bytes);
    }
    let value = Value::<21>::decode_lossy(value)?;
    <[u8; 20]>::try_from(&*value).map_err(|_| failure)
}

/// What good values are, without a look at what is wrong with others.
fn twenty_at_once(mut rest: &[u8]) -> Option<[u8; 20]> {
    let mut bytes = [0; 20];
    for byte in &mut bytes {
        (*byte, rest) = match rest {
            [b'%', high, low, rest @ ..] => (byte_of(*high, *low).ok()?, rest),
            [b'%' | b'+', ..] | [] => return None,
            [byte, rest @ ..] => (*byte, rest),
        };
    }
    rest.is_empty().then_some(bytes)
}

fn port(value: Option<&[u8]>) -> Result<u16, Failure> {
    match number(value) {
        Ok(Some(port @ 1..=0xFFFF)) => u16::try_from(port).map_err(|_| Failure::Port),
        _ => Err(Failure::Port),
    }
}

/// Absent and empty are the same: not said.
fn number(value: Option<&[u8]>) -> Result<Option<u64>, Failure> {
    // Digits and nothing else, as nearly all are: fewer than could overflow.
    if let Some(digits @ [_, ..]) = value
        && digits.len() < 20
        && digits.iter().all(u8::is_ascii_digit)
    {
        return Ok(Some(digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))));
    }
    let value = Value::<21>::decode_lossy(value.unwrap_or_default())?;
    if value.is_empty() {
        return Ok(None);
    }
    // The largest number has 20 digits; of anything longer only the start was kept.
    if value.len() > 20 {
        return Err(Failure::Number);
    }
    value
        .iter()
        .try_fold(0_u64, |sum, byte| {
            let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
            sum.checked_mul(10)?.checked_add(digit)
        })
        .map(Some)
        .ok_or(Failure::Number)
}

/// A decoded value of at most `N` bytes. A longer one is cut: give `N` one byte more than any good value has.
struct Value<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Value<N> {
    fn decode_lossy(encoded: &[u8]) -> Result<Self, Failure> {
        let mut value = Self { bytes: [0; N], len: 0 };
        let mut rest = encoded;
        while let [first, tail @ ..] = rest {
            let byte = match first {
                b'%' => {
                    let [high, low, after @ ..] = tail else { return Err(Failure::Escape) };
                    rest = after;
                    byte_of(*high, *low)?
                }
                b'+' => {
                    rest = tail;
                    b' '
                }
                other => {
                    rest = tail;
                    *other
                }
            };
            if value.len < N {
                value.bytes[value.len] = byte;
                value.len += 1;
            }
        }
        Ok(value)
    }
}

impl<const N: usize> std::ops::Deref for Value<N> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The byte of two hexadecimal digits.
fn byte_of(high: u8, low: u8) -> Result<u8, Failure> {
    let [high, low] = [high, low].map(|digit| HEX[usize::from(digit)]);
    // What is no digit has bits above those of all digits.
    if (high | low) & NO_HEX == 0 { Ok(high << 4 | low) } else { Err(Failure::Escape) }
}

/// In [`HEX`], for what is no digit.
const NO_HEX: u8 = 0x80;

/// What a hexadecimal digit stands for: looked up, since their kinds come in no order that could be guessed.
static HEX: [u8; 256] = {
    let mut table = [NO_HEX; 256];
    let mut value: u8 = 0;
    while value < 16 {
        let digit = b"0123456789abcdef"[value as usize];
        table[digit as usize] = value;
        table[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "info_hash=%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A";
    const GOOD: &str = "info_hash=%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A\
        &peer_id=-XX0001-abcdefghijkl&port=6881";

    fn fails(query: &str) -> Failure {
        announce(query.as_bytes()).unwrap_err()
    }

    fn with(extra: &str) -> Result<Announce, Failure> {
        announce(format!("{GOOD}{extra}").as_bytes()).map(|(announce, _)| announce)
    }

    #[test]
    fn the_example_of_bep_3_is_read() {
        let (announce, form) = announce(
            format!("{GOOD}&uploaded=1&downloaded=2&left=3&event=started&numwant=4&compact=1&key=00000007")
                .as_bytes(),
        )
        .unwrap();
        let hash = *b"\x124Vx\x9a\xbc\xde\xf1\x23Eg\x89\xab\xcd\xef\x124Vx\x9a";
        assert_eq!(announce.info_hash, InfoHash(hash));
        assert_eq!(announce.peer_id, PeerId(*b"-XX0001-abcdefghijkl"));
        assert_eq!((announce.uploaded, announce.downloaded, announce.left), (1, 2, Some(3)));
        assert_eq!((announce.port, announce.numwant), (6881, Some(4)));
        assert_eq!((announce.event, announce.key), (Event::Started, Key::from_number(7)));
        assert_eq!(form, PeerForm::Compact);
    }

    #[test]
    fn raw_bytes_are_as_good_as_escaped_ones() {
        let mut query = b"peer_id=aaaaaaaaaaaaaaaaaaaa&port=1&info_hash=".to_vec();
        query.extend_from_slice(&[0xFF; 20]);
        assert_eq!(announce(&query).unwrap().0.info_hash, InfoHash([0xFF; 20]));
    }

    #[test]
    fn a_plus_is_a_space_and_an_escaped_plus_is_a_plus() {
        let query = "peer_id=aaaaaaaaaaaaaaaaaaaa&port=1&info_hash=+%2Baaaaaaaaaaaaaaaaaa";
        assert_eq!(announce(query.as_bytes()).unwrap().0.info_hash, InfoHash(*b" +aaaaaaaaaaaaaaaaaa"));
    }

    #[test]
    fn hashes_of_19_and_21_bytes_are_refused() {
        for length in [0, 1, 19, 21, 40, 4000] {
            let hash = "a".repeat(length);
            assert_eq!(
                fails(&format!("info_hash={hash}&peer_id=aaaaaaaaaaaaaaaaaaaa&port=1")),
                Failure::InfoHash
            );
            assert_eq!(scrape(format!("info_hash={hash}").as_bytes()), Err(Failure::InfoHash));
            assert_eq!(fails(&format!("{HASH}&peer_id={hash}&port=1")), Failure::PeerId);
        }
        assert_eq!(fails("peer_id=aaaaaaaaaaaaaaaaaaaa&port=1"), Failure::InfoHash);
        assert_eq!(fails(&format!("{HASH}&port=1")), Failure::PeerId);
    }

    #[test]
    fn ports_0_65536_and_fractions_are_refused() {
        for port in ["", "0", "65536", "-1", "6881.5", "abc", "99999999999999999999", "%"] {
            assert_eq!(
                fails(&format!("{HASH}&peer_id=aaaaaaaaaaaaaaaaaaaa&port={port}")),
                Failure::Port,
                "{port}"
            );
        }
        assert_eq!(fails(&format!("{HASH}&peer_id=aaaaaaaaaaaaaaaaaaaa")), Failure::Port);
    }

    #[test]
    fn counters_that_overflow_are_negative_or_broken_are_refused() {
        for name in ["uploaded", "downloaded", "left"] {
            for value in [
                "000000000000000000000005",
                "18446744073709551616",
                "99999999999999999999999",
                "-1",
                "1.5",
                "1e3",
                "0x10",
                "a",
                "+1",
            ] {
                assert_eq!(with(&format!("&{name}={value}")), Err(Failure::Number), "{name}={value}");
            }
        }
        assert_eq!(with("&left=18446744073709551615").unwrap().left, Some(u64::MAX));
    }

    #[test]
    fn missing_or_empty_left_is_not_zero() {
        assert_eq!(with("").unwrap().left, None);
        assert_eq!(with("&left=").unwrap().left, None);
        assert_eq!(with("&left=0").unwrap().left, Some(0));
    }

    #[test]
    fn names_of_parameters_are_not_decoded_and_a_second_question_mark_is_data() {
        assert_eq!(scrape(b"info%5Fhash=aaaaaaaaaaaaaaaaaaaa"), Err(Failure::NoHashes));
        assert_eq!(scrape(b"a=1?info_hash=aaaaaaaaaaaaaaaaaaaa"), Err(Failure::NoHashes));
    }

    #[test]
    fn an_absurd_numwant_is_no_numwant() {
        for value in ["", "-1", "abc", "1.5", "99999999999999999999"] {
            assert_eq!(with(&format!("&numwant={value}")).unwrap().numwant, None, "{value}");
        }
        assert_eq!(with("&numwant=0").unwrap().numwant, Some(0));
        assert_eq!(with("&numwant=5000000000").unwrap().numwant, Some(u32::MAX));
    }

    #[test]
    fn parameters_that_matter_may_not_be_repeated() {
        for name in ["info_hash", "peer_id", "port", "uploaded", "left", "event", "numwant", "key", "compact"]
        {
            assert_eq!(with(&format!("&{name}=1&{name}=1")), Err(Failure::Repeated), "{name}");
        }
        assert!(with("&ip=1.2.3.4&ip=1.2.3.4&supportcrypto=1&supportcrypto=1").is_ok());
    }

    #[test]
    fn broken_escapes_are_refused() {
        for value in ["%", "%2", "%zz", "%2x", "%u0041"] {
            assert_eq!(fails(&format!("info_hash={value}&peer_id=a&port=1")), Failure::Escape, "{value}");
        }
    }

    #[test]
    fn events_are_read_and_unknown_ones_kept_apart() {
        for (text, event) in [
            ("", Event::Update),
            ("empty", Event::Update),
            ("started", Event::Started),
            ("completed", Event::Completed),
            ("stopped", Event::Stopped),
            ("paused", Event::Paused),
            ("Started", Event::Unknown),
            ("startedstartedstartedstarted", Event::Unknown),
        ] {
            assert_eq!(with(&format!("&event={text}")).unwrap().event, event, "{text}");
        }
    }

    #[test]
    fn the_form_of_the_peers_is_the_callers() {
        let form = |extra: &str| announce(format!("{GOOD}{extra}").as_bytes()).unwrap().1;
        assert_eq!(form("&compact=1"), PeerForm::Compact);
        assert_eq!(form("&compact=1&no_peer_id=1"), PeerForm::Compact);
        assert_eq!(form("&compact=2"), PeerForm::Compact);
        assert_eq!(form("&compact=0"), PeerForm::Dictionary);
        assert_eq!(form(""), PeerForm::Dictionary);
        assert_eq!(form("&no_peer_id=1"), PeerForm::DictionaryWithoutId);
    }

    #[test]
    fn seventy_five_hashes_are_too_many_and_none_too_few() {
        let one = "info_hash=aaaaaaaaaaaaaaaaaaaa&";
        assert_eq!(scrape(one.repeat(74).as_bytes()).unwrap().hashes().len(), 74);
        assert_eq!(scrape(one.repeat(75).as_bytes()), Err(Failure::TooManyHashes));
        assert_eq!(scrape(b""), Err(Failure::NoHashes));
        assert_eq!(scrape(b"x=1"), Err(Failure::NoHashes));
    }

    #[test]
    fn separators_alone_mean_nothing() {
        assert!(with("&&&=&&=1&info_hashes").is_ok());
    }
}
