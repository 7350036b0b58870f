//! A store on a PostgreSQL server, version 14 or newer.
//!
//! A batch is a handful of statements, each with all rows of a table as arrays. Nodes book one after the other, under an
//! advisory lock: a flush is short, and so a snatch that two nodes see is one.

use std::collections::BTreeSet;

use tokio_postgres::{Client, GenericClient, IsolationLevel, Row as SqlRow, Transaction};

use super::columns::{amount, stored};
use super::control::{Kind, Unique};
use super::edit::{self, Edit};
use super::flush::{
    Applied, Batch, Book, Hour, NodeId, SessionId, SessionRow, Tidied, TorrentId, TorrentStats, Totals,
    UserId,
};
use super::history::{self, Bounds};
use super::schema::{MAKE_VERSION, POSTGRES, READ_VERSION, WRITE_VERSION};
use super::standing::{self, Standing};
use super::upsert::{DAYS, Known, Rows};
use super::{CALL, CHANGES_SECS, Error, Mark, Reader, Row, Span, Store, TIDY_SLICE, apply_within};

mod connection;
mod refusal;
mod values;

pub use connection::Address;
use connection::Connection;

/// Held while the schema is changed.
const SCHEMA_LOCK: i64 = 0x6576_656e_6b65_0001;
/// Held while a batch is booked.
const FLUSH_LOCK: i64 = 0x6576_656e_6b65_0002;

/// See the module.
#[derive(Debug)]
pub struct Postgres {
    connection: Connection,
}

impl Postgres {
    /// Connects; creates the database if it is missing; brings its schema to the newest version.
    pub fn open(address: &Address) -> Result<Self, Error> {
        let mut connection = Connection::new(address)?;
        connection.create_if_missing()?;
        connection.run(connection::LONG, async |client| migrate(client).await)?;
        Ok(Self { connection })
    }
}

async fn migrate(client: &mut Client) -> Result<(), Error> {
    let transaction = client.transaction().await?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&SCHEMA_LOCK]).await?;
    transaction.execute(MAKE_VERSION, &[]).await?;
    let found: i64 = transaction.query_one(READ_VERSION, &[]).await?.try_get(0)?;
    for (version, step) in POSTGRES.after(found)? {
        transaction.batch_execute(step).await?;
        transaction.execute(WRITE_VERSION, &[&version]).await?;
    }
    Ok(transaction.commit().await?)
}

/// A transaction that sees one moment, for reading.
async fn snapshot(client: &mut Client) -> Result<Transaction<'_>, Error> {
    let begin = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    Ok(begin.start().await?)
}

/// Rows as they come, so that a large table is never there twice.
async fn each(
    client: &impl GenericClient,
    text: &str,
    mut show: impl FnMut(SqlRow) -> Result<(), Error>,
) -> Result<(), Error> {
    use futures_util::TryStreamExt;
    let none: [i64; 0] = [];
    let rows = client.query_raw(text, none).await?;
    let mut rows = std::pin::pin!(rows);
    while let Some(row) = rows.try_next().await? {
        show(row)?;
    }
    Ok(())
}

/// The oldest transaction that may still be writing.
async fn horizon(client: &impl GenericClient) -> Result<i64, Error> {
    let row = client.query_one("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint", &[]).await?;
    Ok(row.try_get(0)?)
}

impl Store for Postgres {
    fn load(&mut self, reader: &mut dyn Reader) -> Result<Mark, Error> {
        self.connection.run(connection::LONG, async |client| {
            let transaction = snapshot(client).await?;
            let from = horizon(&transaction).await?;
            for kind in Kind::FOLLOWED {
                each(&transaction, &kind.table().select(), |row| {
                    reader.row(kind.read(&row)?);
                    Ok(())
                })
                .await?;
            }
            let select = "SELECT id FROM change_log WHERE xid >= $1 ORDER BY id";
            let rows = transaction.query(select, &[&from]).await?;
            let seen = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
            Ok(Mark { from, seen })
        })
    }

    fn load_sessions(&mut self, show: &mut dyn FnMut(SessionRow)) -> Result<(), Error> {
        self.connection.run(connection::LONG, async |client| {
            let select =
                "SELECT user_id, torrent_id, session, uploaded, downloaded, lacking, run, seen_at, is_stopped FROM sessions";
            each(client, select, |row| {
                show(SessionRow {
                    user: UserId(row.try_get(0)?),
                    torrent: TorrentId(row.try_get(1)?),
                    session: SessionId(row.try_get::<_, i64>(2)?.cast_unsigned()),
                    uploaded: amount(row.try_get(3)?),
                    downloaded: amount(row.try_get(4)?),
                    left: row.try_get::<_, Option<i64>>(5)?.map(amount),
                    run: u8::try_from(row.try_get::<_, i64>(6)?).unwrap_or(0),
                    seen_at: row.try_get(7)?,
                    is_stopped: row.try_get::<_, i64>(8)? != 0,
                });
                Ok(())
            })
            .await
        })
    }

