//! What a server's errors mean to us.

use tokio_postgres::error::SqlState;

use crate::store::Error;
use crate::store::edit::field_of;

/// Classes of errors that pass: connection, resources, state of the server, operator at work, system. See appendix A of
/// PostgreSQL's manual.
const PASSING: &[&str] = &["08", "40", "53", "55", "57", "58"];

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(said) = error.as_db_error() else {
            // Of a server that is not there, or hung up in the middle of a sentence; its own source says why.
            let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            let message = if source.is_empty() { error.to_string() } else { format!("{error}: {source}") };
            return Self::Unavailable { message };
        };
        let code = said.code().code();
        // The text only: details and hints quote rows, and rows hold secrets.
        let message = format!("{} ({code})", said.message());
        let is_passing = PASSING.iter().any(|class| code.starts_with(class));
        if is_passing || *said.code() == SqlState::READ_ONLY_SQL_TRANSACTION {
            Self::Unavailable { message }
        } else {
            Self::Refused { message }
        }
    }
}

/// What a constraint has to say about an edit.
pub(super) fn of(edit: usize, error: tokio_postgres::Error) -> Error {
    let Some(said) = error.as_db_error() else { return error.into() };
    let field = said.constraint().or(said.column()).map(field_of).unwrap_or_default();
    match *said.code() {
        SqlState::UNIQUE_VIOLATION => Error::Taken { edit, field },
        SqlState::CHECK_VIOLATION | SqlState::NOT_NULL_VIOLATION => Error::OutOfRange { edit, field },
        _ => error.into(),
    }
}
