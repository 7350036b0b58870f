//! What identities have earned, in the database: read once at the start, written now and then.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use evenkeel_core::analyst::Analyst;
use evenkeel_core::{Time, Uplinks};
use foldhash::fast::RandomState;

use super::{Earned, row};
use crate::database::Database;
use crate::node::Node;
use crate::store::{Edit, Error, Kind, Row, STANDINGS_AT_ONCE, Setting, Standing, Store, Unique, Whose};

/// Standings that are written in one round at most; the others wait for the next.
const ROUND_MAX: usize = 20 * STANDINGS_AT_ONCE;
/// Who was not seen for so long begins anew: of what it had earned hardly anything would be left.
const KEPT_SECS: i64 = 90 * 86_400;
/// What was credited for an announce may become known so many bins later, and is written then.
const BINS_TO_SETTLE: u32 = 3;

/// Somebody who announces all the time is put among those to be written so often.
const STRETCH_SECS: u32 = 64;

/// The name of the setting that moves the threshold of busy uplinks, in percent.
const BUSY_SHIFT: &str = "busy_shift";
/// No further: above it hardly any uplink is busy, below it nearly all are.
const BUSY_SHIFT_MAX: i8 = 20;

/// See the module.
pub(super) struct Keeper<'a> {
    node: &'a Node,
    earned: &'a Earned,
    database: &'a Database,
    store: Option<Box<dyn Store>>,
    /// By slot. Nobody chooses which slot is whose.
    unkept: HashMap<u32, Unkept, RandomState>,
    /// In which stretch of time each slot was put there, since it was last written. To look here takes less than to look there.
    stretches: Vec<u16>,
    /// The last attempt failed: it is logged once.
    is_failing: bool,
}

/// Somebody who was seen since it was last written, or of whom something may not be settled.
struct Unkept {
    whose: Whose,
    /// Seen since it was last written.
    is_new: bool,
    settled_at: Time,
}

impl<'a> Keeper<'a> {
    pub(super) fn new(node: &'a Node, earned: &'a Earned, database: &'a Database) -> Self {
        let (unkept, stretches) = (HashMap::default(), Vec::new());
        Self { node, earned, database, store: None, unkept, stretches, is_failing: false }
    }

    /// Takes up what is kept, as soon as it is known whose it is. Answers whether it has; an error is one that will not pass.
    pub(super) fn restore(&mut self, analyst: &mut Analyst) -> Result<bool, Error> {
        if !self.database.control.is_loaded() {
            return Ok(false);
        }
        let (now, now_secs) = (self.node.now(), self.node.wall_secs());
        let (node, earned, control) = (self.node, self.earned, &self.database.control);
        let orders = node.orders();
        let mut show = |standing: Standing| {
            let Some(slot) = control
                .number_of(&standing.whose)
                .and_then(|number| earned.slot(Uplinks::known_slot(number)))
            else {
                return;
            };
            let (record, uplink) = row::record(&standing);
            let idle_secs = u32::try_from((now_secs - standing.at_secs).max(0)).unwrap_or(u32::MAX);
            if let Some(change) = analyst.restore(slot, &record, idle_secs) {
                earned.publish(change);
            }
            node.uplinks().restore(earned.of_uplink(slot), &uplink, now, &orders.rules);
        };
        let done = store_of(&mut self.store, self.database)
            .and_then(|store| store.load_standings(now_secs - KEPT_SECS, &mut show));
        Ok(self.has_worked(done)?.is_some())
    }

    /// By how much the threshold of busy uplinks is moved, as far as is kept: the operator can write it, too.
    pub(super) fn busy_shift(&self) -> i8 {
        let kept = self.database.control.setting(BUSY_SHIFT, |value| value.parse().ok());
        kept.unwrap_or(0_i8).clamp(-BUSY_SHIFT_MAX, BUSY_SHIFT_MAX)
    }

    /// Keeps it, from where it is followed as all settings are. A database that is away is asked again a day later.
    pub(super) fn keep_busy_shift(&mut self, percent: i8) -> Result<(), Error> {
        let done = store_of(&mut self.store, self.database).and_then(|store| {
            let found = store.find(Kind::Setting, &Unique::Name(BUSY_SHIFT.to_owned()))?;
            let id = found.map_or(0, |row| if let Row::Setting(row) = row { row.id } else { 0 });
            let setting = Setting { id, name: BUSY_SHIFT.to_owned(), value: percent.to_string() };
            store.edit(&[Edit::Setting(setting)]).map(drop)
        });
        self.has_worked(done).map(drop)
    }

