//! The peers of small swarms, side by side: nearly all swarms have a handful of peers, and a piece of memory for each
//! of them would cost as much again.
//!
//! Swarms with the same number of peers have their blocks in one list without holes: where one leaves, the last one
//! moves in, and its owner is told. A shard has one such list for each number of peers up to [`FEW_MAX`].

/// Largest number of peers in a block.
pub(crate) const FEW_MAX: usize = 12;

/// A swarm's peers among those of the shard: so many, as so manyth of their kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Block {
    len: u32,
    at: u32,
}

impl Block {
    /// How many peers it has; 0 for no block at all.
    pub(crate) fn len(self) -> usize {
        self.len as usize
    }
}

/// The blocks of a shard.
pub(crate) struct Few<R> {
    /// By number of records less one.
    records: [Vec<R>; FEW_MAX],
    /// Whose each block is, in the same order.
    owners: [Vec<u32>; FEW_MAX],
    /// Blocks that have moved and whose owners do not know yet.
    moved: Vec<(u32, Block)>,
}

impl<R> Default for Few<R> {
    fn default() -> Self {
        Self { records: Default::default(), owners: Default::default(), moved: Vec::new() }
    }
}

impl<R: Copy> Few<R> {
    /// The records of a block.
    pub(crate) fn get(&self, block: Block) -> &[R] {
        match block.len().checked_sub(1) {
            Some(class) => &self.records[class][block.at as usize * block.len()..][..block.len()],
            None => &[],
        }
    }

    /// The records of a block, to be changed.
    pub(crate) fn get_mut(&mut self, block: Block) -> &mut [R] {
        match block.len().checked_sub(1) {
            Some(class) => &mut self.records[class][block.at as usize * block.len()..][..block.len()],
            None => &mut [],
        }
    }

    /// Adds a record at the end of a block of less than [`FEW_MAX`]; answers where the block is now.
    pub(crate) fn push(&mut self, block: Block, record: R, owner: u32) -> Block {
        let mut records = [record; FEW_MAX];
        records[..block.len()].copy_from_slice(self.get(block));
        self.free(block, owner);
        self.put(&records[..=block.len()], owner)
    }

    /// Takes the last record of a block; answers where the block is now.
    pub(crate) fn pop(&mut self, block: Block, owner: u32) -> Block {
        let [first, rest @ ..] = self.get(block) else { return block };
        let mut records = [*first; FEW_MAX];
        records[1..block.len()].copy_from_slice(rest);
        self.free(block, owner);
        self.put(&records[..block.len() - 1], owner)
    }

    /// A new block for up to [`FEW_MAX`] records.
    pub(crate) fn put(&mut self, records: &[R], owner: u32) -> Block {
        let Some(class) = records.len().checked_sub(1) else { return Block::default() };
        let (all, owners) = (&mut self.records[class], &mut self.owners[class]);
        if all.len() == all.capacity() {
            // Growth by an eighth: shards are about as full as each other, and there are many.
            let more = 4.max(owners.len() / 8);
            all.reserve_exact(more * records.len());
            owners.reserve_exact(more);
        }
        let block = Block { len: len_of(records), at: len_of(owners) };
        all.extend_from_slice(records);
        owners.push(owner);
        block
    }

    /// Gives a block back. The last one of its kind may move in its place. A block that is not the owner's stays: a swarm
    /// that a panic left in doubt, and that is dropped for it, must not take another one's peers along.
    pub(crate) fn free(&mut self, block: Block, owner: u32) {
        let Some(class) = block.len().checked_sub(1) else { return };
        let (all, owners) = (&mut self.records[class], &mut self.owners[class]);
        if owners.get(block.at as usize) != Some(&owner) {
            return;
        }
        let (at, last) = (block.at as usize, owners.len() - 1);
        all.copy_within(last * block.len().., at * block.len());
        all.truncate(last * block.len());
        owners.swap_remove(at);
        if at != last {
            self.moved.push((owners[at], block));
        }
        if owners.len() < owners.capacity() / 4 {
            all.shrink_to(all.len() * 2);
            owners.shrink_to(owners.len() * 2);
        }
    }

    /// The owner of a block has another number now.
    pub(crate) fn rename(&mut self, block: Block, owner: u32) {
        if let Some(class) = block.len().checked_sub(1) {
            self.owners[class][block.at as usize] = owner;
        }
    }

    /// An owner and where its block has moved to; to be asked for after every change until there is none.
    pub(crate) fn take_moved(&mut self) -> Option<(usize, Block)> {
        self.moved.pop().map(|(owner, block)| (owner as usize, block))
    }
}

/// Numbers fit: a shard holds less than 2^24 swarms.
fn len_of<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gives_back_what_is_not_its_own() {
        let mut few = Few::default();
        let mine = few.put(&[1, 2], 1);
        let theirs = few.put(&[3, 4], 2);
        few.free(mine, 1);
        let (owner, theirs_now) = few.take_moved().unwrap();
        assert_eq!((owner, theirs_now), (2, mine), "it has moved to where mine was");
        // Once more, as a swarm in doubt would.
        few.free(mine, 1);
        few.free(theirs, 1);
        assert_eq!(few.take_moved(), None);
        assert_eq!(few.get(theirs_now), [3, 4]);
    }

    /// Random operations beside plain lists.
    #[test]
    fn blocks_hold_what_lists_hold() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut few = Few::default();
        let mut lists: Vec<(Vec<u64>, Block)> = vec![(Vec::new(), Block::default()); 200];
        for _ in 0..100_000 {
            let at = rng.usize(..lists.len());
            let (list, block) = &mut lists[at];
            let owner = u32::try_from(at).unwrap();
            if list.len() < FEW_MAX && rng.u32(..10) < 5 {
                list.push(rng.u64(..));
                *block = few.push(*block, list[list.len() - 1], owner);
            } else if list.pop().is_some() {
                *block = few.pop(*block, owner);
            }
            while let Some((owner, block)) = few.take_moved() {
                lists[owner].1 = block;
            }
            let other = &lists[rng.usize(..lists.len())];
            assert_eq!(few.get(other.1), other.0);
            assert_eq!(few.get(lists[at].1), lists[at].0);
        }
        let stored: usize = few.records.iter().map(Vec::len).sum();
        assert_eq!(stored, lists.iter().map(|(list, _)| list.len()).sum::<usize>(), "there are no holes");
    }
}
