//! Who a caller is, as far as policies know: what it has earned, and what is known of it. All of it is given by the
//! program; the core earns nothing and remembers nothing here.

use crate::equilibrium::Policy;

/// What an identity has earned, in four steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Tier(u8);

impl Tier {
    /// Of somebody new, and of those who give nothing.
    pub const NEWEST: Self = Self(0);
    /// Of those who give most.
    pub const TOP: Self = Self(3);
    /// How many there are.
    pub const COUNT: usize = 4;

    /// Tier `number`, if there is one.
    pub fn new(number: u8) -> Option<Self> {
        (number <= Self::TOP.0).then_some(Self(number))
    }

    /// Its number, 0 to 3.
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// Who a caller is. By default nobody in particular: of the newest tier, with nothing known.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Identity {
    /// Number of the identity whose uplink the caller uses; without one its uplink is not judged.
    pub slot: Option<u32>,
    /// What it has earned.
    pub tier: Tier,
    /// Nobody can dial it, as far as is known.
    pub is_unconnectable: bool,
    /// The policy of its class, instead of everybody's.
    pub policy: Option<Policy>,
    /// For the policies that make lists shorter.
    pub figures: Figures,
}

/// What an identity does and has done, over all torrents.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Figures {
    /// Torrents that it announces now.
    pub torrents: u32,
    /// Torrents that it seeds now.
    pub seeded: u32,
    /// Torrents that it announces now and of which it has sent at least as much as it got.
    pub positive: u32,
    /// Torrents that it has completed, ever.
    pub snatched: u32,
    /// Bytes that it has sent, ever.
    pub uploaded: u64,
    /// Bytes that it has got, ever.
    pub downloaded: u64,
    /// Torrents that a user of the community seeds: mean plus one standard deviation, rounded. 0 where that is not known.
    pub good_seeds: u32,
}
