//! [`LsmStore`]: the store over fjall.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use bytes::Bytes;
use fjall::{PersistMode, Readable};
use vellum_core::{
    BoxIter, CommittedWrites, Durability, ErrorKind, Group, KeyRange, PruneReport, Recovered,
    Result, Retention, Store, StoreStats, Timestamp, VerifyReport,
};

use crate::changes;
use crate::directory::Directory;
use crate::error::{NAME, corrupted, engine, error, in_doubt};
use crate::group::Batch;
use crate::horizon::Horizon;
use crate::journal;
use crate::keyspaces::Keyspaces;
use crate::layout::{self, GroupRecord};
use crate::prune;
use crate::snapshot::LsmSnapshot;
use crate::verify;

/// A multi-version ordered store on disk, over fjall. `Builder` opens one.
///
/// Values that it hands out share the buffers they were read into, which may be
/// a whole block of a table: copy a small one (`Bytes::copy_from_slice`) that is
/// kept for long.
pub struct LsmStore {
    open: RwLock<Option<Arc<Open>>>,
}

/// What is there while the store is open.
pub(crate) struct Open {
    pub(crate) keyspaces: Arc<Keyspaces>,
    directory: Directory,
    horizon: Horizon,
    /// The newest published state. Held shortly.
    current: RwLock<Current>,
    /// The newest group that was applied, and what is durable.
    applied: Mutex<Applied>,
    /// Whether `history` may hold something, so that deletes have to leave
    /// tombstones there.
    pub(crate) has_history: AtomicBool,
}

#[derive(Clone)]
struct Current {
    native: Arc<fjall::Snapshot>,
    ts: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Applied {
    group: GroupRecord,
    /// The newest group that is durable.
    synced: u64,
    /// Where the newest group stands in fjall's sequence, or a little below.
    seqno: u64,
}

impl LsmStore {
    pub(crate) fn new(
        keyspaces: Keyspaces,
        directory: Directory,
        horizon: Horizon,
        group: GroupRecord,
        seqno: u64,
    ) -> Result<Self> {
        let native = Arc::new(keyspaces.db.snapshot());
        let has_history = !is_empty(&native, &keyspaces)?;
        let current = Current { native, ts: group.last_ts };
        let open = Open {
            keyspaces: Arc::new(keyspaces),
            directory,
            horizon,
            current: RwLock::new(current),
            // Opening synced what it found.
            applied: Mutex::new(Applied { group, synced: group.number, seqno }),
            has_history: AtomicBool::new(has_history),
        };
        Ok(Self { open: RwLock::new(Some(Arc::new(open))) })
    }

    fn open(&self) -> Result<Arc<Open>> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.clone().ok_or_else(|| error(ErrorKind::Closed, "the store was closed"))
    }
}

fn is_empty(native: &fjall::Snapshot, keyspaces: &Keyspaces) -> Result<bool> {
    native.is_empty(&keyspaces.history).map_err(engine("reading history"))
}

impl Open {
    fn current(&self) -> Current {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn snapshot_at(&self, at: Timestamp) -> LsmSnapshot {
        let Current { native, ts } = self.current();
        LsmSnapshot::new(self.keyspaces.clone(), native, at, at == ts)
    }

    fn head(&self) -> LsmSnapshot {
        let Current { native, ts } = self.current();
        LsmSnapshot::new(self.keyspaces.clone(), native, ts, true)
    }

    fn apply(&self, group: Group<'_>) -> Result<()> {
        let mut applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last_ts) = group.commits.last().map(|commit| commit.ts) else { return Ok(()) };
        let record = GroupRecord {
            number: applied.group.number + 1,
            last_ts,
            synced: applied.synced,
            // A prune may get in between.
            seqno: self.keyspaces.db.seqno(),
            previous_seqno: applied.seqno,
        };
        let mut batch = Batch::new(self, &group.commits);
        for commit in &group.commits {
            batch.add(commit)?;
        }
        let mode = match group.durability {
            Durability::Sync => PersistMode::SyncData,
            _ => PersistMode::Buffer,
        };
        batch.finish(&record).durability(Some(mode)).commit().map_err(in_doubt("a commit"))?;
        applied.group = record;
        applied.seqno = record.seqno;
        if group.durability == Durability::Sync {
            applied.synced = record.number;
            // The group is durable whatever becomes of this; but what cannot be
            // noted could be lost unnoticed, so nobody is told that it is safe.
            self.horizon.write(record.number).map_err(doubt)?;
        }
        Ok(())
    }

    fn publish(&self, ts: Timestamp) {
        let native = Arc::new(self.keyspaces.db.snapshot());
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Current { native, ts };
    }

