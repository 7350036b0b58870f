//! Everybody whom a caller may be given, and what a policy says of each.

use std::ops::Range;

use super::handout::{Handout, Room};
use super::random::{Draw, draw};
use super::{Asker, Chance};
use crate::prefetch;
use crate::scope::Scope;
use crate::swarm::{Family, List, Peer, PeerKey, Record, Spot, View, WebPeer, leecher_rank};

/// Which of a swarm's peers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    All,
    Seeders,
    /// Those that lack something.
    Others,
    /// Leechers of these tiers, both included.
    Leechers(u8, u8),
}

/// What a policy says of a peer that the caller might be given. The smaller, the sooner it is its turn; a number, and not one
/// of three things, since it is made for a hundred peers of an announce without a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Verdict(u32);

impl Verdict {
    pub(super) const OPEN: Self = Self(0);
    pub(super) const NEVER: Self = Self(1 << 31);

    /// Not now, and later than those with smaller lots.
    #[inline]
    pub(super) const fn closed(lot: u32) -> Self {
        Self(lot >> 1 | 1)
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
}

/// No number: a swarm has less than 2^24 records.
const NOBODY: u32 = u32::MAX;

/// A swarm as a caller sees it.
pub(super) struct Everybody<'a> {
    asker: &'a Asker<'a>,
    scope: Scope,
    /// Nobody's scope has to be looked at.
    all_global: bool,
    v4: List<'a, Peer<6>>,
    v6: List<'a, Peer<18>>,
    web: List<'a, WebPeer>,
}

impl<'a> Everybody<'a> {
    #[inline]
    pub(super) fn of(swarm: View<'a>, asker: &'a Asker<'a>) -> Self {
        let (scope, all_global) = (Scope::of(asker.key.source()), swarm.swarm.local_peers == 0);
        Self { asker, scope, all_global, v4: swarm.v4(), v6: swarm.v6(), web: swarm.web() }
    }

    /// Those of a part whom the answer has room for.
    #[inline]
    pub(super) fn part(&self, part: Part, out: &Handout<'_>) -> Candidates<'_> {
        let families = [
            family(Family::V4, &self.v4, part, out),
            family(Family::V6, &self.v6, part, out),
            family(Family::Web, &self.web, part, out),
        ];
        let number = |spot: Spot| {
            let mut before = 0;
            for (family, first, len) in families {
                if family == spot.family {
                    let at = spot.at.checked_sub(first).filter(|at| *at < len)?;
                    return Some(number(before + at));
                }
                before += len;
            }
            None
        };
        let known = &self.asker.known;
        let mut own = [known.own, known.twin].map(|spot| spot.and_then(number).unwrap_or(NOBODY));
        own.sort_unstable();
        Candidates { all: self, families, own }
    }

    /// Nobody is introduced to itself, on however many sockets it is.
    fn is_asker(&self, peer: &WebPeer) -> bool {
        matches!(self.asker.key, PeerKey::Web(own) if own.peer_id == peer.key.peer_id)
    }

    #[inline]
    fn may_learn<const N: usize>(&self, peer: &Peer<N>) -> bool {
        self.all_global || self.is_in_reach(&peer.addr)
    }

    /// Apart, so that the loops in which it is asked are short.
    #[inline(never)]
    fn is_in_reach<const N: usize>(&self, addr: &[u8; N]) -> bool {
        self.scope.may_learn(Scope::of_addr(addr))
    }
}

/// Everybody whom a caller may be given, numbered from 0, one family after the other, the caller left out.
pub(super) struct Candidates<'a> {
    all: &'a Everybody<'a>,
    /// Of each family: its first record that the caller may be given, and how many there are from there on.
    families: [(Family, usize, usize); 3],
    /// Numbers of the caller's own records, ascending; [`NOBODY`] for none.
    own: [u32; 2],
}

