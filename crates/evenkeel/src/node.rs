//! One running tracker: the swarm store and everything that an announce needs besides itself.
//!
//! Listeners bring a decoded request here and take an answer away; no rule lives in them, and no socket here.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use evenkeel_core::account::{self, Account};
use evenkeel_core::analyst::Observation;
use evenkeel_core::connection::{ConnectionIds, Epoch};
use evenkeel_core::experiment::Arm;
use evenkeel_core::relay::OfferKey;
use evenkeel_core::rules::standing::StandingRules;
use evenkeel_core::{
    AddressTable, Caller, Cursor, Cx, Handout, Hint, Keyed, KeyedCaller, Keys, Moved, Outcome, PeerKey,
    Place, Reason, Rules, SHARDS, Scratch, Seen, Shard, Tier, Time, Totals, Uplinks,
};
use evenkeel_wire::{Announce, Failure, InfoHash, OfferId, PeerId, Reply, Stats, Warning};

use crate::access::{Access, Asker, Found};
use crate::analyst::{Earned, Noted, Ring};
use crate::books::Books;
use crate::classes::{Classes, Known};
use crate::client_table::ClientTable;
use crate::counters::{Counters, Dialect, add};
use crate::journal::Trouble;
use crate::store::{Hash32, Whose};

mod ahead;
#[cfg(test)]
mod tests;

pub(crate) use ahead::Ahead;

/// The tracker, shared by all threads.
pub(crate) struct Node {
    slots: Box<[Slot]>,
    keys: Keys,
    addresses: AddressTable,
    uplinks: Uplinks,
    connection_ids: ConnectionIds,
    orders: ArcSwap<Orders>,
    /// Who may announce what; `None` when everybody may everything.
    access: Option<Access>,
    /// What identities earn, if they earn anything.
    earned: Option<Arc<Earned>>,
    /// Software of the peers.
    pub clients: ClientTable,
    counters: Mutex<Vec<Arc<Counters>>>,
    started: Instant,
    /// Wall clock at the start, in seconds since 1970: connection ids outlive a restart.
    started_secs: u64,
    is_full: AtomicBool,
    /// Requests that panicked.
    pub panics: AtomicU64,
    /// Longest time that anything held a shard, in nanoseconds; see [`Node::record`] for what is not timed.
    pub longest_hold_nanos: AtomicU64,
    /// Times that something held one for longer than [`LONG_HOLD_NANOS`].
    pub long_holds: AtomicU64,
    /// Peers forgotten because they fell silent.
    pub expired: AtomicU64,
}

/// No announce and no slice shall hold a shard for longer.
const LONG_HOLD_NANOS: u64 = 1_000_000;

/// A shard, and what it holds: written under its lock, read without.
#[repr(align(128))]
struct Slot {
    shard: Mutex<Shard>,
    totals: [AtomicU32; 7],
    /// Where its slots are.
    hint: Hint,
}

/// Who announces.
#[derive(Clone, Copy)]
pub(crate) struct Announcer<'a> {
    /// The peer.
    pub key: PeerKey,
    /// Where its swarm is.
    pub place: Place,
    /// The hash of what its URL carries.
    pub secret: Option<Hash32>,
    /// What of that is known, if it was looked up already.
    pub found: Option<&'a Found>,
}

/// Who announces, as far as that is known.
struct Party<'a> {
    key: PeerKey,
    place: Place,
    known: Known,
    /// Whose standing it adds to, if that outlives the program.
    whose: Option<Whose>,
    /// How large the catalogue says the torrent is; 0 if it does not.
    size_bytes: u64,
    booked: Option<Booked<'a>>,
}

impl Party<'_> {
    /// Somebody.
    fn of(key: PeerKey, place: Place) -> Self {
        Self { key, place, known: Known::default(), whose: None, size_bytes: 0, booked: None }
    }
}

/// Whom an announce is booked to, in which books, and when, in seconds since 1970.
#[derive(Clone, Copy)]
struct Booked<'a> {
    books: &'a Books,
    account: Account,
    at_secs: i64,
}

/// What a thread that answers requests owns.
pub(crate) struct Worker {
    rng: fastrand::Rng,
    scratch: Box<Scratch>,
    /// Where it tells what announces say, if anybody earns anything.
    ring: Option<Ring>,
    /// What became of its requests.
    pub counters: Arc<Counters>,
}

