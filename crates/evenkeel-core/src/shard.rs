//! Info hash -> swarm: one of many shards, each behind a lock of its own that is held for one announce.

use evenkeel_wire::{Endpoint, InfoHash, Stats};

use crate::addresses::AddressTable;
use crate::index::{Hint, Index};
use crate::keyed::Keyed;
use crate::prefetch;
use crate::rules::Rules;
use crate::swarm::report::{Moved, Report, Reported};
use crate::swarm::{Blocks, Edit, Entry, Kind, Mark, PeerKey, Spot, State, Swarm, View};
use crate::time::{Stamp, Time};

/// Shards of a store; a power of two.
pub const SHARDS: usize = 256;

/// Secret keys of a store's hashes: what strangers choose must not choose its bucket.
#[derive(Clone, Copy)]
pub struct Keys {
    /// Of info hashes.
    pub swarm: Keyed,
    /// Of addresses within a swarm.
    pub peer: Keyed,
    /// Of peer id and `key`: fingerprints of clients.
    pub twin: Keyed,
    /// Of lots that decide who may know whom: the same after a restart, and on every node of one tracker.
    pub lottery: Keyed,
}

/// Where a swarm is: its info hash, hashed once for shard and bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u64);

impl Keys {
    /// The place of a torrent's swarm.
    pub fn place(&self, info_hash: &InfoHash) -> Place {
        Place::of(&self.swarm, info_hash)
    }
}

impl Place {
    /// As [`Keys::place`] computes it with its key of swarms.
    pub fn of(keyed: &Keyed, info_hash: &InfoHash) -> Self {
        Self(keyed.hash(&info_hash.0))
    }

    /// A number that tells it from others, as long as the keys stay the same.
    pub fn number(self) -> u64 {
        self.0
    }

    /// Number of the shard. Middle bits: the index takes its bucket from the low ones and its tag from the
    /// high ones.
    pub fn shard(self) -> usize {
        usize::try_from((self.0 >> 40) % SHARDS as u64).unwrap_or_default()
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
    blocks: Blocks,
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
    /// What the record says for the policies: of a leecher its tier, of a seeder under `rbs` the tier below which callers
    /// are rationed.
    pub grade: u8,
    /// Interned client.
    pub client: u16,
    /// What it says, if that is kept, and its client is counted as this record.
    pub reported: Option<Reported>,
}

impl Shard {
    /// An empty shard.
    pub fn new(keys: Keys) -> Self {
        Self {
            keys,
            swarms: Vec::new(),
            blocks: Blocks::default(),
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
        self.index.find(place.0, |at| self.swarms[at].info_hash == *info_hash)
    }

    /// Says where its slots are now: [`Hint::prefetch`] with [`Place::number`] is the first of the steps that fetch from
    /// memory what an announce will touch.
    pub fn show(&self, hint: &Hint) {
        self.index.show(hint);
    }

    /// The second step after [`Hint::prefetch`]: the swarm. Answers its position; it may soon be out of date, and then
    /// the steps that follow do no harm.
    pub fn prefetch_swarm(&self, place: Place) -> Option<usize> {
        let at = self.index.guess(place.0)?;
        // It begins anywhere in a line.
        prefetch::lines(&raw const self.swarms[at], 2);
        Some(at)
    }

    /// The third step: its peers if they are few, else what leads to them. Answers, like the next one, whether there is
    /// more to do.
    pub fn prefetch_peers(&self, at: usize, caller: &Endpoint) -> bool {
        at < self.swarms.len() && self.swarm(at).prefetch_peers(caller)
    }

    /// The fourth step: where the caller's record is to be found among many.
    pub fn prefetch_slot(&self, at: usize, caller: &Endpoint) -> bool {
        at < self.swarms.len() && self.swarm(at).prefetch_slot(caller)
    }

    /// The last step: that record.
    pub fn prefetch_record(&self, at: usize, caller: &Endpoint) -> bool {
        if at < self.swarms.len() {
            self.swarm(at).prefetch_record(caller);
        }
        false
    }

    pub(crate) fn swarm(&self, at: usize) -> View<'_> {
        View { swarm: &self.swarms[at], blocks: &self.blocks, keyed: &self.keys.peer }
    }

    pub(crate) fn create(&mut self, place: Place, info_hash: InfoHash, now: Stamp) -> usize {
        let at = self.swarms.len();
        if at == self.swarms.capacity() {
            // Growth by an eighth, not by doubling: all shards are about as full, and there are many.
            self.swarms.reserve_exact(4.max(at / 8));
        }
        self.swarms.push(Swarm::new(info_hash, now));
        let Self { swarms, index, keys, .. } = self;
        if index.is_full() {
            index.grow(|at| keys.place(&swarms[at].info_hash).0);
        }
        index.insert(place.0, at);
        self.totals.swarms += 1;
        at
    }

    /// Notes another announce of a peer whose record is at `own`.
    pub(crate) fn refresh(&mut self, at: usize, own: Spot, entry: &Entry, now: Stamp) -> Moved {
        // Most change no count.
        let touched = self.edit(at).touch(own, entry, now);
        touched.unwrap_or_else(|| self.change(at, |edit| edit.refresh(own, entry, now)))
    }

    /// Changes a swarm and keeps the totals true.
    pub(crate) fn change<R>(&mut self, at: usize, change: impl FnOnce(&mut Edit<'_>) -> R) -> R {
        let before = Totals::of(&self.swarms[at]);
        let result = change(&mut self.edit(at));
        self.blocks.tell_moved(&mut self.swarms);
        self.totals.shift(&before, &Totals::of(&self.swarms[at]));
        result
    }

    fn edit(&mut self, at: usize) -> Edit<'_> {
        let Self { swarms, blocks, keys, .. } = self;
        let number = u32::try_from(at).unwrap_or(u32::MAX);
        Edit { swarm: &mut swarms[at], blocks, keyed: &keys.peer, number }
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
                let state = view.state(spot);
                let reported = view.report(spot).filter(|_| state.is_counted()).map(Report::told);
                let (is_seeder, grade) = (state.kind() == Kind::Seeder, state.grade());
                show(Seen { key, is_seeder, grade, client, reported });
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
        let Self { swarms, blocks, index, keys, totals, .. } = self;
        let hash_of = |at: usize| keys.place(&swarms[at].info_hash).0;
        index.remove(hash_of(at), at, hash_of);
        if at != last {
            index.relocate(hash_of(last), last, at);
        }
        totals.shift(&Totals::of(&swarms[at]), &Totals::default());
        totals.swarms -= 1;
        let number = u32::try_from(at).unwrap_or(u32::MAX);
        blocks.free(&swarms[at], number);
        blocks.tell_moved(swarms);
        if at != last {
            blocks.rename(&swarms[last], number);
        }
        swarms.swap_remove(at);
        if swarms.len() < swarms.capacity() / 4 {
            swarms.shrink_to(swarms.len() * 2);
        }
        if index.is_sparse() {
            index.shrink(|at| keys.place(&swarms[at].info_hash).0);
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
    let is_expired = |state: State| state.stamp().is_older_than(ttl_secs, now);
    loop {
        let len = edit.swarm.len();
        let end = len.min(record + budget.saturating_sub(looked));
        let Some(found) = edit.view().position(record..end, is_expired) else {
            let rest = (end < len).then_some(end);
            return (rest, looked + end.saturating_sub(record), expired);
        };
        looked += found - record + 1 + REMOVED_COSTS;
        expired += 1;
        // Another record is in its place now.
        record = found;
        let gone = edit.remove(edit.view().spot(record));
        addresses.remove(&gone);
        edit.swarm.empty_since = now;
    }
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
