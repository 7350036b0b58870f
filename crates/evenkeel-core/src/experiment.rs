//! What rationing is worth, measured where it works: some swarms always run `random`, and how long a gigabyte takes is
//! compared between these and all others.
//!
//! Which swarms, a keyed hash says: nobody can make a torrent that is spared, and it is the same ones after a restart.
//! Figures are sums of what leechers report, seconds over bytes, in groups of torrents: torrents are what is held out or not, and
//! how far their groups lie apart says how sure the figures are. In groups of identities, of which each is in both arms, what
//! torrents differ by was taken for what the policy does.
//!
//! Known weakness: they are as true as the clients are, and the swarms that are held out may be others by chance. Uplinks serve both
//! arms, so that what one arm loses on them the other one gains.

use evenkeel_wire::InfoHash;

use crate::analyst::Observation;
use crate::equilibrium::Policy;
use crate::identity::Tier;
use crate::keyed::Keyed;
use crate::rules::Rules;
use crate::time::Time;

/// How a swarm is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arm {
    /// By the policy that the operator has chosen.
    Treated,
    /// By `random`, for comparison.
    HeldOut,
}

impl Rules {
    /// The arm of a torrent; none while there is nothing to compare, or where the torrent has a policy of its own.
    #[inline(never)]
    pub fn arm_of(&self, info_hash: &InfoHash, lottery: &Keyed) -> Option<Arm> {
        if self.policy == Policy::Random
            || self.held_out_percent == 0
            || self.policy_of_torrent(info_hash).is_some()
        {
            return None;
        }
        let lot = lottery.hash(&info_hash.0) % 100;
        Some(if lot < self.held_out_percent.into() { Arm::HeldOut } else { Arm::Treated })
    }
}

/// Torrents are told apart so far.
const GROUPS: usize = 64;
/// What was observed counts half after this time: communities change.
const HALF_LIFE_SECS: f64 = 7.0 * 86_400.0;
/// Sums fade in steps of this.
const FADE_SECS: u32 = 3600;
/// Groups with something in them that a figure takes: fewer say nothing of how sure it is.
const GROUPS_MIN: usize = 8;
/// Width of an interval of 95 percent confidence, in standard errors.
const CONFIDENCE: f64 = 1.96;
const GB: f64 = 1e9;

/// Seconds of waiting, and gigabytes that came meanwhile.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    secs: f64,
    gb: f64,
}

type Sums = [[Sum; GROUPS]; Tier::COUNT];

/// What both arms have shown.
pub struct Experiment {
    arms: [Sums; 2],
    faded: Time,
}

/// How long a gigabyte takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Seconds for it.
    pub secs_per_gb: f64,
    /// So far above and below that it may be, with 95 percent confidence.
    pub give_or_take: f64,
    /// Gigabytes that it was seen with, those of long ago counting less.
    pub gb: f64,
}

/// One arm.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shown {
    /// Everybody.
    pub all: Option<Pace>,
    /// Each tier.
    pub tiers: [Option<Pace>; Tier::COUNT],
}

/// Both arms, side by side.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Where the policy works.
    pub treated: Shown,
    /// Where it does not.
    pub held_out: Shown,
    /// How much longer everybody takes where it does, in percent, and how far above and below that it may be.
    pub cost_percent: Option<(f64, f64)>,
}

impl Experiment {
    /// Nothing is shown yet.
    pub fn new(now: Time) -> Self {
        Self { arms: [[[Sum::default(); GROUPS]; Tier::COUNT]; 2], faded: now }
    }

    /// Takes up what somebody of a tier said, if it has waited for data from somebody who has it.
    pub fn note(&mut self, arm: Arm, tier: Tier, said: &Observation) {
        self.fade(said.now);
        let has_waited = said.secs > 0 && said.lacked > 0 && !said.has_seeded;
        if !has_waited || said.seeders == 0 || said.lacked == Observation::NOT_SAID {
            return;
        }
        let group = usize::try_from(crate::account::spread(said.torrent) % GROUPS as u64).unwrap_or(0);
        let sum = &mut self.arms[arm as usize][usize::from(tier.number())][group];
        sum.secs += f64::from(said.secs);
        #[expect(clippy::cast_precision_loss, reason = "fifteen digits are enough")]
        let bytes = crate::analyst::taken(said) as f64;
        sum.gb += bytes / GB;
    }

