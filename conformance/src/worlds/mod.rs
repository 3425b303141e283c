//! Exhaustive small worlds: every order in which a few scripted transactions
//! can take their steps, each judged exactly.
//!
//! A call on this engine never waits for another transaction to finish, so one
//! thread can step several of them, call by call, in any order it likes. A
//! *world* is a handful of scripts (begin, some calls, commit) over three keys;
//! a *schedule* says whose turn it is at each step; with two scripts of four
//! steps there are 70 of them, with three 34,650. An anomaly needs few
//! transactions, few keys and one particular order. Threads under load meet
//! that order by luck; here every one of them comes up.
//!
//! # What is judged
//! After each step, and in the end, against an oracle that shares nothing with
//! the engine (three cells, and sets of seven places: the keys and the gaps
//! around them):
//!
//! 1. Every read shows the state that its transaction began on, with its own
//!    writes over it, whether the transaction commits or not (T1, T2).
//! 2. A commit conflicts **if and only if** a later commit wrote what it
//!    observed or writes (I1 to I6): a missed conflict and a false one are both
//!    wrong, and so is one that names the wrong winner (I8).
//! 3. Timestamps grow in commit order, and who begins later reads at or above
//!    them (T6).
//! 4. Some serial order of the committed transactions, in accord with real
//!    time, shows every read and the final state. This looks for the order by
//!    trying them all, and knows nothing of snapshots and timestamps. Where
//!    snapshot isolation lets a world through that has no such order, it is
//!    counted as a skew, and the same interleaving is played again as
//!    serializable, where it must be refused.
//! 5. Saves and reverts are refused if a writer is open and only then (V2,
//!    V6), and each version stays what was saved (V3).
//!
//! # How
//! Each interleaving has a key prefix of its own on one database, which is
//! replaced from time to time. Prefixes ascend, so that a range without an end
//! is a world's own too. A failure is played again in an empty database, made
//! shorter while it still fails, and told as a table.
//!
//! ```no_run
//! # fn of<F: vellum_conformance::Factory>(place: &F) {
//! use vellum_conformance::worlds::{Plan, explore};
//! match explore(place, &Plan::new(1, 100_000), &mut |_done, _of| {}) {
//!     Ok(explored) => println!("{explored}"),
//!     Err(counterexample) => panic!("{counterexample}"),
//! }
//! # }
//! ```
//!
//! As a test of a backend of your own: [`worlds!`](crate::worlds!). The suite
//! has some thousands of interleavings in its cases too.
//!
//! The method is that of model checking by enumeration, at the level of the
//! interface; that small scopes suffice for most faults is Jackson's hypothesis
//! ("Software Abstractions").

mod op;
mod oracle;
mod plan;
mod play;
mod schedule;
mod seen;
mod serial;
mod shrink;
mod story;

use std::collections::HashSet;
use std::fmt;

use vellum_core::{Connection, Durability, Options, Pruning};

use crate::case::say;
use crate::{Effort, Factory};

pub use plan::{Plan, Section};
pub use story::Counterexample;

use crate::random::mix;
use op::{Kind, Script, World};
use play::Play;
use seen::{Right, Step, Wrong};
use story::Failing;

/// A database is replaced after this many interleavings.
const WORLDS_PER_DATABASE: u32 = 4096;

/// What was explored and found right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explored {
    /// Interleavings played.
    pub interleavings: u64,
    /// Sets of scripts, each with a state to begin with.
    pub worlds: u64,
    /// Commits that wrote something.
    pub commits: u64,
    /// Commits that were refused because of a conflict.
    pub conflicts: u64,
    /// Calls on the connection that were refused, as they had to be.
    pub refused: u64,
    /// Outcomes that differ, summed over the worlds.
    pub outcomes: u64,
    /// Interleavings with snapshot isolation that no serial order explains.
    pub skews: u64,
    /// Those among them that only what a reader saw keeps from being
    /// serializable (the anomaly of Fekete, O'Neil and O'Neil).
    pub reader_anomalies: u64,
    /// Skews that were played again as serializable and were refused there:
    /// all of them.
    pub skews_refused: u64,
    /// A hash of every outcome in order, without timestamps. Two backends that
    /// keep the contract have the same one under the same plan.
    pub hash: u64,
}

