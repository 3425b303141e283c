//! The conflict index against a list of commits that is searched from end to end.

use std::collections::BTreeSet;

use super::super::conflict::{ConflictIndex, Footprint};
use super::super::marks::Marks;
use super::super::read_set::ReadSet;
use crate::store::{Previous, Write};
use crate::*;

/// What one commit wrote, or one transaction touched.
#[derive(Debug, Default)]
struct Touched {
    ts: Timestamp,
    keys: Vec<Bytes>,
    marks: Vec<KeyRange>,
    points: Vec<Bytes>,
    ranges: Vec<KeyRange>,
}

impl Touched {
    fn conflicts_with(&self, commit: &Self) -> bool {
        let touches = |key: &Bytes| {
            self.points.contains(key)
                || self.keys.contains(key)
                || self.marks.iter().chain(&self.ranges).any(|range| range.contains(key))
        };
        let overlaps = |mark: &KeyRange| {
            self.points.iter().chain(&self.keys).any(|key| mark.contains(key))
                || self.marks.iter().chain(&self.ranges).any(|range| range.overlaps(mark))
        };
        commit.keys.iter().any(touches) || commit.marks.iter().any(overlaps)
    }

    /// Those of the keys that are written or declared alone, and of other bounds.
    fn bytes(&self) -> usize {
        let marks = Marks::new(self.marks.clone());
        let keys: BTreeSet<_> = self.keys.iter().chain(marks.keys()).collect();
        let bounds = |range: &KeyRange| [Some(range.start().clone()), range.end().cloned()];
        let bounds = marks.ranges().iter().flat_map(bounds).flatten();
        keys.into_iter().map(Bytes::len).sum::<usize>() + bounds.map(|key| key.len()).sum::<usize>()
    }
}

struct Dice(u64);

impl Dice {
    /// A number below `n`: the generator of Knuth's MMIX, without its lowest bits.
    fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn key(&mut self) -> Bytes {
        Bytes::from(format!("{:02}", self.below(40)))
    }

    /// Up to `n` keys, ascending, each once.
    fn keys(&mut self, n: u64) -> Vec<Bytes> {
        let mut keys: Vec<_> = (0..self.below(n + 1)).map(|_| self.key()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Some ranges, of one key or of several, and rarely any.
    fn marks(&mut self, rarity: u64) -> Vec<KeyRange> {
        if !self.one_in(rarity) {
            return Vec::new();
        }
        let one = |dice: &mut Self| match dice.one_in(2) {
            true => vec![KeyRange::key(dice.key())],
            false => dice.ranges(1),
        };
        (0..self.below(4)).flat_map(|_| one(self)).collect()
    }

    /// At most one range, and rarely, that holds a key at least.
    fn ranges(&mut self, rarity: u64) -> Vec<KeyRange> {
        let (a, b) = (self.key(), self.key());
        if !self.one_in(rarity) || a == b {
            return Vec::new();
        }
        vec![KeyRange::from(a.clone().min(b.clone())..a.max(b))]
    }
}

fn writes(keys: &[Bytes]) -> Vec<Write> {
    let write = |key: &Bytes| Write { key: key.clone(), value: None, previous: Previous::Unknown };
    keys.iter().map(write).collect()
}

fn read_set(txn: &Touched) -> ReadSet {
    let mut reads = ReadSet::default();
    txn.points.iter().for_each(|key| reads.add_key(key, Previous::Unknown));
    txn.ranges.iter().for_each(|range| reads.add_range(range.clone()));
    reads.finish();
    reads
}

#[test]
fn index_answers_as_a_search_of_all_commits_does() {
    let (walks, steps) = if cfg!(miri) { (2, 40) } else { (60, 400) };
    let (mut hits, mut misses) = (0, 0);
    for walk in 0..walks {
        let mut dice = Dice(walk);
        let (mut index, mut commits) = (ConflictIndex::default(), Vec::<Touched>::new());
        let (mut last, mut floor) = (0, Timestamp::ZERO);
        // Short windows and long ones.
        let retires = 2 + dice.below(40);
        for step in 0..steps {
            let place = format!("walk {walk}, step {step}");
            if dice.one_in(2) {
                last += 1 + dice.below(2);
                let (ts, keys, marks) = (Timestamp::new(last), dice.keys(4), dice.marks(5));
                index.enter(ts, &writes(&keys), Marks::new(marks.clone()));
                commits.push(Touched { ts, keys, marks, ..Touched::default() });
            }
            if dice.one_in(retires) {
                floor = Timestamp::new(floor.get() + dice.below(last - floor.get() + 1));
                while !index.retire(floor, 2) {}
                commits.retain(|commit| commit.ts > floor);
            }
            let since = Timestamp::new(floor.get() + dice.below(last - floor.get() + 1));
            let txn = Touched {
                ts: since,
                keys: dice.keys(3),
                marks: dice.marks(5),
                points: dice.keys(8),
                ranges: dice.ranges(4),
            };
            let rivals: Vec<_> = (commits.iter())
                .filter(|commit| commit.ts > since && txn.conflicts_with(commit))
                .map(|commit| commit.ts)
                .collect();
            let (reads, writes) = (read_set(&txn), writes(&txn.keys));
            let (reads, writes, marks) = (&reads, &writes[..], &Marks::new(txn.marks.clone()));
            let footprint = Footprint { read_ts: since, reads, writes, marks };
            let found = index.validate(&footprint, since).map(|info| info.commit_ts);
            match found {
                None => assert_eq!(rivals, [], "{place}: missed by {txn:?}"),
                Some(ts) => assert!(rivals.contains(&ts), "{place}: made up {ts} for {txn:?}"),
            }
            hits += u64::from(found.is_some());
            misses += u64::from(found.is_none());
            let bytes: usize = commits.iter().map(Touched::bytes).sum();
            assert_eq!((index.commits(), index.bytes()), (commits.len(), bytes), "{place}");
            let written = commits.iter().map(|commit| (commit.ts, commit.keys.clone()));
            assert!(index.written(floor, Timestamp::MAX).into_iter().eq(written), "{place}");
        }
    }
    assert!(hits > walks && misses > walks, "{hits} conflicts, {misses} without");
}
