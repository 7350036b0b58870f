//! The peers of one swarm that are reached in one way: a list of equal records, seeders first.
//!
//! Up to [`FEW_MAX`] peers are found by a linear scan, which at this size beats any table; above it, by an
//! index. Positions are not stable: whatever moves a record keeps the index true.

use evenkeel_wire::{Endpoint, PeerId};
use hashbrown::HashTable;
use thin_vec::ThinVec;

use super::peers::{Kind, State};
use crate::addresses::source;
use crate::keyed::Keyed;
use crate::prefetch;
use crate::scope::Scope;
use crate::time::Stamp;

/// Largest column without an index.
const FEW_MAX: usize = 128;
/// An index is dropped only well below that, so that a column at the edge does not rebuild it all the time.
const FEW_AGAIN: usize = 96;

/// What a column must know of its records.
pub(crate) trait Record: Copy {
    /// Tells records of one column apart.
    type Key: Copy + Eq;
    /// What several records of one client have in common.
    type Twin: Copy + Eq;

    fn key(&self) -> Self::Key;
    fn twin(&self) -> Self::Twin;
    fn state(&self) -> State;
    fn state_mut(&mut self) -> &mut State;
    /// Where it comes from; see [`source`] for what of that counts.
    fn source(key: &Self::Key) -> Endpoint;
    /// Keys of one global source share a hash, so that they can be counted; the limit per address keeps them
    /// few. Sources that are not global are not limited, and differ in what else is in the key.
    fn key_hash(key: &Self::Key, keyed: &Keyed) -> u64;
    fn twin_hash(twin: &Self::Twin, keyed: &Keyed) -> u64;
}

/// The records, seeders before all others: 16 bytes while there are few, and the records themselves.
pub(crate) struct Column<R> {
    peers: ThinVec<R>,
    /// What most columns do without.
    more: Option<Box<More>>,
}

#[derive(Default)]
struct More {
    index: Option<Index>,
    /// Parallel to `peers` when ids are kept (a setting that holds from start to end), else empty.
    ids: Vec<PeerId>,
}

impl<R> Default for Column<R> {
    fn default() -> Self {
        Self { peers: ThinVec::new(), more: None }
    }
}

/// Twins that the index knows. A client has one or two records; somebody who announces the same from thousands of
/// addresses must not make a chain of thousands: what is beyond has no twin.
const SAME_TWIN_MAX: usize = 16;

/// Where records are, for columns too long to scan.
#[derive(Default)]
struct Index {
    by_key: HashTable<u32>,
    by_twin: HashTable<u32>,
}

impl<R: Record> Column<R> {
    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    /// How many of the records are seeders: the first ones. Looked for, since few ask and every swarm would pay.
    pub(crate) fn seeders(&self) -> usize {
        self.peers.partition_point(|peer| peer.state().kind() == Kind::Seeder)
    }

    /// Where the records are, as a hint for the processor.
    pub(crate) fn prefetch(&self) {
        prefetch::lines(self.peers.as_ptr(), 2);
    }

    fn index(&self) -> Option<&Index> {
        self.more.as_ref()?.index.as_ref()
    }

    pub(crate) fn peers(&self) -> &[R] {
        &self.peers
    }

    pub(crate) fn id(&self, at: usize) -> Option<PeerId> {
        self.more.as_ref()?.ids.get(at).copied()
    }

    /// Where a record is.
    pub(crate) fn find(&self, key: &R::Key, keyed: &Keyed) -> Option<usize> {
        match self.index() {
            None => self.peers.iter().position(|peer| peer.key() == *key),
            Some(index) => index
                .by_key
                .find(R::key_hash(key, keyed), |at| self.peers[*at as usize].key() == *key)
                .map(|at| *at as usize),
        }
    }

    /// Where a record of a client is, counted or not as asked.
    pub(crate) fn find_twin(&self, twin: &R::Twin, counted: bool, keyed: &Keyed) -> Option<usize> {
        let is_twin = |peer: &R| peer.twin() == *twin && peer.state().is_counted() == counted;
        match self.index() {
            None => self.peers.iter().position(is_twin),
            Some(index) => index
                .by_twin
                .find(R::twin_hash(twin, keyed), |at| is_twin(&self.peers[*at as usize]))
                .map(|at| *at as usize),
        }
    }

    /// Where a record of a client is; rather the counted one.
    pub(crate) fn find_any_twin(&self, twin: &R::Twin, keyed: &Keyed) -> Option<usize> {
        self.find_twin(twin, true, keyed).or_else(|| self.find_twin(twin, false, keyed))
    }

    /// Records of the same source as `key` (IPv4 address, IPv6 /64), counted up to `max`.
    pub(crate) fn count_source(&self, key: &R::Key, keyed: &Keyed, max: usize) -> usize {
        let endpoint = R::source(key);
        let is_same = |peer: &R| source(&R::source(&peer.key())) == source(&endpoint);
        match self.index() {
            // Only global sources share a hash.
            Some(index) if Scope::of(&endpoint) == Scope::Global => index
                .by_key
                .iter_hash(R::key_hash(key, keyed))
                .filter(|at| is_same(&self.peers[**at as usize]))
                .take(max)
                .count(),
            _ => self.peers.iter().filter(|peer| is_same(peer)).take(max).count(),
        }
    }

