//! [`Database`]: the one implementation of transactions, conflict detection,
//! versions and retention, over any [`Store`].
//!
//! # Time
//! Every commit has a timestamp, and timestamps are the serial order. A
//! snapshot at `t` holds the commits at or below `t`; a saved version is a pin
//! on one timestamp; the head is the newest one that is visible.
//!
//! ```text
//!  commits      1    2    3    4    5    6    7
//!  key a        x─────────►y──────────────────►     record a@1 shows at [1, 3)
//!  key b             z─────────►†                   † a tombstone
//!  version 1              ▲ pin at 3
//!  open reader                       ▲ snapshot at 5
//!  head                                        ▲
//! ```
//!
//! A record is dead once no pin, no open snapshot, no kept history and no head
//! lies in its interval ([`Retention`] has the rule).
//!
//! # Rooms
//! - [`watermark`]: which snapshots and writers are open;
//! - [`read_set`], [`write_set`], [`marks`], [`merge`], [`txn`]: one transaction;
//! - [`conflict`]: what the commits of the window wrote;
//! - [`pipeline`]: from a write set to visible records;
//! - [`versions`], [`history`]: saved versions, revert, diff and changes;
//! - [`maintenance`]: pruning, by hand and in the background.
//!
//! # Invariants across rooms
//! 1. A snapshot of the head is registered with the watermark, and taken again
//!    where the head was moved before that; a version is looked up, its
//!    snapshot taken and registered in one critical section of the table.
//!    Whoever computes what is retained looks at the head, then the table, then
//!    the watermark, so it misses nothing that was taken before.
//! 2. The version table changes together with what is visible: a version is
//!    in the table iff its save, and not its delete, is published.
//! 3. The history that is promised (`Table::history_since`) moves up before
//!    anything below it is removed.
//! 4. Locks are taken in the order table → a crowd of the watermark; the
//!    pipeline's lock is taken with neither held, and neither under it except
//!    to count.

mod conflict;
mod history;
mod iter;
mod limits;
mod maintenance;
mod marks;
mod merge;
#[cfg(all(test, loom))]
mod models;
mod newest;
mod packed;
mod pipeline;
mod read_set;
#[cfg(all(test, not(loom)))]
mod tests;
mod txn;
mod versions;
mod watermark;
mod write_set;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, RwLock, is_broken};
use crate::{
    At, Changes, CommitInfo, Connection, Diff, Durability, Error, ErrorKind, History, KeyRange,
    MAX_TXN_BYTES, Options, PruneReport, Result, Retention, SaveOptions, Spread, Stats, Store,
    Timestamp, TxnOptions, VerifyReport, Version, VersionSet, WatchHub, Watcher,
};

use maintenance::Maintenance;
use pipeline::{Change, Pipeline, Proposal};
use txn::View;
use versions::{Numbers, TableChange};
use watermark::Watermark;

pub use iter::DatabaseRange;
pub use txn::{DatabaseRead, DatabaseSnapshotReads, DatabaseWrite};
pub use versions::Versions;
#[cfg(any(test, fuzzing))]
pub use versions::fuzz_catalog;

/// A transactional, versioned database over a [`Store`].
///
/// It is a handle: cloning it gives another handle on the same database. The
/// database lives until the last handle and the last transaction are dropped
/// and a prune that runs in the background is over; [`close`](Connection::close)
/// ends it earlier, waits for that, and reports what dropping cannot. Close a
/// database that is to be opened again.
pub struct Database<S: Store>(Arc<Shared<S>>);

/// What a database's handles and transactions hold. A transaction counts itself
/// on a line of its thread.
type Shared<S> = Spread<Inner<S>>;

impl<S: Store> Clone for Database<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: Store> fmt::Debug for Database<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("backend", &self.0.store.name())
            .field("head_ts", &self.0.pipeline.decided())
            .finish_non_exhaustive()
    }
}

struct Inner<S> {
    store: S,
    options: Options,
    closed: Closed,
    /// Held by the one who closes, so that a second one waits for it.
    closing: Mutex<()>,
    watermark: Watermark,
    pipeline: Pipeline,
    table: RwLock<Table>,
    /// Whether a transaction should keep what it reads, to hand it down with
    /// its writes: some store may have to preserve it.
    has_pins: AtomicBool,
    watch: WatchHub,
    maintenance: Maintenance,
}

/// Read by every call, and written once: not on a line that commits write.
#[repr(align(128))]
struct Closed(AtomicBool);

/// What is saved and kept, as far as it is visible.
#[derive(Clone, Debug)]
struct Table {
    versions: Versions,
    /// Every timestamp at or above this one is readable, and the commits above
    /// it are logged; `None` if the options keep no history.
    history_since: Option<Timestamp>,
}

