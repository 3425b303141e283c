//! [`History`]: what changed when, beside the records themselves.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use vellum_core::{Commit, CommittedWrites, KeyRange, Retention, Timestamp};

/// The keys that were touched, by intervals of timestamps, and the log of
/// commits.
///
/// # Touched keys
/// Labels cut the timestamps into intervals: the set labelled `l` holds every
/// key that a commit wrote after `l` and at or before the next label, however
/// often. A commit that has to preserve a timestamp `p` above the last label
/// opens an interval at `p`; every commit goes into the last interval. The
/// lowest label is where knowledge begins: below it, all is unknown. If a
/// commit has nothing to preserve, the intervals are of no use any more and
/// are all retired, so that knowledge never has a hole.
#[derive(Debug, Default)]
pub(crate) struct History {
    touched: BTreeMap<Timestamp, BTreeSet<Bytes>>,
    /// Sets that wait for a prune to free them, outside the commit path.
    retired: Vec<BTreeMap<Timestamp, BTreeSet<Bytes>>>,
    log: VecDeque<Arc<CommittedWrites>>,
    /// The newest commit that was dropped from the log.
    log_dropped: Timestamp,
}

/// The interval that a commit goes into.
#[derive(Debug)]
pub(crate) struct Interval<'a> {
    label: Timestamp,
    keys: &'a mut BTreeSet<Bytes>,
}

impl Interval<'_> {
    /// Notes a key that the commit wrote over a record at `superseded`. If
    /// that one is in the interval too, the key is there already.
    pub(crate) fn note(&mut self, key: &Bytes, superseded: Option<Timestamp>) {
        if superseded.is_none_or(|ts| ts <= self.label) {
            self.keys.insert(key.clone());
        }
    }
}

/// How many keys, and intervals, a prune moves before it lets a commit go ahead:
/// some 50 us of work.
const STEP: usize = if cfg!(test) { 2 } else { 64 };

/// What a prune dropped, to be freed outside the lock.
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    intervals: Vec<BTreeSet<Bytes>>,
    retired: Vec<BTreeMap<Timestamp, BTreeSet<Bytes>>>,
    log: Vec<Arc<CommittedWrites>>,
}

