//! The synchronisation primitives of the store, in one place, so that the same
//! code runs over `std` and, with `--cfg loom`, under the loom model checker.
//!
//! Locks ignore poisoning: nothing here panics while it holds one, and a panic
//! in a caller's thread must not take the database with it.

use std::sync::{PoisonError, TryLockError};

#[cfg(not(loom))]
pub(crate) use std::sync::atomic;
#[cfg(not(loom))]
use std::sync::{self, MutexGuard, RwLockReadGuard, RwLockWriteGuard};
#[cfg(not(loom))]
pub(crate) use std::thread::yield_now;

#[cfg(loom)]
pub(crate) use loom::sync::atomic;
#[cfg(loom)]
use loom::sync::{self, MutexGuard, RwLockReadGuard, RwLockWriteGuard};
#[cfg(loom)]
pub(crate) use loom::thread::yield_now;

use atomic::{AtomicU32, Ordering::Relaxed};

/// Whether the model that runs asks for this mistake, to show that it would be
/// caught; never, outside models.
#[cfg(not(loom))]
pub(crate) const fn is_broken(_: &str) -> bool {
    false
}

#[cfg(loom)]
pub(crate) use vellum_core::model::is_broken;

/// Between two looks at what another thread is about to finish.
pub(crate) fn look_again() {
    #[cfg(not(loom))]
    std::hint::spin_loop();
    #[cfg(loom)]
    yield_now();
}

/// A shared value that is replaced as a whole.
#[cfg(not(loom))]
pub(crate) type Swap<T> = arc_swap::ArcSwap<T>;

/// The same over a lock, which loom knows.
#[cfg(loom)]
pub(crate) struct Swap<T>(Mutex<std::sync::Arc<T>>);

#[cfg(loom)]
impl<T> Swap<T> {
    pub(crate) fn from_pointee(value: T) -> Self {
        Self(Mutex(sync::Mutex::new(std::sync::Arc::new(value))))
    }

    pub(crate) fn load(&self) -> std::sync::Arc<T> {
        self.0.lock().clone()
    }

    pub(crate) fn store(&self, value: std::sync::Arc<T>) {
        *self.0.lock() = value;
    }
}

/// A mutual exclusion lock.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lock that one thread takes again and again, when nobody else wants it.
#[derive(Debug, Default)]
pub(crate) struct Queued<T> {
    lock: sync::Mutex<T>,
    /// Threads that wait in `lock`.
    waiting: AtomicU32,
}

impl<T> Queued<T> {
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        match self.lock.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                self.waiting.fetch_add(1, Relaxed);
                let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
                self.waiting.fetch_sub(1, Relaxed);
                guard
            }
        }
    }

    /// The same for a thread that has just let go of it: once all who wait have had
    /// their turn. Locks are not fair, and it would have it again before one that
    /// sleeps has woken up.
    pub(crate) fn lock_last(&self) -> MutexGuard<'_, T> {
        while self.waiting.load(Relaxed) > 0 {
            yield_now();
        }
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_a_queued_lock_has_it_before_the_one_who_just_had_it() {
        let queued = Queued::<Vec<&str>>::default();
        std::thread::scope(|scope| {
            let first = queued.lock();
            scope.spawn(|| queued.lock().push("who waits"));
            while queued.waiting.load(Relaxed) == 0 {
                yield_now();
            }
            drop(first);
            queued.lock_last().push("who had it");
        });
        assert_eq!(*queued.lock(), ["who waits", "who had it"]);
    }
}
