//! All identities, by the numbers of their slots.

use super::identity::Identity;
use super::swarms::Watch;
use crate::prefetch;
use crate::time::Time;

/// As many as there are slots for. Memory is taken by the thousand, where somebody is.
pub(super) struct Identities {
    /// A thousand each; or none, where nobody is.
    chunks: Vec<Box<[Identity]>>,
    slots: u32,
    len: usize,
}

const CHUNK: usize = 1024;

impl Identities {
    pub(super) fn new(slots: u32) -> Self {
        let chunks = (slots as usize).div_ceil(CHUNK);
        Self { chunks: (0..chunks).map(|_| Box::default()).collect(), slots, len: 0 }
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Identity> {
        let own = self.chunks.get(slot as usize / CHUNK)?.get(slot as usize % CHUNK)?;
        own.is_known.then_some(own)
    }

    /// Has an identity fetched from memory.
    pub(super) fn prefetch(&self, slot: u32) {
        if let Some(chunk) = self.chunks.get(slot as usize / CHUNK) {
            prefetch::value(chunk.as_ptr().wrapping_add(slot as usize % CHUNK));
        }
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Identity> {
        let own = self.chunks.get_mut(slot as usize / CHUNK)?.get_mut(slot as usize % CHUNK)?;
        own.is_known.then_some(own)
    }

    /// Who is watched, unless the slot is somebody else's by now.
    pub(super) fn of(&mut self, watch: &Watch) -> Option<&mut Identity> {
        self.get_mut(watch.slot).filter(|own| own.generation == watch.generation)
    }

    /// The identity of a slot, somebody new if there was none; nobody if there is no such slot.
    pub(super) fn get_or_create(&mut self, slot: u32, now: Time) -> Option<&mut Identity> {
        let own = self.place(slot)?;
        let is_new = !own.is_known;
        if is_new {
            *own = Identity::new(now, own.generation);
        }
        self.len += usize::from(is_new);
        self.get_mut(slot)
    }

    /// Puts an identity where there was none, or another one, of the generation before.
    pub(super) fn put(&mut self, slot: u32, make: impl FnOnce(u8) -> Identity) -> Option<&mut Identity> {
        self.forget(slot);
        let own = self.place(slot)?;
        *own = make(own.generation);
        self.len += 1;
        self.get_mut(slot)
    }

    /// The slot is nobody's any more.
    pub(super) fn forget(&mut self, slot: u32) {
        if let Some(own) = self.get_mut(slot) {
            *own = Identity::nobody(own.generation.wrapping_add(1));
            self.len -= 1;
        }
    }

    pub(super) fn slots(&self) -> u32 {
        self.slots
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether nobody is in the slots from this one to the end of its chunk, and which one is the first after these.
    pub(super) fn skip(&self, slot: u32) -> Option<u32> {
        let chunk = slot as usize / CHUNK;
        let is_empty = self.chunks.get(chunk).is_none_or(|chunk| chunk.is_empty());
        is_empty.then(|| u32::try_from((chunk + 1) * CHUNK).unwrap_or(u32::MAX))
    }

    pub(super) fn bytes(&self) -> usize {
        let taken: usize = self.chunks.iter().map(|chunk| size_of_val(&**chunk)).sum();
        taken + self.chunks.capacity() * size_of::<Box<[Identity]>>()
    }

    fn place(&mut self, slot: u32) -> Option<&mut Identity> {
        if slot >= self.slots {
            return None;
        }
        let chunk = self.chunks.get_mut(slot as usize / CHUNK)?;
        if chunk.is_empty() {
            *chunk = vec![Identity::default(); CHUNK].into();
        }
        chunk.get_mut(slot as usize % CHUNK)
    }
}
