//! [`FailingStore`]: any store, with writes and fsyncs that fail on demand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use vellum_core::{
    BoxIter, Bytes, CommittedWrites, Error, ErrorKind, Group, KeyRange, PruneReport, Recovered,
    Result, Retention, Store, StoreStats, Timestamp, VerifyReport,
};

/// A switchboard of failures, shared between a case and the store that it
/// makes fail. Each failure strikes once.
#[derive(Clone, Debug, Default)]
pub struct Failures(Arc<Switches>);

#[derive(Debug, Default)]
struct Switches {
    write: AtomicBool,
    write_unknown: AtomicBool,
    sync: AtomicBool,
    writes: AtomicU64,
}

impl Failures {
    /// The next write fails before anything was written: it certainly did not
    /// happen.
    pub fn fail_write(&self) {
        self.0.write.store(true, Ordering::SeqCst);
    }

    /// The next write fails half way: whether it happened is unknown.
    pub fn fail_write_unknown(&self) {
        self.0.write_unknown.store(true, Ordering::SeqCst);
    }

    /// The next fsync fails.
    pub fn fail_sync(&self) {
        self.0.sync.store(true, Ordering::SeqCst);
    }

    /// How many groups were handed to the store so far.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.0.writes.load(Ordering::SeqCst)
    }
}

/// A [`Store`] that fails when its [`Failures`] say so, and is the store
/// inside otherwise.
#[derive(Debug)]
pub struct FailingStore<S> {
    store: S,
    failures: Failures,
}

impl<S: Store> FailingStore<S> {
    /// The store, under these failures.
    #[must_use]
    pub const fn new(store: S, failures: Failures) -> Self {
        Self { store, failures }
    }
}

fn injected(kind: ErrorKind) -> Error {
    Error::new(kind, "a failure that the conformance suite injected")
}

impl<S: Store> Store for FailingStore<S> {
    type Snapshot = S::Snapshot;

    fn name(&self) -> &'static str {
        self.store.name()
    }

    fn recover(&self) -> Result<Recovered> {
        self.store.recover()
    }

    fn snapshot(&self) -> Result<S::Snapshot> {
        self.store.snapshot()
    }

    fn snapshot_at(&self, ts: Timestamp) -> Result<S::Snapshot> {
        self.store.snapshot_at(ts)
    }

    fn pack(&self, value: Bytes) -> Bytes {
        self.store.pack(value)
    }

    fn apply(&self, group: Group<'_>) -> Result<()> {
        self.failures.0.writes.fetch_add(1, Ordering::SeqCst);
        if self.failures.0.write.swap(false, Ordering::SeqCst) {
            return Err(injected(ErrorKind::Io));
        }
        if self.failures.0.write_unknown.swap(false, Ordering::SeqCst) {
            return Err(injected(ErrorKind::CommitUnknown));
        }
        self.store.apply(group)
    }

    fn publish(&self, ts: Timestamp) {
        self.store.publish(ts);
    }

    fn prune(&self, keep: &Retention) -> Result<PruneReport> {
        self.store.prune(keep)
    }

    fn touched(
        &self,
        from: &S::Snapshot,
        to: &S::Snapshot,
        range: &KeyRange,
    ) -> Result<BoxIter<Bytes>> {
        self.store.touched(from, to, range)
    }

    fn changes(&self, from: Timestamp, to: &S::Snapshot) -> Result<BoxIter<CommittedWrites>> {
        self.store.changes(from, to)
    }

    fn sync(&self) -> Result<()> {
        if self.failures.0.sync.swap(false, Ordering::SeqCst) {
            return Err(injected(ErrorKind::Io));
        }
        self.store.sync()
    }

    fn verify(&self) -> Result<VerifyReport> {
        self.store.verify()
    }

    fn close(&self) -> Result<()> {
        self.store.close()
    }

    fn stats(&self) -> StoreStats {
        self.store.stats()
    }
}
