//! What is sent in a step: who unchokes whom, and what uplinks, downlinks and pieces allow.

use fastrand::Rng;

use super::constants::{CONNECTIONS_MAX, RATE_WEIGHT, STEP_SECS};
use super::graph::{Edge, narrow};
use super::people::User;
use super::swarms::{Role, Session, Swarms, Torrent};

/// What one session sends to another.
#[derive(Clone, Copy, Debug)]
struct Flow {
    from: u32,
    to: u32,
    user: u32,
    /// Which of the receiver's connections it comes through.
    edge: u32,
    is_from_leecher: bool,
    /// The receiver has taken all that it was offered so far.
    is_open: bool,
    /// MB/s.
    offered: f64,
    rate: f64,
}

/// What comes into a session, in MB/s.
#[derive(Clone, Copy, Debug, Default)]
struct Intake {
    /// Offered in this round.
    offered: f64,
    offered_by_leechers: f64,
    /// What its line and what it lacks allow.
    room: f64,
    /// What it lacks and other leechers have.
    room_for_leechers: f64,
    /// The part of what is offered that it takes, from all, and before that from leechers.
    part: f64,
    part_of_leechers: f64,
}

/// A user's uplink.
#[derive(Clone, Copy, Debug, Default)]
struct Uplink {
    left: f64,
    flows: u32,
}

/// Memory of the transfers, used again for each step.
#[derive(Default)]
pub(super) struct Transfer {
    flows: Vec<Flow>,
    intakes: Vec<Intake>,
    uplinks: Vec<Uplink>,
}

impl Transfer {
    /// Moves what can be moved in one step; answers how many MB that were.
    pub(super) fn step(&mut self, swarms: &mut Swarms, users: &[User], now: u32, rng: &mut Rng) -> f64 {
        swarms.survey();
        self.unchoke(swarms, users, rng);
        self.uplinks.clear();
        self.uplinks.extend(users.iter().map(|user| Uplink { left: user.up, flows: 0 }));
        self.intakes.clear();
        self.intakes.extend(swarms.sessions.iter().map(|session| intake(session, swarms, users)));
        // Twice: what some could not take is offered to those who took all.
        for _ in 0..2 {
            self.offer();
            self.take();
        }
        self.deliver(swarms, now)
    }

    /// Who sends to whom, at no rate yet.
    fn unchoke(&mut self, swarms: &Swarms, users: &[User], rng: &mut Rng) {
        self.flows.clear();
        for (number, session) in swarms.sessions.iter().enumerate() {
            let user = &users[session.user];
            if session.role == Role::Gone || user.up == 0.0 {
                continue;
            }
            let edges = swarms.graph.edges(number);
            let torrent = &swarms.torrents[session.torrent];
            let mut wanting = Wanting::default();
            for (at, edge) in edges.iter().enumerate() {
                if wants(&swarms.sessions[edge.peer as usize], session, torrent) {
                    wanting.add(at);
                }
            }
            let is_from_leecher = session.role == Role::Leecher;
            let chosen = match is_from_leecher {
                true => wanting.best(user.slots, edges, rng),
                false => wanting.any(0, user.slots, rng),
            };
            self.flows.extend(chosen.iter().map(|at| Flow {
                from: narrow(number),
                to: edges[*at].peer,
                user: narrow(session.user),
                edge: edges[*at].back,
                is_from_leecher,
                is_open: true,
                offered: 0.0,
                rate: 0.0,
            }));
        }
    }

    /// Each user offers what is left of its uplink, in equal parts.
    fn offer(&mut self) {
        let Self { flows, intakes, uplinks } = self;
        uplinks.iter_mut().for_each(|uplink| uplink.flows = 0);
        for flow in flows.iter().filter(|flow| flow.is_open) {
            uplinks[flow.user as usize].flows += 1;
        }
        for flow in flows.iter_mut().filter(|flow| flow.is_open) {
            let uplink = uplinks[flow.user as usize];
            flow.offered = uplink.left / f64::from(uplink.flows);
            let intake = &mut intakes[flow.to as usize];
            intake.offered += flow.offered;
            if flow.is_from_leecher {
                intake.offered_by_leechers += flow.offered;
            }
        }
    }

