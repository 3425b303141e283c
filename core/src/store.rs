//! The SPI: what a backend implements to become a database.
//!
//! A store keeps records, each a key, a commit timestamp and a value or a
//! tombstone, and shows them at a timestamp. It knows nothing of conflicts,
//! isolation, groups, versions or limits: [`Database`](crate::Database) is the
//! one implementation of those, so no store can get them wrong.

use std::fmt;

use bytes::Bytes;

use crate::{Durability, KeyRange, Result, Retention, Timestamp};

/// A value and the timestamp of the commit that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The commit that wrote it.
    pub ts: Timestamp,
    /// What it wrote.
    pub value: Bytes,
}

/// An owned iterator of results that can move between threads.
pub type BoxIter<T> = Box<dyn Iterator<Item = Result<T>> + Send>;

/// A multi-version ordered store.
///
/// # Contract
/// The engine promises to a store:
/// - [`apply`](Self::apply) and [`publish`](Self::publish) are called by one
///   thread at a time, with timestamps that grow strictly; each group that was
///   applied is published before the next is applied. Every other method may
///   be called at any time from any thread, also while these run.
/// - Keys, values and metadata are within the limits, writes within a commit
///   are sorted by key, and no key stands twice in a commit.
/// - [`snapshot_at`](Self::snapshot_at) and [`changes`](Self::changes) are
///   asked only for timestamps that are retained: a pin, or one at or above
///   the horizon of the last [`Retention`].
/// - After `apply` failed, neither `apply` nor `publish` is called again.
/// - Every snapshot that the engine holds is in each [`Retention`] that it makes
///   meanwhile, so that a store may rely on that to keep what it sees.
///
/// A store promises to the engine:
/// - a group is atomic: after any crash all of it is there or none, and no
///   commit is there without all before it;
/// - what was applied shows in [`snapshot`](Self::snapshot) once it is
///   published, and not before;
/// - a snapshot never changes, whatever is applied or pruned after;
/// - a record that [`Retention::is_dead`] does not call dead is kept;
/// - no method panics, and no failed I/O is reported as success.
pub trait Store: Send + Sync + 'static {
    /// An immutable view at one timestamp.
    type Snapshot: Snapshot;

    /// The backend's name, for errors and statistics.
    fn name(&self) -> &'static str;

    /// What stood in the store when it was opened. Called once, first.
    ///
    /// # Errors
    /// `Corrupted`; `Io`.
    fn recover(&self) -> Result<Recovered>;

    /// The newest published state. No I/O and no lock that `apply` holds
    /// during I/O: this is the beginning of every transaction.
    ///
    /// # Errors
    /// `Closed`; `Io`.
    fn snapshot(&self) -> Result<Self::Snapshot>;

    /// The state at `ts`, which is retained and at or below the newest
    /// published timestamp.
    ///
    /// # Errors
    /// `Closed`; `Io`.
    fn snapshot_at(&self, ts: Timestamp) -> Result<Self::Snapshot>;

    /// Moves a value that a transaction writes to where the store will keep it,
    /// on the thread that writes it, so that committing need not. It may be
    /// dropped unused; what comes back has the same bytes.
    fn pack(&self, value: Bytes) -> Bytes {
        value
    }

    /// Makes a group of commits as durable as it asks, as one atomic step.
    /// They do not show in snapshots yet.
    ///
    /// # Errors
    /// `CommitUnknown` if the group may be there after a restart, any other
    /// kind if it is certain that it is not.
    fn apply(&self, group: Group<'_>) -> Result<()>;

    /// Shows everything that was applied, up to and including `ts`, in
    /// snapshots from now on. Quick, no I/O.
    fn publish(&self, ts: Timestamp);

    /// Removes records that `keep` calls dead, and whatever else a store keeps
    /// for timestamps that are no longer retained. It may remove less than
    /// allowed, never more. `keep` may be older than the newest commits: what
    /// came after its horizon is retained.
    ///
    /// # Errors
    /// `Closed`; `Io`; `Corrupted`.
    fn prune(&self, keep: &Retention) -> Result<PruneReport>;

    /// The keys in `range` that were written after `from` and at or before
    /// `to`, in ascending order, each once. It may yield keys that were not,
    /// at a cost; it may not miss one. `from` is at or below `to`, was
    /// retained when both snapshots were taken, and neither is pruned while
    /// it is held.
    ///
    /// # Errors
    /// `Closed`; `Io`; `Corrupted`; also as items.
    fn touched(
        &self,
        from: &Self::Snapshot,
        to: &Self::Snapshot,
        range: &KeyRange,
    ) -> Result<BoxIter<Bytes>>;

    /// The commits after `from` and at or before `to`'s timestamp, in order,
    /// each with its writes sorted by key. Asked only where every one of them
    /// was applied as [`logged`](Commit::logged).
    ///
    /// # Errors
    /// `Closed`; `Io`; `Corrupted`; also as items.
    fn changes(
        &self,
        from: Timestamp,
        to: &Self::Snapshot,
    ) -> Result<BoxIter<crate::CommittedWrites>>;

    /// Makes every group that was applied survive power loss.
    ///
    /// # Errors
    /// Any kind: nothing that was not synced before may be relied on after it.
    fn sync(&self) -> Result<()>;

    /// Reads everything at rest and checks it.
    ///
    /// # Errors
    /// `Corrupted` with the place; `Closed`; `Io`.
    fn verify(&self) -> Result<VerifyReport>;

    /// Flushes and lets go of files and locks, as far as no open snapshot
    /// needs them; calls after it answer `Closed`. Idempotent.
    ///
    /// # Errors
    /// `Io` if what was buffered could not be flushed.
    fn close(&self) -> Result<()>;

    /// Counts and sizes, cheaply.
    fn stats(&self) -> StoreStats;
}

