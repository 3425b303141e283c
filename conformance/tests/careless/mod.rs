//! The backend on disk, with one care left out.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use vellum_conformance::crash::Subject;
use vellum_core::{
    BoxIter, Bytes, Commit, CommittedWrites, Database, Durability, Error, ErrorKind, Group,
    KeyRange, Options, PruneReport, Recovered, Result, Retention, Store, StoreStats, Timestamp,
    VerifyReport,
};
use vellum_lsm::{Builder, LsmStore};

/// What is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing is ever fsynced on request.
    NeverSyncs,
    /// A commit is applied in two groups.
    Tears,
    /// A write that fails is a success.
    HidesFailures,
    /// A commit is acknowledged, and applied with the next one.
    AppliesLate,
    /// An fsync that fails is a success.
    HidesFailedSyncs,
    /// After a failure nothing is read any more.
    RefusesToRead,
}

/// The backend with this fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Careless(pub(crate) Fault);

impl Subject for Careless {
    type Connection = Database<CarelessStore>;

    fn open(&self, dir: &Path, options: &Options) -> Result<Self::Connection> {
        let builder = Builder::new(dir).memtable_bytes(64 << 10).worker_threads(1);
        let store = builder.open_store()?;
        let (fault, late, dir) = (self.0, Mutex::default(), dir.to_owned());
        let has_failed = AtomicBool::new(false);
        Database::open(CarelessStore { store, fault, late, dir, has_failed }, *options)
    }
}

#[derive(Debug)]
pub(crate) struct CarelessStore {
    store: LsmStore,
    fault: Fault,
    late: Mutex<Vec<Commit>>,
    dir: PathBuf,
    has_failed: AtomicBool,
}

impl CarelessStore {
    fn each(&self, commits: Vec<Commit>, group: &Group<'_>) -> Result<()> {
        let (durability, retention) = (group.durability, group.retention);
        self.store.apply(Group { commits, durability, retention })
    }

    /// fsyncs the journals, and does not look whether it did.
    fn sync_somehow(&self) {
        let journals = std::fs::read_dir(self.dir.join("fjall")).into_iter().flatten().flatten();
        for path in journals.map(|entry| entry.path()) {
            if path.extension().is_some_and(|extension| extension == "jnl") {
                let _ = File::open(path).and_then(|journal| journal.sync_data());
            }
        }
    }

    /// The catalog and half of the writes, then the rest.
    fn torn(&self, group: Group<'_>) -> Result<()> {
        let mut second = group.commits.clone();
        let mut first = group.commits.clone();
        for (first, second) in first.iter_mut().zip(&mut second) {
            let half = first.writes.len() / 2;
            second.writes = first.writes.split_off(half);
            second.catalog = Vec::new();
        }
        self.each(first, &group)?;
        self.each(second, &group)
    }
}

impl Store for CarelessStore {
    type Snapshot = <LsmStore as Store>::Snapshot;

    fn name(&self) -> &'static str {
        "careless"
    }

    fn recover(&self) -> Result<Recovered> {
        self.store.recover()
    }

    fn snapshot(&self) -> Result<Self::Snapshot> {
        if self.has_failed.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Io, "it failed before"));
        }
        self.store.snapshot()
    }

    fn snapshot_at(&self, ts: Timestamp) -> Result<Self::Snapshot> {
        self.store.snapshot_at(ts)
    }

    fn apply(&self, mut group: Group<'_>) -> Result<()> {
        match self.fault {
            Fault::NeverSyncs => {
                group.durability = Durability::Buffered;
                self.store.apply(group)
            }
            Fault::HidesFailedSyncs => {
                let is_synced = group.durability == Durability::Sync;
                group.durability = Durability::Buffered;
                self.store.apply(group)?;
                if is_synced {
                    self.sync_somehow();
                }
                Ok(())
            }
            Fault::RefusesToRead => self.store.apply(group).inspect_err(|_| {
                self.has_failed.store(true, Ordering::Relaxed);
            }),
            Fault::Tears => self.torn(group),
            Fault::HidesFailures => self.store.apply(group).or(Ok(())),
            Fault::AppliesLate => {
                let Ok(mut late) = self.late.lock() else { return Ok(()) };
                let before = std::mem::replace(&mut *late, group.commits.clone());
                if before.is_empty() { Ok(()) } else { self.each(before, &group) }
            }
        }
    }

    fn publish(&self, ts: Timestamp) {
        self.store.publish(ts);
    }

    fn prune(&self, keep: &Retention) -> Result<PruneReport> {
        self.store.prune(keep)
    }

    fn touched(
        &self,
        from: &Self::Snapshot,
        to: &Self::Snapshot,
        range: &KeyRange,
    ) -> Result<BoxIter<Bytes>> {
        self.store.touched(from, to, range)
    }

    fn changes(&self, from: Timestamp, to: &Self::Snapshot) -> Result<BoxIter<CommittedWrites>> {
        self.store.changes(from, to)
    }

    fn sync(&self) -> Result<()> {
        match self.fault {
            Fault::NeverSyncs => Ok(()),
            Fault::HidesFailedSyncs => {
                self.sync_somehow();
                Ok(())
            }
            _ => self.store.sync(),
        }
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
