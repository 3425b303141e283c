//! The process that is to die: it runs a ledger and says what it does.
//!
//! Its parent reads lines from its standard output. They are written with one
//! `writev` each, a call that no backend of ours uses, so that a failure which
//! is injected into the calls of a backend never hits them.
//!
//! ```text
//! try N              step N begins; N counts from 1
//! ack N TS           step N is acknowledged, with this commit timestamp (or 0)
//! err N KIND TEXT    it failed
//! after KIND         what a commit after the failure came to
//! wrong TEXT         something that was read is not what it must be
//! ```

use std::fs::File;
use std::io::{IoSlice, Write as _};
use std::path::{Path, PathBuf};

use vellum_core::{
    Connection, ConnectionExt, Durability, Error, KeyRange, Metadata, Options, Pruning, Result,
    Retry, SaveOptions, TxnOptions, Version, WriteTxn,
};

use super::judge::{AFTER, message_of, read_all};
use super::ledger::{Ledger, Step, value_of};
use super::{Subject, threads};

/// What the child is to do, in its environment.
const VARIABLE: &str = "VELLUM_CRASH_CHILD";

/// The length of the values that fill a database, in bytes.
const FILLING: usize = 1 << 20;

/// What each line begins with: a test runner may have said something before,
/// on the same line.
const MARK: &str = "@@ ";

/// What the child said on a line, if it is one of its lines.
pub(super) fn said(line: &str) -> Option<&str> {
    line.split_once(MARK).map(|(_, said)| said)
}

/// What a child does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// The steps of a ledger.
    Ledger { seed: u64, steps: usize },
    /// Transactions of several threads, until it is killed.
    Threads { seed: u64 },
    /// Values that nobody reads, of so many bytes in all.
    Fill { bytes: u64 },
    /// Opening and closing.
    Open,
}

impl Job {
    /// For the environment of the child.
    pub(super) fn variable(&self, dir: &Path) -> (&'static str, std::ffi::OsString) {
        let (job, seed, steps) = match self {
            Self::Ledger { seed, steps } => ("ledger", *seed, *steps),
            Self::Threads { seed } => ("threads", *seed, 0),
            Self::Fill { bytes } => ("fill", *bytes, 0),
            Self::Open => ("open", 0, 0),
        };
        let mut value = std::ffi::OsString::from(format!("{job} {seed} {steps} "));
        value.push(dir);
        (VARIABLE, value)
    }

    fn asked() -> Option<(Self, PathBuf)> {
        let value = std::env::var(VARIABLE).ok()?;
        let mut words = value.splitn(4, ' ');
        let (job, seed) = (words.next()?, words.next()?.parse().ok()?);
        let (steps, dir) = (words.next()?.parse().ok()?, PathBuf::from(words.next()?));
        let job = match job {
            "ledger" => Self::Ledger { seed, steps },
            "threads" => Self::Threads { seed },
            "fill" => Self::Fill { bytes: seed },
            _ => Self::Open,
        };
        Some((job, dir))
    }
}

/// The way to the parent.
#[derive(Debug)]
pub(super) struct Out(File);

impl Out {
    fn open() -> std::io::Result<Self> {
        File::options().write(true).open("/proc/self/fd/1").map(Self)
    }

    /// Says a line; a parent that is gone is the end of the child.
    pub(super) fn say(&self, line: &str) {
        let line = format!("{MARK}{}\n", line.replace('\n', " "));
        if (&self.0).write_vectored(&[IoSlice::new(line.as_bytes())]).is_err() {
            std::process::exit(4);
        }
    }
}

/// Does what a parent asked this process to do, if it was asked: then it does
/// not return.
///
/// A program that is to be crashed calls this first in `main`; a test binary
/// has a test that does nothing else.
pub fn run_child_if_asked<S: Subject>(subject: &S) {
    let Some((job, dir)) = Job::asked() else { return };
    let Ok(out) = Out::open() else { std::process::exit(4) };
    let run = || match job {
        Job::Ledger { seed, steps } => ledger(subject, &dir, &Ledger::new(seed, steps), &out),
        Job::Threads { seed } => threads::run(subject, &dir, seed, &out),
        Job::Fill { bytes } => fill(subject, &dir, bytes),
        Job::Open => subject.open(&dir, &options()).and_then(|db| db.close()),
    };
    if let Err(e) = run() {
        out.say(&format!("err 0 {:?} {e}", e.kind()));
        std::process::exit(5);
    }
    std::process::exit(0);
}

