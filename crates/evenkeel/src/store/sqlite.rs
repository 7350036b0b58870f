//! A store in one file.
//!
//! Write-ahead log, synchronised to the disk at each commit: what was booked survives a power cut. Several connections of
//! one program read while one writes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row as SqlRow, ToSql, Transaction, TransactionBehavior};

use super::columns::{Columns, Value, amount};
use super::control::{Kind, Unique};
use super::edit::{self, Edit, field_of};
use super::flush::{
    Applied, Batch, Book, Hour, NodeId, SessionId, SessionRow, Tidied, TorrentId, TorrentStats, Totals,
    UserId,
};
use super::history::{self, Bounds};
use super::schema::{MAKE_VERSION, READ_VERSION, SQLITE, WRITE_VERSION};
use super::standing::{self, Standing};
use super::upsert::{DAYS, Known, Rows};
use super::{CALL, CHANGES_SECS, Error, Mark, Reader, Row, Span, Store, TIDY_SLICE};

mod copy;

pub(crate) use copy::copy;

/// See the module.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    connection: Connection,
}

impl Sqlite {
    /// Opens the file, or makes it; then brings its schema to the newest version.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(CALL)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.set_prepared_statement_cache_capacity(64);
        migrate(&mut connection)?;
        Ok(Self { path: path.to_owned(), connection })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A transaction that has the right to write from its beginning: one that asks for it later may be refused.
    fn begin(&mut self) -> Result<Transaction<'_>, Error> {
        Ok(self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
    }
}

fn migrate(connection: &mut Connection) -> Result<(), Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute(MAKE_VERSION, [])?;
    let found: i64 = transaction.query_row(READ_VERSION, [], |row| row.get(0))?;
    for (version, step) in SQLITE.after(found)? {
        transaction.execute_batch(step)?;
        transaction.execute(WRITE_VERSION, [version])?;
    }
    Ok(transaction.commit()?)
}

