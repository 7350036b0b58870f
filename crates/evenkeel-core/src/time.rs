//! Time as the core sees it: whole seconds since the program started, given by the caller, never read.

/// Seconds since the program started, by the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time(pub u32);

impl Time {
    /// Seconds from this moment to a later one; 0 if it is not later.
    pub(crate) fn age(self, now: Self) -> u32 {
        let secs = now.0.wrapping_sub(self.0);
        // Half of all differences are those of a clock that went back, or of a moment before the program started.
        if secs > u32::MAX / 2 { 0 } else { secs }
    }

    /// So many seconds before this moment, and be that before the program started.
    pub(crate) fn before(self, secs: u32) -> Self {
        Self(self.0.wrapping_sub(secs))
    }
}

/// When a peer announced last, in 10 bits: units of 32 s that wrap after 9 hours.
///
/// The longest time to live is 29,100 s, the round 32,768 s, and the sweep comes by every few minutes: it finds a peer
/// that has expired within the hour in which its stamp still says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(u16);

impl Stamp {
    pub(crate) const BITS: u32 = 10;
    const MASK: u16 = (1 << Self::BITS) - 1;
    const UNIT_SECS: u32 = 32;

    pub(crate) fn at(now: Time) -> Self {
        Self::from_bits(((now.0 / Self::UNIT_SECS) & 0x3FF) as u16)
    }

    pub(crate) fn from_bits(bits: u16) -> Self {
        Self(bits & Self::MASK)
    }

    pub(crate) fn bits(self) -> u16 {
        self.0
    }

    /// Units between this stamp and a later one.
    pub(crate) fn age(self, now: Self) -> u16 {
        now.0.wrapping_sub(self.0) & Self::MASK
    }

    /// Whether at least `secs` have passed for certain: up to one unit late, never early.
    pub(crate) fn is_older_than(self, secs: u32, now: Self) -> bool {
        u32::from(self.age(now)) > secs.div_ceil(Self::UNIT_SECS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_never_early_and_at_most_two_units_late() {
        for start in [0, 1, 31, 32, 65_500, 65_535, 65_536, 1_000_000] {
            for secs in [31, 32, 33, 3900, 29_100] {
                let stamp = Stamp::at(Time(start));
                let older = |after: u32| stamp.is_older_than(secs, Stamp::at(Time(start + after)));
                assert!(!older(secs), "{start} {secs}");
                assert!(older(secs + 2 * Stamp::UNIT_SECS), "{start} {secs}");
            }
        }
    }
}
