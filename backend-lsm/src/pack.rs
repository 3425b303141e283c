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
