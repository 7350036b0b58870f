//! Commands that manage users, torrents, keys, lists, classes, settings and tokens of a running tracker, over its API.

mod bulk;
mod files;
mod given;
mod measured;
mod table;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Subcommand;
use evenkeel_client::Client;
use evenkeel_client::admin::Admin;
use evenkeel_core::Tier;
use serde_json::{Value, json};

use crate::args::Flags;
use crate::config::Config;
use crate::store::Kind;

pub(crate) use measured::equilibrium;

/// Rows that are asked for at once.
const PAGE: u32 = 1000;
/// Longest answer that is read: a page of rows with long names.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What 10,000 rows may take on a slow machine.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Which tracker, and how its answers are printed.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct How {
    /// The API [default: that of the tracker on this machine, by `admin.address`].
    #[arg(long, value_name = "URL", env = "EVENKEEL_API", global = true)]
    api: Option<String>,
    /// File that holds the token; else it is in $EVENKEEL_TOKEN.
    #[arg(long, value_name = "PATH", global = true)]
    token_file: Option<PathBuf>,
    /// JSON instead of a table.
    #[arg(long, global = true)]
    json: bool,
}

/// What can be done with rows of every kind.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum Rows {
    /// Prints all rows, or some.
    List {
        /// Rows with larger ids only.
        #[arg(long, default_value_t = 0)]
        after: i64,
        /// So many at most.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Prints one row with what is known of it.
    Show {
        /// Its number, or what it is called: name or info hash.
        id: String,
    },
    /// Makes rows of what they are called and of FIELD=VALUE, or of a file.
    Add {
        /// What each is called (for keys: what for, for lists and torrents: the info hash), then FIELD=VALUE that all of
        /// them have; or .torrent files.
        #[arg(required_unless_present = "from")]
        given: Vec<String>,
        /// Rows as JSON, a list or one in each line; `-` is the standard input.
        #[arg(long, value_name = "PATH", conflicts_with = "given")]
        from: Option<PathBuf>,
    },
    /// Changes fields of a row.
    Set {
        /// Its number, or what it is called: name or info hash.
        id: String,
        /// FIELD=VALUE; `null` is no value, and times may be given from now on: +30d, +12h.
        #[arg(required = true)]
        given: Vec<String>,
    },
    /// Removes rows.
    Remove {
        /// Their numbers, or what they are called: names or info hashes.
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

/// What can be done with users.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum OfUsers {
    #[command(flatten)]
    Rows(Rows),
    /// Replaces the passkey, and prints the new one this once; the old one is good for a day more.
    Passkey {
        /// Number or name of the user.
        id: String,
    },
    /// Holds the user at a tier, whatever was earned.
    PinTier {
        /// Number or name of the user.
        id: String,
        /// 0 to 3, or none: what was earned holds again.
        #[arg(value_name = "TIER|none", value_parser = pinned)]
        tier: Pinned,
    },
}

/// A tier to be held at, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pinned(Option<Tier>);

fn pinned(text: &str) -> Result<Pinned, String> {
    let tier = || text.parse().ok().and_then(Tier::new).ok_or_else(|| "0 to 3, or none".to_owned());
    if text == "none" { Ok(Pinned(None)) } else { Ok(Pinned(Some(tier()?))) }
}

/// What can be done with torrents.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum OfTorrents {
    #[command(flatten)]
    Rows(Rows),
    /// Prints the figures of a torrent for each day, or each hour of the last 30 days.
    History {
        /// Number or info hash of the torrent.
        id: String,
        /// Hours instead of days.
        #[arg(long)]
        hours: bool,
    },
    /// Writes the .torrent file of a torrent, with a user's announce URL in it.
    Download {
        /// Number or info hash of the torrent.
        id: String,
        /// Of the user; without one the file has no announce URL.
        #[arg(long, env = "EVENKEEL_PASSKEY", hide_env_values = true)]
        passkey: Option<String>,
        /// Where to write [default: ID.torrent]; a file that exists is left alone.
        #[arg(long, short, value_name = "PATH")]
        out: Option<PathBuf>,
    },
}

