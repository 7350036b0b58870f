//! The policy `random`: independent samples without replacement.
//!
//! Every peer is as likely as every other, whatever its place in memory and whatever was drawn before. Windows
//! and slices of the list would be cheaper, but hand out the same neighbours together, again and again.
//!
//! Known weakness: it takes nothing into account. Free riders fare as well as those who give.

use evenkeel_wire::limits::REPLY_PEERS_MAX;

use super::candidates::{Anybody, Candidates, Everybody, Judge, Verdict};
use super::handout::Handout;
use super::{Asker, Chance, may_connect};
use crate::swarm::{List, Record, View};

/// Memory for drawing; one for each thread, used again for every announce.
pub struct Scratch {
    seen: Seen,
    /// A permutation in the making.
    order: [u32; FEW],
    /// Where the records are of those that were drawn and not taken yet.
    drawn: [u32; REPLY_PEERS_MAX as usize],
}

/// What was drawn already: a place for each number, which it shares with others. Who shares it is drawn anew for each
/// round, so that nobody stands in the same one's way twice.
struct Seen {
    /// In which round something was there last.
    rounds: [u8; Self::PLACES],
    round: u8,
    salt: u32,
}

/// Up to so many candidates, a permutation is cheaper than drawing until something new comes.
const FEW: usize = 512;
/// Draws at most for each peer wanted. Only candidates out of the caller's scope are refused, and repeated
/// draws of a set at least 2.5 times as large as what is wanted are rare, so that this is not reached while
/// one in four candidates is in scope.
const TRIES: usize = 5;

impl Default for Scratch {
    fn default() -> Self {
        let seen = Seen { rounds: [0; Seen::PLACES], round: 0, salt: 0 };
        Self { seen, order: [0; FEW], drawn: [0; REPLY_PEERS_MAX as usize] }
    }
}

impl Scratch {
    /// Room for some numbers.
    pub(super) fn order(&mut self) -> &mut [u32; FEW] {
        &mut self.order
    }
}

impl Seen {
    /// Few enough to stay in the fastest memory. When two hundred are drawn, the last one is taken for another one in one of
    /// twenty tries; when fifty are, in one of eighty.
    const PLACES: usize = 4096;

    fn start_round(&mut self, rng: &mut fastrand::Rng) {
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            self.rounds = [0; Self::PLACES];
            self.round = 1;
        }
        self.salt = rng.u32(..);
    }

    /// Whether `number` is new in this round, as far as its place tells.
    #[inline]
    fn note(&mut self, number: u32) -> bool {
        let hash = (u64::from(number ^ self.salt).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48) as u16;
        let place = &mut self.rounds[usize::from(hash) % Self::PLACES];
        let is_new = *place != self.round;
        *place = self.round;
        is_new
    }
}

/// Writes as many peers as the caller wants, all as likely as each other.
pub(super) fn choose(swarm: View<'_>, asker: &Asker<'_>, chance: &mut Chance<'_>, out: &mut Handout<'_>) {
    let everybody = Everybody::of(swarm, asker);
    let candidates = everybody.part(asker.part(), out);
    if asker.role.is_unconnectable {
        take(&candidates, asker.want, &Connectable(asker), chance, out);
    }
    // Rather somebody whom it may not reach than nobody.
    if out.len() == 0 {
        take(&candidates, asker.want, &Anybody, chance, out);
    }
}

/// Draws among all candidates that a rule lets in.
pub(super) fn take(
    candidates: &Candidates<'_>,
    want: usize,
    judge: &impl Judge,
    chance: &mut Chance<'_>,
    out: &mut Handout<'_>,
) {
    // Never more than the answer has room for: the draw is over all candidates, not over those that come first.
    let want = want.min(out.room());
    candidates.draw(want, judge, chance, out);
}

/// Those that a caller can meet whom nobody can dial.
struct Connectable<'a>(&'a Asker<'a>);

impl Judge for Connectable<'_> {
    #[inline]
    fn judge<R: Record>(&self, record: &R, _: (&List<'_, R>, usize)) -> Verdict {
        if may_connect(self.0, record.state()) { Verdict::Open } else { Verdict::Never }
    }
}

/// What is drawn: whoever may be handed out has a number.
pub(super) trait Draw {
    /// Where the record of a number is; it will be read soon.
    fn fetch(&self, number: u32) -> u32;
    /// Takes the one whose record is there, or refuses it.
    fn take(&mut self, at: u32) -> bool;
}

/// Draws numbers below `len` until `want` of them are taken, each number at most once.
pub(super) fn draw((len, want): (usize, usize), chance: &mut Chance<'_>, draw: &mut impl Draw) {
    let bound = u32::try_from(len).unwrap_or(u32::MAX);
    let (rng, Scratch { seen, order, drawn }) = (&mut *chance.rng, &mut *chance.scratch);
    let drawn = &mut drawn[..want.min(REPLY_PEERS_MAX as usize)];
    if len <= want {
        for number in 0..bound {
            let at = draw.fetch(number);
            draw.take(at);
        }
    } else if len <= FEW {
        // The head of a random permutation (Fisher and Yates), as far as it is needed.
        let order = &mut order[..len];
        for (number, slot) in (0..).zip(order.iter_mut()) {
            *slot = number;
        }
        let mut head = 0;
        take_in_rounds(drawn, draw, || {
            if head == order.len() {
                return None;
            }
            order.swap(head, rng.usize(head..order.len()));
            head += 1;
            Some(order[head - 1])
        });
    } else {
        // Here `len` is at least 2.5 times the largest `want`.
        let mut tries = want.saturating_mul(TRIES);
        seen.start_round(rng);
        take_in_rounds(drawn, draw, || {
            while tries > 0 {
                tries -= 1;
                let number = rng.u32(..bound);
                if seen.note(number) {
                    return Some(number);
                }
            }
            None
        });
    }
}

/// Draws as many as are missing, has their records fetched, and only then takes them: they are all over memory, and
/// thirty that are waited for one by one take longer than everything else in an announce.
fn take_in_rounds(drawn: &mut [u32], draw: &mut impl Draw, mut next: impl FnMut() -> Option<u32>) {
    let mut missing = drawn.len();
    while missing > 0 {
        let mut count = 0;
        for slot in &mut drawn[..missing] {
            let Some(number) = next() else { break };
            *slot = draw.fetch(number);
            count += 1;
        }
        if count == 0 {
            return;
        }
        for at in &drawn[..count] {
            missing -= usize::from(draw.take(*at));
        }
    }
}
