//! Who there is, and what they do and say.

/// What somebody is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Seeds for a day.
    Good,
    /// Seeds for some hours.
    Average,
    /// Gives while it takes, and leaves.
    Selfish,
    /// Takes only.
    FreeRider,
    /// Seeds one torrent all the time; one for each.
    Publisher,
    /// As good as any, on a line that loses an announce in eight and restarts its client now and then.
    Unlucky,
    /// Seeds for a day, and says a quarter more than it sent. It is told apart by nobody in a month, and gains a quarter.
    Stealthy,
    /// Receives without saying so: takes credit from whoever served it.
    Silent,
    /// Says that it seeds many torrents.
    Ghost,
    /// The same, and that it sends.
    Claimant,
    /// Seeds for some hours, and says four times as much as it sent.
    Inflator,
    /// Takes only; stops and starts with the counters of before, again and again.
    Replayer,
    /// Says that it begins with torrents of a petabyte, as its friends do, and that it seeds them.
    Poisoner,
    /// Says that it seeds, every ten seconds and then not for a day.
    Jumper,
}

impl Kind {
    pub(super) const ALL: [Self; 14] = [
        Self::Good,
        Self::Average,
        Self::Selfish,
        Self::FreeRider,
        Self::Publisher,
        Self::Unlucky,
        Self::Stealthy,
        Self::Silent,
        Self::Ghost,
        Self::Claimant,
        Self::Inflator,
        Self::Replayer,
        Self::Poisoner,
        Self::Jumper,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Average => "average",
            Self::Selfish => "selfish",
            Self::FreeRider => "free rider",
            Self::Publisher => "publisher",
            Self::Unlucky => "unlucky",
            Self::Stealthy => "stealthy inflator (a quarter)",
            Self::Silent => "silent leecher",
            Self::Ghost => "ghost seeder",
            Self::Claimant => "ghost seeder that claims",
            Self::Inflator => "inflator (four times)",
            Self::Replayer => "stop-replayer",
            Self::Poisoner => "size poisoner",
            Self::Jumper => "clock jumper",
        }
    }

    pub(super) fn is_honest(self) -> bool {
        use Kind::{Average, Good, Publisher, Selfish, Unlucky};
        matches!(self, Good | Average | Selfish | Publisher | Unlucky)
    }

    /// Whether it is honest and seeds for hours, so that it earns tiers 2 and 3.
    pub(super) fn earns(self) -> bool {
        self.is_honest() && self != Self::Selfish
    }

    /// Whether it cheats for standing in a way that must not pay.
    pub(super) fn is_judged(self) -> bool {
        use Kind::{Claimant, Ghost, Inflator, Jumper, Poisoner, Replayer};
        matches!(self, Ghost | Claimant | Inflator | Replayer | Poisoner | Jumper)
    }

    /// Whether it downloads one torrent after the other, as members do.
    pub(super) fn downloads(self) -> bool {
        !matches!(self, Self::Publisher | Self::Ghost | Self::Claimant | Self::Poisoner | Self::Jumper)
    }

    /// Whether it sends anything.
    pub(super) fn sends(self) -> bool {
        self.is_honest() || matches!(self, Self::Stealthy | Self::Inflator)
    }

    pub(super) fn seeds_secs(self) -> u32 {
        match self {
            Self::Good | Self::Unlucky | Self::Stealthy => 24 * 3600,
            Self::Average | Self::Inflator => 4 * 3600,
            _ => 0,
        }
    }

    /// What it says it sent, for what it sent, and bytes a second that it makes up.
    pub(super) fn claims(self) -> (f64, f64) {
        match self {
            Self::Stealthy => (1.25, 0.0),
            Self::Inflator => (4.0, 0.0),
            Self::Claimant | Self::Poisoner | Self::Jumper => (1.0, 500_000.0),
            Self::Replayer => (1.0, 2_000_000.0),
            _ => (1.0, 0.0),
        }
    }

    /// Torrents that it says it seeds, all the time.
    pub(super) fn pretends(self) -> usize {
        match self {
            Self::Ghost | Self::Claimant => 20,
            Self::Poisoner | Self::Jumper => 8,
            _ => 0,
        }
    }

    /// Seconds until it announces again, as the tracker asks for: 1800.
    pub(super) fn interval_secs(self, announces: u32) -> u32 {
        match self {
            Self::Jumper if announces % 20 == 19 => 20 * 3600,
            Self::Jumper => 10,
            _ => 1800,
        }
    }
}