impl Store for Sqlite {
    fn load(&mut self, reader: &mut dyn Reader) -> Result<Mark, Error> {
        // A reading transaction sees one moment.
        let transaction = self.connection.transaction()?;
        let from = newest_change(&transaction)?;
        for kind in Kind::FOLLOWED {
            let mut statement = transaction.prepare(&kind.table().select())?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                reader.row(kind.read(row)?);
            }
        }
        Ok(Mark { from, seen: Vec::new() })
    }

    fn load_sessions(&mut self, show: &mut dyn FnMut(SessionRow)) -> Result<(), Error> {
        let mut statement = self.connection.prepare(
            "SELECT user_id, torrent_id, session, uploaded, downloaded, lacking, run, seen_at, is_stopped FROM sessions",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            show(SessionRow {
                user: UserId(row.get(0)?),
                torrent: TorrentId(row.get(1)?),
                session: SessionId(row.get::<_, i64>(2)?.cast_unsigned()),
                uploaded: amount(row.get(3)?),
                downloaded: amount(row.get(4)?),
                left: row.get::<_, Option<i64>>(5)?.map(amount),
                run: row.get(6)?,
                seen_at: row.get(7)?,
                is_stopped: row.get(8)?,
            });
        }
        Ok(())
    }

    fn changes_since(&mut self, mark: &Mark, reader: &mut dyn Reader) -> Result<Mark, Error> {
        let transaction = self.connection.transaction()?;
        let from = newest_change(&transaction)?;
        if from == mark.from {
            return Ok(mark.clone());
        }
        let oldest: Option<i64> =
            transaction.query_row("SELECT min(id) FROM change_log", [], |row| row.get(0))?;
        if from < mark.from || oldest.is_none_or(|oldest| oldest > mark.from + 1) {
            return Err(Error::TooOld);
        }
        let mut changed = BTreeSet::new();
        let mut statement =
            transaction.prepare_cached("SELECT kind, row_id FROM change_log WHERE id > $1 AND id <= $2")?;
        let mut rows = statement.query([mark.from, from])?;
        while let Some(row) = rows.next()? {
            changed.insert((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
        }
        for (number, id) in changed {
            let kind = Kind::of_number(number).ok_or(Error::TooOld)?;
            let select = format!("{} WHERE id = $1", kind.table().select());
            let mut statement = transaction.prepare_cached(&select)?;
            let mut rows = statement.query([id])?;
            match rows.next()? {
                Some(row) => reader.row(kind.read(row)?),
                None => reader.gone(kind, id),
            }
        }
        Ok(Mark { from, seen: Vec::new() })
    }

    fn last_sequence(&mut self, node: NodeId) -> Result<u64, Error> {
        sequence_of(&self.connection, node)
    }

    fn apply(&mut self, batch: &Batch) -> Result<Applied, Error> {
        let transaction = self.begin()?;
        if batch.is_booked(sequence_of(&transaction, batch.node)?)? {
            return Ok(Applied::Before);
        }
        let known = known(&transaction, batch)?;
        for rows in batch.upserts(&known) {
            put(&transaction, &rows)?;
        }
        let mut statement = transaction
            .prepare_cached("UPDATE announce_keys SET used_at = ?2 WHERE id = ?1 AND used_at < ?2")?;
        for key_use in &batch.key_uses {
            statement.execute([key_use.key, key_use.at_secs])?;
        }
        drop(statement);
        transaction.execute(
            "INSERT INTO nodes (node, sequence) VALUES ($1, $2) ON CONFLICT (node) DO UPDATE SET sequence = excluded.sequence",
            [batch.node.0, super::columns::stored(batch.sequence)],
        )?;
        transaction.commit()?;
        Ok(Applied::Now)
    }

    fn load_standings(&mut self, since_secs: i64, show: &mut dyn FnMut(Standing)) -> Result<(), Error> {
        let mut statement = self.connection.prepare(&standing::select(since_secs))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            standing::read(&numbers(row)).map(&mut *show);
        }
        Ok(())
    }

    fn put_standings(&mut self, standings: &[Standing]) -> Result<(), Error> {
        let transaction = self.begin()?;
        put(&transaction, &standing::rows(standings))?;
        Ok(transaction.commit()?)
    }

    fn edit(&mut self, edits: &[Edit]) -> Result<Vec<i64>, Error> {
        let transaction = self.begin()?;
        let mut ids = Vec::with_capacity(edits.len());
        for (at, edit) in edits.iter().enumerate() {
            let sentence = edit.sentence(ids.last().copied());
            let mut statement = transaction.prepare_cached(&sentence.text)?;
            let values = rusqlite::params_from_iter(&sentence.values);
            let refused = |error| refusal(at, error);
            if sentence.id == 0 {
                ids.push(statement.query_row(values, |row| row.get(0)).map_err(refused)?);
                continue;
            }
            if statement.execute(values).map_err(refused)? == 0 {
                return Err(Error::Missing { edit: at });
            }
            ids.push(sentence.id);
        }
        transaction.commit()?;
        Ok(ids)
    }

    fn page(&mut self, kind: Kind, after: i64, limit: u32) -> Result<Vec<Row>, Error> {
        let select = format!("{} WHERE id > $1 ORDER BY id LIMIT $2", kind.table().select());
        let mut statement = self.connection.prepare_cached(&select)?;
        let mut rows = statement.query([after, i64::from(limit)])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(kind.read(row)?);
        }
        Ok(found)
    }

    fn find(&mut self, kind: Kind, by: &Unique) -> Result<Option<Row>, Error> {
        let Some((select, value)) = kind.by(by) else { return Ok(None) };
        let mut statement = self.connection.prepare_cached(&select)?;
        let mut rows = statement.query([value])?;
        rows.next()?.map(|row| kind.read(row)).transpose()
    }

    fn file(&mut self, torrent: TorrentId) -> Result<Option<Vec<u8>>, Error> {
        let read = |row: &SqlRow<'_>| row.get(0);
        Ok(self.connection.query_row(edit::FILE, [torrent.0], read).optional()?)
    }

    fn totals(&mut self, user: UserId) -> Result<Totals, Error> {
        let columns = "uploaded, downloaded, credited, charged, seeded_secs, leeched_secs, snatches";
        let select = format!("SELECT {columns} FROM user_totals WHERE user_id = $1");
        let read = |row: &SqlRow<'_>| Ok(history::totals(&numbers(row)));
        Ok(self.connection.query_row(&select, [user.0], read).optional()?.unwrap_or_default())
    }

    fn book(&mut self, user: UserId, torrent: TorrentId) -> Result<Option<Book>, Error> {
        let read = |row: &SqlRow<'_>| Ok(history::book(&numbers(row)));
        Ok(self.connection.query_row(history::BOOK, [user.0, torrent.0], read).optional()?)
    }

    fn torrent_stats(&mut self, torrent: TorrentId) -> Result<Option<TorrentStats>, Error> {
        let read = |row: &SqlRow<'_>| Ok(history::stats(torrent, &numbers(row)));
        Ok(self.connection.query_row(history::STATS, [torrent.0], read).optional()?)
    }

    fn history(&mut self, torrent: TorrentId, span: Span) -> Result<Vec<Hour>, Error> {
        let transaction = self.connection.transaction()?;
        let mut hours = Vec::new();
        for text in history::selects(span) {
            let mut statement = transaction.prepare(text)?;
            let rows = statement.query_map([torrent.0], |row| Ok(history::hour(&numbers(row))))?;
            for hour in rows {
                hours.push(hour?);
            }
        }
        Ok(history::merge(hours, span))
    }

    fn tidy(&mut self, now_secs: i64) -> Result<Tidied, Error> {
        let bounds = Bounds::at(now_secs);
        let transaction = self.begin()?;
        let sessions = transaction.execute(
            "DELETE FROM sessions WHERE (user_id, torrent_id, session) IN (SELECT user_id, torrent_id, session FROM sessions
             WHERE (is_stopped = 1 AND seen_at < $1) OR seen_at < $2 LIMIT $3)",
            [bounds.stopped, bounds.silent, TIDY_SLICE],
        )?;
        // The newest one stays: from it one knows what is missing.
        let changes = transaction.execute(
            "DELETE FROM change_log WHERE id IN (SELECT id FROM change_log WHERE at < $1 AND id < (SELECT max(id) FROM change_log)
             ORDER BY id LIMIT $2)",
            [now_secs - CHANGES_SECS, TIDY_SLICE],
        )?;
        let keys = transaction.execute(
            "DELETE FROM announce_keys WHERE id IN (SELECT id FROM announce_keys WHERE used_at < $1 LIMIT $2)",
            [bounds.keys, TIDY_SLICE],
        )?;
        let hours = tidy_hours(&transaction, bounds.hours)?;
        transaction.commit()?;
        Ok(Tidied { sessions: sessions as u64, changes: changes as u64, hours, keys: keys as u64 })
    }
}

