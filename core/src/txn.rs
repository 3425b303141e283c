//! The traits [`ReadTxn`] and [`WriteTxn`], how a transaction is asked for,
//! and the conveniences that are built on the traits alone.

use std::time::Duration;

use bytes::Bytes;

use crate::{KeyRange, Result, Timestamp};

/// A key and its value.
pub type KeyValue = (Bytes, Bytes);

/// A snapshot that can be read: the state of the database at one timestamp.
///
/// # Contract
/// For users: a transaction sees exactly the commits at or below
/// [`read_ts`](Self::read_ts), and in a write transaction its own writes over
/// them, from begin to end, whatever else commits. It owns what it needs: it
/// can move to another thread and outlive the handle that made it.
///
/// For implementors: ranges yield each visible key once, in bytewise order,
/// from both ends, and the ends meet without a gap or a repeat; after an `Err`
/// a range yields only errors of that kind or the end. Every method here that
/// returns information is a read and is validated at commit in a serializable
/// write transaction (I3); the conveniences of [`ReadTxnExt`] are built on
/// these three so that none can forget it.
pub trait ReadTxn: Send {
    /// The iterator of [`range`](Self::range). It borrows the transaction, so
    /// writing under an open iterator does not compile.
    type Range<'a>: DoubleEndedIterator<Item = Result<KeyValue>> + Send
    where
        Self: 'a;

    /// The timestamp that this transaction reads at.
    fn read_ts(&self) -> Timestamp;

    /// The value of `key`; `None` if there is none.
    ///
    /// # Errors
    /// `Invalid` if the key is empty or longer than
    /// [`MAX_KEY_LEN`](crate::MAX_KEY_LEN); `Closed`; `Corrupted`; `Io`.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>>;

    /// The keys in `range` with their values, in ascending order; from the
    /// back in descending order. Inverted or empty bounds yield nothing.
    ///
    /// Errors come as items: `Closed`, `Corrupted`, `Io`.
    fn range(&self, range: impl Into<KeyRange>) -> Self::Range<'_>;
}

/// A transaction that reads and writes. Nothing it writes is visible to any
/// other before [`commit`](Self::commit).
///
/// Dropping it, discarding it and a failed commit leave no trace.
///
/// # Contract
/// For implementors: reads see the transaction's own writes and deletes; a
/// commit under [`Isolation::Serializable`] fails with `Conflict` exactly if
/// another transaction that committed after `read_ts` wrote a key that this
/// one read, a key in a range that it observed, or (unless
/// [`WriteConflicts::Ignore`]) a key that it writes. A range observes the keys
/// up to the one it last yielded, all of it once it is exhausted, and nothing
/// if it was never advanced.
pub trait WriteTxn: ReadTxn {
    /// The view of [`snapshot_reads`](Self::snapshot_reads).
    type SnapshotReads<'a>: ReadTxn
    where
        Self: 'a;

    /// Sets `key` to `value`. An empty value is a value.
    ///
    /// # Errors
    /// `Invalid` if the key is empty, or the key, the value or the transaction
    /// would be over its limit (`MAX_KEY_LEN`, `MAX_VALUE_LEN`,
    /// `MAX_TXN_BYTES`); the transaction stays usable. `Closed`.
    fn put(&mut self, key: &[u8], value: impl Into<Bytes>) -> Result<()>;

    /// Removes `key`. Removing an absent key is no error, and is a write.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    fn delete(&mut self, key: &[u8]) -> Result<()>;

    /// Declares these keys as read, without reading them: a later commit that
    /// wrote one of them is a conflict. Under [`Isolation::Snapshot`], which
    /// validates no reads, it changes nothing.
    ///
    /// # Errors
    /// `Closed`.
    fn mark_read(&mut self, range: impl Into<KeyRange>) -> Result<()>;

    /// Declares these keys as written, without writing them: others that read
    /// or write one of them conflict with this transaction as if it had. The bounds
    /// count as written bytes.
    ///
    /// # Errors
    /// `Invalid` if the transaction would be over its limit (`MAX_TXN_BYTES`); it stays
    /// usable. `Closed`.
    fn mark_written(&mut self, range: impl Into<KeyRange>) -> Result<()>;

