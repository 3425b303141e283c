//! Those who wait for a commit that somebody else applies: its committer, and who
//! lost to it.
//!
//! Each is woken by itself, after the lock was let go of, and looks at the head
//! first. On one condition, all of them would wake up to queue for the lock, one
//! after the other, only to be told what the head says; and those whose commit is
//! still in the queue would wake up for nothing.
//!
//! A committer that waits for no fsync looks at the head for a while before it sleeps:
//! to sleep and to be woken takes longer than a group in memory, and about as long as
//! one on disk. How long follows what a group takes. A look now and then gives the
//! processor away, for a leader may be in need of it.

use std::time::Duration;

use crate::Timestamp;
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::{Thread, ThreadId, current, is_broken};

/// The fewest and the most looks. A model need not look twice.
const LOOKS: (u32, u32) = if cfg!(loom) { (1, 1) } else { (64, 512) };

/// A part of what a look takes, nothing given away: the looks go on for longer than
/// the group did that was measured.
const LOOK: Duration = Duration::from_nanos(64);

/// How often a committer looks before it sleeps.
#[derive(Debug)]
pub(super) struct Looks(AtomicU32);

impl Looks {
    pub(super) fn new() -> Self {
        Self(AtomicU32::new(LOOKS.0))
    }

    pub(super) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// A group, without an fsync, took so long.
    pub(super) fn note(&self, took: Duration) {
        let looks = took.as_nanos() / LOOK.as_nanos();
        let looks = u32::try_from(looks).unwrap_or(u32::MAX).clamp(LOOKS.0, LOOKS.1);
        self.0.store(looks, Ordering::Relaxed);
    }
}

/// The threads that sleep until a commit is decided.
#[derive(Debug, Default)]
pub(super) struct Sleepers(Vec<Sleeper>);

#[derive(Debug)]
struct Sleeper {
    thread: Thread,
    /// Its own: to look it up would fetch a line of each thread, under the lock.
    id: ThreadId,
    /// The commit that it waits for.
    ts: Timestamp,
    /// Whether that is its own, so that it would lead.
    may_lead: bool,
}

/// Threads to wake without the lock.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct Woken(Vec<Thread>);

impl Sleepers {
    /// The calling thread is about to park until `ts` is decided. It may be
    /// here already: a thread is also woken by what has nothing to do with this, and
    /// a wake may come late and find it elsewhere. So whoever parks looks again.
    pub(super) fn add(&mut self, ts: Timestamp, may_lead: bool) {
        let thread = current();
        let id = thread.id();
        self.0.retain(|sleeper| sleeper.id != id);
        self.0.push(Sleeper { thread, id, ts, may_lead });
    }

    /// Everything up to `decided` is.
    pub(super) fn take_decided(&mut self, decided: Timestamp) -> Woken {
        if self.0.is_empty() || is_broken("nobody is woken") {
            return Woken::default();
        }
        let decided = self.0.extract_if(.., |sleeper| sleeper.ts <= decided);
        Woken(decided.map(|sleeper| sleeper.thread).collect())
    }

    /// Nobody leads, and there is something to do.
    pub(super) fn take_leader(&mut self, woken: &mut Woken) {
        if let Some(at) = self.0.iter().position(|sleeper| sleeper.may_lead) {
            woken.0.push(self.0.remove(at).thread);
        }
    }

    /// All that they wait for has failed.
    pub(super) fn take_all(&mut self) -> Woken {
        Woken(self.0.drain(..).map(|sleeper| sleeper.thread).collect())
    }
}

impl Woken {
    pub(super) fn wake(self) {
        for thread in self.0 {
            thread.unpark();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// The timestamps of those who are listed, in order.
    fn listed(sleepers: &Sleepers) -> Vec<u64> {
        sleepers.0.iter().map(|sleeper| sleeper.ts.get()).collect()
    }

    fn add(sleepers: &mut Sleepers, ts: u64, may_lead: bool) {
        std::thread::scope(|scope| {
            scope.spawn(|| sleepers.add(Timestamp::new(ts), may_lead));
        });
    }

    #[test]
    fn those_are_woken_whose_commit_is_decided_and_no_others() {
        let mut sleepers = Sleepers::default();
        for ts in [5, 3, 4, 3] {
            add(&mut sleepers, ts, true);
        }
        assert_eq!(sleepers.take_decided(Timestamp::new(3)).0.len(), 2);
        assert_eq!(listed(&sleepers), [5, 4]);
        assert_eq!(sleepers.take_all().0.len(), 2);
        assert!(listed(&sleepers).is_empty());
    }

    #[test]
    fn leader_is_one_who_has_a_commit_in_the_queue() {
        let mut sleepers = Sleepers::default();
        add(&mut sleepers, 4, false);
        let mut woken = Woken::default();
        sleepers.take_leader(&mut woken);
        assert!(woken.0.is_empty(), "who lost to a commit has none to lead");
        add(&mut sleepers, 5, true);
        add(&mut sleepers, 6, true);
        sleepers.take_leader(&mut woken);
        assert_eq!((woken.0.len(), listed(&sleepers)), (1, vec![4, 6]));
    }

    #[test]
    fn thread_that_woke_up_early_is_listed_once() {
        let mut sleepers = Sleepers::default();
        sleepers.add(Timestamp::new(1), true);
        add(&mut sleepers, 2, true);
        sleepers.add(Timestamp::new(1), true);
        assert_eq!(listed(&sleepers), [2, 1]);
    }

    #[test]
    fn looks_follow_what_a_group_takes_within_their_limits() {
        let looks = Looks::new();
        for (took, count) in [(0, 64), (2_000, 64), (6_400, 100), (20_000, 312), (u64::MAX, 512)] {
            looks.note(Duration::from_nanos(took));
            assert_eq!(looks.count(), count, "{took} ns");
        }
    }

    #[test]
    fn woken_threads_run() {
        let (listing, list) = mpsc::channel();
        let sleeper = std::thread::spawn(move || {
            let mut sleepers = Sleepers::default();
            sleepers.add(Timestamp::new(1), true);
            listing.send(sleepers).is_ok().then(crate::sync::park)
        });
        let mut sleepers = list.recv().unwrap_or_default();
        sleepers.take_decided(Timestamp::new(1)).wake();
        assert!(sleeper.join().is_ok_and(|listed| listed.is_some()));
    }
}
