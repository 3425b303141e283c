//! What time and space cost as work grows: more records, more saved versions,
//! more threads.
//!
//! ```text
//! cargo run --release -p vellum-benches --bin growth -- --help
//! ```
//!
//! Each point is measured in a process of its own, so that one's memory and
//! caches are not another's, and is written to the file as soon as it is there.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a report")]

mod point;
mod records;
mod threads;
mod versions;

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::{Args, Parser, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use vellum_benches::Result;

use point::{Point, Subject};

/// Measures what time and space cost as work grows, and writes a CSV file.
#[derive(Debug, Parser)]
#[command(name = "growth")]
struct Cli {
    #[command(subcommand)]
    hidden: Option<Hidden>,
    #[command(flatten)]
    plan: Plan,
}

#[derive(Debug, Subcommand)]
enum Hidden {
    /// One point, in a process of its own: what the other processes run.
    #[command(hide = true)]
    Point {
        axis: Axis,
        backend: Backend,
        x: u64,
        /// An empty directory.
        dir: PathBuf,
    },
}

#[derive(Args, Debug)]
struct Plan {
    /// What grows. Default: each in turn.
    #[arg(long, value_enum)]
    axis: Vec<Axis>,
    /// Default: both.
    #[arg(long, value_enum)]
    backend: Vec<Backend>,
    /// The largest point of `records` in memory.
    #[arg(long, default_value_t = 10_000_000)]
    max_mem: u64,
    /// The largest point of `records` on disk: some 300 bytes each while it is
    /// being written.
    #[arg(long, default_value_t = 100_000_000)]
    max_lsm: u64,
    /// The largest point of `versions`.
    #[arg(long, default_value_t = 10_000)]
    max_versions: u64,
    /// The largest point of `threads`.
    #[arg(long, default_value_t = 64)]
    max_threads: u64,
    /// The file that rows are added to.
    #[arg(long, default_value = "target/growth.csv")]
    out: PathBuf,
    /// A directory for databases, on the disk that is meant.
    #[arg(long, default_value = "target/growth")]
    scratch: PathBuf,
}

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Axis {
    /// Records of 16 + 100 bytes.
    Records,
    /// Saved versions, each 100 changes after the one before, of 100,000 records.
    Versions,
    /// Threads at once on 100,000 records.
    Threads,
}

/// Where the data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Backend {
    Mem,
    Lsm,
}

fn main() -> Result {
    let cli = Cli::parse();
    match cli.hidden {
        Some(Hidden::Point { axis, backend, x, dir }) => measure(axis, backend, x, &dir),
        None => run(&cli.plan),
    }
}

/// Measures one point, and prints its rows.
fn measure(axis: Axis, backend: Backend, x: u64, dir: &Path) -> Result {
    let subject = match backend {
        Backend::Mem => Subject::Mem,
        Backend::Lsm => Subject::Lsm(dir.join("db")),
    };
    let mut point = Point::default();
    match axis {
        Axis::Records => records::measure(&subject, x, &mut point)?,
        Axis::Versions => versions::measure(&subject, x, &mut point)?,
        Axis::Threads => threads::measure(&subject, x, &mut point)?,
    }
    print!("{}", point.rows());
    Ok(())
}

/// Measures every point, each in a process of its own.
fn run(plan: &Plan) -> Result {
    let chosen = |axis| plan.axis.is_empty() || plan.axis.contains(&axis);
    let mut points = Vec::new();
    for backend in [Backend::Mem, Backend::Lsm] {
        if !plan.backend.is_empty() && !plan.backend.contains(&backend) {
            continue;
        }
        let max = if backend == Backend::Mem { plan.max_mem } else { plan.max_lsm };
        let ladders = [
            (Axis::Records, ladder(10_000.min(max), max, 10)),
            (Axis::Versions, ladder(1, plan.max_versions, 10)),
            (Axis::Threads, ladder(1, plan.max_threads, 2)),
        ];
        for (axis, xs) in ladders.into_iter().filter(|&(axis, _)| chosen(axis)) {
            points.extend(xs.into_iter().map(|x| (axis, backend, x)));
        }
    }
    // The small ones first: what takes longest comes when all else is there.
    points.sort_by_key(|&(axis, _, x)| if axis == Axis::Records { x } else { 0 });
    let mut out = create(&plan.out)?;
    let style = "{elapsed_precise} [{bar:30}] {pos}/{len} {msg}";
    let bar =
        ProgressBar::new(points.len() as u64).with_style(ProgressStyle::with_template(style)?);
    for (axis, backend, x) in points {
        let (axis, backend) = (name(axis), name(backend));
        bar.set_message(format!("{axis} {backend} {x}"));
        let rows = in_process(&axis, &backend, x, &plan.scratch)?;
        for row in rows.lines() {
            writeln!(out, "{axis},{backend},{x},{row}")?;
            bar.println(format!("{axis:<9} {backend:<4} {x:>10}  {row}"));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    println!("written to {}", plan.out.display());
    Ok(())
}

/// From `from` to `to`, each so many times the one before.
fn ladder(from: u64, to: u64, factor: u64) -> Vec<u64> {
    std::iter::successors(Some(from), |x| x.checked_mul(factor)).take_while(|&x| x <= to).collect()
}

/// The file, to be added to; a new one gets a line of names.
fn create(path: &Path) -> Result<File> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let is_new = !path.exists();
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    if is_new {
        writeln!(file, "axis,backend,x,metric,unit,median,low,high")?;
    }
    Ok(file)
}

/// The rows of one point, by another process of this program.
fn in_process(axis: &str, backend: &str, x: u64, scratch: &Path) -> Result<String> {
    std::fs::create_dir_all(scratch)?;
    let dir = tempfile::tempdir_in(scratch)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["point", axis, backend, &x.to_string()]).arg(dir.path());
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{axis} {backend} {x}: {}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// What it is called on the command line.
fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}
