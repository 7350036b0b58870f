//! The naive ledger: a list of all that every client has said, and the rules by their letter.

use std::collections::BTreeMap;

use evenkeel_core::account::{BASELINE_SECS, SessionId, kept_secs};
use evenkeel_core::{Rules, Time};
use evenkeel_wire::{Announce, Endpoint, Event, Key};

use super::{Books, Store, sequences};
use crate::rig;

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Seeds,
    Downloads,
    Neither,
}

/// How an announce fits to those before.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fit {
    Moved(u64, u64),
    Overtaken,
    Unclear,
}

/// A client of a user on a torrent.
#[derive(Clone, Debug)]
struct Client {
    id: u64,
    /// All that it said in this run and that was believed, with when.
    believed: Vec<(i64, u64, u64)>,
    /// All that it said since and that is lower.
    lower: Vec<(u64, u64)>,
    /// The families of all its announces in this run.
    families: Vec<bool>,
    led_by_v4: bool,
    led_by_stop: bool,
    run_began: i64,
    has_run_before: bool,
    last: i64,
    what: What,
    left: Option<u64>,
    is_stopped: bool,
    is_certain: bool,
    is_listed: bool,
    has_completed: bool,
    /// What the store knows besides: whether the torrent is a snatch, and when that was.
    stored: (bool, i64),
}

/// A user on a torrent.
#[derive(Clone, Default, Debug)]
struct Pair {
    clients: Vec<Client>,
    /// Times that were seeded and downloaded, as they were found.
    times: [Vec<(i64, i64)>; 2],
    is_snatched: bool,
}

/// What an announce adds.
#[derive(Debug, PartialEq, Default)]
struct Expected {
    moved: (u64, u64),
    secs: [i64; 2],
    is_snatch: bool,
    is_listed: bool,
}

type Ledger = BTreeMap<(u32, u32), Pair>;

/// Seconds in at least one of the times.
fn union(times: &[(i64, i64)]) -> i64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let (mut sum, mut end) = (0, i64::MIN);
    for (from, to) in sorted {
        sum += (to - from.max(end)).max(0);
        end = end.max(to);
    }
    sum
}

fn what(ask: &Announce) -> What {
    match (ask.left, ask.event) {
        (Some(0), _) => What::Seeds,
        (_, Event::Paused) => What::Neither,
        _ => What::Downloads,
    }
}

fn ttl(rules: &Rules) -> i64 {
    rules.peer_ttl_secs().into()
}

impl Pair {
    fn forget(&mut self, now: i64, rules: &Rules) {
        self.clients.retain(|client| now - client.last <= ttl(rules) + i64::from(BASELINE_SECS));
        if self.clients.is_empty() {
            *self = Self::default();
        }
    }

    fn announce(&mut self, v4: bool, ask: &Announce, now: i64, rules: &Rules) -> Option<Expected> {
        self.forget(now, rules);
        let wall = now;
        let now = self.clients.iter().fold(now, |now, client| now.max(client.last));
        let id = SessionId::of(ask).0;
        let Some(at) = self.clients.iter().position(|client| client.id == id) else {
            return (ask.event != Event::Stopped).then(|| self.begin(v4, ask, (now, wall), rules));
        };
        let listed = self.listed(id, now, rules);
        let client = &mut self.clients[at];
        let (last, was) = (client.last, client.what);
        let was_there = !client.is_stopped && now - last <= ttl(rules);
        let was_certain = client.is_certain;
        let lacked = client.left.is_some_and(|left| left > 0);
        let completes = ask.left == Some(0) && (ask.event == Event::Completed || lacked);
        let fit = client.fit(v4, ask, completes, now, rules.interval_secs.into());
        let mut expected = Expected::default();
        let mut counts = was_there && was_certain;
        match (fit, ask.event) {
            (Fit::Moved(..), _) | (Fit::Unclear, Event::Started) => {
                (client.what, client.is_certain) = (what(ask), true);
                client.left = ask.left.filter(|left| *left != u64::MAX);
                client.is_stopped = ask.event == Event::Stopped;
                counts &= was != What::Seeds || client.what == What::Seeds;
            }
            (_, Event::Stopped) => (client.is_certain, counts) = (false, false),
            _ => {}
        }
        if let Fit::Moved(up, down) = fit {
            expected.moved = (up, down);
            client.has_completed |= completes;
            expected.is_snatch = completes && !self.is_snatched;
        }
        client.last = now;
        client.is_listed = ask.event != Event::Stopped
            && (client.is_listed && was_there || listed < rules.clients_per_user_and_torrent_max as usize);
        expected.is_listed = client.is_listed || ask.event == Event::Stopped;
        self.is_snatched |= expected.is_snatch;
        client.stored = (self.is_snatched, wall);
        let clock = match was {
            What::Seeds => 0,
            What::Downloads => 1,
            What::Neither => return Some(expected),
        };
        if counts {
            let before = union(&self.times[clock]);
            self.times[clock].push((last, now));
            expected.secs[clock] = union(&self.times[clock]) - before;
        }
        Some(expected)
    }