/// What the operator has set, as announces need it.
#[derive(Default)]
pub(crate) struct Orders {
    /// What the core decides by.
    pub rules: Rules,
    /// Who callers are.
    pub classes: Classes,
    /// How it is added up what they earn.
    pub standing: StandingRules,
    /// Seconds after which that is written to the database again.
    pub keep_standing_secs: u32,
    /// Whether the threshold of busy uplinks follows what was measured.
    pub protects_mean: bool,
}

/// Secrets that the state directory keeps or the system gives.
pub(crate) struct Secrets {
    /// Of UDP connection ids.
    pub connection_ids: [u8; 16],
    /// Of the lots that decide who may know whom.
    pub lottery: [u64; 2],
    /// Of the store's hashes.
    pub hashes: [[u64; 2]; 4],
}

/// Those of tests.
#[cfg(test)]
pub(crate) const SECRETS: Secrets = Secrets { connection_ids: [1; 16], lottery: [1, 2], hashes: [[1, 2]; 4] };

impl Node {
    /// An empty tracker.
    pub(crate) fn new(orders: Orders, secrets: &Secrets) -> Self {
        let [swarm, peer, twin, addresses] = secrets.hashes.map(Keyed::new);
        let keys = Keys { swarm, peer, twin, lottery: Keyed::new(secrets.lottery) };
        let slot = |_| Slot {
            shard: Mutex::new(Shard::new(keys)),
            totals: Default::default(),
            hint: Hint::default(),
        };
        Self {
            slots: (0..SHARDS).map(slot).collect(),
            keys,
            addresses: AddressTable::new(addresses),
            uplinks: Uplinks::default(),
            connection_ids: ConnectionIds::new(&secrets.connection_ids),
            orders: ArcSwap::from_pointee(orders),
            access: None,
            earned: None,
            clients: ClientTable::default(),
            counters: Mutex::default(),
            started: Instant::now(),
            started_secs: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            is_full: AtomicBool::new(false),
            panics: AtomicU64::new(0),
            longest_hold_nanos: AtomicU64::new(0),
            long_holds: AtomicU64::new(0),
            expired: AtomicU64::new(0),
        }
    }

    /// The same tracker, with a rule about who may announce what.
    pub(crate) fn guarded(self, access: Access) -> Self {
        Self { access: Some(access), ..self }
    }

    /// The same tracker, whose callers earn something.
    pub(crate) fn earning(self, earned: Arc<Earned>) -> Self {
        Self { earned: Some(earned), ..self }
    }

    /// What identities earn, if they earn anything.
    pub(crate) fn earned(&self) -> Option<&Earned> {
        self.earned.as_deref()
    }

    /// What is known of uplinks.
    pub(crate) fn uplinks(&self) -> &Uplinks {
        &self.uplinks
    }

    /// What a new thread that answers `dialect` needs.
    pub(crate) fn worker(&self, dialect: Dialect, seed: u64) -> Worker {
        let counters = Arc::new(Counters::new(dialect));
        lock(&self.counters).push(Arc::clone(&counters));
        let ring = self.earned().map(Earned::ring);
        Worker { rng: fastrand::Rng::with_seed(seed), scratch: Box::default(), ring, counters }
    }

    /// What is in force now.
    pub(crate) fn orders(&self) -> Arc<Orders> {
        self.orders.load_full()
    }

    /// Puts new orders in force, for every announce from now on.
    pub(crate) fn set_orders(&self, orders: Orders) {
        self.orders.store(Arc::new(orders));
    }

    /// Counters of every thread.
    pub(crate) fn counters(&self) -> Vec<Arc<Counters>> {
        lock(&self.counters).clone()
    }

    /// Time since the start.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Answers an announce of a peer whose address or socket is proven, if it is admitted. Peers go to `out`.
    pub(crate) fn announce(
        &self,
        worker: &mut Worker,
        caller: Announcer<'_>,
        ask: &Announce,
        out: &mut Handout<'_>,
    ) -> Result<Reply, Failure> {
        let Announcer { key, place, secret, found } = caller;
        let Some(access) = &self.access else { return self.record(worker, &Party::of(key, place), ask, out) };
        let asker = Asker { source: key.source().ip(), secret };
        let alone;
        let found = match found {
            Some(found) => found,
            None => {
                alone = access.find(secret.as_ref(), (&ask.info_hash, place), self.wall_secs());
                if let Some(whose) = alone.whose() {
                    access.books().ledger.prefetch_slots(whose);
                }
                &alone
            }
        };
        let at_secs = found.at_secs;
        let admitted = access.admit(&asker, (ask, place), found).inspect_err(|failure| {
            worker.counters.count(Reason::Failed(*failure));
        })?;
        let account = access.account(&admitted, at_secs);
        let booked = account.map(|account| Booked { books: access.books(), account, at_secs });
        let (known, whose) = (admitted.known(), admitted.whose());
        let size_bytes = admitted.item.map_or(0, |item| item.size_bytes);
        let party = Party { known, whose, size_bytes, booked, ..Party::of(key, place) };
        let mut reply = self.record(worker, &party, ask, out)?;
        if admitted.is_outdated {
            reply.warning = reply.warning.or(Some(Warning::OutdatedPasskey));
        }
        access.books().note(&admitted, &reply.stats, at_secs);
        Ok(reply)
    }

