//! What outlives the program: who may use the tracker, and the books.
//!
//! [`Store`] is one contract with two keepers, a file (SQLite) and a server (PostgreSQL). Both pass the same exam
//! (`store/exam.rs`), on a real server where it takes one.

use std::time::Duration;

mod columns;
mod control;
mod edit;
mod error;
#[cfg(test)]
pub(crate) mod exam;
mod flush;
mod history;
mod postgres;
mod schema;
mod sqlite;
mod standing;
mod token;
mod upsert;

pub use control::{
    AnnounceKey, Class, Hash32, Kind, List, Listed, Setting, Torrent, TorrentState, Unique, User, UserState,
};
pub use edit::Edit;
pub use error::Error;
pub use flush::{
    Applied, Batch, Book, Counts, Hour, Increment, KeyUse, NodeId, SessionId, SessionRow, Tidied, TorrentId,
    TorrentStats, Totals, UserId,
};
pub use postgres::{Address, Postgres};
pub use sqlite::Sqlite;
pub(crate) use sqlite::copy;
pub use standing::{AMOUNTS, STANDINGS_AT_ONCE, Standing, Whose};
pub use token::{Scope, Scopes, Token};

/// Keeps users, torrents, keys, lists and settings (the *control data*), and the books.
///
/// A value is one connection, owned by one thread at a time: a program opens one for each thread that needs one.
/// Every call blocks until it is done or has failed, and none takes for ever: a server that does not answer is an error
/// after a time ([`Store::apply`] names it). No announce calls here.
///
/// **Failing.** Any call may fail at any time. Nothing of a call that failed is kept, with one exception: when the
/// connection breaks while a transaction is being committed, nobody knows which it was. [`Store::apply`] can be called
/// again with the same batch, and books it once. [`Error::is_retryable`] says whether calling again can help; the
/// connection is made anew by the next call.
///
/// **After a crash** of the program, of the store or of the machine, what a call has returned as done is there, and of
/// every other call either all or nothing.
///
/// **Amounts** are `u64` here and signed 64-bit columns there: what is larger than a column is kept as the largest
/// value that fits, in sums too. Nothing overflows, and nothing wraps.
pub trait Store: Send {
    /// Shows all control data, as of one moment, and answers with the mark of that moment. Called once at the start, and
    /// again when changes cannot be followed any more.
    fn load(&mut self, reader: &mut dyn Reader) -> Result<Mark, Error>;

    /// Shows every session baseline. Called once at the start, before the first announce is booked.
    fn load_sessions(&mut self, show: &mut dyn FnMut(SessionRow)) -> Result<(), Error>;

    /// Shows what has changed since `mark`, as it is now, and answers with a new mark; called about twice a second. A row
    /// may be shown again although it did not change since; none that changed is left out, whoever changed it and
    /// however late it was committed. [`Error::TooOld`] when the changes are not kept any more: then load anew.
    fn changes_since(&mut self, mark: &Mark, reader: &mut dyn Reader) -> Result<Mark, Error>;

    /// The sequence of the last batch of `node` that is booked; 0 if there is none. Called when a journal is opened.
    fn last_sequence(&mut self, node: NodeId) -> Result<u64, Error>;

    /// Books a batch, all of it or nothing; called about once a second by one thread of a node. A batch that is booked
    /// already changes nothing, and is no error. It fails after 10 seconds, and another one for each 5,000 rows.
    fn apply(&mut self, batch: &Batch) -> Result<Applied, Error>;

    /// Shows what identities have earned that were seen since a time, in seconds since 1970. Called once at the start.
    fn load_standings(&mut self, since_secs: i64, show: &mut dyn FnMut(Standing)) -> Result<(), Error>;

    /// Keeps what identities have earned, in place of what was kept of them; at most [`STANDINGS_AT_ONCE`]. Called about once
    /// a minute. With a user or an announce key goes its standing.
    fn put_standings(&mut self, standings: &[Standing]) -> Result<(), Error>;

    /// Changes control data, all edits or none; answers the ids of their rows. Called by the admin API.
    fn edit(&mut self, edits: &[Edit]) -> Result<Vec<i64>, Error>;

    /// Rows of a kind with ids above `after`, by id, at most `limit`. Called by the admin API, as are the six below.
    fn page(&mut self, kind: Kind, after: i64, limit: u32) -> Result<Vec<Row>, Error>;

    /// The row of a kind that has this alone. Called for every request of the admin API.
    fn find(&mut self, kind: Kind, by: &Unique) -> Result<Option<Row>, Error>;

    /// The `.torrent` file that is kept of a torrent.
    fn file(&mut self, torrent: TorrentId) -> Result<Option<Vec<u8>>, Error>;

    /// One user's sums over all torrents.
    fn totals(&mut self, user: UserId) -> Result<Totals, Error>;

    /// What one user did on one torrent.
    fn book(&mut self, user: UserId, torrent: TorrentId) -> Result<Option<Book>, Error>;

    /// A torrent's figures as last flushed.
    fn torrent_stats(&mut self, torrent: TorrentId) -> Result<Option<TorrentStats>, Error>;

    /// A torrent's figures for each hour or day, oldest first, at most 1,000.
    fn history(&mut self, torrent: TorrentId, span: Span) -> Result<Vec<Hour>, Error>;

    /// Forgets what has had its time, a slice for each call: baselines of sessions, old changes, hours that have become
    /// days. `now_secs` is the wall clock. Called about once a minute.
    fn tidy(&mut self, now_secs: i64) -> Result<Tidied, Error>;
}

/// Takes what a store shows.
pub trait Reader {
    /// A row as it is now.
    fn row(&mut self, row: Row);
    /// A row that is no more.
    fn gone(&mut self, kind: Kind, id: i64);
}

/// A row of the control data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// See [`User`].
    User(User),
    /// See [`Class`].
    Class(Class),
    /// See [`Torrent`].
    Torrent(Torrent),
    /// See [`AnnounceKey`].
    Key(AnnounceKey),
    /// See [`Listed`].
    Listed(Listed),
    /// See [`Setting`].
    Setting(Setting),
    /// See [`Token`]. Read by [`Store::page`] and [`Store::find`] alone: announces have no use for it.
    Token(Token),
}

/// A moment in the history of the control data, as one store means it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Changes before this one have all been shown.
    from: i64,
    /// Those after it that have been, too.
    seen: Vec<i64>,
}

/// How fine a history is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Of the last 30 days.
    Hours,
    /// From the beginning.
    Days,
}

/// The baseline of a session that said `stopped` is kept so long: a client that goes on with the same counters is
/// credited for what it did meanwhile, and for nothing twice.
pub const STOPPED_SESSION_SECS: i64 = 6 * 3600;
/// The baseline of a session that fell silent is kept so long.
pub const SILENT_SESSION_SECS: i64 = 24 * 3600;
/// Changes are kept so long; who was away for longer loads everything.
pub const CHANGES_SECS: i64 = 24 * 3600;
/// Hours are kept so long; then only their day is.
pub const HOURS_SECS: i64 = 30 * 24 * 3600;
/// Announce keys that nobody used for so long expire.
pub const UNUSED_KEY_SECS: i64 = 90 * 24 * 3600;
/// Rows that one call of [`Store::tidy`] removes of each kind at most.
const TIDY_SLICE: i64 = 10_000;
/// What a call that reads or writes little may take.
const CALL: Duration = Duration::from_secs(10);

/// What `apply` may take.
fn apply_within(batch: &Batch) -> Duration {
    CALL + Duration::from_secs(batch.rows() as u64 / 5_000)
}
