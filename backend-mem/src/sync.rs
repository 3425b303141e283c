//! The synchronisation primitives of the store, in one place, so that the same
//! code runs over `std` and, with `--cfg loom`, under the loom model checker.
//!
//! Locks ignore poisoning: nothing here panics while it holds one, and a panic
//! in a caller's thread must not take the database with it.

use std::sync::{PoisonError, TryLockError};

#[cfg(not(loom))]
pub(crate) use std::sync::MutexGuard;
#[cfg(not(loom))]
pub(crate) use std::sync::atomic;
#[cfg(not(loom))]
use std::sync::{self, RwLockReadGuard, RwLockWriteGuard};
#[cfg(not(loom))]
pub(crate) use std::thread::yield_now;

#[cfg(loom)]
pub(crate) use loom::sync::MutexGuard;
#[cfg(loom)]
pub(crate) use loom::sync::atomic;
#[cfg(loom)]
use loom::sync::{self, RwLockReadGuard, RwLockWriteGuard};
#[cfg(loom)]
pub(crate) use loom::thread::yield_now;

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

    /// The same, unless somebody holds it.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
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
