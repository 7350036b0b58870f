//! The peers of one info hash now, however they are reached: one swarm for all dialects and families.
//!
//! With anonymous callers a peer is its endpoint, proven by the connection that it announced over, or its
//! WebSocket: nobody can touch another's record. A client with two records (one in each family, or two sockets with
//! one peer id) is counted once, as what it announced last. A false match may only lower a count.

mod column;
pub(crate) mod peers;

use evenkeel_wire::{Endpoint, InfoHash, PeerId, Stats};

use crate::keyed::Keyed;
use crate::scope::Scope;
use crate::time::Stamp;
pub(crate) use column::{Column, Record};
use peers::Twin;
pub(crate) use peers::{Kind, Mark, Peer, SocketId, State, WebKey, WebPeer};

/// How many of the oldest are looked at for eviction in a swarm too large to look at all.
const EVICTION_SAMPLE: usize = 64;

/// Peers of one torrent.
pub(crate) struct Swarm {
    pub(crate) info_hash: InfoHash,
    /// Counted peers and completions.
    pub(crate) stats: Stats,
    /// Peers whose address is told to others and is not global; while there are none, nobody's scope is looked at.
    /// Once at its maximum it stays there.
    pub(crate) local_peers: u16,
    /// When the last peer left; an empty swarm is kept for its count of completions.
    pub(crate) empty_since: Stamp,
    pub(crate) v4: Column<Peer<6>>,
    /// What most swarms do without.
    more: Option<Box<More>>,
}

const _: () = assert!(size_of::<Swarm>() == 64, "one cache line");

#[derive(Default)]
struct More {
    v6: Column<Peer<18>>,
    web: Column<WebPeer>,
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
    pub(crate) kind: Kind,
    pub(crate) mark: Mark,
    pub(crate) id: Option<PeerId>,
}

impl From<Endpoint> for PeerKey {
    fn from(endpoint: Endpoint) -> Self {
        Self::Dialled(endpoint)
    }
}

