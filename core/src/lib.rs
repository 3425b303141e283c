//! Transactions, conflict detection, versions and retention of the Vellum
//! key-value engine.
//!
//! Three tiers, one direction: users call the traits [`Connection`],
//! [`ReadTxn`], [`WriteTxn`] and [`VersionSet`]; [`Database`] implements them
//! once; it runs over any [`Store`]. [`AnyConnection`] hides which.
#![forbid(unsafe_code)]

mod any;
mod backoff;
mod connection;
mod database;
mod error;
mod limits;
mod options;
mod range;
mod retention;
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
