//! The journal beside a naive ledger, with everything going wrong that can; then with a real store and its threads.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;

use super::keeper::Keeper;
use super::pending::Pending;
use super::*;
use crate::store::exam::{self, Desk, populate};
use crate::store::{Batch, SessionId, Sqlite, TorrentId, UserId};

const NODE: NodeId = NodeId(5);

fn booking(key: (u8, u8, u8), amount: u64) -> Booking {
    let (user, torrent) = (UserId(key.0.into()), TorrentId(key.1.into()));
    Booking {
        add: exam::increment(user, torrent, amount),
        baseline: SessionRow {
            user,
            torrent,
            session: SessionId(key.2.into()),
            uploaded: amount,
            downloaded: amount * 2,
            left: Some(7),
            run: 3,
            seen_at: 1000,
            is_stopped: false,
        },
    }
}

/// What the keeper takes after these have come.
fn pending(bookings: &[Booking]) -> Pending {
    let mut parts: Vec<Part> = (0..PARTS).map(|_| Part::default()).collect();
    for booking in bookings {
        assert!(parts[part_of(booking.baseline.user.0)].book(booking, 1000));
    }
    Pending::of(&mut parts)
}

#[test]
fn a_part_that_is_full_takes_what_its_sessions_add_and_no_more_sessions() {
    let mut part = Part::default();
    let mut book = |session, amount| part.book(&booking((1, 1, session), amount), 3);
    for round in 0..10 {
        assert!(book(0, 1) && book(1, 2), "{round}: merging makes room");
    }
    assert!(book(2, 4));
    let taken = (3..100).filter(|session| book(*session, 1)).count();
    assert!(taken <= 4, "{taken}: lists are twice as long at most");
    assert!(book(1, 100));
    let batch = Pending::of(&mut [part]).batch();
    assert_eq!(batch.sessions.len(), 3 + taken);
    assert_eq!(batch.increments[0].uploaded, 10 + 20 + 4 + taken as u64 + 100);
    assert_eq!(batch.sessions[1].uploaded, 100, "the last baseline");
}

/// What a store does with the books, as simply as can be.
#[derive(Default)]
struct NaiveStore {
    sequence: u64,
    uploaded: HashMap<(UserId, TorrentId), u64>,
    baselines: HashMap<(UserId, TorrentId, SessionId), SessionRow>,
}

impl NaiveStore {
    fn apply(&mut self, batch: &Batch) {
        if batch.sequence == self.sequence {
            return;
        }
        assert!(self.sequence <= batch.after, "{} after {}", batch.sequence, self.sequence);
        self.sequence = batch.sequence;
        for add in &batch.increments {
            *self.uploaded.entry((add.user, add.torrent)).or_default() += add.uploaded;
        }
        for row in &batch.sessions {
            self.baselines.insert((row.user, row.torrent, row.session), *row);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Book((u8, u8, u8), u64),
    /// The keeper looks.
    Take,
    Send(Fate),
    /// The program is killed, and started again. So many bytes of a frame that was being written are there.
    Kill(usize),
    /// The file cannot be written any more; nor can another one be made in its place, if so.
    Break(bool),
    Mend,
}

/// What becomes of a batch that is sent.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Booked,
    /// It is booked, and nobody hears of it.
    Unheard,
    Lost,
}

fn step() -> impl Strategy<Value = Step> {
    let key = (0..3_u8, 0..3_u8, 0..2_u8);
    prop_oneof![
        8 => (key, 1..1000_u64).prop_map(|(key, amount)| Step::Book(key, amount)),
        4 => Just(Step::Take),
        4 => prop_oneof![Just(Fate::Booked), Just(Fate::Unheard), Just(Fate::Lost)].prop_map(Step::Send),
        1 => (0..200_usize).prop_map(Step::Kill),
        1 => any::<bool>().prop_map(Step::Break),
        1 => Just(Step::Mend),
    ]
}

/// Bookings that the keeper took together.
struct Frame {
    number: u64,
    bookings: Vec<Booking>,
    is_in_file: bool,
}

struct World {
    settings: Settings,
    keeper: Keeper,
    store: NaiveStore,
    on_its_way: Option<Arc<Batch>>,
    fresh: Vec<Booking>,
    frames: Vec<Frame>,
    number: u64,
}

impl World {
    fn new(path: PathBuf) -> Self {
        let settings = Settings { node: NODE, file: Some(path), waiting_max: 1000 };
        Self {
            keeper: Keeper::open(&settings, 0).unwrap(),
            settings,
            store: NaiveStore::default(),
            on_its_way: None,
            fresh: Vec::new(),
            frames: Vec::new(),
            number: 0,
        }
    }

