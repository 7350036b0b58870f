//! The peers of one swarm that are reached in one way: a list of equal records, seeders first.
//!
//! Up to [`SCANNED_MAX`] peers are found by a linear scan, which at this size beats any table; above it, by an
//! index. Positions are not stable: whatever moves a record keeps the index true.

use evenkeel_wire::{Endpoint, PeerId};
use hashbrown::HashTable;
use thin_vec::ThinVec;

use super::peers::{Kind, State};
use crate::addresses::source;
use crate::keyed::Keyed;
use crate::scope::Scope;
use crate::time::Stamp;

/// Largest column without an index.
const SCANNED_MAX: usize = 128;
/// An index is dropped only well below that, so that a column at the edge does not rebuild it all the time.
const SCANNED_AGAIN: usize = 96;

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
pub(crate) struct More {
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
struct Index {
    by_key: Table,
    by_twin: Table,
}

/// A hash table that grows in steps that nobody has to wait for. One table of a million places takes tens of
/// milliseconds to double, and the shard is held meanwhile; in [`PARTS`] parts, each doubles by itself.
struct Table(Box<[HashTable<u32>]>);

/// Parts of a table of more than [`WHOLE_MAX`] places; smaller ones are whole. A power of two.
const PARTS: usize = 256;
/// A column of more is indexed in parts. To change over, all of it is indexed anew, in a third of a millisecond.
const WHOLE_MAX: usize = 4096;
/// A column of less is indexed whole again.
const WHOLE_AGAIN: usize = 2048;

impl Table {
    fn new(parts: usize) -> Self {
        Self((0..parts).map(|_| HashTable::new()).collect())
    }

    /// Middle bits: a part takes its bucket from the low ones and its tag from the high ones.
    fn part(&self, hash: u64) -> &HashTable<u32> {
        &self.0[part_of(hash, self.0.len())]
    }

    fn part_mut(&mut self, hash: u64) -> &mut HashTable<u32> {
        let part = part_of(hash, self.0.len());
        &mut self.0[part]
    }
}

fn part_of(hash: u64, parts: usize) -> usize {
    usize::try_from(hash >> 40 & 0xFFFF).unwrap_or_default() & (parts - 1)
}

/// Records to be read: those of a column, or of a block among others.
#[derive(Clone, Copy)]
pub(crate) struct List<'a, R> {
    records: &'a [R],
    more: Option<&'a More>,
    keyed: &'a Keyed,
}

impl<'a, R: Record> List<'a, R> {
    /// Records that nothing else is known of.
    pub(crate) fn plain(records: &'a [R], keyed: &'a Keyed) -> Self {
        Self { records, more: None, keyed }
    }

    pub(crate) fn len(self) -> usize {
        self.records.len()
    }

