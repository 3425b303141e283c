//! The synchronisation primitives of the engine, in one place, so that the
//! same code runs over `std` and, with `--cfg loom`, under the loom model
//! checker. Locks ignore poisoning: the engine has its own.

use std::time::Duration;

#[cfg(not(loom))]
use std::sync::{self, RwLockReadGuard, RwLockWriteGuard};
#[cfg(not(loom))]
pub(crate) use std::sync::{MutexGuard, atomic};
#[cfg(not(loom))]
pub(crate) use std::thread::{Thread, ThreadId, current, park};

#[cfg(loom)]
use loom::sync::{self, RwLockReadGuard, RwLockWriteGuard};
#[cfg(loom)]
pub(crate) use loom::sync::{MutexGuard, atomic};
#[cfg(loom)]
pub(crate) use loom::thread::{Thread, ThreadId, current, park};

use std::sync::PoisonError;

/// Gives the processor to another thread.
pub(crate) fn yield_now() {
    #[cfg(not(loom))]
    std::thread::yield_now();
    #[cfg(loom)]
    loom::thread::yield_now();
}

/// Whether the model that runs asks for this mistake, to show that it would be
/// caught; never, outside models.
#[cfg(not(loom))]
pub(crate) const fn is_broken(_: &str) -> bool {
    false
}

#[cfg(loom)]
pub(crate) use crate::model::is_broken;

/// A mutual exclusion lock.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    pub(crate) fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A readers-writer lock.
#[derive(Debug, Default)]
pub(crate) struct RwLock<T>(sync::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(sync::RwLock::new(value))
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A condition to wait for.
#[derive(Debug, Default)]
pub(crate) struct Condvar(sync::Condvar);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self(sync::Condvar::new())
    }

    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> MutexGuard<'a, T> {
        match self.0.wait_timeout(guard, timeout) {
            Ok((guard, _)) => guard,
            Err(poisoned) => poisoned.into_inner().0,
        }
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// A place where sequentially consistent accesses before and after it are in
/// one order with those of other threads. They are so by themselves; loom takes
/// them for acquiring and releasing ones, and must be told with a fence.
#[inline]
pub(crate) fn in_one_order() {
    #[cfg(loom)]
    atomic::fence(atomic::Ordering::SeqCst);
}

/// The calling thread's number: threads take turns to be numbered.
#[cfg(not(loom))]
#[inline]
pub(crate) fn thread_number() -> usize {
    use std::cell::Cell;
    // One above it; zero before there is one.
    thread_local!(static NUMBER: Cell<usize> = const { Cell::new(0) });
    NUMBER.with(|number| match number.get() {
        0 => {
            number.set(next_thread_number().wrapping_add(1));
            number.get().wrapping_sub(1)
        }
        n => n - 1,
    })
}

#[cfg(not(loom))]
#[cold]
fn next_thread_number() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The calling thread's number: threads take turns to be numbered.
#[cfg(loom)]
pub(crate) fn thread_number() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    loom::lazy_static!(static ref NEXT: AtomicUsize = AtomicUsize::new(0););
    loom::thread_local!(static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed));
    NUMBER.with(|number| *number)
}

/// For how many threads it pays to keep things apart: twice as many as run at
/// once, a power of two.
#[cfg(not(loom))]
pub(crate) fn threads_expected() -> usize {
    use std::sync::OnceLock;
    static EXPECTED: OnceLock<usize> = OnceLock::new();
    *EXPECTED.get_or_init(|| {
        let cores = std::thread::available_parallelism().map_or(8, usize::from);
        (2 * cores).next_power_of_two().clamp(8, 256)
    })
}

/// So few that threads of a model meet.
#[cfg(loom)]
pub(crate) fn threads_expected() -> usize {
    2
}