    fn aside(&self) -> PathBuf {
        self.settings.file.as_ref().unwrap().with_extension("new")
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Book(key, amount) => self.fresh.push(booking(*key, *amount)),
            Step::Take => self.take(),
            Step::Send(fate) => self.send(*fate),
            Step::Kill(torn) => self.kill(*torn),
            Step::Break(also_aside) => {
                self.keeper.file().break_writes();
                if *also_aside {
                    std::fs::create_dir_all(self.aside()).unwrap();
                }
            }
            Step::Mend => {
                std::fs::remove_dir(self.aside()).ok();
            }
        }
    }

    fn take(&mut self) {
        let bookings = std::mem::take(&mut self.fresh);
        let pending = pending(&bookings);
        if !bookings.is_empty() {
            self.number += 1;
            self.frames.push(Frame { number: self.number, bookings, is_in_file: false });
        }
        assert_eq!(self.keeper.take(pending, 1000).bookings, 0);
        if !self.keeper.is_unsafe() {
            self.frames.iter_mut().for_each(|frame| frame.is_in_file = true);
        }
    }

    fn send(&mut self, fate: Fate) {
        let Some(batch) = self.on_its_way.take().or_else(|| self.keeper.next_batch()) else { return };
        if !matches!(fate, Fate::Lost) {
            self.store.apply(&batch);
        }
        match fate {
            Fate::Booked => self.keeper.booked(batch.sequence),
            Fate::Unheard | Fate::Lost => self.on_its_way = Some(batch),
        }
    }

    fn kill(&mut self, torn: usize) {
        let path = self.settings.file.clone().unwrap();
        let half = Batch { node: NODE, sequence: u64::MAX, ..Batch::default() };
        let half = file::encode(&half);
        let mut held = std::fs::read(&path).unwrap();
        held.extend(&half[..torn % half.len()]);
        std::fs::write(&path, held).unwrap();
        std::fs::remove_dir(self.aside()).ok();
        self.on_its_way = None;
        self.fresh.clear();
        let booked = self.store.sequence;
        self.frames.retain(|frame| frame.is_in_file || frame.number <= booked);
        self.keeper = Keeper::open(&self.settings, booked).unwrap();
        // Numbers of frames that are lost are given again.
        self.number = self.frames.last().map_or(booked, |frame| frame.number.max(booked));
    }

