//! [`KeyRange`]: a contiguous range of keys.

use std::fmt;
use std::ops::{Bound, Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

use bytes::Bytes;

use crate::MAX_KEY_LEN;

/// A contiguous range of keys, in bytewise order.
///
/// Made from any of Rust's ranges over byte strings or text, from a pair of
/// [`Bound`]s, or by [`KeyRange::prefix`]. Whatever it was made from, it is
/// kept as one inclusive start and one exclusive end (the successor of a key
/// `k` is `k` followed by a zero byte). Inverted bounds are an empty range,
/// not an error.
///
/// ```
/// use vellum_core::KeyRange;
/// assert!(KeyRange::from("a".."c").contains(b"bcd"));
/// assert!(KeyRange::from("a"..="c").contains(b"c"));
/// assert!(KeyRange::from(..).contains(b"anything"));
/// assert!(KeyRange::prefix(b"user/").contains(b"user/7"));
/// assert!(KeyRange::from("c".."a").is_empty());
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeyRange {
    start: Bytes,
    end: Option<Bytes>,
}

impl KeyRange {
    /// Every key.
    #[must_use]
    pub const fn all() -> Self {
        Self { start: Bytes::new(), end: None }
    }

    /// The keys from `start`, included, to `end`, excluded; `None` is the end
    /// of the key space.
    #[must_use]
    pub const fn new(start: Bytes, end: Option<Bytes>) -> Self {
        Self { start, end }
    }

    /// The keys that begin with `prefix`; every key, if it is empty.
    ///
    /// The end is the prefix without its trailing `0xff` bytes and with its
    /// last byte then raised by one; a prefix of nothing but `0xff` has no end.
    #[must_use]
    pub fn prefix(prefix: impl AsRef<[u8]>) -> Self {
        let prefix = prefix.as_ref();
        let end = prefix.iter().rposition(|&b| b != 0xff).and_then(|last| {
            let mut end = prefix.get(..=last)?.to_vec();
            let b = end.last_mut()?;
            *b += 1;
            Some(end.into())
        });
        Self { start: Bytes::copy_from_slice(prefix), end }
    }

    /// The range that holds this one key.
    #[must_use]
    pub fn key(key: impl AsRef<[u8]>) -> Self {
        let key = key.as_ref();
        Self { start: Bytes::copy_from_slice(key), end: Some(successor(key)) }
    }

    /// The first key of the range, included; empty from the very first.
    #[must_use]
    pub fn start(&self) -> &Bytes {
        &self.start
    }

    /// The end of the range, excluded; `None` up to the very last key.
    #[must_use]
    pub fn end(&self) -> Option<&Bytes> {
        self.end.as_ref()
    }

    /// Whether no key can lie in the range.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }

    /// Whether `key` lies in the range.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        *self.start <= *key && self.end.as_ref().is_none_or(|end| key < &**end)
    }

    /// Whether some key can lie in both ranges.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        !self.intersection(other).is_empty()
    }

    /// The keys in both ranges.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let start = if self.start >= other.start { &self.start } else { &other.start };
        let end = match (&self.end, &other.end) {
            (Some(a), Some(b)) => Some(if a <= b { a } else { b }),
            (a, b) => a.as_ref().or(b.as_ref()),
        };
        Self { start: start.clone(), end: end.cloned() }
    }

    /// The same legal keys between bounds that are no longer than a key and a byte. A
    /// bound that is longer than a key may be lies just above its own beginning, as far
    /// as legal keys go: what is between the two is longer as well.
    pub(crate) fn within_limits(self) -> Self {
        let bound = |bound: Bytes| match bound.get(..MAX_KEY_LEN) {
            Some(begin) if bound.len() > MAX_KEY_LEN => successor(begin),
            _ => bound,
        };
        Self { start: bound(self.start), end: self.end.map(bound) }
    }

    /// The range as a pair of bounds over slices, for ordered maps. An
    /// inverted range would make `BTreeMap::range` panic: check
    /// [`is_empty`](Self::is_empty) first.
    #[must_use]
    pub fn as_bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let end = self.end.as_ref().map_or(Bound::Unbounded, |end| Bound::Excluded(&end[..]));
        (Bound::Included(&self.start[..]), end)
    }
}

