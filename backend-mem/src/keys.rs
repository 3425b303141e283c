//! [`Keys`]: a few dozen sorted keys, packed end to end in one buffer.

use std::cmp::Ordering;

use bytes::{Bytes, BytesMut};

/// Sorted distinct keys in one buffer: a key costs eight bytes beside its own,
/// four if all have the same length, and handing one out shares the buffer
/// instead of copying. The buffer is changed in place only while nobody else has
/// a part of it: keys that were handed out may still look into it.
///
/// A search counts heads: the next four bytes of each key, after what all of
/// them begin with, as a number. They are few cache lines, read side by side,
/// and most searches then compare one whole key, or none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys {
    bytes: Bytes,
    /// The head of each key.
    heads: Vec<u32>,
    /// The length of what all keys begin with.
    common: usize,
    /// What that is, if it is so short: a search for what is not there mostly
    /// needs no line of the buffer then.
    beginning: [u8; BEGINNING],
    /// The length of every key, if they all have the same; else 0.
    stride: usize,
    /// Where each key ends, if they have not; it begins where the one before
    /// ends.
    ends: Vec<u32>,
}

/// Vectors of a leaf grow by this many elements, not by doubling: there are so
/// many leaves that the slack would show.
pub(crate) const GROWTH: usize = 32;

/// Bytes of a common beginning that stand beside the heads.
const BEGINNING: usize = 24;

/// Up to so many heads are counted; of more, the place is halved.
const COUNTED: usize = if cfg!(test) { 8 } else { 256 };

