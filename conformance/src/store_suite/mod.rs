//! The cases of the bare [`Store`]: what the engine relies on.

mod cases;
mod driver;

use crate::case::{Case, guarded, lacking, report, say, skipped};
use crate::{Outcome, StoreFactory};

/// What a case of the store suite has at hand: one place of its own.
#[derive(Debug)]
pub struct StoreCtx<F> {
    pub(crate) factory: F,
}

/// Every case of the store suite.
#[must_use]
pub fn store_cases<F: StoreFactory>() -> Vec<Case<StoreCtx<F>>> {
    use cases as store;
    crate::__each_store_case! { __case_values (StoreCtx<F>) }
}

/// Runs one case on a place of its own, which it destroys afterwards.
pub fn run_store<F: StoreFactory>(case: &Case<StoreCtx<F>>, factory: F) -> Outcome {
    if let Some(reason) = lacking(case, &factory.capabilities()) {
        return Outcome::Skipped(reason);
    }
    let ctx = StoreCtx { factory };
    let outcome = guarded(|| (case.run)(&ctx));
    ctx.factory.destroy();
    outcome
}

/// Runs the case of this name, as a test does.
///
/// # Panics
/// If the case fails: this is how a test says so.
pub fn run_store_test<F: StoreFactory>(name: &str, factory: F) {
    let cases = store_cases::<F>();
    match cases.iter().find(|case| case.name == name) {
        Some(case) => report(case, run_store(case, factory)),
        None => say(&format!("{name} is no case\n")),
    }
}

/// Prints which cases this store skips, and why.
pub fn say_what_a_store_skips<F: StoreFactory>(factory: &F) {
    for (name, reason) in skipped(&store_cases::<F>(), factory.capabilities()) {
        say(&format!("SKIPPED {name}: {reason}\n"));
    }
}