/// The smallest key above `key`: the key and a zero byte.
pub(crate) fn successor(key: &[u8]) -> Bytes {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next.into()
}

/// The same keys as those of all of these, in ranges that ascend and do not touch.
pub(crate) fn joined(mut ranges: Vec<KeyRange>) -> Vec<KeyRange> {
    ranges.sort_unstable_by(|a, b| a.start().cmp(b.start()));
    let mut joined: Vec<KeyRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.end().is_none_or(|end| range.start() <= end) => {
                let end = match (last.end(), range.end()) {
                    (Some(a), Some(b)) => Some(a.max(b).clone()),
                    _ => None,
                };
                *last = KeyRange::new(last.start().clone(), end);
            }
            _ => joined.push(range),
        }
    }
    joined
}

/// Which of these ranges, ascending and apart, holds a key.
pub(crate) fn range_of<'a>(ranges: &'a [KeyRange], key: &[u8]) -> Option<&'a KeyRange> {
    let after = ranges.partition_point(|range| **range.start() <= *key);
    ranges.get(after.checked_sub(1)?).filter(|range| range.contains(key))
}

/// Which of these ranges, ascending and apart, overlaps another.
pub(crate) fn overlapping<'a>(ranges: &'a [KeyRange], with: &KeyRange) -> Option<&'a KeyRange> {
    // The last that begins before it ends also ends last.
    let after = ranges.partition_point(|range| with.end().is_none_or(|end| range.start() < end));
    ranges.get(after.checked_sub(1)?).filter(|range| range.overlaps(with))
}

fn at(key: &[u8]) -> Bytes {
    Bytes::copy_from_slice(key)
}

impl From<RangeFull> for KeyRange {
    fn from(_: RangeFull) -> Self {
        Self::all()
    }
}

impl<K: AsRef<[u8]>> From<Range<K>> for KeyRange {
    fn from(r: Range<K>) -> Self {
        Self { start: at(r.start.as_ref()), end: Some(at(r.end.as_ref())) }
    }
}

impl<K: AsRef<[u8]>> From<RangeInclusive<K>> for KeyRange {
    fn from(r: RangeInclusive<K>) -> Self {
        Self { start: at(r.start().as_ref()), end: Some(successor(r.end().as_ref())) }
    }
}

impl<K: AsRef<[u8]>> From<RangeFrom<K>> for KeyRange {
    fn from(r: RangeFrom<K>) -> Self {
        Self { start: at(r.start.as_ref()), end: None }
    }
}

impl<K: AsRef<[u8]>> From<RangeTo<K>> for KeyRange {
    fn from(r: RangeTo<K>) -> Self {
        Self { start: Bytes::new(), end: Some(at(r.end.as_ref())) }
    }
}

impl<K: AsRef<[u8]>> From<RangeToInclusive<K>> for KeyRange {
    fn from(r: RangeToInclusive<K>) -> Self {
        Self { start: Bytes::new(), end: Some(successor(r.end.as_ref())) }
    }
}

impl<K: AsRef<[u8]>> From<(Bound<K>, Bound<K>)> for KeyRange {
    fn from((start, end): (Bound<K>, Bound<K>)) -> Self {
        let start = match start {
            Bound::Included(k) => at(k.as_ref()),
            Bound::Excluded(k) => successor(k.as_ref()),
            Bound::Unbounded => Bytes::new(),
        };
        let end = match end {
            Bound::Included(k) => Some(successor(k.as_ref())),
            Bound::Excluded(k) => Some(at(k.as_ref())),
            Bound::Unbounded => None,
        };
        Self { start, end }
    }
}

impl From<&Self> for KeyRange {
    fn from(r: &Self) -> Self {
        r.clone()
    }
}