/// Everything is fsynced unless a transaction asks otherwise; pruning is a step.
pub(super) fn options() -> Options {
    Options::new().durability(Durability::Sync).pruning(Pruning::Manual)
}

fn ledger<S: Subject>(subject: &S, dir: &Path, ledger: &Ledger, out: &Out) -> Result<()> {
    let mut db = subject.open(dir, &options())?;
    for (n, step) in (1..).zip(&ledger.steps) {
        out.say(&format!("try {n}"));
        let done = if *step == Step::Reopen {
            db.close().and_then(|()| subject.open(dir, &options())).map(|opened| {
                db = opened;
                0
            })
        } else {
            run(&db, step, n)
        };
        match done {
            Ok(ts) => out.say(&format!("ack {n} {ts}")),
            Err(e) => return failed(&db, ledger, n, &e, out),
        }
    }
    db.close()
}

/// Writes a key again and again that the judge leaves out.
fn fill<S: Subject>(subject: &S, dir: &Path, bytes: u64) -> Result<()> {
    let db = subject.open(dir, &options().durability(Durability::Buffered))?;
    for (n, begin) in (0..bytes).step_by(FILLING).enumerate() {
        let value = value_of(n as u64, (FILLING as u64).min(bytes - begin));
        db.transact(|txn| txn.put(AFTER, value.clone()))?;
    }
    db.close()
}

/// Runs a step; its commit timestamp, or 0.
pub(super) fn run<C: Connection>(db: &C, step: &Step, n: usize) -> Result<u64> {
    let all = KeyRange::all();
    let ts = match step {
        Step::Commit(writes, durability) => {
            let options = TxnOptions::new().durability(*durability);
            let mut txn = db.begin_write_with(&options)?;
            for (key, value) in writes {
                match value {
                    Some(value) => txn.put(key, value.bytes())?,
                    None => txn.delete(key)?,
                }
            }
            txn.commit()?.commit_ts
        }
        Step::Save => {
            let metadata = Metadata::new().message(message_of(n));
            db.save_version_with(SaveOptions::new().metadata(metadata))?;
            None
        }
        Step::Delete(number) => {
            db.delete_version(Version::new(*number))?;
            None
        }
        Step::Revert => db.revert()?.commit_ts,
        Step::RevertTo(number) => db.revert_to(Version::new(*number))?.commit_ts,
        Step::Restore(number) => db.restore(Version::new(*number), all)?.commit_ts,
        Step::Sync => {
            db.sync()?;
            None
        }
        Step::Prune => {
            db.prune()?;
            None
        }
        Step::Reopen => None,
    };
    Ok(ts.map_or(0, |ts| ts.get()))
}

/// After a failure what is visible must be right, and no commit may succeed
/// that follows one whose outcome is unknown.
fn failed<C: Connection>(
    db: &C,
    ledger: &Ledger,
    n: usize,
    error: &Error,
    out: &Out,
) -> Result<()> {
    out.say(&format!("err {n} {:?} {error}", error.kind()));
    // The step before, or this one: what failed may have come after it was
    // visible.
    match read_all(db) {
        Ok(world) => {
            let near = ledger.worlds.iter().skip(n.saturating_sub(1)).take(2);
            if !near.clone().any(|near| world.is(near)) {
                out.say(&format!("wrong after the failure, it reads {}", world.brief()));
            }
        }
        // What failed to close, or to open again, is closed.
        Err(e) if ledger.steps.get(n.saturating_sub(1)) == Some(&Step::Reopen) => {
            out.say(&format!("unread {:?} {e}", e.kind()));
        }
        Err(e) => out.say(&format!("wrong after the failure, it cannot be read: {e}")),
    }
    let once = Retry::default().attempts(1);
    let after = db
        .transact_with(&TxnOptions::new(), &once, |txn| -> Result<()> { txn.put(AFTER, "after") });
    match after {
        Ok(()) => out.say("after Ok"),
        Err(e) => out.say(&format!("after {:?}", e.kind())),
    }
    Ok(())
}