impl<S: Store> Database<S> {
    /// Opens a database over what stands in `store`.
    ///
    /// # Errors
    /// As [`Store::recover`], and `Corrupted` if the catalog cannot be read.
    pub fn open(store: S, mut options: Options) -> Result<Self> {
        options.max_txn_bytes = options.max_txn_bytes.min(MAX_TXN_BYTES);
        let recovered = store.recover()?;
        let (versions, kept_since) =
            versions::read_catalog(&recovered).map_err(|e| e.in_backend(store.name()))?;
        let history_since =
            (options.history != History::None).then(|| kept_since.unwrap_or(recovered.last_ts));
        // What the catalog says of history follows with the next commit or prune, whichever
        // comes first: until then, nothing is kept or lost that it would be wrong about.
        let catalog = match history_since == kept_since {
            true => Vec::new(),
            false => vec![versions::history_entry(history_since)],
        };
        let pipeline = Pipeline::new(recovered.last_ts, Numbers::of(&versions), catalog);
        let table = Table { versions, history_since };
        let inner = Inner {
            has_pins: AtomicBool::new(false),
            closed: Closed(AtomicBool::new(false)),
            closing: Mutex::new(()),
            watermark: Watermark::new(),
            pipeline,
            watch: WatchHub::new(),
            maintenance: Maintenance::new(recovered.last_ts),
            table: RwLock::new(table),
            store,
            options,
        };
        inner.note_pins(&inner.table.read());
        let shared = Spread::new(inner);
        maintenance::spawn(shared.shared())?;
        Ok(Self(Arc::new(shared)))
    }

    /// The store underneath.
    #[must_use]
    pub fn store(&self) -> &S {
        &self.0.store
    }

    /// The options that it was opened with.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.0.options
    }
}

impl<S: Store> Inner<S> {
    fn check_open(&self) -> Result<()> {
        if self.closed.0.load(Ordering::Acquire) { Err(Error::closed()) } else { Ok(()) }
    }

    fn history_is_kept(&self) -> bool {
        self.options.history != History::None
    }

    fn durability(&self, asked: Option<Durability>) -> Durability {
        asked.unwrap_or(self.options.durability)
    }

    fn note_pins(&self, table: &Table) {
        let any = self.history_is_kept() || !table.versions.is_empty();
        self.has_pins.store(any, Ordering::Relaxed);
    }

    /// What must stay readable. In this order: see the first invariant.
    fn retention(&self) -> Retention {
        let early =
            is_broken("what is retained is computed from a table that is older than the head")
                .then(|| self.table.read().versions.pins());
        let head = self.pipeline.decided();
        let table = self.table.read();
        let pins = early.unwrap_or_else(|| table.versions.pins());
        let horizon = table.history_since.unwrap_or(head);
        drop(table);
        let snapshots = self.watermark.snapshots();
        let horizon = match is_broken("what is retained is computed from the head after the walk") {
            true => self.pipeline.decided(),
            false => horizon,
        };
        Retention::new(pins, snapshots, horizon)
    }

    fn close(&self) -> Result<()> {
        let _closing = self.closing.lock();
        if self.closed.0.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let well = self.pipeline.close();
        self.watch.close();
        self.maintenance.stop();
        let synced = if well { self.store.sync() } else { Ok(()) };
        synced.and(self.store.close())
    }
}

impl<S: Store> Connection for Database<S> {
    type Read = DatabaseRead<S>;
    type Write = DatabaseWrite<S>;
    type Versions = Versions;

    fn begin_read(&self) -> Result<Self::Read> {
        self.0.check_open()?;
        Ok(DatabaseRead::new(self.0.view(false)?))
    }

    fn read_at(&self, version: Version) -> Result<Self::Read> {
        Ok(DatabaseRead::new(self.0.view_at(At::Version(version))?))
    }

    fn read_as_of(&self, ts: Timestamp) -> Result<Self::Read> {
        Ok(DatabaseRead::new(self.0.view_at(At::Timestamp(ts))?))
    }

    fn begin_write_with(&self, options: &TxnOptions) -> Result<Self::Write> {
        let begin = || Ok((self.0.view(true)?, ()));
        self.0.begin_write(options, begin).map(|(txn, ())| txn)
    }

    fn versions(&self) -> Result<Versions> {
        self.0.check_open()?;
        Ok(self.0.table.read().versions.clone())
    }

