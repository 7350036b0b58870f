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
    order: [u16; FEW],
    /// Those of a window who were looked at: what was said of each, and its number.
    looked_at: [u64; WINDOW_MAX],
    /// Where the records are of those that were drawn and not taken yet.
    drawn: [u32; REPLY_PEERS_MAX as usize],
}

/// What was drawn already: a place for each number, which it shares with others. Who shares it is drawn anew for each
/// round, so that nobody stands in the same one's way twice.
struct Seen {
    /// In which round something was there last.
    rounds: [u8; Self::PLACES],
    round: u8,
}

/// Up to so many candidates, a permutation is cheaper than drawing until something new comes.
const FEW: usize = 512;
/// No window is larger: as long as the longest list, rounded up so that a place in it needs no test.
pub(super) const WINDOW_MAX: usize = (REPLY_PEERS_MAX as usize).next_power_of_two();
/// Draws at most for each peer wanted. Only candidates out of the caller's scope are refused, and repeated
/// draws of a set at least 2.5 times as large as what is wanted are rare, so that this is not reached while
/// one in four candidates is in scope.
const TRIES: usize = 5;

impl Default for Scratch {
    fn default() -> Self {
        let seen = Seen { rounds: [0; Seen::PLACES], round: 0 };
        Self { seen, order: [0; FEW], looked_at: [0; WINDOW_MAX], drawn: [0; REPLY_PEERS_MAX as usize] }
    }
}

impl Scratch {
    /// Room for what is said of a window.
    pub(super) fn looked_at(&mut self) -> &mut [u64; WINDOW_MAX] {
        &mut self.looked_at
    }
}

impl Seen {
    /// Few enough to stay in the fastest memory. When two hundred are drawn, the last one is taken for another one in one of
    /// twenty tries; when fifty are, in one of eighty.
    const PLACES: usize = 4096;

    /// Answers its salt.
    fn start_round(&mut self, rng: &mut fastrand::Rng) -> u32 {
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            self.rounds = [0; Self::PLACES];
            self.round = 1;
        }
        rng.u32(..)
    }

    /// Draws numbers below `bound` that are new in this round, as far as their places tell; answers how many it found.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a swarm has less than 2^24 records, and a hash is cut on purpose"
    )]
    fn draw(
        &mut self,
        (bound, salt): (usize, u32),
        tries: &mut usize,
        drawn: &mut [u32],
        rng: &mut fastrand::Rng,
    ) -> usize {
        // Copies stay in registers.
        let (mut own_rng, mut left, round) = (rng.clone(), *tries, self.round);
        let mut count = 0;
        while count < drawn.len() && left > 0 {
            left -= 1;
            let number = below(bound, &mut own_rng) as u32;
            let hash = u64::from(number ^ salt).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48;
            let place = &mut self.rounds[hash as usize % Self::PLACES];
            drawn[count] = number;
            count += usize::from(*place != round);
            *place = round;
        }
        (*rng, *tries) = (own_rng, left);
        count
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

/// Those that a caller can meet.
pub(super) struct Connectable<'a>(pub(super) &'a Asker<'a>);

impl Judge for Connectable<'_> {
    #[inline]
    fn judge<R: Record>(&self, record: &R, _: (&List<'_, R>, usize)) -> Verdict {
        if may_connect(self.0, record.state()) { Verdict::OPEN } else { Verdict::NEVER }
    }
}

/// What is drawn: whoever may be handed out has a number.
pub(super) trait Draw {
    /// Makes numbers of the caller's candidates those of their records, which will be read soon.
    fn fetch(&self, drawn: &mut [u32]);
    /// Takes those whose records these are, or refuses them; answers how many it took.
    fn take(&mut self, records: &[u32]) -> usize;
}

/// Draws numbers below `len` until `want` of them are taken, each number at most once.
#[inline(always)]
pub(super) fn draw((len, want): (usize, usize), chance: &mut Chance<'_>, draw: &mut impl Draw) {
    let Scratch { seen, order, drawn, .. } = &mut *chance.scratch;
    let (rng, drawn) = (&mut *chance.rng, &mut drawn[..want.min(REPLY_PEERS_MAX as usize)]);
    if len <= drawn.len() {
        let all = &mut drawn[..len];
        (0..).zip(&mut *all).for_each(|(number, slot)| *slot = number);
        draw.fetch(all);
        draw.take(all);
    } else if len <= FEW {
        let order = &mut order[..len];
        (0..).zip(&mut *order).for_each(|(number, slot)| *slot = number);
        let mut head = 0;
        take_in_rounds(drawn, draw, |drawn| {
            let count = shuffle(&mut order[head..], drawn, rng);
            head += count;
            count
        });
    } else {
        // Here `len` is at least 2.5 times the largest `want`.
        let mut tries = want.saturating_mul(TRIES);
        let salt = seen.start_round(rng);
        take_in_rounds(drawn, draw, |drawn| seen.draw((len, salt), &mut tries, drawn, rng));
    }
}

/// Draws as many as are missing, has their records fetched, and only then takes them: they are all over memory, and
/// thirty that are waited for one by one take longer than everything else in an announce.
#[inline(always)]
fn take_in_rounds(drawn: &mut [u32], draw: &mut impl Draw, mut next: impl FnMut(&mut [u32]) -> usize) {
    let mut missing = drawn.len();
    while missing > 0 {
        let count = next(&mut drawn[..missing]);
        if count == 0 {
            return;
        }
        let drawn = &mut drawn[..count];
        draw.fetch(drawn);
        missing -= draw.take(drawn);
    }
}

/// Brings what is drawn to the head of a permutation (Fisher and Yates), no further than it is needed; answers how many were
/// left to draw.
fn shuffle(order: &mut [u16], drawn: &mut [u32], rng: &mut fastrand::Rng) -> usize {
    // A copy stays in a register.
    let (mut own_rng, bound) = (rng.clone(), order.len());
    let count = drawn.len().min(bound);
    for (head, slot) in drawn[..count].iter_mut().enumerate() {
        order.swap(head, head + below(bound - head, &mut own_rng));
        *slot = u32::from(order[head]);
    }
    *rng = own_rng;
    count
}

/// A number below `bound`. That some are likelier than others shows after 2^32 draws at the earliest.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "it is below `bound`")]
fn below(bound: usize, rng: &mut fastrand::Rng) -> usize {
    ((u128::from(rng.u64(..)) * bound as u128) >> 64) as usize
}
