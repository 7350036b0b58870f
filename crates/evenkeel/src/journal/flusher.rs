//! The thread that books one batch after the other.

use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::{Event, Shared, Trouble, now_secs};
use crate::store::{Batch, Store};

/// The first pause before a batch is sent again; the next ones are twice as long each.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest one: so soon a database that is well again is noticed.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// What has had its time is forgotten so often.
const TIDY: Duration = Duration::from_secs(600);

/// Books until the keeper is gone, and then tries no more than once.
pub(super) fn run(
    shared: &Shared,
    mut store: Box<dyn Store>,
    batches: &mpsc::Receiver<Arc<Batch>>,
    booked: &mpsc::Sender<Event>,
) {
    let mut tidied = Instant::now();
    while let Ok(batch) = batches.recv() {
        if !book(shared, &mut *store, &batch, batches) {
            return;
        }
        shared.batches.fetch_add(1, Ordering::Relaxed);
        // Whoever is gone needs no answer.
        booked.send(Event::Booked(batch.sequence)).ok();
        if tidied.elapsed() >= TIDY {
            tidied = Instant::now();
            tidy(&mut *store);
        }
    }
}

/// Sends a batch until it is booked. `false` when nobody waits for that any more.
fn book(shared: &Shared, store: &mut dyn Store, batch: &Batch, batches: &mpsc::Receiver<Arc<Batch>>) -> bool {
    let mut pause = PAUSE;
    loop {
        let Err(error) = store.apply(batch) else {
            shared.set(Trouble::StoreAway, false);
            return true;
        };
        shared.failures.fetch_add(1, Ordering::Relaxed);
        if pause == PAUSE || !error.is_retryable() {
            tracing::error!(%error, sequence = batch.sequence, rows = batch.rows(), "cannot book; trying again");
        }
        shared.set(Trouble::StoreAway, true);
        // What it refuses today it may take when somebody has repaired it: nothing is thrown away.
        match batches.recv_timeout(pause) {
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            // The keeper sends none while one is on its way.
            Ok(_) | Err(mpsc::RecvTimeoutError::Disconnected) => return false,
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn tidy(store: &mut dyn Store) {
    match store.tidy(now_secs()) {
        Ok(tidied) => tracing::debug!(?tidied, "forgotten what has had its time"),
        Err(error) => tracing::warn!(%error, "cannot forget what has had its time"),
    }
}
