//! Calls that fail, one at a time.
//!
//! A child runs a short ledger once to count its system calls. Then it runs
//! again for each of them, and strace makes that one call fail: with an error,
//! with death, or with a lie (the call says that it wrote, and did not). The
//! child must name the failure, read what was visible, and commit nothing after
//! an outcome that is unknown; what it leaves must open, with everything that
//! it was told.
//!
//! After a lie nothing can be promised but this: the answer is right, or it is
//! `Corrupted`.
//!
//! Runs are alike and not the same: a call that one run made in the background
//! may be missing from the next. strace says which call it made fail, so a run
//! in which none did is not counted as one that was endured.

mod points;
mod told;

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use vellum_core::ErrorKind;

use points::{Point, has_struck, points};
use told::{Told, run};

use super::child::Job;
use super::judge::judge;
use super::ledger::Ledger;
use super::scene::keep_first;
use super::{Broken, Scene, Subject};
use crate::random::Rng;

/// The steps of the run whose calls fail.
const STEPS: usize = 30;

/// How many failures, from which seed.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// The seed of the run, and of which calls fail.
    pub seed: u64,
    /// At most so many failures; `u64::MAX` makes every call fail in every way.
    pub failures: u64,
    /// How many children run at the same time.
    pub threads: usize,
}

/// The failures that were endured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endured {
    /// Calls that failed.
    pub failures: u64,
    /// Calls that could have, each in every way that it can.
    pub possible: u64,
    /// Calls that were to fail and were not made in that run.
    pub missed: u64,
    /// Failures that a call of the database named.
    pub named: u64,
    /// Of these, outcomes that were said to be unknown.
    pub unknown: u64,
    /// Lies that were found out as `Corrupted`.
    pub corrupted: u64,
}

impl fmt::Display for Endured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { failures, possible, missed, named, unknown, corrupted } = self;
        write!(
            f,
            "{failures} of {possible} failures ({missed} calls did not come): {named} named ({unknown} \
             unknown outcomes), "
        )?;
        write!(f, "{corrupted} lies found out; none looked like success")
    }
}

/// Makes the calls of a run fail one by one (D3).
///
/// # Errors
/// The first failure that was not endured; or that nothing can be traced here.
pub fn faults<S: Subject>(
    subject: &S,
    scene: &Scene,
    plan: Faults,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Endured, Broken> {
    if let Some(why) = Scene::cannot_trace() {
        return Err(Broken::new(why));
    }
    let job = Job::Ledger { seed: plan.seed, steps: STEPS };
    let ledger = Ledger::new(plan.seed, STEPS);
    let all = points(scene, &job)?;
    let possible = all.len() as u64;
    let points = choose(all, plan);
    let (next, endured) =
        (AtomicUsize::new(0), Mutex::new(Endured { possible, ..Endured::default() }));
    let (broken, progress) = (Mutex::new(None), Mutex::new(progress));
    std::thread::scope(|scope| {
        for _ in 0..plan.threads.max(1) {
            scope.spawn(|| {
                while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = endure(subject, scene, &job, &ledger, point);
                    let Ok(mut endured) = endured.lock() else { return };
                    match outcome {
                        Ok(one) => endured.add(one),
                        Err(e) => {
                            next.store(points.len(), Ordering::Relaxed);
                            keep_first(&broken, e);
                        }
                    }
                    if let Ok(mut progress) = progress.lock() {
                        progress(endured.failures + endured.missed, points.len() as u64);
                    }
                }
            });
        }
    });
    match broken.into_inner().ok().flatten() {
        Some(broken) => Err(broken),
        None => Ok(endured.into_inner().unwrap_or_default()),
    }
}

impl Endured {
    fn add(&mut self, other: Self) {
        self.failures += other.failures;
        self.missed += other.missed;
        self.named += other.named;
        self.unknown += other.unknown;
        self.corrupted += other.corrupted;
    }
}

/// As many of the points as the plan allows.
fn choose(mut points: Vec<Point>, plan: Faults) -> Vec<Point> {
    Rng::new(plan.seed).shuffle(&mut points);
    let wanted = usize::try_from(plan.failures).unwrap_or(usize::MAX);
    points.truncate(wanted);
    points
}

/// One run in which one call fails.
fn endure<S: Subject>(
    subject: &S,
    scene: &Scene,
    job: &Job,
    ledger: &Ledger,
    point: &Point,
) -> Result<Endured, Broken> {
    let dir = scene.dir("fault")?;
    let (root, file) = (dir.path().join("db"), dir.path().join("trace"));
    let wrong = |e: String| scene.broken(format!("{point}: {e}"), dir.path());
    let options = point.options(&root, &file);
    let (status, out, err) = run(scene.traced(&options, job, &root)).map_err(&wrong)?;
    let trace = std::fs::read_to_string(&file).unwrap_or_default();
    let told = Told::read(&out);
    if err.contains("panicked at") {
        return Err(wrong(format!(
            "a thread panicked: {}",
            err.lines().take(3).collect::<String>()
        )));
    }
    if let Some(text) = &told.wrong {
        return Err(wrong(format!("the child says: {text}")));
    }
    // 0: it ran to an end; 5: it did not open; no code: it was killed.
    if !matches!(status.code(), None | Some(0 | 5 | 137)) {
        return Err(wrong(format!("the child ended with {status}")));
    }
    if let (Some((n, kind)), Some(after)) = (&told.error, &told.after)
        && matches!(kind.as_str(), "CommitUnknown" | "Poisoned")
        && after == "Ok"
    {
        return Err(wrong(format!("step {n} ended with {kind}, and a commit after it succeeded")));
    }
    let struck = has_struck(&trace);
    let mut endured =
        Endured { failures: u64::from(struck), missed: u64::from(!struck), ..Endured::default() };
    endured.named = u64::from(told.error.is_some());
    let is_unknown = told.error.as_ref().is_some_and(|(_, kind)| kind == "CommitUnknown");
    endured.unknown = u64::from(is_unknown);
    let known = told.known(ledger, is_unknown || point.is_lie());
    match judge(subject, &root, ledger, known) {
        Ok(_) => Ok(endured),
        Err(e) if point.is_lie() && e.kind == Some(ErrorKind::Corrupted) => {
            endured.corrupted = 1;
            Ok(endured)
        }
        Err(e) => Err(wrong(format!("{e}\nthe child said: {}", told.last))),
    }
}
