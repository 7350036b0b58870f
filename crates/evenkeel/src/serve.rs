//! Starts the tracker, keeps it running, and stops it: binds, says where it is reached, waits for signals.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use arc_swap::ArcSwap;
use socket2::Socket;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::banner::Banner;
use crate::config::{Config, Reload};
use crate::counters::Dialect;
use crate::listen::http::{Connections, Limits, Shared};
use crate::listen::{self, Transport};
use crate::log::{self, LogHandle};
use crate::metrics::{self, Sources};
use crate::node::{Node, Secrets};
use crate::state::StateDir;
use crate::{admin, census, sweeper, system};

/// Everything is over after so long, whatever is still open.
const STOP_WITHIN: Duration = Duration::from_secs(4);
/// Open files that are kept for anything but HTTP connections.
const FILES_RESERVED: u64 = 256;

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
    let _entered = runtime.enter();
    // From here on a signal is noted, not deadly: who starts us may stop us at any moment.
    let signals = Signals::new()?;
    log::quieten_panics();
    let files_max = system::raise_file_limit().context("cannot read the limit of open files")?;
    let sockets = Sockets::bind(&start.config)?;
    let tracker = Tracker::new(start, &sockets, files_max)?;
    let threads = tracker.start_threads(sockets)?;
    tracker.banner.print()?;
    let result = runtime.block_on(tracker.supervise(start, signals));
    tracker.stop(threads);
    result
}

/// All sockets, bound before anything else happens: a port that is taken ends the program with one sentence.
struct Sockets {
    /// For each address, one socket for each worker.
    http: Vec<Vec<Socket>>,
    udp: Vec<Vec<Socket>>,
    admin: Option<std::net::TcpListener>,
    workers: usize,
}

impl Sockets {
    fn bind(config: &Config) -> anyhow::Result<Self> {
        let workers = match config.server.workers {
            0 if cfg!(target_os = "linux") => std::thread::available_parallelism().map_or(1, usize::from),
            // Elsewhere sockets that share a port do not share its load.
            0 => 1,
            workers => workers as usize,
        };
        let mut sockets = Self::bind_tracker(config, workers)?;
        if sockets.http.is_empty() && sockets.udp.is_empty() {
            return Err(anyhow!("none of server.addresses can be listened on"));
        }
        if config.admin.enabled {
            let address = config.admin.address;
            let listener = std::net::TcpListener::bind(address)
                .with_context(|| format!("cannot listen on {address} for the admin port (admin.address)"))?;
            listener.set_nonblocking(true)?;
            sockets.admin = Some(listener);
        }
        Ok(sockets)
    }

    /// With port 0 all sockets get the same free port; where one of them is taken for another socket, another
    /// is tried.
    fn bind_tracker(config: &Config, workers: usize) -> anyhow::Result<Self> {
        const TRIES: usize = 16;
        let mut tried = Self::bind_once(config, workers);
        for _ in 1..TRIES {
            if config.server.port != 0 || tried.is_ok() {
                break;
            }
            tried = Self::bind_once(config, workers);
        }
        tried
    }

    fn bind_once(config: &Config, workers: usize) -> anyhow::Result<Self> {
        let mut sockets = Self { http: Vec::new(), udp: Vec::new(), admin: None, workers };
        let mut port = config.server.port;
        for ip in &config.server.addresses {
            if config.server.http
                && let Some(bound) = bind(Transport::Tcp, SocketAddr::new(*ip, port), workers)?
            {
                port = listen::local_address(&bound[0])?.port();
                sockets.http.push(bound);
            }
            if config.server.udp
                && let Some(bound) = bind(Transport::Udp, SocketAddr::new(*ip, port), workers)?
            {
                port = listen::local_address(&bound[0])?.port();
                bound.iter().try_for_each(|socket| prepare_udp(socket, ip.is_ipv6(), config))?;
                sockets.udp.push(bound);
            }
        }
        Ok(sockets)
    }
}

