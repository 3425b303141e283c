//! States other than the head: reading there, diff, changes, revert, restore.

use bytes::Bytes;

use crate::connection::retry;
use crate::store::{BoxIter, Previous, Record, Snapshot, Write};
use crate::{
    At, Changes, CommitInfo, Diff, DiffEntry, Error, ErrorKind, KeyRange, Result, Retry, Store,
    Timestamp, TxnOptions, Version, WriteTxn,
};

use crate::sync::is_broken;

use super::pipeline::{Change, GateId, Pipeline, Proposal};
use super::txn::{DatabaseWrite, View};
use super::versions::not_found;
use super::{Database, Inner, Shared, Table, limits};

impl<S: Store> Shared<S> {
    /// A view of any state that can be named.
    pub(super) fn view_at(&self, at: At) -> Result<View<S>> {
        self.check_open()?;
        if is_broken("a version's look-up does not hold the table until it is registered") {
            let table = self.table.read().clone();
            return self.view_in(&table, at);
        }
        self.view_in(&self.table.read(), at)
    }

    /// The same, while the table is held: look-up, snapshot and registration
    /// are one critical section.
    fn view_in(&self, table: &Table, at: At) -> Result<View<S>> {
        match at {
            At::Head => self.view(false),
            At::Version(v) => {
                let ts = table.versions.commit_ts(v).ok_or_else(|| not_found(v))?;
                Ok(View::kept(self, self.store.snapshot_at(ts)?))
            }
            At::Timestamp(ts) => {
                let head = self.view(false)?;
                check_not_above(ts, head.ts())?;
                if ts == head.ts() {
                    return Ok(head);
                }
                if !table.keeps(ts) {
                    return Err(table.not_kept(ts));
                }
                Ok(View::kept(self, self.store.snapshot_at(ts)?))
            }
        }
    }

    pub(super) fn diff(&self, from: At, to: At, range: &KeyRange) -> Result<Diff> {
        self.check_open()?;
        if from == to && from == At::Head {
            return Ok(Diff::new(std::iter::empty()));
        }
        let table = self.table.read();
        let (from, to) = (self.view_in(&table, from)?, self.view_in(&table, to)?);
        // A head that was overtaken while the other state was looked up is not
        // kept: what changed since may not be known.
        let older = from.ts().min(to.ts());
        if from.ts() != to.ts() && !table.keeps(older) {
            return Err(table.not_kept(older));
        }
        drop(table);
        let inner = self.held();
        let snapshots = (from.snapshot().clone(), to.snapshot().clone());
        let differences = differences(&self.store, snapshots.0, snapshots.1, range)?;
        Ok(Diff::new(differences.map(move |item| {
            // The views stay registered for as long as the iterator lives.
            let _registered = (&from, &to);
            inner.check_open()?;
            let (key, before, after) = item?;
            let value = |record: Option<Record>| record.map(|r| r.value);
            Ok(DiffEntry { key, before: value(before), after: value(after) })
        })))
    }

    pub(super) fn changes(&self, from: Timestamp, to: Timestamp) -> Result<Changes> {
        self.check_open()?;
        let table = self.table.read();
        check_not_above(to, self.store.snapshot()?.ts())?;
        if to <= from {
            return Ok(Changes::new(std::iter::empty()));
        }
        if !table.has_history(from) {
            return Err(table.not_kept(from));
        }
        let view = self.view_in(&table, At::Timestamp(to))?;
        let changes = self.store.changes(from, view.snapshot())?;
        drop(table);
        let inner = self.held();
        Ok(Changes::new(changes.map(move |item| {
            // The view stays registered for as long as the iterator lives.
            let _registered = &view;
            inner.check_open()?;
            item
        })))
    }

    /// Makes the head equal to a version, the last one if none is named, as
    /// one commit; if one is named, removes those above it.
    pub(super) fn revert(&self, to: Option<Version>) -> Result<CommitInfo> {
        self.check_open()?;
        let gate = ClosedGate::new(&self.pipeline)?;
        self.check_no_writer()?;
        // Nothing is decided while the gate is closed, so that the table and
        // the head stay as they are read here.
        let table = self.table.read();
        let target = match to {
            Some(v) => Some(self.view_in(&table, At::Version(v))?),
            None => match table.versions.newest() {
                Some((v, _)) => Some(self.view_in(&table, At::Version(v))?),
                None => None,
            },
        };
        let head = self.view_in(&table, At::Head)?;
        drop(table);
        let writes = self.writes_to(&head, target.as_ref())?;
        let state = self.pipeline.enter(Some(gate.id))?;
        let gone = to.map(|v| state.numbers.above(v)).filter(|gone| !gone.is_empty());
        let proposal = Proposal {
            writes,
            change: gone.map(Change::Delete),
            ..Proposal::catalog_only(None, self.options.durability)
        };
        let commit_ts = self.submit(state, proposal)?;
        Ok(CommitInfo::new(Some(commit_ts)))
    }
}

