//! The transactions of a [`Database`](super::Database).

use std::fmt;

use bytes::Bytes;

use crate::store::{Previous, Snapshot};
use crate::sync::atomic::Ordering;
use crate::sync::{Mutex, MutexGuard, is_broken};
use crate::{
    CommitInfo, ConflictInfo, Durability, Error, Held, Isolation, KeyRange, ReadTxn, Record,
    Result, Store, Timestamp, TxnOptions, WriteConflicts, WriteTxn,
};

use super::conflict::{Footprint, Touched};
use super::iter::DatabaseRange;
use super::marks::Marks;
use super::pipeline::{GateId, Proposal, State};
use super::read_set::ReadSet;
use super::watermark::Slot;
use super::write_set::{OwnRange, WriteSet};
use super::{Inner, Shared, limits};

/// Transactions that observed more than this are validated in steps of this
/// many probes before they take the lock for good, so that they do not keep
/// others from committing meanwhile.
#[cfg(not(test))]
const VALIDATE_STEP: usize = 64;
/// Small, so that tests go in steps.
#[cfg(test)]
const VALIDATE_STEP: usize = 2;

/// A registered snapshot: what is common to all transactions.
pub(super) struct View<S: Store> {
    inner: Held<Inner<S>>,
    snapshot: S::Snapshot,
    slot: Slot,
    gate: Option<GateId>,
}

impl<S: Store> View<S> {
    /// Registers a state that the caller keeps until it has returned.
    pub(super) fn kept(shared: &Shared<S>, snapshot: S::Snapshot) -> Self {
        let slot = shared.watermark.register_kept(snapshot.ts());
        Self { inner: shared.held(), snapshot, slot, gate: None }
    }

    /// The same view, which opens the gate when it ends.
    pub(super) fn holding(mut self, gate: GateId) -> Self {
        self.gate = Some(gate);
        self
    }

    pub(super) fn snapshot(&self) -> &S::Snapshot {
        &self.snapshot
    }

    pub(super) fn ts(&self) -> Timestamp {
        self.snapshot.ts()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Record>> {
        self.inner.check_open()?;
        limits::check_key(key)?;
        self.snapshot.get(key)
    }

    /// What the transaction itself wrote at `key`, if it did; `Some(None)` is a
    /// delete. Such a read observes nothing of the snapshot.
    fn own_write(&self, key: &[u8], writes: &WriteSet) -> Result<Option<Option<Bytes>>> {
        let own = writes.get(key).cloned();
        if own.is_some() {
            self.inner.check_open()?;
        }
        Ok(own)
    }

    fn range<'a>(&'a self, range: &KeyRange, own: OwnRange<'a>) -> DatabaseRange<'a, S> {
        DatabaseRange::new(&self.inner, self.snapshot.range(range), own)
    }
}

impl<S: Store> Drop for View<S> {
    fn drop(&mut self) {
        let inner = &*self.inner;
        inner.watermark.release(&self.slot);
        if let Some(gate) = self.gate {
            inner.pipeline.open_gate(gate);
        }
        if self.slot.is_writer()
            && inner.pipeline.may_retire(self.ts(), inner.watermark.open_writers())
        {
            inner.retire_window();
        }
    }
}

impl<S: Store> Shared<S> {
    /// A view of the head.
    #[inline]
    pub(super) fn view(&self, writer: bool) -> Result<View<S>> {
        let head = || self.pipeline.decided();
        let take = || self.store.snapshot();
        let (snapshot, slot) = self.watermark.register(writer, take, Snapshot::ts, head)?;
        Ok(View { inner: self.held(), snapshot, slot, gate: None })
    }
}

/// A read transaction of a [`Database`](super::Database).
pub struct DatabaseRead<S: Store>(View<S>);

impl<S: Store> DatabaseRead<S> {
    pub(super) fn new(view: View<S>) -> Self {
        Self(view)
    }
}

impl<S: Store> ReadTxn for DatabaseRead<S> {
    type Range<'a> = DatabaseRange<'a, S>;

