//! Honest clients, and what they have really moved.
//!
//! A client counts bytes while it runs, on one torrent, and announces over two families. Each family's announces come in
//! their order; those of different families overtake each other by up to an interval; any may be lost or come twice. A
//! client stops and resumes with its counters or from zero, crashes, and changes its address; the tracker is restarted
//! and loses what was not stored. None of that may ever book a byte or a second that was not.

use evenkeel_core::Time;
use evenkeel_wire::{Announce, Endpoint, Event, Key};

use super::{Books, Store, sequences};
use crate::rig;

/// A client of user 1 on torrent 1.
struct Client {
    key: u32,
    is_running: bool,
    uploaded: u64,
    downloaded: u64,
    left: u64,
    /// Not yet delivered, of each family, with when they were sent.
    under_way: [Vec<(i64, Announce)>; 2],
    address: u8,
}

struct World {
    books: Books,
    rng: fastrand::Rng,
    clients: Vec<Client>,
    stored: Store,
    uploaded: u64,
    downloaded: u64,
    began: i64,
    may_lose: bool,
    seed: u64,
}

const SIZE: u64 = 1 << 33;

impl World {
    fn new(seed: u64, may_lose: bool) -> Self {
        let clients = (1..=2).map(|key| Client {
            key,
            is_running: false,
            uploaded: 0,
            downloaded: 0,
            left: SIZE,
            under_way: [Vec::new(), Vec::new()],
            address: 1,
        });
        Self {
            books: Books::new(),
            rng: fastrand::Rng::with_seed(seed),
            clients: clients.collect(),
            stored: Store::default(),
            uploaded: 0,
            downloaded: 0,
            began: 1_000_000,
            may_lose,
            seed,
        }
    }

    fn step(&mut self) {
        let at = self.rng.usize(..self.clients.len());
        match self.rng.u8(..24) {
            0..6 => self.pass(at),
            6..14 => self.send(at, Event::Update),
            14..18 => self.deliver_some(at),
            18 => self.start(at),
            19 => self.stop(at),
            20 if self.may_lose => self.crash(at),
            21 => self.clients[at].address += 1,
            23 if self.may_lose => self.restart(),
            _ => {}
        }
    }

    /// Time passes, and bytes with it.
    fn pass(&mut self, at: usize) {
        let secs = self.rng.choice([1, 60, 600, 900]).unwrap();
        let client = &mut self.clients[at];
        if client.is_running {
            let (up, down) = (self.rng.u64(..1 << 30), self.rng.u64(..1 << 30).min(client.left));
            client.uploaded += up;
            client.downloaded += down;
            client.left -= down;
            self.uploaded += up;
            self.downloaded += down;
        }
        // Bookings are stored within a second.
        self.stored = self.books.store.clone();
        self.books.now = Time(self.books.now.0 + secs);
        self.deliver_overdue();
    }

    /// Nothing is late by an interval.
    fn deliver_overdue(&mut self) {
        for at in 0..self.clients.len() {
            for family in 0..2 {
                let is_overdue = |world: &Self| {
                    let first = world.clients[at].under_way[family].first();
                    first.is_some_and(|(sent, _)| world.books.wall() - sent > 600)
                };
                while is_overdue(self) {
                    self.deliver(at, family);
                }
            }
        }
    }

    fn send(&mut self, at: usize, event: Event) {
        let client = &mut self.clients[at];
        if !client.is_running {
            return;
        }
        let ask = Announce {
            uploaded: client.uploaded,
            downloaded: client.downloaded,
            left: Some(client.left),
            event,
            key: Key::from_number(client.key),
            ..rig::ask(1, [7; 20])
        };
        for under_way in &mut client.under_way {
            under_way.push((self.books.wall(), ask.clone()));
        }
        let first = self.rng.usize(..2);
        if !self.may_lose {
            self.deliver(at, first);
            self.deliver(at, 1 - first);
        } else if self.rng.bool() {
            self.deliver(at, first);
        }
    }

    fn deliver_some(&mut self, at: usize) {
        let family = self.rng.usize(..2);
        self.deliver(at, family);
    }

    fn deliver(&mut self, at: usize, family: usize) {
        let client = &mut self.clients[at];
        if client.under_way[family].is_empty() {
            return;
        }
        let (_, ask) = client.under_way[family].remove(0);
        // Clients say that they start until they are answered.
        if self.may_lose && ask.event != Event::Started && self.rng.u8(..8) == 0 {
            return;
        }
        let address = client.address;
        let source = if family == 0 {
            Endpoint::V4([8, 8, 8, address, 1, 1])
        } else {
            let mut bytes = [8; 18];
            bytes[15] = address;
            Endpoint::V6(bytes)
        };
        let times = if self.rng.u8(..4) == 0 { 3 } else { 1 };
        for _ in 0..times {
            self.books.settle(1, 1, &source, &ask);
        }
        self.check();
    }

    fn start(&mut self, at: usize) {
        let client = &mut self.clients[at];
        if client.is_running {
            return;
        }
        // Some count from zero whenever they start, some go on.
        if self.rng.bool() {
            (client.uploaded, client.downloaded) = (0, 0);
        }
        client.is_running = true;
        self.send(at, Event::Started);
    }

    fn stop(&mut self, at: usize) {
        self.send(at, Event::Stopped);
        // Where it was not heard to start it asks no more, nor says that it stops.
        for under_way in &mut self.clients[at].under_way {
            if under_way.iter().any(|(_, ask)| ask.event == Event::Started) {
                under_way.clear();
            }
        }
        self.clients[at].is_running = false;
    }

    /// Ends without a word, and nothing that it sent outlives it.
    fn crash(&mut self, at: usize) {
        let client = &mut self.clients[at];
        client.is_running = false;
        client.under_way = [Vec::new(), Vec::new()];
    }

    fn restart(&mut self) {
        if self.rng.bool() {
            self.stored = self.books.store.clone();
        }
        let store = self.stored.clone();
        let down_secs = self.rng.choice([0, 5, 100]).unwrap();
        self.books.restart(store, down_secs);
        self.deliver_overdue();
    }

    fn check(&self) {
        let (sums, seed) = (self.books.sums(1, 1), self.seed);
        assert!(sums.uploaded <= self.uploaded, "sequence {seed}: {} of {}", sums.uploaded, self.uploaded);
        assert!(
            sums.downloaded <= self.downloaded,
            "sequence {seed}: {} of {}",
            sums.downloaded,
            self.downloaded
        );
        // Of a client that crashed nobody knows when. But no second counts twice.
        let passed = u64::try_from(self.books.wall() - self.began).unwrap();
        assert!(
            sums.seeded_secs <= passed && sums.leeched_secs <= passed,
            "sequence {seed}: {sums:?} in {passed}"
        );
    }
}

/// Whoever is heard at once, over either family first, loses nothing, however often it stops and begins anew.
#[test]
fn all_is_booked_that_was_moved_and_heard() {
    for seed in 0..sequences() {
        let mut world = World::new(seed, false);
        (0..100).for_each(|_| world.step());
        for at in 0..world.clients.len() {
            world.stop(at);
        }
        let sums = world.books.sums(1, 1);
        assert_eq!((sums.uploaded, sums.downloaded), (world.uploaded, world.downloaded), "sequence {seed}");
    }
}

#[test]
fn nothing_is_booked_that_was_not_moved() {
    for seed in 0..sequences() {
        let mut world = World::new(seed, true);
        (0..100).for_each(|_| world.step());
    }
}
