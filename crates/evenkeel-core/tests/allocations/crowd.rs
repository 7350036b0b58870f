//! Peers by number, for those who need many of them: who they are does not change from run to run.

use evenkeel_core::{Handout, PeerKey, SocketId, WebKey};
use evenkeel_wire::{Announce, Endpoint, Event, InfoHash, Key, PeerId};

use crate::rig::{Families, Rig};

/// The torrent `number`.
pub(crate) fn torrent(number: u32) -> InfoHash {
    let mut bytes = [0x5A; 20];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    InfoHash(bytes)
}

/// Where peer `number` is, in a family of its own; each at a global address of its own.
pub(crate) fn peer(number: u32, families: Families) -> PeerKey {
    let [_, b, c, d] = number.to_be_bytes();
    match families {
        Families::V6 => {
            let mut bytes = [0; 18];
            bytes[..8].copy_from_slice(&[0x2A, 0, 0, 0, 0, b, c, d]);
            bytes[16..].copy_from_slice(&[26, 225]);
            PeerKey::Dialled(Endpoint::V6(bytes))
        }
        Families::Web => PeerKey::Web(WebKey {
            source: Endpoint::V4([44, b, c, d, 26, 225]),
            socket: SocketId::new(0, u64::from(number)),
            peer_id: peer_id(number),
        }),
        Families::V4 | Families::Both => PeerKey::Dialled(Endpoint::V4([44, b, c, d, 26, 225])),
    }
}

/// A regular announce of peer `number`. Every third peer is a seeder.
pub(crate) fn update(info_hash: InfoHash, number: u32) -> Announce {
    Announce {
        info_hash,
        peer_id: peer_id(number),
        port: 6881,
        uploaded: 0,
        downloaded: 0,
        left: Some(u64::from(number % 3)),
        event: Event::Update,
        numwant: None,
        key: Key::from_number(number + 1),
    }
}

/// Announces peers of one family to a swarm, none of whom is told of any other.
pub(crate) fn fill(rig: &mut Rig, info_hash: InfoHash, peers: std::ops::Range<u32>, families: Families) {
    for number in peers {
        let mut nobody = Handout::new(&mut [], &mut []);
        let ask = update(info_hash, number);
        assert!(rig.announce_into(&mut nobody, peer(number, families), 7, &ask).answer.is_ok());
    }
}

fn peer_id(number: u32) -> PeerId {
    let mut bytes = *b"-EK0100-............";
    bytes[16..].copy_from_slice(&number.to_be_bytes());
    PeerId(bytes)
}
