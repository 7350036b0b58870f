//! The peers of one info hash now, however they are reached: one swarm for all dialects and families.
//!
//! With anonymous callers a peer is its endpoint, proven by the connection that it announced over, or its
//! WebSocket: nobody can touch another's record. A client with two records (one in each family, or two sockets with
//! one peer id) is counted once, as what it announced last. A false match may only lower a count.

mod column;
mod dialled;
mod few;
mod leechers;
mod ordered;
pub(crate) mod peers;
pub(crate) mod report;
mod rows;

use std::ops::Range;

use evenkeel_wire::{Endpoint, InfoHash, PeerId, Stats};

use crate::keyed::Keyed;
use crate::prefetch;
use crate::scope::Scope;
use crate::time::Stamp;
use column::{Column, Indexed};
pub(crate) use column::{List, Record};
use dialled::Dialled;
use few::{Block, Few};
pub(crate) use leechers::Starts;
use ordered::Ordered;
use peers::Twin;
pub(crate) use peers::{Kind, Mark, Peer, RANKS, Role, SocketId, State, WebKey, WebPeer, leecher_rank};
use report::{Moved, Report};
use rows::Row;

/// How many of the oldest are looked at for eviction in a swarm too large to look at all.
const EVICTION_SAMPLE: usize = 64;

/// Peers of one torrent, without those that are kept side by side with others' ([`Few`]).
pub(crate) struct Swarm {
    pub(crate) info_hash: InfoHash,
    /// Counted peers and completions.
    pub(crate) stats: Stats,
    /// Peers whose address is told to others and is not global; while there are none, nobody's scope is looked at.
    /// Once at its maximum it stays there.
    pub(crate) local_peers: u16,
    /// When the last peer left; an empty swarm is kept for its count of completions.
    pub(crate) empty_since: Stamp,
    /// IPv4 peers, if they are few.
    v4: Block,
    /// IPv6 peers, if they are few.
    v6: Block,
    /// What most swarms do without.
    more: Option<Box<More>>,
}

const _: () = assert!(size_of::<Swarm>() == 56);

/// Peers that are many, and those of browsers.
#[derive(Default)]
struct More {
    v4: Column<Peer<6>>,
    v6: Column<Peer<18>>,
    web: Column<WebPeer>,
}

/// The peers of a shard's swarms that have few.
#[derive(Default)]
pub(crate) struct Blocks {
    v4: Few<Peer<6>>,
    v6: Few<Peer<18>>,
}

/// A swarm to be read.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) swarm: &'a Swarm,
    pub(crate) blocks: &'a Blocks,
    pub(crate) keyed: &'a Keyed,
}

/// A swarm to be changed.
pub(crate) struct Edit<'a> {
    pub(crate) swarm: &'a mut Swarm,
    pub(crate) blocks: &'a mut Blocks,
    pub(crate) keyed: &'a Keyed,
    /// Position of the swarm in its shard.
    pub(crate) number: u32,
}

/// Identity of a peer in its swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerKey {
    /// Where others dial it.
    Dialled(Endpoint),
    /// The socket through which others are introduced to it.
    Web(WebKey),
}

/// How peers are reached; one column for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
    Web,
}

/// Where a record is, until the next change of the swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) family: Family,
    pub(crate) at: usize,
}

/// A caller as a swarm knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// Its record.
    pub(crate) own: Option<Spot>,
    /// Another record of the same client.
    pub(crate) twin: Option<Spot>,
}

/// What a caller is to be recorded as.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) key: PeerKey,
    pub(crate) role: Role,
    pub(crate) mark: Mark,
    pub(crate) id: Option<PeerId>,
    pub(crate) report: Option<Report>,
}

impl From<Endpoint> for PeerKey {
    fn from(endpoint: Endpoint) -> Self {
        Self::Dialled(endpoint)
    }
}

impl PeerKey {
    /// The address that limits per address hold for.
    pub fn source(&self) -> &Endpoint {
        match self {
            Self::Dialled(endpoint) => endpoint,
            Self::Web(key) => &key.source,
        }
    }

    pub(crate) fn family(&self) -> Family {
        match self {
            Self::Dialled(Endpoint::V4(_)) => Family::V4,
            Self::Dialled(Endpoint::V6(_)) => Family::V6,
            Self::Web(_) => Family::Web,
        }
    }

