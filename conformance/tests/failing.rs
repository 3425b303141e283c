//! A test of a broken backend fails, and says which case did.
//!
//! A suite whose tests pass whatever the case says would pass every backend.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod map_place;

use std::panic::{AssertUnwindSafe, catch_unwind};

use map_place::MapPlace;
use vellum_conformance::faults::{Broken, BrokenStores, Fault, StoreFault};
use vellum_conformance::{
    Effort, FailingStore, Failures, Outcome, OverStore, cases, run, run_store, run_store_test,
    run_test, store_cases, worlds,
};
use vellum_core::Store;

/// What a test says that fails.
fn said(test: impl FnOnce()) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(test)).err()?;
    Some(panic.downcast_ref::<String>().expect("a panic with words").clone())
}

#[test]
fn tests_fail_where_their_case_does_and_name_it() {
    let broken = || Broken::new(OverStore(MapPlace::default()), Fault::ReverseSkipsLast);
    let mut failed = 0;
    for case in cases::<Broken<OverStore<MapPlace>>>().iter().filter(|case| !case.is_heavy()) {
        let outcome = run(case, broken(), Effort::small());
        let said = said(|| run_test(case.name, broken()));
        assert_eq!(matches!(outcome, Outcome::Failed(_)), said.is_some(), "{}", case.name);
        if let (Outcome::Failed(failure), Some(said)) = (outcome, said) {
            assert!(said.contains(case.name) && said.contains(&case.claim()), "{said}");
            assert!(said.contains(failure.message()) && !failure.message().is_empty(), "{said}");
            failed += 1;
        }
    }
    assert!(failed > 2, "{failed}");
}

#[test]
fn tests_of_stores_fail_where_their_case_does_and_name_it() {
    let broken = || BrokenStores::new(MapPlace::default(), StoreFault::TombstoneShown);
    let mut failed = 0;
    for case in store_cases::<BrokenStores<MapPlace>>() {
        let outcome = run_store(&case, broken());
        let said = said(|| run_store_test(case.name, broken()));
        assert_eq!(matches!(outcome, Outcome::Failed(_)), said.is_some(), "{}", case.name);
        if let Some(said) = said {
            assert!(said.contains(case.name), "{said}");
            failed += 1;
        }
    }
    assert!(failed > 0);
}

#[test]
fn test_of_small_worlds_fails_with_the_counterexample() {
    let place = |fault| Broken::new(OverStore(MapPlace::default()), fault);
    let said = said(|| worlds::run_test(&place(Fault::LostUpdate), 1_000)).expect("it fails");
    assert!(said.contains("expected a conflict"), "{said}");
}

#[test]
fn store_that_is_made_to_fail_is_the_store_inside_otherwise() {
    let store = FailingStore::new(vellum_mem::MemStore::new(), Failures::default());
    assert_eq!((store.name(), store.stats().keys), ("mem", Some(0)));
    store.close().expect("it closes");
    let refused = store.sync().expect_err("it is closed");
    assert_eq!(refused.kind(), vellum_core::ErrorKind::Closed);
}
