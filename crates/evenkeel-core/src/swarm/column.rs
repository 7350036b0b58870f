//! The peers of one swarm that are reached in one way: a list of equal records, in the order of their ranks: seeders
//! first, then leechers by tier, then partial seeds.
//!
//! Up to [`SCANNED_MAX`] peers are found by a linear scan, which at this size beats any table; above it, by an
//! index. Positions are not stable: whatever moves a record keeps the index true.

use std::ops::Range;

use evenkeel_wire::{Endpoint, PeerId};

use super::ordered::{Ordered, Ranks, start_of, starts};
use super::peers::{RANKS, State};
use super::report::Report;
use super::rows::{Beside, Row, Rows};
use crate::addresses::source;
use crate::index::{Index, POSITIONS_MAX};
use crate::keyed::Keyed;
use crate::prefetch;
use crate::rules::PEERS_PER_SWARM_MAX;
use crate::scope::Scope;

/// Largest column without an index.
pub(crate) const SCANNED_MAX: usize = 128;
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
    /// What tells it from others of its swarm, for lotteries: as good as its key, and cheap.
    fn bits(&self) -> u64;
    /// Keys of one global source share a hash, so that they can be counted; the limit per address keeps them
    /// few. Sources that are not global are not limited, and differ in what else is in the key.
    fn key_hash(key: &Self::Key, keyed: &Keyed) -> u64;
    fn twin_hash(twin: &Self::Twin, keyed: &Keyed) -> u64;
}

/// The rows, in the order of their ranks.
pub(crate) struct Column<R> {
    rows: Rows<R>,
    /// Where records are, once they are too many to scan.
    index: Option<Tables>,
}

impl<R> Default for Column<R> {
    fn default() -> Self {
        Self { rows: Rows::default(), index: None }
    }
}

/// Twins that the index knows. A client has one or two records; somebody who announces the same from thousands of
/// addresses must not make a chain of thousands: what is beyond has no twin.
const SAME_TWIN_MAX: usize = 16;

/// Where the records of a long list are, by what is asked for.
pub(crate) struct Tables {
    by_key: Table,
    by_twin: Table,
    ranks: Ranks,
}

/// An index that grows in steps that nobody has to wait for. One of a million places takes tens of milliseconds to
/// double, and the shard is held meanwhile; in [`PARTS`] parts, each doubles by itself.
enum Table {
    Whole(Index),
    Parts(Box<[Index; PARTS]>),
}

/// Parts of a table of more than [`WHOLE_MAX`] places; smaller ones are whole. A power of two.
const PARTS: usize = 256;
/// A column of more is indexed in parts. To change over, all of it is indexed anew, in a third of a millisecond.
const WHOLE_MAX: usize = 4096;
/// A column of less is indexed whole again.
const WHOLE_AGAIN: usize = 2048;

impl Table {
    /// For so many places.
    fn new(places: usize) -> Self {
        if places > WHOLE_MAX {
            Self::Parts(Box::new([const { Index::new() }; PARTS]))
        } else {
            Self::Whole(Index::new())
        }
    }

    /// Middle bits: a part takes its bucket from the low ones and its tag from the high ones.
    fn part_of(hash: u64) -> usize {
        usize::try_from(hash >> 40).unwrap_or_default() % PARTS
    }

    /// How full a part becomes before it doubles, in slots of 256: from a half to four fifths. All parts are about as full as
    /// each other; were this the same for all, they would all double at about the same time, and a swarm of a million peers
    /// would keep its thread busy for a tenth of a second.
    fn filled_of_256(part: usize) -> usize {
        128 + part * 80 / PARTS
    }

    fn part(&self, hash: u64) -> &Index {
        match self {
            Self::Whole(index) => index,
            Self::Parts(parts) => &parts[Self::part_of(hash)],
        }
    }

    fn part_mut(&mut self, hash: u64) -> &mut Index {
        match self {
            Self::Whole(index) => index,
            Self::Parts(parts) => &mut parts[Self::part_of(hash)],
        }
    }