    pub(crate) fn records(self) -> &'a [R] {
        self.records
    }

    /// How many of the records are seeders: the first ones. Looked for, since few ask and every swarm would pay.
    pub(crate) fn seeders(self) -> usize {
        seeders(self.records)
    }

    pub(crate) fn id(self, at: usize) -> Option<PeerId> {
        self.more?.ids.get(at).copied()
    }

    /// Where a record is.
    pub(crate) fn find(self, key: &R::Key) -> Option<usize> {
        match self.index() {
            None => self.records.iter().position(|peer| peer.key() == *key),
            Some(index) => {
                let hash = R::key_hash(key, self.keyed);
                let found = index.by_key.part(hash).find(hash, |at| self.records[*at as usize].key() == *key);
                found.map(|at| *at as usize)
            }
        }
    }

    /// Where a record of a client is, counted or not as asked.
    pub(crate) fn find_twin(self, twin: &R::Twin, counted: bool) -> Option<usize> {
        let is_twin = |peer: &R| peer.twin() == *twin && peer.state().is_counted() == counted;
        match self.index() {
            None => self.records.iter().position(is_twin),
            Some(index) => {
                let hash = R::twin_hash(twin, self.keyed);
                let found = index.by_twin.part(hash).find(hash, |at| is_twin(&self.records[*at as usize]));
                found.map(|at| *at as usize)
            }
        }
    }

    /// Where a record of a client is; rather the counted one.
    pub(crate) fn find_any_twin(self, twin: &R::Twin) -> Option<usize> {
        self.find_twin(twin, true).or_else(|| self.find_twin(twin, false))
    }

    /// Records of the same source as `key` (IPv4 address, IPv6 /64), counted up to `max`.
    pub(crate) fn count_source(self, key: &R::Key, max: usize) -> usize {
        let endpoint = R::source(key);
        let is_same = |peer: &R| source(&R::source(&peer.key())) == source(&endpoint);
        match self.index() {
            // Only global sources share a hash.
            Some(index) if Scope::of(&endpoint) == Scope::Global => {
                let hash = R::key_hash(key, self.keyed);
                let same_hash = index.by_key.part(hash).iter_hash(hash);
                same_hash.filter(|at| is_same(&self.records[**at as usize])).take(max).count()
            }
            _ => self.records.iter().filter(|peer| is_same(peer)).take(max).count(),
        }
    }

    fn index(self) -> Option<&'a Index> {
        self.more?.index.as_ref()
    }
}

fn seeders<R: Record>(records: &[R]) -> usize {
    records.partition_point(|peer| peer.state().kind() == Kind::Seeder)
}

/// Records whose order is kept: seeders first.
pub(crate) trait Ordered<R: Record> {
    fn records(&mut self) -> &mut [R];
    fn swap(&mut self, a: usize, b: usize);

    /// The last record was just added.
    fn settle_last(&mut self) {
        if let [before @ .., last] = self.records()
            && last.state().kind() == Kind::Seeder
        {
            let (to, at) = (seeders(before), before.len());
            self.swap(at, to);
        }
    }

    /// A record is about to be removed: it becomes the last one.
    fn bring_to_end(&mut self, at: usize) {
        let mut at = at;
        if self.records()[at].state().kind() == Kind::Seeder {
            let last_seeder = seeders(self.records()) - 1;
            self.swap(at, last_seeder);
            at = last_seeder;
        }
        let last = self.records().len() - 1;
        self.swap(at, last);
    }

    /// Notes another announce of a record, which becomes the counted one; it may have to move.
    fn renew(&mut self, at: usize, kind: Kind, now: Stamp) {
        let was_seeder = self.records()[at].state().kind() == Kind::Seeder;
        let to = match (was_seeder, kind == Kind::Seeder) {
            (false, true) => seeders(self.records()),
            (true, false) => seeders(self.records()) - 1,
            _ => at,
        };
        let state = self.records()[at].state_mut();
        state.set(kind, now);
        state.set_counted(true);
        self.swap(at, to);
    }
}

/// A block: nothing depends on where its records are.
impl<R: Record> Ordered<R> for &mut [R] {
    fn records(&mut self) -> &mut [R] {
        self
    }

    fn swap(&mut self, a: usize, b: usize) {
        <[R]>::swap(self, a, b);
    }
}

/// A column with the key of its index.
pub(crate) struct Indexed<'a, R> {
    pub(crate) column: &'a mut Column<R>,
    pub(crate) keyed: &'a Keyed,
}

impl<R: Record> Ordered<R> for Indexed<'_, R> {
    fn records(&mut self) -> &mut [R] {
        &mut self.column.peers
    }

    fn swap(&mut self, a: usize, b: usize) {
        if a == b {
            return;
        }
        if let Some(more) = &mut self.column.more {
            if let Some(index) = &mut more.index {
                index.swap(&self.column.peers, [a, b], self.keyed);
            }
            if !more.ids.is_empty() {
                more.ids.swap(a, b);
            }
        }
        self.column.peers.swap(a, b);
    }
}

