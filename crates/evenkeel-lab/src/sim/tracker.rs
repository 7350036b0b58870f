//! The door: one real shard of the core, asked as the program asks it.

use evenkeel_core::analyst::Observation;
use evenkeel_core::experiment::Arm;
use evenkeel_core::{Identity, Policy, Preset, Rules, Time};
use evenkeel_wire::{Announce, Event, InfoHash, PeerId};

use super::constants::NUMWANT;
use super::trial::Trial;
use crate::door::{Door, update};

/// One announce of a simulated client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub now: u32,
    pub user: usize,
    pub torrent: usize,
    /// Bytes, as a client counts them since its session began.
    pub uploaded: u64,
    pub downloaded: u64,
    pub left: u64,
    pub event: Event,
    /// Who it is, as the tracker knows it.
    pub identity: Identity,
}

/// What it is told, beside the peers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub interval_secs: u32,
    /// What the announce said of its sender.
    pub said: Option<Observation>,
    /// How its torrent is treated, where that is compared.
    pub arm: Option<Arm>,
    /// Hash of this answer and of all before it.
    pub trace: u64,
}

/// A tracker as it is by default, but for the policy, and that it keeps what peers report: what identities earn is made of it.
pub(super) struct Tracker {
    door: Door,
    /// What says which torrents are held out, also where all run `random`.
    trial: Rules,
    trace: u64,
}

impl Tracker {
    pub(super) fn new(policy: Policy, trial: Trial, seed: u64) -> Self {
        let held_out_percent = trial.held_out_percent;
        let rules = Rules { policy, held_out_percent, keep_reports: true, ..Rules::default() };
        // Of `random` against `random` nothing is held out, and something is compared all the same.
        let compared = if policy == Policy::Random { Policy::Rbs(Preset::Default) } else { policy };
        let trial = Rules { policy: compared, ..rules.clone() };
        Self { door: Door::new(seed, rules), trial, trace: 0xCBF2_9CE4_8422_2325 }
    }

    /// Moves the threshold of busy uplinks.
    pub(super) fn shift_busy(&self, percent: i8) {
        self.door.shift_busy(percent);
    }

    /// Announces; the users that are handed out replace what is in `found`.
    pub(super) fn announce(&mut self, ask: &Ask, found: &mut Vec<usize>) -> Told {
        let mut info_hash = InfoHash([0x5A; 20]);
        info_hash.0[..8].copy_from_slice(&(ask.torrent as u64).to_be_bytes());
        let mut peer_id = PeerId(*b"-EK0001-000000000000");
        peer_id.0[8..16].copy_from_slice(&(ask.user as u64).to_be_bytes());
        let announce = Announce {
            uploaded: ask.uploaded,
            downloaded: ask.downloaded,
            event: ask.event,
            ..update(info_hash, peer_id, ask.left, NUMWANT)
        };
        self.door.now = Time(ask.now);
        let (outcome, peers) = self.door.announce(address(ask.user), ask.identity, &announce);
        let reply = outcome.answer.expect("nothing here is limited");
        found.clear();
        found.extend(peers.iter().map(user));
        let head =
            [u64::from(ask.now), ask.user as u64, u64::from(reply.interval_secs)].map(u64::to_be_bytes);
        self.trace = head.as_flattened().iter().chain(peers.as_flattened()).fold(self.trace, note);
        Told {
            interval_secs: reply.interval_secs,
            said: self.door.observation,
            arm: self.door.arm_of(&self.trial, &info_hash),
            trace: self.trace,
        }
    }

    /// Forgets who fell silent.
    pub(super) fn sweep(&mut self, now: u32) {
        self.door.now = Time(now);
        self.door.sweep();
    }
}

/// FNV-1a: a change anywhere changes all that follows.
fn note(trace: u64, byte: &u8) -> u64 {
    (trace ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
}

/// A global address for each user: one, whatever the user is called.
fn address(user: usize) -> [u8; 6] {
    let [.., high, middle, low] = (user as u64).to_be_bytes();
    [20, high, middle, low, 0x1A, 0xE1]
}

fn user(peer: &[u8; 6]) -> usize {
    usize::from(peer[1]) << 16 | usize::from(peer[2]) << 8 | usize::from(peer[3])
}
