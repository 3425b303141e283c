//! The harness of the loom models, of this crate and of backends; it exists
//! with `--cfg loom` alone.
//!
//! A model is a small program of a few threads over the real code. [`check`]
//! runs it in every interleaving within a bound on preemptions, and then each
//! of its broken twins: the same program over code with one step dropped,
//! misplaced or weakened, where [`is_broken`] asks for it. A twin that holds
//! fails the test: a model that cannot fail proves nothing.
#![expect(clippy::panic, clippy::print_stdout, reason = "tests fail by panicking, and print")]

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

// All threads of a model run on one thread of the system.
thread_local!(static BROKEN: Cell<Option<&'static str>> = const { Cell::new(None) });

/// Whether the model that runs asks for this mistake.
#[must_use]
pub fn is_broken(mistake: &str) -> bool {
    BROKEN.with(|broken| broken.get() == Some(mistake))
}

/// A program of a few threads, and what must hold in each of its executions.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// Its name in the table.
    pub name: &'static str,
    /// What it asserts, as a sentence.
    pub invariant: &'static str,
    /// How often a thread may be interrupted where it could go on. With
    /// `VELLUM_UNBOUNDED` in the environment, as often as it can.
    pub preemptions: usize,
    /// The program. It panics where the invariant does not hold.
    pub run: fn(),
    /// The mistakes of its broken twins, in the words of the code that asks
    /// [`is_broken`] for them.
    pub twins: &'static [&'static str],
}

impl Model {
    /// Explores with this mistake; returns the executions it took, and how it
    /// failed, if it did.
    fn explore(&self, mistake: Option<&'static str>) -> (u64, Result<(), String>) {
        let executions = Arc::new(AtomicU64::new(0));
        let (count, run) = (executions.clone(), self.run);
        let mut builder = loom::model::Builder::new();
        // A twin is caught within its bound, or is not worth the wait.
        let is_bounded = mistake.is_some() || std::env::var_os("VELLUM_UNBOUNDED").is_none();
        builder.preemption_bound = is_bounded.then_some(self.preemptions);
        builder.max_branches = 20_000;
        let explored = catch_unwind(AssertUnwindSafe(|| {
            builder.check(move || {
                count.fetch_add(1, Ordering::Relaxed);
                BROKEN.with(|broken| broken.set(mistake));
                run();
            });
        }));
        BROKEN.with(|broken| broken.set(None));
        (executions.load(Ordering::Relaxed), explored.map_err(|panic| told(&*panic)))
    }
}

/// What a panic said, on one line.
fn told(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
    let line = text.lines().next().unwrap_or(text);
    let line = line.split_once(" failed: ").map_or(line, |(_, told)| told);
    let line = line.split_once("; threads").map_or(line, |(deadlock, _)| deadlock);
    let line = line.split_once(". ").map_or(line, |(sentence, _)| sentence);
    line.to_owned()
}

/// Runs a model and its twins, and prints their rows of the table.
///
/// # Panics
/// If the model fails, or one of its twins does not.
pub fn check(model: &Model) {
    let begun = Instant::now();
    let (executions, result) = model.explore(None);
    let took = begun.elapsed().as_secs_f64();
    println!("| {} | {} | {executions} | {took:.1} s |", model.name, model.invariant);
    if let Err(told) = result {
        panic!("the model {} fails: {told}", model.name);
    }
    // Twins fail by the dozen, and loudly: that is the point.
    let twins = model.twins.iter().map(|&mistake| {
        let (executions, result) = model.explore(Some(mistake));
        let how = result.err();
        let caught = how.as_deref().unwrap_or("NOT CAUGHT");
        println!("| {} | ↳ {mistake} | {executions} | {caught} |", model.name);
        (mistake, how.is_some())
    });
    let missed: Vec<_> = twins.filter(|(_, caught)| !caught).map(|(name, _)| name).collect();
    assert!(missed.is_empty(), "{} holds although {missed:?}", model.name);
}
