//! Prometheus metrics: every figure is read when somebody asks, from counters that threads keep anyway.
//!
//! Labels are reasons and dialects, never what a peer sent: strangers must not be able to make series.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use evenkeel_core::rules::standing::StandingRules;
use evenkeel_core::{Reason, Uplinks};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::analyst::Held;
use crate::books::Books;
use crate::control::Sizes;
use crate::counters::{Counters, Dialect, LATENCY_BUCKETS, bucket_nanos};
use crate::listen::http::Shared;
use crate::mint;
use crate::node::Node;
use crate::tls::Shown;

/// What the metrics are read from.
pub(crate) struct Sources {
    /// The tracker.
    pub node: Arc<Node>,
    /// HTTP connections.
    pub http: Arc<Shared>,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sources")
    }
}

/// A registry that reads `sources` at each scrape.
pub(crate) fn registry(sources: Sources) -> Registry {
    let mut registry = Registry::with_prefix("evenkeel");
    registry.register_collector(Box::new(sources));
    registry
}

/// The labels of an exemplar; we give none.
type NoLabels = [(&'static str, &'static str); 0];

const DIALECTS: [Dialect; 3] = [Dialect::Http, Dialect::Udp, Dialect::Ws];

impl Collector for Sources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let counters = self.node.counters();
        requests(&mut encoder, &counters)?;
        latencies(&mut encoder, &counters)?;
        self.store(&mut encoder)?;
        if let Some(mint) = &self.http.mint {
            minted(&mut encoder, mint.figures())?;
        }
        self.limits(&mut encoder, &counters)?;
        if let Some(earned) = self.node.earned() {
            let dropped = counters.iter().map(|of| of.observations_dropped.load(Ordering::Relaxed)).sum();
            standing(&mut encoder, &earned.held(), dropped, &self.node.orders().standing)?;
        }
        if let Some(access) = self.node.access() {
            known(&mut encoder, &access.control().sizes())?;
            kept(&mut encoder, access.books())?;
        }
        self.network(&mut encoder, &counters)?;
        self.system(&mut encoder, &counters)
    }
}

