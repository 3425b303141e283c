//! Models of the engine's concurrency, for loom: every interleaving of a few
//! threads, within a bound on preemptions, over the real engine and a locked
//! map. Run them, and see the table, with
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p vellum-core --lib models -- --nocapture
//! ```
//!
//! Each model states its invariant, and each has broken twins, which loom must
//! catch: see [`crate::model`].
#![expect(clippy::unwrap_used, reason = "a model fails by panicking")]

mod commit;
mod failure;
mod retention;
mod store;

use std::sync::Arc;

use crate::model::Model;
use crate::*;
use store::{ModelStore, Shared};

type Db = Database<ModelStore>;

fn open() -> Db {
    open_over(Shared::default())
}

fn open_over(store: Shared) -> Db {
    let options = Options::new().pruning(Pruning::Manual);
    Database::open(ModelStore(Arc::new(store)), options).unwrap()
}

fn put(db: &Db, key: &'static [u8], value: &'static [u8]) -> Result<Timestamp> {
    put_with(db, &TxnOptions::new(), key, value)
}

fn put_with(
    db: &Db,
    options: &TxnOptions,
    key: &'static [u8],
    value: &'static [u8],
) -> Result<Timestamp> {
    let mut txn = db.begin_write_with(options)?;
    txn.put(key, value)?;
    Ok(txn.commit()?.commit_ts.unwrap())
}

/// Whether the store has a record of `key`, visible or not.
fn has_record(db: &Db, key: &[u8]) -> bool {
    db.store().0.records.lock().unwrap().contains_key(key)
}

/// Declares a model and its broken twins as one test.
macro_rules! model {
    ($name:ident, $preemptions:expr, $run:path, $invariant:literal, broken: $($mistake:literal),+) => {
        #[test]
        fn $name() {
            crate::model::check(&super::Model {
                name: stringify!($name),
                invariant: $invariant,
                preemptions: $preemptions,
                run: $run,
                twins: &[$($mistake),+],
            });
        }
    };
}
use model;
