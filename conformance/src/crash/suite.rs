//! The tests that [`crash_suite!`](crate::crash_suite) makes.

use super::{Broken, Faults, Kills, Power, Scene, Subject, faults, kills, power};
use crate::Effort;
use crate::case::say;

/// How many at the usual effort: some ten seconds of each.
const KILLS: u64 = 40;
const STATES: u64 = 600;
const FAILURES: u64 = 100;

/// Makes four `#[test]`s of a [`Subject`]: that it survives kills, power losses
/// and failing calls, and the child process that they need.
///
/// `crash_suite!(subject)` stands in a file under `tests/`, or in a module
/// there; the expression is evaluated for each test. The variables of the
/// suite apply: `VELLUM_CONFORMANCE_SEED`, and `VELLUM_CONFORMANCE_CASES` in
/// percent of 40 kills, 600 states and 100 failures.
#[macro_export]
macro_rules! crash_suite {
    ($subject:expr) => {
        /// Not a test: what the others kill.
        #[test]
        fn crash_child() {
            $crate::crash::run_child_if_asked(&$subject);
        }

        #[test]
        fn killed_writers_lose_nothing_and_tear_nothing() {
            $crate::crash::kills_test(&$subject, module_path!());
        }

        #[test]
        fn every_state_that_a_power_loss_may_leave_has_what_was_durable() {
            $crate::crash::power_test(&$subject, module_path!());
        }

        #[test]
        fn calls_that_fail_are_named_and_lose_nothing_that_was_acknowledged() {
            $crate::crash::faults_test(&$subject, module_path!());
        }
    };
}

fn scene(module: &str) -> Scene {
    // A test is called without the name of its crate.
    let within = module.split_once("::").map_or(String::new(), |(_, path)| format!("{path}::"));
    Scene::of_test(&format!("{within}crash_child"))
}

fn times(usual: u64) -> u64 {
    (usual * u64::from(Effort::from_env().percent) / 100).max(1)
}

fn report(outcome: Result<String, Broken>) {
    match outcome {
        Ok(figures) => say(&format!("{figures}\n")),
        #[expect(clippy::panic, reason = "this is how a test fails")]
        Err(broken) => panic!("\n{broken}\n{}\n", Effort::from_env().replay("")),
    }
}

/// Says why not, where nothing can be traced.
fn can_trace() -> bool {
    let why = Scene::cannot_trace();
    if let Some(why) = &why {
        say(&format!("SKIPPED power losses and failing calls: {why}\n"));
    }
    why.is_none()
}

#[doc(hidden)]
pub fn kills_test<S: Subject>(subject: &S, module: &str) {
    let plan = Kills { seed: Effort::from_env().seed, cycles: times(KILLS) };
    let killed = kills(subject, &scene(module), plan, &mut |_, _| {});
    report(killed.map(|killed| killed.to_string()));
}

#[doc(hidden)]
pub fn power_test<S: Subject>(subject: &S, module: &str) {
    if can_trace() {
        let plan = Power { seed: Effort::from_env().seed, states: times(STATES), threads: 2 };
        let survived = power(subject, &scene(module), plan, &mut |_, _| {});
        report(survived.map(|survived| survived.to_string()));
    }
}

#[doc(hidden)]
pub fn faults_test<S: Subject>(subject: &S, module: &str) {
    if can_trace() {
        let (seed, failures) = (Effort::from_env().seed, times(FAILURES));
        let plan = Faults { seed, failures, threads: 2 };
        let endured = faults(subject, &scene(module), plan, &mut |_, _| {});
        report(endured.map(|endured| endured.to_string()));
    }
}
