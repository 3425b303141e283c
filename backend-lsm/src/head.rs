//! [`HeadRange`]: the records of a range of `head`, from both ends.
//!
//! fjall steps over every overwritten record that a memtable still has of a key,
//! which for one that is overwritten all the time is tens of thousands. [`Heat`]
//! knows the worst of such keys; a range goes around them: it is made of native
//! ranges that end before a hot key and begin behind it, and the key itself is
//! looked up. Which keys those are changes how a range is read, never what it
//! shows, so the list may be of any time.
//!
//! [`Heat`]: crate::heat::Heat

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use fjall::{Guard, Readable};
use vellum_core::{KeyRange, Record, Result};

use crate::error::{corrupted, engine};
use crate::layout;
use crate::state::State;

type Item = Result<(Bytes, Record)>;

/// The records of a range of `head`.
pub(crate) struct HeadRange {
    /// The part in front of the hot keys that are ahead; all of it, if there
    /// are none. `None` is an empty one.
    front: Option<fjall::Iter>,
    hot: Option<Box<Hot>>,
}

/// What is to be minded if keys are hot.
struct Hot {
    state: Arc<State>,
    /// The keys to go around, ascending; those from `ahead.0` to `ahead.1` are
    /// still ahead of both ends.
    keys: Arc<[Bytes]>,
    ahead: (usize, usize),
    /// The part behind those ahead, once it was asked for, and where it ends.
    back: Option<fjall::Iter>,
    end: Bound<Bytes>,
    /// What stepping over overwritten records cost.
    steps: u64,
}

impl HeadRange {
    pub(crate) fn new(state: &Arc<State>, range: &KeyRange) -> Self {
        let heat = &state.keyspaces.heat;
        if !heat.is_hot() {
            let bounds = (low(range), range.as_bounds().1);
            let front = state.native.range::<&[u8], _>(&state.keyspaces.head, bounds);
            return Self { front: Some(front), hot: None };
        }
        let keys = heat.detours();
        let from = keys.partition_point(|key| key < range.start());
        let to = range.end().map_or(keys.len(), |end| keys.partition_point(|key| key < end));
        let end = range.end().cloned().map_or(Bound::Unbounded, Bound::Excluded);
        let ahead = (from, to.max(from));
        let hot = Hot { state: state.clone(), keys, ahead, back: None, end, steps: 0 };
        let begins_hot = hot.first().is_some_and(|key| key == range.start());
        let low = low(range).map(Bytes::copy_from_slice);
        let front = || hot.part(low, hot.low());
        Self { front: (!begins_hot).then(front), hot: Some(Box::new(hot)) }
    }
}

/// Where a range begins. fjall seeks a bound in every block that it comes to, the
/// empty key too, which is in front of all.
fn low(range: &KeyRange) -> Bound<&[u8]> {
    if range.start().is_empty() { Bound::Unbounded } else { range.as_bounds().0 }
}

impl Hot {
    /// A part of the range.
    fn part(&self, low: Bound<Bytes>, high: Bound<Bytes>) -> fjall::Iter {
        self.state.native.range(&self.state.keyspaces.head, (low, high))
    }

    /// Where the part in front of the keys ahead ends.
    fn low(&self) -> Bound<Bytes> {
        self.first().map_or_else(|| self.end.clone(), Bound::Excluded)
    }

    fn first(&self) -> Option<Bytes> {
        self.keys.get(self.ahead.0..self.ahead.1)?.first().cloned()
    }

    fn last(&self) -> Option<Bytes> {
        self.keys.get(self.ahead.0..self.ahead.1)?.last().cloned()
    }

    /// The first key ahead, which is no longer, and the part behind it.
    fn pass_front(&mut self) -> Option<(Bytes, fjall::Iter)> {
        let key = self.first()?;
        self.ahead.0 += 1;
        let is_last = self.ahead.0 == self.ahead.1;
        let behind = match self.back.take_if(|_| is_last) {
            Some(back) => back,
            None => self.part(Bound::Excluded(key.clone()), self.low()),
        };
        Some((key, behind))
    }

