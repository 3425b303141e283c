//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Measures Vellum beside other engines, each in a process of its own, by turns.
///
/// `run` measures and writes the report; `report` writes it again from the
/// saved results; `list` shows the engines and workloads. A whole run takes
/// about an hour, `run --quick` five minutes.
#[derive(Debug, Parser)]
#[command(name = "vellum-compare", max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measures, and writes the report.
    Run(RunArgs),
    /// Writes the report from saved results.
    Report(ReportArgs),
    /// Shows the engines and workloads.
    List,
    /// Draws what `growth` of the benchmarks measured.
    Growth(GrowthArgs),
    /// The process of one engine.
    #[command(hide = true)]
    Worker(WorkerArgs),
}

/// Options of `run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Five minutes: 100,000 records, 40 ms a cell.
    #[arg(long)]
    pub quick: bool,
    /// Only these engines, or groups (`mem`, `disk`), separated by commas.
    #[arg(long, value_delimiter = ',')]
    pub engines: Vec<String>,
    /// Only workloads whose names begin so, separated by commas.
    #[arg(long, value_delimiter = ',')]
    pub workloads: Vec<String>,
    /// How often each cell is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub rounds: u64,
    /// How often what takes long is measured: loads, opening, a held snapshot,
    /// versions. Default: 3, or 1 with --quick.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub long_rounds: Option<u64>,
    /// Records that are loaded. Default: 1,000,000, or 100,000 with --quick.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1000..=100_000_000))]
    pub records: Option<u64>,
    /// Milliseconds of a measurement. Default: 200, or 40 with --quick.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub cell_ms: Option<u64>,
    /// Saved versions. Default: 1,000, or 200 with --quick.
    #[arg(long, value_parser = clap::value_parser!(u64).range(2..=100_000))]
    pub versions: Option<u64>,
    /// Seconds that a single request may take before its engine is stopped.
    #[arg(long, default_value_t = 180, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub patience: u64,
    /// The order of the engines, and the keys.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Where the results go.
    #[arg(long, default_value = "target/compare")]
    pub out: PathBuf,
    /// Where the engines keep their data: on the device to be measured. Default:
    /// in the directory of the results.
    #[arg(long)]
    pub data: Option<PathBuf>,
}

/// Options of `report`.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// Where the results are.
    #[arg(long, default_value = "target/compare")]
    pub out: PathBuf,
    /// A page to rewrite between its markers; beside it go its tables, to pages of
    /// their own (`…-mem.md`, `…-disk.md`), and its pictures, to `img/`.
    #[arg(long)]
    pub docs: Option<PathBuf>,
}

/// Options of `growth`.
#[derive(Clone, Debug, Args)]
pub struct GrowthArgs {
    /// The file that it wrote.
    #[arg(long, default_value = "target/growth.csv")]
    pub from: PathBuf,
    /// Where the pictures go.
    #[arg(long, default_value = "docs/img")]
    pub to: PathBuf,
}

/// Options of a worker.
#[derive(Clone, Debug, Args)]
pub struct WorkerArgs {
    /// The engine.
    #[arg(long)]
    pub engine: String,
    /// Its directory.
    #[arg(long)]
    pub dir: PathBuf,
    /// Records to load.
    #[arg(long)]
    pub records: u64,
    /// Whether to count the bytes of the heap.
    #[arg(long)]
    pub count: bool,
}
