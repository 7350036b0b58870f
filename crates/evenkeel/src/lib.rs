//! The program: sockets, disk, configuration and operators around `evenkeel-core`.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;

use crate::args::{Args, Command, ConfigCommand, Flags};
use crate::config::Reload;
use crate::serve::Start;
use crate::state::StateDir;
use crate::store::Kind;

pub mod access;
pub mod acme;
mod activation;
mod admin;
mod analyst;
pub mod args;
mod ask;
mod backup;
mod banner;
mod books;
mod census;
mod classes;
mod client_table;
pub mod config;
pub mod control;
mod counters;
pub mod database;
mod desk;
mod dns_record;
mod health;
pub mod journal;
mod listen;
pub mod log;
mod metrics;
mod mint;
mod node;
mod redirects;
pub mod serve;
mod sockets;
pub mod state;
pub mod store;
mod sweeper;
mod system;
mod tls;
mod torrent_file;

/// How a command ended that did its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All is well.
    Well,
    /// What was asked about is not.
    Unwell,
}

/// Does what the command line asks for.
pub fn run(args: Args) -> anyhow::Result<Verdict> {
    let done: anyhow::Result<()> = match args.command.unwrap_or(Command::Serve(args.flags)) {
        Command::Serve(flags) => serve(flags),
        Command::Config(ConfigCommand::Check(flags)) => Ok(load(flags).map(drop)?),
        Command::Config(ConfigCommand::Show(flags)) => print(&config::show(&load(flags)?.1)),
        Command::Config(ConfigCommand::Init { stdout: true, .. }) => print(&config::example()),
        Command::Config(ConfigCommand::Init { stdout: false, path }) => init(&path),
        Command::User(args) => print(&desk::users(args)?),
        Command::Torrent(args) => print(&desk::torrents(args)?),
        Command::Key(args) => print(&desk::rows(Kind::Key, args)?),
        Command::List(args) => print(&desk::rows(Kind::Listed, args)?),
        Command::Class(args) => print(&desk::rows(Kind::Class, args)?),
        Command::Setting(args) => print(&desk::rows(Kind::Setting, args)?),
        Command::Token(args) => print(&desk::rows(Kind::Token, args)?),
        Command::Equilibrium(how) => print(&desk::equilibrium(how)?),
        Command::Backup(args) => print(&backup::backup(args)?),
        Command::Restore(args) => print(&backup::restore(args)?),
        Command::Probe(args) => {
            let (text, verdict) = ask::probe::probe(&args)?;
            return print(&text).map(|()| verdict);
        }
        Command::Announce(args) => print(&ask::announce(&args)?),
        Command::Scrape(args) => print(&ask::scrape(&args)?),
        Command::Health(flags) => health::check(&load(flags)?.1),
        Command::DnsRecord(flags) => print(&dns_record::record(&load(flags)?.1)),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "evenkeel", &mut script);
            print(&String::from_utf8(script)?)
        }
    };
    done.map(|()| Verdict::Well)
}

fn load(flags: Flags) -> Result<(Reload, config::Config), config::Error> {
    let reload = Reload::new(flags, std::env::vars_os());
    let config = reload.load()?;
    Ok((reload, config))
}

fn serve(flags: Flags) -> anyhow::Result<()> {
    let (reload, config) = load(flags)?;
    let log = log::start(config.log.level, config.log.format)?;
    let directory = state::choose(config.state.directory.as_deref(), |name| std::env::var_os(name));
    let state = StateDir::open(&directory)?;
    serve::run(&Start { config, reload, state, log })
}

fn init(path: &Path) -> anyhow::Result<()> {
    let mut file = File::create_new(path).with_context(|| format!("cannot create {}", path.display()))?;
    file.write_all(config::example().as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))?;
    print(&format!("{} is written; every setting in it is commented out at its default.\n", path.display()))
}

/// Prints to whoever reads; a reader who has seen enough (`| head`) is no error.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot print"),
        _ => Ok(()),
    }
}
