//! [`Chain`]: the records of one key.

use bytes::Bytes;
use vellum_core::{Retention, Timestamp};

/// One stored value or tombstone, and the commit that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) ts: Timestamp,
    /// `None` is a tombstone.
    pub(crate) value: Option<Bytes>,
}

impl Entry {
    /// Bytes of the value.
    pub(crate) fn byte_len(&self) -> usize {
        self.value.as_ref().map_or(0, Bytes::len)
    }
}

/// The records of one key, at least one. The newest is inline, since most keys
/// have no other; those that it superseded are sorted by timestamp, so that
/// a read far back is a binary search.
#[derive(Debug)]
pub(crate) struct Chain {
    newest: Entry,
    older: Option<Box<Older>>,
}

/// Superseded records, ascending by timestamp; never empty. Mostly there is
/// one, until the next write or prune removes it.
#[derive(Debug)]
enum Older {
    One(Entry),
    Many(Vec<Entry>),
}

impl Older {
    fn as_slice(&self) -> &[Entry] {
        match self {
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Many(entries) => entries,
        }
    }

    fn push(&mut self, entry: Entry) {
        let mut entries = std::mem::replace(self, Self::Many(Vec::new())).into_vec();
        entries.push(entry);
        *self = Self::Many(entries);
    }

    fn into_vec(self) -> Vec<Entry> {
        match self {
            Self::One(entry) => {
                let mut entries = Vec::with_capacity(2);
                entries.push(entry);
                entries
            }
            Self::Many(entries) => entries,
        }
    }
}

impl Chain {
    pub(crate) const fn new(entry: Entry) -> Self {
        Self { newest: entry, older: None }
    }

    pub(crate) fn newest(&self) -> &Entry {
        &self.newest
    }

    fn older(&self) -> &[Entry] {
        self.older.as_ref().map_or(&[], |older| older.as_slice())
    }

    /// Whether some record was superseded.
    pub(crate) fn has_older(&self) -> bool {
        self.older.is_some()
    }

    /// Every record, ascending by timestamp.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.older().iter().chain([&self.newest])
    }

    /// The newest record at or below `ts`.
    pub(crate) fn at(&self, ts: Timestamp) -> Option<&Entry> {
        if self.newest.ts <= ts {
            return Some(&self.newest);
        }
        let older = self.older();
        let above = older.partition_point(|e| e.ts <= ts);
        older.get(above.checked_sub(1)?)
    }

    /// Adds a record that is newer than all others.
    pub(crate) fn push(&mut self, entry: Entry) {
        let superseded = std::mem::replace(&mut self.newest, entry);
        match &mut self.older {
            None => self.older = Some(Box::new(Older::One(superseded))),
            Some(older) => older.push(superseded),
        }
    }

    /// Removes dead records, of the newest `window` superseded ones alone, and
    /// then tombstones that no record is below: those show nothing, with or
    /// without them. Gives the removed ones to `removed`. Returns whether a
    /// record is left; if not, the chain must go.
    pub(crate) fn trim(
        &mut self,
        keep: &Retention,
        window: usize,
        mut removed: impl FnMut(&Entry),
    ) -> bool {
        let newest_ts = self.newest.ts;
        let has_older = match self.older.as_deref_mut() {
            None => false,
            Some(Older::One(entry)) => {
                // A tombstone with nothing below it is of no use either.
                let goes = keep.is_dead(entry.ts, Some(newest_ts)) || entry.value.is_none();
                if goes {
                    removed(entry);
                }
                !goes
            }
            Some(Older::Many(older)) => {
                let first = older.len().saturating_sub(window);
                let mut kept = first;
                for i in first..older.len() {
                    let successor = older.get(i + 1).map_or(newest_ts, |e| e.ts);
                    let Some(entry) = older.get(i) else { break };
                    if keep.is_dead(entry.ts, Some(successor)) {
                        removed(entry);
                    } else {
                        older.swap(kept, i);
                        kept += 1;
                    }
                }
                older.truncate(kept);
                let tombstones = older.iter().take_while(|e| e.value.is_none()).count();
                older.drain(..tombstones).for_each(|e| removed(&e));
                !older.is_empty()
            }
        };
        if !has_older {
            self.older = None;
        }
        let is_left = self.older.is_some() || self.newest.value.is_some();
        if !is_left {
            removed(&self.newest);
        }
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ts(n: u64) -> Timestamp {
        Timestamp::new(n)
    }

    /// A chain of values at these timestamps; tombstones where negative.
    fn chain(of: &[i64]) -> Option<Chain> {
        let mut entries = of.iter().map(|&n| Entry {
            ts: ts(n.unsigned_abs()),
            value: (n > 0).then(|| Bytes::from(n.to_string())),
        });
        let mut chain = Chain::new(entries.next()?);
        entries.for_each(|e| chain.push(e));
        Some(chain)
    }

    fn trimmed(of: &[i64], keep: &Retention, window: usize) -> Option<(Vec<u64>, usize)> {
        let mut chain = chain(of)?;
        let mut removed = 0;
        let is_left = chain.trim(keep, window, |_| removed += 1);
        let left = chain.iter().map(|e| e.ts.get()).collect();
        Some((if is_left { left } else { vec![] }, removed))
    }

    #[test]
    fn read_finds_the_newest_record_at_or_below_its_timestamp() {
        let chain = chain(&[2, 4, -7, 9]);
        let at = |n| chain.as_ref().and_then(|c| c.at(ts(n))).map(|e| e.ts.get());
        assert_eq!(
            [1, 2, 3, 4, 8, 9, 99].map(at),
            [None, Some(2), Some(2), Some(4), Some(7), Some(9), Some(9)]
        );
    }

    #[test]
    fn trim_removes_the_dead_and_nothing_else() {
        let pins = Retention::new(vec![ts(3)], vec![ts(8)], ts(20));
        assert_eq!(trimmed(&[1, 2, 4, 5, 7, 9], &pins, usize::MAX), Some((vec![2, 7, 9], 3)));
        assert_eq!(trimmed(&[1, 2, 4, 5, 7, 9], &pins, 2), Some((vec![1, 2, 4, 7, 9], 1)));
        let recent = Retention::new(vec![], vec![], ts(5));
        assert_eq!(trimmed(&[1, 2, 4, 5, 7, 9], &recent, usize::MAX), Some((vec![5, 7, 9], 3)));
        let all = Retention::everything();
        assert_eq!(trimmed(&[1, 2, 4], &all, usize::MAX), Some((vec![1, 2, 4], 0)));
    }

    #[test]
    fn tombstone_goes_once_no_record_is_below_it() {
        let head = Retention::new(vec![], vec![], ts(20));
        assert_eq!(trimmed(&[1, -2], &head, usize::MAX), Some((vec![], 2)));
        assert_eq!(trimmed(&[1, -2, 3], &head, usize::MAX), Some((vec![3], 2)));
        let pin = Retention::new(vec![ts(1)], vec![], ts(20));
        assert_eq!(trimmed(&[1, -2], &pin, usize::MAX), Some((vec![1, 2], 0)));
        let all = Retention::everything();
        assert_eq!(trimmed(&[-1, -2, 3, -4], &all, usize::MAX), Some((vec![3, 4], 2)));
    }
}
