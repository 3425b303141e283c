//! The conformance suite that every backend of the Vellum key-value engine
//! passes.
//!
//! Each guarantee of Vellum has a number in `docs/contract.md`; each case here
//! names the numbers that it checks, so that a backend that breaks one fails a
//! test of that name. To run the suite on a backend, say how to get at it with
//! a [`Factory`] (or a [`StoreFactory`], for a bare [`Store`](vellum_core::Store)),
//! and put this into a file under its `tests/`:
//!
//! ```ignore
//! vellum_conformance::suite!(statically: MyPlace::new());
//! vellum_conformance::suite!(erased: vellum_conformance::Erased(MyPlace::new()));
//! vellum_conformance::store_suite!(store: MyStorePlace::new());
//! ```
//!
//! The expression is evaluated once for each case, and must give a new place
//! each time: **the suite deletes everything in it** ([`Factory::destroy`]).
//! What a backend cannot do, it says in its [`Capabilities`]; the cases that
//! need it are listed as `SKIPPED` with the reason, on the standard error of
//! the test run, and all together by the test `what_is_skipped`.
//!
//! Random histories come from a fixed seed. The environment changes it:
//!
//! | variable | means |
//! |---|---|
//! | `VELLUM_CONFORMANCE_SEED` | another seed; a failure prints the command that replays it |
//! | `VELLUM_CONFORMANCE_CASES` | how many histories, in percent of the usual number |
//! | `UPDATE_GOLDENFILES` | `1` rewrites the golden scripts (in this repository only) |
//!
//! The suite proves that it bites: [`faults`] has broken backends, each of
//! which breaks one thing, and `tests/broken_backends.rs` prints which case
//! rejects which.
//!
//! ```text
//! cargo test -p vellum-conformance --test broken_backends -- --nocapture
//! ```
//!
//! # What does not compile
//! Two parts of T5 are kept by the compiler. A transaction that was committed
//! or discarded is gone:
//!
//! ```compile_fail,E0382
//! # use vellum_core::{Result, WriteTxn};
//! fn twice(txn: impl WriteTxn) -> Result<()> {
//!     let _ = txn.commit()?;
//!     let _ = txn.commit()?;
//!     Ok(())
//! }
//! ```
//! ```compile_fail,E0382
//! # use vellum_core::{Result, WriteTxn};
//! fn after(mut txn: impl WriteTxn) -> Result<()> {
//!     txn.discard();
//!     txn.put(b"key", "value")
//! }
//! ```
//!
//! and an iterator borrows its transaction, so that nothing is written under
//! it:
//!
//! ```compile_fail,E0502
//! # use vellum_core::{Result, WriteTxn};
//! fn under_an_iterator(mut txn: impl WriteTxn) -> Result<()> {
//!     for item in txn.range(..) {
//!         let (key, _) = item?;
//!         txn.delete(&key)?;
//!     }
//!     Ok(())
//! }
//! ```
#![forbid(unsafe_code)]

mod case;
mod cases;
mod check;
pub mod crash;
mod factory;
mod failing;
pub mod faults;
#[doc(hidden)]
pub mod fuzzing;
pub mod history;
mod model;
mod random;
mod script;
mod store_suite;
mod table;
pub mod worlds;

pub use case::{Case, Ctx, Effort, Outcome, run};
pub use cases::{cases, run_test, say_what_is_skipped};
pub use check::{CaseResult, Failure};
pub use factory::{Capabilities, Erased, Factory, Need, OverStore, StoreFactory, Support};
pub use failing::{FailingStore, Failures};
pub use random::Rng;
pub use store_suite::{StoreCtx, run_store, run_store_test, say_what_a_store_skips, store_cases};

/// Makes one `#[test]` of each case of the suite, on the backend of a
/// [`Factory`].
///
/// `suite!(factory)` makes them where it stands; `suite!(name: factory)` in a
/// module of that name. The expression is evaluated for each case.
#[macro_export]
macro_rules! suite {
    ($name:ident: $factory:expr) => {
        mod $name {
            #[allow(unused_imports, reason = "the factory may need what stands outside")]
            use super::*;
            $crate::suite!($factory);
        }
    };
    ($factory:expr) => {
        $crate::__each_case! { __case_tests ($factory) }

        #[test]
        fn what_is_skipped() {
            $crate::say_what_is_skipped(&$factory);
        }
    };
}

/// Makes one `#[test]` of each case of the store suite, on the bare store of a
/// [`StoreFactory`]. As [`suite!`].
#[macro_export]
macro_rules! store_suite {
    ($name:ident: $factory:expr) => {
        mod $name {
            #[allow(unused_imports, reason = "the factory may need what stands outside")]
            use super::*;
            $crate::store_suite!($factory);
        }
    };
    ($factory:expr) => {
        $crate::__each_store_case! { __store_case_tests ($factory) }

        #[test]
        fn what_is_skipped() {
            $crate::say_what_a_store_skips(&$factory);
        }
    };
}

/// Makes one `#[test]` that [explores](worlds::explore) small worlds on the
/// backend of a [`Factory`]: `worlds!(factory)`, or `worlds!(factory, budget)`
/// for so many interleavings instead of 100,000. `VELLUM_CONFORMANCE_SEED`
/// gives another seed.
#[macro_export]
macro_rules! worlds {
    ($factory:expr) => {
        $crate::worlds!($factory, 100_000);
    };
    ($factory:expr, $budget:expr) => {
        #[test]
        fn every_interleaving_of_small_worlds_is_right() {
            $crate::worlds::run_test(&$factory, $budget);
        }
    };
}