/// An immutable view of a [`Store`] at one timestamp.
///
/// # Contract
/// It yields for each key the newest record at or below its timestamp, and
/// nothing where that is a tombstone. It stays valid, and the same, for as
/// long as it lives.
pub trait Snapshot: Clone + Send + Sync + 'static {
    /// The iterator of [`range`](Self::range).
    type Range<'a>: DoubleEndedIterator<Item = Result<(Bytes, Record)>> + Send
    where
        Self: 'a;

    /// The timestamp of the view.
    fn ts(&self) -> Timestamp;

    /// The record of `key`.
    ///
    /// # Errors
    /// `Closed`; `Io`; `Corrupted`.
    fn get(&self, key: &[u8]) -> Result<Option<Record>>;

    /// The records in `range`, in bytewise order of their keys, from both
    /// ends. The range may be empty.
    fn range(&self, range: &KeyRange) -> Self::Range<'_>;
}

/// What stood in a store when it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The newest commit; zero in a new store.
    pub last_ts: Timestamp,
    /// Every entry of the [catalog](CatalogWrite), in key order.
    pub catalog: Vec<(Bytes, Bytes)>,
}

/// Commits in timestamp order, to be applied as one.
#[derive(Debug)]
pub struct Group<'a> {
    /// The commits, ascending by timestamp; never empty.
    pub commits: Vec<Commit>,
    /// How durable the group must be when `apply` returns.
    pub durability: Durability,
    /// What is retained, as of some time before this group: what it calls dead
    /// may be removed on the way.
    pub retention: &'a Retention,
}

/// One commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its timestamp, above every earlier one.
    pub ts: Timestamp,
    /// What it writes, sorted by key, each key once.
    pub writes: Vec<Write>,
    /// What it writes to the catalog.
    pub catalog: Vec<CatalogWrite>,
    /// The newest retained timestamp below `ts`, other than open snapshots:
    /// a record that this commit supersedes, and whose own timestamp is at or
    /// below this, must stay readable there, and the key must come up in
    /// [`touched`](Store::touched) from there. `None` if nothing is retained.
    pub preserve: Option<Timestamp>,
    /// Whether [`changes`](Store::changes) must be able to yield this commit.
    pub logged: bool,
}

/// One key written by a [`Commit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The key.
    pub key: Bytes,
    /// Its new value; `None` deletes it.
    pub value: Option<Bytes>,
    /// The record that this one supersedes, where the transaction read it and
    /// validation proved that it still stands.
    pub previous: Previous,
}

/// What is known of the record that a [`Write`] supersedes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Previous {
    /// Nothing: look it up if you need it.
    #[default]
    Unknown,
    /// The key has no value.
    Absent,
    /// The key has this record.
    Record(Record),
}

/// One entry of the catalog, a small map that belongs to the engine: the
/// version table and what else must change atomically with a commit. A store
/// keeps it apart from the records, hands it back in [`Recovered`], and does
/// not look into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogWrite {
    /// The entry's key, of at most 64 bytes.
    pub key: Bytes,
    /// Its new value; `None` removes the entry.
    pub value: Option<Bytes>,
}

/// What a prune did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PruneReport {
    /// Records removed, tombstones included.
    pub records_removed: u64,
    /// Bytes of keys and values that they held, as far as the store knows.
    pub bytes_removed: u64,
}

impl PruneReport {
    /// So many records of so many bytes were removed.
    #[must_use]
    pub const fn new(records_removed: u64, bytes_removed: u64) -> Self {
        Self { records_removed, bytes_removed }
    }
}

/// What a verification read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Records that were read and found well.
    pub records: u64,
    /// Bytes of keys and values that they hold.
    pub bytes: u64,
}

impl VerifyReport {
    /// So many records of so many bytes were read and found well.
    #[must_use]
    pub const fn new(records: u64, bytes: u64) -> Self {
        Self { records, bytes }
    }
}

/// Counts and sizes of a store. A store fills in what it knows cheaply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStats {
    /// Keys that the store holds, dead ones included, as far as it counts them.
    pub keys: Option<u64>,
    /// Records that the store holds, superseded ones and tombstones included.
    pub records: Option<u64>,
    /// Bytes in memory.
    pub memory_bytes: Option<u64>,
    /// Bytes on disk.
    pub disk_bytes: Option<u64>,
}

impl StoreStats {
    /// Nothing is known.
    #[must_use]
    pub const fn new() -> Self {
        Self { keys: None, records: None, memory_bytes: None, disk_bytes: None }
    }
}

impl fmt::Display for StoreStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut write = |what, n: Option<u64>| match n {
            Some(n) => write!(f, "{what} {n}  "),
            None => Ok(()),
        };
        write("keys", self.keys)?;
        write("records", self.records)?;
        write("memory bytes", self.memory_bytes)?;
        write("disk bytes", self.disk_bytes)
    }
}
