//! What an operator may set, as checked values: past this point every number is in its range.

pub mod standing;

use evenkeel_wire::InfoHash;
use evenkeel_wire::limits::REPLY_PEERS_MAX;

use crate::equilibrium::Policy;
use crate::identity::Identity;

/// A setting's default and the range in which a value makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// What holds when nothing is said.
    pub default: u32,
    /// Smallest sensible value.
    pub min: u32,
    /// Largest sensible value.
    pub max: u32,
}

impl Bounds {
    const fn new(default: u32, min: u32, max: u32) -> Self {
        assert!(min <= default && default <= max, "the default lies in its own range");
        Self { default, min, max }
    }
}

/// Seconds between announces.
pub const INTERVAL_SECS: Bounds = Bounds::new(1800, 30, 14_400);
/// Seconds before which an announce is not welcome.
pub const MIN_INTERVAL_SECS: Bounds = Bounds::new(300, 10, 14_400);
/// Seconds between announces of a WebTorrent peer: each announce brings offers, which go stale within a minute.
pub const WEBTORRENT_INTERVAL_SECS: Bounds = Bounds::new(120, 10, 3600);
/// How far an interval is spread, in percent up and down, so that clients do not march in step.
pub const INTERVAL_SPREAD_PERCENT: Bounds = Bounds::new(10, 0, 50);
/// Peers in an answer when the caller names no number.
pub const NUMWANT_DEFAULT: Bounds = Bounds::new(50, 1, REPLY_PEERS_MAX);
/// Peers in an answer at most.
pub const NUMWANT_MAX: Bounds = Bounds::new(REPLY_PEERS_MAX, 1, REPLY_PEERS_MAX);
/// Peers that one swarm may hold.
pub const PEERS_PER_SWARM_MAX: Bounds = Bounds::new(1_048_576, 2, 16_000_000);
/// Peers that one address (IPv4 address, IPv6 /64) may have in one swarm.
pub const PEERS_PER_ADDRESS_AND_SWARM_MAX: Bounds = Bounds::new(8, 1, 1_000);
/// Peers that one address (IPv4 address, IPv6 /64) may have in all swarms.
pub const PEERS_PER_ADDRESS_MAX: Bounds = Bounds::new(2_000, 1, 1_000_000);
/// Clients that one user may have on one torrent; one on two addresses is one.
pub const CLIENTS_PER_USER_AND_TORRENT_MAX: Bounds = Bounds::new(3, 1, 8);
/// Addresses (IPv4 address, IPv6 /64) that one user may announce from at once, over all torrents.
pub const ADDRESSES_PER_USER_MAX: Bounds = Bounds::new(6, 1, 64);
/// Sessions that are remembered.
pub const SESSIONS_MAX: Bounds = Bounds::new(20_000_000, 1, 1_000_000_000);
/// Swarms that the store may hold.
pub const SWARMS_MAX: Bounds = Bounds::new(50_000_000, 1, 500_000_000);
/// Peers that the store may hold.
pub const PEERS_MAX: Bounds = Bounds::new(100_000_000, 1, 1_000_000_000);

/// Seconds after which a leecher may know more of the busy seeders.
pub const RATION_STEP_SECS: Bounds = Bounds::new(600, 1, 14_400);
/// Seconds after which a leecher asks again from which seeders were held back, the first few times. By default no sooner
/// than others: asking sooner was seen to bring nothing but announces.
pub const RATION_INTERVAL_SECS: Bounds = Bounds::new(1800, 10, 14_400);

/// Percent of the swarms that run `random` in place of the policy, so that what it does can be measured.
pub const HELD_OUT_PERCENT: Bounds = Bounds::new(5, 0, 50);

