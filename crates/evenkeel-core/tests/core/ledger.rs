//! The books beside a naive ledger, and beside the truth.
//!
//! The naive ledger keeps all that every client ever said, and computes each booking from that list by the letter of the
//! rules. The truth is known of honest clients: they count bytes and say so, over two families, with announces that
//! overtake each other, are lost and come twice; nothing may ever be booked that was not moved.
//!
//! `EVENKEEL_SEQUENCES=1000000 cargo test --release -p evenkeel-core --test core ledger` runs as many sequences of each.

mod credit;
mod honest;
mod model;

use std::collections::BTreeMap;

use evenkeel_core::account::{
    Account, Allowance, Baseline, Booking, Claim, Factors, Sessions, Settled, TorrentNumber, UserNumber,
};
use evenkeel_core::{Rules, Time};
use evenkeel_wire::{Announce, Endpoint};

/// Sequences of each kind that are tried.
fn sequences() -> u64 {
    std::env::var("EVENKEEL_SEQUENCES").map_or(3_000, |count| count.parse().unwrap())
}

/// A table of sessions, and the store that its bookings go to.
pub(crate) struct Books {
    pub(crate) sessions: Sessions,
    pub(crate) rules: Rules,
    pub(crate) now: Time,
    /// What the clock that no restart turns back is ahead of `now`.
    ahead: i64,
    pub(crate) is_full: bool,
    pub(crate) factors: Factors,
    pub(crate) store: Store,
}

/// What is booked.
#[derive(Clone, Default)]
pub(crate) struct Store {
    pub(crate) sums: BTreeMap<(u32, u32), Sums>,
    /// With the time of the announce that each comes from, by a clock that no restart turns back.
    pub(crate) baselines: BTreeMap<(u32, u32, u64), (Baseline, i64)>,
}

/// Of one user on one torrent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) uploaded: u64,
    pub(crate) downloaded: u64,
    pub(crate) credited: u64,
    pub(crate) charged: u64,
    pub(crate) seeded_secs: u64,
    pub(crate) leeched_secs: u64,
    pub(crate) snatches: u32,
}

impl Store {
    fn take(&mut self, booking: &Booking, wall: i64) {
        let Booking { user, torrent, baseline, .. } = *booking;
        let sums = self.sums.entry((user.0, torrent.0)).or_default();
        let add = |sum: &mut u64, amount: u64| *sum = sum.saturating_add(amount);
        add(&mut sums.uploaded, booking.uploaded);
        add(&mut sums.downloaded, booking.downloaded);
        add(&mut sums.credited, booking.credited);
        add(&mut sums.charged, booking.charged);
        add(&mut sums.seeded_secs, booking.seeded_secs.into());
        add(&mut sums.leeched_secs, booking.leeched_secs.into());
        sums.snatches += u32::from(booking.snatched);
        self.baselines.insert((user.0, torrent.0, baseline.session.0), (baseline, wall));
    }
}

impl Books {
    pub(crate) fn new() -> Self {
        Self {
            sessions: Sessions::default(),
            rules: Rules::default(),
            now: Time(1_000_000),
            ahead: 0,
            is_full: false,
            factors: Factors::PLAIN,
            store: Store::default(),
        }
    }

    /// Books an announce.
    pub(crate) fn settle(&mut self, user: u32, torrent: u32, source: &Endpoint, ask: &Announce) -> Settled {
        let account = Account {
            user: UserNumber(user),
            torrent: TorrentNumber(torrent),
            factors: self.factors,
            allowance: Allowance::default(),
        };
        let claim = Claim { account: &account, source, ask };
        let settled = self.sessions.settle(&claim, self.now, &self.rules, self.is_full);
        let wall = self.wall();
        if let Some(booking) = &settled.booking {
            self.store.take(booking, wall);
        }
        settled
    }

    pub(crate) fn sums(&self, user: u32, torrent: u32) -> Sums {
        self.store.sums.get(&(user, torrent)).copied().unwrap_or_default()
    }

    /// The program ends and comes back `down_secs` later by its own reckoning; the store is as it was at `stored`.
    pub(crate) fn restart(&mut self, stored: Store, down_secs: u32) {
        self.sessions = Sessions::default();
        self.store = stored;
        let wall = self.wall() + i64::from(down_secs);
        self.now = Time(20_000);
        self.ahead = wall - i64::from(self.now.0);
        for (&(user, torrent, _), (baseline, last)) in &mut self.store.baselines {
            // A wall clock may have been turned back.
            *last = (*last).min(wall);
            let idle_secs = u32::try_from(wall - *last).unwrap();
            let whose = (UserNumber(user), TorrentNumber(torrent));
            self.sessions.restore(whose, (baseline, idle_secs), self.now, &self.rules);
        }
    }

    /// Now, by a clock that no restart turns back.
    pub(crate) fn wall(&self) -> i64 {
        i64::from(self.now.0) + self.ahead
    }
}
