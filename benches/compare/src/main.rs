//! Vellum measured beside what a user would pick instead, in one run, on the
//! same work.
//!
//! ```text
//! cargo run --release --manifest-path benches/compare/Cargo.toml -- run --quick
//! cargo run --release --manifest-path benches/compare/Cargo.toml -- --help
//! ```
//!
//! # How it works
//! One process runs the comparison ([`run`]). Every engine has a process of its
//! own ([`child`], [`worker`]), which is asked for one measurement at a time by
//! lines of text ([`protocol`]). While one is measured, the others are stopped,
//! with their flushes and compactions. Each cell, a workload with so many
//! threads ([`cells`]), goes around all engines, in another order every round,
//! so that what changes on the machine changes for all.
//!
//! # What must hold
//! 1. Nothing wrong is timed: workers check what they read and what their
//!    commits add up to, and a wrong answer is reported instead of a figure.
//! 2. Every figure is written down as it comes ([`results`]): what was measured
//!    stays when the run ends early, and the report is made from it alone.
//! 3. No engine stops the run: one that fails, or takes too long, gets a `-`
//!    and the reason.

mod alloc;
mod args;
mod cells;
mod child;
mod data;
mod device;
mod drive;
mod engine;
mod engines;
mod growth;
mod held;
mod histogram;
#[path = "../../src/keys.rs"]
mod keys;
mod list;
mod machine;
mod markdown;
mod ops;
mod pictures;
mod plan;
mod protocol;
mod report;
mod results;
mod run;
mod saved;
mod space;
mod stats;
#[path = "../../src/svg.rs"]
mod svg;
mod table;
mod worker;
mod zipf;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Cli, Command};

/// What goes wrong stops a measurement, and says why.
type Error = Box<dyn std::error::Error + Send + Sync>;

/// The same, or a value.
type Result<T = (), E = Error> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Report(args) => report::report(&args),
        Command::List => list::list(),
        Command::Growth(args) => growth::draw(&args),
        Command::Worker(args) => worker::serve(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}
