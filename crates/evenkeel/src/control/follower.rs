//! Keeps the copy true.

use std::sync::Arc;

use super::Control;
use crate::store::{Error, Mark, Store};

/// Follows the changes of a store, and loads everything anew where they cannot be followed.
pub struct Follower {
    control: Arc<Control>,
    store: Box<dyn Store>,
    mark: Option<Mark>,
    /// The last look failed: it is logged once.
    is_failing: bool,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Follower")
    }
}

impl Follower {
    /// With a connection of its own.
    pub fn new(control: Arc<Control>, store: Box<dyn Store>) -> Self {
        Self { control, store, mark: None, is_failing: false }
    }

    /// Takes what has changed since the last look; at the first one, everything. While the store is away, what was loaded
    /// holds.
    pub fn look(&mut self) {
        let looked = match &self.mark {
            None => self.control.load(&mut *self.store),
            Some(mark) => self.control.follow(&mut *self.store, mark),
        };
        match looked {
            Ok(mark) => self.mark = Some(mark),
            Err(Error::TooOld) => self.mark = None,
            Err(error) => {
                if !self.is_failing {
                    tracing::error!(%error, "cannot look for changes of users and torrents");
                }
                self.is_failing = true;
                return;
            }
        }
        if std::mem::take(&mut self.is_failing) {
            tracing::info!("changes of users and torrents are seen again");
        }
    }
}
