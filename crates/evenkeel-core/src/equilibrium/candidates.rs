//! Everybody whom a caller may be given, and what a policy says of each.

use super::Asker;
use super::handout::{Handout, Room};
use super::random::Draw;
use crate::prefetch;
use crate::scope::Scope;
use crate::swarm::{Family, List, Peer, PeerKey, Record, Spot, View, WebPeer};

/// Which of a swarm's peers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    All,
    Seeders,
    /// Those that lack something.
    Others,
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
    fn judge<R: Record>(&self, list: List<'_, R>, at: usize) -> Verdict;
}

/// The rule of `random`.
pub(super) struct Everybody;

impl Judge for Everybody {
    #[inline]
    fn judge<R: Record>(&self, _: List<'_, R>, _: usize) -> Verdict {
        Verdict::Open
    }
}

/// No number: a swarm has less than 2^24 records.
const NOBODY: u32 = u32::MAX;

/// Everybody whom a caller may be given, numbered from 0, one family after the other, the caller left out.
pub(super) struct Candidates<'a> {
    asker: &'a Asker<'a>,
    scope: Scope,
    /// Nobody's scope has to be looked at.
    all_global: bool,
    v4: List<'a, Peer<6>>,
    v6: List<'a, Peer<18>>,
    web: List<'a, WebPeer>,
    /// Of each family: its first record that the caller may be given, and how many there are from there on.
    families: [(Family, usize, usize); 3],
    /// Numbers of the caller's own records, ascending; [`NOBODY`] for none.
    own: [u32; 2],
}

impl<'a> Candidates<'a> {
    pub(super) fn of(swarm: View<'a>, asker: &'a Asker<'a>, part: Part, out: &Handout<'_>) -> Self {
        let (v4, v6, web) = (swarm.v4(), swarm.v6(), swarm.web());
        let families = [
            family(Family::V4, v4, part, out),
            family(Family::V6, v6, part, out),
            family(Family::Web, web, part, out),
        ];
        let number = |spot: Spot| {
            let mut before = 0;
            for (family, first, len) in families {
                if family == spot.family {
                    let at = spot.at.checked_sub(first).filter(|at| *at < len)?;
                    return Some(before + at);
                }
                before += len;
            }
            None
        };
        let number = |spot| u32::try_from(number(spot)?).ok();
        let mut own = [asker.known.own, asker.known.twin].map(|spot| spot.and_then(number).unwrap_or(NOBODY));
        own.sort_unstable();
        let (scope, all_global) = (Scope::of(asker.key.source()), swarm.swarm.local_peers == 0);
        Self { asker, scope, all_global, v4, v6, web, families, own }
    }

    pub(super) fn len(&self) -> usize {
        let all: usize = self.families.iter().map(|(_, _, len)| len).sum();
        all - self.own.iter().filter(|own| **own != NOBODY).count()
    }

    /// The number among all records of one among those without the caller's.
    #[inline]
    fn number(&self, drawn: u32) -> u32 {
        self.own.iter().fold(drawn, |number, own| number + u32::from(number >= *own))
    }

    /// The same for one that will be handed out soon. Only large columns are worth the word to the processor, and those
    /// are of IPv4.
    #[inline]
    fn fetch(&self, drawn: u32) -> u32 {
        let number = self.number(drawn);
        let (_, first, len) = self.families[0];
        if (number as usize) < len {
            prefetch::lines(&raw const self.v4.records()[first + number as usize], 1);
        }
        number
    }

    /// What is to be said of a candidate, before whatever a policy says of those that may be told.
    pub(super) fn judge(&self, drawn: u32, judge: &impl Judge) -> Verdict {
        let number = self.number(drawn) as usize;
        let [(_, v4_first, v4_len), (_, v6_first, v6_len), (_, web_first, _)] = self.families;
        if number < v4_len {
            return self.judge_dialled(self.v4, v4_first + number, judge);
        }
        let number = number - v4_len;
        if number < v6_len {
            return self.judge_dialled(self.v6, v6_first + number, judge);
        }
        let at = web_first + number - v6_len;
        if self.is_asker(&self.web.records()[at]) { Verdict::Never } else { judge.judge(self.web, at) }
    }

    /// Nobody is introduced to itself, on however many sockets it is.
    fn is_asker(&self, peer: &WebPeer) -> bool {
        matches!(self.asker.key, PeerKey::Web(own) if own.peer_id == peer.key.peer_id)
    }

    fn judge_dialled<const N: usize>(
        &self,
        list: List<'_, Peer<N>>,
        at: usize,
        judge: &impl Judge,
    ) -> Verdict {
        if self.may_learn(&list.records()[at]) { judge.judge(list, at) } else { Verdict::Never }
    }

    /// Hands out a candidate, unless the caller may not learn of it; answers whether it did.
    pub(super) fn give(&self, drawn: u32, out: &mut Handout<'_>) -> bool {
        self.hand_out(self.number(drawn) as usize, &Everybody, out)
    }

    /// Hands out record `number`, unless the caller may not learn of it; answers whether it did.
    #[inline]
    fn hand_out(&self, number: usize, judge: &impl Judge, out: &mut Handout<'_>) -> bool {
        let (_, first, len) = self.families[0];
        if number < len {
            return self.tell((self.v4, first + number), judge, &mut out.v4);
        }
        self.hand_out_other(number - len, judge, out)
    }

    /// The same for what is no IPv4 peer, apart so that the loop around the other is short.
    #[inline(never)]
    fn hand_out_other(&self, number: usize, judge: &impl Judge, out: &mut Handout<'_>) -> bool {
        let [_, (_, v6_first, v6_len), (_, web_first, _)] = self.families;
        if number < v6_len {
            return self.tell((self.v6, v6_first + number), judge, &mut out.v6);
        }
        let at = web_first + number - v6_len;
        let peer = &self.web.records()[at];
        // Addresses are for the peers to tell each other.
        let is_told = !self.is_asker(peer) && judge.judge(self.web, at) == Verdict::Open;
        if let (true, Some(sockets)) = (is_told, &mut out.sockets) {
            sockets.push(peer.key.socket);
        }
        is_told
    }

    #[inline]
    fn tell<const N: usize>(
        &self,
        (list, at): (List<'_, Peer<N>>, usize),
        judge: &impl Judge,
        room: &mut Room<'_, N>,
    ) -> bool {
        let is_told = self.may_learn(&list.records()[at]) && judge.judge(list, at) == Verdict::Open;
        if is_told {
            room.push(list, at);
        }
        is_told
    }

    #[inline]
    fn may_learn<const N: usize>(&self, peer: &Peer<N>) -> bool {
        self.all_global || self.scope.may_learn(Scope::of(&peer.endpoint()))
    }
}

/// Hands out those whose numbers are drawn, if a rule lets them.
pub(super) struct Drawing<'a, 'b, 'c, J> {
    pub(super) candidates: &'a Candidates<'a>,
    pub(super) judge: &'a J,
    pub(super) out: &'b mut Handout<'c>,
}

impl<J: Judge> Draw for Drawing<'_, '_, '_, J> {
    #[inline]
    fn fetch(&self, number: u32) -> u32 {
        self.candidates.fetch(number)
    }

    #[inline]
    fn take(&mut self, at: u32) -> bool {
        self.candidates.hand_out(at as usize, self.judge, self.out)
    }
}

/// Seeders come first.
fn family<R: Record>(
    family: Family,
    list: List<'_, R>,
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
    }
}
