//! [`Directory`]: which leaf a key belongs to.
//!
//! A skip list of leaves costs a cache miss for each of the nodes that a search
//! visits, and at a million records these were half the time of a point read.
//! Here the fences stand in sorted arrays, two levels of them: a *root* of
//! *parts*, and a part of up to [`PART_MAX`] leaves. A search looks through two
//! arrays of numbers ([`Keys`]), which mostly are in the processor's cache.
//!
//! ```text
//! root    │ part 0 │ from "k" part 1 │ from "t" part 2 │     replaced as a whole
//!              │            │                 │
//! part    "c" "f" "h"   "k" "m" "p"      "t" "w"             replaced as a whole
//!          │   │   │     │   │   │        │   │
//!         the leaves, shared by what came before and after
//! ```
//!
//! Nothing is changed in place. A writer makes a new part and swaps it in
//! ([`Swap`]), so that readers take no lock, write no line that others
//! share, and never see half a change; what nobody looks at any more goes with
//! the last reference.
//!
//! # Invariants
//! 1. The parts of a root, one after the other, hold all leaves in order. The
//!    fence of a part in the root is at or below those in the part, and above
//!    those in the parts before. That of the first part is left out.
//! 2. A part that grows too large is divided in two steps: a root in which its
//!    upper half has a part of its own, then the old part without it. Between
//!    the two steps the upper half is found in both. A reader who took the root
//!    before them, and the part after them, finds a lower leaf than it should,
//!    as it may after a leaf was split; so whoever finds that a leaf does not
//!    cover what it looked for looks again (invariant 2 of the index).
//! 3. Only one thread at a time changes anything.

use std::sync::Arc;

use crate::keys::Keys;
use crate::sync::{Swap, is_broken};

/// A part with more leaves than this is divided. More would make a split of a
/// leaf slower, which copies its part; fewer would make the root larger.
const PART_MAX: usize = if cfg!(test) { 3 } else { 128 };

/// A concurrent map from keys to values, searched by neighbourhood. See the
/// module.
pub(crate) struct Directory<T> {
    root: Swap<Root<T>>,
}

/// Parts, and the fences of all but the first.
struct Root<T> {
    fences: Keys,
    parts: Vec<Arc<Swap<Part<T>>>>,
}

/// Values, and the fence of each.
struct Part<T> {
    fences: Keys,
    values: Vec<Arc<T>>,
}

impl<T> Clone for Root<T> {
    fn clone(&self) -> Self {
        Self { fences: self.fences.clone(), parts: self.parts.clone() }
    }
}

impl<T> Clone for Part<T> {
    fn clone(&self) -> Self {
        Self { fences: self.fences.clone(), values: self.values.clone() }
    }
}

impl<T> Root<T> {
    /// The place of the part that a key belongs to, or the next lower keys do.
    fn place(&self, key: &[u8], is_included: bool) -> usize {
        self.fences.count_up_to(key, is_included)
    }
}

impl<T> Part<T> {
    const fn empty() -> Self {
        Self { fences: Keys::new(), values: Vec::new() }
    }

    /// The upper values, in a part of their own. What was appended last leaves
    /// a full part behind.
    fn divide(&mut self, appended: bool) -> Self {
        let at = if appended { self.values.len() - 1 } else { self.values.len() / 2 };
        Self { fences: self.fences.split_off(at), values: self.values.split_off(at) }
    }
}

impl<T> Directory<T> {
    pub(crate) fn new() -> Self {
        let parts = vec![Arc::new(Swap::from_pointee(Part::empty()))];
        Self { root: Swap::from_pointee(Root { fences: Keys::new(), parts }) }
    }

    /// Uses the value of the highest key at or below `key`.
    pub(crate) fn at_or_below<R>(&self, key: &[u8], f: impl FnOnce(Option<&T>) -> R) -> R {
        self.highest(Some(key), true, f)
    }

    /// Uses the value of the highest key below `key`; of the highest, for `None`.
    pub(crate) fn below<R>(&self, key: Option<&[u8]>, f: impl FnOnce(Option<&T>) -> R) -> R {
        self.highest(key, false, f)
    }

