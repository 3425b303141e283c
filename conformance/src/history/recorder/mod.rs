//! The recorder: a [`Connection`] that writes down what is done through it.

mod txn;

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use vellum_core::{
    At, Changes, CommitInfo, Connection, Diff, Isolation, KeyRange, KeyValue, PruneReport, ReadTxn,
    Result, SaveOptions, Stats, Timestamp, TxnOptions, VerifyReport, Version, VersionSet, Watcher,
    WriteConflicts,
};

use super::types::{Change, Event, History, Span, State, Txn, TxnKind};

pub use txn::{RecordedRange, RecordedRead, RecordedSnapshotReads, RecordedWrite};

/// Records what is done to a database.
///
/// ```
/// use vellum_conformance::history::{Recorder, check};
/// use vellum_core::{ConnectionExt, ReadTxn, Result, WriteTxn};
///
/// fn transfers(db: impl vellum_core::Connection) -> Result<()> {
///     let recorder = Recorder::new(db)?;
///     std::thread::scope(|scope| {
///         for n in 0..4_u32 {
///             let db = recorder.session(); // one for each thread
///             scope.spawn(move || db.transact(|txn| txn.put(b"last", format!("thread {n}"))));
///         }
///     });
///     let history = recorder.history();
///     println!("{}", check(&history).expect("serializable"));
///     Ok(())
/// }
/// # transfers(vellum_mem::open(vellum_core::Options::new()).unwrap()).unwrap();
/// ```
///
/// # What it costs
/// Two ticks of one atomic counter for each beginning and each end of a
/// transaction, and a copy of the handles of keys and values. Sessions share
/// no lock in transactions, so that what is recorded is as concurrent as what
/// is not. Calls that change the set of versions are the exception: those that
/// remove a number wait for the others, since only so is it certain which save
/// a number meant.
pub struct Recorder<C: Connection> {
    db: C,
    shared: Arc<Shared>,
}

/// One session of a [`Recorder`]: a [`Connection`] like the one that it
/// records. A clone is a session of its own.
pub struct Recorded<C: Connection> {
    db: C,
    session: u32,
    log: Arc<Mutex<Log>>,
    shared: Arc<Shared>,
}

/// What all sessions share.
#[derive(Debug, Default)]
struct Shared {
    clock: AtomicU64,
    sessions: AtomicU32,
    states: Vec<State>,
    logs: Mutex<Vec<Arc<Mutex<Log>>>>,
    /// Held exclusively by what removes version numbers, or depends on which
    /// is the last; shared by what only needs that a number stays.
    versions: RwLock<()>,
}

/// What one session saw.
#[derive(Debug, Default)]
struct Log {
    txns: Vec<Txn>,
    events: Vec<Event>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// Runs `f` between two ticks.
    fn timed<T>(&self, f: impl FnOnce() -> T) -> (T, Span) {
        let called = self.tick();
        let value = f();
        (value, Span::new(called, self.tick()))
    }
}

impl<C: Connection> Recorder<C> {
    /// Begins to record `db`. Reads its head and every saved version, so that
    /// the history stands on its own: on a large database this takes long.
    /// Nobody may change the database meanwhile, and nobody may later change it
    /// other than through sessions of this recorder.
    ///
    /// # Errors
    /// As reading does.
    pub fn new(db: C) -> Result<Self> {
        let mut states = Vec::new();
        for info in db.versions()?.iter() {
            let txn = db.read_at(info.version)?;
            states.push(state_of(&txn, Some(info.version))?);
        }
        states.push(state_of(&db.begin_read()?, None)?);
        states.sort_by_key(|s| s.ts);
        let shared = Arc::new(Shared { states, ..Shared::default() });
        Ok(Self { db, shared })
    }

    /// A new session. Give each thread its own.
    #[must_use]
    pub fn session(&self) -> Recorded<C> {
        Recorded::new(self.db.clone(), self.shared.clone())
    }

    /// What was recorded so far. Transactions that are still open are not part
    /// of it: end them first, or their writes look as if nobody made them.
    #[must_use]
    pub fn history(&self) -> History {
        let mut history = History { states: self.shared.states.clone(), ..History::default() };
        for log in lock(&self.shared.logs).iter() {
            let log = lock(log);
            history.txns.extend(log.txns.iter().cloned());
            history.events.extend(log.events.iter().cloned());
        }
        history.txns.sort_by_key(|t| t.began.called);
        history.events.sort_by_key(|e| e.span.called);
        history
    }
}

/// Everything that a transaction sees.
fn state_of(txn: &impl ReadTxn, version: Option<Version>) -> Result<State> {
    let items = txn.range(..).collect::<Result<Vec<KeyValue>>>()?;
    Ok(State { ts: txn.read_ts(), version, items })
}

impl<C: Connection> Recorded<C> {
    fn new(db: C, shared: Arc<Shared>) -> Self {
        let session = shared.sessions.fetch_add(1, Ordering::Relaxed);
        let log = Arc::<Mutex<Log>>::default();
        lock(&shared.logs).push(log.clone());
        Self { db, session, log, shared }
    }