impl<S: Store> Inner<S> {
    /// The writes that turn `head` into `target`, or empty it.
    fn writes_to(&self, head: &View<S>, target: Option<&View<S>>) -> Result<Vec<Write>> {
        let range = KeyRange::all();
        let mut writes = Vec::new();
        let mut bytes = 0;
        let mut add = |key: Bytes, old: Option<Record>, value: Option<Bytes>| {
            bytes += key.len() + value.as_ref().map_or(0, Bytes::len);
            limits::check_txn_bytes(bytes, self.options.max_txn_bytes)?;
            let previous = old.map_or(Previous::Absent, Previous::Record);
            writes.push(Write { key, value, previous });
            Ok(())
        };
        match target {
            Some(target) => {
                let (from, to) = (head.snapshot().clone(), target.snapshot().clone());
                for item in differences(&self.store, from, to, &range)? {
                    let (key, old, new) = item?;
                    add(key, old, new.map(|record| record.value))?;
                }
            }
            None => {
                for item in head.snapshot().range(&range) {
                    let (key, old) = item?;
                    add(key, Some(old), None)?;
                }
            }
        }
        Ok(writes)
    }
}

impl Table {
    /// Whether every timestamp from this one on is kept, and the commits after
    /// it are logged.
    fn has_history(&self, ts: Timestamp) -> bool {
        self.history_since.is_some_and(|since| since <= ts)
    }

    /// Whether the state at `ts` stays readable.
    fn keeps(&self, ts: Timestamp) -> bool {
        self.has_history(ts) || self.versions.has_pin(ts)
    }

    fn not_kept(&self, ts: Timestamp) -> Error {
        let kept = match self.history_since {
            None => "without the History option only saved versions and the head are".to_owned(),
            Some(since) => format!("history is kept since timestamp {since}"),
        };
        Error::new(ErrorKind::HistoryPruned, format!("timestamp {ts} is not kept: {kept}"))
    }
}

/// Closes the gate for as long as it lives.
struct ClosedGate<'a> {
    pipeline: &'a Pipeline,
    id: GateId,
}

impl<'a> ClosedGate<'a> {
    fn new(pipeline: &'a Pipeline) -> Result<Self> {
        Ok(Self { pipeline, id: pipeline.close_gate(None)? })
    }
}

impl Drop for ClosedGate<'_> {
    fn drop(&mut self) {
        self.pipeline.open_gate(self.id);
    }
}

fn check_not_above(ts: Timestamp, head: Timestamp) -> Result<()> {
    if ts > head {
        let message = format!("timestamp {ts} is above the head, {head}");
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    Ok(())
}

/// A key and its records in two states.
type Difference = (Bytes, Option<Record>, Option<Record>);

/// The keys whose values differ between two states, ascending. This is the one
/// place that says what a difference is: the store only names candidates.
///
/// The caller keeps both states registered for as long as the iterator lives,
/// and took the newer one while the older one was retained.
fn differences<S: Store>(
    store: &S,
    from: S::Snapshot,
    to: S::Snapshot,
    range: &KeyRange,
) -> Result<BoxIter<Difference>> {
    if from.ts() == to.ts() || range.is_empty() {
        return Ok(Box::new(std::iter::empty()));
    }
    let (older, newer) = if from.ts() < to.ts() { (&from, &to) } else { (&to, &from) };
    let mut touched = store.touched(older, newer, range)?;
    let mut failed = false;
    Ok(Box::new(std::iter::from_fn(move || {
        while !failed {
            let compared = touched.next()?.and_then(|key| {
                let (before, after) = (from.get(&key)?, to.get(&key)?);
                let value = |record: &Option<Record>| record.as_ref().map(|r| r.value.clone());
                Ok((value(&before) != value(&after)).then_some((key, before, after)))
            });
            failed = compared.is_err();
            if let Some(item) = compared.transpose() {
                return Some(item);
            }
        }
        None
    })))
}

/// Makes a part of the head equal to a version, in a transaction like any
/// other. It declares the range as read, so that the result is what stood
/// there and nothing else.
pub(super) fn restore<S: Store>(
    database: &Database<S>,
    version: Version,
    range: &KeyRange,
) -> Result<CommitInfo> {
    let inner = &database.0;
    let begin = |options: &TxnOptions| {
        inner.begin_write(options, || {
            let table = inner.table.read();
            let target = inner.view_in(&table, At::Version(version))?;
            Ok((inner.view(true)?, target))
        })
    };
    let fill = |txn: &mut DatabaseWrite<S>, target: View<S>| -> Result<()> {
        txn.mark_read(range)?;
        let (from, to) = (txn.snapshot(), target.snapshot().clone());
        for item in differences(&inner.store, from, to, range)? {
            let (key, _, new) = item?;
            match new {
                Some(record) => txn.put(&key, record.value)?,
                None => txn.delete(&key)?,
            }
        }
        Ok(())
    };
    retry(&TxnOptions::new(), &Retry::default(), begin, fill).map(|((), info)| info)
}
