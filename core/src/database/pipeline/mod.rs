//! The commit pipeline: from a validated write set to visible records. Here is
//! its state; `lead` has the way of a commit, `failure` what a failed one leaves.
//!
//! ```text
//!  commit ──► enter ──► validate ──► assign ──► queue ──► apply ──► publish ──► done
//!             gate      index        ts, pins            one leader at a time
//!             └────────── one short lock ──────────┘     └─ no lock, I/O ─┘
//! ```
//!
//! One lock, held for neither I/O nor user code, covers validation, the next
//! timestamp, and the entry of the written keys into the conflict index: the
//! order in which transactions take it *is* the serial order. A decided commit
//! then joins the queue. If nobody leads, its thread leads: it takes the whole
//! queue, applies it as one group with at most one fsync, publishes it, and
//! goes on while more has gathered; after an fsync the next committer leads. Who
//! finds a leader at work waits, and is woken for itself (`sleepers`); alone, a
//! committer pays no hand-over. Before an fsync a leader waits shortly for those
//! who committed with the last one (`gather`).
//!
//! Invariants:
//! 1. Timestamps are assigned, applied and published in one order, without a
//!    gap: `decided ≤ last_ts`, and the queue holds exactly (`decided`,
//!    `last_ts`], less what the leader is applying.
//! 2. A commit is visible before its committer, a conflicting loser or a
//!    watcher is told of it. A retry therefore starts from a snapshot that
//!    holds the commit it lost to, and cannot lose to it twice.
//! 3. There is a leader whenever the queue is not empty and nobody is about to
//!    look at it; a leader that fails or unwinds settles every commit that it
//!    held, and poisons the engine for those behind. Those are refused and out
//!    of the queue in one step, so that nothing is applied that was refused.
//! 4. While the gate is held, only its holder enters.

mod failure;
mod gather;
mod lead;
mod sleepers;

use std::sync::Arc;
use std::time::Instant;

use crate::store::{CatalogWrite, Commit, Write};
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard, is_broken, park};
use crate::{Durability, Error, Metadata, Result, Retention, Timestamp, Version};

use failure::Failure;
use gather::{Gathering, Pace};
use sleepers::{Looks, Sleepers};

use super::conflict::ConflictIndex;
use super::marks::Marks;
use super::versions::{Numbers, TableChange};

/// A leader steps down after this many groups, so that one committer does not
/// do the work of all others for ever.
#[cfg(not(loom))]
const ROUNDS_MAX: usize = 16;
/// A model sees both: going on, and stepping down.
#[cfg(loom)]
const ROUNDS_MAX: usize = 2;

/// Commits between two looks at what can be retired or has become dead.
const UPKEEP_COMMITS: usize = 32;

/// Commits retired at each such look; more than come in between, so that the
/// window shrinks.
const RETIRE_COMMITS: usize = 4 * UPKEEP_COMMITS;

/// The state of the commit path.
#[derive(Debug)]
pub(super) struct Pipeline {
    state: Mutex<State>,
    /// For who waits for no single commit: `decided` grew, the gate opened, a leader
    /// stepped down, or all failed.
    changed: Condvar,
    /// Where a leader waits for company.
    gathering: Gathering,
    looks: Looks,
    head: Head,
    /// The length of the window, for who must not pay for the lock.
    window: AtomicUsize,
    /// The read timestamp of the oldest open writer when it was last looked up.
    oldest_writer: AtomicU64,
}

/// What everybody who begins looks at, on a line that a commit writes once and
/// that is not the lock's (two, for the prefetcher of x86).
#[derive(Debug)]
#[repr(align(128))]
struct Head {
    /// The same as `State::decided`, to look at without the lock.
    decided: AtomicU64,
    poisoned: AtomicBool,
}

#[derive(Debug)]
pub(super) struct State {
    closed: bool,
    /// The failure that poisoned the engine. The first one stays.
    failure: Option<Failure>,
    /// The group that failed to apply: that failure, or one that came while
    /// the leader was at work.
    lost: Option<Failure>,
    /// The newest timestamp that was assigned.
    last_ts: Timestamp,
    /// Every commit up to here is applied and published.
    decided: Timestamp,
    pub(super) numbers: Numbers,
    pub(super) index: ConflictIndex,
    queue: Queue,
    leading: bool,
    /// The newest timestamp that a leader took out of the queue.
    applying: Timestamp,
    pace: Pace,
    sleepers: Sleepers,
    /// Threads that sleep on `changed`.
    sleeping: usize,
    gate: Option<Gate>,
    next_gate: u64,
    /// Entries for the catalog that the next commit carries.
    pub(super) catalog: Vec<CatalogWrite>,
    /// What the next group's store may trim by; the leader has it meanwhile.
    retention: Retention,
    /// Commits since `retention` was made and the window last retired.
    since_upkeep: usize,
    pub(super) commits: u64,
    pub(super) conflicts: u64,
    pub(super) groups: u64,
}

