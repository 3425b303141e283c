//! Pruning, by hand and in the background.

use std::sync::{Arc, Weak};
use std::thread;

use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex};
use crate::{
    Durability, Error, ErrorKind, History, PruneReport, Pruning, Result, Store, Timestamp,
};

use super::Inner;
use super::pipeline::Proposal;
use super::versions::history_entry;

/// A background prune runs after this many keys were written, or a version was
/// deleted.
#[cfg(not(test))]
const WRITES_BETWEEN_PRUNES: usize = 1 << 17;
/// Few, so that tests get there.
#[cfg(test)]
const WRITES_BETWEEN_PRUNES: usize = 64;

/// When to prune, and who is at it.
#[derive(Debug)]
pub(super) struct Maintenance {
    /// Held while a prune runs: one at a time, and none while closing.
    pruning: Mutex<()>,
    writes: AtomicUsize,
    stopping: AtomicBool,
    signal: Arc<Signal>,
}

/// What the background thread sleeps on, without holding the database.
#[derive(Debug, Default)]
struct Signal {
    due: Mutex<Due>,
    changed: Condvar,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Due {
    #[default]
    Nothing,
    Prune,
    Stop,
}

impl Maintenance {
    pub(super) fn new() -> Self {
        Self {
            pruning: Mutex::new(()),
            writes: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            signal: Arc::new(Signal::default()),
        }
    }

    /// So many keys were written. Called by the leader alone.
    pub(super) fn note_writes(&self, keys: usize) {
        let writes = self.writes.load(Ordering::Relaxed) + keys;
        let due = writes >= WRITES_BETWEEN_PRUNES;
        self.writes.store(if due { 0 } else { writes }, Ordering::Relaxed);
        if due {
            self.ask();
        }
    }

    /// Asks the background thread, if there is one, to prune.
    pub(super) fn ask(&self) {
        self.signal.set(Due::Prune);
    }

    /// Ends the background thread, and waits for a prune that runs.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.signal.set(Due::Stop);
        drop(self.pruning.lock());
    }
}

impl Signal {
    fn set(&self, due: Due) {
        let mut current = self.due.lock();
        if *current != Due::Stop {
            *current = due;
            self.changed.notify_all();
        }
    }

    /// Sleeps until there is something to do; `false` to stop.
    fn wait(&self) -> bool {
        let mut due = self.due.lock();
        while *due == Due::Nothing {
            due = self.changed.wait(due);
        }
        let go = *due == Due::Prune;
        if go {
            *due = Due::Nothing;
        }
        go
    }
}

impl Drop for Maintenance {
    fn drop(&mut self) {
        self.signal.set(Due::Stop);
    }
}

/// Starts the background thread, if the options ask for one. It ends when the
/// database is closed or dropped.
pub(super) fn spawn<S: Store>(inner: &Arc<Inner<S>>) -> Result<()> {
    if inner.options.pruning == Pruning::Manual {
        return Ok(());
    }
    let weak = Arc::downgrade(inner);
    let signal = inner.maintenance.signal.clone();
    let thread = thread::Builder::new().name("vellum-prune".into());
    match thread.spawn(move || prune_when_due(&weak, &signal)) {
        Ok(_) => Ok(()),
        Err(e) => {
            let message = "the pruning thread could not be started";
            Err(Error::new(ErrorKind::Io, message).caused_by(e))
        }
    }
}

fn prune_when_due<S: Store>(database: &Weak<Inner<S>>, signal: &Signal) {
    while signal.wait() {
        let Some(inner) = database.upgrade() else { return };
        // What fails here fails again, and is told, when somebody calls
        // `prune`; nothing depends on it but space.
        let _ = inner.prune();
    }
}

impl<S: Store> Inner<S> {
    pub(super) fn prune(&self) -> Result<PruneReport> {
        let _pruning = self.maintenance.pruning.lock();
        if self.maintenance.stopping.load(Ordering::SeqCst) {
            return Err(Error::closed());
        }
        self.pipeline.lock().check()?;
        self.move_history()?;
        self.store.prune(&self.retention())
    }

    /// Moves up what history is promised, as far as the options allow, and
    /// makes that known to the next open, before anything is removed.
    fn move_history(&self) -> Result<()> {
        let History::Commits(keep) = self.options.history else { return Ok(()) };
        let head = self.pipeline.decided();
        let horizon = Timestamp::new(head.get().saturating_sub(keep));
        let mut table = self.table.write();
        if table.history_since.is_none_or(|since| since >= horizon) {
            return Ok(());
        }
        table.history_since = Some(horizon);
        drop(table);
        let mut state = self.pipeline.enter(None)?;
        state.catalog.push(history_entry(Some(horizon)));
        self.submit(state, Proposal::catalog_only(None, Durability::Sync))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_that_prunes_is_told_to_end_when_the_database_goes() {
        let maintenance = Maintenance::new();
        let signal = maintenance.signal.clone();
        drop(maintenance);
        assert_eq!(*signal.due.lock(), Due::Stop);
    }
}
