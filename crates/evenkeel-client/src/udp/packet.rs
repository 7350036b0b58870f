//! The packets of BEP 15, from the asking side. All numbers are in network order.

use evenkeel_wire::udp::PROTOCOL_ID;
use evenkeel_wire::{Announce, Endpoint, Event, InfoHash, Key};
use std::net::SocketAddr;
use std::time::Duration;

use crate::answer::stats;
use crate::{AnnounceResponse, Error, Peer, ScrapeResponse};

/// What a packet is; replies carry the action of their request, or [`ERROR`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Connect = 0,
    Announce = 1,
    Scrape = 2,
}

const ERROR: u32 = 3;

/// Bytes of a request before its body: connection id, action, transaction id.
const REQUEST_HEAD_BYTES: usize = 16;

/// Bytes of a reply before its body: action, transaction id.
const REPLY_HEAD_BYTES: usize = 8;

/// The option of BEP 41 that carries path and query.
const URL_DATA: u8 = 2;

/// Asks for a connection id.
pub(super) fn connect(transaction: u32) -> Vec<u8> {
    let mut packet = request(Action::Connect);
    address(&mut packet, PROTOCOL_ID, transaction);
    packet
}

/// An announce without its ids, which [`address`] fills in. `url_data` is path and query (BEP 41); a bare `/`
/// tells nothing and is left out.
pub(super) fn announce(announce: &Announce, url_data: &str) -> Vec<u8> {
    let mut packet = request(Action::Announce);
    packet.extend_from_slice(&announce.info_hash.0);
    packet.extend_from_slice(&announce.peer_id.0);
    packet.extend_from_slice(&announce.downloaded.to_be_bytes());
    packet.extend_from_slice(&announce.left.unwrap_or(u64::MAX).to_be_bytes());
    packet.extend_from_slice(&announce.uploaded.to_be_bytes());
    packet.extend_from_slice(&event(announce.event).to_be_bytes());
    packet.extend_from_slice(&[0; 4]); // the address that the packet comes from
    packet.extend_from_slice(&key(&announce.key).to_be_bytes());
    let numwant = announce.numwant.map_or(-1, |peers| i32::try_from(peers).unwrap_or(i32::MAX));
    packet.extend_from_slice(&numwant.to_be_bytes());
    packet.extend_from_slice(&announce.port.to_be_bytes());
    if url_data != "/" {
        for piece in url_data.as_bytes().chunks(usize::from(u8::MAX)) {
            packet.push(URL_DATA);
            packet.extend(u8::try_from(piece.len()));
            packet.extend_from_slice(piece);
        }
    }
    packet
}

/// A scrape without its ids.
pub(super) fn scrape(info_hashes: &[InfoHash]) -> Vec<u8> {
    let mut packet = request(Action::Scrape);
    info_hashes.iter().for_each(|info_hash| packet.extend_from_slice(&info_hash.0));
    packet
}

fn request(action: Action) -> Vec<u8> {
    let mut packet = vec![0; REQUEST_HEAD_BYTES];
    packet[8..12].copy_from_slice(&(action as u32).to_be_bytes());
    packet
}

/// Writes the ids into a packet made here.
pub(super) fn address(packet: &mut [u8], connection_id: u64, transaction: u32) {
    packet[..8].copy_from_slice(&connection_id.to_be_bytes());
    packet[12..16].copy_from_slice(&transaction.to_be_bytes());
}

fn event(event: Event) -> u32 {
    match event {
        Event::Update | Event::Unknown => 0,
        Event::Completed => 1,
        Event::Started => 2,
        Event::Stopped => 3,
        Event::Paused => 4,
    }
}

/// Keys of other lengths are folded (FNV-1a): the tracker only needs the same number every time.
fn key(key: &Key) -> u32 {
    match key.as_bytes() {
        [] => 0,
        [a, b, c, d] => u32::from_be_bytes([*a, *b, *c, *d]),
        other => {
            other.iter().fold(0x811C_9DC5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
        }
    }
}

/// Whether a datagram answers the expected transaction. An error packet that does is the error.
pub(super) fn is_reply(datagram: &[u8], (action, transaction): (Action, u32)) -> Result<bool, Error> {
    let Some((head, body)) = datagram.split_first_chunk::<REPLY_HEAD_BYTES>() else { return Ok(false) };
    let ([said], [theirs]) = (numbers(&head[..4]), numbers(&head[4..]));
    if theirs != transaction {
        return Ok(false);
    }
    match said {
        // Some trackers end the text as C does.
        ERROR => Err(Error::refused(body.split(|byte| *byte == 0).next().unwrap_or_default())),
        said if said == action as u32 => Ok(true),
        _ => Err(Error::Malformed("the reply is to another action")),
    }
}

/// The connection id.
pub(super) fn read_connect(reply: &[u8]) -> Result<u64, Error> {
    let id = reply.get(REPLY_HEAD_BYTES..).and_then(|body| body.first_chunk());
    id.map(|id| u64::from_be_bytes(*id)).ok_or(Error::Malformed("the connect reply is cut off"))
}

/// Peers are of the family of the socket: nothing in the packet tells 6 bytes from 18.
pub(super) fn read_announce(reply: &[u8], remote: SocketAddr) -> Result<AnnounceResponse, Error> {
    let (head, peers) = reply
        .get(REPLY_HEAD_BYTES..)
        .and_then(|body| body.split_first_chunk::<12>())
        .ok_or(Error::Malformed("the announce reply is cut off"))?;
    let [interval, leechers, seeders] = numbers(head);
    let (endpoints, rest): (Vec<Endpoint>, _) = if remote.is_ipv4() {
        let (peers, rest) = peers.as_chunks();
        (peers.iter().copied().map(Endpoint::V4).collect(), rest)
    } else {
        let (peers, rest) = peers.as_chunks();
        (peers.iter().copied().map(Endpoint::V6).collect(), rest)
    };
    if !rest.is_empty() {
        return Err(Error::Malformed("the last peer is cut off"));
    }
    let handed_out = endpoints.len();
    let peers: Vec<Peer> =
        endpoints.into_iter().filter_map(|endpoint| Peer::new(endpoint.into(), None)).collect();
    Ok(AnnounceResponse {
        interval: Some(Duration::from_secs(interval.into())),
        seeders: Some(seeders),
        leechers: Some(leechers),
        unusable_peers: handed_out - peers.len(),
        peers,
        ..AnnounceResponse::default()
    })
}

/// Counts come in the order of the question.
pub(super) fn read_scrape(reply: &[u8], asked: &[InfoHash]) -> Result<ScrapeResponse, Error> {
    let (entries, _) = reply.get(REPLY_HEAD_BYTES..).unwrap_or_default().as_chunks::<12>();
    if entries.len() < asked.len() {
        return Err(Error::Malformed("the scrape reply is cut off"));
    }
    let mut response = ScrapeResponse::default();
    for (info_hash, entry) in asked.iter().zip(entries) {
        let [seeders, completed, leechers] = numbers(entry).map(u64::from);
        response.torrents.insert(*info_hash, stats(seeders, leechers, None, completed));
    }
    Ok(response)
}

/// The first `N` numbers of 32 bits; zeros where there are no bytes.
fn numbers<const N: usize>(bytes: &[u8]) -> [u32; N] {
    let (numbers, _) = bytes.as_chunks();
    std::array::from_fn(|at| numbers.get(at).map_or(0, |number| u32::from_be_bytes(*number)))
}

#[cfg(test)]
mod tests;
