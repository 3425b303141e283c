//! Reading: [`MemSnapshot`] and its iterator.

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;
use vellum_core::{Held, KeyRange, Record, Result, Snapshot, Timestamp};

use crate::chain::{Chain, Entry};
use crate::index::Index;
use crate::leaf::State;

/// The memory store at one timestamp. Cloning it is cheap.
#[derive(Clone)]
pub struct MemSnapshot {
    /// Held on a line of the thread that took it, not on one for all.
    index: Held<Index>,
    ts: Timestamp,
}

impl MemSnapshot {
    pub(crate) const fn new(index: Held<Index>, ts: Timestamp) -> Self {
        Self { index, ts }
    }
}

impl fmt::Debug for MemSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemSnapshot").field("ts", &self.ts).finish_non_exhaustive()
    }
}

impl Snapshot for MemSnapshot {
    type Range<'a> = MemRange;

    fn ts(&self) -> Timestamp {
        self.ts
    }

    fn get(&self, key: &[u8]) -> Result<Option<Record>> {
        Ok(self.index.get(key, |chain| record(chain?.at(self.ts)?)))
    }

    fn range(&self, range: &KeyRange) -> MemRange {
        MemRange {
            snapshot: self.clone(),
            low: range.start().clone(),
            high: range.end().cloned(),
            is_read: range.is_empty(),
            front: Batch::default(),
            back: Batch::default(),
        }
    }
}

/// What a record shows: nothing, if it is a tombstone.
fn record(entry: &Entry) -> Option<Record> {
    entry.value.as_ref().map(|value| Record { ts: entry.ts, value: value.clone() })
}

type Item = (Bytes, Record);

/// The records of a range in a [`MemSnapshot`], from both ends.
///
/// Each end reads a batch of one leaf at a time, at first a small one, under
/// the leaf's lock, which is free again before an item is handed out. What lies
/// between the batches is found by key, so whatever is inserted, split, merged
/// or pruned meanwhile does not matter: the records that the snapshot sees stay.
pub struct MemRange {
    snapshot: MemSnapshot,
    /// The lowest key that was not read yet.
    low: Bytes,
    /// The lowest key above all that were not read yet.
    high: Option<Bytes>,
    /// Whether nothing is left between the two.
    is_read: bool,
    front: Batch,
    back: Batch,
}

/// What one end has read and not yet handed out, in the order that it goes.
#[derive(Default)]
struct Batch {
    items: VecDeque<Item>,
    /// How many are read at once, where a leaf has so many.
    size: usize,
    /// How many of those are still to be read. Where a leaf ends, the rest come from
    /// the next one, and no more: most ranges end soon, and who reads too much waits
    /// for values that nobody asked for.
    left: usize,
}

impl Batch {
    const FIRST: usize = if cfg!(test) { 1 } else { 8 };
    const LAST: usize = if cfg!(test) { 3 } else { 64 };

    /// Allows the rest of the batch, or else another one, larger than the last.
    fn go_on(&mut self) {
        if self.left == 0 {
            self.size = (self.size * 4).clamp(Self::FIRST, Self::LAST);
            self.left = self.size;
        }
        self.items.reserve(self.left);
    }

    /// Reads the records of a key.
    fn read(&mut self, chain: &Chain, key: impl FnOnce() -> Bytes, ts: Timestamp) {
        if let Some(record) = chain.at(ts).and_then(record) {
            self.items.push_back((key(), record));
            self.left -= 1;
        }
    }
}

impl MemRange {
    fn read_front(&mut self) {
        let Self { snapshot, low, high, is_read, front, .. } = self;
        front.go_on();
        while front.items.is_empty() && !*is_read {
            let next = snapshot.index.read_at(low, |state, _| {
                let begin = state.keys.rank(low);
                let end = high.as_ref().map_or(state.len(), |high| state.keys.rank(high));
                let chains = state.chains(begin..end);
                State::fetch(chains.clone(), front.left);
                for (i, chain) in (begin..end).zip(chains) {
                    if front.left == 0 {
                        return Some(state.keys.share(i));
                    }
                    front.read(chain, || state.keys.share(i), snapshot.ts);
                }
                state.high.clone()
            });
            match next {
                Some(next) if high.as_ref().is_none_or(|high| next < high) => *low = next,
                _ => *is_read = true,
            }
        }
    }

    fn read_back(&mut self) {
        let Self { snapshot, low, high, is_read, back, .. } = self;
        back.go_on();
        while back.items.is_empty() && !*is_read {
            let next = snapshot.index.read_below(high.as_deref(), |state, fence| {
                let begin = state.keys.rank(low);
                let end = high.as_ref().map_or(state.len(), |high| state.keys.rank(high));
                let chains = state.chains(begin..end).rev();
                State::fetch(chains.clone(), back.left);
                for (i, chain) in (begin..end).rev().zip(chains) {
                    if back.left == 0 {
                        return state.keys.share(i + 1);
                    }
                    back.read(chain, || state.keys.share(i), snapshot.ts);
                }
                fence.clone()
            });
            *is_read = next <= *low;
            *high = Some(next);
        }
    }
}

impl Iterator for MemRange {
    type Item = Result<Item>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if let Some(item) = self.front.items.pop_front() {
            return Some(Ok(item));
        }
        self.read_front();
        self.front.items.pop_front().or_else(|| self.back.items.pop_back()).map(Ok)
    }
}

impl DoubleEndedIterator for MemRange {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if let Some(item) = self.back.items.pop_front() {
            return Some(Ok(item));
        }
        self.read_back();
        self.back.items.pop_front().or_else(|| self.front.items.pop_back()).map(Ok)
    }
}

impl fmt::Debug for MemRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemRange").field("ts", &self.snapshot.ts).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_begin_small_and_grow_to_their_limit() {
        let mut batch = Batch::default();
        for size in [Batch::FIRST, (4 * Batch::FIRST).min(Batch::LAST), Batch::LAST, Batch::LAST] {
            batch.go_on();
            assert_eq!((batch.size, batch.left), (size, size));
            // Where a leaf ends before it is full, it goes on in the next one.
            batch.left = 1;
            batch.go_on();
            assert_eq!((batch.size, batch.left), (size, 1));
            batch.left = 0;
        }
    }
}
