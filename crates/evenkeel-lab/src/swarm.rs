//! Real clients around the real program: who waits how long under which policy, measured and not simulated.
//!
//! Each run is a tracker of its own and a community of libtorrent sessions on loopback addresses, in
//! `tests/clients/community.py`. Every time of the policy is sixty times shorter than by default (`swarm/plan.rs`). Runs come in
//! pairs, `random` and `rbs` on the same seed of chance, in turn; several go on at once. A run during which the machine was
//! too slow is thrown away and made anew.

mod community;
mod kept;
mod plan;
mod rows;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use self::community::{Outcome, Programs};
use self::kept::Kept;
use self::plan::{Job, Length};
use self::rows::Proof;

/// What is run, and how much of it.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The tracker's program.
    #[arg(long, default_value = "target/release/evenkeel")]
    evenkeel: PathBuf,
    /// A Python that has libtorrent: tests/clients/install.sh makes it.
    #[arg(long, default_value = "target/clients-venv/bin/python")]
    python: PathBuf,
    /// The clients.
    #[arg(long, default_value = "tests/clients/community.py")]
    community: PathBuf,
    /// Pairs of runs in each cell.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=31))]
    pairs: u64,
    /// Cells; all by default.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The policy that `random` is compared with.
    #[arg(long, default_value = "rbs", value_parser = super::sim::policy)]
    policy: evenkeel_core::Policy,
    /// Runs at once; each takes about 5 % of a core.
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u8).range(1..=64))]
    at_once: u8,
    /// Second number of the loopback addresses of the first of these runs; the others follow.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u8).range(1..=190))]
    first_block: u8,
    /// Folder where runs are kept, so that a proof that was stopped goes on where it was.
    #[arg(long)]
    resume: Option<PathBuf>,
    /// File for the report; standard output by default.
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// File for a plot.
    #[arg(long)]
    svg: Option<PathBuf>,
    /// One pair of a minute, in which nobody is known to be busy yet: judges only whether all of it works.
    #[arg(long)]
    smoke: bool,
}

/// A run that was made.
pub(super) struct Run {
    job: Job,
    outcome: Outcome,
}

/// Runs, judges and reports.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let programs = Programs::check(&options.evenkeel, &options.python, &options.community)?;
    let kept = Kept::new(options.resume.as_deref(), &programs)?;
    let length = if options.smoke { Length::Short } else { Length::Long };
    let thrown_away = AtomicUsize::new(0);
    let make = |jobs: Vec<Job>| make(jobs, options, (&programs, &kept), &thrown_away);

    // What the long part would be worth nothing without.
    let mut runs = make(plan::lone_transfers(length))?;
    rows::check_limits(&runs)?;
    let pairs = if options.smoke { 1 } else { options.pairs };
    let jobs = plan::jobs(length, pairs, options.policy);
    let is_chosen = |job: &Job| options.only.is_empty() || options.only.iter().any(|cell| cell == job.cell);
    let jobs: Vec<Job> = jobs.into_iter().filter(is_chosen).collect();
    ensure!(!jobs.is_empty(), "no cell has this name");
    runs.extend(make(jobs)?);

    let proof = Proof::of(&runs, options.policy, (&programs.version, thrown_away.into_inner()));
    if options.smoke {
        print!("{}", proof.cells());
        return proof.check_life();
    }
    if let Some(path) = &options.svg {
        write(path, &proof.plot())?;
    }
    match &options.markdown {
        Some(path) => write(path, &proof.report())?,
        None => print!("{}", proof.report()),
    }
    proof.check()
}

/// A run that the machine was too slow for is made anew so many times.
const ATTEMPTS_MAX: usize = 5;
/// The clients look after themselves twice a second; one that could not for so long has not been what it is to be.
const LATE_SECS_MAX: f64 = 3.0;

/// Makes the runs that are not kept yet, several at once, each pair one after the other in the queue.
fn make(
    jobs: Vec<Job>,
    options: &Options,
    (programs, kept): (&Programs, &Kept),
    thrown_away: &AtomicUsize,
) -> anyhow::Result<Vec<Run>> {
    let secs = jobs.iter().map(|job| job.plan.secs()).sum();
    let style = ProgressStyle::with_template("{elapsed_precise} {bar:40} {percent} % {msg} ({eta} to go)")?;
    let bar = ProgressBar::new(secs).with_style(style);
    let queue = Mutex::new(jobs.into_iter().enumerate().collect::<VecDeque<_>>());
    let next = || queue.lock().expect("no thread has panicked").pop_front();
    let work = |block: u8| -> anyhow::Result<Vec<(usize, Run)>> {
        let mut own = Vec::new();
        while let Some((at, job)) = next() {
            let outcome = match kept.find(&job) {
                Some(outcome) => outcome,
                None => {
                    let outcome = in_time(&job, (programs, block), thrown_away)
                        .with_context(|| job.name())
                        // The others need not go on.
                        .inspect_err(|_| queue.lock().expect("no thread has panicked").clear())?;
                    kept.keep(&job, &outcome)?;
                    outcome
                }
            };
            bar.set_message(job.name());
            bar.inc(job.plan.secs());
            own.push((at, Run { job, outcome }));
        }
        Ok(own)
    };
    let blocks = options.first_block..options.first_block + options.at_once;
    let made = std::thread::scope(|scope| {
        let threads: Vec<_> = blocks.map(|block| scope.spawn(move || work(block))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no thread has panicked")).collect::<Vec<_>>()
    });
    bar.finish_and_clear();
    let mut runs = Vec::new();
    for own in made {
        runs.extend(own?);
    }
    runs.sort_by_key(|(at, _)| *at);
    Ok(runs.into_iter().map(|(_, run)| run).collect())
}

/// Makes a run, anew if the machine was too slow for it.
fn in_time(
    job: &Job,
    (programs, block): (&Programs, u8),
    thrown_away: &AtomicUsize,
) -> anyhow::Result<Outcome> {
    for _ in 0..ATTEMPTS_MAX {
        let outcome = programs.run(job, block)?;
        if outcome.late_secs <= LATE_SECS_MAX {
            return Ok(outcome);
        }
        thrown_away.fetch_add(1, Ordering::Relaxed);
    }
    anyhow::bail!(
        "the machine is too slow: {ATTEMPTS_MAX} times the clients were late by more than {LATE_SECS_MAX} s"
    )
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
