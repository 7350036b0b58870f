//! JSON messages of WebTorrent.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_wire::{Announce, InfoHash, PeerId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::driver::Expect;
use super::{Answer, Offer, OfferId, Relay};
use crate::answer::{count, event_text, stats, twenty};
use crate::{AnnounceResponse, Error, ScrapeResponse};

#[derive(Serialize)]
struct AnnounceMessage<'a> {
    action: &'static str,
    info_hash: String,
    peer_id: String,
    uploaded: u64,
    downloaded: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'static str>,
    numwant: usize,
    offers: Vec<OfferMessage<'a>>,
}

#[derive(Serialize)]
struct OfferMessage<'a> {
    offer: &'a RawValue,
    offer_id: String,
}

#[derive(Serialize)]
struct AnswerMessage<'a> {
    action: &'static str,
    info_hash: String,
    peer_id: String,
    to_peer_id: String,
    answer: &'a RawValue,
    offer_id: String,
}

#[derive(Serialize)]
struct ScrapeMessage {
    action: &'static str,
    info_hash: Vec<String>,
}

/// Everything that a tracker may say; which message it is shows in what is there.
#[derive(Deserialize)]
struct AnyMessage<'a> {
    action: Option<String>,
    info_hash: Option<String>,
    peer_id: Option<String>,
    #[serde(rename = "failure reason")]
    failure_reason: Option<String>,
    #[serde(rename = "warning message")]
    warning_message: Option<String>,
    interval: Option<u64>,
    #[serde(rename = "min interval")]
    min_interval: Option<u64>,
    complete: Option<u64>,
    incomplete: Option<u64>,
    downloaded: Option<u64>,
    offer_id: Option<String>,
    #[serde(borrow)]
    offer: Option<&'a RawValue>,
    #[serde(borrow)]
    answer: Option<&'a RawValue>,
    files: Option<BTreeMap<String, Counts>>,
    flags: Option<Flags>,
}

#[derive(Deserialize)]
struct Counts {
    #[serde(default)]
    complete: u64,
    #[serde(default)]
    incomplete: u64,
    #[serde(default)]
    downloaded: u64,
    downloaders: Option<u64>,
}

#[derive(Deserialize)]
struct Flags {
    min_request_interval: Option<u64>,
}

/// What came in.
#[derive(Debug)]
pub(super) enum Incoming {
    Relay(Relay),
    Reply(Expect, Reply),
    /// The question that was refused, when it says.
    Failure(Option<Expect>, Error),
    /// Understood and of no use.
    Ignored,
}

/// The end of a command.
#[derive(Debug)]
pub(super) enum Reply {
    Sent,
    Announce(AnnounceResponse),
    Scrape(ScrapeResponse),
}

/// The text of an announce.
pub(super) fn announce(announce: &Announce, offers: &[Offer]) -> Result<String, Error> {
    let offers = offers
        .iter()
        .map(|offer| Ok(OfferMessage { offer: raw(&offer.json)?, offer_id: latin1(&offer.id.0) }))
        .collect::<Result<Vec<_>, Error>>()?;
    text(&AnnounceMessage {
        action: "announce",
        info_hash: latin1(&announce.info_hash.0),
        peer_id: latin1(&announce.peer_id.0),
        uploaded: announce.uploaded,
        downloaded: announce.downloaded,
        left: announce.left,
        event: event_text(announce.event),
        numwant: offers.len(),
        offers,
    })
}

/// The text of an answer.
pub(super) fn answer(answer: &Answer) -> Result<String, Error> {
    text(&AnswerMessage {
        action: "announce",
        info_hash: latin1(&answer.info_hash.0),
        peer_id: latin1(&answer.peer_id.0),
        to_peer_id: latin1(&answer.to_peer_id.0),
        answer: raw(&answer.json)?,
        offer_id: latin1(&answer.offer_id.0),
    })
}

/// The text of a scrape.
pub(super) fn scrape(info_hashes: &[InfoHash]) -> Result<String, Error> {
    let info_hash = info_hashes.iter().map(|info_hash| latin1(&info_hash.0)).collect();
    text(&ScrapeMessage { action: "scrape", info_hash })
}

/// Reads a message.
pub(super) fn read(text: &str) -> Result<Incoming, Error> {
    let message: AnyMessage<'_> = serde_json::from_str(text)
        .map_err(|_| Error::Malformed("a message is not the JSON of WebTorrent"))?;
    let info_hash = message.info_hash.as_deref().and_then(twenty).map(InfoHash);
    let is_scrape = message.action.as_deref() == Some("scrape");
    if let Some(reason) = message.failure_reason {
        let retry_secs = message.interval.map(Duration::from_secs);
        let expect = if is_scrape { Some(Expect::Scrape) } else { info_hash.map(Expect::Announce) };
        let error = Error::Tracker { reason, retry: None, interval: retry_secs };
        return Ok(Incoming::Failure(expect, error));
    }
    if is_scrape {
        return read_scrape(message).map(|response| Incoming::Reply(Expect::Scrape, Reply::Scrape(response)));
    }
    let info_hash = info_hash.ok_or(Error::Malformed("an info hash is not 20 bytes"))?;
    if message.offer.is_some() || message.answer.is_some() {
        return relay(&message, info_hash).map(Incoming::Relay).ok_or(Error::Malformed("a relay has no ids"));
    }
    if message.peer_id.is_some() {
        // The reference tracker passes on offers that are empty.
        return Ok(Incoming::Ignored);
    }
    let response = AnnounceResponse {
        interval: message.interval.map(Duration::from_secs),
        min_interval: message.min_interval.map(Duration::from_secs),
        seeders: message.complete.map(count),
        leechers: message.incomplete.map(count),
        downloaded: message.downloaded.map(count),
        warning: message.warning_message,
        ..AnnounceResponse::default()
    };
    Ok(Incoming::Reply(Expect::Announce(info_hash), Reply::Announce(response)))
}

fn relay(message: &AnyMessage<'_>, info_hash: InfoHash) -> Option<Relay> {
    let peer_id = message.peer_id.as_deref().and_then(twenty).map(PeerId)?;
    let offer_id = message.offer_id.as_deref().and_then(twenty).map(OfferId)?;
    if let Some(offer) = message.offer {
        Some(Relay::Offer { info_hash, peer_id, offer_id, json: offer.get().into() })
    } else {
        let json = message.answer?.get().into();
        Some(Relay::Answer { info_hash, peer_id, offer_id, json })
    }
}

fn read_scrape(message: AnyMessage<'_>) -> Result<ScrapeResponse, Error> {
    let mut response = ScrapeResponse::default();
    for (key, counts) in message.files.ok_or(Error::Malformed("no files"))? {
        let info_hash = twenty(&key).ok_or(Error::Malformed("an info hash is not 20 bytes"))?;
        let counts = stats(counts.complete, counts.incomplete, counts.downloaders, counts.downloaded);
        response.torrents.insert(InfoHash(info_hash), counts);
    }
    let flags = message.flags.and_then(|flags| flags.min_request_interval);
    response.min_request_interval = flags.map(Duration::from_secs);
    Ok(response)
}

fn text(message: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(message).map_err(|_| Error::InvalidRequest("the message is not JSON"))
}

fn raw(json: &str) -> Result<&RawValue, Error> {
    serde_json::from_str(json).map_err(|_| Error::InvalidRequest("an offer or answer is not JSON"))
}

/// One character for each byte.
fn latin1(bytes: &[u8; 20]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests;
