//! What the journal hands to the store, and what the store tells of it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A user, by the id of the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UserId(pub i64);

/// A torrent, by the id of the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TorrentId(pub i64);

/// One client of one user on one torrent: a fingerprint of what it calls itself, the same after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SessionId(pub u64);

/// One running tracker: a number that its state directory keeps. Positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NodeId(pub i64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What is booked together. Each list is sorted, and names nothing twice: then no two nodes wait for each other, and a
/// database walks through its index once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Who books.
    pub node: NodeId,
    /// What the store had booked of this node when the batch was made, as far as the node knew.
    pub after: u64,
    /// The number of this batch, greater than `after`.
    pub sequence: u64,
    /// Wall clock, in seconds since 1970.
    pub at_secs: i64,
    /// By user and torrent.
    pub increments: Vec<Increment>,
    /// By user, torrent and session.
    pub sessions: Vec<SessionRow>,
    /// By torrent.
    pub counts: Vec<Counts>,
    /// By key.
    pub key_uses: Vec<KeyUse>,
}

impl Default for NodeId {
    fn default() -> Self {
        Self(1)
    }
}

impl Batch {
    /// Whether it is booked already, when the store has booked up to `stored`. Less than what we knew of is what a
    /// database has that was restored, or whose stand-in took over: it gets what is new, and what it lost is lost.
    pub(super) fn is_booked(&self, stored: u64) -> Result<bool, super::Error> {
        if stored == self.sequence {
            Ok(true)
        } else if stored <= self.after {
            Ok(false)
        } else {
            Err(super::Error::Conflict { node: self.node, stored })
        }
    }

    /// How many rows it changes.
    pub fn rows(&self) -> usize {
        self.increments.len() + self.sessions.len() + self.counts.len() + self.key_uses.len()
    }
}

/// What is added to the books of a user and torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Increment {
    /// Whose.
    pub user: UserId,
    /// On what.
    pub torrent: TorrentId,
    /// Bytes that the user's clients say to have sent.
    pub uploaded: u64,
    /// Bytes that they say to have got.
    pub downloaded: u64,
    /// Bytes credited for the former.
    pub credited: u64,
    /// Bytes charged for the latter.
    pub charged: u64,
    /// Seconds with a seeding client.
    pub seeded_secs: u64,
    /// Seconds with a leeching client.
    pub leeched_secs: u64,
    /// When it was completed, in seconds since 1970. The first one that is booked stays.
    pub snatched_at: Option<i64>,
}

/// The counters that a session was last booked with. Absolute, unlike increments: what is booked next is the difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// Whose.
    pub user: UserId,
    /// On what.
    pub torrent: TorrentId,
    /// Which.
    pub session: SessionId,
    /// Counter of bytes sent.
    pub uploaded: u64,
    /// Counter of bytes got.
    pub downloaded: u64,
    /// Bytes lacking, if it said so.
    pub left: Option<u64>,
    /// What else the core knows of it, as it means it.
    pub run: u8,
    /// Wall clock of the announce, in seconds since 1970.
    pub seen_at: i64,
    /// Whether it said `stopped`.
    pub is_stopped: bool,
}

/// Who is in a torrent's swarm now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Which.
    pub torrent: TorrentId,
    /// Those with everything.
    pub seeders: u32,
    /// Those who lack something, and want it.
    pub leechers: u32,
    /// Those who lack something, and do not want it (BEP 21).
    pub partial: u32,
}

/// When an announce key was last used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyUse {
    /// Id of its row.
    pub key: i64,
    /// Wall clock, in seconds since 1970.
    pub at_secs: i64,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is booked.
    Now,
    /// It was already.
    Before,
}

/// Sums of one user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// See [`Increment::uploaded`].
    pub uploaded: u64,
    /// See [`Increment::downloaded`].
    pub downloaded: u64,
    /// See [`Increment::credited`].
    pub credited: u64,
    /// See [`Increment::charged`].
    pub charged: u64,
    /// Over all torrents.
    pub seeded_secs: u64,
    /// Over all torrents.
    pub leeched_secs: u64,
    /// Torrents completed.
    pub snatches: u64,
}

/// What one user did on one torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Book {
    /// See [`Increment::uploaded`].
    pub uploaded: u64,
    /// See [`Increment::downloaded`].
    pub downloaded: u64,
    /// See [`Increment::credited`].
    pub credited: u64,
    /// See [`Increment::charged`].
    pub charged: u64,
    /// See [`Increment::seeded_secs`].
    pub seeded_secs: u64,
    /// See [`Increment::leeched_secs`].
    pub leeched_secs: u64,
    /// See [`Increment::snatched_at`].
    pub snatched_at: Option<i64>,
    /// When it was first booked, in seconds since 1970.
    pub first_at: i64,
    /// When it was last booked.
    pub last_at: i64,
}

/// A torrent's figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TorrentStats {
    /// Who is there, as last flushed.
    pub counts: Counts,
    /// Snatches: completions, one for each user.
    pub completed: u64,
    /// Sum of what was said to be sent.
    pub uploaded: u64,
    /// Sum of what was said to be got. The difference to `uploaded` is the torrent's imbalance.
    pub downloaded: u64,
    /// When there last was a seeder, in seconds since 1970.
    pub seed_seen_at: Option<i64>,
}

/// An hour or a day of a torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hour {
    /// Its beginning, in seconds since 1970.
    pub from_secs: i64,
    /// The most seeders of any flush.
    pub seeders: u64,
    /// The most leechers.
    pub leechers: u64,
    /// The most partial seeds.
    pub partial: u64,
    /// Snatches in it.
    pub completed: u64,
    /// Bytes said to be sent in it.
    pub uploaded: u64,
    /// Bytes said to be got in it.
    pub downloaded: u64,
}

/// What [`super::Store::tidy`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Baselines of sessions.
    pub sessions: u64,
    /// Entries of the change log.
    pub changes: u64,
    /// Hours, whose days stay.
    pub hours: u64,
    /// Announce keys that nobody used.
    pub keys: u64,
}