    fn insert(&mut self, hash: u64, at: usize, hash_of: impl Fn(usize) -> u64) {
        let is_full = match self {
            Self::Whole(index) => index.is_full(),
            Self::Parts(parts) => {
                let part = Self::part_of(hash);
                parts[part].is_filled(Self::filled_of_256(part))
            }
        };
        let part = self.part_mut(hash);
        if is_full {
            part.grow(hash_of);
        }
        part.insert(hash, at);
    }

    fn remove(&mut self, hash: u64, at: usize, hash_of: impl Fn(usize) -> u64) {
        let part = self.part_mut(hash);
        part.remove(hash, at, &hash_of);
        if part.is_sparse() {
            part.shrink(hash_of);
        }
    }

    fn swap(&mut self, hashes: [u64; 2], [a, b]: [usize; 2]) {
        match self {
            Self::Parts(parts) if Self::part_of(hashes[0]) != Self::part_of(hashes[1]) => {
                parts[Self::part_of(hashes[0])].relocate(hashes[0], a, b);
                parts[Self::part_of(hashes[1])].relocate(hashes[1], b, a);
            }
            _ => self.part_mut(hashes[0]).swap(hashes, [a, b]),
        }
    }
}

const _: () = assert!(PEERS_PER_SWARM_MAX.max as usize <= POSITIONS_MAX);

/// Records to be read: those of a column, or of a block among others.
#[derive(Clone, Copy)]
pub(crate) struct List<'a, R> {
    records: &'a [R],
    /// What is beside the records, and where theirs begins in it.
    beside: (usize, Option<&'a Beside>),
    index: Option<&'a Tables>,
    keyed: &'a Keyed,
}

impl<'a, R: Record> List<'a, R> {
    /// No records.
    pub(crate) fn empty(keyed: &'a Keyed) -> Self {
        Self { records: &[], beside: (0, None), index: None, keyed }
    }

    /// Some rows of many, few enough to be scanned.
    pub(crate) fn few(rows: &'a Rows<R>, from: usize, len: usize, keyed: &'a Keyed) -> Self {
        Self { records: &rows.records()[from..][..len], beside: (from, rows.beside()), index: None, keyed }
    }

    pub(crate) fn len(self) -> usize {
        self.records.len()
    }

