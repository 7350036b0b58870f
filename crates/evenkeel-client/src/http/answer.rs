//! Bencoded answers, as tolerant as clients have to be and no more.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use evenkeel_wire::{Endpoint, InfoHash, PeerId, Retry};

use crate::answer::{count, stats, twenty};
use crate::bencode::Value;
use crate::{AnnounceResponse, Error, Peer, ScrapeResponse};

/// Reads the answer to an announce (BEP 3, 7, 21, 23, 24, 31).
pub(super) fn announce(body: &[u8]) -> Result<AnnounceResponse, Error> {
    let answer = dictionary(body)?;
    let number = |key: &str| answer.get(key).and_then(Value::number);
    let mut response = AnnounceResponse {
        interval: number("interval").map(Duration::from_secs),
        min_interval: number("min interval").map(Duration::from_secs),
        seeders: number("complete").map(count),
        leechers: number("incomplete").map(count),
        downloaded: number("downloaded").map(count),
        warning: answer.get("warning message").and_then(text),
        external_ip: answer.get("external ip").and_then(Value::bytes).and_then(external_ip),
        tracker_id: answer.get("tracker id").and_then(Value::bytes).map(<[u8]>::to_vec),
        ..AnnounceResponse::default()
    };
    let endpoint = |bytes: &[u8]| bytes.try_into().map(Endpoint::V4).ok();
    peers::<6>(&mut response, answer.get("peers"), endpoint)?;
    let endpoint = |bytes: &[u8]| bytes.try_into().map(Endpoint::V6).ok();
    peers::<18>(&mut response, answer.get("peers6"), endpoint)?;
    Ok(response)
}

/// Reads the answer to a scrape (BEP 48); torrents that were not asked for are left out.
pub(super) fn scrape(body: &[u8], asked: &[InfoHash]) -> Result<ScrapeResponse, Error> {
    let answer = dictionary(body)?;
    let files = answer.get("files").and_then(Value::entries).ok_or(Error::Malformed("no files"))?;
    let mut response = ScrapeResponse::default();
    for (key, file) in files {
        let info_hash = info_hash(key).ok_or(Error::Malformed("an info hash is not 20 bytes"))?;
        let number = |key: &str| file.get(key).and_then(Value::number);
        if asked.contains(&info_hash) {
            let counts = stats(
                number("complete").unwrap_or_default(),
                number("incomplete").unwrap_or_default(),
                number("downloaders"),
                number("downloaded").unwrap_or_default(),
            );
            response.torrents.insert(info_hash, counts);
        }
    }
    response.min_request_interval = answer
        .get("flags")
        .and_then(|flags| flags.get("min_request_interval"))
        .and_then(Value::number)
        .map(Duration::from_secs);
    Ok(response)
}

/// The npm package `bittorrent-tracker` writes the bytes of a key as UTF-8 characters of the same numbers.
fn info_hash(key: &[u8]) -> Option<InfoHash> {
    let bytes = key.try_into().ok().or_else(|| std::str::from_utf8(key).ok().and_then(twenty));
    bytes.map(InfoHash)
}

/// The text of a failure, in a body of which nothing else is expected.
pub(super) fn failure_reason(body: &[u8]) -> Option<String> {
    Value::parse(body)?.get("failure reason").and_then(text)
}

/// The answer, unless it is a refusal.
fn dictionary(body: &[u8]) -> Result<Value<'_>, Error> {
    if body.is_empty() {
        return Err(Error::Malformed("the answer is empty"));
    }
    let answer = Value::parse(body).ok_or(Error::Malformed("the answer is not bencode"))?;
    if answer.entries().is_none() {
        return Err(Error::Malformed("the answer is not a dictionary"));
    }
    match answer.get("failure reason") {
        Some(reason) => Err(Error::Tracker {
            reason: text(reason).ok_or(Error::Malformed("the failure reason is not a string"))?,
            retry: answer.get("retry in").and_then(retry),
            interval: answer.get("interval").and_then(Value::number).map(Duration::from_secs),
        }),
        None => Ok(answer),
    }
}

/// Adds compact peers of `BYTES` bytes each, or dictionaries.
fn peers<const BYTES: usize>(
    response: &mut AnnounceResponse,
    value: Option<&Value<'_>>,
    endpoint: impl Fn(&[u8]) -> Option<Endpoint>,
) -> Result<(), Error> {
    let mut add = |peer: Option<Peer>| match peer {
        Some(peer) => response.peers.push(peer),
        None => response.unusable_peers += 1,
    };
    match value {
        None => {}
        Some(Value::Bytes(bytes)) => {
            let (peers, rest) = bytes.as_chunks::<BYTES>();
            if !rest.is_empty() {
                return Err(Error::Malformed("the last peer is cut off"));
            }
            for peer in peers {
                add(endpoint(peer).and_then(|endpoint| Peer::new(endpoint.into(), None)));
            }
        }
        Some(Value::List(peers)) => peers.iter().for_each(|peer| add(dictionary_peer(peer))),
        Some(_) => return Err(Error::Malformed("peers are neither a string nor a list")),
    }
    Ok(())
}

fn dictionary_peer(peer: &Value<'_>) -> Option<Peer> {
    let ip: IpAddr = text(peer.get("ip")?)?.parse().ok()?;
    let port = u16::try_from(peer.get("port")?.number()?).ok()?;
    let id = peer.get("peer id").and_then(Value::bytes).and_then(|id| id.try_into().ok()).map(PeerId);
    Peer::new(SocketAddr::new(ip, port), id)
}

fn retry(value: &Value<'_>) -> Option<Retry> {
    match value.bytes() {
        Some(b"never") => Some(Retry::Never),
        _ => value.number().map(|minutes| Retry::Minutes(count(minutes))),
    }
}

/// BEP 24 says 4 or 16 bytes; some trackers write text.
fn external_ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        Some(octets.into())
    } else if let Ok(octets) = <[u8; 16]>::try_from(bytes) {
        Some(octets.into())
    } else {
        std::str::from_utf8(bytes).ok()?.parse().ok()
    }
}

fn text(value: &Value<'_>) -> Option<String> {
    value.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests;
