//! Runs that are kept, so that a proof that was stopped goes on where it was. They hold for this very tracker, these very
//! clients and this very plan.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use evenkeel_core::Keyed;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::community::{Outcome, Programs};
use super::plan::Job;

/// The folder. Without one, nothing outlives the program.
pub(super) struct Kept {
    folder: Option<PathBuf>,
    programs: u64,
}

#[derive(Serialize, Deserialize)]
struct Record {
    programs: u64,
    plan: Value,
    outcome: Outcome,
}

impl Kept {
    pub(super) fn new(folder: Option<&Path>, programs: &Programs) -> anyhow::Result<Self> {
        if let Some(folder) = folder {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        // Nobody has a reason to forge these.
        let keyed = Keyed::new([0, 0]);
        let hash = |path: &Path| anyhow::Ok(keyed.hash(&std::fs::read(path)?));
        let programs = hash(&programs.evenkeel)? ^ hash(&programs.community)?.rotate_left(1);
        Ok(Self { folder: folder.map(Path::to_owned), programs })
    }

    pub(super) fn find(&self, job: &Job) -> Option<Outcome> {
        let text = std::fs::read_to_string(self.path(job)?).ok()?;
        let record: Record = serde_json::from_str(&text).ok()?;
        let is_same =
            record.programs == self.programs && record.plan == serde_json::to_value(&job.plan).ok()?;
        is_same.then_some(record.outcome)
    }

    pub(super) fn keep(&self, job: &Job, outcome: &Outcome) -> anyhow::Result<()> {
        let Some(path) = self.path(job) else { return Ok(()) };
        let record = Record {
            programs: self.programs,
            plan: serde_json::to_value(&job.plan)?,
            outcome: outcome.clone(),
        };
        // In one step: half a record must not be taken for a whole one.
        let unfinished = path.with_extension("unfinished");
        std::fs::write(&unfinished, serde_json::to_string_pretty(&record)? + "\n")
            .and_then(|()| std::fs::rename(&unfinished, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    fn path(&self, job: &Job) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(job.name() + ".json"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::{Length, jobs};
    use super::super::rows::tests::outcome;
    use super::*;

    #[test]
    fn a_run_is_found_again_unless_anything_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let kept = |programs| Kept { folder: Some(folder.path().to_owned()), programs };
        let jobs = jobs(Length::Long, 1, "rbs".parse().unwrap());
        kept(1).keep(&jobs[0], &outcome(2.0)).unwrap();
        assert!(kept(1).find(&jobs[0]).is_some());
        assert!(kept(1).find(&jobs[1]).is_none(), "another policy");
        assert!(kept(2).find(&jobs[0]).is_none(), "another program");
        let mut other = jobs[0].clone();
        other.plan.window_secs += 1;
        assert!(kept(1).find(&other).is_none(), "another plan");
        std::fs::write(kept(1).path(&jobs[0]).unwrap(), "{\"programs\":1").unwrap();
        assert!(kept(1).find(&jobs[0]).is_none(), "half a record");
    }
}
