//! The result of a load: JSON for programs, a few lines for people.

use std::fmt;

use anyhow::ensure;
use serde::Serialize;

use super::crowd::Seen;
use super::guard::Handshakes;
use super::pace::SECOND;
use super::run::{Metered, Run};
use super::tally::{Handshaken, Relayed};
use super::{Options, Protocol};

/// Share of a core above which a side counts as busy all the time.
const SATURATED: f64 = 0.9;
/// Whoever means well is answered within so many seconds beside those who do not.
const CALM_SECS: f64 = 1.0;
/// Memory may differ by this beside hostile clients: allocator and system hand it out in grains of some MiB.
const GROWTH_BYTES_MAX: u64 = 16 << 20;

/// What was measured. Times are of the measured window only, unless said.
#[derive(Serialize)]
pub(crate) struct Report {
    asked: Asked,
    secs: f64,
    replies: u64,
    replies_per_sec: f64,
    announces: u64,
    scrapes: u64,
    mean_peers: f64,
    mean_reply_bytes: f64,
    latency_us: Latency,
    /// Spells in which something waited for 20 ms or longer, or got no reply at all.
    stalls: u64,
    errors: u64,
    first_error: Option<String>,
    lost: u64,
    unexpected: u64,
    unsent: u64,
    backlog: u64,
    repeated: u64,
    connections: u64,
    /// `null` without TLS.
    handshakes: Option<Handshaken>,
    hostile_sent: u64,
    hostile_bytes_back: u64,
    /// `null` without hostile clients over TCP.
    hostile_clients: Option<Seen>,
    /// Whether an announce with a wrong connection id got silence or an error; `null` where there are no ids.
    checks_connection_ids: Option<bool>,
    /// `null` where peers do not speak through the tracker.
    relayed: Option<Relayed>,
    /// Replies, offers and answers that came out of the tracker; `null` where peers do not speak through it.
    messages: Option<u64>,
    messages_per_sec: Option<f64>,
    /// Of these for each reply.
    mean_messages: Option<f64>,
    server: Option<Server>,
    generator: Generator,
    bottleneck: Bottleneck,
}

/// The question, so that an answer can be read on its own.
#[derive(Serialize)]
struct Asked {
    target: String,
    protocol: &'static str,
    tls: Option<Handshakes>,
    torrents: u32,
    peers: u32,
    distinct_peers: u64,
    zipf: f64,
    seeders: f64,
    sources: u16,
    seed: u64,
    numwant: Option<u32>,
    scrapes: f64,
    hostile: f64,
    rate: Option<f64>,
    window: u16,
    connections: u16,
    torrents_per_socket: u16,
    offers: u8,
    answers: f64,
    users: Option<u32>,
    moving: bool,
    fill: bool,
}

#[derive(Serialize)]
struct Latency {
    p50: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

#[derive(Serialize)]
struct Server {
    cpu_ns_per_reply: f64,
    user_ns_per_reply: f64,
    system_ns_per_reply: f64,
    /// Without the thread that is the database.
    answer_ns_per_reply: f64,
    /// `null` where peers do not speak through the tracker.
    cpu_ns_per_message: Option<f64>,
    /// Cores that all threads used together.
    cores: f64,
    /// Share of the time in which the busiest thread ran, or would have.
    busiest_thread: f64,
    rss_before_bytes: u64,
    rss_after_bytes: u64,
    /// The most of it, looked at every second beside hostile clients.
    rss_peak_bytes: u64,
    /// Growth for each peer of a fill.
    rss_bytes_per_peer: Option<f64>,
    /// Growth for each connection of a fill that keeps them.
    rss_bytes_per_connection: Option<f64>,
}

#[derive(Serialize)]
struct Generator {
    /// Share of the time in which it had something to do.
    busy: f64,
    /// Share of a core that it used, looking for something to do included.
    cores: f64,
}

/// What the rate was limited by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Bottleneck {
    Server,
    Generator,
    /// An open loop that was kept up with.
    Rate,
    /// Both sides waited: a window too small, or other work on their cores.
    Neither,
}

impl Bottleneck {
    /// `server` is the busiest thread's share of the time, where it is known.
    pub(crate) fn judge(kept_rate: bool, server: Option<f64>, generator: f64) -> Self {
        match (server, generator) {
            _ if kept_rate => Self::Rate,
            (Some(server), _) if server >= SATURATED => Self::Server,
            (_, generator) if generator >= SATURATED => Self::Generator,
            (Some(_), _) => Self::Neither,
            // Somebody made the generator wait.
            (None, _) => Self::Server,
        }
    }
}

