//! The peers of one info hash now, both families in one swarm.
//!
//! With anonymous callers a peer is its endpoint, proven by the connection that it announced over: nobody can
//! touch another's record. A client that announces over both families has two records, *twins*, of which one
//! is counted: the one that announced last. A false match may only lower a count.

pub(crate) mod peers;

use evenkeel_wire::{Endpoint, InfoHash, PeerId, Stats};

use crate::keyed::Keyed;
use crate::scope::Scope;
use crate::time::Stamp;
pub(crate) use peers::{Column, Kind, Mark, Peer};

/// How many of the oldest are looked at for eviction in a swarm too large to look at all.
const EVICTION_SAMPLE: usize = 64;

/// Peers of one torrent.
pub(crate) struct Swarm {
    pub(crate) info_hash: InfoHash,
    /// Counted peers and completions.
    pub(crate) stats: Stats,
    /// Peers whose address is not global; while there are none, nobody's scope is looked at.
    pub(crate) local_peers: u32,
    /// When the last peer left; an empty swarm is kept for its count of completions.
    pub(crate) empty_since: Stamp,
    pub(crate) v4: Column<6>,
    v6: Option<Box<Column<18>>>,
}

/// A caller as a swarm knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// Position of its record in its family's column.
    pub(crate) own: Option<usize>,
    /// Position of its twin in the other family's column.
    pub(crate) twin: Option<usize>,
}

/// What a caller is to be recorded as.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) endpoint: Endpoint,
    pub(crate) kind: Kind,
    pub(crate) mark: Mark,
    pub(crate) id: Option<PeerId>,
}

impl Swarm {
    pub(crate) fn new(info_hash: InfoHash, now: Stamp) -> Self {
        Self {
            info_hash,
            stats: Stats::default(),
            local_peers: 0,
            empty_since: now,
            v4: Column::default(),
            v6: None,
        }
    }

    pub(crate) fn v6(&self) -> Option<&Column<18>> {
        self.v6.as_deref()
    }

    /// Records of both families; twins are two.
    pub(crate) fn len(&self) -> usize {
        self.v4.len() + self.v6_len()
    }

    pub(crate) fn v6_len(&self) -> usize {
        self.v6.as_ref().map_or(0, |v6| v6.len())
    }

    /// Finds the caller's record and its twin.
    pub(crate) fn recognise(&self, endpoint: &Endpoint, mark: Mark, keyed: &Keyed) -> Known {
        match endpoint {
            Endpoint::V4(addr) => Known {
                own: self.v4.find(addr, keyed),
                twin: self.v6.as_ref().and_then(|v6| find_any_twin(v6, mark, [addr[4], addr[5]])),
            },
            Endpoint::V6(addr) => Known {
                own: self.v6.as_ref().and_then(|v6| v6.find(addr, keyed)),
                twin: find_any_twin(&self.v4, mark, [addr[16], addr[17]]),
            },
        }
    }

    /// The kind of a record.
    pub(crate) fn kind_of(&self, is_v4: bool, at: usize) -> Kind {
        match &self.v6 {
            Some(v6) if !is_v4 => v6.peers()[at].kind(),
            _ => self.v4.peers()[at].kind(),
        }
    }

    /// Peers from the same source, counted up to `max`.
    pub(crate) fn count_source(&self, endpoint: &Endpoint, keyed: &Keyed, max: usize) -> usize {
        let scope = Scope::of(endpoint);
        match endpoint {
            Endpoint::V4(addr) => self.v4.count_source(addr, scope, keyed, max),
            Endpoint::V6(addr) => self.v6.as_ref().map_or(0, |v6| v6.count_source(addr, scope, keyed, max)),
        }
    }

    /// Adds a peer that is not there yet.
    pub(crate) fn insert(&mut self, entry: Entry, now: Stamp, keyed: &Keyed) {
        let Entry { endpoint, kind, mark, id } = entry;
        self.uncount_twin(&endpoint, mark);
        match endpoint {
            Endpoint::V4(addr) => self.v4.insert(Peer::new(addr, kind, now, mark), id, keyed),
            Endpoint::V6(addr) => {
                self.v6.get_or_insert_default().insert(Peer::new(addr, kind, now, mark), id, keyed);
            }
        }
        *self.count(kind) += 1;
        self.local_peers += u32::from(Scope::of(&endpoint) != Scope::Global);
    }