    fn changes_since(&mut self, mark: &Mark, reader: &mut dyn Reader) -> Result<Mark, Error> {
        self.connection.run(connection::LONG, async |client| changes_since(client, mark, reader).await)
    }

    fn last_sequence(&mut self, node: NodeId) -> Result<u64, Error> {
        self.connection.run(CALL, async |client| {
            let transaction = client.transaction().await?;
            // What a program that was killed has sent last is booked by then, or never will be.
            transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&FLUSH_LOCK]).await?;
            sequence_of(&transaction, node).await
        })
    }

    fn apply(&mut self, batch: &Batch) -> Result<Applied, Error> {
        self.connection.run(apply_within(batch), async |client| apply(client, batch).await)
    }

    fn load_standings(&mut self, since_secs: i64, show: &mut dyn FnMut(Standing)) -> Result<(), Error> {
        self.connection.run(connection::LONG, async |client| {
            each(client, &standing::select(since_secs), |row| {
                standing::read(&numbers(&row)).map(&mut *show);
                Ok(())
            })
            .await
        })
    }

    fn put_standings(&mut self, standings: &[Standing]) -> Result<(), Error> {
        self.connection.run(CALL, async |client| {
            let transaction = client.transaction().await?;
            put(&transaction, &standing::rows(standings)).await?;
            Ok(transaction.commit().await?)
        })
    }

    fn edit(&mut self, edits: &[Edit]) -> Result<Vec<i64>, Error> {
        self.connection.run(connection::LONG, async |client| put_edits(client, edits).await)
    }

    fn page(&mut self, kind: Kind, after: i64, limit: u32) -> Result<Vec<Row>, Error> {
        self.connection.run(CALL, async |client| {
            let select = format!("{} WHERE id > $1 ORDER BY id LIMIT $2", kind.table().select());
            let rows = client.query(&select, &[&after, &i64::from(limit)]).await?;
            rows.iter().map(|row| kind.read(row)).collect()
        })
    }

    fn find(&mut self, kind: Kind, by: &Unique) -> Result<Option<Row>, Error> {
        let Some((select, value)) = kind.by(by) else { return Ok(None) };
        self.connection.run(CALL, async |client| {
            let row = client.query_opt(&select, &[&value]).await?;
            row.map(|row| kind.read(&row)).transpose()
        })
    }

    fn file(&mut self, torrent: TorrentId) -> Result<Option<Vec<u8>>, Error> {
        self.connection.run(CALL, async |client| {
            let row = client.query_opt(edit::FILE, &[&torrent.0]).await?;
            row.map(|row| Ok(row.try_get(0)?)).transpose()
        })
    }

    fn totals(&mut self, user: UserId) -> Result<Totals, Error> {
        self.connection.run(CALL, async |client| {
            let columns = "uploaded, downloaded, credited, charged, seeded_secs, leeched_secs, snatches";
            let select = format!("SELECT {columns} FROM user_totals WHERE user_id = $1");
            let row = client.query_opt(&select, &[&user.0]).await?;
            Ok(row.map_or(Totals::default(), |row| history::totals(&numbers(&row))))
        })
    }

    fn book(&mut self, user: UserId, torrent: TorrentId) -> Result<Option<Book>, Error> {
        self.connection.run(CALL, async |client| {
            let row = client.query_opt(history::BOOK, &[&user.0, &torrent.0]).await?;
            Ok(row.map(|row| history::book(&numbers(&row))))
        })
    }

    fn torrent_stats(&mut self, torrent: TorrentId) -> Result<Option<TorrentStats>, Error> {
        self.connection.run(CALL, async |client| {
            let row = client.query_opt(history::STATS, &[&torrent.0]).await?;
            Ok(row.map(|row| history::stats(torrent, &numbers(&row))))
        })
    }

    fn history(&mut self, torrent: TorrentId, span: Span) -> Result<Vec<Hour>, Error> {
        self.connection.run(CALL, async |client| {
            let transaction = snapshot(client).await?;
            let mut hours = Vec::new();
            for select in history::selects(span) {
                let rows = transaction.query(*select, &[&torrent.0]).await?;
                hours.extend(rows.iter().map(|row| history::hour(&numbers(row))));
            }
            Ok(history::merge(hours, span))
        })
    }

    fn tidy(&mut self, now_secs: i64) -> Result<Tidied, Error> {
        self.connection.run(connection::LONG, async |client| tidy(client, now_secs).await)
    }
}