    fn read_ts(&self) -> Timestamp {
        self.0.ts()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.0.get(key)?.map(|record| record.value))
    }

    fn range(&self, range: impl Into<KeyRange>) -> DatabaseRange<'_, S> {
        self.0.range(&range.into().within_limits(), OwnRange::default())
    }
}

/// A write transaction of a [`Database`](super::Database).
pub struct DatabaseWrite<S: Store> {
    view: View<S>,
    writes: WriteSet,
    /// A lock and not a cell, so that the transaction and its iterators can be
    /// shared between threads.
    reads: Mutex<ReadSet>,
    isolation: Isolation,
    write_conflicts: WriteConflicts,
    durability: Durability,
    /// Whether to hand down what was read with what is written.
    keeps_seen: bool,
}

impl<S: Store> DatabaseWrite<S> {
    pub(super) fn new(view: View<S>, options: &TxnOptions) -> Self {
        Self {
            writes: WriteSet::default(),
            reads: Mutex::default(),
            isolation: options.isolation,
            write_conflicts: options.write_conflicts,
            durability: view.inner.durability(options.durability),
            keeps_seen: view.inner.has_pins.load(Ordering::Relaxed),
            view,
        }
    }

    pub(super) fn snapshot(&self) -> S::Snapshot {
        self.view.snapshot.clone()
    }

    fn is_validated(&self) -> bool {
        self.isolation == Isolation::Serializable
    }

    fn write(&mut self, key: &[u8], value: Option<Bytes>) -> Result<()> {
        self.view.inner.check_open()?;
        limits::check_key(key)?;
        limits::check_value(value.as_deref().unwrap_or_default())?;
        let value = value.map(|value| self.view.inner.store.pack(value));
        self.writes.put(key, value, self.view.inner.options.max_txn_bytes)
    }
}

impl<S: Store> ReadTxn for DatabaseWrite<S> {
    type Range<'a> = DatabaseRange<'a, S>;

    fn read_ts(&self) -> Timestamp {
        self.view.ts()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        if let Some(own) = self.view.own_write(key, &self.writes)? {
            return Ok(own);
        }
        let record = self.view.get(key)?;
        if self.is_validated() {
            let seen = match &record {
                _ if !self.keeps_seen => Previous::Unknown,
                Some(record) => Previous::Record(record.clone()),
                None => Previous::Absent,
            };
            self.reads.lock().add_key(key, seen);
        }
        Ok(record.map(|record| record.value))
    }

    fn range(&self, range: impl Into<KeyRange>) -> DatabaseRange<'_, S> {
        let range = range.into().within_limits();
        let mut items = self.view.range(&range, self.writes.range(&range));
        if self.is_validated() && !range.is_empty() {
            items.track(&self.reads, range);
        }
        items
    }
}

impl<S: Store> WriteTxn for DatabaseWrite<S> {
    type SnapshotReads<'a> = DatabaseSnapshotReads<'a, S>;

    fn put(&mut self, key: &[u8], value: impl Into<Bytes>) -> Result<()> {
        self.write(key, Some(value.into()))
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.write(key, None)
    }

    fn mark_read(&mut self, range: impl Into<KeyRange>) -> Result<()> {
        self.view.inner.check_open()?;
        if self.is_validated() {
            self.reads.lock().add_range(range.into().within_limits());
        }
        Ok(())
    }

    fn mark_written(&mut self, range: impl Into<KeyRange>) -> Result<()> {
        self.view.inner.check_open()?;
        let bytes_max = self.view.inner.options.max_txn_bytes;
        self.writes.mark(range.into().within_limits(), bytes_max)
    }