impl History {
    /// The interval of a commit that preserves this timestamp.
    pub(crate) fn interval(&mut self, preserve: Option<Timestamp>) -> Option<Interval<'_>> {
        let Some(preserve) = preserve else {
            if !self.touched.is_empty() {
                self.retired.push(std::mem::take(&mut self.touched));
            }
            return None;
        };
        if self.touched.last_key_value().is_none_or(|(&last, _)| last < preserve) {
            self.touched.insert(preserve, BTreeSet::new());
        }
        let (&label, keys) = self.touched.iter_mut().next_back()?;
        Some(Interval { label, keys })
    }

    /// Keeps what the commit wrote for [`changes`](Self::changes).
    pub(crate) fn log(&mut self, commit: &Commit) {
        let writes = commit.writes.iter().map(|w| (w.key.clone(), w.value.clone())).collect();
        self.log.push_back(Arc::new(CommittedWrites { commit_ts: commit.ts, writes }));
    }

    /// The keys in `range` that were written after `from` and at or before
    /// `to`, ascending, and perhaps others of the same interval. `None` if
    /// `from` lies below what is known.
    pub(crate) fn touched(
        &self,
        from: Timestamp,
        to: Timestamp,
        range: &KeyRange,
    ) -> Option<Vec<Bytes>> {
        let (&first, _) = self.touched.range(..=from).next_back()?;
        let mut keys = Vec::new();
        if first < to && !range.is_empty() {
            let mut intervals = 0;
            for (_, touched) in self.touched.range(first..to) {
                let before = keys.len();
                keys.extend(touched.range::<[u8], _>(range.as_bounds()).cloned());
                intervals += usize::from(keys.len() > before);
            }
            if intervals > 1 {
                keys.sort_unstable();
                keys.dedup();
            }
        }
        Some(keys)
    }

    /// The logged commits after `from`, up to and including `to`, in order.
    /// `None` if one of them may have been dropped.
    pub(crate) fn changes(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> Option<Vec<Arc<CommittedWrites>>> {
        if from < self.log_dropped {
            return None;
        }
        let begin = self.log.partition_point(|c| c.commit_ts <= from);
        let end = self.log.partition_point(|c| c.commit_ts <= to).max(begin);
        Some(self.log.range(begin..end).cloned().collect())
    }

    /// Of the intervals from the label `from` on, drops those that no retained
    /// timestamp needs, and joins those that none divides, as far as one step
    /// goes; `last` is the newest commit. Moves what is to be freed, outside the
    /// lock, into `dropped`, and returns the label to go on from. One prune at a
    /// time.
    ///
    /// An interval may be left with a part of its keys, the others in the one
    /// before. Nobody misses those: who asks from below its label is told both, and
    /// from its label up to its end nobody asks.
    pub(crate) fn join_next(
        &mut self,
        from: Timestamp,
        keep: &Retention,
        last: Timestamp,
        dropped: &mut Dropped,
    ) -> Option<Timestamp> {
        let (mut next, mut room) = (from, STEP);
        while room > 0 {
            let mut labels = self.touched.range(next..).map(|(&label, _)| label);
            let label = labels.next()?;
            let end = labels.next();
            room -= 1;
            // An interval is of use to those who read before its last commit.
            if keep.is_dead(label, Some(end.unwrap_or(last))) {
                let keys = self.touched.remove(&label)?;
                match self.touched.range_mut(..label).next_back() {
                    Some((_, before)) => {
                        let left = move_some(keys, before, &mut room);
                        if !left.is_empty() {
                            self.touched.insert(label, left);
                            return Some(label);
                        }
                    }
                    None => dropped.intervals.push(keys),
                }
            }
            next = end?;
        }
        Some(next)
    }

    /// Drops the commits in the log that no retained timestamp needs.
    pub(crate) fn drop_log(&mut self, keep: &Retention, dropped: &mut Dropped) {
        dropped.retired.append(&mut self.retired);
        let logged = self.log.partition_point(|c| c.commit_ts <= keep.horizon());
        dropped.log.extend(self.log.drain(..logged));
        if let Some(last) = dropped.log.last() {
            self.log_dropped = last.commit_ts;
        }
        self.log.shrink_to(self.log.len().saturating_mul(2));
    }

    /// Every key in a set and every commit in the log costs memory beside the
    /// records: roughly so many bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let keys: usize = self.touched.values().map(BTreeSet::len).sum();
        keys * TOUCHED_BYTES + self.log.len() * LOGGED_BYTES
    }

    /// Says what is wrong, if something is.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let log = || self.log.iter().map(|c| c.commit_ts);
        if log().zip(log().skip(1)).any(|(a, b)| a >= b) {
            return Err("commits in the log are out of order");
        }
        if self.log.front().is_some_and(|c| c.commit_ts <= self.log_dropped) {
            return Err("the log holds a commit that it says it dropped");
        }
        Ok(())
    }
}

/// A key in a B-tree that is three quarters full.
const TOUCHED_BYTES: usize = size_of::<Bytes>() * 4 / 3;
const LOGGED_BYTES: usize = size_of::<CommittedWrites>() + 2 * size_of::<usize>();

