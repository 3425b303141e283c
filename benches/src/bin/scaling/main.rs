//! What more cores than there are would make of each path: a simulation of the
//! lines and locks that cores share, beside what one and two threads do.
//!
//! ```text
//! cargo run --release -p vellum-benches --bin scaling -- --help
//! ```
//!
//! What a path costs one core is measured first, through the real engine
//! ([`costs`]); how many lines and locks it shares is read from the code
//! ([`counts`]). The rest is [`machine`], [`world`] and [`group`].
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a report")]

mod costs;
mod counts;
mod group;
mod machine;
mod path;
mod picture;
mod report;
mod threads;
mod world;

use std::path::PathBuf;

use clap::Parser;
use vellum_benches::{Result, load, mem};

use costs::Costs;
use path::{Path, Variant};
use report::{CORES, Row};
use world::{Setup, simulate};

/// Simulates up to 64 cores on each path, and prints tables in Markdown.
#[derive(Debug, Parser)]
#[command(name = "scaling")]
struct Cli {
    /// Nanoseconds in which a line moves from one core to another.
    #[arg(long, default_value_t = 100)]
    line_ns: u64,
    /// Microseconds of an fsync. Default: as measured.
    #[arg(long)]
    fsync_us: Option<u64>,
    /// Of what a commit takes besides the store's part, how many percent are under
    /// the pipeline's lock. It cannot be told from outside; all of it is the worst.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(0..=100))]
    locked: u64,
    /// Records of 16 + 100 bytes.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    keys: u64,
    /// Operations that each simulation counts.
    #[arg(long, default_value_t = 200_000)]
    operations: u64,
    /// The picture.
    #[arg(long, default_value = "docs/img/scaling.svg")]
    svg: PathBuf,
    /// A directory for a database, on the disk that is meant.
    #[arg(long, default_value = "target/scaling")]
    scratch: PathBuf,
}

fn main() -> Result {
    let cli = Cli::parse();
    let (mut costs, measured) = measure(&cli)?;
    let here = threads::line();
    println!("{}", report::costs(&costs));
    println!("A line moves between two cores of this machine in {here} ns, measured.\n");
    for local in [&mut costs.memory, &mut costs.disk] {
        let outside = local.decide * (100 - cli.locked) / 100;
        (local.decide, local.put) = (local.decide - outside, local.put + outside);
    }
    let (mut rows, mut variants) = (Vec::new(), Vec::new());
    for (path, measured) in Path::ALL.into_iter().zip(measured) {
        let keys = usize::try_from(cli.keys)?;
        let (line_ns, operations) = (cli.line_ns, cli.operations);
        let variant = Variant::AsItIs;
        let setup = |cores| Setup { path, cores, line_ns, keys, operations, costs, variant };
        let outcomes = CORES.into_iter().map(|cores| simulate(setup(cores))).collect();
        if matches!(path, Path::Rmw | Path::RmwFsync) {
            let others =
                Variant::ALL.map(|variant| simulate(Setup { variant, ..setup(64) }).per_second);
            variants.push((path, others));
        }
        let here = simulate(Setup { line_ns: here, ..setup(2) }).per_second;
        rows.push(Row { path, outcomes, measured, here });
    }
    println!("{}", report::simulated(&rows));
    println!("{}", report::bottlenecks(&rows));
    println!("{}", report::variants(&variants));
    println!("{}", report::check(&rows, cli.line_ns, here));
    if let Some(dir) = cli.svg.parent() {
        std::fs::create_dir_all(dir)?;
    }
    std::fs::write(&cli.svg, picture::draw(&rows).to_string())?;
    println!("drawn in {}", cli.svg.display());
    Ok(())
}

/// What one core takes, and what one and two threads do of each path.
fn measure(cli: &Cli) -> Result<(Costs, Vec<[f64; 2]>)> {
    let keys = cli.keys;
    let memory = mem(keys)?;
    std::fs::create_dir_all(&cli.scratch)?;
    let dir = tempfile::tempdir_in(&cli.scratch)?;
    let disk = vellum::lsm::Builder::new(dir.path().join("db")).open()?;
    load(&disk, keys)?;
    let mut measured = Vec::new();
    for path in Path::ALL {
        let mut rate = [0.0; 2];
        for (threads, rate) in (1..).zip(&mut rate) {
            *rate = if path.is_on_disk() {
                threads::rate(&disk, path, keys, threads)?
            } else {
                threads::rate(&memory, path, keys, threads)?
            };
        }
        measured.push(rate);
    }
    let fsync = match cli.fsync_us {
        Some(us) => us.saturating_mul(1000),
        None => costs::fsync(&disk, keys)?,
    };
    let (wake, waking) = (threads::wake(), threads::waking());
    // Last: it writes behind the engine's back.
    let local = costs::local(&memory, keys, None)?;
    let costs = Costs {
        fsync,
        wake,
        waking,
        spin: costs::spin()?,
        memory: local,
        disk: costs::local(&disk, keys, Some(local.decide))?,
    };
    Ok((costs, measured))
}
