//! Recording what a database does under many threads, and checking it.
//!
//! A [`Recorder`] makes a [`Connection`](vellum_core::Connection) that writes
//! down every transaction: what it read and wrote, at which timestamp, when it
//! was called and when it returned, and how it ended. [`run`] drives a seeded
//! [`Workload`] through one; any program can do its own. [`check`] then holds
//! the [`History`] against what was promised, and answers with what it looked
//! at ([`Verified`]) or with a story ([`Anomaly`]).
//!
//! # How the check works
//! Every commit has a timestamp, and the claim is that the commits are
//! equivalent to running one after another in that order. So they are: the
//! check replays the writes in the order of their timestamps and compares every
//! read with the state that it should have seen. That takes linear time and
//! covers ranges, deletes and absent keys, where checkers without timestamps
//! look for cycles among the orders that they can infer, of single keys. The
//! idea is that of Chronos and Aion ("Online Timestamp-based Transactional
//! Isolation Checking of Database Systems", arXiv 2504.01477).
//!
//! 1. Timestamps are unique, above the origin and above their transaction's
//!    snapshot, and in the order of real time.
//! 2. *Snapshots.* Every read of every transaction, committed or not, equals
//!    the state at its snapshot under its own writes (T1, T2; for aborted
//!    transactions this is opacity).
//! 3. *Serializability.* Every validated read of a committed serializable write
//!    transaction equals the state just before its commit too. A range counts
//!    as far as it was consumed: what it passed over is read as absent.
//! 4. *First committer wins.* Where write conflicts are detected, nobody wrote
//!    the same key between snapshot and commit. Under snapshot isolation this
//!    and 2 are all that is asked.
//! 5. *Real time.* A snapshot holds every commit that had returned when it was
//!    asked for, and none that was not yet called when it was there.
//! 6. *Versions.* A version holds the state at its save's timestamp; reverts
//!    and restores are commits that write what the named version held; numbers
//!    live from their save to their removal.
//! 7. *Unknown outcomes* are decided by what was seen of them.
//!
//! Acceptance proves the claim, whatever the timestamps mean: they only name
//! the order that explains everything. A rejection means that either the order
//! or a timestamp is wrong, which are both bugs. To tell which, and to say it
//! to a person, the dependency graph (Adya's ww, wr and rw, the latter also
//! through ranges, and real time) is built on a rejection; the shortest cycle
//! through the transaction that read wrongly names the [`Class`] and tells the
//! story.
//!
//! # What it does not prove
//! That other runs are right, or that what is not recorded is (`diff`,
//! `changes`, watchers, statistics; the conformance cases look at these).
//! Durability: it knows nothing of crashes, but a history that goes on after
//! one shows what was lost. Liveness: a database that refuses everything
//! passes; [`Verified::committed`] tells.
//!
//! # Without timestamps
//! [`check_untimed`] judges histories of other systems, written down in a
//! [notation of one line a session](Untimed), by trying all orders. It is slow
//! and small, shares no code with the replay, and is there to validate it.

mod anomaly;
mod check;
mod elle;
mod format;
mod graph;
mod recorder;
mod run;
mod story;
mod timeline;
mod types;
mod untimed;
mod workload;

pub use anomaly::{Anomaly, Class, Verified};
pub use check::check;
pub use elle::ElleFormat;
pub use recorder::{
    Recorded, RecordedRange, RecordedRead, RecordedSnapshotReads, RecordedWrite, Recorder,
};
pub use run::{run, run_with_progress};
pub use types::{Change, Event, History, Op, Outcome, RangeRead, Span, State, Txn, TxnKind};
pub use untimed::{Level, Untimed, UntimedOp, UntimedTxn, check_untimed};
pub use workload::{Kind, Workload};
