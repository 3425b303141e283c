//! Where a small value stands: in one piece of memory with its reference count.
//!
//! A [`Bytes`] that came out of a `Vec` has its count apart from its bytes, so
//! that to hand it out is one cache miss and to look at it another, and it may
//! be a slice of a buffer that is far larger. A small value is copied once, by
//! the transaction that writes it, into an allocation that holds both and nothing
//! else. (By the commit, its allocations would come between those that are freed.)

use bytes::Bytes;

/// Bytes, and how many of them count.
struct Packed<const N: usize> {
    len: u8,
    bytes: [u8; N],
}

impl<const N: usize> Packed<N> {
    fn new(value: &[u8]) -> Self {
        let mut bytes = [0; N];
        if let Some(to) = bytes.get_mut(..value.len()) {
            to.copy_from_slice(value);
        }
        Self { len: u8::try_from(value.len()).unwrap_or(u8::MAX), bytes }
    }
}

impl<const N: usize> AsRef<[u8]> for Packed<N> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&self.bytes)
    }
}

/// The same value; in its own place, if it is of up to 247 bytes.
pub(crate) fn pack(value: Bytes) -> Bytes {
    // With the length and the sixteen bytes of the count, these fill what
    // allocators hand out, which is cut in steps of sixteen less eight.
    macro_rules! fit {
        ($($len:literal)*) => {
            match value.len() {
                0 => Bytes::new(),
                $(..=$len => Bytes::from_owner(Packed::<$len>::new(&value)),)*
                _ => value,
            }
        };
    }
    fit!(7 23 39 55 71 87 103 119 135 151 167 183 199 215 231 247)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_value_is_the_same_value() {
        let large: Bytes = (0..=u8::MAX).cycle().take(600).collect();
        for len in 0..=300 {
            let value = large.slice(..len);
            let packed = pack(value.clone());
            assert_eq!(packed, value);
            let is_shared = len > 0 && packed.as_ptr() == value.as_ptr();
            assert_eq!(is_shared, len > 247, "{len}");
        }
    }
}
