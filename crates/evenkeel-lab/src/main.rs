//! Measures evenkeel: what ought never to ship inside the server.
//!
//! * `draws` judges the peer choice of the real core, `choice` what it costs;
//! * `sim` lets communities live by it, and tells who fares how under which policy;
//! * `swarm` does so with real clients and the real program;
//! * `standing` lets members and cheaters live for a month, and tells what each has earned;
//! * `load` asks a tracker as fast as it answers, or at a rate, and measures both sides;
//! * `churn` opens and ends WebTorrent sockets in every way there is, for hours, and checks what comes back;
//! * `echo` is the ceiling that a load is compared with, `page` that over HTTP;
//! * `bench` loads several servers in turn and compares them.
//!
//! All but `draws`, `sim` and `standing` need Linux; all loads draw from one model, `population`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[cfg(target_os = "linux")]
mod bench;
#[cfg(target_os = "linux")]
mod choice;
#[cfg(target_os = "linux")]
mod churn;
#[cfg(target_os = "linux")]
mod community;
mod door;
mod draws;
#[cfg(target_os = "linux")]
mod echo;
#[cfg(target_os = "linux")]
mod load;
#[cfg(target_os = "linux")]
mod page;
#[cfg(target_os = "linux")]
mod population;
mod sim;
#[cfg(target_os = "linux")]
mod sources;
mod standing;
#[cfg(target_os = "linux")]
mod swarm;
#[cfg(target_os = "linux")]
mod system;
#[cfg(target_os = "linux")]
mod webtorrent;

/// Measures evenkeel.
#[derive(Parser)]
#[command(name = "evenkeel-lab", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Judges the peer choice: is every peer drawn equally often, and every list on its own?
    Draws(draws::Options),
    /// Simulates communities of good and bad users around the real core, and compares policies.
    Sim(sim::Options),
    /// Has real clients live by a policy of the real program, and measures who waits how long.
    #[cfg(target_os = "linux")]
    Swarm(swarm::Options),
    /// Simulates a month of honest members and cheaters, and judges what each has earned.
    Standing(standing::Options),
    /// Measures what it costs to choose peers.
    #[cfg(target_os = "linux")]
    Choice(choice::Options),
    /// Loads a tracker on this machine and measures what it answers and what it costs.
    #[cfg(target_os = "linux")]
    #[command(args_override_self = true)]
    Load(Box<load::Options>),
    /// Opens and ends WebTorrent sockets for a long time, and checks what they hear and what remains.
    #[cfg(target_os = "linux")]
    Churn(Box<churn::Options>),
    /// Answers every UDP packet without a thought: the ceiling for a tracker.
    #[cfg(target_os = "linux")]
    Echo(echo::Options),
    /// Answers every HTTP request with the same page: the ceiling for a tracker.
    #[cfg(target_os = "linux")]
    Page(page::Options),
    /// Compares servers side by side, in turn, on the same loads.
    #[cfg(target_os = "linux")]
    Bench(bench::Options),
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // What went wrong is the user's to mend, and no backtrace helps with that.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Draws(options) => draws::run(&options),
        Command::Sim(options) => sim::run(&options),
        Command::Standing(options) => standing::run(&options),
        #[cfg(target_os = "linux")]
        Command::Swarm(options) => swarm::run(&options),
        #[cfg(target_os = "linux")]
        Command::Choice(options) => choice::run(&options),
        #[cfg(target_os = "linux")]
        Command::Load(options) => load::run(&options),
        #[cfg(target_os = "linux")]
        Command::Churn(options) => churn::run(&options),
        #[cfg(target_os = "linux")]
        Command::Echo(options) => echo::run(&options),
        #[cfg(target_os = "linux")]
        Command::Page(options) => page::run(&options),
        #[cfg(target_os = "linux")]
        Command::Bench(options) => bench::run(&options),
    }
}
