//! Starts the tracker, keeps it running, and stops it: binds, says where it is reached, waits for signals.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, anyhow};
use arc_swap::ArcSwap;
use evenkeel_core::Keyed;
use socket2::Socket;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::access::Access;
use crate::acme::Renewer;
use crate::admin::{self, Face};
use crate::analyst::{self, Earned};
use crate::banner::Banner;
use crate::config::{Config, Reload};
use crate::counters::Dialect;
use crate::database::Database;
use crate::listen;
use crate::listen::http::{Connections, Limits, Listener, Manner, Proxies, Shared};
use crate::listen::ws::{Mailbox, Mailboxes, Strangers};
use crate::log::{self, LogHandle};
use crate::metrics::{self, Sources};
use crate::node::{Node, Secrets};
use crate::sockets::Sockets;
use crate::state::StateDir;
use crate::tls::{Renew, Tls};
use crate::{census, sockets, sweeper, system};

/// Everything is over after so long, whatever is still open.
const STOP_WITHIN: Duration = Duration::from_secs(4);
/// What has been announced until then is booked within so long, or stays in the journal's file.
const CLOSE_BOOKS_WITHIN: Duration = Duration::from_secs(3);
/// Open files that are kept for anything but HTTP connections.
const FILES_RESERVED: u64 = 256;
/// How often it is looked whether the files of the certificate have changed.
const LOOK_AT_CERTIFICATE: Duration = Duration::from_secs(2);

/// Everything that a tracker starts with.
#[derive(Debug)]
pub struct Start {
    /// What holds now.
    pub config: Config,
    /// How to load it again.
    pub reload: Reload,
    /// The state directory, locked.
    pub state: StateDir,
    /// Changes the level of the log.
    pub log: LogHandle,
}

/// Serves until it is told to stop.
pub fn run(start: &Start) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let entered = runtime.enter();
    // From here on a signal is noted, not deadly: who starts us may stop us at any moment.
    let signals = Signals::new()?;
    log::quieten_panics();
    let files_max = system::raise_file_limit().context("cannot read the limit of open files")?;
    let mut sockets = Sockets::bind(&start.config)?;
    let mut tracker = Tracker::new(start, &sockets, files_max)?;
    let admin = sockets.admin.take();
    // Removed when the program ends, and not before.
    let _unix_file = sockets.unix_file.take();
    let (threads, ended) = tracker.start_threads(sockets)?;
    tracker.banner.print()?;
    let result = runtime.block_on(tracker.supervise(start, admin, (signals, ended)));
    tracker.stop(&threads);
    drop(entered);
    // A name of the authority may still be looked up, which nobody can interrupt: it is not waited for.
    runtime.shutdown_background();
    result
}

/// The running program.
struct Tracker {
    node: Arc<Node>,
    /// Where users and torrents are, and what is known of them; `None` when anybody may announce anything.
    database: Option<Arc<Database>>,
    http: Arc<Shared>,
    /// One for each HTTP thread, until it is started.
    mailboxes: Vec<Mailbox>,
    /// Of the plain port, that of TLS, and Unix sockets.
    manners: [Manner; 3],
    udp_nap: Duration,
    /// Gets certificates, if an authority is to be asked for them.
    renewer: Option<Renewer>,
    banner: Banner,
    stop: Arc<AtomicBool>,
    stopping: watch::Sender<bool>,
}

/// Threads to wait for at the end.
type Threads = Vec<JoinHandle<()>>;

/// Why a thread ended that ought to run for ever. A tracker that lost one must not go on as half of itself: it stops
/// with an error, and whoever watches it starts it anew.
type Ended = mpsc::UnboundedReceiver<String>;

