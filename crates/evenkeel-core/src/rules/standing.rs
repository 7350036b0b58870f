//! What an operator may set about standing: what is counted, for how long, and what it takes for a tier.

use super::Bounds;

/// Seconds after which seeding counts half: 14 days.
pub const SEEDING_HALF_LIFE_SECS: Bounds = Bounds::new(1_209_600, 3600, 31_536_000);
/// Seconds after which bytes and snatches count half: 30 days.
pub const TRADING_HALF_LIFE_SECS: Bounds = Bounds::new(2_592_000, 3600, 31_536_000);
/// Seconds that a snatch has to be seeded to be kept in full: three days.
pub const KEPT_AFTER_SECS: Bounds = Bounds::new(259_200, 600, 31_536_000);
/// Seconds from one evaluation of an identity to its next.
pub const EVALUATION_SECS: Bounds = Bounds::new(1800, 10, 86_400);
/// Seconds within which an identity must have announced to be compared with: whoever left moves no threshold.
pub const ACTIVE_SECS: Bounds = Bounds::new(3600, 60, 7_776_000);
/// Seconds of a bin, in which what a swarm's members say they sent is held against what others say they got.
pub const BIN_SECS: Bounds = Bounds::new(1800, 60, 14_400);

/// Weight of recent seeding: size times time times scarcity.
pub const SEEDING_WEIGHT: Bounds = Bounds::new(25, 0, 100);
/// Weight of the average size that is seeded.
pub const AVERAGE_WEIGHT: Bounds = Bounds::new(10, 0, 100);
/// Weight of the time in which anything is seeded.
pub const TIME_WEIGHT: Bounds = Bounds::new(20, 0, 100);
/// Weight of the ratio of credited and received bytes.
pub const RATIO_WEIGHT: Bounds = Bounds::new(25, 0, 100);
/// Weight of the share of snatches that was kept.
pub const KEPT_WEIGHT: Bounds = Bounds::new(20, 0, 100);

/// GiB times hours that are half of a full mark for seeding. The community's median counts in its place, within a
/// quarter and four times of it, and so with the next two.
pub const SEEDING_HALF_GIB_HOURS: Bounds = Bounds::new(24, 1, 1_000_000);
/// Average MiB seeded that are half of a full mark.
pub const AVERAGE_HALF_MIB: Bounds = Bounds::new(4096, 1, 100_000_000);
/// Seconds of seeding that are half of a full mark.
pub const TIME_HALF_SECS: Bounds = Bounds::new(43_200, 60, 31_536_000);

/// Percent of the highest score that are enough for tier 1, however good the others are.
pub const TIER_1_SCORE: Bounds = Bounds::new(12, 1, 100);
/// The same of tier 2.
pub const TIER_2_SCORE: Bounds = Bounds::new(30, 1, 100);
/// The same of tier 3.
pub const TIER_3_SCORE: Bounds = Bounds::new(50, 1, 100);
/// Percent of the active identities above which somebody is of tier 1, if that takes less.
pub const TIER_1_QUANTILE: Bounds = Bounds::new(30, 0, 100);
/// The same of tier 2.
pub const TIER_2_QUANTILE: Bounds = Bounds::new(55, 0, 100);
/// The same of tier 3.
pub const TIER_3_QUANTILE: Bounds = Bounds::new(80, 0, 100);
/// Percent of the highest score that each tier takes at least more than the one below.
pub const TIER_STEP: Bounds = Bounds::new(2, 0, 25);
/// Percent of the highest score that somebody has to be beyond a threshold.
pub const HYSTERESIS: Bounds = Bounds::new(2, 0, 25);

/// MiB of credited upload that prove that somebody who says it seeds does.
pub const PROOF_MIB: Bounds = Bounds::new(16, 1, 1_000_000);
/// Percent of an equal share of what its swarms took that prove the same, if that is more.
pub const PROOF_SHARE: Bounds = Bounds::new(1, 0, 100);
/// Seconds for which a proof holds where nobody wants anything: 90 days.
pub const PROOF_SECS: Bounds = Bounds::new(7_776_000, 3600, 31_536_000);
/// Seconds of seeding where others are served, without credit, after which a proof is doubted.
pub const BARREN_SECS: Bounds = Bounds::new(86_400, 3600, 31_536_000);
/// Seconds after that until it is worth nothing.
pub const DOUBT_SECS: Bounds = Bounds::new(172_800, 60, 31_536_000);
/// MiB that a swarm must take in a bin for its seeders to have been wanted.
pub const DEMAND_MIB: Bounds = Bounds::new(50, 1, 1_000_000);

