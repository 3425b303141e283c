//! [`Fence`]: a short key that lives inside the node that holds it.

use std::borrow::Borrow;
use std::cmp::Ordering;

use bytes::Bytes;

/// The longest key that is kept inline. Fences are cut to what tells two
/// leaves apart, so most are far shorter than keys.
const INLINE: usize = 23;

/// A key of the skip list. Short ones are inline, so that a step of a search
/// is one cache miss and not two.
#[derive(Clone, Debug)]
pub(crate) enum Fence {
    Short { len: u8, bytes: [u8; INLINE] },
    Long(Bytes),
}

impl Fence {
    pub(crate) fn new(key: Bytes) -> Self {
        let mut bytes = [0; INLINE];
        match (u8::try_from(key.len()), bytes.get_mut(..key.len())) {
            (Ok(len), Some(inline)) => {
                inline.copy_from_slice(&key);
                Self::Short { len, bytes }
            }
            _ => Self::Long(key),
        }
    }

    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or(bytes),
            Self::Long(bytes) => bytes,
        }
    }
}

impl Borrow<[u8]> for Fence {
    fn borrow(&self) -> &[u8] {
        self.as_slice()
    }
}

impl Ord for Fence {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

impl PartialOrd for Fence {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Fence {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Fence {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_are_ordered_as_their_keys_whether_inline_or_not() {
        let mut keys: Vec<Bytes> = (0..60)
            .map(|n| Bytes::from(vec![b'a' + u8::try_from(n % 3).unwrap_or(0); n % 40]))
            .collect();
        let mut fences: Vec<Fence> = keys.iter().cloned().map(Fence::new).collect();
        keys.sort();
        fences.sort();
        assert!(fences.iter().zip(&keys).all(|(fence, key)| fence.as_slice() == key));
    }
}
