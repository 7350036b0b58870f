//! The books of a running tracker: the ledger that says what an announce adds, and the journal that keeps it.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use evenkeel_core::account::{
    Account, Allowance, Baseline, Booking, Factors, Held, Ledger, Run, SessionId, Terms, TorrentNumber,
    UserNumber,
};
use evenkeel_core::{Rules, Time};
use evenkeel_wire::Stats;

use crate::access::Admitted;
use crate::control::{Control, Item, Member};
use crate::journal::{self, Figures, Journal, Settings, Trouble};
use crate::node::lock;
use crate::store::{self, Counts, Increment, KeyUse, NodeId, SessionRow, Store, TorrentId, UserId};

/// Announces of one torrent are booked in the order in which they are settled.
const TURNS: usize = 256;
/// The last use of an announce key is noted to the hour.
const HOUR_SECS: i64 = 3600;

/// See the module.
pub(crate) struct Books {
    pub ledger: Ledger,
    journal: OnceLock<Journal>,
    turns: Box<[Mutex<()>]>,
}

/// Why the books cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Journal(#[from] journal::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("the program stops")]
    Stopping,
}

impl Error {
    /// Whether trying again may help.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) | Self::Journal(journal::Error::Store(error)) => error.is_retryable(),
            Self::Journal(_) | Self::Stopping => false,
        }
    }
}

impl Default for Books {
    fn default() -> Self {
        Self {
            ledger: Ledger::default(),
            journal: OnceLock::new(),
            turns: std::iter::repeat_with(Mutex::default).take(TURNS).collect(),
        }
    }
}

