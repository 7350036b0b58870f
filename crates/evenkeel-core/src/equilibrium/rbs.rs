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

use super::candidates::{Candidates, Everybody, Judge, OTHERS, Part, SEEDERS, Verdict, leechers};
use super::handout::Handout;
use super::lottery::{ALL, Lots, Lottery, end_of};
use super::random::{self, Connectable, WINDOW_MAX};
use super::{Asker, Chance};
use crate::identity::Tier;
use crate::rules::Rules;
use crate::swarm::{Kind, List, Record, Starts, State, View};

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

/// Of a swarm's seeders so many are looked at, for those who are rationed and open.
const FEW: usize = 64;
/// Of more seeders than these, so many are looked at first: whoever may know few of them gets the floor's, and those can be
/// had among them.
const FEW_ENOUGH: usize = 32;
const FEW_AT_FIRST: usize = 16;
/// Up to so many leechers all who are rationed are looked at.
const FEW_LEECHERS: usize = 40;
/// Of more leechers, so many: those of a whole swarm who are open to one caller are one or two, so that it misses
/// little.
const FEW_OF_MANY: usize = 8;
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
    let starts = swarm.starts();
    let everybody = Everybody::of(swarm, asker, Some(&starts));
    let seeders = everybody.part(SEEDERS, out);
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
    // Of the busy seeders of a window fewer are open, on average, than the floor leaves to everybody.
    let are_few = u64::from(share) * (FEW as u64) < u64::from(ALL) * ration.floor as u64;
    let start = start_of_window(seeders.len(), lots, are_few, chance);
    seeders.fetch((start, FEW_AT_FIRST));
    let ends = ends_of_leechers(&starts, tier, ration);
    let above_rule = Above { lots, end: ends[usize::from(State::order_of(Kind::Leecher, tier))] };
    let below_rule = Below { lottery, own_bits: asker.key.bits(), ends: &ends };
    let kin = unrationed(tier, &ends);
    let above = everybody.part(OTHERS.start..kin.start, out);
    let below = everybody.part(kin.end..OTHERS.end, out);
    let kin = everybody.part(kin, out);
    let leechers = Leechers::of([&above, &below, &kin], chance);
    let is_contested = share < ALL && starts.leechers_above(tier) > 0;
    let released = if is_contested { ration.released(asker.turn) } else { ALL };
    let rule = Seeders::of(tier, lots, (share, released));

    let want = asker.want.min(out.room());
    let lim = want.saturating_sub(leechers.len()).max((want * SEEDERS_PERCENT).div_ceil(100)).min(want);
    // So many leechers will be wanted, whoever the seeders are: they are fetched meanwhile.
    let expected = match rule {
        None => lim.min(seeders.len()),
        Some(_) if are_few => ration.floor,
        Some(_) => want,
    };
    let ahead = kin.draw_ahead(want.saturating_sub(expected), chance);
    let is_held_back = match rule {
        None => {
            random::take(&seeders, lim, &Connectable(asker), chance, out);
            false
        }
        Some(rule) => take_seeders((&seeders, start, lim), (&rule, ration.floor, are_few), chance, out),
    };
    let rest = want.saturating_sub(out.len());
    leechers.take((asker, rest, ahead), (&above_rule, &below_rule), chance, out);
    if out.len() == 0 {
        super::give_anybody(swarm, asker, chance, out);
    }
    is_held_back
}

