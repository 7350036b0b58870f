//! Where a community settles when everybody does what is best for them.
//!
//! Of those who give at all, a share x seeds for hours, the others leave at completion. R(x) is how much longer a download
//! takes for those who leave. Somebody whom seeding costs k ("I would accept to be slower by k to be spared it") seeds if
//! R(x) - 1 > k. With costs distributed by F, the community is at rest where x = F(R(x) - 1).

use super::statistics::Estimate;

/// Shares at which R is measured; between them it is interpolated.
pub(super) const SHARES: [f64; 5] = [0.1, 0.3, 0.5, 0.7, 0.9];

/// Mean costs, exponentially distributed: from a box that is always on and pays a flat rate to a laptop that pays by the
/// gigabyte. Assumed.
pub(super) const MEAN_COSTS: [f64; 4] = [0.4, 0.8, 1.5, 2.5];

/// Shares from which a community starts.
pub(super) const STARTS: [f64; 2] = [0.1, 0.5];

/// Part of the community that thinks again in a round.
const INERTIA: f64 = 0.1;
const ROUNDS: usize = 2000;

/// What was measured at one share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub share: f64,
    /// Time of those who leave over that of those who seed.
    pub penalty: Estimate,
    /// Seconds for each GB, everybody's mean.
    pub all: f64,
}

/// Where a community comes to rest that starts with `start`.
pub(super) fn rest(points: &[Point], mean_cost: f64, start: f64) -> f64 {
    let mut share = start;
    for _ in 0..ROUNDS {
        let gain = (at(points, share, |point| point.penalty.mean) - 1.0).max(0.0);
        let seeding = 1.0 - (-gain / mean_cost).exp();
        share += INERTIA * (seeding - share);
    }
    share
}

/// A figure between the shares at which it was measured; beyond them, that of the nearest.
pub(super) fn at(points: &[Point], share: f64, figure: impl Fn(&Point) -> f64) -> f64 {
    let above = points.partition_point(|point| point.share < share);
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return 1.0 };
    match (above.checked_sub(1).map(|below| &points[below]), points.get(above)) {
        (None, _) => figure(first),
        (_, None) => figure(last),
        (Some(low), Some(high)) => {
            let part = (share - low.share) / (high.share - low.share);
            figure(low) + part * (figure(high) - figure(low))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(penalties: [f64; 5]) -> Vec<Point> {
        SHARES
            .into_iter()
            .zip(penalties)
            .map(|(share, mean)| Point {
                share,
                penalty: Estimate { mean, low: mean, high: mean },
                all: 700.0 - 500.0 * share,
            })
            .collect()
    }

    #[test]
    fn where_leaving_costs_nothing_nobody_seeds() {
        let flat = points([1.0; 5]);
        assert!(STARTS.into_iter().all(|start| rest(&flat, 0.4, start) < 1e-3));
    }

    #[test]
    fn where_leaving_costs_more_the_more_others_seed_nearly_all_do() {
        let steep = points([1.2, 1.5, 2.0, 2.5, 3.0]);
        for start in STARTS {
            let share = rest(&steep, 0.4, start);
            assert!(share > 0.95, "{share}");
            let gain = at(&steep, share, |point| point.penalty.mean) - 1.0;
            assert!((share - (1.0 - (-gain / 0.4).exp())).abs() < 1e-3, "it is at rest");
        }
        assert!(rest(&steep, 2.5, 0.1) < 0.2, "it cannot make seeding cheap");
    }

    #[test]
    fn between_two_measurements_is_their_mean() {
        let steep = points([1.0, 2.0, 3.0, 4.0, 5.0]);
        assert!((at(&steep, 0.2, |point| point.penalty.mean) - 1.5).abs() < 1e-9);
        assert_eq!(at(&steep, 0.0, |point| point.penalty.mean), 1.0);
        assert_eq!(at(&steep, 1.0, |point| point.penalty.mean), 5.0);
    }
}
