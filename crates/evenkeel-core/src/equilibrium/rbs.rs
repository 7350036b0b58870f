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

mod leechers;
mod look;

use std::cell::Cell;
use std::hint::select_unpredictable;

use self::leechers::{
    Above, Below, Introductions, Leechers, RELEASED_LEECHERS, ends_of_leechers, unrationed,
};
use self::look::Look;
use super::candidates::{Candidates, Everybody, Judge, OTHERS, SEEDERS, Verdict, of_tiers};
use super::handout::Handout;
use super::lottery::{ALL, Lots, Lottery, end_of};
use super::random::{self, Connectable};
use super::{Asker, Chance};
use crate::identity::Tier;
use crate::rules::Rules;
use crate::swarm::{Kind, List, Record, State, View};

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
/// At least this share of a list is kept for seeders, in percent; the rest is for leechers, who have pieces too.
const SEEDERS_PERCENT: usize = 60;
/// All of the seeders with room.
const QUARTERS: u32 = 4;
/// Announces after which a leecher from which seeders were held back is no longer asked to come back sooner.
pub(super) const HURRIED_TURNS: u16 = 4;
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
    let is_brief = are_few && seeders.len() > FEW_ENOUGH;
    let mut window = (start, if is_brief { FEW_AT_FIRST } else { lim.max(FEW) });
    let mut look = Look::default();
    look.at((seeders, window), (rule, NEAR), chance);
    // Whoever finds nobody open at once would hardly find more than the floor among the others.
    if is_brief && look.open > 0 {
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
        0 => of_tiers(&(swarm.starts().top_tier_of_leechers().unwrap_or_default()..=Tier::TOP.number())),
        grade => of_tiers(&(grade..=Tier::TOP.number())),
    };
    let lottery = Lottery::of(asker.lottery, &swarm.swarm.info_hash);
    let rule = Introductions { lottery, asker, ration, rules, released: Cell::new(RELEASED_LEECHERS) };
    let above = everybody.part(OTHERS.start..unrationed.start, out);
    let below = everybody.part(unrationed.end..OTHERS.end, out);
    let kin = everybody.part(unrationed, out);
    let leechers = Leechers::of([&above, &below, &kin], chance);
    let ahead = kin.draw_ahead(asker.want.min(out.room()), chance);
    leechers.take((asker, asker.want, ahead), (&rule, &rule), chance, out);
    false
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
