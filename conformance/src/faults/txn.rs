//! Transactions that are wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use vellum_core::{
    Bytes, CommitInfo, Connection, Error, ErrorKind, KeyRange, KeyValue, ReadTxn, Result,
    Timestamp, TxnOptions, WriteConflicts, WriteTxn,
};

use super::{BrokenRange, Fault, Shared};

/// A read transaction of a [`BrokenConnection`](super::BrokenConnection).
pub struct BrokenRead<C: Connection> {
    pub(super) txn: C::Read,
    pub(super) db: C,
    pub(super) fault: Fault,
    pub(super) shared: Arc<Shared<C>>,
    pub(super) at_head: bool,
}

/// A write transaction of a [`BrokenConnection`](super::BrokenConnection).
pub struct BrokenWrite<C: Connection> {
    /// `None` once it was committed or discarded.
    pub(super) txn: Option<C::Write>,
    /// The snapshot without its own writes, for faults that need it.
    pub(super) base: Option<C::Read>,
    pub(super) db: C,
    pub(super) fault: Fault,
    pub(super) shared: Arc<Shared<C>>,
    pub(super) writes: BTreeMap<Bytes, Option<Bytes>>,
    /// Keys that were put after they had been deleted.
    pub(super) rewritten: Vec<Bytes>,
    pub(super) called_out_of_limits: bool,
}

/// The unvalidated view of a [`BrokenWrite`].
pub struct BrokenSnapshotReads<'a, C: Connection> {
    view: <C::Write as WriteTxn>::SnapshotReads<'a>,
    fault: Fault,
}

fn timestamp<C: Connection>(shared: &Shared<C>, ts: Timestamp) -> Timestamp {
    Timestamp::new(ts.get() - shared.lock().timestamps_from.min(ts.get()))
}

fn cut(fault: Fault, key: &[u8]) -> &[u8] {
    let long = fault == Fault::LongKeyTruncated;
    key.get(..255).filter(|_| long).unwrap_or(key)
}

/// What a fault makes of a value that was read.
fn shown(fault: Fault, value: Option<Bytes>) -> Option<Bytes> {
    value.filter(|v| fault != Fault::EmptyValueAbsent || !v.is_empty())
}

impl<C: Connection> ReadTxn for BrokenRead<C> {
    type Range<'a>
        = BrokenRange<'a>
    where
        Self: 'a;

    fn read_ts(&self) -> Timestamp {
        timestamp(&self.shared, self.txn.read_ts())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let key = cut(self.fault, key);
        match self.fault {
            Fault::ReadsLatest if self.at_head => return self.db.begin_read()?.get(key),
            Fault::DirtyRead if self.at_head => {
                if let Some(value) = self.shared.lock().dirty.get(key) {
                    return Ok(value.clone());
                }
            }
            Fault::LimitsUnchecked if key.is_empty() || key.len() > vellum_core::MAX_KEY_LEN => {
                return Ok(None);
            }
            _ => {}
        }
        Ok(shown(self.fault, self.txn.get(key)?))
    }

    fn range(&self, range: impl Into<KeyRange>) -> BrokenRange<'_> {
        let range = range.into();
        match self.fault {
            Fault::RangeReadsLatest if self.at_head => {
                let items = self.db.begin_read().map(|txn| txn.range(&range).collect());
                BrokenRange::of(items.unwrap_or_default())
            }
            Fault::OrderSigned => {
                let mut items: Vec<Result<KeyValue>> = self.txn.range(&range).collect();
                items.sort_by_key(|item| {
                    let key = item.as_ref().map(|(key, _)| &key[..]).unwrap_or_default();
                    key.iter().map(|b| b.cast_signed()).collect::<Vec<_>>()
                });
                BrokenRange::of(items)
            }
            fault => BrokenRange::over(&self.txn, fault, range),
        }
    }
}

impl<C: Connection> BrokenWrite<C> {
    fn txn(&self) -> Result<&C::Write> {
        self.txn.as_ref().ok_or_else(ended)
    }

    fn note(&mut self, key: &[u8], value: Option<Bytes>) {
        let key = Bytes::copy_from_slice(key);
        if matches!(
            self.fault,
            Fault::DirtyRead | Fault::WriterDirtyRead | Fault::UncommittedAfterReopen
        ) {
            self.shared.lock().dirty.insert(key.clone(), value.clone());
        }
        if value.is_some() && self.writes.get(&key) == Some(&None) {
            self.rewritten.push(key.clone());
        }
        self.writes.insert(key, value);
    }

