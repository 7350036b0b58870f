//! What a peer says of itself, beside its record: 24 bytes, kept when `Rules::keep_reports` is set.

use evenkeel_wire::Announce;

use crate::time::Time;

/// What a peer has said since it came. Amounts are in units of 16 KiB and end at 64 TiB; what is lost to rounding in one
/// announce comes back in the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    began: u32,
    last: u32,
    uploaded: u32,
    downloaded: u32,
    left: u32,
    /// Low bits of the time at which the current turn began; turns are much shorter than their round of 18 hours.
    turned: u16,
    turn: u16,
}

const _: () = assert!(size_of::<Report>() == 24);

/// Bytes of a unit.
const UNIT: u64 = 16 << 10;

/// What a peer has said, for those who look at the store. In bytes, rounded down to 16 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Reported {
    /// Seconds from its first announce to its last.
    pub secs: u32,
    /// Sent to others.
    pub uploaded: u64,
    /// Got from others.
    pub downloaded: u64,
    /// Lacking, if that was said.
    pub left: Option<u64>,
}

/// What has been moved since a peer's announce before, as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Moved {
    /// Bytes sent to others.
    pub uploaded: u64,
    /// Bytes got from others.
    pub downloaded: u64,
}

impl Report {
    /// Of an announce, as if it were the peer's first. What it had moved before, it has not moved here.
    pub(crate) fn first(ask: &Announce, now: Time) -> Self {
        Self {
            began: now.0,
            last: now.0,
            uploaded: units(ask.uploaded),
            downloaded: units(ask.downloaded),
            left: ask.left.map_or(u32::MAX, units),
            turned: low_bits(now),
            turn: 0,
        }
    }

    /// Of the announce after `before`, by the same client.
    pub(crate) fn next(before: &Self, ask: &Announce, now: Time, min_interval_secs: u32) -> Self {
        let Self { began, turn, turned, .. } = *before;
        let next = Self { began, ..Self::first(ask, now) };
        if u32::from(low_bits(now).wrapping_sub(turned)) < min_interval_secs {
            return Self { turned, turn, ..next };
        }
        Self { turn: turn.saturating_add(1), ..next }
    }

    /// How often the peer has announced since it came, not counting its first announce, nor those that came sooner than
    /// they may after the last one that counted.
    pub(crate) fn turn(&self) -> u16 {
        self.turn
    }

    /// Seconds since it came.
    pub(crate) fn stay_secs(&self, now: Time) -> u32 {
        now.0.saturating_sub(self.began)
    }

    /// When it announced last.
    pub(crate) fn last(&self) -> Time {
        Time(self.last)
    }

    /// Bytes that it has sent since `before`; nothing if its counter began anew.
    pub(crate) fn uploaded_since(&self, before: &Self) -> u64 {
        u64::from(self.uploaded.saturating_sub(before.uploaded)) * UNIT
    }

    /// What has been moved until a later announce. A counter that went backwards began anew.
    pub(crate) fn moved_until(&self, next: &Self) -> Moved {
        let moved = |before: u32, after: u32| u64::from(after.saturating_sub(before)) * UNIT;
        Moved {
            uploaded: moved(self.uploaded, next.uploaded),
            downloaded: moved(self.downloaded, next.downloaded),
        }
    }

    /// Takes up another announce. A counter that went backwards began anew: nothing has been moved as far as we can know.
    pub(crate) fn renew(&mut self, next: &Self) -> Moved {
        std::mem::replace(self, Self { began: self.began, ..*next }).moved_until(next)
    }

    pub(crate) fn told(&self) -> Reported {
        let bytes = |units: u32| u64::from(units) * UNIT;
        Reported {
            secs: self.last - self.began,
            uploaded: bytes(self.uploaded),
            downloaded: bytes(self.downloaded),
            left: (self.left != u32::MAX).then(|| bytes(self.left)),
        }
    }
}

fn low_bits(now: Time) -> u16 {
    (now.0 & 0xFFFF) as u16
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes / UNIT).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_wire::{Event, InfoHash, Key, PeerId};

    fn report(uploaded: u64, downloaded: u64, left: Option<u64>, secs: u32) -> Report {
        Report::first(&Announce { uploaded, downloaded, left, ..ask() }, Time(secs))
    }

    fn ask() -> Announce {
        Announce {
            info_hash: InfoHash([1; 20]),
            peer_id: PeerId([1; 20]),
            port: 1,
            uploaded: 0,
            downloaded: 0,
            left: None,
            event: Event::Update,
            numwant: None,
            key: Key::NONE,
        }
    }

    #[test]
    fn what_was_moved_before_the_first_announce_and_after_a_reset_counts_nothing() {
        const MIB: u64 = 1 << 20;
        let mut kept = report(100 * MIB, 5 * MIB, Some(1 << 30), 10);
        for (uploaded, downloaded, expected) in
            [(101, 5, (1, 0)), (0, 7, (0, 2)), (1, 0, (1, 0)), (1, 0, (0, 0)), (2, 1, (1, 1))]
        {
            let moved = kept.renew(&report(uploaded * MIB, downloaded * MIB, Some(0), 60));
            assert_eq!((moved.uploaded, moved.downloaded), (expected.0 * MIB, expected.1 * MIB));
        }
        assert_eq!(kept.told(), Reported { secs: 50, uploaded: 2 * MIB, downloaded: MIB, left: Some(0) });
    }

    #[test]
    fn announces_that_come_too_soon_are_of_the_same_turn() {
        let at = |secs| report(0, 0, None, secs);
        let mut kept = at(65_000);
        for (secs, turn) in [(65_100, 0), (65_299, 0), (65_300, 1), (65_599, 1), (65_700, 2), (85_000, 3)] {
            let ask = Announce { left: None, ..ask() };
            let next = Report::next(&kept, &ask, Time(secs), 300);
            kept.renew(&next);
            assert_eq!((kept.turn(), kept.stay_secs(Time(secs))), (turn, secs - 65_000), "at {secs}");
        }
    }

    #[test]
    fn rounding_loses_nothing_for_good_and_no_amount_is_too_large() {
        let mut kept = report(0, 0, None, 0);
        assert_eq!(kept.told().left, None);
        let moved: u64 = (1..=1000).map(|step| kept.renew(&report(step * 1000, 0, None, 0)).uploaded).sum();
        assert_eq!(moved, 1_000_000 / UNIT * UNIT);
        let most = report(u64::MAX, u64::MAX, Some(u64::MAX), 1);
        kept.renew(&most);
        assert_eq!(kept.renew(&most), Moved::default());
    }
}
