//! What a transaction has observed so far: keys and ranges.

use std::collections::HashMap;

use bytes::Bytes;
use foldhash::fast::RandomState;

use crate::range::{joined, range_of, successor};
use crate::{KeyRange, Previous};

/// Up to this many keys a linear search beats a hash table.
const LINEAR_MAX: usize = 16;

/// Ranges are merged when they have doubled since the last time, from here on.
const MERGE_MIN: usize = 64;

/// Where each key stands.
type Positions = HashMap<Bytes, usize, RandomState>;

/// The keys and ranges that one transaction observed.
///
/// Invariants: no key stands twice in `points`; while an iterator lives, its
/// whole range stands in `ranges`, so that one that is leaked is still counted;
/// when it is dropped, the range narrows to what it observed.
#[derive(Debug, Default)]
pub(super) struct ReadSet {
    points: Vec<(Bytes, Previous)>,
    /// Positions in `points`, once there are more than [`LINEAR_MAX`].
    index: Option<Box<Positions>>,
    /// Ranges of closed iterators, and declared ones.
    ranges: Vec<KeyRange>,
    /// Ranges of open iterators, by number.
    open: Vec<(u64, KeyRange)>,
    next_open: u64,
    merge_at: usize,
}

impl ReadSet {
    /// Adds a key and what was read there.
    pub(super) fn add_key(&mut self, key: &[u8], seen: Previous) {
        if self.position(key).is_some() {
            return;
        }
        let key = Bytes::copy_from_slice(key);
        if self.points.len() >= LINEAR_MAX {
            let points = &self.points;
            let indexed = || points.iter().enumerate().map(|(i, (k, _))| (k.clone(), i));
            let index = self.index.get_or_insert_with(|| Box::new(indexed().collect()));
            index.insert(key.clone(), points.len());
        }
        self.points.push((key, seen));
    }

    fn position(&self, key: &[u8]) -> Option<usize> {
        match &self.index {
            None => self.points.iter().position(|(k, _)| k == key),
            Some(index) => index.get(key).copied(),
        }
    }

    /// Adds a whole range.
    pub(super) fn add_range(&mut self, range: KeyRange) {
        if range.is_empty() {
            return;
        }
        self.ranges.push(range);
        if self.ranges.len() >= self.merge_at.max(MERGE_MIN) {
            self.merge();
            self.merge_at = 2 * self.ranges.len();
        }
    }

    /// Registers an iterator's whole range; [`close`](Self::close) narrows it.
    pub(super) fn open(&mut self, range: KeyRange) -> u64 {
        let id = self.next_open;
        self.next_open += 1;
        self.open.push((id, range));
        id
    }

    /// Replaces the range of an iterator by what it observed.
    pub(super) fn close(&mut self, id: u64, observed: Observation) {
        let Some(i) = self.open.iter().position(|(open, _)| *open == id) else { return };
        let (_, range) = self.open.swap_remove(i);
        let (front, back) = observed.narrow(range);
        self.add_range(front);
        self.add_range(back);
    }

    /// Ready for validation: leaked iterators count in full, ranges are merged.
    pub(super) fn finish(&mut self) {
        for (_, range) in std::mem::take(&mut self.open) {
            self.add_range(range);
        }
        self.merge();
    }

    /// Sorts the ranges and joins those that touch.
    fn merge(&mut self) {
        self.ranges = joined(std::mem::take(&mut self.ranges));
    }

    pub(super) fn points(&self) -> &[(Bytes, Previous)] {
        &self.points
    }

    pub(super) fn ranges(&self) -> &[KeyRange] {
        &self.ranges
    }

    /// Whether `key` was read as a key.
    pub(super) fn contains_key(&self, key: &[u8]) -> bool {
        self.position(key).is_some()
    }

    /// The observed range that holds `key`, after [`finish`](Self::finish).
    pub(super) fn range_of(&self, key: &[u8]) -> Option<&KeyRange> {
        range_of(&self.ranges, key)
    }

