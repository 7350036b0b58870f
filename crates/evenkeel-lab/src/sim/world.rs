//! A community at work: everybody's day, step by step.

use evenkeel_core::{Figures, Identity, Policy};
use evenkeel_wire::Event;
use fastrand::Rng;

use super::constants::{EVALUATED_EVERY_SECS, GHOST_CLAIM, STEP_SECS};
use super::graph::narrow;
use super::measure::{Download, Measured};
use super::people::{Class, User, count, exponential, gather, secs, whole};
use super::regime::Setup;
use super::standing::Earned;
use super::swarms::{Role, Session, Swarms};
use super::tracker::{Ask, Tracker};
use super::transfer::Transfer;
use super::trial::Steering;

/// Bytes of a MB.
const MB: f64 = 1e6;

/// A run under way.
pub(super) struct World<'a> {
    setup: &'a Setup,
    now: u32,
    users: Vec<User>,
    swarms: Swarms,
    tracker: Tracker,
    earned: Earned,
    transfer: Transfer,
    /// Chance in transfers, and in what neighbours tell each other.
    rng: Rng,
    found: Vec<usize>,
    /// Torrents that a good user of this community seeds: mean plus one standard deviation.
    good_seeds: u32,
    steering: Option<Steering>,
    measured: Measured,
}

/// Runs a community from its first day to its last; `tick` is told how far it is.
pub(super) fn run(setup: &Setup, policy: Policy, seed: u64, mut tick: impl FnMut(u32)) -> Measured {
    let mut world = World::new(setup, policy, seed);
    for step in 0..setup.steps() {
        world.step();
        tick(step);
    }
    world.measured.decided = world.steering.map(|steering| steering.decided);
    world.measured
}

impl<'a> World<'a> {
    pub(super) fn new(setup: &'a Setup, policy: Policy, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let users = gather(setup, &mut rng);
        let swarms = Swarms::new(setup, users.len(), &mut rng);
        let mut earned = Earned::new();
        for user in &users {
            earned.create(user.class == Class::Publisher);
        }
        let mut world = Self {
            setup,
            now: 0,
            swarms,
            tracker: Tracker::new(policy, setup.trial, rng.u64(..)),
            earned,
            transfer: Transfer::default(),
            rng,
            found: Vec::new(),
            good_seeds: 0,
            steering: Steering::new(setup.trial),
            measured: Measured::new(setup.measured_from()),
            users,
        };
        for torrent in 0..setup.torrents {
            world.publish(torrent);
        }
        world
    }

    fn publish(&mut self, torrent: usize) {
        let user = self.setup.users + self.setup.newcomers + torrent;
        let have = self.swarms.torrents[torrent].size;
        let session = Session {
            user,
            torrent,
            identity: self.users[user].identity,
            role: Role::Seeder,
            have,
            ..Session::default()
        };
        let session = self.swarms.open(session);
        self.announce(session, Event::Started);
    }

    pub(super) fn step(&mut self) {
        self.start_downloads();
        self.end_seeding();
        self.announce_again();
        if self.setup.pex > 0.0 {
            self.gossip();
        }
        let moved = self.transfer.step(&mut self.swarms, &self.users, self.now, &mut self.rng);
        self.measured.note_moved(self.now, moved);
        self.now += STEP_SECS;
        self.complete_downloads();
        if self.now.is_multiple_of(EVALUATED_EVERY_SECS) {
            self.tracker.sweep(self.now);
            self.earned.evaluate(self.now);
            self.good_seeds = self.count_good_seeds();
            if let Some(percent) = self.steering.as_mut().and_then(|steering| steering.decide(self.now)) {
                self.tracker.shift_busy(percent);
            }
            let earned = &self.earned;
            let users = self.users.iter().filter(|user| user.class != Class::Publisher && !user.is_newcomer);
            self.measured
                .note_tiers(self.now, users.map(|user| (user.class, earned.tier(user.identity).number())));
        }
    }

    fn start_downloads(&mut self) {
        for number in 0..self.users.len() {
            let user = &mut self.users[number];
            if user.next_download.is_none_or(|at| at > self.now) {
                continue;
            }
            let Some(torrent) = self.swarms.wish(number, self.now, &mut user.wishes) else {
                user.next_download = Some(self.now + EVALUATED_EVERY_SECS);
                continue;
            };
            user.next_download = None;
            if user.class == Class::Whitewasher {
                user.identity = self.earned.create(false);
            }
            let session = Session {
                user: number,
                torrent,
                identity: user.identity,
                role: Role::Leecher,
                began: self.now,
                reported_at: self.now,
                ..Session::default()
            };
            let session = self.swarms.open(session);
            self.announce(session, Event::Started);
        }
    }

