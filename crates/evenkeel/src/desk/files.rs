//! `.torrent` files: in, and out with a user's announce URL.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::{Desk, bulk};

/// Whether what stands on the command line are files and not the fields of a row.
pub(super) fn are_files(given: &[String]) -> bool {
    !given.is_empty()
        && given.iter().all(|path| Path::new(path).extension().is_some_and(|of| of == "torrent"))
}

/// Makes a torrent of each.
pub(super) fn add(desk: &Desk, paths: &[String]) -> anyhow::Result<String> {
    let mut rows = Vec::new();
    let progress = bulk::progress(paths.len());
    for path in paths {
        let add = || {
            let file = std::fs::read(path)?;
            desk.run(desk.admin.upload(file))
        };
        rows.push(add().with_context(|| format!("{path} is not taken{}", bulk::after(rows.len(), "taken")))?);
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(if let [row] = &rows[..] { desk.one(row) } else { desk.many(rows) })
}

/// Writes the file of a torrent; one that exists is left alone.
pub(super) fn download(
    desk: &Desk,
    id: &str,
    passkey: Option<&str>,
    out: Option<PathBuf>,
) -> anyhow::Result<String> {
    let id = desk.id_of(id)?;
    let out = out.unwrap_or_else(|| PathBuf::from(format!("{id}.torrent")));
    let file = desk.run(desk.admin.download(id, passkey))?;
    let mut to = File::create_new(&out).with_context(|| format!("cannot create {}", out.display()))?;
    to.write_all(&file).with_context(|| format!("cannot write {}", out.display()))?;
    Ok(format!("{} is written\n", out.display()))
}
