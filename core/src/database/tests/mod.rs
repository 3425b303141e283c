//! Tests of the engine over a map. What every backend must do is tested by
//! `vellum-conformance`; here is what needs a look inside, or a fault.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod failure;
mod index;
mod map_store;
mod order;
mod retention;
mod surface;
mod window;

use crate::*;
use map_store::MapStore;

type TestResult = Result<()>;

fn open() -> Result<(Database<MapStore>, MapStore)> {
    open_with(Options::new().pruning(Pruning::Manual))
}

fn open_with(options: Options) -> Result<(Database<MapStore>, MapStore)> {
    let store = MapStore::default();
    Ok((Database::open(store.clone(), options)?, store))
}

fn put(db: &Database<MapStore>, key: &'static str, value: &'static str) -> Result<Timestamp> {
    let mut txn = db.begin_write()?;
    txn.put(key.as_bytes(), value)?;
    Ok(txn.commit()?.commit_ts.unwrap())
}

fn get(txn: &impl ReadTxn, key: &str) -> Option<String> {
    let value = txn.get(key.as_bytes()).unwrap()?;
    Some(String::from_utf8(value.to_vec()).unwrap())
}

fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|e| e.kind())
}
