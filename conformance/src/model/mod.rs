//! The reference: what every history must come to, as plainly as it can be
//! said. It shares no code with the engine, not even what a range is, so that
//! the two cannot be wrong together.
//!
//! It keeps the whole state after each commit in a plain map, and decides
//! conflicts by reading the contract aloud: over every commit since a
//! transaction began, and every key of it.

mod drive;
mod history;
mod play;

pub(crate) use history::{Flavour, Op, Span, key, ops};
pub(crate) use play::{Mode, play};

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

pub(crate) type Key = Vec<u8>;
pub(crate) type Map = BTreeMap<Key, Vec<u8>>;
pub(crate) type Writes = BTreeMap<Key, Option<Vec<u8>>>;

/// A range of keys, from the first included to the second excluded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part(Key, Option<Key>);

impl Part {
    pub(crate) fn of((start, end): &(Bound<Key>, Bound<Key>)) -> Self {
        let after = |k: &Key| [k, &b"\0"[..]].concat();
        let start = match start {
            Bound::Unbounded => Key::new(),
            Bound::Included(k) => k.clone(),
            Bound::Excluded(k) => after(k),
        };
        let end = match end {
            Bound::Unbounded => None,
            Bound::Included(k) => Some(after(k)),
            Bound::Excluded(k) => Some(k.clone()),
        };
        Self(start, end)
    }

    pub(crate) fn holds(&self, key: &[u8]) -> bool {
        *self.0 <= *key && self.1.as_ref().is_none_or(|end| *key < **end)
    }

    /// The part up to `key`, included.
    pub(crate) fn up_to(&self, key: &[u8]) -> Self {
        Self(self.0.clone(), Some([key, b"\0"].concat()))
    }

    /// The part from `key` on.
    pub(crate) fn from(&self, key: &[u8]) -> Self {
        Self(key.to_vec(), self.1.clone())
    }

    fn meets(&self, other: &Self) -> bool {
        let start = (&self.0).max(&other.0);
        let ends = [&self.1, &other.1];
        ends.into_iter().flatten().all(|end| start < end)
    }
}

/// One commit, and what stood after it.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) ts: u64,
    pub(crate) writes: Writes,
    pub(crate) marks: Vec<Part>,
    pub(crate) state: Map,
}

/// A saved version.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    pub(crate) ts: u64,
    pub(crate) state: Map,
}

/// The database as it must be.
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// Saves are commits too, without writes.
    pub(crate) commits: Vec<Commit>,
    pub(crate) versions: BTreeMap<u64, Saved>,
}

/// A write transaction as it must be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Txn {
    /// How many commits it began after.
    since: usize,
    pub(crate) base: Map,
    pub(crate) writes: Writes,
    pub(crate) marks: Vec<Part>,
    pub(crate) keys_read: BTreeSet<Key>,
    pub(crate) parts_read: Vec<Part>,
    pub(crate) validates_reads: bool,
    pub(crate) detects_writes: bool,
}

impl Model {
    pub(crate) fn head(&self) -> Map {
        self.commits.last().map(|c| c.state.clone()).unwrap_or_default()
    }

    pub(crate) fn last_ts(&self) -> u64 {
        self.commits.last().map_or(0, |c| c.ts)
    }

    pub(crate) fn begin(&self, validates_reads: bool, detects_writes: bool) -> Txn {
        let (since, base) = (self.commits.len(), self.head());
        Txn { since, base, validates_reads, detects_writes, ..Txn::default() }
    }

    /// Whether the contract makes `txn` lose: I1, I2, I5 and I6.
    pub(crate) fn loses(&self, txn: &Txn) -> bool {
        let read = |key: &Key| {
            txn.keys_read.contains(key) || txn.parts_read.iter().any(|part| part.holds(key))
        };
        let wrote = |key: &Key| {
            txn.writes.contains_key(key) || txn.marks.iter().any(|part| part.holds(key))
        };
        let read_in = |mark: &Part| {
            txn.keys_read.iter().any(|key| mark.holds(key))
                || txn.parts_read.iter().any(|part| part.meets(mark))
        };
        let wrote_in = |mark: &Part| {
            txn.writes.keys().any(|key| mark.holds(key))
                || txn.marks.iter().any(|part| part.meets(mark))
        };
        self.commits.iter().skip(txn.since).any(|c| {
            let by_read = c.writes.keys().any(read) || c.marks.iter().any(read_in);
            let by_write = c.writes.keys().any(wrote) || c.marks.iter().any(wrote_in);
            (txn.validates_reads && by_read) || (txn.detects_writes && by_write)
        })
    }

