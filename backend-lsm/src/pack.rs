//! Keys and values of a group, side by side in few buffers.
//!
//! A memtable keeps what it is given, and its end is the end of as many buffers:
//! with one for each key and one for each value, freeing them takes longer than
//! writing the table, and with glibc's allocator it holds up every thread for a
//! tenth of a second. A buffer is given back when the last part of it goes, so
//! what goes into one should come and go together: one pack for each keyspace.

use bytes::{Bytes, BytesMut};

/// The most bytes in a buffer that holds several parts: so much a reader may keep
/// that holds on to a small value.
const BUFFER_MAX: usize = 8 << 10;

/// Cuts parts out of buffers.
#[derive(Debug)]
pub(crate) struct Pack {
    free: BytesMut,
    /// Bytes to come, as far as it is known.
    expected: usize,
}

impl Pack {
    pub(crate) fn new(expected: usize) -> Self {
        Self { free: BytesMut::new(), expected }
    }

    /// The parts, one after the other.
    pub(crate) fn add(&mut self, parts: &[&[u8]]) -> Bytes {
        let len = parts.iter().map(|part| part.len()).sum();
        if self.free.capacity() < len {
            self.free = BytesMut::with_capacity(self.expected.min(BUFFER_MAX).max(len));
        }
        self.expected = self.expected.saturating_sub(len);
        parts.iter().for_each(|part| self.free.extend_from_slice(part));
        self.free.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many parts stand right behind the one before.
    fn side_by_side(parts: &[Bytes]) -> usize {
        let ends_at = |part: &Bytes| part.as_ptr() as usize + part.len();
        parts
            .windows(2)
            .filter(|two| matches!(two, [a, b] if ends_at(a) == b.as_ptr() as usize))
            .count()
    }

    #[test]
    fn parts_stand_side_by_side_in_buffers_that_end_at_their_limit() {
        // As many as expected, more than that, and more than fit into a buffer.
        for (expected, len, count, buffers) in
            [(1000, 100, 10, 1), (100, 100, 3, 3), (100_000, 1000, 100, 13), (0, 20_000, 3, 3)]
        {
            let mut pack = Pack::new(expected);
            let of = |i: usize| vec![u8::try_from(i).unwrap_or(0); len - 8];
            let parts: Vec<Bytes> =
                (0..count).map(|i: usize| pack.add(&[&i.to_be_bytes(), &of(i)])).collect();
            for (i, part) in parts.iter().enumerate() {
                assert_eq!(part[..], [&i.to_be_bytes()[..], &of(i)].concat(), "part {i}");
            }
            // Every allocator puts something between two buffers.
            assert_eq!(count - side_by_side(&parts), buffers, "{expected} {len}");
        }
    }
}
