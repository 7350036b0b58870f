//! One client of one user on one torrent: a row of the table.

use evenkeel_wire::{Announce, Endpoint, Event};

use super::progress::{Counters, Progress, Said, Step};
use super::{Baseline, Run, SessionId, TorrentNumber, UserNumber};
use crate::swarm::Kind;
use crate::time::Time;

/// What is remembered of it.
#[derive(Clone, Copy)]
pub(super) struct Session {
    pub(super) user: UserNumber,
    pub(super) torrent: TorrentNumber,
    pub(super) id: SessionId,
    progress: Progress,
    left: u64,
    /// Of each clock, seconds that were booked of the time before its last announce; see [`super::group`].
    pub(super) covered: [u32; 2],
    /// Where it has announced from, in either family, and when.
    v4: [u8; 6],
    v6: [u8; 18],
    seen: [Time; 2],
    pub(super) kind: Kind,
    is_stopped: bool,
    /// One of as many as a user may have on a torrent: others are told of it.
    pub(super) is_listed: bool,
    /// Since its last announce it has been in the state that it told then, as far as is known.
    is_timed: bool,
    is_hasty: bool,
}

const _: () = assert!(size_of::<Session>() == 120);

/// What is new in an announce of a known session.
pub(super) struct News {
    pub(super) moved: Counters,
    /// The client has completed the torrent since its announce before.
    pub(super) completes: bool,
    /// What it has done since then, if that is certain.
    pub(super) did: Option<Kind>,
}

impl Session {
    /// Of a client that is not known.
    pub(super) fn new(
        (user, torrent): (UserNumber, TorrentNumber),
        (from, ask): (&Endpoint, &Announce),
        now: Time,
    ) -> Self {
        let completes = ask.event == Event::Completed && ask.left == Some(0);
        let progress = Progress::begin(&Said { completes, ..said(from, ask, now) });
        let id = SessionId::of(ask);
        let kind = Kind::of(ask);
        let mut session = Self { kind, is_timed: true, ..Self::empty((user, torrent), id, progress) };
        session.left = ask.left.unwrap_or(NOT_SAID);
        session.note_address(from, ask.event, (now, 0));
        session
    }

    /// As it was stored `idle_secs` after its last announce.
    pub(super) fn restored(
        whose: (UserNumber, TorrentNumber),
        (baseline, idle_secs): (&Baseline, u32),
        now: Time,
    ) -> Self {
        let Baseline { session, uploaded, downloaded, left, run, is_stopped } = *baseline;
        let progress = Progress::resume(Counters { uploaded, downloaded }, run, (now.before(idle_secs), now));
        Self {
            left: left.unwrap_or(NOT_SAID),
            kind: if left == Some(0) { Kind::Seeder } else { Kind::Leecher },
            is_stopped,
            is_listed: !is_stopped,
            ..Self::empty(whose, session, progress)
        }
    }

    fn empty((user, torrent): (UserNumber, TorrentNumber), id: SessionId, progress: Progress) -> Self {
        Self {
            user,
            torrent,
            id,
            progress,
            left: NOT_SAID,
            covered: [0; 2],
            v4: [0; 6],
            v6: [0; 18],
            seen: [progress.last; 2],
            kind: Kind::Leecher,
            is_stopped: false,
            is_listed: false,
            is_timed: false,
            is_hasty: false,
        }
    }

    /// What has to be stored of it.
    pub(super) fn baseline(&self) -> Baseline {
        Baseline {
            session: self.id,
            uploaded: self.progress.booked.uploaded,
            downloaded: self.progress.booked.downloaded,
            left: self.left(),
            run: self.progress.run,
            is_stopped: self.is_stopped,
        }
    }

    /// Bytes it lacks, if it said so.
    pub(super) fn left(&self) -> Option<u64> {
        (self.left != NOT_SAID).then_some(self.left)
    }

    /// It has said that it completed.
    pub(super) fn has_completed(&self) -> bool {
        self.progress.has_completed()
    }

    /// Its user has completed the torrent.
    pub(super) fn is_snatched(&self) -> bool {
        self.progress.run.has(Run::SNATCHED)
    }

    pub(super) fn mark_snatched(&mut self) {
        self.progress.run = self.progress.run.with(Run::SNATCHED);
    }

    /// When it announced last.
    pub(super) fn last(&self) -> Time {
        self.progress.last
    }

    /// Takes up another announce. When that was is set apart, by [`Session::end_at`]: clocks need the time before, too.
    pub(super) fn renew(&mut self, from: &Endpoint, ask: &Announce, now: Time, interval_secs: u32) -> News {
        let was_incomplete = self.left != 0 && self.left != NOT_SAID;
        let completes = ask.left == Some(0) && (was_incomplete || ask.event == Event::Completed);
        let said = Said { completes, ..said(from, ask, now) };
        let step = self.progress.advance(&said, interval_secs);
        let mut did = (self.is_timed && !self.is_stopped).then_some(self.kind);
        match (step, ask.event) {
            (Step::On(_), _) | (Step::Unclear, Event::Started) => {
                self.is_timed = true;
                self.is_stopped = ask.event == Event::Stopped;
                self.kind = Kind::of(ask);
                self.left = ask.left.unwrap_or(NOT_SAID);
                // To seed is to have everything at both ends.
                did = did.filter(|did| *did != Kind::Seeder || self.kind == Kind::Seeder);
            }
            // It may have stopped, or not.
            (_, Event::Stopped) => {
                self.is_timed = false;
                did = None;
            }
            _ => {}
        }
        let Step::On(moved) = step else {
            return News { moved: Counters::ZERO, completes: false, did };
        };
        if completes {
            self.progress.complete();
        }
        News { moved, completes, did }
    }

    /// Notes when it announced, and what of the time before that is booked.
    pub(super) fn end_at(&mut self, now: Time, covered: [u32; 2]) {
        self.progress.last = now;
        self.covered = covered;
    }

    /// Notes where an announce came from; answers whether that address announces too often: sooner than it may, for the
    /// second time in a row. The first time may be a second URL of this tracker.
    pub(super) fn note_address(
        &mut self,
        from: &Endpoint,
        event: Event,
        (now, min_secs): (Time, u32),
    ) -> bool {
        let is_same = match from {
            Endpoint::V4(addr) => std::mem::replace(&mut self.v4, *addr) == *addr,
            Endpoint::V6(addr) => std::mem::replace(&mut self.v6, *addr) == *addr,
        };
        let seen = std::mem::replace(&mut self.seen[family(from)], now);
        let is_early = is_same && seen.age(now) < min_secs;
        let was_hasty = std::mem::replace(&mut self.is_hasty, is_early);
        was_hasty && is_early && event == Event::Update
    }

    /// The user's client is on the torrent now.
    pub(super) fn is_live(&self, now: Time, ttl_secs: u32) -> bool {
        !self.is_stopped && self.last().age(now) <= ttl_secs
    }
}

/// Not a number of bytes that anybody lacks.
const NOT_SAID: u64 = u64::MAX;

/// Of a session that was not known.
fn said(from: &Endpoint, ask: &Announce, now: Time) -> Said {
    let family = family(from);
    Said { counters: ask.into(), event: ask.event, family, completes: false, now }
}

fn family(endpoint: &Endpoint) -> usize {
    match endpoint {
        Endpoint::V4(_) => 0,
        Endpoint::V6(_) => 1,
    }
}
