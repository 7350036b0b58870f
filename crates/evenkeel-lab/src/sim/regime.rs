//! What kind of community is simulated.

use serde::Serialize;

use super::constants::{CLASS_MIX, DAYS, STEP_SECS, WARM_UP_SECS};
use super::trial::Trial;

/// How scarce what seeders give is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Regime {
    /// Uplinks are busy all day: a download takes four times as long as the own downlink allows.
    Scarce,
    /// Twice as long.
    Balanced,
    /// Most downloads are as fast as the own downlink.
    Plenty,
    /// Everybody leaves at completion: the publisher is the only seeder.
    OneSeed,
    /// Many users in few torrents.
    Large,
}

/// All that a run depends on, beside policy and seed.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Setup {
    pub regime: Regime,
    pub users: usize,
    pub torrents: usize,
    /// Median size of a torrent in GB.
    pub size_gb: f64,
    /// Mean seconds between a completion and the next download.
    pub think_secs: f64,
    /// Seconds that a good user seeds.
    pub seed_secs: f64,
    /// Seconds in which nobody wants again what it had.
    pub again_secs: f64,
    /// Uplink of a torrent's publisher, who seeds it all the time, in MB/s.
    pub publisher: f64,
    /// Good, average, selfish, free rider, whitewasher, ghost; in 100.
    pub mix: [f64; 6],
    /// Good users that come during the run, beside the others.
    pub newcomers: usize,
    /// Peers that a session learns of from its neighbours each minute.
    pub pex: f64,
    /// Users in 100 that can be dialled.
    pub connectable: f64,
    pub days: f64,
    pub trial: Trial,
}

impl Regime {
    /// As the command line says it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Scarce => "scarce",
            Self::Balanced => "balanced",
            Self::Plenty => "plenty",
            Self::OneSeed => "one-seed",
            Self::Large => "large",
        }
    }
}

impl Setup {
    /// Sizes, pauses and patience make the regime; the rest is the same for all.
    pub(super) fn new(regime: Regime) -> Self {
        let [good, average, selfish, free, whitewasher] = CLASS_MIX.map(|share| share as f64);
        let scarce = Self {
            regime,
            users: 400,
            torrents: 120,
            size_gb: 5.0,
            think_secs: 1800.0,
            seed_secs: 8.0 * 3600.0,
            again_secs: 8.0 * 3600.0,
            publisher: 0.2,
            mix: [good, average, selfish, free, whitewasher, 0.0],
            newcomers: 0,
            pex: 0.0,
            connectable: 100.0,
            days: DAYS,
            trial: Trial::default(),
        };
        match regime {
            Regime::Scarce => scarce,
            Regime::Balanced => Self { size_gb: 2.5, think_secs: 3600.0, ..scarce },
            Regime::Plenty => Self {
                size_gb: 2.5,
                think_secs: 3600.0,
                seed_secs: 24.0 * 3600.0,
                again_secs: 24.0 * 3600.0,
                ..scarce
            },
            Regime::OneSeed => Self { seed_secs: 0.0, publisher: 1.5, ..scarce },
            Regime::Large => Self { users: 700, torrents: 16, ..scarce },
        }
    }

    /// A share of those who give seeds as good users do, the others leave at completion; a tenth gives nothing.
    pub(super) fn with_seeding_share(mut self, share: f64) -> Self {
        self.mix = [90.0 * share, 0.0, 90.0 * (1.0 - share), 10.0, 0.0, 0.0];
        self
    }

    /// Some of the free riders say that they seed.
    pub(super) fn with_ghosts(mut self, percent: f64) -> Self {
        let [.., free, whitewasher, ghosts] = &mut self.mix;
        let moved = percent.min(*free + *whitewasher);
        *ghosts = moved;
        let from_free = moved.min(*free);
        *free -= from_free;
        *whitewasher -= moved - from_free;
        self
    }

    /// Steps of a run.
    pub(super) fn steps(&self) -> u32 {
        let secs = std::time::Duration::from_secs_f64(self.days * 86_400.0).as_secs();
        u32::try_from(secs).unwrap_or(u32::MAX) / STEP_SECS
    }

    /// When measuring begins.
    pub(super) fn measured_from(&self) -> u32 {
        WARM_UP_SECS.min(self.steps() * STEP_SECS / 2)
    }
}
