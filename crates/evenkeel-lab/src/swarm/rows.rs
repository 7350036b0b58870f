//! What the runs have to show, and whether they do.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::ensure;
use evenkeel_core::Policy;

use super::Run;
use super::plan::{CONTENDED, FREE, GOOD, IDLE, LONE_DOWNLINK, LONE_UPLINK, ONE_SEED, UNSEEN};
use crate::sim::plot;
use crate::sim::statistics::Estimate;
use crate::sim::table::signed;

/// The runs, judged.
pub(super) struct Proof<'a> {
    runs: &'a [Run],
    policy: Policy,
    rows: Vec<Row>,
    /// Name and version of the tracker.
    program: &'a str,
    thrown_away: usize,
}

/// One figure, and what it must reach.
struct Row {
    what: String,
    measured: Option<Estimate>,
    must: Must,
    is_change: bool,
}

/// The mean lies in a range, and the lower end of its interval is not below another number.
#[derive(Clone, Copy)]
struct Must {
    least: f64,
    most: f64,
    low: f64,
}

impl Must {
    const fn at_least(least: f64) -> Self {
        Self { least, most: f64::INFINITY, low: 0.0 }
    }

    /// Whatever was measured will do.
    fn is_nothing(self) -> bool {
        self.least <= 0.0 && self.most.is_infinite()
    }

    const fn within(least: f64, most: f64) -> Self {
        Self { least, most, low: 0.0 }
    }
}

/// Cells in which policies are compared, in the order in which they are told.
const CELLS: [&str; 4] = [CONTENDED, IDLE, ONE_SEED, UNSEEN];

/// Everybody is served alike, up to this.
const ALIKE: Must = Must::within(0.97, 1.03);
/// Nothing: it is there to be known.
const STATED: Must = Must::at_least(0.0);
/// Rates count what TCP and IP add to a transfer; and no limit is kept to the byte.
const LIMIT_KEPT: Must = Must::within(0.9, 1.1);

/// Refuses a machine on which limits of rate mean nothing.
pub(super) fn check_limits(lone: &[Run]) -> anyhow::Result<()> {
    for run in lone {
        let ratio = limit_used(run);
        ensure!(
            (LIMIT_KEPT.least..=LIMIT_KEPT.most).contains(&ratio),
            "{}: a lone transfer has {:.0} % of the rate that it is limited to: limits do not hold here",
            run.job.name(),
            ratio * 100.0
        );
    }
    Ok(())
}

/// What a lone transfer has of the rate that it is limited to.
fn limit_used(run: &Run) -> f64 {
    let plan = &run.job.plan;
    run.bytes_per_sec() / f64::from(plan.download.min(plan.seeder_upload))
}

impl Run {
    /// Over all leechers.
    fn bytes_per_sec(&self) -> f64 {
        let bytes: u64 = self.outcome.classes.values().map(|sums| sums.bytes).sum();
        bytes as f64 / self.outcome.window_secs
    }

    /// Time that a class has spent on a megabyte.
    fn secs_for_mb(&self, class: &str) -> Option<f64> {
        let sums = self.outcome.classes.get(class).filter(|sums| sums.bytes > 0)?;
        Some(sums.secs / sums.bytes as f64 * 1e6)
    }

    fn free_over_good(&self) -> Option<f64> {
        Some(self.secs_for_mb(FREE)? / self.secs_for_mb(GOOD)?)
    }

    /// Seeders that a leecher of a class is connected to.
    fn seeders_known(&self, class: &str) -> Option<f64> {
        let sums = self.outcome.classes.get(class).filter(|sums| sums.looks > 0)?;
        Some(sums.seeders_known as f64 / sums.looks as f64)
    }
}

