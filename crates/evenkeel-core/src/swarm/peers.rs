//! What a swarm knows of one peer: 12 bytes (IPv4), 24 (IPv6), or 56 for one that is reached through its socket.

use std::fmt;

use evenkeel_wire::{Announce, Endpoint, Event, PeerId};

use super::column::Record;
use crate::addresses::source;
use crate::identity::Tier;
use crate::keyed::Keyed;
use crate::scope::Scope;
use crate::time::Stamp;

/// What a peer has and wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Has everything.
    Seeder,
    /// Lacks something and wants it.
    Leecher,
    /// Lacks something and wants no more of it (BEP 21).
    Partial,
}

/// What a peer is recorded as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Role {
    pub(crate) kind: Kind,
    /// Of a peer that lacks something: its tier. Of a seeder: tiers below this one are rationed, 0 while its uplink has
    /// room. Under `tier-backoff` the tier of either.
    pub(crate) grade: u8,
    /// It is known that nobody reaches it who does not know it already.
    pub(crate) is_unconnectable: bool,
}

impl Role {
    /// See [`State::rank`].
    pub(crate) fn rank(self) -> u8 {
        rank(self.kind, self.grade)
    }
}

/// How many ranks there are.
pub(crate) const RANKS: u8 = Tier::TOP.number() + 3;

/// Seeders, then leechers, those of the highest tier first, then partial seeds.
#[inline]
fn rank(kind: Kind, grade: u8) -> u8 {
    match kind {
        Kind::Seeder => 0,
        Kind::Leecher => leecher_rank(grade),
        Kind::Partial => leecher_rank(0) + 1,
    }
}

/// The rank of leechers of a tier.
#[inline]
pub(crate) fn leecher_rank(tier: u8) -> u8 {
    Tier::TOP.number() + 1 - tier.min(Tier::TOP.number())
}

impl Kind {
    /// Of whoever announces so. Only a `left` of 0 makes a seeder: not to say is to lack something.
    pub(crate) fn of(ask: &Announce) -> Self {
        match (ask.left, ask.event) {
            (Some(0), _) => Self::Seeder,
            (_, Event::Paused) => Self::Partial,
            _ => Self::Leecher,
        }
    }
}

/// Order (4 bits), counted (1), unconnectable (1), stamp of the last announce (10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State(u16);

impl State {
    const COUNTED: u16 = 1 << 4;
    const UNCONNECTABLE: u16 = 1 << 5;
    /// Orders are below.
    pub(crate) const ORDERS: usize = 16;

    /// Of a peer that announces now, and is counted.
    pub(crate) fn new(role: Role, now: Stamp) -> Self {
        let mut state = Self(Self::COUNTED);
        state.set(role, now);
        state
    }

    #[inline]
    pub(crate) fn kind(self) -> Kind {
        match self.order() >> 2 {
            0 => Kind::Seeder,
            1 => Kind::Leecher,
            _ => Kind::Partial,
        }
    }

    /// See [`Role::grade`].
    #[inline]
    pub(crate) fn grade(self) -> u8 {
        let order = self.order();
        if order >> 2 == Kind::Leecher as u8 { !order & 3 } else { order & 3 }
    }

    /// Its kind and grade in a number: that of a lower rank is smaller, which makes a list quick to search.
    #[inline]
    pub(crate) fn order(self) -> u8 {
        (self.0 & 15) as u8
    }

    /// The order of a kind and grade.
    #[inline]
    pub(crate) fn order_of(kind: Kind, grade: u8) -> u8 {
        let grade = if kind == Kind::Leecher { !grade & 3 } else { grade & 3 };
        (kind as u8) << 2 | grade
    }

    /// The least order of a rank.
    #[inline]
    pub(super) fn first_order(rank: u8) -> u8 {
        match rank {
            0 => 0,
            rank if rank < RANKS => rank + 3,
            // That of nobody.
            _ => u8::MAX,
        }
    }

    /// Its place among the records of its swarm, which are in the order of this.
    #[inline]
    pub(crate) fn rank(self) -> u8 {
        rank(self.kind(), self.grade())
    }

    /// See [`Role::is_unconnectable`].
    #[inline]
    pub(crate) fn is_unconnectable(self) -> bool {
        self.0 & Self::UNCONNECTABLE != 0
    }

    pub(crate) fn set(&mut self, role: Role, now: Stamp) {
        let unconnectable = u16::from(role.is_unconnectable) * Self::UNCONNECTABLE;
        let order = u16::from(Self::order_of(role.kind, role.grade));
        let stamp = now.bits() << (16 - Stamp::BITS);
        self.0 = order | self.0 & Self::COUNTED | unconnectable | stamp;
    }

    pub(crate) fn stamp(self) -> Stamp {
        Stamp::from_bits(self.0 >> (16 - Stamp::BITS))
    }

    /// Whether this record stands for its client in the counts; of twins only one does.
    pub(crate) fn is_counted(self) -> bool {
        self.0 & Self::COUNTED != 0
    }

    pub(crate) fn set_counted(&mut self, counted: bool) {
        self.0 = if counted { self.0 | Self::COUNTED } else { self.0 & !Self::COUNTED };
    }
}

/// What tells clients apart besides their address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Interned name and version, for statistics.
    pub(crate) client: u16,
    /// Keyed hash of peer id and key: the same in both families for the same client.
    pub(crate) twin: u16,
}

/// A peer that others dial: `N` is 6 or 18. Addresses are in wire form, so that handing a peer out is a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer<const N: usize> {
    /// Address and port.
    pub(crate) addr: [u8; N],
    state: State,
    mark: Mark,
}

