//! Info hash -> swarm: one of many shards, each behind a lock of its own that is held for one announce.

mod index;

use evenkeel_wire::{InfoHash, Stats};

use crate::addresses::AddressTable;
use crate::keyed::Keyed;
use crate::prefetch;
use crate::rules::Rules;
use crate::swarm::{Edit, Few, Kind, Mark, Peer, PeerKey, Swarm, View};
use crate::time::{Stamp, Time};
use index::Index;

/// Shards of a store; a power of two.
pub const SHARDS: usize = 1024;

/// Secret keys of a store's hashes: what strangers choose must not choose its bucket.
#[derive(Clone, Copy)]
pub struct Keys {
    /// Of info hashes.
    pub swarm: Keyed,
    /// Of addresses within a swarm.
    pub peer: Keyed,
    /// Of peer id and `key`: fingerprints of clients.
    pub twin: Keyed,
}

/// Where a swarm is: its info hash, hashed once for shard and bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u64);

impl Keys {
    /// The place of a torrent's swarm.
    pub fn place(&self, info_hash: &InfoHash) -> Place {
        Place(self.swarm.hash(&info_hash.0))
    }
}

impl Place {
    /// Number of the shard. Middle bits: the index takes its bucket from the low ones and its tag from the
    /// high ones.
    pub fn shard(self) -> usize {
        usize::try_from((self.0 >> 40) % SHARDS as u64).unwrap_or_default()
    }
}

/// Where the slots of a shard were when somebody looked: enough to have the right one fetched before the shard is
/// locked. It may be out of date, and then it is of no use and does no harm.
#[derive(Clone, Copy, Debug)]
pub struct Hint {
    base: *const u32,
    mask: usize,
}

impl Hint {
    /// From what [`Hint::parts`] gave.
    pub fn of((base, mask): (usize, usize)) -> Self {
        Self { base: std::ptr::without_provenance(base), mask }
    }

    /// As numbers, which threads can share.
    pub fn parts(self) -> (usize, usize) {
        (self.base.addr(), self.mask)
    }

    /// The first step: the slot of a place.
    pub fn prefetch(self, place: Place) {
        prefetch::lines(self.base.wrapping_add(index::bucket(place, self.mask)), 1);
    }
}

/// What a shard holds, for gauges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Totals {
    /// Swarms, with those that only keep their count of completions.
    pub swarms: u32,
    /// Swarms with at least one peer.
    pub active_swarms: u32,
    /// IPv4 records.
    pub v4_peers: u32,
    /// IPv6 records.
    pub v6_peers: u32,
    /// WebTorrent records.
    pub web_peers: u32,
    /// Counted seeders.
    pub seeders: u32,
    /// Counted leechers and partial seeds.
    pub leechers: u32,
}

impl Totals {
    /// Records of all kinds.
    pub fn peers(&self) -> u64 {
        [self.v4_peers, self.v6_peers, self.web_peers].map(u64::from).iter().sum()
    }
}

/// A part of the store.
pub struct Shard {
    pub(crate) keys: Keys,
    swarms: Vec<Swarm>,
    /// Peers of those swarms that have few.
    few: Few<Peer<6>>,
    index: Index,
    totals: Totals,
    /// See [`Shard::recorded`].
    pub(crate) recorded: u32,
    sweep: Cursor,
}

/// Where a pass over the store goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Cursor {
    swarm: usize,
    record: usize,
}

/// What a slice of the sweep did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Swept {
    /// Peers forgotten.
    pub expired: u32,
    /// The end of the shard was reached; the next slice starts from its beginning.
    pub finished: bool,
}

/// A record as a census sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Where the peer is reached.
    pub key: PeerKey,
    /// Has everything.
    pub is_seeder: bool,
    /// Interned client.
    pub client: u16,
}

impl Shard {
    /// An empty shard.
    pub fn new(keys: Keys) -> Self {
        Self {
            keys,
            swarms: Vec::new(),
            few: Few::default(),
            index: Index::default(),
            totals: Totals::default(),
            recorded: 0,
            sweep: Cursor::default(),
        }
    }

    /// Counts of each swarm that has peers.
    pub fn scrape_all(&self) -> impl Iterator<Item = (InfoHash, Stats)> {
        let active = self.swarms.iter().filter(|swarm| swarm.len() > 0);
        active.map(|swarm| (swarm.info_hash, swarm.stats))
    }

    /// What the shard holds.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// How many peers were new, ever; it goes around at 2^32. An announce that does not change it has made nothing grow.
    pub fn recorded(&self) -> u32 {
        self.recorded
    }

