//! Where the peers of an answer are written.

use evenkeel_wire::PeerId;

use crate::swarm::{Family, List, Peer, SocketId};

/// Where the peers of an answer are written: those to dial in wire form, into slices of the buffer that is sent.
///
/// The length of a slice is the limit of its family; a family that the caller cannot be told of has none.
pub struct Handout<'a> {
    pub(super) v4: Room<'a, 6>,
    pub(super) v6: Room<'a, 18>,
    pub(super) sockets: Option<&'a mut Vec<SocketId>>,
}

/// Room for peers of one family.
pub(super) struct Room<'a, const N: usize> {
    addrs: &'a mut [[u8; N]],
    len: usize,
    /// Filled when ids are kept and wanted.
    ids: Option<&'a mut Vec<PeerId>>,
}

/// Ids of handed out peers, in the order of their addresses.
#[derive(Default)]
pub struct Ids {
    /// Of the IPv4 peers.
    pub v4: Vec<PeerId>,
    /// Of the IPv6 peers.
    pub v6: Vec<PeerId>,
}

impl<'a> Handout<'a> {
    /// Room for peers without ids. Bytes beyond a whole number of peers stay untouched.
    pub fn new(v4: &'a mut [u8], v6: &'a mut [u8]) -> Self {
        Self { v4: Room::new(v4), v6: Room::new(v6), sockets: None }
    }

    /// Room for the sockets of WebTorrent peers, and for nobody who is dialled; what `sockets` held is dropped.
    pub fn to_sockets(sockets: &'a mut Vec<SocketId>) -> Self {
        sockets.clear();
        Self { sockets: Some(sockets), ..Self::new(&mut [], &mut []) }
    }

    /// Wants the ids too; what `ids` held is dropped.
    pub fn with_ids(mut self, ids: &'a mut Ids) -> Self {
        ids.v4.clear();
        ids.v6.clear();
        self.v4.ids = Some(&mut ids.v4);
        self.v6.ids = Some(&mut ids.v6);
        self
    }

    /// Bytes of IPv4 peers written.
    pub fn v4_bytes(&self) -> usize {
        self.v4.len * 6
    }

    /// Bytes of IPv6 peers written.
    pub fn v6_bytes(&self) -> usize {
        self.v6.len * 18
    }

    /// Peers written.
    pub(super) fn len(&self) -> usize {
        self.v4.len + self.v6.len + self.sockets.as_ref().map_or(0, |sockets| sockets.len())
    }

    pub(super) fn takes(&self, family: Family) -> bool {
        match family {
            Family::V4 => !self.v4.addrs.is_empty(),
            Family::V6 => !self.v6.addrs.is_empty(),
            Family::Web => self.sockets.is_some(),
        }
    }

    /// Peers that there is room for.
    pub(super) fn room(&self) -> usize {
        if self.sockets.is_some() { usize::MAX } else { self.v4.addrs.len() + self.v6.addrs.len() }
    }
}

impl<'a, const N: usize> Room<'a, N> {
    fn new(bytes: &'a mut [u8]) -> Self {
        Self { addrs: bytes.as_chunks_mut().0, len: 0, ids: None }
    }

    /// How many more there is room for.
    pub(super) fn left(&self) -> usize {
        self.addrs.len() - self.len
    }

    /// Writes some of a list's records, counted from `first` on, as long as there is room: those that are let in, or all of
    /// them. Answers how many were written.
    #[inline(always)]
    pub(super) fn extend(
        &mut self,
        (list, first): (&List<'_, Peer<N>>, usize),
        numbers: &[u32],
        (lets_all_in, lets_in): (bool, impl Fn(&Peer<N>, usize) -> bool),
    ) -> usize {
        let (records, slots) = (&list.records()[first..], &mut self.addrs[self.len..]);
        // Nearly always nobody wants ids: those loops are short.
        let written = match &mut self.ids {
            None if lets_all_in => copy_all(records, numbers, slots),
            None => copy(records, numbers, slots, |peer, at| lets_in(peer, first + at)),
            Some(ids) => copy(records, numbers, slots, |peer, at| {
                let is_in = lets_in(peer, first + at);
                ids.extend(list.id(first + at).filter(|_| is_in));
                is_in
            }),
        };
        self.len += written;
        written
    }
}

/// Where everybody is let in, there is less to do for each.
#[inline(always)]
fn copy_all<const N: usize>(records: &[Peer<N>], numbers: &[u32], slots: &mut [[u8; N]]) -> usize {
    for (slot, number) in slots.iter_mut().zip(numbers) {
        *slot = records[*number as usize].addr;
    }
    slots.len().min(numbers.len())
}

#[inline(always)]
fn copy<const N: usize>(
    records: &[Peer<N>],
    numbers: &[u32],
    slots: &mut [[u8; N]],
    mut lets_in: impl FnMut(&Peer<N>, usize) -> bool,
) -> usize {
    let mut written = 0;
    for number in numbers {
        let Some(slot) = slots.get_mut(written) else { break };
        let at = *number as usize;
        let peer = &records[at];
        if lets_in(peer, at) {
            *slot = peer.addr;
            written += 1;
        }
    }
    written
}
