//! The controller of the threshold of busy uplinks, over many decisions in each regime: what rationing costs with it, and how
//! often it moves where there is nothing to find, since both arms run `random`.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::ensure;
use evenkeel_core::{Policy, Preset};

use super::batch::{self, Job};
use super::cells::{Arm, arms, find};
use super::regime::{Regime, Setup};
use super::trial::Trial;
use super::{table, write};

/// What is simulated.
#[derive(clap::Args)]
pub(super) struct Options {
    /// Seeds of chance: a run for each.
    #[arg(long, value_delimiter = ',', default_value = "1,2,3")]
    seeds: Vec<u64>,
    /// More seeds, of `random` alone.
    #[arg(long, value_delimiter = ',')]
    more_of_random: Vec<u64>,
    /// Days, at the end of each of which there is a decision.
    #[arg(long, default_value_t = 8)]
    days: u32,
    /// Torrents in 100 that are held out. A tracker holds out 5 of many; here there are 120.
    #[arg(long, default_value_t = 25)]
    held_out: u32,
    /// File for the report; standard output by default.
    #[arg(long)]
    markdown: Option<PathBuf>,
}

const REGIMES: [Regime; 3] = [Regime::Scarce, Regime::Balanced, Regime::Plenty];
const RBS: Policy = Policy::Rbs(Preset::Default);
const DECISIONS_LEAST: f64 = 8.0;
/// What everybody's time may be over that under `random`.
const COST_MOST: f64 = 1.03;
/// Part of all decisions about nothing that may move the threshold.
const FALSE_ALARMS_MOST: f64 = 0.05;

pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    ensure!(!options.seeds.is_empty(), "a seed is needed");
    ensure!((1..=30).contains(&options.days), "--days must be from 1 to 30");
    ensure!((1..=50).contains(&options.held_out), "--held-out must be from 1 to 50");
    let mut jobs = Vec::new();
    for regime in REGIMES {
        for policy in [Policy::Random, RBS] {
            let trial = Trial { held_out_percent: options.held_out, steers: policy == RBS };
            let setup = Setup { days: options.days.into(), trial, ..Setup::new(regime) };
            let more = options.more_of_random.iter().filter(|_| policy == Policy::Random);
            jobs.extend(options.seeds.iter().chain(more).map(|seed| Job {
                cell: regime.name().to_owned(),
                setup: setup.clone(),
                policy,
                seed: *seed,
            }));
        }
    }
    let runs = batch::run(&jobs);
    let (text, holds) = report(&arms(&runs), options);
    match &options.markdown {
        Some(path) => write(path, &text)?,
        None => print!("{text}"),
    }
    ensure!(holds, "something does not hold: see the rows that say so");
    Ok(())
}

fn report(arms: &[Arm<'_>], options: &Options) -> (String, bool) {
    let list = |seeds: &[u64]| seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let mut text = format!(
        "* seeds: {}; of `random` alone also {}\n* {} days, {} % of the torrents held out, a decision at the end of each day\n\n",
        list(&options.seeds),
        if options.more_of_random.is_empty() { "none".to_owned() } else { list(&options.more_of_random) },
        options.days,
        options.held_out
    );
    text += "## What rationing costs with it\n\n| regime | decisions in a run, at least 8 | moves | threshold moved in the end, percent | it saw | all, rbs / random, at most +3 % | p95 | |\n\
             |---|--:|--:|--:|--:|--:|--:|---|\n";
    let mut all_hold = true;
    for regime in REGIMES {
        let pair = find(arms, regime.name(), RBS).zip(find(arms, regime.name(), Policy::Random));
        let Some((own, base)) = pair else { continue };
        let (decisions, cost) = (own.level("decisions"), own.over(&base, "all"));
        let holds = decisions.is_some_and(|decisions| decisions.mean >= DECISIONS_LEAST)
            && cost.is_some_and(|cost| cost.mean <= COST_MOST);
        all_hold &= holds;
        let mean = |name: &str| own.level(name).map_or(f64::NAN, |value| value.mean);
        let change = |name: &str| {
            own.over(&base, name).map_or_else(String::new, |ratio| table::signed(&ratio.percent()))
        };
        writeln!(
            text,
            "| {} | {:.0} | {:.1} | {:+.1} | {:+.1} % +- {:.1} | {} | {} | {} |",
            regime.name(),
            mean("decisions"),
            mean("moves"),
            mean("moved"),
            mean("cost seen"),
            mean("cost seen give or take"),
            change("all"),
            change("all p95"),
            verdict(holds)
        )
        .ok();
    }
    text += "\n## What it takes for something where there is nothing\n\nBoth arms run `random`, and what moves the threshold is chance.\n\n\
             | regime | runs | decisions | of them moved it | up | runs with a move | at most 5 % of the decisions |\n|---|--:|--:|--:|--:|--:|---|\n";
    for regime in REGIMES {
        let Some(arm) = find(arms, regime.name(), Policy::Random) else { continue };
        let sum = |name: &str| arm.all(name).iter().sum::<f64>();
        let moved = arm.all("moves").iter().filter(|moves| **moves > 0.0).count();
        let holds = sum("moves") <= FALSE_ALARMS_MOST * sum("decisions");
        all_hold &= holds;
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {moved} | {} |",
            regime.name(),
            arm.all("moves").len(),
            sum("decisions"),
            sum("moves"),
            sum("moves up"),
            verdict(holds)
        )
        .ok();
    }
    (text, all_hold)
}

fn verdict(holds: bool) -> &'static str {
    if holds { "holds" } else { "**falls short**" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_a_decision_and_the_report_says_what_it_was() {
        let trial = Trial { held_out_percent: 25, steers: true };
        let setup =
            Setup { users: 60, torrents: 40, size_gb: 1.0, days: 2.0, trial, ..Setup::new(Regime::Scarce) };
        let job = |policy| Job { cell: "scarce".to_owned(), setup: setup.clone(), policy, seed: 1 };
        let runs = batch::run(&[job(Policy::Random), job(RBS)]);
        assert!(runs.iter().all(|run| run.figures.values["decisions"] == 2.0));
        let options =
            Options { seeds: vec![1], more_of_random: Vec::new(), days: 2, held_out: 25, markdown: None };
        let (text, holds) = report(&arms(&runs), &options);
        assert!(text.contains("| scarce | 2 |") && text.contains("| scarce | 1 | 2 |"), "{text}");
        assert!(!holds, "two decisions are too few");
    }
}