    fn forget_dirty(&self) {
        let mut state = self.shared.lock();
        let survives = self.fault == Fault::UncommittedAfterReopen && state.closed;
        if !survives {
            state.dirty.retain(|key, _| !self.writes.contains_key(key));
        }
    }

    /// The items of a range, read without being tracked.
    fn untracked(&self, txn: &C::Write, range: &KeyRange) -> Vec<Result<KeyValue>> {
        match (self.fault, &self.base) {
            (Fault::OwnWritesMissingInRanges, Some(base)) => base.range(range).collect(),
            (Fault::OwnDeleteShown, Some(base)) => {
                let mut items: BTreeMap<Bytes, Bytes> =
                    txn.snapshot_reads().range(range).flatten().collect();
                let deleted = |key: &Bytes| self.writes.get(key) == Some(&None);
                items.extend(base.range(range).flatten().filter(|(key, _)| deleted(key)));
                items.into_iter().map(Ok).collect()
            }
            (Fault::WriterRangesReadLatest, _) => {
                let latest = self.db.begin_read().map(|txn| txn.range(range).flatten().collect());
                let mut items: BTreeMap<Bytes, Bytes> = latest.unwrap_or_default();
                items.retain(|key, _| !self.writes.contains_key(key));
                let own = self.writes.iter().filter(|(key, _)| range.contains(key));
                items.extend(own.filter_map(|(key, value)| Some((key.clone(), value.clone()?))));
                items.into_iter().map(Ok).collect()
            }
            (Fault::RewrittenKeyTwice, _) => {
                let twice = |item: Result<KeyValue>| {
                    let again = item.as_ref().ok().filter(|(key, _)| self.rewritten.contains(key));
                    let again = again.cloned().map(Ok);
                    std::iter::once(item).chain(again)
                };
                txn.snapshot_reads().range(range).flat_map(twice).collect()
            }
            _ => txn.snapshot_reads().range(range).collect(),
        }
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::Closed, "the broken transaction has ended")
}

fn out_of_limits(key: &[u8]) -> bool {
    key.is_empty() || key.len() > vellum_core::MAX_KEY_LEN
}

impl<C: Connection> ReadTxn for BrokenWrite<C> {
    type Range<'a>
        = BrokenRange<'a>
    where
        Self: 'a;

    fn read_ts(&self) -> Timestamp {
        let ts = self.txn.as_ref().map_or(Timestamp::ZERO, ReadTxn::read_ts);
        let ts = if self.fault == Fault::WriterTimestampEarly { ts.prev() } else { ts };
        timestamp(&self.shared, ts)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let (txn, key) = (self.txn()?, cut(self.fault, key));
        match (self.fault, &self.base) {
            (Fault::LimitsUnchecked, _) if out_of_limits(key) => return Ok(None),
            (Fault::AbsentGetUntracked, _) if txn.snapshot_reads().get(key)?.is_none() => {
                return Ok(None);
            }
            (Fault::OwnWritesMissingInGets, Some(base)) if self.writes.contains_key(key) => {
                return base.get(key);
            }
            (Fault::OwnDeleteShown, Some(base)) if self.writes.get(key) == Some(&None) => {
                return base.get(key);
            }
            (Fault::WriterReadsLatest, _) if !self.writes.contains_key(key) => {
                txn.get(key)?;
                return self.db.begin_read()?.get(key);
            }
            (Fault::WriterDirtyRead, _) if !self.writes.contains_key(key) => {
                let dirty = self.shared.lock().dirty.get(key).cloned();
                let seen = txn.get(key)?;
                return Ok(dirty.unwrap_or(seen));
            }
            (Fault::OwnReadTracked, _) if self.writes.contains_key(key) => {
                // A range observes the key though the transaction wrote it.
                txn.range(KeyRange::key(key)).for_each(drop);
            }
            _ => {}
        }
        Ok(shown(self.fault, txn.get(key)?))
    }

