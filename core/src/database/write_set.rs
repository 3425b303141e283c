//! What a transaction has written so far.

use std::collections::{BTreeMap, btree_map};
use std::{mem, slice};

use bytes::Bytes;

use crate::store::{Previous, Write};
use crate::{KeyRange, Result};

use super::limits;
use super::marks::Marks;

/// Up to this many writes, and beyond as long as they come in ascending order,
/// a sorted vector beats a tree; and it is what a commit hands down.
#[cfg(not(test))]
const LIST_MAX: usize = 32;
/// Small, so that tests meet both.
#[cfg(test)]
const LIST_MAX: usize = 2;

/// The buffered writes of one transaction, in key order, and the ranges that
/// it declared as written.
///
/// Invariant: `list` or `tree` is empty. `list` is sorted, each key once.
#[derive(Debug, Default)]
pub(super) struct WriteSet {
    list: Vec<Write>,
    tree: BTreeMap<Bytes, Option<Bytes>>,
    marks: Vec<KeyRange>,
    bytes: usize,
}

/// The writes of a transaction within a range; the empty one by default.
#[derive(Clone, Debug)]
pub(super) enum OwnRange<'a> {
    List(slice::Iter<'a, Write>),
    Tree(btree_map::Range<'a, Bytes, Option<Bytes>>),
}

impl Default for OwnRange<'_> {
    fn default() -> Self {
        Self::List(slice::Iter::default())
    }
}

impl<'a> Iterator for OwnRange<'a> {
    type Item = (&'a Bytes, &'a Option<Bytes>);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::List(list) => list.next().map(|w| (&w.key, &w.value)),
            Self::Tree(tree) => tree.next(),
        }
    }
}

impl DoubleEndedIterator for OwnRange<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            Self::List(list) => list.next_back().map(|w| (&w.key, &w.value)),
            Self::Tree(tree) => tree.next_back(),
        }
    }
}

