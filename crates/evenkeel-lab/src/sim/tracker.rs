//! The door: one real shard of the core, asked as the program asks it.

use evenkeel_core::{
    AddressTable, Caller, Cx, Handout, Identity, Keyed, Keys, Policy, Rules, Scratch, Shard, Time, Uplinks,
};
use evenkeel_wire::{Announce, Endpoint, Event, InfoHash, Key, PeerId};

use super::constants::NUMWANT;

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
    pub seeders: u32,
    /// Hash of this answer and of all before it.
    pub trace: u64,
}

/// A tracker with all that an announce needs.
pub(super) struct Tracker {
    shard: Shard,
    keys: Keys,
    addresses: AddressTable,
    uplinks: Uplinks,
    rules: Rules,
    rng: fastrand::Rng,
    scratch: Box<Scratch>,
    peers: [u8; NUMWANT as usize * 6],
    trace: u64,
}

impl Tracker {
    /// A tracker as it is by default, but for the policy.
    pub(super) fn new(policy: Policy, seed: u64) -> Self {
        let rules = Rules { policy, keep_reports: policy.needs_reports(), ..Rules::default() };
        let key = |number| Keyed::new([seed, number]);
        let keys = Keys { swarm: key(1), peer: key(2), twin: key(3), lottery: key(5) };
        Self {
            shard: Shard::new(keys),
            keys,
            addresses: AddressTable::new(key(4)),
            uplinks: Uplinks::default(),
            rules,
            rng: fastrand::Rng::with_seed(seed),
            scratch: Box::default(),
            peers: [0; NUMWANT as usize * 6],
            trace: 0xCBF2_9CE4_8422_2325,
        }
    }

    /// Announces; the users that are handed out replace what is in `found`.
    pub(super) fn announce(&mut self, ask: &Ask, found: &mut Vec<usize>) -> Told {
        let mut info_hash = InfoHash([0x5A; 20]);
        info_hash.0[..8].copy_from_slice(&(ask.torrent as u64).to_be_bytes());
        let mut peer_id = PeerId(*b"-EK0001-000000000000");
        peer_id.0[8..16].copy_from_slice(&(ask.user as u64).to_be_bytes());
        let announce = Announce {
            info_hash,
            peer_id,
            port: 6881,
            uploaded: ask.uploaded,
            downloaded: ask.downloaded,
            left: Some(ask.left),
            event: ask.event,
            numwant: Some(NUMWANT),
            key: Key::NONE,
        };
        let caller = Caller {
            key: address(ask.user).into(),
            client: 0,
            place: self.keys.place(&info_hash),
            identity: ask.identity,
        };
        let mut out = Handout::new(&mut self.peers, &mut []);
        let mut cx = Cx {
            now: Time(ask.now),
            rng: &mut self.rng,
            rules: &self.rules,
            addresses: &self.addresses,
            uplinks: &self.uplinks,
            store_is_full: false,
            scratch: &mut self.scratch,
        };
        let outcome = self.shard.announce(&mut cx, &caller, &announce, &mut out);
        let bytes = out.v4_bytes();
        let reply = outcome.answer.expect("nothing here is limited");
        found.clear();
        found.extend(self.peers[..bytes].as_chunks::<6>().0.iter().map(user));
        self.note(&ask.now.to_be_bytes());
        self.note(&ask.user.to_be_bytes());
        self.note(&reply.interval_secs.to_be_bytes());
        for at in 0..bytes {
            self.note(&[self.peers[at]]);
        }
        Told { interval_secs: reply.interval_secs, seeders: reply.stats.seeders, trace: self.trace }
    }

    /// Forgets who fell silent.
    pub(super) fn sweep(&mut self, now: u32) {
        while !self.shard.sweep(Time(now), &self.rules, &self.addresses, usize::MAX).finished {}
    }

    /// FNV-1a: a change anywhere changes all that follows.
    fn note(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.trace = (self.trace ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }
}

/// A global address for each user: one, whatever the user is called.
fn address(user: usize) -> Endpoint {
    let [.., high, middle, low] = (user as u64).to_be_bytes();
    Endpoint::V4([20, high, middle, low, 0x1A, 0xE1])
}

fn user(peer: &[u8; 6]) -> usize {
    usize::from(peer[1]) << 16 | usize::from(peer[2]) << 8 | usize::from(peer[3])
}
