//! From announces to the books: bookings are merged in memory, made safe, and flushed to the store about once a second.
//!
//! [`Journal::book`] is all that an announce does here: it adds to a list, and waits for no disk and no database. Two threads
//! do the rest. The *keeper* takes what has come each second; with a database elsewhere it first writes it to a file of
//! this machine and has it synchronised, so that the loss of the database and of the program together costs a second. The
//! *flusher* books one batch after the other, and the same batch again until the store says that it is booked.
//!
//! What comes while the store is away waits in memory, merged by user, torrent and session, up to a bound; beyond it a
//! booking is counted and not credited, and [`Journal::troubles`] says so.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::node::lock;
use crate::store::{self, Counts, Increment, KeyUse, NodeId, SessionRow, Store};

mod file;
mod flusher;
mod keeper;
mod pending;
#[cfg(test)]
mod tests;

use keeper::Keeper;
use pending::{PARTS, Part, Pending, part_of};

/// What an announce adds to the books. One half without the other would be credited twice, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Booking {
    /// What has been counted since the announce before, of whom and on what.
    pub add: Increment,
    /// The counters that it was counted up to.
    pub baseline: SessionRow,
}

/// How a journal is to be kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who books.
    pub node: NodeId,
    /// Where bookings are made safe before they are flushed. `None` when the store is as safe, and as near: SQLite.
    pub file: Option<PathBuf>,
    /// Bookings that may wait, each of a user, torrent and session of its own.
    pub waiting_max: usize,
}

/// What keeps the books from being kept as they should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The store does not take the batch that is sent to it.
    StoreAway,
    /// The file cannot be written: what waits is in memory only.
    FileBroken,
    /// As much waits as may: bookings are not credited.
    Full,
}

impl Trouble {
    const ALL: [Self; 3] = [Self::StoreAway, Self::FileBroken, Self::Full];

    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Self::StoreAway => "the database is not available",
            Self::FileBroken => "the journal file cannot be written",
            Self::Full => "the journal is full: bookings are not credited",
        }
    }
}

/// Figures of a journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Bookings that wait, as of the last second.
    pub waiting: u64,
    /// How many may.
    pub waiting_max: u64,
    /// Bookings that were not credited because too many waited.
    pub refused: u64,
    /// Bytes sent and got that they told of.
    pub refused_bytes: u64,
    /// Batches that are booked.
    pub batches: u64,
    /// Times that the store did not take one.
    pub failures: u64,
    /// Size of the file.
    pub file_bytes: u64,
}

/// The keeper looks so often: as much may be lost.
const TICK: Duration = Duration::from_secs(1);
/// A store that has not booked a batch for so long is away, whether it says so or just hangs.
const SLOW: Duration = Duration::from_secs(3);

struct Shared {
    /// Bookings that have come since the keeper last looked.
    parts: [Mutex<Part>; PARTS],
    waiting_max: usize,
    troubles: [AtomicBool; 3],
    waiting: AtomicU64,
    refused: AtomicU64,
    refused_bytes: AtomicU64,
    batches: AtomicU64,
    failures: AtomicU64,
    file_bytes: AtomicU64,
}

impl Shared {
    fn set(&self, trouble: Trouble, is_there: bool) {
        if self.troubles[trouble as usize].swap(is_there, Ordering::Relaxed) != is_there {
            match is_there {
                true => tracing::error!("the books are kept with trouble: {}", trouble.text()),
                false => tracing::info!("no trouble any more with: {}", trouble.text()),
            }
        }
    }

