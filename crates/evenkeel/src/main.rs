//! The `evenkeel` program; everything is in the library beside it.

use std::process::ExitCode;

use clap::Parser;
use evenkeel::Verdict;
use evenkeel::args::Args;

/// Status of a start that was refused, as for a usage error.
const REFUSED: u8 = 2;

fn main() -> ExitCode {
    match evenkeel::run(Args::parse()) {
        Ok(Verdict::Well) => ExitCode::SUCCESS,
        Ok(Verdict::Unwell) => ExitCode::FAILURE,
        Err(error) => {
            // Errors of this program name their sources in their own sentence.
            eprintln!("evenkeel: {error:#}");
            ExitCode::from(REFUSED)
        }
    }
}
