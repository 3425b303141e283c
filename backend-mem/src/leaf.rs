//! [`Leaf`]: some dozens of neighbouring keys and their records, under one
//! lock.

use std::collections::{VecDeque, vec_deque as deque};
use std::ops::Range;

use bytes::Bytes;
use vellum_core::{Retention, Timestamp};

use crate::chain::{Chain, Entry};
use crate::keys::{GROWTH, Keys, separator};
use crate::sync::{RwLock, is_broken};

/// A leaf with more keys than this is split. More would make inserts slower,
/// fewer the search for the leaf.
pub(crate) const MAX_KEYS: usize = if cfg!(test) { 4 } else { 128 };
/// So is one whose keys have more bytes than this, since an insert copies them.
const MAX_KEY_BYTES: usize = 4096;
/// Two neighbours are merged once they have no more keys than this.
const MERGED_KEYS: usize = MAX_KEYS * 3 / 4;
/// How many superseded records of a key a write to it looks at. It adds one
/// and can remove many, so garbage does not pile up however far behind the
/// retention was for a while.
const WRITE_WINDOW: usize = 16;

/// Bytes of a line of the processor's cache.
const LINE: usize = 64;
/// How much of a value is fetched ahead: as much as is packed.
const FETCHED: usize = 4 * LINE;

/// The keys from `fence`, included, up to [`State::high`], excluded.
pub(crate) struct Leaf {
    /// The lowest key that belongs here, whether or not it is present.
    pub(crate) fence: Bytes,
    pub(crate) state: RwLock<State>,
}

/// What the lock of a leaf guards.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) keys: Keys,
    /// The records of each key, in the same order. A record is most of a line, so
    /// where one is inserted, those on the shorter side make room.
    chains: VecDeque<Chain>,
    /// The fence of the next leaf; `None` in the last one.
    pub(crate) high: Option<Bytes>,
    /// Whether its keys were merged into the leaf before.
    pub(crate) is_dead: bool,
    /// Whether its fence is in the set of leaves to sweep.
    pub(crate) is_listed: bool,
}

/// What a change took away or added, for the store's counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) keys: i64,
    pub(crate) records: i64,
    /// Bytes of keys, once each, and of the values of all records.
    pub(crate) bytes: i64,
    /// Records removed, and bytes of their keys and values.
    pub(crate) removed: (u64, u64),
}

impl Tally {
    fn remove(&mut self, key: &[u8], entry: &Entry) {
        self.records -= 1;
        self.bytes -= signed(entry.byte_len());
        self.removed.0 += 1;
        self.removed.1 += (key.len() + entry.byte_len()) as u64;
    }

    fn remove_key(&mut self, key: &[u8]) {
        self.keys -= 1;
        self.bytes -= signed(key.len());
    }
}

