//! Which peers a caller is given.
//!
//! A seeder has no use for seeders and gets leechers and partial seeds only. Nobody is given itself, in either
//! family. Whose address is not global is told to callers of the same scope only. Within that, the policy
//! decides: one file each, under `equilibrium/`.

pub(crate) mod random;

use evenkeel_wire::PeerId;

use crate::prefetch;
use crate::scope::Scope;
use crate::swarm::{Family, Kind, Known, List, Peer, PeerKey, Record, SocketId, Spot, View, WebPeer};
pub use random::Scratch;

/// Where the peers of an answer are written: those to dial in wire form, into slices of the buffer that is sent.
///
/// The length of a slice is the limit of its family; a family that the caller cannot be told of has none.
pub struct Handout<'a> {
    v4: Room<'a, 6>,
    v6: Room<'a, 18>,
    sockets: Option<&'a mut Vec<SocketId>>,
}

/// Room for peers of one family.
struct Room<'a, const N: usize> {
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

    fn takes(&self, family: Family) -> bool {
        match family {
            Family::V4 => !self.v4.addrs.is_empty(),
            Family::V6 => !self.v6.addrs.is_empty(),
            Family::Web => self.sockets.is_some(),
        }
    }

    /// Peers that there is room for.
    fn room(&self) -> usize {
        if self.sockets.is_some() { usize::MAX } else { self.v4.addrs.len() + self.v6.addrs.len() }
    }
}

impl<'a, const N: usize> Room<'a, N> {
    fn new(bytes: &'a mut [u8]) -> Self {
        Self { addrs: bytes.as_chunks_mut().0, len: 0, ids: None }
    }

    #[inline]
    fn push(&mut self, list: List<'_, Peer<N>>, at: usize) {
        if let Some(slot) = self.addrs.get_mut(self.len) {
            *slot = list.records()[at].addr;
            self.len += 1;
            if let Some(ids) = &mut self.ids {
                ids.extend(list.id(at));
            }
        }
    }
}

/// The caller, as far as it matters for what it is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) key: PeerKey,
    pub(crate) known: Known,
    pub(crate) kind: Kind,
    pub(crate) want: usize,
}

/// Writes the peers that `asker` is given to `out`.
pub(crate) fn choose(
    swarm: View<'_>,
    asker: &Asker,
    rng: &mut fastrand::Rng,
    scratch: &mut Scratch,
    out: &mut Handout<'_>,
) {
    let candidates = Candidates::of(swarm, asker, out);
    // Never more than the answer has room for: the draw is over all candidates, not over those that come first.
    let want = asker.want.min(out.room());
    random::draw(candidates.len(), want, rng, scratch, &mut Drawing { candidates, out });
}

/// Hands out those whose numbers are drawn.
struct Drawing<'a, 'b> {
    candidates: Candidates<'a>,
    out: &'a mut Handout<'b>,
}

impl random::Draw for Drawing<'_, '_> {
    #[inline]
    fn fetch(&self, number: u32) -> u32 {
        self.candidates.fetch(number)
    }

    #[inline]
    fn take(&mut self, at: u32) -> bool {
        self.candidates.hand_out(at as usize, self.out)
    }
}

/// No number: a swarm has less than 2^24 records.
const NOBODY: u32 = u32::MAX;

/// Everybody whom a caller may be given, numbered from 0, one family after the other, the caller left out.
struct Candidates<'a> {
    asker: &'a Asker,
    scope: Scope,
    /// Nobody's scope has to be looked at.
    all_global: bool,
    v4: List<'a, Peer<6>>,
    v6: List<'a, Peer<18>>,
    web: List<'a, WebPeer>,
    /// Of each family: its first record that the caller may be given, and how many there are from there on.
    families: [(Family, usize, usize); 3],
    /// Numbers of the caller's own records, ascending; [`NOBODY`] for none.
    own: [u32; 2],
}

impl<'a> Candidates<'a> {
    fn of(swarm: View<'a>, asker: &'a Asker, out: &Handout<'_>) -> Self {
        let (v4, v6, web) = (swarm.v4(), swarm.v6(), swarm.web());
        let is_seeder = asker.kind == Kind::Seeder;
        let families = [
            family(Family::V4, v4, is_seeder, out),
            family(Family::V6, v6, is_seeder, out),
            family(Family::Web, web, is_seeder, out),
        ];
        let number = |spot: Spot| {
            let mut before = 0;
            for (family, first, len) in families {
                if family == spot.family {
                    let at = spot.at.checked_sub(first).filter(|at| *at < len)?;
                    return Some(before + at);
                }
                before += len;
            }
            None
        };
        let number = |spot| u32::try_from(number(spot)?).ok();
        let mut own = [asker.known.own, asker.known.twin].map(|spot| spot.and_then(number).unwrap_or(NOBODY));
        own.sort_unstable();
        let (scope, all_global) = (Scope::of(asker.key.source()), swarm.swarm.local_peers == 0);
        Self { asker, scope, all_global, v4, v6, web, families, own }
    }

    fn len(&self) -> usize {
        let all: usize = self.families.iter().map(|(_, _, len)| len).sum();
        all - self.own.iter().filter(|own| **own != NOBODY).count()
    }

    /// The number among all records of one among those without the caller's, which will be handed out soon. Only large
    /// columns are worth the word to the processor, and those are of IPv4.
    #[inline]
    fn fetch(&self, drawn: u32) -> u32 {
        let number = self.own.iter().fold(drawn, |number, own| number + u32::from(number >= *own));
        let (_, first, len) = self.families[0];
        if (number as usize) < len {
            prefetch::lines(&raw const self.v4.records()[first + number as usize], 1);
        }
        number
    }

    /// Hands out record `number`, unless the caller may not learn of it; answers whether it did.
    #[inline]
    fn hand_out(&self, number: usize, out: &mut Handout<'_>) -> bool {
        let (_, first, len) = self.families[0];
        if number < len {
            return self.tell(self.v4, first + number, &mut out.v4);
        }
        self.hand_out_other(number - len, out)
    }

    /// The same for what is no IPv4 peer, apart so that the loop around the other is short.
    #[inline(never)]
    fn hand_out_other(&self, number: usize, out: &mut Handout<'_>) -> bool {
        let [_, (_, v6_first, v6_len), (_, web_first, _)] = self.families;
        if number < v6_len {
            return self.tell(self.v6, v6_first + number, &mut out.v6);
        }
        let key = self.web.records()[web_first + number - v6_len].key;
        // Addresses are for the peers to tell each other. But nobody is introduced to itself, on however many sockets
        // it is.
        let is_told = !matches!(self.asker.key, PeerKey::Web(own) if own.peer_id == key.peer_id);
        if let (true, Some(sockets)) = (is_told, &mut out.sockets) {
            sockets.push(key.socket);
        }
        is_told
    }

    #[inline]
    fn tell<const N: usize>(&self, list: List<'_, Peer<N>>, at: usize, room: &mut Room<'_, N>) -> bool {
        let is_told = self.all_global || self.scope.may_learn(Scope::of(&list.records()[at].endpoint()));
        if is_told {
            room.push(list, at);
        }
        is_told
    }
}

/// Seeders come first, and have no use for each other.
fn family<R: Record>(
    family: Family,
    list: List<'_, R>,
    is_seeder: bool,
    out: &Handout<'_>,
) -> (Family, usize, usize) {
    if !out.takes(family) {
        return (family, 0, 0);
    }
    let first = if is_seeder { list.seeders() } else { 0 };
    (family, first, list.len() - first)
}