    /// The next of the part behind the keys ahead; if that is at its end, the
    /// last key ahead, which is no longer.
    fn pass_back(&mut self) -> Option<Passed> {
        let key = self.last()?;
        let back = match &mut self.back {
            Some(back) => back,
            None => {
                let part = self.part(Bound::Excluded(key.clone()), self.end.clone());
                self.back.insert(part)
            }
        };
        Some(match back.next_back() {
            Some(guard) => Passed::Record(guard),
            None => {
                self.back = None;
                self.end = Bound::Excluded(key.clone());
                self.ahead.1 -= 1;
                Passed::Key(key)
            }
        })
    }

    /// What a key that the range went around shows.
    fn look_up(&self, key: Bytes) -> Option<Item> {
        match self.state.head(&key) {
            Ok(record) => record.map(|record| Ok((key, record))),
            Err(e) => Some(Err(e)),
        }
    }
}

impl Drop for Hot {
    fn drop(&mut self) {
        if self.steps > 0 {
            self.state.keyspaces.heat.lose(self.steps);
        }
    }
}

enum Passed {
    Record(Guard),
    Key(Bytes),
}

impl Iterator for HeadRange {
    type Item = Item;

    #[inline]
    fn next(&mut self) -> Option<Item> {
        if self.hot.is_some() {
            return self.next_around();
        }
        Some(decode(self.front.as_mut()?.next()?))
    }
}

impl DoubleEndedIterator for HeadRange {
    #[inline]
    fn next_back(&mut self) -> Option<Item> {
        if self.hot.is_some() {
            return self.next_back_around();
        }
        Some(decode(self.front.as_mut()?.next_back()?))
    }
}

impl HeadRange {
    /// A record where keys are hot, and what it cost to come to it.
    fn count(&mut self, guard: Guard) -> Item {
        let item = decode(guard);
        if let (Some(hot), Ok((key, _))) = (&mut self.hot, &item) {
            hot.steps += hot.state.keyspaces.heat.steps(key);
        }
        item
    }

    fn next_around(&mut self) -> Option<Item> {
        loop {
            if let Some(guard) = self.front.as_mut().and_then(Iterator::next) {
                return Some(self.count(guard));
            }
            let hot = self.hot.as_mut()?;
            let (key, behind) = hot.pass_front()?;
            self.front = Some(behind);
            if let Some(item) = hot.look_up(key) {
                return Some(item);
            }
        }
    }

    fn next_back_around(&mut self) -> Option<Item> {
        loop {
            let Some(passed) = self.hot.as_mut().and_then(|hot| hot.pass_back()) else {
                let guard = self.front.as_mut()?.next_back()?;
                return Some(self.count(guard));
            };
            match passed {
                Passed::Record(guard) => return Some(self.count(guard)),
                Passed::Key(key) => {
                    let item = self.hot.as_ref().and_then(|hot| hot.look_up(key));
                    if item.is_some() {
                        return item;
                    }
                }
            }
        }
    }
}

/// What fails stands apart, so that the rest is small enough to be inlined: a
/// record that is passed on through every layer is otherwise copied in each.
#[inline]
fn decode(guard: Guard) -> Item {
    let (key, value) = match guard.into_inner() {
        Ok((key, value)) => (Bytes::from(key), Bytes::from(value)),
        Err(e) => return Err(unread(e)),
    };
    match layout::decode_record(value) {
        Some(record) => Ok((key, record)),
        None => Err(damaged(&key)),
    }
}

#[cold]
fn unread(e: fjall::Error) -> vellum_core::Error {
    engine("reading a range of head")(e)
}

