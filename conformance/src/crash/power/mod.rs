//! Power loss, enumerated.
//!
//! A child runs a ledger under strace. Its system calls make a list of events:
//! a file changes, a name changes, something is synced, the child says how far
//! it is. After each event the power may fail, and then the disk holds
//! everything that was synced and some of the rest. Which of the rest is not
//! for us to choose, so for each event there are several states (as in
//! ALICE: Pillai and others, "All File Systems Are Not Created Equal", OSDI
//! 2014):
//!
//! | state | holds |
//! |---|---|
//! | kill | everything that happened: the process died, not the machine |
//! | min | what was synced, and nothing more |
//! | torn | everything, but only the beginning of the last write |
//! | rand | of each page, or each sector, that was not synced, the old or the new; of the changes of names a beginning |
//!
//! under two [profiles](Profile) of what an fsync makes durable besides the
//! file itself. Each state is built in a new directory, opened and judged: it
//! must open, be the state after a step at or above the newest that was
//! acknowledged as durable, and not above the newest that was tried.
//!
//! In some runs an fsync fails. Then what it was to make durable is not, whatever comes
//! later; who did not hear of it, or takes the next one for as good, loses what it
//! acknowledged.
//!
//! Some states are opened under strace again, and the power fails during the
//! recovery too.
//!
//! # Invariants
//! 1. What the events of a recording make is compared with the directory that
//!    the child really left, so that a call which is not followed is noticed.
//! 2. An fsync makes durable what was written before it *began*; it counts
//!    from where it returned.

mod content;
mod disk;
mod record;
pub(super) mod trace;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub use disk::Profile;

use content::{PAGE, SECTOR};
use disk::{Disk, Event, Image, Kind};
use record::{Recording, record};

use super::child::Job;
use super::judge::{Known, judge};
use super::ledger::{Ledger, Step};
use super::scene::keep_first;
use super::{Broken, Scene, Subject};
use crate::random::Rng;

/// The steps of one recorded run.
const STEPS: usize = 60;
/// States of one recorded run, at most, before another seed is recorded; in a short plan
/// a quarter of all.
const STATES_A_RUN: u64 = 2_000;
/// Plans of so many states have runs in filled databases, so many percent of
/// all: their states take long to build.
const FILLED_FROM: u64 = 1_000;
const FILLED_PERCENT: u64 = 10;
const STATES_A_FILLED_RUN: u64 = 200;
/// In so many percent of the runs one of these calls fails in each thread, among the first
/// so many: of data alone there are few, and more than names and tables hang on them.
const FAILING_PERCENT: u64 = 40;
const FAILING: ((&str, u64), (&str, u64)) = (("fdatasync", 25), ("fsync", 200));
const STATES_A_FAILING_RUN: u64 = 150;
/// One in so many states is opened under strace, and its recovery cut off too.
const TWICE_EVERY: u64 = 110;
/// States of one recovery, at most.
const STATES_A_RECOVERY: u64 = 60;

/// How many states, from which seed.
#[derive(Clone, Copy, Debug)]
pub struct Power {
    /// The seed of the runs and of what is kept.
    pub seed: u64,
    /// About how many states are judged.
    pub states: u64,
    /// How many threads judge them.
    pub threads: usize,
}

/// The states that were judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survived {
    /// Different states, by profile and kind.
    pub states: BTreeMap<(Profile, &'static str), u64>,
    /// Those of them in which a recovery was cut off as well.
    pub twice: u64,
    /// Runs that were recorded.
    pub runs: u64,
    /// Those of them that began with a filled database ([`Subject::filling`]).
    pub filled: u64,
    /// Those of them in which an fsync failed.
    pub failing: u64,
    /// Events in them.
    pub events: u64,
}

impl Survived {
    /// All states.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.states.values().sum()
    }
}

impl fmt::Display for Survived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (total, Self { twice, runs, filled, failing, events, .. }) = (self.total(), self);
        write!(
            f,
            "{total} states of {runs} runs ({filled} of them on a filled database, {failing} with \
             a failed fsync; {events} events), "
        )?;
        write!(f, "{twice} of them with a second loss during recovery:")?;
        for ((profile, kind), n) in &self.states {
            write!(f, " {profile:?}/{kind} {n}")?;
        }
        f.write_str("; all opened, nothing lost, nothing torn")
    }
}

