//! A table in parts: each is swapped as a whole when something in it changes, and read without waiting.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use hashbrown::HashTable;

/// A change copies a part: so many parts, of a million rows some thousand each.
const PARTS: usize = 256;

/// See the module.
pub(super) struct Parts<K, V> {
    /// One hash decides the part and the place in it: strangers choose what is looked up.
    hasher: RandomState,
    parts: Box<[Part<K, V>]>,
    /// Nothing was ever in it, so that nothing need be looked up.
    is_unused: AtomicBool,
}

/// Swapped as a whole.
type Part<K, V> = ArcSwap<HashTable<(K, V)>>;

/// A table that is being filled, and that nobody reads yet.
pub(super) struct Filling<K, V>(Vec<(K, V)>);

impl<K, V> Default for Filling<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K, V> Filling<K, V> {
    pub(super) fn put(&mut self, key: K, value: V) {
        self.0.push((key, value));
    }

    pub(super) fn each(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.0.iter_mut().map(|(key, value)| (&*key, value))
    }
}

impl<K, V> fmt::Debug for Parts<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parts")
    }
}

impl<K: Eq + Hash + Copy, V: Copy> Parts<K, V> {
    pub(super) fn new() -> Self {
        let parts = std::iter::repeat_with(|| ArcSwap::from_pointee(HashTable::new())).take(PARTS).collect();
        Self { hasher: RandomState::new(), parts, is_unused: AtomicBool::new(true) }
    }

    pub(super) fn get(&self, key: &K) -> Option<V> {
        if self.is_unused.load(Ordering::Acquire) {
            return None;
        }
        let hash = self.hasher.hash_one(key);
        self.parts[part_of(hash)].load().find(hash, |(other, _)| other == key).map(|(_, value)| *value)
    }

    /// Puts values, or takes them away. One thread at a time changes a table.
    pub(super) fn change(&self, changes: impl IntoIterator<Item = (K, Option<V>)>) {
        let mut by_part: HashMap<usize, Vec<(K, Option<V>)>> = HashMap::new();
        for change in changes {
            by_part.entry(part_of(self.hasher.hash_one(change.0))).or_default().push(change);
        }
        for (at, changes) in by_part {
            let part = &self.parts[at];
            let mut copy = HashTable::clone(&part.load());
            for (key, value) in changes {
                self.put(&mut copy, key, value);
            }
            part.store(Arc::new(copy));
            self.is_unused.store(false, Ordering::Release);
        }
    }

    /// Puts a whole table in the place of this one.
    pub(super) fn fill(&self, filling: Filling<K, V>) {
        let mut counts = [0_usize; PARTS];
        for (key, _) in &filling.0 {
            counts[part_of(self.hasher.hash_one(key))] += 1;
        }
        let mut parts: Vec<HashTable<(K, V)>> = counts.into_iter().map(HashTable::with_capacity).collect();
        let is_unused = filling.0.is_empty();
        for (key, value) in filling.0 {
            self.put(&mut parts[part_of(self.hasher.hash_one(key))], key, Some(value));
        }
        for (part, full) in self.parts.iter().zip(parts) {
            part.store(Arc::new(full));
        }
        self.is_unused.store(is_unused, Ordering::Release);
    }

    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.load().len()).sum()
    }

    /// What the parts take.
    pub(super) fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.load().allocation_size()).sum()
    }

    fn put(&self, part: &mut HashTable<(K, V)>, key: K, value: Option<V>) {
        let hash = self.hasher.hash_one(key);
        let entry = part.entry(hash, |(other, _)| *other == key, |(other, _)| self.hasher.hash_one(other));
        match (entry, value) {
            (entry, Some(value)) => drop(entry.insert((key, value))),
            (hashbrown::hash_table::Entry::Occupied(known), None) => drop(known.remove()),
            (hashbrown::hash_table::Entry::Vacant(_), None) => {}
        }
    }
}

/// Bits that decide neither the place in a part nor the tag there.
fn part_of(hash: u64) -> usize {
    usize::try_from(hash >> 32).unwrap_or(0) % PARTS
}
