//! The UDP dialect: BEP 15, with the URL data of BEP 41.
//!
//! A request is only as true as its connection id: [`decode`] says what a packet claims, and the caller
//! checks the id before it answers anything but a connect. What cannot carry an id gets silence.

use zerocopy::byteorder::network_endian::{I32, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Ref, Unaligned};

use crate::announce::{Announce, Event, Key, Reply};
use crate::limits::{SCRAPE_HASHES_MAX, URL_BYTES_MAX};
use crate::{Failure, InfoHash, PeerId, Stats};

/// What a connect sends in place of a connection id.
pub const PROTOCOL_ID: u64 = 0x0417_2710_1980;

/// Bytes of an announce reply before its peers.
pub const ANNOUNCE_HEAD_BYTES: usize = 20;

/// The caller's number, sent back so that it can tell answers apart.
pub type Transaction = U32;

const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
const SCRAPE: u32 = 2;
const ERROR: u32 = 3;

/// The start of every request.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RequestHead {
    connection_id: U64, //  8
    action: U32,        // 12
    transaction: U32,   // 16
}

/// An announce behind its head.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct AnnounceBody {
    info_hash: InfoHash, // 36
    peer_id: PeerId,     // 56
    downloaded: U64,     // 64
    left: U64,           // 72
    uploaded: U64,       // 80
    event: U32,          // 84
    ip: U32,             // 88: never believed
    key: U32,            // 92
    numwant: I32,        // 96
    port: U16,           // 98
}

/// The whole of a connect reply.
#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct ConnectReply {
    action: U32,        //  4
    transaction: U32,   //  8
    connection_id: U64, // 16
}

/// The head of an announce reply; 6 or 18 bytes for each peer follow.
#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct AnnounceReplyHead {
    action: U32,      //  4
    transaction: U32, //  8
    interval: U32,    // 12
    leechers: U32,    // 16
    seeders: U32,     // 20
}

/// One torrent of a scrape reply.
#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct ScrapeEntry {
    seeders: U32,   //  4
    completed: U32, //  8
    leechers: U32,  // 12
}

/// A packet, as far as it claims to be something.
#[derive(Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Asks for a connection id.
    Connect {
        /// Sent back.
        transaction: Transaction,
    },
    /// Everything else: worth an answer only when the connection id is right.
    Claimed {
        /// To be checked first.
        connection_id: u64,
        /// Sent back.
        transaction: Transaction,
        /// What is asked, or what is wrong with it.
        ask: Result<Ask<'a>, Failure>,
    },
}

/// What a packet asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Ask<'a> {
    /// Action 1.
    Announce(Announce, UrlData<'a>),
    /// Action 2: 1 to [`SCRAPE_HASHES_MAX`] torrents, in the packet that they came in.
    Scrape(&'a [InfoHash]),
}

/// Reads a packet. `None` is garbage: too short for a head, or a connect without its magic number.
pub fn decode(packet: &[u8]) -> Option<Request<'_>> {
    let (head, body) = Ref::<_, RequestHead>::from_prefix(packet).ok()?;
    let (connection_id, transaction) = (head.connection_id.get(), head.transaction);
    let ask = match head.action.get() {
        CONNECT => return (connection_id == PROTOCOL_ID).then_some(Request::Connect { transaction }),
        ANNOUNCE => decode_announce(body),
        SCRAPE => decode_scrape(body).map(Ask::Scrape),
        _ => Err(Failure::Action),
    };
    Some(Request::Claimed { connection_id, transaction, ask })
}

/// What of a packet is worth knowing before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance<'a> {
    /// To be checked first.
    pub connection_id: u64,
    /// If it looks like an announce: of which torrent, from which port, and with what in its URL. Proves nothing.
    pub announce: Option<(InfoHash, u16, UrlData<'a>)>,
}