/// Everything about an announce that an operator may set. Replaced whole at a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// See [`INTERVAL_SECS`].
    pub interval_secs: u32,
    /// See [`MIN_INTERVAL_SECS`]; never above the interval.
    pub min_interval_secs: u32,
    /// See [`WEBTORRENT_INTERVAL_SECS`].
    pub webtorrent_interval_secs: u32,
    /// See [`INTERVAL_SPREAD_PERCENT`].
    pub interval_spread_percent: u32,
    /// See [`NUMWANT_DEFAULT`]; never above `numwant_max`.
    pub numwant_default: u32,
    /// See [`NUMWANT_MAX`].
    pub numwant_max: u32,
    /// See [`PEERS_PER_SWARM_MAX`].
    pub peers_per_swarm_max: u32,
    /// See [`PEERS_PER_ADDRESS_AND_SWARM_MAX`].
    pub peers_per_address_and_swarm_max: u32,
    /// See [`PEERS_PER_ADDRESS_MAX`].
    pub peers_per_address_max: u32,
    /// Whether the limits per address hold for addresses that are not global, too.
    pub limit_local_addresses: bool,
    /// See [`CLIENTS_PER_USER_AND_TORRENT_MAX`].
    pub clients_per_user_and_torrent_max: u32,
    /// See [`ADDRESSES_PER_USER_MAX`].
    pub addresses_per_user_max: u32,
    /// See [`SESSIONS_MAX`].
    pub sessions_max: u32,
    /// See [`SWARMS_MAX`].
    pub swarms_max: u32,
    /// See [`PEERS_MAX`].
    pub peers_max: u32,
    /// Whether the ids of peers are kept for dictionary answers: 20 bytes for each peer.
    pub keep_peer_ids: bool,
    /// Whether what peers report is kept beside them: 24 bytes for each peer. A policy that needs it
    /// ([`Policy::needs_reports`]) gives peers at random without it. To change it takes a new store, all of whose
    /// records have the same beside them.
    pub keep_reports: bool,
    /// How peers are chosen, where nothing else is said.
    pub policy: Policy,
    /// Torrents with a policy of their own, in order.
    pub policies: Vec<(InfoHash, Policy)>,
    /// See [`RATION_STEP_SECS`].
    pub ration_step_secs: u32,
    /// See [`RATION_INTERVAL_SECS`].
    pub ration_interval_secs: u32,
    /// See [`HELD_OUT_PERCENT`]; by default none, as nobody may be there who measures.
    pub held_out_percent: u32,
}

impl Rules {
    /// A peer that has not announced for so long is forgotten: two intervals, and time to be late. It holds for
    /// WebTorrent peers too, whose socket may well outlive their interest.
    pub fn peer_ttl_secs(&self) -> u32 {
        2 * self.interval_secs.max(self.webtorrent_interval_secs) + 300
    }

    /// How peers are chosen for a caller: as for its torrent, else as for its class, else as for everybody. Whether its swarm
    /// is held out is another question: [`Rules::arm_of`].
    pub fn policy_for(&self, info_hash: &InfoHash, identity: &Identity) -> Policy {
        let of_torrent = self.policy_of_torrent(info_hash);
        of_torrent.or(identity.policy).unwrap_or(self.policy)
    }

    /// The policy that the operator has given a torrent of its own.
    pub(crate) fn policy_of_torrent(&self, info_hash: &InfoHash) -> Option<Policy> {
        if self.policies.is_empty() {
            return None;
        }
        let at = self.policies.binary_search_by_key(info_hash, |(info_hash, _)| *info_hash).ok()?;
        Some(self.policies[at].1)
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            interval_secs: INTERVAL_SECS.default,
            min_interval_secs: MIN_INTERVAL_SECS.default,
            webtorrent_interval_secs: WEBTORRENT_INTERVAL_SECS.default,
            interval_spread_percent: INTERVAL_SPREAD_PERCENT.default,
            numwant_default: NUMWANT_DEFAULT.default,
            numwant_max: NUMWANT_MAX.default,
            peers_per_swarm_max: PEERS_PER_SWARM_MAX.default,
            peers_per_address_and_swarm_max: PEERS_PER_ADDRESS_AND_SWARM_MAX.default,
            peers_per_address_max: PEERS_PER_ADDRESS_MAX.default,
            limit_local_addresses: false,
            clients_per_user_and_torrent_max: CLIENTS_PER_USER_AND_TORRENT_MAX.default,
            addresses_per_user_max: ADDRESSES_PER_USER_MAX.default,
            sessions_max: SESSIONS_MAX.default,
            swarms_max: SWARMS_MAX.default,
            peers_max: PEERS_MAX.default,
            keep_peer_ids: false,
            keep_reports: false,
            policy: Policy::Random,
            policies: Vec::new(),
            ration_step_secs: RATION_STEP_SECS.default,
            ration_interval_secs: RATION_INTERVAL_SECS.default,
            held_out_percent: 0,
        }
    }
}
