//! What one announce says of an identity.

use crate::swarm::Kind;
use crate::time::Time;

/// What an announce says, for whoever adds up what identities earn. It may be lost: each speaks for its own stretch of
/// time and its own bytes, so that what is lost is missing, and nothing is counted twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// A number or keyed hash of the torrent.
    pub torrent: u64,
    /// Bytes that are lacking now; [`Observation::NOT_SAID`] if that is not known.
    pub left: u64,
    /// The same at the announce before.
    pub lacked: u64,
    /// Bytes sent since the announce before.
    pub uploaded: u64,
    /// Bytes received since the announce before.
    pub downloaded: u64,
    /// Whose it is; [`Observation::NOBODY`] of a caller who is nobody in particular.
    pub slot: u32,
    /// When it was.
    pub now: Time,
    /// Seeders in the swarm.
    pub seeders: u32,
    /// Leechers in the swarm.
    pub leechers: u32,
    /// Seconds since the announce before; 0 for a first one. Ends at 18 hours.
    pub secs: u16,
    /// It has seeded since then, or wanted nothing more, and still does.
    pub has_seeded: bool,
    /// It can be introduced to others as a seeder.
    pub seeds: bool,
    /// The torrent was completed just now.
    pub completed: bool,
    /// It was the last one.
    pub stopped: bool,
    /// It was a first one, of a client that has nothing yet: what it lacks may be the size of the torrent.
    pub begins: bool,
}

const _: () = assert!(size_of::<Observation>() <= 64);

impl Observation {
    /// In place of a number of bytes.
    pub const NOT_SAID: u64 = u64::MAX;
    /// In place of a slot.
    pub const NOBODY: u32 = u32::MAX;
}

/// What is known of the announce before this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Before {
    /// Seconds since then.
    pub(crate) secs: u32,
    /// What its sender was and has been since, if that is certain.
    pub(crate) kind: Option<Kind>,
    /// Bytes that were lacking, or [`Observation::NOT_SAID`].
    pub(crate) left: u64,
}

impl Before {
    /// There was none.
    pub(crate) const NOTHING: Self = Self { secs: 0, kind: None, left: Observation::NOT_SAID };
}
