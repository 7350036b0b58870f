//! Servers side by side: each workload runs on each server in turn (A B A B), so that what else the machine
//! does meanwhile falls on all of them, and each round gives a ratio of its own.
//!
//! A server is started anew for every run, alone on its core; the generator has another one. Comparisons are
//! fair or fail: all servers hand out as many peers (within 2 %) and check connection ids, or say that they
//! are no trackers.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::system;

mod table;

/// How long a server has until it answers.
const READY_PATIENCE: Duration = Duration::from_secs(30);

/// How far the mean number of peers in a reply may be apart.
const PEERS_APART_MAX: f64 = 0.02;

/// What is compared.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Servers and workloads, as TOML.
    plan: PathBuf,
    /// File for the tables; standard output by default.
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// File for the plot.
    #[arg(long)]
    svg: Option<PathBuf>,
    /// File that each result is appended to as a line of JSON.
    #[arg(long)]
    raw: Option<PathBuf>,
    /// Rounds, in place of the plan's.
    #[arg(long)]
    rounds: Option<usize>,
}

/// The TOML.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    /// How often each server has its turn.
    rounds: usize,
    /// Where each side stays; without it, the system chooses.
    server_core: Option<usize>,
    generator_core: Option<usize>,
    server: Vec<Server>,
    workload: Vec<Workload>,
}

/// One server. `{port}` and `{dir}` stand for a free port and an empty directory, new for each start.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Server {
    name: String,
    command: Vec<String>,
    /// A command whose first line of output is the version.
    #[serde(default)]
    version: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// Files to write to `{dir}`, by name.
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// Answers anything: neither peers nor connection ids are compared with the others'.
    #[serde(default)]
    is_echo: bool,
}

/// One load; `arguments` and `fill` are those of `evenkeel-lab load`, and meet the same peers when they name
/// the same shape: torrents, peers, zipf, seeders, sources and seed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Workload {
    name: String,
    arguments: Vec<String>,
    /// Fill the server first, with `arguments` that shape the population.
    #[serde(default)]
    fill: Vec<String>,
}

/// Results of one workload: for each server, one of each round.
struct Rounds<'a> {
    workload: &'a str,
    servers: Vec<(&'a str, Vec<Value>)>,
}

/// Compares and writes.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(&options.plan)
        .with_context(|| format!("cannot read {}", options.plan.display()))?;
    let plan: Plan = toml::from_str(&text)?;
    let rounds = options.rounds.unwrap_or(plan.rounds);
    ensure!(rounds > 0 && !plan.server.is_empty(), "a plan needs a server and a round");
    ensure!(
        plan.server_core.is_none() || plan.server_core != plan.generator_core,
        "server and generator need a core each"
    );
    let mut raw =
        options.raw.as_ref().map(|path| File::options().create(true).append(true).open(path)).transpose()?;
    let mut all = Vec::new();
    for workload in &plan.workload {
        let names = plan.server.iter().map(|server| (server.name.as_str(), Vec::new()));
        let mut results = Rounds { workload: &workload.name, servers: names.collect() };
        for round in 1..=rounds {
            for (server, (name, results)) in plan.server.iter().zip(&mut results.servers) {
                eprintln!("{}: round {round} of {rounds}, {name}", workload.name);
                let result = measure(&plan, server, workload)
                    .with_context(|| format!("{name} failed in {:?}", workload.name))?;
                if let Some(raw) = &mut raw {
                    let line = serde_json::json!({
                        "workload": workload.name, "server": name, "round": round, "result": result,
                    });
                    writeln!(raw, "{line}")?;
                }
                results.push(result);
            }
        }
        judge_fairness(&plan.server, &results)?;
        all.push(results);
    }
    let markdown = header(&plan, rounds)? + &all.iter().map(table::markdown).collect::<String>();
    match &options.markdown {
        Some(path) => std::fs::write(path, markdown)?,
        None => print!("{markdown}"),
    }
    if let Some(path) = &options.svg {
        std::fs::write(path, table::svg(&all))?;
    }
    Ok(())
}

/// Starts a server, fills and loads it; answers what was filled and loaded.
fn measure(plan: &Plan, server: &Server, workload: &Workload) -> anyhow::Result<Value> {
    let dir = tempfile::tempdir()?;
    let started = Started::new(plan, server, dir.path())?;
    let filled = if workload.fill.is_empty() || server.is_echo {
        Value::Null
    } else {
        started.load(plan, workload.fill.iter().map(String::as_str).chain(["--fill"]))?
    };
    let mut loaded = started.load(plan, workload.arguments.iter().map(String::as_str))?;
    loaded["filled"] = filled;
    Ok(loaded)
}

/// A server under way; it dies with this value.
struct Started {
    child: Child,
    target: SocketAddr,
}