/// What is changed is found by the transaction that did it: those before the horizon have all been seen; of the others,
/// some may have committed after the last look, with smaller ids than what was seen then.
async fn changes_since(client: &mut Client, mark: &Mark, reader: &mut dyn Reader) -> Result<Mark, Error> {
    let transaction = snapshot(client).await?;
    let from = horizon(&transaction).await?;
    let floor: i64 =
        transaction.query_one("SELECT coalesce(max(xid), 0) FROM change_floor", &[]).await?.try_get(0)?;
    // The latter is another database than it was.
    if mark.from <= floor || from < mark.from {
        return Err(Error::TooOld);
    }
    let select = "SELECT id, xid, kind, row_id FROM change_log WHERE xid >= $1";
    let mut seen = Vec::new();
    let mut changed = BTreeSet::new();
    for row in transaction.query(select, &[&mark.from]).await? {
        let (id, xid): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        if xid >= from {
            seen.push(id);
        }
        if mark.seen.binary_search(&id).is_err() {
            changed.insert((row.try_get::<_, i64>(2)?, row.try_get::<_, i64>(3)?));
        }
    }
    let kinds: BTreeSet<i64> = changed.iter().map(|(number, _)| *number).collect();
    for number in kinds {
        // 0 is a table that was emptied.
        let kind = Kind::of_number(number).ok_or(Error::TooOld)?;
        let of_kind = changed.iter().filter(|(of, _)| *of == number);
        let mut gone: BTreeSet<i64> = of_kind.map(|(_, id)| *id).collect();
        let ids: Vec<i64> = gone.iter().copied().collect();
        let select = format!("{} WHERE id = ANY($1)", kind.table().select());
        for row in transaction.query(&select, &[&ids]).await? {
            gone.remove(&row.try_get(0)?);
            reader.row(kind.read(&row)?);
        }
        gone.into_iter().for_each(|id| reader.gone(kind, id));
    }
    seen.sort_unstable();
    Ok(Mark { from, seen })
}

async fn apply(client: &mut Client, batch: &Batch) -> Result<Applied, Error> {
    let transaction = client.transaction().await?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&FLUSH_LOCK]).await?;
    if batch.is_booked(sequence_of(&transaction, batch.node).await?)? {
        return Ok(Applied::Before);
    }
    let known = known(&transaction, batch).await?;
    for rows in batch.upserts(&known) {
        put(&transaction, &rows).await?;
    }
    if !batch.key_uses.is_empty() {
        let (keys, used_at): (Vec<i64>, Vec<i64>) =
            batch.key_uses.iter().map(|key_use| (key_use.key, key_use.at_secs)).unzip();
        transaction
            .execute(
                "UPDATE announce_keys SET used_at = used.at FROM unnest($1::bigint[], $2::bigint[]) AS used (key, at)
                 WHERE id = used.key AND used_at < used.at",
                &[&keys, &used_at],
            )
            .await?;
    }
    transaction
        .execute(
            "INSERT INTO nodes (node, sequence) VALUES ($1, $2) ON CONFLICT (node) DO UPDATE SET sequence = excluded.sequence",
            &[&batch.node.0, &stored(batch.sequence)],
        )
        .await?;
    transaction.commit().await?;
    Ok(Applied::Now)
}

async fn known(transaction: &Transaction<'_>, batch: &Batch) -> Result<Known, Error> {
    let mut known = Known::default();
    let users = batch.users();
    let gone = "SELECT of_batch FROM unnest($1::bigint[]) AS of_batch
                WHERE NOT EXISTS (SELECT 1 FROM users WHERE id = of_batch)";
    for row in transaction.query(gone, &[&users]).await? {
        known.gone.insert(row.try_get(0)?);
    }
    let (users, torrents): (Vec<i64>, Vec<i64>) = batch.snatches().unzip();
    if users.is_empty() {
        return Ok(known);
    }
    let snatched = "SELECT user_id, torrent_id FROM books
                    JOIN unnest($1::bigint[], $2::bigint[]) AS of_batch (u, t) ON user_id = u AND torrent_id = t
                    WHERE snatched_at IS NOT NULL";
    for row in transaction.query(snatched, &[&users, &torrents]).await? {
        known.snatched.insert((row.try_get(0)?, row.try_get(1)?));
    }
    Ok(known)
}

/// All rows of a table at once; none may come twice.
async fn put(transaction: &Transaction<'_>, rows: &Rows) -> Result<(), Error> {
    let places: Vec<String> = (1..=rows.upsert.width()).map(|place| format!("${place}::bigint[]")).collect();
    let text = rows.upsert.statement(&format!("SELECT * FROM unnest({})", places.join(", ")));
    transaction.execute_raw(&text, rows.columns()).await?;
    Ok(())
}

async fn sequence_of(client: &impl GenericClient, node: NodeId) -> Result<u64, Error> {
    let row = client.query_opt("SELECT sequence FROM nodes WHERE node = $1", &[&node.0]).await?;
    row.map_or(Ok(0), |row| Ok(amount(row.try_get(0)?)))
}