/// Sockets for an address; none, and a warning, when the host does not have its family.
fn bind(transport: Transport, address: SocketAddr, count: usize) -> anyhow::Result<Option<Vec<Socket>>> {
    let name = match transport {
        Transport::Tcp => "TCP",
        Transport::Udp => "UDP",
    };
    match listen::bind(transport, address, count) {
        Ok(sockets) => Ok(Some(sockets)),
        Err(error) if address.ip().is_unspecified() && listen::is_family_missing(&error) => {
            tracing::warn!(%address, %error, "this host has no such address family: going on without it");
            Ok(None)
        }
        Err(error) => Err(anyhow!(error).context(format!("cannot listen on {address} ({name})"))),
    }
}

fn prepare_udp(socket: &Socket, is_v6: bool, config: &Config) -> anyhow::Result<()> {
    listen::udp::prepare(socket, is_v6).context("cannot prepare a UDP socket")?;
    let bytes = config.limits.udp_receive_buffer_bytes;
    if bytes > 0 {
        // The system cuts this to its own maximum (net.core.rmem_max): not worth an error.
        socket.set_recv_buffer_size(bytes as usize)?;
    }
    Ok(())
}

/// The running program.
struct Tracker {
    node: Arc<Node>,
    http: Arc<Shared>,
    banner: Banner,
    admin: std::cell::Cell<Option<std::net::TcpListener>>,
    stop: Arc<AtomicBool>,
    stopping: watch::Sender<bool>,
}

/// Threads to wait for at the end.
type Threads = Vec<JoinHandle<()>>;

impl Tracker {
    fn new(start: &Start, sockets: &Sockets, files_max: u64) -> anyhow::Result<Self> {
        let config = &start.config;
        let [a, b, c, d, e, f, g, h] = system::random().context("cannot draw random keys")?;
        let secrets = Secrets {
            connection_ids: start.state.secret("udp.key")?,
            hashes: [[a, b], [c, d], [e, f], [g, h]],
        };
        let node = Arc::new(Node::new(config.rules(), &secrets));
        let connections_max = match config.limits.connections_max {
            0 => u32::try_from(files_max.saturating_sub(FILES_RESERVED).max(1)).unwrap_or(u32::MAX),
            connections_max => connections_max,
        };
        let banner = Banner::new(config, sockets.addresses()?, start.state.path(), connections_max);
        let (stopping, stopping_seen) = watch::channel(false);
        let http = Arc::new(Shared {
            node: Arc::clone(&node),
            census: census::start(Arc::clone(&node))?,
            connections: Arc::new(Connections::new(connections_max)),
            limits: ArcSwap::from_pointee(limits(config)),
            landing_page: config.server.landing_page,
            announce_urls: banner.announce_urls(),
            stopping: stopping_seen,
        });
        let admin =
            std::cell::Cell::new(sockets.admin.as_ref().map(std::net::TcpListener::try_clone).transpose()?);
        Ok(Self { node, http, banner, admin, stop: Arc::default(), stopping })
    }

    fn start_threads(&self, sockets: Sockets) -> anyhow::Result<Threads> {
        let mut threads = Vec::new();
        let (node, stop) = (Arc::clone(&self.node), Arc::clone(&self.stop));
        threads.push(spawn("sweeper".to_owned(), move || sweeper::run(&node, &stop))?);
        for (number, sockets) in by_worker(sockets.udp, sockets.workers) {
            let worker = self.worker(Dialect::Udp)?;
            let (node, stop) = (Arc::clone(&self.node), Arc::clone(&self.stop));
            threads.push(spawn(format!("udp-{number}"), move || {
                if let Err(error) = listen::udp::run(&node, worker, &sockets, &stop) {
                    tracing::error!(%error, "a UDP thread ended");
                }
            })?);
        }
        for (number, listeners) in by_worker(sockets.http, sockets.workers) {
            let worker = self.worker(Dialect::Http)?;
            let shared = Arc::clone(&self.http);
            threads.push(spawn(format!("http-{number}"), move || {
                if let Err(error) = listen::http::run(&shared, worker, listeners) {
                    tracing::error!(%error, "an HTTP thread ended");
                }
            })?);
        }
        Ok(threads)
    }

