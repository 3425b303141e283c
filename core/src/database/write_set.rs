//! What a transaction has written so far.

use std::collections::BTreeMap;
use std::collections::btree_map;

use bytes::Bytes;

use crate::{KeyRange, Result};

use super::limits;

/// The buffered writes of one transaction, in key order, and the ranges that
/// it declared as written.
#[derive(Debug, Default)]
pub(super) struct WriteSet {
    writes: BTreeMap<Bytes, Option<Bytes>>,
    marks: Vec<KeyRange>,
    bytes: usize,
}

/// The writes of a transaction within a range; the empty one by default.
pub(super) type OwnRange<'a> = btree_map::Range<'a, Bytes, Option<Bytes>>;

impl WriteSet {
    /// Whether there is nothing to commit.
    pub(super) fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.marks.is_empty()
    }

    /// `None` if the transaction did not write `key`, `Some(None)` if it
    /// deleted it.
    pub(super) fn get(&self, key: &[u8]) -> Option<&Option<Bytes>> {
        if self.writes.is_empty() { None } else { self.writes.get(key) }
    }

    pub(super) fn range(&self, range: &KeyRange) -> OwnRange<'_> {
        if range.is_empty() || self.writes.is_empty() {
            return OwnRange::default();
        }
        self.writes.range::<[u8], _>(range.as_bounds())
    }

    /// Sets or deletes `key`, unless the transaction would grow over
    /// `bytes_max`.
    pub(super) fn put(&mut self, key: &[u8], value: Option<Bytes>, bytes_max: usize) -> Result<()> {
        let added = value.as_ref().map_or(0, Bytes::len);
        if let Some(old) = self.writes.get_mut(key) {
            let without = self.bytes - old.as_ref().map_or(0, Bytes::len);
            self.bytes = limits::check_txn_bytes(without + added, bytes_max)?;
            *old = value;
            return Ok(());
        }
        self.bytes = limits::check_txn_bytes(self.bytes + key.len() + added, bytes_max)?;
        self.writes.insert(Bytes::copy_from_slice(key), value);
        Ok(())
    }

    /// Declares a range as written.
    pub(super) fn mark(&mut self, range: KeyRange) {
        if !range.is_empty() {
            self.marks.push(range);
        }
    }

    /// The writes in key order, and the declared ranges.
    pub(super) fn into_parts(self) -> (BTreeMap<Bytes, Option<Bytes>>, Vec<KeyRange>) {
        (self.writes, self.marks)
    }
}
