//! The policy `random`: independent samples without replacement.
//!
//! Every peer is as likely as every other, whatever its place in memory and whatever was drawn before. Windows
//! and slices of the list would be cheaper, but hand out the same neighbours together, again and again.
//!
//! Known weakness: it takes nothing into account. Free riders fare as well as those who give.

use evenkeel_wire::limits::REPLY_PEERS_MAX;

/// Memory for drawing; one for each thread, used again for every announce.
pub struct Scratch {
    /// What was drawn already: an open-addressed set of numbers, each tagged with the round it belongs to, so
    /// that a new round needs no clearing.
    seen: [u64; SEEN],
    round: u32,
    /// A permutation in the making.
    order: [u32; FEW],
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
        Self { seen: [0; SEEN], round: 0, order: [0; FEW] }
    }
}

impl Scratch {
    fn start_round(&mut self) {
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            self.seen = [0; SEEN];
            self.round = 1;
        }
    }

    /// Whether `number` is new in this round.
    fn note(&mut self, number: u32) -> bool {
        let tagged = u64::from(self.round) << 32 | u64::from(number);
        let mut slot = number.wrapping_mul(0x9E37_79B1) as usize >> 16 & (SEEN - 1);
        loop {
            if self.seen[slot] == tagged {
                return false;
            }
            if self.seen[slot] >> 32 != u64::from(self.round) {
                self.seen[slot] = tagged;
                return true;
            }
            slot = (slot + 1) & (SEEN - 1);
        }
    }
}

/// What is drawn: whoever may be handed out has a number.
pub(crate) trait Draw {
    /// The record of a number will be read soon.
    fn fetch(&self, number: usize);
    /// Takes the one with this number, or refuses it.
    fn take(&mut self, number: usize) -> bool;
}

/// Draws numbers below `len` until `want` of them are taken, each number at most once.
pub(crate) fn draw(
    len: usize,
    want: usize,
    rng: &mut fastrand::Rng,
    scratch: &mut Scratch,
    draw: &mut impl Draw,
) {
    if len <= want {
        for number in 0..len {
            draw.take(number);
        }
    } else if len <= FEW {
        // The head of a random permutation (Fisher and Yates), as far as it is needed.
        let order = &mut scratch.order[..len];
        for (number, slot) in (0..).zip(order.iter_mut()) {
            *slot = number;
        }
        let mut heads = 0..len;
        take_in_rounds(want, draw, || {
            let head = heads.next()?;
            order.swap(head, rng.usize(head..len));
            Some(order[head])
        });
    } else {
        // Here `len` is at least 2.5 times the largest `want`.
        let bound = u32::try_from(len).unwrap_or(u32::MAX);
        let mut tries = 0..(want * TRIES).min(SEEN - 1);
        scratch.start_round();
        take_in_rounds(want, draw, || {
            tries.by_ref().map(|_| rng.u32(..bound)).find(|number| scratch.note(*number))
        });
    }
}

/// Draws as many as are missing, has their records fetched, and only then takes them: they are all over memory, and
/// thirty that are waited for one by one take longer than everything else in an announce.
fn take_in_rounds(want: usize, draw: &mut impl Draw, mut next: impl FnMut() -> Option<u32>) {
    let mut drawn = [0; REPLY_PEERS_MAX as usize];
    let mut missing = want.min(drawn.len());
    while missing > 0 {
        let mut count = 0;
        for (slot, number) in drawn[..missing].iter_mut().zip(std::iter::from_fn(&mut next)) {
            *slot = number;
            draw.fetch(number as usize);
            count += 1;
        }
        if count == 0 {
            return;
        }
        missing -= drawn[..count].iter().filter(|number| draw.take(**number as usize)).count();
    }
}
