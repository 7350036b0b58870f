//! What identities earn, rule by rule: what announces say of them, what of it is believed, and what it is worth.

mod believed;
mod bounds;
mod observed;
mod worth;

use evenkeel_core::analyst::{Analyst, Observation, View};
use evenkeel_core::rules::standing::StandingRules;
use evenkeel_core::{Tier, Time};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// Seconds between announces.
const INTERVAL: u32 = 1800;
const HOUR: u32 = 3600;
const DAY: u32 = 86_400;

/// An analyst, and the tiers that it has published.
struct Bench {
    analyst: Analyst,
    tiers: Vec<Tier>,
    now: u32,
}

impl Bench {
    fn new(rules: &StandingRules) -> Self {
        let now = 1_000_000;
        let slots = 2000;
        Self {
            analyst: Analyst::new(rules, slots, Time(now)),
            tiers: vec![Tier::NEWEST; slots as usize],
            now,
        }
    }

    /// Lets so many seconds go by, with a tick in each minute.
    fn wait(&mut self, secs: u32) {
        for _ in 0..secs.div_ceil(60) {
            self.now += 60;
            self.tick();
        }
    }

    fn tick(&mut self) {
        for change in self.analyst.tick(Time(self.now)) {
            self.tiers[change.slot as usize] = change.tier;
        }
    }

    /// An announce of a session that announced an interval ago.
    fn said(&self, slot: u32, torrent: u64) -> Observation {
        Observation {
            torrent,
            left: Observation::NOT_SAID,
            lacked: Observation::NOT_SAID,
            uploaded: 0,
            downloaded: 0,
            slot,
            now: Time(self.now),
            seeders: 1,
            leechers: 1,
            secs: INTERVAL as u16,
            has_seeded: false,
            seeds: false,
            completed: false,
            stopped: false,
            begins: false,
        }
    }

    /// It has seeded for an interval and sent so much.
    fn seed(&mut self, slot: u32, torrent: u64, uploaded: u64) {
        let said = Observation {
            left: 0,
            lacked: 0,
            uploaded,
            has_seeded: true,
            seeds: true,
            ..self.said(slot, torrent)
        };
        self.analyst.observe(&said);
    }

    /// It has received so much in an interval, and sent so much.
    fn leech(&mut self, slot: u32, torrent: u64, downloaded: u64, uploaded: u64) {
        let left = 1000 * GIB;
        let said =
            Observation { left, lacked: left + downloaded, downloaded, uploaded, ..self.said(slot, torrent) };
        self.analyst.observe(&said);
    }

    fn view(&self, slot: u32) -> View {
        self.analyst.view(slot).unwrap()
    }

    fn tier(&self, slot: u32) -> u8 {
        self.tiers[slot as usize].number()
    }

    /// Torrent after torrent, each of so many bytes.
    fn sizes(&mut self, torrents: u64, bytes: u64) {
        (0..torrents).for_each(|torrent| self.analyst.tell_size(torrent, bytes));
    }
}
