//! The lottery of pairs: whether a leecher may know a busy seeder is drawn once for the two of them.
//!
//! A lot is a hash of both under a secret key. So it is the same whoever of the two announces, whenever, before and after
//! a restart, and on every node that has the key; a larger share opens more seeders and closes none; who asks more often
//! learns nothing new; and a seeder that leaves is replaced by whoever is next. No counter has to be kept.
//!
//! Known weakness: the leecher is its address (IPv4 address, IPv6 /64). One that has many addresses draws as many lots.

use evenkeel_wire::{Endpoint, InfoHash};

use crate::addresses::source;
use crate::keyed::Keyed;
use crate::swarm::Record;

/// The lottery in one swarm: nobody who does not know the secret can tell it. What follows only spreads it, since a caller
/// may have to do with a hundred others.
#[derive(Clone, Copy)]
pub(super) struct Lottery(u64);

/// The lots of one leecher in one swarm.
#[derive(Clone, Copy)]
pub(super) struct Lots(u64);

/// A share of everything, out of this.
pub(super) const ALL: u32 = u32::MAX;

impl Lottery {
    pub(super) fn of(secret: &Keyed, info_hash: &InfoHash) -> Self {
        Self(secret.hash(&info_hash.0))
    }

    /// The lots of whoever is reached at `leecher`.
    #[inline]
    pub(super) fn lots_of(self, leecher: &Endpoint) -> Lots {
        let bits = source(leecher).iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte));
        Lots(spread(self.0 ^ bits))
    }
}

impl Lots {
    /// The lot for one of the others: evenly distributed, and open to a share that is as large.
    #[inline]
    pub(super) fn lot<R: Record>(self, other: &R) -> u64 {
        self.lot_of_bits(other.bits())
    }

    /// The same for whoever's record has these bits.
    #[inline]
    pub(super) fn lot_of_bits(self, bits: u64) -> u64 {
        spread(self.0 ^ bits)
    }

    /// Chance that is the same each time in the same turn.
    pub(super) fn chance(self, turn: u16) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.0 ^ u64::from(turn) << 1 ^ 1)
    }
}

#[inline]
fn spread(bits: u64) -> u64 {
    let bits = bits.wrapping_mul(0xD6E8_FEB8_6659_FD93);
    (bits ^ bits >> 32).wrapping_mul(0xD6E8_FEB8_6659_FD93)
}

/// The lots within a share are below.
#[inline]
pub(super) fn end_of(share: u32) -> u64 {
    if share == ALL { u64::MAX } else { u64::from(share) << 32 }
}