    pub(crate) fn records(self) -> &'a [R] {
        self.records
    }

    /// The first record of a rank ([`State::rank`]) or behind it.
    pub(crate) fn start_of(self, rank: u8) -> usize {
        match self.index {
            _ if rank >= RANKS => self.len(),
            None => start_of(self.records, rank),
            Some(tables) => tables.ranks.start_of(rank),
        }
    }

    /// Where each rank begins, and where the last one ends.
    pub(crate) fn starts(self) -> [u32; RANKS as usize + 1] {
        match self.index {
            None => starts(self.records),
            Some(tables) => tables.ranks.starts(),
        }
    }

    pub(crate) fn id(self, at: usize) -> Option<PeerId> {
        let (from, beside) = self.beside;
        beside?.ids.get(from + at).copied()
    }

    /// What the peers say, in the order of their records, if that is kept.
    pub(crate) fn reports(self) -> Option<&'a [Report]> {
        let (from, beside) = self.beside;
        beside?.reports.get(from..from + self.len())
    }

    /// Where a record is.
    pub(crate) fn find(self, key: &R::Key) -> Option<usize> {
        match self.index {
            None => self.records.iter().position(|peer| peer.key() == *key),
            Some(index) => {
                let hash = R::key_hash(key, self.keyed);
                index.by_key.part(hash).find(hash, |at| self.records[at].key() == *key)
            }
        }
    }

    /// Where a record of a client is, counted or not as asked.
    pub(crate) fn find_twin(self, twin: &R::Twin, counted: bool) -> Option<usize> {
        let is_twin = |peer: &R| peer.twin() == *twin && peer.state().is_counted() == counted;
        match self.index {
            None => self.records.iter().position(is_twin),
            Some(index) => {
                let hash = R::twin_hash(twin, self.keyed);
                index.by_twin.part(hash).find(hash, |at| is_twin(&self.records[at]))
            }
        }
    }

    /// Where a record of a client is; rather the counted one.
    pub(crate) fn find_any_twin(self, twin: &R::Twin) -> Option<usize> {
        self.find_twin(twin, true).or_else(|| self.find_twin(twin, false))
    }

    /// The first of the records with these numbers of which it is true; the first record has the number `first`.
    pub(crate) fn position(
        self,
        first: usize,
        numbers: &Range<usize>,
        is_it: impl Fn(State) -> bool,
    ) -> Option<usize> {
        let [from, to] = [numbers.start, numbers.end].map(|end| end.saturating_sub(first).min(self.len()));
        let found = self.records[from..to].iter().position(|peer| is_it(peer.state()));
        found.map(|at| first + from + at)
    }

    /// Records of the same source as `key` (IPv4 address, IPv6 /64), counted up to `max`.
    pub(crate) fn count_source(self, key: &R::Key, max: usize) -> usize {
        let endpoint = R::source(key);
        let is_same = |peer: &R| source(&R::source(&peer.key())) == source(&endpoint);
        match self.index {
            // Only global sources share a hash.
            Some(index) if Scope::of(&endpoint) == Scope::Global => {
                let hash = R::key_hash(key, self.keyed);
                index.by_key.part(hash).count(hash, max, |at| is_same(&self.records[at]))
            }
            _ => self.records.iter().filter(|peer| is_same(peer)).take(max).count(),
        }
    }

    /// A record will be looked for. Answers whether there is an index, so that [`List::prefetch_slot`] has to follow.
    pub(crate) fn prefetch(self) -> bool {
        if self.index.is_none() {
            prefetch::lines(self.records.as_ptr(), lines_of(self.records));
            if let Some(reports) = self.reports() {
                prefetch::lines(reports.as_ptr(), lines_of(reports));
            }
        }
        self.index.is_some()
    }

    /// The slot of a record's key, if there is an index.
    pub(crate) fn prefetch_slot(self, key: &R::Key) -> bool {
        if let Some(index) = self.index {
            let hash = R::key_hash(key, self.keyed);
            index.by_key.part(hash).prefetch(hash);
        }
        self.index.is_some()
    }

    /// The record that the slot names.
    pub(crate) fn prefetch_record(self, key: &R::Key) {
        if let Some(index) = self.index {
            let hash = R::key_hash(key, self.keyed);
            if let Some(at) = index.by_key.part(hash).guess(hash) {
                prefetch::lines(&raw const self.records[at], 1);
                if let Some(reports) = self.reports() {
                    prefetch::lines(&raw const reports[at], 1);
                }
            }
        }
    }
}

/// They begin anywhere in a line. Beyond a few, the processor sees for itself where a scan goes.
fn lines_of<T>(list: &[T]) -> usize {
    (size_of_val(list) / prefetch::LINE_BYTES + 1).min(4)
}

/// A block among others: nothing depends on where in it its records are.
pub(crate) struct Part<'a, R> {
    pub(crate) rows: &'a mut Rows<R>,
    pub(crate) from: usize,
    pub(crate) len: usize,
}

impl<'a, R: Record> Part<'a, R> {
    pub(crate) fn into_records(self) -> &'a mut [R] {
        &mut self.rows.records_mut()[self.from..][..self.len]
    }

    pub(crate) fn into_report(self, at: usize) -> Option<&'a mut Report> {
        self.rows.report_mut(self.from + at)
    }
}

impl<R: Record> Ordered<R> for Part<'_, R> {
    fn records(&mut self) -> &mut [R] {
        &mut self.rows.records_mut()[self.from..][..self.len]
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.rows.swap(self.from + a, self.from + b);
    }

    fn start_of(&mut self, rank: u8, range: Range<usize>) -> usize {
        range.start + start_of(&self.records()[range], rank)
    }

    /// They are looked for.
    fn note(&mut self, _: Option<u8>, _: Option<u8>) {}
}

/// A column with the key of its index.
pub(crate) struct Indexed<'a, R> {
    pub(crate) column: &'a mut Column<R>,
    pub(crate) keyed: &'a Keyed,
}

