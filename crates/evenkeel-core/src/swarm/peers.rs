//! The peers of one swarm in one address family: records of 12 (IPv4) or 24 bytes (IPv6), seeders first.
//!
//! Up to [`FEW_MAX`] peers are found by a linear scan, which at this size beats any table; above it, by an
//! index. Positions are not stable: whatever moves a record keeps the index true.

use evenkeel_wire::PeerId;
use hashbrown::HashTable;

use crate::keyed::Keyed;
use crate::scope::Scope;
use crate::time::Stamp;
use evenkeel_wire::Endpoint;

/// Largest column without an index.
const FEW_MAX: usize = 128;
/// An index is dropped only well below that, so that a column at the edge does not rebuild it all the time.
const FEW_AGAIN: usize = 96;

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

/// One peer: `N` is 6 or 18. Addresses are in wire form, so that handing a peer out is a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer<const N: usize> {
    /// Address and port.
    pub(crate) addr: [u8; N],
    /// Kind (2 bits), counted (1), free (2), stamp of the last announce (11).
    state: u16,
    /// Interned name and version of the client, for statistics.
    pub(crate) client: u16,
    /// Keyed hash of peer id and key: the same in both families for the same client.
    pub(crate) twin: u16,
}

const _: () = assert!(size_of::<Peer<6>>() == 12 && size_of::<Peer<18>>() == 24);

impl<const N: usize> Peer<N> {
    const COUNTED: u16 = 1 << 2;

    pub(crate) fn new(addr: [u8; N], kind: Kind, now: Stamp, mark: Mark) -> Self {
        let mut peer = Self { addr, state: Self::COUNTED, client: mark.client, twin: mark.twin };
        peer.set(kind, now);
        peer
    }

    pub(crate) fn kind(&self) -> Kind {
        match self.state & 3 {
            0 => Kind::Seeder,
            1 => Kind::Leecher,
            _ => Kind::Partial,
        }
    }

    fn set(&mut self, kind: Kind, now: Stamp) {
        self.state = kind as u16 | self.state & Self::COUNTED | now.bits() << (16 - Stamp::BITS);
    }

    pub(crate) fn stamp(&self) -> Stamp {
        Stamp::from_bits(self.state >> (16 - Stamp::BITS))
    }

    /// Whether this record stands for its client in the counts; of twins only one does.
    pub(crate) fn is_counted(&self) -> bool {
        self.state & Self::COUNTED != 0
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { client: self.client, twin: self.twin }
    }

    fn port(&self) -> [u8; 2] {
        [self.addr[N - 2], self.addr[N - 1]]
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        if N == 6 {
            let mut bytes = [0; 6];
            bytes.copy_from_slice(&self.addr[..6]);
            Endpoint::V4(bytes)
        } else {
            let mut bytes = [0; 18];
            bytes.copy_from_slice(&self.addr[..18]);
            Endpoint::V6(bytes)
        }
    }
}

/// What tells clients apart besides their address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) client: u16,
    pub(crate) twin: u16,
}

/// The records of one family. `peers[..seeders]` are the seeders.
#[derive(Default)]
pub(crate) struct Column<const N: usize> {
    peers: Vec<Peer<N>>,
    seeders: u32,
    index: Option<Box<Index>>,
    /// Parallel to `peers` when ids are kept (a setting that holds from start to end), else absent.
    ids: Option<Vec<PeerId>>,
}

/// Records of one fingerprint, port and software that the index knows. A client has one or two; somebody who
/// announces the same from thousands of addresses must not make a chain of thousands: what is beyond has no twin.
const SAME_TWIN_MAX: usize = 16;

/// Where records are, for columns too long to scan.
#[derive(Default)]
struct Index {
    by_source: HashTable<u32>,
    by_twin: HashTable<u32>,
}

impl<const N: usize> Column<N> {
    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    pub(crate) fn seeders(&self) -> usize {
        self.seeders as usize
    }

    pub(crate) fn peers(&self) -> &[Peer<N>] {
        &self.peers
    }

    pub(crate) fn id(&self, at: usize) -> Option<PeerId> {
        self.ids.as_ref().map(|ids| ids[at])
    }

