//! Copies of the file while others write to it.

use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::{Error, READ_VERSION, SQLITE};

/// Pages that are copied between two looks at how far it is.
const PAGES: i32 = 1024;

/// Copies a database as of one moment into a new file; `see` is told how much is done of how much.
///
/// What is written meanwhile is held back in the write-ahead log, and goes on: nobody waits.
pub(crate) fn copy(from: &Path, to: &Path, see: &mut dyn FnMut(u64, u64)) -> Result<(), Error> {
    let source = open(from)?;
    // One moment for all steps: else each would begin anew after what others have written.
    source.execute_batch("BEGIN")?;
    check(&source)?;
    let mut copy = Connection::open(to)?;
    let backup = Backup::new(&source, &mut copy)?;
    loop {
        let step = backup.step(PAGES)?;
        let progress = backup.progress();
        let pages = |count: i32| u64::try_from(count).unwrap_or(0);
        see(pages(progress.pagecount - progress.remaining), pages(progress.pagecount));
        if step == StepResult::Done {
            break;
        }
    }
    drop(backup);
    // One file holds all of it, and it is on the disk when this returns.
    copy.pragma_update(None, "synchronous", "FULL")?;
    copy.pragma_update(None, "journal_mode", "DELETE")?;
    let found: String = copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found == "ok" {
        Ok(())
    } else {
        Err(Error::Refused { message: format!("the copy is not sound: {found}") })
    }
}

/// Whether it is a database of this program, or an older one; a newer one is refused.
fn check(connection: &Connection) -> Result<(), Error> {
    let none = |error: rusqlite::Error| Error::Refused {
        message: format!("this is no database of evenkeel: {error}"),
    };
    let found: i64 = connection.query_row(READ_VERSION, [], |row| row.get(0)).map_err(none)?;
    SQLITE.after(found).map(drop)
}

/// Never makes a file.
fn open(path: &Path) -> Result<Connection, Error> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(super::CALL)?;
    Ok(connection)
}