impl Keys {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: Bytes::new(),
            heads: Vec::new(),
            common: 0,
            beginning: [0; BEGINNING],
            stride: 0,
            ends: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.heads.len()
    }

    /// Bytes of all keys.
    pub(crate) fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Where key `i` begins, which is where key `i - 1` ends.
    fn begin(&self, i: usize) -> usize {
        if self.stride > 0 {
            return i * self.stride;
        }
        i.checked_sub(1).and_then(|i| self.ends.get(i)).map_or(0, |&end| end as usize)
    }

    /// Key `i`; empty, which no key is, if there is none.
    pub(crate) fn get(&self, i: usize) -> &[u8] {
        self.bytes.get(self.begin(i)..self.begin(i + 1)).unwrap_or_default()
    }

    /// What all keys begin with.
    fn beginning(&self) -> &[u8] {
        let beginning = self.beginning.get(..self.common);
        beginning.or_else(|| self.get(0).get(..self.common)).unwrap_or_default()
    }

    /// Key `i`, sharing the buffer.
    pub(crate) fn share(&self, i: usize) -> Bytes {
        let place = self.begin(i)..self.begin(i + 1);
        let is_there = place.start <= place.end && place.end <= self.bytes.len();
        if is_there { self.bytes.slice(place) } else { Bytes::new() }
    }

    /// The place of `key`, or the place where it would be.
    pub(crate) fn search(&self, key: &[u8]) -> Result<usize, usize> {
        let (begin, rest) = key.split_at_checked(self.common).unwrap_or((key, &[]));
        let head = head(rest);
        let below = match self.len() {
            ..=COUNTED => self.heads.iter().map(|&h| u32::from(h < head)).sum::<u32>() as usize,
            _ => self.heads.partition_point(|&h| h < head),
        };
        let same = self.heads.iter().skip(below).take_while(|&&h| h == head).count();
        // Mostly this is it. A key with another beginning is not equal.
        if same > 0 && self.get(below) == key {
            return Ok(below);
        }
        match begin.cmp(self.beginning()) {
            Ordering::Less => return Err(0),
            Ordering::Greater => return Err(self.len()),
            Ordering::Equal => {}
        }
        let mut low = below;
        let mut high = below + same;
        while low < high {
            let middle = low.midpoint(high);
            match self.get(middle).cmp(key) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Ok(middle),
                Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// How many keys are below `key`.
    pub(crate) fn rank(&self, key: &[u8]) -> usize {
        self.search(key).unwrap_or_else(|i| i)
    }

    /// How many keys are below `key`, or at it.
    pub(crate) fn count_up_to(&self, key: &[u8], is_included: bool) -> usize {
        match self.search(key) {
            Ok(i) => i + usize::from(is_included),
            Err(i) => i,
        }
    }

    /// Inserts `key` as key `i`.
    pub(crate) fn insert(&mut self, i: usize, key: &[u8]) {
        let i = i.min(self.len());
        let begin = self.begin(i);
        let (len, at) = (end(key.len()), end(begin + key.len()));
        let bytes = std::mem::take(&mut self.bytes).try_into_mut();
        let mut bytes = bytes.unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        bytes.extend_from_slice(key);
        if let Some(from_here) = bytes.get_mut(begin..) {
            from_here.rotate_right(key.len());
        }
        if self.heads.len() == self.heads.capacity() {
            self.heads.reserve_exact(GROWTH);
        }
        if self.len() == 0 {
            self.stride = key.len();
        } else if self.stride > 0 && self.stride != key.len() {
            self.ends = (1..=self.len()).map(|n| end(n * self.stride)).collect();
            self.stride = 0;
        }
        if self.stride == 0 {
            self.ends.insert(i, at);
            self.ends.iter_mut().skip(i + 1).for_each(|end| *end += len);
        }
        self.bytes = bytes.freeze();
        self.heads.insert(i, head(key.get(self.common..).unwrap_or_default()));
        // Between two others, it begins as they do.
        if i == 0 || i + 1 == self.len() {
            self.find_heads();
        }
    }

    /// Finds what all keys begin with, and the heads, if that has changed.
    fn find_heads(&mut self) {
        let common = common(self.get(0), self.get(self.len().saturating_sub(1)));
        if self.common != common {
            let heads =
                (0..self.len()).map(|i| head(self.get(i).get(common..).unwrap_or_default()));
            self.heads = heads.collect();
            self.common = common;
            let (to, from) = (self.beginning.get_mut(..common), self.bytes.get(..common));
            if let (Some(to), Some(from)) = (to, from) {
                to.copy_from_slice(from);
            }
        }
    }

    /// Keeps the keys that `keep` says true for, by their places.
    pub(crate) fn retain(&mut self, keep: impl Fn(usize) -> bool) {
        *self = Self::collect((0..self.len()).filter(|&i| keep(i)).map(|i| self.get(i)));
    }

    /// Takes the keys from place `i` on.
    pub(crate) fn split_off(&mut self, i: usize) -> Self {
        let right = Self::collect((i..self.len()).map(|i| self.get(i)));
        self.retain(|j| j < i);
        right
    }

    /// Adds the keys of `other`, which are all higher.
    pub(crate) fn append(&mut self, other: &Self) {
        let [left, right] = [&*self, other].map(|keys| (0..keys.len()).map(|i| keys.get(i)));
        *self = Self::collect(left.chain(right));
    }

    fn collect<'a>(sorted: impl Iterator<Item = &'a [u8]> + Clone) -> Self {
        let lens = || sorted.clone().map(<[u8]>::len);
        let first = lens().next().unwrap_or_default();
        let mut keys = Self::default();
        if lens().all(|len| len == first) {
            keys.stride = first;
        } else {
            let mut at = 0;
            keys.ends.reserve_exact(lens().count());
            keys.ends.extend(lens().map(|len| {
                at += len;
                end(at)
            }));
        }
        let mut bytes = Vec::with_capacity(lens().sum());
        sorted.clone().for_each(|key| bytes.extend_from_slice(key));
        keys.bytes = bytes.into();
        keys.heads.reserve_exact(lens().count());
        keys.heads.extend(sorted.map(head));
        keys.find_heads();
        keys
    }
}

/// The first four bytes as a number, with zeros for those that are missing:
/// of two keys, the lower one has the lower head, or they have the same.
fn head(key: &[u8]) -> u32 {
    match key.first_chunk() {
        Some(&head) => u32::from_be_bytes(head),
        None => {
            let mut head = [0; 4];
            head.iter_mut().zip(key).for_each(|(head, &byte)| *head = byte);
            u32::from_be_bytes(head)
        }
    }
}

