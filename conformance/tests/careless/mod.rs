//! The backend on disk, with one care left out.

use std::path::Path;
use std::sync::Mutex;

use vellum_conformance::crash::Subject;
use vellum_core::{
    BoxIter, Bytes, Commit, CommittedWrites, Database, Durability, Group, KeyRange, Options,
    PruneReport, Recovered, Result, Retention, Store, StoreStats, Timestamp, VerifyReport,
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
}

/// The backend with this fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Careless(pub(crate) Fault);

impl Subject for Careless {
    type Connection = Database<CarelessStore>;

    fn open(&self, dir: &Path, options: &Options) -> Result<Self::Connection> {
        let builder = Builder::new(dir).memtable_bytes(64 << 10).worker_threads(1);
        let store = builder.open_store()?;
        Database::open(CarelessStore { store, fault: self.0, late: Mutex::default() }, *options)
    }
}

#[derive(Debug)]
pub(crate) struct CarelessStore {
    store: LsmStore,
    fault: Fault,
    late: Mutex<Vec<Commit>>,
}

impl CarelessStore {
    fn each(&self, commits: Vec<Commit>, group: &Group<'_>) -> Result<()> {
        let (durability, retention) = (group.durability, group.retention);
        self.store.apply(Group { commits, durability, retention })
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
        if self.fault == Fault::NeverSyncs { Ok(()) } else { self.store.sync() }
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