async fn put_edits(client: &mut Client, edits: &[Edit]) -> Result<Vec<i64>, Error> {
    let transaction = client.transaction().await?;
    let mut ids = Vec::with_capacity(edits.len());
    let mut prepared = std::collections::HashMap::new();
    for (at, edit) in edits.iter().enumerate() {
        let sentence = edit.sentence(ids.last().copied());
        let statement = match prepared.get(&sentence.text) {
            Some(statement) => statement,
            None => {
                let statement = transaction.prepare(&sentence.text).await?;
                prepared.entry(sentence.text.clone()).or_insert(statement)
            }
        };
        if sentence.id == 0 {
            let values = values::borrow(&sentence.values);
            let row =
                transaction.query_one(statement, &values).await.map_err(|error| refusal::of(at, error))?;
            ids.push(row.try_get(0)?);
            continue;
        }
        let changed = transaction.execute(statement, &values::borrow(&sentence.values)).await;
        if changed.map_err(|error| refusal::of(at, error))? == 0 {
            return Err(Error::Missing { edit: at });
        }
        ids.push(sentence.id);
    }
    transaction.commit().await?;
    Ok(ids)
}

async fn tidy(client: &mut Client, now_secs: i64) -> Result<Tidied, Error> {
    let bounds = Bounds::at(now_secs);
    let transaction = client.transaction().await?;
    // One tracker tidies while none books: hours become days once.
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&FLUSH_LOCK]).await?;
    let sessions = transaction
        .execute(
            "DELETE FROM sessions WHERE ctid = ANY(ARRAY(SELECT ctid FROM sessions
             WHERE (is_stopped = 1 AND seen_at < $1) OR seen_at < $2 LIMIT $3))",
            &[&bounds.stopped, &bounds.silent, &TIDY_SLICE],
        )
        .await?;
    let changes = tidy_changes(&transaction, now_secs - CHANGES_SECS).await?;
    let keys = transaction
        .execute(
            "DELETE FROM announce_keys WHERE id = ANY(ARRAY(SELECT id FROM announce_keys WHERE used_at < $1 LIMIT $2))",
            &[&bounds.keys, &TIDY_SLICE],
        )
        .await?;
    let old = "DELETE FROM torrent_hours WHERE (torrent_id, from_secs) IN (SELECT torrent_id, from_secs FROM torrent_hours
               WHERE from_secs < $1 ORDER BY torrent_id, from_secs LIMIT $2)
               RETURNING torrent_id, from_secs, seeders, leechers, partial, completed, uploaded, downloaded";
    let rows = transaction.query(old, &[&bounds.hours, &TIDY_SLICE]).await?;
    put(&transaction, &days(&rows)).await?;
    transaction.commit().await?;
    Ok(Tidied { sessions, changes, hours: rows.len() as u64, keys })
}

/// What is removed is remembered by its last transaction: who has not seen that one must load anew.
async fn tidy_changes(transaction: &Transaction<'_>, before: i64) -> Result<u64, Error> {
    let horizon = horizon(transaction).await?;
    let delete = "DELETE FROM change_log WHERE id = ANY(ARRAY(
                  SELECT id FROM change_log WHERE at < $1 AND xid < $2 ORDER BY xid, id LIMIT $3)) RETURNING xid";
    let rows = transaction.query(delete, &[&before, &horizon, &TIDY_SLICE]).await?;
    let xids = rows.iter().map(|row| row.try_get::<_, i64>(0)).collect::<Result<Vec<_>, _>>()?;
    if let Some(last) = xids.iter().max() {
        transaction.execute("UPDATE change_floor SET xid = greatest(xid, $1)", &[last]).await?;
    }
    Ok(rows.len() as u64)
}

/// Hours as days, each once.
fn days(rows: &[SqlRow]) -> Rows {
    let mut torrents: std::collections::BTreeMap<i64, Vec<Hour>> = std::collections::BTreeMap::new();
    for row in rows {
        let numbers = numbers(row);
        torrents.entry(numbers[0].unwrap_or(0)).or_default().push(history::hour(&numbers[1..]));
    }
    let mut days = Rows::new(&DAYS);
    for (torrent, hours) in torrents {
        for day in history::merge(hours, Span::Days) {
            let figures =
                [day.seeders, day.leechers, day.partial, day.completed, day.uploaded, day.downloaded];
            let row = [Some(torrent), Some(day.from_secs)].into_iter();
            days.push(&row.chain(figures.map(|figure| Some(stored(figure)))).collect::<Vec<_>>());
        }
    }
    days
}

fn numbers(row: &SqlRow) -> Vec<Option<i64>> {
    (0..row.len()).map(|at| row.try_get(at).ok().flatten()).collect()
}