fn tidy_hours(transaction: &Transaction<'_>, before: i64) -> Result<u64, Error> {
    let old = "SELECT torrent_id, from_secs, seeders, leechers, partial, completed, uploaded, downloaded
               FROM torrent_hours WHERE from_secs < $1 ORDER BY torrent_id, from_secs LIMIT $2";
    let mut statement = transaction.prepare(old)?;
    let mut rows = statement.query([before, TIDY_SLICE])?;
    let mut days = Rows::new(&DAYS);
    let mut delete =
        transaction.prepare("DELETE FROM torrent_hours WHERE torrent_id = $1 AND from_secs = $2")?;
    let mut hours = Vec::new();
    while let Some(row) = rows.next()? {
        let mut row = numbers(row);
        hours.push([row[0], row[1]]);
        row[1] = row[1].map(history::day_of);
        days.push(&row);
    }
    for hour in &hours {
        delete.execute(*hour)?;
    }
    put(transaction, &days)?;
    Ok(hours.len() as u64)
}

/// Row after row, which the same key may come again in.
fn put(transaction: &Transaction<'_>, rows: &Rows) -> Result<(), Error> {
    let places: Vec<String> = (1..=rows.upsert.width()).map(|place| format!("?{place}")).collect();
    let text = rows.upsert.statement(&format!("VALUES ({})", places.join(", ")));
    let mut statement = transaction.prepare_cached(&text)?;
    for row in rows.iter() {
        statement.execute(rusqlite::params_from_iter(row))?;
    }
    Ok(())
}

fn known(transaction: &Transaction<'_>, batch: &Batch) -> Result<Known, Error> {
    let mut known = Known::default();
    let mut is_there = transaction.prepare_cached("SELECT 1 FROM users WHERE id = $1")?;
    for user in batch.users() {
        if !is_there.exists([user])? {
            known.gone.insert(user);
        }
    }
    let mut is_snatched = transaction.prepare_cached(
        "SELECT 1 FROM books WHERE user_id = $1 AND torrent_id = $2 AND snatched_at IS NOT NULL",
    )?;
    for (user, torrent) in batch.snatches() {
        if is_snatched.exists([user, torrent])? {
            known.snatched.insert((user, torrent));
        }
    }
    Ok(known)
}

fn sequence_of(connection: &Connection, node: NodeId) -> Result<u64, Error> {
    let read = |row: &SqlRow<'_>| row.get(0);
    let found =
        connection.query_row("SELECT sequence FROM nodes WHERE node = $1", [node.0], read).optional()?;
    Ok(found.map_or(0, amount))
}

fn newest_change(connection: &Connection) -> Result<i64, Error> {
    // What the table has counted up to, not what is in it: that may have been tidied away.
    let select = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'change_log'";
    Ok(connection.query_row(select, [], |row| row.get(0))?)
}

fn numbers(row: &SqlRow<'_>) -> Vec<Option<i64>> {
    (0..row.as_ref().column_count()).map(|at| row.get(at).ok()).collect()
}

impl Columns for SqlRow<'_> {
    fn integer(&self, at: usize) -> Option<i64> {
        self.get(at).ok()
    }

    fn text(&self, at: usize) -> Option<String> {
        self.get(at).ok()
    }

    fn bytes(&self, at: usize) -> Option<Vec<u8>> {
        self.get(at).ok()
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Integer(value) => ValueRef::Integer(*value),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
            Self::Null => ValueRef::Null,
        }))
    }
}

/// What a constraint has to say about an edit.
fn refusal(edit: usize, error: rusqlite::Error) -> Error {
    let rusqlite::Error::SqliteFailure(failure, Some(message)) = &error else { return error.into() };
    match failure.extended_code {
        rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE | rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY => {
            Error::Taken { edit, field: field_of(message) }
        }
        rusqlite::ffi::SQLITE_CONSTRAINT_CHECK | rusqlite::ffi::SQLITE_CONSTRAINT_NOTNULL => {
            Error::OutOfRange { edit, field: field_of(message) }
        }
        _ => error.into(),
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        let message = error.to_string();
        match error.sqlite_error_code() {
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::OutOfMemory
                | ErrorCode::OperationInterrupted,
            ) => Self::Unavailable { message },
            _ => Self::Refused { message },
        }
    }
}
