//! One shard with everything around it that an announce needs.

use evenkeel_core::account::{Account, Booking, Ledger};
use evenkeel_core::analyst::Observation;
use evenkeel_core::{
    AddressTable, Caller, Cx, Handout, Identity, Keyed, KeyedCaller, Keys, Outcome, PeerKey, Rules, Scratch,
    Seen, Shard, SocketId, Swept, Time, Uplinks,
};
use evenkeel_wire::{Announce, Endpoint, Event, InfoHash, Key, PeerId};

pub(crate) struct Rig {
    pub(crate) shard: Shard,
    pub(crate) keys: Keys,
    pub(crate) rules: Rules,
    pub(crate) now: Time,
    pub(crate) store_is_full: bool,
    /// Whom the next announces are booked to.
    pub(crate) account: Option<Account>,
    /// What the last announce added to the books.
    pub(crate) booking: Option<Booking>,
    pub(crate) ledger: Ledger,
    /// Who announces.
    pub(crate) identity: Identity,
    /// Whether announces are observed, and what the last one said.
    pub(crate) observes: bool,
    pub(crate) observation: Option<Observation>,
    addresses: AddressTable,
    uplinks: Uplinks,
    rng: fastrand::Rng,
    scratch: Box<Scratch>,
}

/// Which families the caller can be told of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Families {
    Both,
    V4,
    V6,
    Web,
}

/// A peer that was handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Dial(Endpoint),
    Introduce(SocketId),
}

impl Rig {
    pub(crate) fn new(seed: u64) -> Self {
        let key = |number| Keyed::new([seed, number]);
        let keys = Keys { swarm: key(1), peer: key(2), twin: key(3), lottery: key(5) };
        Self {
            shard: Shard::new(keys),
            keys,
            rules: Rules { interval_spread_percent: 0, ..Rules::default() },
            now: Time(0),
            store_is_full: false,
            account: None,
            booking: None,
            ledger: Ledger::default(),
            identity: Identity::default(),
            observes: false,
            observation: None,
            addresses: AddressTable::new(key(4)),
            uplinks: Uplinks::default(),
            rng: fastrand::Rng::with_seed(seed),
            scratch: Box::default(),
        }
    }

    /// Announces; answers the outcome and the peers handed out.
    pub(crate) fn announce(
        &mut self,
        key: impl Into<PeerKey>,
        client: u16,
        ask: &Announce,
        families: Families,
    ) -> (Outcome, Vec<Told>) {
        let mut v4 = [0; 200 * 6];
        let mut v6 = [0; 200 * 18];
        let mut sockets = vec![SocketId::new(9, 9)];
        let (v4_room, v6_room) = match families {
            Families::Both => (v4.len(), v6.len()),
            Families::V4 => (v4.len(), 0),
            Families::V6 => (0, 66 * 18),
            Families::Web => (0, 0),
        };
        let mut out = match families {
            Families::Web => Handout::to_sockets(&mut sockets),
            _ => Handout::new(&mut v4[..v4_room], &mut v6[..v6_room]),
        };
        let outcome = self.announce_into(&mut out, key, client, ask);
        let (v4_bytes, v6_bytes) = (out.v4_bytes(), out.v6_bytes());
        if families == Families::Web {
            return (outcome, sockets.into_iter().map(Told::Introduce).collect());
        }
        let v4 = v4[..v4_bytes].as_chunks::<6>().0.iter().map(|bytes| Endpoint::V4(*bytes));
        let v6 = v6[..v6_bytes].as_chunks::<18>().0.iter().map(|bytes| Endpoint::V6(*bytes));
        (outcome, v4.chain(v6).map(Told::Dial).collect())
    }

    /// Announces as the program does: nothing here takes memory, and peers go where the caller wants them.
    pub(crate) fn announce_into(
        &mut self,
        out: &mut Handout<'_>,
        key: impl Into<PeerKey>,
        client: u16,
        ask: &Announce,
    ) -> Outcome {
        let (place, identity) = (self.keys.place(&ask.info_hash), self.identity);
        let caller = Caller { key: key.into(), client, place, identity };
        (self.booking, self.observation) = (None, None);
        let mut cx = Cx {
            now: self.now,
            rng: &mut self.rng,
            rules: &self.rules,
            addresses: &self.addresses,
            uplinks: &self.uplinks,
            store_is_full: self.store_is_full,
            scratch: &mut self.scratch,
            observed: self.observes.then_some(&mut self.observation),
        };
        let Some(account) = self.account else { return self.shard.announce(&mut cx, &caller, ask, out) };
        let keyed = KeyedCaller { caller, account, ledger: &self.ledger };
        let (outcome, booking) = self.shard.announce_keyed(&mut cx, &keyed, ask, out);
        self.booking = booking;
        outcome
    }

    pub(crate) fn sweep(&mut self, budget: usize) -> Swept {
        self.shard.sweep(self.now, &self.rules, &self.addresses, budget)
    }

    pub(crate) fn sweep_all(&mut self) {
        while !self.sweep(usize::MAX).finished {}
    }

    pub(crate) fn drop_swarm(&mut self, info_hash: &InfoHash) {
        self.shard.drop_swarm(info_hash, &self.addresses);
    }

    pub(crate) fn address_peers(&self, endpoint: &Endpoint) -> u32 {
        self.addresses.peers(endpoint)
    }

    pub(crate) fn records(&self) -> Vec<Seen> {
        let mut records = Vec::new();
        let mut cursor = Some(evenkeel_core::Cursor::default());
        while let Some(at) = cursor {
            cursor = self.shard.visit(at, 7, |seen| records.push(seen));
        }
        records
    }
}

/// An announce of a leecher that has just started.
pub(crate) fn ask(torrent: u8, peer_id: [u8; 20]) -> Announce {
    Announce {
        info_hash: InfoHash([torrent; 20]),
        peer_id: PeerId(peer_id),
        port: 6881,
        uploaded: 0,
        downloaded: 0,
        left: Some(1000),
        event: Event::Started,
        numwant: None,
        key: Key::NONE,
    }
}