    /// The same as of its record: see [`Record::bits`].
    pub(crate) fn bits(&self) -> u64 {
        match self {
            Self::Dialled(Endpoint::V4(addr)) => peers::bits(addr),
            Self::Dialled(Endpoint::V6(addr)) => peers::bits(addr),
            Self::Web(key) => key.socket.bits(),
        }
    }

    /// Whether it adds to [`Swarm::local_peers`].
    fn is_told_locally(&self) -> bool {
        matches!(self, Self::Dialled(endpoint) if Scope::of(endpoint) != Scope::Global)
    }
}

impl Swarm {
    pub(crate) fn new(info_hash: InfoHash, now: Stamp) -> Self {
        Self {
            info_hash,
            stats: Stats::default(),
            local_peers: 0,
            empty_since: now,
            v4: Block::default(),
            v6: Block::default(),
            more: None,
        }
    }

    /// Records of all families; twins are two.
    pub(crate) fn len(&self) -> usize {
        self.lens().iter().sum()
    }

    /// Records of each family.
    pub(crate) fn lens(&self) -> [usize; 3] {
        match &self.more {
            Some(more) => [self.v4.len() + more.v4.len(), self.v6.len() + more.v6.len(), more.web.len()],
            None => [self.v4.len(), self.v6.len(), 0],
        }
    }

    fn count(&mut self, kind: Kind) -> &mut u32 {
        match kind {
            Kind::Seeder => &mut self.stats.seeders,
            Kind::Leecher => &mut self.stats.leechers,
            Kind::Partial => &mut self.stats.partial,
        }
    }
}

impl Blocks {
    /// Tells swarms whose blocks have been moved to make room for others' where they are now.
    pub(crate) fn tell_moved(&mut self, swarms: &mut [Swarm]) {
        while let Some((owner, at)) = self.v4.take_moved() {
            swarms[owner].v4.move_to(at);
        }
        while let Some((owner, at)) = self.v6.take_moved() {
            swarms[owner].v6.move_to(at);
        }
    }

    /// The swarm has another position now.
    pub(crate) fn rename(&mut self, swarm: &Swarm, number: u32) {
        self.v4.rename(swarm.v4, number);
        self.v6.rename(swarm.v6, number);
    }

    /// Forgets the peers of a swarm.
    pub(crate) fn free(&mut self, swarm: &Swarm, number: u32) {
        self.v4.free(swarm.v4, number);
        self.v6.free(swarm.v6, number);
    }
}

