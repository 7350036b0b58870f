//! What is counted, and when it counts.

use std::ops::Range;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::crowd::Seen;
use super::pace::{Nanos, SECOND};

/// From here on a wait is a stall: well above what other work on the machine does to anybody (4 to 9 ms).
const STALL: Nanos = SECOND / 50;

/// What a reply held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    Peers(usize),
    Counts,
}

/// Offers and answers of WebTorrent.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Relayed {
    pub offers_sent: u64,
    pub offers_received: u64,
    pub answers_sent: u64,
    pub answers_received: u64,
}

/// Handshakes of connections that have answered, but for the first in each place of a load.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Handshaken {
    pub full: u64,
    pub resumed: u64,
}

/// The counts of one load.
pub(crate) struct Tally {
    /// The time that is measured: what came before is warm-up, what comes after only settles accounts.
    window: Range<Nanos>,
    latency: Histogram<u64>,
    /// Spells in which something waited for a stall or longer, or got no reply at all.
    pub stalls: u64,
    /// When the last of them ended.
    stalled_until: Nanos,
    /// Good replies that arrived inside the window, and what they held.
    pub announces: u64,
    pub scrapes: u64,
    pub peers: u64,
    pub reply_bytes: u64,
    /// Replies that said no, inside the window, and what the first of them said.
    pub errors: u64,
    pub first_error: Option<String>,
    /// Requests due inside the window that got no reply.
    pub lost: u64,
    /// Replies that nobody waited for: late, repeated or not asked for.
    pub unexpected: u64,
    /// Requests due inside the window that the system did not take.
    pub unsent: u64,
    /// Requests due inside the window that never had their turn.
    pub backlog: u64,
    /// Announces of a fill that were made again because they were lost.
    pub repeated: u64,
    /// Connections that were made, inside the window.
    pub connections: u64,
    /// How, where they speak TLS.
    pub handshakes: Handshaken,
    /// What peers said to each other through the tracker, inside the window.
    pub relayed: Relayed,
    /// Hostile packets sent, and bytes that came back for them.
    pub hostile_sent: u64,
    pub hostile_bytes_back: u64,
    /// What became of hostile clients over TCP.
    pub crowd: Option<Seen>,
}

impl Tally {
    /// Counts nothing yet.
    pub(crate) fn new() -> Self {
        let latency = Histogram::new_with_bounds(1, 600 * SECOND, 3);
        Self {
            window: Nanos::MAX..Nanos::MAX,
            latency: latency.unwrap_or_else(|_| unreachable!("bounds that hdrhistogram documents as good")),
            stalls: 0,
            stalled_until: 0,
            announces: 0,
            scrapes: 0,
            peers: 0,
            reply_bytes: 0,
            errors: 0,
            first_error: None,
            lost: 0,
            unexpected: 0,
            unsent: 0,
            backlog: 0,
            repeated: 0,
            connections: 0,
            handshakes: Handshaken::default(),
            relayed: Relayed::default(),
            hostile_sent: 0,
            hostile_bytes_back: 0,
            crowd: None,
        }
    }

    /// The measured time begins.
    pub(crate) fn open(&mut self, now: Nanos) {
        self.window.start = now;
    }

    /// The measured time is over.
    pub(crate) fn close(&mut self, now: Nanos) {
        self.window.end = now;
    }

    /// Whether a moment is part of the measured time.
    pub(crate) fn holds(&self, time: Nanos) -> bool {
        self.window.contains(&time)
    }

    /// A good reply to what was due at `due`.
    pub(crate) fn reply(&mut self, due: Nanos, now: Nanos, held: Held, bytes: usize) {
        if self.holds(due) {
            self.latency.saturating_record(now.saturating_sub(due));
            self.waited(due..now);
        }
        if !self.holds(now) {
            return;
        }
        self.reply_bytes += bytes as u64;
        match held {
            Held::Peers(peers) => {
                self.announces += 1;
                self.peers += peers as u64;
            }
            Held::Counts => self.scrapes += 1,
        }
    }

    /// A connection that has answered for the first time had shaken hands.
    pub(crate) fn shook_hands(&mut self, now: Nanos, is_resumed: bool) {
        if self.holds(now) {
            let Handshaken { full, resumed } = &mut self.handshakes;
            *(if is_resumed { resumed } else { full }) += 1;
        }
    }

    /// Peers said something to each other.
    pub(crate) fn relay(&mut self, now: Nanos, count: impl FnOnce(&mut Relayed)) {
        if self.holds(now) {
            count(&mut self.relayed);
        }
    }

