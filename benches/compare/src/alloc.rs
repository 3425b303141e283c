//! The system's allocator, which counts the bytes that are in use if asked to.
//!
//! Only the processes that measure space ask: counting is a shared write for
//! each allocation, which those that measure time must not pay.
#![expect(unsafe_code, reason = "an allocator is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

static IS_COUNTING: AtomicBool = AtomicBool::new(false);
static BYTES: AtomicI64 = AtomicI64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Counting;

/// Counts from here on.
pub fn count() {
    IS_COUNTING.store(true, Relaxed);
}

/// How many more bytes were asked for than were given back since [`count`].
pub fn in_use() -> i64 {
    BYTES.load(Relaxed)
}

fn add(bytes: usize, sign: i64) {
    if IS_COUNTING.load(Relaxed) {
        BYTES.fetch_add(i64::try_from(bytes).unwrap_or(i64::MAX).wrapping_mul(sign), Relaxed);
    }
}

// SAFETY: everything is passed on to the system's allocator as it came; the
// counter touches no memory but itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size(), 1);
        // SAFETY: the caller's promise is the one that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size(), 1);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        add(layout.size(), -1);
        // SAFETY: as above; `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        add(layout.size(), -1);
        add(size, 1);
        // SAFETY: as above; `pointer` came from `System`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