    /// A view of this transaction, its own writes included, whose reads are
    /// not validated at commit.
    fn snapshot_reads(&self) -> Self::SnapshotReads<'_>;

    /// Makes everything that was written visible at one new timestamp.
    ///
    /// A transaction that wrote nothing commits without a timestamp, without
    /// conflict and without I/O.
    ///
    /// # Errors
    /// `Conflict` (nothing was written; run it again); `CommitUnknown` (it may
    /// or may not be durable); `Io` (nothing was written, and the handle takes no more
    /// writes); `Poisoned`, `Closed`, `Invalid` if no timestamp is left (nothing was
    /// written).
    fn commit(self) -> Result<CommitInfo>;

    /// Drops everything that was written.
    fn discard(self);
}

/// What a successful commit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommitInfo {
    /// The timestamp that the writes became visible at; `None` if the
    /// transaction wrote nothing.
    pub commit_ts: Option<Timestamp>,
}

impl CommitInfo {
    /// A commit at `commit_ts`; `None` for one that wrote nothing.
    #[must_use]
    pub const fn new(commit_ts: Option<Timestamp>) -> Self {
        Self { commit_ts }
    }
}

/// Which anomalies a write transaction can see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isolation {
    /// As if the committed transactions ran one after another, in the order of
    /// their commit timestamps (strict serializability within a process).
    #[default]
    Serializable,
    /// Reads are not validated: two transactions that each read what the other
    /// writes can both commit (write skew). First committer wins on written
    /// keys.
    Snapshot,
}

/// What happens when two concurrent transactions write one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WriteConflicts {
    /// The first to commit wins; the other conflicts, also if it never read
    /// the key.
    #[default]
    Detect,
    /// Both commit, and the later commit timestamp wins. What the transaction
    /// read is still validated.
    Ignore,
}

/// What has happened to a commit by the time it is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// It was handed to the operating system: it survives the death of the
    /// process, not of the machine.
    Buffered,
    /// It was fsynced: it survives power loss.
    #[default]
    Sync,
}

/// How a write transaction is begun.
///
/// ```
/// use vellum_core::{Durability, Isolation, TxnOptions};
/// let o = TxnOptions::new().isolation(Isolation::Snapshot).durability(Durability::Buffered);
/// assert_eq!(o.isolation, Isolation::Snapshot);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TxnOptions {
    /// Which anomalies it can see.
    pub isolation: Isolation,
    /// Whether two writers of one key conflict.
    pub write_conflicts: WriteConflicts,
    /// How durable its commit is when it returns; `None` takes the
    /// connection's default.
    pub durability: Option<Durability>,
    /// Run alone: until this transaction ends, or this time has passed since
    /// it began, the commits of others wait, so it cannot lose. For a
    /// transaction that keeps losing; the retry helper uses it. Beginning one
    /// waits for others that run alone.
    pub alone_for: Option<Duration>,
}

impl TxnOptions {
    /// Serializable, write conflicts detected, default durability, not alone.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            isolation: Isolation::Serializable,
            write_conflicts: WriteConflicts::Detect,
            durability: None,
            alone_for: None,
        }
    }

    /// Sets the isolation.
    #[must_use]
    pub const fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }

    /// Sets what happens when two transactions write one key.
    #[must_use]
    pub const fn write_conflicts(mut self, write_conflicts: WriteConflicts) -> Self {
        self.write_conflicts = write_conflicts;
        self
    }

    /// Sets how durable the commit is when it returns.
    #[must_use]
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.durability = Some(durability);
        self
    }

    /// Makes the commits of others wait for this transaction, for at most
    /// this long.
    #[must_use]
    pub const fn alone_for(mut self, bound: Duration) -> Self {
        self.alone_for = Some(bound);
        self
    }
}

