//! Things that are found by a hash and stay where they are, up to a number of them.

use crate::index::{Index, POSITIONS_MAX};
use crate::prefetch;

/// What a slab holds.
pub(super) trait Hashed {
    /// What it is found by; several may have the same.
    fn hash(&self) -> u64;
}

/// A list with holes, which are filled first.
pub(super) struct Slab<T> {
    items: Vec<Option<T>>,
    free: Vec<u32>,
    index: Index,
    max: usize,
}

impl<T: Hashed> Slab<T> {
    pub(super) fn new(max: u32) -> Self {
        let max = (max as usize).min(POSITIONS_MAX);
        Self { items: Vec::new(), free: Vec::new(), index: Index::new(), max }
    }

    pub(super) fn get(&self, at: u32) -> Option<&T> {
        self.items.get(at as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.items.get_mut(at as usize)?.as_mut()
    }

    /// Where something is.
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(&T) -> bool) -> Option<u32> {
        let at = self.index.find(hash, |at| self.items[at].as_ref().is_some_and(&is_it))?;
        u32::try_from(at).ok()
    }

    /// The first step of having something fetched from memory: its slot in the index.
    pub(super) fn prefetch_slot(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    /// The second step: what is there, and probably the right one. Answers where.
    pub(super) fn prefetch_item(&self, hash: u64) -> Option<u32> {
        let at = self.index.guess(hash)?;
        prefetch::value(self.items.as_ptr().wrapping_add(at));
        u32::try_from(at).ok()
    }

    /// Adds something; nothing if there is no room.
    pub(super) fn insert(&mut self, item: T) -> Option<u32> {
        if self.len() >= self.max {
            return None;
        }
        let hash = item.hash();
        let at = match self.free.pop() {
            Some(at) => at as usize,
            None => {
                if self.items.len() == self.items.capacity() {
                    // By an eighth, not by doubling: there are millions.
                    self.items.reserve_exact(64.max(self.items.len() / 8));
                }
                self.items.push(None);
                self.items.len() - 1
            }
        };
        self.items[at] = Some(item);
        let Self { items, index, .. } = self;
        if index.is_full() {
            index.grow(|at| items[at].as_ref().map_or(0, Hashed::hash));
        }
        index.insert(hash, at);
        u32::try_from(at).ok()
    }

    pub(super) fn remove(&mut self, at: u32) {
        let Self { items, index, .. } = self;
        let Some(hash) = items.get(at as usize).and_then(Option::as_ref).map(Hashed::hash) else { return };
        index.remove(hash, at as usize, |at| items[at].as_ref().map_or(0, Hashed::hash));
        items[at as usize] = None;
        self.free.push(at);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.items.len() - self.free.len()
    }

    /// Places that are or have been taken: positions are lower.
    pub(super) fn places(&self) -> usize {
        self.items.len()
    }

    /// Memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.items.capacity() * size_of::<Option<T>>() + self.free.capacity() * 4 + self.index.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Number(u64);

    impl Hashed for Number {
        fn hash(&self) -> u64 {
            crate::account::spread(self.0 / 2)
        }
    }

    #[test]
    fn what_is_there_is_found_where_it_was_put_and_nothing_else() {
        let mut slab = Slab::new(500);
        let find =
            |slab: &Slab<Number>, number: u64| slab.find(Number(number).hash(), |item| item.0 == number);
        let places: Vec<_> = (0..500).map(|number| slab.insert(Number(number)).unwrap()).collect();
        assert!(slab.insert(Number(500)).is_none(), "it is full");
        (0..500).step_by(3).for_each(|number| slab.remove(places[number]));
        slab.remove(places[0]);
        for (number, place) in (0..).zip(&places) {
            let expected = (number % 3 != 0).then_some(*place);
            assert_eq!(find(&slab, number), expected);
        }
        assert_eq!((slab.len(), slab.places()), (333, 500));
        let again = slab.insert(Number(0)).unwrap();
        assert_eq!(find(&slab, 0), Some(again));
        assert_eq!(slab.places(), 500, "holes are filled first");
    }
}
