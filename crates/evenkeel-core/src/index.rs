//! Hash -> position in a list: one slot of four bytes for each position, open-addressed.
//!
//! A slot holds a position and eight bits of the hash, so that a wrong record is looked at once in 256 times. It does not
//! hold the hash: to grow, all are hashed again. Several positions may share a hash.
//!
//! Of a hash, the bucket is in the low 32 bits and the tag in the high eight; the bits between are for choosing among
//! several indexes.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::prefetch;

/// Slots that are used at most, of four.
const FILLED_OF_FOUR: usize = 3;
const SLOTS_MIN: usize = 8;
const POSITION_BITS: u32 = 24;
/// Positions are smaller.
pub(crate) const POSITIONS_MAX: usize = (1 << POSITION_BITS) - 1;

/// The slots of one index.
#[derive(Clone, Default)]
pub(crate) struct Index {
    /// 0 for none, or the tag and the position plus one. A power of two of them, or none at all.
    slots: Vec<u32>,
    used: usize,
}

/// Where the slots of an index were when its owner last said so: enough for others to have the right one fetched before
/// they wait for its lock. It may be out of date, and then it is of no use and does no harm.
#[derive(Debug, Default)]
pub struct Hint {
    base: AtomicUsize,
    mask: AtomicUsize,
}

impl Hint {
    /// What is looked for soon has this hash.
    pub fn prefetch(&self, hash: u64) {
        let slots = std::ptr::without_provenance::<u32>(self.base.load(Ordering::Relaxed));
        prefetch_slot(slots, self.mask.load(Ordering::Relaxed), hash);
    }
}

impl Index {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), used: 0 }
    }

    /// With room for so many, and no more.
    pub(crate) fn for_positions(positions: usize) -> Self {
        let slots = if positions == 0 { 0 } else { slots_for(positions) };
        Self { slots: vec![0; slots], used: 0 }
    }

    /// Finds the first position for which `is_it`.
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(usize) -> bool) -> Option<usize> {
        self.probe(hash, |slot| is_it(position(slot))).map(|at| position(self.slots[at]))
    }

    /// The first position that looks right.
    pub(crate) fn guess(&self, hash: u64) -> Option<usize> {
        self.find(hash, |_| true)
    }

    /// Positions that look right and for which `is_it`, counted up to `max`.
    pub(crate) fn count(&self, hash: u64, max: usize, mut is_it: impl FnMut(usize) -> bool) -> usize {
        let mut count = 0;
        self.probe(hash, |slot| {
            count += usize::from(count < max && is_it(position(slot)));
            count >= max
        });
        count
    }

    /// What it holds, in no order.
    fn positions(&self) -> impl Iterator<Item = usize> {
        self.slots.iter().filter(|slot| **slot != 0).map(|slot| position(*slot))
    }

    /// Whether [`Index::grow`] has to come before the next [`Index::insert`].
    pub(crate) fn is_full(&self) -> bool {
        self.is_filled(FILLED_OF_FOUR * 64)
    }

    /// Whether another one would make it fuller than so many slots of 256, which are less than all.
    pub(crate) fn is_filled(&self, of_256: usize) -> bool {
        (self.used + 1) * 256 > self.slots.len() * of_256
    }

    /// Adds a position that is not there.
    pub(crate) fn insert(&mut self, hash: u64, position: usize) {
        let mask = self.slots.len() - 1;
        let mut at = bucket(hash, mask);
        while self.slots[at] != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot(hash, position);
        self.used += 1;
    }

    /// Takes a position out.
    pub(crate) fn remove(&mut self, hash: u64, at: usize, hash_of: impl Fn(usize) -> u64) {
        let Some(mut hole) = self.slot_of(hash, at) else { return };
        self.used -= 1;
        // Whoever stands behind the hole only because it was taken moves up: chains have no gaps.
        let mask = self.slots.len() - 1;
        let mut next = (hole + 1) & mask;
        while self.slots[next] != 0 {
            let home = bucket(hash_of(position(self.slots[next])), mask);
            if (next.wrapping_sub(home) & mask) >= (next.wrapping_sub(hole) & mask) {
                self.slots[hole] = self.slots[next];
                hole = next;
            }
            next = (next + 1) & mask;
        }
        self.slots[hole] = 0;
    }

    /// What was at one position is at another one now.
    pub(crate) fn relocate(&mut self, hash: u64, from: usize, to: usize) {
        if let Some(at) = self.slot_of(hash, from) {
            self.slots[at] = slot(hash, to);
        }
    }

    /// What was at two positions has changed places; its hashes, in the same order.
    pub(crate) fn swap(&mut self, hashes: [u64; 2], positions: [usize; 2]) {
        // Both are found before either is changed: they may share a chain.
        let found = [0, 1].map(|side| self.slot_of(hashes[side], positions[side]));
        for side in [0, 1] {
            if let Some(at) = found[side] {
                self.slots[at] = slot(hashes[side], positions[1 - side]);
            }
        }
    }

    /// Makes room for twice as many.
    pub(crate) fn grow(&mut self, hash_of: impl Fn(usize) -> u64) {
        self.resize((self.slots.len() * 2).max(SLOTS_MIN), hash_of);
    }

    /// Whether most of its memory is unused, and [`Index::shrink`] gives some back.
    pub(crate) fn is_sparse(&self) -> bool {
        slots_for(self.used) * 4 <= self.slots.len()
    }

    /// Gives memory back.
    pub(crate) fn shrink(&mut self, hash_of: impl Fn(usize) -> u64) {
        self.resize(slots_for(self.used) * 2, hash_of);
    }

    /// Memory that the slots take.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.slots)
    }

    /// Says where the slots are now.
    pub(crate) fn show(&self, hint: &Hint) {
        let base = self.slots.as_ptr().addr();
        // Where they are hardly ever changes: then the line stays in the caches of all cores.
        if hint.base.load(Ordering::Relaxed) != base {
            hint.base.store(base, Ordering::Relaxed);
            hint.mask.store(self.slots.len().saturating_sub(1), Ordering::Relaxed);
        }
    }

    /// What is looked for will have this hash.
    pub(crate) fn prefetch(&self, hash: u64) {
        prefetch_slot(self.slots.as_ptr(), self.slots.len().saturating_sub(1), hash);
    }

    fn slot_of(&self, hash: u64, at: usize) -> Option<usize> {
        self.probe(hash, |slot| position(slot) == at)
    }

    /// Finds the slot of a hash for which `is_it`.
    fn probe(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let tag = tag(hash);
        let mut at = bucket(hash, mask);
        loop {
            match self.slots[at] {
                0 => return None,
                slot if slot >> POSITION_BITS == tag && is_it(slot) => return Some(at),
                _ => at = (at + 1) & mask,
            }
        }
    }

    fn resize(&mut self, slots: usize, hash_of: impl Fn(usize) -> u64) {
        let old = std::mem::replace(self, Self { slots: vec![0; slots], used: 0 });
        old.positions().for_each(|at| self.insert(hash_of(at), at));
    }
}