/// Records runs, and judges the states that a power loss may leave.
///
/// # Errors
/// The first state that is not what was promised, left for inspection; or that
/// nothing can be recorded here.
pub fn power<S: Subject>(
    subject: &S,
    scene: &Scene,
    plan: Power,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Survived, Broken> {
    if let Some(why) = Scene::cannot_trace() {
        return Err(Broken::new(why));
    }
    let mut rng = Rng::new(plan.seed);
    let mut survived = Survived::default();
    let progress = Mutex::new(progress);
    while survived.total() < plan.states {
        let seed = rng.next_u64();
        let left = plan.states - survived.total();
        let dir = scene.dir("power")?;
        let is_filled =
            plan.states >= FILLED_FROM && subject.filling() > 0 && rng.percent(FILLED_PERCENT);
        if is_filled {
            fill(scene, subject.filling(), dir.path())?;
        }
        let (call, within) = if rng.percent(50) { FAILING.0 } else { FAILING.1 };
        let fails = rng.percent(FAILING_PERCENT).then(|| (call, 1 + rng.below(within)));
        let most = match (is_filled, fails) {
            (true, _) => STATES_A_FILLED_RUN,
            (false, Some(_)) => STATES_A_FAILING_RUN,
            (false, None) => STATES_A_RUN.min(plan.states.div_ceil(4)),
        };
        let budget = left.min(most);
        let job = Job::Ledger { seed, steps: STEPS };
        let recording = record(scene, &job, dir.path(), fails).map_err(Broken::new)?;
        let is_failing = recording.events.iter().any(|e| matches!(e, Event::SyncFailed(..)));
        let run = Run {
            subject,
            scene,
            ledger: &Ledger::new(seed, STEPS),
            known: Known::default(),
            what: match fails {
                Some((call, n)) => {
                    format!("ledger {seed} (of seed {}), {call} {n} failed", plan.seed)
                }
                None => format!("ledger {seed} (of seed {})", plan.seed),
            },
            twice: true,
        };
        let before = survived.total();
        let told = |done: u64| {
            if let Ok(mut progress) = progress.lock() {
                progress(before + done, plan.states);
            }
        };
        let judged = run.judge_all(&recording, budget, plan.threads, &mut rng, &told)?;
        survived.add(judged);
        survived.runs += 1;
        survived.filled += u64::from(is_filled);
        survived.failing += u64::from(is_failing);
        survived.events += recording.events.len() as u64;
    }
    Ok(survived)
}

/// Writes so much, without recording it.
fn fill(scene: &Scene, bytes: u64, dir: &Path) -> Result<(), Broken> {
    let mut child = scene.child(&Job::Fill { bytes }, &dir.join("db"));
    match child.stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(scene.broken(format!("filling a database: {status}"), dir)),
        Err(e) => Err(Broken::new(format!("filling a database: {e}"))),
    }
}

impl Survived {
    fn add(&mut self, other: Self) {
        for (of, n) in other.states {
            *self.states.entry(of).or_default() += n;
        }
        self.twice += other.twice;
    }
}

/// A recorded run whose states are judged.
struct Run<'a, S> {
    subject: &'a S,
    scene: &'a Scene,
    ledger: &'a Ledger,
    /// What was known before the first event.
    known: Known,
    what: String,
    twice: bool,
}

/// A state to judge.
struct State {
    image: Image,
    known: Known,
    event: usize,
    profile: Profile,
    kind: Kind,
}