/// What every [`ReadTxn`] can do, built on its three methods.
///
/// ```
/// use vellum_core::{KeyRange, KeyValue, ReadTxn, ReadTxnExt, Result};
///
/// fn newest_event(txn: &impl ReadTxn) -> Result<Option<KeyValue>> {
///     txn.last(KeyRange::prefix("event/"))
/// }
/// ```
pub trait ReadTxnExt: ReadTxn {
    /// Whether `key` has a value.
    ///
    /// # Errors
    /// As [`ReadTxn::get`].
    fn contains(&self, key: &[u8]) -> Result<bool> {
        Ok(self.get(key)?.is_some())
    }

    /// The first key in `range` and its value. Observes up to that key only.
    ///
    /// # Errors
    /// As the items of [`ReadTxn::range`].
    fn first(&self, range: impl Into<KeyRange>) -> Result<Option<KeyValue>> {
        self.range(range).next().transpose()
    }

    /// The last key in `range` and its value. Observes down to that key only.
    ///
    /// # Errors
    /// As the items of [`ReadTxn::range`].
    fn last(&self, range: impl Into<KeyRange>) -> Result<Option<KeyValue>> {
        self.range(range).next_back().transpose()
    }

    /// The keys that begin with `prefix`, with their values.
    fn prefix(&self, prefix: impl AsRef<[u8]>) -> Self::Range<'_> {
        self.range(KeyRange::prefix(prefix))
    }

    /// How many keys are in `range`. Reads and observes all of it.
    ///
    /// # Errors
    /// As the items of [`ReadTxn::range`].
    fn count(&self, range: impl Into<KeyRange>) -> Result<u64> {
        self.range(range).try_fold(0, |n, item| item.map(|_| n + 1))
    }

    /// Whether `range` holds no key. Observes up to the first one.
    ///
    /// # Errors
    /// As the items of [`ReadTxn::range`].
    fn is_empty(&self, range: impl Into<KeyRange>) -> Result<bool> {
        Ok(self.first(range)?.is_none())
    }
}

impl<T: ReadTxn + ?Sized> ReadTxnExt for T {}

/// What every [`WriteTxn`] can do, built on its methods.
pub trait WriteTxnExt: WriteTxn {
    /// Replaces the value of `key` by what `f` makes of it; `None` deletes.
    /// Returns the old value.
    ///
    /// # Errors
    /// As [`ReadTxn::get`] and [`WriteTxn::put`].
    fn update(
        &mut self,
        key: &[u8],
        f: impl FnOnce(Option<&Bytes>) -> Option<Bytes>,
    ) -> Result<Option<Bytes>> {
        let old = self.get(key)?;
        match f(old.as_ref()) {
            Some(new) => self.put(key, new)?,
            None if old.is_some() => self.delete(key)?,
            None => {}
        }
        Ok(old)
    }

    /// Sets `key` to `value` if it has none, and says whether it did.
    ///
    /// # Errors
    /// As [`ReadTxn::get`] and [`WriteTxn::put`].
    fn put_if_absent(&mut self, key: &[u8], value: impl Into<Bytes>) -> Result<bool> {
        let absent = self.get(key)?.is_none();
        if absent {
            self.put(key, value)?;
        }
        Ok(absent)
    }

    /// Reads `key` and declares it written, so that two transactions that do
    /// so conflict even if neither writes it.
    ///
    /// # Errors
    /// As [`ReadTxn::get`] and [`WriteTxn::mark_written`].
    fn get_for_update(&mut self, key: &[u8]) -> Result<Option<Bytes>> {
        let value = self.get(key)?;
        self.mark_written(KeyRange::key(key))?;
        Ok(value)
    }

    /// Deletes every key in `range`, and says how many there were. Reads and
    /// observes all of it, at a cost that follows the number of keys.
    ///
    /// # Errors
    /// As the items of [`ReadTxn::range`] and [`WriteTxn::delete`].
    fn delete_range(&mut self, range: impl Into<KeyRange>) -> Result<u64> {
        let keys: Vec<Bytes> =
            self.range(range).map(|item| item.map(|(key, _)| key)).collect::<Result<_>>()?;
        for key in &keys {
            self.delete(key)?;
        }
        Ok(keys.len() as u64)
    }
}

impl<T: WriteTxn> WriteTxnExt for T {}
