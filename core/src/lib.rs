//! Transactions, conflict detection, versions and retention of the Vellum
//! key-value engine.
//!
//! Three tiers, one direction:
//!
//! ```text
//!  users, layers, conformance        call
//!  API     Connection · ReadTxn · WriteTxn · VersionSet
//!  engine  Database<S>               implements the API once, over
//!  SPI     Store · Snapshot          which backends implement
//! ```
//!
//! # For users
//! A [`Connection`] begins transactions and saves versions. A write
//! transaction is serializable unless asked otherwise; if it loses to another
//! one it fails with a [conflict](ErrorKind::Conflict) that says what
//! happened, and [`transact`](ConnectionExt::transact) runs it again. Bring
//! the extension traits into scope for the conveniences:
//!
//! ```
//! use vellum_core::{Connection, ConnectionExt, Result, WriteTxnExt};
//!
//! /// Adds one to a counter, whatever other threads do.
//! fn increment(db: &impl Connection) -> Result<()> {
//!     db.transact(|txn| {
//!         txn.update(b"hits", |old| {
//!             let hits = old.and_then(|v| std::str::from_utf8(v).ok()?.parse().ok()).unwrap_or(0u64);
//!             Some((hits + 1).to_string().into())
//!         })?;
//!         Ok(())
//!     })
//! }
//! ```
//!
//! This crate has no backend: `vellum` has two, and [`AnyConnection`] chooses
//! among them at run time.
//!
//! # For authors of backends
//! Implement [`Store`] and [`Snapshot`], an ordered map that keeps several
//! records per key, and [`Database::open`] makes it a database whose isolation
//! it cannot break. Then run `vellum-conformance` on it.
#![forbid(unsafe_code)]

mod any;
mod backoff;
mod connection;
mod database;
mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod limits;
#[cfg(loom)]
#[doc(hidden)]
pub mod model;
mod options;
mod range;
mod retention;
mod spread;
mod stats;
mod store;
mod sync;
mod timestamp;
mod txn;
mod version;
mod watch;

pub use any::{AnyConnection, AnyRange, AnyRead, AnySnapshotReads, AnyVersions, AnyWrite};
pub use bytes::Bytes;

pub use connection::{
    At, Changes, CommittedWrites, Connection, ConnectionExt, Diff, DiffEntry, Retry,
};
pub use database::{
    Database, DatabaseRange, DatabaseRead, DatabaseSnapshotReads, DatabaseWrite, Versions,
};
pub use error::{ConflictInfo, Error, ErrorKind, Observed, Result};
pub use limits::{MAX_KEY_LEN, MAX_METADATA_LEN, MAX_TXN_BYTES, MAX_VALUE_LEN};
pub use options::{History, Options, Pruning};
pub use range::KeyRange;
pub use retention::Retention;
pub use spread::{Held, Spread};
pub use stats::Stats;
pub use store::{
    BoxIter, CatalogWrite, Commit, Group, Previous, PruneReport, Record, Recovered, Snapshot,
    Store, StoreStats, VerifyReport, Write,
};
pub use timestamp::Timestamp;
pub use txn::{
    CommitInfo, Durability, Isolation, KeyValue, ReadTxn, ReadTxnExt, TxnOptions, WriteConflicts,
    WriteTxn, WriteTxnExt,
};
pub use version::{KeepRule, Metadata, SaveOptions, Version, VersionInfo, VersionSet};
pub use watch::{WatchHub, Watcher};