/// Moves up to `room` keys, which it counts down, and returns the others.
fn move_some(
    mut keys: BTreeSet<Bytes>,
    to: &mut BTreeSet<Bytes>,
    room: &mut usize,
) -> BTreeSet<Bytes> {
    // One by one: to merge two sets takes as long as the larger one.
    while *room > 0 {
        let Some(key) = keys.pop_first() else { break };
        to.insert(key);
        *room -= 1;
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ts(n: u64) -> Timestamp {
        Timestamp::new(n)
    }

    fn prune(history: &mut History, keep: &Retention, last: Timestamp) {
        let (mut dropped, mut from) = (Dropped::default(), Some(Timestamp::ZERO));
        while let Some(label) = from {
            from = history.join_next(label, keep, last, &mut dropped);
        }
        history.drop_log(keep, &mut dropped);
    }

    /// Notes a write of `key` over nothing by a commit that preserves this.
    fn write(history: &mut History, preserve: Option<u64>, key: &'static str) {
        if let Some(mut interval) = history.interval(preserve.map(ts)) {
            interval.note(&key.into(), None);
        }
    }

    #[test]
    fn what_was_not_noted_is_unknown_and_not_taken_for_untouched() {
        let mut history = History::default();
        write(&mut history, Some(1), "a");
        let all = KeyRange::all();
        assert_eq!(history.touched(ts(1), ts(2), &all), Some(vec!["a".into()]));
        assert_eq!(history.touched(ts(0), ts(2), &all), None);
        write(&mut history, None, "b");
        write(&mut history, Some(5), "c");
        assert_eq!(history.touched(ts(1), ts(6), &all), None, "b was not noted");
        assert_eq!(history.touched(ts(5), ts(6), &all), Some(vec!["c".into()]));
    }

    #[test]
    fn intervals_are_joined_once_nothing_retained_divides_them() {
        let mut history = History::default();
        for (preserve, key) in [(1, "a"), (3, "b"), (5, "c")] {
            write(&mut history, Some(preserve), key);
        }
        let keep = Retention::new(vec![ts(1), ts(5)], vec![], ts(6));
        prune(&mut history, &keep, ts(6));
        let touched = |from| history.touched(ts(from), ts(6), &KeyRange::all());
        assert_eq!(touched(1), Some(vec!["a".into(), "b".into(), "c".into()]));
        assert_eq!(touched(5), Some(vec!["c".into()]));
        assert_eq!(history.touched.len(), 2);
        prune(&mut history, &Retention::new(vec![], vec![], ts(6)), ts(6));
        assert!(history.touched.is_empty());
    }

    #[test]
    fn nothing_is_missed_while_an_interval_is_joined_step_by_step() {
        let mut history = History::default();
        for (preserve, key) in [(1, "a"), (3, "b"), (3, "c"), (3, "d"), (5, "e")] {
            write(&mut history, Some(preserve), key);
        }
        let keep = Retention::new(vec![ts(1), ts(5)], vec![], ts(6));
        let (mut dropped, mut from, mut steps) = (Dropped::default(), Some(ts(0)), 0);
        while let Some(label) = from {
            from = history.join_next(label, &keep, ts(6), &mut dropped);
            steps += 1;
            let keys = history.touched(ts(1), ts(6), &KeyRange::all());
            assert_eq!(keys, Some(["a", "b", "c", "d", "e"].map(Bytes::from).to_vec()));
            assert_eq!(history.touched(ts(5), ts(6), &KeyRange::all()), Some(vec!["e".into()]));
        }
        assert!(steps > 3, "{steps} steps of {STEP}");
        assert_eq!(history.touched.len(), 2);
    }

    #[test]
    fn estimate_counts_each_touched_key_and_each_commit_in_the_log() {
        let log = |history: &mut History, at| {
            let (writes, catalog) = (Vec::new(), Vec::new());
            history.log(&Commit { ts: ts(at), writes, catalog, preserve: None, logged: true });
        };
        let [mut keys, mut commits, mut both] = [(); 3].map(|()| History::default());
        assert_eq!(keys.memory_bytes(), 0);
        for (n, key) in (1..).zip(["a", "b", "c"]) {
            write(&mut keys, Some(n), key);
            write(&mut both, Some(n), key);
            log(&mut commits, n);
            log(&mut both, n);
        }
        assert!(keys.memory_bytes() >= 3 * size_of::<Bytes>(), "{}", keys.memory_bytes());
        assert!(keys.memory_bytes() <= 6 * size_of::<Bytes>(), "{}", keys.memory_bytes());
        assert!(commits.memory_bytes() >= 3 * size_of::<CommittedWrites>());
        assert!(commits.memory_bytes() <= 6 * size_of::<CommittedWrites>());
        assert_eq!(both.memory_bytes(), keys.memory_bytes() + commits.memory_bytes());
    }

    #[test]
    fn log_that_is_out_of_order_is_named() {
        let logged = |history: &mut History, at| {
            history.log(&Commit {
                ts: ts(at),
                writes: Vec::new(),
                catalog: Vec::new(),
                preserve: None,
                logged: true,
            });
        };
        let mut history = History::default();
        for at in [2, 3, 5] {
            logged(&mut history, at);
        }
        assert_eq!(history.check(), Ok(()));
        prune(&mut history, &Retention::new(vec![], vec![], ts(3)), ts(5));
        assert_eq!(history.check(), Ok(()));
        let changes = |history: &History, from| Some(history.changes(ts(from), ts(9))?.len());
        assert_eq!(
            [2, 3, 4, 5].map(|from| changes(&history, from)),
            [None, Some(1), Some(1), Some(0)]
        );
        logged(&mut history, 5);
        assert_eq!(history.check(), Err("commits in the log are out of order"));
        history.log_dropped = ts(5);
        history.log.pop_back();
        assert_eq!(history.check(), Err("the log holds a commit that it says it dropped"));
    }
}