impl<S: Subject> Run<'_, S> {
    /// Judges about so many states of the recording, evenly spread.
    fn judge_all(
        &self,
        recording: &Recording,
        budget: u64,
        threads: usize,
        rng: &mut Rng,
        told: &(dyn Fn(u64) + Sync),
    ) -> Result<Survived, Broken> {
        let kinds = [
            Kind::Kill,
            Kind::Min,
            Kind::Torn,
            Kind::Rand(PAGE),
            Kind::Rand(SECTOR),
            Kind::Rand(PAGE),
            Kind::Rand(SECTOR),
        ];
        let all = (recording.events.len() * kinds.len() * 2) as u64;
        let judged = Mutex::new(Survived::default());
        let (stop, broken) = (AtomicBool::new(false), Mutex::new(None));
        let done = AtomicU64::new(0);
        let (sender, receiver) = std::sync::mpsc::sync_channel::<State>(16);
        let receiver = Mutex::new(receiver);
        let seed = rng.next_u64();
        std::thread::scope(|scope| {
            for _ in 0..threads.max(1) {
                scope.spawn(|| {
                    loop {
                        let next = receiver.lock().ok().and_then(|states| states.recv().ok());
                        let Some(state) = next else { return };
                        // What is still on its way is taken, so that nobody waits.
                        if stop.load(Ordering::Relaxed) {
                            continue;
                        }
                        let number = done.fetch_add(1, Ordering::Relaxed);
                        told(number);
                        match self.judge_one(&state, number) {
                            Ok(twice) => {
                                if let Ok(mut judged) = judged.lock() {
                                    judged.count(&state);
                                    judged.add(twice);
                                }
                            }
                            Err(e) => {
                                stop.store(true, Ordering::Relaxed);
                                keep_first(&broken, e);
                            }
                        }
                    }
                });
            }
            let mut rng = Rng::new(seed);
            let mut seen = HashSet::new();
            for profile in [Profile::Ext4, Profile::Strict] {
                let mut disk = Disk::new(profile, &recording.base);
                // What was promised to survive power loss, and a kill alone.
                let (mut durable, mut heard) = (self.known, self.known);
                for (n, event) in recording.events.iter().enumerate() {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    disk.take(event);
                    self.learn(event, &mut durable, Step::is_durable);
                    self.learn(event, &mut heard, |_| true);
                    for kind in kinds {
                        if rng.below(all) >= budget {
                            continue;
                        }
                        let Some(image) = disk.state(kind, &mut rng) else { continue };
                        let known = if kind == Kind::Kill { heard } else { durable };
                        if seen.insert((image.fingerprint(), known.at_least)) {
                            let state = State { image, known, event: n, profile, kind };
                            if sender.send(state).is_err() {
                                return;
                            }
                        }
                    }
                }
            }
            drop(sender);
        });
        if let Some(broken) = broken.into_inner().ok().flatten() {
            return Err(broken);
        }
        Ok(judged.into_inner().unwrap_or_default())
    }

    /// Takes in what the child said; the steps that count are those that
    /// `survives` names.
    fn learn(&self, event: &Event, known: &mut Known, survives: impl Fn(&Step) -> bool) {
        let Event::Said(line) = event else { return };
        let mut words = line.split(' ');
        let (what, n, ts) = (words.next(), words.next(), words.next());
        let Some(n) = n.and_then(|n| n.parse::<usize>().ok()) else { return };
        match what {
            Some("try") => known.at_most = n,
            Some("ack") => {
                let step = n.checked_sub(1).and_then(|at| self.ledger.steps.get(at));
                if step.is_some_and(survives) {
                    known.at_least = n;
                    let ts = ts.and_then(|ts| ts.parse().ok()).unwrap_or(0);
                    known.ts = known.ts.max(ts);
                }
            }
            _ => {}
        }
    }

    fn judge_one(&self, state: &State, number: u64) -> Result<Survived, Broken> {
        let dir = self.scene.dir("state")?;
        let root = dir.path().join("db");
        let stored = std::fs::create_dir_all(&root).and_then(|()| state.image.store(&root));
        stored.map_err(|e| Broken::new(format!("building a state: {e}")))?;
        let mut twice = Survived::default();
        if self.twice && number % TWICE_EVERY == TWICE_EVERY - 1 {
            twice = self.judge_recovery(state, dir.path(), number)?;
        }
        judge(self.subject, &root, self.ledger, state.known).map_err(|e| {
            // As it was before it was opened.
            let again = dir.path().join("again");
            let _ = std::fs::create_dir_all(&again).and_then(|()| state.image.store(&again));
            let (what, event, profile, kind) = (&self.what, state.event, state.profile, state.kind);
            let what =
                format!("{what}, power lost after event {event} ({profile:?}, {kind:?}): {e}");
            self.scene.broken(what, &again)
        })?;
        Ok(twice)
    }

    /// Opens a state under strace, and judges the states of that run.
    fn judge_recovery(&self, state: &State, dir: &Path, number: u64) -> Result<Survived, Broken> {
        let what = format!(
            "{}, power lost after event {} ({:?}, {:?}), and during recovery",
            self.what, state.event, state.profile, state.kind
        );
        let recording = record(self.scene, &Job::Open, dir, None)
            .map_err(|e| self.scene.broken(format!("{what}: {e}"), dir))?;
        let known = state.known;
        let run = Run { what, known, twice: false, ..*self };
        let mut rng = Rng::new(number);
        let judged = run.judge_all(&recording, STATES_A_RECOVERY, 1, &mut rng, &|_| {})?;
        Ok(Survived { twice: judged.total(), ..judged })
    }
}

impl Survived {
    fn count(&mut self, state: &State) {
        let kind = match state.kind {
            Kind::Kill => "kill",
            Kind::Min => "min",
            Kind::Torn => "torn",
            Kind::Rand(PAGE) => "rand, pages",
            Kind::Rand(_) => "rand, sectors",
        };
        *self.states.entry((state.profile, kind)).or_default() += 1;
    }
}
