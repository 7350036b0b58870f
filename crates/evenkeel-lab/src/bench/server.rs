//! A server under way, and one turn on it: started, filled, loaded, asked for its metrics, ended.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::plan::{Family, Server, Task, argument};
use crate::community;
use crate::population;
use crate::system;

/// How long a server has until it answers.
const READY_PATIENCE: Duration = Duration::from_secs(30);

/// Settings of ours that may differ in any comparison: where it listens, and where its key is.
const MAY_DIFFER: [&str; 3] = ["server.port", "admin.address", "state.directory"];

/// Starts a server, fills it and loads it with one task after the other. Each is `done` with what was filled and loaded.
pub(super) fn measure(
    tasks: &[Task],
    mut done: impl FnMut(&Task, Value) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let started = Started::new(tasks, dir.path())?;
    let first = &tasks[0];
    let filled = match &first.fill {
        Some(arguments) => started.load(first, arguments).context("the fill")?,
        None => Value::Null,
    };
    let took = started.secs();
    let patience = first.filled_within_secs.unwrap_or(f64::MAX);
    ensure!(took <= patience, "the fill was over {took:.0} s after the start, which is too late");
    for task in tasks {
        let late = started.secs() - task.load_after_secs;
        ensure!(late < 0.0 || task.load_after_secs == 0.0, "the load comes {late:.0} s too late");
        std::thread::sleep(Duration::from_secs_f64((-late).max(0.0)));
        let before = started.metrics(&task.server.metrics)?;
        let mut result = match &task.load {
            Some(arguments) => {
                started.load(task, arguments).with_context(|| format!("the load {}", task.workload))?
            }
            None => filled.clone(),
        };
        result["filled"] = filled.clone();
        result["metrics_before"] = before;
        result["metrics"] = started.metrics(&task.server.metrics)?;
        done(task, result)?;
    }
    Ok(())
}

/// What a server says about its version; an error when it is another one than the plan expects.
pub(super) fn version(server: &Server) -> anyhow::Result<String> {
    let [program, arguments @ ..] = server.version.as_slice() else {
        return Ok("no version given".to_owned());
    };
    let output =
        Command::new(program).args(arguments).output().with_context(|| format!("cannot start {program}"))?;
    let text = [output.stdout, output.stderr].concat();
    let line = String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned();
    let expected = server.expect_version.as_deref().unwrap_or_default();
    ensure!(line.contains(expected), "{} must be {expected}, and is {line:?}", server.name);
    Ok(line)
}

/// Refuses a server of ours that is not what everybody gets who starts it.
pub(super) fn check_settings(server: &Server) -> anyhow::Result<()> {
    if server.settings.is_empty() {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let places = Places::new(Family::V4, dir.path())?;
    let output = places.command(&server.settings, server)?.output()?;
    ensure!(output.status.success(), "{}: {}", server.name, String::from_utf8_lossy(&output.stderr));
    let mut changed = changed_settings(&String::from_utf8_lossy(&output.stdout));
    changed.retain(|name| !MAY_DIFFER.contains(&name.as_str()) && !server.differs.contains(name));
    ensure!(
        changed.is_empty(),
        "{} is unfair: settings are no defaults: {}",
        server.name,
        changed.join(", ")
    );
    Ok(())
}

/// Names of the settings behind which it stands where they come from: no defaults.
fn changed_settings(shown: &str) -> Vec<String> {
    let (mut section, mut changed) = ("", Vec::new());
    for line in shown.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((key, _)) =
            line.split_once(" = ").filter(|(_, value)| value.contains("; default "))
        {
            changed.push(format!("{section}.{key}"));
        }
    }
    changed
}

/// What stands for the placeholders of one start.
struct Places {
    port: u16,
    admin: u16,
    address: &'static str,
    dir: String,
}

impl Places {
    fn new(family: Family, dir: &Path) -> anyhow::Result<Self> {
        let port = free_port()?;
        let admin = loop {
            let admin = free_port()?;
            if admin != port {
                break admin;
            }
        };
        Ok(Self { port, admin, address: family.address(), dir: dir.to_string_lossy().into_owned() })
    }

    fn fill_in(&self, text: &str) -> String {
        text.replace("{port}", &self.port.to_string())
            .replace("{admin}", &self.admin.to_string())
            .replace("{address}", self.address)
            .replace("{dir}", &self.dir)
    }

    fn command(&self, words: &[String], server: &Server) -> anyhow::Result<Command> {
        let [program, arguments @ ..] = words else { bail!("the command is empty") };
        let mut command = Command::new(self.fill_in(program));
        command
            .args(arguments.iter().map(|argument| self.fill_in(argument)))
            .envs(server.env.iter().map(|(name, value)| (name, self.fill_in(value))));
        Ok(command)
    }
}

/// A server under way; it dies with this value.
struct Started {
    child: Child,
    began: Instant,
    target: SocketAddr,
    admin: u16,
}