    fn read(
        &self,
        kind: TxnKind,
        begin: impl FnOnce() -> Result<C::Read>,
    ) -> Result<RecordedRead<C>> {
        let (txn, began) = self.shared.timed(begin);
        Ok(RecordedRead::begin(self, kind, began, txn?))
    }

    /// Writes down what was done to versions.
    fn note(&self, span: Span, what: Change) {
        lock(&self.log).events.push(Event { session: self.session, span, what });
    }

    fn reverted(
        &self,
        to: Option<Version>,
        revert: impl FnOnce() -> Result<CommitInfo>,
    ) -> Result<CommitInfo> {
        let _alone = self.shared.versions.write().unwrap_or_else(PoisonError::into_inner);
        let versions = self.db.versions()?;
        let source = match to {
            Some(n) => versions.get(n),
            None => versions.last(),
        };
        let (info, span) = self.shared.timed(revert);
        let info = info?;
        let source = source.map(|v| v.commit_ts);
        self.note(span, Change::Revert { to, source, ts: info.commit_ts });
        Ok(info)
    }
}

impl<C: Connection> Clone for Recorded<C> {
    fn clone(&self) -> Self {
        Self::new(self.db.clone(), self.shared.clone())
    }
}

impl<C: Connection> Connection for Recorded<C> {
    type Read = RecordedRead<C>;
    type Write = RecordedWrite<C>;
    type Versions = C::Versions;

    fn begin_read(&self) -> Result<RecordedRead<C>> {
        self.read(TxnKind::Read, || self.db.begin_read())
    }

    fn read_at(&self, version: Version) -> Result<RecordedRead<C>> {
        self.read(TxnKind::ReadAt(version), || self.db.read_at(version))
    }

    fn read_as_of(&self, ts: Timestamp) -> Result<RecordedRead<C>> {
        self.read(TxnKind::ReadAsOf(ts), || self.db.read_as_of(ts))
    }

    fn begin_write_with(&self, options: &TxnOptions) -> Result<RecordedWrite<C>> {
        let isolation = match options.isolation {
            Isolation::Snapshot => Isolation::Snapshot,
            _ => Isolation::Serializable,
        };
        let detects_write_conflicts = options.write_conflicts != WriteConflicts::Ignore;
        let kind = TxnKind::Write { isolation, detects_write_conflicts };
        let (txn, began) = self.shared.timed(|| self.db.begin_write_with(options));
        Ok(RecordedWrite::begin(self, kind, began, txn?))
    }

    fn versions(&self) -> Result<C::Versions> {
        self.db.versions()
    }

    fn save_version_with(&self, options: SaveOptions) -> Result<Version> {
        let _numbers_stay = self.shared.versions.read().unwrap_or_else(PoisonError::into_inner);
        let with_open_writers = options.with_open_writers;
        let (version, span) = self.shared.timed(|| self.db.save_version_with(options));
        let version = version?;
        if let Some(saved) = self.db.versions()?.get(version) {
            self.note(span, Change::Save { version, ts: saved.commit_ts, with_open_writers });
        }
        Ok(version)
    }

    fn delete_versions(&self, versions: &[Version]) -> Result<()> {
        let _alone = self.shared.versions.write().unwrap_or_else(PoisonError::into_inner);
        let set = self.db.versions()?;
        let (deleted, span) = self.shared.timed(|| self.db.delete_versions(versions));
        deleted?;
        let versions = versions.iter().filter_map(|n| Some(set.get(*n)?.commit_ts)).collect();
        self.note(span, Change::Delete { versions });
        Ok(())
    }

    fn revert(&self) -> Result<CommitInfo> {
        self.reverted(None, || self.db.revert())
    }

    fn revert_to(&self, version: Version) -> Result<CommitInfo> {
        self.reverted(Some(version), || self.db.revert_to(version))
    }

    fn restore(&self, version: Version, range: KeyRange) -> Result<CommitInfo> {
        let _numbers_stay = self.shared.versions.read().unwrap_or_else(PoisonError::into_inner);
        let source = self.db.versions()?.get(version).map(|v| v.commit_ts);
        let (info, span) = self.shared.timed(|| self.db.restore(version, range.clone()));
        let info = info?;
        if let Some(source) = source {
            self.note(span, Change::Restore { source, range, ts: info.commit_ts });
        }
        Ok(info)
    }

    fn diff(&self, from: At, to: At, range: KeyRange) -> Result<Diff> {
        self.db.diff(from, to, range)
    }

    fn changes(&self, from: Timestamp, to: Timestamp) -> Result<Changes> {
        self.db.changes(from, to)
    }

    fn watch(&self, range: KeyRange) -> Result<Watcher> {
        self.db.watch(range)
    }

    fn prune(&self) -> Result<PruneReport> {
        self.db.prune()
    }

    fn verify(&self) -> Result<VerifyReport> {
        self.db.verify()
    }

    fn sync(&self) -> Result<()> {
        self.db.sync()
    }

    fn stats(&self) -> Result<Stats> {
        self.db.stats()
    }

    fn close(&self) -> Result<()> {
        self.db.close()
    }
}

impl<C: Connection> fmt::Debug for Recorder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("ticks", &self.shared.clock).finish_non_exhaustive()
    }
}

impl<C: Connection> fmt::Debug for Recorded<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorded").field("session", &self.session).finish_non_exhaustive()
    }
}
