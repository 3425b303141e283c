//! The conflict index: which keys were written lately, and when.
//!
//! Validation is backward, in commit timestamp order, as in write-snapshot
//! isolation (Yabandeh and Gómez Ferro, EuroSys '12) and FoundationDB: a
//! transaction conflicts iff a commit after its read timestamp wrote a key that
//! it read, a key in a range that it observed, or a key that it writes.
//!
//! The *window* is the commits after the oldest open write transaction. The
//! index holds their keys and answers at a cost that follows the asker's own
//! keys, never the window:
//! - a key: one probe of a table from hash to last commit timestamp ([`Newest`]),
//!   which commits come into many at a time, or before the probe; a hit is looked
//!   up among the keys of that commit, so that hashing makes no conflict. Keys
//!   stand in the log alone, so that to enter one touches one cold cache line and
//!   not two;
//! - a range: if few commits came since, a binary search in the sorted keys of
//!   each; else a walk over an ordered map of the window's keys, which commits
//!   do not pay for: whoever asks first after them brings it up to date;
//! - keys that were declared as written stand among those that were written;
//! - ranges that were declared are rare: those of each commit are searched, newest
//!   first, down to the read timestamp.
//!
//! Invariants:
//! 1. `log` ascends by timestamp and holds every commit after the last
//!    `retire`;
//! 2. `newest` maps the hash of each key of the commits of `log` up to
//!    [`upto`](Newest::upto) to the newest timestamp among those of any key with
//!    that hash, and holds no other hash;
//! 3. `ordered` maps each key of the commits of `log` up to `ordered_to` to
//!    its newest timestamp among those.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::range::{overlapping, range_of};
use crate::store::Write;
use crate::{ConflictInfo, KeyRange, Observed, Timestamp};

use super::marks::Marks;
use super::newest::{Newest, shrunk};
use super::packed::PackedKeys;
use super::read_set::ReadSet;

/// Ranges are looked up in each commit's own keys while at most this many
/// commits came since.
#[cfg(not(test))]
const WALK_MAX: usize = 64;
/// Small, so that tests exercise the ordered map.
#[cfg(test)]
const WALK_MAX: usize = 2;

/// The keys written by the commits of the window.
#[derive(Debug, Default)]
pub(super) struct ConflictIndex {
    log: VecDeque<Committed>,
    newest: Newest,
    ordered: BTreeMap<Bytes, Timestamp>,
    ordered_to: Timestamp,
    /// Ranges declared as written by commits of `log`, in their order; those of one commit
    /// ascend, and no two touch.
    marks: VecDeque<(Timestamp, Vec<KeyRange>)>,
    /// Bytes of the keys in `log`, and of the bounds in `marks`.
    bytes: usize,
}

/// What one commit of the window wrote, or declared as written.
#[derive(Debug)]
struct Committed {
    ts: Timestamp,
    keys: PackedKeys,
    /// Those of the keys that were declared alone, ascending.
    declared: Box<[Bytes]>,
}

/// What a transaction asks the index.
#[derive(Debug)]
pub(super) struct Footprint<'a> {
    pub(super) read_ts: Timestamp,
    /// Keys and ranges to validate, [finished](ReadSet::finish).
    pub(super) reads: &'a ReadSet,
    /// Writes to validate, sorted; empty if they are blind.
    pub(super) writes: &'a [Write],
    /// What is declared as written, to validate; empty if writes are blind.
    pub(super) marks: &'a Marks,
}

/// What a transaction touched in one way.
#[derive(Clone, Copy, Debug)]
pub(super) enum Touched {
    Keys,
    Writes,
    MarkedKeys,
    MarkedRanges,
    Ranges,
}

impl Touched {
    /// In the order in which they are validated.
    pub(super) const ALL: [Self; 5] =
        [Self::Keys, Self::Writes, Self::MarkedKeys, Self::MarkedRanges, Self::Ranges];
}

impl Footprint<'_> {
    /// How much it touched in this way, each a probe.
    pub(super) fn count(&self, touched: Touched) -> usize {
        match touched {
            Touched::Keys => self.reads.points().len(),
            Touched::Writes => self.writes.len(),
            Touched::MarkedKeys => self.marks.keys().len(),
            Touched::MarkedRanges => self.marks.ranges().len(),
            Touched::Ranges => self.reads.ranges().len(),
        }
    }

    /// How many probes a full validation takes.
    pub(super) fn len(&self) -> usize {
        Touched::ALL.into_iter().map(|touched| self.count(touched)).sum()
    }

    /// How this transaction touched `key`, if it did.
    fn observed(&self, key: &[u8]) -> Option<Observed> {
        if self.reads.contains_key(key) {
            return Some(Observed::Key);
        }
        if self.writes.binary_search_by(|w| (*w.key).cmp(key)).is_ok() || self.marks.contains(key) {
            return Some(Observed::Write);
        }
        self.reads.range_of(key).map(|range| Observed::Range(range.clone()))
    }

    fn conflict(&self, key: Bytes, observed: Observed, commit_ts: Timestamp) -> ConflictInfo {
        ConflictInfo::new(key, observed, self.read_ts, commit_ts)
    }
}