impl Default for KeyRange {
    fn default() -> Self {
        Self::all()
    }
}

impl fmt::Display for KeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = Escaped(&self.start);
        match &self.end {
            None => write!(f, "[{start}, ..)"),
            Some(end) => write!(f, "[{start}, {})", Escaped(end)),
        }
    }
}

impl fmt::Debug for KeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Shows a key as text, with `\xNN` for what is not printable, cut at 64 bytes.
pub(crate) struct Escaped<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 64;
        let shown = self.0.get(..SHOWN).unwrap_or(self.0);
        write!(f, "\"{}\"", shown.escape_ascii())?;
        match self.0.len() - shown.len() {
            0 => Ok(()),
            rest => write!(f, " and {rest} bytes more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Bound::{Excluded, Included, Unbounded};

    use super::*;

    #[test]
    fn long_bounds_are_cut_and_hold_the_same_legal_keys() {
        let long = |byte: u8, len: usize| Bytes::from(vec![byte; len]);
        let keys: Vec<Bytes> = [0, 0x41, 0xff]
            .into_iter()
            .flat_map(|byte| [1, MAX_KEY_LEN - 1, MAX_KEY_LEN].map(|len| long(byte, len)))
            .collect();
        let bounds: Vec<Bytes> = [0, 0x41, 0xff]
            .into_iter()
            .flat_map(|byte| [0, 1, MAX_KEY_LEN, MAX_KEY_LEN + 1, 70_000].map(|n| long(byte, n)))
            .collect();
        for (start, end) in bounds.iter().flat_map(|a| bounds.iter().map(move |b| (a, b))) {
            for end in [None, Some(end.clone())] {
                let range = KeyRange::new(start.clone(), end);
                let cut = range.clone().within_limits();
                assert!(
                    cut.start.len().max(cut.end.as_ref().map_or(0, Bytes::len)) <= MAX_KEY_LEN + 1
                );
                assert!(keys.iter().all(|key| cut.contains(key) == range.contains(key)));
            }
        }
    }

    #[test]
    fn ranges_apart_are_found_by_key_and_by_range() {
        let ranges = ["b".."d", "f".."h", "m".."p"].map(KeyRange::from);
        let letters = || (b'a'..=b'z').map(|letter| [letter]);
        for low in letters() {
            let held = ranges.iter().find(|range| range.contains(&low));
            assert_eq!(range_of(&ranges, &low), held);
            for high in letters().map(Some).chain([None]) {
                let end = high.map(|high| Bytes::copy_from_slice(&high));
                let range = KeyRange::new(Bytes::copy_from_slice(&low), end);
                let any = ranges.iter().any(|of| of.overlaps(&range));
                let found = overlapping(&ranges, &range);
                assert_eq!(found.is_some(), any, "{range}");
                assert!(found.is_none_or(|of| of.overlaps(&range)));
            }
        }
    }

    #[test]
    fn ranges_of_every_form_hold_the_keys_that_they_say() {
        let shown = |range: KeyRange| range.to_string();
        let none = || Unbounded::<&str>;
        assert_eq!(shown((..).into()), r#"["", ..)"#);
        assert_eq!(shown(("a".."c").into()), r#"["a", "c")"#);
        assert_eq!(shown(("a"..="c").into()), r#"["a", "c\x00")"#);
        assert_eq!(shown(("a"..).into()), r#"["a", ..)"#);
        assert_eq!(shown((.."c").into()), r#"["", "c")"#);
        assert_eq!(shown((..="c").into()), r#"["", "c\x00")"#);
        assert_eq!(shown((Excluded("a"), Included("c")).into()), r#"["a\x00", "c\x00")"#);
        assert_eq!(shown((Included("a"), Excluded("c")).into()), r#"["a", "c")"#);
        assert_eq!(shown((none(), none()).into()), r#"["", ..)"#);
        assert_eq!(shown((&KeyRange::from("a"..)).into()), r#"["a", ..)"#);
        assert_eq!(KeyRange::default(), KeyRange::all());
    }
}
