//! A shard beside a naive model: a plain list of records, everything counted anew after every operation.
//!
//! Operations come from bytes, four each, so that random tests and the fuzzer drive the same thing. 256 clients
//! have one IPv4 and one IPv6 endpoint and two WebSockets each; eight share an address; the last 32 are local.

use evenkeel_core::{Identity, Moved, PeerKey, Policy, Reason, Scope, SocketId, Tier, Time, WebKey};
use evenkeel_wire::{Announce, Endpoint, Event, InfoHash, PeerId, Stats};

use crate::rig::{Families, Rig, Told, ask};

/// Clients are of all tiers, and one in sixteen cannot be dialled.
fn identity(client: u8) -> Identity {
    Identity {
        slot: Some(u32::from(client)),
        tier: Tier::new(client % 4).unwrap(),
        is_unconnectable: client % 16 == 5,
        ..Identity::default()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Seeder,
    Leecher,
    Partial,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    torrent: u8,
    client: u8,
    key: PeerKey,
    kind: Kind,
    counted: bool,
    last: u32,
    /// In its last announce, in units of 16 KiB.
    uploaded: u64,
    downloaded: u64,
}

impl Record {
    /// What it has moved since it said so before.
    fn moved(&self, uploaded: u64, downloaded: u64) -> Moved {
        let since = |before: u64, after: u64| after.saturating_sub(before) << 14;
        Moved { uploaded: since(self.uploaded, uploaded), downloaded: since(self.downloaded, downloaded) }
    }
}

struct Model {
    rig: Rig,
    records: Vec<Record>,
    downloaded: [u32; 4],
}

/// Runs the operations that `data` stands for, and panics where shard and model differ.
pub(crate) fn run(data: &[u8]) {
    let mut model = Model { rig: Rig::new(9), records: Vec::new(), downloaded: [0; 4] };
    if let [swarm_limit, address_limit, ..] = data {
        // Small limits make evictions and refusals common; without them swarms grow beyond a linear scan.
        if *swarm_limit % 4 == 1 {
            model.rig.rules.peers_per_swarm_max = 2 + u32::from(*swarm_limit % 64);
        }
        if *address_limit % 4 == 1 {
            model.rig.rules.peers_per_address_and_swarm_max = 1 + u32::from(*address_limit % 8);
        }
        model.rig.rules.keep_reports = *address_limit % 2 == 0;
        model.rig.rules.policy = Policy::ALL[usize::from(*swarm_limit / 4) % Policy::ALL.len()].1;
    }
    for operation in data.as_chunks::<4>().0 {
        model.operate(*operation);
    }
}

impl Model {
    fn operate(&mut self, [what, client, torrent, detail]: [u8; 4]) {
        // Most of what happens, happens to one torrent; time passes in small steps, now and then.
        let torrent = torrent.saturating_sub(252);
        let way = if what % 4 == 3 { Way::Web(detail >> 7) } else { Way::Dial { is_v4: detail & 1 == 0 } };
        match what {
            0 => self.pass(u32::from(detail) * 8),
            1 => self.pass(u32::from(client)),
            2 if detail == 0 => self.drop_swarm(torrent),
            3..32 => self.announce(torrent, (client, way), detail, Event::Stopped),
            32..64 => self.announce(torrent, (client, way), detail, Event::Completed),
            64..80 => self.announce(torrent, (client, way), detail, Event::Paused),
            _ => self.announce(torrent, (client, way), detail, Event::Update),
        }
        self.compare(torrent);
    }

    fn pass(&mut self, secs: u32) {
        self.rig.now = Time(self.rig.now.0 + secs);
        // A real sweep comes by long before stamps wrap.
        self.sweep();
    }

    fn sweep(&mut self) {
        self.rig.sweep_all();
        let ttl = self.rig.rules.peer_ttl_secs();
        let (now, left) = (self.rig.now.0, self.rig.records());
        let kept = |record: &Record| left.iter().filter(|seen| seen.key == record.key).count();
        // Oldest first: of two records of one peer in different swarms the older one goes before the other.
        while let Some(at) = self.oldest_where(|record| {
            // Between one time to live and two units of time more, either is right: the shard decides.
            let age = now - record.last;
            let listed = self.records.iter().filter(|other| other.key == record.key).count();
            age > ttl + 64 || age > ttl && kept(record) < listed
        }) {
            self.remove(at);
        }
        for torrent in 0..4 {
            if !self.records.iter().any(|record| record.torrent == torrent) {
                // The count of completions is kept for a while; the shard decides for how long.
                self.downloaded[usize::from(torrent)] = self.stats(torrent).downloaded;
            }
        }
    }

    fn oldest_where(&self, is_it: impl Fn(&Record) -> bool) -> Option<usize> {
        let found = self.records.iter().enumerate().filter(|(_, record)| is_it(record));
        found.min_by_key(|(_, record)| record.last).map(|(at, _)| at)
    }

    fn drop_swarm(&mut self, torrent: u8) {
        self.rig.drop_swarm(&InfoHash([torrent; 20]));
        self.records.retain(|record| record.torrent != torrent);
        self.downloaded[usize::from(torrent)] = 0;
    }

    fn announce(&mut self, torrent: u8, (client, way): (u8, Way), detail: u8, event: Event) {
        let key = key(client, way);
        let kind = match (detail & 6, event) {
            (0, _) => Kind::Seeder,
            (_, Event::Paused) => Kind::Partial,
            _ => Kind::Leecher,
        };
        // Mostly more than the last time, and now and then less.
        let [uploaded, downloaded] =
            [detail, detail.reverse_bits()].map(|often| u64::from(self.rig.now.0) + u64::from(often));
        let ask = Announce {
            port: source(key).port(),
            uploaded: uploaded << 14,
            downloaded: downloaded << 14,
            left: match detail & 6 {
                0 => Some(0),
                2 => None,
                _ => Some(u64::from(detail)),
            },
            event,
            numwant: (detail & 8 != 0).then(|| u32::from(detail >> 4) * 20),
            ..ask(torrent, [client; 20])
        };
        let families = match way {
            Way::Web(_) => Families::Web,
            Way::Dial { .. } if detail >> 6 == 0 => Families::Both,
            Way::Dial { is_v4: true } => Families::V4,
            Way::Dial { is_v4: false } => Families::V6,
        };
        let own = self.position(torrent, key);
        let source_count = self.count_source(torrent, key);
        let len = self.records.iter().filter(|record| record.torrent == torrent).count();

        self.rig.identity = identity(client);
        let (outcome, peers) = self.rig.announce(key, 1, &ask, families);
        let moved = own.map(|own| self.records[own].moved(uploaded, downloaded));
        let moved = moved.filter(|_| self.rig.rules.keep_reports).unwrap_or_default();
        assert_eq!(outcome.moved, moved);
        if event == Event::Stopped {
            assert_eq!((outcome.reason, peers.len()), (Reason::Stopped, 0));
            own.into_iter().for_each(|own| self.remove(own));
            return;
        }
        let limit = self.rig.rules.peers_per_address_and_swarm_max as usize;
        let is_limited = own.is_none() && Scope::of(&source(key)) == Scope::Global && source_count >= limit;
        let is_evicting = own.is_none() && !is_limited && len >= self.rig.rules.peers_per_swarm_max as usize;
        let expected = match (is_limited, is_evicting) {
            (true, _) => Reason::NotListedSwarmLimit,
            (_, true) => Reason::AnnouncedAfterEviction,
            _ => Reason::Announced,
        };
        // Whether peers are held back is the policy's business.
        let is_rationed = outcome.reason == Reason::AnnouncedRationed && expected == Reason::Announced;
        assert!(outcome.reason == expected || is_rationed && self.rig.rules.policy != Policy::Random);
        if is_evicting {
            self.note_eviction(torrent);
        }
        // Who was evicted is not handed out, and is nobody's twin.
        let eligible = self.eligible(torrent, (client, key), kind, families);
        let room = if families == Families::V6 { 66 } else { 200 };
        self.check_peers(&peers, &eligible, kind, ask.numwant.unwrap_or(50).min(room));
        if is_limited {
            return;
        }

        let own = self.position(torrent, key);
        let twin = self.position(torrent, self::key(client, way.other()));
        let completes = event == Event::Completed
            && kind == Kind::Seeder
            && [own, twin].iter().flatten().all(|at| self.records[*at].kind != Kind::Seeder)
            && (matches!(way, Way::Dial { .. }) || own.is_some() || twin.is_some());
        let at = own.unwrap_or_else(|| {
            let last = self.rig.now.0;
            self.records.push(Record {
                torrent,
                client,
                key,
                kind,
                counted: true,
                last,
                uploaded,
                downloaded,
            });
            self.records.len() - 1
        });
        self.records[at] = Record { uploaded, downloaded, ..self.records[at] };
        self.refresh(at, kind);
        self.downloaded[usize::from(torrent)] += u32::from(completes);
        assert_eq!(outcome.answer.unwrap().stats, self.stats(torrent));
    }

    /// Whom a caller may be given: everybody in its families and scope but itself, seeders not for seeders.
    fn eligible(
        &self,
        torrent: u8,
        (client, key): (u8, PeerKey),
        kind: Kind,
        families: Families,
    ) -> Vec<Told> {
        let scope = Scope::of(&source(key));
        let told = |record: &Record| match (record.key, families) {
            (PeerKey::Web(key), Families::Web) => Some(Told::Introduce(key.socket)),
            (PeerKey::Dialled(Endpoint::V4(_)), Families::V6 | Families::Web)
            | (PeerKey::Dialled(Endpoint::V6(_)), Families::V4 | Families::Web)
            | (PeerKey::Web(_), _) => None,
            (PeerKey::Dialled(endpoint), _) => {
                scope.may_learn(Scope::of(&endpoint)).then_some(Told::Dial(endpoint))
            }
        };
        let others =
            self.records.iter().filter(|record| record.torrent == torrent && record.client != client);
        let others = others.filter(|record| kind != Kind::Seeder || record.kind != Kind::Seeder);
        let may_meet = |record: &&Record| {
            !identity(client).is_unconnectable || !identity(record.client).is_unconnectable
        };
        let met: Vec<Told> = others.clone().filter(may_meet).filter_map(told).collect();
        // Rather somebody whom it cannot reach than nobody.
        if met.is_empty() { others.filter_map(told).collect() } else { met }
    }

    fn check_peers(&self, peers: &[Told], eligible: &[Told], kind: Kind, want: u32) {
        let mut seen = Vec::new();
        for peer in peers {
            assert!(eligible.contains(peer), "{peer:?} is not to be handed out");
            assert!(!seen.contains(peer), "{peer:?} twice");
            seen.push(*peer);
        }
        let most = eligible.len().min(want as usize);
        match self.rig.rules.policy {
            Policy::Random => assert_eq!(peers.len(), most),
            Policy::Rbs(_) if kind == Kind::Leecher && most > 0 => assert!((1..=most).contains(&peers.len())),
            _ => assert!(peers.len() <= most),
        }
    }

    fn note_eviction(&mut self, torrent: u8) {
        let left = self.rig.records();
        let oldest = |record: &Record| record.last / 32;
        let age = self.records.iter().filter(|record| record.torrent == torrent).map(oldest).min().unwrap();
        let gone = self
            .records
            .iter()
            .position(|record| {
                let listed = self.records.iter().filter(|other| other.key == record.key).count();
                let kept = left.iter().filter(|seen| seen.key == record.key).count();
                record.torrent == torrent && kept < listed
            })
            .expect("an eviction takes a record out");
        assert_eq!(self.records[gone].last / 32, age, "the least recently announced goes");
        self.remove(gone);
    }

    fn refresh(&mut self, at: usize, kind: Kind) {
        self.records[at] = Record { kind, counted: true, last: self.rig.now.0, ..self.records[at] };
        if let Some(twin) = self.twin(at) {
            self.records[twin].counted = false;
        }
    }

    fn remove(&mut self, at: usize) {
        if let Some(twin) = self.twin(at) {
            self.records[twin].counted = true;
        }
        self.records.swap_remove(at);
    }

    /// The same client in the other family; a client that is reached through sockets is another one.
    fn twin(&self, at: usize) -> Option<usize> {
        let Record { torrent, client, key, .. } = self.records[at];
        let is_web = |key| matches!(key, PeerKey::Web(_));
        self.records.iter().position(|other| {
            other.torrent == torrent
                && other.client == client
                && other.key != key
                && is_web(other.key) == is_web(key)
        })
    }

    fn position(&self, torrent: u8, key: PeerKey) -> Option<usize> {
        self.records.iter().position(|record| record.torrent == torrent && record.key == key)
    }

    /// Records of one source that are reached in the same way; the limit holds for each way.
    fn count_source(&self, torrent: u8, key: PeerKey) -> usize {
        let is_web = |key| matches!(key, PeerKey::Web(_));
        self.of_source(key)
            .filter(|record| record.torrent == torrent && is_web(record.key) == is_web(key))
            .count()
    }

    fn of_source(&self, key: PeerKey) -> impl Iterator<Item = &Record> {
        let network = |key| match source(key) {
            Endpoint::V4(bytes) => bytes[..4].to_vec(),
            Endpoint::V6(bytes) => bytes[..8].to_vec(),
        };
        self.records.iter().filter(move |record| network(record.key) == network(key))
    }

    fn stats(&self, torrent: u8) -> Stats {
        self.rig.shard.scrape(&InfoHash([torrent; 20]))
    }

    fn compare(&self, torrent: u8) {
        let count = |kind| {
            let is_it = |record: &&Record| record.torrent == torrent && record.kind == kind && record.counted;
            self.records.iter().filter(is_it).count() as u32
        };
        let expected = Stats {
            seeders: count(Kind::Seeder),
            leechers: count(Kind::Leecher),
            partial: count(Kind::Partial),
            downloaded: self.downloaded[usize::from(torrent)],
        };
        assert_eq!(self.stats(torrent), expected);
        let totals = self.rig.shard.totals();
        let counts = [totals.v4_peers, totals.v6_peers, totals.web_peers].map(|count| count as usize);
        let of = |is_it: fn(PeerKey) -> bool| self.records.iter().filter(|record| is_it(record.key)).count();
        assert_eq!(
            counts,
            [
                of(|key| matches!(key, PeerKey::Dialled(Endpoint::V4(_)))),
                of(|key| matches!(key, PeerKey::Dialled(Endpoint::V6(_)))),
                of(|key| matches!(key, PeerKey::Web(_))),
            ]
        );
        let some = self.records.first().map_or(key(0, Way::Dial { is_v4: true }), |record| record.key);
        assert_eq!(self.rig.address_peers(&source(some)), self.of_source(some).count() as u32);
        let all: Vec<_> = self.rig.shard.scrape_all().collect();
        let active = |torrent| self.records.iter().any(|record| record.torrent == torrent);
        assert_eq!(all.len(), (0..4).filter(|torrent| active(*torrent)).count());
        assert!(all.iter().all(|(info_hash, stats)| self.rig.shard.scrape(info_hash) == *stats));
    }
}

/// How a client is reached.
#[derive(Clone, Copy)]
enum Way {
    Dial { is_v4: bool },
    Web(u8),
}

impl Way {
    fn other(self) -> Self {
        match self {
            Self::Dial { is_v4 } => Self::Dial { is_v4: !is_v4 },
            Self::Web(socket) => Self::Web(1 - socket),
        }
    }
}

fn key(client: u8, way: Way) -> PeerKey {
    match way {
        Way::Dial { is_v4 } => PeerKey::Dialled(endpoint(client, is_v4)),
        Way::Web(socket) => PeerKey::Web(WebKey {
            source: endpoint(client, socket == 0),
            socket: SocketId::new(client.into(), socket.into()),
            peer_id: PeerId([client; 20]),
        }),
    }
}

fn source(key: PeerKey) -> Endpoint {
    match key {
        PeerKey::Dialled(endpoint) => endpoint,
        PeerKey::Web(key) => key.source,
    }
}

fn endpoint(client: u8, is_v4: bool) -> Endpoint {
    let [high, low] = (1000 + u16::from(client)).to_be_bytes();
    let host = client % 32;
    match (is_v4, client >= 224) {
        (true, false) => Endpoint::V4([11, 0, 0, host, high, low]),
        (true, true) => Endpoint::V4([10, 0, 0, host, high, low]),
        (false, local) => {
            let mut bytes = [0; 18];
            bytes[..2].copy_from_slice(if local { &[0xFD, 0] } else { &[0x2A, 0] });
            bytes[7] = host;
            bytes[15] = client;
            bytes[16..].copy_from_slice(&[high, low]);
            Endpoint::V6(bytes)
        }
    }
}