    /// Where the record of an endpoint is.
    pub(crate) fn find(&self, addr: &[u8; N], keyed: &Keyed) -> Option<usize> {
        match &self.index {
            None => self.peers.iter().position(|peer| peer.addr == *addr),
            Some(index) => index
                .by_source
                .find(source_hash(addr, keyed), |at| self.peers[*at as usize].addr == *addr)
                .map(|at| *at as usize),
        }
    }

    /// Where a record of the same client is, counted or not as asked; given for a record of the other family.
    ///
    /// Same fingerprint (16 bits of a keyed hash), same port, same software. Among clients of one kind that keep
    /// their default port only the fingerprint tells: a false match may lower a count, and does nothing else.
    pub(crate) fn find_twin(&self, mark: Mark, port: [u8; 2], counted: bool) -> Option<usize> {
        let is_twin =
            |peer: &Peer<N>| peer.mark() == mark && peer.port() == port && peer.is_counted() == counted;
        match &self.index {
            None => self.peers.iter().position(is_twin),
            Some(index) => index
                .by_twin
                .find(twin_hash(mark, port), |at| is_twin(&self.peers[*at as usize]))
                .map(|at| *at as usize),
        }
    }

    /// Records of the same source (IPv4 address, IPv6 /64), counted up to `max`.
    pub(crate) fn count_source(&self, addr: &[u8; N], scope: Scope, keyed: &Keyed, max: usize) -> usize {
        let source_len = if N == 6 { 4 } else { 8 };
        let is_same = |peer: &Peer<N>| peer.addr[..source_len] == addr[..source_len];
        match &self.index {
            // Only global sources share a bucket; see `source_hash`.
            Some(index) if scope == Scope::Global => index
                .by_source
                .iter_hash(source_hash(addr, keyed))
                .filter(|at| is_same(&self.peers[**at as usize]))
                .take(max)
                .count(),
            _ => self.peers.iter().filter(|peer| is_same(peer)).take(max).count(),
        }
    }

    /// Adds a record that is not there yet.
    pub(crate) fn insert(&mut self, peer: Peer<N>, id: Option<PeerId>, keyed: &Keyed) {
        if self.peers.len() == self.peers.capacity() {
            // Growth by a quarter, not by doubling: most swarms are small and stay so.
            self.peers.reserve_exact(1.max(self.peers.len() / 4));
        }
        let at = self.peers.len();
        self.peers.push(peer);
        if let Some(id) = id {
            self.ids.get_or_insert_default().push(id);
        }
        if let Some(index) = &mut self.index {
            index.add(&self.peers, at, keyed);
        } else if self.peers.len() > FEW_MAX {
            self.index = Some(Box::new(Index::of(&self.peers, keyed)));
        }
        if peer.kind() == Kind::Seeder {
            self.swap(at, self.seeders(), keyed);
            self.seeders += 1;
        }
    }

    /// Takes a record out and answers it.
    pub(crate) fn remove(&mut self, at: usize, keyed: &Keyed) -> Peer<N> {
        let mut at = at;
        if at < self.seeders() {
            let last_seeder = self.seeders() - 1;
            self.swap(at, last_seeder, keyed);
            self.seeders -= 1;
            at = last_seeder;
        }
        let last = self.peers.len() - 1;
        self.swap(at, last, keyed);
        if let Some(index) = &mut self.index {
            index.remove(&self.peers, last, keyed);
        }
        if let Some(ids) = &mut self.ids {
            ids.pop();
        }
        let peer = self.peers.swap_remove(last);
        if self.peers.len() < FEW_AGAIN {
            self.index = None;
        }
        if self.peers.len() < self.peers.capacity() / 2 {
            self.peers.shrink_to(self.peers.len() + self.peers.len() / 4);
        }
        peer
    }

    /// Notes an announce of a record that is there; answers where it is now.
    pub(crate) fn refresh(&mut self, at: usize, kind: Kind, now: Stamp, keyed: &Keyed) -> usize {
        let was_seeder = at < self.seeders();
        self.peers[at].set(kind, now);
        match (was_seeder, kind == Kind::Seeder) {
            (false, true) => {
                let to = self.seeders();
                self.swap(at, to, keyed);
                self.seeders += 1;
                to
            }
            (true, false) => {
                let to = self.seeders() - 1;
                self.swap(at, to, keyed);
                self.seeders -= 1;
                to
            }
            _ => at,
        }
    }

