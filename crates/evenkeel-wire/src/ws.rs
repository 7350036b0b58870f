//! The WebTorrent dialect: one JSON object in each text message of a WebSocket.
//!
//! No BEP describes it; the reference is the npm package `bittorrent-tracker`. Peers in browsers cannot be dialled:
//! they announce with *offers* (WebRTC session descriptions), which the tracker passes on to other peers, whose
//! *answers* it brings back. Info hashes, peer ids and offer ids are strings of 20 characters from U+0000 to U+00FF,
//! one for each byte, escaped or not.
//!
//! Session descriptions are passed on as the bytes that they came in; nothing here looks inside.

mod fields;
pub mod frame;
mod lenient;
mod quick;
pub mod scan;
mod twenty;

use serde_json::value::RawValue;

use self::fields::{Action, Fields};
use self::twenty::{twenty, write_twenty};
use crate::limits::SDP_BYTES_MAX;
use crate::{Announce, Failure, InfoHash, Key, OfferId, PeerId, Reply, Scrape, Stats};

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

/// Reads a message.
pub fn decode(message: &[u8]) -> Result<Message<'_>, Refused> {
    let no_json = Refused { failure: Failure::Json, subject: Subject::Unknown };
    // All of it at once, and not each field by itself.
    decode_text(str::from_utf8(message).map_err(|_| no_json)?)
}

/// Reads a message that is known to be text.
pub fn decode_text(message: &str) -> Result<Message<'_>, Refused> {
    let no_json = Refused { failure: Failure::Json, subject: Subject::Unknown };
    let fields = Fields::of(message).ok_or(no_json)?;
    match fields.action {
        Some(Action::Announce) => {
            let info_hash = fields.info_hash.map(InfoHash);
            let subject = info_hash.map_or(Subject::Unknown, Subject::Announce);
            let refused = |failure| Refused { failure, subject };
            announce(fields, info_hash).map_err(refused)
        }
        Some(Action::Scrape) => {
            scrape(&fields).map_err(|failure| Refused { failure, subject: Subject::Scrape })
        }
        None => Err(Refused { failure: Failure::Action, subject: Subject::Unknown }),
    }
}

fn announce<'a>(fields: Fields<'a>, info_hash: Option<InfoHash>) -> Result<Message<'a>, Failure> {
    let info_hash = info_hash.ok_or(Failure::InfoHash)?;
    let peer_id = fields.peer_id.map(PeerId).ok_or(Failure::PeerId)?;
    if let Some(answer) = fields.answer {
        let to_peer_id = fields.to_peer_id.map(PeerId).ok_or(Failure::ToPeerId)?;
        let sdp = session_description(answer).ok_or(Failure::Sdp)?;
        let offer_id = fields.offer_id.map(OfferId);
        return Ok(Message::Answer(Answer { info_hash, peer_id, to_peer_id, offer_id, sdp }));
    }
    let offers = fields.offers;
    let ask = Announce {
        info_hash,
        peer_id,
        port: 0,
        uploaded: fields.uploaded.unwrap_or_default(),
        downloaded: fields.downloaded.unwrap_or_default(),
        left: fields.left,
        event: fields.event,
        numwant: u32::try_from(offers.list.len()).ok(),
        key: Key::NONE,
    };
    Ok(Message::Announce(ask, offers))
}

fn scrape<'a>(fields: &Fields<'a>) -> Result<Message<'a>, Failure> {
    let mut scrape = Scrape::new();
    let Some(asked) = fields.asked else { return Ok(Message::ScrapeAll) };
    if let Some(info_hash) = fields.info_hash {
        scrape.push(InfoHash(info_hash))?;
    } else {
        let list: Vec<&RawValue> = serde_json::from_str(asked).map_err(|_| Failure::InfoHash)?;
        for info_hash in &list {
            scrape.push(InfoHash(twenty(info_hash.get()).ok_or(Failure::InfoHash)?))?;
        }
        if list.is_empty() {
            return Err(Failure::NoHashes);
        }
    }
    Ok(Message::Scrape(scrape))
}

/// Clients hand what they get to WebRTC: nothing but an object of a sensible size is passed on to them.
fn session_description(json: &str) -> Option<&str> {
    Some(json).filter(|sdp| sdp.starts_with('{') && sdp.len() <= SDP_BYTES_MAX)
}

/// Appends the reply to an announce.
pub fn write_announce(out: &mut Vec<u8>, info_hash: &InfoHash, reply: &Reply) {
    out.extend_from_slice(br#"{"action":"announce","complete":"#);
    write_number(out, reply.stats.seeders);
    out.extend_from_slice(br#","incomplete":"#);
    write_number(out, reply.stats.incomplete());
    out.extend_from_slice(br#","info_hash":"#);
    write_twenty(out, &info_hash.0);
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
    write_twenty(out, &info_hash.0);
    out.extend_from_slice(br#","peer_id":"#);
    write_twenty(out, &peer_id.0);
}

fn write_offer_id(out: &mut Vec<u8>, id: Option<OfferId>) {
    if let Some(OfferId(id)) = id {
        out.extend_from_slice(br#","offer_id":"#);
        write_twenty(out, &id);
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
        write_twenty(out, &info_hash);
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
        write_twenty(out, info_hash);
    }
    out.extend_from_slice(br#","interval":"#);
    write_number(out, failure.retry().interval_secs());
    out.push(b'}');
}

fn write_number(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests;
