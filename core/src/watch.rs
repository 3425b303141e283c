//! Watching ranges: [`Watcher`] for users, [`WatchHub`] for backends.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::sync::atomic::{AtomicUsize, Ordering, fence};
use crate::sync::{Condvar, Mutex};
use crate::{Error, KeyRange, Result, Timestamp};

/// Is woken after every commit that writes a key in its range.
///
/// Wake-ups between two calls run together into one that carries the newest
/// timestamp: a watcher says *that* something changed and up to where, and
/// [`changes`](crate::Connection::changes) or a read says *what*. What it
/// reports is already visible.
#[derive(Debug)]
pub struct Watcher {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    range: KeyRange,
    state: Mutex<State>,
    woken: Condvar,
}

#[derive(Debug, Default)]
struct State {
    newest: Option<Timestamp>,
    closed: bool,
}

impl Watcher {
    /// The range that is watched.
    #[must_use]
    pub fn range(&self) -> &KeyRange {
        &self.shared.range
    }

    /// Waits for a commit that touches the range and returns the timestamp of
    /// the newest one.
    ///
    /// # Errors
    /// `Closed` once the connection is closed and every wake-up was taken.
    pub fn wait(&self) -> Result<Timestamp> {
        let mut state = self.shared.state.lock();
        loop {
            if let Some(ts) = state.take()? {
                return Ok(ts);
            }
            state = self.shared.woken.wait(state);
        }
    }

    /// As [`wait`](Self::wait), but gives up after `timeout` with `None`.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Option<Timestamp>> {
        let begun = Instant::now();
        let mut state = self.shared.state.lock();
        loop {
            if let Some(ts) = state.take()? {
                return Ok(Some(ts));
            }
            let Some(left) = timeout.checked_sub(begun.elapsed()).filter(|d| !d.is_zero()) else {
                return Ok(None);
            };
            state = self.shared.woken.wait_timeout(state, left);
        }
    }

    /// As [`wait`](Self::wait), but without waiting.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn poll(&self) -> Result<Option<Timestamp>> {
        self.shared.state.lock().take()
    }
}

impl State {
    fn take(&mut self) -> Result<Option<Timestamp>> {
        match self.newest.take() {
            None if self.closed => Err(Error::closed()),
            newest => Ok(newest),
        }
    }
}

/// The watchers of one database: the half that a backend holds.
#[derive(Debug, Default)]
pub struct WatchHub {
    watchers: Mutex<Vec<Weak<Shared>>>,
    /// How many there are, so that a commit with none to wake takes no lock.
    count: AtomicUsize,
}

impl WatchHub {
    /// A hub without watchers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A new watcher on `range`. It stays in the hub until it is dropped.
    #[must_use]
    pub fn watch(&self, range: KeyRange) -> Watcher {
        let shared = Arc::new(Shared { range, state: Mutex::default(), woken: Condvar::new() });
        let mut watchers = self.watchers.lock();
        watchers.retain(|w| w.strong_count() > 0);
        watchers.push(Arc::downgrade(&shared));
        self.count.store(watchers.len(), Ordering::SeqCst);
        // The caller looks at the head next: a commit that it does not see
        // there will find this watcher.
        fence(Ordering::SeqCst);
        Watcher { shared }
    }

    /// Whether nobody watches, so that there is no need to call
    /// [`notify`](Self::notify). Ask after the commit became visible, with a
    /// sequentially consistent fence between.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::SeqCst) == 0
    }

    /// Wakes the watchers whose range the commit at `ts` touched. Call it
    /// after the commit became visible.
    pub fn notify(&self, ts: Timestamp, touches: impl Fn(&KeyRange) -> bool) {
        let mut watchers = self.watchers.lock();
        watchers.retain(|w| {
            let Some(shared) = w.upgrade() else { return false };
            if touches(&shared.range) {
                let mut state = shared.state.lock();
                state.newest = state.newest.max(Some(ts));
                shared.woken.notify_all();
            }
            true
        });
        self.count.store(watchers.len(), Ordering::SeqCst);
    }

    /// Wakes every watcher with `Closed`, once it has taken what it was still
    /// to be told.
    pub fn close(&self) {
        for shared in self.watchers.lock().drain(..).filter_map(|w| w.upgrade()) {
            shared.state.lock().closed = true;
            shared.woken.notify_all();
        }
        self.count.store(0, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn watcher_that_waits_is_woken_by_what_comes_then() {
        let hub = WatchHub::new();
        let watcher = hub.watch(KeyRange::all());
        std::thread::scope(|scope| {
            let woken = scope.spawn(|| watcher.wait());
            std::thread::sleep(Duration::from_millis(if cfg!(miri) { 1 } else { 20 }));
            hub.notify(Timestamp::new(7), |_| true);
            assert!(matches!(woken.join(), Ok(Ok(ts)) if ts == Timestamp::new(7)));
        });
    }

    #[test]
    fn watcher_hears_its_range_once_and_with_the_newest_timestamp() -> Result<()> {
        let hub = WatchHub::new();
        let watcher = hub.watch(KeyRange::from("a".."c"));
        for (ts, key) in [(1, b"b"), (2, b"a"), (3, b"x")] {
            hub.notify(Timestamp::new(ts), |range| range.contains(key));
        }
        assert_eq!(watcher.poll()?, Some(Timestamp::new(2)));
        assert_eq!(watcher.wait_timeout(Duration::from_millis(1))?, None);
        hub.close();
        assert_eq!(watcher.wait().map_err(|e| e.kind()), Err(ErrorKind::Closed));
        Ok(())
    }

    #[test]
    fn dropped_watcher_leaves_the_hub() {
        let hub = WatchHub::new();
        drop(hub.watch(KeyRange::all()));
        hub.notify(Timestamp::new(1), |_| true);
        assert!(hub.is_empty());
        // Without a commit too, when the next one comes.
        for _ in 0..10 {
            drop(hub.watch(KeyRange::all()));
        }
        assert_eq!(hub.watchers.lock().len(), 1);
    }
}