/// Looks at a packet; `None` for one that is too short to be any, or asks for a connection id.
pub fn glance(packet: &[u8]) -> Option<Glance<'_>> {
    let (head, body) = Ref::<_, RequestHead>::from_prefix(packet).ok()?;
    let announce = match head.action.get() {
        CONNECT => return None,
        ANNOUNCE => Ref::<_, AnnounceBody>::from_prefix(body).ok(),
        _ => None,
    };
    let announce = announce.map(|(body, options)| (body.info_hash, body.port.get(), UrlData(options)));
    Some(Glance { connection_id: head.connection_id.get(), announce })
}

fn decode_announce(body: &[u8]) -> Result<Ask<'_>, Failure> {
    let (body, options) = Ref::<_, AnnounceBody>::from_prefix(body).map_err(|_| Failure::Truncated)?;
    if body.port.get() == 0 {
        return Err(Failure::Port);
    }
    let announce = Announce {
        info_hash: body.info_hash,
        peer_id: body.peer_id,
        port: body.port.get(),
        uploaded: body.uploaded.get(),
        downloaded: body.downloaded.get(),
        left: Some(body.left.get()),
        event: Event::from_number(body.event.get()),
        numwant: u32::try_from(body.numwant.get()).ok(),
        key: Key::from_number(body.key.get()),
    };
    Ok(Ask::Announce(announce, UrlData(options)))
}

fn decode_scrape(body: &[u8]) -> Result<&[InfoHash], Failure> {
    let hashes = <[InfoHash]>::ref_from_bytes(body).map_err(|_| Failure::Truncated)?;
    match hashes.len() {
        0 => Err(Failure::NoHashes),
        1..=SCRAPE_HASHES_MAX => Ok(hashes),
        _ => Err(Failure::TooManyHashes),
    }
}

/// What follows byte 98 of an announce: BEP 41 options, or padding (aria2 sends two zero bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UrlData<'a>(&'a [u8]);

impl<'a> UrlData<'a> {
    /// The text in one piece, in `room`; of one that is longer, nothing: cut, it could mean something else.
    pub fn join(self, room: &mut [u8; URL_BYTES_MAX]) -> &[u8] {
        let mut len = 0;
        for piece in self.pieces() {
            let Some(place) = room.get_mut(len..len + piece.len()) else { return &[] };
            place.copy_from_slice(piece);
            len += piece.len();
        }
        &room[..len]
    }

    const END: u8 = 0;
    const NOP: u8 = 1;
    const URL_DATA: u8 = 2;

    /// Path and query of the announce URL, in the pieces in which they came: joined, they are the text.
    /// Reading stops at the first option that does not fit.
    pub fn pieces(self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            loop {
                match rest {
                    [Self::NOP, tail @ ..] => rest = tail,
                    [] | [Self::END, ..] => return None,
                    [option, len, tail @ ..] => {
                        let (piece, after) = tail.split_at_checked(usize::from(*len))?;
                        rest = after;
                        if *option == Self::URL_DATA {
                            return Some(piece);
                        }
                    }
                    [_] => return None,
                }
            }
        })
    }
}

/// Writes a connect reply: 16 bytes, as long as the request.
pub fn write_connect(out: &mut [u8], transaction: Transaction, connection_id: u64) -> usize {
    let reply = ConnectReply { action: CONNECT.into(), transaction, connection_id: connection_id.into() };
    put(out, 0, reply.as_bytes())
}

/// Writes the head of an announce reply; `peers_bytes` of peers are already behind it.
pub fn write_announce(out: &mut [u8], transaction: Transaction, reply: &Reply, peers_bytes: usize) -> usize {
    let head = AnnounceReplyHead {
        action: ANNOUNCE.into(),
        transaction,
        interval: reply.interval_secs.into(),
        leechers: reply.stats.incomplete().into(),
        seeders: reply.stats.seeders.into(),
    };
    put(out, 0, head.as_bytes()) + peers_bytes
}

