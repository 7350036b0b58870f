//! What the policies have to show, and whether they do.

mod rows;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use evenkeel_core::{Policy, Preset};
use serde::Serialize;

use self::rows::Row;
use super::batch::{self, Job, Run};
use super::best_response::SHARES;
use super::cells::{Arm, arms, find};
use super::regime::{Regime, Setup};
use super::{equilibrium, plot, table, write};

/// A proof.
#[derive(clap::Args)]
pub(super) struct Options {
    /// Seeds of chance: ones that nothing was tuned with.
    #[arg(long, value_delimiter = ',', default_value = "901,902,903,904,905")]
    seeds: Vec<u64>,
    /// File for the report; standard output by default.
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// File for the report and all runs as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Folder for plots.
    #[arg(long)]
    svg: Option<PathBuf>,
    /// Runs everything small and short, and judges nothing.
    #[arg(long)]
    smoke: bool,
}

/// All that a proof leaves behind.
#[derive(Serialize)]
struct Proof<'a> {
    rows: &'a [Row],
    runs: &'a [Run],
}

/// Cells with the policies that are compared in them; the first is what the others are compared with.
const REGIMES: [&str; 6] =
    ["random", "rbs", "rbs-aggressive", "tier-backoff", "tier-backoff-symmetric", "list-ratio"];
const SHORT: [&str; 2] = ["random", "rbs"];
const SEEDING: [&str; 5] = ["random", "list-ratio", "tier-backoff-symmetric", "rbs", "rbs-aggressive"];

/// Regimes are looked at in communities so many times as large as elsewhere, on as many times the torrents: of 400 users each,
/// five seeds told what a balanced community pays only to 3 % more or less, where 3 % are allowed.
const COMMUNITIES: usize = 3;
/// Good users that come during a run in which newcomers are looked at, for each 400 others: one in ten more, so that the
/// community stays what it is.
const NEWCOMERS: usize = 40;
/// As [`COMMUNITIES`], for newcomers: of forty, five seeds told the third download only to a quarter more or less.
const COMMUNITIES_WITH_NEWCOMERS: usize = 8;

pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    ensure!(!options.seeds.is_empty(), "a seed is needed");
    let seeds = if options.smoke { &options.seeds[..1] } else { &options.seeds[..] };
    let runs = batch::run(&jobs(seeds, options.smoke)?);
    let arms = arms(&runs);
    let rows = rows::all(&arms);
    let report = report(&rows, &arms, seeds);
    if let Some(path) = &options.json {
        write(path, &(serde_json::to_string_pretty(&Proof { rows: &rows, runs: &runs })? + "\n"))?;
    }
    if let Some(folder) = &options.svg {
        draw(folder, &arms)?;
    }
    match &options.markdown {
        Some(path) => write(path, &report)?,
        None => print!("{report}"),
    }
    let missed: Vec<&str> = rows.iter().filter(|row| row.is_missed()).map(|row| row.what.as_str()).collect();
    ensure!(
        options.smoke || missed.is_empty(),
        "{} of {} fall short: {}",
        missed.len(),
        rows.len(),
        missed.join("; ")
    );
    Ok(())
}