    fn snapshot_reads(&self) -> DatabaseSnapshotReads<'_, S> {
        DatabaseSnapshotReads { view: &self.view, writes: &self.writes }
    }

    fn commit(self) -> Result<CommitInfo> {
        let inner = &*self.view.inner;
        inner.check_open()?;
        if self.writes.is_empty() {
            return Ok(CommitInfo::new(None));
        }
        let mut reads = self.reads.into_inner();
        reads.finish();
        let (mut writes, marks) = self.writes.into_parts();
        if self.keeps_seen {
            // What was read is handed down with what is written: validation is
            // about to prove that it still stands.
            writes.iter_mut().for_each(|w| w.previous = reads.take_seen(&w.key));
        }
        let detect = self.write_conflicts == WriteConflicts::Detect;
        let footprint = Footprint {
            read_ts: self.view.ts(),
            reads: &reads,
            writes: if detect { &writes } else { &[] },
            marks: if detect { &marks } else { &Marks::NONE },
        };
        let state = inner.validate(&footprint, self.view.gate)?;
        let proposal = Proposal {
            writes,
            marks,
            change: None,
            durability: self.durability,
            from_writer: true,
        };
        let commit_ts = inner.submit(state, proposal)?;
        Ok(CommitInfo::new(Some(commit_ts)))
    }

    fn discard(self) {}
}

impl<S: Store> Inner<S> {
    /// Takes the pipeline's lock with the transaction validated against every
    /// commit so far.
    fn validate(&self, txn: &Footprint<'_>, gate: Option<GateId>) -> Result<MutexGuard<'_, State>> {
        let mut since = txn.read_ts;
        if txn.len() > VALIDATE_STEP {
            since = self.validate_in_steps(txn)?;
        }
        let mut state = self.pipeline.enter(gate)?;
        match state.index.validate(txn, since) {
            None => Ok(state),
            Some(conflict) => Err(self.lose(state, conflict)),
        }
    }

    /// Validates against the commits up to the timestamp that comes back,
    /// letting others in between the steps.
    fn validate_in_steps(&self, txn: &Footprint<'_>) -> Result<Timestamp> {
        let state = self.pipeline.lock();
        let upto = state.assigned();
        drop(state);
        if upto <= txn.read_ts {
            return Ok(txn.read_ts);
        }
        for touched in Touched::ALL {
            let len = txn.count(touched);
            for first in (0..len).step_by(VALIDATE_STEP) {
                let part = first..len.min(first + VALIDATE_STEP);
                let mut state = self.pipeline.lock();
                let hit = state.index.validate_part(txn, txn.read_ts, touched, part);
                if let Some(conflict) = hit {
                    return Err(self.lose(state, conflict));
                }
            }
        }
        Ok(upto)
    }

    /// Tells the loser once the winner is visible.
    fn lose(&self, mut state: MutexGuard<'_, State>, conflict: ConflictInfo) -> Error {
        state.conflicts += 1;
        if !is_broken("a loser is told before the commit that beat it is visible") {
            self.pipeline.wait_visible(state, conflict.commit_ts);
        }
        Error::from_conflict(conflict)
    }
}

/// A view of a write transaction whose reads are not validated.
pub struct DatabaseSnapshotReads<'t, S: Store> {
    view: &'t View<S>,
    writes: &'t WriteSet,
}

impl<S: Store> ReadTxn for DatabaseSnapshotReads<'_, S> {
    type Range<'a>
        = DatabaseRange<'a, S>
    where
        Self: 'a;

    fn read_ts(&self) -> Timestamp {
        self.view.ts()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        if let Some(own) = self.view.own_write(key, self.writes)? {
            return Ok(own);
        }
        Ok(self.view.get(key)?.map(|record| record.value))
    }

    fn range(&self, range: impl Into<KeyRange>) -> DatabaseRange<'_, S> {
        let range = range.into().within_limits();
        self.view.range(&range, self.writes.range(&range))
    }
}

macro_rules! debug_with_read_ts {
    ($($name:ident $(<$lifetime:lifetime>)?),*) => {$(
        impl<S: Store> fmt::Debug for $name<$($lifetime,)? S> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut s = f.debug_struct(stringify!($name));
                s.field("read_ts", &self.read_ts()).finish_non_exhaustive()
            }
        }
    )*};
}

debug_with_read_ts!(DatabaseRead, DatabaseWrite, DatabaseSnapshotReads<'_>);
