//! The peers of small swarms, side by side: nearly all swarms have a handful of peers, and a piece of memory for each
//! of them would cost as much again.
//!
//! Swarms with about the same number of peers have their blocks in one list without holes: where one leaves, the last
//! one moves in, and its owner is told. A shard has such a list for each size of blocks up to [`FEW_MAX`] peers.

use std::ops::Range;

use super::column::{List, Part, Record, SCANNED_MAX};
use super::rows::{Row, Rows};
use crate::keyed::Keyed;

/// Largest number of peers in a block: blocks are scanned.
pub(crate) const FEW_MAX: usize = SCANNED_MAX;

/// A swarm's peers among those of the shard: how many (the low bits), and the number of its block among those of the
/// same size. A shard holds less than 2^24 swarms, as the whole store holds less than 2^29 (`rules::SWARMS_MAX`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Block(u32);

impl Block {
    const LEN_BITS: u32 = 8;

    fn new(len: usize, at: usize) -> Self {
        let bits = at << Self::LEN_BITS | len;
        Self(u32::try_from(bits).unwrap_or_default())
    }

    /// How many peers it has; 0 for no block at all.
    pub(crate) fn len(self) -> usize {
        (self.0 & ((1 << Self::LEN_BITS) - 1)) as usize
    }

    fn at(self) -> usize {
        (self.0 >> Self::LEN_BITS) as usize
    }

    /// It has been moved to where another one was.
    pub(crate) fn move_to(&mut self, at: usize) {
        *self = Self::new(self.len(), at);
    }
}

/// Peers that a block of each class has room for: exactly as many as it has at first, where every byte counts, then in
/// steps of four, then of eight.
#[rustfmt::skip]
const ROOMS: [u8; 33] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
    16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60, 64,
    72, 80, 88, 96, 104, 112, 120, 128,
];

fn room(class: usize) -> usize {
    usize::from(ROOMS[class])
}

/// The class of the smallest blocks that have room for `len` peers.
fn class(len: usize) -> usize {
    usize::from(CLASSES[len])
}

const CLASSES: [u8; FEW_MAX + 1] = {
    let mut classes = [0; FEW_MAX + 1];
    let mut len = 2;
    while len <= FEW_MAX {
        classes[len] = classes[len - 1];
        if (ROOMS[classes[len] as usize] as usize) < len {
            classes[len] += 1;
        }
        len += 1;
    }
    classes
};

const _: () = assert!(ROOMS[ROOMS.len() - 1] as usize == FEW_MAX);

/// The blocks of a shard.
pub(crate) struct Few<R> {
    /// By class, up to the largest that there ever was.
    classes: Vec<Class<R>>,
    /// Owners whose block has moved and who do not know yet, and where it is.
    moved: Vec<(u32, usize)>,
}

/// Blocks of one size.
struct Class<R> {
    /// So many for each block; behind those in use come copies of one of them.
    rows: Rows<R>,
    /// Whose each block is, in the same order.
    owners: Vec<u32>,
}

impl<R> Default for Few<R> {
    fn default() -> Self {
        Self { classes: Vec::new(), moved: Vec::new() }
    }
}

impl<R> Default for Class<R> {
    fn default() -> Self {
        Self { rows: Rows::default(), owners: Vec::new() }
    }
}

impl<R: Record> Few<R> {
    /// The peers of a block, to be read.
    #[inline]
    pub(crate) fn list<'a>(&'a self, block: Block, keyed: &'a Keyed) -> List<'a, R> {
        if block.len() == 0 {
            return List::empty(keyed);
        }
        let class = class(block.len());
        List::few(&self.classes[class].rows, block.at() * room(class), block.len(), keyed)
    }

    /// The peers of a block of at least one, to be changed.
    pub(crate) fn part(&mut self, block: Block) -> Part<'_, R> {
        let class = class(block.len());
        Part { rows: &mut self.classes[class].rows, from: block.at() * room(class), len: block.len() }
    }
}