    fn range(&self, range: impl Into<KeyRange>) -> BrokenRange<'_> {
        let range = range.into();
        let Some(txn) = &self.txn else { return BrokenRange::of(vec![Err(ended())]) };
        match self.fault {
            Fault::RangeUntracked
            | Fault::PhantomLetThrough
            | Fault::EmptyRangeUntracked
            | Fault::TailUntracked
            | Fault::ReverseUntracked
            | Fault::OverObserves
            | Fault::UnadvancedRangeObserves
            | Fault::OwnWritesMissingInRanges
            | Fault::OwnDeleteShown
            | Fault::WriterRangesReadLatest
            | Fault::RewrittenKeyTwice => {
                BrokenRange::tracked(txn, self.untracked(txn, &range), self.fault, range)
            }
            fault => BrokenRange::over(txn, fault, range),
        }
    }
}

impl<C: Connection> WriteTxn for BrokenWrite<C> {
    type SnapshotReads<'a>
        = BrokenSnapshotReads<'a, C>
    where
        Self: 'a;

    fn put(&mut self, key: &[u8], value: impl Into<Bytes>) -> Result<()> {
        let (key, mut value) = (cut(self.fault, key), value.into());
        match self.fault {
            Fault::FirstPutWins if matches!(self.writes.get(key), Some(Some(_))) => return Ok(()),
            Fault::LimitsUnchecked if out_of_limits(key) => return Ok(()),
            Fault::LongValueTruncated => value.truncate(65_536),
            _ => {}
        }
        let put = self.txn.as_mut().ok_or_else(ended)?.put(key, value.clone());
        match &put {
            Ok(()) => self.note(key, Some(value)),
            Err(e) => self.called_out_of_limits |= e.kind() == ErrorKind::Invalid,
        }
        if self.fault == Fault::LimitNamedAlone && put.is_err() {
            let limit =
                format!("at most {} and {}", vellum_core::MAX_KEY_LEN, vellum_core::MAX_VALUE_LEN);
            return put.map_err(|e| Error::new(e.kind(), limit));
        }
        put
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        let key = cut(self.fault, key);
        match self.fault {
            Fault::LimitsUnchecked if out_of_limits(key) => return Ok(()),
            Fault::AbsentDeleteUntracked if self.txn()?.snapshot_reads().get(key)?.is_none() => {
                return Ok(());
            }
            _ => {}
        }
        self.txn.as_mut().ok_or_else(ended)?.delete(key)?;
        self.note(key, None);
        Ok(())
    }

    fn mark_read(&mut self, range: impl Into<KeyRange>) -> Result<()> {
        match self.fault {
            Fault::MarkReadIgnored => Ok(()),
            _ => self.txn.as_mut().ok_or_else(ended)?.mark_read(range),
        }
    }

    fn mark_written(&mut self, range: impl Into<KeyRange>) -> Result<()> {
        match self.fault {
            Fault::MarkWrittenIgnored => Ok(()),
            _ => self.txn.as_mut().ok_or_else(ended)?.mark_written(range),
        }
    }