impl<R: Record> Ordered<R> for Indexed<'_, R> {
    fn records(&mut self) -> &mut [R] {
        self.column.rows.records_mut()
    }

    fn swap(&mut self, a: usize, b: usize) {
        if a == b {
            return;
        }
        let Column { rows, index } = self.column;
        if let Some(tables) = index {
            tables.swap(rows.records(), [a, b], self.keyed);
        }
        rows.swap(a, b);
    }

    fn start_of(&mut self, rank: u8, range: Range<usize>) -> usize {
        match &self.column.index {
            None => range.start + start_of(&self.records()[range], rank),
            Some(tables) => tables.ranks.start_of(rank),
        }
    }

    fn note(&mut self, from: Option<u8>, to: Option<u8>) {
        if let Some(tables) = &mut self.column.index {
            tables.ranks.move_one(from, to);
        }
    }
}

impl<R: Record> Indexed<'_, R> {
    /// Adds a record that is not there yet.
    pub(crate) fn insert(&mut self, row: Row<R>) {
        let Column { rows, index } = self.column;
        if rows.len() == rows.capacity() {
            // Growth by an eighth, not by doubling: there are many columns, and most have come to rest.
            rows.reserve(2.max(rows.len() / 8));
        }
        let at = rows.len();
        rows.push(row);
        if let Some(tables) = index {
            tables.add(rows.records(), at, self.keyed);
        }
        self.settle_last();
        let Column { rows, index } = self.column;
        let is_outgrown = match index {
            Some(tables) => tables.is_whole() && rows.len() > WHOLE_MAX,
            None => rows.len() > SCANNED_MAX,
        };
        if is_outgrown {
            *index = Some(Tables::of(rows.records(), self.keyed));
        }
    }

    /// Takes a record out.
    pub(crate) fn remove(&mut self, at: usize) {
        self.bring_to_end(at);
        let Column { rows, index } = self.column;
        let last = rows.len() - 1;
        if let Some(tables) = index {
            tables.remove(rows.records(), last, self.keyed);
        }
        rows.swap_remove(last, 1);
        match index {
            Some(_) if last < SCANNED_AGAIN => *index = None,
            Some(tables) if !tables.is_whole() && last < WHOLE_AGAIN => {
                *tables = Tables::of(rows.records(), self.keyed);
            }
            _ => {}
        }
        if last < rows.capacity() / 2 {
            // Room for new ones is made again when they come.
            rows.shrink_to(last + last / 8);
        }
    }
}

impl<R: Record> Column<R> {
    /// The records, to be read.
    pub(crate) fn list<'a>(&'a self, keyed: &'a Keyed) -> List<'a, R> {
        let beside = (0, self.rows.beside());
        List { records: self.rows.records(), beside, index: self.index.as_ref(), keyed }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The records, to be changed in what their places do not depend on.
    pub(crate) fn records_mut(&mut self) -> &mut [R] {
        self.rows.records_mut()
    }

    pub(crate) fn report_mut(&mut self, at: usize) -> Option<&mut Report> {
        self.rows.report_mut(at)
    }

    pub(crate) fn rows(&self) -> &Rows<R> {
        &self.rows
    }
}

impl Tables {
    fn of<R: Record>(records: &[R], keyed: &Keyed) -> Self {
        let [by_key, by_twin] = [(); 2].map(|()| Table::new(records.len()));
        let mut tables = Self { by_key, by_twin, ranks: Ranks::of(records) };
        for at in 0..records.len() {
            tables.add(records, at, keyed);
        }
        tables
    }

    fn is_whole(&self) -> bool {
        matches!(self.by_key, Table::Whole(_))
    }

    fn add<R: Record>(&mut self, records: &[R], at: usize, keyed: &Keyed) {
        let [key, twin] = hashes(&records[at], keyed);
        self.by_key.insert(key, at, |at| key_hash(&records[at], keyed));
        if self.by_twin.part(twin).count(twin, SAME_TWIN_MAX, |_| true) < SAME_TWIN_MAX {
            self.by_twin.insert(twin, at, |at| twin_hash(&records[at], keyed));
        }
    }

    fn remove<R: Record>(&mut self, records: &[R], at: usize, keyed: &Keyed) {
        let [key, twin] = hashes(&records[at], keyed);
        self.by_key.remove(key, at, |at| key_hash(&records[at], keyed));
        self.by_twin.remove(twin, at, |at| twin_hash(&records[at], keyed));
    }

