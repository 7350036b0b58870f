//! Everybody whom a caller may be given, and what a policy says of each.

use std::ops::{Range, RangeInclusive};

use super::handout::{Handout, Room};
use super::random::draw;
use super::{Asker, Chance, may_connect};
use crate::prefetch;
use crate::scope::Scope;
use crate::swarm::{Family, List, Peer, PeerKey, RANKS, Record, Spot, Starts, View, WebPeer, leecher_rank};

/// Which of a swarm's peers: those of some ranks, which are next to each other in its lists.
pub(super) type Part = Range<u8>;

/// Peers of all kinds.
pub(super) const ALL: Part = 0..RANKS;
pub(super) const SEEDERS: Part = 0..1;
/// Those that lack something.
pub(super) const OTHERS: Part = 1..RANKS;

/// Leechers of tiers from one to another.
pub(super) fn of_tiers(tiers: &RangeInclusive<u8>) -> Part {
    leecher_rank(*tiers.end())..leecher_rank(*tiers.start()) + 1
}

/// What a policy says of a peer that the caller might be given. The smaller, the sooner it is its turn; a number, and not one
/// of three things, since it is made for a hundred peers of an announce without a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Verdict(u32);

impl Verdict {
    pub(super) const OPEN: Self = Self(0);
    pub(super) const NEVER: Self = Self(1 << 31);

    /// Not now, and later than those with smaller lots, of which 31 bits are kept.
    #[inline]
    pub(super) const fn closed(lot: u64) -> Self {
        Self((lot >> 33) as u32 | 1)
    }

    #[inline]
    pub(super) const fn number(self) -> u32 {
        self.0
    }
}

