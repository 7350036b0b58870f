//! Versions of the schema, and how a database gets to the newest one.

use super::Error;

/// What brings a database from each version to the next, beginning with an empty one: version 0.
pub(super) struct Migrations(pub(super) &'static [&'static str]);

pub(super) const SQLITE: Migrations = Migrations(&[
    include_str!("sqlite/0001_books.sql"),
    include_str!("sqlite/0002_tokens.sql"),
    include_str!("sqlite/0003_torrent_files.sql"),
    include_str!("sqlite/0004_pinned_tiers.sql"),
    include_str!("sqlite/0005_standings.sql"),
]);
pub(super) const POSTGRES: Migrations = Migrations(&[
    include_str!("postgres/0001_books.sql"),
    include_str!("postgres/0002_tokens.sql"),
    include_str!("postgres/0003_torrent_files.sql"),
    include_str!("postgres/0004_pinned_tiers.sql"),
    include_str!("postgres/0005_standings.sql"),
]);

/// Where the version is kept. Both databases understand this.
pub(super) const MAKE_VERSION: &str =
    "CREATE TABLE IF NOT EXISTS evenkeel_schema (version bigint NOT NULL PRIMARY KEY)";
pub(super) const READ_VERSION: &str = "SELECT coalesce(max(version), 0) FROM evenkeel_schema";
pub(super) const WRITE_VERSION: &str = "INSERT INTO evenkeel_schema (version) VALUES ($1)";

impl Migrations {
    /// What is to be done to a database of version `found`, with the version that each step leads to. All of it is one
    /// transaction: a database is of an old version or of the newest one, and never between.
    pub(super) fn after(&self, found: i64) -> Result<impl Iterator<Item = (i64, &'static str)>, Error> {
        let known = i64::try_from(self.0.len()).unwrap_or(i64::MAX);
        if found > known {
            return Err(Error::NewerSchema { found, known });
        }
        let done = usize::try_from(found).unwrap_or(0);
        Ok((1..).zip(self.0.iter().copied()).skip(done))
    }
}
