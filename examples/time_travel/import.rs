//! The import: each commit as one transaction and one saved version.
//!
//! Commits come in an order in which a parent stands before its children, and
//! each is written as the difference from the one imported before it, which
//! need not be its parent: whatever the shape of history, a version holds the
//! whole tree of its commit. A thread reads ahead in git; others check old
//! versions all the while.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use vellum::{
    Bytes, Connection, ConnectionExt, Durability, Metadata, Retry, SaveOptions, TxnOptions,
    WriteTxn,
};

use super::args::Args;
use super::blobs::Blobs;
use super::git::{Commit, Differ, Repo};
use super::readers::Progress;
use super::verify::{Checker, Findings, Tally};
use super::{Result, history, layout};

/// How many commits are read ahead.
const AHEAD: usize = 16;

/// What the import did.
#[derive(Debug, Default)]
pub(crate) struct Imported {
    pub(crate) put: u64,
    pub(crate) deleted: u64,
    pub(crate) bytes: u64,
    pub(crate) conflicts: u64,
    pub(crate) took: Duration,
    pub(crate) readers: usize,
    /// What the readers checked meanwhile.
    pub(crate) meanwhile: Tally,
}

/// What one commit writes.
type Writes = Vec<(Bytes, Option<Bytes>)>;

/// Imports `commits` into an empty database.
pub(crate) fn import<C: Connection>(
    db: &C,
    repo: &Repo,
    commits: &[Commit],
    args: &Args,
    findings: &Findings,
) -> Result<Imported> {
    let begun = Instant::now();
    let progress = &Progress::default();
    let (sender, receiver) = sync_channel(AHEAD);
    thread::scope(|scope| {
        let ahead = scope.spawn(move || read_ahead(repo, commits, args.allow_missing, &sender));
        let readers: Vec<_> = (0..args.readers)
            .map(|n| {
                scope.spawn(move || {
                    let mut checker = Checker::start(repo, commits, args.allow_missing, findings)?;
                    progress.read_along(db, n, &mut checker)?;
                    Ok::<_, super::BoxError>(checker.tally)
                })
            })
            .collect();
        let written = write(db, commits, receiver, args.durability, progress);
        let took = begun.elapsed();
        progress.end();
        // What went wrong in git explains why there was nothing to write.
        ahead.join().map_err(|_| "the thread that reads git panicked")??;
        let mut meanwhile = Tally::default();
        for reader in readers {
            meanwhile += reader.join().map_err(|_| "a reader panicked")??;
        }
        let mut imported = Imported { took, readers: args.readers, meanwhile, ..written? };
        imported.conflicts = db.stats()?.conflicts;
        Ok(imported)
    })
}

/// Sends what each commit writes, in order; stops when nobody receives.
fn read_ahead(
    repo: &Repo,
    commits: &[Commit],
    allow_missing: bool,
    sender: &SyncSender<Writes>,
) -> Result<()> {
    let (mut differ, mut blobs) = (Differ::start(repo)?, Blobs::start(repo, allow_missing)?);
    let mut tree = &repo.empty_tree;
    for commit in commits {
        let in_commit = |e| format!("commit {}: {e}", commit.id);
        let changes = differ.diff(tree, &commit.tree).map_err(in_commit)?;
        let files: Vec<_> = changes.iter().filter_map(|c| c.after.as_ref()).collect();
        let mut contents = blobs.contents(&files).map_err(in_commit)?.into_iter();
        let mut writes = Vec::with_capacity(changes.len() + 1);
        writes.push((layout::COMMIT.into(), Some(commit.id.clone().into())));
        for change in &changes {
            let key = layout::key(&change.path).map_err(in_commit)?;
            let value = match &change.after {
                None => None,
                Some(file) => {
                    let contents = contents.next().ok_or("a file without contents")?;
                    Some(layout::value(file.mode, &contents))
                }
            };
            writes.push((key, value));
        }
        if sender.send(writes).is_err() {
            break;
        }
        tree = &commit.tree;
    }
    Ok(())
}

/// Writes what comes in, a transaction and a version for each.
fn write<C: Connection>(
    db: &C,
    commits: &[Commit],
    incoming: Receiver<Writes>,
    durability: Durability,
    progress: &Progress,
) -> Result<Imported> {
    let mut imported = Imported::default();
    let bar = ProgressBar::new(commits.len() as u64).with_style(ProgressStyle::with_template(
        "{msg} {wide_bar} {human_pos}/{human_len} commits · {per_sec} · {eta} left",
    )?);
    bar.set_message("importing");
    let (options, retry) = (TxnOptions::new().durability(durability), Retry::default());
    for ((n, commit), writes) in commits.iter().enumerate().zip(incoming) {
        if progress.has_ended() {
            return Err("a reader failed".into());
        }
        let in_commit = |e| format!("commit {}: {e}", commit.id);
        db.transact_with(&options, &retry, |txn| {
            writes.iter().try_for_each(|(key, value)| match value {
                Some(value) => txn.put(key, value.clone()),
                None => txn.delete(key),
            })
        })
        .map_err(|e: vellum::Error| in_commit(e))?;
        let metadata = Metadata::new()
            .message(commit.message.as_str())
            .author(commit.author.as_str())
            .time_ms(commit.time_ms);
        let version = db
            .save_version_with(SaveOptions::new().metadata(metadata).durability(durability))
            .map_err(in_commit)?;
        if version != history::version(n) {
            return Err(format!("commit {} became version {version}", commit.id).into());
        }
        progress.save(n + 1);
        for (_, value) in writes.iter().skip(1) {
            imported.put += u64::from(value.is_some());
            imported.deleted += u64::from(value.is_none());
            imported.bytes += value.as_ref().map_or(0, |v| v.len() - layout::MODE_LEN) as u64;
        }
        bar.inc(1);
    }
    db.sync()?;
    bar.finish_and_clear();
    Ok(imported)
}