    /// Notes another announce of a peer whose record is at `own`.
    pub(crate) fn refresh(&mut self, own: usize, entry: Entry, now: Stamp, keyed: &Keyed) {
        let Entry { endpoint, kind, mark, .. } = entry;
        let same_client = match (&endpoint, &self.v6) {
            (Endpoint::V6(_), Some(v6)) => v6.peers()[own].mark() == mark,
            _ => self.v4.peers()[own].mark() == mark,
        };
        if !same_client {
            // Another client behind the same endpoint: what the old one was, twin or not, is over.
            self.remove(matches!(endpoint, Endpoint::V4(_)), own, keyed);
            return self.insert(entry, now, keyed);
        }
        let (was, counted) = match (&endpoint, &mut self.v6) {
            (Endpoint::V6(_), Some(v6)) => refresh_record(v6, own, (kind, now), keyed),
            _ => refresh_record(&mut self.v4, own, (kind, now), keyed),
        };
        if counted {
            *self.count(was) -= 1;
        } else {
            self.uncount_twin(&endpoint, mark);
        }
        *self.count(kind) += 1;
    }

    /// Takes a peer out; its twin is counted in its place.
    pub(crate) fn remove(&mut self, is_v4: bool, at: usize, keyed: &Keyed) -> Endpoint {
        let (endpoint, kind, mark, counted) = match &mut self.v6 {
            Some(v6) if !is_v4 => facts(&v6.remove(at, keyed)),
            _ => facts(&self.v4.remove(at, keyed)),
        };
        if self.v6_len() == 0 {
            self.v6 = None;
        }
        self.local_peers -= u32::from(Scope::of(&endpoint) != Scope::Global);
        if counted {
            *self.count(kind) -= 1;
            self.count_twin(&endpoint, mark);
        }
        endpoint
    }

    /// Takes out the peer that announced least recently: exactly in a small swarm; in a large one the oldest of
    /// a random sample, which on average is older than 98 of 100 peers.
    pub(crate) fn evict(&mut self, now: Stamp, rng: &mut fastrand::Rng, keyed: &Keyed) -> Endpoint {
        let (v4_len, len) = (self.v4.len(), self.len());
        let age = |at: usize| match &self.v6 {
            Some(v6) if at >= v4_len => v6.peers()[at - v4_len].stamp().age(now),
            _ => self.v4.peers()[at].stamp().age(now),
        };
        let oldest = if len <= 2 * EVICTION_SAMPLE {
            (0..len).max_by_key(|at| age(*at))
        } else {
            (0..EVICTION_SAMPLE).map(|_| rng.usize(..len)).max_by_key(|at| age(*at))
        };
        let at = oldest.unwrap_or_default();
        if at < v4_len { self.remove(true, at, keyed) } else { self.remove(false, at - v4_len, keyed) }
    }

    fn count(&mut self, kind: Kind) -> &mut u32 {
        match kind {
            Kind::Seeder => &mut self.stats.seeders,
            Kind::Leecher => &mut self.stats.leechers,
            Kind::Partial => &mut self.stats.partial,
        }
    }

    /// The announcing record of `endpoint` is about to be counted: a counted twin no longer is.
    fn uncount_twin(&mut self, endpoint: &Endpoint, mark: Mark) {
        if let Some(kind) = self.flip_twin(endpoint, mark, true) {
            *self.count(kind) -= 1;
        }
    }

    /// The counted record of `endpoint` is gone: its twin takes over.
    fn count_twin(&mut self, endpoint: &Endpoint, mark: Mark) {
        if let Some(kind) = self.flip_twin(endpoint, mark, false) {
            *self.count(kind) += 1;
        }
    }

    /// Finds a twin that is or is not counted, turns that round and answers its kind.
    fn flip_twin(&mut self, endpoint: &Endpoint, mark: Mark, counted: bool) -> Option<Kind> {
        let port = endpoint.port().to_be_bytes();
        match endpoint {
            Endpoint::V4(_) => {
                let v6 = self.v6.as_mut()?;
                let at = v6.find_twin(mark, port, counted)?;
                v6.set_counted(at, !counted);
                Some(v6.peers()[at].kind())
            }
            Endpoint::V6(_) => {
                let at = self.v4.find_twin(mark, port, counted)?;
                self.v4.set_counted(at, !counted);
                Some(self.v4.peers()[at].kind())
            }
        }
    }
}

fn find_any_twin<const N: usize>(column: &Column<N>, mark: Mark, port: [u8; 2]) -> Option<usize> {
    column.find_twin(mark, port, true).or_else(|| column.find_twin(mark, port, false))
}

/// Refreshes a record, makes it the counted one, and answers its old kind and whether it was counted before.
fn refresh_record<const N: usize>(
    column: &mut Column<N>,
    own: usize,
    (kind, now): (Kind, Stamp),
    keyed: &Keyed,
) -> (Kind, bool) {
    let before = column.peers()[own];
    let at = column.refresh(own, kind, now, keyed);
    column.set_counted(at, true);
    (before.kind(), before.is_counted())
}

fn facts<const N: usize>(peer: &Peer<N>) -> (Endpoint, Kind, Mark, bool) {
    (peer.endpoint(), peer.kind(), peer.mark(), peer.is_counted())
}