    /// Counts of a swarm; zeros for one that is not there. Creates nothing.
    pub fn scrape(&self, info_hash: &InfoHash) -> Stats {
        let found = self.find(self.keys.place(info_hash), info_hash);
        found.map_or_else(Stats::default, |at| self.swarms[at].stats)
    }

    pub(crate) fn find(&self, place: Place, info_hash: &InfoHash) -> Option<usize> {
        self.index.find(place, |at| self.swarms[at].info_hash == *info_hash)
    }

    /// Where its slots are; see [`Hint`].
    pub fn hint(&self) -> Hint {
        let (base, mask) = self.index.base();
        Hint { base, mask }
    }

    /// The second step after [`Hint::prefetch`]: the swarm.
    pub fn prefetch_swarm(&self, place: Place) {
        if let Some(at) = self.index.guess(place) {
            // It begins anywhere in a line.
            prefetch::lines(&raw const self.swarms[at], 2);
        }
    }

    /// The third step: its peers.
    pub fn prefetch_peers(&self, place: Place) {
        if let Some(at) = self.index.guess(place) {
            prefetch::lines(self.swarm(at).v4().records().as_ptr(), 2);
        }
    }

    pub(crate) fn swarm(&self, at: usize) -> View<'_> {
        View { swarm: &self.swarms[at], few: &self.few, keyed: &self.keys.peer }
    }

    pub(crate) fn create(&mut self, place: Place, info_hash: InfoHash, now: Stamp) -> usize {
        let at = self.swarms.len();
        if at == self.swarms.capacity() {
            // Growth by an eighth, not by doubling: all shards are about as full, and there are many.
            self.swarms.reserve_exact(4.max(at / 8));
        }
        self.swarms.push(Swarm::new(info_hash, now));
        let Self { swarms, index, keys, .. } = self;
        index.insert(place, at, |at| keys.place(&swarms[at].info_hash));
        self.totals.swarms += 1;
        at
    }

    /// Changes a swarm and keeps the totals true.
    pub(crate) fn change<R>(&mut self, at: usize, change: impl FnOnce(&mut Edit<'_>) -> R) -> R {
        let before = Totals::of(&self.swarms[at]);
        let Self { swarms, few, keys, .. } = self;
        let number = u32::try_from(at).unwrap_or(u32::MAX);
        let result = change(&mut Edit { swarm: &mut swarms[at], few, keyed: &keys.peer, number });
        self.tell_moved();
        let after = Totals::of(&self.swarms[at]);
        self.totals.shift(&before, &after);
        result
    }

    /// Tells swarms whose peers have made room for others' where they are now.
    fn tell_moved(&mut self) {
        while let Some((owner, block)) = self.few.take_moved() {
            self.swarms[owner].v4 = block;
        }
    }

    /// Forgets peers that have not announced for their time to live, looking at no more than about `budget`
    /// records; the next call goes on where this one stopped.
    pub fn sweep(&mut self, now: Time, rules: &Rules, addresses: &AddressTable, budget: usize) -> Swept {
        let stamp = Stamp::at(now);
        let mut swept = Swept::default();
        let mut left = budget;
        while left > 0 {
            let at = self.sweep.swarm;
            if at >= self.swarms.len() {
                self.sweep = Cursor::default();
                swept.finished = true;
                break;
            }
            let from = self.sweep.record;
            let ttl_secs = rules.peer_ttl_secs();
            let (record, looked, expired) =
                self.change(at, |edit| sweep_swarm(edit, from, left, (ttl_secs, stamp), addresses));
            swept.expired += expired;
            left = left.saturating_sub(looked + 1);
            match record {
                Some(record) => self.sweep.record = record,
                None => {
                    self.sweep.record = 0;
                    if self.is_forgettable(at, ttl_secs, stamp) {
                        self.drop_at(at);
                    } else {
                        self.sweep.swarm += 1;
                    }
                }
            }
        }
        swept
    }

    /// Drops a swarm whose state is in doubt, after a panic. The next announces build it again.
    pub fn drop_swarm(&mut self, info_hash: &InfoHash, addresses: &AddressTable) {
        if let Some(at) = self.find(self.keys.place(info_hash), info_hash) {
            let view = self.swarm(at);
            for number in 0..view.swarm.len() {
                addresses.remove(view.identity(view.spot(number)).0.source());
            }
            self.drop_at(at);
        }
    }

    /// Shows up to about `budget` records from `cursor` on; answers where to go on, `None` at the end. A record
    /// that moves meanwhile may be shown twice or not at all.
    pub fn visit(&self, cursor: Cursor, budget: usize, mut show: impl FnMut(Seen)) -> Option<Cursor> {
        let mut at = cursor;
        let mut left = budget;
        while left > 0 {
            let len = self.swarms.get(at.swarm)?.len();
            let view = self.swarm(at.swarm);
            let end = len.min(at.record + left);
            for record in at.record..end {
                let spot = view.spot(record);
                let (key, Mark { client, .. }) = view.identity(spot);
                show(Seen { key, is_seeder: view.state(spot).kind() == Kind::Seeder, client });
            }
            left = left.saturating_sub(end.saturating_sub(at.record) + 1);
            at = if end >= len {
                Cursor { swarm: at.swarm + 1, record: 0 }
            } else {
                Cursor { record: end, ..at }
            };
        }
        Some(at)
    }

    /// An empty swarm is kept for one time to live if it has seen completions: the count outlives the peers for
    /// a while, but nobody can fill the store with empty swarms for longer than with peers.
    fn is_forgettable(&self, at: usize, ttl_secs: u32, now: Stamp) -> bool {
        let swarm = &self.swarms[at];
        swarm.len() == 0 && (swarm.stats.downloaded == 0 || swarm.empty_since.is_older_than(ttl_secs, now))
    }

    fn drop_at(&mut self, at: usize) {
        let last = self.swarms.len() - 1;
        let Self { swarms, index, keys, .. } = self;
        let place_of = |at: usize| keys.place(&swarms[at].info_hash);
        index.remove(place_of(at), at, place_of);
        if at != last {
            index.relocate(place_of(last), last, at);
        }
        self.totals.shift(&Totals::of(&self.swarms[at]), &Totals::default());
        let number = u32::try_from(at).unwrap_or(u32::MAX);
        self.few.free(self.swarms[at].v4, number);
        self.tell_moved();
        if at != last {
            self.few.rename(self.swarms[last].v4, number);
        }
        self.swarms.swap_remove(at);
        self.totals.swarms -= 1;
        if self.swarms.len() < self.swarms.capacity() / 4 {
            self.swarms.shrink_to(self.swarms.len() * 2);
            let Self { swarms, index, keys, .. } = self;
            index.shrink(swarms.len(), |at| keys.place(&swarms[at].info_hash));
        }
    }
}

