//! What is sent over UDP (BEP 15), good and bad.

use evenkeel_wire::udp::PROTOCOL_ID;
use evenkeel_wire::{InfoHash, PeerId};

use crate::community::PASSKEY_LEN;

/// The longest path of announces: with a passkey before it, it fits into one option of BEP 41.
pub(crate) const PATH_MAX: usize = 200;

/// Bytes that a leecher still lacks.
const LEFT: u64 = 1 << 30;

/// What an announce says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    pub info_hash: InfoHash,
    pub peer_id: PeerId,
    pub port: u16,
    pub is_seeder: bool,
    /// First announce of its session.
    pub is_start: bool,
    /// Peers wanted; `None` leaves it to the tracker.
    pub numwant: Option<u32>,
    /// Bytes that it has sent, and as many that it has got.
    pub moved: u64,
    /// Its user's secret.
    pub passkey: Option<[u8; PASSKEY_LEN]>,
}

impl Said {
    /// Bytes that it still lacks.
    pub(crate) fn left(&self) -> u64 {
        if self.is_seeder { 0 } else { LEFT }
    }
}

/// Asks for a connection id.
pub(crate) fn connect(transaction: u32) -> [u8; 16] {
    head(PROTOCOL_ID, 0, transaction)
}

/// Announces.
pub(crate) fn announce(connection_id: u64, transaction: u32, said: &Said) -> [u8; 98] {
    let mut packet = [0; 98];
    packet[..16].copy_from_slice(&head(connection_id, 1, transaction));
    packet[16..36].copy_from_slice(&said.info_hash.0);
    packet[36..56].copy_from_slice(&said.peer_id.0);
    packet[56..64].copy_from_slice(&said.moved.to_be_bytes());
    packet[64..72].copy_from_slice(&said.left().to_be_bytes());
    packet[72..80].copy_from_slice(&said.moved.to_be_bytes());
    // The address, at 84, stays 0.
    packet[80..84].copy_from_slice(&(if said.is_start { 2_u32 } else { 0 }).to_be_bytes());
    // A key of its own keeps clients behind one address apart: the digits of the peer id that differ.
    packet[88..92].copy_from_slice(&said.peer_id.0[16..]);
    packet[92..96].copy_from_slice(&said.numwant.unwrap_or(u32::MAX).to_be_bytes());
    packet[96..].copy_from_slice(&said.port.to_be_bytes());
    packet
}

/// Announces with a passkey in the path, as BEP 41 has it.
pub(crate) fn announce_keyed(
    out: &mut Vec<u8>,
    announce: &[u8; 98],
    passkey: &[u8; PASSKEY_LEN],
    path: &str,
) {
    const URL_DATA: u8 = 2;
    let len = u8::try_from(1 + PASSKEY_LEN + path.len()).unwrap_or_else(|_| unreachable!("see `PATH_MAX`"));
    out.clear();
    out.extend_from_slice(announce);
    out.extend_from_slice(&[URL_DATA, len, b'/']);
    out.extend_from_slice(passkey);
    out.extend_from_slice(path.as_bytes());
}

/// Scrapes one torrent.
pub(crate) fn scrape(connection_id: u64, transaction: u32, info_hash: &InfoHash) -> [u8; 36] {
    let mut packet = [0; 36];
    packet[..16].copy_from_slice(&head(connection_id, 2, transaction));
    packet[16..].copy_from_slice(&info_hash.0);
    packet
}

fn head(connection_id: u64, action: u32, transaction: u32) -> [u8; 16] {
    let mut head = [0; 16];
    head[..8].copy_from_slice(&connection_id.to_be_bytes());
    head[8..12].copy_from_slice(&action.to_be_bytes());
    head[12..].copy_from_slice(&transaction.to_be_bytes());
    head
}

/// A packet that a tracker must not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hostile {
    /// Bytes without meaning.
    Garbage,
    /// An announce that ends too early.
    Truncated,
    /// A whole announce with a connection id that was never given out, for the address of somebody else.
    WrongId,
    /// A whole announce with a connection id that another address was given.
    ReplayedId,
}

impl Hostile {
    pub(crate) const ALL: [Self; 4] = [Self::Garbage, Self::Truncated, Self::WrongId, Self::ReplayedId];

    /// Length of the packets of one batch: equal, so that they can be sent in one go.
    pub(crate) fn len(self, rng: &mut fastrand::Rng) -> usize {
        match self {
            Self::Garbage => rng.usize(1..=200),
            Self::Truncated => rng.usize(17..98),
            Self::WrongId | Self::ReplayedId => 98,
        }
    }