impl Started {
    fn new(plan: &Plan, server: &Server, dir: &Path) -> anyhow::Result<Self> {
        let port = free_port()?;
        let fill_in =
            |text: &str| text.replace("{port}", &port.to_string()).replace("{dir}", &dir.to_string_lossy());
        for (name, text) in &server.files {
            std::fs::write(dir.join(name), fill_in(text))?;
        }
        let [program, arguments @ ..] = server.command.as_slice() else { bail!("the command is empty") };
        let log = File::create(dir.join("log"))?;
        // What is started stays on the core of the starter.
        plan.server_core.map_or(Ok(()), system::pin)?;
        let child = Command::new(fill_in(program))
            .args(arguments.iter().map(|argument| fill_in(argument)))
            .envs(server.env.iter().map(|(name, value)| (name, fill_in(value))))
            .stdout(log.try_clone()?)
            .stderr(log)
            .stdin(Stdio::null())
            .spawn();
        plan.generator_core.map_or(Ok(()), system::pin)?;
        let child = child.with_context(|| format!("cannot start {program}"))?;
        let mut started = Self { child, target: (Ipv4Addr::LOCALHOST, port).into() };
        if let Err(error) = started.wait_until_ready() {
            let log = std::fs::read_to_string(dir.join("log")).unwrap_or_default();
            return Err(error.context(log));
        }
        Ok(started)
    }

    /// Waits until the port answers, by UDP or TCP.
    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(self.target)?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let connect = [0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 0, 0, 0, 1];
        while began.elapsed() < READY_PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended: {status}");
            }
            // Where nobody listens yet, the system says so at once.
            match socket.send(&connect).and_then(|_| socket.recv(&mut [0; 2048])) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    if TcpStream::connect(self.target).is_ok() {
                        return Ok(());
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(_) => {}
            }
        }
        bail!("it does not answer on {}", self.target)
    }

    fn load<'a>(&self, plan: &Plan, arguments: impl Iterator<Item = &'a str>) -> anyhow::Result<Value> {
        let output = Command::new(std::env::current_exe()?)
            .args(["load", "--json", "-", "--target", &self.target.to_string()])
            .args(["--server-pid", &self.child.id().to_string()])
            .args(plan.generator_core.map(|core| format!("--core={core}")))
            .args(arguments)
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // One that has ended by itself cannot be killed, and need not be.
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}

/// A port that is free for UDP and TCP just now.
fn free_port() -> anyhow::Result<u16> {
    for _ in 0..100 {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let port = socket.local_addr()?.port();
        if std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free for both UDP and TCP")
}

/// Refuses a comparison of servers that do not do the same work.
fn judge_fairness(servers: &[Server], rounds: &Rounds<'_>) -> anyhow::Result<()> {
    let trackers = || servers.iter().zip(&rounds.servers).filter(|(server, _)| !server.is_echo);
    let peers: Vec<f64> =
        trackers().filter_map(|(_, (_, results))| table::median(results, "/mean_peers")).collect();
    let (least, most) =
        peers.iter().fold((f64::MAX, 0.0_f64), |(least, most), peers| (least.min(*peers), most.max(*peers)));
    ensure!(
        peers.is_empty() || most - least <= most * PEERS_APART_MAX,
        "{}: unfair, the mean numbers of peers in a reply are {peers:?}",
        rounds.workload
    );
    for (server, (_, results)) in trackers() {
        let is_careless = |result: &Value| result["checks_connection_ids"] == false;
        ensure!(
            !results.iter().any(is_careless),
            "{}: unfair, {} does not check connection ids",
            rounds.workload,
            server.name
        );
    }
    Ok(())
}

/// What the figures were made on.
fn header(plan: &Plan, rounds: usize) -> anyhow::Result<String> {
    let cpus = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let core = |core: Option<usize>| core.map_or("any core".to_owned(), |core| format!("core {core}"));
    let mut text = format!(
        "* machine: {}, Linux {}; server on {}, generator on {}\n* load of the machine at the end: {}\n\
         * {rounds} rounds, servers in turn; medians (least to most), ratios of each round to the first server\n",
        model.unwrap_or("unknown processor"),
        kernel.trim(),
        core(plan.server_core),
        core(plan.generator_core),
        load.split(' ').next().unwrap_or_default(),
    );
    for server in &plan.server {
        let version = match server.version.as_slice() {
            [] => "no version given".to_owned(),
            [program, arguments @ ..] => {
                let output = Command::new(program).args(arguments).output()?;
                let text = [output.stdout, output.stderr].concat();
                String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned()
            }
        };
        text.push_str(&format!("* {}: {version}\n", server.name));
    }
    Ok(text)
}