    fn highest<R>(
        &self,
        key: Option<&[u8]>,
        is_included: bool,
        f: impl FnOnce(Option<&T>) -> R,
    ) -> R {
        let root = self.root.load();
        let upto = key.map_or(root.fences.len(), |key| root.place(key, is_included));
        // What was taken out of a part may have been its lowest.
        for part in root.parts.get(..=upto).unwrap_or_default().iter().rev() {
            let part = part.load();
            let count = match key {
                Some(key) => part.fences.count_up_to(key, is_included),
                None => part.values.len(),
            };
            if let Some(value) = count.checked_sub(1).and_then(|i| part.values.get(i)) {
                return f(Some(value));
            }
        }
        f(None)
    }

    /// Inserts a key that is not present.
    pub(crate) fn insert(&self, key: &[u8], value: T) {
        let root = self.root.load();
        let place = root.place(key, true);
        let Some(slot) = root.parts.get(place) else { return };
        let mut part = Part::clone(&slot.load());
        let at = part.fences.rank(key);
        part.fences.insert(at, key);
        part.values.insert(at, Arc::new(value));
        if part.values.len() > PART_MAX {
            let upper = part.divide(at + 1 == part.values.len());
            let mut root = Root::clone(&root);
            root.fences.insert(place, upper.fences.get(0));
            root.parts.insert(place + 1, Arc::new(Swap::from_pointee(upper)));
            if !is_broken("the upper half of a part does not come into the root") {
                self.root.store(Arc::new(root));
            }
        }
        slot.store(Arc::new(part));
    }

    /// Takes out a key, if it is present.
    pub(crate) fn remove(&self, key: &[u8]) {
        let root = self.root.load();
        let place = root.place(key, true);
        let Some(slot) = root.parts.get(place) else { return };
        let mut part = Part::clone(&slot.load());
        let Ok(at) = part.fences.search(key) else { return };
        part.fences.retain(|i| i != at);
        part.values.remove(at);
        if part.values.is_empty() && root.parts.len() > 1 {
            let mut root = Root::clone(&root);
            root.parts.remove(place);
            // Without the first part, the second one's fence goes.
            root.fences.retain(|i| i != place.saturating_sub(1));
            self.root.store(Arc::new(root));
        }
        slot.store(Arc::new(part));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::Bound;

    use super::*;

    #[test]
    fn directory_agrees_with_an_ordered_map() {
        let (directory, mut map) = (Directory::new(), BTreeMap::new());
        let mut state = 7_u64;
        let steps = if cfg!(miri) { 200 } else { 4_000 };
        for step in 0..steps {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = format!("{:03}", (state >> 33) % 60);
            // It grows for some time, and then shrinks, by turns.
            let grows = step / 100 % 2 == 0;
            match (map.contains_key(&key), grows) {
                (false, true) => {
                    directory.insert(key.as_bytes(), step);
                    map.insert(key.clone(), step);
                }
                (true, false) => {
                    directory.remove(key.as_bytes());
                    map.remove(&key);
                }
                _ => {}
            }
            for probe in [&key[..], "0", "5", "0301"] {
                let at = map.range::<str, _>((Bound::Unbounded, Bound::Included(probe)));
                let found = directory.at_or_below(probe.as_bytes(), |value| value.copied());
                assert_eq!(found, at.map(|(_, &v)| v).next_back(), "at or below {probe}");
                let below = map.range::<str, _>((Bound::Unbounded, Bound::Excluded(probe)));
                let found = directory.below(Some(probe.as_bytes()), |value| value.copied());
                assert_eq!(found, below.map(|(_, &v)| v).next_back(), "below {probe}");
            }
            let last = map.values().next_back().copied();
            assert_eq!(directory.below(None, |value| value.copied()), last);
        }
        for key in map.keys() {
            directory.remove(key.as_bytes());
        }
        assert_eq!(directory.root.load().parts.len(), 1, "empty parts go");
    }

    #[test]
    fn ascending_inserts_leave_full_parts_behind() {
        let directory = Directory::new();
        for n in 0..=9_u8 {
            directory.insert(&[n], n);
        }
        let lens = |root: &Root<u8>| -> Vec<_> {
            root.parts.iter().map(|part| part.load().values.len()).collect()
        };
        assert_eq!(lens(&directory.root.load()), [3, 3, 3, 1]);
    }
}
