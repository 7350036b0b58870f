//! The policies `rbs`: ration busy seeders.
//!
//! A seeder whose uplink is exhausted serves its neighbours in turns: what one of them gets is what another one does not.
//! So it matters who is introduced to it. Of the busy seeders of a swarm a leecher may know a share, which grows with its
//! tier and with the time that it has been there, and never less than a floor. Seeders with room in their uplink are for
//! everybody: to hold them back would help nobody.
//!
//! * A seeder is rationed for the tiers below its grade: those that leechers of its swarms are above, if enough of them rest
//!   on its uplink ([`crate::Uplinks`]). Where nobody has earned more, nothing is rationed.
//! * Which of the busy seeders are open is drawn by lot, once for each pair ([`super::lottery`]).
//! * Introductions cannot be taken back, so that a preset may open seeders with room to those below the top in quarters,
//!   one at each announce, as long as somebody above them leeches here.
//! * A seeder that announces is told of those leechers who would be told of it.
//!
//! Known weakness: peers that find each other without the tracker (PEX, DHT) are rationed by nobody. In public swarms the
//! policy is a head start at most.

use std::cell::Cell;
use std::hint::select_unpredictable;
use std::ops::RangeInclusive;

use super::candidates::{Candidates, Everybody, Judge, Part, Verdict};
use super::handout::Handout;
use super::lottery::{ALL, Lots, Lottery, end_of, is_open};
use super::random::{self, Connectable, WINDOW_MAX};
use super::{Asker, Chance, may_connect};
use crate::identity::Tier;
use crate::rules::Rules;
use crate::swarm::{Kind, List, Record, View};

/// How much is rationed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Where it costs the community nothing.
    Default,
    /// Where less is contested, too, and fewer seeders are left to everybody: more for those who give.
    Aggressive,
    /// A nudge, for swarms whose peers find each other anyway.
    Mild,
}

/// A preset in numbers.
pub(crate) struct Ration {
    /// What a leecher of each tier may know of the busy seeders, by the steps that it has been there.
    shares: [[u32; STEPS]; Tier::COUNT],
    /// Seeders that every leecher may know.
    floor: usize,
    /// Quarters of the seeders with room that a leecher below the top may know at its first announce; at each that follows
    /// it is one more.
    released: u32,
    /// Leechers of higher tiers that one of the two lowest tiers may know, on average.
    leechers: Option<u32>,
    /// An uplink is busy from this share of its best on, in percent.
    pub(crate) busy_percent: u16,
    /// It is no longer busy below this share.
    pub(crate) idle_percent: u16,
    /// It is contested when so many leechers of higher tiers rest on it, each divided among the seeders of its swarm. With
    /// fewer, those who have earned more get what they can take anyway.
    pub(crate) wanted: f32,
}

/// After so many steps nothing grows any more: all is open.
const STEPS: usize = 64;

static DEFAULT: Ration = Ration {
    shares: shares([1, 12, 90, 100], 105),
    floor: 3,
    released: QUARTERS,
    leechers: Some(1),
    busy_percent: 76,
    idle_percent: 68,
    wanted: 0.27,
};
static AGGRESSIVE: Ration =
    Ration { floor: 1, released: 1, busy_percent: 75, idle_percent: 65, wanted: 0.1, ..DEFAULT };
static MILD: Ration = Ration {
    shares: shares([35, 55, 80, 100], 110),
    floor: 3,
    released: QUARTERS,
    leechers: None,
    busy_percent: 90,
    idle_percent: 80,
    wanted: 0.5,
};

impl Preset {
    pub(crate) fn ration(self) -> &'static Ration {
        match self {
            Self::Default => &DEFAULT,
            Self::Aggressive => &AGGRESSIVE,
            Self::Mild => &MILD,
        }
    }
}

/// Up to so many seeders or leechers all are looked at, for those who are rationed and open.
const FEW: usize = 64;
/// Of more leechers, so many: those of a whole swarm who are open to one caller are one or two, so that it misses
/// little.
const FEW_OF_MANY: usize = 16;
/// At least this share of a list is kept for seeders, in percent; the rest is for leechers, who have pieces too.
const SEEDERS_PERCENT: usize = 60;
/// All of the seeders with room.
const QUARTERS: u32 = 4;
/// Announces after which a leecher from which seeders were held back is no longer asked to come back sooner.
pub(super) const HURRIED_TURNS: u16 = 4;
/// Leechers below the top that a seeder with room is told of at a time.
const RELEASED_LEECHERS: u32 = 2;

