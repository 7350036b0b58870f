//! Where the dialled peers of one family are: side by side with those of other swarms while they are few, in a column of
//! their own when they are many.

use super::More;
use super::column::{Column, Indexed};
use super::few::{Block, FEW_MAX, Few};
use super::ordered::Ordered;
use super::peers::{Peer, Role};
use super::report::Report;
use super::rows::Row;
use crate::keyed::Keyed;
use crate::time::Stamp;

/// A column of many peers becomes a block again only well below [`FEW_MAX`], so that a swarm at the edge does not move
/// all the time.
const FEW_AGAIN: usize = 96;

/// The peers of one family that are dialled, to be changed: few of them are kept side by side with those of other swarms,
/// many in a column of their own.
pub(super) struct Dialled<'a, const N: usize> {
    pub(super) block: &'a mut Block,
    pub(super) few: &'a mut Few<Peer<N>>,
    pub(super) more: &'a mut Option<Box<More>>,
    pub(super) column: fn(&mut More) -> &mut Column<Peer<N>>,
    pub(super) keyed: &'a Keyed,
    pub(super) number: u32,
}

impl<'a, const N: usize> Dialled<'a, N> {
    fn are_many(&mut self) -> bool {
        self.block.len() == 0 && self.more.as_mut().is_some_and(|more| (self.column)(more).len() > 0)
    }

    fn many(&mut self) -> Indexed<'_, Peer<N>> {
        let column = (self.column)(self.more.get_or_insert_default());
        Indexed { column, keyed: self.keyed }
    }

    pub(super) fn renew(&mut self, at: usize, role: Role, now: Stamp) {
        match self.block.len() {
            0 => self.many().renew(at, role, now),
            _ => self.few.part(*self.block).renew(at, role, now),
        }
    }

    pub(super) fn into_record(self, at: usize) -> &'a mut Peer<N> {
        match self.block.len() {
            0 => &mut (self.column)(self.more.get_or_insert_default()).records_mut()[at],
            _ => &mut self.few.part(*self.block).into_records()[at],
        }
    }

    pub(super) fn into_report(self, at: usize) -> Option<&'a mut Report> {
        match self.block.len() {
            0 => (self.column)(self.more.get_or_insert_default()).report_mut(at),
            _ => self.few.part(*self.block).into_report(at),
        }
    }

    pub(super) fn insert(&mut self, row: Row<Peer<N>>) {
        if self.are_many() {
            return self.many().insert(row);
        }
        if self.block.len() < FEW_MAX {
            *self.block = self.few.push(*self.block, row, self.number);
            return self.few.part(*self.block).settle_last();
        }
        let column = (self.column)(self.more.get_or_insert_default());
        let mut many = Indexed { column, keyed: self.keyed };
        // In their order: nothing moves.
        self.few.rows(*self.block).for_each(|row| many.insert(row));
        many.insert(row);
        self.few.free(*self.block, self.number);
        *self.block = Block::default();
    }

    pub(super) fn remove(&mut self, at: usize) {
        if self.block.len() > 0 {
            self.few.part(*self.block).bring_to_end(at);
            *self.block = self.few.pop(*self.block, self.number);
            return;
        }
        self.many().remove(at);
        let column = (self.column)(self.more.get_or_insert_default());
        if column.len() <= FEW_AGAIN {
            *self.block = self.few.put(column.rows(), self.number);
            *column = Column::default();
        }
    }
}
