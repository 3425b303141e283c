//! The transactions and ranges of a [`Recorded`] connection.

use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex};

use vellum_core::{
    Bytes, CommitInfo, Connection, Error, ErrorKind, KeyRange, KeyValue, ReadTxn, Result,
    Timestamp, WriteTxn,
};

use super::super::types::{Op, Outcome, RangeRead, Span, Txn, TxnKind};
use super::{Log, Recorded, Shared, lock};

/// One open transaction's part of the record.
struct Entry {
    shared: Arc<Shared>,
    log: Arc<Mutex<Log>>,
    session: u32,
    kind: TxnKind,
    began: Span,
    snapshot: Timestamp,
    /// A lock, since reads take the transaction by shared reference; nobody
    /// else ever waits for it.
    ops: Mutex<Vec<Op>>,
}

impl Entry {
    fn new<C: Connection>(
        from: &Recorded<C>,
        kind: TxnKind,
        began: Span,
        snapshot: Timestamp,
    ) -> Self {
        let (shared, log) = (from.shared.clone(), from.log.clone());
        let ops = Mutex::default();
        Self { shared, log, session: from.session, kind, began, snapshot, ops }
    }

    fn push(&self, op: Op) {
        lock(&self.ops).push(op);
    }

    fn get(&self, txn: &impl ReadTxn, key: &[u8], validated: bool) -> Result<Option<Bytes>> {
        let value = txn.get(key)?;
        let key = Bytes::copy_from_slice(key);
        self.push(Op::Get { key, value: value.clone(), validated });
        Ok(value)
    }

    fn range<'a, R>(
        &'a self,
        range: &KeyRange,
        validated: bool,
        items: Option<R>,
    ) -> RecordedRange<'a, R> {
        let (front, back) = (Vec::new(), Vec::new());
        let read = RangeRead { range: range.clone(), front, back, ended: false, validated };
        RecordedRange { entry: self, items, read: Some(read), failed: false }
    }

    /// Ends the transaction with `end` and writes it down.
    fn end<T>(&self, end: impl FnOnce() -> T, outcome: impl FnOnce(&T) -> Outcome) -> T {
        let (value, ended) = self.shared.timed(end);
        let txn = Txn {
            session: self.session,
            kind: self.kind,
            began: self.began,
            snapshot: self.snapshot,
            ops: mem::take(&mut *lock(&self.ops)),
            ended,
            outcome: outcome(&value),
        };
        lock(&self.log).txns.push(txn);
        value
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Closed, "the transaction is over")
}

/// A read transaction of a [`Recorded`] connection.
pub struct RecordedRead<C: Connection> {
    txn: Option<C::Read>,
    entry: Entry,
}

impl<C: Connection> RecordedRead<C> {
    pub(super) fn begin(from: &Recorded<C>, kind: TxnKind, began: Span, txn: C::Read) -> Self {
        let entry = Entry::new(from, kind, began, txn.read_ts());
        Self { txn: Some(txn), entry }
    }
}

impl<C: Connection> Drop for RecordedRead<C> {
    fn drop(&mut self) {
        let txn = self.txn.take();
        self.entry.end(|| drop(txn), |()| Outcome::ReadOnly);
    }
}

impl<C: Connection> ReadTxn for RecordedRead<C> {
    type Range<'a> = RecordedRange<'a, <C::Read as ReadTxn>::Range<'a>>;

    fn read_ts(&self) -> Timestamp {
        self.entry.snapshot
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.entry.get(self.txn.as_ref().ok_or_else(gone)?, key, true)
    }

    fn range(&self, range: impl Into<KeyRange>) -> Self::Range<'_> {
        let range = range.into();
        let items = self.txn.as_ref().map(|txn| txn.range(&range));
        self.entry.range(&range, true, items)
    }
}

/// A write transaction of a [`Recorded`] connection.
pub struct RecordedWrite<C: Connection> {
    txn: Option<C::Write>,
    entry: Entry,
}

impl<C: Connection> RecordedWrite<C> {
    pub(super) fn begin(from: &Recorded<C>, kind: TxnKind, began: Span, txn: C::Write) -> Self {
        let entry = Entry::new(from, kind, began, txn.read_ts());
        Self { txn: Some(txn), entry }
    }

    fn txn(&mut self) -> Result<&mut C::Write> {
        self.txn.as_mut().ok_or_else(gone)
    }
}

impl<C: Connection> Drop for RecordedWrite<C> {
    fn drop(&mut self) {
        if let Some(txn) = self.txn.take() {
            self.entry.end(|| drop(txn), |()| Outcome::Discarded);
        }
    }
}

impl<C: Connection> ReadTxn for RecordedWrite<C> {
    type Range<'a> = RecordedRange<'a, <C::Write as ReadTxn>::Range<'a>>;

    fn read_ts(&self) -> Timestamp {
        self.entry.snapshot
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.entry.get(self.txn.as_ref().ok_or_else(gone)?, key, true)
    }

