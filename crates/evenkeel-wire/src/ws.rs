//! The WebTorrent dialect: one JSON object in each text message of a WebSocket.
//!
//! No BEP describes it; the reference is the npm package `bittorrent-tracker`. Peers in browsers cannot be dialled:
//! they announce with *offers* (WebRTC session descriptions), which the tracker passes on to other peers, whose
//! *answers* it brings back. Info hashes, peer ids and offer ids are strings of 20 characters from U+0000 to U+00FF,
//! one for each byte, escaped or not.
//!
//! Session descriptions are passed on as the bytes that they came in; nothing here looks inside.

pub mod frame;
mod lenient;

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use self::lenient::Lenient;
use crate::limits::SDP_BYTES_MAX;
use crate::{Announce, Event, Failure, InfoHash, Key, OfferId, PeerId, Reply, Scrape, Stats};

/// One message of a client.
#[expect(clippy::large_enum_variant, reason = "lives on the stack of one message and is never stored")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A peer is there, and would like to meet others. Its port is 0: nobody dials it.
    Announce(Announce, Offers<'a>),
    /// A peer takes an offer of another one.
    Answer(Answer<'a>),
    /// Counts of torrents are asked for.
    Scrape(Scrape),
    /// Counts of all torrents are asked for.
    ScrapeAll,
}

/// The offers of an announce: at most [`OFFERS_MAX`](crate::limits::OFFERS_MAX).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Offers<'a> {
    /// Those that may be passed on.
    pub list: Vec<Offer<'a>>,
    /// How many more there were: too many, too long, or no offers at all.
    pub dropped: usize,
}

/// An offer for some other peer. Either half may be missing: the reference passes such offers on, and its clients
/// ignore them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer<'a> {
    /// Comes back with the answer.
    pub id: Option<OfferId>,
    /// A JSON object.
    pub sdp: Option<&'a str>,
}

/// An answer to an offer that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The torrent of the offer.
    pub info_hash: InfoHash,
    /// Who answers.
    pub peer_id: PeerId,
    /// Whose offer it is.
    pub to_peer_id: PeerId,
    /// Which offer it is; without it nobody can be found.
    pub offer_id: Option<OfferId>,
    /// A JSON object.
    pub sdp: &'a str,
}

/// A message that cannot be taken, with what is known of it for the one who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub failure: Failure,
    /// What it asked for, if that much can be told.
    pub subject: Subject,
}

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Nobody knows, or which torrent it is: clients cannot read an announce without one.
    Unknown,
    /// An announce or an answer.
    Announce(InfoHash),
    /// A scrape.
    Scrape,
}

/// Every field that matters, as the JSON text that it came in: a wrong type in one is judged by what the field is for.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    action: Option<&'a RawValue>,
    #[serde(borrow)]
    info_hash: Option<&'a RawValue>,
    #[serde(borrow)]
    peer_id: Option<&'a RawValue>,
    #[serde(borrow)]
    to_peer_id: Option<&'a RawValue>,
    #[serde(borrow)]
    uploaded: Option<&'a RawValue>,
    #[serde(borrow)]
    downloaded: Option<&'a RawValue>,
    #[serde(borrow)]
    left: Option<&'a RawValue>,
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    #[serde(borrow)]
    offers: Option<Lenient<Offers<'a>>>,
    #[serde(borrow)]
    offer_id: Option<&'a RawValue>,
    #[serde(borrow)]
    answer: Option<&'a RawValue>,
}

/// Reads a message.
pub fn decode(message: &[u8]) -> Result<Message<'_>, Refused> {
    let no_json = Refused { failure: Failure::Json, subject: Subject::Unknown };
    // All of it at once, and not each field by itself.
    decode_text(str::from_utf8(message).map_err(|_| no_json)?)
}

/// Reads a message that is known to be text.
pub fn decode_text(message: &str) -> Result<Message<'_>, Refused> {
    let no_json = Refused { failure: Failure::Json, subject: Subject::Unknown };
    // An array would be read field by field.
    if !message.trim_ascii_start().starts_with('{') {
        return Err(no_json);
    }
    let fields: Fields<'_> = serde_json::from_str(message).map_err(|_| no_json)?;
    match fields.action.and_then(text).as_deref() {
        Some("announce") => {
            let info_hash = fields.info_hash.and_then(twenty).map(InfoHash);
            let subject = info_hash.map_or(Subject::Unknown, Subject::Announce);
            let refused = |failure| Refused { failure, subject };
            announce(fields, info_hash).map_err(refused)
        }
        Some("scrape") => scrape(&fields).map_err(|failure| Refused { failure, subject: Subject::Scrape }),
        _ => Err(Refused { failure: Failure::Action, subject: Subject::Unknown }),
    }
}

