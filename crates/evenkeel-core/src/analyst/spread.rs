//! How values are spread over a community: counts in 256 steps, of which quantiles are read.

/// Counts.
#[derive(Clone)]
pub(super) struct Spread {
    counts: [u32; STEPS],
    total: u32,
    scale: Scale,
}

const STEPS: usize = 256;

/// How values fall into steps.
#[derive(Clone, Copy)]
pub(super) enum Scale {
    /// From 0 to 1, evenly.
    Score,
    /// From 2^-16 to 2^16, eight steps for each time twice as much.
    Amount,
}

impl Spread {
    pub(super) fn new(scale: Scale) -> Self {
        Self { counts: [0; STEPS], total: 0, scale }
    }

    pub(super) fn note(&mut self, value: f32) {
        let step = match self.scale {
            Scale::Score => value * 256.0,
            Scale::Amount => (value.max(f32::MIN_POSITIVE).log2() + 16.0) * 8.0,
        };
        self.counts[place(step)] += 1;
        self.total += 1;
    }

    /// The value that so many percent are below; none of nobody.
    pub(super) fn quantile(&self, percent: u32) -> Option<f32> {
        let below = u64::from(self.total) * u64::from(percent.min(100)) / 100;
        let mut seen = 0;
        let step = self.counts.iter().position(|count| {
            seen += u64::from(*count);
            seen > below
        });
        let step = step.or_else(|| self.counts.iter().rposition(|count| *count > 0))?;
        #[expect(clippy::cast_precision_loss, reason = "there are 256 steps")]
        let middle = step as f32 + 0.5;
        Some(match self.scale {
            Scale::Score => middle / 256.0,
            Scale::Amount => (middle / 8.0 - 16.0).exp2(),
        })
    }
}

/// The step of a value; what is no number is in the lowest.
fn place(step: f32) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was put in range")]
    let place = step.clamp(0.0, 255.0) as usize;
    place.min(STEPS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_values_but_for_a_step() {
        let (mut scores, mut amounts) = (Spread::new(Scale::Score), Spread::new(Scale::Amount));
        for number in 0..1000_u16 {
            scores.note(f32::from(number) / 1000.0);
            amounts.note(f32::from(number));
        }
        for percent in [0_u16, 30, 55, 80, 99] {
            let expected = f32::from(percent) / 100.0;
            let score = scores.quantile(percent.into()).unwrap();
            assert!((score - expected).abs() < 0.005, "{score} for {percent}");
            let amount = amounts.quantile(percent.into()).unwrap();
            assert!(percent == 0 || (amount / expected / 1000.0 - 1.0).abs() < 0.1, "{amount} for {percent}");
        }
    }

    #[test]
    fn nobody_has_no_quantiles_and_no_value_is_out_of_range() {
        let mut scores = Spread::new(Scale::Score);
        assert_eq!(scores.quantile(50), None);
        [f32::NAN, f32::INFINITY, -1.0].into_iter().for_each(|value| scores.note(value));
        assert!(scores.quantile(100).unwrap() > 0.99);
        let mut amounts = Spread::new(Scale::Amount);
        [0.0, f32::MAX, f32::NAN].into_iter().for_each(|value| amounts.note(value));
        assert!(amounts.quantile(50).is_some());
    }
}
