//! Servers side by side: each workload runs on each server in turn (A B A B), so that what else the machine
//! does meanwhile falls on all of them, and each round gives a ratio of its own.
//!
//! A server is started anew for every turn, alone on its core; the generator has another one. In a turn it is filled
//! once, and bears one load, or several that share the fill. Comparisons are fair, or it stands beside them why not.
//!
//! * `plan`: servers, workloads and rows, as TOML;
//! * `server`: one turn on one server;
//! * `record`: results that are kept, and the time that is left;
//! * `fair`: the rules of a fair comparison;
//! * `figure`: medians, ratios and verdicts;
//! * `report`, `table`: what is written.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use self::fair::Side;
use self::plan::{Family, Plan, Task};
use self::record::{Record, Records, spoken};

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
    /// Only this workload, by its key, and those that share its starts.
    #[arg(long)]
    only: Option<String>,
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
    /// Workload that starts the servers: its own key, as a rule.
    first: String,
    family: Family,
    tasks: Vec<Task>,
    /// For each task, a result of each round; `null` where it failed.
    results: Vec<Vec<Value>>,
    took: Duration,
}

impl Group {
    /// Whether its servers are started by the other, or it is the other.
    fn starts_with(&self, other: &Self) -> bool {
        self.family == other.family && self.first == other.key
    }

    fn take(&mut self, task: usize, round: usize, record: Record) {
        self.results[task][round - 1] = record.result;
        self.took += Duration::from_secs_f64(record.took_secs);
    }

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
    if let Some(key) = &options.only {
        let first = groups.iter().find(|group| group.key == *key).map(|group| group.first.clone());
        let first = first.with_context(|| format!("no workload is called {key}"))?;
        groups.retain(|group| group.first == first);
    }
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
    let markdown = report::header(&plan, &versions, &groups)?
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
                first: workload.same_start_as.as_ref().unwrap_or(&workload.key).clone(),
                family,
                results: vec![vec![Value::Null; plan.rounds]; tasks.len()],
                tasks,
                took: Duration::ZERO,
            });
        }
    }
    Ok(groups)
}

/// One start of a server in one round, and what is measured on it: group and task of each.
struct Turn {
    round: usize,
    places: Vec<(usize, usize)>,
}

/// All turns in their order. Workloads that share starts take their turns together, so that all servers of one round
/// follow each other.
fn turns(groups: &[Group], rounds: usize) -> Vec<Turn> {
    let mut turns = Vec::new();
    for first in groups.iter().filter(|group| group.key == group.first) {
        let mut starts: Vec<Vec<(usize, usize)>> = Vec::new();
        for (group_at, group) in groups.iter().enumerate().filter(|(_, group)| group.starts_with(first)) {
            for (at, task) in group.tasks.iter().enumerate() {
                let earlier = |start: &&mut Vec<(usize, usize)>| {
                    let (group, at) = start[0];
                    groups[group].tasks[at].name == task.name
                };
                match starts.iter_mut().find(earlier).filter(|_| task.same_start_as.is_some()) {
                    Some(start) => start.push((group_at, at)),
                    None => starts.push(vec![(group_at, at)]),
                }
            }
        }
        for round in 1..=rounds {
            turns.extend(starts.iter().map(|places| Turn { round, places: places.clone() }));
        }
    }
    turns
}

/// Takes what is kept.
fn recall(groups: &mut [Group], rounds: usize, records: &Records) {
    for group in groups {
        for at in 0..group.tasks.len() {
            for round in 1..=rounds {
                if let Some(record) = records.find(&group.tasks[at], round) {
                    group.take(at, round, record);
                }
            }
        }
    }
}

/// Measures what is not kept yet. What fails is told, and does not keep the others from their turns.
fn measure(groups: &mut [Group], rounds: usize, records: &Records) -> Vec<String> {
    let turns = turns(groups, rounds);
    let tasks = |groups: &[Group], turn: &Turn| -> Vec<Task> {
        turn.places.iter().map(|(group, at)| groups[*group].tasks[*at].clone()).collect()
    };
    let kept = |tasks: &[Task], round| -> Option<Vec<Record>> {
        tasks.iter().map(|task| records.find(task, round)).collect()
    };
    let mut left: Duration = turns
        .iter()
        .map(|turn| (tasks(groups, turn), turn.round))
        .filter(|(tasks, round)| kept(tasks, *round).is_none())
        .map(|(tasks, _)| records.estimate(&tasks, rounds))
        .sum();
    eprintln!("{} turns, about {}", turns.len(), spoken(left));
    let mut failures = Vec::new();
    for (turn_at, turn) in turns.iter().enumerate() {
        let (tasks, round) = (tasks(groups, turn), turn.round);
        let mut places = turn.places.iter();
        let mut take = |record| {
            if let Some((group, at)) = places.next() {
                groups[*group].take(*at, round, record);
            }
        };
        if let Some(kept) = kept(&tasks, round) {
            kept.into_iter().for_each(take);
            continue;
        }
        let keys: Vec<_> = tasks.iter().map(|task| task.workload.as_str()).collect();
        let Task { family, name, .. } = &tasks[0];
        let what = format!("{} {}, round {round} of {rounds}, {name}", keys.join(" + "), family.name());
        let share = records.estimate(&tasks, rounds);
        eprintln!("{} of {} (about {} left): {what}", turn_at + 1, turns.len(), spoken(left));
        left = left.saturating_sub(share);
        let mut since = Instant::now();
        let outcome = server::measure(&tasks, |task, result| {
            take(records.keep(task, round, since.elapsed(), result)?);
            since = Instant::now();
            Ok(())
        });
        if let Err(error) = outcome {
            eprintln!("{what} failed: {error:#}");
            failures.push(format!("{what}: {error:#}"));
        }
    }
    failures
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = r#"
        rounds = 2
        server = [{ name = "a", command = ["a"] }, { name = "b", command = ["b"] }, { name = "c", command = ["c"] }]
        [[workload]]
        key = "fill"
        name = "fill"
        servers = ["a", "b"]
        [[workload]]
        key = "other"
        name = "other"
        servers = ["a"]
        [[workload]]
        key = "load"
        name = "load"
        same_start_as = "fill"
        load = ["--duration", "5"]
        servers = ["b", "c"]
    "#;

    #[test]
    fn servers_have_their_turns_and_what_shares_a_start_shares_a_turn() {
        let plan: Plan = toml::from_str(PLAN).unwrap();
        let groups = groups(&plan).unwrap();
        let said: Vec<_> = turns(&groups, plan.rounds)
            .iter()
            .map(|turn| {
                let keys: Vec<_> = turn.places.iter().map(|(group, _)| groups[*group].key.as_str()).collect();
                let (group, at) = turn.places[0];
                format!("{} {}: {}", turn.round, groups[group].tasks[at].name, keys.join(" "))
            })
            .collect();
        let round = |round| {
            [("a", "fill"), ("b", "fill load"), ("c", "load")]
                .map(|(name, keys)| format!("{round} {name}: {keys}"))
        };
        assert_eq!(
            said,
            [&round(1)[..], &round(2)[..], &["1 a: other".to_owned(), "2 a: other".to_owned()]].concat()
        );
    }
}
