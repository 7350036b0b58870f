//! A table of sessions; one for each part of a ledger.

use evenkeel_wire::{Announce, Endpoint, Event};

use super::group::Group;
pub use super::group::SESSIONS_PER_USER_AND_TORRENT_MAX;
use super::progress::Counters;
use super::session::{News, Session};
use super::{Account, Baseline, Booking, SessionId, TorrentNumber, UserNumber, clock_of, kept_secs};
use crate::analyst::{Before, Observation};
use crate::index::Hint;
use crate::rules::Rules;
use crate::table::Table;
use crate::time::Time;

/// Sessions, found by user and torrent.
#[derive(Default)]
pub struct Sessions {
    /// All sessions of one user on one torrent share a hash.
    rows: Table<Session>,
    /// Where the sweep goes on.
    sweep: usize,
}

/// An announce, and whom it is booked to.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Whom and what.
    pub account: &'a Account,
    /// Where it came from.
    pub source: &'a Endpoint,
    /// What it says.
    pub ask: &'a Announce,
}

/// What an announce means to the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// What is to be added; nothing of a session that is not known and stops, or for which there is no room.
    pub booking: Option<Booking>,
    /// There was no room for another session.
    pub is_unbooked: bool,
    /// Its user has no more clients on this torrent than it may.
    pub is_listed: bool,
    /// It announces again and again before the time.
    pub is_hasty: bool,
    /// The announce before of the same session.
    pub(crate) before: Option<Before>,
}

impl Sessions {
    /// Books an announce; when `is_full`, of known sessions only.
    pub fn settle(&mut self, claim: &Claim<'_>, now: Time, rules: &Rules, is_full: bool) -> Settled {
        let Account { user, torrent, .. } = *claim.account;
        let group = self.group((user, torrent), now, rules);
        let now = group.not_before(&self.rows, now);
        let id = SessionId::of(claim.ask);
        match group.positions().iter().copied().find(|at| self.rows[*at].id == id) {
            Some(own) => self.renew(claim, (&group, own), now, rules),
            None if claim.ask.event == Event::Stopped => Settled::NOTHING,
            None if is_full || self.rows.is_full() => Settled::UNBOOKED,
            None => self.begin(claim, group, now, rules),
        }
    }

    /// Takes up a stored baseline whose session announced last `idle_secs` ago. Answers whether it did: one that is
    /// known already, or was silent for too long, is left out.
    pub fn restore(
        &mut self,
        (user, torrent): (UserNumber, TorrentNumber),
        (baseline, idle_secs): (&Baseline, u32),
        now: Time,
        rules: &Rules,
    ) -> bool {
        let mut group = self.group((user, torrent), now, rules);
        let is_known = group.positions().iter().any(|at| self.rows[*at].id == baseline.session);
        let is_taken = !is_known && !group.is_full() && idle_secs <= kept_secs(rules);
        if is_taken && !self.rows.is_full() {
            group.push(
                self.rows.push(Session::restored((user, torrent), (baseline, idle_secs), now), hash_of),
            );
            if group.positions().iter().any(|at| self.rows[*at].is_snatched()) {
                self.mark_snatched(&group);
            }
        }
        is_taken
    }

    /// Forgets sessions that have been silent for as long as they are remembered, looking at no more than `budget`; the
    /// next call goes on where this one stopped. Answers whether it came to the end.
    pub fn sweep(&mut self, now: Time, rules: &Rules, budget: usize) -> bool {
        for _ in 0..budget {
            let Some(session) = self.rows.get(self.sweep) else {
                self.sweep = 0;
                return true;
            };
            if session.last().age(now) > kept_secs(rules) {
                self.rows.swap_remove(self.sweep, hash_of);
            } else {
                self.sweep += 1;
            }
        }
        false
    }

    /// Forgets the sessions of a torrent whose state is in doubt, after a panic: they begin anew, and credit nothing first.
    pub fn forget(&mut self, torrent: TorrentNumber) {
        while let Some(at) = self.rows.iter().position(|session| session.torrent == torrent) {
            self.rows.swap_remove(at, hash_of);
        }
    }

    /// See [`Table::show`].
    pub(crate) fn show(&self, hint: &Hint) {
        self.rows.show(hint);
    }

    /// Has the first of the sessions of a user on a torrent fetched, once its slot is there.
    pub(crate) fn prefetch_row(&self, (user, torrent): (UserNumber, TorrentNumber)) {
        self.rows.prefetch_row(hash(user, torrent));
    }

    /// Sessions that are remembered.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Memory that the table takes.
    pub fn bytes(&self) -> usize {
        self.rows.bytes()
    }