impl<'a> Proof<'a> {
    pub(super) fn of(runs: &'a [Run], policy: Policy, (program, thrown_away): (&'a str, usize)) -> Self {
        let mut proof = Self { runs, policy, rows: Vec::new(), program, thrown_away };
        proof.preflight();
        if proof.has(CONTENDED) {
            proof.contended();
        }
        for (cell, must) in [(IDLE, ALIKE), (ONE_SEED, ALIKE), (UNSEEN, STATED)] {
            if proof.has(cell) {
                proof.alike(cell, must);
            }
        }
        proof
    }

    fn preflight(&mut self) {
        for (cell, what) in [(LONE_UPLINK, "an uplink"), (LONE_DOWNLINK, "a downlink")] {
            let used = self.level(cell, Policy::Random, |run| Some(limit_used(run)));
            self.push(&format!("what a lone transfer has of {what} that limits it"), used, LIMIT_KEPT);
        }
        let free = self.runs.iter().filter_map(|run| run.outcome.classes.get(FREE));
        let given: u64 = free.map(|sums| sums.uploaded).sum();
        let nothing = (given == 0).then_some(Estimate { mean: 0.0, low: 0.0, high: 0.0 });
        self.push("bytes that free riders gave", nothing, Must::within(0.0, 0.0));
    }

    fn contended(&mut self) {
        let rationed = self.of_arm(CONTENDED, self.policy).filter_map(|run| run.outcome.rationed);
        let least = rationed.fold(None, |least: Option<f64>, share| Some(least.unwrap_or(1.0).min(share)));
        let least = least.map(|least| Estimate { mean: least, low: least, high: least });
        self.push(
            "contended: share of seeders that were busy, in the run with the fewest",
            least,
            Must::at_least(0.5),
        );
        let ratio = self.compared(CONTENDED, Run::free_over_good);
        let must = Must { low: 1.5, ..Must::at_least(2.0) };
        self.push("contended: free/good, over the same under `random`", ratio, must);
        let good = self.compared(CONTENDED, |run| run.secs_for_mb(GOOD));
        self.push_change("contended: time of good leechers for a byte", good, Must::within(0.0, 0.8));
        let free = self.compared(CONTENDED, |run| run.secs_for_mb(FREE));
        self.push_change("contended: time of free riders for a byte", free, STATED);
        let bytes = self.compared(CONTENDED, |run| Some(run.bytes_per_sec()));
        self.push_change("contended: bytes delivered in a second", bytes, Must::at_least(0.96));
    }

    fn alike(&mut self, cell: &str, must: Must) {
        for (class, who) in [(GOOD, "good leechers"), (FREE, "free riders")] {
            let time = self.compared(cell, |run| run.secs_for_mb(class));
            self.push_change(&format!("{cell}: time of {who} for a byte"), time, must);
        }
        let bytes = self.compared(cell, |run| Some(run.bytes_per_sec()));
        self.push_change(&format!("{cell}: bytes delivered in a second"), bytes, must);
    }

    fn push(&mut self, what: &str, measured: Option<Estimate>, must: Must) {
        self.rows.push(Row { what: what.to_owned(), measured, must, is_change: false });
    }

    fn push_change(&mut self, what: &str, measured: Option<Estimate>, must: Must) {
        self.rows.push(Row { what: what.to_owned(), measured, must, is_change: true });
    }

    fn has(&self, cell: &str) -> bool {
        self.runs.iter().any(|run| run.job.cell == cell)
    }

    fn of_arm(&self, cell: &str, policy: Policy) -> impl Iterator<Item = &'a Run> + use<'a> {
        let cell = cell.to_owned();
        self.runs.iter().filter(move |run| run.job.cell == cell && run.job.policy == policy)
    }

    /// A figure of one arm.
    fn level(&self, cell: &str, policy: Policy, figure: impl Fn(&Run) -> Option<f64>) -> Option<Estimate> {
        let values: Option<Vec<f64>> = self.of_arm(cell, policy).map(figure).collect();
        Estimate::of_ratios(&values?)
    }

    /// A figure under the policy over the same under `random`, pair by pair.
    fn compared(&self, cell: &str, figure: impl Fn(&Run) -> Option<f64>) -> Option<Estimate> {
        let base: BTreeMap<u64, &Run> =
            self.of_arm(cell, Policy::Random).map(|run| (run.job.plan.seed, run)).collect();
        let ratio = |run: &Run| Some(figure(run)? / figure(base.get(&run.job.plan.seed)?)?);
        let ratios: Option<Vec<f64>> = self.of_arm(cell, self.policy).map(ratio).collect();
        Estimate::of_ratios(&ratios?)
    }

    /// Fails if anything falls short.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let missed: Vec<&str> = self.missed().map(|row| row.what.as_str()).collect();
        ensure!(
            missed.is_empty(),
            "{} of {} fall short: {}",
            missed.len(),
            self.rows.len(),
            missed.join("; ")
        );
        Ok(())
    }

    /// Fails if no community lived: for runs that are too short to show more.
    pub(super) fn check_life(&self) -> anyhow::Result<()> {
        for run in self.runs.iter().filter(|run| run.job.cell == CONTENDED) {
            let plan = &run.job.plan;
            let capacity = f64::from(plan.seeders) * f64::from(plan.seeder_upload);
            for (class, sums) in &run.outcome.classes {
                let name = run.job.name();
                ensure!(sums.bytes > 1 << 20, "{name}: {class} got next to nothing");
                ensure!(sums.uploaded == 0 || class != FREE, "{name}: free riders gave {}", sums.uploaded);
            }
            let delivered = run.bytes_per_sec();
            ensure!(delivered >= capacity / 2.0, "{}: {delivered:.0} bytes a second", run.job.name());
        }
        Ok(())
    }

    fn missed(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.is_missed())
    }

    pub(super) fn report(&self) -> String {
        let missed = self.missed().count();
        let verdict = if missed == 0 {
            "passed".to_owned()
        } else {
            format!("{missed} of {} rows FAIL", self.rows.len())
        };
        let library = self.runs.first().map_or("", |run| &run.outcome.libtorrent);
        let mut out = format!(
            "* program: {}; libtorrent {library}\n* runs thrown away because the machine was too slow, and made anew: {}\n\
             * verdict: {verdict}\n\nRanges are 95 % confidence intervals (Student's t on logarithms), paired by seed.\n\n",
            self.program, self.thrown_away
        );
        out += "| what | must be | measured | |\n|---|--:|--:|---|\n";
        for row in &self.rows {
            let verdict = match row.is_missed() {
                true => "**FAIL**",
                false if row.must.is_nothing() => "",
                false => "pass",
            };
            writeln!(out, "| {} | {} | {} | {verdict} |", row.what, row.target(), row.figure()).ok();
        }
        out += "\n## All cells\n\nSeconds that a class spent leeching for each megabyte; seeders that a leecher was connected \
                to.\n\n";
        out + &self.cells()
    }

    /// All that was measured, as a table.
    pub(super) fn cells(&self) -> String {
        let mut out = "| cell | policy | runs | good | free | free/good | KB/s | seeders, good | seeders, free | uplinks used \
                       | seeders busy |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
            .to_owned();
        for cell in CELLS {
            for policy in [Policy::Random, self.policy] {
                out += &self.arm(cell, policy);
            }
        }
        out
    }

    /// The row of an arm, if there is one.
    fn arm(&self, cell: &str, policy: Policy) -> String {
        let runs = self.of_arm(cell, policy).count();
        if runs == 0 {
            return String::new();
        }
        let text = |digits: usize, figure: &dyn Fn(&Run) -> Option<f64>| {
            self.level(cell, policy, figure).map_or_else(|| "-".to_owned(), |level| level.text(digits))
        };
        let mean = |figure: &dyn Fn(&Run) -> Option<f64>| -> String {
            let values: Option<Vec<f64>> = self.of_arm(cell, policy).map(figure).collect();
            let mean = values.and_then(|values| Estimate::of(&values));
            mean.map_or_else(|| "-".to_owned(), |mean| format!("{:.2}", mean.mean))
        };
        format!(
            "| {cell} | {policy} | {runs} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
            text(2, &|run| run.secs_for_mb(GOOD)),
            text(2, &|run| run.secs_for_mb(FREE)),
            text(2, &Run::free_over_good),
            text(0, &|run| Some(run.bytes_per_sec() / 1e3)),
            mean(&|run| run.seeders_known(GOOD)),
            mean(&|run| run.seeders_known(FREE)),
            mean(&|run| Some(run.outcome.utilisation)),
            mean(&|run| run.outcome.rationed)
        )
    }

    pub(super) fn plot(&self) -> String {
        let mut groups = Vec::new();
        let mut values = Vec::new();
        for cell in CELLS.into_iter().filter(|cell| self.has(cell)) {
            for class in [GOOD, FREE] {
                groups.push(format!("{cell}, {class}"));
                let level = |policy| self.level(cell, policy, |run| run.secs_for_mb(class));
                values.push(
                    [Policy::Random, self.policy]
                        .map(|policy| level(policy).map_or(0.0, |at| at.mean))
                        .to_vec(),
                );
            }
        }
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        let policies = [Policy::Random, self.policy].map(|policy| policy.to_string());
        plot::bars("Who waits how long: real clients", &groups, &policies, (&values, "seconds for each MB"))
    }
}