/// A command about one kind of row.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct DeskArgs<C: Subcommand> {
    #[command(flatten)]
    how: How,
    #[command(subcommand)]
    what: C,
}

/// Does something with users.
pub(crate) fn users(args: DeskArgs<OfUsers>) -> anyhow::Result<String> {
    match args.what {
        OfUsers::Rows(what) => rows(Kind::User, DeskArgs { how: args.how, what }),
        OfUsers::Passkey { id } => {
            let desk = Desk::new(Kind::User, args.how)?;
            let told = desk.run(desk.admin.replace_passkey(desk.id_of(&id)?))?;
            Ok(desk.one(&told))
        }
        OfUsers::PinTier { id, tier: Pinned(tier) } => {
            let desk = Desk::new(Kind::User, args.how)?;
            let row = desk.run(desk.admin.pin_tier(desk.id_of(&id)?, tier.map(Tier::number)))?;
            Ok(desk.one(&row))
        }
    }
}

/// Does something with torrents.
pub(crate) fn torrents(args: DeskArgs<OfTorrents>) -> anyhow::Result<String> {
    match args.what {
        OfTorrents::Rows(Rows::Add { given, from: None }) if files::are_files(&given) => {
            files::add(&Desk::new(Kind::Torrent, args.how)?, &given)
        }
        OfTorrents::Rows(what) => rows(Kind::Torrent, DeskArgs { how: args.how, what }),
        OfTorrents::History { id, hours } => {
            let desk = Desk::new(Kind::Torrent, args.how)?;
            let rows = desk.run(desk.admin.history(desk.id_of(&id)?, hours))?;
            Ok(desk.many(rows))
        }
        OfTorrents::Download { id, passkey, out } => {
            files::download(&Desk::new(Kind::Torrent, args.how)?, &id, passkey.as_deref(), out)
        }
    }
}

/// Does something with rows of a kind.
pub(crate) fn rows(kind: Kind, args: DeskArgs<Rows>) -> anyhow::Result<String> {
    let desk = Desk::new(kind, args.how)?;
    match args.what {
        Rows::List { after, limit } => desk.list(after, limit.unwrap_or(usize::MAX)),
        Rows::Show { id } => {
            let row = desk.run(desk.admin.show(desk.path, desk.id_of(&id)?))?;
            Ok(desk.one(&row))
        }
        Rows::Add { given, from: None } => {
            let rows = given::new_rows(kind, &given)?;
            match desk.run(desk.admin.make(desk.path, &rows))? {
                Value::Array(told) => Ok(desk.many(told)),
                told => Ok(desk.one(&told)),
            }
        }
        Rows::Add { from: Some(path), .. } => desk.add_all(&bulk::read(&path)?),
        Rows::Set { id, given } => {
            let fields = given::fields(kind, &given)?;
            let row = desk.run(desk.admin.change(desk.path, desk.id_of(&id)?, &fields))?;
            Ok(desk.one(&row))
        }
        Rows::Remove { ids } => desk.remove(&ids),
    }
}

/// The API, as far as rows of one kind are concerned.
struct Desk {
    kind: Kind,
    admin: Admin,
    path: &'static str,
    is_json: bool,
    runtime: tokio::runtime::Runtime,
}

impl Desk {
    fn new(kind: Kind, how: How) -> anyhow::Result<Self> {
        let url = match how.api {
            Some(url) => url,
            None => local(&crate::load(Flags::default())?.1)?,
        };
        let token = token(how.token_file.as_deref())?;
        let client = Client::builder()
            .user_agent(concat!("evenkeel/", env!("CARGO_PKG_VERSION")))
            .request_timeout(TIMEOUT)
            .max_answer_bytes(ANSWER_BYTES_MAX)
            .build()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let path = crate::admin::path_of(kind);
        Ok(Self { kind, admin: Admin::new(client, &url, &token)?, path, is_json: how.json, runtime })
    }