/// Writes a scrape reply; `stats` are in the order of the request.
pub fn write_scrape(out: &mut [u8], transaction: Transaction, stats: &[Stats]) -> usize {
    debug_assert!(stats.len() <= SCRAPE_HASHES_MAX);
    let head = [U32::from(SCRAPE), transaction];
    stats.iter().fold(put(out, 0, head.as_bytes()), |at, stats| {
        let entry = ScrapeEntry {
            seeders: stats.seeders.into(),
            completed: stats.downloaded.into(),
            leechers: stats.incomplete().into(),
        };
        put(out, at, entry.as_bytes())
    })
}

/// Writes an error reply.
pub fn write_failure(out: &mut [u8], transaction: Transaction, failure: Failure) -> usize {
    let head = [U32::from(ERROR), transaction];
    let at = put(out, 0, head.as_bytes());
    put(out, at, failure.text().as_bytes())
}

/// Copies `bytes` to `out[at..]` and answers where they end. `out` is at least
/// [`crate::limits::UDP_REPLY_BYTES_MAX`] long, which every reply fits.
fn put(out: &mut [u8], at: usize, bytes: &[u8]) -> usize {
    let end = at + bytes.len();
    out[at..end].copy_from_slice(bytes);
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::UDP_REPLY_BYTES_MAX;

    /// Bytes written as hex, spaces for the eye.
    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    const ANNOUNCE_HEX: &str = "
        0102030405060708 00000001 aabbccdd
        1111111111111111111111111111111111111111
        2d5858303030312d6162636465666768696a6b6c
        0000000000000005 0000000000000006 0000000000000007
        00000002 7f000001 00000009 ffffffff 1ae1";

    fn claimed(packet: &[u8]) -> Result<Ask<'_>, Failure> {
        match decode(packet) {
            Some(Request::Claimed { connection_id: 0x0102_0304_0506_0708, transaction, ask }) => {
                assert_eq!(transaction, U32::new(0xAABB_CCDD));
                ask
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_connect_is_read_and_answered_with_as_many_bytes() {
        let packet = hex("0000041727101980 00000000 aabbccdd");
        let Some(Request::Connect { transaction }) = decode(&packet) else { panic!() };
        let mut out = [0; 16];
        assert_eq!(write_connect(&mut out, transaction, 0x1122_3344_5566_7788), packet.len());
        assert_eq!(out[..], hex("00000000 aabbccdd 1122334455667788"));
    }

    #[test]
    fn a_connect_without_the_magic_number_is_garbage() {
        assert_eq!(decode(&hex("0000041727101981 00000000 aabbccdd")), None);
    }

    #[test]
    fn every_packet_shorter_than_a_head_is_garbage() {
        let packet = hex(ANNOUNCE_HEX);
        for len in 0..16 {
            assert_eq!(decode(&packet[..len]), None);
        }
    }

    #[test]
    fn an_announce_is_read_field_by_field() {
        let packet = hex(ANNOUNCE_HEX);
        assert_eq!(packet.len(), 98);
        let Ok(Ask::Announce(announce, url)) = claimed(&packet) else { panic!() };
        assert_eq!(
            announce,
            Announce {
                info_hash: InfoHash([0x11; 20]),
                peer_id: PeerId(*b"-XX0001-abcdefghijkl"),
                port: 6881,
                uploaded: 7,
                downloaded: 5,
                left: Some(6),
                event: Event::Started,
                numwant: None,
                key: Key::from_number(9),
            }
        );
        assert_eq!(url.pieces().count(), 0);
        fn seen(packet: &[u8]) -> Option<(InfoHash, u16, UrlData<'_>)> {
            glance(packet).unwrap().announce
        }
        assert_eq!(seen(&packet), Some((announce.info_hash, announce.port, url)));
        assert_eq!(seen(&packet[..97]), None, "no room for a port");
        assert_eq!(seen(&[&packet[..8], &[0, 0, 0, 2], &packet[12..]].concat()), None, "no announce");
        assert_eq!(glance(&packet[..15]), None, "no head");
    }

    #[test]
    fn an_announce_is_truncated_at_every_length_below_98() {
        let packet = hex(ANNOUNCE_HEX);
        for len in 16..98 {
            assert_eq!(claimed(&packet[..len]), Err(Failure::Truncated), "{len}");
        }
    }

    #[test]
    fn port_0_is_refused() {
        let mut packet = hex(ANNOUNCE_HEX);
        packet[96..].fill(0);
        assert_eq!(claimed(&packet), Err(Failure::Port));
    }

    #[test]
    fn bytes_after_98_are_url_data_or_ignored() {
        let read = |tail: &str| {
            let mut packet = hex(ANNOUNCE_HEX);
            packet.extend(hex(tail));
            let Ok(Ask::Announce(_, url)) = claimed(&packet) else { panic!() };
            url.pieces().collect::<Vec<_>>().concat()
        };
        assert_eq!(read("0000"), b"", "aria2's padding");
        assert_eq!(read("02 03 2f6162 00"), b"/ab");
        assert_eq!(read("01 01 02 02 2f61 02 01 62"), b"/ab", "no-ops and two pieces");
        assert_eq!(read("09 02 ffff 02 01 2f"), b"/", "an unknown option is stepped over");
        assert_eq!(read("02 ff 2f61"), b"", "a length past the end");
        assert_eq!(read("02"), b"", "an option without a length");
        assert_eq!(read("00 02 01 2f"), b"", "nothing counts after the end");
    }

    #[test]
    fn an_unknown_action_and_an_unknown_event_are_told_apart() {
        let mut packet = hex(ANNOUNCE_HEX);
        packet[83] = 77;
        let Ok(Ask::Announce(announce, _)) = claimed(&packet) else { panic!() };
        assert_eq!(announce.event, Event::Unknown);
        packet[11] = 77;
        assert_eq!(claimed(&packet), Err(Failure::Action));
    }

    #[test]
    fn a_scrape_holds_one_to_74_whole_hashes() {
        let packet = |bytes: usize| [hex("0102030405060708 00000002 aabbccdd"), vec![7; bytes]].concat();
        for hashes in [1, 74] {
            let packet = packet(hashes * 20);
            let Ok(Ask::Scrape(scrape)) = claimed(&packet) else { panic!() };
            assert_eq!(scrape, vec![InfoHash([7; 20]); hashes]);
        }
        assert_eq!(claimed(&packet(0)), Err(Failure::NoHashes));
        assert_eq!(claimed(&packet(30)), Err(Failure::Truncated), "one and a half hashes");
        assert_eq!(claimed(&packet(75 * 20)), Err(Failure::TooManyHashes));
    }

    #[test]
    fn replies_have_the_bytes_of_bep_15() {
        let transaction = U32::new(0xAABB_CCDD);
        let stats = Stats { seeders: 1, leechers: 2, partial: 3, downloaded: 4 };
        let reply = Reply { stats, interval_secs: 1800, min_interval_secs: 300, warning: None };
        let mut out = [0; UDP_REPLY_BYTES_MAX];
        out[20..26].copy_from_slice(&[1, 2, 3, 4, 0x1a, 0xe1]);
        let len = write_announce(&mut out, transaction, &reply, 6);
        assert_eq!(out[..len], hex("00000001 aabbccdd 00000708 00000005 00000001 01020304 1ae1"));
        let len = write_scrape(&mut out, transaction, &[stats, Stats::default()]);
        assert_eq!(
            out[..len],
            hex("00000002 aabbccdd 00000001 00000004 00000005 00000000 00000000 00000000")
        );
        let len = write_failure(&mut out, transaction, Failure::Truncated);
        assert_eq!(out[..len], [hex("00000003 aabbccdd"), b"the packet ends too early".to_vec()].concat());
    }

    #[test]
    fn the_largest_replies_fit_the_buffer() {
        let mut out = [0; UDP_REPLY_BYTES_MAX];
        write_scrape(&mut out, U32::new(1), &[Stats::default(); SCRAPE_HASHES_MAX]);
        const { assert!(ANNOUNCE_HEAD_BYTES + crate::limits::UDP_V6_PEERS_MAX * 18 <= UDP_REPLY_BYTES_MAX) };
    }
}
