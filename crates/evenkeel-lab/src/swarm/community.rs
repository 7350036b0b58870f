//! One run: a tracker with a configuration of its own, and the clients beside it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use evenkeel_core::Tier;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::plan::{INTERVAL_SECS, Job, Leechers, MIN_INTERVAL_SECS, RATION_STEP_SECS, SEEDERS_NET};

/// What a community has done.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Outcome {
    /// The library's version.
    pub libtorrent: String,
    /// How late the clients were looked after, at worst.
    pub late_secs: f64,
    pub window_secs: f64,
    /// Of the seeders' uplinks.
    pub utilisation: f64,
    /// Share of the seeders' records that the tracker had no room for, if it says so.
    pub rationed: Option<f64>,
    pub classes: BTreeMap<String, Sums>,
}

/// What a class of leechers did within the window.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Sums {
    /// Time spent leeching.
    pub secs: f64,
    pub bytes: u64,
    pub uploaded: u64,
    /// Downloads that became complete.
    pub downloads: u64,
    /// How often it was looked at whom leechers were connected to, and what was seen.
    pub looks: u64,
    pub seeders_known: u64,
    /// Bytes a second that came from seeders.
    pub from_seeders: u64,
}

/// What is started.
pub(super) struct Programs {
    pub evenkeel: PathBuf,
    python: PathBuf,
    pub community: PathBuf,
    /// What the tracker says about its version.
    pub version: String,
}

/// How long the tracker has until it is ready.
const READY_PATIENCE: Duration = Duration::from_secs(30);
/// How much longer than they are to live the clients may take, for what comes before and after.
const CLIENTS_PATIENCE: Duration = Duration::from_secs(90);

impl Programs {
    /// Refuses what cannot be started.
    pub(super) fn check(evenkeel: &Path, python: &Path, community: &Path) -> anyhow::Result<Self> {
        let whole = |path: &Path| std::path::absolute(path);
        let (evenkeel, python, community) = (whole(evenkeel)?, whole(python)?, whole(community)?);
        let says = |program: &Path, arguments: &[&str]| -> anyhow::Result<String> {
            let output = Command::new(program).args(arguments).output();
            let output = output.with_context(|| format!("cannot start {}", program.display()))?;
            ensure!(
                output.status.success(),
                "{}: {}",
                program.display(),
                String::from_utf8_lossy(&output.stderr)
            );
            Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
        };
        says(&python, &["-c", "import libtorrent"])
            .context("tests/clients/install.sh installs libtorrent")?;
        let version = says(&evenkeel, &["--version"])?;
        ensure!(community.is_file(), "{} is no file", community.display());
        Ok(Self { evenkeel, python, community, version })
    }

    /// Makes a run, on the addresses 127.`block`.x.y.
    pub(super) fn run(&self, job: &Job, block: u8) -> anyhow::Result<Outcome> {
        let folder = tempfile::tempdir()?;
        let (tracker, announce) = self.start_tracker(job, block, folder.path())?;
        let mut plan = serde_json::to_value(&job.plan)?;
        plan["block"] = json!(block);
        plan["announce"] = json!(announce);
        let plan_path = folder.path().join("plan.json");
        std::fs::write(&plan_path, plan.to_string())?;
        let (out, log) = (folder.path().join("out"), folder.path().join("clients.log"));
        let mut command = bound(&self.python);
        command.arg(&self.community).arg(&plan_path).env("TMPDIR", folder.path());
        command.stdin(Stdio::null()).stdout(File::create(&out)?).stderr(File::create(&log)?);
        let mut clients = Started(command.spawn().context("cannot start the clients")?);
        let patience = Duration::from_secs(job.plan.secs()) + CLIENTS_PATIENCE;
        let ended = clients.wait(patience);
        let complaint = || std::fs::read_to_string(&log).unwrap_or_default();
        ensure!(ended?, "the clients failed: {}", complaint());
        drop(tracker);
        serde_json::from_slice(&std::fs::read(&out)?).with_context(complaint)
    }

    /// Starts the tracker; answers its announce URL, too.
    fn start_tracker(&self, job: &Job, block: u8, folder: &Path) -> anyhow::Result<(Started, String)> {
        let config = folder.join("evenkeel.toml");
        std::fs::write(&config, configuration(job, block))?;
        let log = folder.join("evenkeel.log");
        let mut command = bound(&self.evenkeel);
        command.arg("serve").arg("--config").arg(config).arg("--state-dir").arg(folder.join("state"));
        command
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?);
        let mut tracker = Started(command.spawn().context("cannot start the tracker")?);
        let began = Instant::now();
        while began.elapsed() < READY_PATIENCE {
            let said = std::fs::read_to_string(&log)?;
            if let Some(status) = tracker.0.try_wait()? {
                bail!("the tracker ended, {status}: {said}");
            }
            if let Some(url) = announce_url(&said) {
                return Ok((tracker, url.to_owned()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("the tracker is not ready after {READY_PATIENCE:?}")
    }
}

/// The first URL for HTTP that a tracker prints, once its line is complete.
fn announce_url(said: &str) -> Option<&str> {
    let lines = said.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    lines
        .flat_map(str::split_whitespace)
        .find(|word| word.starts_with("http://") && word.ends_with("/announce"))
}

/// Tiers are given by network: in a community of minutes nobody earns one.
fn configuration(job: &Job, block: u8) -> String {
    let of_class = |leechers: &Leechers| format!("\"127.{block}.{}.0/20 {}\"", leechers.net, leechers.tier);
    let mut networks: Vec<String> = job.plan.leechers.values().map(of_class).collect();
    networks.push(format!("\"127.{block}.{SEEDERS_NET}.0/24 {}\"", Tier::TOP.number()));
    format!(
        "[server]\nport = 0\naddresses = [\"127.{block}.0.1\"]\nworkers = 1\n\n[admin]\nenabled = false\n\n\
         [announce]\ninterval_secs = {INTERVAL_SECS}\nmin_interval_secs = {MIN_INTERVAL_SECS}\nkeep_reports = true\n\n\
         [equilibrium]\npolicy = \"{}\"\nnetworks = [{}]\nration_step_secs = {RATION_STEP_SECS}\n\
         ration_interval_secs = {INTERVAL_SECS}\n",
        job.policy,
        networks.join(", ")
    )
}

/// A program that dies with the thread that starts it.
fn bound(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// A child that dies with this value.
struct Started(Child);

impl Started {
    /// Waits for its end; answers whether that was a good one.
    fn wait(&mut self, patience: Duration) -> anyhow::Result<bool> {
        let began = Instant::now();
        while began.elapsed() < patience {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status.success());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("not over after {} s", patience.as_secs())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // One that has ended by itself cannot be killed, and need not be.
        if self.0.kill().is_ok() {
            self.0.wait().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_tracker_is_read_once_its_line_is_complete() {
        let said = "evenkeel 0.1.0 is ready\n  announce    http://127.100.0.1:4711/announce\n              udp://127";
        assert_eq!(announce_url(said), Some("http://127.100.0.1:4711/announce"));
        assert_eq!(announce_url("  announce    http://127.100.0.1:47/announce"), None);
    }
}
