//! A load on a tracker, from one model of who announces what, and what the tracker made of it.
//!
//! * `pace`: when requests are due, in closed and open loops;
//! * `flight`: requests that wait for their replies;
//! * `tally`: what is counted, and when it counts;
//! * `run`: clock, phases and counts that every protocol shares;
//! * `udp`, `packets`: load over UDP, hostile packets included;
//! * `crowd`: hostile clients beside a load over TCP;
//! * `guard`: connections over TCP, with TLS or without;
//! * `http`, `message`: load over HTTP;
//! * `ws`: load over WebSockets, offers and answers included;
//! * `process`: what a process used, by the kernel's count;
//! * `report`: the result.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context as _, ensure};

use crate::population::{Population, Shape, share};
use crate::sources::Sources;
use crate::system;

mod crowd;
mod flight;
mod frames;
mod guard;
mod http;
mod message;
pub(crate) mod pace;
mod packets;
pub(crate) mod process;
mod report;
mod run;
mod tally;
mod udp;
mod ws;

/// Files that are open beside the connections, generously.
const OTHER_FILES: u64 = 64;

/// What is loaded, and how.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Address and port of the tracker, on this machine.
    #[arg(long)]
    target: SocketAddr,
    /// How to ask.
    #[arg(long, value_enum, default_value_t = Protocol::Udp)]
    protocol: Protocol,
    #[command(flatten)]
    shape: Shape,
    /// Announce each peer once, then stop.
    #[arg(long)]
    fill: bool,
    /// Fill: seconds to keep all open before memory is read.
    #[arg(long, default_value_t = 0.0)]
    hold: f64,
    /// Peers that an announce wants; not said by default.
    #[arg(long)]
    numwant: Option<u32>,
    /// Share of the requests that are scrapes of one torrent.
    #[arg(long, default_value_t = 0.01, value_parser = share)]
    scrapes: f64,
    /// Requests under way: for each source over UDP, for all sockets over WebSocket.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..=32_768))]
    window: u16,
    /// HTTP: connections at a time.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// WebSocket: torrents that a socket announces. Sockets are as many as the peers need.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    torrents_per_socket: u16,
    /// WebSocket: offers of each announce.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(..=50))]
    offers: u8,
    /// WebSocket: share of the offers that are answered.
    #[arg(long, default_value_t = 0.5, value_parser = share)]
    answers: f64,
    /// Requests per second, whatever the tracker does; as many as it answers by default.
    #[arg(long)]
    rate: Option<f64>,
    /// Seconds before the measured time.
    #[arg(long, default_value_t = 1.0)]
    warmup: f64,
    /// Seconds of the measured time.
    #[arg(long, default_value_t = 5.0)]
    duration: f64,
    /// Seconds after which a request is lost.
    #[arg(long, default_value_t = 2.0)]
    timeout: f64,
    /// UDP: share of the packets that are garbage, cut, or carry a wrong connection id or somebody else's. HTTP and
    /// WebSocket: share of the connections that drip, pour without end, send garbage or broken frames, or never read.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    hostile: f64,
    /// UDP: hand packets to the kernel one by one, not in segments.
    #[arg(long)]
    no_gso: bool,
    /// UDP and HTTP: users of a private tracker that the peers belong to; each announces with a passkey in its path. Which
    /// passkeys these are the seed decides, and `bench` writes them into databases.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    users: Option<u32>,
    /// UDP and HTTP: counters of bytes that grow, a kB a second, instead of those of peers that move nothing.
    #[arg(long)]
    moving: bool,
    /// HTTP and WebSocket: path of announces. UDP: the same, behind a passkey.
    #[arg(long, default_value = "/announce")]
    path: String,
    /// HTTP and WebSocket: speak TLS 1.3, and shake hands in this way for each connection. Any certificate is believed.
    #[arg(long, value_enum)]
    tls: Option<guard::Handshakes>,
    /// IPv6: a network whose addresses all belong to this machine, to ask from as many as there are sources:
    /// fd00:: after `ip -6 route add local fd00::/64 dev lo`.
    #[arg(long)]
    ipv6_net: Option<Ipv6Addr>,
    /// Process of the tracker, to read what it uses.
    #[arg(long)]
    server_pid: Option<u32>,
    /// Core to stay on.
    #[arg(long)]
    core: Option<usize>,
    /// File for the result as JSON; - is standard output, and leaves out the summary.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Load a tracker on another machine, which is yours.
    #[arg(long)]
    i_own_this_server: bool,
}

/// How to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Protocol {
    /// UDP.
    Udp,
    /// HTTP with connections that stay open.
    Http,
    /// HTTP with a connection for each request, as most clients ask.
    HttpClose,
    /// WebTorrent over WebSockets that stay open.
    Ws,
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Http => "http",
            Self::HttpClose => "http-close",
            Self::Ws => "ws",
        }
    }
}

