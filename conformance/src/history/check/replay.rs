//! Every read compared with the state at the timestamp that it belongs to.

use std::collections::HashMap;

use vellum_core::{Bytes, Timestamp};

use super::super::anomaly::Verified;
use super::super::timeline::{Timeline, Written};
use super::super::types::{History, Op, RangeRead, Txn, TxnKind};

/// A read that is not what it should be.
#[derive(Debug)]
pub(crate) struct Fault<'h> {
    /// The transaction, and its operation.
    pub(crate) txn: usize,
    pub(crate) op: usize,
    pub(crate) what: FaultKind<'h>,
}

#[derive(Debug)]
pub(crate) enum FaultKind<'h> {
    /// A key did not have the value that the transaction itself gave it.
    Own { key: &'h [u8], saw: Option<&'h Bytes>, wrote: Option<&'h Bytes> },
    /// A key did not have the value of the state at `at`; `of_commit` says that
    /// this is the state just before the commit, not the snapshot.
    State {
        key: &'h [u8],
        saw: Option<&'h Bytes>,
        expected: Option<Written<'h>>,
        at: Timestamp,
        of_commit: bool,
    },
    /// A range out of order, out of bounds or repeating itself, at this key.
    Range { key: &'h [u8], what: &'static str },
    /// A key that the transaction wrote was written by another after its
    /// snapshot.
    Overwritten { key: &'h [u8], by: Written<'h> },
}

/// Where a transaction stands.
struct Place {
    snapshot: Timestamp,
    /// Where it committed, if its reads must hold there too.
    validated_at: Option<Timestamp>,
}

/// What a transaction wrote so far.
type Own<'h> = HashMap<usize, Option<&'h Bytes>>;

pub(crate) struct Replay<'a, 'h> {
    history: &'h History,
    line: &'a Timeline<'h>,
    pub(crate) counts: Verified,
}

impl<'a, 'h> Replay<'a, 'h> {
    pub(crate) fn new(history: &'h History, line: &'a Timeline<'h>) -> Self {
        Self { history, line, counts: Verified::default() }
    }

