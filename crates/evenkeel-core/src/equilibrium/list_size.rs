//! The policies `list-...`: a list drawn at random, as `random` draws it, of a length that the caller has earned.
//!
//! They are those of etracker (`PeersForAnnounces`, `PeersForSeeds`, `PeersForGoodSeeds`, `PeersForRatio`; its fifth,
//! `NumwantPeers`, is `random`), for comparison and for communities that come from there. Differences to its code:
//!
//! * Ratios are real numbers. There they are divided as integers, so that the bonus of `list-good-seeds` is given only
//!   to those whose *every* torrent has a ratio of 1, and a ratio of 1.9 counts as 1.
//! * `list-good-seeds` with a `numwant` of 5 or less gives what was asked for; there the formula has no value.
//! * `list-ratio` never gives more than was asked for; there it answers 5 peers to a `numwant` of 0.
//! * Seeders are given no seeders. There everybody is given everybody.
//!
//! Known weakness: a new identity gets a full list from `list-ratio`, so that to leave and come back as somebody else is
//! always worth it; and a short list costs a patient free rider little: it asks again, and it is dialled by the others.

use crate::identity::Figures;

/// What the length follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Formula {
    /// One peer for each torrent announced, and one more.
    Announces,
    /// One peer for each torrent seeded, and one more.
    Seeds,
    /// Five peers at least, all from about the community's mean plus one standard deviation of torrents seeded; those with
    /// a ratio of 1 count twice.
    GoodSeeds,
    /// All peers from a ratio of 2, or when all that was snatched is still seeded; fewer in proportion, but five.
    Ratio,
}

/// What nobody falls below.
const LEAST: f64 = 5.0;
/// Torrents seeded by a good user where the community's figures are not known.
const GOOD_SEEDS: u32 = 5;

/// Peers for a caller that wants `want`.
pub(super) fn length(formula: Formula, figures: &Figures, want: usize) -> usize {
    let wanted = f64::from(u32::try_from(want).unwrap_or(u32::MAX));
    let earned = match formula {
        Formula::Announces => f64::from(figures.torrents) + 1.0,
        Formula::Seeds => f64::from(figures.seeded) + 1.0,
        Formula::GoodSeeds => good_seeds(figures, wanted),
        Formula::Ratio => ratio(figures, wanted),
    };
    (0..want).find(|length| f64::from(u32::try_from(*length).unwrap_or(u32::MAX)) >= earned).unwrap_or(want)
}

fn good_seeds(figures: &Figures, wanted: f64) -> f64 {
    if wanted <= LEAST {
        return wanted;
    }
    let target = if figures.good_seeds == 0 { GOOD_SEEDS } else { figures.good_seeds };
    let bonus = f64::from(figures.positive) / f64::from(figures.torrents.max(1));
    let score = f64::from(figures.seeded) * (1.0 + bonus);
    // At the target a tenth of a peer is missing from the whole list.
    let nearly = (wanted - LEAST - 0.1) / (wanted - LEAST + 0.1);
    let slope = nearly.atanh() / f64::from(target);
    LEAST + (wanted - LEAST) * (slope * score).tanh()
}

#[expect(clippy::cast_precision_loss, reason = "a ratio of bytes needs no more than 53 bits")]
fn ratio(figures: &Figures, wanted: f64) -> f64 {
    let kept = match figures.snatched {
        0 => 1.0,
        snatched => f64::from(figures.seeded) / f64::from(snatched),
    };
    let ratio = match figures.downloaded {
        0 => 0.0,
        downloaded => figures.uploaded as f64 / downloaded as f64,
    };
    let withheld = (1.0 - kept).max(0.0) * wanted * (2.0 - ratio).max(0.0) / 2.0;
    (wanted - withheld.floor()).max(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lengths_are_those_of_the_formulas() {
        let new = Figures::default();
        let giver = Figures {
            torrents: 10,
            seeded: 9,
            positive: 5,
            snatched: 10,
            uploaded: 150,
            downloaded: 100,
            good_seeds: 10,
        };
        let taker = Figures { torrents: 3, snatched: 20, downloaded: 1 << 40, ..new };
        for (formula, expected) in [
            (Formula::Announces, [1, 11, 4]),
            (Formula::Seeds, [1, 10, 1]),
            (Formula::GoodSeeds, [5, 50, 5]),
            // 1.5 of 2, one in ten not kept: 50 - floor(.1 * 50 * .5 / 2).
            (Formula::Ratio, [50, 49, 5]),
        ] {
            assert_eq!([&new, &giver, &taker].map(|figures| length(formula, figures, 50)), expected);
            assert!([&new, &giver, &taker].iter().all(|figures| length(formula, figures, 3) <= 3));
            assert_eq!(length(formula, &giver, 0), 0);
        }
    }
}
