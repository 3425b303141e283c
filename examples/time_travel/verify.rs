//! The comparison of versions with what git says.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use vellum::{Bytes, Connection, ErrorKind, KeyRange, ReadTxn, VersionSet};

use super::args::Args;
use super::blobs::Blobs;
use super::git::{Commit, Differ, Object, Repo};
use super::{Result, history, layout};

/// How many files are fetched from git at a time.
const AT_A_TIME: usize = 128;

/// Every so many files are also read by themselves, not only in the range.
const GET_EVERY: usize = 8;

/// How many differences are told.
const TOLD: usize = 20;

/// The differences that were found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    count: AtomicUsize,
    first: Mutex<Vec<String>>,
}

impl Findings {
    pub(crate) fn add(&self, difference: String) {
        if self.count.fetch_add(1, Ordering::SeqCst) < TOLD {
            self.first.lock().unwrap_or_else(PoisonError::into_inner).push(difference);
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// The first of them.
    pub(crate) fn first(&self) -> Vec<String> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What was compared.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) versions: u64,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) gets: u64,
    pub(crate) diffs: u64,
    pub(crate) changes: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.versions += other.versions;
        self.files += other.files;
        self.bytes += other.bytes;
        self.gets += other.gets;
        self.diffs += other.diffs;
        self.changes += other.changes;
    }
}

/// Compares, on one thread. Its expectations come from git alone.
#[derive(Debug)]
pub(crate) struct Checker<'a> {
    repo: &'a Repo,
    commits: &'a [Commit],
    findings: &'a Findings,
    blobs: Blobs,
    differ: Differ,
    pub(crate) tally: Tally,
}

impl<'a> Checker<'a> {
    pub(crate) fn start(
        repo: &'a Repo,
        commits: &'a [Commit],
        allow_missing: bool,
        findings: &'a Findings,
    ) -> Result<Self> {
        let (blobs, differ) = (Blobs::start(repo, allow_missing)?, Differ::start(repo)?);
        Ok(Self { repo, commits, findings, blobs, differ, tally: Tally::default() })
    }

    /// Compares every key of `txn` with the tree of the `n`-th commit: names,
    /// modes and bytes; nothing more and nothing less may be there.
    pub(crate) fn check_tree(&mut self, txn: &impl ReadTxn, n: usize) -> Result<()> {
        let commit = self.commit(n)?;
        let expected = self.repo.files(&commit.tree)?;
        let mut actual = txn.range(..);
        match actual.next().transpose()? {
            Some((key, id)) if key == layout::COMMIT && id == commit.id.as_bytes() => {}
            other => self.differs(n, format_args!("it begins with {other:?}, not with its commit")),
        }
        let mut next = actual.next().transpose()?;
        for files in expected.chunks(AT_A_TIME) {
            let objects: Vec<_> = files.iter().map(|(_, object)| object).collect();
            let contents = self.blobs.contents(&objects)?;
            for ((path, object), contents) in files.iter().zip(contents) {
                let key = layout::key(path)?;
                while let Some((extra, _)) = next.take_if(|(k, _)| *k < key) {
                    self.differs(n, format_args!("git has no {}", show(&extra)));
                    next = actual.next().transpose()?;
                }
                match next.take_if(|(k, _)| *k == key) {
                    None => self.differs(n, format_args!("{} is missing", show(&key))),
                    Some((_, value)) => {
                        self.check_file(n, &key, &value, object, &contents);
                        next = actual.next().transpose()?;
                    }
                }
                if self.tally.files.is_multiple_of(GET_EVERY as u64) {
                    match txn.get(&key)? {
                        Some(value) => self.check_file(n, &key, &value, object, &contents),
                        None => self.differs(n, format_args!("get does not find {}", show(&key))),
                    }
                    self.tally.gets += 1;
                }
                self.tally.files += 1;
                self.tally.bytes += contents.len() as u64;
            }
        }
        while let Some((extra, _)) = next {
            self.differs(n, format_args!("git has no {}", show(&extra)));
            next = actual.next().transpose()?;
        }
        self.tally.versions += 1;
        Ok(())
    }

    /// Compares the `n`-th version, and its difference to the next.
    fn check_version<C: Connection>(&mut self, db: &C, n: usize) -> Result<()> {
        match db.read_at(history::version(n)) {
            Err(e) if e.kind() == ErrorKind::VersionNotFound => {
                self.differs(n, format_args!("it is not there"));
                return Ok(());
            }
            txn => self.check_tree(&txn?, n)?,
        }
        if db.versions()?.contains(history::version(n + 1)) && n + 1 < self.commits.len() {
            self.check_diff(db, n)?;
        }
        Ok(())
    }

