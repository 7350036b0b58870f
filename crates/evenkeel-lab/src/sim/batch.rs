//! Many runs on all cores.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use evenkeel_core::Policy;
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Serialize, Serializer};

use super::measure::Figures;
use super::regime::Setup;
use super::world;

/// A run that is to be made.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Job {
    /// What it is called: runs of one name differ in policy and seed only.
    pub cell: String,
    pub setup: Setup,
    #[serde(serialize_with = "by_name")]
    pub policy: Policy,
    pub seed: u64,
}

/// A run that was made.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Run {
    #[serde(flatten)]
    pub job: Job,
    pub figures: Figures,
}

/// Runs all jobs; the answers are in their order, whichever thread made them.
pub(super) fn run(jobs: &[Job]) -> Vec<Run> {
    let steps: u64 = jobs.iter().map(|job| u64::from(job.setup.steps())).sum();
    let style = ProgressStyle::with_template("{elapsed_precise} {bar:40} {percent} % {msg} ({eta} to go)");
    let bar = ProgressBar::new(steps).with_style(style.expect("the template is right"));
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<Run>>> = Mutex::new(jobs.iter().map(|_| None).collect());
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(jobs.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((at, job)) = next_job(&next, jobs) {
                    bar.set_message(format!("{} {} {}", job.cell, job.policy, job.seed));
                    let run = run_one(job, &bar);
                    done.lock().expect("no thread has panicked")[at] = Some(run);
                }
            });
        }
    });
    bar.finish_and_clear();
    done.into_inner().expect("no thread has panicked").into_iter().flatten().collect()
}

fn next_job<'a>(next: &AtomicUsize, jobs: &'a [Job]) -> Option<(usize, &'a Job)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    Some((at, jobs.get(at)?))
}

fn run_one(job: &Job, bar: &ProgressBar) -> Run {
    const OFTEN: u32 = 100;
    let measured = world::run(&job.setup, job.policy, job.seed, |step| {
        if step % OFTEN == 0 {
            bar.inc(u64::from(OFTEN));
        }
    });
    Run { job: job.clone(), figures: measured.figures() }
}

fn by_name<S: Serializer>(policy: &Policy, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(policy)
}
