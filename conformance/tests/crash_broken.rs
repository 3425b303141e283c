//! Backends that do not survive crashes are rejected by the checks of crashes.

mod careless;

use careless::{Careless, Fault};
use vellum_conformance::crash::{self, Faults, Kills, Power, Scene};

/// Each in a module of its own: a child is a test, and knows its backend by it.
macro_rules! rejected {
    ($name:ident, $fault:expr, $check:expr) => {
        mod $name {
            use super::*;

            #[test]
            fn crash_child() {
                crash::run_child_if_asked(&Careless($fault));
            }

            #[test]
            fn is_rejected() {
                if let Some(why) = Scene::cannot_trace() {
                    eprintln!("SKIPPED: {why}");
                    return;
                }
                let scene = Scene::of_test(concat!(stringify!($name), "::crash_child"));
                let check: fn(&Careless, &Scene) -> Option<crash::Broken> = $check;
                let broken = check(&Careless($fault), &scene);
                let broken = broken.expect("it is sound, says the check");
                eprintln!("{}: {broken}", stringify!($name));
                if let Some(left) = broken.left {
                    let _ = std::fs::remove_dir_all(left);
                }
            }
        }
    };
}

fn by_kills(subject: &Careless, scene: &Scene) -> Option<crash::Broken> {
    crash::kills(subject, scene, Kills { seed: 1, cycles: 60 }, &mut |_, _| {}).err()
}

fn by_power(subject: &Careless, scene: &Scene) -> Option<crash::Broken> {
    let plan = Power { seed: 1, states: 3_000, threads: 2 };
    crash::power(subject, scene, plan, &mut |_, _| {}).err()
}

/// Many short runs: in some of them an fsync fails.
fn by_failed_syncs(subject: &Careless, scene: &Scene) -> Option<crash::Broken> {
    let plan = Power { seed: 1, states: 800, threads: 2 };
    crash::power(subject, scene, plan, &mut |_, _| {}).err()
}

fn by_faults(subject: &Careless, scene: &Scene) -> Option<crash::Broken> {
    let plan = Faults { seed: 1, failures: 1_000, threads: 2 };
    crash::faults(subject, scene, plan, &mut |_, _| {}).err()
}

rejected!(store_that_never_syncs, Fault::NeverSyncs, by_power);
rejected!(store_that_tears_commits_is_killed, Fault::Tears, by_kills);
rejected!(store_that_tears_commits_loses_power, Fault::Tears, by_power);
rejected!(store_that_hides_failed_syncs, Fault::HidesFailedSyncs, by_failed_syncs);
rejected!(store_that_refuses_to_read_after_a_failure, Fault::RefusesToRead, by_faults);
rejected!(store_that_hides_failed_writes, Fault::HidesFailures, by_faults);
rejected!(store_that_acknowledges_too_early, Fault::AppliesLate, by_kills);

/// What stands in the test of an author fails too.
mod test_of_a_backend {
    use super::*;

    const TEARS: Careless = Careless(Fault::Tears);

    #[test]
    fn crash_child() {
        crash::run_child_if_asked(&TEARS);
    }

    #[test]
    #[should_panic(expected = "replay: VELLUM_CONFORMANCE_SEED=")]
    fn fails_where_kills_tear_a_commit() {
        crash::kills_test(&TEARS, module_path!());
    }

    #[test]
    fn fails_where_a_power_loss_tears_a_commit() {
        if Scene::cannot_trace().is_none() {
            let test = || crash::power_test(&TEARS, module_path!());
            assert!(std::panic::catch_unwind(test).is_err());
        }
    }
}