impl<'a> View<'a> {
    #[inline(always)]
    pub(crate) fn v4(self) -> List<'a, Peer<6>> {
        match &self.swarm.more {
            Some(more) if self.swarm.v4.len() == 0 => more.v4.list(self.keyed),
            _ => self.blocks.v4.list(self.swarm.v4, self.keyed),
        }
    }

    #[inline(always)]
    pub(crate) fn v6(self) -> List<'a, Peer<18>> {
        match &self.swarm.more {
            Some(more) if self.swarm.v6.len() == 0 => more.v6.list(self.keyed),
            _ => self.blocks.v6.list(self.swarm.v6, self.keyed),
        }
    }

    pub(crate) fn web(self) -> List<'a, WebPeer> {
        self.swarm.more.as_ref().map_or(List::empty(self.keyed), |more| more.web.list(self.keyed))
    }

    /// The first of the records with these numbers of which it is true.
    pub(crate) fn position(self, numbers: Range<usize>, is_it: impl Fn(State) -> bool) -> Option<usize> {
        let (v4, v6, web) = (self.v4(), self.v6(), self.web());
        v4.position(0, &numbers, &is_it)
            .or_else(|| v6.position(v4.len(), &numbers, &is_it))
            .or_else(|| web.position(v4.len() + v6.len(), &numbers, &is_it))
    }

    /// Record number `number` of all, for those who walk over them.
    pub(crate) fn spot(self, number: usize) -> Spot {
        let [v4_len, v6_len, _] = self.swarm.lens();
        let dialled_len = v4_len + v6_len;
        match number {
            _ if number < v4_len => Spot { family: Family::V4, at: number },
            _ if number < dialled_len => Spot { family: Family::V6, at: number - v4_len },
            _ => Spot { family: Family::Web, at: number - dialled_len },
        }
    }

    /// What a record says of its peer.
    pub(crate) fn state(self, spot: Spot) -> State {
        match spot.family {
            Family::V4 => self.v4().records()[spot.at].state(),
            Family::V6 => self.v6().records()[spot.at].state(),
            Family::Web => self.web().records()[spot.at].state(),
        }
    }

    /// What a peer says, if that is kept.
    pub(crate) fn report(self, spot: Spot) -> Option<&'a Report> {
        let reports = match spot.family {
            Family::V4 => self.v4().reports(),
            Family::V6 => self.v6().reports(),
            Family::Web => self.web().reports(),
        };
        reports?.get(spot.at)
    }

    /// The same, if it is that of this client.
    pub(crate) fn report_of(self, spot: Spot, mark: Mark) -> Option<&'a Report> {
        self.state_of(spot, mark)?;
        self.report(spot)
    }

    /// What a record says, if it is that of this client. Two sockets with one peer id are two records.
    fn state_of(self, spot: Spot, mark: Mark) -> Option<State> {
        fn of<const N: usize>(peer: &Peer<N>, mark: Mark) -> Option<State> {
            (peer.mark() == mark).then(|| peer.state())
        }
        match spot.family {
            Family::V4 => of(&self.v4().records()[spot.at], mark),
            Family::V6 => of(&self.v6().records()[spot.at], mark),
            Family::Web => Some(self.web().records()[spot.at].state()),
        }
    }

    /// Whose record it is, and with which software.
    pub(crate) fn identity(self, spot: Spot) -> (PeerKey, Mark) {
        match spot.family {
            Family::V4 => dialled(&self.v4().records()[spot.at]),
            Family::V6 => dialled(&self.v6().records()[spot.at]),
            Family::Web => browser(&self.web().records()[spot.at]),
        }
    }

    /// Finds the caller's record and its twin.
    pub(crate) fn recognise(self, key: &PeerKey, mark: Mark) -> Known {
        let spot = |family| move |at| Spot { family, at };
        match key {
            PeerKey::Dialled(Endpoint::V4(addr)) => Known {
                own: self.v4().find(addr).map(spot(Family::V4)),
                twin: self.v6().find_any_twin(&Twin { mark, port: [addr[4], addr[5]] }).map(spot(Family::V6)),
            },
            PeerKey::Dialled(Endpoint::V6(addr)) => Known {
                own: self.v6().find(addr).map(spot(Family::V6)),
                twin: self
                    .v4()
                    .find_any_twin(&Twin { mark, port: [addr[16], addr[17]] })
                    .map(spot(Family::V4)),
            },
            PeerKey::Web(key) => {
                let own = self.web().find(key);
                let twin = [true, false]
                    .into_iter()
                    .filter_map(|counted| self.web().find_twin(&key.peer_id, counted))
                    .find(|at| Some(*at) != own);
                Known { own: own.map(spot(Family::Web)), twin: twin.map(spot(Family::Web)) }
            }
        }
    }

    /// The caller's record will be looked for: its peers are fetched if they are few, else where the column of many is.
    /// Answers whether the next step has to follow.
    pub(crate) fn prefetch_peers(self, caller: &Endpoint) -> bool {
        let Swarm { v4, v6, more, .. } = self.swarm;
        match (caller, more) {
            (Endpoint::V4(_), Some(more)) if v4.len() == 0 => prefetch::lines(&raw const more.v4, 2),
            (Endpoint::V6(_), Some(more)) if v6.len() == 0 => prefetch::lines(&raw const more.v6, 2),
            (Endpoint::V4(_), _) => return self.v4().prefetch(),
            (Endpoint::V6(_), _) => return self.v6().prefetch(),
        }
        true
    }

    /// The next step: the slot of the index. Answers whether the last one has to follow.
    pub(crate) fn prefetch_slot(self, caller: &Endpoint) -> bool {
        match caller {
            Endpoint::V4(addr) => self.v4().prefetch_slot(addr),
            Endpoint::V6(addr) => self.v6().prefetch_slot(addr),
        }
    }

    /// The last step: the record that the slot names.
    pub(crate) fn prefetch_record(self, caller: &Endpoint) {
        match caller {
            Endpoint::V4(addr) => self.v4().prefetch_record(addr),
            Endpoint::V6(addr) => self.v6().prefetch_record(addr),
        }
    }

    /// Peers from the same source, counted up to `max`.
    pub(crate) fn count_source(self, key: &PeerKey, max: usize) -> usize {
        match key {
            PeerKey::Dialled(Endpoint::V4(addr)) => self.v4().count_source(addr, max),
            PeerKey::Dialled(Endpoint::V6(addr)) => self.v6().count_source(addr, max),
            PeerKey::Web(key) => self.web().count_source(key, max),
        }
    }
}