    /// What both arms have shown so far.
    pub fn compare(&self) -> Comparison {
        let [treated, held_out] = self.arms.each_ref().map(shown);
        let cost_percent = treated.all.zip(held_out.all).map(|(with, without)| {
            let ratio = with.secs_per_gb / without.secs_per_gb;
            let share = |pace: Pace| pace.give_or_take / pace.secs_per_gb;
            (100.0 * (ratio - 1.0), 100.0 * ratio * share(with).hypot(share(without)))
        });
        Comparison { treated, held_out, cost_percent }
    }

    fn fade(&mut self, now: Time) {
        let secs = self.faded.age(now);
        if secs < FADE_SECS {
            return;
        }
        self.faded = now;
        let left = (-f64::from(secs) / HALF_LIFE_SECS).exp2();
        for sum in self.arms.iter_mut().flatten().flatten() {
            sum.secs *= left;
            sum.gb *= left;
        }
    }
}

fn shown(sums: &Sums) -> Shown {
    let mut all = [Sum::default(); GROUPS];
    for (total, group) in all.iter_mut().zip(0..) {
        for tier in sums {
            let sum: Sum = tier[group];
            (total.secs, total.gb) = (total.secs + sum.secs, total.gb + sum.gb);
        }
    }
    Shown { all: pace(&all), tiers: sums.each_ref().map(pace) }
}

/// A ratio of sums, and its error by how the groups differ from it.
fn pace(groups: &[Sum; GROUPS]) -> Option<Pace> {
    let filled = || groups.iter().filter(|sum| sum.secs > 0.0);
    let count = filled().count();
    let secs: f64 = filled().map(|sum| sum.secs).sum();
    let gb: f64 = filled().map(|sum| sum.gb).sum();
    if count < GROUPS_MIN || gb <= 0.0 {
        return None;
    }
    let secs_per_gb = secs / gb;
    let squares: f64 = filled().map(|sum| (sum.secs - secs_per_gb * sum.gb).powi(2)).sum();
    #[expect(clippy::cast_precision_loss, reason = "there are 64 groups")]
    let count = count as f64;
    let error = (squares * count / (count - 1.0)).sqrt() / gb;
    Some(Pace { secs_per_gb, give_or_take: CONFIDENCE * error, gb })
}

/// Percent by which everybody may take longer where the policy works.
const COST_PERCENT_MAX: f64 = 3.0;
/// Percent of an uplink that a step is: of its best rate, at which it is busy.
const STEP_PERCENT: i8 = 2;
/// How far steps lead up and down, from what the preset says: at 95 percent hardly any uplink is busy.
const UP_PERCENT_MAX: i8 = 16;
const DOWN_PERCENT_MAX: i8 = 8;

