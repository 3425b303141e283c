//! [`LsmStore`]: the store over fjall.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use bytes::Bytes;
use fjall::{OwnedWriteBatch, PersistMode, Readable};
use vellum_core::{
    BoxIter, CommittedWrites, Durability, ErrorKind, Group, KeyRange, PruneReport, Recovered,
    Result, Retention, Store, StoreStats, Timestamp, VerifyReport,
};

use crate::ahead::Ahead;
use crate::changes;
use crate::directory::Directory;
use crate::error::{NAME, corrupted, engine, error, in_doubt};
use crate::group::Batch;
use crate::horizon::Horizon;
use crate::journal;
use crate::keyspaces::Keyspaces;
use crate::layout::{self, GroupRecord};
use crate::memtables::Memtables;
use crate::prune;
use crate::snapshot::LsmSnapshot;
use crate::state::State;
use crate::verify;

/// A multi-version ordered store on disk, over fjall. `Builder` opens one.
///
/// Values that it hands out share the buffers they were read into, which may be
/// a whole block of a table, or 8 KiB of what was committed with them: copy a small
/// one (`Bytes::copy_from_slice`) that is kept for long.
pub struct LsmStore {
    open: RwLock<Option<Arc<Open>>>,
    current: Arc<Current>,
}

/// Bytes in memtables from which on closing writes them out.
const CLOSE_FLUSH_MIN: u64 = 4 * 1024 * 1024;

/// The newest published state, until the store is closed. Held shortly.
type Current = RwLock<Option<Arc<State>>>;

/// What is there while the store is open.
pub(crate) struct Open {
    pub(crate) keyspaces: Arc<Keyspaces>,
    directory: Directory,
    horizon: Horizon,
    current: Arc<Current>,
    /// The newest group that was applied, and what is durable.
    applied: Mutex<Applied>,
    /// Whether `history` may hold something, so that deletes have to leave
    /// tombstones there.
    pub(crate) has_history: AtomicBool,
}

#[derive(Debug)]
struct Applied {
    group: GroupRecord,
    /// The newest group that is durable.
    synced: u64,
    /// Where the newest group stands in fjall's sequence, or a little below.
    seqno: u64,
    /// Who holds the lock is the only one to write to a journal.
    ahead: Ahead,
    memtables: Memtables,
}

impl LsmStore {
    pub(crate) fn new(
        keyspaces: Keyspaces,
        directory: Directory,
        horizon: Horizon,
        group: GroupRecord,
        seqno: u64,
        memtable_bytes: u64,
    ) -> Result<Self> {
        let native = keyspaces.db.snapshot();
        let has_history = !is_empty(&native, &keyspaces)?;
        let keyspaces = Arc::new(keyspaces);
        let state = State { keyspaces: keyspaces.clone(), native, ts: group.last_ts };
        let current = Arc::new(RwLock::new(Some(Arc::new(state))));
        let applied = Applied {
            group,
            // Opening synced what it found.
            synced: group.number,
            seqno,
            ahead: Ahead::new(directory.fjall()),
            memtables: Memtables::new(&keyspaces, memtable_bytes),
        };
        let open = Open {
            keyspaces,
            directory,
            horizon,
            current: current.clone(),
            applied: Mutex::new(applied),
            has_history: AtomicBool::new(has_history),
        };
        Ok(Self { open: RwLock::new(Some(Arc::new(open))), current })
    }

    /// Writes what is gathered in memory into tables, so that it is read from
    /// there and opening has less to replay. It happens by itself as memtables
    /// fill up; asking for it pays after a bulk load. It makes nothing durable
    /// that is not yet: that is for a synced commit, or `sync`.
    ///
    /// ```
    /// use vellum_core::{Connection, ConnectionExt, ReadTxn, WriteTxn};
    ///
    /// # fn main() -> vellum_core::Result<()> {
    /// # let dir = tempfile::tempdir().map_err(|e| vellum_core::Error::new(vellum_core::ErrorKind::Io, e.to_string()))?;
    /// let db = vellum_lsm::open(dir.path().join("db"))?;
    /// db.transact(|txn| txn.put(b"key", "value"))?;
    /// db.store().flush()?;
    /// assert_eq!(db.begin_read()?.get(b"key")?.as_deref(), Some(&b"value"[..]));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Closed`, `Io`.
    pub fn flush(&self) -> Result<()> {
        let open = self.open()?;
        open.keyspaces.flush()?;
        // The current native snapshot still reads the memtables, and keeps them.
        open.refresh();
        Ok(())
    }