    /// Each session takes what it can.
    fn take(&mut self) {
        let Self { flows, intakes, uplinks } = self;
        for intake in intakes.iter_mut().filter(|intake| intake.offered > 0.0) {
            intake.part_of_leechers = part(intake.room_for_leechers, intake.offered_by_leechers);
            let useful = intake.offered - intake.offered_by_leechers * (1.0 - intake.part_of_leechers);
            intake.part = part(intake.room, useful);
            let from_leechers = intake.offered_by_leechers * intake.part_of_leechers * intake.part;
            intake.room = (intake.room - useful * intake.part).max(0.0);
            intake.room_for_leechers = (intake.room_for_leechers - from_leechers).max(0.0);
            (intake.offered, intake.offered_by_leechers) = (0.0, 0.0);
        }
        for flow in flows.iter_mut().filter(|flow| flow.is_open) {
            let intake = intakes[flow.to as usize];
            let part = if flow.is_from_leecher { intake.part * intake.part_of_leechers } else { intake.part };
            let taken = flow.offered * part;
            flow.rate += taken;
            flow.is_open = part >= 1.0;
            let left = &mut uplinks[flow.user as usize].left;
            *left = (*left - taken).max(0.0);
        }
    }

    /// Counts what came at both ends.
    fn deliver(&mut self, swarms: &mut Swarms, now: u32) -> f64 {
        let Swarms { sessions, torrents, graph, .. } = swarms;
        for (number, session) in sessions.iter().enumerate() {
            if session.role == Role::Leecher {
                for edge in graph.edges_mut(number) {
                    edge.rate *= 1.0 - RATE_WEIGHT;
                }
            }
        }
        let mut moved = 0.0;
        for flow in self.flows.iter().filter(|flow| flow.rate > 0.0) {
            let mb = flow.rate * f64::from(STEP_SECS);
            moved += mb;
            sessions[flow.from as usize].up += mb;
            let to = &mut sessions[flow.to as usize];
            to.down += mb;
            to.have += mb;
            to.first_byte.get_or_insert(now);
            if !flow.is_from_leecher {
                // Rarest first: what seeders send is new to the leechers as long as anything is.
                torrents[to.torrent].injected += mb;
            }
            graph.edges_mut(flow.to as usize)[flow.edge as usize].rate += RATE_WEIGHT * flow.rate;
        }
        moved
    }
}

/// Whether a peer wants what a session has.
fn wants(peer: &Session, from: &Session, torrent: &Torrent) -> bool {
    // A leecher that has nothing yet has nothing to give.
    peer.role == Role::Leecher
        && (from.role == Role::Seeder || from.have >= 1.0 && torrent.injected > peer.have)
}

fn intake(session: &Session, swarms: &Swarms, users: &[User]) -> Intake {
    let torrent = &swarms.torrents[session.torrent];
    let step = f64::from(STEP_SECS);
    Intake {
        room: users[session.user].down.min((torrent.size - session.have).max(0.0) / step),
        room_for_leechers: (torrent.injected - session.have).max(0.0) / step,
        ..Intake::default()
    }
}

/// What part of what is wanted there is room for.
fn part(room: f64, wanted: f64) -> f64 {
    if wanted <= room { 1.0 } else { room / wanted }
}

/// Connections of a session over which something is wanted.
struct Wanting {
    at: [usize; CONNECTIONS_MAX],
    len: usize,
}

impl Default for Wanting {
    fn default() -> Self {
        Self { at: [0; CONNECTIONS_MAX], len: 0 }
    }
}

impl Wanting {
    fn add(&mut self, at: usize) {
        self.at[self.len] = at;
        self.len += 1;
    }

    /// As many as there are slots, the first `kept` in any case, the others by chance.
    fn any(&mut self, kept: usize, slots: usize, rng: &mut Rng) -> &[usize] {
        let chosen = slots.min(self.len);
        if self.len > slots {
            for place in kept..chosen {
                self.at.swap(place, rng.usize(place..self.len));
            }
        }
        &self.at[..chosen]
    }

    /// Tit for tat: all slots but one for those who gave most of late; one, and what is not taken, by chance.
    fn best(&mut self, slots: usize, edges: &[Edge], rng: &mut Rng) -> &[usize] {
        if self.len <= slots {
            return &self.at[..self.len];
        }
        let best = slots - 1;
        let by_rate = |a: &usize, b: &usize| edges[*b].rate.total_cmp(&edges[*a].rate).then(a.cmp(b));
        self.at[..self.len].select_nth_unstable_by(best, by_rate);
        self.at[..best].sort_unstable_by(by_rate);
        let gave = self.at[..best].iter().take_while(|at| edges[**at].rate > 0.0).count();
        self.any(gave, slots, rng)
    }
}