/// Decided commits that wait for the leader, ascending.
#[derive(Debug)]
struct Queue {
    commits: Vec<Commit>,
    changes: Vec<TableChange>,
    durability: Durability,
}

impl Default for Queue {
    fn default() -> Self {
        let durability = Durability::Buffered;
        Self { commits: Vec::new(), changes: Vec::new(), durability }
    }
}

/// Keeps everybody but its holder from committing.
#[derive(Debug)]
struct Gate {
    id: GateId,
    until: Option<Instant>,
}

/// Who holds the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GateId(u64);

/// A commit that is ready to be decided.
#[derive(Debug)]
pub(super) struct Proposal {
    /// Sorted by key, each key once.
    pub(super) writes: Vec<Write>,
    /// What was declared as written.
    pub(super) marks: Marks,
    pub(super) change: Option<Change>,
    pub(super) durability: Durability,
    /// Whether it comes from a write transaction that is registered as open.
    pub(super) from_writer: bool,
}

/// What a proposal does to the version table.
#[derive(Debug)]
pub(super) enum Change {
    Save(Version, Metadata),
    Delete(Vec<Version>),
}

impl Proposal {
    /// A commit that only changes the catalog.
    pub(super) fn catalog_only(change: Option<Change>, durability: Durability) -> Self {
        Self { writes: Vec::new(), marks: Marks::NONE, change, durability, from_writer: false }
    }
}

impl Pipeline {
    pub(super) fn new(last_ts: Timestamp, numbers: Numbers, catalog: Vec<CatalogWrite>) -> Self {
        let state = State {
            closed: false,
            failure: None,
            lost: None,
            last_ts,
            decided: last_ts,
            numbers,
            index: ConflictIndex::default(),
            queue: Queue::default(),
            leading: false,
            applying: last_ts,
            pace: Pace::default(),
            sleepers: Sleepers::default(),
            sleeping: 0,
            gate: None,
            next_gate: 0,
            catalog,
            retention: Retention::everything(),
            since_upkeep: 0,
            commits: 0,
            conflicts: 0,
            groups: 0,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            gathering: Gathering::new(),
            looks: Looks::new(),
            head: Head { decided: AtomicU64::new(last_ts.get()), poisoned: AtomicBool::new(false) },
            window: AtomicUsize::new(0),
            oldest_writer: AtomicU64::new(u64::MAX),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Whether writes are refused because an outcome is unknown; as good as
    /// what [`State::check`] says, without the lock.
    #[inline]
    pub(super) fn is_poisoned(&self) -> bool {
        self.head.poisoned.load(Ordering::Acquire)
    }

    /// The newest timestamp that is published and settled.
    #[inline]
    pub(super) fn decided(&self) -> Timestamp {
        Timestamp::new(self.head.decided.load(Ordering::SeqCst))
    }

    /// Takes the lock once the engine is well and the gate, unless it is
    /// `mine`, is open.
    pub(super) fn enter(&self, mine: Option<GateId>) -> Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        loop {
            state.check()?;
            let closed = |gate: &&Gate| {
                Some(gate.id) != mine && !is_broken("a closed gate keeps nobody out")
            };
            let Some(gate) = state.gate.as_ref().filter(closed) else { return Ok(state) };
            match gate.until.map(|until| until.saturating_duration_since(Instant::now())) {
                Some(left) if left.is_zero() => state.gate = None,
                left => state = self.sleep(state, left),
            }
        }
    }

    /// Closes the gate to everybody else, and waits until what was decided
    /// before is published.
    pub(super) fn close_gate(&self, until: Option<Instant>) -> Result<GateId> {
        let mut state = self.enter(None)?;
        let id = GateId(state.next_gate);
        state.next_gate += 1;
        state.gate = Some(Gate { id, until });
        self.gathering.end(&mut state);
        while state.decided < state.last_ts
            && !is_broken("the gate closes without waiting for what was decided before")
        {
            if let Err(e) = state.check() {
                drop(state);
                self.open_gate(id);
                return Err(e);
            }
            state = self.sleep(state, None);
        }
        Ok(id)
    }

    pub(super) fn open_gate(&self, id: GateId) {
        let mut state = self.lock();
        if state.gate.as_ref().is_some_and(|gate| gate.id == id) {
            state.gate = None;
            self.wake(&state);
        }
    }

    fn sleep<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        timeout: Option<std::time::Duration>,
    ) -> MutexGuard<'a, State> {
        state.sleeping += 1;
        let mut state = match timeout {
            Some(timeout) => self.changed.wait_timeout(state, timeout),
            None => self.changed.wait(state),
        };
        state.sleeping -= 1;
        state
    }

    fn wake(&self, state: &State) {
        if state.sleeping > 0 {
            self.changed.notify_all();
        }
    }

    /// Waits until the commit at `ts`, which somebody else made, is visible or
    /// has failed.
    pub(super) fn wait_visible<'a>(&'a self, mut state: MutexGuard<'a, State>, ts: Timestamp) {
        while state.decided < ts && state.failure.is_none() {
            state.sleepers.add(ts, false);
            match self.park(state, ts) {
                Some(again) => state = again,
                None => return,
            }
        }
    }

    /// Sleeps among the `sleepers`, where it was added. Nothing if `ts` is decided
    /// then: that needs no lock.
    fn park<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        ts: Timestamp,
    ) -> Option<MutexGuard<'a, State>> {
        drop(state);
        park();
        (self.decided() < ts).then(|| self.lock())
    }

    /// Refuses everything from now on, once what was decided is settled.
    /// Returns whether the engine was well until then.
    pub(super) fn close(&self) -> bool {
        let mut state = self.lock();
        state.closed = true;
        state.gate = None;
        self.gathering.end(&mut state);
        self.wake(&state);
        let waits = !is_broken("closing does not wait for the leader");
        while waits
            && (state.leading || (state.failure.is_none() && !state.queue.commits.is_empty()))
        {
            state = self.sleep(state, None);
        }
        state.failure.is_none()
    }

    /// Refuses writes from now on: what is durable is no longer known.
    pub(super) fn poison(&self, error: Error) -> Error {
        let mut state = self.lock();
        let at = Timestamp::MAX;
        let failure = Failure { first: at, last: at, error: Arc::new(error) };
        let outcome = failure.outcome(at);
        self.fail(&mut state, failure);
        outcome
    }

    /// Refuses writes from now on, those that wait in the queue included.
    fn fail(&self, state: &mut State, failure: Failure) {
        if !is_broken("commits that wait when the engine is poisoned are applied all the same") {
            state.queue = Queue::default();
        }
        state.failure.get_or_insert(failure);
        self.gathering.end(state);
        self.head.poisoned.store(true, Ordering::Release);
        if !is_broken("a leader that fails wakes nobody") {
            state.sleepers.take_all().wake();
            self.wake(state);
        }
    }

    /// Whether the end of a write transaction that read at `ts` may let go of a
    /// part of the window that is worth the work.
    #[inline]
    pub(super) fn may_retire(&self, ts: Timestamp, open_writers: usize) -> bool {
        match self.window.load(Ordering::Relaxed) {
            0 => false,
            commits if commits > 2 * RETIRE_COMMITS => {
                open_writers == 0 || ts.get() <= self.oldest_writer.load(Ordering::Relaxed)
            }
            _ => open_writers == 0,
        }
    }

    fn note_window(&self, state: &State) {
        self.window.store(state.index.commits(), Ordering::Relaxed);
    }

    fn note_oldest_writer(&self, oldest: Option<Timestamp>) {
        let oldest = oldest.map_or(u64::MAX, Timestamp::get);
        self.oldest_writer.store(oldest, Ordering::Relaxed);
    }
}