/// A policy's rule for single peers.
pub(super) trait Judge {
    /// What is said of a record. Where it is in which list comes with it, for what is kept beside.
    fn judge<R: Record>(&self, record: &R, place: (&List<'_, R>, usize)) -> Verdict;

    /// Nobody has to be asked about.
    fn lets_everybody_in(&self) -> bool {
        false
    }
}

/// A swarm has less than 2^24 records.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "it is small")]
fn number(of_record: usize) -> u32 {
    of_record as u32
}

/// The rule of `random`.
pub(super) struct Anybody;

impl Judge for Anybody {
    #[inline]
    fn judge<R: Record>(&self, _: &R, _: (&List<'_, R>, usize)) -> Verdict {
        Verdict::OPEN
    }

    #[inline]
    fn lets_everybody_in(&self) -> bool {
        true
    }
}

/// No number: a swarm has less than 2^24 records.
const NOBODY: u32 = u32::MAX;

/// A swarm as a caller sees it.
pub(super) struct Everybody<'a> {
    asker: &'a Asker<'a>,
    scope: Scope,
    /// Nobody's scope has to be looked at.
    all_global: bool,
    /// Where the parts are, if that is known already.
    starts: Option<&'a Starts>,
    v4: List<'a, Peer<6>>,
    v6: List<'a, Peer<18>>,
    web: List<'a, WebPeer>,
}

impl<'a> Everybody<'a> {
    /// Where the parts are need not be known already if one of them is asked for.
    #[inline(always)]
    pub(super) fn of(swarm: View<'a>, asker: &'a Asker<'a>, starts: Option<&'a Starts>) -> Self {
        let (scope, all_global) = (Scope::of(asker.key.source()), swarm.swarm.local_peers == 0);
        Self { asker, scope, all_global, starts, v4: swarm.v4(), v6: swarm.v6(), web: swarm.web() }
    }

    /// Those of a part whom the answer has room for.
    #[inline]
    pub(super) fn part(&self, part: Part, out: &Handout<'_>) -> Candidates<'_> {
        let families = [
            self.family(Family::V4, &self.v4, &part, out),
            self.family(Family::V6, &self.v6, &part, out),
            self.family(Family::Web, &self.web, &part, out),
        ];
        let [own, twin] = [self.asker.known.own, self.asker.known.twin].map(|spot| {
            let Some(Spot { family, at }) = spot else { return NOBODY };
            let [v4, v6, web] = families;
            let (before, (first, len)) = match family {
                Family::V4 => (0, v4),
                Family::V6 => (v4.1, v6),
                Family::Web => (v4.1 + v6.1, web),
            };
            let at = at.wrapping_sub(first);
            if at < len { number(before + at) } else { NOBODY }
        });
        Candidates { all: self, families, own: [own.min(twin), own.max(twin)] }
    }

    /// The first record of a part in a list, and how many there are.
    #[inline(always)]
    fn family<R: Record>(
        &self,
        family: Family,
        list: &List<'_, R>,
        part: &Part,
        out: &Handout<'_>,
    ) -> (usize, usize) {
        if list.len() == 0 || !out.takes(family) {
            return (0, 0);
        }
        let start_of = |rank| match self.starts {
            Some(starts) => starts.of(family, rank),
            None => list.start_of(rank),
        };
        let first = start_of(part.start);
        (first, start_of(part.end) - first)
    }

    /// Nobody is introduced to itself, on however many sockets it is.
    fn is_asker(&self, peer: &WebPeer) -> bool {
        matches!(self.asker.key, PeerKey::Web(own) if own.peer_id == peer.key.peer_id)
    }

    #[inline]
    fn may_learn<const N: usize>(&self, peer: &Peer<N>) -> bool {
        self.all_global || self.scope.may_learn(Scope::of_addr(&peer.addr))
    }
}

/// Everybody whom a caller may be given, numbered from 0, one family after the other, the caller left out.
pub(super) struct Candidates<'a> {
    all: &'a Everybody<'a>,
    /// Of each family: its first record that the caller may be given, and how many there are from there on.
    families: [(usize, usize); 3],
    /// Numbers of the caller's own records, ascending; [`NOBODY`] for none.
    own: [u32; 2],
}

impl Candidates<'_> {
    pub(super) fn len(&self) -> usize {
        self.records() - self.own.iter().filter(|own| **own != NOBODY).count()
    }

    fn records(&self) -> usize {
        self.families.iter().map(|(_, len)| len).sum()
    }

    /// All numbers are below.
    pub(super) fn end(&self) -> u32 {
        number(self.records())
    }

    /// Draws until `want` of those that a rule lets in are handed out.
    #[inline]
    pub(super) fn draw(
        &self,
        want: usize,
        judge: &impl Judge,
        chance: &mut Chance<'_>,
        out: &mut Handout<'_>,
    ) {
        let (len, own) = (self.records(), self.own);
        match self.families {
            // Nearly always: there is less to ask for each one that is drawn.
            [(first, _), (_, 0), (_, 0)] => {
                let (list, room) = (&self.all.v4, &mut out.v4);
                let count = (len, own, want.min(room.left()));
                let take = |drawn: &[u32]| self.tell((list, first), drawn, judge, room);
                draw(count, chance, fetch_one(&list.records()[first..]), take);
            }
            [(_, 0), (first, _), (_, 0)] => {
                let (list, room) = (&self.all.v6, &mut out.v6);
                let count = (len, own, want.min(room.left()));
                let take = |drawn: &[u32]| self.tell((list, first), drawn, judge, room);
                draw(count, chance, fetch_one(&list.records()[first..]), take);
            }
            _ => {
                let take =
                    |drawn: &[u32]| drawn.iter().filter(|one| self.hand_out(**one, judge, out)).count();
                draw((len, own, want), chance, |_| {}, take);
            }
        }
    }

    /// Draws some before it is known how many are wanted, and has their records fetched meanwhile; nobody where somebody has to
    /// be asked about. Answers how many; they are kept until others are drawn ahead.
    pub(super) fn draw_ahead(&self, count: usize, chance: &mut Chance<'_>) -> usize {
        let can_meet_all = self.all.all_global && !self.all.asker.role.is_unconnectable;
        if !can_meet_all || count >= self.len() {
            return 0;
        }
        let (count, mut ahead) = ((self.records(), self.own, count), 0);
        let keep = |drawn: &[u32]| {
            ahead += drawn.len();
            drawn.len()
        };
        match self.families {
            [(first, _), (_, 0), (_, 0)] => {
                draw(count, chance, fetch_one(&self.all.v4.records()[first..]), keep);
            }
            [(_, 0), (first, _), (_, 0)] => {
                draw(count, chance, fetch_one(&self.all.v6.records()[first..]), keep);
            }
            _ => {}
        }
        chance.scratch.keep_drawn();
        ahead
    }

    /// Asks a policy about those candidates of a window whom the caller can meet; the window goes on at the first one behind
    /// the last. What is said of each is told with the number that [`Candidates::give`] takes.
    #[inline(always)]
    pub(super) fn look_at(
        &self,
        (start, count): (usize, usize),
        judge: &impl Judge,
        mut note: impl FnMut(u32, Verdict),
    ) {
        let all = self.records();
        let end = start + count.min(all);
        let [(v4_first, v4_len), (v6_first, v6_len), (web_first, web_len)] = self.families;
        for range in [start..end.min(all), 0..end.saturating_sub(all)] {
            if range.is_empty() {
                continue;
            }
            let within = |before: usize, len: usize| {
                range.start.saturating_sub(before).min(len)..range.end.saturating_sub(before).min(len)
            };
            self.look_at_dialled((&self.all.v4, v4_first, 0), within(0, v4_len), judge, &mut note);
            self.look_at_dialled((&self.all.v6, v6_first, v4_len), within(v4_len, v6_len), judge, &mut note);
            let before = v4_len + v6_len;
            for at in within(before, web_len) {
                let peer = &self.all.web.records()[web_first + at];
                if !self.all.is_asker(peer) && may_connect(self.all.asker, peer.state()) {
                    note(number(before + at), judge.judge(peer, (&self.all.web, web_first + at)));
                }
            }
        }
    }

    #[inline(always)]
    fn look_at_dialled<const N: usize>(
        &self,
        (list, first, before): (&List<'_, Peer<N>>, usize, usize),
        range: Range<usize>,
        judge: &impl Judge,
        note: &mut impl FnMut(u32, Verdict),
    ) {
        if range.is_empty() {
            return;
        }
        let (first_place, first_number) = (first + range.start, number(before + range.start));
        let records = &list.records()[first_place..first + range.end];
        let can_meet_all = self.all.all_global && !self.all.asker.role.is_unconnectable;
        // From one of the caller's own records to the next: so nobody has to be compared with them.
        let mut from = 0;
        for own in [self.own[0], self.own[1], NOBODY] {
            let to = (own.saturating_sub(first_number) as usize).min(records.len());
            let others = records.get(from..to).unwrap_or_default();
            let numbered = (first_number + number(from)..).zip((first_place + from..).zip(others));
            if can_meet_all {
                numbered.for_each(|(number, (at, record))| note(number, judge.judge(record, (list, at))));
            } else {
                for (number, (at, record)) in numbered {
                    if self.all.may_learn(record) && may_connect(self.all.asker, record.state()) {
                        note(number, judge.judge(record, (list, at)));
                    }
                }
            }
            if to == records.len() {
                return;
            }
            from = to + usize::from(own >= first_number);
        }
    }

    /// A window will be looked at.
    pub(super) fn fetch(&self, (start, count): (usize, usize)) {
        match self.families {
            [(first, len), (_, 0), (_, 0)] => fetch(&self.all.v4.records()[first..][..len], start, count),
            [(_, 0), (first, len), (_, 0)] => fetch(&self.all.v6.records()[first..][..len], start, count),
            _ => {}
        }
    }

    /// Hands out candidates that were looked at or drawn ahead.
    pub(super) fn give(&self, numbers: &[u32], out: &mut Handout<'_>) {
        match self.families {
            [(first, _), (_, 0), (_, 0)] => {
                self.tell((&self.all.v4, first), numbers, &Anybody, &mut out.v4);
            }
            [(_, 0), (first, _), (_, 0)] => {
                self.tell((&self.all.v6, first), numbers, &Anybody, &mut out.v6);
            }
            _ => numbers.iter().for_each(|number| {
                self.hand_out(*number, &Anybody, out);
            }),
        }
    }

    /// Hands out record `number`, unless the caller may not learn of it; answers whether it did.
    #[inline]
    fn hand_out(&self, number: u32, judge: &impl Judge, out: &mut Handout<'_>) -> bool {
        let [(v4_first, v4_len), (v6_first, v6_len), (web_first, _)] = self.families;
        let at = number as usize;
        if at < v4_len {
            return self.tell((&self.all.v4, v4_first), &[number], judge, &mut out.v4) > 0;
        }
        let at = at - v4_len;
        if at < v6_len {
            return self.tell((&self.all.v6, v6_first + at), &[0], judge, &mut out.v6) > 0;
        }
        let at = web_first + at - v6_len;
        let peer = &self.all.web.records()[at];
        // Addresses are for the peers to tell each other.
        let is_told = !self.all.is_asker(peer) && judge.judge(peer, (&self.all.web, at)) == Verdict::OPEN;
        if let (true, Some(sockets)) = (is_told, &mut out.sockets) {
            sockets.push(peer.key.socket);
        }
        is_told
    }

    /// Hands out some of a list's records, counted from `first` on, unless the caller may not learn of them.
    #[inline(always)]
    fn tell<const N: usize>(
        &self,
        (list, first): (&List<'_, Peer<N>>, usize),
        numbers: &[u32],
        judge: &impl Judge,
        room: &mut Room<'_, N>,
    ) -> usize {
        let lets_all_in = self.all.all_global && judge.lets_everybody_in();
        let lets_in = |record: &Peer<N>, at: usize| {
            self.all.may_learn(record) && judge.judge(record, (list, at)) == Verdict::OPEN
        };
        room.extend((list, first), numbers, (lets_all_in, lets_in))
    }
}

fn fetch<R>(records: &[R], start: usize, count: usize) {
    let bytes = count.min(records.len()) * size_of::<R>();
    prefetch::lines(records.as_ptr().wrapping_add(start), bytes / prefetch::LINE_BYTES + 1);
}

/// Fetches the record of one that was drawn.
fn fetch_one<R>(records: &[R]) -> impl Fn(u32) + use<R> {
    let first = records.as_ptr();
    move |number| prefetch::lines(first.wrapping_add(number as usize), 1)
}