impl Explored {
    /// Both, one after the other.
    #[must_use]
    pub const fn and(self, then: Self) -> Self {
        Self {
            interleavings: self.interleavings + then.interleavings,
            worlds: self.worlds + then.worlds,
            commits: self.commits + then.commits,
            conflicts: self.conflicts + then.conflicts,
            refused: self.refused + then.refused,
            outcomes: self.outcomes + then.outcomes,
            skews: self.skews + then.skews,
            reader_anomalies: self.reader_anomalies + then.reader_anomalies,
            skews_refused: self.skews_refused + then.skews_refused,
            hash: mix(self.hash ^ then.hash.rotate_left(1)),
        }
    }
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} interleavings of {} worlds: {} commits, {} conflicts, {} calls refused, \
             {} distinct outcomes; {} skews under snapshot isolation ({} of a reader alone), \
             of which serializable refused {}; hash {:016x}",
            self.interleavings,
            self.worlds,
            self.commits,
            self.conflicts,
            self.refused,
            self.outcomes,
            self.skews,
            self.reader_anomalies,
            self.skews_refused,
            self.hash
        )
    }
}

/// Plays the interleavings of a plan on databases in `place`, one after the
/// other, each opened empty there and destroyed, and judges every one.
/// `progress` is told every 1,024 interleavings how many were played, of how
/// many.
///
/// # Errors
/// The first that went wrong, made as short as possible.
pub fn explore<F: Factory>(
    place: &F,
    plan: &Plan,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Explored, Box<Counterexample>> {
    let mut bench = Bench::new(place);
    let mut explored = Explored::default();
    let (mut current, mut outcomes) = (None, HashSet::new());
    let mut found = None;
    plan.each(|world, schedule| {
        explored.interleavings += 1;
        if explored.interleavings.is_multiple_of(1024) {
            progress(explored.interleavings, plan.budget.max(explored.interleavings));
        }
        if current.as_ref() != Some(world) {
            (current, explored.worlds) = (Some(world.clone()), explored.worlds + 1);
            outcomes.clear();
        }
        match bench.play_both(world, schedule) {
            Ok(right) => {
                explored.count(&right);
                explored.outcomes += u64::from(outcomes.insert(right.digest));
                true
            }
            Err(failing) => {
                found = Some(failing);
                false
            }
        }
    });
    let Some(failing) = found else {
        bench.close();
        progress(explored.interleavings, explored.interleavings);
        return Ok(explored);
    };
    let mut replay = |world: &World, schedule: &[u8]| {
        bench.close();
        bench.play_both(world, schedule).err()
    };
    let (alone, failing): (_, Failing) = match replay(&failing.world, &failing.schedule) {
        Some(again) => (
            true,
            shrink::shrink(*again, |world, schedule| replay(world, schedule).map(|found| *found)),
        ),
        None => (false, *failing),
    };
    bench.close();
    let interleaving = explored.interleavings;
    Err(Box::new(Counterexample { seed: plan.seed, interleaving, alone, failing }))
}

/// Explores as a test does, with the seed that the environment gives.
///
/// # Panics
/// If an interleaving goes wrong: this is how a test says so.
pub fn run_test<F: Factory>(place: &F, budget: u64) {
    let plan = Plan::new(Effort::from_env().seed, budget);
    match explore(place, &plan, &mut |_, _| {}) {
        Ok(explored) => say(&format!("{explored}\n")),
        #[expect(clippy::panic, reason = "this is how a test fails")]
        Err(counterexample) => {
            panic!("\n{counterexample}\n{}\n", Effort::from_env().replay("worlds"))
        }
    }
}

impl Explored {
    fn count(&mut self, right: &Right) {
        self.commits += right.commits;
        self.conflicts += right.conflicts;
        self.refused += right.refused;
        self.skews += u64::from(right.skew);
        self.reader_anomalies += u64::from(right.reader_anomaly);
        self.skews_refused += u64::from(right.refused_again);
        self.hash = mix(self.hash.rotate_left(5) ^ right.digest);
    }
}

/// A place with a database in it that is replaced when it was used enough.
struct Bench<'a, F: Factory> {
    place: &'a F,
    open: Option<(F::Connection, u32)>,
}

