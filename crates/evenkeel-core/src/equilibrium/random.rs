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
    /// Numbers that were not drawn yet.
    left: [u16; FEW],
    /// Those of a window who were looked at: what was said of each, and its number.
    looked_at: [u64; WINDOW_MAX],
    /// Where the records are of those that were drawn and not taken yet, and of others that will be taken later.
    drawn: Box<Drawn>,
    kept: Box<Drawn>,
}

type Drawn = [u32; DRAWN_MAX];
/// A power of two, so that a place in it needs no test.
const DRAWN_MAX: usize = WINDOW_MAX;

/// What was drawn already: a place for each number, which it shares with others. Who shares it is drawn anew for each
/// round, so that nobody stands in the same one's way twice.
struct Seen {
    /// In which round something was there last.
    rounds: [u8; Self::PLACES],
    round: u8,
    /// Of this round.
    salt: u32,
}

/// Up to so many candidates, a list of those that are left is cheaper than drawing until something new comes.
const FEW: usize = 512;
/// No window is larger: as long as the longest list, rounded up so that a place in it needs no test.
pub(super) const WINDOW_MAX: usize = (REPLY_PEERS_MAX as usize).next_power_of_two();
/// Draws at most for each peer wanted. Only candidates out of the caller's scope are refused, and repeated
/// draws of a set at least 2.5 times as large as what is wanted are rare, so that this is not reached while
/// one in four candidates is in scope.
const TRIES: usize = 5;

impl Default for Scratch {
    fn default() -> Self {
        let seen = Seen { rounds: [0; Seen::PLACES], round: 0, salt: 0 };
        let nobody = || Box::new([0; DRAWN_MAX]);
        Self { seen, left: [0; FEW], looked_at: [0; WINDOW_MAX], drawn: nobody(), kept: nobody() }
    }
}

impl Scratch {
    /// Others may be drawn before these are taken.
    pub(super) fn keep_drawn(&mut self) {
        std::mem::swap(&mut self.drawn, &mut self.kept);
    }

    pub(super) fn kept(&self) -> &Drawn {
        &self.kept
    }

    /// Room for what is said of windows, and for the numbers of those who are drawn from them.
    pub(super) fn looked_at_and_drawn(&mut self) -> (&mut [u64; WINDOW_MAX], &mut Drawn) {
        (&mut self.looked_at, &mut self.drawn)
    }
}

impl Seen {
    /// Few enough to stay in the fastest memory. When two hundred are drawn, the last one is taken for another one in one of
    /// twenty tries; when fifty are, in one of eighty.
    const PLACES: usize = 4096;

    /// Where those of `taken` are as if they had been drawn.
    fn start_round(&mut self, taken: [u32; 2], rng: &mut fastrand::Rng) {
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            self.rounds = [0; Self::PLACES];
            self.round = 1;
        }
        self.salt = rng.u32(..);
        for number in taken {
            self.rounds[place(number, self.salt)] = self.round;
        }
    }

    /// Draws numbers below `bound` that are new in this round, as far as their places tell; answers how many it found.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "a swarm has less than 2^24 records")]
    fn draw(
        &mut self,
        (bound, tries): (usize, &mut usize),
        (drawn, want): (&mut Drawn, usize),
        rng: &mut fastrand::Rng,
        fetch: impl Fn(u32),
    ) -> usize {
        // Copies stay in registers.
        let (mut own_rng, mut left, round, salt) = (rng.clone(), *tries, self.round, self.salt);
        let mut count = 0;
        while count < want && left > 0 {
            let missing = left.min(want - count);
            left -= missing;
            for _ in 0..missing {
                let number = below(bound, own_rng.u64(..)) as u32;
                let known = &mut self.rounds[place(number, salt)];
                fetch(number);
                drawn[count % DRAWN_MAX] = number;
                count += usize::from(*known != round);
                *known = round;
            }
        }
        (*rng, *tries) = (own_rng, left);
        count
    }
}

/// The place of a number: below [`Seen::PLACES`].
#[inline(always)]
fn place(number: u32, salt: u32) -> usize {
    ((number ^ salt).wrapping_mul(0x9E37_79B1) >> (32 - Seen::PLACES.ilog2())) as usize
}

