//! The communities: who is in them, for how long, and what the tracker is told.
//!
//! Times that the policy has are sixty times shorter than by default, and so is the interval, which it counts others in: an
//! uplink is judged by bins of 15 s, can be busy after two minutes and has room again after one. What libtorrent has is as it is:
//! it chooses anew whom to unchoke every 15 s.

use std::collections::BTreeMap;

use evenkeel_core::Policy;
use serde::Serialize;

/// Seconds between announces, in place of half an hour.
pub(super) const INTERVAL_SECS: u32 = 30;
/// Seconds before which an announce is of the same turn, in place of five minutes.
pub(super) const MIN_INTERVAL_SECS: u32 = 10;
/// Seconds after which more is open, in place of ten minutes.
pub(super) const RATION_STEP_SECS: u32 = 10;

/// Third number of the addresses of seeders.
pub(super) const SEEDERS_NET: u32 = 1;

/// A cell in which uplinks are exhausted, and one in which they have room, after they were exhausted once.
pub(super) const CONTENDED: &str = "contended";
pub(super) const IDLE: &str = "idle";
/// They have room, and nobody has ever seen their best.
pub(super) const UNSEEN: &str = "unseen";
/// Each torrent has one seeder.
pub(super) const ONE_SEED: &str = "one-seed";
/// Bytes a second: what a leecher can take where its downlink is no matter.
const DOWNLOAD: u32 = 600_000;

/// One seeder and one leecher, and which of them has the limit.
pub(super) const LONE_UPLINK: &str = "lone-uplink";
pub(super) const LONE_DOWNLINK: &str = "lone-downlink";

/// Those who give as they take, of the top tier, and those who give nothing, of the lowest.
pub(super) const GOOD: &str = "good";
pub(super) const FREE: &str = "free";

/// Whether a policy has the time to show what it does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    Long,
    Short,
}

/// A run that is to be made.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub cell: &'static str,
    pub policy: Policy,
    pub plan: Plan,
}

impl Job {
    /// No other job has this name.
    pub(super) fn name(&self) -> String {
        format!("{}-{}-{}", self.cell, self.policy, self.plan.seed)
    }
}

/// A community, as `tests/clients/community.py` is told of it. Rates are bytes a second.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Plan {
    pub seed: u64,
    pub torrents: u32,
    pub torrent_bytes: u32,
    /// All of them of the top tier, at addresses below [`SEEDERS_NET`].
    pub seeders: u32,
    pub seeder_upload: u32,
    /// Each seeder has one torrent only, in place of all.
    pub one_torrent_each: bool,
    pub leechers: BTreeMap<&'static str, Leechers>,
    pub download: u32,
    /// Downlinks have `surge_download` for so long from the start.
    pub surge_secs: u32,
    pub surge_download: u32,
    pub seeders_net: u32,
    pub warm_up_secs: u32,
    pub window_secs: u32,
}

/// Leechers of one class.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Leechers {
    pub count: u32,
    /// 0 gives nothing at all: nobody is ever unchoked.
    pub upload: u32,
    /// Third number of the first of their addresses, of 16 networks.
    pub net: u32,
    pub tier: u8,
}

/// Those who give as they take, and those who give nothing.
const GOOD_LEECHERS: Leechers = Leechers { count: 10, upload: 50_000, net: 16, tier: 3 };
const FREE_RIDERS: Leechers = Leechers { count: 10, upload: 0, net: 32, tier: 0 };

impl Plan {
    /// How long it takes.
    pub(super) fn secs(&self) -> u64 {
        u64::from(self.warm_up_secs + self.window_secs)
    }

    fn new(length: Length, seed: u64) -> Self {
        // The best rate of an uplink is known after two minutes; downloads that began before must be over, which takes as long.
        let (warm_up_secs, window_secs) = if length == Length::Long { (240, 180) } else { (20, 40) };
        Self {
            seed,
            torrents: 3,
            torrent_bytes: 6 << 20,
            seeders: 10,
            seeder_upload: 100_000,
            one_torrent_each: false,
            leechers: [(GOOD, GOOD_LEECHERS), (FREE, FREE_RIDERS)].into(),
            download: DOWNLOAD,
            surge_secs: 0,
            surge_download: DOWNLOAD,
            seeders_net: SEEDERS_NET,
            warm_up_secs,
            window_secs,
        }
    }
}

/// All runs of the comparison: for each pair each cell, first under `random`, then under the other policy.
pub(super) fn jobs(length: Length, pairs: u64, policy: Policy) -> Vec<Job> {
    let mut jobs = Vec::new();
    for seed in 1..=pairs {
        let plan = Plan::new(length, seed);
        let unseen = Plan { seeder_upload: 300_000, download: 100_000, ..plan.clone() };
        let cells = [
            (CONTENDED, plan.clone()),
            (IDLE, Plan { surge_secs: 90, ..unseen.clone() }),
            (UNSEEN, unseen),
            (ONE_SEED, one_seed(plan)),
        ];
        // One that nothing depends on is measured half as often.
        for (cell, plan) in cells.into_iter().filter(|(cell, _)| *cell != UNSEEN || seed <= pairs.div_ceil(2))
        {
            jobs.extend([Policy::Random, policy].map(|policy| Job { cell, policy, plan: plan.clone() }));
        }
    }
    if length == Length::Short {
        jobs.retain(|job| job.cell == CONTENDED);
    }
    jobs
}

/// Chance is all that differs between policies, and it has fewer seeders to cancel out over: the window is longer.
fn one_seed(plan: Plan) -> Plan {
    let longer_secs = plan.warm_up_secs / 2;
    Plan {
        seeders: 3,
        seeder_upload: 330_000,
        one_torrent_each: true,
        warm_up_secs: plan.warm_up_secs - longer_secs,
        window_secs: plan.window_secs + longer_secs,
        ..plan
    }
}

/// One seeder and one leecher, limited on either side.
pub(super) fn lone_transfers(length: Length) -> Vec<Job> {
    let leechers = [(GOOD, Leechers { count: 1, ..GOOD_LEECHERS })].into();
    let window_secs = if length == Length::Long { 40 } else { 15 };
    let plan =
        Plan { torrents: 1, seeders: 1, leechers, warm_up_secs: 15, window_secs, ..Plan::new(length, 1) };
    let limited = Plan { seeder_upload: 600_000, download: 100_000, ..plan.clone() };
    [(LONE_UPLINK, plan), (LONE_DOWNLINK, limited)]
        .map(|(cell, plan)| Job { cell, policy: Policy::Random, plan })
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_core::Preset;

    #[test]
    fn every_run_has_a_name_of_its_own_and_stands_beside_its_pair() {
        let jobs = jobs(Length::Long, 5, Policy::Rbs(Preset::Default));
        let mut names: Vec<String> = jobs.iter().map(Job::name).collect();
        for pair in jobs.chunks(2) {
            assert_eq!((pair[0].cell, pair[0].plan.seed), (pair[1].cell, pair[1].plan.seed));
            assert_eq!(pair[0].policy, Policy::Random);
            assert_ne!(pair[1].policy, Policy::Random);
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 36);
    }
}