    /// Takes what was read at `key`, to hand it down with a write.
    pub(super) fn take_seen(&mut self, key: &[u8]) -> Previous {
        self.position(key)
            .and_then(|i| self.points.get_mut(i))
            .map(|(_, seen)| std::mem::take(seen))
            .unwrap_or_default()
    }
}

/// How far an iterator went from either end.
#[derive(Debug, Default)]
pub(super) struct Observation {
    /// The last key that came from the front; empty, as no key is, before the first.
    pub(super) front: Vec<u8>,
    /// The last key that came from the back, likewise.
    pub(super) back: Vec<u8>,
    /// Whether all of the range was seen, or an error hid how much.
    pub(super) all: bool,
}

impl Observation {
    /// What was observed of `range`: a part from its start and one from its
    /// end, either of which may be empty.
    fn narrow(self, range: KeyRange) -> (KeyRange, KeyRange) {
        const NOTHING: KeyRange = KeyRange::new(Bytes::new(), Some(Bytes::new()));
        if self.all {
            return (range, NOTHING);
        }
        let front = match &*self.front {
            [] => NOTHING,
            last => KeyRange::new(range.start().clone(), Some(successor(last))),
        };
        let back = match self.back.is_empty() {
            true => NOTHING,
            false => KeyRange::new(self.back.into(), range.end().cloned()),
        };
        (front, back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrowed(front: Option<&'static str>, back: Option<&'static str>, all: bool) -> String {
        let mut set = ReadSet::default();
        let id = set.open(KeyRange::from("b".."y"));
        set.close(
            id,
            Observation {
                front: front.unwrap_or_default().into(),
                back: back.unwrap_or_default().into(),
                all,
            },
        );
        set.finish();
        set.ranges().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn range_narrows_to_what_was_observed() {
        assert_eq!(narrowed(None, None, false), "");
        assert_eq!(narrowed(Some("c"), None, false), r#"["b", "c\x00")"#);
        assert_eq!(narrowed(None, Some("x"), false), r#"["x", "y")"#);
        assert_eq!(narrowed(Some("c"), Some("x"), false), r#"["b", "c\x00") ["x", "y")"#);
        assert_eq!(narrowed(Some("c"), None, true), r#"["b", "y")"#);
    }

    #[test]
    fn leaked_iterator_counts_in_full() {
        let mut set = ReadSet::default();
        set.open(KeyRange::from("b".."y"));
        set.finish();
        assert!(set.range_of(b"m").is_some() && set.range_of(b"y").is_none());
    }

    #[test]
    fn ranges_that_touch_are_joined_and_others_kept_apart() {
        let mut set = ReadSet::default();
        for (lo, hi) in [("m", "p"), ("a", "c"), ("c", "d"), ("o", "z"), ("e", "f")] {
            set.add_range(KeyRange::from(lo..hi));
        }
        set.finish();
        let text: Vec<_> = set.ranges().iter().map(ToString::to_string).collect();
        assert_eq!(text, [r#"["a", "d")"#, r#"["e", "f")"#, r#"["m", "z")"#]);
        assert!(set.range_of(b"d").is_none() && set.range_of(b"c").is_some());
    }

    #[test]
    fn key_is_found_among_few_and_among_many() {
        let mut set = ReadSet::default();
        for i in 0..if cfg!(miri) { 30 } else { 100u8 } {
            set.add_key(&[i], Previous::Absent);
            set.add_key(&[i], Previous::Unknown);
            assert_eq!(set.points().len(), usize::from(i) + 1);
            assert!((0..=i).all(|k| set.contains_key(&[k])) && !set.contains_key(&[i + 1]));
        }
        assert_eq!(set.take_seen(&[20]), Previous::Absent);
        assert_eq!(set.take_seen(&[200]), Previous::Unknown);
    }
}
