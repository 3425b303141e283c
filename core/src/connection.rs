//! The trait [`Connection`], what its calls take and give back, and the retry
//! helper.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::store::{BoxIter, PruneReport, VerifyReport};
use crate::{
    CommitInfo, Error, ErrorKind, KeepRule, KeyRange, ReadTxn, Result, SaveOptions, Stats,
    Timestamp, TxnOptions, Version, VersionSet, Watcher, WriteTxn,
};

/// A handle on a database. Cloning it is cheap and gives another handle on the
/// same database; transactions do not borrow from it.
///
/// # Contract
/// For users: every guarantee is numbered in `docs/contract.md`, and every
/// backend that passes `vellum-conformance` keeps all of them. After
/// [`close`](Self::close) every call, and every read in a transaction that is
/// still open, answers `Closed`.
///
/// For implementors: a store (an ordered map that keeps several records per
/// key) implements [`Store`](crate::Store) and gets all this from
/// [`Database`](crate::Database). Implement `Connection` itself only for an
/// engine that has transactions of its own. No method may panic.
pub trait Connection: Clone + Send + Sync + 'static {
    /// What [`begin_read`](Self::begin_read) gives.
    type Read: ReadTxn + 'static;
    /// What [`begin_write`](ConnectionExt::begin_write) gives.
    type Write: WriteTxn + 'static;
    /// What [`versions`](Self::versions) gives.
    type Versions: VersionSet + 'static;

    /// Begins a read transaction on the newest committed state. It never
    /// conflicts, never waits for a writer and never makes one wait.
    ///
    /// # Errors
    /// `Closed`; `Io`.
    fn begin_read(&self) -> Result<Self::Read>;

    /// Begins a read transaction on a saved version.
    ///
    /// # Errors
    /// `VersionNotFound` if it was never saved, was deleted, or is 0; `Closed`;
    /// `Io`.
    fn read_at(&self, version: Version) -> Result<Self::Read>;

    /// Begins a read transaction on the state at a timestamp: the head's, a
    /// saved version's, or any that the [`History`](crate::History) option
    /// keeps.
    ///
    /// # Errors
    /// `HistoryPruned` if it is no longer kept; `Invalid` if it is above the
    /// head; `Closed`; `Io`.
    fn read_as_of(&self, ts: Timestamp) -> Result<Self::Read>;

    /// Begins a write transaction on the newest committed state.
    ///
    /// # Errors
    /// `Poisoned`; `ReadOnly`; `Closed`; `Io`.
    fn begin_write_with(&self, options: &TxnOptions) -> Result<Self::Write>;

    /// The saved versions at this instant.
    ///
    /// # Errors
    /// `Closed`.
    fn versions(&self) -> Result<Self::Versions>;

    /// Saves the head as a version and returns its number.
    ///
    /// # Errors
    /// `OpenTransactions` if a write transaction is open and the options do
    /// not allow it; `InvalidVersion` if the number is not above the last one,
    /// or no number is left; `Invalid` if the metadata is over
    /// [`MAX_METADATA_LEN`](crate::MAX_METADATA_LEN); nothing changes then.
    /// `CommitUnknown`; `Poisoned`; `Closed`; `Io`.
    fn save_version_with(&self, options: SaveOptions) -> Result<Version>;

    /// Deletes these versions, all or none. Transactions that read them go on.
    ///
    /// # Errors
    /// `VersionNotFound` if one of them does not exist; nothing changes then.
    /// `CommitUnknown`; `Poisoned`; `Closed`; `Io`.
    fn delete_versions(&self, versions: &[Version]) -> Result<()>;

    /// Makes the head equal to the last saved version (empty, if there is
    /// none), as one commit. Costs what changed since then.
    ///
    /// # Errors
    /// `OpenTransactions`; `Invalid` if what changed is over
    /// [`MAX_TXN_BYTES`](crate::MAX_TXN_BYTES); nothing changes then.
    /// `CommitUnknown`; `Poisoned`; `Closed`; `Io`.
    fn revert(&self) -> Result<CommitInfo>;

    /// Makes the head equal to `version` and removes every version above it,
    /// as one commit. Costs what changed since then.
    ///
    /// # Errors
    /// `VersionNotFound`, and as [`revert`](Self::revert).
    fn revert_to(&self, version: Version) -> Result<CommitInfo>;

    /// Makes the keys of `range` in the head equal to those of `version`, as
    /// an ordinary serializable commit that removes no version. Costs what
    /// changed.
    ///
    /// # Errors
    /// `VersionNotFound`; `Conflict`; `Invalid` if what changed is over
    /// [`MAX_TXN_BYTES`](crate::MAX_TXN_BYTES); `CommitUnknown`; `Poisoned`;
    /// `Closed`; `Io`.
    fn restore(&self, version: Version, range: KeyRange) -> Result<CommitInfo>;

    /// The keys in `range` whose values differ between two states, ascending,
    /// with both values. Costs what changed between them.
    ///
    /// # Errors
    /// `VersionNotFound`, `HistoryPruned`, `Invalid` as for reading there;
    /// `Closed`; `Io`; `Corrupted`, also as items.
    fn diff(&self, from: At, to: At, range: KeyRange) -> Result<Diff>;

    /// The commits after `from`, up to and including `to`, in order, each with
    /// its writes. Needs the [`History`](crate::History) option.
    ///
    /// # Errors
    /// `HistoryPruned` if not all of them are kept any more, never a part of
    /// them; `Invalid` if `to` is above the head; `Closed`; `Io`; `Corrupted`,
    /// also as items.
    fn changes(&self, from: Timestamp, to: Timestamp) -> Result<Changes>;

    /// A watcher that is woken after every commit that writes a key in `range`.
    ///
    /// # Errors
    /// `Closed`; `Unsupported`.
    fn watch(&self, range: KeyRange) -> Result<Watcher>;

    /// Removes the records that no open snapshot, no saved version, no kept
    /// history and no head can see. The engine also does so by itself, unless
    /// [`Pruning::Manual`](crate::Pruning) was asked for. Where less of the history is
    /// kept from now on, that is made known first, by a commit that waits for a
    /// transaction that runs alone.
    ///
    /// # Errors
    /// `Closed`; `Poisoned`; `CommitUnknown`; `Io`; `Corrupted`.
    fn prune(&self) -> Result<PruneReport>;

    /// Reads everything at rest and checks it.
    ///
    /// # Errors
    /// `Corrupted` with the place; `Closed`; `Io`.
    fn verify(&self) -> Result<VerifyReport>;

    /// Makes every acknowledged commit survive power loss.
    ///
    /// # Errors
    /// `CommitUnknown` if the fsync failed: commits that were acknowledged as
    /// [`Buffered`](crate::Durability::Buffered) may be lost; `Poisoned`;
    /// `Closed`.
    fn sync(&self) -> Result<()>;

    /// What the engine counts.
    ///
    /// # Errors
    /// `Closed`.
    fn stats(&self) -> Result<Stats>;

    /// Flushes, syncs and closes. Transactions that are still open answer
    /// `Closed`. Closing again does nothing.
    ///
    /// # Errors
    /// `Io`, `CommitUnknown` if what was buffered could not be made durable;
    /// the connection is closed all the same.
    fn close(&self) -> Result<()>;
}

