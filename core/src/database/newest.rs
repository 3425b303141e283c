//! [`Newest`]: when the keys of the window were written last, by their hashes.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};

use foldhash::fast::RandomState;

use crate::Timestamp;

use super::packed::PackedKeys;

/// Few, so that tests meet keys with the same hash.
#[cfg(test)]
const HASH_MASK: u64 = 3;
#[cfg(not(test))]
const HASH_MASK: u64 = u64::MAX;

/// So many keys come in together.
#[cfg(not(test))]
const BATCH: usize = 128;
/// Few, so that tests meet tables that are behind, and such that are not.
#[cfg(test)]
const BATCH: usize = 4;

/// Tables that shrank below an eighth of this many entries give memory back.
pub(super) const SHRINK_MIN: usize = 4096;

/// A table from the hash of a key to the timestamp of the newest commit that wrote a key
/// with that hash, for the commits of the window up to `upto`.
///
/// Commits wait outside until they have [`BATCH`] keys, or somebody asks. Where the table
/// is in none of the processor's caches, it then waits for the places of many keys side
/// by side; and a commit that is forgotten before that, as nearly all are where
/// transactions are short, never was in it.
#[derive(Debug, Default)]
pub(super) struct Newest {
    last: HashMap<u64, Timestamp, AsItIs>,
    hasher: RandomState,
    upto: Timestamp,
    /// Keys of the commits after that.
    waiting: usize,
}

/// The hasher of a table whose keys are hashes.
type AsItIs = BuildHasherDefault<Identity>;

#[derive(Debug, Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl Newest {
    /// Lets a commit wait, newer than all before. Says whether they should come in now.
    pub(super) fn wait(&mut self, keys: &PackedKeys) -> bool {
        self.waiting += keys.len();
        self.waiting >= BATCH
    }

    /// Whether commits wait.
    pub(super) fn is_behind(&self) -> bool {
        self.waiting > 0
    }

    /// Up to here all commits came in.
    pub(super) fn upto(&self) -> Timestamp {
        self.upto
    }

    /// Takes in the commits that wait, which are these.
    pub(super) fn take_in<'a>(
        &mut self,
        commits: impl Iterator<Item = (Timestamp, &'a PackedKeys)>,
    ) {
        for (ts, keys) in commits {
            for key in keys.iter() {
                self.last.insert(self.hash(key), ts);
            }
            self.upto = ts;
        }
        self.waiting = 0;
    }

    /// Forgets the oldest commit.
    pub(super) fn forget(&mut self, ts: Timestamp, keys: &PackedKeys) {
        if ts > self.upto {
            self.waiting -= keys.len();
            return;
        }
        for key in keys.iter() {
            let hash = self.hash(key);
            if self.last.get(&hash) == Some(&ts) {
                self.last.remove(&hash);
            }
        }
    }

    /// When a key with the hash of this one was written last, unless that waits.
    pub(super) fn get(&self, key: &[u8]) -> Option<Timestamp> {
        self.last.get(&self.hash(key)).copied()
    }

    fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key) & HASH_MASK
    }

    /// Keys with a hash of their own, and those that wait.
    pub(super) fn len(&self) -> usize {
        self.last.len() + self.waiting
    }

    /// Gives back memory that is needed no more.
    pub(super) fn shrink(&mut self) {
        if let Some(capacity) = shrunk(self.last.len(), self.last.capacity()) {
            self.last.shrink_to(capacity);
        }
    }
}

/// The capacity that a table of `len` entries should keep, if `capacity` is too much.
pub(super) fn shrunk(len: usize, capacity: usize) -> Option<usize> {
    (capacity > SHRINK_MIN && len < capacity / 8).then_some(2 * len)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn table_shrinks_to_twice_its_length_below_an_eighth() {
        assert_eq!(shrunk(0, SHRINK_MIN), None, "small enough");
        assert_eq!(shrunk(0, SHRINK_MIN + 1), Some(0));
        assert_eq!(shrunk(SHRINK_MIN / 4, 2 * SHRINK_MIN), None, "an eighth");
        assert_eq!(shrunk(SHRINK_MIN / 4 - 1, 2 * SHRINK_MIN), Some(SHRINK_MIN / 2 - 2));
    }

    #[test]
    fn commits_come_in_together_and_those_that_are_forgotten_before_never_do() {
        let mut newest = Newest::default();
        let keys = |keys: &[&'static str]| {
            let keys: Vec<_> = keys.iter().map(|key| Bytes::from_static(key.as_bytes())).collect();
            PackedKeys::new(keys.iter())
        };
        let (first, second, third) = (keys(&["a", "b"]), keys(&["c"]), keys(&["a"]));
        let at = |n| Timestamp::new(n);
        assert!(!newest.is_behind());
        assert!(!newest.wait(&first) && !newest.wait(&second) && newest.wait(&third));
        assert!(newest.is_behind() && newest.len() == BATCH && newest.get(b"a").is_none());
        newest.forget(at(1), &first);
        assert!(newest.is_behind() && newest.len() == 2);
        newest.take_in([(at(2), &second), (at(3), &third)].into_iter());
        assert!(!newest.is_behind() && newest.upto() == at(3));
        assert_eq!(newest.get(b"a"), Some(at(3)));
        newest.forget(at(2), &second);
        newest.forget(at(3), &third);
        assert_eq!((newest.len(), newest.get(b"a")), (0, None));
    }
}