impl<R: Record> Indexed<'_, R> {
    /// Adds a record that is not there yet.
    pub(crate) fn insert(&mut self, peer: R, id: Option<PeerId>) {
        let Column { peers, more } = self.column;
        if peers.len() == peers.capacity() {
            // Growth by an eighth, not by doubling: there are many columns, and most have come to rest.
            peers.reserve_exact(2.max(peers.len() / 8));
        }
        let at = peers.len();
        peers.push(peer);
        if let Some(id) = id {
            more.get_or_insert_default().ids.push(id);
        }
        match more.as_mut().and_then(|more| more.index.as_mut()) {
            Some(index) if index.is_whole() && peers.len() > WHOLE_MAX => {
                *index = Index::of(peers, self.keyed);
            }
            Some(index) => index.add(peers, at, self.keyed),
            None if peers.len() > SCANNED_MAX => {
                more.get_or_insert_default().index = Some(Index::of(peers, self.keyed));
            }
            None => {}
        }
        self.settle_last();
    }

    /// Takes a record out.
    pub(crate) fn remove(&mut self, at: usize) {
        self.bring_to_end(at);
        let Column { peers, more } = self.column;
        let last = peers.len() - 1;
        if let Some(some) = more {
            if let Some(index) = &mut some.index {
                index.remove(peers, last, self.keyed);
            }
            some.ids.pop();
            if last < SCANNED_AGAIN {
                some.index = None;
            }
            if some.index.is_none() && some.ids.is_empty() {
                *more = None;
            }
        }
        peers.pop();
        if let Some(index) = more.as_mut().and_then(|more| more.index.as_mut())
            && !index.is_whole()
            && last < WHOLE_AGAIN
        {
            *index = Index::of(peers, self.keyed);
        }
        if last < peers.capacity() / 2 {
            // Room for new ones is made again when they come.
            let mut fewer = ThinVec::with_capacity(last + last / 8);
            fewer.append(peers);
            *peers = fewer;
        }
    }
}

impl<R: Record> Column<R> {
    /// The records, to be read.
    pub(crate) fn list<'a>(&'a self, keyed: &'a Keyed) -> List<'a, R> {
        List { records: &self.peers, more: self.more.as_deref(), keyed }
    }

    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    /// What a record says of its peer, to be changed in what its place does not depend on.
    pub(crate) fn state_mut(&mut self, at: usize) -> &mut State {
        self.peers[at].state_mut()
    }

    /// Whether ids are kept beside the records.
    pub(crate) fn has_ids(&self) -> bool {
        self.more.as_ref().is_some_and(|more| !more.ids.is_empty())
    }
}

impl Index {
    fn of<R: Record>(peers: &[R], keyed: &Keyed) -> Self {
        let parts = if peers.len() > WHOLE_MAX { PARTS } else { 1 };
        let mut index = Self { by_key: Table::new(parts), by_twin: Table::new(parts) };
        for at in 0..peers.len() {
            index.add(peers, at, keyed);
        }
        index
    }

    fn is_whole(&self) -> bool {
        self.by_key.0.len() == 1
    }

    fn add<R: Record>(&mut self, peers: &[R], at: usize, keyed: &Keyed) {
        let position = position(at);
        let key = |at: &u32| R::key_hash(&peers[*at as usize].key(), keyed);
        let hash = key(&position);
        self.by_key.part_mut(hash).insert_unique(hash, position, key);
        let twin = |at: &u32| R::twin_hash(&peers[*at as usize].twin(), keyed);
        let hash = twin(&position);
        let same = self.by_twin.part_mut(hash);
        if same.iter_hash(hash).take(SAME_TWIN_MAX).count() < SAME_TWIN_MAX {
            same.insert_unique(hash, position, twin);
        }
    }