const _: () = assert!(size_of::<Peer<6>>() == 12 && size_of::<Peer<18>>() == 24);

/// A client, as far as a record of the other family shows it: same fingerprint (16 bits of a keyed hash), same
/// software, same port.
///
/// Among clients of one kind that keep their default port only the fingerprint tells: a false match may lower a
/// count, and does nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Twin {
    pub(crate) mark: Mark,
    pub(crate) port: [u8; 2],
}

impl<const N: usize> Peer<N> {
    pub(crate) fn new(addr: [u8; N], state: State, mark: Mark) -> Self {
        Self { addr, state, mark }
    }

    pub(crate) fn mark(&self) -> Mark {
        self.mark
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        endpoint(&self.addr)
    }
}

impl<const N: usize> Record for Peer<N> {
    type Key = [u8; N];
    type Twin = Twin;

    fn key(&self) -> [u8; N] {
        self.addr
    }

    fn twin(&self) -> Twin {
        Twin { mark: self.mark, port: [self.addr[N - 2], self.addr[N - 1]] }
    }

    fn state(&self) -> State {
        self.state
    }

    fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    fn source(addr: &[u8; N]) -> Endpoint {
        endpoint(addr)
    }

    #[inline]
    fn bits(&self) -> u64 {
        bits(&self.addr)
    }

    fn key_hash(addr: &[u8; N], keyed: &Keyed) -> u64 {
        let endpoint = endpoint(addr);
        match Scope::of(&endpoint) {
            Scope::Global => keyed.hash(source(&endpoint)),
            _ => keyed.hash(addr),
        }
    }

    /// The fingerprint is a keyed hash already; this only spreads it.
    fn twin_hash(twin: &Twin, _: &Keyed) -> u64 {
        let Twin { mark, port } = twin;
        let bits =
            u64::from(mark.twin) << 32 | u64::from(mark.client) << 16 | u64::from(u16::from_be_bytes(*port));
        bits.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).wrapping_mul(0xBF58_476D_1CE4_E5B9)
    }
}

/// An address and port in 64 bits. What is above 64 bits is folded onto the rest.
#[inline]
pub(super) fn bits<const N: usize>(addr: &[u8; N]) -> u64 {
    let number = |from: usize, len: usize| {
        let mut bytes = [0; 8];
        bytes[..len].copy_from_slice(&addr[from..from + len]);
        u64::from_le_bytes(bytes)
    };
    if N == 6 {
        return number(0, 6);
    }
    let [first, second, port] = [number(0, 8), number(8, 8), number(16, 2)];
    (first.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ second).rotate_left(16) ^ port
}

fn endpoint<const N: usize>(addr: &[u8; N]) -> Endpoint {
    if N == 6 {
        let mut bytes = [0; 6];
        bytes.copy_from_slice(&addr[..6]);
        Endpoint::V4(bytes)
    } else {
        let mut bytes = [0; 18];
        bytes.copy_from_slice(&addr[..18]);
        Endpoint::V6(bytes)
    }
}

/// A WebSocket of the program: which thread holds it, and a number that no other socket of that thread ever had.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SocketId(u64);

impl SocketId {
    /// Bits of the number: a thread that accepts a million sockets each second runs out after nine years.
    const SERIAL_BITS: u32 = 48;

    /// The socket `serial` of the thread `worker`.
    pub fn new(worker: u16, serial: u64) -> Self {
        Self(u64::from(worker) << Self::SERIAL_BITS | serial & ((1 << Self::SERIAL_BITS) - 1))
    }

    /// As a number.
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// The thread that holds it.
    pub fn worker(self) -> u16 {
        (self.0 >> Self::SERIAL_BITS) as u16
    }
}

impl fmt::Debug for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SocketId({}, {})", self.worker(), self.0 & ((1 << Self::SERIAL_BITS) - 1))
    }
}

/// Identity of a WebTorrent peer: its socket, and what it calls itself there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebKey {
    /// Where the socket comes from; its port tells nothing.
    pub source: Endpoint,
    /// The socket.
    pub socket: SocketId,
    /// One socket may speak for several peers.
    pub peer_id: PeerId,
}

/// A WebTorrent peer: nobody can dial it, it is told of others through its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WebPeer {
    pub(crate) key: WebKey,
    state: State,
    pub(crate) client: u16,
}

const _: () = assert!(size_of::<WebPeer>() == 56);

impl WebPeer {
    pub(crate) fn new(key: WebKey, state: State, client: u16) -> Self {
        Self { key, state, client }
    }
}

impl Record for WebPeer {
    type Key = WebKey;
    /// The same peer id on two sockets: one client that has lost its first socket, or somebody who pretends.
    type Twin = PeerId;

    fn key(&self) -> WebKey {
        self.key
    }

    fn twin(&self) -> PeerId {
        self.key.peer_id
    }

    fn state(&self) -> State {
        self.state
    }

    fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    fn source(key: &WebKey) -> Endpoint {
        key.source
    }

    fn bits(&self) -> u64 {
        self.key.socket.bits()
    }

    fn key_hash(key: &WebKey, keyed: &Keyed) -> u64 {
        match Scope::of(&key.source) {
            Scope::Global => keyed.hash(source(&key.source)),
            _ => {
                let mut bytes = [0; 28];
                bytes[..20].copy_from_slice(&key.peer_id.0);
                bytes[20..].copy_from_slice(&key.socket.0.to_le_bytes());
                keyed.hash(&bytes)
            }
        }
    }

    fn twin_hash(peer_id: &PeerId, keyed: &Keyed) -> u64 {
        keyed.hash(&peer_id.0)
    }
}