    fn begin(&mut self, v4: bool, ask: &Announce, (now, wall): (i64, i64), rules: &Rules) -> Expected {
        let has_completed = ask.event == Event::Completed && ask.left == Some(0);
        let is_snatch = has_completed && !self.is_snatched;
        self.is_snatched |= is_snatch;
        let id = SessionId::of(ask).0;
        let is_listed = self.listed(id, now, rules) < rules.clients_per_user_and_torrent_max as usize;
        self.clients.push(Client {
            id,
            believed: vec![(now, ask.uploaded, ask.downloaded)],
            lower: Vec::new(),
            families: vec![v4],
            led_by_v4: v4,
            led_by_stop: false,
            run_began: now,
            has_run_before: false,
            last: now,
            what: what(ask),
            left: ask.left.filter(|left| *left != u64::MAX),
            is_stopped: false,
            is_certain: true,
            is_listed,
            has_completed,
            stored: (self.is_snatched, wall),
        });
        Expected { is_snatch, is_listed, ..Expected::default() }
    }

    fn listed(&self, own: u64, now: i64, rules: &Rules) -> usize {
        let others = self.clients.iter().filter(|client| client.id != own);
        others.filter(|other| other.is_listed && !other.is_stopped && now - other.last <= ttl(rules)).count()
    }
}

impl Client {
    fn fit(&mut self, v4: bool, ask: &Announce, completes: bool, now: i64, interval: i64) -> Fit {
        let (led, up, down) = *self.believed.last().unwrap();
        let took_back = down.saturating_sub(ask.downloaded);
        let is_artefact = (self.has_completed || completes) && took_back <= down / 100;
        let (u, d) = (ask.uploaded, if is_artefact { ask.downloaded.max(down) } else { ask.downloaded });
        let had_joined = self.families.contains(&v4);
        let is_young = now - self.run_began <= interval;
        let starts = ask.event == Event::Started;
        if !had_joined && self.has_run_before && is_young && !starts {
            return Fit::Overtaken;
        }
        if starts && had_joined {
            (self.families, self.has_run_before) = (Vec::new(), true);
        }
        self.families.push(v4);
        if u >= up && d >= down {
            self.lower.clear();
            (self.led_by_v4, self.led_by_stop) = (v4, ask.event == Event::Stopped);
            self.run_began = if starts && had_joined { now } else { self.run_began };
            self.believed.push((now, u, d));
            return Fit::Moved(u - up, d - down);
        }
        let may_be_late = now - led <= interval;
        let is_ahead = self.led_by_v4 == v4 && (self.led_by_stop || !is_young);
        if starts && (!may_be_late || is_ahead) {
            self.run_anew((now, u, d), v4);
            return Fit::Moved(0, 0);
        }
        if may_be_late {
            self.lower.push((u, d));
            return if starts && !had_joined { Fit::Overtaken } else { Fit::Unclear };
        }
        let mut from = (u, d);
        if let Some(lowest) = self
            .lower
            .iter()
            .copied()
            .reduce(|low, next| if next.0 >= low.0 && next.1 >= low.1 { low } else { next })
            && u >= lowest.0
            && d >= lowest.1
        {
            from = lowest;
        }
        self.run_anew((now, u, d), v4);
        self.led_by_stop = ask.event == Event::Stopped;
        Fit::Moved(u - from.0, d - from.1)
    }

    fn run_anew(&mut self, said: (i64, u64, u64), v4: bool) {
        (self.believed, self.lower) = (vec![said], Vec::new());
        (self.families, self.led_by_v4, self.led_by_stop) = (vec![v4], v4, false);
        (self.run_began, self.has_run_before, self.has_completed) = (said.0, true, false);
    }

    fn restored(mut self, now: i64) -> Self {
        let (_, up, down) = *self.believed.last().unwrap();
        self.stored.1 = self.stored.1.min(now);
        self.last = self.stored.1;
        (self.believed, self.lower) = (vec![(self.last, up, down)], Vec::new());
        self.run_began = now;
        self.what = if self.left == Some(0) { What::Seeds } else { What::Downloads };
        (self.is_certain, self.is_listed) = (false, !self.is_stopped);
        self
    }
}

