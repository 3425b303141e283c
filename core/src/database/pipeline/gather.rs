//! Waiting for company before an fsync.
//!
//! Committers that were released together come back together, one transaction
//! later. A leader that fsynced for the first of them at once would leave the
//! others to the next fsync, and half of all fsyncs would serve one commit. So
//! a leader whose group is to be fsynced waits until as many have queued as
//! there were lately, but no longer than a part of what an fsync takes.
//! (PostgreSQL's `commit_delay` is the same with a fixed time.) Alone, nobody
//! waits: one committer lately means one is enough.

use std::time::{Duration, Instant};

use crate::Durability;
use crate::sync::{Condvar, MutexGuard};

use super::{Pipeline, State};

/// A leader waits for this part of what the last fsync took.
const PART: u32 = 4;
/// The most that it waits.
#[cfg(not(test))]
const WAIT_MAX: Duration = Duration::from_millis(1);
/// Long, so that no test hangs on how quick its threads are.
#[cfg(test)]
const WAIT_MAX: Duration = Duration::from_secs(60);
/// It does not, where a group takes less than this: sleeping and waking is
/// about as long.
const GROUP_MIN: Duration = Duration::from_micros(100);

/// How many commit at the same time, and how long an fsync takes.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// The commits of the last group that was fsynced, and those that had
    /// queued behind it.
    committers: usize,
    /// What applying that group took.
    took: Duration,
    /// The leader sleeps until so many have queued; 0 if it does not.
    wanted: usize,
}

impl Pace {
    /// After a group of so many commits that was fsynced, with so many behind.
    pub(super) fn note(&mut self, commits: usize, behind: usize, took: Duration) {
        self.committers = commits + behind;
        self.took = took;
    }
}

/// Where the leader sleeps.
#[derive(Debug)]
pub(super) struct Gathering(Condvar);

impl Gathering {
    pub(super) fn new() -> Self {
        Self(Condvar::new())
    }

    /// Somebody has queued.
    pub(super) fn arrived(&self, state: &mut State) {
        if state.pace.wanted > 0 && state.queue.commits.len() >= state.pace.wanted {
            self.end(state);
        }
    }

    /// Nobody else will come.
    pub(super) fn end(&self, state: &mut State) {
        if state.pace.wanted > 0 {
            state.pace.wanted = 0;
            self.0.notify_all();
        }
    }
}

impl Pipeline {
    /// A model has no time: it lets go of the lock whenever that may be.
    #[cfg(loom)]
    pub(super) fn gather<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        if state.queue.durability != Durability::Sync {
            return state;
        }
        drop(state);
        self.lock()
    }

    /// Lets those queue who committed with the last group, as the leader.
    ///
    /// The lock is let go of: afterwards the queue may be empty, if the engine
    /// was poisoned.
    #[cfg(not(loom))]
    pub(super) fn gather<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let (wanted, took) = (state.pace.committers, state.pace.took);
        let is_enough = state.queue.commits.len() >= wanted || state.gate.is_some();
        if state.queue.durability != Durability::Sync || is_enough || took < GROUP_MIN {
            return state;
        }
        state.pace.wanted = wanted;
        let until = Instant::now() + (took / PART).min(WAIT_MAX);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || state.pace.wanted == 0 {
                state.pace.wanted = 0;
                return state;
            }
            state = self.gathering.0.wait_timeout(state, left);
        }
    }
}

#[cfg(all(test, not(loom)))]
impl Pipeline {
    /// The next leader whose group is to be fsynced waits for so many, for a minute.
    pub(in super::super) fn expect_company(&self, committers: usize) {
        self.lock().pace.note(committers, 0, Duration::from_secs(3_600));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::super::{Numbers, Queue};
    use super::*;
    use crate::Timestamp;
    use crate::store::Commit;

    fn commit(ts: u64) -> Commit {
        let (writes, catalog) = (Vec::new(), Vec::new());
        Commit { ts: Timestamp::new(ts), writes, catalog, preserve: None, logged: false }
    }

    /// After a group of so many, with one commit in the queue.
    fn after_a_group_of(committers: usize) -> Pipeline {
        let pipeline = Pipeline::new(Timestamp::ZERO, Numbers::default(), Vec::new());
        pipeline.expect_company(committers);
        let mut state = pipeline.lock();
        state.queue.durability = Durability::Sync;
        state.queue.commits.push(commit(1));
        drop(state);
        pipeline
    }

    /// How many the leader finds in the queue, beside what others do meanwhile.
    fn gathered(pipeline: &Pipeline, meanwhile: impl Fn(&mut State)) -> usize {
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let leader = scope.spawn(|| {
                let count = pipeline.gather(pipeline.lock()).queue.commits.len();
                is_done.store(true, Ordering::SeqCst);
                count
            });
            while !is_done.load(Ordering::SeqCst) {
                let mut state = pipeline.lock();
                if state.pace.wanted > 0 {
                    meanwhile(&mut state);
                }
                drop(state);
                std::thread::yield_now();
            }
            leader.join().unwrap_or(0)
        })
    }

    #[test]
    fn leader_waits_until_all_have_queued_who_committed_lately() {
        let pipeline = after_a_group_of(4);
        let found = gathered(&pipeline, |state| {
            let next = state.queue.commits.len() as u64 + 1;
            state.queue.commits.push(commit(next));
            pipeline.gathering.arrived(state);
        });
        assert_eq!(found, 4);
    }

    #[test]
    fn nobody_waits_who_committed_alone_or_without_fsync() {
        assert_eq!(gathered(&after_a_group_of(1), |_| ()), 1);
        let pipeline = after_a_group_of(4);
        pipeline.lock().queue.durability = Durability::Buffered;
        assert_eq!(gathered(&pipeline, |_| ()), 1);
    }

    #[test]
    fn leader_goes_on_when_nobody_else_can_come() {
        let pipeline = after_a_group_of(4);
        let found = gathered(&pipeline, |state| {
            state.queue = Queue::default();
            pipeline.gathering.end(state);
        });
        assert_eq!(found, 0);
    }
}
