//! [`Queued`]: a lock whose most frequent user comes last.

use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::sync::{Mutex, MutexGuard, yield_now};

/// A lock that one thread takes again and again, when nobody else wants it.
#[derive(Debug, Default)]
pub(crate) struct Queued<T> {
    lock: Mutex<T>,
    /// How often a thread had to wait in `lock`, and how often one has had it then.
    asked: AtomicU64,
    served: AtomicU64,
}

impl<T> Queued<T> {
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.lock.try_lock().unwrap_or_else(|| {
            self.asked.fetch_add(1, Relaxed);
            let guard = self.lock.lock();
            self.served.fetch_add(1, Relaxed);
            guard
        })
    }

    /// The same for a thread that has just let go of it: once as many as wait now have
    /// had their turn, though not all who come meanwhile. Locks are not fair, and it
    /// would have it again before one that sleeps has woken up.
    pub(crate) fn lock_last(&self) -> MutexGuard<'_, T> {
        let asked = self.asked.load(Relaxed);
        while self.served.load(Relaxed) < asked {
            yield_now();
        }
        self.lock.lock()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_a_queued_lock_has_it_before_the_one_who_just_had_it() {
        // Many times: by luck it has it first with any lock.
        for round in 0..100 {
            let queued = Queued::<Vec<&str>>::default();
            std::thread::scope(|scope| {
                let first = queued.lock();
                scope.spawn(|| queued.lock().push("who waits"));
                while queued.asked.load(Relaxed) == 0 {
                    yield_now();
                }
                drop(first);
                queued.lock_last().push("who had it");
            });
            assert_eq!(*queued.lock(), ["who waits", "who had it"], "round {round}");
        }
    }
}