    /// Compares every read of every transaction.
    pub(crate) fn run(&mut self, placed: &[(usize, Timestamp)]) -> Result<(), Fault<'h>> {
        let mut own = Own::new();
        for (i, txn) in self.history.txns.iter().enumerate() {
            let placed = placed.iter().find(|(p, _)| *p == i).map(|(_, ts)| *ts);
            let commit_ts = txn.outcome.commit_ts().or(placed);
            self.counts.transactions += 1;
            self.counts.committed += u64::from(commit_ts.is_some());
            self.counts.aborted += u64::from(txn.outcome.is_aborted());
            self.counts.operations += txn.ops.len() as u64;
            self.counts.past += u64::from(!txn.kind.is_of_the_head());
            if !self.is_known(txn.snapshot) {
                self.counts.unchecked += 1;
                continue;
            }
            let validated_at = commit_ts.filter(|_| txn.kind.is_serializable());
            let place = Place { snapshot: txn.snapshot, validated_at };
            own.clear();
            for (n, op) in txn.ops.iter().enumerate() {
                self.op(op, &place, &mut own).map_err(|what| Fault { txn: i, op: n, what })?;
            }
            if let Some(ts) = commit_ts {
                self.writes(txn, ts, &own).map_err(|what| Fault { txn: i, op: 0, what })?;
            }
        }
        self.counts.events = self.history.events.len() as u64;
        Ok(())
    }

    /// Whether the state at `ts` is known: from the origin on, and at what was
    /// captured before.
    fn is_known(&self, ts: Timestamp) -> bool {
        ts >= self.history.origin() || self.history.states.iter().any(|s| s.ts == ts)
    }

    fn op(&mut self, op: &'h Op, place: &Place, own: &mut Own<'h>) -> Result<(), FaultKind<'h>> {
        match op {
            Op::Get { key, value, validated } => {
                let id = self.line.id(key);
                self.read(id, key, value.as_ref(), place, *validated, own)
            }
            Op::Range(range) => self.range(range, place, own),
            Op::Put { key, value } => {
                own.extend(self.line.id(key).map(|id| (id, Some(value))));
                Ok(())
            }
            Op::Delete { key } => {
                own.extend(self.line.id(key).map(|id| (id, None)));
                Ok(())
            }
        }
    }

    /// One key was seen to hold `saw`.
    fn read(
        &mut self,
        id: Option<usize>,
        key: &'h [u8],
        saw: Option<&'h Bytes>,
        place: &Place,
        validated: bool,
        own: &Own<'h>,
    ) -> Result<(), FaultKind<'h>> {
        self.counts.reads += 1;
        if let Some(wrote) = id.and_then(|id| own.get(&id)).copied() {
            return if saw == wrote { Ok(()) } else { Err(FaultKind::Own { key, saw, wrote }) };
        }
        let at = place.snapshot;
        let stood = id.map_or(0, |id| self.line.place(id, at));
        let values = id.map_or(&[][..], |id| self.line.values(id));
        let expected = stood.checked_sub(1).and_then(|n| values.get(n)).copied();
        if saw != expected.and_then(|w| w.value) {
            return Err(FaultKind::State { key, saw, expected, at, of_commit: false });
        }
        let next = values.get(stood);
        self.counts.edges += u64::from(expected.is_some()) + u64::from(next.is_some());
        let Some(ts) = place.validated_at.filter(|_| validated) else { return Ok(()) };
        if next.is_none_or(|w| w.ts >= ts) {
            return Ok(());
        }
        let before = ts.prev();
        let expected = id.and_then(|id| self.line.at(id, before));
        if saw != expected.and_then(|w| w.value) {
            return Err(FaultKind::State { key, saw, expected, at: before, of_commit: true });
        }
        Ok(())
    }

    /// A range, as far as it was consumed: every key between its start and the
    /// last key that it yielded is read, present or absent; from the back
    /// likewise; all of them, if it ended.
    fn range(
        &mut self,
        read: &'h RangeRead,
        place: &Place,
        own: &Own<'h>,
    ) -> Result<(), FaultKind<'h>> {
        self.counts.ranges += 1;
        check_shape(read)?;
        let ids = self.line.ids_in(&read.range);
        let mut from = ids.start;
        for (key, value) in &read.front {
            let to = self.seen(from..ids.end, key, value, place, read.validated, own)?;
            self.absent(from..to, place, read.validated, own)?;
            from = to + 1;
        }
        let mut to = ids.end;
        for (key, value) in &read.back {
            let at = self.seen(from..to, key, value, place, read.validated, own)?;
            self.absent(at + 1..to, place, read.validated, own)?;
            to = at;
        }
        if read.ended {
            self.absent(from..to, place, read.validated, own)?;
        }
        Ok(())
    }

    /// An item of a range: its key's number.
    fn seen(
        &mut self,
        within: std::ops::Range<usize>,
        key: &'h Bytes,
        value: &'h Bytes,
        place: &Place,
        validated: bool,
        own: &Own<'h>,
    ) -> Result<usize, FaultKind<'h>> {
        let id = self.line.id(key).filter(|id| within.contains(id));
        self.read(id, key, Some(value), place, validated, own)?;
        // A key that nobody wrote has no value, so that the read above failed.
        Ok(id.unwrap_or(within.start))
    }

    fn absent(
        &mut self,
        ids: std::ops::Range<usize>,
        place: &Place,
        validated: bool,
        own: &Own<'h>,
    ) -> Result<(), FaultKind<'h>> {
        for id in ids {
            self.read(Some(id), self.line.key(id), None, place, validated, own)?;
        }
        Ok(())
    }

    /// First committer wins: nobody wrote what this one writes between its
    /// snapshot and its commit.
    fn writes(&mut self, txn: &Txn, ts: Timestamp, own: &Own<'h>) -> Result<(), FaultKind<'h>> {
        self.counts.edges += own.len() as u64;
        if !matches!(txn.kind, TxnKind::Write { detects_write_conflicts: true, .. }) {
            return Ok(());
        }
        for &id in own.keys() {
            let next = self.line.values(id).get(self.line.place(id, txn.snapshot)).copied();
            if let Some(by) = next.filter(|w| w.ts < ts) {
                return Err(FaultKind::Overwritten { key: self.line.key(id), by });
            }
        }
        Ok(())
    }
}

/// Ascending from the front, descending from the back, the two apart, and all
/// within bounds.
fn check_shape(read: &RangeRead) -> Result<(), FaultKind<'_>> {
    let mut last: Option<&Bytes> = None;
    for (key, _) in read.front.iter().chain(read.back.iter().rev()) {
        if !read.range.contains(key) {
            return Err(FaultKind::Range { key, what: "lies outside of its bounds" });
        }
        if last.is_some_and(|last| last >= key) {
            return Err(FaultKind::Range { key, what: "comes out of order, or twice" });
        }
        last = Some(key);
    }
    Ok(())
}
