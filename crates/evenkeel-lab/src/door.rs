//! One shard of the real core with everything around it that an announce needs, and the door that the program uses.

use evenkeel_core::analyst::Observation;
use evenkeel_core::experiment::Arm;
use evenkeel_core::{
    AddressTable, Caller, Cx, Handout, Identity, Keyed, Keys, Outcome, Rules, Scratch, Shard, Time, Uplinks,
};
use evenkeel_wire::limits::REPLY_PEERS_MAX;
use evenkeel_wire::{Announce, Endpoint, Event, InfoHash, Key, PeerId};

/// A tracker of one shard.
pub(crate) struct Door {
    pub(crate) shard: Shard,
    pub(crate) rules: Rules,
    pub(crate) now: Time,
    keys: Keys,
    addresses: AddressTable,
    uplinks: Uplinks,
    rng: fastrand::Rng,
    scratch: Box<Scratch>,
    /// What the last announce said of its caller.
    pub(crate) observation: Option<Observation>,
    peers: [u8; REPLY_PEERS_MAX as usize * 6],
}

impl Door {
    /// An empty one; the same seed gives the same answers.
    pub(crate) fn new(seed: u64, rules: Rules) -> Self {
        let key = |number| Keyed::new([seed, number]);
        let keys = Keys { swarm: key(1), peer: key(2), twin: key(3), lottery: key(5) };
        Self {
            shard: Shard::new(keys),
            rules,
            now: Time(0),
            keys,
            addresses: AddressTable::new(key(4)),
            uplinks: Uplinks::default(),
            rng: fastrand::Rng::with_seed(seed),
            scratch: Box::default(),
            observation: None,
            peers: [0; REPLY_PEERS_MAX as usize * 6],
        }
    }

    /// Announces for an IPv4 peer; answers the outcome, and the peers that it is given as they are sent.
    pub(crate) fn announce(
        &mut self,
        endpoint: [u8; 6],
        identity: Identity,
        ask: &Announce,
    ) -> (Outcome, &[[u8; 6]]) {
        let place = self.keys.place(&ask.info_hash);
        let caller = Caller { key: Endpoint::V4(endpoint).into(), client: 0, place, identity };
        let mut out = Handout::new(&mut self.peers, &mut []);
        self.observation = None;
        let mut cx = Cx {
            now: self.now,
            rng: &mut self.rng,
            rules: &self.rules,
            addresses: &self.addresses,
            uplinks: &self.uplinks,
            store_is_full: false,
            scratch: &mut self.scratch,
            observed: Some(&mut self.observation),
        };
        let outcome = self.shard.announce(&mut cx, &caller, ask, &mut out);
        let bytes = out.v4_bytes();
        (outcome, self.peers[..bytes].as_chunks().0)
    }

    /// How a torrent is treated by rules that hold some out.
    pub(crate) fn arm_of(&self, rules: &Rules, info_hash: &InfoHash) -> Option<Arm> {
        rules.arm_of(info_hash, &self.keys.lottery)
    }

    /// Moves the threshold of busy uplinks, by percent from what the policy says.
    pub(crate) fn shift_busy(&self, percent: i8) {
        self.uplinks.shift(percent);
    }

    /// Forgets who fell silent.
    pub(crate) fn sweep(&mut self) {
        while !self.shard.sweep(self.now, &self.rules, &self.addresses, usize::MAX).finished {}
    }
}

/// A regular announce of a peer that lacks `left` bytes.
pub(crate) fn update(info_hash: InfoHash, peer_id: PeerId, left: u64, want: u32) -> Announce {
    Announce {
        info_hash,
        peer_id,
        port: 6881,
        uploaded: 0,
        downloaded: 0,
        left: Some(left),
        event: Event::Update,
        numwant: Some(want),
        key: Key::NONE,
    }
}
