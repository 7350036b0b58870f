//! How large a torrent is. No announce says so; it is told by the operator, or by those who begin with nothing and say how
//! much they lack.
//!
//! Known weakness: where anybody can have as many identities as they like, whoever brings most of them decides.

use super::observation::Observation;
use crate::rules::standing::StandingRules;

/// What is known of the size of a torrent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    /// Bytes, as the operator told.
    told: u64,
    named: [Named; NAMED],
}

/// Sizes that are remembered of those that were named; the one that fewest named makes room.
const NAMED: usize = 3;

#[derive(Clone, Copy, Debug, Default)]
struct Named {
    bytes: u64,
    /// Who named it last; the same again is no second one.
    slot: u32,
    times: u16,
}

/// What clients say of torrents of which they do not know the size yet.
const PLACEHOLDERS: [u64; 2] = [0, 16_384];
/// Nothing is larger; some clients say 2^64 - 1.
const BYTES_MAX: u64 = 1 << 62;

impl Size {
    pub(super) fn tell(&mut self, bytes: u64) {
        self.told = bytes.min(BYTES_MAX);
    }

    pub(super) fn is_told(&self) -> bool {
        self.told > 0
    }

    /// Somebody who has nothing lacks so much.
    pub(super) fn name(&mut self, slot: u32, bytes: u64) {
        if PLACEHOLDERS.contains(&bytes) || bytes >= BYTES_MAX || slot == Observation::NOBODY {
            return;
        }
        if let Some(named) = self.named.iter_mut().find(|named| named.bytes == bytes) {
            if named.slot != slot {
                (named.slot, named.times) = (slot, named.times.saturating_add(1));
            }
            return;
        }
        let least = self.named.iter_mut().min_by_key(|named| named.times);
        if let Some(least) = least {
            *least = Named { bytes, slot, times: 1 };
        }
    }

    /// Bytes, as far as that is known: of the sizes that enough have named, the one that most did, or the smallest of
    /// several.
    pub(super) fn known(&self, rules: &StandingRules) -> Option<u64> {
        if self.told > 0 {
            return Some(self.told);
        }
        let enough = self.named.iter().filter(|named| u32::from(named.times) >= rules.size_quorum);
        Some(enough.max_by_key(|named| (named.times, !named.bytes))?.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(size: &Size) -> Option<u64> {
        size.known(&StandingRules::default())
    }

    #[test]
    fn a_size_is_known_when_two_name_it_and_whoever_is_more_is_believed() {
        let mut size = Size::default();
        for _ in 0..5 {
            size.name(7, 1 << 40);
        }
        assert_eq!(known(&size), None, "that is one");
        size.name(8, 1 << 40);
        assert_eq!(known(&size), Some(1 << 40));
        (1..4).for_each(|slot| size.name(slot, 5 << 30));
        assert_eq!(known(&size), Some(5 << 30));
        size.tell(77);
        assert_eq!(known(&size), Some(77), "whoever runs the tracker knows");
    }

    #[test]
    fn of_two_sizes_with_as_many_witnesses_the_smaller_one_is_believed() {
        let mut size = Size::default();
        for bytes in [1 << 50, 1 << 30] {
            (0..3).for_each(|slot| size.name(slot, bytes));
        }
        assert_eq!(known(&size), Some(1 << 30));
    }

    #[test]
    fn placeholders_and_nobody_name_no_size() {
        let mut size = Size::default();
        for slot in 0..9 {
            [0, 16_384, 1 << 62, u64::MAX].into_iter().for_each(|bytes| size.name(slot, bytes));
            size.name(Observation::NOBODY, 5 << 30);
        }
        assert_eq!(known(&size), None);
    }
}
