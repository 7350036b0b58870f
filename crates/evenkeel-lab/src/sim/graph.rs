//! Who is connected to whom: flat memory, a fixed piece of it for each session.

use super::constants::CONNECTIONS_MAX;

/// One end of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Edge {
    /// The session at the other end.
    pub peer: u32,
    /// Where this connection is among the connections of that session.
    pub back: u32,
    /// MB/s that came from there of late.
    pub rate: f64,
}

/// Undirected connections between sessions.
#[derive(Default)]
pub(super) struct Graph {
    edges: Vec<Edge>,
    degrees: Vec<usize>,
}

impl Graph {
    /// Has room for sessions up to this one.
    pub(super) fn grow(&mut self, session: usize) {
        let len = self.degrees.len().max(session + 1);
        self.degrees.resize(len, 0);
        self.edges.resize(len * CONNECTIONS_MAX, Edge::default());
    }

    #[cfg(test)]
    pub(super) fn degree(&self, session: usize) -> usize {
        self.degrees[session]
    }

    pub(super) fn edges(&self, session: usize) -> &[Edge] {
        let first = session * CONNECTIONS_MAX;
        &self.edges[first..first + self.degrees[session]]
    }

    pub(super) fn edges_mut(&mut self, session: usize) -> &mut [Edge] {
        let first = session * CONNECTIONS_MAX;
        &mut self.edges[first..first + self.degrees[session]]
    }

    /// Connects two sessions, unless they are or one has no room.
    pub(super) fn connect(&mut self, a: usize, b: usize) -> bool {
        let full = self.degrees[a].max(self.degrees[b]) >= CONNECTIONS_MAX;
        let (few, other) = if self.degrees[a] <= self.degrees[b] { (a, b) } else { (b, a) };
        if full || a == b || self.edges(few).iter().any(|edge| edge.peer as usize == other) {
            return false;
        }
        let (at_a, at_b) = (self.degrees[a], self.degrees[b]);
        self.edges[a * CONNECTIONS_MAX + at_a] = Edge { peer: narrow(b), back: narrow(at_b), rate: 0.0 };
        self.edges[b * CONNECTIONS_MAX + at_b] = Edge { peer: narrow(a), back: narrow(at_a), rate: 0.0 };
        self.degrees[a] += 1;
        self.degrees[b] += 1;
        true
    }

    /// Ends those connections of a session that are not wanted any more.
    pub(super) fn cut(&mut self, session: usize, is_cut: impl Fn(usize) -> bool) {
        let mut at = self.degrees[session];
        while at > 0 {
            at -= 1;
            let edge = self.edges[session * CONNECTIONS_MAX + at];
            if is_cut(edge.peer as usize) {
                self.remove(session, at);
                self.remove(edge.peer as usize, edge.back as usize);
            }
        }
    }

    /// Takes out one end: the last one takes its place.
    fn remove(&mut self, session: usize, at: usize) {
        let first = session * CONNECTIONS_MAX;
        let last = self.degrees[session] - 1;
        self.degrees[session] = last;
        if at < last {
            let moved = self.edges[first + last];
            self.edges[first + at] = moved;
            self.edges[moved.peer as usize * CONNECTIONS_MAX + moved.back as usize].back = narrow(at);
        }
    }
}

/// Of a number of sessions or connections: far below 2^32.
pub(super) fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ends know each other, and no pair is there twice.
    fn check(graph: &Graph, sessions: usize) {
        for session in 0..sessions {
            let mut peers = Vec::new();
            for (at, edge) in graph.edges(session).iter().enumerate() {
                let other = graph.edges(edge.peer as usize)[edge.back as usize];
                assert_eq!((other.peer as usize, other.back as usize), (session, at));
                peers.push(edge.peer);
            }
            peers.sort_unstable();
            peers.dedup();
            assert_eq!(peers.len(), graph.degree(session));
            assert!(graph.degree(session) <= CONNECTIONS_MAX);
        }
    }

    #[test]
    fn both_ends_of_a_connection_agree_whatever_happens() {
        const SESSIONS: usize = 90;
        let mut rng = fastrand::Rng::with_seed(5);
        let mut graph = Graph::default();
        graph.grow(SESSIONS - 1);
        for round in 0..30_000 {
            let (a, b) = (rng.usize(..SESSIONS), rng.usize(..SESSIONS));
            match rng.u8(..50) {
                // At the end only connections are made, until all are full.
                _ if round >= 15_000 => {
                    graph.connect(a, b);
                }
                0 => graph.cut(a, |_| true),
                1 => graph.cut(a, |peer| peer % 3 == 0),
                _ => {
                    graph.connect(a, b);
                }
            }
        }
        check(&graph, SESSIONS);
        assert!((0..SESSIONS).any(|session| graph.degree(session) == CONNECTIONS_MAX));
        (0..SESSIONS).for_each(|session| graph.cut(session, |_| true));
        assert!((0..SESSIONS).all(|session| graph.degree(session) == 0));
    }
}
