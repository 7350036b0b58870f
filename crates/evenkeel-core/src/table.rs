//! Rows in a list, each found by a hash of itself.
//!
//! The list has no gaps, and the index four bytes for a slot: a million rows take little more than themselves. What a
//! batch of callers will look for can be fetched from memory beforehand, in two steps.

use std::ops::{Deref, DerefMut};

use crate::index::{Hint, Index, POSITIONS_MAX};
use crate::prefetch;

/// See the module. It is a slice of its rows, in no order that means anything. Rows do not hold their hash: whoever adds
/// or removes one says how it is computed, and from a row it is always the same.
#[derive(Clone)]
pub struct Table<R> {
    rows: Vec<R>,
    index: Index,
}

impl<R> Default for Table<R> {
    fn default() -> Self {
        Self { rows: Vec::new(), index: Index::new() }
    }
}

impl<R> Deref for Table<R> {
    type Target = [R];

    fn deref(&self) -> &[R] {
        &self.rows
    }
}

impl<R> DerefMut for Table<R> {
    fn deref_mut(&mut self) -> &mut [R] {
        &mut self.rows
    }
}

impl<R> Table<R> {
    /// An empty one with room for so many rows.
    pub fn with_capacity(rows: usize) -> Self {
        Self { rows: Vec::with_capacity(rows), index: Index::for_positions(rows) }
    }

    /// Where the first row with this hash is for which `is_it`, which is asked about each until it says yes. Of the hash
    /// the low 32 bits and the high eight count.
    pub fn find(&self, hash: u64, mut is_it: impl FnMut(usize, &R) -> bool) -> Option<usize> {
        self.index.find(hash, |at| is_it(at, &self.rows[at]))
    }

    /// Whether it has as many rows as it can.
    pub fn is_full(&self) -> bool {
        self.rows.len() >= POSITIONS_MAX
    }

    /// Adds a row, unless it is full; answers where it is.
    pub fn push(&mut self, row: R, hash_of: impl Fn(&R) -> u64) -> usize {
        let Self { rows, index } = self;
        let at = rows.len();
        if at == rows.capacity() {
            // Growth by an eighth, not by doubling: there are many tables, all about as full.
            rows.reserve_exact(4.max(at / 8));
        }
        if index.is_full() {
            index.grow(|at| hash_of(&rows[at]));
        }
        index.insert(hash_of(&row), at);
        rows.push(row);
        at
    }

    /// Takes a row out; the last one takes its place.
    pub fn swap_remove(&mut self, at: usize, hash_of: impl Fn(&R) -> u64) {
        let Self { rows, index } = self;
        let last = rows.len() - 1;
        index.remove(hash_of(&rows[at]), at, |at| hash_of(&rows[at]));
        if at != last {
            index.relocate(hash_of(&rows[last]), last, at);
        }
        rows.swap_remove(at);
        if rows.len() < rows.capacity() / 4 {
            rows.shrink_to(rows.len() * 2);
        }
        if index.is_sparse() {
            index.shrink(|at| hash_of(&rows[at]));
        }
    }

    /// Memory that it takes.
    pub fn bytes(&self) -> usize {
        self.rows.capacity() * size_of::<R>() + self.index.bytes()
    }

    /// Says where its slots are now: [`Hint::prefetch`] of a hash is the first step.
    pub fn show(&self, hint: &Hint) {
        self.index.show(hint);
    }

    /// Has the row fetched that a slot points to: the second step. Answers the row, which is probably the right one and
    /// better not looked at yet.
    pub fn prefetch_row(&self, hash: u64) -> Option<&R> {
        let row = self.rows.get(self.index.guess(hash)?)?;
        prefetch::value(row);
        Some(row)
    }
}
