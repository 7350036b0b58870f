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

/// What a policy says of a peer that the caller might be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Open,
    /// Not now. The smaller the number, the sooner.
    Closed(u32),
    Never,
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
        Verdict::Open
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
        let count = (self.len(), want);
        match self.families {
            // Nearly always: there is less to ask for each one that is drawn.
            [(_, first, _), (_, _, 0), (_, _, 0)] => {
                draw(count, chance, &mut OneFamily::of(self, (&self.all.v4, first), judge, &mut out.v4));
            }
            [(_, _, 0), (_, first, _), (_, _, 0)] => {
                draw(count, chance, &mut OneFamily::of(self, (&self.all.v6, first), judge, &mut out.v6));
            }
            _ => draw(count, chance, &mut Mixed { candidates: self, judge, out }),
        }
    }

    /// Asks a policy about the candidates of a window, which goes on at the first one behind the last; what it says of each
    /// is told with the number that [`Candidates::give`] takes.
    #[inline]
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

    #[inline]
    fn look_at_dialled<const N: usize>(
        &self,
        (list, first, before): (&List<'_, Peer<N>>, usize, usize),
        range: Range<usize>,
        judge: &impl Judge,
        note: &mut impl FnMut(u32, Verdict),
    ) {
        let (own, first_number) = (self.own, number(before + range.start));
        let places = first + range.start..first + range.end;
        for (number, (at, record)) in (first_number..).zip(places.clone().zip(&list.records()[places])) {
            if number != own[0] && number != own[1] && self.all.may_learn(record) {
                note(number, judge.judge(record, (list, at)));
            }
        }
    }

    /// Hands out a candidate that was looked at.
    pub(super) fn give(&self, number: u32, out: &mut Handout<'_>) {
        self.hand_out(number as usize, &Anybody, out);
    }

    /// Hands out record `number`, unless the caller may not learn of it; answers whether it did.
    fn hand_out(&self, number: usize, judge: &impl Judge, out: &mut Handout<'_>) -> bool {
        let [(_, v4_first, v4_len), (_, v6_first, v6_len), (_, web_first, _)] = self.families;
        if number < v4_len {
            return self.tell((&self.all.v4, v4_first + number), judge, &mut out.v4);
        }
        if number < v4_len + v6_len {
            return self.tell((&self.all.v6, v6_first + number - v4_len), judge, &mut out.v6);
        }
        let at = web_first + number - v4_len - v6_len;
        let peer = &self.all.web.records()[at];
        // Addresses are for the peers to tell each other.
        let is_told = !self.all.is_asker(peer) && judge.judge(peer, (&self.all.web, at)) == Verdict::Open;
        if let (true, Some(sockets)) = (is_told, &mut out.sockets) {
            sockets.push(peer.key.socket);
        }
        is_told
    }

    #[inline]
    fn tell<const N: usize>(
        &self,
        (list, at): (&List<'_, Peer<N>>, usize),
        judge: &impl Judge,
        room: &mut Room<'_, N>,
    ) -> bool {
        let record = &list.records()[at];
        let is_told = self.all.may_learn(record) && judge.judge(record, (list, at)) == Verdict::Open;
        if is_told {
            room.push(record, (list, at));
        }
        is_told
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
    #[inline]
    fn fetch(&self, drawn: u32) -> u32 {
        number_without(self.candidates.own, drawn)
    }

    #[inline]
    fn take(&mut self, number: u32) -> bool {
        self.candidates.hand_out(number as usize, self.judge, self.out)
    }
}

/// The same where all of them are dialled and of one family.
struct OneFamily<'a, 'b, 'c, J, const N: usize> {
    all: &'a Everybody<'a>,
    own: [u32; 2],
    list: &'a List<'a, Peer<N>>,
    /// The first one whom the caller may be given.
    first: usize,
    /// Those from there on.
    records: &'a [Peer<N>],
    judge: &'a J,
    room: &'b mut Room<'c, N>,
}

impl<'a, 'b, 'c, J, const N: usize> OneFamily<'a, 'b, 'c, J, N> {
    fn of(
        candidates: &'a Candidates<'a>,
        (list, first): (&'a List<'a, Peer<N>>, usize),
        judge: &'a J,
        room: &'b mut Room<'c, N>,
    ) -> Self {
        let Candidates { all, own, .. } = candidates;
        Self { all, own: *own, list, first, records: &list.records()[first..], judge, room }
    }
}

impl<J: Judge, const N: usize> Draw for OneFamily<'_, '_, '_, J, N> {
    #[inline(always)]
    fn fetch(&self, drawn: u32) -> u32 {
        let number = number_without(self.own, drawn);
        prefetch::lines(self.records.as_ptr().wrapping_add(number as usize), 1);
        number
    }

    #[inline(always)]
    fn take(&mut self, number: u32) -> bool {
        let record = &self.records[number as usize];
        let place = (self.list, self.first + number as usize);
        let is_told = self.all.may_learn(record) && self.judge.judge(record, place) == Verdict::Open;
        if is_told {
            self.room.push(record, place);
        }
        is_told
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
