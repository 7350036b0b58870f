//! Means with their 95 % confidence intervals, by Student's t.

use serde::Serialize;

/// A figure and the range in which it is likely to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Estimate {
    pub mean: f64,
    pub low: f64,
    pub high: f64,
}

impl Estimate {
    /// Of independent values.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let len = values.len() as f64;
        if values.is_empty() {
            return None;
        }
        let mean = values.iter().sum::<f64>() / len;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let spread = if values.len() > 1 {
            student_t(values.len() - 1) * (squares / (len - 1.0) / len).sqrt()
        } else {
            0.0
        };
        Some(Self { mean, low: mean - spread, high: mean + spread })
    }

    /// Of ratios: what is twice as much and what is half as much are equally far from 1.
    pub(crate) fn of_ratios(ratios: &[f64]) -> Option<Self> {
        let logs: Vec<f64> = ratios.iter().map(|ratio| ratio.ln()).collect();
        let Self { mean, low, high } = Self::of(&logs)?;
        Some(Self { mean: mean.exp(), low: low.exp(), high: high.exp() })
    }

    /// As text, with this many digits.
    pub(crate) fn text(&self, digits: usize) -> String {
        if self.low == self.high {
            return format!("{:.digits$}", self.mean);
        }
        format!("{:.digits$} [{:.digits$}, {:.digits$}]", self.mean, self.low, self.high)
    }

    /// A ratio as a change in percent.
    pub(crate) fn percent(&self) -> Self {
        let percent = |ratio: f64| (ratio - 1.0) * 100.0;
        Self { mean: percent(self.mean), low: percent(self.low), high: percent(self.high) }
    }
}

/// The 97.5 % quantile of Student's t, for so many degrees of freedom.
fn student_t(freedom: usize) -> f64 {
    const QUANTILES: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145,
        2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048,
        2.045, 2.042,
    ];
    QUANTILES.get(freedom.saturating_sub(1)).copied().unwrap_or(1.96)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_that_of_students_t() {
        let estimate = Estimate::of(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert!((estimate.mean - 3.0).abs() < 1e-12);
        assert!((estimate.high - 4.963).abs() < 1e-3, "{estimate:?}");
        assert_eq!(Estimate::of(&[]), None);
    }

    #[test]
    fn the_mean_of_a_half_and_a_double_is_one() {
        let estimate = Estimate::of_ratios(&[0.5, 2.0]).unwrap();
        assert!((estimate.mean - 1.0).abs() < 1e-12 && (estimate.low * estimate.high - 1.0).abs() < 1e-9);
    }
}
