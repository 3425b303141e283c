//! Values: 100 bytes that do not compress, and that say whose they are.
//!
//! Bytes 0 to 8 are a counter, which read-modify-writes add one to; bytes 8 to
//! 16 are made from the number of the key, so that a value under the wrong key
//! is found out; the rest is random.

use crate::keys::{Rng, mix};

/// Bytes of a value.
pub const VALUE_LEN: usize = 100;

/// A value.
pub type Value = [u8; VALUE_LEN];

/// A value of key `n` with this counter.
pub fn value(n: u64, counter: u64, rng: &mut Rng) -> Value {
    let mut value = [0; VALUE_LEN];
    let words = [counter, mix(n)].into_iter().chain(std::iter::from_fn(|| Some(rng.next_u64())));
    for (bytes, word) in value.chunks_mut(8).zip(words) {
        for (byte, new) in bytes.iter_mut().zip(word.to_le_bytes()) {
            *byte = new;
        }
    }
    value
}

/// The counter of a value, if it is one of key `n`.
pub fn counter_of(value: &[u8], n: u64) -> Option<u64> {
    let tag = value.get(8..16).and_then(<[u8]>::first_chunk);
    let is_of_key = value.len() == VALUE_LEN && tag == Some(&mix(n).to_le_bytes());
    if is_of_key { counter(value) } else { None }
}

/// The counter of a value, whosever it is.
pub fn counter(value: &[u8]) -> Option<u64> {
    value.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// The value with one added to its counter, if it is one of key `n`.
pub fn incremented(value: &[u8], n: u64) -> Option<Value> {
    let counter = counter_of(value, n)?;
    let mut new: Value = value.try_into().ok()?;
    if let Some(bytes) = new.first_chunk_mut() {
        *bytes = counter.wrapping_add(1).to_le_bytes();
    }
    Some(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_says_whose_it_is() {
        let value = value(7, 41, &mut Rng::new(1));
        assert_eq!(counter_of(&value, 7), Some(41));
        assert_eq!(counter_of(&value, 8), None, "another key's");
        assert_eq!(counter_of(&value[..99], 7), None, "cut short");
        let next = incremented(&value, 7);
        assert_eq!(next.and_then(|next| counter_of(&next, 7)), Some(42));
    }
}