    fn end_seeding(&mut self) {
        for number in 0..self.swarms.sessions.len() {
            if self.swarms.sessions[number].seeds_until.is_some_and(|until| until <= self.now) {
                self.leave(number);
            }
        }
    }

    fn announce_again(&mut self) {
        for number in 0..self.swarms.sessions.len() {
            let session = &self.swarms.sessions[number];
            if session.role != Role::Gone && session.next_announce <= self.now {
                self.announce(number, Event::Update);
            }
        }
    }

    fn complete_downloads(&mut self) {
        for number in 0..self.swarms.sessions.len() {
            let session = &self.swarms.sessions[number];
            let size = self.swarms.torrents[session.torrent].size;
            // Less than a byte may be lost to rounding.
            if session.role == Role::Leecher && session.have + 1e-6 >= size {
                self.complete(number, size);
            }
        }
    }

    fn complete(&mut self, number: usize, size: f64) {
        self.swarms.complete(number, self.now + secs(self.setup.again_secs));
        let session = &self.swarms.sessions[number];
        let began = session.began;
        let user = &mut self.users[session.user];
        self.measured.note_download(&Download {
            class: user.class,
            is_newcomer: user.is_newcomer,
            before: user.completed,
            began,
            secs: self.now - began,
            mb: size,
        });
        self.measured.note_first_byte(began, session.first_byte.unwrap_or(self.now) - began);
        user.completed += 1;
        let pause = exponential(&mut user.wishes, self.setup.think_secs);
        user.next_download = Some(self.now + secs(pause));
        let seeds = secs(user.class.seed_secs(self.setup));
        self.swarms.sessions[number].seeds_until = Some(self.now.saturating_add(seeds));
        self.announce(number, Event::Completed);
        if seeds == 0 {
            self.leave(number);
        }
    }

    fn leave(&mut self, number: usize) {
        self.announce(number, Event::Stopped);
        self.swarms.sessions[number].seeds_until = None;
        self.swarms.close(number);
    }

    /// A client announces, dials those whom it is told of, and its identity is credited.
    fn announce(&mut self, number: usize, event: Event) {
        self.claim(number, event);
        let session = &self.swarms.sessions[number];
        let lacks = (self.swarms.torrents[session.torrent].size - session.have).max(0.0);
        let ask = Ask {
            now: self.now,
            user: session.user,
            torrent: session.torrent,
            uploaded: whole((session.up + session.claimed) * MB),
            downloaded: whole(session.down * MB),
            // Nobody is a seeder for a rounded byte.
            left: if session.role == Role::Seeder { 0 } else { whole(lacks * MB).max(1) },
            event,
            identity: self.identity(session),
        };
        let told = self.tracker.announce(&ask, &mut self.found);
        let torrent = session.torrent;
        self.measured.note_announce(self.now, event == Event::Started, self.found.len(), told.trace);
        if let Some(said) = &told.said {
            self.earned.note(said);
            if let Some((steering, arm)) = self.steering.as_mut().zip(told.arm) {
                steering.note(arm, ask.identity.tier, said);
            }
        }
        self.note_reported(number);
        self.swarms.sessions[number].next_announce = self.now + told.interval_secs;
        if event == Event::Stopped {
            return;
        }
        for at in 0..self.found.len() {
            let user = self.found[at];
            if let Some(other) = self.swarms.session_of(user, torrent) {
                self.swarms.dial(number, other, self.users[user].is_connectable);
            }
        }
    }

    /// Who a session is, as the tracker knows it.
    fn identity(&self, session: &Session) -> Identity {
        let sums = self.earned.sums[session.identity];
        let own = || {
            let numbers = self.swarms.sessions_of(session.user).map(|number| &self.swarms.sessions[number]);
            numbers.filter(|other| other.identity == session.identity)
        };
        Identity {
            slot: u32::try_from(session.identity).ok(),
            tier: self.earned.tier(session.identity),
            is_unconnectable: !self.users[session.user].is_connectable,
            policy: None,
            figures: Figures {
                torrents: narrow(own().count()),
                seeded: narrow(own().filter(|session| session.role == Role::Seeder).count()),
                positive: narrow(
                    own().filter(|session| session.reported_up >= session.reported_down).count(),
                ),
                snatched: sums.snatched,
                uploaded: sums.uploaded,
                downloaded: sums.downloaded,
                good_seeds: self.good_seeds,
            },
        }
    }

    fn count_good_seeds(&self) -> u32 {
        let users = self.setup.users + self.setup.newcomers;
        let mut seeds = vec![0.0; users];
        for session in self.swarms.sessions.iter().filter(|session| session.role == Role::Seeder) {
            if let Some(seeds) = seeds.get_mut(session.user) {
                *seeds += 1.0;
            }
        }
        let mean = seeds.iter().sum::<f64>() / users as f64;
        let squares = seeds.iter().map(|count: &f64| (count - mean).powi(2)).sum::<f64>();
        secs((mean + (squares / users as f64).sqrt()).round())
    }