fn announce<'a>(fields: Fields<'a>, info_hash: Option<InfoHash>) -> Result<Message<'a>, Failure> {
    let info_hash = info_hash.ok_or(Failure::InfoHash)?;
    let peer_id = fields.peer_id.and_then(twenty).map(PeerId).ok_or(Failure::PeerId)?;
    if let Some(sdp) = fields.answer.filter(|answer| is_given(answer)) {
        let to_peer_id = fields.to_peer_id.and_then(twenty).map(PeerId).ok_or(Failure::ToPeerId)?;
        let offer_id = fields.offer_id.and_then(twenty).map(OfferId);
        let sdp = session_description(sdp).ok_or(Failure::Sdp)?;
        return Ok(Message::Answer(Answer { info_hash, peer_id, to_peer_id, offer_id, sdp }));
    }
    let offers = fields.offers.map_or_else(Offers::default, |Lenient(offers)| offers);
    let ask = Announce {
        info_hash,
        peer_id,
        port: 0,
        uploaded: fields.uploaded.and_then(number).unwrap_or_default(),
        downloaded: fields.downloaded.and_then(number).unwrap_or_default(),
        left: fields.left.and_then(number),
        event: fields.event.map_or(Event::Update, |event| {
            text(event).map_or(Event::Unknown, |event| Event::from_text(event.as_bytes()))
        }),
        numwant: u32::try_from(offers.list.len()).ok(),
        key: Key::NONE,
    };
    Ok(Message::Announce(ask, offers))
}

fn scrape<'a>(fields: &Fields<'a>) -> Result<Message<'a>, Failure> {
    let mut scrape = Scrape::new();
    let Some(asked) = fields.info_hash else { return Ok(Message::ScrapeAll) };
    if let Some(info_hash) = twenty(asked) {
        scrape.push(InfoHash(info_hash))?;
    } else {
        let list: Vec<&RawValue> = serde_json::from_str(asked.get()).map_err(|_| Failure::InfoHash)?;
        for info_hash in &list {
            scrape.push(InfoHash(twenty(info_hash).ok_or(Failure::InfoHash)?))?;
        }
        if list.is_empty() {
            return Err(Failure::NoHashes);
        }
    }
    Ok(Message::Scrape(scrape))
}

/// Clients hand what they get to WebRTC: nothing but an object of a sensible size is passed on to them.
fn session_description(raw: &RawValue) -> Option<&str> {
    Some(raw.get()).filter(|sdp| sdp.starts_with('{') && sdp.len() <= SDP_BYTES_MAX)
}

/// JavaScript's idea of something: some clients send an empty `answer` with every announce.
fn is_given(raw: &RawValue) -> bool {
    !matches!(raw.get(), "null" | "false" | "0" | "\"\"")
}

fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let json = raw.get();
    // Without escapes the text is there as it is. To try and fail takes longer than all the rest.
    if memchr::memchr(b'\\', json.as_bytes()).is_none() {
        return serde_json::from_str(json).ok().map(Cow::Borrowed);
    }
    serde_json::from_str(json).ok().map(Cow::Owned)
}

/// A string of 20 characters below U+0100, one for each byte.
fn twenty(raw: &RawValue) -> Option<[u8; 20]> {
    let mut rest = raw.get().as_bytes().strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let mut bytes = [0; 20];
    for byte in &mut bytes {
        (*byte, rest) = character(rest)?;
    }
    rest.is_empty().then_some(bytes)
}

/// The first character in a JSON string, if it is below U+0100, and what follows. The string is one: that was looked at.
fn character(text: &[u8]) -> Option<(u8, &[u8])> {
    Some(match text {
        [b'\\', b'u', b'0', b'0', high, low, rest @ ..] => {
            let [high, low] = [high, low].map(|digit| char::from(*digit).to_digit(16));
            (u8::try_from(high? << 4 | low?).ok()?, rest)
        }
        [b'\\', letter, rest @ ..] => {
            let byte = match letter {
                b'b' => 0x08,
                b't' => b'\t',
                b'n' => b'\n',
                b'f' => 0x0C,
                b'r' => b'\r',
                b'u' => return None,
                itself => *itself,
            };
            (byte, rest)
        }
        // Two bytes of UTF-8.
        [lead @ 0xC2..=0xC3, next, rest @ ..] => (lead << 6 | next & 0x3F, rest),
        [0x80..=0xFF, ..] | [] => return None,
        [byte, rest @ ..] => (*byte, rest),
    })
}

/// A whole number, however it is written; a fraction is rounded up, so that something missing never reads as nothing.
/// JavaScript writes what it does not know as `null`.
fn number(raw: &RawValue) -> Option<u64> {
    let text = raw.get().trim_matches('"');
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let number: f64 = text.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked, and it saturates")]
    (number >= 0.0).then_some(number.ceil() as u64)
}