/// A state that can be named: the head, a saved version, or a timestamp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum At {
    /// The newest committed state.
    #[default]
    Head,
    /// A saved version.
    Version(Version),
    /// A timestamp, where [`read_as_of`](Connection::read_as_of) can read.
    Timestamp(Timestamp),
}

impl From<Version> for At {
    fn from(v: Version) -> Self {
        Self::Version(v)
    }
}

impl From<Timestamp> for At {
    fn from(ts: Timestamp) -> Self {
        Self::Timestamp(ts)
    }
}

/// One key whose value differs between two states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffEntry {
    /// The key.
    pub key: Bytes,
    /// Its value in the first state; `None` if it is absent there.
    pub before: Option<Bytes>,
    /// Its value in the second state; `None` if it is absent there.
    pub after: Option<Bytes>,
}

/// The writes of one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedWrites {
    /// The commit's timestamp.
    pub commit_ts: Timestamp,
    /// What it wrote, in key order; `None` is a delete.
    pub writes: Vec<(Bytes, Option<Bytes>)>,
}

macro_rules! boxed_iterator {
    ($(#[$doc:meta])* $name:ident, $item:ty) => {
        $(#[$doc])*
        #[must_use]
        pub struct $name(BoxIter<$item>);

        impl $name {
            /// From any iterator of such items.
            pub fn new(items: impl Iterator<Item = Result<$item>> + Send + 'static) -> Self {
                Self(Box::new(items))
            }
        }

        impl Iterator for $name {
            type Item = Result<$item>;

            fn next(&mut self) -> Option<Self::Item> {
                self.0.next()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    };
}

boxed_iterator! {
    /// The answer of [`Connection::diff`]: the keys that differ, ascending.
    Diff, DiffEntry
}

boxed_iterator! {
    /// The answer of [`Connection::changes`]: commits in timestamp order.
    Changes, CommittedWrites
}

/// How [`transact_with`](ConnectionExt::transact_with) retries.
///
/// After the `n`-th conflict it waits a random time of up to
/// `backoff_min · 2ⁿ⁻¹`, at most `backoff_max` (full jitter, as in Brooker,
/// "Exponential Backoff and Jitter"). From the attempt after `alone_after`
/// conflicts on, the transaction runs alone
/// ([`TxnOptions::alone_for`]), so that it gets through in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retry {
    /// Give up after this many attempts and return the last conflict.
    pub attempts: u32,
    /// The first conflict waits at most this long.
    pub backoff_min: Duration,
    /// No conflict waits longer than this.
    pub backoff_max: Duration,
    /// Run alone once this many attempts in a row were lost.
    pub alone_after: u32,
    /// For how long an attempt may keep others waiting when it runs alone.
    pub alone_for: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 64,
            backoff_min: Duration::from_micros(20),
            backoff_max: Duration::from_millis(5),
            alone_after: 8,
            alone_for: Duration::from_secs(1),
        }
    }
}

impl Retry {
    /// Sets how many attempts are made; at least one is.
    #[must_use]
    pub const fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets the least and the greatest bound of the random wait.
    #[must_use]
    pub const fn backoff(mut self, min: Duration, max: Duration) -> Self {
        (self.backoff_min, self.backoff_max) = (min, max);
        self
    }

    /// Sets after how many lost attempts the transaction runs alone, and for
    /// how long it may keep others waiting.
    #[must_use]
    pub const fn alone(mut self, after: u32, bound: Duration) -> Self {
        (self.alone_after, self.alone_for) = (after, bound);
        self
    }

    /// The bound of the wait after the `lost`-th conflict.
    fn backoff_bound(&self, lost: u32) -> Duration {
        let factor = 1u32.checked_shl(lost.saturating_sub(1)).unwrap_or(u32::MAX);
        self.backoff_min.saturating_mul(factor).min(self.backoff_max)
    }
}

/// Runs `f` in transactions that `begin` begins until one commits.
pub(crate) fn retry<W: WriteTxn, X, T, E: From<Error>>(
    options: &TxnOptions,
    retry: &Retry,
    mut begin: impl FnMut(&TxnOptions) -> Result<(W, X)>,
    mut f: impl FnMut(&mut W, X) -> Result<T, E>,
) -> Result<(T, CommitInfo), E> {
    let mut lost = 0;
    loop {
        let mut options = *options;
        if lost >= retry.alone_after && options.alone_for.is_none() {
            options.alone_for = Some(retry.alone_for);
        }
        let (mut txn, more) = begin(&options)?;
        let value = f(&mut txn, more)?;
        match txn.commit() {
            Ok(info) => return Ok((value, info)),
            Err(e) if e.is_retryable() && lost + 1 < retry.attempts => {
                lost += 1;
                crate::backoff::wait(retry.backoff_bound(lost));
            }
            Err(e) => return Err(e.into()),
        }
    }
}

/// What every [`Connection`] can do, built on its methods.
pub trait ConnectionExt: Connection {
    /// Begins a write transaction with default options: serializable.
    ///
    /// # Errors
    /// As [`Connection::begin_write_with`].
    fn begin_write(&self) -> Result<Self::Write> {
        self.begin_write_with(&TxnOptions::new())
    }

    /// Runs `f` in a write transaction and commits it; runs it again on a
    /// fresh snapshot if it conflicts. An error of `f` discards the
    /// transaction and is returned at once.
    ///
    /// `f` may run several times: it should do nothing but read and write the
    /// transaction.
    ///
    /// # Errors
    /// What `f` returns; `Conflict` if every attempt of [`Retry::default`]
    /// lost; as [`WriteTxn::commit`].
    fn transact<T>(&self, f: impl FnMut(&mut Self::Write) -> Result<T>) -> Result<T> {
        self.transact_with(&TxnOptions::new(), &Retry::default(), f)
    }

    /// [`transact`](Self::transact) with options, and with an error type of
    /// the caller's own.
    ///
    /// # Errors
    /// As [`transact`](Self::transact).
    fn transact_with<T, E: From<Error>>(
        &self,
        options: &TxnOptions,
        retry: &Retry,
        mut f: impl FnMut(&mut Self::Write) -> Result<T, E>,
    ) -> Result<T, E> {
        let begin = |options: &TxnOptions| Ok((self.begin_write_with(options)?, ()));
        crate::connection::retry(options, retry, begin, |txn, ()| f(txn)).map(|(value, _)| value)
    }

    /// Saves the head under the next number, without metadata.
    ///
    /// # Errors
    /// As [`Connection::save_version_with`].
    fn save_version(&self) -> Result<Version> {
        self.save_version_with(SaveOptions::new())
    }

    /// Saves the head under this number, which must be above the last one.
    ///
    /// # Errors
    /// As [`Connection::save_version_with`].
    fn save_version_as(&self, number: impl Into<Version>) -> Result<Version> {
        self.save_version_with(SaveOptions::new().number(number))
    }

    /// Deletes one version. Transactions that read it go on.
    ///
    /// # Errors
    /// As [`Connection::delete_versions`].
    fn delete_version(&self, version: impl Into<Version>) -> Result<()> {
        self.delete_versions(&[version.into()])
    }

    /// Deletes the versions that `rule` does not keep, all at once, and says
    /// which they were.
    ///
    /// # Errors
    /// As [`Connection::delete_versions`]. If another thread deletes versions
    /// at the same time, the rule is applied again to what is left.
    fn keep_versions(&self, rule: &KeepRule) -> Result<Vec<Version>> {
        loop {
            let removed = rule.removes(&self.versions()?);
            if removed.is_empty() {
                return Ok(removed);
            }
            match self.delete_versions(&removed) {
                Ok(()) => return Ok(removed),
                // It is decided, and about to be seen.
                Err(e) if e.kind() == ErrorKind::VersionNotFound => std::thread::yield_now(),
                Err(e) => return Err(e),
            }
        }
    }
}

impl<C: Connection> ConnectionExt for C {}
