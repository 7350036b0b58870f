//! What waits, what is on its way to the store, and what the file has of both. Driven: it has no thread and no clock.
//!
//! Bookings of each look are a frame with the next number. A batch is all frames that wait; its sequence is the number of
//! the last of them. The store says the last sequence that it has booked, so after any crash frames up to there are
//! booked, and frames behind it are not.

use std::sync::Arc;

use super::file::{JournalFile, Unusable};
use super::pending::{Pending, Refused};
use super::{Error, Settings};
use crate::store::{Batch, NodeId};

/// See the module.
#[derive(Debug)]
pub(super) struct Keeper {
    node: NodeId,
    waiting_max: usize,
    /// The last sequence that the store has said is booked.
    booked: u64,
    /// The number of the last frame.
    number: u64,
    pending: Pending,
    on_its_way: Option<OnItsWay>,
    file: Option<JournalFile>,
    /// The file does not hold all that waits.
    is_file_broken: bool,
    at_secs: i64,
}

#[derive(Debug)]
struct OnItsWay {
    batch: Arc<Batch>,
    bookings: usize,
}

/// A file is written anew when it has become larger than that, and than what waits is worth.
const FILE_BYTES: u64 = if cfg!(test) { 2048 } else { 16 * 1024 * 1024 };
/// A file whose frames are all booked is cut when it is larger: each cut is waited for.
const CUT_BYTES: u64 = if cfg!(test) { 512 } else { 1024 * 1024 };
/// What a booking takes in the file at most, about.
const BOOKING_BYTES: u64 = if cfg!(test) { 10 } else { 200 };

impl Keeper {
    /// Goes on behind what the store has booked.
    pub(super) fn open(settings: &Settings, booked: u64) -> Result<Self, Error> {
        let mut keeper = Self {
            node: settings.node,
            waiting_max: settings.waiting_max,
            booked,
            number: booked,
            pending: Pending::default(),
            on_its_way: None,
            file: None,
            is_file_broken: false,
            at_secs: 0,
        };
        let Some(path) = &settings.file else { return Ok(keeper) };
        let (file, found) = JournalFile::open(path, settings.node).map_err(|error| match error {
            Unusable::Io(source) => Error::File { path: path.clone(), source },
            Unusable::Foreign => Error::ForeignFile { path: path.clone() },
        })?;
        if found.torn_bytes > 0 {
            tracing::warn!(bytes = found.torn_bytes, "the journal file was torn at its end, as by a crash");
        }
        for frame in found.frames.into_iter().filter(|frame| frame.sequence > booked) {
            keeper.number = frame.sequence;
            keeper.at_secs = frame.at_secs;
            keeper.pending.merge(Pending::from_batch(&frame));
        }
        keeper.file = Some(file);
        Ok(keeper)
    }

    /// Whether it could do nothing with what has come but hold it: a batch is on its way, and there is no file.
    pub(super) fn would_only_hold(&self) -> bool {
        self.on_its_way.is_some() && self.file.is_none()
    }

    /// Takes what has come, as far as it may wait, and makes it safe.
    pub(super) fn take(&mut self, mut fresh: Pending, at_secs: i64) -> Refused {
        let refused =
            self.pending.refuse(&mut fresh, self.waiting_max.saturating_sub(self.waiting_on_its_way()));
        if fresh.is_empty() {
            self.mend();
            return refused;
        }
        self.number += 1;
        self.at_secs = at_secs;
        if let Some(file) = &mut self.file
            && !self.is_file_broken
        {
            let mut frame = fresh.batch();
            (frame.node, frame.sequence, frame.at_secs) = (self.node, self.number, at_secs);
            if let Err(error) = file.append(&frame) {
                tracing::error!(%error, path = %file.path().display(), "cannot write the journal file");
                self.is_file_broken = true;
            }
        }
        self.pending.merge(fresh);
        self.mend();
        refused
    }

    /// The next batch, if none is on its way and something waits.
    pub(super) fn next_batch(&mut self) -> Option<Arc<Batch>> {
        if self.on_its_way.is_some() || self.pending.is_empty() {
            return None;
        }
        let bookings = self.pending.bookings();
        let mut batch = std::mem::take(&mut self.pending).batch();
        (batch.node, batch.after, batch.sequence) = (self.node, self.booked, self.number);
        batch.at_secs = self.at_secs;
        let batch = Arc::new(batch);
        self.on_its_way = Some(OnItsWay { batch: Arc::clone(&batch), bookings });
        Some(batch)
    }

    /// The store has booked the batch that was on its way.
    pub(super) fn booked(&mut self, sequence: u64) {
        self.booked = sequence;
        self.on_its_way = None;
        if self.pending.is_empty()
            && let Some(file) = &mut self.file
            && file.bytes() > CUT_BYTES
            && let Err(error) = file.clear()
        {
            tracing::error!(%error, path = %file.path().display(), "cannot cut the journal file");
            self.is_file_broken = true;
        }
    }

    /// Writes the file anew if it does not hold what it should, or far more.
    fn mend(&mut self) {
        let worth = FILE_BYTES.max(3 * BOOKING_BYTES * self.waiting() as u64);
        let Some(file) = &mut self.file else { return };
        if !self.is_file_broken && file.bytes() <= worth {
            return;
        }
        let mut pending = self.pending.batch();
        (pending.node, pending.sequence, pending.at_secs) = (self.node, self.number, self.at_secs);
        let on_its_way = self.on_its_way.as_ref().map(|on_its_way| &*on_its_way.batch);
        let frames: Vec<&Batch> =
            on_its_way.into_iter().chain((!self.pending.is_empty()).then_some(&pending)).collect();
        self.is_file_broken = file.rewrite(&frames).is_err();
    }

    /// Bookings that the store has not said are booked.
    pub(super) fn waiting(&self) -> usize {
        self.pending.bookings() + self.waiting_on_its_way()
    }

    fn waiting_on_its_way(&self) -> usize {
        self.on_its_way.as_ref().map_or(0, |on_its_way| on_its_way.bookings)
    }

    /// Whether as much waits as may.
    pub(super) fn is_full(&self) -> bool {
        self.waiting() >= self.waiting_max
    }

    /// Whether there is a file that does not hold what it should.
    pub(super) fn is_file_broken(&self) -> bool {
        self.is_file_broken
    }

    /// Whether what waits is in memory only.
    pub(super) fn is_unsafe(&self) -> bool {
        self.file.is_none() || self.is_file_broken
    }

    /// The file, for tests that break it.
    #[cfg(test)]
    pub(super) fn file(&mut self) -> &mut JournalFile {
        self.file.as_mut().unwrap()
    }

    /// Size of the file.
    pub(super) fn file_bytes(&self) -> u64 {
        self.file.as_ref().map_or(0, JournalFile::bytes)
    }
}