/// Percent of what was taken and not claimed yet that stand for the bin after.
pub const BANK_PERCENT: Bounds = Bounds::new(80, 0, 95);
/// Percent of what was claimed and not credited yet that are claimed again in the bin after.
pub const PENDING_PERCENT: Bounds = Bounds::new(70, 0, 95);
/// Percent more than was taken that may have been sent: what the protocol takes, and what is sent twice.
pub const TOLERANCE_PERCENT: Bounds = Bounds::new(1, 0, 50);
/// MiB more than was taken that may have been sent in a bin; never more than a quarter of what was taken.
pub const SLACK_MIB: Bounds = Bounds::new(2, 0, 10_000);
/// Percent of the usual share of claims that must have been credited to an identity for anything of its score to count. The
/// usual share is the median of those who claim: what members do not say, and lost announces, lower it for all.
pub const TRUST_FROM: Bounds = Bounds::new(75, 0, 100);
/// Percent from which all of it counts.
pub const TRUST_FULL: Bounds = Bounds::new(88, 0, 100);

/// Percent of what an identity says to have sent that nobody received, for certain, from which on it is known to exaggerate.
/// Whoever is new is kept out of tiers 2 and 3 when it likely makes up more than a third of that, others when it is more than two
/// thirds, and they are credited less than is usual; 100 lets everything pass.
pub const EXAGGERATED_MOST: Bounds = Bounds::new(30, 5, 100);

/// Identities that must name one size of a torrent before it is believed.
pub const SIZE_QUORUM: Bounds = Bounds::new(2, 1, 100);
/// MiB that stand for the size of a torrent as long as it is not known.
pub const SIZE_UNKNOWN_MIB: Bounds = Bounds::new(256, 0, 1_000_000);

/// Torrents of identities that are watched at once.
pub const WATCHED_MAX: Bounds = Bounds::new(10_000_000, 1, 16_000_000);
/// Swarms that are watched at once.
pub const WATCHED_SWARMS_MAX: Bounds = Bounds::new(5_000_000, 1, 16_000_000);
/// Snatches that are remembered until they are kept.
pub const SNATCHES_MAX: Bounds = Bounds::new(5_000_000, 1, 16_000_000);

/// Makes the rules, each with the default of its bounds.
macro_rules! rules {
    ($($field:ident: $bounds:ident,)*) => {
        /// Everything about standing that an operator may set, each within the bounds of its name.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct StandingRules {
            $(#[doc = concat!("See [`", stringify!($bounds), "`].")] pub $field: u32,)*
        }

        impl Default for StandingRules {
            fn default() -> Self {
                Self { $($field: $bounds.default,)* }
            }
        }

        impl StandingRules {
            /// The same with every value in its bounds.
            pub fn bounded(&self) -> Self {
                Self { $($field: self.$field.clamp($bounds.min, $bounds.max),)* }
            }
        }
    };
}

rules! {
    seeding_half_life_secs: SEEDING_HALF_LIFE_SECS,
    trading_half_life_secs: TRADING_HALF_LIFE_SECS,
    kept_after_secs: KEPT_AFTER_SECS,
    evaluation_secs: EVALUATION_SECS,
    active_secs: ACTIVE_SECS,
    bin_secs: BIN_SECS,
    seeding_weight: SEEDING_WEIGHT,
    average_weight: AVERAGE_WEIGHT,
    time_weight: TIME_WEIGHT,
    ratio_weight: RATIO_WEIGHT,
    kept_weight: KEPT_WEIGHT,
    seeding_half_gib_hours: SEEDING_HALF_GIB_HOURS,
    average_half_mib: AVERAGE_HALF_MIB,
    time_half_secs: TIME_HALF_SECS,
    tier_1_score: TIER_1_SCORE,
    tier_2_score: TIER_2_SCORE,
    tier_3_score: TIER_3_SCORE,
    tier_1_quantile: TIER_1_QUANTILE,
    tier_2_quantile: TIER_2_QUANTILE,
    tier_3_quantile: TIER_3_QUANTILE,
    tier_step: TIER_STEP,
    hysteresis: HYSTERESIS,
    proof_mib: PROOF_MIB,
    proof_share: PROOF_SHARE,
    proof_secs: PROOF_SECS,
    barren_secs: BARREN_SECS,
    doubt_secs: DOUBT_SECS,
    demand_mib: DEMAND_MIB,
    bank_percent: BANK_PERCENT,
    pending_percent: PENDING_PERCENT,
    tolerance_percent: TOLERANCE_PERCENT,
    slack_mib: SLACK_MIB,
    trust_from: TRUST_FROM,
    trust_full: TRUST_FULL,
    exaggerated_most: EXAGGERATED_MOST,
    size_quorum: SIZE_QUORUM,
    size_unknown_mib: SIZE_UNKNOWN_MIB,
    watched_max: WATCHED_MAX,
    watched_swarms_max: WATCHED_SWARMS_MAX,
    snatches_max: SNATCHES_MAX,
}
