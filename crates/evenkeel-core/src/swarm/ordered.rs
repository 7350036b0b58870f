//! The order of a list of records: seeders, then leechers, those of the highest tier first, then partial seeds.
//!
//! So those whom a policy lets a caller know are next to each other, and are drawn without looking at the others.

use std::ops::Range;

use super::column::Record;
use super::peers::{RANKS, Role, State};
use crate::time::Stamp;

/// How many records of a long list are of each rank.
#[derive(Clone, Copy, Default)]
pub(super) struct Ranks([u32; RANKS as usize]);

impl Ranks {
    pub(super) fn of<R: Record>(records: &[R]) -> Self {
        let mut ranks = Self::default();
        records.iter().for_each(|peer| ranks.move_one(None, Some(peer.state().rank())));
        ranks
    }

    /// The first record of a rank or behind it.
    pub(super) fn start_of(&self, rank: u8) -> usize {
        self.0[..usize::from(rank.min(RANKS))].iter().map(|count| *count as usize).sum()
    }

    /// Where each rank begins.
    pub(super) fn starts(&self) -> [u32; RANKS as usize + 1] {
        let mut start = 0;
        std::array::from_fn(|rank| {
            let this = start;
            start += self.0.get(rank).copied().unwrap_or_default();
            this
        })
    }

    /// A record is of another rank now; of none before it came and after it went.
    pub(super) fn move_one(&mut self, from: Option<u8>, to: Option<u8>) {
        if let Some(rank) = from {
            self.0[usize::from(rank)] -= 1;
        }
        if let Some(rank) = to {
            self.0[usize::from(rank)] += 1;
        }
    }
}

/// The same, of a list that is short enough to look.
pub(super) fn start_of<R: Record>(records: &[R], rank: u8) -> usize {
    let first = State::first_order(rank);
    records.partition_point(|peer| peer.state().order() < first)
}

/// Where each rank begins in such a list.
pub(super) fn starts<R: Record>(records: &[R]) -> [u32; RANKS as usize + 1] {
    // Each search by itself: the processor does them side by side.
    let mut starts = [0; RANKS as usize + 1];
    #[expect(clippy::cast_possible_truncation, reason = "the list is short")]
    (0..).zip(&mut starts).for_each(|(rank, start)| *start = start_of(records, rank) as u32);
    starts
}

/// Records that are kept in the order of their ranks. Within a rank there is no order, so that a record passes a whole
/// rank by changing places with its first or last one.
pub(super) trait Ordered<R: Record> {
    fn records(&mut self) -> &mut [R];
    fn swap(&mut self, a: usize, b: usize);
    /// The first record of a rank or behind it. It is among the records of a range, which are in order: the one that moves
    /// is out of it.
    fn start_of(&mut self, rank: u8, range: Range<usize>) -> usize;
    /// See [`Ranks::move_one`].
    fn note(&mut self, from: Option<u8>, to: Option<u8>);

    fn rank_at(&mut self, at: usize) -> u8 {
        self.records()[at].state().rank()
    }

    /// The last record was just added.
    fn settle_last(&mut self) {
        let last = self.records().len() - 1;
        let rank = self.rank_at(last);
        self.move_up(last, rank);
        self.note(None, Some(rank));
    }

    /// A record is about to be removed: it becomes the last one.
    fn bring_to_end(&mut self, at: usize) {
        let last = self.records().len() - 1;
        let rank = self.rank_at(at);
        if rank == self.rank_at(last) {
            self.swap(at, last);
        } else {
            self.move_down(at, u8::MAX);
        }
        self.note(Some(rank), None);
    }

    /// Notes another announce of a record, which becomes the counted one; it may have to move.
    fn renew(&mut self, at: usize, role: Role, now: Stamp) {
        let (rank, next) = (self.rank_at(at), role.rank());
        let mut at = at;
        if next < rank {
            let to = self.start_of(rank, 0..at + 1);
            self.swap(at, to);
            at = self.move_up(to, next);
        } else if next > rank {
            at = self.move_down(at, next);
        }
        let state = self.records()[at].state_mut();
        state.set(role, now);
        state.set_counted(true);
        if next != rank {
            self.note(Some(rank), Some(next));
        }
    }

    /// Moves a record, which has nothing of its own rank before it, before those of higher ranks than `rank`. Answers
    /// where it is then.
    fn move_up(&mut self, at: usize, rank: u8) -> usize {
        let mut at = at;
        while at > 0
            && let passed = self.rank_at(at - 1)
            && passed > rank
        {
            let to = self.start_of(passed, 0..at);
            self.swap(at, to);
            at = to;
        }
        at
    }

    /// Moves a record behind the others of its rank, and behind those of lower ranks than `rank`. Answers where it is then.
    fn move_down(&mut self, at: usize, rank: u8) -> usize {
        let len = self.records().len();
        let mut passed = self.rank_at(at);
        let mut at = at;
        loop {
            let to = self.start_of(passed + 1, at + 1..len) - 1;
            self.swap(at, to);
            at = to;
            if at + 1 == len {
                return at;
            }
            passed = self.rank_at(at + 1);
            if passed >= rank {
                return at;
            }
        }
    }
}