impl ConflictIndex {
    /// Enters a commit, newer than all before. `writes` are sorted.
    pub(super) fn enter(&mut self, ts: Timestamp, writes: &[Write], marks: Marks) {
        let is_written = |key: &&Bytes| writes.binary_search_by(|w| w.key.cmp(*key)).is_ok();
        let declared: Box<[Bytes]> =
            marks.keys().iter().filter(|key| !is_written(key)).cloned().collect();
        let keys = match &*declared {
            [] => PackedKeys::new(writes.iter().map(|w| &w.key)),
            declared => {
                let mut keys: Vec<_> = writes.iter().map(|w| &w.key).chain(declared).collect();
                keys.sort_unstable();
                PackedKeys::new(keys.into_iter())
            }
        };
        self.bytes += keys.byte_len();
        let ranges = marks.into_ranges();
        if !ranges.is_empty() {
            self.bytes += bound_bytes(&ranges);
            self.marks.push_back((ts, ranges));
        }
        let are_due = self.newest.wait(&keys);
        self.log.push_back(Committed { ts, keys, declared });
        if are_due {
            self.catch_up();
        }
    }

    /// Brings the table of keys up to date.
    fn catch_up(&mut self) {
        let first = self.log.partition_point(|c| c.ts <= self.newest.upto());
        self.newest.take_in(self.log.range(first..).map(|c| (c.ts, &c.keys)));
    }

    /// What a transaction conflicts with, among the commits after `since`. The
    /// caller knows that there is nothing at or below it; `since` is at or
    /// above the read timestamp.
    pub(super) fn validate(
        &mut self,
        txn: &Footprint<'_>,
        since: Timestamp,
    ) -> Option<ConflictInfo> {
        if self.log.back().is_none_or(|newest| newest.ts <= since) {
            return None;
        }
        let first = self.log.partition_point(|c| c.ts <= since);
        let delta: usize = self.log.range(first..).map(|c| c.keys.len()).take(WALK_MAX).sum();
        if self.log.len() - first <= WALK_MAX && delta < txn.len() {
            return self.validate_delta(txn, first);
        }
        let mut all = Touched::ALL.into_iter();
        all.find_map(|touched| self.validate_part(txn, since, touched, 0..txn.count(touched)))
    }

    /// What was touched in one way, of these positions.
    pub(super) fn validate_part(
        &mut self,
        txn: &Footprint<'_>,
        since: Timestamp,
        touched: Touched,
        part: std::ops::Range<usize>,
    ) -> Option<ConflictInfo> {
        for i in part {
            let hit = match touched {
                Touched::Keys => self.key_after(&txn.reads.points().get(i)?.0, since),
                Touched::Writes => self.key_after(&txn.writes.get(i)?.key, since),
                Touched::MarkedKeys => self.key_after(txn.marks.keys().get(i)?, since),
                Touched::MarkedRanges => self.range_after(txn.marks.ranges().get(i)?, since),
                Touched::Ranges => self.range_after(txn.reads.ranges().get(i)?, since),
            };
            if let Some((key, ts)) = hit {
                let observed = match touched {
                    Touched::Keys => Observed::Key,
                    Touched::Ranges => Observed::Range(txn.reads.ranges().get(i)?.clone()),
                    _ => Observed::Write,
                };
                return Some(txn.conflict(key, observed, ts));
            }
        }
        None
    }

    /// Looks the few new keys up in the transaction, instead of its many keys
    /// in the index.
    fn validate_delta(&self, txn: &Footprint<'_>, first: usize) -> Option<ConflictInfo> {
        for commit in self.log.range(first..) {
            for key in commit.keys.iter() {
                if let Some(observed) = txn.observed(key) {
                    let key = Bytes::copy_from_slice(key);
                    return Some(txn.conflict(key, observed, commit.ts));
                }
            }
        }
        let since = self.log.get(first)?.ts.prev();
        self.validate_against_marks(txn, since)
    }