    fn worker(&self, dialect: Dialect) -> anyhow::Result<crate::node::Worker> {
        let [seed] = system::random()?;
        Ok(self.node.worker(dialect, seed))
    }

    /// Serves the admin port and waits for signals, until one says stop.
    async fn supervise(&self, start: &Start, mut signals: Signals) -> anyhow::Result<()> {
        let admin = self.admin.take().map(TcpListener::from_std).transpose()?.map(|listener| {
            let sources = Sources { node: Arc::clone(&self.node), http: Arc::clone(&self.http) };
            tokio::spawn(admin::serve(listener, metrics::registry(sources), self.stopping.subscribe()))
        });
        let mut config = start.config.clone();
        loop {
            tokio::select! {
                _ = signals.hang_up.recv() => self.reload(start, &mut config),
                _ = signals.terminate.recv() => break,
                _ = signals.interrupt.recv() => break,
            }
        }
        tracing::info!("stopping");
        self.stopping.send_replace(true);
        if let Some(admin) = admin {
            // Open scrapes may end; nobody waits for them for long.
            tokio::time::timeout(Duration::from_secs(1), admin).await.ok();
        }
        Ok(())
    }

    /// Puts a changed configuration in force. One that is wrong changes nothing.
    fn reload(&self, start: &Start, config: &mut Config) {
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
        // Whether ids are kept is decided when the first peer is stored.
        let keep_peer_ids = self.node.rules().keep_peer_ids;
        self.node.set_rules(evenkeel_core::Rules { keep_peer_ids, ..new.rules() });
        self.http.limits.store(Arc::new(limits(&new)));
        if let Err(error) = start.log.set_level(new.log.level) {
            tracing::error!(%error, "cannot change the level of the log");
        }
        tracing::info!("the configuration is reloaded");
        *config = new;
    }

    fn stop(self, threads: Threads) {
        self.stop.store(true, Ordering::Relaxed);
        self.stopping.send_replace(true);
        let deadline = Instant::now() + STOP_WITHIN;
        for thread in threads {
            thread.thread().unpark();
            while !thread.is_finished() && Instant::now() < deadline {
                std::thread::park_timeout(Duration::from_millis(10));
            }
            if thread.is_finished() && thread.join().is_err() {
                tracing::error!("a thread panicked");
            }
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

impl Sockets {
    /// Addresses of HTTP, UDP and the admin port.
    fn addresses(&self) -> std::io::Result<crate::banner::Addresses> {
        let of = |sockets: &[Vec<Socket>]| {
            sockets.iter().map(|bound| listen::local_address(&bound[0])).collect::<Result<_, _>>()
        };
        Ok(crate::banner::Addresses {
            http: of(&self.http)?,
            udp: of(&self.udp)?,
            admin: self.admin.as_ref().map(std::net::TcpListener::local_addr).transpose()?,
        })
    }
}

/// One socket of each address for each worker.
fn by_worker(addresses: Vec<Vec<Socket>>, workers: usize) -> Vec<(usize, Vec<Socket>)> {
    let mut by_worker: Vec<(usize, Vec<Socket>)> = (0..workers).map(|number| (number, Vec::new())).collect();
    for sockets in addresses {
        by_worker.iter_mut().zip(sockets).for_each(|((_, own), socket)| own.push(socket));
    }
    by_worker.retain(|(_, own)| !own.is_empty());
    by_worker
}

fn spawn(name: String, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name).spawn(run)
}

fn limits(config: &Config) -> Limits {
    Limits {
        head_timeout: Duration::from_secs(config.limits.head_timeout_secs.into()),
        idle_timeout: Duration::from_secs(config.limits.idle_timeout_secs.into()),
        requests_per_connection_max: config.limits.requests_per_connection_max,
        connections_per_address_max: config.limits.connections_per_address_max,
    }
}
