//! Records, and what is kept of each peer beside its record when the settings ask for it: in columns of their own, so
//! that a search reads records and nothing else, and a tracker that keeps no more pays for no more.

use std::ops::Range;

use evenkeel_wire::PeerId;

use super::report::Report;

/// A record, and what is beside it. Whether there is something is the same for all rows of a store.
#[derive(Clone, Copy)]
pub(crate) struct Row<R> {
    pub(crate) peer: R,
    pub(crate) id: Option<PeerId>,
    pub(crate) report: Option<Report>,
}

/// Rows in a list.
pub(crate) struct Rows<R> {
    records: Vec<R>,
    beside: Option<Box<Beside>>,
}

/// Each column is parallel to the records, or empty.
#[derive(Default)]
pub(crate) struct Beside {
    pub(crate) ids: Vec<PeerId>,
    pub(crate) reports: Vec<Report>,
}

impl<R> Default for Rows<R> {
    fn default() -> Self {
        Self { records: Vec::new(), beside: None }
    }
}

impl<R: Copy> Rows<R> {
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn capacity(&self) -> usize {
        self.records.capacity()
    }

    pub(crate) fn records(&self) -> &[R] {
        &self.records
    }

    pub(crate) fn records_mut(&mut self) -> &mut [R] {
        &mut self.records
    }

    pub(crate) fn beside(&self) -> Option<&Beside> {
        self.beside.as_deref()
    }

    /// What the peer of a row says, if that is kept.
    pub(crate) fn report_mut(&mut self, at: usize) -> Option<&mut Report> {
        self.beside.as_mut()?.reports.get_mut(at)
    }

    pub(crate) fn row(&self, at: usize) -> Row<R> {
        let beside = self.beside();
        Row {
            peer: self.records[at],
            id: beside.and_then(|beside| beside.ids.get(at)).copied(),
            report: beside.and_then(|beside| beside.reports.get(at)).copied(),
        }
    }

    pub(crate) fn push(&mut self, row: Row<R>) {
        self.records.push(row.peer);
        if let Some(id) = row.id {
            self.beside.get_or_insert_default().ids.push(id);
        }
        if let Some(report) = row.report {
            self.beside.get_or_insert_default().reports.push(report);
        }
    }

    /// Adds some rows of another list.
    pub(crate) fn extend(&mut self, other: &Self, range: Range<usize>) {
        self.records.extend_from_slice(&other.records[range.clone()]);
        if let Some(Beside { ids, reports }) = other.beside() {
            let beside = self.beside.get_or_insert_default();
            beside.ids.extend_from_slice(ids.get(range.clone()).unwrap_or_default());
            beside.reports.extend_from_slice(reports.get(range).unwrap_or_default());
        }
    }

    /// Adds copies of the last row.
    pub(crate) fn fill_to(&mut self, len: usize) {
        let last = self.row(self.len() - 1);
        (self.len()..len).for_each(|_| self.push(last));
    }

    /// Puts a row in the place of another one.
    pub(crate) fn set(&mut self, at: usize, row: Row<R>) {
        self.records[at] = row.peer;
        if let (Some(id), Some(beside)) = (row.id, &mut self.beside) {
            beside.ids[at] = id;
        }
        if let (Some(report), Some(beside)) = (row.report, &mut self.beside) {
            beside.reports[at] = report;
        }
    }

    pub(crate) fn swap(&mut self, a: usize, b: usize) {
        self.records.swap(a, b);
        if let Some(Beside { ids, reports }) = self.beside.as_deref_mut() {
            swap(ids, a, b);
            swap(reports, a, b);
        }
    }

    /// Puts the last `count` rows in the place of those from `to` on, and makes the list shorter by so many.
    pub(crate) fn swap_remove(&mut self, to: usize, count: usize) {
        swap_remove(&mut self.records, to, count);
        if let Some(Beside { ids, reports }) = self.beside.as_deref_mut() {
            swap_remove(ids, to, count);
            swap_remove(reports, to, count);
        }
    }

    pub(crate) fn reserve(&mut self, more: usize) {
        self.records.reserve_exact(more);
    }

    pub(crate) fn shrink_to(&mut self, len: usize) {
        self.records.shrink_to(len);
        if let Some(Beside { ids, reports }) = self.beside.as_deref_mut() {
            ids.shrink_to(len);
            reports.shrink_to(len);
        }
    }
}

fn swap<T>(column: &mut [T], a: usize, b: usize) {
    if !column.is_empty() {
        column.swap(a, b);
    }
}

fn swap_remove<T: Copy>(column: &mut Vec<T>, to: usize, count: usize) {
    if let Some(len) = column.len().checked_sub(count) {
        column.copy_within(len.., to);
        column.truncate(len);
    }
}
