//! The policy `random`: independent samples without replacement.
//!
//! Every peer is as likely as every other, whatever its place in memory and whatever was drawn before. Windows
//! and slices of the list would be cheaper, but hand out the same neighbours together, again and again.
//!
//! Known weakness: it takes nothing into account. Free riders fare as well as those who give.

use evenkeel_wire::limits::REPLY_PEERS_MAX;

use super::candidates::{Candidates, Drawing, Everybody, Judge, Verdict};
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

/// What was drawn already: an open-addressed set of numbers, each tagged with the round it belongs to, so that a new
/// round needs no clearing.
struct Seen {
    slots: [u64; SEEN],
    round: u32,
}

/// At most 200 peers are drawn, and at most as many tries are thrown away for each as [`TRIES`] allows.
const SEEN: usize = 2048;
/// Up to so many candidates, a permutation is cheaper than drawing until something new comes.
const FEW: usize = 512;
/// Draws at most for each peer wanted. Only candidates out of the caller's scope are refused, and repeated
/// draws of a set at least 2.5 times as large as what is wanted are rare, so that this is not reached while
/// one in five candidates is in scope.
const TRIES: usize = 8;

impl Default for Scratch {
    fn default() -> Self {
        let seen = Seen { slots: [0; SEEN], round: 0 };
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
    fn start_round(&mut self) {
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            self.slots = [0; SEEN];
            self.round = 1;
        }
    }

    /// Whether `number` is new in this round.
    fn note(&mut self, number: u32) -> bool {
        let tagged = u64::from(self.round) << 32 | u64::from(number);
        let mut slot = number.wrapping_mul(0x9E37_79B1) as usize >> 16 & (SEEN - 1);
        loop {
            if self.slots[slot] == tagged {
                return false;
            }
            if self.slots[slot] >> 32 != u64::from(self.round) {
                self.slots[slot] = tagged;
                return true;
            }
            slot = (slot + 1) & (SEEN - 1);
        }
    }
}

/// Writes as many peers as the caller wants, all as likely as each other.
pub(super) fn choose(swarm: View<'_>, asker: &Asker<'_>, chance: &mut Chance<'_>, out: &mut Handout<'_>) {
    let candidates = Candidates::of(swarm, asker, asker.part(), out);
    if asker.role.is_unconnectable {
        take(&candidates, asker.want, &Connectable(asker), chance, out);
    }
    // Rather somebody whom it may not reach than nobody.
    if out.len() == 0 {
        take(&candidates, asker.want, &Everybody, chance, out);
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
    draw((candidates.len(), want), chance, &mut Drawing { candidates, judge, out });
}

/// Those that a caller can meet whom nobody can dial.
struct Connectable<'a>(&'a Asker<'a>);

impl Judge for Connectable<'_> {
    fn judge<R: Record>(&self, list: List<'_, R>, at: usize) -> Verdict {
        if may_connect(self.0, list.records()[at].state()) { Verdict::Open } else { Verdict::Never }
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
    let tries = if len <= FEW { len } else { want.saturating_mul(TRIES) };
    draw_within(tries, (len, want), chance, draw);
}

/// The same in so many tries at most, unless everybody is wanted.
pub(super) fn draw_within(
    tries: usize,
    (len, want): (usize, usize),
    chance: &mut Chance<'_>,
    draw: &mut impl Draw,
) {
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
            if head == order.len().min(tries) {
                return None;
            }
            order.swap(head, rng.usize(head..order.len()));
            head += 1;
            Some(order[head - 1])
        });
    } else {
        // Here `len` is at least 2.5 times the largest `want`.
        let mut tries = tries.min(SEEN - 1);
        seen.start_round();
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