impl Tracker {
    fn new(start: &Start, sockets: &Sockets, files_max: u64) -> anyhow::Result<Self> {
        let config = &start.config;
        let [a, b, c, d, e, f, g, h, i, j] = system::random().context("cannot draw random keys")?;
        let secrets = Secrets {
            connection_ids: start.state.secret("udp.key")?,
            lottery: words(start.state.secret("lottery.key")?),
            hashes: [[a, b], [c, d], [e, f], [g, h]],
        };
        let earned = config.earning().map(|earning| Arc::new(Earned::new(earning)));
        let mut node = Node::new(config.orders(), &secrets);
        if let Some(earned) = &earned {
            node = node.earning(Arc::clone(earned));
        }
        let (mut database, mut token) = (None, None);
        if !config.axes().are_open() {
            let (opened, drawn) = Database::new(config, &start.state, Keyed::new([a, b]))?;
            token = drawn;
            let (control, books) = (Arc::clone(&opened.control), Arc::clone(&opened.books));
            let mut access = Access::new(config.axes(), control, books, Keyed::new([i, j]));
            if let Some(earned) = earned {
                access = access.earning(earned);
            }
            node = node.guarded(access);
            database = Some(Arc::new(opened));
        }
        let node = Arc::new(node);
        // Half of a very small limit.
        let files_reserved = FILES_RESERVED.min(files_max / 2);
        let descriptors_max = u32::try_from(files_max - files_reserved).unwrap_or(u32::MAX).max(1);
        let connections_max = match config.limits.connections_max {
            0 => descriptors_max,
            connections_max => connections_max,
        };
        let mut banner = Banner::new(config, sockets.addresses()?, start.state.path(), connections_max);
        (banner.api, banner.token) = (database.is_some(), token);
        let tls = tls(config)?;
        let renewer = renewer(start, tls.as_ref())?;
        let (stopping, stopping_seen) = watch::channel(false);
        let (to_mailboxes, mailboxes) = Mailboxes::new(sockets.workers);
        let http = Arc::new(Shared {
            node: Arc::clone(&node),
            census: census::start(Arc::clone(&node))?,
            connections: Arc::new(Connections::new(connections_max, descriptors_max)),
            limits: ArcSwap::from_pointee(limits(config)),
            proxies: ArcSwap::from_pointee(proxies(config)),
            http: config.server.http,
            webtorrent: config.server.webtorrent,
            mailboxes: to_mailboxes,
            websockets: AtomicU32::new(0),
            any_origin: config.server.any_origin,
            strangers: (!config.webtorrent.strict).then(Strangers::default),
            landing_page: config.server.landing_page,
            mint: database.as_ref().and_then(|database| database.mint.clone()),
            announce_urls: banner.announce_urls(),
            tls,
            stopping: stopping_seen,
        });
        let udp_nap = Duration::from_micros(config.server.udp_nap_micros.into());
        let manners = [
            Manner { is_introduced: config.proxy.protocol_on_http, is_tls: false },
            Manner { is_introduced: config.proxy.protocol_on_https, is_tls: true },
            Manner { is_introduced: config.proxy.protocol_on_unix, is_tls: false },
        ];
        let stop = Arc::default();
        Ok(Self { node, database, http, mailboxes, manners, udp_nap, renewer, banner, stop, stopping })
    }

    fn start_threads(&mut self, sockets: Sockets) -> anyhow::Result<(Threads, Ended)> {
        let (end, ended) = mpsc::unbounded_channel();
        let mut threads = Vec::new();
        let (node, stop) = (Arc::clone(&self.node), Arc::clone(&self.stop));
        threads.push(spawn("sweeper".to_owned(), &end, move || {
            sweeper::run(&node, &stop);
            Ok(())
        })?);
        if let Some(database) = self.database.clone() {
            let (node, stop) = (Arc::clone(&self.node), Arc::clone(&self.stop));
            let run = move || database.run(&node, &stop);
            threads.push(spawn("database".to_owned(), &end, run)?);
        }
        if self.node.earned().is_some() {
            let (node, database, stop) =
                (Arc::clone(&self.node), self.database.clone(), Arc::clone(&self.stop));
            let run = move || analyst::run(&node, database.as_deref(), &stop);
            threads.push(spawn("analyst".to_owned(), &end, run)?);
        }
        for (number, sockets) in sockets::by_worker(sockets.udp, sockets.workers) {
            let worker = self.worker(Dialect::Udp)?;
            let (node, stop, nap) = (Arc::clone(&self.node), Arc::clone(&self.stop), self.udp_nap);
            let run = move || listen::udp::run(&node, worker, &sockets, nap, &stop);
            threads.push(spawn(format!("udp-{number}"), &end, run)?);
        }
        let mailboxes = std::mem::take(&mut self.mailboxes);
        let listeners = |sockets: Vec<Vec<Socket>>, manner| {
            let each = move |socket| Listener { socket, manner };
            sockets.into_iter().map(move |bound| bound.into_iter().map(each).collect())
        };
        let [http, https, unix] = self.manners;
        let listeners = listeners(sockets.http, http)
            .chain(listeners(sockets.https, https))
            .chain(listeners(sockets.unix, unix))
            .collect();
        for ((number, listeners), mailbox) in
            sockets::by_worker(listeners, sockets.workers).into_iter().zip(mailboxes)
        {
            let thread = listen::http::Thread {
                http: self.worker(Dialect::Http)?,
                ws: self.worker(Dialect::Ws)?,
                mailbox,
                number: u16::try_from(number)?,
            };
            let shared = Arc::clone(&self.http);
            let run = move || listen::http::run(&shared, thread, listeners);
            threads.push(spawn(format!("http-{number}"), &end, run)?);
        }
        Ok((threads, ended))
    }