/// Writes the caller's peers; answers whether some were held back.
#[inline(never)]
pub(super) fn choose(
    swarm: View<'_>,
    asker: &Asker<'_>,
    (ration, rules): (&Ration, &Rules),
    chance: &mut Chance<'_>,
    out: &mut Handout<'_>,
) -> bool {
    match asker.role.kind {
        Kind::Leecher => choose_for_leecher(swarm, asker, (ration, rules), chance, out),
        Kind::Seeder => choose_for_seeder(swarm, asker, (ration, rules), chance, out),
        Kind::Partial => {
            random::choose(swarm, asker, chance, out);
            false
        }
    }
}

fn choose_for_leecher(
    swarm: View<'_>,
    asker: &Asker<'_>,
    (ration, rules): (&Ration, &Rules),
    chance: &mut Chance<'_>,
    out: &mut Handout<'_>,
) -> bool {
    let everybody = Everybody::of(swarm, asker);
    let seeders = everybody.part(Part::Seeders, out);
    if seeders.len() <= ration.floor {
        random::choose(swarm, asker, chance, out);
        return false;
    }
    let tier = asker.role.grade;
    let lottery = Lottery::of(asker.lottery, &swarm.swarm.info_hash);
    let lots = lottery.lots_of(asker.key.source());
    // Whoever asks again too soon gets the same list.
    let mut rng = lots.chance(asker.turn);
    let chance = &mut Chance { rng: &mut rng, scratch: chance.scratch };
    let share = ration.share(tier, asker.stay_secs, rules);
    let is_contested = share < ALL && swarm.top_tier_of_leechers() > Some(tier);
    let released = if is_contested { ration.released(asker.turn) } else { ALL };
    let rule = Seeders::of(asker, lots, (share, released));

    let others = everybody.part(Part::Others, out);
    let want = asker.want.min(out.room());
    let lim = want.saturating_sub(others.len()).max((want * SEEDERS_PERCENT).div_ceil(100)).min(want);
    let is_held_back = if rule.are_all_open() {
        random::take(&seeders, lim, &Connectable(asker), chance, out);
        false
    } else {
        take_seeders(&seeders, lim, (&rule, ration.floor), chance, out)
    };
    let rest = want.saturating_sub(out.len());
    let rule_of_leechers = Leechers::of(swarm, asker, ration, lottery);
    let unrationed = rule_of_leechers.unrationed();
    take_leechers((&everybody, &others), (asker, rest), (&rule_of_leechers, unrationed), chance, out);
    if out.len() == 0 {
        super::give_anybody(swarm, asker, chance, out);
    }
    is_held_back
}

/// Looks at some seeders, and draws among those that are open; answers whether others are not.
fn take_seeders(
    seeders: &Candidates<'_>,
    lim: usize,
    (rule, floor): (&Seeders, usize),
    chance: &mut Chance<'_>,
    out: &mut Handout<'_>,
) -> bool {
    let window = window(seeders, lim.max(FEW), chance);
    let mut look = look_at(seeders, window, (rule, NEAR), chance);
    if look.open >= floor {
        look.draw(lim, chance).for_each(|number| seeders.give(number, out));
    } else {
        if look.kept < floor {
            look = look_at(seeders, window, (rule, Verdict::NEVER), chance);
        }
        look.first(floor.min(lim), chance).for_each(|number| seeders.give(number, out));
    }
    look.are_some_closed
}

/// A place that is drawn, and how many are looked at from there on. That they are next to each other in memory costs little
/// time and no fairness: lots have nothing to do with places, and seeders do not connect to each other.
fn window(candidates: &Candidates<'_>, count: usize, chance: &mut Chance<'_>) -> (usize, usize) {
    let start = if candidates.len() > count { chance.rng.usize(..candidates.len()) } else { 0 };
    (start, count)
}

/// Where a floor looks for the smallest lots first: of 64 some 16 are below.
const NEAR: Verdict = Verdict::closed(ALL / 4);

/// What came of a look at a window; whom it was kept of is in memory that all choices share.
struct Look {
    /// Those whose turn it is soon enough.
    kept: usize,
    /// Those of them who are open.
    open: usize,
    are_some_closed: bool,
}

