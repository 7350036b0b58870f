//! Info hash -> position of its swarm: one slot of four bytes for each, open-addressed.
//!
//! A slot holds a position and eight bits of the hash, so that a wrong swarm is looked at once in 256 times. It does not
//! hold the hash: to grow, all are hashed again, walking over the swarms in the order of memory.

use super::Place;

/// Slots that are used at most, of four.
const FILLED_OF_FOUR: usize = 3;
const SLOTS_MIN: usize = 8;
const POSITION_BITS: u32 = 24;

/// The slots of one shard.
#[derive(Default)]
pub(super) struct Index {
    /// 0 for none, or the tag and the position plus one. A power of two of them, or none at all.
    slots: Box<[u32]>,
    used: usize,
}

impl Index {
    /// Finds the position for which `is_it`.
    pub(super) fn find(&self, place: Place, mut is_it: impl FnMut(usize) -> bool) -> Option<usize> {
        self.probe(place, |slot| is_it(position(slot))).map(|at| position(self.slots[at]))
    }

    /// The first position that looks right.
    pub(super) fn guess(&self, place: Place) -> Option<usize> {
        self.find(place, |_| true)
    }

    /// Adds a position that is not there; the places of all others must be there to be asked for.
    pub(super) fn insert(&mut self, place: Place, at: usize, place_of: impl Fn(usize) -> Place) {
        if (self.used + 1) * 4 > self.slots.len() * FILLED_OF_FOUR {
            self.resize((self.slots.len() * 2).max(SLOTS_MIN), at, place_of);
        }
        self.put(place, at);
        self.used += 1;
    }

    /// Takes a position out.
    pub(super) fn remove(&mut self, place: Place, at: usize, place_of: impl Fn(usize) -> Place) {
        let Some(mut hole) = self.probe(place, |slot| position(slot) == at) else { return };
        self.used -= 1;
        // Whoever stands behind the hole only because it was taken moves up: chains have no gaps.
        let mask = self.slots.len() - 1;
        let mut next = (hole + 1) & mask;
        while self.slots[next] != 0 {
            let home = bucket(place_of(position(self.slots[next])), mask);
            if (next.wrapping_sub(home) & mask) >= (next.wrapping_sub(hole) & mask) {
                self.slots[hole] = self.slots[next];
                hole = next;
            }
            next = (next + 1) & mask;
        }
        self.slots[hole] = 0;
    }

    /// A swarm has moved.
    pub(super) fn relocate(&mut self, place: Place, from: usize, to: usize) {
        if let Some(at) = self.probe(place, |slot| position(slot) == from) {
            self.slots[at] = slot(place, to);
        }
    }

    /// Gives memory back when most of it is unused; `len` swarms are there.
    pub(super) fn shrink(&mut self, len: usize, place_of: impl Fn(usize) -> Place) {
        let needed = (len * 4 / FILLED_OF_FOUR + 1).next_power_of_two().max(SLOTS_MIN);
        if needed * 4 <= self.slots.len() {
            self.resize(needed * 2, len, place_of);
        }
    }

    /// Where the slots are and how many less one, as a hint for [`super::Hint`].
    pub(super) fn base(&self) -> (*const u32, usize) {
        (self.slots.as_ptr(), self.slots.len().saturating_sub(1))
    }

    /// Finds the slot of a place for which `is_it`.
    fn probe(&self, place: Place, mut is_it: impl FnMut(u32) -> bool) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let tag = tag(place);
        let mut at = bucket(place, mask);
        loop {
            match self.slots[at] {
                0 => return None,
                slot if slot >> POSITION_BITS == tag && is_it(slot) => return Some(at),
                _ => at = (at + 1) & mask,
            }
        }
    }

    fn put(&mut self, place: Place, position: usize) {
        let mask = self.slots.len() - 1;
        let mut at = bucket(place, mask);
        while self.slots[at] != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot(place, position);
    }

    fn resize(&mut self, slots: usize, len: usize, place_of: impl Fn(usize) -> Place) {
        self.slots = vec![0; slots].into();
        (0..len).for_each(|at| self.put(place_of(at), at));
    }
}

/// Low bits: the shard is in the middle ones, the tag in the high ones.
pub(super) fn bucket(place: Place, mask: usize) -> usize {
    usize::try_from(place.0 & 0xFFFF_FFFF).unwrap_or_default() & mask
}

fn tag(place: Place) -> u32 {
    u32::try_from(place.0 >> 56).unwrap_or_default()
}

/// Positions fit: a shard holds less than 2^24 swarms, as the whole store holds less than 2^29 (`rules::SWARMS_MAX`).
fn slot(place: Place, position: usize) -> u32 {
    tag(place) << POSITION_BITS | u32::try_from(position + 1).unwrap_or_default()
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
        let mut places: Vec<Place> = Vec::new();
        for step in 0..200_000 {
            // Few buckets and tags, so that chains are long and tags meet.
            let place = Place(rng.u64(..) & 0x0300_0000_0000_003F);
            let growing = step / 1000 % 2 == 0;
            if rng.u32(..10) < if growing { 7 } else { 3 } {
                let places = &mut places;
                index.insert(place, places.len(), |at| places[at]);
                places.push(place);
            } else if !places.is_empty() {
                let at = rng.usize(..places.len());
                index.remove(places[at], at, |other| places[other]);
                let last = places.len() - 1;
                if at != last {
                    index.relocate(places[last], last, at);
                }
                places.swap_remove(at);
                index.shrink(places.len(), |at| places[at]);
            }
            for _ in 0..3 {
                if let Some(at) = (!places.is_empty()).then(|| rng.usize(..places.len())) {
                    assert_eq!(index.find(places[at], |found| found == at), Some(at));
                }
            }
            assert_eq!(index.find(place, |_| true).is_some(), {
                let same = |other: &Place| tag(*other) == tag(place);
                index.find(place, |at| same(&places[at])).is_some()
            });
            assert_eq!(index.used, places.len());
        }
    }
}