    fn run<T, E: Into<anyhow::Error>>(&self, work: impl Future<Output = Result<T, E>>) -> anyhow::Result<T> {
        self.runtime.block_on(work).map_err(Into::into)
    }

    /// The number of a row that is given by it, or by what only it has.
    fn id_of(&self, given: &str) -> anyhow::Result<i64> {
        if let Ok(id) = given.parse() {
            return Ok(id);
        }
        let field = match self.kind {
            Kind::Torrent | Kind::Listed => "info_hash",
            Kind::Key => bail!("{given:?} is no number of a key: `evenkeel key list` shows them"),
            Kind::User | Kind::Class | Kind::Setting | Kind::Token => "name",
        };
        let found = self.run(self.admin.find(self.path, field, given))?;
        let id = found.and_then(|row| row["id"].as_i64());
        id.with_context(|| format!("{given:?} is neither a number nor the {field} of a row"))
    }

    fn one(&self, row: &Value) -> String {
        if self.is_json { format!("{row:#}\n") } else { table::one(self.kind, row) }
    }

    fn many(&self, rows: Vec<Value>) -> String {
        if self.is_json { format!("{:#}\n", Value::Array(rows)) } else { table::many(self.kind, &rows) }
    }

    fn list(&self, mut after: i64, limit: usize) -> anyhow::Result<String> {
        let mut rows = Vec::new();
        while rows.len() < limit {
            let wanted = u32::try_from(limit - rows.len()).unwrap_or(PAGE).min(PAGE);
            let page = self.run(self.admin.list(self.path, after, wanted))?;
            rows.extend(page.rows);
            match page.next {
                Some(next) => after = next,
                None => break,
            }
        }
        Ok(self.many(rows))
    }

    fn add_all(&self, rows: &[Value]) -> anyhow::Result<String> {
        let mut told = Vec::with_capacity(rows.len());
        let progress = bulk::progress(rows.len());
        for batch in rows.chunks(bulk::BATCH) {
            let made = self.run(self.admin.make(self.path, &json!(batch)));
            let made = made.with_context(|| bulk::done_before(told.len(), "made"))?;
            let Value::Array(mut made) = made else { bail!("this is not the API of an evenkeel") };
            progress.inc(made.len() as u64);
            // Whose passkey it is.
            for (made, given) in made.iter_mut().zip(batch) {
                if let (Value::Object(made), Some(name)) = (made, given.get("name")) {
                    made.entry("name").or_insert_with(|| name.clone());
                }
            }
            told.extend(made);
        }
        progress.finish_and_clear();
        Ok(self.many(told))
    }

    fn remove(&self, ids: &[String]) -> anyhow::Result<String> {
        let progress = bulk::progress(ids.len());
        for (done, id) in ids.iter().enumerate() {
            let removed = self.id_of(id).and_then(|id| self.run(self.admin.remove(self.path, id)));
            removed.with_context(|| format!("{id} cannot be removed{}", bulk::after(done, "removed")))?;
            progress.inc(1);
        }
        progress.finish_and_clear();
        Ok(if self.is_json { format!("{:#}\n", json!({ "removed": ids })) } else { String::new() })
    }
}

/// The API of the tracker that the configuration describes.
fn local(config: &Config) -> anyhow::Result<String> {
    let mut address = config.admin.address;
    ensure!(
        config.admin.enabled && address.port() != 0,
        "the admin port is off or any free one (admin.address): say where the API is with --api"
    );
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Ok(format!("http://{address}/api/v1"))
}

/// Not on the command line, where everybody on the machine can read it.
fn token(file: Option<&Path>) -> anyhow::Result<String> {
    let token = match file {
        Some(path) => {
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?
        }
        None => std::env::var("EVENKEEL_TOKEN")
            .context("no token: put it into $EVENKEEL_TOKEN or name its file with --token-file")?,
    };
    Ok(token.trim().to_owned())
}