    fn open(&self) -> Result<Arc<Open>> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.clone().ok_or_else(closed)
    }

    #[cfg(test)]
    pub(crate) fn keyspaces(&self) -> Result<Arc<Keyspaces>> {
        Ok(self.open()?.keyspaces.clone())
    }

    /// Keeps everybody else from writing to a journal meanwhile.
    #[cfg(test)]
    pub(crate) fn hold_journals(&self, act: impl FnOnce()) -> Result<()> {
        let open = self.open()?;
        let _applied = open.applied.lock().unwrap_or_else(PoisonError::into_inner);
        act();
        Ok(())
    }

    /// Whether the journal was ever fsynced beside commits.
    #[cfg(test)]
    pub(crate) fn was_synced_beside(&self) -> Result<bool> {
        let open = self.open()?;
        let applied = open.applied.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(applied.ahead.was_synced_beside())
    }

    fn current(&self) -> Result<Arc<State>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone().ok_or_else(closed)
    }
}

fn closed() -> vellum_core::Error {
    error(ErrorKind::Closed, "the store was closed")
}

fn is_empty(native: &fjall::Snapshot, keyspaces: &Keyspaces) -> Result<bool> {
    native.is_empty(&keyspaces.history).map_err(engine("reading history"))
}

impl Open {
    fn apply(&self, group: Group<'_>) -> Result<()> {
        let mut applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last_ts) = group.commits.last().map(|commit| commit.ts) else { return Ok(()) };
        // All before is published, so that no snapshot of ours holds it up.
        self.keyspaces.cool_head()?;
        applied.memtables.write_out_full(&self.keyspaces)?;
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
        let (batch, bytes) = batch.finish(&record);
        if group.durability == Durability::Sync {
            applied.ahead.make_room();
        }
        let done = batch.durability(Some(mode)).commit().map_err(in_doubt("a commit"));
        self.or_write_again(done)?;
        applied.ahead.note(bytes, group.durability == Durability::Sync);
        applied.memtables.note(&self.keyspaces, bytes);
        if applied.memtables.is_nearly_full() {
            applied.ahead.sync_beside();
        }
        applied.group = record;
        applied.seqno = record.seqno;
        if group.durability == Durability::Sync {
            applied.synced = record.number;
            // The group is durable whatever becomes of this; but what cannot be
            // noted could be lost unnoticed, so nobody is told that it is safe.
            self.horizon.write(record.number).map_err(doubt)?;
        }
        // Applied, and not yet published: the order that `records` rests on.
        for commit in &group.commits {
            for write in &commit.writes {
                let Keyspaces { records, past, heat, .. } = &*self.keyspaces;
                if let Some(preserve) = commit.preserve
                    && let Some((record, before)) = records.newest(&write.key)
                    && record.ts <= preserve
                {
                    past.keep(&layout::touched_key(record.ts, &write.key), &record, before);
                }
                records.write(&write.key, write.value.as_ref(), commit.ts);
                heat.write(&write.key);
            }
        }
        Ok(())
    }

    /// Where the journal could not be written or fsynced, tries once more, so that tables are
    /// not ahead of it. What becomes of that changes nothing for who is waiting.
    fn or_write_again(&self, done: Result<()>) -> Result<()> {
        done.inspect_err(|_| drop(journal::write_again(&self.directory.fjall())))
    }

    fn publish(&self, ts: Timestamp) {
        let (keyspaces, native) = (self.keyspaces.clone(), self.keyspaces.db.snapshot());
        let state = Arc::new(State { keyspaces, native, ts });
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        // Closed: there is nobody left to see it.
        if current.is_some() {
            let before = current.replace(state);
            drop(current);
            drop(before);
        }
    }

    /// Lets go of what a prune removed, which the current native snapshot would
    /// keep in the tables until the next commit. A group that is applied and not
    /// yet published must not show; its publication does the same.
    pub(crate) fn refresh(&self) {
        let applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let published = current.as_ref().map(|state| state.ts);
        drop(current);
        if published == Some(applied.group.last_ts) {
            self.publish(applied.group.last_ts);
        }
    }

    /// Commits what a prune removes. It is lost with a power loss, and done again.
    pub(crate) fn remove(&self, batch: OwnedWriteBatch) -> Result<()> {
        let mut applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        applied.memtables.write_out_full(&self.keyspaces)?;
        batch.durability(Some(PersistMode::Buffer)).commit().map_err(engine("pruning"))?;
        applied.memtables.look(&self.keyspaces);
        Ok(())
    }

    /// Lets go of journals that fjall would keep for what a prune removed.
    pub(crate) fn release_journals(&self) -> Result<()> {
        let mut applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        self.keyspaces.release_journals()?;
        applied.memtables.look(&self.keyspaces);
        Ok(())
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
        let synced = self.keyspaces.persist().map_err(in_doubt("an fsync of the journal"));
        self.or_write_again(synced)?;
        applied.synced = applied.group.number;
        self.horizon.write(applied.synced)
    }

    /// Notes which journals there are, if nobody reads on, so that fjall's
    /// threads end here and remove none after that.
    fn note_journals(self) -> Result<()> {
        let Self { keyspaces, directory, horizon, .. } = self;
        let Some(keyspaces) = Arc::into_inner(keyspaces) else { return Ok(()) };
        drop(keyspaces);
        horizon.note_journals(journal::present(&directory.fjall())?)?;
        horizon.sync()
    }

    fn recover(state: &State) -> Result<Recovered> {
        let mut catalog = Vec::new();
        for guard in state.native.iter(&state.keyspaces.meta) {
            let (key, value) = guard.into_inner().map_err(engine("reading meta"))?;
            let key = Bytes::from(key);
            if key == layout::GROUP {
                continue;
            }
            let entry = layout::decode_catalog_key(&key)
                .ok_or_else(|| corrupted(format!("key \"{}\" in meta", key.escape_ascii())))?;
            catalog.push((entry, Bytes::from(value)));
        }
        Ok(Recovered { last_ts: state.ts, catalog })
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
        Open::recover(&*self.current()?)
    }

    fn snapshot(&self) -> Result<LsmSnapshot> {
        let state = self.current()?;
        let ts = state.ts;
        Ok(LsmSnapshot::new(state, ts))
    }

    fn snapshot_at(&self, ts: Timestamp) -> Result<LsmSnapshot> {
        Ok(LsmSnapshot::new(self.current()?, ts))
    }

    fn apply(&self, group: Group<'_>) -> Result<()> {
        self.open()?.apply(group)
    }

    fn publish(&self, ts: Timestamp) {
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
        verify::verify(&self.snapshot()?, &open.directory.fjall())
    }

    fn close(&self) -> Result<()> {
        let open = self.open.write().unwrap_or_else(PoisonError::into_inner).take();
        let Some(open) = open else { return Ok(()) };
        // fsyncs what was buffered, and makes the horizon exact: a journal that
        // is shorter at the next open has lost something.
        let synced = open.sync().and_then(|()| open.horizon.sync());
        let safe = synced.and_then(|()| open.directory.sync_names());
        // What would take longer to replay than to write is written.
        let flushed = match open.keyspaces.db.write_buffer_size() {
            CLOSE_FLUSH_MIN.. if safe.is_ok() => open.keyspaces.flush(),
            _ => Ok(()),
        };
        // Whatever failed, this lets go of the directory.
        drop(self.current.write().unwrap_or_else(PoisonError::into_inner).take());
        let noted = match Arc::into_inner(open) {
            Some(open) if safe.is_ok() => open.note_journals(),
            _ => Ok(()),
        };
        safe.and(flushed).and(noted)
    }

    fn stats(&self) -> StoreStats {
        let mut stats = StoreStats::new();
        if let Ok(open) = self.open() {
            stats.disk_bytes = open.keyspaces.db.disk_space().ok();
            let Keyspaces { db, records, past, .. } = &*open.keyspaces;
            let caches = db.cache_size() + records.bytes() + past.bytes();
            let bytes = db.write_buffer_size() + caches;
            stats.memory_bytes = Some(bytes);
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use vellum_core::{Connection, ConnectionExt, Options, ReadTxn, WriteTxn};

    use super::*;
    use crate::error::io;

    /// Tables of all our keyspaces; the zeroth is fjall's own.
    fn tables(database: &Path) -> std::io::Result<usize> {
        let mut count = 0;
        for keyspace in 1..=5 {
            let tables = format!("fjall/keyspaces/{keyspace}/tables");
            count += std::fs::read_dir(database.join(tables))?.count();
        }
        Ok(count)
    }

    #[test]
    fn close_writes_out_what_would_take_long_to_replay_and_no_less() -> Result<()> {
        let dir = tempfile::tempdir().map_err(io("making a directory"))?;
        for (records, is_written) in [(10, false), (5000, true)] {
            let path = dir.path().join(records.to_string());
            let options = Options::new().durability(Durability::Buffered);
            let open = || crate::Builder::new(&path).options(options).open();
            let db = open()?;
            db.transact(|txn| {
                (0..records).try_for_each(|i: u32| txn.put(&i.to_be_bytes(), vec![7; 1000]))
            })?;
            db.close()?;
            drop(db);
            assert_eq!(tables(&path).map_err(io("listing"))? > 0, is_written, "{records}");
            assert_eq!(open()?.begin_read()?.range(..).count(), records as usize);
        }
        Ok(())
    }
}
