//! [`DatabaseRange`]: what a transaction's range hands out, and what it notes of it.

use std::fmt;
use std::iter::FusedIterator;

use bytes::Bytes;

use crate::store::Snapshot;
use crate::sync::Mutex;
use crate::{Error, KeyRange, Record, Result, Store};

use super::Inner;
use super::merge::Merge;
use super::read_set::{Observation, ReadSet};
use super::write_set::OwnRange;

/// The keys of a range with their values, from both ends.
///
/// After an `Err` it has ended.
#[must_use]
pub struct DatabaseRange<'a, S: Store> {
    inner: &'a Inner<S>,
    merge: Merge<'a, Base<'a, S>>,
    done: bool,
    tracker: Option<Tracker<'a>>,
}

/// The records of a snapshot.
type Base<'a, S> = <<S as Store>::Snapshot as Snapshot>::Range<'a>;

/// Narrows what a range observed to where the iterator went.
struct Tracker<'a> {
    reads: &'a Mutex<ReadSet>,
    id: u64,
    seen: Observation,
}

impl Drop for Tracker<'_> {
    fn drop(&mut self) {
        self.reads.lock().close(self.id, std::mem::take(&mut self.seen));
    }
}

impl<'a, S: Store> DatabaseRange<'a, S> {
    pub(super) fn new(inner: &'a Inner<S>, records: Base<'a, S>, own: OwnRange<'a>) -> Self {
        Self { inner, merge: Merge::new(records, own), done: false, tracker: None }
    }

    /// Has what it observes of `range` noted there, all of it until it is dropped.
    pub(super) fn track(&mut self, reads: &'a Mutex<ReadSet>, range: KeyRange) {
        let id = reads.lock().open(range);
        self.tracker = Some(Tracker { reads, id, seen: Observation::default() });
    }

    /// A record that is passed on is moved once, in front of everything that is
    /// seldom: where ways meet that made an item, it would be copied at each.
    #[inline]
    fn step(
        &mut self,
        base: impl FnOnce(&mut Base<'a, S>) -> Option<Result<(Bytes, Record)>>,
        merged: impl FnOnce(&mut Merge<'a, Base<'a, S>>) -> Option<Result<(Bytes, Bytes)>>,
        end: impl FnOnce(&mut Observation) -> &mut Vec<u8>,
    ) -> Option<Result<(Bytes, Bytes)>> {
        if self.done || self.inner.check_open().is_err() {
            return self.refuse();
        }
        let Some(records) = self.merge.alone() else {
            return self.note(merged, end);
        };
        match base(records) {
            Some(Ok((key, Record { value, .. }))) => {
                if let Some(tracker) = &mut self.tracker {
                    see(end(&mut tracker.seen), &key);
                }
                Some(Ok((key, value)))
            }
            Some(Err(e)) => self.fail(e),
            None => self.end(),
        }
    }

    /// The same, where the transaction's own writes are among the records.
    fn note(
        &mut self,
        merged: impl FnOnce(&mut Merge<'a, Base<'a, S>>) -> Option<Result<(Bytes, Bytes)>>,
        end: impl FnOnce(&mut Observation) -> &mut Vec<u8>,
    ) -> Option<Result<(Bytes, Bytes)>> {
        match merged(&mut self.merge) {
            Some(Ok(item)) => {
                if let Some(tracker) = &mut self.tracker {
                    see(end(&mut tracker.seen), &item.0);
                }
                Some(Ok(item))
            }
            Some(Err(e)) => self.fail(e),
            None => self.end(),
        }
    }

    #[cold]
    fn refuse(&mut self) -> Option<Result<(Bytes, Bytes)>> {
        match self.inner.check_open() {
            Err(e) if !self.done => self.fail(e),
            _ => None,
        }
    }

    #[cold]
    fn fail(&mut self, e: Error) -> Option<Result<(Bytes, Bytes)>> {
        self.end();
        Some(Err(e))
    }

    /// Nothing comes after this.
    #[cold]
    fn end(&mut self) -> Option<Result<(Bytes, Bytes)>> {
        self.done = true;
        if let Some(tracker) = &mut self.tracker {
            tracker.seen.all = true;
        }
        None
    }
}

/// Notes the last key that came from an end. A copy, as that costs less than to
/// count another holder of every key.
#[inline]
fn see(last: &mut Vec<u8>, key: &[u8]) {
    last.clear();
    last.extend_from_slice(key);
}

impl<S: Store> Iterator for DatabaseRange<'_, S> {
    type Item = Result<(Bytes, Bytes)>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.step(Iterator::next, Merge::next, |seen| &mut seen.front)
    }
}

impl<S: Store> DoubleEndedIterator for DatabaseRange<'_, S> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(DoubleEndedIterator::next_back, Merge::next_back, |seen| &mut seen.back)
    }
}

impl<S: Store> FusedIterator for DatabaseRange<'_, S> {}

impl<S: Store> fmt::Debug for DatabaseRange<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseRange").field("done", &self.done).finish_non_exhaustive()
    }
}
