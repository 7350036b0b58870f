//! What a tracker answers, whatever dialect it came in.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use evenkeel_wire::{Event, InfoHash, PeerId, Stats};

/// When to announce again if the tracker did not say: half an hour, as libtorrent does.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(30 * 60);

/// The answer to an announce. A field is `None` when the tracker, or its dialect, did not say.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct AnnounceResponse {
    /// Time until the next regular announce (BEP 3: `interval`).
    pub interval: Option<Duration>,
    /// Time before which an announce is not welcome (`min interval`); never over UDP.
    pub min_interval: Option<Duration>,
    /// Peers that have everything (BEP 3: `complete`).
    pub seeders: Option<u32>,
    /// Peers that lack something (BEP 3: `incomplete`).
    pub leechers: Option<u32>,
    /// Completions seen (`downloaded`); HTTP and WebTorrent only, and few trackers send it.
    pub downloaded: Option<u32>,
    /// Other peers, in the order of the answer. Empty over WebTorrent: those peers call by themselves, see
    /// [`ws::Relay`](crate::ws::Relay).
    pub peers: Vec<Peer>,
    /// Peers of the answer that nobody could dial and that are therefore left out: port 0, or a host name in
    /// place of an address.
    pub unusable_peers: usize,
    /// Something that the user should read (`warning message`); the answer is valid all the same.
    pub warning: Option<String>,
    /// The caller's own address as the tracker sees it (BEP 24).
    pub external_ip: Option<IpAddr>,
    /// `tracker id` (BEP 3). [`Tracker`](crate::Tracker) sends it back by itself.
    pub tracker_id: Option<Vec<u8>>,
}

impl AnnounceResponse {
    /// What every answer promises, whatever the tracker sent.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn check(&self) {
        assert!(self.peers.iter().all(|peer| peer.addr.port() != 0), "a peer that nobody could dial");
        assert!(self.next_announce() >= self.min_interval.unwrap_or_default());
    }

    /// Time to wait before the next regular announce: `interval`, or half an hour when there is none, and
    /// never less than `min interval`.
    pub fn next_announce(&self) -> Duration {
        self.interval.unwrap_or(DEFAULT_INTERVAL).max(self.min_interval.unwrap_or_default())
    }
}

/// A peer that a tracker handed out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Peer {
    /// Where it listens.
    pub addr: SocketAddr,
    /// What it calls itself; only dictionary answers (BEP 3) carry it.
    pub id: Option<PeerId>,
}

impl Peer {
    /// A peer nobody could dial is `None`.
    pub(crate) fn new(addr: SocketAddr, id: Option<PeerId>) -> Option<Self> {
        (addr.port() != 0).then_some(Self { addr, id })
    }
}

/// The answer to a scrape.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ScrapeResponse {
    /// Counts of the torrents that were asked about. Over HTTP and WebTorrent a torrent that the tracker
    /// does not know may be missing; over UDP it has zeros.
    pub torrents: BTreeMap<InfoHash, Stats>,
    /// Time before which another scrape is not welcome (`flags`, `min_request_interval`).
    pub min_request_interval: Option<Duration>,
}

impl ScrapeResponse {
    /// The counts of one torrent.
    pub fn get(&self, info_hash: InfoHash) -> Option<Stats> {
        self.torrents.get(&info_hash).copied()
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.torrents.extend(other.torrents);
        self.min_request_interval = self.min_request_interval.max(other.min_request_interval);
    }
}

/// `incomplete` counts everybody who lacks something; BEP 21 adds `downloaders` for those who want it.
pub(crate) fn stats(complete: u64, incomplete: u64, downloaders: Option<u64>, downloaded: u64) -> Stats {
    let leechers = downloaders.map_or(incomplete, |downloaders| downloaders.min(incomplete));
    Stats {
        seeders: count(complete),
        leechers: count(leechers),
        partial: count(incomplete - leechers),
        downloaded: count(downloaded),
    }
}

/// Counts are 32-bit numbers everywhere in this workspace; a larger one is as good as the largest.
pub(crate) fn count(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Twenty bytes written as characters of the same numbers (WebTorrent).
pub(crate) fn twenty(text: &str) -> Option<[u8; 20]> {
    let mut chars = text.chars().map(u8::try_from);
    let mut bytes = [0; 20];
    for byte in &mut bytes {
        *byte = chars.next()?.ok()?;
    }
    chars.next().is_none().then_some(bytes)
}

/// What HTTP and WebTorrent call an event; a regular announce has none.
pub(crate) fn event_text(event: Event) -> Option<&'static str> {
    match event {
        Event::Started => Some("started"),
        Event::Completed => Some("completed"),
        Event::Stopped => Some("stopped"),
        Event::Paused => Some("paused"),
        Event::Update | Event::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_announce_waits_for_both_intervals() {
        let secs = Duration::from_secs;
        for (interval, min_interval, next) in
            [(None, None, 1800), (Some(60), None, 60), (Some(60), Some(90), 90), (None, Some(60), 1800)]
        {
            let response = AnnounceResponse {
                interval: interval.map(secs),
                min_interval: min_interval.map(secs),
                ..AnnounceResponse::default()
            };
            assert_eq!(response.next_announce(), secs(next));
        }
    }

    #[test]
    fn partial_seeds_are_what_downloaders_leaves_of_incomplete() {
        assert_eq!(stats(1, 5, None, 9), Stats { seeders: 1, leechers: 5, partial: 0, downloaded: 9 });
        assert_eq!(stats(1, 5, Some(3), 9), Stats { seeders: 1, leechers: 3, partial: 2, downloaded: 9 });
        assert_eq!(stats(0, 5, Some(7), 0), Stats { leechers: 5, ..Stats::default() });
        assert_eq!(stats(u64::MAX, 0, None, 0).seeders, u32::MAX);
    }
}