impl Books {
    /// Books what an earlier journal left, takes up the stored baselines, and is open from then on. `store` makes a new
    /// connection; `is_stopping` is asked while something has to be waited for.
    pub(crate) fn open(
        &self,
        settings: &Settings,
        store: &dyn Fn() -> Result<Box<dyn Store>, store::Error>,
        (rules, now, wall_secs): (&Rules, Time, i64),
        is_stopping: &dyn Fn() -> bool,
    ) -> Result<(), Error> {
        let journal = Journal::start(settings, store()?)?;
        // What it left is in no baseline yet.
        while journal.figures().waiting > 0 {
            if is_stopping() {
                journal.stop(Duration::ZERO);
                return Err(Error::Stopping);
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        store()?.load_sessions(&mut |row| {
            let idle_secs = u32::try_from((wall_secs - row.seen_at).max(0)).unwrap_or(u32::MAX);
            let whose = (UserNumber(number(row.user.0)), TorrentNumber(number(row.torrent.0)));
            self.ledger.restore(whose, (&baseline(&row), idle_secs), now, rules);
        })?;
        if let Err(journal) = self.journal.set(journal) {
            journal.stop(Duration::ZERO);
        }
        Ok(())
    }

    /// Whether announces can be booked.
    pub(crate) fn are_open(&self) -> bool {
        self.journal.get().is_some()
    }

    /// Whom and what an announce is booked to: a user, on a torrent of the catalogue.
    pub(crate) fn account(control: &Control, admitted: &Admitted, wall_secs: i64) -> Option<Account> {
        let (member, item) = (admitted.member?, admitted.item?);
        let factors = Factors::of(&terms(control, &member, &item), wall_secs.unsigned_abs());
        let (clients_max, addresses_max) = control.limits(&member);
        let allowance = Allowance { clients_max, addresses_max };
        Some(Account { user: UserNumber(member.id), torrent: TorrentNumber(item.id), factors, allowance })
    }

    /// The turn of a torrent's announces: held from before one is settled until it is booked, so that no older baseline
    /// takes the place of a newer one. Taken before the lock of a shard.
    pub(crate) fn turn(&self, torrent: TorrentNumber) -> MutexGuard<'_, ()> {
        lock(&self.turns[torrent.0 as usize % TURNS])
    }

    /// Books what an announce adds.
    pub(crate) fn book(&self, booking: &Booking, wall_secs: i64) {
        let Some(journal) = self.journal.get() else { return };
        let (user, torrent) = (UserId(booking.user.0.into()), TorrentId(booking.torrent.0.into()));
        journal.book(&journal::Booking {
            add: Increment {
                user,
                torrent,
                uploaded: booking.uploaded,
                downloaded: booking.downloaded,
                credited: booking.credited,
                charged: booking.charged,
                seeded_secs: booking.seeded_secs.into(),
                leeched_secs: booking.leeched_secs.into(),
                snatched_at: booking.snatched.then_some(wall_secs),
            },
            baseline: SessionRow {
                user,
                torrent,
                session: store::SessionId(booking.baseline.session.0),
                uploaded: booking.baseline.uploaded,
                downloaded: booking.baseline.downloaded,
                left: booking.baseline.left,
                run: booking.baseline.run.0,
                seen_at: wall_secs,
                is_stopped: booking.baseline.is_stopped,
            },
        });
    }

    /// Notes who is in a torrent's swarm after an announce, and which key was used.
    ///
    /// Known weakness: of a torrent with two info hashes these are the counts of the swarm that was announced to last.
    pub(crate) fn note(&self, admitted: &Admitted, stats: &Stats, wall_secs: i64) {
        let Some(journal) = self.journal.get() else { return };
        if let Some(item) = admitted.item {
            let torrent = TorrentId(item.id.into());
            let Stats { seeders, leechers, partial, .. } = *stats;
            journal.count(Counts { torrent, seeders, leechers, partial });
        }
        if let Some(key) = admitted.key {
            journal.note_key(KeyUse {
                key: key.id.into(),
                at_secs: wall_secs - wall_secs.rem_euclid(HOUR_SECS),
            });
        }
    }

    /// What is wrong with them.
    pub(crate) fn troubles(&self) -> Vec<Trouble> {
        self.journal.get().map(|journal| journal.troubles().collect()).unwrap_or_default()
    }

    /// Whether a thread of the journal has ended though it ought not to.
    pub(crate) fn have_failed(&self) -> bool {
        self.journal.get().is_some_and(Journal::has_ended)
    }

    /// See [`Figures`] and [`Held`].
    pub(crate) fn figures(&self) -> (Figures, Held) {
        (self.journal.get().map(Journal::figures).unwrap_or_default(), self.ledger.held())
    }

    /// Books what has come, as far as a time allows.
    pub(crate) fn close(&self, within: Duration) {
        if let Some(journal) = self.journal.get() {
            journal.stop(within);
        }
    }
}

/// How the journal of a node is kept beside a server, or without a file beside SQLite.
pub(crate) fn settings(key: [u8; 8], file: Option<PathBuf>, waiting_max: u32) -> Settings {
    // Positive, as a column has it, and not zero.
    let node = NodeId((i64::from_le_bytes(key) & i64::MAX) | 1);
    Settings { node, file, waiting_max: usize::try_from(waiting_max).unwrap_or(usize::MAX) }
}

fn terms(control: &Control, member: &Member, item: &Item) -> [Terms; 4] {
    let until = |secs: i64| u64::try_from(secs).unwrap_or(0);
    let [own, class] = control.shares(member).map(|share| Terms {
        up_percent: share.upload_percent,
        down_percent: share.download_percent,
        free_until_secs: 0,
    });
    let of_torrent = Terms {
        up_percent: Some(item.upload_percent),
        down_percent: Some(item.download_percent),
        free_until_secs: until(item.freeleech_until),
    };
    let of_site = Terms { free_until_secs: until(control.freeleech_until()), ..Terms::default() };
    [own, class, of_torrent, of_site]
}

fn baseline(row: &SessionRow) -> Baseline {
    Baseline {
        session: SessionId(row.session.0),
        uploaded: row.uploaded,
        downloaded: row.downloaded,
        left: row.left,
        run: Run(row.run),
        is_stopped: row.is_stopped,
    }
}

/// The tables keep ids in this range.
fn number(id: i64) -> u32 {
    u32::try_from(id).unwrap_or(0)
}