fn signed(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl Leaf {
    pub(crate) fn new(fence: Bytes, state: State) -> Self {
        Self { fence, state: RwLock::new(state) }
    }
}

impl State {
    pub(crate) fn len(&self) -> usize {
        self.chains.len()
    }

    /// Whether `key`, which is not below the fence, belongs here.
    pub(crate) fn covers(&self, key: &[u8]) -> bool {
        !self.is_dead && self.high.as_ref().is_none_or(|high| key < high)
    }

    /// Whether the keys just below `key`, or the last keys of all, belong
    /// here; the fence is below `key`.
    pub(crate) fn covers_below(&self, key: Option<&[u8]>) -> bool {
        !self.is_dead && self.high.as_ref().is_none_or(|high| key.is_some_and(|key| key <= high))
    }

    /// The records of key `i`.
    pub(crate) fn chain(&self, i: usize) -> Option<&Chain> {
        self.chains.get(i)
    }

    /// The records of the keys at these places, in order.
    pub(crate) fn chains(&self, keys: Range<usize>) -> deque::Iter<'_, Chain> {
        let end = keys.end.min(self.len());
        self.chains.range(keys.start.min(end)..end)
    }

    /// Gets the values of up to `limit` of these records into the cache. To clone
    /// a value is an atomic write to its own place in memory, and the processor
    /// waits for one before it begins the next; plain reads it does side by
    /// side, so that the clones that follow wait no more, nor does who looks at
    /// the values then.
    pub(crate) fn fetch<'a>(chains: impl Iterator<Item = &'a Chain>, limit: usize) {
        let values = chains.take(limit).filter_map(|chain| chain.newest().value.as_ref());
        // A byte of each line, without a loop that the processor could guess wrong.
        // The count of a packed value is beside its bytes.
        let byte = |value: &Bytes, at: usize| value.get(at).copied().unwrap_or_default();
        let touch = |value: &Bytes| {
            let last = byte(value, value.len().min(FETCHED).wrapping_sub(1));
            last ^ byte(value, 0)
                ^ byte(value, LINE)
                ^ byte(value, 2 * LINE)
                ^ byte(value, 3 * LINE)
        };
        std::hint::black_box(values.fold(0, |all, value| all ^ touch(value)));
    }

    /// The records of `key`, or the place where it would be. What is found, or
    /// would be below another key, belongs here: nobody need look where the leaf
    /// ends.
    pub(crate) fn find(&self, key: &[u8]) -> Result<&Chain, usize> {
        let place = self.keys.search(key)?;
        self.chain(place).ok_or(place)
    }

    /// Adds the newest record of `key`, and removes what `keep` calls dead on
    /// the way. Returns the timestamp of the record that it supersedes.
    pub(crate) fn put(
        &mut self,
        key: &[u8],
        entry: Entry,
        keep: &Retention,
        tally: &mut Tally,
    ) -> Option<Timestamp> {
        let (len, is_tombstone) = (entry.byte_len(), entry.value.is_none());
        let found = self.keys.search(key);
        let at = found.unwrap_or_else(|i| i);
        let superseded = match (found, self.chains.get_mut(at)) {
            (Ok(_), Some(chain)) => {
                let superseded = chain.newest().ts;
                chain.push(entry);
                Some((superseded, chain.trim(keep, WRITE_WINDOW, |e| tally.remove(key, e))))
            }
            // A tombstone over nothing shows nothing.
            _ if is_tombstone => return None,
            _ => {
                if self.chains.len() == self.chains.capacity() {
                    self.chains.reserve_exact(GROWTH);
                }
                self.keys.insert(at, key);
                self.chains.insert(at, Chain::new(entry));
                tally.keys += 1;
                tally.bytes += signed(key.len());
                None
            }
        };
        tally.records += 1;
        tally.bytes += signed(len);
        let (superseded, is_left) = superseded?;
        if !is_left {
            self.chains.remove(at);
            self.keys.retain(|i| i != at);
            tally.remove_key(key);
        }
        Some(superseded)
    }

    /// Whether some record here was superseded, so that it may be dead one day.
    pub(crate) fn wants_sweep(&self) -> bool {
        self.chains.iter().any(Chain::has_older)
    }

    /// Removes every record that `keep` calls dead.
    pub(crate) fn sweep(&mut self, keep: &Retention, tally: &mut Tally) {
        let Self { keys, chains, .. } = self;
        let mut is_left = Vec::with_capacity(chains.len());
        let mut i = 0;
        chains.retain_mut(|chain| {
            let key = keys.get(i);
            i += 1;
            let left = chain.trim(keep, usize::MAX, |e| tally.remove(key, e));
            if !left {
                tally.remove_key(key);
            }
            is_left.push(left);
            left
        });
        if chains.len() < is_left.len() {
            keys.retain(|i| is_left.get(i).is_none_or(|&left| left));
            chains.shrink_to_fit();
        }
    }

    pub(crate) fn is_overfull(&self) -> bool {
        self.len() > MAX_KEYS || (self.len() > 1 && self.keys.byte_len() > MAX_KEY_BYTES)
    }

    /// Moves the upper keys into a new leaf. `appended`: the highest key is
    /// the one that was just inserted. Keys that come in ascending order thus
    /// leave full leaves behind instead of half empty ones.
    pub(crate) fn split(&mut self, appended: bool) -> Option<Leaf> {
        let last = self.len().checked_sub(1)?;
        let at = if appended { last } else { self.len() / 2 };
        let fence = separator(self.keys.get(at.checked_sub(1)?), self.keys.get(at));
        let keys = self.keys.split_off(at);
        let chains = self.chains.split_off(at);
        self.chains.shrink_to_fit();
        let high = self.high.replace(fence.clone());
        let right = Self { keys, chains, high, is_dead: false, is_listed: false };
        Some(Leaf::new(fence, right))
    }

    /// Whether it is so small that some leaf before may take it over.
    pub(crate) fn may_be_absorbed(&self) -> bool {
        self.len() <= MERGED_KEYS
    }

    /// Whether so many keys of the next leaf may fit in here.
    pub(crate) fn has_room_for(&self, keys: usize) -> bool {
        keys == 0 || self.len() + keys <= MERGED_KEYS
    }

    /// Takes over the keys of the next leaf, if the two are small enough.
    pub(crate) fn absorb(&mut self, right: &mut Self) -> bool {
        let bytes = self.keys.byte_len() + right.keys.byte_len();
        let fits = self.has_room_for(right.len()) && (right.len() == 0 || bytes <= MAX_KEY_BYTES);
        if fits {
            self.keys.append(&right.keys);
            self.chains.reserve_exact(right.len());
            self.chains.append(&mut right.chains);
            self.high = right.high.take();
            let is_dead = !is_broken("a leaf that was merged away does not say so");
            *right = Self { is_dead, ..Self::default() };
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaf_covers_up_to_its_end_and_not_beyond() {
        let mut state = State { high: Some("m".into()), ..State::default() };
        assert!(state.covers(b"l") && !state.covers(b"m"));
        assert!(state.covers_below(Some(b"m")));
        assert!(!state.covers_below(Some(b"m\0")) && !state.covers_below(None));
        state.is_dead = true;
        assert!(!state.covers(b"l") && !state.covers_below(Some(b"l")));
        assert!(State::default().covers(b"z") && State::default().covers_below(None));
    }

    #[test]
    fn ascending_inserts_leave_full_leaves_behind() {
        let keep = Retention::everything();
        let mut state = State::default();
        for n in 0..=MAX_KEYS {
            let entry = Entry { ts: Timestamp::new(1), value: Some(Bytes::new()) };
            state.put(&[b'a' + u8::try_from(n).unwrap_or(0)], entry, &keep, &mut Tally::default());
        }
        assert!(state.is_overfull());
        let right = state.split(true).map(|leaf| leaf.state.read().len());
        assert_eq!((state.len(), right), (MAX_KEYS, Some(1)));
    }

    #[test]
    fn neighbours_are_merged_if_both_keys_and_bytes_fit() {
        let of = |count: u8, len: usize, first: u8| {
            let mut state = State::default();
            for n in 0..count {
                let mut key = vec![first + n];
                key.resize(len, b'.');
                let entry = Entry { ts: Timestamp::new(1), value: Some(Bytes::new()) };
                state.put(&key, entry, &Retention::everything(), &mut Tally::default());
            }
            state
        };
        let most = u8::try_from(MERGED_KEYS).unwrap_or(u8::MAX);
        // As many as fit, one more, and as many with too long keys.
        for (left, len, is_merged) in
            [(most - 1, 1000, true), (most, 10, false), (most - 1, 1400, false)]
        {
            let (mut state, mut right) = (of(left, len, b'a'), of(1, len, b'z'));
            assert_eq!(state.absorb(&mut right), is_merged, "{left} keys of {len} bytes");
            assert_eq!(state.len(), usize::from(left) + usize::from(is_merged));
            assert_eq!((right.len() == 0, right.is_dead), (is_merged, is_merged));
        }
        let mut overfull = of(most, 1400, b'a');
        assert!(overfull.absorb(&mut State::default()), "an empty neighbour always fits");
    }
}
