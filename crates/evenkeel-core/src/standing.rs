//! Which tier each identity is of: one byte for each, read at every announce, written by whoever adds up what identities earn.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::identity::Tier;

/// The tiers of identities, by the numbers of their slots. As many as it was made for: nothing grows.
pub struct Standing {
    tiers: Box<[AtomicU8]>,
}

impl Standing {
    /// For so many identities, all of the newest tier.
    pub fn new(slots: u32) -> Self {
        Self { tiers: (0..slots).map(|_| AtomicU8::new(Tier::NEWEST.number())).collect() }
    }

    /// The tier of an identity; the newest of one for which there is no slot. One read, which waits for nobody: a change
    /// that is published meanwhile may be seen or not, and is seen at the next announce.
    pub fn tier(&self, slot: u32) -> Tier {
        let byte = self.tiers.get(slot as usize).map_or(0, |tier| tier.load(Ordering::Relaxed));
        Tier::new(byte & TIER_BITS).unwrap_or_default()
    }

    /// From now on an identity is of this tier. One for which there is no slot stays as it is.
    pub fn publish(&self, slot: u32, tier: Tier) {
        if let Some(byte) = self.tiers.get(slot as usize) {
            byte.store(tier.number(), Ordering::Relaxed);
        }
    }

    /// How many identities there is room for.
    pub fn slots(&self) -> u32 {
        u32::try_from(self.tiers.len()).unwrap_or(u32::MAX)
    }
}

/// The bits of a byte that are a tier; the others are kept free.
const TIER_BITS: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_is_what_was_published_last_and_nobody_else_is_touched() {
        let standing = Standing::new(3);
        assert_eq!(standing.slots(), 3);
        standing.publish(1, Tier::TOP);
        assert_eq!([0, 1, 2].map(|slot| standing.tier(slot).number()), [0, 3, 0]);
        standing.publish(1, Tier::NEWEST);
        assert_eq!(standing.tier(1), Tier::NEWEST);
    }

    #[test]
    fn identities_without_a_slot_are_of_the_newest_tier() {
        let standing = Standing::new(1);
        for slot in [1, u32::MAX] {
            standing.publish(slot, Tier::TOP);
            assert_eq!(standing.tier(slot), Tier::NEWEST);
        }
    }
}
