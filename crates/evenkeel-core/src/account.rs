//! The books: how much a user has sent and received of a torrent, and for how long, exactly once.
//!
//! A client says how much it has moved since it started. What is booked is the difference between two announces of one
//! *session*: a user, a torrent, and the `key` or peer id of its client, on however many addresses. Of whatever is
//! unclear less is booked, never more: the first announce of a session, and counters that go backwards, credit
//! nothing. A [`Booking`] carries what is to be added and the baseline that it was measured from; both are stored
//! together, so that after a restart the next difference begins where the last stored one ended.
//!
//! Known weakness: all of it is what clients say of themselves.

mod factors;
mod group;
mod ledger;
mod progress;
mod session;
mod sessions;
mod sources;

use evenkeel_wire::Announce;
use siphasher::sip::SipHasher13;

pub use factors::{Factors, Terms};
pub use ledger::{Held, Ledger, PARTS};
pub use sessions::{Claim, SESSIONS_PER_USER_AND_TORRENT_MAX, Sessions, Settled};

use crate::rules::Rules;
use crate::swarm::Kind;

/// How long a baseline is kept after its session has been silent for its time to live: a client that comes back within
/// that time goes on where it was.
pub const BASELINE_SECS: u32 = 6 * 3600;

/// Number of a user in the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserNumber(pub u32);

/// Number of a torrent in the books; it has one, however many info hashes it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TorrentNumber(pub u32);

/// Whom and what an announce is booked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Who announces.
    pub user: UserNumber,
    /// Which torrent.
    pub torrent: TorrentNumber,
    /// What of it counts, now.
    pub factors: Factors,
    /// What the user may have at once.
    pub allowance: Allowance,
}

/// What a user may have at once, where that is another number than for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Allowance {
    /// Clients on one torrent, instead of [`crate::rules::CLIENTS_PER_USER_AND_TORRENT_MAX`].
    pub clients_max: Option<u32>,
    /// Addresses over all torrents, instead of [`crate::rules::ADDRESSES_PER_USER_MAX`].
    pub addresses_max: Option<u32>,
}

/// Tells the clients of one user on one torrent apart: a hash of `key`, or of the peer id if there is none.
///
/// The hash has no secret key, since it is stored and outlives the program. A user can choose a number that another of
/// its own clients has; it can as well choose that client's `key`, and gains nothing by either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

impl SessionId {
    /// Of the client that announces.
    pub fn of(ask: &Announce) -> Self {
        match ask.key.as_bytes() {
            [] => Self(SipHasher13::new_with_keys(0, 1).hash(&ask.peer_id.0)),
            key => Self(SipHasher13::new_with_keys(0, 0).hash(key)),
        }
    }
}

/// What an announce adds to the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Booking {
    /// Whose it is.
    pub user: UserNumber,
    /// Of which torrent.
    pub torrent: TorrentNumber,
    /// Bytes sent.
    pub uploaded: u64,
    /// Bytes received.
    pub downloaded: u64,
    /// Bytes sent, as far as they count.
    pub credited: u64,
    /// Bytes received, as far as they count.
    pub charged: u64,
    /// Seconds in which at least one of the user's clients seeded the torrent, and that were not booked before.
    pub seeded_secs: u32,
    /// The same of seconds in which one of them downloaded it.
    pub leeched_secs: u32,
    /// The torrent was completed just now. Once while any session of this user and torrent is remembered; the books
    /// keep the first for good.
    pub snatched: bool,
    /// Where the next difference of this session begins.
    pub baseline: Baseline,
}

/// What has to be stored of a session for it to go on after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Baseline {
    /// Which of the user's clients.
    pub session: SessionId,
    /// Its counter of bytes sent.
    pub uploaded: u64,
    /// Its counter of bytes received.
    pub downloaded: u64,
    /// Bytes it lacks, if it said so.
    pub left: Option<u64>,
    /// What else is known of it.
    pub run: Run,
    /// It has said that it stops.
    pub is_stopped: bool,
}

/// What is known of a session besides its counters, as it is stored; only this module knows what the bits mean. Without
/// it (0) a session goes on all the same, but may count as new what came late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Run(pub u8);

/// How long a session is remembered after its last announce.
pub fn kept_secs(rules: &Rules) -> u32 {
    rules.peer_ttl_secs() + BASELINE_SECS
}

/// What is counted in seconds. A partial seed counts as neither.
fn clock_of(kind: Kind) -> Option<usize> {
    match kind {
        Kind::Seeder => Some(SEEDING),
        Kind::Leecher => Some(LEECHING),
        Kind::Partial => None,
    }
}

const SEEDING: usize = 0;
const LEECHING: usize = 1;

/// Numbers of users and torrents are the books' own, so that nobody can choose where they land. This spreads them (the
/// finish of SplitMix64): the index takes its bucket from the low bits and its tag from the high ones.
pub(crate) fn spread(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ bits >> 31
}