impl WriteSet {
    /// Whether there is nothing to commit.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty() && self.tree.is_empty() && self.marks.is_empty()
    }

    fn search(&self, key: &[u8]) -> Result<usize, usize> {
        match self.list.last() {
            Some(last) if *last.key < *key => Err(self.list.len()),
            _ => self.list.binary_search_by(|w| (*w.key).cmp(key)),
        }
    }

    /// `None` if the transaction did not write `key`, `Some(None)` if it
    /// deleted it.
    pub(super) fn get(&self, key: &[u8]) -> Option<&Option<Bytes>> {
        if let Ok(i) = self.search(key) {
            return self.list.get(i).map(|w| &w.value);
        }
        if self.tree.is_empty() { None } else { self.tree.get(key) }
    }

    pub(super) fn range(&self, range: &KeyRange) -> OwnRange<'_> {
        if range.is_empty() {
            return OwnRange::default();
        }
        if !self.tree.is_empty() {
            return OwnRange::Tree(self.tree.range::<[u8], _>(range.as_bounds()));
        }
        let place = |key: &Bytes| self.list.partition_point(|w| w.key < *key);
        let (begin, end) = (place(range.start()), range.end().map_or(self.list.len(), place));
        OwnRange::List(self.list.get(begin..end).unwrap_or_default().iter())
    }

    /// Sets or deletes `key`, unless the transaction would grow over
    /// `bytes_max`.
    pub(super) fn put(&mut self, key: &[u8], value: Option<Bytes>, bytes_max: usize) -> Result<()> {
        if !self.tree.is_empty() {
            return self.put_in_tree(key, value, bytes_max);
        }
        let added = value.as_ref().map_or(0, Bytes::len);
        let found = self.search(key);
        if let Ok(i) = found
            && let Some(old) = self.list.get_mut(i).map(|w| &mut w.value)
        {
            let without = self.bytes - old.as_ref().map_or(0, Bytes::len);
            self.bytes = limits::check_txn_bytes(without + added, bytes_max)?;
            *old = value;
            return Ok(());
        }
        let (Ok(at) | Err(at)) = found;
        if at != self.list.len() && self.list.len() >= LIST_MAX {
            let list = mem::take(&mut self.list).into_iter().map(|w| (w.key, w.value));
            self.tree.extend(list);
            return self.put_in_tree(key, value, bytes_max);
        }
        self.bytes = limits::check_txn_bytes(self.bytes + key.len() + added, bytes_max)?;
        let key = Bytes::copy_from_slice(key);
        self.list.insert(at, Write { key, value, previous: Previous::Unknown });
        Ok(())
    }

    /// The same, looking for the place once: most keys are new, so that the copy of
    /// one that is not costs less than a second search for all that are.
    fn put_in_tree(&mut self, key: &[u8], value: Option<Bytes>, bytes_max: usize) -> Result<()> {
        let added = value.as_ref().map_or(0, Bytes::len);
        match self.tree.entry(Bytes::copy_from_slice(key)) {
            btree_map::Entry::Occupied(mut old) => {
                let without = self.bytes - old.get().as_ref().map_or(0, Bytes::len);
                self.bytes = limits::check_txn_bytes(without + added, bytes_max)?;
                old.insert(value);
            }
            btree_map::Entry::Vacant(place) => {
                self.bytes = limits::check_txn_bytes(self.bytes + key.len() + added, bytes_max)?;
                place.insert(value);
            }
        }
        Ok(())
    }

    /// Declares a range as written, unless the transaction would grow over `bytes_max`.
    pub(super) fn mark(&mut self, range: KeyRange, bytes_max: usize) -> Result<()> {
        if !range.is_empty() {
            let added = range.start().len() + range.end().map_or(0, Bytes::len);
            self.bytes = limits::check_txn_bytes(self.bytes + added, bytes_max)?;
            self.marks.push(range);
        }
        Ok(())
    }

    /// The writes in key order, and what was declared.
    pub(super) fn into_parts(self) -> (Vec<Write>, Marks) {
        let mut writes = self.list;
        let previous = Previous::Unknown;
        let in_tree = self.tree.into_iter();
        writes.extend(in_tree.map(|(key, value)| Write { key, value, previous: previous.clone() }));
        (writes, Marks::new(self.marks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_set_agrees_with_a_map_in_every_small_order() -> Result<()> {
        const KEYS: usize = 5;
        let key = |n: usize| Bytes::from(vec![b'a' + u8::try_from(n).unwrap_or(0)]);
        for case in 0..KEYS.pow(if cfg!(miri) { 3 } else { 5 }) {
            let (mut set, mut map) = (WriteSet::default(), BTreeMap::new());
            for step in 0..5 {
                let n = case / KEYS.pow(step) % KEYS;
                let value = (!(case + n).is_multiple_of(3)).then(|| Bytes::from(step.to_string()));
                set.put(&key(n), value.clone(), usize::MAX)?;
                map.insert(key(n), value);
                assert!((0..KEYS).all(|n| set.get(&key(n)) == map.get(&key(n))));
                assert!(set.range(&KeyRange::all()).eq(&map), "case {case}");
                assert!(set.range(&KeyRange::all()).rev().eq(map.iter().rev()));
                let part = KeyRange::new(key(1), Some(key(4)));
                assert!(set.range(&part).eq(map.range(key(1)..key(4))));
            }
            let bytes = map.iter().map(|(k, v)| k.len() + v.as_ref().map_or(0, Bytes::len));
            assert_eq!(set.bytes, bytes.sum::<usize>());
            let (writes, _) = set.into_parts();
            assert!(writes.iter().map(|w| (&w.key, &w.value)).eq(&map));
        }
        Ok(())
    }

    /// Each would move all that are in the list.
    #[test]
    fn long_list_is_left_with_the_first_key_that_is_not_the_last() -> Result<()> {
        for descending in [false, true] {
            let mut set = WriteSet::default();
            for n in 0..100u8 {
                set.put(&[if descending { 200 - n } else { n + 1 }], None, usize::MAX)?;
            }
            set.put(&[0], None, usize::MAX)?;
            assert!(set.list.is_empty() && set.tree.len() == 101, "{descending}");
        }
        Ok(())
    }

    #[test]
    fn writes_in_ascending_order_stay_in_the_list() -> Result<()> {
        let mut set = WriteSet::default();
        for n in 0..100u8 {
            set.put(&[n], None, usize::MAX)?;
        }
        assert!(set.list.len() == 100 && set.tree.is_empty());
        set.put(&[50, 0], None, usize::MAX)?;
        assert!(set.list.is_empty() && set.tree.len() == 101);
        Ok(())
    }
}