    fn range(&self, range: impl Into<KeyRange>) -> Self::Range<'_> {
        let range = range.into();
        let items = self.txn.as_ref().map(|txn| txn.range(&range));
        self.entry.range(&range, true, items)
    }
}

impl<C: Connection> WriteTxn for RecordedWrite<C> {
    type SnapshotReads<'a> = RecordedSnapshotReads<'a, C>;

    fn put(&mut self, key: &[u8], value: impl Into<Bytes>) -> Result<()> {
        let value = value.into();
        self.txn()?.put(key, value.clone())?;
        self.entry.push(Op::Put { key: Bytes::copy_from_slice(key), value });
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.txn()?.delete(key)?;
        self.entry.push(Op::Delete { key: Bytes::copy_from_slice(key) });
        Ok(())
    }

    fn mark_read(&mut self, range: impl Into<KeyRange>) -> Result<()> {
        self.txn()?.mark_read(range)
    }

    fn mark_written(&mut self, range: impl Into<KeyRange>) -> Result<()> {
        self.txn()?.mark_written(range)
    }

    fn snapshot_reads(&self) -> RecordedSnapshotReads<'_, C> {
        let view = self.txn.as_ref().map(WriteTxn::snapshot_reads);
        RecordedSnapshotReads { view, entry: &self.entry }
    }

    fn commit(mut self) -> Result<CommitInfo> {
        let txn = self.txn.take().ok_or_else(gone)?;
        self.entry.end(
            || txn.commit(),
            |result| match result {
                Ok(info) => info.commit_ts.map_or(Outcome::ReadOnly, Outcome::Committed),
                Err(e) if e.is_outcome_unknown() => Outcome::Unknown,
                Err(e) if e.is_retryable() => Outcome::Conflict,
                Err(_) => Outcome::Discarded,
            },
        )
    }

    fn discard(mut self) {
        if let Some(txn) = self.txn.take() {
            self.entry.end(|| txn.discard(), |()| Outcome::Discarded);
        }
    }
}

/// The unvalidated view of a [`RecordedWrite`].
pub struct RecordedSnapshotReads<'a, C: Connection> {
    view: Option<<C::Write as WriteTxn>::SnapshotReads<'a>>,
    entry: &'a Entry,
}

impl<'a, C: Connection> ReadTxn for RecordedSnapshotReads<'a, C> {
    type Range<'b>
        = RecordedRange<'b, <<C::Write as WriteTxn>::SnapshotReads<'a> as ReadTxn>::Range<'b>>
    where
        Self: 'b;

    fn read_ts(&self) -> Timestamp {
        self.entry.snapshot
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.entry.get(self.view.as_ref().ok_or_else(gone)?, key, false)
    }

    fn range(&self, range: impl Into<KeyRange>) -> Self::Range<'_> {
        let range = range.into();
        let items = self.view.as_ref().map(|view| view.range(&range));
        self.entry.range(&range, false, items)
    }
}

/// A range of a [`Recorded`] connection. What it yielded is written down when
/// it is dropped.
pub struct RecordedRange<'a, R> {
    entry: &'a Entry,
    items: Option<R>,
    read: Option<RangeRead>,
    failed: bool,
}

impl<R: DoubleEndedIterator<Item = Result<KeyValue>>> RecordedRange<'_, R> {
    fn advance(&mut self, from_back: bool) -> Option<Result<KeyValue>> {
        let items = self.items.as_mut()?;
        let item = if from_back { items.next_back() } else { items.next() };
        if let Some(read) = self.read.as_mut().filter(|_| !self.failed) {
            match &item {
                Some(Ok(item)) if from_back => read.back.push(item.clone()),
                Some(Ok(item)) => read.front.push(item.clone()),
                Some(Err(_)) => self.failed = true,
                None => read.ended = true,
            }
        }
        item
    }
}

impl<R: DoubleEndedIterator<Item = Result<KeyValue>>> Iterator for RecordedRange<'_, R> {
    type Item = Result<KeyValue>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance(false)
    }
}

impl<R: DoubleEndedIterator<Item = Result<KeyValue>>> DoubleEndedIterator for RecordedRange<'_, R> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.advance(true)
    }
}

impl<R> Drop for RecordedRange<'_, R> {
    fn drop(&mut self) {
        if let Some(read) = self.read.take() {
            self.entry.push(Op::Range(read));
        }
    }
}

macro_rules! opaque {
    ($($name:ident<$($lt:lifetime,)? $p:ident $(: $bound:ident)?>)*) => {$(
        impl<$($lt,)? $p $(: $bound)?> fmt::Debug for $name<$($lt,)? $p> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}

opaque! {
    RecordedRead<C: Connection>
    RecordedWrite<C: Connection>
    RecordedSnapshotReads<'a, C: Connection>
    RecordedRange<'a, R>
}
