//! What became of requests, counted by each thread for itself: no cache line is shared, nothing is lost.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use evenkeel_core::Reason;

/// The form of the protocol that a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// HTTP.
    Http,
    /// UDP.
    Udp,
    /// WebTorrent.
    Ws,
}

impl Dialect {
    /// The name that counters carry.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Udp => "udp",
            Self::Ws => "ws",
        }
    }
}

/// Upper ends of the latency buckets: 1 us, 4 us, ... 4.2 s.
pub(crate) const LATENCY_BUCKETS: usize = 12;

/// Counters of one thread. Written by it alone, so that a relaxed load and store is an increment.
#[repr(align(128))]
pub(crate) struct Counters {
    /// What the thread answers.
    pub dialect: Dialect,
    reasons: [AtomicU64; Reason::COUNT],
    latency: [AtomicU64; LATENCY_BUCKETS + 1],
    latency_nanos: AtomicU64,
    /// Answers that the system would not take: full socket buffers, vanished routes.
    pub send_failures: AtomicU64,
    /// Datagrams that the system dropped before the thread read them.
    pub receive_drops: AtomicU64,
    /// Connections closed because their address had too many, or all had.
    pub refused_connections: AtomicU64,
    /// Requests that were sent elsewhere.
    pub redirected: AtomicU64,
    /// WebSockets closed because they sent too many messages.
    pub websockets_too_busy: AtomicU64,
    /// Connections ended because they were idle for longest when there was no room.
    pub ended_idle: AtomicU64,
    /// Connections that could not be accepted for want of descriptors or memory.
    pub accept_failures: AtomicU64,
    /// Requests whose forwarding headers were ignored, since nobody trusts their sender.
    pub forwarding_ignored: AtomicU64,
    /// Requests and connections of trusted proxies that do not say on whose behalf they come.
    pub forwarding_missing: AtomicU64,
    /// Connections of trusted proxies that began with a broken introduction.
    pub introductions_malformed: AtomicU64,
    /// Handshakes of TLS that began a session.
    pub tls_full: AtomicU64,
    /// Handshakes of TLS that took up an earlier session.
    pub tls_resumed: AtomicU64,
    /// Handshakes of TLS that came to nothing.
    pub tls_failed: AtomicU64,
    /// Offers of WebTorrent peers that were passed on.
    pub offers_relayed: AtomicU64,
    /// Offers that could not be passed on: too many, too long, or none.
    pub offers_dropped: AtomicU64,
    /// Offers and answers that their receiver did not take: it reads too slowly, or has gone.
    pub relays_lost: AtomicU64,
    /// Buffers that are kept for what will wait for WebSockets next; as many as there are now.
    pub buffers_kept: AtomicU64,
    /// What peers say to have sent to others between two announces, if reports are kept.
    pub uploaded_bytes: AtomicU64,
    /// What they say to have got.
    pub downloaded_bytes: AtomicU64,
    /// Announces whose sender earns nothing by them: nobody took up in time what they said.
    pub observations_dropped: AtomicU64,
}

impl Counters {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            reasons: std::array::from_fn(|_| AtomicU64::new(0)),
            latency: std::array::from_fn(|_| AtomicU64::new(0)),
            latency_nanos: AtomicU64::new(0),
            send_failures: AtomicU64::new(0),
            receive_drops: AtomicU64::new(0),
            refused_connections: AtomicU64::new(0),
            redirected: AtomicU64::new(0),
            websockets_too_busy: AtomicU64::new(0),
            ended_idle: AtomicU64::new(0),
            accept_failures: AtomicU64::new(0),
            forwarding_ignored: AtomicU64::new(0),
            forwarding_missing: AtomicU64::new(0),
            introductions_malformed: AtomicU64::new(0),
            tls_full: AtomicU64::new(0),
            tls_resumed: AtomicU64::new(0),
            tls_failed: AtomicU64::new(0),
            offers_relayed: AtomicU64::new(0),
            offers_dropped: AtomicU64::new(0),
            relays_lost: AtomicU64::new(0),
            buffers_kept: AtomicU64::new(0),
            uploaded_bytes: AtomicU64::new(0),
            downloaded_bytes: AtomicU64::new(0),
            observations_dropped: AtomicU64::new(0),
        }
    }

    /// One request more that ended so.
    pub(crate) fn count(&self, reason: Reason) {
        add(&self.reasons[reason.index()], 1);
    }

    /// `requests` were answered within `took` of being read.
    pub(crate) fn count_latency(&self, took: Duration, requests: u64) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = (0..LATENCY_BUCKETS).find(|bucket| nanos <= bucket_nanos(*bucket));
        add(&self.latency[bucket.unwrap_or(LATENCY_BUCKETS)], requests);
        add(&self.latency_nanos, nanos.saturating_mul(requests));
    }

    /// Requests that ended so.
    pub(crate) fn of(&self, reason: Reason) -> u64 {
        self.reasons[reason.index()].load(Ordering::Relaxed)
    }

    /// Sum of latencies in seconds, and requests by bucket; the last bucket has no end.
    pub(crate) fn latency(&self) -> (f64, [u64; LATENCY_BUCKETS + 1]) {
        let buckets = self.latency.each_ref().map(|bucket| bucket.load(Ordering::Relaxed));
        (self.latency_nanos.load(Ordering::Relaxed) as f64 / 1e9, buckets)
    }
}

/// Upper end of a latency bucket.
pub(crate) fn bucket_nanos(bucket: usize) -> u64 {
    1000 << (2 * bucket)
}

/// Adds to a counter that this thread alone writes.
pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}