impl State {
    /// Whether the engine takes writes.
    pub(super) fn check(&self) -> Result<()> {
        if self.closed {
            return Err(Error::closed());
        }
        self.failure.as_ref().map_or(Ok(()), |failure| Err(failure.poisoned()))
    }

    /// What the committer at `ts`, above `decided`, is told, if it can be told:
    /// what a leader took, the leader settles, whatever else failed meanwhile.
    fn refusal(&self, ts: Timestamp) -> Option<Error> {
        let failure = self.failure.as_ref()?;
        let is_applied = self.leading && ts <= self.applying;
        if is_applied
            && !is_broken("a committer is told of the poisoning while its commit is being applied")
        {
            return None;
        }
        Some(self.lost.as_ref().unwrap_or(failure).outcome(ts))
    }

    pub(super) fn is_poisoned(&self) -> bool {
        self.failure.is_some()
    }

    /// The newest timestamp that was assigned.
    pub(super) fn assigned(&self) -> Timestamp {
        self.last_ts
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn end_of_a_writer_retires_what_is_worth_it_and_nobody_needs() {
        let pipeline = Pipeline::new(Timestamp::ZERO, Numbers::default(), Vec::new());
        let may = |window: usize, oldest: u64, writers: usize| {
            pipeline.window.store(window, Ordering::Relaxed);
            pipeline.note_oldest_writer(Some(Timestamp::new(oldest)));
            pipeline.may_retire(Timestamp::new(5), writers)
        };
        let long = 2 * RETIRE_COMMITS + 1;
        assert!(!may(0, 5, 0), "there is nothing");
        assert!(may(1, 5, 0) && may(long, 4, 0), "nobody else is there");
        assert!(!may(1, 5, 1) && !may(long - 1, 5, 1), "others are, and it is short");
        assert!(may(long, 5, 1) && may(long, 6, 1), "it was the oldest of them");
        assert!(!may(long, 4, 1), "another is older");
        pipeline.note_oldest_writer(None);
        assert!(pipeline.may_retire(Timestamp::new(5), 1));
    }
}