impl<R: Copy> Few<R> {
    /// The rows of a block, one by one.
    pub(crate) fn rows(&self, block: Block) -> impl Iterator<Item = Row<R>> {
        let (from, class) = (block.at() * room(class(block.len())), class(block.len()));
        (from..from + block.len()).map(move |at| self.classes[class].rows.row(at))
    }

    /// Adds a row at the end of a block of less than [`FEW_MAX`]; answers the block as it is now.
    pub(crate) fn push(&mut self, block: Block, row: Row<R>, owner: u32) -> Block {
        let (len, new_class) = (block.len() + 1, class(block.len() + 1));
        if block.len() > 0 && class(block.len()) == new_class {
            let at = block.at() * room(new_class) + block.len();
            self.classes[new_class].rows.set(at, row);
            return Block::new(len, block.at());
        }
        self.resettle(block, len, Some(row), owner)
    }

    /// Takes the last row of a block; answers the block as it is now.
    pub(crate) fn pop(&mut self, block: Block, owner: u32) -> Block {
        let len = block.len() - 1;
        if len > 0 && class(len) == class(block.len()) {
            return Block::new(len, block.at());
        }
        self.resettle(block, len, None, owner)
    }

    /// A new block, for some rows.
    pub(crate) fn put(&mut self, rows: &Rows<R>, owner: u32) -> Block {
        let len = rows.len();
        if len == 0 {
            return Block::default();
        }
        Block::new(len, self.class_mut(len).add(rows, 0..len, None, owner))
    }

    /// Gives a block back. The last one of its size may move in its place. A block that is not the owner's stays: a swarm
    /// that a panic left in doubt, and that is dropped for it, must not take another one's peers along.
    pub(crate) fn free(&mut self, block: Block, owner: u32) {
        if block.len() == 0 {
            return;
        }
        let (class, at) = (class(block.len()), block.at());
        let room = room(class);
        let Class { rows, owners } = &mut self.classes[class];
        if owners.get(at) != Some(&owner) {
            return;
        }
        rows.swap_remove(at * room, room);
        owners.swap_remove(at);
        if let Some(owner) = owners.get(at) {
            self.moved.push((*owner, at));
        }
        // Most swarms that grow pass through here: what they leave is needed elsewhere.
        let blocks = owners.len();
        if blocks == 0 || roomy(roomy(blocks, room) + 1, room) < owners.capacity() {
            let kept = if blocks == 0 { 0 } else { roomy(blocks, room) };
            rows.shrink_to(kept * room);
            owners.shrink_to(kept);
        }
    }

    /// The owner of a block has another number now.
    pub(crate) fn rename(&mut self, block: Block, owner: u32) {
        if block.len() > 0 {
            self.classes[class(block.len())].owners[block.at()] = owner;
        }
    }

    /// An owner, and where its block has moved to; to be asked for after every change until there is none.
    pub(crate) fn take_moved(&mut self) -> Option<(usize, usize)> {
        self.moved.pop().map(|(owner, at)| (owner as usize, at))
    }

    /// Makes a block anew, for `len` rows: its own, and then `last`.
    fn resettle(&mut self, block: Block, len: usize, last: Option<Row<R>>, owner: u32) -> Block {
        let mut fresh = Block::default();
        if len > 0 {
            let mut class = std::mem::take(self.class_mut(len));
            let old = &self.classes[self::class(block.len())].rows;
            let from = block.at() * room(self::class(block.len()));
            fresh = Block::new(len, class.add(old, from..from + len.min(block.len()), last, owner));
            *self.class_mut(len) = class;
        }
        self.free(block, owner);
        fresh
    }

    fn class_mut(&mut self, len: usize) -> &mut Class<R> {
        let class = class(len);
        if class >= self.classes.len() {
            self.classes.resize_with(class + 1, Class::default);
        }
        &mut self.classes[class]
    }
}