impl<'a, F: Factory> Bench<'a, F> {
    fn new(place: &'a F) -> Self {
        Self { place, open: None }
    }

    /// Plays it, and if it shows a skew, again as serializable.
    fn play_both(&mut self, world: &World, schedule: &[u8]) -> Result<Right, Box<Failing>> {
        let (mut right, _) = self.play(world, schedule)?;
        if right.skew {
            let strict = serializable(world);
            let (again, steps) = self.play(&strict, schedule)?;
            right.refused_again = again.conflicts > 0;
            if !right.refused_again {
                let wrong = Wrong::new(
                    "every commit",
                    "a conflict",
                    "snapshot isolation shows a skew here, which serializable must refuse (I9)",
                );
                let (world, schedule) = (strict, schedule.to_vec());
                return Err(Box::new(Failing { world, schedule, steps, wrong }));
            }
        }
        Ok(right)
    }

    fn play(&mut self, world: &World, schedule: &[u8]) -> Result<(Right, Vec<Step>), Box<Failing>> {
        let failing = |steps, wrong| {
            let (world, schedule) = (world.clone(), schedule.to_vec());
            Box::new(Failing { world, schedule, steps, wrong })
        };
        // What was pruned by hand or reverted away is paid for by every later
        // world of that kind.
        let limit =
            if world.has_versions() { WORLDS_PER_DATABASE / 8 } else { WORLDS_PER_DATABASE };
        if self.open.as_ref().is_some_and(|(_, n)| *n >= limit) {
            self.close();
        }
        let (db, n) = match self.open.take() {
            Some(open) => open,
            None => match self.place.open(&options()) {
                Ok(db) => (db, 0),
                Err(e) => return Err(failing(Vec::new(), Wrong::failed(&e))),
            },
        };
        let mut play = Play::new(&db, world, n);
        let outcome = play.run(schedule);
        let steps = std::mem::take(&mut play.steps);
        drop(play);
        self.open = Some((db, n + 1));
        match outcome {
            Ok(right) => Ok((right, steps)),
            Err(wrong) => Err(failing(steps, wrong)),
        }
    }

    fn close(&mut self) {
        if let Some((db, _)) = self.open.take() {
            // A database that cannot be closed is destroyed all the same.
            let _ = db.close();
            drop(db);
            self.place.destroy();
        }
    }
}

fn options() -> Options {
    Options::new().durability(Durability::Buffered).pruning(Pruning::Manual)
}

/// The same world with every writer serializable.
fn serializable(world: &World) -> World {
    let mut world = world.clone();
    for script in &mut world.scripts {
        if let Script::Txn { kind: kind @ Kind::Snapshot, .. } = script {
            *kind = Kind::Serializable;
        }
    }
    world
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_two_explorations_are_added_one_by_one() {
        let figures = |first: u64| Explored {
            interleavings: first,
            worlds: first + 1,
            commits: first + 2,
            conflicts: first + 3,
            refused: first + 4,
            outcomes: first + 5,
            skews: first + 6,
            reader_anomalies: first + 7,
            skews_refused: first + 8,
            hash: first,
        };
        let (sum, hash) = (figures(10).and(figures(30)), figures(30).and(figures(10)).hash);
        assert_eq!(
            Explored { hash: 40, ..sum },
            Explored {
                interleavings: 40,
                worlds: 42,
                commits: 44,
                conflicts: 46,
                refused: 48,
                outcomes: 50,
                skews: 52,
                reader_anomalies: 54,
                skews_refused: 56,
                hash: 40,
            }
        );
        // Which came first, and each of the two, is in the hash.
        let other = figures(10).and(Explored { hash: 31, ..figures(30) }).hash;
        let hashes = [sum.hash, hash, other, figures(11).and(figures(30)).hash];
        assert_eq!(hashes.iter().collect::<HashSet<_>>().len(), 4);
    }
}