/// Looks at some seeders, and draws among those that are open; answers whether others are not.
fn take_seeders(
    (seeders, start, lim): (&Candidates<'_>, usize, usize),
    (rule, floor, are_few): (&Seeders, usize, bool),
    chance: &mut Chance<'_>,
    out: &mut Handout<'_>,
) -> bool {
    let mut window = (start, if seeders.len() > FEW_ENOUGH { FEW_AT_FIRST } else { FEW });
    let mut look = Look::default();
    look.at((seeders, window), (rule, NEAR), chance);
    // Whoever may know few, and finds nobody open, would hardly find more than the floor among the others.
    if window.1 == FEW_AT_FIRST && (look.open > 0 || !are_few) {
        window = (start, lim.max(FEW));
        look = Look::default();
        look.at((seeders, window), (rule, NEAR), chance);
    }
    if look.open < floor && look.kept < floor {
        look = Look::default();
        look.at((seeders, window), (rule, Verdict::NEVER), chance);
    }
    let numbers = if look.open < floor { look.first(floor.min(lim), chance) } else { look.draw(lim, chance) };
    seeders.give(numbers, out);
    look.are_some_closed
}

/// Where a leecher begins to look at seeders. One that gets hardly more than a floor begins at the same place each time: elsewhere
/// the smallest lots are those of others. That those it finds are next to each other in memory costs no fairness: lots have
/// nothing to do with places, and seeders do not connect to each other.
fn start_of_window(seeders: usize, lots: Lots, are_few: bool, chance: &mut Chance<'_>) -> usize {
    let chance = if are_few { lots.lot_of_bits(0) } else { chance.rng.u64(..) };
    random::below(seeders, chance)
}

/// Where a floor looks for the smallest lots first: of those who are looked at first some eight are below.
const NEAR: Verdict = Verdict::closed(u64::MAX / 2);

/// What came of looking at windows; whom it was kept of is in memory that all choices share.
#[derive(Default)]
struct Look {
    /// Those whose turn it is soon enough.
    kept: usize,
    /// Those of them who are open.
    open: usize,
    are_some_closed: bool,
    /// Candidates of windows before the last one. The numbers of the last one's go on from there.
    before: u32,
}

impl Look {
    /// Looks at a window, and keeps those whose turn it is before `until`.
    #[inline(always)]
    fn at(
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
    fn at_open(
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
    fn draw<'a>(&self, want: usize, chance: &'a mut Chance<'_>) -> &'a [u32] {
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
    fn first<'a>(&self, want: usize, chance: &'a mut Chance<'_>) -> &'a [u32] {
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

fn choose_for_seeder(
    swarm: View<'_>,
    asker: &Asker<'_>,
    (ration, rules): (&Ration, &Rules),
    chance: &mut Chance<'_>,
    out: &mut Handout<'_>,
) -> bool {
    let everybody = Everybody::of(swarm, asker, None);
    // One of so few is open to every leecher. Where it cannot be dialled they meet only if it is told of them.
    if everybody.part(SEEDERS, out).len() < ration.floor {
        random::choose(swarm, asker, chance, out);
        return false;
    }
    let unrationed = match asker.role.grade {
        0 if ration.released == QUARTERS => OTHERS,
        0 => leechers(&(swarm.starts().top_tier_of_leechers().unwrap_or_default()..=Tier::TOP.number())),
        grade => leechers(&(grade..=Tier::TOP.number())),
    };
    let lottery = Lottery::of(asker.lottery, &swarm.swarm.info_hash);
    let rule = Introductions { lottery, asker, ration, rules, released: Cell::new(RELEASED_LEECHERS) };
    let above = everybody.part(OTHERS.start..unrationed.start, out);
    let below = everybody.part(unrationed.end..OTHERS.end, out);
    let kin = everybody.part(unrationed, out);
    let leechers = Leechers::of([&above, &below, &kin], chance);
    let ahead = leechers.kin.draw_ahead(asker.want.min(out.room()), chance);
    leechers.take((asker, asker.want, ahead), (&rule, &rule), chance, out);
    false
}

/// Those that lack something, as a rationed caller meets them.
struct Leechers<'a> {
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
    fn of([above, below, kin]: [&'a Candidates<'a>; 3], chance: &mut Chance<'_>) -> Self {
        let are_many = above.len() + below.len() + kin.len() > FEW_LEECHERS;
        let windows = [above, below].map(|candidates| {
            let count = if are_many { FEW_OF_MANY } else { FEW_LEECHERS };
            let start = if candidates.len() > count { chance.rng.usize(..candidates.len()) } else { 0 };
            candidates.fetch((start, count));
            (start, count)
        });
        Self { above, below, kin, windows }
    }

    fn len(&self) -> usize {
        self.above.len() + self.below.len() + self.kin.len()
    }

    /// Draws first among those who are rationed and open nevertheless, who are few, then among the others.
    #[inline(always)]
    fn take(
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

/// Which seeders a leecher may know.
struct Seeders {
    lots: Lots,
    /// By the grade of a seeder: the lots that are open are below.
    ends: [u64; Tier::COUNT],
}

impl Seeders {
    /// With the shares of busy seeders and of those with room that are open; nothing if everybody is.
    fn of(tier: u8, lots: Lots, (busy, idle): (u32, u32)) -> Option<Self> {
        if idle == ALL && (busy == ALL || tier == Tier::TOP.number()) {
            return None;
        }
        let share = |grade| match grade {
            0 => idle,
            grade if grade > usize::from(tier) => busy,
            _ => ALL,
        };
        Some(Self { lots, ends: std::array::from_fn(|grade| end_of(share(grade))) })
    }
}

impl Judge for Seeders {
    #[inline(always)]
    fn judge<R: Record>(&self, record: &R, _: (&List<'_, R>, usize)) -> Verdict {
        let lot = self.lots.lot(record);
        // The order of a seeder is its grade.
        let is_open = lot < self.ends[usize::from(record.state().order()) % Tier::COUNT];
        // Who can tell which of them are open?
        select_unpredictable(is_open, Verdict::OPEN, Verdict::closed(lot))
    }
}

/// Tiers whose leechers are rationed among leechers, where a preset does so.
const LOW_TIERS: u8 = 2;

/// Which leechers a leecher may know, where a preset rations them too, by [`State::order`]: the lots that are open for the
/// lower one of two are below. The same two know each other whoever of them announces.
type Ends = [u64; State::ORDERS];

/// Below the caller's own tier, and for its own.
fn ends_of_leechers(starts: &Starts, own: u8, ration: &Ration) -> Ends {
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
fn unrationed(own: u8, ends: &Ends) -> Part {
    let is_open = |tier| ends[usize::from(State::order_of(Kind::Leecher, tier))] == end_of(ALL);
    match own {
        _ if (0..LOW_TIERS).all(is_open) => OTHERS,
        own if own < LOW_TIERS => leechers(&(own..=own)),
        _ => leechers(&(LOW_TIERS..=Tier::TOP.number())),
    }
}

/// Which leechers of higher tiers one of a low tier may know.
struct Above {
    lots: Lots,
    /// The lots that are open are below.
    end: u64,
}

impl Judge for Above {
    #[inline(always)]
    fn judge<R: Record>(&self, record: &R, _: (&List<'_, R>, usize)) -> Verdict {
        select_unpredictable(self.lots.lot(record) < self.end, Verdict::OPEN, Verdict::NEVER)
    }
}

/// Which ones of lower tiers may know a leecher.
struct Below<'a> {
    lottery: Lottery,
    own_bits: u64,
    ends: &'a Ends,
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
struct Introductions<'a> {
    lottery: Lottery,
    asker: &'a Asker<'a>,
    ration: &'a Ration,
    rules: &'a Rules,
    /// Of leechers that somebody is above, as many more may be told to a seeder with room.
    released: Cell<u32>,
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
