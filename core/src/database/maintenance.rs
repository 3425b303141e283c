//! Pruning, by hand and in the background.

use std::collections::VecDeque;
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
    pruning: Mutex<Moves>,
    writes: AtomicUsize,
    stopping: AtomicBool,
    signal: Arc<Signal>,
}

/// The commits by which prunes made it known that less of the history is kept. They are
/// none of those that [`History::Commits`] counts: else prunes alone would use it up.
#[derive(Debug)]
struct Moves {
    /// Since the database was opened, ascending; those that may still count.
    made: VecDeque<Timestamp>,
    /// The last commit before that.
    opened_at: Timestamp,
}

impl Moves {
    /// The highest timestamp that has so many commits above it that are no moves.
    fn horizon(&self, head: Timestamp, keep: u64) -> Timestamp {
        let mut horizon = head;
        loop {
            let made = self.made.iter().filter(|ts| **ts > horizon).count() as u64;
            // Before the opening, every second one may be a move: none follows another.
            let maybe = self.opened_at.get().saturating_sub(horizon.get()).div_ceil(2);
            let above = keep.saturating_add(made).saturating_add(maybe);
            let lower = Timestamp::new(head.get().saturating_sub(above));
            if lower == horizon {
                return horizon;
            }
            horizon = lower;
        }
    }

    fn add(&mut self, ts: Timestamp, horizon: Timestamp) {
        self.made.push_back(ts);
        while self.made.front().is_some_and(|ts| *ts <= horizon) {
            self.made.pop_front();
        }
    }
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
    /// `opened_at` is the newest commit that was found.
    pub(super) fn new(opened_at: Timestamp) -> Self {
        Self {
            pruning: Mutex::new(Moves { made: VecDeque::new(), opened_at }),
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
        let mut moves = self.maintenance.pruning.lock();
        if self.maintenance.stopping.load(Ordering::SeqCst) {
            return Err(Error::closed());
        }
        self.settle_history(&mut moves)?;
        self.store.prune(&self.retention())
    }

    /// Moves up what history is promised, as far as the options allow. What is promised
    /// is known to the next open before anything is removed, also where the options are
    /// others than the last time and nothing was committed since.
    fn settle_history(&self, moves: &mut Moves) -> Result<()> {
        let horizon = self.movable_history(moves);
        let state = self.pipeline.lock();
        state.check()?;
        if horizon.is_none() && state.catalog.is_empty() {
            // A commit that took an entry along may still be under way.
            let assigned = state.assigned();
            self.pipeline.wait_visible(state, assigned);
            return self.pipeline.lock().check();
        }
        drop(state);
        if horizon.is_some() {
            self.table.write().history_since = horizon;
        }
        let mut state = self.pipeline.enter(None)?;
        state.catalog.extend(horizon.map(|since| history_entry(Some(since))));
        let ts = self.submit(state, Proposal::catalog_only(None, Durability::Sync))?;
        if let Some(horizon) = horizon {
            moves.add(ts, horizon);
        }
        Ok(())
    }

    /// Down to where history may go, if that is above where it begins.
    fn movable_history(&self, moves: &Moves) -> Option<Timestamp> {
        let History::Commits(keep) = self.options.history else { return None };
        let horizon = moves.horizon(self.pipeline.decided(), keep);
        let since = self.table.read().history_since?;
        (since < horizon).then_some(horizon)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_that_prunes_is_told_to_end_when_the_database_goes() {
        let maintenance = Maintenance::new(Timestamp::ZERO);
        let signal = maintenance.signal.clone();
        drop(maintenance);
        assert_eq!(*signal.due.lock(), Due::Stop);
    }

    /// In every row of moves and other commits that there can be.
    #[test]
    fn horizon_has_enough_commits_above_it_that_are_no_moves() {
        let ts = |n: usize| Timestamp::new(n as u64);
        for bits in 0..1_u32 << 10 {
            let is_move = |n: usize| bits >> (n - 1) & 1 == 1;
            if (2..=10).any(|n| is_move(n) && is_move(n - 1)) || is_move(1) {
                continue;
            }
            for opened in 0..=10 {
                let made = (opened + 1..=10).filter(|n| is_move(*n)).map(ts).collect();
                let moves = Moves { made, opened_at: ts(opened) };
                for keep in 0..=11 {
                    let horizon = usize::try_from(moves.horizon(ts(10), keep).get()).unwrap_or(99);
                    let above = (horizon + 1..=10).filter(|n| !is_move(*n)).count() as u64;
                    assert!(above >= keep || horizon == 0, "{bits:b} {opened} {keep}: {horizon}");
                    let tight = (horizon..=10).filter(|n| *n > 0 && !is_move(*n)).count() as u64;
                    assert!(opened > 0 || tight <= keep + 1, "{bits:b} {keep}: {horizon}");
                }
            }
        }
    }
}
