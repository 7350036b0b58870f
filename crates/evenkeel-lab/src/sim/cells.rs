//! Runs put together: by cell and policy, paired by seed.

use evenkeel_core::Policy;

use super::batch::Run;
use super::measure::Figures;
use super::statistics::Estimate;

/// The runs of one policy in one cell.
#[derive(Clone, Copy)]
pub(super) struct Arm<'a> {
    pub cell: &'a str,
    pub policy: Policy,
    runs: &'a [Run],
}

/// All arms, in the order of their runs: those of an arm stand together.
pub(super) fn arms(runs: &[Run]) -> Vec<Arm<'_>> {
    let is_same = |a: &Run, b: &Run| a.job.cell == b.job.cell && a.job.policy == b.job.policy;
    let arm = |runs| -> Option<Arm<'_>> {
        let first: &Run = <[Run]>::first(runs)?;
        Some(Arm { cell: &first.job.cell, policy: first.job.policy, runs })
    };
    runs.chunk_by(is_same).filter_map(arm).collect()
}

/// The arm of a policy in a cell.
pub(super) fn find<'a>(arms: &[Arm<'a>], cell: &str, policy: Policy) -> Option<Arm<'a>> {
    arms.iter().find(|arm| arm.cell == cell && arm.policy == policy).copied()
}

impl Arm<'_> {
    /// A figure of each run, by seed.
    fn values(&self, name: &str) -> Vec<(u64, f64)> {
        let value = |run: &Run| Some((run.job.seed, *run.figures.values.get(name)?));
        self.runs.iter().filter_map(value).collect()
    }

    /// A figure as it is.
    pub(super) fn level(&self, name: &str) -> Option<Estimate> {
        let values: Vec<f64> = self.values(name).iter().map(|(_, value)| *value).collect();
        Estimate::of(&values)
    }

    /// A figure that is a ratio.
    pub(super) fn ratio(&self, name: &str) -> Option<Estimate> {
        let values: Vec<f64> = self.values(name).iter().map(|(_, value)| *value).collect();
        Estimate::of_ratios(&values)
    }

    /// A figure of each run.
    pub(super) fn all(&self, name: &str) -> Vec<f64> {
        self.values(name).iter().map(|(_, value)| *value).collect()
    }

    /// The largest of a figure.
    pub(super) fn most(&self, name: &str) -> Option<f64> {
        self.values(name).iter().map(|(_, value)| *value).max_by(f64::total_cmp)
    }

    /// A figure over the same of another arm, seed by seed.
    pub(super) fn over(&self, base: &Arm<'_>, name: &str) -> Option<Estimate> {
        let ratios: Vec<f64> = self.pairs(base, name).map(|(own, base)| own / base).collect();
        Estimate::of_ratios(&ratios)
    }

    /// How much more a figure is than the same of another arm, seed by seed.
    pub(super) fn beyond(&self, base: &Arm<'_>, name: &str) -> Option<Estimate> {
        let differences: Vec<f64> = self.pairs(base, name).map(|(own, base)| own - base).collect();
        Estimate::of(&differences)
    }

    fn pairs(&self, base: &Arm<'_>, name: &str) -> impl Iterator<Item = (f64, f64)> {
        let base = base.values(name);
        let of_seed = move |seed: u64| base.iter().find(|(other, _)| *other == seed).map(|(_, value)| *value);
        self.values(name).into_iter().filter_map(move |(seed, value)| Some((value, of_seed(seed)?)))
    }

    /// Mean shares of a class in each tier.
    pub(super) fn tiers(&self, class: &str) -> Option<Vec<f64>> {
        let all: Vec<_> = self.runs.iter().filter_map(|run| run.figures.tiers.get(class)).collect();
        let first = all.first()?;
        let mean = |tier: usize| all.iter().map(|tiers| tiers[tier]).sum::<f64>() / all.len() as f64;
        Some((0..first.len()).map(mean).collect())
    }

    /// Some run's figures: which there are is the same in all.
    pub(super) fn example(&self) -> &Figures {
        &self.runs[0].figures
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::Job;
    use super::super::regime::{Regime, Setup};
    use super::*;

    fn run(policy: &str, seed: u64, all: f64) -> Run {
        let setup = Setup::new(Regime::Scarce);
        let job = Job { cell: "cell".to_owned(), setup, policy: policy.parse().unwrap(), seed };
        let values = [("all".to_owned(), all)].into();
        Run { job, figures: Figures { values, ..Figures::default() } }
    }

    #[test]
    fn arms_are_paired_by_seed_whatever_their_order() {
        let runs =
            [run("random", 1, 100.0), run("random", 2, 200.0), run("rbs", 2, 220.0), run("rbs", 1, 110.0)];
        let arms = arms(&runs);
        assert_eq!(arms.len(), 2);
        let over = arms[1].over(&arms[0], "all").unwrap();
        assert!((over.low - 1.1).abs() < 1e-9 && (over.high - 1.1).abs() < 1e-9, "{over:?}");
        assert_eq!(arms[1].beyond(&arms[0], "all").unwrap().mean, 15.0);
        assert_eq!(arms[0].level("all").unwrap().mean, 150.0);
        assert_eq!(arms[0].most("all"), Some(200.0));
        assert_eq!(arms[0].over(&arms[1], "no such figure"), None);
    }
}
