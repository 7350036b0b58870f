//! Runs the tracker.

use crate::config::{Config, Reload};
use crate::log::LogHandle;
use crate::state::StateDir;

/// Everything that a tracker starts with.
#[derive(Debug)]
pub struct Start {
    /// What holds now.
    pub config: Config,
    /// How to load it again.
    pub reload: Reload,
    /// The state directory, locked.
    pub state: StateDir,
    /// Changes the level of the log.
    pub log: LogHandle,
}

/// Serves until it is told to stop.
#[expect(clippy::needless_pass_by_value, reason = "the tracker owns what it starts with")]
pub fn run(start: Start) -> anyhow::Result<()> {
    tracing::info!(port = start.config.server.port, state = %start.state.path().display(), "started");
    Ok(())
}