impl Report {
    pub(crate) fn new(run: &Run<'_>, metered: &Metered, checks_connection_ids: Option<bool>) -> Self {
        let tally = &run.tally;
        let secs = metered.secs;
        let replies_per_sec = tally.replies() as f64 / secs;
        let micros = |quantile| tally.latency(quantile) as f64 / 1_000.0;
        let server = server(run, metered);
        let kept_rate = run.options.rate.is_some_and(|rate| replies_per_sec >= 0.98 * rate);
        let messages = messages(run);
        let busiest = server.as_ref().map(|server| server.busiest_thread);
        Self {
            asked: Asked::new(run),
            secs,
            replies: tally.replies(),
            replies_per_sec,
            announces: tally.announces,
            scrapes: tally.scrapes,
            mean_peers: mean(tally.peers, tally.announces),
            mean_reply_bytes: mean(tally.reply_bytes, tally.replies()),
            latency_us: Latency {
                p50: micros(0.5),
                p99: micros(0.99),
                p999: micros(0.999),
                max: micros(1.0),
            },
            stalls: tally.stalls,
            errors: tally.errors,
            first_error: tally.first_error.clone(),
            lost: tally.lost,
            unexpected: tally.unexpected,
            unsent: tally.unsent,
            backlog: tally.backlog,
            repeated: tally.repeated,
            connections: tally.connections,
            handshakes: run.options.tls.map(|_| tally.handshakes),
            hostile_sent: tally.hostile_sent,
            hostile_bytes_back: tally.hostile_bytes_back,
            hostile_clients: tally.crowd,
            checks_connection_ids,
            relayed: (run.options.protocol == Protocol::Ws).then_some(tally.relayed),
            messages,
            messages_per_sec: messages.map(|messages| messages as f64 / secs),
            mean_messages: messages.map(|messages| mean(messages, tally.replies())),
            bottleneck: Bottleneck::judge(kept_rate, busiest, metered.generator_busy),
            server,
            generator: Generator {
                busy: metered.generator_busy,
                cores: metered.generator_cpu as f64 / SECOND as f64 / secs,
            },
        }
    }

    /// Bytes that came back to those who had proven nothing: each is one too many.
    pub(crate) fn hostile_bytes_back(&self) -> u64 {
        self.hostile_bytes_back
    }

    /// What must hold beside hostile clients: everybody else is answered within a second, memory stays flat, and each
    /// connection ends that ought to.
    pub(crate) fn check_beside_crowd(&self) -> anyhow::Result<()> {
        let Some(crowd) = &self.hostile_clients else { return Ok(()) };
        let (slowest, failed) = (self.latency_us.max / 1e6, self.errors + self.lost);
        ensure!(
            slowest <= CALM_SECS && failed == 0,
            "the slowest reply took {slowest:.2} s, and {failed} never came"
        );
        ensure!(crowd.outlived == 0, "{} hostile connections were never ended", crowd.outlived);
        let Some(server) = &self.server else { return Ok(()) };
        let growth = server.rss_peak_bytes.saturating_sub(server.rss_before_bytes);
        ensure!(growth <= GROWTH_BYTES_MAX, "memory grew by {} MiB beside hostile clients", growth >> 20);
        Ok(())
    }
}

impl Asked {
    fn new(run: &Run<'_>) -> Self {
        let Options { shape, .. } = run.options;
        Self {
            target: run.options.target.to_string(),
            protocol: run.options.protocol.name(),
            tls: run.options.tls,
            torrents: shape.torrents,
            peers: shape.peers,
            distinct_peers: run.population.distinct(),
            zipf: shape.zipf,
            seeders: shape.seeders,
            sources: shape.sources,
            seed: shape.seed,
            numwant: run.options.numwant,
            scrapes: run.options.scrapes,
            hostile: run.options.hostile,
            rate: run.options.rate,
            window: run.options.window,
            connections: run.options.connections,
            torrents_per_socket: run.options.torrents_per_socket,
            offers: run.options.offers,
            answers: run.options.answers,
            users: run.options.users,
            moving: run.options.moving,
            fill: run.options.fill,
        }
    }
}

/// What came out of a tracker that peers speak through.
fn messages(run: &Run<'_>) -> Option<u64> {
    let Relayed { offers_received, answers_received, .. } = run.tally.relayed;
    (run.options.protocol == Protocol::Ws).then_some(run.tally.replies() + offers_received + answers_received)
}

fn server(run: &Run<'_>, metered: &Metered) -> Option<Server> {
    let server = metered.server.as_ref()?;
    let replies = run.tally.replies();
    let of_time = |nanos: u64| nanos as f64 / SECOND as f64 / metered.secs;
    let growth = server.rss_after.saturating_sub(server.rss_before);
    Some(Server {
        cpu_ns_per_reply: mean(server.used.cpu, replies),
        user_ns_per_reply: mean(server.used.user, replies),
        system_ns_per_reply: mean(server.used.cpu - server.used.user, replies),
        answer_ns_per_reply: mean(server.used.cpu - server.used.database, replies),
        cpu_ns_per_message: messages(run).map(|messages| mean(server.used.cpu, messages)),
        cores: of_time(server.used.cpu),
        busiest_thread: of_time(server.used.busiest),
        rss_before_bytes: server.rss_before,
        rss_after_bytes: server.rss_after,
        rss_peak_bytes: server.rss_peak,
        rss_bytes_per_connection: (run.options.fill && run.options.protocol == Protocol::Ws)
            .then(|| mean(growth, run.tally.connections)),
        rss_bytes_per_peer: run.options.fill.then(|| mean(growth, run.population.distinct())),
    })
}

