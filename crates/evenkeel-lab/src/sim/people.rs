//! Who is there, and what they do.

use fastrand::Rng;
use serde::Serialize;

use super::constants::{CAPACITIES, NEWCOMERS_COME_WITHIN, SLOTS_PER_ROOT_KBPS, SLOTS_RANGE, STEP_SECS};
use super::regime::Setup;

/// What somebody gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Class {
    /// Seeds for hours.
    Good,
    /// Seeds for a sixth of that.
    Average,
    /// Gives while it takes, and leaves at completion.
    Selfish,
    /// Gives nothing.
    FreeRider,
    /// Gives nothing, under another name for each torrent.
    Whitewasher,
    /// Gives nothing, and says that it seeds.
    Ghost,
    /// Seeds its torrent all the time.
    Publisher,
}

impl Class {
    /// Those who download.
    pub(super) const ALL: [Self; 6] =
        [Self::Good, Self::Average, Self::Selfish, Self::FreeRider, Self::Whitewasher, Self::Ghost];

    pub(super) fn index(self) -> usize {
        self as usize
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Average => "average",
            Self::Selfish => "selfish",
            Self::FreeRider => "free rider",
            Self::Whitewasher => "whitewasher",
            Self::Ghost => "ghost",
            Self::Publisher => "publisher",
        }
    }

    /// Seconds that it is a seeder after a download.
    pub(super) fn seed_secs(self, setup: &Setup) -> f64 {
        match self {
            Self::Good | Self::Ghost => setup.seed_secs,
            Self::Average => setup.seed_secs * super::constants::AVERAGE_SEEDS,
            Self::Selfish | Self::FreeRider | Self::Whitewasher => 0.0,
            Self::Publisher => f64::INFINITY,
        }
    }

    fn gives(self) -> bool {
        matches!(self, Self::Good | Self::Average | Self::Selfish | Self::Publisher)
    }
}

/// Somebody with one uplink, whatever they do with it.
#[derive(Clone, Debug)]
pub(super) struct User {
    pub class: Class,
    /// MB/s that it gives; nothing for those who give nothing.
    pub up: f64,
    /// MB/s that it can take.
    pub down: f64,
    pub slots: usize,
    pub is_connectable: bool,
    /// Came during the run.
    pub is_newcomer: bool,
    /// Under which name it announces.
    pub identity: usize,
    /// When it downloads next; none while it does.
    pub next_download: Option<u32>,
    /// Downloads that it has completed.
    pub completed: u32,
    /// Its own source of chance: what it wants does not depend on how the others fare, so that policies are compared on
    /// the same wishes.
    pub wishes: Rng,
}

/// A community and its publishers, one for each torrent, after the users.
pub(super) fn gather(setup: &Setup, rng: &mut Rng) -> Vec<User> {
    let mut users = Vec::new();
    let counts = shares(setup.users, &setup.mix);
    for (class, count) in Class::ALL.into_iter().zip(counts) {
        let lines = shares(count, &CAPACITIES.map(|(_, _, share)| share as f64));
        for ((up, down, _), count) in CAPACITIES.into_iter().zip(lines) {
            users.extend((0..count).map(|_| User::new(class, up, down, rng)));
        }
    }
    let lines = shares(setup.newcomers, &CAPACITIES.map(|(_, _, share)| share as f64));
    for ((up, down, _), count) in CAPACITIES.into_iter().zip(lines) {
        users.extend((0..count).map(|_| User { is_newcomer: true, ..User::new(Class::Good, up, down, rng) }));
    }
    for user in &mut users {
        user.is_connectable = rng.f64() * 100.0 < setup.connectable;
        let wait = if user.is_newcomer {
            let from = f64::from(setup.measured_from());
            let rest = f64::from(setup.steps() * STEP_SECS) - from;
            from + rest * NEWCOMERS_COME_WITHIN * user.wishes.f64()
        } else {
            exponential(&mut user.wishes, setup.think_secs)
        };
        user.next_download = Some(secs(wait));
    }
    users.extend((0..setup.torrents).map(|_| User::new(Class::Publisher, setup.publisher, 1.0, rng)));
    for (identity, user) in users.iter_mut().enumerate() {
        user.identity = identity;
    }
    users
}

impl User {
    fn new(class: Class, up: f64, down: f64, rng: &mut Rng) -> Self {
        let slots = (SLOTS_PER_ROOT_KBPS * up * 1000.0).sqrt().clamp(SLOTS_RANGE.0, SLOTS_RANGE.1);
        Self {
            class,
            up: if class.gives() { up } else { 0.0 },
            down,
            slots: count(slots),
            is_connectable: true,
            is_newcomer: false,
            identity: 0,
            next_download: None,
            completed: 0,
            wishes: Rng::with_seed(rng.u64(..)),
        }
    }
}

/// How many of `total` each share gets: none is off by more than one, and they add up.
fn shares(total: usize, weights: &[f64]) -> Vec<usize> {
    let whole: f64 = weights.iter().sum();
    let mut before = 0;
    let mut sum = 0.0;
    weights
        .iter()
        .map(|weight| {
            sum += weight;
            let until = count((total as f64 * sum / whole).round());
            until - std::mem::replace(&mut before, until)
        })
        .collect()
}

/// How long something takes that may end at any moment, as likely as at any other.
pub(super) fn exponential(rng: &mut Rng, mean: f64) -> f64 {
    -mean * (1.0 - rng.f64()).ln()
}

/// Around 0, with a deviation of 1 (Box and Muller).
pub(super) fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos()
}

/// Whole seconds, at most what the clock of the core can say. What is not finite never comes.
pub(super) fn secs(secs: f64) -> u32 {
    u32::try_from(whole(secs)).unwrap_or(u32::MAX)
}

/// Whole things.
pub(super) fn count(number: f64) -> usize {
    usize::try_from(whole(number)).unwrap_or(usize::MAX)
}

/// Rounded down, from 0 up.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast that ends at the bounds is meant"
)]
pub(super) fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use super::super::regime::Regime;
    use super::*;

    #[test]
    fn every_class_has_the_same_lines() {
        let setup = Setup::new(Regime::Scarce);
        let users = gather(&setup, &mut Rng::with_seed(1));
        assert_eq!(users.len(), setup.users + setup.torrents);
        for class in Class::ALL.into_iter().filter(|class| *class != Class::Ghost) {
            let own: Vec<&User> = users.iter().filter(|user| user.class == class).collect();
            let slow = own.iter().filter(|user| user.down == 3.0).count();
            assert_eq!(slow * 4, own.len(), "{class:?}");
            assert!(own.iter().all(|user| (user.up > 0.0) == class.gives()), "{class:?}");
        }
    }

    #[test]
    fn shares_add_up() {
        for total in [0, 1, 7, 400] {
            assert_eq!(shares(total, &[25.0, 25.0, 25.0, 15.0, 10.0]).iter().sum::<usize>(), total);
        }
        assert_eq!(shares(100, &[1.0, 3.0]), [25, 75]);
    }
}
