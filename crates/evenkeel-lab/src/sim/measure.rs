//! What is noted of a run, and the figures that are made of it.

use std::collections::BTreeMap;

use evenkeel_core::Tier;
use serde::Serialize;

use super::people::{Class, count};
use super::trial::Decided;

/// A completed download.
#[derive(Clone, Copy, Debug)]
pub(super) struct Download {
    pub class: Class,
    pub is_newcomer: bool,
    /// Downloads that the same user had completed before.
    pub before: u32,
    pub began: u32,
    pub secs: u32,
    pub mb: f64,
}

/// What happened after the warm-up.
#[derive(Clone, Debug, Default)]
pub(super) struct Measured {
    from: u32,
    downloads: Vec<Download>,
    first_byte_secs: Vec<f64>,
    mb: f64,
    announces: u64,
    first_lists: u64,
    empty_first_lists: u64,
    peers: u64,
    /// How often a user of a class was found in a tier.
    tiers: [[u64; Tier::COUNT]; Class::ALL.len()],
    /// Hash of all answers, from the beginning.
    pub trace: u64,
    /// What the tracker decided of its threshold, where it compares.
    pub decided: Option<Decided>,
}

/// The figures of a run, by name. Times are seconds, and seconds for each GB of a download.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Figures {
    pub values: BTreeMap<String, f64>,
    /// Shares of a class in each tier.
    pub tiers: BTreeMap<&'static str, [f64; Tier::COUNT]>,
    /// Hash of all answers of the tracker: equal runs have equal ones.
    pub trace: String,
}

impl Measured {
    pub(super) fn new(from: u32) -> Self {
        Self { from, ..Self::default() }
    }

    pub(super) fn note_moved(&mut self, now: u32, mb: f64) {
        if now >= self.from {
            self.mb += mb;
        }
    }

    /// Downloads count that began after the warm-up.
    pub(super) fn note_download(&mut self, download: &Download) {
        if download.began >= self.from {
            self.downloads.push(*download);
        }
    }

    pub(super) fn note_first_byte(&mut self, began: u32, secs: u32) {
        if began >= self.from {
            self.first_byte_secs.push(f64::from(secs));
        }
    }

    /// Every torrent has its publisher: an empty list is always the policy's doing.
    pub(super) fn note_announce(&mut self, now: u32, is_first: bool, peers: usize, trace: u64) {
        self.trace = trace;
        if now >= self.from {
            self.announces += 1;
            self.peers += peers as u64;
            self.first_lists += u64::from(is_first);
            self.empty_first_lists += u64::from(is_first && peers == 0);
        }
    }

    pub(super) fn note_tiers(&mut self, now: u32, users: impl Iterator<Item = (Class, u8)>) {
        if now >= self.from {
            users.for_each(|(class, tier)| self.tiers[class.index()][usize::from(tier)] += 1);
        }
    }

    /// The figures of all that was noted.
    pub(super) fn figures(&self) -> Figures {
        let mut values = BTreeMap::new();
        let mut set = |name: &str, value: Option<f64>| {
            values.extend(value.filter(|value| value.is_finite()).map(|value| (name.to_owned(), value)));
        };
        let old = || self.downloads.iter().filter(|download| !download.is_newcomer);
        let all = times(old());
        set("all", mean(&all));
        set("all p95", percentile(&all, 0.95));
        let mut class_means = [None; Class::ALL.len()];
        for class in Class::ALL {
            let own = times(old().filter(|download| download.class == class));
            class_means[class.index()] = mean(&own);
            set(class.name(), mean(&own));
            set(&format!("{} p95", class.name()), percentile(&own, 0.95));
        }
        let over = |of: Class, over: Class| Some(class_means[of.index()]? / class_means[over.index()]?);
        set("free/good", over(Class::FreeRider, Class::Good));
        set("selfish/good", over(Class::Selfish, Class::Good));
        set("whitewasher/free", over(Class::Whitewasher, Class::FreeRider));
        set("ghost/good", over(Class::Ghost, Class::Good));
        for (before, name) in
            ["newcomer 1st", "newcomer 2nd", "newcomer 3rd", "newcomer later"].iter().enumerate()
        {
            let new = self
                .downloads
                .iter()
                .filter(|download| download.is_newcomer && (download.before as usize).min(3) == before);
            set(name, mean(&times(new)));
        }
        set("downloads", Some(self.downloads.len() as f64));
        set("GB moved", Some(self.mb / 1000.0));
        set("announces", Some(self.announces as f64));
        set("peers in a list", Some(self.peers as f64 / self.announces as f64));
        set("empty first lists", Some(self.empty_first_lists as f64 / self.first_lists as f64));
        set("first byte", mean(&self.first_byte_secs));
        set("first byte p99.9", percentile(&self.first_byte_secs, 0.999));
        set("first byte max", percentile(&self.first_byte_secs, 1.0));
        let late = self.first_byte_secs.iter().filter(|secs| **secs > 600.0).count();
        set("first byte after 10 min", Some(late as f64 / self.first_byte_secs.len() as f64));
        if let Some(decided) = &self.decided {
            set("decisions", Some(decided.decisions.into()));
            set("moves", Some(decided.moves.into()));
            set("moves up", Some(decided.moves_up.into()));
            set("moved", Some(decided.moved.into()));
            set("cost seen", decided.cost.map(|(cost, _)| cost));
            set("cost seen give or take", decided.cost.map(|(_, give_or_take)| give_or_take));
        }
        let tiers = Class::ALL.into_iter().filter_map(|class| {
            let own = self.tiers[class.index()];
            let sum = own.iter().sum::<u64>();
            (sum > 0).then(|| (class.name(), own.map(|times| times as f64 / sum as f64)))
        });
        Figures { tiers: tiers.collect(), trace: format!("{:016x}", self.trace), values }
    }
}

/// Seconds for each GB.
fn times<'a>(downloads: impl Iterator<Item = &'a Download>) -> Vec<f64> {
    downloads.map(|download| f64::from(download.secs) / (download.mb / 1000.0)).collect()
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn percentile(values: &[f64], part: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = count(part * sorted.len() as f64).min(sorted.len().checked_sub(1)?);
    Some(sorted[at])
}
