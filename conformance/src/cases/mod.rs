//! The cases, by the letter of the guarantee that they check first.

pub(crate) mod changes;
pub(crate) mod durability;
pub(crate) mod hermitage;
pub(crate) mod isolation;
pub(crate) mod keys;
pub(crate) mod limits;
pub(crate) mod model;
pub(crate) mod observed;
pub(crate) mod past;
pub(crate) mod predicates;
pub(crate) mod scale;
pub(crate) mod scripts;
pub(crate) mod skews;
pub(crate) mod threads;
pub(crate) mod transactions;
pub(crate) mod versions;
pub(crate) mod worlds;

use crate::Factory;
use crate::case::{Case, Ctx, Effort, report, run, say, skipped};

/// Every case of the suite.
#[must_use]
pub fn cases<F: Factory>() -> Vec<Case<Ctx<F>>> {
    crate::__each_case! { __case_values (Ctx<F>) }
}

/// Runs the case of this name, as a test does.
///
/// # Panics
/// If the case fails: this is how a test says so.
pub fn run_test<F: Factory>(name: &str, factory: F) {
    let cases = cases::<F>();
    match cases.iter().find(|case| case.name == name) {
        Some(case) => report(case, run(case, factory, Effort::from_env())),
        None => say(&format!("{name} is no case\n")),
    }
}

/// Prints which cases this backend skips, and why.
pub fn say_what_is_skipped<F: Factory>(factory: &F) {
    for (name, reason) in skipped(&cases::<F>(), factory.capabilities()) {
        say(&format!("SKIPPED {name}: {reason}\n"));
    }
}
