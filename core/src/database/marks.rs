//! [`Marks`]: what a transaction declared as written, without writing it.

use bytes::Bytes;

use crate::KeyRange;
use crate::range::{joined, range_of, successor};

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
}