/// Looks at a window, and keeps those whose turn it is before `until`.
#[inline(always)]
fn look_at(
    candidates: &Candidates<'_>,
    window: (usize, usize),
    (rule, until): (&impl Judge, Verdict),
    chance: &mut Chance<'_>,
) -> Look {
    let looked_at = chance.scratch.looked_at();
    let (mut kept, mut any) = (0, 0);
    candidates.look_at(window, rule, |number, verdict| {
        looked_at[kept % WINDOW_MAX] = u64::from(verdict.number()) << 32 | u64::from(number);
        kept += usize::from(verdict < until);
        any |= verdict.number();
    });
    let open = looked_at[..kept].iter().filter(|kept| was_open(**kept)).count();
    Look { kept, open, are_some_closed: any & !Verdict::NEVER.number() != 0 }
}

impl Look {
    /// Some of those who are open.
    fn draw<'a>(&self, want: usize, chance: &'a mut Chance<'_>) -> impl Iterator<Item = u32> + 'a {
        let (kept, rng) = (&mut chance.scratch.looked_at()[..self.kept], &mut *chance.rng);
        if self.open < kept.len() {
            let mut open = 0;
            for at in 0..kept.len() {
                kept[open] = kept[at];
                open += usize::from(was_open(kept[open]));
            }
        }
        let open = self.open;
        (0..want.min(open)).map(move |head| {
            kept.swap(head, rng.usize(head..open));
            low_half(kept[head])
        })
    }

    /// Those whose turn it is first.
    fn first<'a>(&self, want: usize, chance: &'a mut Chance<'_>) -> impl Iterator<Item = u32> + 'a {
        let kept = &mut chance.scratch.looked_at()[..self.kept];
        kept.sort_unstable();
        kept.iter().take(want).map(|kept| low_half(*kept))
    }
}

fn was_open(kept: u64) -> bool {
    kept >> 32 == u64::from(Verdict::OPEN.number())
}

#[expect(clippy::cast_possible_truncation, reason = "the upper half says what it is in the order of")]
fn low_half(kept: u64) -> u32 {
    kept as u32
}

fn choose_for_seeder(
    swarm: View<'_>,
    asker: &Asker<'_>,
    (ration, rules): (&Ration, &Rules),
    chance: &mut Chance<'_>,
    out: &mut Handout<'_>,
) -> bool {
    let everybody = Everybody::of(swarm, asker);
    // One of so few is open to every leecher. Where it cannot be dialled they meet only if it is told of them.
    if everybody.part(Part::Seeders, out).len() < ration.floor {
        random::choose(swarm, asker, chance, out);
        return false;
    }
    let top = swarm.top_tier_of_leechers().unwrap_or_default();
    let lottery = Lottery::of(asker.lottery, &swarm.swarm.info_hash);
    let rule = Introductions { lottery, asker, ration, rules, top, released: Cell::new(RELEASED_LEECHERS) };
    let others = everybody.part(Part::Others, out);
    take_leechers((&everybody, &others), (asker, asker.want), (&rule, rule.unrationed()), chance, out);
    false
}

/// Draws among those that lack something: first among those who are rationed and open nevertheless, who are few, then
/// among those of the tiers that are not rationed.
fn take_leechers(
    (everybody, others): (&Everybody<'_>, &Candidates<'_>),
    (asker, want): (&Asker<'_>, usize),
    (rule, unrationed): (&impl Judge, Option<Tiers>),
    chance: &mut Chance<'_>,
    out: &mut Handout<'_>,
) {
    let Some(tiers) = unrationed else {
        return random::take(others, want, &Connectable(asker), chance, out);
    };
    let count = if others.len() > FEW { FEW_OF_MANY } else { FEW };
    let window = window(others, count, chance);
    let look = look_at(others, window, (&Except { rule, tiers: &tiers }, Verdict::closed(0)), chance);
    look.draw(want, chance).for_each(|number| others.give(number, out));
    let kin = everybody.part(Part::Leechers(*tiers.start(), *tiers.end()), out);
    random::take(&kin, want - look.open.min(want), &Connectable(asker), chance, out);
}

/// Tiers from one to another.
type Tiers = RangeInclusive<u8>;

/// A rule for those who are not leechers of these tiers.
struct Except<'a, J> {
    rule: &'a J,
    tiers: &'a Tiers,
}