fn requests(encoder: &mut DescriptorEncoder<'_>, counters: &[Arc<Counters>]) -> Result<(), std::fmt::Error> {
    let help = "Requests by what became of them, dropped ones included";
    let mut family = encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
    for dialect in DIALECTS {
        for reason in Reason::all() {
            let count: u64 = counters.iter().filter(|of| of.dialect == dialect).map(|of| of.of(reason)).sum();
            let labels = [("dialect", dialect.name()), ("reason", reason.name())];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn latencies(encoder: &mut DescriptorEncoder<'_>, counters: &[Arc<Counters>]) -> Result<(), std::fmt::Error> {
    let help = "Time from reading a request to having its answer ready; for UDP, of its whole batch sent";
    let mut family =
        encoder.encode_descriptor("request_duration", help, Some(&Unit::Seconds), MetricType::Histogram)?;
    for dialect in DIALECTS {
        let mut sum = 0.0;
        let mut buckets = [0; LATENCY_BUCKETS + 1];
        for (seconds, counts) in counters.iter().filter(|of| of.dialect == dialect).map(|of| of.latency()) {
            sum += seconds;
            buckets.iter_mut().zip(counts).for_each(|(bucket, count)| *bucket += count);
        }
        let ends =
            (0..LATENCY_BUCKETS).map(|bucket| bucket_nanos(bucket) as f64 / 1e9).chain([f64::INFINITY]);
        let pairs: Vec<(f64, u64)> = ends.zip(buckets).collect();
        let labels = [("dialect", dialect.name())];
        family.encode_family(&labels)?.encode_histogram::<NoLabels>(
            sum,
            buckets.iter().sum(),
            &pairs,
            None,
        )?;
    }
    Ok(())
}

/// A gauge or counter without labels: name, help, value.
type Figure = (&'static str, &'static str, u64);

fn gauges(encoder: &mut DescriptorEncoder<'_>, figures: &[Figure]) -> Result<(), std::fmt::Error> {
    for (name, help, value) in figures {
        let gauge = ConstGauge::new(i64::try_from(*value).unwrap_or(i64::MAX));
        gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
    }
    Ok(())
}

fn totals(encoder: &mut DescriptorEncoder<'_>, figures: &[Figure]) -> Result<(), std::fmt::Error> {
    for (name, help, value) in figures {
        let counter = ConstCounter::new(*value);
        counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
    }
    Ok(())
}

/// What was loaded from the database.
fn known(encoder: &mut DescriptorEncoder<'_>, sizes: &Sizes) -> Result<(), std::fmt::Error> {
    gauges(
        encoder,
        &[
            ("users", "Users that are known", sizes.users as u64),
            ("user_bytes", "Memory that they take", sizes.user_bytes as u64),
            (
                "known_identities",
                "Users and keys told apart since the start, gone ones included",
                sizes.slots.into(),
            ),
            ("known_identities_limit", "Those beyond it earn nothing", Uplinks::KNOWN_MAX.into()),
            ("torrents", "Torrents of the catalogue", sizes.torrents as u64),
            ("torrent_bytes", "Memory that they take", sizes.torrent_bytes as u64),
        ],
    )
}

/// What is kept of users: only there when anybody is asked who they are.
fn kept(encoder: &mut DescriptorEncoder<'_>, books: &Books) -> Result<(), std::fmt::Error> {
    let (journal, ledger) = books.figures();
    gauges(
        encoder,
        &[
            ("sessions", "Clients of users on torrents that are remembered", ledger.sessions as u64),
            ("session_bytes", "Memory that they take", ledger.session_bytes as u64),
            ("user_addresses", "Addresses of users that are remembered", ledger.addresses as u64),
            ("bookings_waiting", "Bookings that the database has not taken yet", journal.waiting),
            ("bookings_waiting_limit", "database.bookings_waiting_max", journal.waiting_max),
            ("journal_bytes", "Size of the journal file", journal.file_bytes),
        ],
    )?;
    totals(
        encoder,
        &[
            ("bookings_refused", "Bookings not credited because too many waited", journal.refused),
            ("bookings_refused_bytes", "Bytes that they told of", journal.refused_bytes),
            ("flushes", "Batches of bookings that the database has taken", journal.batches),
            ("flush_failures", "Times that it did not take one", journal.failures),
        ],
    )
}

/// What identities earn: only there when any does.
fn standing(
    encoder: &mut DescriptorEncoder<'_>,
    held: &Held,
    dropped: u64,
    rules: &StandingRules,
) -> Result<(), std::fmt::Error> {
    let help = "Identities that have earned something, by tier";
    let mut family = encoder.encode_descriptor("identities", help, None, MetricType::Gauge)?;
    for (tier, count) in ["0", "1", "2", "3"].into_iter().zip(held.by_tier) {
        ConstGauge::new(i64::from(count)).encode(family.encode_family(&[("tier", tier)])?)?;
    }
    let Held { watched, unkept, slots, .. } = held;
    gauges(
        encoder,
        &[
            ("identities_limit", "Identities that can earn something", (*slots).into()),
            ("watched_torrents", "Torrents of identities that are watched", watched.watches as u64),
            ("watched_torrents_limit", "standing.watched_max", rules.watched_max.into()),
            ("watched_swarms", "Swarms that are watched", watched.swarms as u64),
            ("watched_swarms_limit", "standing.watched_swarms_max", rules.watched_swarms_max.into()),
            ("watched_snatches", "Snatches that are not kept yet", watched.snatches as u64),
            ("watched_snatches_limit", "standing.snatches_max", rules.snatches_max.into()),
            ("standing_bytes", "Memory that all of it takes", watched.bytes as u64),
            ("standings_unkept", "Standings that the database has not taken yet", (*unkept).into()),
        ],
    )?;
    totals(encoder, &[("observations_dropped", "Announces that nobody earned anything by", dropped)])
}

/// Announce keys for whoever asks: only there when anybody may.
fn minted(encoder: &mut DescriptorEncoder<'_>, figures: mint::Figures) -> Result<(), std::fmt::Error> {
    gauges(encoder, &[("keys_per_hour_limit", "access.keys_per_hour_max", figures.max.into())])?;
    totals(
        encoder,
        &[
            ("keys_given", "Announce keys given to whoever asked", figures.minted),
            ("keys_refused", "Times that there was none", figures.refused),
        ],
    )
}

/// When a certificate expires, and whether that is soon.
fn expiry(shown: &Shown) -> (u64, bool) {
    let validity = shown.current().and_then(|certificate| certificate.validity);
    let ends = validity.and_then(|validity| validity.ends.duration_since(SystemTime::UNIX_EPOCH).ok());
    (ends.map_or(0, |ends| ends.as_secs()), shown.trouble(SystemTime::now()).is_some())
}

impl Sources {
    fn store(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let sum = self.node.totals();
        let peers = [("v4", sum.v4_peers), ("v6", sum.v6_peers), ("webtorrent", sum.web_peers)];
        let help = "Peers by how they are reached; a client that is reached in two ways has two";
        let mut family = encoder.encode_descriptor("peers", help, None, MetricType::Gauge)?;
        for (name, count) in peers {
            ConstGauge::new(i64::from(count)).encode(family.encode_family(&[("family", name)])?)?;
        }
        gauges(
            encoder,
            &[
                ("swarms", "Swarms, with those that only keep a count of completions", sum.swarms.into()),
                ("active_swarms", "Swarms with at least one peer", sum.active_swarms.into()),
                ("seeders", "Seeders over all swarms, twins counted once", sum.seeders.into()),
                (
                    "leechers",
                    "Leechers and partial seeds over all swarms, twins counted once",
                    sum.leechers.into(),
                ),
                ("client_names", "Distinct client names and versions seen", self.node.clients.used().into()),
            ],
        )?;
        let longest = ConstGauge::new(self.node.longest_hold_nanos.load(Ordering::Relaxed) as f64 / 1e9);
        let help = "Longest time that an announce, a slice of the sweep or a census held a shard";
        let unit = Some(&Unit::Seconds);
        longest.encode(encoder.encode_descriptor("shard_hold_max", help, unit, MetricType::Gauge)?)?;
        totals(
            encoder,
            &[
                (
                    "shard_long_holds",
                    "Times that a shard was held for more than a millisecond",
                    self.node.long_holds.load(Ordering::Relaxed),
                ),
                (
                    "expired_peers",
                    "Peers forgotten because they fell silent",
                    self.node.expired.load(Ordering::Relaxed),
                ),
                ("panics", "Requests that panicked; each is a bug", self.node.panics.load(Ordering::Relaxed)),
            ],
        )
    }

    /// Every limit on what strangers can grow, beside the figure that it limits.
    fn limits(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        counters: &[Arc<Counters>],
    ) -> Result<(), std::fmt::Error> {
        let orders = self.node.orders();
        let kept = counters.iter().map(|of| of.buffers_kept.load(Ordering::Relaxed)).sum();
        let rules = &orders.rules;
        gauges(
            encoder,
            &[
                ("store_is_full", "1 while new torrents are refused", self.node.is_full().into()),
                ("swarms_limit", "limits.swarms_max", rules.swarms_max.into()),
                ("peers_limit", "limits.peers_max", rules.peers_max.into()),
                ("peers_per_swarm_limit", "limits.peers_per_swarm_max", rules.peers_per_swarm_max.into()),
                (
                    "peers_per_address_and_swarm_limit",
                    "limits.peers_per_address_and_swarm_max",
                    rules.peers_per_address_and_swarm_max.into(),
                ),
                (
                    "peers_per_address_limit",
                    "limits.peers_per_address_max",
                    rules.peers_per_address_max.into(),
                ),
                (
                    "clients_per_user_and_torrent_limit",
                    "limits.clients_per_user_and_torrent_max",
                    rules.clients_per_user_and_torrent_max.into(),
                ),
                (
                    "addresses_per_user_limit",
                    "limits.addresses_per_user_max",
                    rules.addresses_per_user_max.into(),
                ),
                ("sessions_limit", "limits.sessions_max", rules.sessions_max.into()),
                ("client_names_limit", "Names that are told apart", crate::client_table::USED_MAX.into()),
                ("http_connections", "Open HTTP connections", self.http.connections.open().into()),
                (
                    "webtorrent_sockets",
                    "Those of them that are WebSockets",
                    self.http.websockets.load(Ordering::Relaxed).into(),
                ),
                (
                    "webtorrent_buffers_kept",
                    "Buffers of 32 KiB at most that busy threads keep for what waits for WebSockets; 1,024 each at most",
                    kept,
                ),
                (
                    "http_connections_limit",
                    "limits.connections_max, as it holds",
                    self.http.connections.open_max().into(),
                ),
            ],
        )
    }

    /// What happens before an HTTP request is answered.
    fn network(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        counters: &[Arc<Counters>],
    ) -> Result<(), std::fmt::Error> {
        let sum = |read: fn(&Counters) -> &AtomicU64| {
            counters.iter().map(|of| read(of).load(Ordering::Relaxed)).sum::<u64>()
        };
        let kinds = [
            ("full", sum(|of| &of.tls_full)),
            ("resumed", sum(|of| &of.tls_resumed)),
            ("failed", sum(|of| &of.tls_failed)),
        ];
        let help = "Handshakes of TLS: of new sessions, of sessions taken up again, and in vain";
        let mut family = encoder.encode_descriptor("tls_handshakes", help, None, MetricType::Counter)?;
        for (name, count) in kinds {
            ConstCounter::new(count).encode(family.encode_family(&[("kind", name)])?)?;
        }
        let shown = self.http.tls.as_ref().map(|tls| &tls.shown);
        let (renewed, refused) = shown.map_or((0, 0), |shown| shown.renewals());
        let (ends, ends_soon) = shown.map_or((0, false), |shown| expiry(shown));
        gauges(
            encoder,
            &[
                (
                    "tls_certificate_expiry_timestamp_seconds",
                    "When the certificate expires, in seconds since 1970; 0 if there is none",
                    ends,
                ),
                (
                    "tls_certificate_expires_soon",
                    "1 while the certificate is about to expire, has expired, or is not there yet",
                    ends_soon.into(),
                ),
            ],
        )?;
        totals(
            encoder,
            &[
                ("tls_certificate_renewals", "Certificates read again or issued, and taken over", renewed),
                (
                    "tls_certificate_failures",
                    "Certificates that cannot be used or were not issued; the old one stays",
                    refused,
                ),
                (
                    "http_connections_refused",
                    "Connections and WebSockets closed at once because of a limit",
                    sum(|of| &of.refused_connections),
                ),
                (
                    "http_connections_ended_idle",
                    "Connections and WebSockets ended because they were idle for longest when there was no room",
                    sum(|of| &of.ended_idle),
                ),
                (
                    "http_accept_failures",
                    "Times that nothing could be accepted, for want of descriptors or memory",
                    sum(|of| &of.accept_failures),
                ),
                ("http_redirects", "Requests that were sent elsewhere", sum(|of| &of.redirected)),
                (
                    "webtorrent_sockets_too_busy",
                    "WebSockets closed because they sent too many messages",
                    sum(|of| &of.websockets_too_busy),
                ),
                (
                    "forwarding_ignored",
                    "Requests whose forwarding headers were ignored: their sender is not trusted",
                    sum(|of| &of.forwarding_ignored),
                ),
                (
                    "forwarding_missing",
                    "Requests and connections of trusted proxies that do not say on whose behalf they come",
                    sum(|of| &of.forwarding_missing),
                ),
                (
                    "proxy_protocol_malformed",
                    "Connections of trusted proxies that began with a broken header of the PROXY protocol",
                    sum(|of| &of.introductions_malformed),
                ),
            ],
        )
    }

    fn system(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        counters: &[Arc<Counters>],
    ) -> Result<(), std::fmt::Error> {
        let sum = |read: fn(&Counters) -> u64| counters.iter().map(|of| read(of)).sum::<u64>();
        totals(
            encoder,
            &[
                (
                    "udp_receive_drops",
                    "Datagrams dropped because a socket's buffer was full",
                    sum(|of| of.receive_drops.load(Ordering::Relaxed)),
                ),
                (
                    "udp_send_failures",
                    "Answers that the system would not send",
                    sum(|of| of.send_failures.load(Ordering::Relaxed)),
                ),
                (
                    "webtorrent_offers_relayed",
                    "Offers passed on to another peer",
                    sum(|of| of.offers_relayed.load(Ordering::Relaxed)),
                ),
                (
                    "webtorrent_offers_dropped",
                    "Offers that cannot be passed on: too many, too long, or none",
                    sum(|of| of.offers_dropped.load(Ordering::Relaxed)),
                ),
                (
                    "webtorrent_relays_lost",
                    "Offers and answers that their receiver did not take: slow, or gone",
                    sum(|of| of.relays_lost.load(Ordering::Relaxed)),
                ),
                (
                    "reported_uploaded_bytes",
                    "What peers say to have sent between two announces; only with announce.keep_reports",
                    sum(|of| of.uploaded_bytes.load(Ordering::Relaxed)),
                ),
                (
                    "reported_downloaded_bytes",
                    "What peers say to have got between two announces; only with announce.keep_reports",
                    sum(|of| of.downloaded_bytes.load(Ordering::Relaxed)),
                ),
            ],
        )?;
        let uptime = ConstGauge::new(self.node.uptime().as_secs_f64());
        uptime.encode(encoder.encode_descriptor(
            "uptime",
            "Time since the start",
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?)?;
        if let Some(bytes) = crate::system::resident_bytes() {
            let memory = ConstGauge::new(i64::try_from(bytes).unwrap_or(i64::MAX));
            let help = "Resident memory of the process";
            memory.encode(encoder.encode_descriptor(
                "memory",
                help,
                Some(&Unit::Bytes),
                MetricType::Gauge,
            )?)?;
        }
        Ok(())
    }
}
