//! Who is in the swarms, for `/stats`: peers counted once however many swarms they are in, and their software.
//!
//! A pass over the store runs when somebody asks, in a thread of its own that locks one shard at a time for a
//! slice; whoever asks while it runs waits for the next one. After a pass it rests nine times as long as the
//! pass took, so that asking often costs at most a tenth of a core.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel_core::{PeerKey, Policy, Reported, Seen};
use evenkeel_wire::client_name::ClientName;
use evenkeel_wire::{Endpoint, PeerId};
use tokio::sync::{mpsc, oneshot};

use crate::node::Node;

/// Peers that are told apart at most. Above that, a sample of so many addresses stands for all.
const EXACT_MAX: u64 = 100_000;

/// The figures of a pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// Whether the figures of peers come from a sample.
    pub is_estimate: bool,
    /// Peers, each address and port once; those of WebTorrent by their peer id.
    pub peers: u64,
    /// Of them, those that only seed.
    pub seeder_only: u64,
    /// Those that only leech.
    pub leecher_only: u64,
    /// Those that do both.
    pub seeder_and_leecher: u64,
    /// Those with an IPv4 address.
    pub v4: u64,
    /// Those with an IPv6 address.
    pub v6: u64,
    /// Peers by name and version of their software.
    pub clients: BTreeMap<&'static str, BTreeMap<String, u64>>,
    /// What those who are there have reported, if that is kept.
    pub reported: Option<Sums>,
}

/// Sums over records: a peer of two swarms counts in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    records: u64,
    secs: u64,
    /// Bytes sent to others since they came, and before.
    pub uploaded: u64,
    /// Bytes got.
    pub downloaded: u64,
    /// Bytes lacking, of those that say so.
    pub left: u64,
    /// Seeders that are rationed: their uplinks have no room.
    pub rationed: u64,
}

impl Sums {
    fn add(&mut self, reported: &Reported) {
        self.records += 1;
        self.secs += u64::from(reported.secs);
        self.uploaded = self.uploaded.saturating_add(reported.uploaded);
        self.downloaded = self.downloaded.saturating_add(reported.downloaded);
        self.left = self.left.saturating_add(reported.left.unwrap_or(0));
    }

    /// Mean seconds from a peer's first announce to its last.
    pub(crate) fn secs_mean(&self) -> u64 {
        self.secs / self.records.max(1)
    }
}

/// Asks the census thread.
#[derive(Clone)]
pub(crate) struct CensusHandle(mpsc::Sender<oneshot::Sender<Arc<Census>>>);

impl CensusHandle {
    /// Figures of a pass that began after the call. `None` when too many ask, or the program is stopping.
    pub(crate) async fn take(&self) -> Option<Arc<Census>> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(answer).ok()?;
        answered.await.ok()
    }
}

/// Starts the thread; it ends when every handle is gone.
pub(crate) fn start(node: Arc<Node>) -> std::io::Result<CensusHandle> {
    let (ask, mut asked) = mpsc::channel::<oneshot::Sender<Arc<Census>>>(1024);
    std::thread::Builder::new().name("census".to_owned()).spawn(move || {
        while let Some(first) = asked.blocking_recv() {
            let mut waiting = vec![first];
            while let Ok(next) = asked.try_recv() {
                waiting.push(next);
            }
            let began = Instant::now();
            // After a panic nobody is answered, which reads as "try again".
            let Some(census) = node.catch(|| Arc::new(take(&node))) else { continue };
            for answer in waiting {
                // Whoever has hung up meanwhile wants no answer.
                answer.send(Arc::clone(&census)).ok();
            }
            std::thread::park_timeout((began.elapsed() * 9).min(Duration::from_secs(10)));
        }
    })?;
    Ok(CensusHandle(ask))
}

fn take(node: &Node) -> Census {
    let records = node.totals().peers();
    // An address is in the sample by its hash, in every swarm or in none: peers of several swarms are seen so.
    let share = if records <= EXACT_MAX { u64::MAX } else { u64::MAX / records * EXACT_MAX };
    let mut seen: HashMap<Who, Presence> = HashMap::new();
    let hasher = std::hash::RandomState::new();
    let mut sums = Sums::default();
    // Of seeders under other policies the grade says their tier.
    let is_rationing = matches!(node.orders().rules.policy, Policy::Rbs(_));
    node.visit(|record: Seen| {
        let who = Who::of(record.key);
        if share != u64::MAX && std::hash::BuildHasher::hash_one(&hasher, who) > share {
            return;
        }
        let presence = seen.entry(who).or_insert(Presence { client: record.client, ..Presence::default() });
        presence.seeds |= record.is_seeder;
        presence.leeches |= !record.is_seeder;
        if let Some(reported) = &record.reported {
            sums.add(reported);
        }
        sums.rationed += u64::from(is_rationing && record.is_seeder && record.grade > 0);
    });
    let weight = if share == u64::MAX { 1.0 } else { u64::MAX as f64 / share as f64 };
    let mut census = summarise(node, &seen, weight);
    census.reported = node.orders().rules.keep_reports.then_some(sums);
    if let Some(Sums { uploaded, downloaded, left, rationed, .. }) = &mut census.reported {
        [uploaded, downloaded, left, rationed].into_iter().for_each(|sum| scale(sum, weight));
    }
    census
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the largest there is will do")]
fn scale(count: &mut u64, weight: f64) {
    *count = (*count as f64 * weight).round() as u64;
}

/// The same in every swarm that a peer is in.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Who {
    Dialled(Endpoint),
    /// Its address family, and its id: its sockets come and go.
    Web(bool, PeerId),
}

impl Who {
    fn of(key: PeerKey) -> Self {
        match key {
            PeerKey::Dialled(endpoint) => Self::Dialled(endpoint),
            PeerKey::Web(key) => Self::Web(matches!(key.source, Endpoint::V4(_)), key.peer_id),
        }
    }

    fn is_v4(&self) -> bool {
        matches!(self, Self::Dialled(Endpoint::V4(_)) | Self::Web(true, _))
    }
}

#[derive(Clone, Copy, Default)]
struct Presence {
    client: u16,
    seeds: bool,
    leeches: bool,
}

fn summarise(node: &Node, seen: &HashMap<Who, Presence>, weight: f64) -> Census {
    let mut census = Census { is_estimate: weight > 1.0, ..Census::default() };
    let mut clients: HashMap<u16, u64> = HashMap::new();
    for (who, presence) in seen {
        match (presence.seeds, presence.leeches) {
            (true, true) => census.seeder_and_leecher += 1,
            (true, false) => census.seeder_only += 1,
            _ => census.leecher_only += 1,
        }
        *(if who.is_v4() { &mut census.v4 } else { &mut census.v6 }) += 1;
        *clients.entry(presence.client).or_default() += 1;
    }
    census.peers = seen.len() as u64;
    for (client, mut count) in clients {
        scale(&mut count, weight);
        let ClientName { name, version } = node.clients.name(client);
        *census.clients.entry(name).or_default().entry(version).or_default() += count;
    }
    let Census { peers, seeder_only, leecher_only, seeder_and_leecher, v4, v6, .. } = &mut census;
    let counts = [peers, seeder_only, leecher_only, seeder_and_leecher, v4, v6];
    counts.into_iter().for_each(|count| scale(count, weight));
    census
}