    #[expect(clippy::expect_used, reason = "the trait has no error here, and commit consumes")]
    fn snapshot_reads(&self) -> BrokenSnapshotReads<'_, C> {
        let txn = self.txn.as_ref().expect("a transaction that has not ended");
        if self.fault == Fault::SnapshotReadsTracked {
            txn.range(..).for_each(drop);
        }
        BrokenSnapshotReads { view: txn.snapshot_reads(), fault: self.fault }
    }

    fn commit(mut self) -> Result<CommitInfo> {
        let mut txn = self.txn.take().ok_or_else(ended)?;
        let read_ts = timestamp(&self.shared, txn.read_ts());
        let later = Ok(CommitInfo::new(Some(Timestamp::new(read_ts.get() + 1))));
        match self.fault {
            Fault::LimitEndsTransaction if self.called_out_of_limits => {
                return Err(Error::new(ErrorKind::Invalid, "a call before was out of limits"));
            }
            Fault::ReadOnlyConflicts if self.writes.is_empty() => {
                txn.mark_written(KeyRange::key(b"\xff\xff broken"))?;
            }
            Fault::TornAfterReopen | Fault::LosesLastAfterReopen if !self.writes.is_empty() => {
                let before = self.db.begin_read()?;
                let old = |key: &Bytes| Ok((key.clone(), before.get(key)?));
                let old = self.writes.keys().map(old).collect::<Result<_>>()?;
                self.shared.lock().last_commit = old;
            }
            _ => {}
        }
        let outcome = txn.commit();
        self.forget_dirty();
        let kind = outcome.as_ref().err().map(Error::kind);
        if self.fault == Fault::UnknownLosesOld && kind == Some(ErrorKind::CommitUnknown) {
            let gone = std::mem::take(&mut self.writes).into_keys().map(|key| (key, None));
            self.shared.lock().last_commit = gone.collect();
        }
        match (self.fault, kind) {
            (Fault::FailedCommitApplies, Some(ErrorKind::Conflict)) => {
                let blind = TxnOptions::new().write_conflicts(WriteConflicts::Ignore);
                let mut again = self.db.begin_write_with(&blind)?;
                for (key, value) in std::mem::take(&mut self.writes) {
                    match value {
                        Some(value) => again.put(&key, value)?,
                        None => again.delete(&key)?,
                    }
                }
                again.commit()?;
                outcome
            }
            (Fault::ConflictSwallowed, Some(ErrorKind::Conflict))
            | (Fault::UnknownAsSuccess, Some(ErrorKind::CommitUnknown | ErrorKind::Io))
            | (Fault::PoisonForgotten, Some(ErrorKind::Poisoned)) => later,
            (Fault::ConflictNotRetryable, Some(ErrorKind::Conflict)) => {
                Err(Error::new(ErrorKind::Io, "something stood in the way"))
            }
            (Fault::ConflictWithoutDetails, Some(ErrorKind::Conflict))
            | (Fault::UnknownAsConflict, Some(ErrorKind::CommitUnknown)) => {
                Err(Error::new(ErrorKind::Conflict, "somebody was quicker"))
            }
            (Fault::ConflictNamesAnother | Fault::ConflictNamesNeighbour, Some(_)) => {
                outcome.map_err(|e| misnamed(self.fault, e))
            }
            (Fault::CommitTimestampRepeats, None) => {
                outcome.map(|info| CommitInfo::new(info.commit_ts.map(|_| read_ts)))
            }
            (Fault::EmptyCommitTimestamp, None) if self.writes.is_empty() => later,
            _ => outcome
                .map(|info| CommitInfo::new(info.commit_ts.map(|ts| timestamp(&self.shared, ts)))),
        }
    }

    fn discard(mut self) {
        if let Some(txn) = self.txn.take() {
            self.forget_dirty();
            match self.fault {
                Fault::DiscardApplies => drop(txn.commit()),
                _ => txn.discard(),
            }
        }
    }
}

impl<C: Connection> Drop for BrokenWrite<C> {
    fn drop(&mut self) {
        if let Some(txn) = self.txn.take() {
            self.forget_dirty();
            if self.fault == Fault::DropApplies {
                drop(txn.commit());
            }
        }
    }
}

impl<C: Connection> ReadTxn for BrokenSnapshotReads<'_, C> {
    type Range<'a>
        = BrokenRange<'a>
    where
        Self: 'a;

    fn read_ts(&self) -> Timestamp {
        self.view.read_ts()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        match self.fault {
            Fault::LimitsUnchecked if out_of_limits(key) => Ok(None),
            _ => self.view.get(key),
        }
    }

    fn range(&self, range: impl Into<KeyRange>) -> BrokenRange<'_> {
        BrokenRange::over(&self.view, self.fault, range.into())
    }
}

macro_rules! debug {
    ($($name:ident $(<$lifetime:lifetime>)?),*) => {$(
        impl<C: Connection> fmt::Debug for $name<$($lifetime,)? C> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("fault", &self.fault).finish_non_exhaustive()
            }
        }
    )*};
}

debug!(BrokenRead, BrokenWrite, BrokenSnapshotReads<'_>);

/// The same conflict with another winner, or another key.
fn misnamed(fault: Fault, e: Error) -> Error {
    let Some(mut info) = e.conflict().cloned() else { return e };
    if fault == Fault::ConflictNamesAnother {
        info.commit_ts = info.commit_ts.prev();
    } else {
        let mut key = info.key.to_vec();
        if let Some(last) = key.last_mut() {
            *last = if *last == b'b' { b'a' } else { b'b' };
        }
        info.key = key.into();
    }
    Error::from_conflict(info)
}