    /// A reply that is no answer: the tracker says no, or what it says makes no sense.
    pub(crate) fn error(&mut self, now: Nanos, text: impl FnOnce() -> String) {
        if self.holds(now) {
            self.errors += 1;
        }
        self.first_error.get_or_insert_with(text);
    }

    /// No reply came to what was due at `due`.
    pub(crate) fn lost(&mut self, due: Nanos) {
        if self.holds(due) {
            self.lost += 1;
            self.waited(due..due + STALL);
        }
    }

    /// Something waited for so long. Waits that overlap are one stall.
    fn waited(&mut self, wait: Range<Nanos>) {
        if wait.end.saturating_sub(wait.start) < STALL {
            return;
        }
        self.stalls += u64::from(self.stalls == 0 || wait.start > self.stalled_until);
        self.stalled_until = self.stalled_until.max(wait.end);
    }

    /// What was due at `due` could not be sent.
    pub(crate) fn unsent(&mut self, due: Nanos) {
        self.unsent += u64::from(self.holds(due));
    }

    /// Good replies inside the window.
    pub(crate) fn replies(&self) -> u64 {
        self.announces + self.scrapes
    }

    /// Latency in nanoseconds at a quantile from 0 to 1.
    pub(crate) fn latency(&self, quantile: f64) -> u64 {
        self.latency.value_at_quantile(quantile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::flight::{Asked, Flight, Kind};
    use crate::load::pace::Pace;

    const MILLI: Nanos = SECOND / 1_000;

    /// A server that answers at once, except that it does nothing from 100 to 200 ms.
    fn stalled(rate: Option<f64>) -> Tally {
        let mut tally = Tally::new();
        tally.open(0);
        let (mut pace, mut flight) = (Pace::new(rate), Flight::new(4));
        let mut waiting = Vec::new();
        for now in (0..SECOND).step_by(100_000) {
            for _ in 0..pace.due(now).min(flight.room() as u64) {
                let due = pace.take(now);
                waiting.push(flight.depart(Asked { kind: Kind::Announce, peer: 0, due, sent: now }).unwrap());
            }
            if !(100 * MILLI..200 * MILLI).contains(&now) {
                for asked in waiting.drain(..).filter_map(|transaction| flight.land(transaction)) {
                    tally.reply(asked.due, now + 1_000, Held::Peers(2), 32);
                }
            }
        }
        tally
    }

    #[test]
    fn all_that_were_due_in_a_stall_have_waited_for_its_end() {
        let tally = stalled(Some(1_000.0));
        // 100 of 1,000 requests were due in the stall: the 95th percentile is in the middle of their waits.
        assert!(tally.latency(0.95).abs_diff(50 * MILLI) < 4 * MILLI, "{}", tally.latency(0.95));
        assert!(tally.latency(1.0).abs_diff(100 * MILLI) < 4 * MILLI, "{}", tally.latency(1.0));
        assert!(tally.latency(0.85) < MILLI);
        assert_eq!(tally.replies(), 1_000);
        assert_eq!(tally.stalls, 1);
    }

    #[test]
    fn waits_that_overlap_are_one_stall_and_a_lost_reply_is_one() {
        let mut tally = Tally::new();
        tally.open(0);
        let mut reply = |due: Nanos, now: Nanos| {
            tally.reply(due * MILLI, now * MILLI, Held::Peers(0), 20);
            tally.stalls
        };
        assert_eq!(reply(10, 29), 0, "19 ms");
        assert_eq!(reply(30, 60), 1);
        assert_eq!(reply(40, 61), 1, "the same one");
        assert_eq!(reply(62, 63), 1);
        assert_eq!(reply(70, 95), 2);
        tally.lost(200 * MILLI);
        tally.lost(201 * MILLI);
        assert_eq!((tally.stalls, tally.lost), (3, 2));
    }

    #[test]
    fn a_closed_loop_sees_a_stall_once_for_each_request_in_its_window() {
        let tally = stalled(None);
        assert!(tally.latency(0.99) < MILLI);
        assert!(tally.latency(1.0).abs_diff(100 * MILLI) < 4 * MILLI);
    }

    #[test]
    fn warm_up_and_late_replies_do_not_count_as_throughput() {
        let mut tally = Tally::new();
        tally.reply(5, 8, Held::Peers(1), 26);
        tally.open(10);
        tally.reply(12, 15, Held::Peers(3), 38);
        tally.close(20);
        tally.reply(19, 25, Held::Peers(5), 50);
        assert_eq!((tally.replies(), tally.peers, tally.reply_bytes), (1, 3, 38));
        assert_eq!(tally.latency(1.0), 6, "the late one was due in time");
        tally.lost(9);
        tally.lost(19);
        assert_eq!(tally.lost, 1);
    }
}
