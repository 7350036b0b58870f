//! The command line.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand};
use clap_complete::Shell;
use tracing::Level;

use crate::ask::probe::ProbeArgs;
use crate::ask::{AnnounceArgs, ScrapeArgs};
use crate::backup::{BackupArgs, RestoreArgs};
use crate::config::LEVELS;
use crate::desk::{DeskArgs, How, OfTorrents, OfUsers, Rows};

/// A BitTorrent tracker: HTTP and UDP on one swarm store.
///
/// Without a command, evenkeel serves. It needs no configuration file: `evenkeel config init` writes one with
/// every setting explained.
#[derive(Parser, Debug)]
#[command(name = "evenkeel", version = env!("EVENKEEL_VERSION"), args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) flags: Flags,
}

/// What is to be done.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Runs the tracker (the default).
    Serve(Flags),
    /// Checks, shows or writes a configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Manages users: who may use a private tracker.
    User(DeskArgs<OfUsers>),
    /// Manages torrents: what a tracker serves.
    Torrent(DeskArgs<OfTorrents>),
    /// Manages announce keys: who may announce without an account.
    Key(DeskArgs<Rows>),
    /// Manages info hashes that are allowed or denied without being torrents of the catalogue.
    List(DeskArgs<Rows>),
    /// Manages classes: what users have in common.
    Class(DeskArgs<Rows>),
    /// Manages settings that hold at once, such as freeleech_until.
    Setting(DeskArgs<Rows>),
    /// Manages tokens: who may do what over the API.
    Token(DeskArgs<Rows>),
    /// Shows what rationing does: how long a gigabyte takes, with it and without, by tier.
    Equilibrium(How),
    /// Copies the SQLite database into a file, while the tracker goes on.
    Backup(BackupArgs),
    /// Puts a backup in the place of the SQLite database; not while a tracker uses it.
    Restore(RestoreArgs),
    /// Announces a peer to a tracker, prints the answer, and takes the peer out again.
    Announce(AnnounceArgs),
    /// Prints how many seeders, leechers and downloads a tracker knows of torrents.
    Scrape(ScrapeArgs),
    /// Checks that peers find each other through a tracker; status 1 if they do not.
    Probe(ProbeArgs),
    /// Checks that the tracker on this machine is alive; status 1 if it is not.
    Health(Flags),
    /// Prints the DNS record that tells clients where the tracker is (BEP 34).
    DnsRecord(Flags),
    /// Prints completions for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// What is to be done with a configuration.
#[derive(Subcommand, Debug)]
pub(crate) enum ConfigCommand {
    /// Says everything that is wrong, or nothing and status 0.
    Check(Flags),
    /// Prints what would hold, and where it comes from.
    Show(Flags),
    /// Writes a file with every setting explained and commented out.
    Init {
        /// Prints it instead.
        #[arg(long, conflicts_with = "path")]
        stdout: bool,
        /// Where to write; a file that exists is left alone.
        #[arg(default_value = "evenkeel.toml")]
        path: PathBuf,
    },
}

/// What the command line says about the configuration; it overrides environment and file.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Flags {
    /// Configuration file [default: ./evenkeel.toml, else /etc/evenkeel/evenkeel.toml, if there is one].
    #[arg(long, value_name = "PATH", env = "EVENKEEL_CONFIG")]
    pub config: Option<PathBuf>,
    /// Directory for what outlives a restart [default: $STATE_DIRECTORY, $XDG_STATE_HOME/evenkeel, ./data].
    #[arg(long, value_name = "PATH", env = "EVENKEEL_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// Port of HTTP and UDP; 0 takes any free port.
    #[arg(long, value_name = "N")]
    pub port: Option<u16>,
    /// The least important lines that are logged.
    #[arg(long, value_name = "LEVEL", value_parser = level())]
    pub log_level: Option<Level>,
}

fn level() -> impl TypedValueParser<Value = Level> {
    let words = PossibleValuesParser::new(LEVELS.iter().map(|(word, _)| *word));
    words.try_map(|word| word.parse::<Level>())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(args: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from([&["evenkeel"], args].concat())
    }

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn no_command_means_serve_with_the_flags_given() {
        let args = parse(&["--port", "0", "--log-level", "debug", "--state-dir", "/srv/x"]).unwrap();
        assert!(args.command.is_none());
        assert_eq!((args.flags.port, args.flags.log_level), (Some(0), Some(Level::DEBUG)));
        assert_eq!(args.flags.state_dir, Some(PathBuf::from("/srv/x")));
    }

    #[test]
    fn a_flag_before_a_command_is_refused_and_never_ignored() {
        assert!(parse(&["--port", "1", "serve"]).is_err());
        assert!(matches!(parse(&["serve", "--port", "1"]).unwrap().command, Some(Command::Serve(_))));
    }

    #[test]
    fn a_level_or_port_that_is_none_is_refused() {
        assert!(parse(&["--log-level", "loud"]).is_err());
        assert!(parse(&["--port", "65536"]).is_err());
    }

    #[test]
    fn the_version_names_program_number_and_commit() {
        let text = Args::command().render_version();
        assert!(text.starts_with(concat!("evenkeel ", env!("CARGO_PKG_VERSION"), " (commit ")), "{text}");
    }
}