impl<J: Judge> Judge for Except<'_, J> {
    #[inline]
    fn judge<R: Record>(&self, record: &R, place: (&List<'_, R>, usize)) -> Verdict {
        let state = record.state();
        if state.kind() == Kind::Leecher && self.tiers.contains(&state.grade()) {
            return Verdict::NEVER;
        }
        self.rule.judge(record, place)
    }
}

/// Which seeders a leecher may know.
struct Seeders {
    lots: Lots,
    /// By the grade of a seeder: the lots that are open are below.
    ends: [u64; Tier::COUNT],
    is_unconnectable: bool,
}

impl Seeders {
    /// With the shares of busy seeders and of those with room that are open.
    fn of(asker: &Asker<'_>, lots: Lots, (busy, idle): (u32, u32)) -> Self {
        let share = |grade| match grade {
            0 => idle,
            grade if grade > usize::from(asker.role.grade) => busy,
            _ => ALL,
        };
        let ends = std::array::from_fn(|grade| end_of(share(grade)));
        Self { lots, ends, is_unconnectable: asker.role.is_unconnectable }
    }

    fn are_all_open(&self) -> bool {
        self.ends == [end_of(ALL); Tier::COUNT]
    }
}

impl Judge for Seeders {
    #[inline(always)]
    fn judge<R: Record>(&self, record: &R, _: (&List<'_, R>, usize)) -> Verdict {
        let state = record.state();
        let lot = self.lots.lot(record);
        let is_open = u64::from(lot) < self.ends[usize::from(state.grade())];
        // Who can tell which of them are open?
        let verdict = select_unpredictable(is_open, Verdict::OPEN, Verdict::closed(lot));
        if self.is_unconnectable & state.is_unconnectable() { Verdict::NEVER } else { verdict }
    }
}

/// Which leechers a leecher may know: all of them, unless a preset rations them too. The same two know each other whoever
/// of them announces.
struct Leechers<'a> {
    asker: &'a Asker<'a>,
    lottery: Lottery,
    lots: Lots,
    /// Of the leechers above each tier, those that one of that tier may know.
    shares: [u32; Tier::COUNT],
}

/// Tiers whose leechers are rationed among leechers, where a preset does so.
const LOW_TIERS: u8 = 2;

impl<'a> Leechers<'a> {
    fn of(swarm: View<'_>, asker: &'a Asker<'a>, ration: &Ration, lottery: Lottery) -> Self {
        let mut shares = [ALL; Tier::COUNT];
        if let Some(known) = ration.leechers {
            for (tier, share) in (0..LOW_TIERS.min(asker.role.grade + 1)).zip(&mut shares) {
                let above = u32::try_from(swarm.leechers_above(tier)).unwrap_or(u32::MAX);
                if above > known {
                    let part = u64::from(ALL) * u64::from(known) / u64::from(above);
                    *share = u32::try_from(part).unwrap_or(ALL);
                }
            }
        }
        let lots = lottery.lots_of(asker.key.source());
        Self { asker, lottery, lots, shares }
    }

    /// The tiers whose leechers are all open to the caller, unless everybody is.
    fn unrationed(&self) -> Option<Tiers> {
        let tier = self.asker.role.grade;
        let is_rationed = self.shares[..usize::from(LOW_TIERS)].iter().any(|share| *share < ALL);
        is_rationed.then_some(if tier < LOW_TIERS { tier..=tier } else { LOW_TIERS..=Tier::TOP.number() })
    }
}

impl Judge for Leechers<'_> {
    #[inline]
    fn judge<R: Record>(&self, record: &R, _: (&List<'_, R>, usize)) -> Verdict {
        let (state, own) = (record.state(), self.asker.role.grade);
        if !may_connect(self.asker, state) {
            return Verdict::NEVER;
        }
        let other = state.grade();
        let (low, share) = (own.min(other), self.shares[usize::from(own.min(other))]);
        if state.kind() != Kind::Leecher || own == other || low >= LOW_TIERS || share == ALL {
            return Verdict::OPEN;
        }
        let lot = if own < other {
            self.lots.lot(record)
        } else {
            let lots = self.lottery.lots_of(&R::source(&record.key()));
            lots.lot_of_bits(self.asker.key.bits())
        };
        if is_open(lot, share) { Verdict::OPEN } else { Verdict::closed(lot) }
    }
}