impl Candidates<'_> {
    pub(super) fn len(&self) -> usize {
        self.records() - self.own.iter().filter(|own| **own != NOBODY).count()
    }

    fn records(&self) -> usize {
        self.families.iter().map(|(_, _, len)| len).sum()
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
        let len = self.len();
        match self.families {
            // Nearly always: there is less to ask for each one that is drawn.
            [(_, first, _), (_, _, 0), (_, _, 0)] => {
                let (list, room) = (&self.all.v4, &mut out.v4);
                let count = (len, want.min(room.left()));
                draw(count, chance, &mut OneFamily { candidates: self, list, first, judge, room });
            }
            [(_, _, 0), (_, first, _), (_, _, 0)] => {
                let (list, room) = (&self.all.v6, &mut out.v6);
                let count = (len, want.min(room.left()));
                draw(count, chance, &mut OneFamily { candidates: self, list, first, judge, room });
            }
            _ => draw((len, want), chance, &mut Mixed { candidates: self, judge, out }),
        }
    }

    /// Asks a policy about the candidates of a window, which goes on at the first one behind the last; what it says of each
    /// is told with the number that [`Candidates::give`] takes.
    #[inline(always)]
    pub(super) fn look_at(
        &self,
        (start, count): (usize, usize),
        judge: &impl Judge,
        mut note: impl FnMut(u32, Verdict),
    ) {
        let all = self.records();
        let end = start + count.min(all);
        for range in [start..end.min(all), 0..end.saturating_sub(all)] {
            let [(_, v4_first, v4_len), (_, v6_first, v6_len), (_, web_first, web_len)] = self.families;
            let within = |before: usize, len: usize| {
                range.start.saturating_sub(before).min(len)..range.end.saturating_sub(before).min(len)
            };
            self.look_at_dialled((&self.all.v4, v4_first, 0), within(0, v4_len), judge, &mut note);
            self.look_at_dialled((&self.all.v6, v6_first, v4_len), within(v4_len, v6_len), judge, &mut note);
            let before = v4_len + v6_len;
            for at in within(before, web_len) {
                let peer = &self.all.web.records()[web_first + at];
                if !self.all.is_asker(peer) {
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
        let (own, first_number) = (self.own, number(before + range.start));
        let end_number = number(before + range.end);
        let is_anybody =
            self.all.all_global && own.iter().all(|own| !(first_number..end_number).contains(own));
        let places = first + range.start..first + range.end;
        let records = &list.records()[places.clone()];
        prefetch::lines(records.as_ptr(), size_of_val(records).div_ceil(prefetch::LINE_BYTES));
        for (number, (at, record)) in (first_number..).zip(places.zip(records)) {
            if is_anybody || number != own[0] && number != own[1] && self.all.may_learn(record) {
                note(number, judge.judge(record, (list, at)));
            }
        }
    }

    /// Hands out a candidate that was looked at.
    #[inline]
    pub(super) fn give(&self, number: u32, out: &mut Handout<'_>) {
        self.hand_out(number, &Anybody, out);
    }

    /// Hands out record `number`, unless the caller may not learn of it; answers whether it did.
    #[inline]
    fn hand_out(&self, number: u32, judge: &impl Judge, out: &mut Handout<'_>) -> bool {
        let [(_, v4_first, v4_len), (_, v6_first, v6_len), (_, web_first, _)] = self.families;
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
        room.extend((list, first), numbers, |record, at| {
            self.all.may_learn(record) && judge.judge(record, (list, at)) == Verdict::OPEN
        })
    }
}

/// The number among all records of one among those without the caller's.
#[inline]
fn number_without(own: [u32; 2], drawn: u32) -> u32 {
    own.iter().fold(drawn, |number, own| number + u32::from(number >= *own))
}

/// Hands out those whose numbers are drawn, if a rule lets them.
struct Mixed<'a, 'b, 'c, J> {
    candidates: &'a Candidates<'a>,
    judge: &'a J,
    out: &'b mut Handout<'c>,
}

impl<J: Judge> Draw for Mixed<'_, '_, '_, J> {
    fn fetch(&self, drawn: &mut [u32]) {
        drawn.iter_mut().for_each(|number| *number = number_without(self.candidates.own, *number));
    }

    fn take(&mut self, numbers: &[u32]) -> usize {
        let is_told = |number: &&u32| self.candidates.hand_out(**number, self.judge, self.out);
        numbers.iter().filter(is_told).count()
    }
}

/// The same where all of them are dialled and of one family.
struct OneFamily<'a, 'b, 'c, J, const N: usize> {
    candidates: &'a Candidates<'a>,
    list: &'a List<'a, Peer<N>>,
    /// The first one whom the caller may be given.
    first: usize,
    judge: &'a J,
    room: &'b mut Room<'c, N>,
}

impl<J: Judge, const N: usize> Draw for OneFamily<'_, '_, '_, J, N> {
    #[inline(always)]
    fn fetch(&self, drawn: &mut [u32]) {
        let (own, first) = (self.candidates.own, self.list.records().as_ptr().wrapping_add(self.first));
        for number in drawn {
            *number = number_without(own, *number);
            prefetch::lines(first.wrapping_add(*number as usize), 1);
        }
    }

    #[inline(always)]
    fn take(&mut self, numbers: &[u32]) -> usize {
        self.candidates.tell((self.list, self.first), numbers, self.judge, self.room)
    }
}

/// Where a part of a list is: its records are in the order of their ranks.
fn family<R: Record>(
    family: Family,
    list: &List<'_, R>,
    part: Part,
    out: &Handout<'_>,
) -> (Family, usize, usize) {
    if !out.takes(family) {
        return (family, 0, 0);
    }
    match part {
        Part::All => (family, 0, list.len()),
        Part::Seeders => (family, 0, list.seeders()),
        Part::Others => {
            let first = list.seeders();
            (family, first, list.len() - first)
        }
        Part::Leechers(low, high) => {
            let first = list.start_of(leecher_rank(high));
            (family, first, list.start_of(leecher_rank(low) + 1) - first)
        }
    }
}
