//! `evenkeel backup` and `evenkeel restore`: the SQLite database as one file, and back.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::Flags;
use crate::config::Config;
use crate::database::FILE;
use crate::state::{self, StateDir};
use crate::store::copy;

/// The files of a database besides the one with its name.
const BESIDE: [&str; 2] = ["-wal", "-shm"];
/// What the database is called that was there before.
const BEFORE: &str = "evenkeel.sqlite.before-restore";

/// A backup as the command line has it.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct BackupArgs {
    /// The file to write; one that exists is left alone.
    path: PathBuf,
    #[command(flatten)]
    flags: Flags,
}

/// A restoration as the command line has it.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct RestoreArgs {
    /// The file that a backup has written.
    path: PathBuf,
    #[command(flatten)]
    flags: Flags,
}

/// Copies the database into a file, while the tracker goes on.
pub(crate) fn backup(args: BackupArgs) -> anyhow::Result<String> {
    let (directory, path) = (directory(args.flags)?, args.path);
    let database = directory.join(FILE);
    ensure!(database.is_file(), "there is no database in {}", directory.display());
    ensure!(!path.exists(), "{} exists already", path.display());
    let aside = beside(&path, ".part");
    make(&database, &aside)?;
    fs::hard_link(&aside, &path).with_context(|| format!("cannot create {}", path.display()))?;
    fs::remove_file(&aside)?;
    sync_folder_of(&path)?;
    let bytes = path.metadata()?.len();
    Ok(format!("{} is written: {bytes} bytes\n", path.display()))
}

/// Puts the database of a backup in the place of the present one, which is kept beside it.
pub(crate) fn restore(args: RestoreArgs) -> anyhow::Result<String> {
    let directory = directory(args.flags)?;
    let path = args.path;
    ensure!(path.is_file(), "{} is not there", path.display());
    // As long as this is held, no tracker starts here.
    let state = StateDir::open(&directory)?;
    let database = state.path().join(FILE);
    let before = state.path().join(BEFORE);
    ensure!(
        !before.exists(),
        "{} is what an earlier restoration has replaced: move it away or remove it first",
        before.display()
    );
    let new = beside(&database, ".new");
    make(&path, &new)?;
    let mut text = String::new();
    if database.exists() {
        fs::rename(&database, &before)?;
        for end in BESIDE {
            let old = beside(&database, end);
            if old.exists() {
                fs::rename(&old, beside(&before, end))?;
            }
        }
        text = format!("; what was there is now {}", before.display());
    }
    fs::rename(&new, &database)?;
    sync_folder_of(&database)?;
    Ok(format!("{} is restored{text}\n", database.display()))
}

/// Copies with a bar, into a file for our eyes only. What a copy that failed has left is overwritten.
fn make(from: &Path, to: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", to.display());
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to).with_context(cannot)?;
    let style = ProgressStyle::with_template("{bar:40} {percent} %, {eta} left")?;
    let bar = ProgressBar::new(0).with_style(style);
    let copied = copy(from, to, &mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    if copied.is_err() {
        fs::remove_file(to).with_context(cannot)?;
    }
    copied.with_context(|| format!("cannot copy {}", from.display()))
}

/// The state directory; a server has tools of its own.
fn directory(flags: Flags) -> anyhow::Result<PathBuf> {
    let (_, config): (_, Config) = crate::load(flags)?;
    if config.database.url.is_some() {
        bail!("the database is on a server (database.url): use pg_dump and pg_restore");
    }
    Ok(state::choose(config.state.directory.as_deref(), |name| std::env::var_os(name)))
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// A file that was renamed is there after a power cut, too.
fn sync_folder_of(path: &Path) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(File::open(folder)?.sync_all()?)
}