fn jobs(seeds: &[u64], is_smoke: bool) -> anyhow::Result<Vec<Job>> {
    let mut cells: Vec<(String, Setup, &[&str])> = Vec::new();
    for regime in [Regime::Scarce, Regime::Balanced, Regime::Plenty, Regime::OneSeed] {
        cells.push((regime.name().to_owned(), times(COMMUNITIES, &Setup::new(regime)), &REGIMES));
    }
    let scarce = || Setup::new(Regime::Scarce);
    let newcomers = times(COMMUNITIES_WITH_NEWCOMERS, &Setup { newcomers: NEWCOMERS, ..scarce() });
    cells.push(("newcomers".to_owned(), newcomers, &SHORT));
    cells.push(("pex 1".to_owned(), Setup { pex: 1.0, ..scarce() }, &SHORT));
    cells.push(("connectable 60 %".to_owned(), Setup { connectable: 60.0, ..scarce() }, &SHORT));
    cells.push(("large".to_owned(), Setup::new(Regime::Large), &SHORT));
    for share in SHARES {
        cells.push((equilibrium::cell(share), scarce().with_seeding_share(share), &SEEDING));
    }
    let mut jobs = Vec::new();
    for (cell, mut setup, policies) in cells {
        if is_smoke {
            setup = Setup { users: 40, torrents: 8, days: 0.25, newcomers: setup.newcomers / 10, ..setup };
        }
        for name in policies {
            let policy: Policy = name.parse().ok().with_context(|| format!("no policy is called {name}"))?;
            let (cell, setup) = (&cell, &setup);
            jobs.extend(seeds.iter().map(|seed| Job {
                cell: cell.clone(),
                setup: setup.clone(),
                policy,
                seed: *seed,
            }));
        }
    }
    Ok(jobs)
}

/// A community `count` times as large.
fn times(count: usize, setup: &Setup) -> Setup {
    let Setup { users, torrents, newcomers, .. } = *setup;
    Setup { users: count * users, torrents: count * torrents, newcomers: count * newcomers, ..setup.clone() }
}

fn report(rows: &[Row], arms: &[Arm<'_>], seeds: &[u64]) -> String {
    let missed = rows.iter().filter(|row| row.is_missed()).count();
    let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
    let mut out = format!(
        "* verdict: {}\n* seeds: {}; ranges are 95 % confidence intervals over them, paired by seed\n\n",
        if missed == 0 { "passed".to_owned() } else { format!("{missed} of {} rows FAIL", rows.len()) },
        seeds.join(", ")
    );
    out += &rows::markdown(rows);
    out += "\n## All cells\n\nSeconds for each GB of a download, in brackets over those of the first policy; the other \
            columns as a change to it.\n";
    for group in arms.chunk_by(|a, b| a.cell == b.cell) {
        write!(out, "\n{}", table::markdown(group)).ok();
    }
    out += "\n## Tiers\n\nWhere the classes are, in percent of their time, in the scarce regime.\n\n";
    let rationed: Vec<Arm<'_>> = find(arms, "scarce", Policy::Rbs(Preset::Default)).into_iter().collect();
    out += &table::tiers(&rationed);
    out += "\n## Where communities come to rest\n\n";
    out += &equilibrium::report(arms);
    out
}

/// The plots of the documents.
fn draw(folder: &Path, arms: &[Arm<'_>]) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let scarce: Vec<Arm<'_>> = arms.iter().filter(|arm| arm.cell == "scarce").copied().collect();
    write(&folder.join("sim-times.svg"), &plot::times("Who waits how long: scarce uplinks", &scarce))?;
    write(&folder.join("sim-cost.svg"), &plot::costs(arms, &["scarce", "balanced", "plenty"]))?;
    if let Some(arm) = find(arms, "scarce", Policy::Rbs(Preset::Default)) {
        write(
            &folder.join("sim-tiers.svg"),
            &plot::tiers("Where the classes are: scarce uplinks, rbs", &arm),
        )?;
    }
    write(&folder.join("sim-leaving.svg"), &equilibrium::chart(arms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_proof_fills_every_row_and_every_plot() {
        let runs = batch::run(&jobs(&[1], true).unwrap());
        let arms = arms(&runs);
        let rows = rows::all(&arms);
        let report = report(&rows, &arms, &[1]);
        assert!(
            rows.len() >= 30 && report.contains("| scarce |") && report.contains("mean cost"),
            "{report}"
        );
        let folder = tempfile::tempdir().unwrap();
        draw(folder.path(), &arms).unwrap();
        for name in ["sim-times.svg", "sim-cost.svg", "sim-tiers.svg", "sim-leaving.svg"] {
            let plot = std::fs::read_to_string(folder.path().join(name)).unwrap();
            assert!(plot.ends_with("</svg>\n") && !plot.contains("NaN"), "{name}: {plot}");
        }
    }
}
