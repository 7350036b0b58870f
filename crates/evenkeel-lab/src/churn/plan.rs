//! What becomes of a socket, drawn before it opens.

use std::time::Duration;

use evenkeel_wire::PeerId;

use super::Options;
use crate::population::Popularity;

/// Most torrents of one socket.
const TORRENTS_MAX: usize = 5;

/// Of those that are open at a time, one in so many lasts to the end: a share of all that come would fill every place
/// within the hour.
const LASTING_ONE_IN: u16 = 10;
/// Shares of all sockets: those that never read, that speak for several peers.
const SLOW: f64 = 0.005;
const SHARED: f64 = 0.05;

/// How many times longer than others those live that never read.
const SLOW_LASTS: f64 = 20.0;

/// How a socket ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// `stopped` for each torrent, then the closing handshake.
    Stopped,
    /// The closing handshake alone.
    Closed,
    /// A reset: the program was killed.
    Reset,
    /// The connection ends in the middle of a message.
    Truncated,
    /// Neither reads nor writes any more, and stays open: the machine lost its network.
    Silent,
}

impl End {
    pub(super) const ALL: [Self; 5] =
        [Self::Stopped, Self::Closed, Self::Reset, Self::Truncated, Self::Silent];

    /// What the report calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stopped => "`stopped` for each torrent, then a close",
            Self::Closed => "a close without `stopped`",
            Self::Reset => "a reset",
            Self::Truncated => "cut within a message",
            Self::Silent => "silent, and left open",
        }
    }

    fn draw(rng: &mut fastrand::Rng) -> Self {
        match rng.u8(..100) {
            0..35 => Self::Stopped,
            35..60 => Self::Closed,
            60..80 => Self::Reset,
            80..97 => Self::Truncated,
            _ => Self::Silent,
        }
    }
}

/// One socket.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// No other socket has it.
    pub number: u32,
    pub source: u16,
    /// `None`: until the test is over.
    pub lasts: Option<Duration>,
    /// Whether it ever reads.
    pub reads: bool,
    /// Each torrent has a peer id of its own.
    pub is_shared: bool,
    /// No torrent twice.
    pub torrents: Vec<usize>,
    pub end: End,
    pub seed: u64,
}

impl Plan {
    /// Who announces the `slot`-th torrent.
    pub(super) fn peer_id(&self, slot: usize) -> PeerId {
        let mut id = *b"-EL0001-000000000000";
        let mut number = u64::from(self.number) << 16 | if self.is_shared { slot as u64 } else { 0 };
        for digit in id[8..].iter_mut().rev() {
            *digit = b"0123456789abcdef"[(number & 15) as usize];
            number >>= 4;
        }
        PeerId(id)
    }
}

/// The socket that a peer id was made for.
pub(super) fn number_of(peer_id: &PeerId) -> Option<u32> {
    let digits = peer_id.0.strip_prefix(b"-EL0001-")?.get(..8)?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Draws plans.
pub(super) struct Draw {
    rng: fastrand::Rng,
    popularity: Popularity,
    torrents: usize,
    mean_secs: f64,
    sources: u16,
    next: u32,
    /// Sockets that may still be drawn to last to the end.
    lasting_left: u16,
    /// All end by closing, and none is slow: the server is done with them at once.
    pub is_polite: bool,
}

impl Draw {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(options.seed),
            popularity: Popularity::new(options.torrents, options.zipf),
            torrents: options.torrents as usize,
            mean_secs: options.lifetime,
            sources: options.sources,
            next: 0,
            lasting_left: options.sockets / LASTING_ONE_IN,
            is_polite: true,
        }
    }

    pub(super) fn plan(&mut self) -> Plan {
        let rng = &mut self.rng;
        self.next += 1;
        let reads = self.is_polite || rng.f64() >= SLOW;
        let wanted = if rng.bool() { 1 } else { rng.usize(2..=TORRENTS_MAX) };
        // One who never reads is where most is said, and long enough to fill what the server keeps for it.
        let mut torrents: Vec<usize> = if reads {
            (0..wanted).map(|_| self.popularity.draw(rng) as usize).collect()
        } else {
            (0..TORRENTS_MAX.min(self.torrents)).collect()
        };
        torrents.sort_unstable();
        torrents.dedup();
        let drawn = -(1.0 - rng.f64()).ln() * self.mean_secs * if reads { 1.0 } else { SLOW_LASTS };
        let end = match End::draw(rng) {
            End::Silent if self.is_polite => End::Closed,
            end => end,
        };
        let is_lasting = !self.is_polite && self.lasting_left > 0 && rng.u16(..LASTING_ONE_IN) == 0;
        self.lasting_left -= u16::from(is_lasting);
        Plan {
            number: self.next,
            source: rng.u16(..self.sources),
            lasts: (!is_lasting).then(|| Duration::from_secs_f64(drawn.min(86_400.0))),
            reads,
            is_shared: rng.f64() < SHARED,
            torrents,
            end,
            seed: rng.u64(..),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_of_every_kind_and_peer_ids_tell_their_socket() {
        let mut draw = Draw::new(&Options { torrents: 50, ..Options::example() });
        draw.is_polite = false;
        let plans: Vec<_> = (0..2_000).map(|_| draw.plan()).collect();
        for end in End::ALL {
            assert!(plans.iter().any(|plan| plan.end == end), "{end:?}");
        }
        let count = |is: fn(&Plan) -> bool| plans.iter().filter(|plan| is(plan)).count();
        assert!((2..40).contains(&count(|plan| !plan.reads)));
        assert!((100..=200).contains(&count(|plan| plan.lasts.is_none())));
        let later: Vec<_> = (0..20_000).map(|_| draw.plan()).collect();
        assert!(
            later.iter().filter(|plan| plan.lasts.is_none()).count() <= 100,
            "they fill a tenth of the places"
        );
        assert!(count(|plan| plan.is_shared && plan.torrents.len() > 1) > 10);
        for plan in &plans {
            for slot in 0..plan.torrents.len() {
                assert_eq!(number_of(&plan.peer_id(slot)), Some(plan.number));
            }
        }
        assert_eq!(number_of(&PeerId(*b"-WW0091-000000010000")), None);
    }
}