    /// Everything the transaction touched against declared ranges alone.
    fn validate_against_marks(
        &self,
        txn: &Footprint<'_>,
        since: Timestamp,
    ) -> Option<ConflictInfo> {
        for (ts, marks) in self.marks.iter().rev().take_while(|(ts, _)| *ts > since) {
            let read = txn.reads.points().iter().map(|(key, _)| (key, Observed::Key));
            let written = txn.writes.iter().map(|w| &w.key).chain(txn.marks.keys());
            let mut keys = read.chain(written.map(|key| (key, Observed::Write)));
            let mut by_key = || {
                let (key, observed) = keys.find(|(key, _)| range_of(marks, key).is_some())?;
                Some((key.clone(), observed))
            };
            let overlaps = |range: &KeyRange| Some(overlapping(marks, range)?.start().clone());
            let by_range = || {
                let mut ranges = txn.reads.ranges().iter();
                ranges.find_map(|r| Some((overlaps(r)?, Observed::Range(r.clone()))))
            };
            let by_mark = || {
                let mut ranges = txn.marks.ranges().iter();
                ranges.find_map(|r| Some((overlaps(r)?, Observed::Write)))
            };
            if let Some((key, observed)) = by_key().or_else(by_range).or_else(by_mark) {
                return Some(txn.conflict(key, observed, *ts));
            }
        }
        None
    }

    /// The newest write of `key` after `since`.
    fn key_after(&mut self, key: &Bytes, since: Timestamp) -> Option<(Bytes, Timestamp)> {
        if self.newest.is_behind() {
            self.catch_up();
        }
        let newest = self.newest.get(key).filter(|ts| *ts > since);
        let written = match newest {
            Some(ts) if self.wrote(ts, key) => Some(ts),
            // Another key with that hash was. This one may have been before.
            Some(_) => {
                self.order();
                self.ordered.get(key).copied().filter(|ts| *ts > since)
            }
            None => None,
        };
        match written {
            Some(ts) => Some((key.clone(), ts)),
            None => {
                let hit = self.mark_after(since, |marks| range_of(marks, key));
                hit.map(|(_, ts)| (key.clone(), ts))
            }
        }
    }

    /// Whether the commit at `ts`, which is in the log, wrote `key`.
    fn wrote(&self, ts: Timestamp, key: &Bytes) -> bool {
        let commit =
            self.log.binary_search_by_key(&ts, |c| c.ts).ok().and_then(|i| self.log.get(i));
        commit.is_some_and(|commit| commit.keys.contains(key))
    }

    /// A write of a key in `range` after `since`.
    fn range_after(&mut self, range: &KeyRange, since: Timestamp) -> Option<(Bytes, Timestamp)> {
        let first = self.log.partition_point(|c| c.ts <= since);
        let key = if self.log.len() - first <= WALK_MAX {
            self.log.range(first..).find_map(|commit| {
                let key = commit.keys.get(commit.keys.rank(range.start()));
                let hit = !key.is_empty() && range.contains(key);
                hit.then(|| (Bytes::copy_from_slice(key), commit.ts))
            })
        } else {
            self.order();
            // An empty range is never observed, so its bounds are in order.
            let mut keys = self.ordered.range::<[u8], _>(range.as_bounds());
            keys.find(|(_, ts)| **ts > since).map(|(key, ts)| (key.clone(), *ts))
        };
        key.or_else(|| self.mark_after(since, |marks| overlapping(marks, range)))
    }

    /// The beginning of a range that was declared after `since`.
    fn mark_after<'a>(
        &'a self,
        since: Timestamp,
        hit: impl Fn(&'a [KeyRange]) -> Option<&'a KeyRange>,
    ) -> Option<(Bytes, Timestamp)> {
        let mut newer = self.marks.iter().rev().take_while(|(ts, _)| *ts > since);
        newer.find_map(|(ts, marks)| Some((hit(marks)?.start().clone(), *ts)))
    }

    /// Brings the ordered map up to date.
    fn order(&mut self) {
        let first = self.log.partition_point(|c| c.ts <= self.ordered_to);
        for commit in self.log.range(first..) {
            for key in commit.keys.iter() {
                match self.ordered.get_mut(key) {
                    Some(ts) => *ts = commit.ts,
                    None => drop(self.ordered.insert(Bytes::copy_from_slice(key), commit.ts)),
                }
            }
            self.ordered_to = commit.ts;
        }
    }

    /// Forgets at most `budget` commits at or below `upto`, oldest first, and
    /// says whether none is left there.
    pub(super) fn retire(&mut self, upto: Timestamp, budget: usize) -> bool {
        for _ in 0..budget {
            if self.log.front().is_none_or(|c| c.ts > upto) {
                break;
            }
            let Some(commit) = self.log.pop_front() else { break };
            self.bytes -= commit.keys.byte_len();
            self.newest.forget(commit.ts, &commit.keys);
            let was_ordered = commit.ts <= self.ordered_to;
            for key in commit.keys.iter().filter(|_| was_ordered) {
                if self.ordered.get(key) == Some(&commit.ts) {
                    self.ordered.remove(key);
                }
            }
            let is_gone = self.marks.front().is_some_and(|(ts, _)| *ts <= commit.ts);
            if let Some((_, marks)) = is_gone.then(|| self.marks.pop_front()).flatten() {
                self.bytes -= bound_bytes(&marks);
            }
        }
        self.shrink();
        self.log.front().is_none_or(|c| c.ts > upto)
    }

