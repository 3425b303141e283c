//! [`Index`]: every key and its records, in order.
//!
//! # How it is built
//! A skip list of keys costs a cache miss a level for a point read, and to step
//! backwards it searches from the top. Here neighbouring keys stand together in
//! *leaves* of up to [`MAX_KEYS`](crate::leaf) keys each, which a [`Directory`]
//! keeps in order: scans run over arrays in both directions.
//!
//! ```text
//! directory  "" ──────── "cb" ───────── "m" ──────        fences, ascending
//!             │            │             │
//! leaf     [a│b│ca]     [cb│e│k│l]    [m│q│z]             high = next fence
//!           │ └ @9 ▸ @4 ▸ @1
//!           └ @3                                          chain, newest first
//! ```
//!
//! As in a B-link tree (Lehman and Yao 1981), a leaf knows where it ends
//! (`high`), so that a reader who arrives after a split notices and looks
//! again.
//!
//! # Invariants
//! 1. The leaves tile the key space: the first has the empty fence and is not
//!    in the directory, each one's `high` is the next one's fence.
//! 2. A leaf's fence never changes. A split moves the upper keys to a new leaf,
//!    and enters it in the directory before the lock of the old one is released. A
//!    merge moves a leaf's keys into the one before, marks it dead and takes it
//!    out of it, all under both locks. Hence whoever finds that a leaf
//!    does not cover what it looked for, finds the right one by looking again.
//! 3. Readers, and who sweeps, hold the lock of one leaf at a time, and none
//!    while they are outside this module. Only the writer, of whom the store lets
//!    in one at a time, holds those of two: who merges counts as one. So there is
//!    no deadlock.
//! 4. A leaf that has superseded records is in the set of leaves to sweep, and
//!    its `is_listed` says so. Both are changed under the leaf's lock, and the
//!    lock of the set is only taken for that.

use std::collections::BTreeSet;
use std::ops::Bound;

use bytes::Bytes;
use vellum_core::{Retention, Timestamp};

use crate::chain::{Chain, Entry};
use crate::directory::Directory;
use crate::leaf::{Leaf, State, Tally};
use crate::sync::{Mutex, is_broken, look_again};

/// Every key and its records, in order. See the module.
pub(crate) struct Index {
    first: Leaf,
    directory: Directory<Leaf>,
    /// The fences of the leaves that a sweep has to look at.
    unswept: Mutex<BTreeSet<Bytes>>,
}

/// A leaf that was swept.
#[derive(Debug)]
pub(crate) struct Swept {
    /// Where to go on; `None` after the last leaf.
    pub(crate) next: Option<Bytes>,
    /// Its fence, if its keys may have become so few that they fit into the leaf
    /// before.
    pub(crate) shrunk: Option<Bytes>,
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

impl Index {
    pub(crate) fn new() -> Self {
        Self {
            first: Leaf::new(Bytes::new(), State::default()),
            directory: Directory::new(),
            unswept: Mutex::default(),
        }
    }

    /// Uses the leaf that `key` seems to belong to.
    fn leaf_at<R>(&self, key: &[u8], f: impl FnOnce(&Leaf) -> R) -> R {
        self.directory.at_or_below(key, |leaf| f(leaf.unwrap_or(&self.first)))
    }

    /// Uses the leaf that the keys just below `key` seem to belong to.
    fn leaf_below<R>(&self, key: Option<&[u8]>, f: impl FnOnce(&Leaf) -> R) -> R {
        self.directory.below(key, |leaf| f(leaf.unwrap_or(&self.first)))
    }

    /// Reads the leaf that `key` belongs to.
    pub(crate) fn read_at<T>(&self, key: &[u8], mut read: impl FnMut(&State, &Bytes) -> T) -> T {
        loop {
            let result = self.leaf_at(key, |leaf| {
                let state = leaf.state.read();
                let is_it = state.covers(key)
                    || is_broken("a reader takes the leaf that it finds at first");
                is_it.then(|| read(&state, &leaf.fence))
            });
            if let Some(result) = result {
                return result;
            }
            look_again();
        }
    }

    /// Reads the records of `key`.
    pub(crate) fn get<T>(&self, key: &[u8], mut read: impl FnMut(Option<&Chain>) -> T) -> T {
        loop {
            let result = self.leaf_at(key, |leaf| {
                let state = leaf.state.read();
                let found = state.find(key);
                let is_it = match found {
                    Ok(_) => true,
                    Err(place) => place < state.len() || state.covers(key),
                };
                let is_it = is_it || is_broken("a reader takes the leaf that it finds at first");
                is_it.then(|| read(found.ok()))
            });
            if let Some(result) = result {
                return result;
            }
            look_again();
        }
    }

    /// Reads the leaf that the keys just below `key` belong to; the last one,
    /// for `None`. `key` is not empty.
    pub(crate) fn read_below<T>(
        &self,
        key: Option<&[u8]>,
        mut read: impl FnMut(&State, &Bytes) -> T,
    ) -> T {
        loop {
            let result = self.leaf_below(key, |leaf| {
                let state = leaf.state.read();
                let is_first =
                    is_broken("a reader that goes down takes the leaf that it finds at first");
                (state.covers_below(key) || is_first).then(|| read(&state, &leaf.fence))
            });
            if let Some(result) = result {
                return result;
            }
            look_again();
        }
    }