    fn worker(&self, dialect: Dialect) -> anyhow::Result<crate::node::Worker> {
        let [seed] = system::random()?;
        Ok(self.node.worker(dialect, seed))
    }

    /// Serves the admin port and waits for signals, until one says stop.
    async fn supervise(
        &mut self,
        start: &Start,
        admin: Option<std::net::TcpListener>,
        (mut signals, mut ended): (Signals, Ended),
    ) -> anyhow::Result<()> {
        let admin = admin.map(TcpListener::from_std).transpose()?.map(|listener| {
            let sources = Sources { node: Arc::clone(&self.node), http: Arc::clone(&self.http) };
            let urls = self.banner.announce_urls();
            let url = urls.into_iter().next().map(|url| url.text);
            let api = self
                .database
                .as_ref()
                .map(|database| database.api.clone().announced_at(url).measured_by(Arc::clone(&self.node)));
            let face =
                api.clone().zip(self.database.as_ref()).filter(|_| start.config.compatibility.etracker);
            let face = face.map(|(api, database)| {
                let control = Arc::clone(&database.control);
                Face::new(
                    api,
                    control,
                    Arc::clone(&self.http),
                    start.config.compatibility.etracker_authorization,
                )
            });
            let served = (Arc::clone(&self.http), api, face);
            tokio::spawn(admin::serve(
                listener,
                metrics::registry(sources),
                served,
                self.stopping.subscribe(),
            ))
        });
        let renewer = self.renewer.take().map(|renewer| tokio::spawn(renewer.run()));
        let mut config = start.config.clone();
        let mut look = tokio::time::interval(LOOK_AT_CERTIFICATE);
        let result = loop {
            tokio::select! {
                _ = signals.hang_up.recv() => self.reload(start, &mut config),
                _ = look.tick() => self.look_at_certificate(),
                _ = signals.terminate.recv() => break Ok(()),
                _ = signals.interrupt.recv() => break Ok(()),
                Some(why) = ended.recv() => break Err(anyhow!(why)),
            }
        };
        tracing::info!("stopping");
        if let Some(renewer) = renewer {
            renewer.abort();
        }
        self.stopping.send_replace(true);
        if let Some(admin) = admin {
            // Open scrapes may end; nobody waits for them for long.
            tokio::time::timeout(Duration::from_secs(1), admin).await.ok();
        }
        result
    }

    /// Puts a changed configuration in force. One that is wrong changes nothing.
    fn reload(&self, start: &Start, config: &mut Config) {
        self.renew_certificate(Renew::Always);
        let new = match start.reload.load() {
            Ok(new) => new,
            Err(error) => {
                tracing::error!("the configuration is not reloaded, nothing has changed: {error}");
                return;
            }
        };
        for key in new.differs_at_start_only(config) {
            tracing::warn!(key, "this setting takes effect at the next start");
        }
        // What is kept of each peer is decided when the first one is stored.
        let evenkeel_core::Rules { keep_peer_ids, keep_reports, .. } = self.node.orders().rules;
        let mut orders = new.orders();
        if orders.rules.keep_reports && !keep_reports && !new.announce.keep_reports {
            tracing::warn!(
                "the new policies need reports, which are kept from the next start on; till then peers are drawn at random"
            );
        }
        (orders.rules.keep_peer_ids, orders.rules.keep_reports) = (keep_peer_ids, keep_reports);
        self.node.set_orders(orders);
        self.http.limits.store(Arc::new(limits(&new)));
        self.http.proxies.store(Arc::new(proxies(&new)));
        if let Err(error) = start.log.set_level(new.log.level) {
            tracing::error!(%error, "cannot change the level of the log");
        }
        tracing::info!("the configuration is reloaded");
        *config = new;
    }

