//! Servers side by side: each workload runs on each server in turn (A B A B), so that what else the machine
//! does meanwhile falls on all of them, and each round gives a ratio of its own.
//!
//! A server is started anew for every run, alone on its core; the generator has another one. Comparisons are
//! fair, or it stands beside them why not.
//!
//! * `plan`: servers, workloads and rows, as TOML;
//! * `server`: one turn on one server;
//! * `record`: results that are kept, and the time that is left;
//! * `fair`: the rules of a fair comparison;
//! * `figure`: medians, ratios and verdicts;
//! * `report`, `table`: what is written.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use serde_json::Value;

use self::fair::Side;
use self::plan::{Family, Plan, Task};
use self::record::{Records, spoken};

mod fair;
mod figure;
mod plan;
mod record;
mod report;
mod server;
mod table;

/// What is compared.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Servers, workloads and rows, as TOML.
    plan: PathBuf,
    /// File for the tables; standard output by default.
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// File for the plot.
    #[arg(long)]
    svg: Option<PathBuf>,
    /// Folder for results. What is there already is not measured again: name it after what is measured.
    #[arg(long)]
    resume: Option<PathBuf>,
    /// Rounds, in place of the plan's.
    #[arg(long)]
    rounds: Option<usize>,
    /// Measures nothing, and writes what the folder for results holds.
    #[arg(long, requires = "resume")]
    only_kept: bool,
    /// One round of everything with small populations and short loads: whether it works, and nothing else. Servers
    /// that are not installed are left out.
    #[arg(long)]
    smoke: bool,
}

/// What was measured of one workload.
struct Group {
    key: String,
    name: String,
    family: Family,
    tasks: Vec<Task>,
    /// For each task, a result of each round; `null` where it failed.
    results: Vec<Vec<Value>>,
}

impl Group {
    fn sides(&self) -> Vec<Side<'_>> {
        self.tasks.iter().zip(&self.results).map(|(task, results)| Side { task, results }).collect()
    }

    fn side(&self, name: &str) -> Option<Side<'_>> {
        self.sides().into_iter().find(|side| side.task.name == name)
    }
}

/// Compares and writes.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let mut plan = Plan::read(&options.plan)?;
    plan.rounds = options.rounds.unwrap_or(plan.rounds);
    if options.smoke {
        for name in plan.shrink() {
            eprintln!("{name} is not installed and left out");
        }
    }
    ensure!(plan.rounds > 0 && !plan.server.is_empty(), "a plan needs a server and a round");
    let mut versions = Vec::new();
    for server in &plan.server {
        versions.push(server::version(server)?);
        server::check_settings(server)?;
    }
    if let Some(folder) = &options.resume {
        std::fs::create_dir_all(folder)?;
    }
    let mut groups = groups(&plan)?;
    let records = Records { folder: options.resume.clone() };
    let failures = if options.only_kept {
        recall(&mut groups, plan.rounds, &records);
        Vec::new()
    } else {
        measure(&mut groups, plan.rounds, &records)
    };
    let rows = report::rows(&plan, &groups);
    if plan.row.is_empty() {
        for group in &groups {
            let marks = fair::judge_all(&group.sides());
            let broken: Vec<_> = marks.unfair.into_iter().chain(marks.apart).collect();
            ensure!(broken.is_empty(), "{}: unfair, {}", group.name, broken.join("; "));
        }
    }
    let markdown = report::header(&plan, &versions)?
        + &report::markdown(&plan, &rows)
        + &groups.iter().map(table::markdown).collect::<String>();
    match &options.markdown {
        Some(path) => std::fs::write(path, markdown)?,
        None => print!("{markdown}"),
    }
    if let Some(path) = &options.svg {
        std::fs::write(path, table::svg(&groups))?;
    }
    ensure!(failures.is_empty(), "{} turns failed:\n{}", failures.len(), failures.join("\n"));
    if options.smoke {
        report::check_smoke(&rows)?;
    }
    Ok(())
}

/// All workloads in the plan's order, which is that of their weight; IPv6 after IPv4.
fn groups(plan: &Plan) -> anyhow::Result<Vec<Group>> {
    let mut groups = Vec::new();
    for family in [Family::V4, Family::V6] {
        for workload in &plan.workload {
            let tasks = plan.tasks(workload, family)?;
            if tasks.is_empty() {
                continue;
            }
            groups.push(Group {
                key: workload.key.clone(),
                name: workload.name.clone(),
                family,
                results: vec![Vec::new(); tasks.len()],
                tasks,
            });
        }
    }
    Ok(groups)
}

/// Takes what is kept.
fn recall(groups: &mut [Group], rounds: usize, records: &Records) {
    for group in groups {
        for (task, results) in group.tasks.iter().zip(&mut group.results) {
            results.extend((1..=rounds).map(|round| records.find(task, round).unwrap_or_default()));
        }
    }
}

/// Measures what is not kept yet. What fails is told, and does not keep the others from their turns.
fn measure(groups: &mut [Group], rounds: usize, records: &Records) -> Vec<String> {
    let mut left: Duration = groups
        .iter()
        .flat_map(|group| &group.tasks)
        .flat_map(|task| (1..=rounds).map(move |round| records.estimate(task, round, rounds)))
        .sum();
    let turns = groups.iter().map(|group| group.tasks.len() * rounds).sum::<usize>();
    let (mut turn, mut failures) = (0, Vec::new());
    for group in groups {
        for round in 1..=rounds {
            for (task, results) in group.tasks.iter().zip(&mut group.results) {
                turn += 1;
                let what = format!(
                    "{} {}, round {round} of {rounds}, {}",
                    group.key,
                    group.family.name(),
                    task.name
                );
                let share = records.estimate(task, round, rounds);
                if !share.is_zero() {
                    eprintln!("{turn} of {turns} (about {} left): {what}", spoken(left));
                }
                left = left.saturating_sub(share);
                results.push(records.find_or(task, round, server::measure).unwrap_or_else(|error| {
                    eprintln!("{what} failed: {error:#}");
                    failures.push(format!("{what}: {error:#}"));
                    Value::Null
                }));
            }
        }
    }
    failures
}