    fn save_version_with(&self, options: SaveOptions) -> Result<Version> {
        limits::check_metadata(&options.metadata)?;
        let durability = self.0.durability(options.durability);
        let state = self.0.pipeline.enter(None)?;
        if !options.with_open_writers {
            self.0.check_no_writer()?;
        }
        let number = state.numbers.next(options.number)?;
        let save = Change::Save(number, options.metadata);
        self.0.submit(state, Proposal::catalog_only(Some(save), durability))?;
        Ok(number)
    }

    fn delete_versions(&self, versions: &[Version]) -> Result<()> {
        let state = self.0.pipeline.enter(None)?;
        let gone = state.numbers.check_all(versions)?;
        if gone.is_empty() {
            return Ok(());
        }
        let durability = self.0.options.durability;
        let delete = Proposal::catalog_only(Some(Change::Delete(gone)), durability);
        self.0.submit(state, delete)?;
        Ok(())
    }

    fn revert(&self) -> Result<CommitInfo> {
        self.0.revert(None)
    }

    fn revert_to(&self, version: Version) -> Result<CommitInfo> {
        self.0.revert(Some(version))
    }

    fn restore(&self, version: Version, range: KeyRange) -> Result<CommitInfo> {
        history::restore(self, version, &range.within_limits())
    }

    fn diff(&self, from: At, to: At, range: KeyRange) -> Result<Diff> {
        self.0.diff(from, to, &range.within_limits())
    }

    fn changes(&self, from: Timestamp, to: Timestamp) -> Result<Changes> {
        self.0.changes(from, to)
    }

    fn watch(&self, range: KeyRange) -> Result<Watcher> {
        let watcher = self.0.watch.watch(range);
        self.0.check_open()?;
        Ok(watcher)
    }

    fn prune(&self) -> Result<PruneReport> {
        self.0.check_open()?;
        self.0.prune()
    }

    fn verify(&self) -> Result<VerifyReport> {
        self.0.check_open()?;
        self.0.store.verify()
    }

    fn sync(&self) -> Result<()> {
        self.0.check_open()?;
        self.0.pipeline.lock().check()?;
        self.0.store.sync().map_err(|e| {
            let message = format!("the fsync failed: {}", e.message());
            let unknown = Error::new(ErrorKind::CommitUnknown, message).caused_by(e);
            self.0.pipeline.poison(unknown)
        })
    }

    fn stats(&self) -> Result<Stats> {
        self.0.check_open()?;
        Ok(self.0.stats())
    }

    fn close(&self) -> Result<()> {
        self.0.close()
    }
}

impl<S: Store> Shared<S> {
    /// Begins a write transaction on the view that `view` gives, with what
    /// else it gives, alone if the options ask for it.
    fn begin_write<T>(
        &self,
        options: &TxnOptions,
        view: impl FnOnce() -> Result<(View<S>, T)>,
    ) -> Result<(DatabaseWrite<S>, T)> {
        self.check_open()?;
        if self.pipeline.is_poisoned() {
            self.pipeline.lock().check()?;
        }
        let Some(bound) = options.alone_for else {
            return view().map(|(view, rest)| (DatabaseWrite::new(view, options), rest));
        };
        // A bound too far away to be named is no bound.
        let gate = self.pipeline.close_gate(Instant::now().checked_add(bound))?;
        match view() {
            Ok((view, rest)) => Ok((DatabaseWrite::new(view.holding(gate), options), rest)),
            Err(e) => {
                self.pipeline.open_gate(gate);
                Err(e)
            }
        }
    }
}

impl<S: Store> Inner<S> {
    /// Whether it is true, at this instant, that no write transaction is open.
    fn check_no_writer(&self) -> Result<()> {
        match self.watermark.open_writers() {
            0 => Ok(()),
            n => Err(Error::new(
                ErrorKind::OpenTransactions,
                format!("{n} open: commit or discard them first"),
            )),
        }
    }

    fn stats(&self) -> Stats {
        let (open_snapshots, oldest_snapshot) = self.watermark.summary();
        let table = self.table.read();
        let (versions, history_since) = (table.versions.len(), table.history_since);
        drop(table);
        // It may have to wait for a group that is applied, and commits not for it.
        let store = self.store.stats();
        let state = self.pipeline.lock();
        Stats {
            backend: self.store.name(),
            head_ts: self.pipeline.decided(),
            open_snapshots,
            open_writes: self.watermark.open_writers(),
            oldest_snapshot,
            versions,
            history_since,
            window_commits: state.index.commits(),
            window_keys: state.index.keys(),
            window_bytes: state.index.bytes(),
            commits: state.commits,
            conflicts: state.conflicts,
            groups: state.groups,
            poisoned: state.is_poisoned(),
            store,
        }
    }
}