/// To take a record out costs as much as to look at so many more.
const REMOVED_COSTS: usize = 20;

/// Looks at up to `budget` records from `from` on. Answers where to go on (`None`: the swarm is done), how many
/// were looked at, how many expired.
fn sweep_swarm(
    edit: &mut Edit<'_>,
    from: usize,
    budget: usize,
    (ttl_secs, now): (u32, Stamp),
    addresses: &AddressTable,
) -> (Option<usize>, usize, u32) {
    let (mut record, mut looked, mut expired) = (from, 0, 0);
    while record < edit.swarm.len() {
        if looked >= budget {
            return (Some(record), looked, expired);
        }
        looked += 1;
        let spot = edit.view().spot(record);
        if edit.view().state(spot).stamp().is_older_than(ttl_secs, now) {
            let gone = edit.remove(spot);
            addresses.remove(&gone);
            expired += 1;
            looked += REMOVED_COSTS;
            edit.swarm.empty_since = now;
        } else {
            record += 1;
        }
    }
    (None, looked, expired)
}

impl Totals {
    fn of(swarm: &Swarm) -> Self {
        let [v4, v6, web] = swarm.lens();
        let small = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            swarms: 0,
            active_swarms: u32::from(v4 + v6 + web > 0),
            v4_peers: small(v4),
            v6_peers: small(v6),
            web_peers: small(web),
            seeders: swarm.stats.seeders,
            leechers: swarm.stats.incomplete(),
        }
    }

    fn shift(&mut self, before: &Self, after: &Self) {
        let move_by = |total: &mut u32, before: u32, after: u32| *total = *total - before + after;
        move_by(&mut self.active_swarms, before.active_swarms, after.active_swarms);
        move_by(&mut self.v4_peers, before.v4_peers, after.v4_peers);
        move_by(&mut self.v6_peers, before.v6_peers, after.v6_peers);
        move_by(&mut self.web_peers, before.web_peers, after.web_peers);
        move_by(&mut self.seeders, before.seeders, after.seeders);
        move_by(&mut self.leechers, before.leechers, after.leechers);
    }
}