/// Writes as many peers as the caller wants, all as likely as each other.
pub(super) fn choose(swarm: View<'_>, asker: &Asker<'_>, chance: &mut Chance<'_>, out: &mut Handout<'_>) {
    let everybody = Everybody::of(swarm, asker, None);
    let candidates = everybody.part(asker.part(), out);
    take(&candidates, asker.want, &Connectable(asker), chance, out);
    // Rather somebody whom it may not reach than nobody.
    if out.len() == 0 && asker.role.is_unconnectable {
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

    #[inline]
    fn lets_everybody_in(&self) -> bool {
        !self.0.role.is_unconnectable
    }
}

/// Draws numbers below `len` but for those of `own`, which are in order, until `want` of them are taken, each at most once. What
/// `fetch` is told of will be read soon; `take` takes those whose numbers these are, or refuses them, and answers how many it
/// took.
///
/// All are drawn and fetched, and only then taken: they are all over memory, and thirty that are waited for one by one take
/// longer than everything else in an announce.
#[inline(always)]
pub(super) fn draw(
    (len, own, want): (usize, [u32; 2], usize),
    chance: &mut Chance<'_>,
    fetch: impl Fn(u32),
    mut take: impl FnMut(&[u32]) -> usize,
) {
    let Scratch { seen, left, drawn, .. } = &mut *chance.scratch;
    let (rng, want) = (&mut *chance.rng, want.min(REPLY_PEERS_MAX as usize));
    let end = len - own.iter().filter(|own| (**own as usize) < len).count();
    if end <= want {
        let all = &mut drawn[..end];
        let skip = |number, skipped: &u32| number + u32::from(number >= *skipped);
        (0..).zip(&mut *all).for_each(|(number, slot)| *slot = own.iter().fold(number, skip));
        all.iter().for_each(|number| fetch(*number));
        take(all);
    } else if len <= FEW {
        let mut end = list_all_but(own, len, left);
        take_in_rounds((drawn, want), take, |drawn, missing| {
            let count = take_out(&mut left[..end], &mut drawn[..missing], rng, &fetch);
            end -= count;
            count
        });
    } else {
        // Here `len` is at least 2.5 times the largest `want`.
        let mut tries = want.saturating_mul(TRIES);
        seen.start_round(own, rng);
        take_in_rounds((drawn, want), take, |drawn, missing| {
            seen.draw((len, &mut tries), (drawn, missing), rng, &fetch)
        });
    }
}

/// Writes the numbers below `len` but for those of `own`; answers how many they are.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "`len` is small")]
fn list_all_but(own: [u32; 2], len: usize, left: &mut [u16; FEW]) -> usize {
    let (mut end, [first, second]) = (0, own.map(|own| len.min(own as usize)));
    for range in [0..first, first + 1..second, second + 1..len] {
        let count = range.len();
        left[end..][..count].iter_mut().zip(range).for_each(|(slot, number)| *slot = number as u16);
        end += count;
    }
    end
}

/// Draws as many as are missing, and takes them, until nobody is missing or left.
#[inline(always)]
fn take_in_rounds(
    (drawn, want): (&mut Drawn, usize),
    mut take: impl FnMut(&[u32]) -> usize,
    mut next: impl FnMut(&mut Drawn, usize) -> usize,
) {
    let mut missing = want;
    while missing > 0 {
        let count = next(drawn, missing);
        if count == 0 {
            return;
        }
        missing -= take(&drawn[..count]);
    }
}

/// Takes what is drawn out of those that are left, whose order is no matter; answers how many it took.
#[inline(always)]
fn take_out(left: &mut [u16], drawn: &mut [u32], rng: &mut fastrand::Rng, fetch: impl Fn(u32)) -> usize {
    // A copy stays in a register.
    let (mut own_rng, count) = (rng.clone(), drawn.len().min(left.len()));
    for (slot, last) in drawn[..count].iter_mut().zip((0..left.len()).rev()) {
        let at = below(last + 1, own_rng.u64(..));
        *slot = u32::from(left[at]);
        fetch(*slot);
        left[at] = left[last];
    }
    *rng = own_rng;
    count
}

/// Makes chance a number below `bound`. That some are likelier than others shows after 2^32 draws at the earliest.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "it is below `bound`")]
pub(super) fn below(bound: usize, chance: u64) -> usize {
    ((u128::from(chance) * bound as u128) >> 64) as usize
}