    /// A peer whose socket has ended leaves, whoever it was.
    pub(crate) fn leave(&self, worker: &mut Worker, key: PeerKey, ask: &Announce) {
        let place = self.place(&ask.info_hash);
        // A failure has been counted, and nobody is there to be told.
        self.record(worker, &Party::of(key, place), ask, &mut Handout::new(&mut [], &mut [])).ok();
    }

    /// Whether URLs may carry secrets that mean something.
    pub(crate) fn asks_for_secrets(&self) -> bool {
        self.access.as_ref().is_some_and(Access::asks_for_secrets)
    }

    /// Whether all is loaded that announces need.
    pub(crate) fn is_ready(&self) -> bool {
        self.access.as_ref().is_none_or(Access::is_ready)
    }

    /// What is wrong with the books.
    pub(crate) fn troubles(&self) -> Vec<Trouble> {
        self.access.as_ref().map(|access| access.books().troubles()).unwrap_or_default()
    }

    /// Who may announce what, if anybody is asked.
    pub(crate) fn access(&self) -> Option<&Access> {
        self.access.as_ref()
    }

    /// Whether somebody may scrape; one who may not is counted.
    pub(crate) fn admit_scrape(&self, worker: &Worker, asker: &Asker) -> Result<(), Failure> {
        let Some(access) = &self.access else { return Ok(()) };
        let admitted = access.admit_scrape(asker, self.wall_secs());
        admitted.inspect_err(|failure| worker.counters.count(Reason::Failed(*failure)))
    }

    /// The same over UDP, which carries no secret.
    pub(crate) fn admit_udp_scrape(&self, worker: &Worker) -> Result<(), Failure> {
        let Some(access) = &self.access else { return Ok(()) };
        access.admit_udp_scrape().inspect_err(|failure| worker.counters.count(Reason::Failed(*failure)))
    }

    /// Whose standing somebody may look at; `None` where nobody has one who shows a secret.
    pub(crate) fn admit_look(&self, asker: &Asker) -> Option<Result<Known, Failure>> {
        let access = self.access.as_ref().filter(|access| access.asks_for_secrets())?;
        self.earned()?;
        Some(access.admit_look(asker, self.wall_secs()))
    }

    /// Has the core answer.
    ///
    /// How long it held the shard is noted for new peers and those that leave. Others make nothing grow, and to read the
    /// clock for them a second time would cost a tenth of the announce. Known weakness: a client that takes over another
    /// one's endpoint may let a column shrink, and is not noted.
    fn record(
        &self,
        worker: &mut Worker,
        party: &Party<'_>,
        ask: &Announce,
        out: &mut Handout<'_>,
    ) -> Result<Reply, Failure> {
        let Party { key, place, ref known, booked, .. } = *party;
        let turn = booked.as_ref().map(|booked| booked.books.turn(booked.account.torrent));
        let client = self.clients.intern(&ask.peer_id);
        let orders = self.orders.load();
        let Orders { rules, classes, .. } = &**orders;
        let identity = classes.identity(&key, known, (&self.keys.lottery, self.earned()));
        let caller = Caller { key, client, place, identity };
        let slot = &self.slots[caller.place.shard()];
        let mut shard = lock(&slot.shard);
        let (began, recorded) = (Instant::now(), shard.recorded());
        let mut observed = None;
        let mut cx = Cx {
            now: self.time_at(began),
            rng: &mut worker.rng,
            rules,
            addresses: &self.addresses,
            uplinks: &self.uplinks,
            store_is_full: self.is_full.load(Ordering::Relaxed),
            scratch: &mut worker.scratch,
            observed: worker.ring.is_some().then_some(&mut observed),
        };
        let announced = self.catch(|| match booked {
            None => (shard.announce(&mut cx, &caller, ask, out), None),
            Some(Booked { books: Books { ledger, .. }, account, .. }) => {
                shard.announce_keyed(&mut cx, &KeyedCaller { caller, account, ledger }, ask, out)
            }
        });
        let (outcome, booking) =
            announced.unwrap_or_else(|| (self.recover(&mut shard, &ask.info_hash, booked), None));
        slot.publish(&shard);
        let has_grown = shard.recorded() != recorded;
        drop(shard);
        if let (Some(Booked { books, at_secs, .. }), Some(booking)) = (booked, booking) {
            books.book(&booking, at_secs);
        }
        drop(turn);
        if has_grown || !matches!(outcome.reason, Reason::Announced | Reason::AnnouncedRationed) {
            self.note_hold(began);
        }
        worker.counters.count(outcome.reason);
        if let Some(observation) = observed {
            let arm = rules.arm_of(&ask.info_hash, &self.keys.lottery);
            self.tell(worker, observation, (party, arm.map(|arm| (arm, identity.tier))));
        }
        if outcome.moved != Moved::default() {
            add(&worker.counters.uploaded_bytes, outcome.moved.uploaded);
            add(&worker.counters.downloaded_bytes, outcome.moved.downloaded);
        }
        outcome.answer
    }