/// Appends the reply to an announce.
pub fn write_announce(out: &mut Vec<u8>, info_hash: &InfoHash, reply: &Reply) {
    out.extend_from_slice(br#"{"action":"announce","complete":"#);
    write_number(out, reply.stats.seeders);
    out.extend_from_slice(br#","incomplete":"#);
    write_number(out, reply.stats.incomplete());
    out.extend_from_slice(br#","info_hash":"#);
    write_binary(out, &info_hash.0);
    out.extend_from_slice(br#","interval":"#);
    write_number(out, reply.interval_secs);
    out.extend_from_slice(br#","min interval":"#);
    write_number(out, reply.min_interval_secs);
    if let Some(warning) = reply.warning {
        out.extend_from_slice(br#","warning message":""#);
        out.extend_from_slice(warning.text().as_bytes());
        out.push(b'"');
    }
    out.push(b'}');
}

/// Appends an offer for the peer that it is passed on to, behind what [`write_relay_head`] wrote for all of an announce.
pub fn write_offer(out: &mut Vec<u8>, relay_head: &[u8], offer: &Offer<'_>) {
    out.extend_from_slice(relay_head);
    if let Some(sdp) = offer.sdp {
        out.extend_from_slice(br#","offer":"#);
        out.extend_from_slice(sdp.as_bytes());
    }
    write_offer_id(out, offer.id);
    out.push(b'}');
}

/// Appends an answer for the peer whose offer it is.
pub fn write_answer(out: &mut Vec<u8>, answer: &Answer<'_>) {
    write_relay_head(out, &answer.info_hash, &answer.peer_id);
    out.extend_from_slice(br#","answer":"#);
    out.extend_from_slice(answer.sdp.as_bytes());
    write_offer_id(out, answer.offer_id);
    out.push(b'}');
}

/// Appends what all begin with that a peer says to others about a torrent.
pub fn write_relay_head(out: &mut Vec<u8>, info_hash: &InfoHash, peer_id: &PeerId) {
    out.extend_from_slice(br#"{"action":"announce","info_hash":"#);
    write_binary(out, &info_hash.0);
    out.extend_from_slice(br#","peer_id":"#);
    write_binary(out, &peer_id.0);
}

fn write_offer_id(out: &mut Vec<u8>, id: Option<OfferId>) {
    if let Some(OfferId(id)) = id {
        out.extend_from_slice(br#","offer_id":"#);
        write_binary(out, &id);
    }
}

/// Appends the reply to a scrape; each torrent is in `files` once.
pub fn write_scrape(
    out: &mut Vec<u8>,
    files: impl Iterator<Item = (InfoHash, Stats)>,
    min_interval_secs: u32,
) {
    out.extend_from_slice(br#"{"action":"scrape","files":{"#);
    for (position, (InfoHash(info_hash), stats)) in files.enumerate() {
        if position > 0 {
            out.push(b',');
        }
        write_binary(out, &info_hash);
        out.extend_from_slice(br#":{"complete":"#);
        write_number(out, stats.seeders);
        out.extend_from_slice(br#","downloaded":"#);
        write_number(out, stats.downloaded);
        out.extend_from_slice(br#","incomplete":"#);
        write_number(out, stats.incomplete());
        out.push(b'}');
    }
    out.extend_from_slice(br#"},"flags":{"min_request_interval":"#);
    write_number(out, min_interval_secs);
    out.extend_from_slice(b"}}");
}

/// Appends a refusal; it names what it refuses as far as that is known.
pub fn write_failure(out: &mut Vec<u8>, refused: &Refused) {
    let Refused { failure, subject } = refused;
    out.push(b'{');
    match subject {
        Subject::Unknown => {}
        Subject::Announce(_) => out.extend_from_slice(br#""action":"announce","#),
        Subject::Scrape => out.extend_from_slice(br#""action":"scrape","#),
    }
    out.extend_from_slice(br#""failure reason":""#);
    out.extend_from_slice(failure.text().as_bytes());
    out.push(b'"');
    if let Subject::Announce(InfoHash(info_hash)) = subject {
        out.extend_from_slice(br#","info_hash":"#);
        write_binary(out, info_hash);
    }
    out.extend_from_slice(br#","interval":"#);
    write_number(out, failure.retry().interval_secs());
    out.push(b'}');
}

fn write_number(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A JSON string of one character for each byte: UTF-8 where JSON allows it, escapes elsewhere.
fn write_binary(out: &mut Vec<u8>, bytes: &[u8; 20]) {
    // Six bytes are the longest that one becomes. What is behind the shorter ones is written over.
    let mut text = [b'"'; 1 + 20 * 6 + 1];
    let mut at = 1;
    for byte in *bytes {
        let (written, len) = WRITTEN[usize::from(byte)];
        text[at..at + 6].copy_from_slice(&written);
        at += len;
    }
    text[at] = b'"';
    out.extend_from_slice(&text[..=at]);
}

/// Each byte in a JSON string, and how long that is.
static WRITTEN: [([u8; 6], usize); 256] = {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut table = [([0; 6], 0); 256];
    let mut byte: u8 = 0;
    loop {
        let (high, low) = (byte >> 4, byte & 15);
        table[byte as usize] = match byte {
            b'"' | b'\\' => ([b'\\', byte, 0, 0, 0, 0], 2),
            ..0x20 => ([b'\\', b'u', b'0', b'0', HEX[high as usize], HEX[low as usize]], 6),
            0x20..0x80 => ([byte, 0, 0, 0, 0, 0], 1),
            0x80.. => ([0xC0 | byte >> 6, 0x80 | byte & 0x3F, 0, 0, 0, 0], 2),
        };
        if byte == u8::MAX {
            break table;
        }
        byte += 1;
    }
};

#[cfg(test)]
mod tests;
