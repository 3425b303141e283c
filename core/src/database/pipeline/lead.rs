//! Deciding a commit, and leading or following until it is visible.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::store::{Commit, Group};
use crate::sync::atomic::{Ordering, fence};
use crate::sync::{MutexGuard, is_broken, yield_now};
use crate::{
    Durability, Error, ErrorKind, KeyRange, Result, Retention, Store, Timestamp, VersionInfo,
};

use super::super::{Inner, TableChange, limits};
use super::{
    Change, Failure, Pipeline, Proposal, Queue, RETIRE_COMMITS, ROUNDS_MAX, State, UPKEEP_COMMITS,
};

impl<S: Store> Inner<S> {
    /// Gives a validated proposal its timestamp and sees it through until it
    /// is visible.
    pub(in super::super) fn submit<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        proposal: Proposal,
    ) -> Result<Timestamp> {
        let ts = limits::next_ts(state.last_ts)?;
        state.last_ts = ts;
        let logged = self.history_is_kept();
        let preserve = if logged { Some(ts.prev()) } else { state.numbers.newest_pin() };
        let mut catalog = std::mem::take(&mut state.catalog);
        let change = proposal.change.map(|change| match change {
            Change::Save(v, metadata) => TableChange::Save(VersionInfo::new(v, ts, metadata)),
            Change::Delete(gone) => TableChange::Delete(gone),
        });
        if let Some(change) = change {
            change.catalog(&mut catalog);
            state.numbers.apply(&change);
            state.queue.changes.push(change);
        }
        if !proposal.writes.is_empty() || !proposal.marks.is_empty() {
            state.commits += 1;
            state.index.enter(ts, &proposal.writes, proposal.marks);
        }
        let writes = proposal.writes;
        state.queue.commits.push(Commit { ts, writes, catalog, preserve, logged });
        state.queue.durability = state.queue.durability.max(proposal.durability);
        if state.leading {
            self.pipeline.gathering.arrived(&mut state);
            self.follow(state, ts, proposal.durability, proposal.from_writer)
        } else {
            self.lead(state, ts, proposal.from_writer)
        }
    }

    /// Waits for the leader; takes over if it steps down before `ts` is done.
    fn follow<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        ts: Timestamp,
        durability: Durability,
        from_writer: bool,
    ) -> Result<Timestamp> {
        let pipeline = &self.pipeline;
        if is_broken("a committer that finds a leader does not wait for it") {
            return Ok(ts);
        }
        if durability == Durability::Buffered {
            drop(state);
            for look in 1..=pipeline.looks.count() {
                if pipeline.decided() >= ts {
                    return Ok(ts);
                }
                if look % 8 == 0 { yield_now() } else { std::hint::spin_loop() }
            }
            state = pipeline.lock();
        }
        loop {
            if state.decided >= ts {
                return Ok(ts);
            }
            if let Some(error) = state.refusal(ts) {
                return Err(error);
            }
            if !state.leading {
                return self.lead(state, ts, from_writer);
            }
            state.sleepers.add(ts, true);
            match pipeline.park(state, ts) {
                Some(again) => state = again,
                None => return Ok(ts),
            }
        }
    }

    /// Applies what is queued, group by group. `ts` is in the first one.
    fn lead<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        ts: Timestamp,
        from_writer: bool,
    ) -> Result<Timestamp> {
        let pipeline = &self.pipeline;
        state.leading = true;
        for round in 1.. {
            state = pipeline.gather(state);
            if round == 1
                && let Some(error) = state.refusal(ts)
                && !is_broken("a leader that gathers does not ask whether it was refused meanwhile")
            {
                state.leading = false;
                pipeline.wake(&state);
                return Err(error);
            }
            let queue = std::mem::take(&mut state.queue);
            let (first, last) = match (queue.commits.first(), queue.commits.last()) {
                (Some(first), Some(last)) => (first.ts, last.ts),
                _ => break,
            };
            state.applying = last;
            state.since_upkeep += queue.commits.len();
            // What is retained is copied: so that a commit does not follow how much it is.
            let kept = state.retention.snapshots().len() + state.retention.pins().len();
            let due = state.since_upkeep >= UPKEEP_COMMITS.max(kept / 8);
            if due {
                state.since_upkeep = 0;
            }
            let mut retention = std::mem::replace(&mut state.retention, Retention::everything());
            drop(state);

            let guard = LeaderGuard { pipeline, first, last };
            if due {
                retention = self.retention();
            }
            let Queue { commits, changes, durability } = queue;
            let writes = commits.iter().map(|commit| commit.writes.len()).sum();
            let count = commits.len();
            // A clock is a part of what a short group costs.
            let begun = (durability == Durability::Sync || due).then(Instant::now);
            if is_broken("a group is published before it is applied") {
                self.store.publish(last);
            }
            if is_broken("a group counts as decided before it is published") {
                pipeline.head.decided.store(last.get(), Ordering::SeqCst);
            }
            let result = self.store.apply(Group { commits, durability, retention: &retention });
            if let Err(error) = result {
                let error = guard.fail(error, ts);
                // Its own commit was in the first group.
                let done = round > 1
                    && !is_broken(
                        "a leader is told of the failure of a group that it led for others",
                    );
                return if done { Ok(ts) } else { Err(error) };
            }
            let took = begun.map(|begun| begun.elapsed());
            let is_synced = durability == Durability::Sync;
            self.publish(last, changes);
            // A watcher counts itself, and has a fence before it looks at the
            // head. Publishing, a fence, and counting make that store
            // buffering, of which one side at least sees the other.
            if !is_broken("watchers are counted without a fence after publishing") {
                fence(Ordering::SeqCst);
            }
            if !self.watch.is_empty() {
                // Nothing above what is decided is forgotten yet.
                let written = pipeline.lock().index.written(first.prev(), last);
                for (ts, keys) in &written {
                    self.watch.notify(*ts, |range| touches(keys, range));
                }
            }
            std::mem::forget(guard);

            let early = is_broken("writers are counted before the head is moved")
                .then(|| self.watermark.open_writers());
            state = pipeline.lock();
            state.decided = last;
            debug_assert!(state.decided >= ts, "the leader's own commit was in its first group");
            pipeline.head.decided.store(last.get(), Ordering::SeqCst);
            // The head is at `last`: a writer that these two do not count
            // reads there or above.
            let open_writers = early.unwrap_or_else(|| self.watermark.open_writers());
            let alone = open_writers <= usize::from(from_writer);
            let oldest = if due && !alone { self.watermark.oldest_writer() } else { None };
            state.groups += 1;
            match took {
                Some(took) if is_synced => {
                    let behind = state.queue.commits.len();
                    state.pace.note(count, behind, took);
                }
                Some(took) => pipeline.looks.note(took),
                None => {}
            }
            if alone || due {
                let upto = oldest.map_or(last, |oldest| oldest.min(last));
                state.index.retire(upto, RETIRE_COMMITS);
            }
            state.retention = retention;
            pipeline.note_window(&state);
            if alone || due {
                pipeline.note_oldest_writer(oldest);
            }
            self.maintenance.note_writes(writes);
            let more = !state.queue.commits.is_empty();
            // Next to an fsync a hand-over is cheap, and who leads on for others
            // does not come back to share the next one.
            let steps_down = !more || is_synced || round >= ROUNDS_MAX;
            let mut woken = state.sleepers.take_decided(last);
            if steps_down {
                state.leading = false;
                if more && !is_broken("a leader that steps down wakes nobody") {
                    state.sleepers.take_leader(&mut woken);
                }
            }
            pipeline.wake(&state);
            drop(state);
            woken.wake();
            if steps_down {
                return Ok(ts);
            }
            state = pipeline.lock();
        }
        // The engine was poisoned meanwhile, and nothing is left to do.
        state.leading = false;
        pipeline.wake(&state);
        Ok(ts)
    }

    /// Makes a group visible. Where it changes the version table, both change
    /// as one for who looks at the table.
    fn publish(&self, ts: Timestamp, changes: Vec<TableChange>) {
        if changes.is_empty() {
            self.store.publish(ts);
            return;
        }
        let deletes = changes.iter().any(|c| matches!(c, TableChange::Delete(_)));
        if is_broken("the version table changes after the commit is visible, not with it") {
            self.store.publish(ts);
        }
        let mut table = self.table.write();
        self.store.publish(ts);
        for change in changes {
            table.versions.apply(change);
        }
        self.note_pins(&table);
        drop(table);
        if deletes {
            self.maintenance.ask();
        }
    }

    /// Forgets what no open write transaction can conflict with any more, in
    /// steps that hold the lock shortly.
    pub(in super::super) fn retire_window(&self) {
        loop {
            let mut state = self.pipeline.lock();
            // Loaded before the shards are walked: a writer that is missed
            // there reads at this timestamp or above.
            let decided = state.decided;
            let oldest = self.watermark.oldest_writer();
            let upto = oldest.map_or(decided, |oldest| oldest.min(decided));
            let all = state.index.take_if_below(upto);
            let done = all.is_some() || state.index.retire(upto, RETIRE_COMMITS);
            self.pipeline.note_window(&state);
            self.pipeline.note_oldest_writer(oldest);
            drop(state);
            if done {
                return;
            }
        }
    }
}

