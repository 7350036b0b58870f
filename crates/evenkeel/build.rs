//! Tells the program which commit it was built from.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=EVENKEEL_VERSION={} ({})", env!("CARGO_PKG_VERSION"), commit());
}

fn commit() -> String {
    // Sources unpacked inside somebody else's repository must not take that one's commit for theirs.
    if git(&["ls-files", "--error-unmatch", "build.rs"]).is_none() {
        return "commit unknown".to_owned();
    }
    watch();
    let hash = git(&["rev-parse", "--short=10", "HEAD"]);
    let date = git(&["show", "--no-patch", "--format=%cs", "HEAD"]);
    match (hash, date) {
        (Some(hash), Some(date)) => format!("commit {hash}, {date}"),
        _ => "commit unknown".to_owned(),
    }
}

/// Builds again when another commit is checked out or made. A path that does not exist would build each time.
fn watch() {
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for name in [Some("HEAD".to_owned()), branch, Some("packed-refs".to_owned())].into_iter().flatten() {
        if let Some(path) = git(&["rev-parse", "--git-path", &name])
            && Path::new(&path).exists()
        {
            println!("cargo::rerun-if-changed={path}");
        }
    }
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
