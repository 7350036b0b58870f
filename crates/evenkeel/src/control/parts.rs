//! A table in parts: each is swapped as a whole when something in it changes, and read without waiting.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

use arc_swap::ArcSwap;

/// A change copies a part: so many parts, of a million rows some thousand each.
const PARTS: usize = 256;

/// See the module.
pub(super) struct Parts<K, V> {
    /// Decides the part and nothing else; the parts have hashes of their own.
    hasher: RandomState,
    parts: Box<[ArcSwap<HashMap<K, V>>]>,
}

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
        let parts = std::iter::repeat_with(ArcSwap::default).take(PARTS).collect();
        Self { hasher: RandomState::new(), parts }
    }

    fn part_of(&self, key: &K) -> usize {
        usize::try_from(self.hasher.hash_one(key) % PARTS as u64).unwrap_or(0)
    }

    pub(super) fn get(&self, key: &K) -> Option<V> {
        self.parts[self.part_of(key)].load().get(key).copied()
    }

    /// Puts values, or takes them away. One thread at a time changes a table.
    pub(super) fn change(&self, changes: impl IntoIterator<Item = (K, Option<V>)>) {
        let mut by_part: HashMap<usize, Vec<(K, Option<V>)>> = HashMap::new();
        for change in changes {
            by_part.entry(self.part_of(&change.0)).or_default().push(change);
        }
        for (at, changes) in by_part {
            let mut copy = HashMap::clone(&self.parts[at].load());
            for (key, value) in changes {
                match value {
                    Some(value) => copy.insert(key, value),
                    None => copy.remove(&key),
                };
            }
            self.parts[at].store(Arc::new(copy));
        }
    }

    /// Puts a whole table in the place of this one.
    pub(super) fn fill(&self, filling: Filling<K, V>) {
        let mut counts = [0_usize; PARTS];
        for (key, _) in &filling.0 {
            counts[self.part_of(key)] += 1;
        }
        let mut parts: Vec<HashMap<K, V>> = counts.into_iter().map(HashMap::with_capacity).collect();
        for (key, value) in filling.0 {
            parts[self.part_of(&key)].insert(key, value);
        }
        for (part, full) in self.parts.iter().zip(parts) {
            part.store(Arc::new(full));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.load().len()).sum()
    }

    /// What the parts take: a slot and a byte for each of a power of two of places, of which seven eighths can be used.
    pub(super) fn bytes(&self) -> usize {
        let places = |part: &ArcSwap<HashMap<K, V>>| (part.load().capacity() * 8 / 7).next_power_of_two();
        self.parts.iter().map(|part| places(part) * (size_of::<(K, V)>() + 1)).sum()
    }
}