/// What the threshold of busy uplinks is moved by next, after `moved` percent: up, so that less is rationed, if the policy
/// surely costs everybody more than it may; down again if it surely costs nothing. Asked once a day.
pub fn steer(moved: i8, comparison: &Comparison) -> i8 {
    let Some((cost, give_or_take)) = comparison.cost_percent else { return moved };
    if cost - give_or_take > COST_PERCENT_MAX {
        (moved + STEP_PERCENT).min(UP_PERCENT_MAX)
    } else if cost + give_or_take < 0.0 {
        (moved - STEP_PERCENT).max(-DOWN_PERCENT_MAX)
    } else {
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::equilibrium::rbs::Preset;

    /// A leecher's half hour.
    fn said(slot: u32, mb: u64, now: u32) -> Observation {
        Observation {
            torrent: 1,
            left: 1 << 40,
            lacked: (1 << 40) + mb * 1_000_000,
            uploaded: 0,
            downloaded: mb * 1_000_000,
            slot,
            now: Time(now),
            seeders: 3,
            leechers: 3,
            secs: 1800,
            has_seeded: false,
            seeds: false,
            completed: false,
            stopped: false,
            begins: false,
        }
    }

    /// Leechers of both arms: in one they get `treated` MB in half an hour give or take a fifth, in the other `held_out`.
    fn experiment(treated: u64, held_out: u64) -> Experiment {
        let mut experiment = Experiment::new(Time(0));
        for (arm, mb) in [(Arm::Treated, treated), (Arm::HeldOut, held_out)] {
            for slot in 0..1000 {
                let (torrent, mb) = (u64::from(slot), mb * (80 + u64::from(slot % 41)) / 100);
                experiment.note(arm, Tier::NEWEST, &Observation { torrent, ..said(slot, mb, 0) });
            }
        }
        experiment
    }

    #[test]
    fn a_share_of_the_swarms_is_held_out_and_always_the_same() {
        let rules = Rules {
            policy: Policy::Rbs(Preset::Default),
            held_out_percent: 5,
            policies: vec![(InfoHash([0; 20]), Policy::Random)],
            ..Rules::default()
        };
        let lottery = Keyed::new([1, 2]);
        let hash = |number: u32| {
            let mut bytes = [1; 20];
            bytes[..4].copy_from_slice(&number.to_le_bytes());
            InfoHash(bytes)
        };
        let arms: Vec<_> = (0..10_000).map(|number| rules.arm_of(&hash(number), &lottery)).collect();
        let held_out = arms.iter().filter(|arm| **arm == Some(Arm::HeldOut)).count();
        assert!((400..600).contains(&held_out), "{held_out} of 10,000");
        assert!((0..10_000).all(|number| rules.arm_of(&hash(number), &lottery) == arms[number as usize]));
        let other = Keyed::new([3, 4]);
        assert!((0..10_000).any(|number| rules.arm_of(&hash(number), &other) != arms[number as usize]));
        assert_eq!(rules.arm_of(&InfoHash([0; 20]), &lottery), None, "it has a policy of its own");
        let random = Rules { policy: Policy::Random, ..rules.clone() };
        let off = Rules { held_out_percent: 0, ..rules };
        assert_eq!([random, off].map(|rules| rules.arm_of(&hash(1), &lottery)), [None, None]);
    }

    #[test]
    fn the_cost_is_what_the_arms_differ_by() {
        let Comparison { treated, held_out, cost_percent } = experiment(800, 1000).compare();
        let (with, without) = (treated.all.unwrap(), held_out.all.unwrap());
        assert!((without.secs_per_gb - 1800.0).abs() < 20.0, "{without:?}");
        assert!((with.secs_per_gb - 2250.0).abs() < 25.0, "{with:?}");
        let (cost, give_or_take) = cost_percent.unwrap();
        assert!((cost - 25.0).abs() < 2.0 && give_or_take < 5.0, "{cost} +- {give_or_take}");
        assert_eq!(treated.tiers[0], treated.all);
        assert_eq!(treated.tiers[1..], [None; 3]);
    }

    #[test]
    fn who_seeds_or_waits_for_nobody_or_says_nothing_shows_nothing() {
        let mut experiment = Experiment::new(Time(0));
        for slot in 0..1000 {
            let said = said(slot, 100, 0);
            for strange in [
                Observation { secs: 0, ..said },
                Observation { has_seeded: true, ..said },
                Observation { seeders: 0, ..said },
                Observation { lacked: 0, ..said },
                Observation { lacked: Observation::NOT_SAID, ..said },
            ] {
                experiment.note(Arm::Treated, Tier::TOP, &strange);
            }
        }
        assert_eq!(experiment.compare(), Comparison::default());
    }

    #[test]
    fn few_say_nothing_and_what_is_old_counts_less() {
        let many = experiment(100, 100);
        let mut experiment = Experiment::new(Time(0));
        (0..5).for_each(|slot| experiment.note(Arm::Treated, Tier::NEWEST, &said(slot, 100, 0)));
        assert_eq!(experiment.compare().treated.all, None);
        let mut experiment = many;
        let gb = experiment.compare().treated.all.unwrap().gb;
        experiment.fade(Time(7 * 86_400));
        assert!((experiment.compare().treated.all.unwrap().gb / gb - 0.5).abs() < 0.01);
    }

    #[test]
    fn the_threshold_moves_only_when_it_is_sure_and_never_far() {
        let dear = experiment(800, 1000).compare();
        assert_eq!((0..20).fold(0, |moved, _| steer(moved, &dear)), UP_PERCENT_MAX);
        let cheap = experiment(1200, 1000).compare();
        assert_eq!((0..20).fold(16, |moved, _| steer(moved, &cheap)), -DOWN_PERCENT_MAX);
        let alike = experiment(1000, 1000).compare();
        assert_eq!([steer(4, &alike), steer(4, &Comparison::default())], [4, 4]);
    }
}
