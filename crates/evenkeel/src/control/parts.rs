//! A table in parts: each is swapped as a whole when something in it changes, and read without waiting.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use evenkeel_core::{Hint, Keyed, Table};

/// A change copies a part: so many parts, of a million rows some thousand each.
const PARTS: usize = 256;

/// See the module.
pub(super) struct Parts<K, V> {
    keyed: Keyed,
    parts: Box<[Part<K, V>]>,
    /// Nothing was ever in it, so that nothing need be looked up.
    is_unused: AtomicBool,
}

struct Part<K, V> {
    table: ArcSwap<Table<(K, V)>>,
    hint: Hint,
}

/// What rows are found by.
pub(super) trait Key: Copy + Eq {
    /// A hash that nobody can choose: it decides the part and the place in it.
    fn hash(&self, keyed: &Keyed) -> u64;
}

/// A number in the books.
impl Key for u32 {
    fn hash(&self, keyed: &Keyed) -> u64 {
        keyed.hash(&self.to_le_bytes())
    }
}

/// The start of a SHA-256. Strangers may look for any, and what is there was drawn at random.
impl Key for u64 {
    fn hash(&self, _: &Keyed) -> u64 {
        *self
    }
}

/// An info hash: strangers choose what is looked up, and peers what is in the catalogue.
impl Key for [u8; 20] {
    fn hash(&self, keyed: &Keyed) -> u64 {
        keyed.hash(self)
    }
}

impl<K, V> fmt::Debug for Parts<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parts")
    }
}

impl<K: Key, V: Copy> Parts<K, V> {
    pub(super) fn new(keyed: Keyed) -> Self {
        let part = || Part { table: ArcSwap::default(), hint: Hint::default() };
        let parts = std::iter::repeat_with(part).take(PARTS).collect();
        Self { keyed, parts, is_unused: AtomicBool::new(true) }
    }

    pub(super) fn get(&self, key: &K) -> Option<V> {
        self.look((key, key.hash(&self.keyed)), |value| Some(*value))
    }

    /// The same for somebody who knows the hash and does not want all of the value.
    pub(super) fn look<R>(&self, (key, hash): (&K, u64), read: impl FnOnce(&V) -> Option<R>) -> Option<R> {
        if self.is_unused() {
            return None;
        }
        let table = self.parts[part_of(hash)].table.load();
        let at = table.find(hash, |_, (other, _)| other == key)?;
        read(&table[at].1)
    }

    /// The first step of having the row of a hash fetched from memory.
    pub(super) fn prefetch_slot(&self, hash: u64) {
        self.parts[part_of(hash)].hint.prefetch(hash);
    }

    /// The second step.
    pub(super) fn prefetch_row(&self, hash: u64) {
        self.parts[part_of(hash)].table.load().prefetch_row(hash);
    }

    /// Puts values, or takes them away. One thread at a time changes a table.
    pub(super) fn change(&self, changes: impl IntoIterator<Item = (K, Option<V>)>) {
        let mut by_part: HashMap<usize, Vec<(K, Option<V>)>> = HashMap::new();
        for change in changes {
            by_part.entry(part_of(change.0.hash(&self.keyed))).or_default().push(change);
        }
        for (at, changes) in by_part {
            let part = &self.parts[at];
            let mut copy = Table::clone(&part.table.load());
            for (key, value) in changes {
                self.put(&mut copy, key, value);
            }
            part.put(copy);
            self.is_unused.store(false, Ordering::Release);
        }
    }

    /// Puts a whole table in the place of this one: `each` calls with each row, the same ones whenever it is asked.
    pub(super) fn fill(&self, each: impl Fn(&mut dyn FnMut(K, V))) {
        let mut counts = [0_usize; PARTS];
        each(&mut |key, _| counts[part_of(key.hash(&self.keyed))] += 1);
        let mut parts: Vec<_> = counts.into_iter().map(Table::with_capacity).collect();
        each(&mut |key, value| self.put(&mut parts[part_of(key.hash(&self.keyed))], key, Some(value)));
        let is_unused = counts.iter().all(|count| *count == 0);
        for (part, full) in self.parts.iter().zip(parts) {
            part.put(full);
        }
        self.is_unused.store(is_unused, Ordering::Release);
    }

    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.table.load().len()).sum()
    }

    /// What the parts take.
    pub(super) fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.table.load().bytes()).sum()
    }

    fn is_unused(&self) -> bool {
        self.is_unused.load(Ordering::Acquire)
    }

    fn put(&self, part: &mut Table<(K, V)>, key: K, value: Option<V>) {
        let hash_of = |(key, _): &(K, V)| key.hash(&self.keyed);
        let known = part.find(key.hash(&self.keyed), |_, (other, _)| *other == key);
        match (known, value) {
            (Some(at), Some(value)) => part[at].1 = value,
            (Some(at), None) => part.swap_remove(at, hash_of),
            (None, Some(value)) => drop(part.push((key, value), hash_of)),
            (None, None) => {}
        }
    }
}

impl<K, V> Part<K, V> {
    fn put(&self, table: Table<(K, V)>) {
        table.show(&self.hint);
        self.table.store(Arc::new(table));
    }
}

/// Bits that decide neither the place in a part nor the tag there.
fn part_of(hash: u64) -> usize {
    usize::try_from(hash >> 32).unwrap_or(0) % PARTS
}
