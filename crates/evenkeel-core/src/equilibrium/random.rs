//! The policy `random`: independent samples without replacement.
//!
//! Every peer is as likely as every other, whatever its place in memory and whatever was drawn before. Windows
//! and slices of the list would be cheaper, but hand out the same neighbours together, again and again.
//!
//! Known weakness: it takes nothing into account. Free riders fare as well as those who give.

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

/// Draws numbers below `len` until `take` has accepted `want` of them, each number at most once.
pub(crate) fn draw(
    len: usize,
    want: usize,
    rng: &mut fastrand::Rng,
    scratch: &mut Scratch,
    mut take: impl FnMut(usize) -> bool,
) {
    if len <= want {
        for number in 0..len {
            take(number);
        }
    } else if len <= FEW {
        draw_few(len, want, rng, scratch, take);
    } else {
        // Here `len` is at least 2.5 times the largest `want`.
        let bound = u32::try_from(len).unwrap_or(u32::MAX);
        scratch.start_round();
        let mut taken = 0;
        for _ in 0..(want * TRIES).min(SEEN - 1) {
            if taken == want {
                break;
            }
            let number = rng.u32(..bound);
            if scratch.note(number) && take(number as usize) {
                taken += 1;
            }
        }
    }
}

/// The head of a random permutation (Fisher and Yates), as far as it is needed.
fn draw_few(
    len: usize,
    want: usize,
    rng: &mut fastrand::Rng,
    scratch: &mut Scratch,
    mut take: impl FnMut(usize) -> bool,
) {
    let order = &mut scratch.order[..len];
    for (number, slot) in (0..).zip(order.iter_mut()) {
        *slot = number;
    }
    let mut taken = 0;
    for at in 0..len {
        if taken == want {
            break;
        }
        order.swap(at, rng.usize(at..len));
        taken += usize::from(take(order[at] as usize));
    }
}