    fn shrink(&mut self) {
        self.newest.shrink();
        if let Some(capacity) = shrunk(self.log.len(), self.log.capacity()) {
            self.log.shrink_to(capacity);
        }
    }

    /// Takes everything out at once, if all of it is at or below `upto`, so
    /// that it can be dropped outside any lock.
    pub(super) fn take_if_below(&mut self, upto: Timestamp) -> Option<Self> {
        self.log.back().is_some_and(|c| c.ts <= upto).then(|| std::mem::take(self))
    }

    /// The commits after `after`, up to and including `upto`, with the keys that they wrote.
    pub(super) fn written(
        &self,
        after: Timestamp,
        upto: Timestamp,
    ) -> Vec<(Timestamp, Vec<Bytes>)> {
        let first = self.log.partition_point(|c| c.ts <= after);
        let commits = self.log.range(first..).take_while(|c| c.ts <= upto);
        let written = |c: &Committed| {
            let is_written =
                |key: &&[u8]| c.declared.binary_search_by(|of| (**of).cmp(*key)).is_err();
            c.keys.iter().filter(is_written).map(Bytes::copy_from_slice).collect()
        };
        commits.map(|c| (c.ts, written(c))).collect()
    }

    pub(super) fn commits(&self) -> usize {
        self.log.len()
    }

    pub(super) fn keys(&self) -> usize {
        self.newest.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Bytes of the bounds of these.
fn bound_bytes(ranges: &[KeyRange]) -> usize {
    ranges.iter().map(|range| range.start().len() + range.end().map_or(0, Bytes::len)).sum()
}

#[cfg(test)]
mod tests {
    use super::super::newest::SHRINK_MIN;
    use super::*;
    use crate::Previous;

    fn write(key: Bytes) -> Write {
        Write { key, value: None, previous: Previous::Unknown }
    }

    #[test]
    fn footprint_counts_all_that_is_probed() {
        let mut reads = ReadSet::default();
        ["a", "b", "c"].iter().for_each(|key| reads.add_key(key.as_bytes(), Previous::Unknown));
        [("d".."e"), ("f".."g")].into_iter().for_each(|range| reads.add_range(range.into()));
        reads.finish();
        let writes: Vec<_> = (0..5_u8).map(|n| write(vec![n].into())).collect();
        let marks = ["a", "c", "e", "g"].map(KeyRange::prefix).into_iter();
        let marks = Marks::new(marks.chain(["x", "y", "z"].map(KeyRange::key)).collect());
        let read_ts = Timestamp::ZERO;
        let footprint = Footprint { read_ts, reads: &reads, writes: &writes, marks: &marks };
        assert_eq!(footprint.len(), 3 + 2 + 5 + 7);
    }

    #[test]
    fn memory_of_a_long_window_is_given_back() {
        const COMMITS: usize = if cfg!(miri) { 50 } else { 3 * SHRINK_MIN };
        let mut index = ConflictIndex::default();
        for n in 1..=COMMITS {
            index.enter(
                Timestamp::new(n as u64),
                &[write(Bytes::from(n.to_string()))],
                Marks::NONE,
            );
        }
        let full = index.log.capacity();
        assert!(index.log.len() == COMMITS && full >= COMMITS);
        let half = Timestamp::new(COMMITS as u64 / 2);
        assert!(index.retire(half, COMMITS) && index.log.len() == COMMITS - COMMITS / 2);
        assert_eq!(index.log.capacity(), full, "half is no reason to move the rest");
        assert!(!index.retire(Timestamp::MAX, 1), "one at a time");
        assert!(index.retire(Timestamp::MAX, COMMITS));
        assert_eq!((index.commits(), index.keys(), index.bytes()), (0, 0, 0));
        assert!(index.log.capacity() <= SHRINK_MIN);
    }

    #[test]
    fn ordered_map_forgets_with_the_window() {
        let mut index = ConflictIndex::default();
        let key = |n: u64| Bytes::from(format!("{n:02}"));
        for n in 1..=20 {
            index.enter(Timestamp::new(n), &[key(n), key(n / 2)].map(write), Marks::NONE);
        }
        let hit = index.range_after(&KeyRange::all(), Timestamp::new(5));
        assert_eq!(hit.map(|(_, ts)| ts.get()), Some(7), "of 03, the lowest");
        assert_eq!(index.ordered.len(), 21);
        assert!(index.retire(Timestamp::new(15), 100));
        assert_eq!(index.ordered.keys().cloned().collect::<Vec<_>>(), {
            [8, 9, 10, 16, 17, 18, 19, 20].map(key)
        });
    }
}