impl Row {
    /// Whether it falls short, or could not be measured at all.
    fn is_missed(&self) -> bool {
        let Must { least, most, low } = self.must;
        !self.measured.is_some_and(|estimate| (least..=most).contains(&estimate.mean) && estimate.low >= low)
    }

    fn target(&self) -> String {
        let Must { least, most, low } = self.must;
        let number = |number: f64| {
            if self.is_change { format!("{:+.0} %", (number - 1.0) * 100.0) } else { format!("{number:.2}") }
        };
        let mean = match (least > 0.0, most.is_finite()) {
            (true, true) => format!("{} to {}", number(least), number(most)),
            (true, false) => format!(">= {}", number(least)),
            (false, true) => format!("<= {}", number(most)),
            (false, false) => "-".to_owned(),
        };
        if low > 0.0 { format!("{mean}, from {} on", number(low)) } else { mean }
    }

    fn figure(&self) -> String {
        match self.measured {
            None => "nothing".to_owned(),
            Some(estimate) if self.is_change => signed(&estimate.percent()),
            Some(estimate) => estimate.text(2),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::community::{Outcome, Sums};
    use super::super::plan::{Job, Length, jobs, lone_transfers};
    use super::*;

    /// Of a community in which free riders wait so many times as long as good ones.
    pub(in super::super) fn outcome(free_over_good: f64) -> Outcome {
        let good = Sums { secs: 1000.0, bytes: 100_000_000, looks: 1, seeders_known: 10, ..Sums::default() };
        let free = Sums { secs: 1000.0 * free_over_good, ..good.clone() };
        Outcome {
            libtorrent: "2".to_owned(),
            late_secs: 0.0,
            window_secs: 100.0,
            utilisation: 0.9,
            rationed: Some(0.9),
            classes: [(GOOD.to_owned(), good), (FREE.to_owned(), free)].into(),
        }
    }

    fn lone_outcome(bytes_per_sec: u64) -> Outcome {
        let sums = Sums { secs: 100.0, bytes: bytes_per_sec * 100, ..Sums::default() };
        Outcome { classes: [(GOOD.to_owned(), sums)].into(), ..outcome(1.0) }
    }

    /// All runs, where free riders wait as long as `ratio` says in the contended cell under `rbs`.
    fn runs(ratio: impl Fn(u64) -> f64) -> Vec<Run> {
        let policy: Policy = "rbs".parse().unwrap();
        let of = |job: Job| {
            let is_rationed = job.cell == CONTENDED && job.policy == policy;
            let mut outcome = outcome(if is_rationed { ratio(job.plan.seed) } else { 1.0 });
            if is_rationed {
                outcome.classes.get_mut(GOOD).unwrap().secs = 700.0;
            }
            Run { job, outcome }
        };
        let lone =
            lone_transfers(Length::Long).into_iter().map(|job| Run { job, outcome: lone_outcome(95_000) });
        lone.chain(jobs(Length::Long, 5, policy).into_iter().map(of)).collect()
    }

    fn missed(runs: &[Run]) -> Vec<String> {
        let proof = Proof::of(runs, "rbs".parse().unwrap(), ("evenkeel", 0));
        assert!(proof.plot().ends_with("</svg>\n") && !proof.plot().contains("NaN"));
        assert_eq!(proof.report().contains("FAIL"), proof.check().is_err());
        proof.missed().map(|row| row.what.clone()).collect()
    }

    #[test]
    fn a_policy_that_does_what_it_is_to_do_passes() {
        assert_eq!(missed(&runs(|_| 1.7)), [""; 0]);
    }

    #[test]
    fn whatever_falls_short_is_named() {
        assert_eq!(missed(&runs(|_| 1.2)), ["contended: free/good, over the same under `random`"]);
        let scattered = |seed| if seed % 2 == 0 { 0.7 } else { 5.0 };
        assert_eq!(missed(&runs(scattered)), ["contended: free/good, over the same under `random`"]);
        let mut all = runs(|_| 1.7);
        let gives = |run: &mut Run| run.outcome.classes.get_mut(FREE).unwrap().uploaded = 1;
        all.iter_mut().filter(|run| run.job.cell == IDLE).for_each(gives);
        let idle = |run: &&mut Run| run.job.cell == IDLE && run.job.policy != Policy::Random;
        for run in all.iter_mut().filter(idle) {
            run.outcome.classes.get_mut(FREE).unwrap().secs *= 1.05;
        }
        assert_eq!(missed(&all), ["bytes that free riders gave", "idle: time of free riders for a byte"]);
        for run in &mut all {
            run.outcome.rationed = None;
        }
        assert_eq!(missed(&all).len(), 3, "and nobody knows whether anybody was busy");
    }

    #[test]
    fn a_machine_without_limits_is_refused() {
        let lone = |rate| {
            let of = |job| Run { job, outcome: lone_outcome(rate) };
            lone_transfers(Length::Long).into_iter().map(of).collect::<Vec<_>>()
        };
        assert!(check_limits(&lone(95_000)).is_ok());
        assert!(check_limits(&lone(450_000)).is_err() && check_limits(&lone(80_000)).is_err());
    }
}