    pub(crate) fn set_counted(&mut self, at: usize, counted: bool) {
        let state = &mut self.peers[at].state;
        *state = if counted { *state | Peer::<N>::COUNTED } else { *state & !Peer::<N>::COUNTED };
    }

    fn swap(&mut self, a: usize, b: usize, keyed: &Keyed) {
        if a == b {
            return;
        }
        if let Some(index) = &mut self.index {
            index.swap(&self.peers, [a, b], keyed);
        }
        self.peers.swap(a, b);
        if let Some(ids) = &mut self.ids {
            ids.swap(a, b);
        }
    }
}

impl Index {
    fn of<const N: usize>(peers: &[Peer<N>], keyed: &Keyed) -> Self {
        let mut index = Self::default();
        for at in 0..peers.len() {
            index.add(peers, at, keyed);
        }
        index
    }

    fn add<const N: usize>(&mut self, peers: &[Peer<N>], at: usize, keyed: &Keyed) {
        let position = position(at);
        let source = |at: &u32| source_hash(&peers[*at as usize].addr, keyed);
        self.by_source.insert_unique(source(&position), position, source);
        let twin = |at: &u32| twin_hash(peers[*at as usize].mark(), peers[*at as usize].port());
        let hash = twin(&position);
        if self.by_twin.iter_hash(hash).take(SAME_TWIN_MAX).count() < SAME_TWIN_MAX {
            self.by_twin.insert_unique(hash, position, twin);
        }
    }

    fn remove<const N: usize>(&mut self, peers: &[Peer<N>], at: usize, keyed: &Keyed) {
        let peer = &peers[at];
        let position = position(at);
        if let Ok(entry) =
            self.by_source.find_entry(source_hash(&peer.addr, keyed), |other| *other == position)
        {
            entry.remove();
        }
        if let Ok(entry) =
            self.by_twin.find_entry(twin_hash(peer.mark(), peer.port()), |other| *other == position)
        {
            entry.remove();
        }
    }

    /// Notes that two records change places.
    fn swap<const N: usize>(&mut self, peers: &[Peer<N>], pair: [usize; 2], keyed: &Keyed) {
        let [a, b] = pair.map(position);
        let sources = pair.map(|at| source_hash(&peers[at].addr, keyed));
        let twins = pair.map(|at| twin_hash(peers[at].mark(), peers[at].port()));
        for (table, hashes) in [(&mut self.by_source, sources), (&mut self.by_twin, twins)] {
            // Equal hashes share a bucket chain: both slots are found before either is changed.
            let first = table.find_bucket_index(hashes[0], |at| *at == a);
            let second = table.find_bucket_index(hashes[1], |at| *at == b);
            for (slot, now_at) in [(first, b), (second, a)] {
                if let Some(at) = slot.and_then(|slot| table.get_bucket_mut(slot)) {
                    *at = now_at;
                }
            }
        }
    }
}

/// Positions fit: a swarm holds at most 2^24 peers (`rules::PEERS_PER_SWARM_MAX`).
fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Records of one global source share a bucket, so that they can be counted; the limit per address keeps
/// them few. Sources that are not global are not limited, and are spread by their port too.
fn source_hash<const N: usize>(addr: &[u8; N], keyed: &Keyed) -> u64 {
    let mut bytes = [0; 18];
    bytes[..N].copy_from_slice(addr);
    let endpoint = if N == 6 {
        Endpoint::V4([addr[0], addr[1], addr[2], addr[3], addr[4], addr[5]])
    } else {
        Endpoint::V6(bytes)
    };
    match Scope::of(&endpoint) {
        Scope::Global => keyed.hash(crate::addresses::source(&endpoint)),
        _ => keyed.hash(addr),
    }
}

/// The fingerprint is a keyed hash already; this only spreads it.
fn twin_hash(mark: Mark, port: [u8; 2]) -> u64 {
    let bits =
        u64::from(mark.twin) << 32 | u64::from(mark.client) << 16 | u64::from(u16::from_be_bytes(port));
    bits.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).wrapping_mul(0xBF58_476D_1CE4_E5B9)
}
