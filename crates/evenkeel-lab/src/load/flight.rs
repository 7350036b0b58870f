//! Requests of one UDP socket that wait for their replies.

use super::pace::Nanos;

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Connect,
    Announce,
    Scrape,
}

/// One request under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub kind: Kind,
    /// Which peer of the source, where it is one that asks.
    pub peer: usize,
    /// From here its latency counts.
    pub due: Nanos,
    /// From here its patience runs.
    pub sent: Nanos,
}

/// A window of requests. The low half of a transaction names the slot and the high half its round, so that a
/// late or repeated reply is told from the one that is waited for.
pub(crate) struct Flight {
    slots: Vec<Slot>,
    free: Vec<u16>,
}

struct Slot {
    round: u16,
    asked: Option<Asked>,
}

impl Flight {
    pub(crate) fn new(window: u16) -> Self {
        let slot = |_| Slot { round: 0, asked: None };
        Self { slots: (0..window).map(slot).collect(), free: (0..window).rev().collect() }
    }

    /// Requests that there is room for.
    pub(crate) fn room(&self) -> usize {
        self.free.len()
    }

    /// Whether nothing is waited for.
    pub(crate) fn is_empty(&self) -> bool {
        self.free.len() == self.slots.len()
    }

    /// Takes in a request; answers its transaction, or `None` when there is no room.
    pub(crate) fn depart(&mut self, asked: Asked) -> Option<u32> {
        let at = self.free.pop()?;
        let slot = &mut self.slots[usize::from(at)];
        slot.round = slot.round.wrapping_add(1);
        slot.asked = Some(asked);
        Some(u32::from(slot.round) << 16 | u32::from(at))
    }

    /// The request that a reply belongs to; `None` when nobody waits for it any more.
    pub(crate) fn land(&mut self, transaction: u32) -> Option<Asked> {
        let [high, low, at @ ..] = transaction.to_be_bytes();
        let (round, at) = (u16::from_be_bytes([high, low]), u16::from_be_bytes(at));
        let slot = self.slots.get_mut(usize::from(at)).filter(|slot| slot.round == round)?;
        let asked = slot.asked.take()?;
        self.free.push(at);
        Some(asked)
    }

    /// Gives up what was sent before `then`.
    pub(crate) fn expire(&mut self, then: Nanos) -> Vec<Asked> {
        let mut lost = Vec::new();
        for (at, slot) in (0_u16..).zip(&mut self.slots) {
            if slot.asked.is_some_and(|asked| asked.sent < then) {
                lost.extend(slot.asked.take());
                self.free.push(at);
            }
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(sent: Nanos) -> Asked {
        Asked { kind: Kind::Announce, peer: 3, due: 0, sent }
    }

    #[test]
    fn a_reply_finds_its_request_once() {
        let mut flight = Flight::new(2);
        let (first, second) = (flight.depart(asked(1)).unwrap(), flight.depart(asked(2)).unwrap());
        assert_eq!(flight.depart(asked(3)), None);
        assert_eq!(flight.land(second), Some(asked(2)));
        assert_eq!(flight.land(second), None, "repeated");
        let third = flight.depart(asked(3)).unwrap();
        assert_ne!(third, second, "the same slot in another round");
        assert_eq!(flight.land(second), None, "late");
        assert_eq!(flight.land(0xFFFF_FFFF), None, "never sent");
        assert_eq!(flight.land(first), Some(asked(1)));
        assert_eq!(flight.land(third), Some(asked(3)));
        assert!(flight.is_empty());
    }

    #[test]
    fn what_waits_too_long_is_lost_and_its_late_reply_unknown() {
        let mut flight = Flight::new(2);
        let (old, young) = (flight.depart(asked(10)).unwrap(), flight.depart(asked(20)).unwrap());
        assert_eq!(flight.expire(20), [asked(10)]);
        assert_eq!((flight.room(), flight.land(old)), (1, None));
        assert_eq!(flight.land(young), Some(asked(20)));
    }
}
