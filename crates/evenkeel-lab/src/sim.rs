//! Simulates communities around the real core: who fares how under which policy.
//!
//! The model is in `sim/world.rs`, its numbers in `sim/constants.rs`; docs/equilibrium.md explains both. The core is
//! asked through the door that the program uses, `Shard::announce`, and nothing of it is modelled.

mod batch;
mod best_response;
mod cells;
mod constants;
mod controller;
mod equilibrium;
mod explain;
mod graph;
mod measure;
mod people;
pub(crate) mod plot;
mod prove;
mod regime;
mod standing;
pub(crate) mod statistics;
mod swarms;
pub(crate) mod table;
mod tracker;
mod transfer;
mod trial;
mod world;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use evenkeel_core::Policy;

use self::batch::Job;
use self::cells::Arm;
use self::regime::{Regime, Setup};
use self::trial::Trial;

/// What is simulated.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Policies side by side, on the same seeds.
    Run(RunOptions),
    /// Where communities come to rest in which everybody does what is best for them.
    Equilibrium(equilibrium::Options),
    /// What some announces are answered in one small swarm, in words.
    Explain,
    /// The controller of the threshold of busy uplinks over many days; fails if it costs too much or moves for nothing.
    Controller(controller::Options),
    /// Everything that the policies have to show; fails if they do not.
    Prove(prove::Options),
}

/// A comparison.
#[derive(clap::Args)]
struct RunOptions {
    /// Kind of community.
    #[arg(long, value_enum, default_value = "scarce")]
    regime: Regime,
    /// Policies; the first is what the others are compared with.
    #[arg(long, value_delimiter = ',', default_value = "random,rbs", value_parser = policy)]
    policy: Vec<Policy>,
    /// Seeds of chance: a run for each.
    #[arg(long, value_delimiter = ',', default_value = "1,2,3")]
    seeds: Vec<u64>,
    /// Days, the first 18 hours of which are not measured.
    #[arg(long, default_value_t = constants::DAYS)]
    days: f64,
    /// Peers that a session learns of from its neighbours each minute.
    #[arg(long, default_value_t = 0.0)]
    pex: f64,
    /// Users in 100 that can be dialled.
    #[arg(long, default_value_t = 100.0)]
    connectable: f64,
    /// Share of those who give that seeds for hours; the others leave at completion.
    #[arg(long)]
    seeding_share: Option<f64>,
    /// Users in 100 that claim to seed, and send nothing; of those who give nothing.
    #[arg(long, default_value_t = 0.0)]
    ghosts: f64,
    /// Good users that come during the run.
    #[arg(long, default_value_t = 0)]
    newcomers: usize,
    /// Torrents in 100 that run `random` whatever the policy is.
    #[arg(long, default_value_t = 0)]
    held_out: u32,
    /// The tracker moves its threshold of busy uplinks once a day by what it sees in them.
    #[arg(long)]
    steer: bool,
    /// File for the results as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// File for the tables; standard output by default.
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// Folder for plots.
    #[arg(long)]
    svg: Option<PathBuf>,
}

/// Simulates.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    match &options.what {
        What::Run(options) => compare(options),
        What::Equilibrium(options) => equilibrium::run(options),
        What::Explain => {
            print!("{}", explain::text());
            Ok(())
        }
        What::Controller(options) => controller::run(options),
        What::Prove(options) => prove::run(options),
    }
}

fn compare(options: &RunOptions) -> anyhow::Result<()> {
    let setup = options.setup()?;
    ensure!(!options.policy.is_empty() && !options.seeds.is_empty(), "a policy and a seed are needed");
    let jobs = options.policy.iter().flat_map(|policy| {
        options.seeds.iter().map(|seed| Job {
            cell: setup.regime.name().to_owned(),
            setup: setup.clone(),
            policy: *policy,
            seed: *seed,
        })
    });
    let runs = batch::run(&jobs.collect::<Vec<_>>());
    let arms = cells::arms(&runs);
    let text = format!("{}\n{}", table::markdown(&arms), table::tiers(&arms));
    if let Some(path) = &options.json {
        write(path, &(serde_json::to_string_pretty(&runs)? + "\n"))?;
    }
    if let Some(folder) = &options.svg {
        draw(folder, &arms)?;
    }
    match &options.markdown {
        Some(path) => write(path, &text),
        None => {
            print!("{text}");
            Ok(())
        }
    }
}

fn draw(folder: &Path, arms: &[Arm<'_>]) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let Some(first) = arms.first() else { return Ok(()) };
    write(&folder.join("times.svg"), &plot::times(&format!("Who waits how long: {}", first.cell), arms))?;
    write(&folder.join("cost.svg"), &plot::costs(arms, &[first.cell]))?;
    for arm in arms {
        let title = format!("Where the classes are: {}, {}", arm.cell, arm.policy);
        write(&folder.join(format!("tiers-{}.svg", arm.policy)), &plot::tiers(&title, arm))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

impl RunOptions {
    fn setup(&self) -> anyhow::Result<Setup> {
        ensure!((0.01..=30.0).contains(&self.days), "--days must be from 0.01 to 30");
        ensure!((0.0..=100.0).contains(&self.pex), "--pex must be from 0 to 100");
        ensure!((0.0..=100.0).contains(&self.connectable), "--connectable must be from 0 to 100");
        ensure!((0.0..=25.0).contains(&self.ghosts), "--ghosts must be from 0 to 25");
        ensure!(self.newcomers <= 10_000, "--newcomers must be up to 10000");
        let mut setup = Setup::new(self.regime).with_ghosts(self.ghosts);
        if let Some(share) = self.seeding_share {
            ensure!((0.0..=1.0).contains(&share), "--seeding-share must be from 0 to 1");
            ensure!(self.ghosts == 0.0, "--seeding-share says who there is, without --ghosts");
            setup = setup.with_seeding_share(share);
        }
        ensure!(self.held_out <= 50, "--held-out must be up to 50");
        ensure!(!self.steer || self.held_out > 0, "--steer takes --held-out");
        let trial = Trial { held_out_percent: self.held_out, steers: self.steer };
        let Self { days, pex, connectable, newcomers, .. } = *self;
        Ok(Setup { newcomers, pex, connectable, days, trial, ..setup })
    }
}

/// The policy of a name.
pub(crate) fn policy(name: &str) -> Result<Policy, String> {
    let known = || Policy::ALL.map(|(name, _)| name).join(", ");
    name.parse().map_err(|_| format!("no policy has this name; there are {}", known()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The figures of one small regime under two policies, short enough for every change.
    fn trace() -> String {
        let setup = Setup { users: 100, torrents: 20, size_gb: 1.0, days: 1.0, ..Setup::new(Regime::Scarce) };
        let jobs = ["random", "rbs"].map(|name| Job {
            cell: "small".to_owned(),
            setup: setup.clone(),
            policy: name.parse().unwrap(),
            seed: 1,
        });
        let mut text = String::new();
        for run in batch::run(&jobs) {
            text += &format!("{} {}\n", run.job.policy, run.figures.trace);
            for (name, value) in &run.figures.values {
                text += &format!("  {name} {value:.3}\n");
            }
        }
        text
    }

    /// Every answer of the core in these runs, and what follows from it, is as it was when the file was written. Who
    /// changes a policy or the model on purpose writes it anew with `UPDATE_TRACE=1` and reads what has changed.
    #[test]
    fn the_golden_trace_is_reproduced() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sim/trace.txt");
        let trace = trace();
        if std::env::var_os("UPDATE_TRACE").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &trace).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap();
        assert_eq!(trace, golden, "UPDATE_TRACE=1 writes {} anew", path.display());
    }
}