    /// Lets go of what a prune removed, which the current native snapshot would
    /// keep in the tables until the next commit. A group that is applied and not
    /// yet published must not show; its publication does the same.
    pub(crate) fn refresh(&self) {
        let applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        if applied.group.last_ts == self.current().ts {
            self.publish(applied.group.last_ts);
        }
    }

    /// Forgets that `history` may hold something, if it holds nothing. Under the
    /// lock, so that no commit is about to write there.
    pub(crate) fn note_empty_history(&self) -> Result<()> {
        let _applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        if is_empty(&self.keyspaces.db.snapshot(), &self.keyspaces)? {
            self.has_history.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        // Under the lock, so that the number is the one that is synced.
        let mut applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        self.keyspaces.persist().map_err(in_doubt("an fsync of the journal"))?;
        applied.synced = applied.group.number;
        self.horizon.write(applied.synced)
    }

    /// Notes which journals there are, if nobody reads on, so that fjall's
    /// threads end here and remove none after that.
    fn note_journals(self) -> Result<()> {
        let Self { keyspaces, directory, horizon, current, .. } = self;
        drop(current);
        let Some(keyspaces) = Arc::into_inner(keyspaces) else { return Ok(()) };
        drop(keyspaces);
        horizon.note_journals(journal::present(&directory.fjall())?)?;
        horizon.sync()
    }

    fn recover(&self) -> Result<Recovered> {
        let Current { native, ts } = self.current();
        let mut catalog = Vec::new();
        for guard in native.iter(&self.keyspaces.meta) {
            let (key, value) = guard.into_inner().map_err(engine("reading meta"))?;
            let key = Bytes::from(key);
            if key == layout::GROUP {
                continue;
            }
            let entry = layout::decode_catalog_key(&key)
                .ok_or_else(|| corrupted(format!("key \"{}\" in meta", key.escape_ascii())))?;
            catalog.push((entry, Bytes::from(value)));
        }
        Ok(Recovered { last_ts: ts, catalog })
    }
}

/// The same error, where the outcome of a commit hangs on it.
fn doubt(e: vellum_core::Error) -> vellum_core::Error {
    error(ErrorKind::CommitUnknown, e.message().to_owned()).caused_by(e)
}

impl Store for LsmStore {
    type Snapshot = LsmSnapshot;

    fn name(&self) -> &'static str {
        NAME
    }

    fn recover(&self) -> Result<Recovered> {
        self.open()?.recover()
    }

    fn snapshot(&self) -> Result<LsmSnapshot> {
        Ok(self.open()?.head())
    }

    fn snapshot_at(&self, ts: Timestamp) -> Result<LsmSnapshot> {
        Ok(self.open()?.snapshot_at(ts))
    }

    fn apply(&self, group: Group<'_>) -> Result<()> {
        self.open()?.apply(group)
    }

    fn publish(&self, ts: Timestamp) {
        // Closed: there is nobody left to see it.
        if let Ok(open) = self.open() {
            open.publish(ts);
        }
    }

    fn prune(&self, keep: &Retention) -> Result<PruneReport> {
        prune::prune(&*self.open()?, keep)
    }

    fn touched(
        &self,
        from: &LsmSnapshot,
        to: &LsmSnapshot,
        range: &KeyRange,
    ) -> Result<BoxIter<Bytes>> {
        changes::touched(from, to, range)
    }

    fn changes(&self, from: Timestamp, to: &LsmSnapshot) -> Result<BoxIter<CommittedWrites>> {
        Ok(changes::changes(from, to.clone()))
    }

    fn sync(&self) -> Result<()> {
        self.open()?.sync()
    }

    fn verify(&self) -> Result<VerifyReport> {
        let open = self.open()?;
        verify::verify(&open.head(), &open.directory.fjall())
    }

    fn close(&self) -> Result<()> {
        let open = self.open.write().unwrap_or_else(PoisonError::into_inner).take();
        let Some(open) = open else { return Ok(()) };
        // fsyncs what was buffered, and makes the horizon exact: a journal that
        // is shorter at the next open has lost something.
        open.sync()?;
        open.horizon.sync()?;
        open.directory.sync_names()?;
        match Arc::into_inner(open) {
            Some(open) => open.note_journals(),
            None => Ok(()),
        }
    }

    fn stats(&self) -> StoreStats {
        let mut stats = StoreStats::new();
        if let Ok(open) = self.open() {
            stats.disk_bytes = open.keyspaces.db.disk_space().ok();
            stats.memory_bytes =
                Some(open.keyspaces.db.write_buffer_size() + open.keyspaces.db.cache_size());
        }
        stats
    }
}

impl fmt::Debug for LsmStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.open().ok();
        f.debug_struct("LsmStore")
            .field("path", &open.as_ref().map(|open| open.directory.path()))
            .finish_non_exhaustive()
    }
}