#[cold]
fn damaged(key: &[u8]) -> vellum_core::Error {
    corrupted(format!("the record of key \"{}\" in head", key.escape_ascii()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use vellum_core::{Connection, ConnectionExt, Durability, Options, ReadTxn, Version, WriteTxn};

    use super::*;

    /// xorshift64: the seed says it all.
    fn next(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    type Model = BTreeMap<Bytes, Bytes>;

    /// Takes a range from both ends by turns, as the bits of `ends` say.
    fn meet(txn: &impl ReadTxn, range: &KeyRange, ends: u64) -> Result<Vec<(Bytes, Bytes)>> {
        let (mut front, mut back) = (Vec::new(), Vec::new());
        let mut items = txn.range(range);
        for step in 0.. {
            let taken = match ends >> (step % 64) & 1 {
                0 => items.next().map(|item| item.map(|item| front.push(item))),
                _ => items.next_back().map(|item| item.map(|item| back.push(item))),
            };
            if taken.transpose()?.is_none() {
                break;
            }
        }
        back.reverse();
        front.append(&mut back);
        Ok(front)
    }

    #[test]
    fn ranges_around_hot_keys_show_what_is_there_from_both_ends() -> Result<()> {
        let dir = tempfile::tempdir().map_err(crate::error::io("making a directory"))?;
        let options = Options::new().durability(Durability::Buffered);
        // Without and with a cache of records to look the keys up in.
        for cached in [0, 1 << 20] {
            let db = crate::Builder::new(dir.path().join(cached.to_string()))
                .options(options)
                .record_cache_bytes(cached)
                .open()?;
            let mut model = Model::new();
            let key = |i: u64| Bytes::from(format!("{i:02}"));
            db.transact(|txn| (0..40).try_for_each(|i| txn.put(&key(i), "first")))?;
            model.extend((0..40).map(|i| (key(i), Bytes::from("first"))));
            let saved = (db.save_version()?, model.clone());
            // Neighbours, the first and the last are among the hot; one ends deleted.
            let hot = [0, 7, 8, 9, 20, 39];
            for round in 0..400 {
                let value = Bytes::from(round.to_string());
                db.transact(|txn| hot.iter().try_for_each(|&i| txn.put(&key(i), value.clone())))?;
                model.extend(hot.iter().map(|&i| (key(i), value.clone())));
            }
            db.transact(|txn| txn.delete(&key(8)).and_then(|()| txn.delete(&key(21))))?;
            model.remove(&key(8));
            model.remove(&key(21));
            let keyspaces = db.store().keyspaces()?;
            assert_eq!(*keyspaces.heat.detours(), hot.map(key));
            let mut seed = 0x5eed_u64;
            let old = db.read_at(Version::new(saved.0.get()))?;
            let new = db.begin_read()?;
            for _ in 0..2000 {
                let [low, high] = [next(&mut seed) % 41, next(&mut seed) % 41].map(key);
                let end = (!next(&mut seed).is_multiple_of(8)).then_some(high);
                let range = KeyRange::new(low, end);
                let ends = match next(&mut seed) % 3 {
                    0 => 0,
                    1 => u64::MAX,
                    _ => next(&mut seed),
                };
                let of = |model: &Model| -> Vec<_> {
                    let inside = model.iter().filter(|(key, _)| range.contains(key));
                    inside.map(|(key, value)| (key.clone(), value.clone())).collect()
                };
                assert_eq!(meet(&new, &range, ends)?, of(&model), "{range}, ends {ends:b}");
                assert_eq!(meet(&old, &range, ends)?, of(&saved.1), "{range}, ends {ends:b}");
            }
        }
        Ok(())
    }

    #[test]
    fn snapshot_keeps_what_it_saw_of_a_key_that_became_hot_since() -> Result<()> {
        let dir = tempfile::tempdir().map_err(crate::error::io("making a directory"))?;
        let options = Options::new().durability(Durability::Buffered);
        let db = crate::Builder::new(dir.path().join("db")).options(options).open()?;
        db.transact(|txn| [b"a", b"b", b"c"].iter().try_for_each(|key| txn.put(*key, "old")))?;
        let before = db.begin_read()?;
        (0..400).try_for_each(|_| db.transact(|txn| txn.put(b"b", "new")))?;
        assert_eq!(*db.store().keyspaces()?.heat.detours(), ["b"]);
        for ends in [0, u64::MAX] {
            let seen = meet(&before, &KeyRange::all(), ends)?;
            assert!(seen.len() == 3 && seen.iter().all(|(_, value)| value == "old"), "{seen:?}");
        }
        Ok(())
    }
}
