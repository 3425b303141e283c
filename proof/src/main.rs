//! The long runs that test Vellum, for anyone to repeat.
//!
//! ```text
//! cargo run --release -p vellum-proof -- soak --minutes 60 --seed 7
//! cargo run --release -p vellum-proof -- --help
//! ```
//!
//! The checks themselves stand in `vellum-conformance`; this program runs them
//! on our backends for as long as asked, in turns ([`soak`]) or one by one,
//! and writes the figures into a page of the book ([`figures`]).
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

mod args;
mod crashes;
mod figures;
mod floods;
mod histories;
mod opinions;
mod places;
mod progress;
mod run;
mod soak;
mod tally;
mod task;
mod tasks;
mod walks;
mod worlds;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Cli, Command};
use figures::Figure;

/// What was found wrong, in words for the user.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How a run begins that repeats it.
const COMMAND: &str = "cargo run --release -p vellum-proof --";

fn main() -> ExitCode {
    // A child process that is to be killed does its work here and never returns.
    vellum_conformance::crash::run_child_if_asked(&crashes::Small);
    let done = match Cli::parse().command {
        Command::Soak(args) => run::run_soak(&args),
        Command::Histories(args) => run::run_task("histories", &args),
        Command::Opinions(args) => run::run_task("opinions", &args),
        Command::Worlds(args) => run::run_task("worlds", &args),
        Command::Walks(args) => run::run_task("walks", &args),
        Command::Floods(args) => run::run_task("floods", &args),
        Command::Kills(args) => run::run_task("kills", &args),
        Command::Power(args) => run::run_task("power", &args),
        Command::Faults(args) => run::run_task("faults", &args),
        Command::Check { file } => histories::check_file(&file),
        Command::Record(row) => record(&row),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("proof: {e}");
            ExitCode::from(2)
        }
    }
}

/// Puts in a figure that another tool measured.
fn record(row: &args::Record) -> Result<bool, Failure> {
    let figure = Figure::today(&row.figure, &row.backend, row.reached.clone(), row.command.clone());
    let figure = Figure { wrong: row.wrong.clone(), ..figure };
    figures::record(&row.page, &[figure])?;
    Ok(true)
}