    fn refuse(&self, bookings: u64, bytes: u64) {
        self.refused.fetch_add(bookings, Ordering::Relaxed);
        self.refused_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// All that has come. Its lists change places with `spare` ones, which are empty before and after: announces wait for
    /// no memory.
    fn take(&self, spare: &mut [Part; PARTS]) -> Pending {
        for (part, spare) in self.parts.iter().zip(&mut *spare) {
            std::mem::swap(&mut *lock(part), spare);
        }
        Pending::of(spare)
    }
}

/// What reaches the keeper's thread.
enum Event {
    /// The store has booked the batch of this sequence.
    Booked(u64),
    /// The program ends: make everything safe until then.
    Stop(Instant),
}

/// The running journal. Dropping it stops nothing: call [`Journal::stop`].
#[derive(Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    events: mpsc::Sender<Event>,
    threads: [JoinHandle<()>; 2],
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

/// Why a journal cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store does not say what it has booked.
    #[error("cannot ask the database for what is booked")]
    Store(#[from] store::Error),
    /// The file cannot be read or written.
    #[error("cannot use the journal file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is of another node.
    #[error("the journal file {} belongs to another state directory", path.display())]
    ForeignFile {
        /// The file.
        path: PathBuf,
    },
    /// There is no thread to be had.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

impl Journal {
    /// Begins where the last journal of this node ended: what its file holds and the store does not is booked first.
    pub fn start(settings: &Settings, mut store: Box<dyn Store>) -> Result<Self, Error> {
        let keeper = Keeper::open(settings, store.last_sequence(settings.node)?)?;
        let shared = Arc::new(Shared {
            parts: Default::default(),
            waiting_max: settings.waiting_max,
            troubles: Default::default(),
            waiting: AtomicU64::new(keeper.waiting() as u64),
            refused: AtomicU64::default(),
            refused_bytes: AtomicU64::default(),
            batches: AtomicU64::default(),
            failures: AtomicU64::default(),
            file_bytes: AtomicU64::default(),
        });
        let (events, received) = mpsc::channel();
        let (batches, to_book) = mpsc::sync_channel(1);
        let (of_flusher, booked) = (Arc::clone(&shared), events.clone());
        let flusher = std::thread::Builder::new()
            .name("flusher".to_owned())
            .spawn(move || flusher::run(&of_flusher, store, &to_book, &booked))
            .map_err(Error::Thread)?;
        let of_keeper = Arc::clone(&shared);
        let keeper = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || run(&of_keeper, keeper, &received, &batches))
            .map_err(Error::Thread)?;
        Ok(Self { shared, events, threads: [keeper, flusher] })
    }

    /// Takes a booking. `false` when as much waits as may: it is counted, and not credited.
    pub fn book(&self, booking: &Booking) -> bool {
        let part = &self.shared.parts[part_of(booking.baseline.user.0)];
        let has_room = lock(part).book(booking, self.shared.waiting_max.div_ceil(PARTS));
        if !has_room {
            self.shared.refuse(1, booking.add.uploaded.saturating_add(booking.add.downloaded));
            self.shared.set(Trouble::Full, true);
        }
        has_room
    }

    /// Takes the counts of a torrent's swarm; the last ones count.
    pub fn count(&self, counts: Counts) {
        lock(&self.shared.parts[part_of(counts.torrent.0)]).count(counts);
    }

    /// Notes that an announce key was used.
    pub fn note_key(&self, key_use: KeyUse) {
        lock(&self.shared.parts[part_of(key_use.key)]).note_key(key_use);
    }

    /// What is wrong now.
    pub fn troubles(&self) -> impl Iterator<Item = Trouble> {
        Trouble::ALL
            .into_iter()
            .filter(|trouble| self.shared.troubles[*trouble as usize].load(Ordering::Relaxed))
    }

    /// See [`Figures`].
    pub fn figures(&self) -> Figures {
        let read = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        Figures {
            waiting: read(&self.shared.waiting),
            waiting_max: self.shared.waiting_max as u64,
            refused: read(&self.shared.refused),
            refused_bytes: read(&self.shared.refused_bytes),
            batches: read(&self.shared.batches),
            failures: read(&self.shared.failures),
            file_bytes: read(&self.shared.file_bytes),
        }
    }

    /// Books what has come, as far as it can be done within a time. What is left after it is in the file, if there is one;
    /// what is lost without one is logged.
    pub fn stop(&self, within: Duration) {
        let deadline = Instant::now() + within;
        // It is gone only if it panicked.
        self.events.send(Event::Stop(deadline)).ok();
        let [keeper, flusher] = &self.threads;
        let wait = |thread: &JoinHandle<()>, until| {
            while !thread.is_finished() && Instant::now() < until {
                std::thread::park_timeout(Duration::from_millis(5));
            }
        };
        // It may have a frame to write at the last moment.
        wait(keeper, deadline + TICK);
        // A flusher that waits for a database that is gone is not waited for: it has nothing that is not in the file.
        wait(flusher, deadline);
    }

    /// Whether one of its threads has ended, as after [`Journal::stop`], or by a panic.
    pub fn has_ended(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }
}

/// The keeper's thread.
fn run(
    shared: &Shared,
    mut keeper: Keeper,
    events: &mpsc::Receiver<Event>,
    batches: &mpsc::SyncSender<Arc<store::Batch>>,
) {
    let mut spare = Box::<[Part; PARTS]>::default();
    let mut due = Instant::now() + TICK;
    let mut deadline = None;
    let mut sent = None;
    loop {
        let now = Instant::now();
        let is_away = sent.is_some_and(|sent| now.duration_since(sent) >= SLOW);
        if is_away {
            shared.set(Trouble::StoreAway, true);
        }
        // While the store is only busy, what the keeper could do nothing with may as well stay where it is.
        if (now >= due || deadline.is_some()) && (is_away || !keeper.would_only_hold()) {
            take(shared, &mut keeper, &mut spare);
            due = now + TICK;
        }
        if send(shared, &mut keeper, batches) {
            sent = Some(now);
        }
        let until = deadline.unwrap_or(if now < due { due } else { now + TICK });
        if deadline.is_some() && (keeper.waiting() == 0 || Instant::now() >= until) {
            break;
        }
        match events.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Event::Booked(sequence)) => {
                keeper.booked(sequence);
                sent = None;
            }
            Ok(Event::Stop(until)) => deadline = Some(until),
            Err(RecvTimeoutError::Timeout) => {}
            // Whoever should have told us to stop is gone.
            Err(RecvTimeoutError::Disconnected) => deadline = Some(Instant::now()),
        }
    }
    take(shared, &mut keeper, &mut spare);
    if keeper.waiting() > 0 && keeper.is_unsafe() {
        tracing::error!(
            bookings = keeper.waiting(),
            "stopped before the database took all bookings; they are lost"
        );
    }
}

/// What has come is made safe.
fn take(shared: &Shared, keeper: &mut Keeper, spare: &mut [Part; PARTS]) {
    let refused = keeper.take(shared.take(spare), now_secs());
    shared.refuse(refused.bookings, refused.bytes);
    shared.set(Trouble::Full, refused.bookings > 0 || keeper.is_full());
}

/// Sends a batch if none is on its way; answers whether one was.
fn send(shared: &Shared, keeper: &mut Keeper, batches: &mpsc::SyncSender<Arc<store::Batch>>) -> bool {
    let batch = keeper.next_batch();
    let is_sent = batch.is_some();
    if let Some(batch) = batch {
        // There is room: the flusher has none on its way. It is gone only if it panicked.
        batches.try_send(batch).ok();
    }
    shared.set(Trouble::FileBroken, keeper.is_file_broken());
    shared.waiting.store(keeper.waiting() as u64, Ordering::Relaxed);
    shared.file_bytes.store(keeper.file_bytes(), Ordering::Relaxed);
    is_sent
}

fn now_secs() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
