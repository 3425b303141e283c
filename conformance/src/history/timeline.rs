//! Every value that every key had, by timestamp.

use std::collections::HashMap;

use vellum_core::{Bytes, KeyRange, Timestamp};

use super::types::{Change, History, Op};

/// Who wrote a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Writer {
    /// It stood there when recording began.
    Origin,
    /// A transaction, by its index in the history.
    Txn(usize),
    /// A revert or a restore, by its index in the history.
    Event(usize),
}

/// One value of one key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written<'h> {
    pub(super) ts: Timestamp,
    pub(super) value: Option<&'h Bytes>,
    pub(super) by: Writer,
}

/// Every value that every key had.
#[derive(Debug)]
pub(super) struct Timeline<'h> {
    /// Every key that anyone wrote, also in vain, ascending.
    keys: Vec<&'h [u8]>,
    ids: HashMap<&'h [u8], usize>,
    /// By key, ascending by timestamp.
    values: Vec<Vec<Written<'h>>>,
}

impl<'h> Timeline<'h> {
    /// Replays the history's commits, and the transactions of `placed` as if
    /// they had committed at the timestamps given there.
    pub(super) fn new(history: &'h History, placed: &[(usize, Timestamp)]) -> Self {
        let mut line = Self::with_keys(history);
        for state in &history.states {
            line.become_state(state.ts, &state.items);
        }
        let mut commits: Vec<(Timestamp, Writer)> = Vec::with_capacity(history.txns.len());
        for (i, txn) in history.txns.iter().enumerate() {
            commits.extend(txn.outcome.commit_ts().map(|ts| (ts, Writer::Txn(i))));
        }
        commits.extend(placed.iter().map(|&(i, ts)| (ts, Writer::Txn(i))));
        for (i, event) in history.events.iter().enumerate() {
            commits.extend(event.what.commit_ts().map(|ts| (ts, Writer::Event(i))));
        }
        commits.sort_by_key(|(ts, _)| *ts);
        for (ts, by) in commits {
            match by {
                Writer::Origin => {}
                Writer::Txn(i) => line.apply(history.txns.get(i).map_or(&[], |t| &t.ops), ts, by),
                Writer::Event(i) => match history.events.get(i).map(|e| &e.what) {
                    Some(Change::Revert { source, .. }) => {
                        line.copy(*source, &KeyRange::all(), ts, by);
                    }
                    Some(Change::Restore { source, range, .. }) => {
                        line.copy(Some(*source), range, ts, by);
                    }
                    Some(Change::Save { .. } | Change::Delete { .. }) | None => {}
                },
            }
        }
        line
    }

    fn with_keys(history: &'h History) -> Self {
        let written = history.txns.iter().flat_map(|t| &t.ops).filter_map(|op| match op {
            Op::Put { key, .. } | Op::Delete { key } => Some(&key[..]),
            Op::Get { .. } | Op::Range(_) => None,
        });
        let stood = history.states.iter().flat_map(|s| &s.items).map(|(key, _)| &key[..]);
        let mut ids: HashMap<&[u8], usize> = written.chain(stood).map(|key| (key, 0)).collect();
        let mut keys: Vec<&[u8]> = ids.keys().copied().collect();
        keys.sort_unstable();
        for (id, key) in keys.iter().enumerate() {
            ids.insert(key, id);
        }
        let values = vec![Vec::new(); keys.len()];
        Self { keys, ids, values }
    }

    fn become_state(&mut self, ts: Timestamp, items: &'h [(Bytes, Bytes)]) {
        let mut at: Vec<Option<&Bytes>> = vec![None; self.keys.len()];
        for (key, value) in items {
            if let Some(slot) = self.ids.get(&key[..]).and_then(|id| at.get_mut(*id)) {
                *slot = Some(value);
            }
        }
        for (values, value) in self.values.iter_mut().zip(at) {
            if values.last().and_then(|w| w.value) != value {
                values.push(Written { ts, value, by: Writer::Origin });
            }
        }
    }

    fn apply(&mut self, ops: &'h [Op], ts: Timestamp, by: Writer) {
        for op in ops {
            let (key, value) = match op {
                Op::Put { key, value } => (key, Some(value)),
                Op::Delete { key } => (key, None),
                Op::Get { .. } | Op::Range(_) => continue,
            };
            let Some(values) = self.ids.get(&key[..]).and_then(|id| self.values.get_mut(*id))
            else {
                continue;
            };
            match values.last_mut().filter(|w| w.by == by) {
                Some(earlier) => earlier.value = value,
                None => values.push(Written { ts, value, by }),
            }
        }
    }

    /// Makes the keys of a range what they were at `source`.
    fn copy(&mut self, source: Option<Timestamp>, range: &KeyRange, ts: Timestamp, by: Writer) {
        for id in self.ids_in(range) {
            let old = source.and_then(|source| self.at(id, source)).and_then(|w| w.value);
            let Some(values) = self.values.get_mut(id) else { continue };
            if values.last().and_then(|w| w.value) != old {
                values.push(Written { ts, value: old, by });
            }
        }
    }

    /// The number of a key; `None` if nobody ever wrote it.
    pub(super) fn id(&self, key: &[u8]) -> Option<usize> {
        self.ids.get(key).copied()
    }

    /// The key of that number.
    pub(super) fn key(&self, id: usize) -> &'h [u8] {
        self.keys.get(id).copied().unwrap_or_default()
    }

    /// The numbers of the keys in a range, which are in the order of the keys.
    pub(super) fn ids_in(&self, range: &KeyRange) -> std::ops::Range<usize> {
        let start = self.keys.partition_point(|key| *key < &range.start()[..]);
        let end = range
            .end()
            .map_or(self.keys.len(), |end| self.keys.partition_point(|key| *key < &end[..]));
        start..end.max(start)
    }

    /// Every value that a key had, ascending by timestamp.
    pub(super) fn values(&self, id: usize) -> &[Written<'h>] {
        self.values.get(id).map_or(&[], |values| values)
    }

    /// Which value of a key stood at `ts`: its place among
    /// [`values`](Self::values), counted from 1; 0 is "never written yet".
    pub(super) fn place(&self, id: usize, ts: Timestamp) -> usize {
        let values = self.values(id);
        // Most reads are of the newest state of their time, near the end.
        match values.last() {
            Some(last) if last.ts <= ts => values.len(),
            _ => values.partition_point(|w| w.ts <= ts),
        }
    }

    /// What a key held at `ts`.
    pub(super) fn at(&self, id: usize, ts: Timestamp) -> Option<Written<'h>> {
        let place = self.place(id, ts).checked_sub(1)?;
        self.values(id).get(place).copied()
    }

    /// Every key's every value.
    pub(super) fn all(&self) -> impl Iterator<Item = (usize, &[Written<'h>])> {
        self.values.iter().enumerate().map(|(id, values)| (id, &values[..]))
    }
}