fn mean(sum: u64, count: u64) -> f64 {
    if count == 0 { 0.0 } else { sum as f64 / count as f64 }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = &self.asked;
        writeln!(
            f,
            "{} {}: {:.0} replies/s ({} in {:.2} s)",
            asked.protocol, asked.target, self.replies_per_sec, self.replies, self.secs
        )?;
        let Latency { p50, p99, p999, max } = self.latency_us;
        writeln!(
            f,
            "  latency      p50 {p50:.0} us, p99 {p99:.0} us, p99.9 {p999:.0} us, max {max:.0} us, {} stalls",
            self.stalls
        )?;
        let Self { mean_peers, mean_reply_bytes, scrapes, .. } = self;
        write!(f, "  replies      {mean_reply_bytes:.1} bytes, {scrapes} scrapes")?;
        match self.relayed {
            None => writeln!(f, ", {mean_peers:.2} peers in an announce")?,
            Some(_) => writeln!(f)?,
        }
        writeln!(
            f,
            "  trouble      {} errors, {} lost, {} unexpected, {} not sent, {} never had their turn",
            self.errors, self.lost, self.unexpected, self.unsent, self.backlog
        )?;
        if let Some(text) = &self.first_error {
            writeln!(f, "  first error  {text}")?;
        }
        if asked.fill {
            writeln!(
                f,
                "  fill         {} distinct peers, {} repeated",
                asked.distinct_peers, self.repeated
            )?;
        }
        if let Some(Relayed { offers_sent, offers_received, answers_sent, answers_received }) = self.relayed {
            let (offers, answers) = (offers_received, answers_received);
            let messages = self.messages_per_sec.unwrap_or_default();
            writeln!(
                f,
                "  relayed      {offers} offers of {offers_sent}, {answers} answers of {answers_sent}; {messages:.0} messages/s \
                 in all"
            )?;
        }
        if let Some(Handshaken { full, resumed }) = self.handshakes {
            writeln!(f, "  TLS          {full} full handshakes, {resumed} resumed")?;
        }
        if let Some(Seen { opened, ended, outlived, bytes_sent, bytes_back }) = self.hostile_clients {
            writeln!(
                f,
                "  hostile      {opened} connections, {ended} ended by the tracker, {outlived} not (must be 0); {} MiB sent, \
                 {} MiB came back",
                bytes_sent >> 20,
                bytes_back >> 20
            )?;
        } else if asked.hostile > 0.0 {
            let (sent, back) = (self.hostile_sent, self.hostile_bytes_back);
            writeln!(f, "  hostile      {sent} packets, {back} bytes came back (must be 0)")?;
        }
        if let Some(checks) = self.checks_connection_ids {
            let checked = if checks { "checked by the server" } else { "NOT checked by the server" };
            writeln!(f, "  ids          {checked}")?;
        }
        if let Some(server) = &self.server {
            write!(f, "{server}")?;
        }
        let busy = self.generator.busy * 100.0;
        let verdict = match self.bottleneck {
            Bottleneck::Server => "the server was the bottleneck",
            Bottleneck::Generator => {
                "the generator was the bottleneck: figures are its own, not the server's"
            }
            Bottleneck::Rate => "the rate was kept",
            Bottleneck::Neither => "neither side was busy: a window too small, or other work on the cores",
        };
        writeln!(
            f,
            "  verdict      {verdict} (generator busy {busy:.0} %, {:.2} cores)",
            self.generator.cores
        )
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "  server       {:.0} ns CPU per reply ({:.0} user, {:.0} system), {:.2} cores, busiest thread {:.0} %",
            self.cpu_ns_per_reply,
            self.user_ns_per_reply,
            self.system_ns_per_reply,
            self.cores,
            self.busiest_thread * 100.0
        )?;
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        write!(
            f,
            "  memory       {:.1} MiB before, {:.1} MiB after",
            mib(self.rss_before_bytes),
            mib(self.rss_after_bytes)
        )?;
        if self.rss_peak_bytes > self.rss_after_bytes {
            write!(f, ", {:.1} MiB at most", mib(self.rss_peak_bytes))?;
        }
        if let Some(bytes) = self.rss_bytes_per_peer {
            write!(f, ": {bytes:.1} bytes for each peer")?;
        }
        match self.rss_bytes_per_connection {
            Some(bytes) => writeln!(f, ", {bytes:.0} for each socket"),
            None => writeln!(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_side_that_had_no_rest_is_the_bottleneck() {
        let judge = Bottleneck::judge;
        assert_eq!(judge(false, Some(0.99), 0.5), Bottleneck::Server);
        assert_eq!(judge(false, Some(0.5), 0.99), Bottleneck::Generator);
        assert_eq!(judge(false, Some(0.5), 0.5), Bottleneck::Neither);
        assert_eq!(judge(false, None, 0.5), Bottleneck::Server);
        assert_eq!(judge(false, None, 0.99), Bottleneck::Generator);
        assert_eq!(judge(true, Some(0.5), 0.99), Bottleneck::Rate);
    }
}
