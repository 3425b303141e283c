//! [`PackedKeys`]: the sorted keys of one commit in one allocation.

use bytes::Bytes;

/// Bytes of an end.
const END: usize = size_of::<u32>();

/// Sorted distinct keys, packed: where each ends, then all of them. The window
/// keeps one for every commit, so it is as small as can be, and apart from the
/// buffers of the transaction, which are free for the next one.
#[derive(Debug)]
pub(super) struct PackedKeys {
    count: usize,
    /// `end u32 (native) × count · key × count`
    bytes: Box<[u8]>,
}

impl PackedKeys {
    pub(super) fn new<'a>(keys: impl ExactSizeIterator<Item = &'a Bytes> + Clone) -> Self {
        let len: usize = keys.clone().map(Bytes::len).sum();
        let count = keys.len();
        let mut bytes = Vec::with_capacity(count * END + len);
        let mut end = 0u32;
        for key in keys.clone() {
            // A transaction has at most MAX_TXN_BYTES, which fits.
            end = end.saturating_add(u32::try_from(key.len()).unwrap_or(u32::MAX));
            bytes.extend(end.to_ne_bytes());
        }
        keys.for_each(|key| bytes.extend_from_slice(key));
        Self { count, bytes: bytes.into() }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Bytes of all keys.
    pub(super) fn byte_len(&self) -> usize {
        self.bytes.len() - self.count * END
    }

    fn end(&self, i: usize) -> Option<usize> {
        let end = self.bytes.get(i * END..)?.first_chunk()?;
        usize::try_from(u32::from_ne_bytes(*end)).ok()
    }

    /// Key `i`; empty, which no key is, if there is none.
    pub(super) fn get(&self, i: usize) -> &[u8] {
        if i >= self.count {
            return &[];
        }
        let base = self.count * END;
        let begin = i.checked_sub(1).and_then(|i| self.end(i)).unwrap_or(0);
        let key = self.end(i).and_then(|end| self.bytes.get(base + begin..base + end));
        key.unwrap_or(&[])
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.count).map(|i| self.get(i))
    }

    /// How many keys are below `key`.
    pub(super) fn rank(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            if self.get(middle) < key { low = middle + 1 } else { high = middle }
        }
        low
    }

    pub(super) fn contains(&self, key: &[u8]) -> bool {
        self.get(self.rank(key)) == key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_keys_are_found_where_they_are() {
        let keys = ["a", "ab", "b", "zz\0"].map(Bytes::from);
        for count in 0..=keys.len() {
            let (present, absent) = keys.split_at(count);
            let packed = PackedKeys::new(present.iter());
            assert_eq!(packed.len(), count);
            assert_eq!(packed.byte_len(), present.iter().map(Bytes::len).sum::<usize>());
            assert!(packed.iter().eq(present.iter().map(|k| &k[..])));
            for (i, key) in present.iter().enumerate() {
                assert_eq!((packed.rank(key), packed.contains(key)), (i, true));
            }
            assert!(absent.iter().all(|key| packed.rank(key) == count && !packed.contains(key)));
            assert_eq!(packed.rank(b"aa"), count.min(1));
        }
    }
}