    /// Notes that two records change places.
    fn swap<R: Record>(&mut self, records: &[R], pair: [usize; 2], keyed: &Keyed) {
        self.by_key.swap(pair.map(|at| key_hash(&records[at], keyed)), pair);
        self.by_twin.swap(pair.map(|at| twin_hash(&records[at], keyed)), pair);
    }
}

fn key_hash<R: Record>(record: &R, keyed: &Keyed) -> u64 {
    R::key_hash(&record.key(), keyed)
}

fn twin_hash<R: Record>(record: &R, keyed: &Keyed) -> u64 {
    R::twin_hash(&record.twin(), keyed)
}

fn hashes<R: Record>(record: &R, keyed: &Keyed) -> [u64; 2] {
    [key_hash(record, keyed), twin_hash(record, keyed)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::{Kind, Mark, Peer, Role};
    use crate::time::{Stamp, Time};

    fn some_role(rng: &mut fastrand::Rng) -> Role {
        let kind = [Kind::Seeder, Kind::Leecher, Kind::Leecher, Kind::Partial][rng.usize(..4)];
        Role { kind, grade: rng.u8(..4), is_unconnectable: false }
    }

    fn peer(number: u32, role: Role) -> Peer<6> {
        let [a, b, c, d] = number.to_be_bytes();
        let mark = Mark { client: 1, twin: (number & 0xFFF) as u16 };
        Peer::new([11 + a, b, c, d, 1, 1], State::new(role, Stamp::at(Time(0))), mark)
    }

    fn find(column: &Column<Peer<6>>, number: u32, keyed: &Keyed) -> usize {
        let role = some_role(&mut fastrand::Rng::with_seed(0));
        column.list(keyed).find(&peer(number, role).key()).unwrap()
    }

    /// Every record is found, they are in order, and a twin is one.
    fn check(column: &Column<Peer<6>>, numbers: &[u32], keyed: &Keyed) {
        let list = column.list(keyed);
        assert_eq!(list.len(), numbers.len());
        let role = some_role(&mut fastrand::Rng::with_seed(0));
        for number in numbers {
            let sought = list.records()[find(column, *number, keyed)];
            assert_eq!(sought.key(), peer(*number, role).key());
            let twin = list.find_any_twin(&sought.twin()).unwrap();
            assert_eq!(list.records()[twin].twin(), sought.twin());
        }
        assert!(list.records().is_sorted_by_key(|peer| peer.state().rank()));
        let seeders = list.records().iter().filter(|peer| peer.state().kind() == Kind::Seeder);
        assert_eq!(list.start_of(1), seeders.count());
    }

    #[test]
    fn a_column_finds_its_records_through_every_size_of_its_index() {
        let keyed = Keyed::new([1, 2]);
        let mut rng = fastrand::Rng::with_seed(1);
        let mut column = Column::default();
        let mut numbers = Vec::new();
        for number in 0..6_000 {
            let peer = peer(number, some_role(&mut rng));
            Indexed { column: &mut column, keyed: &keyed }.insert(Row { peer, id: None, report: None });
            numbers.push(number);
            if number % 500 == 0 {
                check(&column, &numbers, &keyed);
            }
        }
        assert!(numbers.len() > WHOLE_MAX && !column.list(&keyed).index.unwrap().is_whole());
        while numbers.len() > SCANNED_AGAIN / 2 {
            let number = numbers.swap_remove(rng.usize(..numbers.len()));
            let at = find(&column, number, &keyed);
            let mut indexed = Indexed { column: &mut column, keyed: &keyed };
            if rng.bool() {
                indexed.renew(at, some_role(&mut rng), Stamp::at(Time(64)));
            }
            let at = find(&column, number, &keyed);
            Indexed { column: &mut column, keyed: &keyed }.remove(at);
            if numbers.len() % 500 == 0 {
                check(&column, &numbers, &keyed);
            }
        }
        check(&column, &numbers, &keyed);
        assert!(column.list(&keyed).index.is_none(), "few are scanned");
    }
}