/// Which leechers a seeder may know: those that may know it.
struct Introductions<'a> {
    lottery: Lottery,
    asker: &'a Asker<'a>,
    ration: &'a Ration,
    rules: &'a Rules,
    /// Of the leechers here.
    top: u8,
    /// Of leechers that somebody is above, as many more may be told to a seeder with room.
    released: Cell<u32>,
}

impl Introductions<'_> {
    /// The tiers whose leechers are all open to the caller, unless everybody is.
    fn unrationed(&self) -> Option<Tiers> {
        let low = match self.asker.role.grade {
            0 if self.ration.released == QUARTERS => return None,
            0 => self.top,
            grade => grade,
        };
        Some(low..=Tier::TOP.number())
    }
}

impl Judge for Introductions<'_> {
    #[inline]
    fn judge<R: Record>(&self, record: &R, place: (&List<'_, R>, usize)) -> Verdict {
        let state = record.state();
        if !may_connect(self.asker, state) {
            return Verdict::NEVER;
        }
        let tier = state.grade();
        if state.kind() != Kind::Leecher || self.unrationed().is_none_or(|open| open.contains(&tier)) {
            return Verdict::OPEN;
        }
        let (list, at) = place;
        let stay_secs = list.reports().map_or(0, |reports| reports[at].stay_secs(self.asker.now));
        let share = self.ration.share(tier, stay_secs, self.rules);
        if share == ALL {
            return Verdict::OPEN;
        }
        if self.asker.role.grade == 0 {
            let Some(left) = self.released.get().checked_sub(1) else { return Verdict::closed(0) };
            self.released.set(left);
            return Verdict::OPEN;
        }
        let lots = self.lottery.lots_of(&R::source(&record.key()));
        let lot = lots.lot_of_bits(self.asker.key.bits());
        if is_open(lot, share) { Verdict::OPEN } else { Verdict::closed(lot) }
    }
}

impl Ration {
    /// The share of busy seeders that a leecher of a tier may know after `stay_secs`.
    fn share(&self, tier: u8, stay_secs: u32, rules: &Rules) -> u32 {
        let step = (stay_secs / rules.ration_step_secs) as usize;
        self.shares[usize::from(tier).min(Tier::COUNT - 1)][step.min(STEPS - 1)]
    }

    /// The share of seeders with room that is open at an announce.
    fn released(&self, turn: u16) -> u32 {
        let quarters = self.released.saturating_add(u32::from(turn));
        if quarters >= QUARTERS { ALL } else { ALL / QUARTERS * quarters }
    }
}

/// Shares of each tier, in percent at first, that grow by `growth_percent` / 100 in each step.
#[expect(clippy::cast_possible_truncation, reason = "it is below ALL")]
const fn shares(first_percent: [u32; Tier::COUNT], growth_percent: u64) -> [[u32; STEPS]; Tier::COUNT] {
    let mut shares = [[ALL; STEPS]; Tier::COUNT];
    let mut tier = 0;
    while tier < Tier::COUNT {
        let mut share = ALL as u64 * first_percent[tier] as u64 / 100;
        let mut step = 0;
        while step < STEPS - 1 {
            shares[tier][step] = if share < ALL as u64 { share as u32 } else { ALL };
            share = share * growth_percent / 100;
            step += 1;
        }
        tier += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_grow_until_everything_is_open() {
        for ration in [&DEFAULT, &AGGRESSIVE, &MILD] {
            for (tier, shares) in ration.shares.iter().enumerate() {
                assert!(shares.is_sorted() && shares[STEPS - 1] == ALL);
                assert!(
                    tier == 0 || shares.iter().zip(&ration.shares[tier - 1]).all(|(high, low)| high >= low)
                );
            }
            assert_eq!(ration.shares[3], [ALL; STEPS], "the top waits for nothing");
        }
        // 1 %, and 1.05 times as much after ten minutes; 21 % after 62 steps (1.05^62 = 20.6), and then everything.
        let rules = Rules::default();
        let percent = |secs| f64::from(DEFAULT.share(0, secs, &rules)) / f64::from(ALL) * 100.0;
        assert!((percent(599) - 1.0).abs() < 0.01 && (percent(600) - 1.05).abs() < 0.01);
        assert!((percent(62 * 600) - 20.6).abs() < 0.1 && DEFAULT.share(0, 63 * 600, &rules) == ALL);
    }
}
