//! Rows and their columns, in the same words for every database.

use super::Error;

/// A value of a column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
    Null,
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Integer(stored(value))
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(value: [u8; N]) -> Self {
        Self::Bytes(value.to_vec())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// An amount as a column holds it.
pub(super) fn stored(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

/// An amount as a column held it; a site that writes negative ones means nothing.
pub(super) fn amount(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

/// A row that was read. `None` means that the column is null or of another type.
pub(super) trait Columns {
    fn integer(&self, at: usize) -> Option<i64>;
    fn text(&self, at: usize) -> Option<String>;
    fn bytes(&self, at: usize) -> Option<Vec<u8>>;
}

/// Reads a row column by column, from the left, and remembers which was bad.
pub(super) struct Cells<'a> {
    row: &'a dyn Columns,
    table: &'static Table,
    /// The id is before the first one.
    at: usize,
}

impl<'a> Cells<'a> {
    pub(super) fn new(row: &'a dyn Columns, table: &'static Table) -> Self {
        Self { row, table, at: 0 }
    }

    pub(super) fn id(&self) -> i64 {
        self.row.integer(0).unwrap_or(0)
    }

    fn next<T>(&mut self, read: impl FnOnce(&dyn Columns, usize) -> Option<T>) -> Result<T, Error> {
        let column = self.table.columns.get(self.at).copied().unwrap_or("column");
        self.at += 1;
        read(self.row, self.at).ok_or(Error::Corrupt { table: self.table.name, id: self.id(), column })
    }

    pub(super) fn integer(&mut self) -> Result<i64, Error> {
        self.next(|row, at| row.integer(at))
    }

    pub(super) fn maybe_integer(&mut self) -> Result<Option<i64>, Error> {
        self.next(|row, at| Some(row.integer(at)))
    }

    pub(super) fn number(&mut self) -> Result<u32, Error> {
        self.next(|row, at| u32::try_from(row.integer(at)?).ok())
    }

    pub(super) fn maybe_number(&mut self) -> Result<Option<u32>, Error> {
        self.next(|row, at| match row.integer(at) {
            None => Some(None),
            Some(number) => u32::try_from(number).ok().map(Some),
        })
    }

    pub(super) fn text(&mut self) -> Result<String, Error> {
        self.next(|row, at| row.text(at))
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        self.next(|row, at| row.bytes(at)?.try_into().ok())
    }

    pub(super) fn maybe_bytes<const N: usize>(&mut self) -> Result<Option<[u8; N]>, Error> {
        self.next(|row, at| match row.bytes(at) {
            None => Some(None),
            Some(bytes) => bytes.try_into().ok().map(Some),
        })
    }

    /// A number that stands for a word.
    pub(super) fn word<T: Copy>(&mut self, words: &[T]) -> Result<T, Error> {
        self.next(|row, at| words.get(usize::try_from(row.integer(at)?).ok()?).copied())
    }
}

/// A table of control data: a column `id`, and these.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [&'static str],
}

impl Table {
    pub(super) fn select(&self) -> String {
        format!("SELECT id, {} FROM {}", self.columns.join(", "), self.name)
    }

    pub(super) fn insert(&self) -> String {
        let places: Vec<String> = (1..=self.columns.len()).map(|place| format!("${place}")).collect();
        let (columns, places) = (self.columns.join(", "), places.join(", "));
        format!("INSERT INTO {} ({columns}) VALUES ({places}) RETURNING id", self.name)
    }

    pub(super) fn update(&self) -> String {
        let sets: Vec<String> =
            self.columns.iter().zip(1..).map(|(column, place)| format!("{column} = ${place}")).collect();
        format!("UPDATE {} SET {} WHERE id = ${}", self.name, sets.join(", "), self.columns.len() + 1)
    }

    pub(super) fn delete(&self) -> String {
        format!("DELETE FROM {} WHERE id = $1", self.name)
    }
}
