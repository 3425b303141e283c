//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Tests the engine for as long as you like, on every backend.
///
/// Each command takes a seed, shows its progress, and ends with one line of
/// figures. When something is wrong it prints the seed, the shortest story it
/// found and the command that runs it again, and exits with 1; it exits with 2
/// when it cannot run, and with 3 when something hangs.
#[derive(Debug, Parser)]
#[command(
    name = "vellum-proof",
    version,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Everything below in turns, until the time is over.
    Soak(Soak),
    /// Concurrent random workloads, recorded and checked for serializability.
    Histories(Run),
    /// Concurrent random workloads of lists, judged by the checker `adya` too.
    Opinions(Run),
    /// Every interleaving of small sets of transactions.
    Worlds(Run),
    /// Random histories of single steps beside the reference model.
    Walks(Run),
    /// Threads that write as fast as they can, into buffers that are always full (lsm).
    Floods(Run),
    /// kill -9 at random moments under load (lsm).
    Kills(Run),
    /// The states that a power loss can leave, each reopened (lsm).
    Power(Run),
    /// A failure at each of the system calls of a run (lsm).
    Faults(Run),
    /// Checks a history that a failing run has left in a file.
    Check {
        /// The file, one JSON value a line.
        file: PathBuf,
    },
    /// Puts a figure that another tool measured into the table.
    Record(Record),
}

/// What all that run have in common.
#[derive(Args, Clone, Debug)]
pub(crate) struct Common {
    /// The seed of everything random.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Which backend.
    #[arg(long, value_enum, default_value_t = Which::All)]
    pub(crate) backend: Which,
    /// A folder for databases. Default: memory, where the system has /dev/shm.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) scratch: Option<PathBuf>,
    /// Writes the figures into this page. Default page: docs/figures.md.
    #[arg(long, value_name = "PAGE", num_args = 0..=1, default_missing_value = "docs/figures.md")]
    pub(crate) record: Option<PathBuf>,
    /// After how many seconds without a sign of life a round counts as hung.
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub(crate) patience: u64,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Soak {
    /// For how long, in minutes.
    #[arg(long, default_value_t = 10.0)]
    pub(crate) minutes: f64,
    /// Runs this round alone, as a failure asks for.
    #[arg(long)]
    pub(crate) round: Option<u64>,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Run {
    /// How much, in the unit of the command: transactions, interleavings,
    /// histories, kills, states or failures.
    #[arg(long)]
    pub(crate) budget: Option<u64>,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Record {
    /// What was counted.
    #[arg(long)]
    pub(crate) figure: String,
    /// Where.
    #[arg(long, default_value = "all")]
    pub(crate) backend: String,
    /// How much of it.
    #[arg(long)]
    pub(crate) reached: String,
    /// How much of it was wrong, or is not explained.
    #[arg(long, default_value = "0")]
    pub(crate) wrong: String,
    /// What repeats it.
    #[arg(long)]
    pub(crate) command: String,
    /// The page.
    #[arg(long, default_value = "docs/figures.md")]
    pub(crate) page: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Which {
    /// In memory.
    Mem,
    /// On disk.
    Lsm,
    /// Both, at the same time.
    All,
}
