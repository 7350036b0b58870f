//! A look at windows of peers: whose turn it is, and who of them is drawn.

use super::super::Chance;
use super::super::candidates::{Candidates, Judge, Verdict};
use super::super::random::WINDOW_MAX;

/// What came of looking at windows; whom it was kept of is in memory that all choices share.
#[derive(Default)]
pub(super) struct Look {
    /// Those whose turn it is soon enough.
    pub(super) kept: usize,
    /// Those of them who are open.
    pub(super) open: usize,
    pub(super) are_some_closed: bool,
    /// Candidates of windows before the last one. The numbers of the last one's go on from there.
    pub(super) before: u32,
}

impl Look {
    /// Looks at a window, and keeps those whose turn it is before `until`.
    #[inline(always)]
    pub(super) fn at(
        &mut self,
        (candidates, window): (&Candidates<'_>, (usize, usize)),
        (rule, until): (&impl Judge, Verdict),
        chance: &mut Chance<'_>,
    ) {
        let looked_at = chance.scratch.looked_at_and_drawn().0;
        let (mut kept, mut any, before) = (self.kept, 0, self.before);
        candidates.look_at(window, rule, |number, verdict| {
            looked_at[kept % WINDOW_MAX] = u64::from(verdict.number()) << 32 | u64::from(before + number);
            kept += usize::from(verdict < until);
            any |= verdict.number();
        });
        self.open += looked_at[self.kept..kept].iter().filter(|kept| was_open(**kept)).count();
        self.kept = kept;
        self.are_some_closed |= any & !Verdict::NEVER.number() != 0;
    }

    /// Looks at a window, and keeps those who are open.
    #[inline(always)]
    pub(super) fn at_open(
        &mut self,
        (candidates, window): (&Candidates<'_>, (usize, usize)),
        rule: &impl Judge,
        chance: &mut Chance<'_>,
    ) {
        let looked_at = chance.scratch.looked_at_and_drawn().0;
        let (mut kept, before) = (self.kept, self.before);
        candidates.look_at(window, rule, |number, verdict| {
            looked_at[kept % WINDOW_MAX] = u64::from(before + number);
            kept += usize::from(verdict == Verdict::OPEN);
        });
        self.open += kept - self.kept;
        self.kept = kept;
    }

    /// Some of those who are open.
    pub(super) fn draw<'a>(&self, want: usize, chance: &'a mut Chance<'_>) -> &'a [u32] {
        let (looked_at, drawn) = chance.scratch.looked_at_and_drawn();
        let (kept, count) = (&mut looked_at[..self.kept], want.min(self.open).min(drawn.len()));
        if self.open < kept.len() {
            let mut open = 0;
            for at in 0..kept.len() {
                kept[open] = kept[at];
                open += usize::from(was_open(kept[open]));
            }
        }
        for (head, slot) in drawn[..count].iter_mut().enumerate() {
            kept.swap(head, chance.rng.usize(head..self.open));
            *slot = low_half(kept[head]);
        }
        &drawn[..count]
    }

    /// Those whose turn it is first.
    pub(super) fn first<'a>(&self, want: usize, chance: &'a mut Chance<'_>) -> &'a [u32] {
        let (looked_at, drawn) = chance.scratch.looked_at_and_drawn();
        let (kept, first) = (&looked_at[..self.kept], &mut drawn[..want.min(self.kept)]);
        // Few of few: to sort them all takes longer. What is below `from` is taken, and becomes the largest.
        let mut from = 0_u64;
        for slot in &mut *first {
            let least = kept.iter().map(|kept| kept.wrapping_sub(from)).min().unwrap_or_default() + from;
            *slot = low_half(least);
            from = least + 1;
        }
        first
    }
}

fn was_open(kept: u64) -> bool {
    kept >> 32 == u64::from(Verdict::OPEN.number())
}

#[expect(clippy::cast_possible_truncation, reason = "the upper half says what it is in the order of")]
fn low_half(kept: u64) -> u32 {
    kept as u32
}
