//! Results that are kept, so that a comparison that was stopped goes on where it was.
//!
//! The folder is named after the sources that are measured; in it each result stands with the task that it answers.
//! A task that has changed since (other arguments, another server) is measured anew.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::plan::Task;

/// What is kept of one task in one round.
#[derive(Serialize, Deserialize)]
pub(super) struct Record {
    task: Value,
    pub took_secs: f64,
    pub result: Value,
}

/// The folder. Without one, nothing outlives the program.
pub(super) struct Records {
    pub folder: Option<PathBuf>,
}

impl Records {
    /// Keeps a result, and makes a record of it.
    pub(super) fn keep(
        &self,
        task: &Task,
        round: usize,
        took: Duration,
        result: Value,
    ) -> anyhow::Result<Record> {
        let record = Record { task: serde_json::to_value(task)?, took_secs: took.as_secs_f64(), result };
        if let Some(path) = self.path(task, round) {
            // In one step: half a record must not be taken for a whole one.
            let unfinished = path.with_extension("unfinished");
            std::fs::write(&unfinished, serde_json::to_string_pretty(&record)? + "\n")
                .and_then(|()| std::fs::rename(&unfinished, &path))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(record)
    }

    /// How long these tasks of one start will take: as long as in another round, or a guess.
    pub(super) fn estimate(&self, tasks: &[Task], rounds: usize) -> Duration {
        let mut spent = 0.0;
        for task in tasks {
            let took = |round| Some(self.find(task, round)?.took_secs);
            spent += (1..=rounds).find_map(took).unwrap_or_else(|| task.guess_secs(spent));
        }
        Duration::from_secs_f64(spent)
    }

    /// What is kept of this task.
    pub(super) fn find(&self, task: &Task, round: usize) -> Option<Record> {
        let text = std::fs::read_to_string(self.path(task, round)?).ok()?;
        let record: Record = serde_json::from_str(&text).ok()?;
        (record.task == serde_json::to_value(task).ok()?).then_some(record)
    }

    fn path(&self, task: &Task, round: usize) -> Option<PathBuf> {
        let name: String = task
            .name
            .chars()
            .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' })
            .collect();
        let file = format!("{}-{}-{name}-{round}.json", task.workload, task.family.name());
        Some(self.folder.as_ref()?.join(file))
    }
}

/// Hours and minutes, as people say them.
pub(super) fn spoken(time: Duration) -> String {
    match time.as_secs().div_ceil(60) {
        minutes @ 0..60 => format!("{minutes} min"),
        minutes => format!("{} h {:02} min", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::plan::tests::task;

    fn keep(records: &Records, task: &Task, round: usize, result: u32) {
        records.keep(task, round, Duration::from_secs(7), json!(result)).unwrap();
    }

    #[test]
    fn what_was_measured_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let records = || Records { folder: Some(dir.path().to_owned()) };
        let found = |task: &Task, round| Some(records().find(task, round)?.result);
        let task = task("a");
        keep(&records(), &task, 1, 1);
        assert_eq!(found(&task, 1), Some(json!(1)));
        assert_eq!(found(&task, 2), None, "another round");
        let mut other = task.clone();
        other.load = Some(vec!["--rate".to_owned(), "5".to_owned()]);
        assert_eq!(found(&other, 1), None, "another question");
        keep(&records(), &other, 1, 3);
        assert_eq!(found(&task, 1), None, "it overwrote that one");
    }

    #[test]
    fn half_a_record_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records { folder: Some(dir.path().to_owned()) };
        let task = task("a");
        std::fs::write(records.path(&task, 1).unwrap(), "{\"task\":").unwrap();
        assert!(records.find(&task, 1).is_none());
    }

    #[test]
    fn what_is_left_is_estimated_by_what_was_done() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records { folder: Some(dir.path().to_owned()) };
        let tasks = [task("a"), task("b")];
        let guess = tasks[0].guess_secs(0.0);
        assert_eq!(records.estimate(&tasks, 5), Duration::from_secs_f64(2.0 * guess));
        keep(&records, &tasks[0], 2, 1);
        assert_eq!(records.estimate(&tasks, 5), Duration::from_secs_f64(7.0 + guess));
        assert_eq!(spoken(Duration::from_secs(61)), "2 min");
        assert_eq!(spoken(Duration::from_secs(3_660)), "1 h 01 min");
    }
}