impl Started {
    /// Starts the server of these tasks.
    fn new(tasks: &[Task], dir: &Path) -> anyhow::Result<Self> {
        let task = &tasks[0];
        let server = &task.server;
        let places = Places::new(task.family, dir)?;
        for (name, text) in &server.files {
            std::fs::write(dir.join(name), places.fill_in(text))?;
        }
        if let Some(name) = &server.hash_list {
            write_hashes(tasks, &dir.join(name))?;
        }
        let log = File::create(dir.join("log"))?;
        let mut command = places.command(&server.command, server)?;
        command.stdout(log.try_clone()?).stderr(log).stdin(Stdio::null());
        // What is started stays where the starter is.
        system::place(task.server_core)?;
        let child = command.spawn();
        system::place(task.generator_core)?;
        let child = child.with_context(|| format!("cannot start {}", server.command[0]))?;
        let target = format!("{}:{}", places.address, places.port).parse()?;
        let mut started = Self { child, began: Instant::now(), target, admin: places.admin };
        if let Err(error) = started.wait_until_ready() {
            let log = std::fs::read_to_string(dir.join("log")).unwrap_or_default();
            return Err(error.context(log));
        }
        if server.is_private {
            started.populate(tasks, dir)?;
        }
        std::thread::sleep(Duration::from_secs_f64(server.settle_secs));
        Ok(started)
    }

    /// Writes users and torrents past the server, and waits until it knows of them.
    fn populate(&self, tasks: &[Task], dir: &Path) -> anyhow::Result<()> {
        let number = |name: &str| tasks[0].argument(name).unwrap_or("1").parse::<u32>();
        let (users, torrents) = (number("--users")?, number("--torrents")?);
        let known = || {
            let names = ["evenkeel_users", "evenkeel_torrents"].map(str::to_owned);
            self.metrics(&names).is_ok_and(|known| {
                known == json!({ (&names[0]): f64::from(users), (&names[1]): f64::from(torrents) })
            })
        };
        // It has made its tables when it is ready.
        self.wait_for("its database", || self.is_ready())?;
        community::settle(&dir.join("evenkeel.sqlite"), number("--seed")?.into(), users, torrents)?;
        self.wait_for("its users", known)
    }

    fn wait_for(&self, what: &str, is_there: impl Fn() -> bool) -> anyhow::Result<()> {
        while !is_there() {
            ensure!(self.began.elapsed() < READY_PATIENCE, "it does not come to {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn is_ready(&self) -> bool {
        self.admin("/ready").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// What is answered on the admin port.
    fn admin(&self, path: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.admin)).context("no admin port")?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }

    /// Waits until the port answers, by UDP or TCP.
    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let socket = UdpSocket::bind(SocketAddr::new(self.target.ip(), 0))?;
        socket.connect(self.target)?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let connect = [0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 0, 0, 0, 1];
        while self.began.elapsed() < READY_PATIENCE {
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

    /// How long it has been there.
    fn secs(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    fn load(&self, task: &Task, arguments: &[String]) -> anyhow::Result<Value> {
        let output = Command::new(std::env::current_exe()?)
            .args(["load", "--json", "-", "--target", &self.target.to_string()])
            .args(["--server-pid", &self.child.id().to_string()])
            .args(task.generator_core.map(|core| format!("--core={core}")))
            .args(arguments)
            .output()?;
        // A load that got what nobody may get has a result nonetheless: `fair` judges it.
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)))
    }

    /// The named metrics, off the admin port.
    fn metrics(&self, names: &[String]) -> anyhow::Result<Value> {
        let mut found = serde_json::Map::new();
        if names.is_empty() {
            return Ok(found.into());
        }
        let text = self.admin("/metrics")?;
        for name in names {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            let figure: f64 = line.with_context(|| format!("there is no metric {name}"))?.trim().parse()?;
            found.insert(name.clone(), figure.into());
        }
        Ok(found.into())
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

/// Writes the info hashes of all torrents that the tasks may name, sorted, one on each line.
fn write_hashes(tasks: &[Task], path: &Path) -> anyhow::Result<()> {
    let mut hashes = Vec::new();
    for arguments in tasks.iter().flat_map(|task| task.fill.iter().chain(&task.load)) {
        let torrents = argument(arguments, "--torrents").unwrap_or("10000").parse()?;
        let seed = argument(arguments, "--seed").unwrap_or("1").parse()?;
        hashes.extend((0..torrents).map(|torrent| population::info_hash(seed, torrent).0));
    }
    hashes.sort_unstable();
    hashes.dedup();
    let mut text = String::with_capacity(hashes.len() * 41);
    for hash in hashes {
        hash.iter().for_each(|byte| {
            text.extend(
                [byte >> 4, byte & 15].map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])),
            );
        });
        text.push('\n');
    }
    Ok(std::fs::write(path, text)?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_are_no_defaults_are_seen() {
        let shown = "[server]\nport = 7777 # environment variable X; default 6969\nworkers = 0\n\n[announce]\n\
                     interval_secs = 30 # file e.toml, line 2; default 1800\npath = \"a; b\"\n";
        assert_eq!(changed_settings(shown), ["server.port", "announce.interval_secs"]);
    }
}
