//! Numbers that tell everybody apart who shows a secret, users and announce keys alike: small ones, so that what is known of
//! each can stand in plain arrays.

use std::sync::atomic::{AtomicU32, Ordering};

use evenkeel_core::Uplinks;

/// So many are told apart. Whoever comes later is served like everybody, and earns nothing.
const KNOWN_MAX: u32 = Uplinks::KNOWN_MAX;

/// Gives them. None is given twice: what was known of somebody who is gone must be nobody else's. They begin anew with each
/// start, so that rows that come and go use up no more than they are in one run.
#[derive(Debug, Default)]
pub(super) struct Slots(AtomicU32);

impl Slots {
    pub(super) fn take(&self) -> Option<u32> {
        let next = |given: u32| (given < KNOWN_MAX).then_some(given + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()
    }

    pub(super) fn given(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_given_once_until_there_are_no_more() {
        let slots = Slots(AtomicU32::new(KNOWN_MAX - 2));
        assert_eq!([slots.take(), slots.take()], [Some(KNOWN_MAX - 2), Some(KNOWN_MAX - 1)]);
        assert_eq!([slots.take(), slots.take()], [None, None]);
        assert_eq!(slots.given(), KNOWN_MAX);
    }
}
