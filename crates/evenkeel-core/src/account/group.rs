//! The sessions of one user on one torrent, and the time that they share.
//!
//! A clock (seeding, downloading) runs from one announce of a session to its next, if the session is in that state. Of
//! several sessions each second counts once. A session knows how many seconds were booked of the time before its last
//! announce; so what is new of the time since is known without a list of what was booked when.

use super::session::Session;
use crate::time::Time;

/// Sessions that are remembered of one user on one torrent; the one that has been silent for longest makes room.
pub const SESSIONS_PER_USER_AND_TORRENT_MAX: usize = 16;

/// Where they are in the table.
#[derive(Clone, Copy, Default)]
pub(super) struct Group {
    at: [usize; SESSIONS_PER_USER_AND_TORRENT_MAX],
    len: usize,
}

impl Group {
    pub(super) fn push(&mut self, at: usize) {
        if let Some(slot) = self.at.get_mut(self.len) {
            *slot = at;
            self.len += 1;
        }
    }

    pub(super) fn positions(&self) -> &[usize] {
        &self.at[..self.len]
    }

    pub(super) fn is_full(&self) -> bool {
        self.len == self.at.len()
    }

    /// The one that has been silent for longest.
    pub(super) fn oldest(&self, sessions: &[Session], now: Time) -> Option<usize> {
        self.positions().iter().copied().max_by_key(|at| sessions[*at].last().age(now))
    }

    fn newest(&self, sessions: &[Session], now: Time) -> Option<usize> {
        self.positions().iter().copied().min_by_key(|at| sessions[*at].last().age(now))
    }

    /// The time of an announce: never before that of another one, whatever the clock does.
    pub(super) fn not_before(&self, sessions: &[Session], now: Time) -> Time {
        let lasts = self.positions().iter().map(|at| sessions[*at].last());
        lasts.fold(now, |now, last| if now.age(last) > 0 { last } else { now })
    }

    /// Seconds of each clock that were booked until now.
    pub(super) fn covered(&self, sessions: &[Session], now: Time) -> [u32; 2] {
        self.newest(sessions, now).map_or([0; 2], |at| sessions[at].covered)
    }

    /// Runs a clock, or none, from the last announce of a session until now, when it announces again. Answers the seconds
    /// that were not booked yet.
    pub(super) fn run(
        &self,
        sessions: &mut [Session],
        own: usize,
        clock: Option<usize>,
        now: Time,
    ) -> [u32; 2] {
        let mut covered = self.covered(sessions, now);
        let mut booked = [0; 2];
        if let Some(clock) = clock {
            let (before, last) = (sessions[own].covered, sessions[own].last());
            let until = |moment: Time| before[clock].wrapping_add(last.age(moment));
            booked[clock] = until(now).wrapping_sub(covered[clock]);
            covered[clock] = until(now);
            // All of the time until then is covered now, for those who announced meanwhile, too.
            for at in self.positions() {
                let other = &mut sessions[*at];
                if last.age(other.last()) > 0 {
                    other.covered[clock] = until(other.last());
                }
            }
        }
        sessions[own].end_at(now, covered);
        booked
    }
}