    /// A ghost says that it has sent what it has not.
    fn claim(&mut self, number: usize, event: Event) {
        let session = &mut self.swarms.sessions[number];
        let is_lie = self.users[session.user].class == Class::Ghost && session.role == Role::Seeder;
        if is_lie && event != Event::Completed {
            session.claimed += GHOST_CLAIM * f64::from(self.now - session.reported_at);
        }
    }

    fn note_reported(&mut self, number: usize) {
        let session = &mut self.swarms.sessions[number];
        session.reported_at = self.now;
        session.reported_up = session.up + session.claimed;
        session.reported_down = session.down;
    }

    /// Peer exchange: now and then a session learns of a neighbour's neighbour.
    fn gossip(&mut self) {
        let each = self.setup.pex * f64::from(STEP_SECS) / 60.0;
        for number in 0..self.swarms.sessions.len() {
            let times = count(each) + usize::from(self.rng.f64() < each.fract());
            for _ in 0..times {
                self.learn(number);
            }
        }
    }

    fn learn(&mut self, number: usize) -> Option<()> {
        let graph = &self.swarms.graph;
        let neighbour = self.rng.choice(graph.edges(number))?.peer as usize;
        let other = self.rng.choice(graph.edges(neighbour))?.peer as usize;
        let is_connectable = self.users[self.swarms.sessions[other].user].is_connectable;
        self.swarms.dial(number, other, is_connectable).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::regime::Regime;
    use super::*;

    fn small(regime: Regime) -> Setup {
        Setup { users: 60, torrents: 12, days: 1.0, size_gb: 1.0, newcomers: 4, ..Setup::new(regime) }
    }

    #[test]
    fn the_same_seed_gives_the_same_answers_and_another_one_others() {
        let setup = small(Regime::Scarce);
        for policy in ["random", "rbs"].map(|name| name.parse().unwrap()) {
            let traces = [1, 1, 2].map(|seed| run(&setup, policy, seed, |_| {}).trace);
            assert_eq!(traces[0], traces[1]);
            assert_ne!(traces[0], traces[2]);
        }
    }

    #[test]
    fn bytes_are_conserved_and_nobody_gives_who_does_not() {
        let setup = Setup { seed_secs: 1e9, ..small(Regime::Scarce) }.with_ghosts(5.0);
        let mut world = World::new(&setup, Policy::Random, 3);
        let mut moved = 0.0;
        for _ in 0..1000 {
            world.step();
            let live = || world.swarms.sessions.iter().filter(|session| session.role != Role::Gone);
            for session in live() {
                let class = world.users[session.user].class;
                assert!(world.users[session.user].up > 0.0 || session.up == 0.0, "{class:?} gave");
                assert!(session.claimed == 0.0 || class == Class::Ghost, "{class:?} lied");
                let edges =
                    world.swarms.graph.edges(world.swarms.session_of(session.user, session.torrent).unwrap());
                let both_seed = |peer: usize| {
                    session.role == Role::Seeder && world.swarms.sessions[peer].role == Role::Seeder
                };
                assert!(!edges.iter().any(|edge| both_seed(edge.peer as usize)), "seeders are connected");
            }
            moved = live().map(|session| session.down).sum();
        }
        assert!(moved > 0.0);
        assert!(world.swarms.sessions.iter().any(|session| session.claimed > 0.0), "ghosts claim");
    }

    #[test]
    fn whitewashers_have_a_new_name_for_each_torrent() {
        let setup = small(Regime::Scarce);
        let mut world = World::new(&setup, Policy::Random, 1);
        let (users, before) = (world.users.len(), world.earned.sums.len());
        assert_eq!(users, before);
        (0..setup.steps()).for_each(|_| world.step());
        let of = |class: Class| world.users.iter().filter(move |user| user.class == class);
        assert!(of(Class::Whitewasher).all(|user| user.completed == 0 || user.identity >= before));
        assert!(of(Class::FreeRider).all(|user| user.identity < before));
        assert!(of(Class::Whitewasher).any(|user| user.completed > 1));
        assert!(world.users.iter().any(|user| user.is_newcomer && user.completed > 0));
    }

    #[test]
    fn those_who_cannot_be_dialled_still_find_peers() {
        let setup = Setup { connectable: 0.0, ..small(Regime::Scarce) };
        let figures = run(&setup, Policy::Random, 1, |_| {}).figures();
        assert!(figures.values["downloads"] > 0.0, "publishers can be dialled");
    }
}