    fn remove<R: Record>(&mut self, peers: &[R], at: usize, keyed: &Keyed) {
        let [key, twin] = hashes(&peers[at], keyed);
        let position = position(at);
        if let Ok(entry) = self.by_key.part_mut(key).find_entry(key, |other| *other == position) {
            entry.remove();
        }
        if let Ok(entry) = self.by_twin.part_mut(twin).find_entry(twin, |other| *other == position) {
            entry.remove();
        }
    }

    /// Notes that two records change places.
    fn swap<R: Record>(&mut self, peers: &[R], pair: [usize; 2], keyed: &Keyed) {
        let [a, b] = pair.map(position);
        let [[a_key, a_twin], [b_key, b_twin]] = pair.map(|at| hashes(&peers[at], keyed));
        for (table, hashes) in [(&mut self.by_key, [a_key, b_key]), (&mut self.by_twin, [a_twin, b_twin])] {
            // Equal hashes share a bucket chain: both slots are found before either is changed.
            let first = table.part(hashes[0]).find_bucket_index(hashes[0], |at| *at == a);
            let second = table.part(hashes[1]).find_bucket_index(hashes[1], |at| *at == b);
            for (hash, slot, now_at) in [(hashes[0], first, b), (hashes[1], second, a)] {
                if let Some(at) = slot.and_then(|slot| table.part_mut(hash).get_bucket_mut(slot)) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::{Mark, Peer};
    use crate::time::Time;

    fn peer(number: u32, kind: Kind) -> Peer<6> {
        let [a, b, c, d] = number.to_be_bytes();
        let mark = Mark { client: 1, twin: (number & 0xFFF) as u16 };
        Peer::new([11 + a, b, c, d, 1, 1], State::new(kind, Stamp::at(Time(0))), mark)
    }

    /// Every record is found, seeders come first, and a twin is one.
    fn check(column: &Column<Peer<6>>, numbers: &[u32], keyed: &Keyed) {
        let list = column.list(keyed);
        assert_eq!(list.len(), numbers.len());
        for number in numbers {
            let sought = peer(*number, Kind::Leecher);
            let at = list.find(&sought.key()).unwrap();
            assert_eq!(list.records()[at].key(), sought.key());
            let twin = list.find_any_twin(&sought.twin()).unwrap();
            assert_eq!(list.records()[twin].twin(), sought.twin());
        }
        let seeders = list.seeders();
        assert!(list.records()[seeders..].iter().all(|peer| peer.state().kind() != Kind::Seeder));
    }

    #[test]
    fn a_column_finds_its_records_through_every_size_of_its_index() {
        let keyed = Keyed::new([1, 2]);
        let mut rng = fastrand::Rng::with_seed(1);
        let mut column = Column::default();
        let mut numbers = Vec::new();
        for number in 0..6_000 {
            let kind = if rng.bool() { Kind::Seeder } else { Kind::Leecher };
            Indexed { column: &mut column, keyed: &keyed }.insert(peer(number, kind), None);
            numbers.push(number);
            if number % 500 == 0 {
                check(&column, &numbers, &keyed);
            }
        }
        assert!(numbers.len() > WHOLE_MAX && !column.list(&keyed).index().unwrap().is_whole());
        while numbers.len() > SCANNED_AGAIN / 2 {
            let number = numbers.swap_remove(rng.usize(..numbers.len()));
            let at = column.list(&keyed).find(&peer(number, Kind::Leecher).key()).unwrap();
            let mut indexed = Indexed { column: &mut column, keyed: &keyed };
            if rng.bool() {
                let kind = if rng.bool() { Kind::Seeder } else { Kind::Leecher };
                indexed.renew(at, kind, Stamp::at(Time(64)));
            }
            let at = column.list(&keyed).find(&peer(number, Kind::Leecher).key()).unwrap();
            Indexed { column: &mut column, keyed: &keyed }.remove(at);
            if numbers.len() % 500 == 0 {
                check(&column, &numbers, &keyed);
            }
        }
        check(&column, &numbers, &keyed);
        assert!(column.list(&keyed).index().is_none(), "few are scanned");
    }
}
