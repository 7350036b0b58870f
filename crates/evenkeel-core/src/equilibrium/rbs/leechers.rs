//! Which leechers a leecher is told of, and which a seeder.

use std::cell::Cell;
use std::hint::select_unpredictable;

use super::super::candidates::{Candidates, Judge, OTHERS, Part, Verdict, of_tiers};
use super::super::handout::Handout;
use super::super::lottery::{ALL, Lots, Lottery, end_of};
use super::super::random::{self, Connectable};
use super::super::{Asker, Chance};
use super::Ration;
use super::look::Look;
use crate::identity::Tier;
use crate::rules::Rules;
use crate::swarm::{Kind, List, Record, Starts, State};

/// Up to so many leechers all who are rationed are looked at.
const FEW_LEECHERS: usize = 40;
/// Of more leechers, so many: those of a whole swarm who are open to one caller are one or two, so that it misses
/// little.
const FEW_OF_MANY: usize = 8;
/// Leechers below the top that a seeder with room is told of at a time.
pub(super) const RELEASED_LEECHERS: u32 = 2;

/// Those that lack something, as a rationed caller meets them.
pub(super) struct Leechers<'a> {
    /// Those of higher tiers.
    above: &'a Candidates<'a>,
    /// Those of lower tiers, and partial seeds.
    below: &'a Candidates<'a>,
    /// Those of the tiers that are not rationed.
    kin: &'a Candidates<'a>,
    /// Those above and below who are looked at.
    windows: [(usize, usize); 2],
}

impl<'a> Leechers<'a> {
    pub(super) fn of([above, below, kin]: [&'a Candidates<'a>; 3], chance: &mut Chance<'_>) -> Self {
        let are_many = above.len() + below.len() + kin.len() > FEW_LEECHERS;
        let windows = [above, below].map(|candidates| {
            let count = if are_many { FEW_OF_MANY } else { FEW_LEECHERS };
            let start = if candidates.len() > count { chance.rng.usize(..candidates.len()) } else { 0 };
            candidates.fetch((start, count));
            (start, count)
        });
        Self { above, below, kin, windows }
    }

    pub(super) fn len(&self) -> usize {
        self.above.len() + self.below.len() + self.kin.len()
    }

    /// Draws first among those who are rationed and open nevertheless, who are few, then among the others.
    #[inline(always)]
    pub(super) fn take(
        &self,
        (asker, want, ahead): (&Asker<'_>, usize, usize),
        (above_rule, below_rule): (&impl Judge, &impl Judge),
        chance: &mut Chance<'_>,
        out: &mut Handout<'_>,
    ) {
        let Self { above, below, kin, windows: [above_window, below_window] } = *self;
        let mut look = Look::default();
        look.at_open((above, above_window), above_rule, chance);
        look.before = above.end();
        look.at_open((below, below_window), below_rule, chance);
        for number in look.draw(want, chance) {
            match number.checked_sub(look.before) {
                Some(number) => below.give(&[number], out),
                None => above.give(&[*number], out),
            }
        }
        let rest = want - look.open.min(want);
        if ahead >= rest {
            kin.give(&chance.scratch.kept()[..rest], out);
        } else {
            random::take(kin, rest, &Connectable(asker), chance, out);
        }
    }
}

/// Tiers whose leechers are rationed among leechers, where a preset does so.
const LOW_TIERS: u8 = 2;

/// Which leechers a leecher may know, where a preset rations them too, by [`State::order`]: the lots that are open for the
/// lower one of two are below. The same two know each other whoever of them announces.
pub(super) type Ends = [u64; State::ORDERS];

/// Below the caller's own tier, and for its own.
pub(super) fn ends_of_leechers(starts: &Starts, own: u8, ration: &Ration) -> Ends {
    let mut ends = [end_of(ALL); State::ORDERS];
    let Some(known) = ration.leechers else { return ends };
    for tier in 0..LOW_TIERS.min(own + 1) {
        // Of the leechers above, those that one of this tier may know.
        let above = starts.leechers_above(tier);
        if known < above {
            ends[usize::from(State::order_of(Kind::Leecher, tier))] = end_of(ALL / above * known);
        }
    }
    ends
}

/// Those who lack something and are all open to a caller.
pub(super) fn unrationed(own: u8, ends: &Ends) -> Part {
    let is_open = |tier| ends[usize::from(State::order_of(Kind::Leecher, tier))] == end_of(ALL);
    match own {
        _ if (0..LOW_TIERS).all(is_open) => OTHERS,
        own if own < LOW_TIERS => of_tiers(&(own..=own)),
        _ => of_tiers(&(LOW_TIERS..=Tier::TOP.number())),
    }
}

/// Which leechers of higher tiers one of a low tier may know.
pub(super) struct Above {
    pub(super) lots: Lots,
    /// The lots that are open are below.
    pub(super) end: u64,
}

impl Judge for Above {
    #[inline(always)]
    fn judge<R: Record>(&self, record: &R, _: (&List<'_, R>, usize)) -> Verdict {
        select_unpredictable(self.lots.lot(record) < self.end, Verdict::OPEN, Verdict::NEVER)
    }
}

/// Which ones of lower tiers may know a leecher.
pub(super) struct Below<'a> {
    pub(super) lottery: Lottery,
    pub(super) own_bits: u64,
    pub(super) ends: &'a Ends,
}

impl Judge for Below<'_> {
    #[inline(always)]
    fn judge<R: Record>(&self, record: &R, _: (&List<'_, R>, usize)) -> Verdict {
        let lot = self.lottery.lots_of(&R::source(&record.key())).lot_of_bits(self.own_bits);
        let is_open = lot < self.ends[usize::from(record.state().order())];
        select_unpredictable(is_open, Verdict::OPEN, Verdict::NEVER)
    }
}

/// Which leechers a seeder may know: those that may know it.
pub(super) struct Introductions<'a> {
    pub(super) lottery: Lottery,
    pub(super) asker: &'a Asker<'a>,
    pub(super) ration: &'a Ration,
    pub(super) rules: &'a Rules,
    /// Of leechers that somebody is above, as many more may be told to a seeder with room.
    pub(super) released: Cell<u32>,
}

impl Judge for Introductions<'_> {
    #[inline]
    fn judge<R: Record>(&self, record: &R, place: (&List<'_, R>, usize)) -> Verdict {
        let state = record.state();
        if state.kind() != Kind::Leecher {
            return Verdict::OPEN;
        }
        let tier = state.grade();
        let (list, at) = place;
        let stay_secs = list.reports().map_or(0, |reports| reports[at].stay_secs(self.asker.now));
        let share = self.ration.share(tier, stay_secs, self.rules);
        if share == ALL {
            return Verdict::OPEN;
        }
        if self.asker.role.grade == 0 {
            let Some(left) = self.released.get().checked_sub(1) else { return Verdict::NEVER };
            self.released.set(left);
            return Verdict::OPEN;
        }
        let lots = self.lottery.lots_of(&R::source(&record.key()));
        let is_open = lots.lot_of_bits(self.asker.key.bits()) < end_of(share);
        if is_open { Verdict::OPEN } else { Verdict::NEVER }
    }
}
