//! Counts the instructions of requests and compares them with the baseline beside this file. Unlike time they are the
//! same in every run, so that a change which makes the engine slower is seen where it is made.
//!
//! `cargo bench -p evenkeel-core --bench instructions` compares; with `UPDATE_INSTRUCTIONS=1` it writes the baseline
//! anew. Each case runs in a process of its own under callgrind; `callgrind_annotate` reads what it leaves in
//! `target/tmp/instructions`.
//!
//! A count depends on the compiler, which is pinned, and on the C library: its allocator, and its functions for memory,
//! of which the processor chooses one (here none may choose). That is a few percent where memory is taken, and hardly
//! anything elsewhere; the tolerance is for it. Waiting for memory is not seen: `evenkeel-lab bench` measures that.
//!
//! An own harness of a hundred lines, since those that exist keep their baseline below `target/`, where no review sees
//! it, and bring a hundred crates.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use baseline::{TOLERANCE_PERCENT, compare, read, write};
use cases::{CASES, Case};

mod baseline;
mod cases;
#[path = "../../tests/allocations/crowd.rs"]
mod crowd;
#[expect(dead_code, reason = "shared with the tests in `core`, which need more of it")]
#[path = "../../tests/core/rig.rs"]
mod rig;

/// No functions for newer processors, so that all choose the same ones.
const OLD_PROCESSOR: &str = "glibc.cpu.hwcaps=-AVX2,-AVX,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM";

/// Given with the name of a case by the process that counts to the one that is counted.
const RUN: &str = "--run-case";

/// What has valgrind.
const INSTALL: &str = "crates/evenkeel-core/benches/instructions/install.sh";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == RUN) {
        let case = CASES.iter().find(|case| case.name == arguments[at + 1]).unwrap();
        println!("{}", (case.run)());
        return ExitCode::SUCCESS;
    }
    let counts: Vec<(&str, u64)> = CASES.iter().map(|case| (case.name, count(case))).collect();
    let path = baseline_path();
    if std::env::var_os("UPDATE_INSTRUCTIONS").is_some() {
        std::fs::write(&path, write(&counts)).unwrap();
        println!("wrote {}", path.display());
        return ExitCode::SUCCESS;
    }
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("{} has no baseline: nothing was compared", std::env::consts::ARCH);
        print!("{}", write(&counts));
        return ExitCode::SUCCESS;
    };
    let wrong = compare(&read(&text), &counts);
    if wrong.is_empty() {
        println!("{} counts of instructions are within {TOLERANCE_PERCENT} % of the baseline", counts.len());
        return ExitCode::SUCCESS;
    }
    eprintln!(
        "{}\nIf that is meant: `just update-instructions`, in a commit of its own that says why",
        wrong.join("\n")
    );
    ExitCode::FAILURE
}

/// Counts are those of an instruction set.
fn baseline_path() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions");
    folder.join(format!("baseline.{}.txt", std::env::consts::ARCH))
}

/// Instructions of one request.
fn count(case: &Case) -> u64 {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("instructions");
    std::fs::create_dir_all(&folder).unwrap();
    let profile = folder.join(case.name);
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--collect-atstart=no", "--toggle-collect=*cases*counted*"])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(std::env::current_exe().unwrap())
        .args([RUN, case.name])
        .env("GLIBC_TUNABLES", OLD_PROCESSOR)
        .output();
    let run = run.unwrap_or_else(|error| panic!("valgrind: {error}; {INSTALL} installs it"));
    assert!(run.status.success(), "{}: {}", case.name, String::from_utf8_lossy(&run.stderr));
    let requests: u64 = String::from_utf8_lossy(&run.stdout).trim().parse().unwrap();
    let profile = std::fs::read_to_string(profile).unwrap();
    let total = profile.lines().find_map(|line| line.strip_prefix("summary: ")).unwrap();
    let total: u64 = total.trim().parse().unwrap();
    assert!(total > 0, "{}: callgrind does not see the function `counted`", case.name);
    total / requests
}