    /// Compares the difference between the `n`-th version and the next with
    /// what `git diff-tree` says of their trees.
    pub(crate) fn check_diff<C: Connection>(&mut self, db: &C, n: usize) -> Result<()> {
        let (from, to) = (self.commit(n)?, self.commit(n + 1)?);
        let expected = self.differ.diff(&from.tree, &to.tree)?;
        let (before, after) = (history::version(n).into(), history::version(n + 1).into());
        let mut actual = db.diff(before, after, KeyRange::prefix(layout::FILES))?;
        for change in &expected {
            let key = layout::key(&change.path)?;
            let Some(entry) = actual.next().transpose()? else {
                self.differs(n, format_args!("diff to the next lacks {}", show(&key)));
                break;
            };
            if entry.key != key {
                let got = show(&entry.key);
                self.differs(n, format_args!("diff to the next: {got} instead of {}", show(&key)));
                break;
            }
            for (value, object) in [(&entry.before, &change.before), (&entry.after, &change.after)]
            {
                let expected = match object {
                    Some(object) => {
                        let contents = self.blobs.contents(&[object])?;
                        contents.first().map(|c| layout::value(object.mode, c))
                    }
                    None => None,
                };
                if *value != expected {
                    self.differs(n, format_args!("diff to the next: {} differs", show(&key)));
                }
            }
            self.tally.changes += 1;
        }
        for entry in actual {
            let key = entry?.key;
            self.differs(n, format_args!("diff to the next: {} did not change", show(&key)));
        }
        self.tally.diffs += 1;
        Ok(())
    }

    fn check_file(&self, n: usize, key: &[u8], value: &[u8], object: &Object, contents: &Bytes) {
        let (mode, bytes) = value.split_at_checked(layout::MODE_LEN).unwrap_or((value, &[]));
        if mode != object.mode {
            let (got, want) = (mode.escape_ascii(), object.mode.escape_ascii());
            self.differs(n, format_args!("{} has mode {got}, not {want}", show(key)));
        }
        if bytes != contents {
            let (got, want) = (bytes.len(), contents.len());
            let at = bytes.iter().zip(contents).position(|(a, b)| a != b).unwrap_or(got.min(want));
            self.differs(
                n,
                format_args!("{} differs at byte {at} ({got} bytes, git: {want})", show(key)),
            );
        }
    }

    fn commit(&self, n: usize) -> Result<&'a Commit> {
        Ok(self.commits.get(n).ok_or_else(|| format!("there is no commit number {n}"))?)
    }

    fn differs(&self, n: usize, what: std::fmt::Arguments<'_>) {
        let id = self.commits.get(n).map_or("?", |c| c.id.as_str());
        self.findings.add(format!("version {} (commit {id}): {what}", history::version(n)));
    }
}

/// Compares the numbers and the metadata of the saved versions with the
/// commits.
pub(crate) fn check_versions(set: &impl VersionSet, commits: &[Commit], findings: &Findings) {
    if set.len() != commits.len() {
        findings.add(format!("{} versions of {} commits", set.len(), commits.len()));
    }
    for (n, (info, commit)) in set.iter().zip(commits).enumerate() {
        let m = &info.metadata;
        let same = info.version == history::version(n)
            && m.message.as_deref() == Some(&commit.message)
            && m.author.as_deref() == Some(&commit.author)
            && m.time_ms == Some(commit.time_ms);
        if !same {
            findings.add(format!(
                "version {} (commit {}): {m:?} is not its metadata",
                info.version, commit.id
            ));
        }
    }
}

/// Compares versions, and each of them with the next, on all processors.
pub(crate) fn verify<C: Connection>(
    db: &C,
    repo: &Repo,
    commits: &[Commit],
    args: &Args,
    findings: &Findings,
) -> Result<(Tally, Duration)> {
    let begun = Instant::now();
    check_versions(&db.versions()?, commits, findings);
    let chosen = history::spread(commits.len(), args.sample);
    let bar = ProgressBar::new(chosen.len() as u64).with_style(ProgressStyle::with_template(
        "{msg} {wide_bar} {human_pos}/{human_len} versions · {per_sec} · {eta} left",
    )?);
    bar.set_message("verifying");
    // Neighbours share most of their files: runs of them suit the cache.
    let runs: Vec<_> = chosen.chunks(32).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut checker = Checker::start(repo, commits, args.allow_missing, findings)?;
        while let Some(run) = runs.get(next.fetch_add(1, Ordering::SeqCst)) {
            for &n in *run {
                checker.check_version(db, n)?;
                bar.inc(1);
            }
        }
        Ok::<_, super::BoxError>(checker.tally)
    };
    let threads = thread::available_parallelism()?.get();
    let mut tally = Tally::default();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            tally += worker.join().map_err(|_| "a thread that verifies panicked")??;
        }
        Ok::<_, super::BoxError>(())
    })?;
    bar.finish_and_clear();
    Ok((tally, begun.elapsed()))
}

/// A path as text, cut to fit a line.
fn show(key: &[u8]) -> impl std::fmt::Display + '_ {
    let path = key.strip_prefix(layout::FILES).unwrap_or(key);
    path.get(..80).unwrap_or(path).escape_ascii()
}