    /// Books an announce of a session that is known.
    fn renew(
        &mut self,
        claim: &Claim<'_>,
        (group, own): (&Group, usize),
        now: Time,
        rules: &Rules,
    ) -> Settled {
        let ask = claim.ask;
        let session = &mut self.rows[own];
        let was_live = session.is_live(now, rules.peer_ttl_secs());
        let (secs_since, lacked) = (session.last().age(now), session.left());
        let when = (now, rules.min_interval_secs);
        let is_hasty = session.note_address(claim.source, ask.event, when) && was_live;
        let news = session.renew(claim.source, ask, now, rules.interval_secs);
        let stays_listed = session.is_listed && was_live;
        let did = news.did.filter(|_| was_live);
        let clock = did.and_then(clock_of);
        let secs = group.run(&mut self.rows, own, clock, now);
        let is_listed = ask.event != Event::Stopped
            && (stays_listed || self.has_room(claim.account, (group, own), now, rules));
        self.rows[own].is_listed = is_listed;
        let booking = self.book(claim.account, (group, own), secs, &news);
        // Whoever stops is not told that it is not listed.
        let is_listed = is_listed || ask.event == Event::Stopped;
        let left = lacked.unwrap_or(Observation::NOT_SAID);
        let before = Some(Before { secs: secs_since, kind: did, left });
        Settled { booking: Some(booking), is_unbooked: false, is_listed, is_hasty, before }
    }

    /// Books the first announce of a session: no amount, but where the next difference begins.
    fn begin(&mut self, claim: &Claim<'_>, group: Group, now: Time, rules: &Rules) -> Settled {
        let Account { user, torrent, .. } = *claim.account;
        let mut group = group;
        if let Some(oldest) = group.oldest(&self.rows, now).filter(|_| group.is_full()) {
            self.rows.swap_remove(oldest, hash_of);
            group = self.group((user, torrent), now, rules);
        }
        let mut session = Session::new((user, torrent), (claim.source, claim.ask), now);
        session.covered = group.covered(&self.rows, now);
        if group.positions().iter().any(|at| self.rows[*at].is_snatched()) {
            session.mark_snatched();
        }
        let completes = session.has_completed();
        let own = self.rows.push(session, hash_of);
        group.push(own);
        let is_listed = self.has_room(claim.account, (&group, own), now, rules);
        self.rows[own].is_listed = is_listed;
        let news = News { moved: Counters::ZERO, completes, did: None };
        let booking = self.book(claim.account, (&group, own), [0; 2], &news);
        Settled { booking: Some(booking), is_unbooked: false, is_listed, is_hasty: false, before: None }
    }

    /// Whether the user may have another client on the torrent. One on two addresses is one session.
    fn has_room(&self, account: &Account, (group, own): (&Group, usize), now: Time, rules: &Rules) -> bool {
        let max = account.allowance.clients_max.unwrap_or(rules.clients_per_user_and_torrent_max);
        let others = group.positions().iter().filter(|at| **at != own).map(|at| &self.rows[*at]);
        let listed = others.filter(|other| other.is_listed && other.is_live(now, rules.peer_ttl_secs()));
        listed.count() < max as usize
    }

    fn book(
        &mut self,
        account: &Account,
        (group, own): (&Group, usize),
        [seeded_secs, leeched_secs]: [u32; 2],
        news: &News,
    ) -> Booking {
        let snatched = news.completes && !self.rows[own].is_snatched();
        if snatched {
            self.mark_snatched(group);
        }
        let Counters { uploaded, downloaded } = news.moved;
        Booking {
            user: account.user,
            torrent: account.torrent,
            uploaded,
            downloaded,
            credited: account.factors.credited(uploaded),
            charged: account.factors.charged(downloaded),
            seeded_secs,
            leeched_secs,
            snatched,
            baseline: self.rows[own].baseline(),
        }
    }

    /// Whoever of them is remembered longest knows that the torrent is completed.
    fn mark_snatched(&mut self, group: &Group) {
        group.positions().iter().for_each(|at| self.rows[*at].mark_snatched());
    }

    /// The sessions of a user on a torrent, without those that the sweep has not come to yet.
    fn group(&mut self, (user, torrent): (UserNumber, TorrentNumber), now: Time, rules: &Rules) -> Group {
        loop {
            let (mut group, mut stale) = (Group::default(), None);
            self.rows.find(hash(user, torrent), |at, session| {
                if (session.user, session.torrent) == (user, torrent) {
                    group.push(at);
                    stale = (session.last().age(now) > kept_secs(rules)).then_some(at).or(stale);
                }
                false
            });
            match stale {
                Some(at) => self.rows.swap_remove(at, hash_of),
                None => return group,
            }
        }
    }
}

impl Settled {
    const NOTHING: Self =
        Self { booking: None, is_unbooked: false, is_listed: true, is_hasty: false, before: None };
    const UNBOOKED: Self = Self { is_unbooked: true, ..Self::NOTHING };
}

fn hash_of(session: &Session) -> u64 {
    hash(session.user, session.torrent)
}

pub(super) fn hash(UserNumber(user): UserNumber, TorrentNumber(torrent): TorrentNumber) -> u64 {
    super::spread(u64::from(user) << 32 | u64::from(torrent))
}