    /// Tells what an announce said to whoever adds up what identities earn.
    fn tell(
        &self,
        worker: &mut Worker,
        observation: Observation,
        (party, arm): (&Party<'_>, Option<(Arm, Tier)>),
    ) {
        let noted = Noted { observation, whose: party.whose, size_bytes: party.size_bytes, arm };
        if let (Some(earned), Some(ring)) = (self.earned(), &mut worker.ring)
            && !earned.tell(ring, noted)
        {
            add(&worker.counters.observations_dropped, 1);
        }
    }

    /// Counts of every swarm with peers, if there are at most `max` of them.
    pub(crate) fn scrape_all(&self, max: u32) -> Option<Vec<(InfoHash, Stats)>> {
        if self.totals().active_swarms > max {
            return None;
        }
        let mut files = Vec::new();
        for slot in &self.slots {
            let shard = lock(&slot.shard);
            let began = Instant::now();
            files.extend(shard.scrape_all());
            drop(shard);
            self.note_hold(began);
        }
        files.sort_unstable_by_key(|(info_hash, _)| *info_hash);
        Some(files)
    }

    /// What an offer of a WebTorrent peer is remembered by.
    pub(crate) fn offer_key(&self, info_hash: &InfoHash, peer_id: &PeerId, offer_id: &OfferId) -> OfferKey {
        OfferKey::new(&self.keys.twin, info_hash, peer_id, offer_id)
    }

    /// Where a torrent's swarm is, or would be.
    pub(crate) fn place(&self, info_hash: &InfoHash) -> Place {
        self.keys.place(info_hash)
    }

    /// Counts of one swarm. The caller counts the request, which may name many.
    pub(crate) fn scrape(&self, info_hash: &InfoHash) -> Stats {
        lock(&self.slots[self.keys.place(info_hash).shard()].shard).scrape(info_hash)
    }

    /// A connection id for `source`.
    pub(crate) fn issue_connection_id(&self, source: IpAddr) -> u64 {
        self.connection_ids.issue(self.epoch(), source)
    }

    /// Whether `id` was issued to `source` not long ago.
    pub(crate) fn verify_connection_id(&self, id: u64, epoch: Epoch, source: IpAddr) -> bool {
        self.connection_ids.verify(id, epoch, source)
    }

    /// What the store holds, without taking a lock.
    pub(crate) fn totals(&self) -> Totals {
        let mut sum = Totals::default();
        for slot in &self.slots {
            let [swarms, active, v4, v6, web, seeders, leechers] =
                slot.totals.each_ref().map(|total| total.load(Ordering::Relaxed));
            sum.swarms += swarms;
            sum.active_swarms += active;
            sum.v4_peers += v4;
            sum.v6_peers += v6;
            sum.web_peers += web;
            sum.seeders += seeders;
            sum.leechers += leechers;
        }
        sum
    }

    /// Forgets silent peers of one shard, a slice at a time: announces get in between.
    pub(crate) fn sweep_shard(&self, shard: usize) {
        /// About 20 ns for each record: a slice is over long before a millisecond.
        const SLICE: usize = 2048;
        let orders = self.orders.load();
        let slot = &self.slots[shard % SHARDS];
        loop {
            let mut shard = lock(&slot.shard);
            let began = Instant::now();
            let swept = shard.sweep(self.time_at(began), &orders.rules, &self.addresses, SLICE);
            slot.publish(&shard);
            drop(shard);
            self.note_hold(began);
            self.expired.fetch_add(u64::from(swept.expired), Ordering::Relaxed);
            if swept.finished {
                break;
            }
            // Whoever answers on the same core may have been interrupted with a shard in hand.
            std::thread::yield_now();
        }
        if let Some(access) = &self.access {
            let ledger = &access.books().ledger;
            while !ledger.sweep(shard % account::PARTS, self.now(), &orders.rules, SLICE) {}
        }
    }

    /// Looks whether the store holds as much as it may.
    pub(crate) fn renew_fullness(&self) {
        let (totals, orders) = (self.totals(), self.orders.load());
        let rules = &orders.rules;
        let is_full = totals.swarms >= rules.swarms_max || totals.peers() >= u64::from(rules.peers_max);
        self.is_full.store(is_full, Ordering::Relaxed);
    }

    /// Whether new torrents are refused.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// Shows every record, locking one shard at a time for a slice.
    pub(crate) fn visit(&self, mut show: impl FnMut(Seen)) {
        const SLICE: usize = 4096;
        for slot in &self.slots {
            let mut cursor = Some(Cursor::default());
            while let Some(at) = cursor {
                let shard = lock(&slot.shard);
                let began = Instant::now();
                cursor = shard.visit(at, SLICE, &mut show);
                drop(shard);
                self.note_hold(began);
            }
        }
    }

    /// Runs what a stranger's request leads to. A panic in it is counted, and ends nothing but that request; the
    /// log has a line of it (`log::quieten_panics`).
    pub(crate) fn catch<T>(&self, run: impl FnOnce() -> T) -> Option<T> {
        let result = catch_unwind(AssertUnwindSafe(run));
        self.panics.fetch_add(u64::from(result.is_err()), Ordering::Relaxed);
        result.ok()
    }

    /// After a panic: the swarm's state is in doubt, so it goes; the next announces build it again. The sessions of its
    /// torrent begin anew: they book less than they could, and nothing twice.
    fn recover(&self, shard: &mut Shard, info_hash: &InfoHash, booked: Option<Booked<'_>>) -> Outcome {
        if let Some(Booked { books, account, .. }) = booked {
            books.ledger.forget(account.torrent);
        }
        if self.catch(|| shard.drop_swarm(info_hash, &self.addresses)).is_none() {
            *shard = Shard::new(self.keys);
        }
        Outcome::failed(Failure::Internal)
    }

    /// A shard was held from `began` until now.
    fn note_hold(&self, began: Instant) {
        let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // It hardly ever grows: all threads read it, and none waits for another.
        if nanos > self.longest_hold_nanos.load(Ordering::Relaxed) {
            self.longest_hold_nanos.fetch_max(nanos, Ordering::Relaxed);
        }
        if nanos > LONG_HOLD_NANOS {
            self.long_holds.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Seconds since the start.
    pub(crate) fn now(&self) -> Time {
        self.time_at(Instant::now())
    }

    /// The same of another moment.
    pub(crate) fn time_at(&self, instant: Instant) -> Time {
        Time(u32::try_from(instant.duration_since(self.started).as_secs()).unwrap_or(u32::MAX))
    }

    /// What connection ids are told apart by, now.
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch::at(self.started_secs + self.started.elapsed().as_secs())
    }

    /// Seconds since 1970, as the wall clock said at the start: one that is set meanwhile ends nothing early.
    pub(crate) fn wall_secs(&self) -> i64 {
        i64::try_from(self.started_secs + self.started.elapsed().as_secs()).unwrap_or(i64::MAX)
    }
}

impl Slot {
    fn publish(&self, shard: &Shard) {
        shard.show(&self.hint);
        let totals = shard.totals();
        let values = [
            totals.swarms,
            totals.active_swarms,
            totals.v4_peers,
            totals.v6_peers,
            totals.web_peers,
            totals.seeders,
            totals.leechers,
        ];
        // Most announces change none of them: then the line stays in the caches of all cores.
        for (total, value) in self.totals.iter().zip(values) {
            if total.load(Ordering::Relaxed) != value {
                total.store(value, Ordering::Relaxed);
            }
        }
    }
}

/// Locks; a panic under a lock is caught before it can poison it, and everything behind one stays sound.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