    fn check(mut self) {
        std::fs::remove_dir(self.aside()).ok();
        self.take();
        self.send(Fate::Booked);
        self.send(Fate::Booked);
        assert_eq!(self.keeper.waiting(), 0);
        let mut uploaded: HashMap<_, u64> = HashMap::new();
        let mut baselines = HashMap::new();
        for booking in self.frames.iter().flat_map(|frame| &frame.bookings) {
            let SessionRow { user, torrent, session, .. } = booking.baseline;
            *uploaded.entry((user, torrent)).or_default() += booking.add.uploaded;
            baselines.insert((user, torrent, session), booking.baseline);
        }
        assert_eq!(self.store.uploaded, uploaded);
        assert_eq!(self.store.baselines, baselines);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_books_are_those_of_a_naive_ledger_whatever_goes_wrong(steps in prop::collection::vec(step(), 1..60)) {
        let folder = tempfile::tempdir().unwrap();
        let mut world = World::new(folder.path().join("journal"));
        steps.iter().for_each(|step| world.step(step));
        world.check();
    }
}

#[test]
fn what_waits_is_bounded_and_a_baseline_goes_with_its_increments() {
    let settings = Settings { node: NODE, file: None, waiting_max: 3 };
    let mut keeper = Keeper::open(&settings, 0).unwrap();
    let fresh =
        |keys: &[(u8, u8, u8)]| pending(&keys.iter().map(|key| booking(*key, 10)).collect::<Vec<_>>());
    assert_eq!(keeper.take(fresh(&[(1, 1, 1), (1, 1, 2)]), 0).bookings, 0);
    let refused = keeper.take(fresh(&[(1, 1, 1), (2, 2, 1), (2, 2, 2), (2, 2, 3)]), 0);
    assert_eq!((refused.bookings, refused.bytes), (2, 60), "one has room, and one is known");
    assert!(keeper.is_full());
    assert_eq!(keeper.take(fresh(&[(4, 4, 4)]), 0).bookings, 1);
    assert_eq!(keeper.take(fresh(&[(2, 2, 1)]), 0).bookings, 0, "who has room already keeps it");
    let batch = keeper.next_batch().unwrap();
    assert_eq!(batch.increments.iter().map(|add| add.uploaded).collect::<Vec<_>>(), [30, 20]);
    assert_eq!(batch.sessions.len(), 3);
    assert_eq!(keeper.take(fresh(&[(5, 5, 5)]), 0).bookings, 1, "what is on its way counts, too");
    keeper.booked(batch.sequence);
    assert_eq!(keeper.take(fresh(&[(5, 5, 5)]), 0).bookings, 0);
}

#[test]
fn later_bookings_are_added_to_what_waits_and_never_replace_it() {
    // Another tracker's queue overwrote the entry of a peer that announced twice between two flushes.
    let batch = pending(&[1, 10, 100].map(|amount| booking((1, 1, 1), amount))).batch();
    assert_eq!((batch.increments.len(), batch.increments[0].uploaded), (1, 111));
    assert_eq!((batch.sessions.len(), batch.sessions[0].uploaded), (1, 100));
}

fn start(store: Box<dyn Store>, file: Option<PathBuf>) -> Journal {
    Journal::start(&Settings { node: NODE, file, waiting_max: 10_000 }, store).unwrap()
}

fn of(user: UserId, torrent: TorrentId, amount: u64) -> Booking {
    let plain = booking((0, 0, 1), amount);
    Booking {
        add: Increment { user, torrent, ..plain.add },
        baseline: SessionRow { user, torrent, ..plain.baseline },
    }
}

#[test]
fn stopping_books_what_has_come() {
    let desk = exam::file();
    let mut store = Sqlite::open(&desk.path()).unwrap();
    let ([a, _], [first, _]) = populate(&mut store);
    let journal = start(Box::new(store), None);
    for _ in 0..1000 {
        assert!(journal.book(&of(a, first, 5)));
    }
    journal.count(Counts { torrent: first, seeders: 3, leechers: 2, partial: 1 });
    journal.stop(Duration::from_secs(20));
    let mut store = desk.open().unwrap();
    assert_eq!(store.totals(a).unwrap().uploaded, 5000);
    assert_eq!(store.torrent_stats(first).unwrap().unwrap().counts.seeders, 3);
    assert_eq!(journal.figures().waiting, 0);
}

#[test]
fn a_store_that_fails_stops_nothing_and_gets_everything_later() {
    // Another tracker panicked when a flush failed.
    let desk = exam::file();
    let mut store = Sqlite::open(&desk.path()).unwrap();
    let ([a, _], [first, _]) = populate(&mut store);
    desk.write("ALTER TABLE books RENAME TO elsewhere").unwrap();
    let journal = start(Box::new(store), None);
    assert!(journal.book(&of(a, first, 5)));
    wait_for(|| journal.troubles().any(|trouble| trouble == Trouble::StoreAway));
    assert!(journal.book(&of(a, first, 5)));
    desk.write("ALTER TABLE elsewhere RENAME TO books").unwrap();
    wait_for(|| journal.troubles().next().is_none());
    journal.stop(Duration::from_secs(20));
    assert_eq!(desk.open().unwrap().totals(a).unwrap().uploaded, 10);
}

#[test]
fn a_database_that_is_away_until_the_end_is_booked_after_the_next_start() {
    let desk = exam::file();
    let path = desk.path().with_extension("journal");
    let mut store = Sqlite::open(&desk.path()).unwrap();
    let ([a, _], [first, _]) = populate(&mut store);
    desk.write("ALTER TABLE books RENAME TO elsewhere").unwrap();
    let journal = start(Box::new(store), Some(path.clone()));
    assert!(journal.book(&of(a, first, 5)));
    wait_for(|| journal.troubles().any(|trouble| trouble == Trouble::StoreAway));
    assert!(journal.book(&of(a, first, 5)));
    journal.stop(Duration::from_secs(2));
    desk.write("ALTER TABLE elsewhere RENAME TO books").unwrap();
    let mut store = desk.open().unwrap();
    assert_eq!(store.totals(a).unwrap().uploaded, 0);
    start(desk.open().unwrap(), Some(path)).stop(Duration::from_secs(20));
    assert_eq!(store.totals(a).unwrap().uploaded, 10);
}

fn wait_for(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