/// How many bytes two keys have in common at their beginning.
fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// A length within a buffer: a leaf holds far less than 4 GiB of keys, since
/// it is split at a few KiB and a key is at most `MAX_KEY_LEN`.
fn end(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// The shortest key that is above `left` and at or below `right`, for
/// `left < right`: what `right` has in common with `left` and one byte more.
pub(crate) fn separator(left: &[u8], right: &[u8]) -> Bytes {
    Bytes::copy_from_slice(right.get(..=common(left, right)).unwrap_or(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(keys: &Keys) -> Vec<&[u8]> {
        (0..keys.len()).map(|i| keys.get(i)).collect()
    }

    #[test]
    fn keys_are_found_where_they_were_inserted() {
        let mut keys = Keys::default();
        for key in ["m", "c", "zz", "cc", "a"] {
            let at = keys.search(key.as_bytes()).err();
            keys.insert(at.unwrap_or_default(), key.as_bytes());
        }
        assert_eq!(all(&keys), [&b"a"[..], b"c", b"cc", b"m", b"zz"]);
        assert_eq!(keys.search(b"cc"), Ok(2));
        assert_eq!(keys.search(b"cb"), Err(2));
        assert_eq!(keys.share(4), "zz");
        let shared = keys.share(1);
        let right = keys.split_off(3);
        assert_eq!(all(&right), [&b"m"[..], b"zz"]);
        keys.retain(|i| i != 1);
        keys.append(&right);
        assert_eq!(all(&keys), [&b"a"[..], b"cc", b"m", b"zz"]);
        assert_eq!(shared, "c", "a key that was handed out does not change");
        assert_eq!(keys.byte_len(), 6);
    }

    #[test]
    fn key_that_was_handed_out_stays_beside_inserts_and_those_are_right_without_it() {
        let mut keys = Keys::default();
        let mut handed_out = Vec::new();
        for (n, key) in ["m", "c", "x", "a", "d", "z"].into_iter().enumerate() {
            let at = keys.rank(key.as_bytes());
            keys.insert(at, key.as_bytes());
            // By turns, the buffer is shared and not.
            if n % 2 == 0 {
                handed_out.push((keys.share(at), key));
            } else {
                handed_out.clear();
            }
            assert!(handed_out.iter().all(|(shared, key)| shared == key), "after {key}");
        }
        assert_eq!(all(&keys), [&b"a"[..], b"c", b"d", b"m", b"x", b"z"]);
    }

    #[test]
    fn search_agrees_with_a_sorted_list() {
        // Keys with long common beginnings, zeros, and equal heads.
        let parts = ["", "a", "ab\0", "ab\0\0", "abcdef", "abcdeg", "abcdefgh", "b", "\u{7f}"];
        let long = "a beginning that is longer than what stands beside the heads";
        for prefix in ["", "p", "prefix-of-all-", "\0\0\0\0\0", long] {
            let mut sorted: Vec<Vec<u8>> = Vec::new();
            let mut keys = Keys::default();
            for n in 0..parts.len() * if cfg!(miri) { 2 } else { parts.len() } {
                let (a, b) = (parts.get(n * 7 % 9), parts.get(n * 5 / 9 % 9));
                let key = [prefix, a.unwrap_or(&""), b.unwrap_or(&"")].concat().into_bytes();
                for probe in [&key[..], &[&key[..], b"\0"].concat(), b"", b"pre", b"a b", b"zz"] {
                    let expected = sorted.binary_search_by(|k| k[..].cmp(probe));
                    assert_eq!(keys.search(probe), expected, "{probe:?} in {sorted:?}");
                }
                if let (false, Err(at)) = (key.is_empty(), keys.search(&key)) {
                    keys.insert(at, &key);
                    sorted.insert(at, key);
                }
            }
            assert_eq!(all(&keys), sorted.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
    }

    #[test]
    fn separator_lies_above_the_left_key_and_not_above_the_right_one() {
        for (left, right, expected) in
            [("abc", "abd", "abd"), ("a", "b", "b"), ("a", "abcdef", "ab"), ("abc", "b", "b")]
        {
            assert_eq!(separator(left.as_bytes(), right.as_bytes()), expected);
        }
    }
}