impl Edit<'_> {
    pub(crate) fn view(&self) -> View<'_> {
        View { swarm: self.swarm, blocks: self.blocks, keyed: self.keyed }
    }

    /// Adds a peer that is not there yet.
    pub(crate) fn insert(&mut self, entry: &Entry, now: Stamp) {
        let Entry { key, role, mark, id, report } = *entry;
        self.uncount_twin(&key, mark);
        let state = State::new(role, now);
        match key {
            PeerKey::Dialled(Endpoint::V4(addr)) => {
                self.v4().insert(Row { peer: Peer::new(addr, state, mark), id, report });
            }
            PeerKey::Dialled(Endpoint::V6(addr)) => {
                self.v6().insert(Row { peer: Peer::new(addr, state, mark), id, report });
            }
            PeerKey::Web(key) => {
                self.web().insert(Row { peer: WebPeer::new(key, state, mark.client), id: None, report });
            }
        }
        *self.swarm.count(role.kind) += 1;
        self.swarm.local_peers = self.swarm.local_peers.saturating_add(u16::from(key.is_told_locally()));
    }

    /// Notes another announce of a peer whose record is at `own`, if it changes no count; answers what was moved.
    pub(crate) fn touch(&mut self, own: Spot, entry: &Entry, now: Stamp) -> Option<Moved> {
        let state = self.view().state_of(own, entry.mark)?;
        if !state.is_counted() || state.rank() != entry.role.rank() {
            return None;
        }
        self.state_mut(own).set(entry.role, now);
        Some(entry.report.as_ref().map_or(Moved::default(), |next| self.account(own, next)))
    }

    /// Takes up what the client whose record is at `own` says, if that is kept; answers what it has moved.
    fn account(&mut self, own: Spot, next: &Report) -> Moved {
        let kept = match own.family {
            Family::V4 => self.v4().into_report(own.at),
            Family::V6 => self.v6().into_report(own.at),
            Family::Web => self.web().column.report_mut(own.at),
        };
        kept.map_or(Moved::default(), |kept| kept.renew(next))
    }

    /// Notes another announce of a peer whose record is at `own`; answers what was moved.
    pub(crate) fn refresh(&mut self, own: Spot, entry: &Entry, now: Stamp) -> Moved {
        let Entry { key, role, mark, .. } = *entry;
        let Some(before) = self.view().state_of(own, mark) else {
            // Another client behind the same endpoint: what the old one was, twin or not, is over.
            self.remove(own);
            self.insert(entry, now);
            return Moved::default();
        };
        let moved = entry.report.as_ref().map_or(Moved::default(), |next| self.account(own, next));
        if before.is_counted() {
            *self.swarm.count(before.kind()) -= 1;
        } else {
            self.uncount_twin(&key, mark);
        }
        match own.family {
            Family::V4 => self.v4().renew(own.at, role, now),
            Family::V6 => self.v6().renew(own.at, role, now),
            Family::Web => self.web().renew(own.at, role, now),
        }
        *self.swarm.count(role.kind) += 1;
        moved
    }

    /// Takes out a peer that leaves; answers where it came from, and what it has moved in the end.
    pub(crate) fn stop(&mut self, own: Spot, mark: Mark, last: Option<&Report>) -> (Endpoint, Moved) {
        let last = last.filter(|_| self.view().state_of(own, mark).is_some());
        let moved = last.map_or(Moved::default(), |last| self.account(own, last));
        (self.remove(own), moved)
    }

    /// Takes a peer out; its twin is counted in its place. Answers where it came from.
    pub(crate) fn remove(&mut self, spot: Spot) -> Endpoint {
        let state = self.view().state(spot);
        let (key, mark) = self.view().identity(spot);
        match spot.family {
            Family::V4 => self.v4().remove(spot.at),
            Family::V6 => self.v6().remove(spot.at),
            Family::Web => self.web().remove(spot.at),
        }
        let is_bare = |more: &More| more.v4.len() + more.v6.len() + more.web.len() == 0;
        if self.swarm.more.as_deref().is_some_and(is_bare) {
            self.swarm.more = None;
        }
        if key.is_told_locally() && self.swarm.local_peers < u16::MAX {
            self.swarm.local_peers -= 1;
        }
        if state.is_counted() {
            *self.swarm.count(state.kind()) -= 1;
            self.count_twin(&key, mark);
        }
        *key.source()
    }

    /// Takes out the peer that announced least recently: exactly in a small swarm; in a large one the oldest of
    /// a random sample, which on average is older than 98 of 100 peers.
    pub(crate) fn evict(&mut self, now: Stamp, rng: &mut fastrand::Rng) -> Endpoint {
        let (len, view) = (self.swarm.len(), self.view());
        let age = |number: &usize| view.state(view.spot(*number)).stamp().age(now);
        let oldest = if len <= 2 * EVICTION_SAMPLE {
            (0..len).max_by_key(age)
        } else {
            (0..EVICTION_SAMPLE).map(|_| rng.usize(..len)).max_by_key(age)
        };
        let spot = view.spot(oldest.unwrap_or_default());
        self.remove(spot)
    }

    fn v4(&mut self) -> Dialled<'_, 6> {
        Dialled {
            block: &mut self.swarm.v4,
            few: &mut self.blocks.v4,
            more: &mut self.swarm.more,
            column: |more| &mut more.v4,
            keyed: self.keyed,
            number: self.number,
        }
    }

    fn v6(&mut self) -> Dialled<'_, 18> {
        Dialled {
            block: &mut self.swarm.v6,
            few: &mut self.blocks.v6,
            more: &mut self.swarm.more,
            column: |more| &mut more.v6,
            keyed: self.keyed,
            number: self.number,
        }
    }

    fn web(&mut self) -> Indexed<'_, WebPeer> {
        Indexed { column: &mut self.swarm.more.get_or_insert_default().web, keyed: self.keyed }
    }

    /// The announcing record of `key` is about to be counted: a counted twin no longer is.
    fn uncount_twin(&mut self, key: &PeerKey, mark: Mark) {
        if let Some(kind) = self.flip_twin(key, mark, true) {
            *self.swarm.count(kind) -= 1;
        }
    }

    /// The counted record of `key` is gone: its twin takes over.
    fn count_twin(&mut self, key: &PeerKey, mark: Mark) {
        if let Some(kind) = self.flip_twin(key, mark, false) {
            *self.swarm.count(kind) += 1;
        }
    }

    /// Finds a twin that is or is not counted, turns that round and answers its kind.
    fn flip_twin(&mut self, key: &PeerKey, mark: Mark, counted: bool) -> Option<Kind> {
        let view = self.view();
        let twin = |endpoint: &Endpoint| Twin { mark, port: endpoint.port().to_be_bytes() };
        let (family, at) = match key {
            PeerKey::Dialled(endpoint @ Endpoint::V4(_)) => {
                (Family::V6, view.v6().find_twin(&twin(endpoint), counted)?)
            }
            PeerKey::Dialled(endpoint @ Endpoint::V6(_)) => {
                (Family::V4, view.v4().find_twin(&twin(endpoint), counted)?)
            }
            PeerKey::Web(key) => (Family::Web, view.web().find_twin(&key.peer_id, counted)?),
        };
        let state = self.state_mut(Spot { family, at });
        state.set_counted(!counted);
        Some(state.kind())
    }

    /// What a record says of its peer, to be changed in what its place does not depend on.
    fn state_mut(&mut self, spot: Spot) -> &mut State {
        match spot.family {
            Family::V4 => self.v4().into_record(spot.at).state_mut(),
            Family::V6 => self.v6().into_record(spot.at).state_mut(),
            Family::Web => self.web().column.records_mut()[spot.at].state_mut(),
        }
    }
}

fn dialled<const N: usize>(peer: &Peer<N>) -> (PeerKey, Mark) {
    (PeerKey::Dialled(peer.endpoint()), peer.mark())
}

/// Records of browsers hold no fingerprint: their peer id is known in full.
fn browser(peer: &WebPeer) -> (PeerKey, Mark) {
    (PeerKey::Web(peer.key), Mark { client: peer.client, twin: 0 })
}
