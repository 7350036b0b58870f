//! What the operator sets about standing, as the core and the thread that adds up want it.

use evenkeel_core::rules::standing::StandingRules;

use super::Config;
use crate::access::Identity;
use crate::analyst::Earning;

impl Config {
    /// Who earns something, if anybody does.
    pub(crate) fn earning(&self) -> Option<Earning> {
        let standing = &self.standing;
        let of_known = standing.enabled && self.axes().identity != Identity::None;
        let known_max = if of_known { standing.identities_max } else { 0 };
        let earning = Earning { known_max, of_networks: standing.of_networks };
        (of_known || standing.of_networks).then_some(earning)
    }

    /// How it is added up.
    pub(crate) fn standing_rules(&self) -> StandingRules {
        let standing = &self.standing;
        StandingRules {
            seeding_half_life_secs: standing.seeding_half_life_secs,
            trading_half_life_secs: standing.trading_half_life_secs,
            kept_after_secs: standing.kept_after_secs,
            evaluation_secs: standing.evaluation_secs,
            active_secs: standing.active_secs,
            bin_secs: standing.bin_secs,
            seeding_weight: standing.seeding_weight,
            average_weight: standing.average_weight,
            time_weight: standing.time_weight,
            ratio_weight: standing.ratio_weight,
            kept_weight: standing.kept_weight,
            seeding_half_gib_hours: standing.seeding_half_gib_hours,
            average_half_mib: standing.average_half_mib,
            time_half_secs: standing.time_half_secs,
            tier_1_score: standing.tier_1_score,
            tier_2_score: standing.tier_2_score,
            tier_3_score: standing.tier_3_score,
            tier_1_quantile: standing.tier_1_quantile,
            tier_2_quantile: standing.tier_2_quantile,
            tier_3_quantile: standing.tier_3_quantile,
            tier_step: standing.tier_step,
            hysteresis: standing.hysteresis,
            proof_mib: standing.proof_mib,
            proof_share: standing.proof_share,
            proof_secs: standing.proof_secs,
            barren_secs: standing.barren_secs,
            doubt_secs: standing.doubt_secs,
            demand_mib: standing.demand_mib,
            bank_percent: standing.bank_percent,
            pending_percent: standing.pending_percent,
            tolerance_percent: standing.tolerance_percent,
            slack_mib: standing.slack_mib,
            trust_from: standing.trust_from,
            trust_full: standing.trust_full,
            exaggerated_most: standing.exaggerated_most,
            size_quorum: standing.size_quorum,
            size_unknown_mib: standing.size_unknown_mib,
            watched_max: standing.watched_max,
            watched_swarms_max: standing.watched_swarms_max,
            snatches_max: standing.snatches_max,
        }
    }
}