    /// Fills `packet`. `good` is a whole announce whose connection id is good for another address.
    pub(crate) fn write(self, good: &[u8; 98], packet: &mut [u8], rng: &mut fastrand::Rng) {
        match self {
            Self::Garbage => {
                rng.fill(packet);
                // What looks like a connect would be worth an answer.
                packet[0] |= 0x80;
            }
            Self::Truncated | Self::WrongId => {
                packet.copy_from_slice(&good[..packet.len()]);
                packet[..8].copy_from_slice(&rng.u64(..).to_be_bytes());
                if let Some(address) = packet.get_mut(84..88) {
                    address.copy_from_slice(&[192, 0, 2, 1]);
                }
            }
            Self::ReplayedId => packet.copy_from_slice(good),
        }
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_wire::udp::{Ask, Request, decode};
    use evenkeel_wire::{Event, Key};

    use super::*;

    const SAID: Said = Said {
        info_hash: InfoHash([0x11; 20]),
        peer_id: PeerId(*b"-EL0001-abcdefghijkl"),
        port: 6881,
        is_seeder: false,
        is_start: true,
        numwant: Some(50),
        moved: 0,
        passkey: None,
    };

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn packets_have_the_bytes_of_bep_15() {
        assert_eq!(hex(&connect(0xAABB_CCDD)), "000004172710198000000000aabbccdd");
        assert_eq!(
            hex(&announce(0x0102_0304_0506_0708, 0xAABB_CCDD, &SAID)),
            concat!(
                "0102030405060708",
                "00000001",
                "aabbccdd",
                "1111111111111111111111111111111111111111",
                "2d454c303030312d6162636465666768696a6b6c",
                "0000000000000000",
                "0000000040000000",
                "0000000000000000",
                "00000002",
                "00000000",
                "696a6b6c",
                "00000032",
                "1ae1"
            )
        );
        assert_eq!(
            hex(&scrape(0x0102_0304_0506_0708, 0xAABB_CCDD, &SAID.info_hash)),
            "010203040506070800000002aabbccdd1111111111111111111111111111111111111111"
        );
    }

    #[test]
    fn the_tracker_reads_what_was_meant() {
        let seeder = Said { is_seeder: true, is_start: false, numwant: None, moved: 7, ..SAID };
        let packet = announce(5, 6, &seeder);
        let Some(Request::Claimed { connection_id: 5, ask: Ok(Ask::Announce(read, _)), .. }) =
            decode(&packet)
        else {
            panic!("{packet:?}")
        };
        assert_eq!((read.left, read.event, read.numwant), (Some(0), Event::Update, None));
        assert_eq!((read.uploaded, read.downloaded), (7, 7));
        assert_eq!((read.port, read.key), (6881, Key::from_number(0x696A_6B6C)));
    }

    #[test]
    fn the_tracker_reads_the_passkey() {
        let mut packet = vec![9];
        announce_keyed(&mut packet, &announce(5, 6, &SAID), b"0123456789abcdef0123456789abcdef", "/announce");
        let Some(Request::Claimed { ask: Ok(Ask::Announce(read, url)), .. }) = decode(&packet) else {
            panic!("{packet:?}")
        };
        assert_eq!(read.info_hash, SAID.info_hash);
        let mut room = [0; evenkeel_wire::limits::URL_BYTES_MAX];
        let secret = evenkeel_wire::secret::of_url(url.join(&mut room));
        assert_eq!(secret, Some(&b"0123456789abcdef0123456789abcdef"[..]));
    }

    #[test]
    fn hostile_packets_claim_no_connection_id_of_their_own() {
        let mut rng = fastrand::Rng::with_seed(1);
        let good = announce(5, 6, &SAID);
        for _ in 0..1_000 {
            for kind in Hostile::ALL {
                let mut packet = vec![0; kind.len(&mut rng)];
                kind.write(&good, &mut packet, &mut rng);
                match decode(&packet) {
                    Some(Request::Connect { .. }) => panic!("{kind:?} is worth an answer"),
                    Some(Request::Claimed { connection_id, .. }) => {
                        assert_eq!(connection_id == 5, kind == Hostile::ReplayedId);
                    }
                    None => assert_eq!(kind, Hostile::Garbage),
                }
            }
        }
    }
}
