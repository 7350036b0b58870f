//! Measures evenkeel: what ought never to ship inside the server.
//!
//! `draws` judges the peer choice of the real core; loads, simulations and traces get commands of their own.

use clap::{Parser, Subcommand};

mod draws;

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
}

fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Draws(options) => draws::run(&options),
    }
}
