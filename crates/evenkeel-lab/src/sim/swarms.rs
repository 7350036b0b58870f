//! What everybody has in every torrent, and who is connected to whom.

use super::constants::{SIZE_RANGE, SIZE_SPREAD, ZIPF};
use super::graph::{Graph, narrow};
use super::people::normal;
use super::regime::Setup;

/// What a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Role {
    /// Nothing any more: its place may be taken.
    #[default]
    Gone,
    Leecher,
    Seeder,
}

/// A user in a torrent. Amounts are in MB.
#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    pub user: usize,
    pub torrent: usize,
    /// The name that it goes by.
    pub identity: usize,
    pub role: Role,
    pub began: u32,
    pub have: f64,
    pub up: f64,
    pub down: f64,
    /// Sent, as it says; more than it did only for those who lie.
    pub claimed: f64,
    pub first_byte: Option<u32>,
    pub next_announce: u32,
    pub seeds_until: Option<u32>,
    /// Its last announce: when, and what it said.
    pub reported_at: u32,
    pub reported_up: f64,
    pub reported_down: f64,
}

/// A torrent, and what its leechers have.
#[derive(Clone, Debug, Default)]
pub(super) struct Torrent {
    pub size: f64,
    /// MB that at least one leecher has: what leechers can give each other.
    pub injected: f64,
    pub leechers: usize,
    /// What the leechers have together, and the one that has most.
    pub sum: f64,
    pub most: f64,
}

/// All torrents with their sessions.
pub(super) struct Swarms {
    pub sessions: Vec<Session>,
    pub torrents: Vec<Torrent>,
    pub graph: Graph,
    free: Vec<usize>,
    /// Session of each user in each torrent, or [`NONE`].
    at: Vec<u32>,
    /// Until when each user has had enough of each torrent.
    had_until: Vec<u32>,
    /// Sums of the demand for torrents, the last being 1.
    demand: Vec<f64>,
}

const NONE: u32 = u32::MAX;

impl Swarms {
    /// Torrents in order of demand, their sizes drawn.
    pub(super) fn new(setup: &Setup, users: usize, rng: &mut fastrand::Rng) -> Self {
        let size = |rng: &mut fastrand::Rng| {
            let gb = setup.size_gb * (SIZE_SPREAD * normal(rng)).exp();
            // Whole megabytes: the last digits of a logarithm differ between machines, and nothing else may.
            (gb.clamp(SIZE_RANGE.0, SIZE_RANGE.1) * 1000.0).round()
        };
        let torrents: Vec<Torrent> =
            (0..setup.torrents).map(|_| Torrent { size: size(rng), ..Torrent::default() }).collect();
        let mut sum = 0.0;
        let mut demand: Vec<f64> = (1..=setup.torrents)
            .map(|rank| {
                sum += (rank as f64).powf(-ZIPF);
                sum
            })
            .collect();
        demand.iter_mut().for_each(|share| *share /= sum);
        Self {
            sessions: Vec::new(),
            graph: Graph::default(),
            free: Vec::new(),
            at: vec![NONE; users * torrents.len()],
            had_until: vec![0; users * torrents.len()],
            torrents,
            demand,
        }
    }

    /// A torrent that the user has not had for a while: the more demanded, the likelier. Who seeds and who does not has
    /// the same wishes, else seeders would be left with what few others want.
    pub(super) fn wish(&self, user: usize, now: u32, rng: &mut fastrand::Rng) -> Option<usize> {
        (0..100).find_map(|_| {
            let draw = rng.f64();
            let torrent = self.demand.partition_point(|share| *share <= draw).min(self.torrents.len() - 1);
            let place = user * self.torrents.len() + torrent;
            (self.at[place] == NONE && self.had_until[place] <= now).then_some(torrent)
        })
    }

    pub(super) fn session_of(&self, user: usize, torrent: usize) -> Option<usize> {
        let session = self.at[user * self.torrents.len() + torrent];
        (session != NONE).then_some(session as usize)
    }

    /// All sessions of a user.
    pub(super) fn sessions_of(&self, user: usize) -> impl Iterator<Item = usize> {
        let torrents = self.torrents.len();
        let own = &self.at[user * torrents..(user + 1) * torrents];
        own.iter().filter(|session| **session != NONE).map(|session| *session as usize)
    }

    pub(super) fn open(&mut self, session: Session) -> usize {
        let number = self.free.pop().unwrap_or_else(|| {
            self.sessions.push(Session::default());
            self.graph.grow(self.sessions.len() - 1);
            self.sessions.len() - 1
        });
        self.at[session.user * self.torrents.len() + session.torrent] = narrow(number);
        self.sessions[number] = session;
        number
    }

    pub(super) fn close(&mut self, number: usize) {
        self.graph.cut(number, |_| true);
        let session = &mut self.sessions[number];
        session.role = Role::Gone;
        self.at[session.user * self.torrents.len() + session.torrent] = NONE;
        self.free.push(number);
    }

    /// A leecher has everything: seeders have no use for each other.
    pub(super) fn complete(&mut self, number: usize, enough_until: u32) {
        let session = &mut self.sessions[number];
        self.had_until[session.user * self.torrents.len() + session.torrent] = enough_until;
        session.role = Role::Seeder;
        session.have = self.torrents[session.torrent].size;
        let sessions = &self.sessions;
        self.graph.cut(number, |peer| sessions[peer].role == Role::Seeder);
    }

    /// One dials another one, who has to be reachable. Whether they are connected now and were not before.
    pub(super) fn dial(&mut self, from: usize, to: usize, is_connectable: bool) -> bool {
        let both_seed = [from, to].iter().all(|end| self.sessions[*end].role == Role::Seeder);
        is_connectable && !both_seed && self.graph.connect(from, to)
    }

    /// What the leechers of each torrent have now.
    pub(super) fn survey(&mut self) {
        for torrent in &mut self.torrents {
            (torrent.leechers, torrent.sum, torrent.most) = (0, 0.0, 0.0);
        }
        for session in self.sessions.iter().filter(|session| session.role == Role::Leecher) {
            let torrent = &mut self.torrents[session.torrent];
            torrent.leechers += 1;
            torrent.sum += session.have;
            torrent.most = torrent.most.max(session.have);
        }
        for torrent in &mut self.torrents {
            // Those who left have taken theirs along.
            torrent.injected =
                torrent.injected.clamp(torrent.most, torrent.sum.min(torrent.size).max(torrent.most));
        }
    }
}
