//! How much of what was moved counts.

/// What a site, a class of users, a user or a torrent says about what counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Terms {
    /// Percent of the bytes sent that are credited, if that is said.
    pub up_percent: Option<u16>,
    /// Percent of the bytes received that are charged, if that is said.
    pub down_percent: Option<u16>,
    /// Until when nothing is charged, in seconds since 1970; 0 for never, the largest number for always.
    pub free_until_secs: u64,
}

/// What counts of an announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Factors {
    /// Percent of the bytes sent that are credited.
    pub up_percent: u16,
    /// Percent of the bytes received that are charged.
    pub down_percent: u16,
}

impl Factors {
    /// Everything counts as it is.
    pub const PLAIN: Self = Self { up_percent: 100, down_percent: 100 };

    /// What holds when all of these terms do, at `wall_secs` since 1970: the most that any of them credits, the least that
    /// any of them charges.
    ///
    /// Known weakness: they hold for all that was moved since the announce before, so that an hour for which nothing is
    /// charged reaches back by up to one interval, and ends as much too early.
    pub fn of(terms: &[Terms], wall_secs: u64) -> Self {
        let is_free = terms.iter().any(|terms| wall_secs < terms.free_until_secs);
        let up_percent = terms.iter().filter_map(|terms| terms.up_percent).max();
        let down_percent = terms.iter().filter_map(|terms| terms.down_percent).min();
        Self {
            up_percent: up_percent.unwrap_or(Self::PLAIN.up_percent),
            down_percent: if is_free { 0 } else { down_percent.unwrap_or(Self::PLAIN.down_percent) },
        }
    }

    /// What is credited for bytes sent: rounded down.
    pub fn credited(&self, uploaded: u64) -> u64 {
        let exact = u128::from(uploaded) * u128::from(self.up_percent) / 100;
        u64::try_from(exact).unwrap_or(u64::MAX)
    }

    /// What is charged for bytes received: rounded up, since what is not charged is a credit.
    pub fn charged(&self, downloaded: u64) -> u64 {
        let exact = (u128::from(downloaded) * u128::from(self.down_percent)).div_ceil(100);
        u64::try_from(exact).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(up_percent: Option<u16>, down_percent: Option<u16>, free_until_secs: u64) -> Terms {
        Terms { up_percent, down_percent, free_until_secs }
    }

    fn factors(up_percent: u16, down_percent: u16) -> Factors {
        Factors { up_percent, down_percent }
    }

    #[test]
    fn the_best_of_all_terms_holds_and_what_nobody_says_is_a_hundred_percent() {
        assert_eq!(Factors::of(&[], 0), Factors::PLAIN);
        assert_eq!(Factors::of(&[Terms::default(); 3], 7), Factors::PLAIN);
        let [site, user, torrent] =
            [terms(Some(120), None, 0), terms(None, Some(80), 0), terms(Some(200), Some(50), 0)];
        assert_eq!(Factors::of(&[site, user, torrent], 7), factors(200, 50));
        assert_eq!(Factors::of(&[site, user], 7), factors(120, 80));
    }

    #[test]
    fn a_neutral_torrent_neither_credits_nor_charges() {
        let neutral = terms(Some(0), Some(0), 0);
        let factors = Factors::of(&[Terms::default(), neutral], 7);
        assert_eq!((factors.credited(1000), factors.charged(1000)), (0, 0));
    }

    #[test]
    fn nothing_is_charged_until_the_date_whoever_says_so_and_uploads_count_all_the_same() {
        let until = terms(Some(150), Some(70), 1000);
        for all in [[until, Terms::default()], [Terms::default(), until]] {
            assert_eq!(Factors::of(&all, 999), factors(150, 0));
            assert_eq!(Factors::of(&all, 1000), factors(150, 70));
        }
        assert_eq!(Factors::of(&[terms(None, None, u64::MAX)], u64::MAX - 1).down_percent, 0);
    }

    #[test]
    fn rounding_never_credits_a_byte_too_much_and_charges_every_byte() {
        assert_eq!([0, 1, 2, 3, 199].map(|bytes| factors(50, 100).credited(bytes)), [0, 0, 1, 1, 99]);
        assert_eq!([0, 1, 2, 3, 199].map(|bytes| factors(100, 50).charged(bytes)), [0, 1, 1, 2, 100]);
        // In small steps, too, a sum is never more than it is in one.
        let steps: u64 = (0..1000).map(|_| factors(150, 100).credited(3)).sum();
        assert!(steps <= factors(150, 100).credited(3000));
    }

    #[test]
    fn amounts_beyond_32_and_64_bits_end_at_the_largest_number() {
        let twice = factors(200, 200);
        assert_eq!(twice.credited(3 << 31), 6 << 31);
        assert_eq!((twice.credited(u64::MAX), twice.charged(u64::MAX)), (u64::MAX, u64::MAX));
        assert_eq!(
            (Factors::PLAIN.credited(u64::MAX), Factors::PLAIN.charged(u64::MAX)),
            (u64::MAX, u64::MAX)
        );
    }
}