    fn renew_certificate(&self, when: Renew) {
        if let Some(tls) = &self.http.tls {
            tls.renew(when);
        }
    }

    fn look_at_certificate(&self) {
        self.renew_certificate(Renew::IfChanged);
        if let Some(tls) = &self.http.tls {
            tls.shown.warn(SystemTime::now());
        }
    }

    fn stop(&self, threads: &[JoinHandle<()>]) {
        self.stop.store(true, Ordering::Relaxed);
        self.stopping.send_replace(true);
        let deadline = Instant::now() + STOP_WITHIN;
        for thread in threads {
            thread.thread().unpark();
            while !thread.is_finished() && Instant::now() < deadline {
                std::thread::park_timeout(Duration::from_millis(10));
            }
        }
        if let Some(database) = &self.database {
            database.books.close(CLOSE_BOOKS_WITHIN);
        }
        tracing::info!("stopped");
    }
}

/// Signals that the program obeys.
struct Signals {
    hang_up: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hang_up: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

/// Starts a thread that tells why it ended, a panic included.
fn spawn(
    name: String,
    end: &mpsc::UnboundedSender<String>,
    run: impl FnOnce() -> std::io::Result<()> + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    let end = end.clone();
    std::thread::Builder::new().name(name.clone()).spawn(move || {
        let why = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
            Ok(Ok(())) => format!("the thread {name} ended"),
            Ok(Err(error)) => format!("the thread {name} failed: {error}"),
            Err(_) => format!("the thread {name} panicked"),
        };
        // Nobody listens any more when the program is stopping, which is when threads may end.
        end.send(why).ok();
    })
}

/// TLS, if the configuration names a certificate, or names to have one for.
fn tls(config: &Config) -> anyhow::Result<Option<Tls>> {
    if !config.acme.domains.is_empty() {
        return Ok(Some(Tls::of_authority()?));
    }
    let (Some(certificate), Some(key)) = (&config.tls.certificate_file, &config.tls.key_file) else {
        return Ok(None);
    };
    Ok(Some(Tls::of_files(certificate, key)?))
}

/// Who gets certificates, if the configuration names an authority's.
fn renewer(start: &Start, tls: Option<&Tls>) -> anyhow::Result<Option<Renewer>> {
    let Some(tls) = tls.filter(|_| !start.config.acme.domains.is_empty()) else { return Ok(None) };
    let [seed] = system::random()?;
    let (folder, shown) = (start.state.path().to_owned(), Arc::clone(&tls.shown));
    Ok(Some(Renewer::new(&start.config.acme, folder, shown, seed)?))
}

fn words(key: [u8; 16]) -> [u64; 2] {
    let [first, second] = [0, 8].map(|from| {
        let mut word = [0; 8];
        word.copy_from_slice(&key[from..][..8]);
        u64::from_le_bytes(word)
    });
    [first, second]
}

fn proxies(config: &Config) -> Proxies {
    Proxies { networks: config.proxy.trusted_networks.clone(), header: config.proxy.header }
}

fn limits(config: &Config) -> Limits {
    Limits {
        head_timeout: Duration::from_secs(config.limits.head_timeout_secs.into()),
        idle_timeout: Duration::from_secs(config.limits.idle_timeout_secs.into()),
        requests_per_connection_max: config.limits.requests_per_connection_max,
        connections_per_address_max: config.limits.connections_per_address_max,
        websocket_idle_timeout: Duration::from_secs(config.limits.websocket_idle_timeout_secs.into()),
        websocket_messages_max: config.limits.websocket_messages_per_minute_max,
        limit_local_addresses: config.limits.limit_local_addresses,
        redirects: config.server.redirects.clone(),
        full_scrape_torrents_max: config.limits.full_scrape_torrents_max,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_ends_says_why() {
        let (end, mut ended) = mpsc::unbounded_channel();
        let threads = [
            spawn("a".to_owned(), &end, || Ok(())),
            spawn("b".to_owned(), &end, || Err(std::io::Error::other("no more"))),
            spawn("c".to_owned(), &end, || panic!("as a test")),
        ];
        threads.into_iter().for_each(|thread| thread.unwrap().join().unwrap());
        let mut reasons: Vec<String> = std::iter::from_fn(|| ended.try_recv().ok()).collect();
        reasons.sort();
        assert_eq!(reasons, ["the thread a ended", "the thread b failed: no more", "the thread c panicked"]);
    }
}