/// Loads and prints.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    check(options)?;
    if options.protocol != Protocol::Udp {
        check_files(options)?;
    }
    if let Some(core) = options.core {
        system::pin(core).with_context(|| format!("cannot run on core {core}"))?;
    }
    let from = Sources::new(options.target, options.ipv6_net);
    let population = Population::new(&options.shape, from.apart())?;
    ensure!(
        !options.fill || population.distinct() == u64::from(options.shape.peers),
        "only {} of {} peers are distinct: a torrent has more peers than one address has ports",
        population.distinct(),
        options.shape.peers
    );
    let mut run = run::Run::new(options, &population);
    let crowd = hostile_connections(options)
        .map(|count| {
            let is_websocket = options.protocol == Protocol::Ws;
            crowd::Crowd::start(from, count, is_websocket, options.shape.seed)
        })
        .transpose()
        .context("cannot start the hostile clients")?;
    let checks_ids = match options.protocol {
        Protocol::Udp => Some(udp::run(&mut run, from)?),
        Protocol::Http => http::run(&mut run, from, true).map(|()| None)?,
        Protocol::HttpClose => http::run(&mut run, from, false).map(|()| None)?,
        Protocol::Ws => ws::run(&mut run, from).map(|()| None)?,
    };
    run.tally.crowd = crowd.map(crowd::Crowd::stop).transpose()?;
    let metered = run.metered().context("nothing was measured")?;
    let report = report::Report::new(&run, &metered, checks_ids);
    let json = serde_json::to_string_pretty(&report)?;
    match options.json.as_deref() {
        Some(path) if path.as_os_str() == "-" => println!("{json}"),
        Some(path) => {
            std::fs::write(path, json + "\n").with_context(|| format!("cannot write {}", path.display()))?;
            print!("{report}");
        }
        None => print!("{report}"),
    }
    ensure!(
        report.hostile_bytes_back() == 0,
        "{} bytes went to senders that had proven nothing",
        report.hostile_bytes_back()
    );
    report.check_beside_crowd()
}

/// Connections that the load counts.
fn good_connections(options: &Options) -> u32 {
    match options.protocol {
        Protocol::Ws => options.shape.peers.div_ceil(options.torrents_per_socket.into()),
        _ => options.connections.into(),
    }
}

/// Refuses what needs more connections than there may be.
fn check_files(options: &Options) -> anyhow::Result<()> {
    let (good, hostile) = (good_connections(options), hostile_connections(options).unwrap_or(0));
    let needed = u64::from(good) + u64::from(hostile);
    let files = system::raise_open_files()?;
    ensure!(
        needed + OTHER_FILES <= files,
        "{needed} connections are needed, and {files} files may be open: fewer --peers, --connections or --hostile, more \
         --torrents-per-socket, or a higher `ulimit -Hn`"
    );
    Ok(())
}

/// Connections of hostile clients, beside those that the load counts.
fn hostile_connections(options: &Options) -> Option<u32> {
    if options.hostile == 0.0 || options.protocol == Protocol::Udp {
        return None;
    }
    let count = f64::from(good_connections(options)) * options.hostile / (1.0 - options.hostile);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most 19 times a u32, and saturating"
    )]
    Some((count.ceil() as u32).max(1))
}

fn check(options: &Options) -> anyhow::Result<()> {
    ensure!(
        options.target.ip().is_loopback() || options.i_own_this_server,
        "{} is not an address of this machine's loopback: this is no weapon (--i-own-this-server, if you do)",
        options.target.ip()
    );
    ensure!(options.hostile <= 0.95, "--hostile must be 0.95 or less: the good ones set the pace");
    ensure!(options.hostile == 0.0 || !options.fill, "--hostile and --fill exclude each other");
    ensure!(
        options.tls.is_none() || (options.protocol != Protocol::Udp && options.hostile == 0.0),
        "--tls goes with neither UDP nor --hostile"
    );
    ensure!(
        options.protocol != Protocol::Ws || (options.users.is_none() && !options.moving),
        "--users and --moving go with UDP and HTTP"
    );
    ensure!(
        options.users.is_none() || (options.hostile == 0.0 && options.path.len() <= packets::PATH_MAX),
        "--users goes with neither --hostile nor a long --path"
    );
    let is_time = |secs: f64| (0.0..=86_400.0).contains(&secs);
    ensure!(is_time(options.hold), "--hold must be 0 to 86400");
    ensure!(is_time(options.warmup) && is_time(options.timeout), "--warmup and --timeout must be 0 to 86400");
    ensure!(is_time(options.duration) && options.duration > 0.0, "--duration must be above 0, up to 86400");
    ensure!(options.rate.is_none_or(|rate| rate.is_finite() && rate > 0.0), "--rate must be above 0");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(arguments: &str) -> anyhow::Result<()> {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            options: Options,
        }
        let words = std::iter::once("load").chain(arguments.split_ascii_whitespace());
        check(&<Line as clap::Parser>::try_parse_from(words)?.options)
    }

    #[test]
    fn only_loopback_is_loaded_unless_one_owns_the_target() {
        for good in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1"] {
            checked(&format!("--target {good}")).unwrap();
        }
        for other in ["192.0.2.1:1", "10.0.0.1:1", "0.0.0.0:1", "[2001:db8::1]:1", "[::]:1"] {
            let refusal = checked(&format!("--target {other}")).unwrap_err().to_string();
            assert!(refusal.contains("no weapon"), "{refusal}");
            checked(&format!("--target {other} --i-own-this-server")).unwrap();
        }
    }

    #[test]
    fn senseless_options_are_refused() {
        for wrong in [
            "--hostile 0.99",
            "--hostile 1.5",
            "--hostile 0.5 --fill",
            "--duration 0",
            "--duration NaN",
            "--rate 0",
            "--tls full",
            "--protocol ws --users 5",
            "--users 5 --hostile 0.5",
            "--protocol http --tls full --hostile 0.5",
            "--seeders -1",
            "--window 0",
        ] {
            assert!(checked(&format!("--target 127.0.0.1:1 {wrong}")).is_err(), "{wrong}");
        }
    }
}
