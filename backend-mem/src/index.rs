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
//! 3. Readers hold one lock at a time, and none while they are outside this
//!    module. Only the writer, of whom the store lets in one at a time, holds
//!    two. So there is no deadlock.
//! 4. A leaf that has superseded records, or lost keys, is in the set of
//!    leaves to sweep, and its `is_listed` says so.

use std::collections::BTreeSet;
use std::ops::Bound;

use bytes::Bytes;
use vellum_core::{Retention, Timestamp};

use crate::chain::{Chain, Entry};
use crate::directory::Directory;
use crate::leaf::{Leaf, State, Tally};
use crate::sync::{is_broken, look_again};

/// The fences of the leaves that a sweep has to look at.
pub(crate) type Unswept = BTreeSet<Bytes>;

/// Every key and its records, in order. See the module.
pub(crate) struct Index {
    first: Leaf,
    directory: Directory<Leaf>,
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

impl Index {
    pub(crate) fn new() -> Self {
        Self { first: Leaf::new(Bytes::new(), State::default()), directory: Directory::new() }
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
        unswept: &mut Unswept,
        tally: &mut Tally,
    ) -> Option<Timestamp> {
        self.leaf_at(key, |leaf| {
            let mut state = leaf.state.write();
            let len = state.len();
            let superseded = state.put(key, entry, keep, tally);
            if superseded.is_some() && !state.is_listed {
                state.is_listed = unswept.insert(leaf.fence.clone());
            }
            if state.len() > len && state.is_overfull() {
                let appended = state.keys.get(len) == key;
                if let Some(right) = state.split(appended) {
                    let mut upper = right.state.write();
                    let lists = !is_broken("a split does not list the new leaf to be swept");
                    if state.is_listed && upper.wants_sweep() && lists {
                        upper.is_listed = unswept.insert(right.fence.clone());
                    }
                    drop(upper);
                    self.directory.insert(&right.fence.clone(), right);
                }
            }
            superseded
        })
    }

    /// Sweeps the next leaf of `unswept` from the fence `from` on, and returns
    /// where to go on; `None` if there is no other. For the writer alone.
    pub(crate) fn sweep_next(
        &self,
        from: &Bytes,
        keep: &Retention,
        unswept: &mut Unswept,
        tally: &mut Tally,
    ) -> Option<Bytes> {
        let bounds = (Bound::Included(&from[..]), Bound::Unbounded);
        let fence = unswept.range::<[u8], _>(bounds).next()?.clone();
        unswept.remove(&fence);
        self.leaf_at(&fence, |leaf| {
            let mut state = leaf.state.write();
            state.sweep(keep, tally);
            state.is_listed = state.wants_sweep() && unswept.insert(fence.clone());
            let next = state.high.clone();
            if !fence.is_empty() {
                // Every leaf before this one is swept, so what goes into the
                // one before is not missed.
                self.leaf_below(Some(&fence), |lower| {
                    self.merge_into(lower, leaf, &mut state, unswept);
                });
            }
            next
        })
    }

    /// Moves the keys of `leaf` into the leaf before, if they are few.
    fn merge_into(&self, before: &Leaf, leaf: &Leaf, state: &mut State, unswept: &mut Unswept) {
        let mut lower = before.state.write();
        let was_listed = state.is_listed;
        if lower.absorb(state) {
            if !is_broken("a leaf that was merged away can still be found") {
                self.directory.remove(&leaf.fence);
            }
            if was_listed {
                unswept.remove(&leaf.fence);
                if !lower.is_listed && !is_broken("a merge does not list the leaf to be swept") {
                    lower.is_listed = unswept.insert(before.fence.clone());
                }
            }
        }
    }
}
