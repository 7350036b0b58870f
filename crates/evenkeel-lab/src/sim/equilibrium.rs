//! Measures what leaving costs at several shares of seeders, and tells where communities come to rest.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::ensure;
use evenkeel_core::Policy;

use super::batch::{self, Job};
use super::best_response::{MEAN_COSTS, Point, SHARES, STARTS, at, rest};
use super::cells::{Arm, arms, find};
use super::constants::DAYS;
use super::plot::{self, Line, Plot};
use super::regime::{Regime, Setup};
use super::write;

/// What is measured.
#[derive(clap::Args)]
pub(super) struct Options {
    /// Policies.
    #[arg(long, value_delimiter = ',', default_value = "random,list-ratio,tier-backoff-symmetric,rbs", value_parser = super::policy)]
    policy: Vec<Policy>,
    /// Seeds of chance: a run for each.
    #[arg(long, value_delimiter = ',', default_value = "1,2,3")]
    seeds: Vec<u64>,
    /// Kind of community.
    #[arg(long, value_enum, default_value = "scarce")]
    regime: Regime,
    /// Days, the first 18 hours of which are not measured.
    #[arg(long, default_value_t = DAYS)]
    days: f64,
    /// File for the tables; standard output by default.
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// File for all runs as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// File for a plot of what leaving costs.
    #[arg(long)]
    svg: Option<PathBuf>,
}

/// Where a community in which this share seeds is found among the runs.
pub(super) fn cell(share: f64) -> String {
    format!("seeding {:.0} %", share * 100.0)
}

pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    ensure!(!options.policy.is_empty() && !options.seeds.is_empty(), "a policy and a seed are needed");
    ensure!((0.01..=30.0).contains(&options.days), "--days must be from 0.01 to 30");
    let mut jobs = Vec::new();
    for share in SHARES {
        let setup = Setup { days: options.days, ..Setup::new(options.regime).with_seeding_share(share) };
        for policy in &options.policy {
            let job =
                |seed: &u64| Job { cell: cell(share), setup: setup.clone(), policy: *policy, seed: *seed };
            jobs.extend(options.seeds.iter().map(job));
        }
    }
    let runs = batch::run(&jobs);
    let arms = arms(&runs);
    if let Some(path) = &options.json {
        write(path, &(serde_json::to_string_pretty(&runs)? + "\n"))?;
    }
    if let Some(path) = &options.svg {
        write(path, &chart(&arms))?;
    }
    match &options.markdown {
        Some(path) => write(path, &report(&arms)),
        None => {
            print!("{}", report(&arms));
            Ok(())
        }
    }
}

/// What leaving costs, and where that leads.
pub(super) fn report(arms: &[Arm<'_>]) -> String {
    let policies = policies(arms);
    let mut out = "What leaving at completion costs: time of those who leave over that of those who seed; in brackets the \
                   seconds for each GB of all.\n\n| share that seeds |"
        .to_owned();
    policies.iter().for_each(|policy| out.extend([" ", &policy.to_string(), " |"]));
    out += "\n|--:|";
    out += &"--:|".repeat(policies.len());
    for share in SHARES {
        write!(out, "\n| {share:.1} |").ok();
        for policy in &policies {
            let point = points(arms, *policy).into_iter().find(|point| point.share == share);
            let text = point.map(|point| format!("{} ({:.0})", point.penalty.text(2), point.all));
            write!(out, " {} |", text.unwrap_or_default()).ok();
        }
    }
    out += "\n\nThe share that seeds once everybody does what is best for them, and the seconds for each GB then, by what \
            seeding costs on average; from a tenth and from a half.\n\n| mean cost |";
    policies.iter().for_each(|policy| out.extend([" ", &policy.to_string(), " |"]));
    out += "\n|--:|";
    out += &"--:|".repeat(policies.len());
    for cost in MEAN_COSTS {
        write!(out, "\n| {cost:.1} |").ok();
        for policy in &policies {
            write!(out, " {} |", rests(&points(arms, *policy), cost)).ok();
        }
    }
    out.push('\n');
    out
}

fn rests(points: &[Point], cost: f64) -> String {
    let text = |start: f64| {
        let share = rest(points, cost, start);
        format!("{share:.2}, {:.0} s", at(points, share, |point| point.all))
    };
    let [low, high] = STARTS.map(text);
    if low == high { low } else { format!("{low}; {high}") }
}

/// What leaving costs against the share that seeds.
pub(super) fn chart(arms: &[Arm<'_>]) -> String {
    let lines = policies(arms).into_iter().map(|policy| Line {
        name: policy.to_string(),
        points: points(arms, policy).iter().map(|point| (point.share, point.penalty.mean)).collect(),
    });
    plot::chart(&Plot {
        title: "What leaving at completion costs",
        across: "share that seeds",
        up: "time of those who leave / of those who seed",
        lines: lines.collect(),
        is_connected: true,
    })
}

/// Those that were run at all shares.
fn policies(arms: &[Arm<'_>]) -> Vec<Policy> {
    let first = cell(SHARES[0]);
    let own = arms.iter().filter(|arm| arm.cell == first).map(|arm| arm.policy);
    own.filter(|policy| points(arms, *policy).len() == SHARES.len()).collect()
}

fn points(arms: &[Arm<'_>], policy: Policy) -> Vec<Point> {
    let point = |share: f64| {
        let arm = find(arms, &cell(share), policy)?;
        Some(Point { share, penalty: arm.ratio("selfish/good")?, all: arm.level("all")?.mean })
    };
    SHARES.into_iter().filter_map(point).collect()
}