#[cfg(test)]
mod tests {
    use super::super::people::gather;
    use super::super::regime::{Regime, Setup};
    use super::*;

    /// A swarm of one torrent in which everybody knows everybody; the last one seeds.
    fn swarm(setup: &Setup) -> (Swarms, Vec<User>) {
        let mut rng = Rng::with_seed(3);
        let users = gather(setup, &mut rng);
        let mut swarms = Swarms::new(setup, users.len(), &mut rng);
        for user in (0..30).chain([setup.users]) {
            let role = if user == setup.users { Role::Seeder } else { Role::Leecher };
            let have = if role == Role::Seeder { swarms.torrents[0].size } else { 0.0 };
            let session = swarms.open(Session { user, role, have, ..Session::default() });
            (0..session).for_each(|other| {
                swarms.dial(session, other, true);
            });
        }
        (swarms, users)
    }

    #[test]
    fn bytes_are_conserved_and_no_line_carries_more_than_it_can() {
        let setup = Setup { publisher: 6.0, users: 40, torrents: 1, ..Setup::new(Regime::Scarce) };
        let (mut swarms, users) = swarm(&setup);
        let mut transfer = Transfer::default();
        let mut rng = Rng::with_seed(4);
        let mut before: Vec<(f64, f64)> = vec![(0.0, 0.0); swarms.sessions.len()];
        let mut total = 0.0;
        for step in 0..200 {
            total += transfer.step(&mut swarms, &users, step * STEP_SECS, &mut rng);
            for (session, before) in swarms.sessions.iter().zip(&mut before) {
                let user = &users[session.user];
                let most = f64::from(STEP_SECS) * (1.0 + 1e-9);
                assert!(session.up - before.0 <= user.up * most, "{} sent too much", session.user);
                assert!(session.down - before.1 <= user.down * most, "{} got too much", session.user);
                assert!(session.have <= swarms.torrents[0].size * (1.0 + 1e-9));
                *before = (session.up, session.down);
            }
        }
        let sum = |amount: fn(&Session) -> f64| swarms.sessions.iter().map(amount).sum::<f64>();
        assert!(total > 1000.0 && (sum(|session| session.up) - total).abs() < 1e-6 * total);
        assert!((sum(|session| session.down) - total).abs() < 1e-6 * total);
        let seeded = swarms.sessions.last().unwrap().up;
        assert!(
            swarms
                .sessions
                .iter()
                .filter(|session| session.role == Role::Leecher)
                .all(|session| session.have <= seeded),
            "a leecher has what no seeder has sent"
        );
    }

    #[test]
    fn a_lonely_leecher_gets_what_the_seeder_has() {
        let setup = Setup { publisher: 1.0, users: 40, torrents: 1, ..Setup::new(Regime::Scarce) };
        let (mut swarms, users) = swarm(&setup);
        for session in 1..30 {
            swarms.close(session);
        }
        let moved = Transfer::default().step(&mut swarms, &users, 0, &mut Rng::with_seed(4));
        assert!((moved - f64::from(STEP_SECS)).abs() < 1e-9, "{moved} MB");
        assert_eq!(swarms.sessions[0].first_byte, Some(0));
    }

    #[test]
    fn tit_for_tat_keeps_those_who_give() {
        let edges: Vec<Edge> =
            (0..20).map(|at| Edge { rate: f64::from(at % 10), ..Edge::default() }).collect();
        let mut rng = Rng::with_seed(1);
        let mut lucky = std::collections::BTreeSet::new();
        for _ in 0..500 {
            let mut wanting = Wanting::default();
            (0..20).for_each(|at| wanting.add(at));
            let chosen = wanting.best(5, &edges, &mut rng);
            assert_eq!(chosen.len(), 5);
            assert!([8, 9, 18, 19].iter().all(|best| chosen.contains(best)), "{chosen:?}");
            lucky.extend(chosen.iter().copied());
        }
        assert_eq!(lucky.len(), 20, "the optimistic slot comes round to everybody");
    }
}