/// Books and ledger, and what both were when the store was written last.
struct Bench {
    books: Books,
    ledger: Ledger,
    stored: (Store, Ledger),
    /// What was stored before is gone from the store.
    purged: i64,
    rng: fastrand::Rng,
    said: BTreeMap<(u32, u32, u32), (u64, u64)>,
    seed: u64,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let stored = (Store::default(), Ledger::new());
        let rng = fastrand::Rng::with_seed(seed);
        Self {
            books: Books::new(),
            ledger: Ledger::new(),
            stored,
            purged: 0,
            rng,
            said: BTreeMap::new(),
            seed,
        }
    }

    fn step(&mut self) {
        match self.rng.u8(..32) {
            0..8 => self.pass(),
            8 => self.books.now = Time(self.books.now.0 + 3600),
            9 => self.turn_back(),
            10 => self.stored = (self.books.store.clone(), self.ledger.clone()),
            11 => self.restart(),
            12 => {
                let budget = self.rng.usize(..9);
                self.books.sessions.sweep(self.books.now, &self.books.rules, budget);
            }
            _ => self.announce(),
        }
    }

    fn pass(&mut self) {
        let ttl = self.books.rules.peer_ttl_secs();
        let often = [0, 1, 60, 900, 1799, 1800, 1801, ttl - 1, ttl, ttl + 1];
        let seldom = [BASELINE_SECS, ttl + BASELINE_SECS, ttl + BASELINE_SECS + 1];
        let secs = if self.rng.u8(..8) == 0 { self.rng.choice(seldom) } else { self.rng.choice(often) };
        self.books.now = Time(self.books.now.0 + secs.unwrap());
    }

    /// Nothing that is forgotten comes back when the clock does.
    fn turn_back(&mut self) {
        // The first time it goes on where it stopped.
        for _ in 0..2 {
            while !self.books.sessions.sweep(self.books.now, &self.books.rules, 100) {}
        }
        let (now, rules) = (self.books.wall(), &self.books.rules);
        self.purged = self.purged.max(now - i64::from(kept_secs(rules)));
        for (store, ledger) in
            [(&mut self.books.store, &mut self.ledger), (&mut self.stored.0, &mut self.stored.1)]
        {
            store.baselines.retain(|_, (_, last)| *last >= self.purged);
            ledger.values_mut().for_each(|pair| pair.forget(now, rules));
        }
        self.books.now = Time(self.books.now.0.saturating_sub(3600));
    }

    fn restart(&mut self) {
        if self.rng.bool() {
            self.stored = (self.books.store.clone(), self.ledger.clone());
        }
        let down_secs = self.rng.choice([0, 5, 3600, 100_000]).unwrap();
        let (store, ledger) = self.stored.clone();
        self.books.restart(store, down_secs);
        let now = self.books.wall();
        self.ledger = ledger;
        for pair in self.ledger.values_mut() {
            let clients = std::mem::take(&mut pair.clients);
            let clients = clients.into_iter().filter(|client| client.stored.1 >= self.purged);
            let clients: Vec<Client> = clients.map(|client| client.restored(now)).collect();
            *pair = Pair { clients, ..Pair::default() };
            pair.forget(now, &self.books.rules);
            pair.is_snatched = pair.clients.iter().any(|client| client.stored.0);
        }
    }

    fn announce(&mut self) {
        let (user, torrent, client) = (self.rng.u32(..2), self.rng.u32(..2), self.rng.u32(..5));
        let v4 = self.rng.bool();
        let said = self.said.entry((user, torrent, client)).or_default();
        let mut count = |before: u64| match self.rng.u8(..16) {
            0 => 0,
            1 => u64::MAX,
            2 => before - before / 100,
            3 => before - before / 3,
            4..7 => before,
            _ => before.saturating_add(1 << self.rng.u32(..40)),
        };
        *said = (count(said.0), count(said.1));
        let event =
            [Event::Started, Event::Stopped, Event::Completed, Event::Paused, Event::Update, Event::Update];
        let ask = Announce {
            uploaded: said.0,
            downloaded: said.1,
            left: self.rng.choice([None, Some(0), Some(0), Some(7), Some(u64::MAX)]).unwrap(),
            event: self.rng.choice(event).unwrap(),
            key: Key::from_number(client + 1),
            ..rig::ask(1, [7; 20])
        };
        let source = if v4 { Endpoint::V4([8, 8, 8, 8, 1, 1]) } else { Endpoint::V6([8; 18]) };
        let now = self.books.wall();
        let expected =
            self.ledger.entry((user, torrent)).or_default().announce(v4, &ask, now, &self.books.rules);
        let settled = self.books.settle(user, torrent, &source, &ask);
        let found = settled.booking.map(|booking| {
            assert_eq!((booking.credited, booking.charged), (booking.uploaded, booking.downloaded));
            Expected {
                moved: (booking.uploaded, booking.downloaded),
                secs: [booking.seeded_secs, booking.leeched_secs].map(i64::from),
                is_snatch: booking.snatched,
                is_listed: settled.is_listed,
            }
        });
        assert_eq!(found, expected, "sequence {}: {ask:?}", self.seed);
    }
}

#[test]
fn the_books_agree_with_a_naive_ledger() {
    for seed in 0..sequences() {
        let mut bench = Bench::new(seed);
        (0..60).for_each(|_| bench.step());
    }
}
