//! Where a peer is that is known by its id alone, for trackers that let anybody answer anybody
//! (`webtorrent.strict = false`).

use std::collections::HashMap;
use std::sync::Mutex;

use evenkeel_core::SocketId;
use evenkeel_wire::{InfoHash, PeerId};

use crate::node::lock;

/// A torrent, and who announces it.
type Peer = (InfoHash, PeerId);

/// The socket on which each peer announced last. It grows with the peers of open sockets, which have limits.
///
/// Known weakness: whoever announces under another one's id is sent what is meant for it. That is what `strict` is for.
#[derive(Default)]
pub(crate) struct Strangers(Mutex<HashMap<Peer, SocketId>>);

impl Strangers {
    pub(super) fn learn(&self, peer: Peer, socket: SocketId) {
        lock(&self.0).insert(peer, socket);
    }

    /// A peer has left a socket; on another one it may still be.
    pub(super) fn forget(&self, peer: Peer, socket: SocketId) {
        let known = &mut *lock(&self.0);
        if known.get(&peer) == Some(&socket) {
            known.remove(&peer);
        }
        if known.len() < known.capacity() / 4 {
            known.shrink_to(known.len() * 2);
        }
    }

    pub(super) fn find(&self, peer: Peer) -> Option<SocketId> {
        lock(&self.0).get(&peer).copied()
    }
}