fn prefetch_slot(base: *const u32, mask: usize, hash: u64) {
    prefetch::lines(base.wrapping_add(bucket(hash, mask)), 1);
}

fn slots_for(positions: usize) -> usize {
    (positions * 4 / FILLED_OF_FOUR + 1).next_power_of_two().max(SLOTS_MIN)
}

fn bucket(hash: u64, mask: usize) -> usize {
    usize::try_from(hash & 0xFFFF_FFFF).unwrap_or_default() & mask
}

fn tag(hash: u64) -> u32 {
    u32::try_from(hash >> 56).unwrap_or_default()
}

fn slot(hash: u64, position: usize) -> u32 {
    tag(hash) << POSITION_BITS | u32::try_from(position + 1).unwrap_or_default()
}

fn position(slot: u32) -> usize {
    (slot & ((1 << POSITION_BITS) - 1)) as usize - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Random operations beside a plain list.
    #[test]
    fn the_index_finds_what_a_list_finds() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut index = Index::default();
        let mut hashes: Vec<u64> = Vec::new();
        for step in 0..200_000 {
            // Few buckets and tags, so that chains are long and tags meet.
            let hash = rng.u64(..) & 0x0300_0000_0000_003F;
            let growing = step / 1000 % 2 == 0;
            if rng.u32(..10) < if growing { 7 } else { 3 } {
                if index.is_full() {
                    index.grow(|at| hashes[at]);
                }
                index.insert(hash, hashes.len());
                hashes.push(hash);
            } else if !hashes.is_empty() {
                let [at, other] = [0; 2].map(|_| rng.usize(..hashes.len()));
                index.swap([hashes[at], hashes[other]], [at, other]);
                hashes.swap(at, other);
                index.remove(hashes[at], at, |other| hashes[other]);
                let last = hashes.len() - 1;
                if at != last {
                    index.relocate(hashes[last], last, at);
                }
                hashes.swap_remove(at);
                if index.is_sparse() {
                    index.shrink(|at| hashes[at]);
                }
            }
            for _ in 0..3 {
                if let Some(at) = (!hashes.is_empty()).then(|| rng.usize(..hashes.len())) {
                    assert_eq!(index.find(hashes[at], |found| found == at), Some(at));
                }
            }
            let same = hashes.iter().filter(|other| **other == hash).count();
            assert_eq!(index.count(hash, 5, |at| hashes[at] == hash), same.min(5));
            assert!(index.guess(hash).is_some() || same == 0);
        }
        assert_eq!(index.positions().count(), hashes.len());
    }
}
