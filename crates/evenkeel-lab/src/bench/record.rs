//! Results that are kept, so that a comparison that was stopped goes on where it was.
//!
//! The folder is named after the sources that are measured; in it each result stands with the task that it answers.
//! A task that has changed since (other arguments, another server) is measured anew.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::plan::Task;

/// What is kept of one turn.
#[derive(Serialize, Deserialize)]
struct Record {
    task: Value,
    took_secs: f64,
    result: Value,
}

/// The folder. Without one, nothing outlives the program.
pub(super) struct Records {
    pub folder: Option<PathBuf>,
}

impl Records {
    /// The kept result, or a new one, which is kept.
    pub(super) fn find_or(
        &self,
        task: &Task,
        round: usize,
        measure: impl FnOnce(&Task) -> anyhow::Result<Value>,
    ) -> anyhow::Result<Value> {
        if let Some(result) = self.find(task, round) {
            return Ok(result);
        }
        let began = Instant::now();
        let result = measure(task)?;
        let Some(path) = self.path(task, round) else { return Ok(result) };
        let record =
            Record { task: serde_json::to_value(task)?, took_secs: began.elapsed().as_secs_f64(), result };
        // In one step: half a record must not be taken for a whole one.
        let unfinished = path.with_extension("unfinished");
        std::fs::write(&unfinished, serde_json::to_string_pretty(&record)? + "\n")
            .and_then(|()| std::fs::rename(&unfinished, &path))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(record.result)
    }

    /// How long this turn will take: nothing if it is kept, as long as in another round, or a guess.
    pub(super) fn estimate(&self, task: &Task, round: usize, rounds: usize) -> Duration {
        let took = |round| Some(self.record(task, round)?.took_secs);
        let secs = match took(round) {
            Some(_) => 0.0,
            None => (1..=rounds).find_map(took).unwrap_or_else(|| task.guess_secs()),
        };
        Duration::from_secs_f64(secs)
    }

    /// The kept result.
    pub(super) fn find(&self, task: &Task, round: usize) -> Option<Value> {
        Some(self.record(task, round)?.result)
    }

    fn record(&self, task: &Task, round: usize) -> Option<Record> {
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

    #[test]
    fn what_was_measured_is_not_measured_again() {
        let dir = tempfile::tempdir().unwrap();
        let records = || Records { folder: Some(dir.path().to_owned()) };
        let never = |_: &Task| panic!("it is kept");
        let task = task("a");
        assert_eq!(records().find_or(&task, 1, |_| Ok(json!(1))).unwrap(), 1);
        assert_eq!(records().find_or(&task, 1, never).unwrap(), 1);
        assert_eq!(records().find_or(&task, 2, |_| Ok(json!(2))).unwrap(), 2, "another round");
        let mut other = task.clone();
        other.load = Some(vec!["--rate".to_owned(), "5".to_owned()]);
        assert_eq!(records().find_or(&other, 1, |_| Ok(json!(3))).unwrap(), 3, "another question");
        assert_eq!(records().find_or(&task, 1, |_| Ok(json!(4))).unwrap(), 4, "it overwrote that one");
    }

    #[test]
    fn half_a_record_and_a_failure_are_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records { folder: Some(dir.path().to_owned()) };
        let task = task("a");
        assert!(records.find_or(&task, 1, |_| anyhow::bail!("it died")).is_err());
        std::fs::write(records.path(&task, 1).unwrap(), "{\"task\":").unwrap();
        assert_eq!(records.find_or(&task, 1, |_| Ok(json!(1))).unwrap(), 1);
    }

    #[test]
    fn what_is_left_is_estimated_by_what_was_done() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records { folder: Some(dir.path().to_owned()) };
        let task = task("a");
        assert_eq!(records.estimate(&task, 1, 5), Duration::from_secs_f64(task.guess_secs()));
        records.find_or(&task, 1, |_| Ok(json!(1))).unwrap();
        assert_eq!(records.estimate(&task, 1, 5), Duration::ZERO);
        assert!(records.estimate(&task, 2, 5) < Duration::from_secs(1));
        assert_eq!(spoken(Duration::from_secs(61)), "2 min");
        assert_eq!(spoken(Duration::from_secs(3_660)), "1 h 01 min");
    }
}
