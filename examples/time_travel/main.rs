//! Time travel through the history of a git repository.
//!
//! ```text
//! cargo run --release --example time_travel -- [PATH] [--all] [options]
//! ```
//!
//! Every commit becomes one transaction and one saved version that carries the
//! commit's message, author and time. Then the database is closed and
//! reopened, and what it says is compared with what git says: every file of a
//! version with the tree of its commit, the difference between two versions
//! with `git diff-tree`, and the head after a revert. Threads read old
//! versions while the import runs. Any difference makes it exit with 1.
//!
//! `import` writes, `verify` and `revert` compare, `git` and `blobs` are the
//! other side of the comparison, `layout` says what lies where.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

mod args;
mod blobs;
mod disk;
mod git;
mod history;
mod import;
mod layout;
mod pipe;
mod readers;
mod report;
mod revert;
mod verify;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use vellum::{Connection, Options, Stats, VerifyReport, VersionSet};

use args::{Args, Backend};
use git::{Commit, Repo};
use import::Imported;
use revert::Reverted;
use verify::{Checker, Findings, Tally};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, BoxError>;

fn main() -> ExitCode {
    match run(std::env::args_os().skip(1)) {
        Ok(None) => {
            println!("{}", args::HELP);
            ExitCode::SUCCESS
        }
        Ok(Some(report)) => {
            println!("{report}");
            if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(e) => {
            eprintln!("time_travel: {e}");
            ExitCode::FAILURE
        }
    }
}

/// What was done and found.
#[derive(Debug)]
pub(crate) struct Report {
    repo: Repo,
    rev: String,
    commits: usize,
    imported: Option<Imported>,
    stats: Stats,
    reopened: Option<Duration>,
    stored: VerifyReport,
    verified: (Tally, Duration),
    reverted: Option<Reverted>,
    disk_bytes: Option<u64>,
    git_bytes: u64,
    kept: Option<PathBuf>,
    findings: Findings,
}

impl Report {
    /// Whether no difference was found.
    pub(crate) fn is_clean(&self) -> bool {
        self.findings.count() == 0
    }
}

/// Does what the command line asks for; `None` if it asks for help.
pub(crate) fn run(args: impl IntoIterator<Item = OsString>) -> Result<Option<Report>> {
    let Some(args) = Args::parse(args)? else { return Ok(None) };
    let repo = Repo::open(&args.path)?;
    let mut commits = repo.commits(&args.rev)?;
    commits.truncate(args.commits.unwrap_or(usize::MAX));
    let options = Options::new().durability(args.durability);
    let report = match args.backend {
        Backend::Mem => travel(&args, repo, &commits, None, |_| vellum::mem::open(options))?,
        Backend::Lsm => {
            let scratch = tempfile::tempdir()?;
            let dir = args.keep.clone().unwrap_or_else(|| scratch.path().join("history"));
            let open = |dir: &Path| vellum::lsm::Builder::new(dir).options(options).open();
            let place = Place { dir: &dir, scratch: scratch.path() };
            travel(&args, repo, &commits, Some(place), open)?
        }
    };
    Ok(Some(report))
}

/// Where a database lies that outlives its closing.
#[derive(Clone, Copy, Debug)]
struct Place<'a> {
    dir: &'a Path,
    scratch: &'a Path,
}

/// Imports, reopens, verifies and reverts.
fn travel<C: Connection>(
    args: &Args,
    repo: Repo,
    commits: &[Commit],
    place: Option<Place<'_>>,
    open: impl Fn(&Path) -> vellum::Result<C>,
) -> Result<Report> {
    let findings = Findings::default();
    let mut db = open(place.map_or(Path::new(""), |p| p.dir))?;
    let mut imported = None;
    if !args.verify_only {
        if db.versions()?.len() + usize::from(db.stats()?.head_ts > vellum::Timestamp::ZERO) > 0 {
            return Err("the database to import into is not empty".into());
        }
        imported = Some(import::import(&db, &repo, commits, args, &findings)?);
    }
    let stats = db.stats()?;
    let mut reopened = None;
    if let Some(place) = place {
        db.close()?;
        let begun = Instant::now();
        db = open(place.dir)?;
        reopened = Some(begun.elapsed());
    }
    let stored = db.verify()?;
    let verified = verify::verify(&db, &repo, commits, args, &findings)?;

    let mut disk_bytes = None;
    if let Some(place) = place {
        // Reverting removes versions: what is kept should have them all.
        db.close()?;
        disk_bytes = Some(disk::disk_bytes(place.dir)?);
        let copy = place.scratch.join("reverted");
        disk::copy_dir(place.dir, &copy)?;
        db = open(&copy)?;
    }
    let mut reverted = None;
    if findings.count() == 0 {
        let mut checker = Checker::start(&repo, commits, args.allow_missing, &findings)?;
        reverted = Some(revert::revert(&db, commits.len(), &mut checker, &findings)?);
    }
    db.close()?;
    let git_bytes = repo.disk_bytes()?;
    let (rev, kept) = (args.rev.clone(), args.keep.clone());
    let commits = commits.len();
    Ok(Report {
        repo,
        rev,
        commits,
        imported,
        stats,
        reopened,
        stored,
        verified,
        reverted,
        disk_bytes,
        git_bytes,
        kept,
        findings,
    })
}