    /// Adds a record that is not there yet.
    pub(crate) fn insert(&mut self, peer: R, id: Option<PeerId>, keyed: &Keyed) {
        if self.peers.len() == self.peers.capacity() {
            // Growth by a quarter, not by doubling: most swarms are small and stay so.
            self.peers.reserve_exact(1.max(self.peers.len() / 4));
        }
        let seeders = if peer.state().kind() == Kind::Seeder { self.seeders() } else { 0 };
        let at = self.peers.len();
        self.peers.push(peer);
        if let Some(id) = id {
            self.more.get_or_insert_default().ids.push(id);
        }
        if let Some(index) = self.more.as_mut().and_then(|more| more.index.as_mut()) {
            index.add(&self.peers, at, keyed);
        } else if self.peers.len() > FEW_MAX {
            self.more.get_or_insert_default().index = Some(Index::of(&self.peers, keyed));
        }
        if peer.state().kind() == Kind::Seeder {
            self.swap(at, seeders, keyed);
        }
    }

    /// Takes a record out and answers it.
    pub(crate) fn remove(&mut self, at: usize, keyed: &Keyed) -> R {
        let mut at = at;
        if self.peers[at].state().kind() == Kind::Seeder {
            let last_seeder = self.seeders() - 1;
            self.swap(at, last_seeder, keyed);
            at = last_seeder;
        }
        let last = self.peers.len() - 1;
        self.swap(at, last, keyed);
        if let Some(more) = &mut self.more {
            if let Some(index) = &mut more.index {
                index.remove(&self.peers, last, keyed);
            }
            more.ids.pop();
            if last < FEW_AGAIN {
                more.index = None;
            }
            if more.index.is_none() && more.ids.is_empty() {
                self.more = None;
            }
        }
        let peer = self.peers.swap_remove(last);
        if self.peers.len() < self.peers.capacity() / 2 {
            self.shrink();
        }
        peer
    }

    /// Notes an announce of a record that is there; answers where it is now.
    pub(crate) fn refresh(&mut self, at: usize, kind: Kind, now: Stamp, keyed: &Keyed) -> usize {
        let was_seeder = self.peers[at].state().kind() == Kind::Seeder;
        let to = match (was_seeder, kind == Kind::Seeder) {
            (false, true) => self.seeders(),
            (true, false) => self.seeders() - 1,
            _ => at,
        };
        self.peers[at].state_mut().set(kind, now);
        self.swap(at, to, keyed);
        to
    }

    /// Gives back what was kept for more peers. Room for new ones is made again when they come.
    fn shrink(&mut self) {
        let mut peers = ThinVec::with_capacity(self.peers.len() + self.peers.len() / 4);
        peers.append(&mut self.peers);
        self.peers = peers;
    }

    pub(crate) fn set_counted(&mut self, at: usize, counted: bool) {
        self.peers[at].state_mut().set_counted(counted);
    }

    fn swap(&mut self, a: usize, b: usize, keyed: &Keyed) {
        if a == b {
            return;
        }
        if let Some(more) = &mut self.more {
            if let Some(index) = &mut more.index {
                index.swap(&self.peers, [a, b], keyed);
            }
            if !more.ids.is_empty() {
                more.ids.swap(a, b);
            }
        }
        self.peers.swap(a, b);
    }
}

impl Index {
    fn of<R: Record>(peers: &[R], keyed: &Keyed) -> Self {
        let mut index = Self::default();
        for at in 0..peers.len() {
            index.add(peers, at, keyed);
        }
        index
    }

    fn add<R: Record>(&mut self, peers: &[R], at: usize, keyed: &Keyed) {
        let position = position(at);
        let key = |at: &u32| R::key_hash(&peers[*at as usize].key(), keyed);
        self.by_key.insert_unique(key(&position), position, key);
        let twin = |at: &u32| R::twin_hash(&peers[*at as usize].twin(), keyed);
        let hash = twin(&position);
        if self.by_twin.iter_hash(hash).take(SAME_TWIN_MAX).count() < SAME_TWIN_MAX {
            self.by_twin.insert_unique(hash, position, twin);
        }
    }

    fn remove<R: Record>(&mut self, peers: &[R], at: usize, keyed: &Keyed) {
        let [key, twin] = hashes(&peers[at], keyed);
        let position = position(at);
        if let Ok(entry) = self.by_key.find_entry(key, |other| *other == position) {
            entry.remove();
        }
        if let Ok(entry) = self.by_twin.find_entry(twin, |other| *other == position) {
            entry.remove();
        }
    }

    /// Notes that two records change places.
    fn swap<R: Record>(&mut self, peers: &[R], pair: [usize; 2], keyed: &Keyed) {
        let [a, b] = pair.map(position);
        let [[a_key, a_twin], [b_key, b_twin]] = pair.map(|at| hashes(&peers[at], keyed));
        for (table, hashes) in [(&mut self.by_key, [a_key, b_key]), (&mut self.by_twin, [a_twin, b_twin])] {
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

/// Of key and twin.
fn hashes<R: Record>(peer: &R, keyed: &Keyed) -> [u64; 2] {
    [R::key_hash(&peer.key(), keyed), R::twin_hash(&peer.twin(), keyed)]
}

/// Positions fit: a swarm holds at most 2^24 peers (`rules::PEERS_PER_SWARM_MAX`).
fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
