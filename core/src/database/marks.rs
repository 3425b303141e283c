//! [`Marks`]: what a transaction declared as written, without writing it.

use bytes::Bytes;

use crate::KeyRange;
use crate::range::{joined, successor};

/// Declared keys and ranges.
///
/// A range of one key is a key: whoever reads for update declares one for each read, and
/// keys are looked up at a cost that does not follow how many there are.
///
/// Invariants: `keys` ascend, each once; `ranges` ascend, and no two touch.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    keys: Vec<Bytes>,
    ranges: Vec<KeyRange>,
}

impl Marks {
    pub(super) const NONE: Self = Self { keys: Vec::new(), ranges: Vec::new() };

    pub(super) fn new(declared: Vec<KeyRange>) -> Self {
        let (single, ranges): (Vec<_>, Vec<_>) = declared.into_iter().partition(is_of_one_key);
        let mut keys: Vec<_> = single.iter().map(|range| range.start().clone()).collect();
        keys.sort_unstable();
        keys.dedup();
        Self { keys, ranges: joined(ranges) }
    }

    pub(super) fn keys(&self) -> &[Bytes] {
        &self.keys
    }

    pub(super) fn ranges(&self) -> &[KeyRange] {
        &self.ranges
    }

    pub(super) fn into_ranges(self) -> Vec<KeyRange> {
        self.ranges
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len() + self.ranges.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn contains(&self, key: &[u8]) -> bool {
        let is_key = self.keys.binary_search_by(|of| (**of).cmp(key)).is_ok();
        is_key || range_of(&self.ranges, key).is_some()
    }
}

fn is_of_one_key(range: &KeyRange) -> bool {
    range.end().is_some_and(|end| end.len() == range.start().len() + 1)
        && range.end() == Some(&successor(range.start()))
}

/// Which of these ranges, ascending and apart, holds a key.
pub(super) fn range_of<'a>(ranges: &'a [KeyRange], key: &[u8]) -> Option<&'a KeyRange> {
    let after = ranges.partition_point(|range| **range.start() <= *key);
    ranges.get(after.checked_sub(1)?).filter(|range| range.contains(key))
}

/// Which of these ranges, ascending and apart, overlaps another.
pub(super) fn overlapping<'a>(ranges: &'a [KeyRange], with: &KeyRange) -> Option<&'a KeyRange> {
    // The last that begins before it ends also ends last.
    let after = ranges.partition_point(|range| with.end().is_none_or(|end| range.start() < end));
    ranges.get(after.checked_sub(1)?).filter(|range| range.overlaps(with))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_one_key_are_keys_and_others_are_joined() {
        let key = |key: &str| KeyRange::key(key);
        let declared = vec![
            key("d"),
            ("m".."p").into(),
            key("a"),
            ("o".."q").into(),
            key("d"),
            ("a".."b\0").into(),
            key(""),
        ];
        let marks = Marks::new(declared);
        assert_eq!(marks.keys(), ["", "a", "d"]);
        assert_eq!(marks.ranges(), ["a".."b\0", "m".."q"].map(KeyRange::from));
        assert!(marks.len() == 5 && !marks.is_empty() && Marks::NONE.is_empty());
        for (key, is_in) in [("a", true), ("b", true), ("b\0", false), ("d", true), ("q", false)] {
            assert_eq!(marks.contains(key.as_bytes()), is_in, "{key}");
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
}