impl PeerKey {
    /// The address that limits per address hold for.
    pub(crate) fn source(&self) -> &Endpoint {
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
            v4: Column::default(),
            more: None,
        }
    }

    pub(crate) fn v6(&self) -> Option<&Column<Peer<18>>> {
        self.more.as_ref().map(|more| &more.v6)
    }

    pub(crate) fn web(&self) -> Option<&Column<WebPeer>> {
        self.more.as_ref().map(|more| &more.web)
    }

    /// Records of one family; twins are two.
    pub(crate) fn family_len(&self, family: Family) -> usize {
        match family {
            Family::V4 => self.v4.len(),
            Family::V6 => self.v6().map_or(0, Column::len),
            Family::Web => self.web().map_or(0, Column::len),
        }
    }

    /// Records of seeders of one family: they are the first of its column.
    pub(crate) fn family_seeders(&self, family: Family) -> usize {
        match family {
            Family::V4 => self.v4.seeders(),
            Family::V6 => self.v6().map_or(0, Column::seeders),
            Family::Web => self.web().map_or(0, Column::seeders),
        }
    }

    /// Records of all families.
    pub(crate) fn len(&self) -> usize {
        self.v4.len() + self.more.as_ref().map_or(0, |more| more.v6.len() + more.web.len())
    }

    /// Record number `number` of all, for those who walk over them.
    pub(crate) fn spot(&self, number: usize) -> Spot {
        let v4_len = self.v4.len();
        let dialled_len = v4_len + self.family_len(Family::V6);
        match number {
            _ if number < v4_len => Spot { family: Family::V4, at: number },
            _ if number < dialled_len => Spot { family: Family::V6, at: number - v4_len },
            _ => Spot { family: Family::Web, at: number - dialled_len },
        }
    }

    /// What a record says of its peer.
    pub(crate) fn state(&self, spot: Spot) -> State {
        match (&self.more, spot.family) {
            (Some(more), Family::V6) => more.v6.peers()[spot.at].state(),
            (Some(more), Family::Web) => more.web.peers()[spot.at].state(),
            _ => self.v4.peers()[spot.at].state(),
        }
    }

    /// Whose record it is, and with which software.
    pub(crate) fn identity(&self, spot: Spot) -> (PeerKey, Mark) {
        match (&self.more, spot.family) {
            (Some(more), Family::V6) => dialled(&more.v6.peers()[spot.at]),
            (Some(more), Family::Web) => browser(&more.web.peers()[spot.at]),
            _ => dialled(&self.v4.peers()[spot.at]),
        }
    }

    /// Finds the caller's record and its twin.
    pub(crate) fn recognise(&self, key: &PeerKey, mark: Mark, keyed: &Keyed) -> Known {
        let spot = |family| move |at| Spot { family, at };
        match key {
            PeerKey::Dialled(Endpoint::V4(addr)) => Known {
                own: self.v4.find(addr, keyed).map(spot(Family::V4)),
                twin: self
                    .v6()
                    .and_then(|v6| v6.find_any_twin(&Twin { mark, port: [addr[4], addr[5]] }, keyed))
                    .map(spot(Family::V6)),
            },
            PeerKey::Dialled(Endpoint::V6(addr)) => Known {
                own: self.v6().and_then(|v6| v6.find(addr, keyed)).map(spot(Family::V6)),
                twin: self
                    .v4
                    .find_any_twin(&Twin { mark, port: [addr[16], addr[17]] }, keyed)
                    .map(spot(Family::V4)),
            },
            PeerKey::Web(key) => {
                let Some(web) = self.web() else { return Known { own: None, twin: None } };
                let own = web.find(key, keyed);
                let twin = [true, false]
                    .into_iter()
                    .filter_map(|counted| web.find_twin(&key.peer_id, counted, keyed))
                    .find(|at| Some(*at) != own);
                Known { own: own.map(spot(Family::Web)), twin: twin.map(spot(Family::Web)) }
            }
        }
    }

    /// Peers from the same source, counted up to `max`.
    pub(crate) fn count_source(&self, key: &PeerKey, keyed: &Keyed, max: usize) -> usize {
        match key {
            PeerKey::Dialled(Endpoint::V4(addr)) => self.v4.count_source(addr, keyed, max),
            PeerKey::Dialled(Endpoint::V6(addr)) => {
                self.v6().map_or(0, |v6| v6.count_source(addr, keyed, max))
            }
            PeerKey::Web(key) => self.web().map_or(0, |web| web.count_source(key, keyed, max)),
        }
    }

    /// Adds a peer that is not there yet.
    pub(crate) fn insert(&mut self, entry: Entry, now: Stamp, keyed: &Keyed) {
        let Entry { key, kind, mark, id } = entry;
        self.uncount_twin(&key, mark, keyed);
        let state = State::new(kind, now);
        match key {
            PeerKey::Dialled(Endpoint::V4(addr)) => self.v4.insert(Peer::new(addr, state, mark), id, keyed),
            PeerKey::Dialled(Endpoint::V6(addr)) => {
                self.more.get_or_insert_default().v6.insert(Peer::new(addr, state, mark), id, keyed);
            }
            PeerKey::Web(key) => {
                let peer = WebPeer::new(key, state, mark.client);
                self.more.get_or_insert_default().web.insert(peer, None, keyed);
            }
        }
        *self.count(kind) += 1;
        self.local_peers = self.local_peers.saturating_add(u16::from(key.is_told_locally()));
    }

    /// Notes another announce of a peer whose record is at `own`.
    pub(crate) fn refresh(&mut self, own: Spot, entry: Entry, now: Stamp, keyed: &Keyed) {
        let Entry { key, kind, mark, .. } = entry;
        let before = self.state(own);
        if self.identity(own).1 != mark && own.family != Family::Web {
            // Another client behind the same endpoint: what the old one was, twin or not, is over.
            self.remove(own, keyed);
            return self.insert(entry, now, keyed);
        }
        if before.is_counted() {
            *self.count(before.kind()) -= 1;
        } else {
            self.uncount_twin(&key, mark, keyed);
        }
        match (&mut self.more, own.family) {
            (Some(more), Family::V6) => refresh_record(&mut more.v6, own.at, (kind, now), keyed),
            (Some(more), Family::Web) => refresh_record(&mut more.web, own.at, (kind, now), keyed),
            _ => refresh_record(&mut self.v4, own.at, (kind, now), keyed),
        }
        *self.count(kind) += 1;
    }

    /// Takes a peer out; its twin is counted in its place. Answers where it came from.
    pub(crate) fn remove(&mut self, spot: Spot, keyed: &Keyed) -> Endpoint {
        let state = self.state(spot);
        let (key, mark) = self.identity(spot);
        match (&mut self.more, spot.family) {
            (Some(more), Family::V6) => drop(more.v6.remove(spot.at, keyed)),
            (Some(more), Family::Web) => drop(more.web.remove(spot.at, keyed)),
            _ => drop(self.v4.remove(spot.at, keyed)),
        }
        if self.more.as_ref().is_some_and(|more| more.v6.len() + more.web.len() == 0) {
            self.more = None;
        }
        if key.is_told_locally() && self.local_peers < u16::MAX {
            self.local_peers -= 1;
        }
        if state.is_counted() {
            *self.count(state.kind()) -= 1;
            self.count_twin(&key, mark, keyed);
        }
        *key.source()
    }

    /// Takes out the peer that announced least recently: exactly in a small swarm; in a large one the oldest of
    /// a random sample, which on average is older than 98 of 100 peers.
    pub(crate) fn evict(&mut self, now: Stamp, rng: &mut fastrand::Rng, keyed: &Keyed) -> Endpoint {
        let len = self.len();
        let age = |number: &usize| self.state(self.spot(*number)).stamp().age(now);
        let oldest = if len <= 2 * EVICTION_SAMPLE {
            (0..len).max_by_key(age)
        } else {
            (0..EVICTION_SAMPLE).map(|_| rng.usize(..len)).max_by_key(age)
        };
        self.remove(self.spot(oldest.unwrap_or_default()), keyed)
    }

    fn count(&mut self, kind: Kind) -> &mut u32 {
        match kind {
            Kind::Seeder => &mut self.stats.seeders,
            Kind::Leecher => &mut self.stats.leechers,
            Kind::Partial => &mut self.stats.partial,
        }
    }

    /// The announcing record of `key` is about to be counted: a counted twin no longer is.
    fn uncount_twin(&mut self, key: &PeerKey, mark: Mark, keyed: &Keyed) {
        if let Some(kind) = self.flip_twin(key, mark, true, keyed) {
            *self.count(kind) -= 1;
        }
    }

    /// The counted record of `key` is gone: its twin takes over.
    fn count_twin(&mut self, key: &PeerKey, mark: Mark, keyed: &Keyed) {
        if let Some(kind) = self.flip_twin(key, mark, false, keyed) {
            *self.count(kind) += 1;
        }
    }

    /// Finds a twin that is or is not counted, turns that round and answers its kind.
    fn flip_twin(&mut self, key: &PeerKey, mark: Mark, counted: bool, keyed: &Keyed) -> Option<Kind> {
        match key {
            PeerKey::Dialled(endpoint) => {
                let twin = Twin { mark, port: endpoint.port().to_be_bytes() };
                match endpoint {
                    Endpoint::V4(_) => flip(&mut self.more.as_mut()?.v6, &twin, counted, keyed),
                    Endpoint::V6(_) => flip(&mut self.v4, &twin, counted, keyed),
                }
            }
            PeerKey::Web(key) => flip(&mut self.more.as_mut()?.web, &key.peer_id, counted, keyed),
        }
    }
}

fn flip<R: Record>(column: &mut Column<R>, twin: &R::Twin, counted: bool, keyed: &Keyed) -> Option<Kind> {
    let at = column.find_twin(twin, counted, keyed)?;
    column.set_counted(at, !counted);
    Some(column.peers()[at].state().kind())
}

/// Refreshes a record and makes it the counted one.
fn refresh_record<R: Record>(column: &mut Column<R>, own: usize, (kind, now): (Kind, Stamp), keyed: &Keyed) {
    let at = column.refresh(own, kind, now, keyed);
    column.set_counted(at, true);
}

fn dialled<const N: usize>(peer: &Peer<N>) -> (PeerKey, Mark) {
    (PeerKey::Dialled(peer.endpoint()), peer.mark())
}

/// Records of browsers hold no fingerprint: their peer id is known in full.
fn browser(peer: &WebPeer) -> (PeerKey, Mark) {
    (PeerKey::Web(peer.key), Mark { client: peer.client, twin: 0 })
}