    /// Adds the newest record of `key`. Returns the timestamp of the record
    /// that it supersedes. For the writer alone.
    pub(crate) fn put(
        &self,
        key: &[u8],
        entry: Entry,
        keep: &Retention,
        tally: &mut Tally,
    ) -> Option<Timestamp> {
        self.leaf_at(key, |leaf| {
            let mut state = leaf.state.write();
            let len = state.len();
            let superseded = state.put(key, entry, keep, tally);
            if superseded.is_some() {
                self.list(leaf, &mut state);
            }
            if state.len() > len && state.is_overfull() {
                let appended = state.keys.get(len) == key;
                if let Some(right) = state.split(appended) {
                    let mut upper = right.state.write();
                    if upper.wants_sweep()
                        && !is_broken("a split does not list the new leaf to be swept")
                    {
                        self.list(&right, &mut upper);
                    }
                    drop(upper);
                    self.directory.insert(&right.fence.clone(), right);
                }
            }
            superseded
        })
    }

    /// Has a leaf swept by the next sweep.
    fn list(&self, leaf: &Leaf, state: &mut State) {
        if !state.is_listed {
            state.is_listed = self.unswept.lock().insert(leaf.fence.clone());
        }
    }

    /// The lowest fence from `from` on of a leaf to sweep.
    fn next_unswept(&self, from: &[u8]) -> Option<Bytes> {
        let bounds = (Bound::Included(from), Bound::Unbounded);
        self.unswept.lock().range::<[u8], _>(bounds).next().cloned()
    }

    /// Sweeps the next leaf from the fence `from` on that has to be, beside the
    /// writer; `None` if there is no other. One sweep at a time.
    pub(crate) fn sweep_next(
        &self,
        from: &[u8],
        keep: &Retention,
        tally: &mut Tally,
    ) -> Option<Swept> {
        loop {
            let fence = self.next_unswept(from)?;
            let swept = self.leaf_at(&fence, |leaf| {
                // While a part of the directory is divided, a lower leaf is found.
                let is_it = leaf.fence == fence
                    || is_broken("a sweep takes the leaf that it finds at first");
                is_it.then(|| self.sweep(leaf, &fence, keep, tally))
            });
            if swept.is_some() {
                return swept;
            }
            look_again();
        }
    }

    fn sweep(&self, leaf: &Leaf, fence: &Bytes, keep: &Retention, tally: &mut Tally) -> Swept {
        let mut state = leaf.state.write();
        state.sweep(keep, tally);
        if is_broken("a sweep lets go of its leaf before it takes it off the list") {
            let wants_sweep = state.wants_sweep();
            drop(state);
            state = leaf.state.write();
            state.is_listed = wants_sweep;
        } else {
            state.is_listed = state.wants_sweep();
        }
        if !state.is_listed {
            self.unswept.lock().remove(fence);
        }
        let may_fit = !fence.is_empty() && state.may_be_absorbed();
        Swept { next: state.high.clone(), shrunk: may_fit.then(|| fence.clone()) }
    }

    /// Whether the leaf of this fence fits into the one before, as it is now.
    pub(crate) fn fits_below(&self, fence: &[u8]) -> bool {
        let len = self.read_at(fence, |state, _| state.len());
        self.read_below(Some(fence), |state, _| state.has_room_for(len))
    }

    /// Moves the keys of the leaf of this fence into the leaf before, if they are
    /// few. For the writer alone.
    pub(crate) fn merge(&self, fence: &[u8]) {
        self.leaf_at(fence, |leaf| {
            if leaf.fence != fence {
                return;
            }
            let mut state = leaf.state.write();
            self.leaf_below(Some(fence), |before| {
                let mut lower = before.state.write();
                let was_listed = state.is_listed;
                if !lower.absorb(&mut state) {
                    return;
                }
                if !is_broken("a leaf that was merged away can still be found") {
                    self.directory.remove(&leaf.fence);
                }
                if was_listed {
                    self.unswept.lock().remove(&leaf.fence);
                    if !is_broken("a merge does not list the leaf to be swept") {
                        self.list(before, &mut lower);
                    }
                }
            });
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::leaf::MAX_KEYS;

    #[test]
    fn leaves_are_split_before_they_hold_more_than_they_may() {
        let index = Index::new();
        let keep = Retention::everything();
        let ts = Timestamp::new(1);
        for n in 0..200_u32 {
            let entry = Entry { ts, value: Some(Bytes::new()) };
            // In no order.
            let key = format!("{:03}", n * 77 % 200);
            index.put(key.as_bytes(), entry, &keep, &mut Tally::default());
        }
        let (mut lens, mut next) = (Vec::new(), Some(Bytes::new()));
        while let Some(fence) = next {
            let (len, high) = index.read_at(&fence, |state, _| (state.len(), state.high.clone()));
            lens.push(len);
            next = high;
        }
        assert_eq!(lens.iter().sum::<usize>(), 200);
        assert!(lens.iter().all(|len| (1..=MAX_KEYS).contains(len)), "{lens:?}");
        assert!(lens.len() < 200 / 2 + MAX_KEYS, "{lens:?}");
    }
}