impl<R: Copy> Class<R> {
    /// Adds a block: some rows of a list, and `last`. Answers its number.
    fn add(&mut self, from: &Rows<R>, range: Range<usize>, last: Option<Row<R>>, owner: u32) -> usize {
        let Self { rows, owners } = self;
        let room = room(class(range.len() + usize::from(last.is_some())));
        if owners.len() == owners.capacity() {
            let more = roomy(owners.len() + 1, room) - owners.len();
            rows.reserve(more * room);
            owners.reserve_exact(more);
        }
        let end = rows.len() + room;
        rows.extend(from, range);
        last.into_iter().for_each(|row| rows.push(row));
        rows.fill_to(end);
        owners.push(owner);
        owners.len() - 1
    }
}

/// Blocks to make room for when there are so many. Not up to twice as many, since all shards are about as full as each
/// other, and there are many; and always the same few numbers, so that what one shard has given back fits another one.
fn roomy(blocks: usize, room: usize) -> usize {
    let least = if room <= 12 { 4 } else { 1 };
    blocks.next_multiple_of((blocks.next_power_of_two() / 16).max(least))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(peer: u64) -> Row<u64> {
        Row { peer, id: None, report: None }
    }

    fn peers(few: &Few<u64>, block: Block) -> Vec<u64> {
        few.rows(block).map(|row| row.peer).collect()
    }

    #[test]
    fn nobody_gives_back_what_is_not_its_own() {
        let mut few = Few::default();
        let [mine, mut theirs] = [[1, 2], [3, 4]].map(|peers| {
            let mut rows = Rows::default();
            peers.into_iter().for_each(|peer| rows.push(row(peer)));
            few.put(&rows, u32::try_from(peers[1] / 2).unwrap())
        });
        few.free(mine, 1);
        let (owner, at) = few.take_moved().unwrap();
        theirs.move_to(at);
        assert_eq!((owner, theirs), (2, mine), "it has moved to where mine was");
        // Once more, as a swarm in doubt would.
        few.free(mine, 1);
        assert_eq!(few.take_moved(), None);
        assert_eq!(peers(&few, theirs), [3, 4]);
    }

    #[test]
    fn a_block_has_the_smallest_room_for_its_peers() {
        for len in 1..=FEW_MAX {
            let class = class(len);
            assert!(room(class) >= len && (class == 0 || room(class - 1) < len), "{len}");
        }
    }

    /// Random operations beside plain lists.
    #[test]
    fn blocks_hold_what_lists_hold() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut few = Few::default();
        let mut lists: Vec<(Vec<u64>, Block)> = vec![(Vec::new(), Block::default()); 200];
        for step in 0..300_000 {
            let at = rng.usize(..lists.len());
            let (list, block) = &mut lists[at];
            let owner = u32::try_from(at).unwrap();
            // They grow and shrink in turn, so that every size is seen.
            let growing = if step / 50_000 % 2 == 0 { 6 } else { 4 };
            if list.len() < FEW_MAX && rng.u32(..10) < growing {
                list.push(rng.u64(..));
                *block = few.push(*block, row(list[list.len() - 1]), owner);
            } else if list.pop().is_some() {
                *block = few.pop(*block, owner);
            }
            while let Some((owner, at)) = few.take_moved() {
                lists[owner].1.move_to(at);
            }
            let other = &lists[rng.usize(..lists.len())];
            assert_eq!(peers(&few, other.1), other.0);
            assert_eq!(peers(&few, lists[at].1), lists[at].0);
        }
        let stored: usize = few.classes.iter().map(|class| class.rows.len()).sum();
        let needed =
            |list: &(Vec<u64>, Block)| list.0.len().checked_sub(1).map_or(0, |at| room(class(at + 1)));
        assert_eq!(stored, lists.iter().map(needed).sum::<usize>(), "there are no holes");
    }
}