    pub(crate) fn commit(&mut self, ts: u64, writes: Writes, marks: Vec<Part>) {
        let mut state = self.head();
        apply(&mut state, &writes);
        self.commits.push(Commit { ts, writes, marks, state });
    }

    /// The writes that make the head equal to `want` within `part`.
    pub(crate) fn writes_to(&self, want: &Map, part: &Part) -> Writes {
        let head = self.head();
        let keys: BTreeSet<_> = head.keys().chain(want.keys()).filter(|k| part.holds(k)).collect();
        let differs = keys.into_iter().filter(|k| head.get(*k) != want.get(*k));
        differs.map(|k| (k.clone(), want.get(k).cloned())).collect()
    }
}

impl Txn {
    /// What it sees.
    pub(crate) fn view(&self) -> Map {
        let mut state = self.base.clone();
        apply(&mut state, &self.writes);
        state
    }
}

fn apply(state: &mut Map, writes: &Writes) {
    for (key, value) in writes {
        match value {
            Some(value) => drop(state.insert(key.clone(), value.clone())),
            None => drop(state.remove(key)),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::ops::Bound::{Excluded, Included, Unbounded};

    use super::*;

    #[test]
    fn parts_meet_if_a_key_is_in_both() {
        let part = |from: Bound<&str>, to: Bound<&str>| {
            let key = |bound: Bound<&str>| bound.map(|key| key.as_bytes().to_vec());
            Part::of(&(key(from), key(to)))
        };
        let ab = part(Included("a"), Excluded("b"));
        let bc = part(Included("b"), Excluded("c"));
        let to_b = part(Unbounded, Included("b"));
        let above_b = part(Excluded("b"), Unbounded);
        let meets = |a: &Part, b: &Part| {
            assert_eq!(a.meets(b), b.meets(a));
            a.meets(b)
        };
        assert!(!meets(&ab, &bc) && !meets(&to_b, &above_b) && !meets(&ab, &above_b));
        assert!(meets(&ab, &to_b) && meets(&bc, &to_b) && meets(&bc, &above_b) && meets(&ab, &ab));
        assert!(to_b.holds(b"b") && !above_b.holds(b"b") && above_b.holds(b"b\0"));
    }

    #[test]
    fn transactions_lose_what_they_read_or_write_to_keys_and_to_declared_ranges() {
        type Does = fn(&mut Txn, &[u8]);
        fn only(key: &[u8]) -> Part {
            Part::of(&(Included(key.to_vec()), Included(key.to_vec())))
        }
        let reads: [Does; 2] = [
            |txn, key| txn.keys_read.extend([key.to_vec()]),
            |txn, key| txn.parts_read.extend([only(key)]),
        ];
        let writes: [Does; 2] = [
            |txn, key| txn.writes.extend([(key.to_vec(), None)]),
            |txn, key| txn.marks.extend([only(key)]),
        ];
        let key = || b"k".to_vec();
        let (written, declared) =
            (Writes::from([(key(), None)]), Part::of(&(Included(key()), Unbounded)));
        for (wrote, marks) in [(written, vec![]), (Writes::new(), vec![declared])] {
            for (does, validates, detects) in
                reads.map(|r| (r, true, false)).into_iter().chain(writes.map(|w| (w, false, true)))
            {
                let mut model = Model::default();
                let mut txns = [(); 4].map(|()| model.begin(validates, detects));
                let (blind, others) = txns.split_first_mut().unwrap();
                (blind.validates_reads, blind.detects_writes) = (detects, validates);
                does(blind, b"k");
                others
                    .iter_mut()
                    .zip([&b"k"[..], b"j", b"k"])
                    .for_each(|(txn, key)| does(txn, key));
                model.commit(1, wrote.clone(), marks.clone());
                let mut late = model.begin(validates, detects);
                does(&mut late, b"k");
                let lost = txns.iter().chain([&late]).map(|txn| model.loses(txn));
                assert_eq!(lost.collect::<Vec<_>>(), [false, true, false, true, false]);
            }
        }
    }
}