fn touches(sorted: &[Bytes], range: &KeyRange) -> bool {
    let from = sorted.partition_point(|k| k < range.start());
    sorted.get(from).is_some_and(|k| range.contains(k))
}

/// Settles a group whose leader failed, or unwinds out of a store that broke
/// its contract.
struct LeaderGuard<'a> {
    pipeline: &'a Pipeline,
    first: Timestamp,
    last: Timestamp,
}

impl LeaderGuard<'_> {
    /// The error for the committer at `ts`, after everybody else got theirs.
    fn fail(self, error: Error, ts: Timestamp) -> Error {
        let failure = self.settle(error);
        std::mem::forget(self);
        failure.outcome(ts)
    }

    fn settle(&self, error: Error) -> Failure {
        let mut state = self.pipeline.lock();
        let failure = Failure { first: self.first, last: self.last, error: Arc::new(error) };
        state.leading = false;
        if !is_broken("a group that fails once the engine is poisoned was simply refused") {
            state.lost = Some(failure.clone());
        }
        self.pipeline.fail(&mut state, failure.clone());
        failure
    }
}

impl Drop for LeaderGuard<'_> {
    fn drop(&mut self) {
        self.settle(Error::new(ErrorKind::CommitUnknown, "the store panicked in a commit"));
    }
}
