//! Why a store could not do what it was asked.

use super::NodeId;

/// Why a store could not do what it was asked. [`Error::is_retryable`] says whether asking again can help.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot be reached, is busy, full or read-only: it may be well again later.
    #[error("the database is not available for now: {message}")]
    Unavailable {
        /// What it said.
        message: String,
    },
    /// It did not answer in time.
    #[error("the database did not answer within {secs} s")]
    Silent {
        /// How long was waited.
        secs: u64,
    },
    /// It said no, and would again.
    #[error("the database refused: {message}")]
    Refused {
        /// What it said.
        message: String,
    },
    /// The database of this name does not exist, and may not be created by us.
    #[error(
        "the database {name:?} does not exist, and {role:?} may not create it; have an administrator run: {sql}"
    )]
    NoDatabase {
        /// Its name.
        name: String,
        /// Who we are there.
        role: String,
        /// What creates it.
        sql: String,
    },
    /// A newer evenkeel has been at work here.
    #[error(
        "the database has schema version {found}, and this evenkeel knows versions up to {known}: run the newer one, or restore a backup"
    )]
    NewerSchema {
        /// The version found.
        found: i64,
        /// The newest one that we know.
        known: i64,
    },
    /// Nothing of this kind works with what is written in the configuration.
    #[error("the address of the database is not understood: {message}")]
    Address {
        /// What is wrong with it; never the address, which holds a password.
        message: String,
    },
    /// A row holds what it must not.
    #[error("the row {id} of {table} holds no valid {column}")]
    Corrupt {
        /// Its table.
        table: &'static str,
        /// Its id.
        id: i64,
        /// What is wrong with it.
        column: &'static str,
    },
    /// An edit would give two rows the same name, info hash or key.
    #[error("another row has this {field} already (edit {edit})")]
    Taken {
        /// The position of the edit.
        edit: usize,
        /// What is taken.
        field: String,
    },
    /// An edit holds a value that is out of range.
    #[error("this {field} is out of range (edit {edit})")]
    OutOfRange {
        /// The position of the edit.
        edit: usize,
        /// What is out of range.
        field: String,
    },
    /// An edit is about a row that is not there.
    #[error("there is no such row (edit {edit})")]
    Missing {
        /// The position of the edit.
        edit: usize,
    },
    /// The changes since a mark are not kept any more.
    #[error("the changes since then are not kept any more")]
    TooOld,
    /// Somebody else books under our name.
    #[error(
        "the node {node} has booked up to {stored}, which is not what we sent: another evenkeel writes with a copy of our state directory"
    )]
    Conflict {
        /// Our name.
        node: NodeId,
        /// The sequence that the store has.
        stored: u64,
    },
}

impl Error {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Silent { .. })
    }
}