    /// Somebody was seen. That it was is written down once in a stretch of time.
    pub(super) fn note(&mut self, slot: u32, whose: Whose, (now, bin_secs): (Time, u32)) {
        let at = slot as usize;
        if self.stretches.len() <= at {
            self.stretches.resize(at + 1, 0);
        }
        let stretch = stretch_of(now);
        if std::mem::replace(&mut self.stretches[at], stretch) == stretch {
            return;
        }
        let settles_after = bin_secs.saturating_mul(BINS_TO_SETTLE).saturating_add(STRETCH_SECS);
        let settled_at = Time(now.0.saturating_add(settles_after));
        self.unkept.insert(slot, Unkept { whose, is_new: true, settled_at });
    }

    /// Writes what has changed. What the database does not take stays to be written.
    pub(super) fn keep(&mut self, analyst: &Analyst) -> Result<(), Error> {
        let (now, now_secs) = (self.node.now(), self.node.wall_secs());
        let is_due = |unkept: &Unkept| unkept.is_new || unkept.settled_at <= now;
        let due = self.unkept.iter().filter(|(_, unkept)| is_due(unkept)).take(ROUND_MAX);
        let due: Vec<(u32, Whose)> = due.map(|(slot, unkept)| (*slot, unkept.whose)).collect();
        for batch in due.chunks(STANDINGS_AT_ONCE) {
            let rows: Vec<Standing> =
                batch.iter().filter_map(|(slot, whose)| self.row(analyst, *slot, *whose, now_secs)).collect();
            let done = store_of(&mut self.store, self.database).and_then(|store| store.put_standings(&rows));
            if self.has_worked(done)?.is_none() {
                break;
            }
            for (slot, _) in batch {
                // The next announce is news again.
                if let Some(stretch) = self.stretches.get_mut(*slot as usize) {
                    *stretch = 0;
                }
                if self.unkept.get(slot).is_some_and(|unkept| unkept.settled_at <= now) {
                    self.unkept.remove(slot);
                } else if let Some(unkept) = self.unkept.get_mut(slot) {
                    unkept.is_new = false;
                }
            }
        }
        let unkept = self.unkept.values().filter(|unkept| is_due(unkept)).count();
        self.earned.figures.unkept.store(u32::try_from(unkept).unwrap_or(u32::MAX), Ordering::Relaxed);
        Ok(())
    }

    fn row(&self, analyst: &Analyst, slot: u32, whose: Whose, now_secs: i64) -> Option<Standing> {
        let uplink = self.node.uplinks().record(self.earned.of_uplink(slot));
        Some(row::row(whose, (&analyst.record(slot)?, uplink), now_secs))
    }

    /// What was answered, or nothing if it may be well again later.
    fn has_worked<T>(&mut self, done: Result<T, Error>) -> Result<Option<T>, Error> {
        match done {
            Ok(done) => {
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!("what users earn is kept again");
                }
                Ok(Some(done))
            }
            Err(error) if error.is_retryable() => {
                self.store = None;
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::error!(%error, "what users earn cannot be read or kept for now");
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// A number for a stretch of time that no other one has for weeks; never 0.
fn stretch_of(now: Time) -> u16 {
    u16::try_from(now.0 / STRETCH_SECS % u32::from(u16::MAX)).unwrap_or(0) + 1
}

/// The connection, made anew after an error.
fn store_of<'a>(
    kept: &'a mut Option<Box<dyn Store>>,
    database: &Database,
) -> Result<&'a mut Box<dyn Store>, Error> {
    match kept {
        Some(store) => Ok(store),
        None => Ok(kept.insert(database.place.open()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_of_weeks_are_told_apart() {
        let numbers = [0, 63, 64, 127, 128, 64 * 65_534, 64 * 65_535].map(|secs| stretch_of(Time(secs)));
        assert_eq!(numbers, [1, 1, 2, 2, 3, 65_535, 1]);
    }
}
