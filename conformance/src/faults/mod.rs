//! Broken backends, to prove that the suite bites.
//!
//! Each [`Fault`] breaks one thing in any [`Connection`] and each
//! [`StoreFault`] one thing in any [`Store`](vellum_core::Store); a suite that
//! lets one of them pass has a hole. They are decorators over the public
//! traits, so the author of a backend can try the suite on a broken copy of
//! their own: wrap its factory in [`Broken`] or [`BrokenStores`].

mod connection;
mod range;
mod store;
mod txn;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vellum_core::{Bytes, Connection, History, Options, Result, WriteTxn};

use crate::{Capabilities, Factory, Failures};

pub use connection::{BrokenConnection, BrokenVersions};
pub use range::BrokenRange;
pub use store::{BrokenRecords, BrokenSnapshot, BrokenStore, BrokenStores};
pub use txn::{BrokenRead, BrokenSnapshotReads, BrokenWrite};

macro_rules! faults {
    ($(#[$doc:meta])* $name:ident: $($fault:ident $what:literal;)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $(#[doc = $what] $fault,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$fault),*];

            /// What is broken.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self { $(Self::$fault => $what,)* }
            }
        }
    };
}

faults! {
    /// What a [`BrokenConnection`] gets wrong.
    Fault:
    DirtyRead "a reader sees what an open transaction wrote";
    ReadsLatest "a later commit shows in an old snapshot's gets";
    RangeReadsLatest "a later commit shows in an old snapshot's ranges";
    StaleRead "a new reader gets an older snapshot";
    LostUpdate "two updates of one key both commit";
    WriteSkew "write skew is let through";
    WriteWriteMissed "two blind writers of one key both commit";
    RangeUntracked "ranges are no reads";
    PhantomLetThrough "a range observes its keys and not the gaps";
    EmptyRangeUntracked "an empty range is no read";
    TailUntracked "the end of a range is not observed";
    ReverseUntracked "a reverse range is no read";
    AbsentGetUntracked "a get of an absent key is no read";
    OverObserves "a part of a range observes all of it";
    UnadvancedRangeObserves "a range that was never advanced observes all of it";
    SnapshotReadsTracked "snapshot_reads are validated";
    MarkReadIgnored "mark_read does nothing";
    MarkWrittenIgnored "mark_written does nothing";
    FalseConflict "disjoint transactions conflict";
    OwnReadTracked "a read of an own write is validated";
    BlindWritesConflict "blind writes conflict under Ignore";
    IgnoreSkipsReads "Ignore leaves reads unvalidated too";
    SnapshotValidatesReads "snapshot isolation validates reads";
    AloneIgnored "alone_for does nothing";
    ReadOnlyConflicts "a transaction without writes conflicts";
    EmptyCommitTimestamp "a transaction without writes gets a timestamp";
    DiscardApplies "discard commits";
    DropApplies "dropping a transaction commits it";
    FailedCommitApplies "a commit that conflicts is applied";
    ConflictSwallowed "a conflict is reported as success";
    ConflictNotRetryable "a conflict is reported as an i/o error";
    ConflictWithoutDetails "a conflict does not say who won";
    ConflictNamesAnother "a conflict names the timestamp before the winner's";
    ConflictNamesNeighbour "a conflict names a neighbour of the key";
    UnknownAsSuccess "a commit of unknown outcome is reported as success";
    UnknownAsConflict "a commit of unknown outcome is reported as a conflict";
    PoisonForgotten "writes are accepted after an outcome was unknown";
    SyncErrorSwallowed "a failed fsync is reported as success";
    CommitTimestampRepeats "two commits report one timestamp";
    FirstPutWins "the second put of a key in a transaction is lost";
    OwnWritesMissingInRanges "a transaction's ranges miss its own writes";
    OwnWritesMissingInGets "a transaction's gets miss its own writes";
    OwnDeleteShown "a transaction still sees a key that it deleted";
    RewrittenKeyTwice "a key deleted and put again shows twice";
    AbsentDeleteUntracked "a delete of an absent key is no write";
    RangeEndIncluded "the excluded end of a range is included";
    RangeStartExcluded "the included start of a range is excluded";
    InvertedRangeYieldsAll "an inverted range yields everything";
    ReverseOrderWrong "a reverse range ascends";
    ReverseSkipsLast "a reverse range misses the last key";
    EndsRepeat "the two ends of a range overlap";
    EndsGap "the two ends of a range leave a gap";
    OrderSigned "bytes above 0x7f sort first";
    PrefixFfWrong "a prefix that ends in 0xff finds nothing below it";
    EmptyValueAbsent "an empty value reads as absent";
    LongKeyTruncated "keys are cut at 255 bytes";
    LongValueTruncated "values are cut at 64 KiB";
    ResumesAfterError "a range goes on after an error";
    EndsSilently "a range ends where it must err";
    LimitsUnchecked "an empty or too long key is accepted";
    LimitEndsTransaction "a transaction fails after a call out of limits";
    MetadataLimitUnchecked "too much metadata is cut and accepted";
    VersionReadsHead "a version changes after its save";
    VersionHidden "a version is not found while a writer is open";
    VersionMadeUp "a version that is not there reads as the head";
    VersionSetLive "a version set changes after it was taken";
    VersionSetUnsorted "a version set is in descending order";
    SaveAmongWriters "a version is saved while a writer is open";
    SaveAmongWritersRefused "the option to save while a writer is open is ignored";
    SaveWaitsForReaders "saving is refused while a reader is open";
    SaveRefusalMisnamed "a save that is refused among writers is an i/o error";
    NumbersSkip "the next version number skips one";
    AnyNumberAccepted "a version number at or below the last is accepted";
    VersionTimestampRepeats "a version's timestamp comes again with its number";
    SaveChangesContents "saving a version writes a key";
    MetadataLost "a version's metadata is lost";
    MetadataCut "a version's metadata is cut";
    DeleteHarmsNeighbour "deleting a version deletes its neighbour";
    DeleteIgnored "deleting a version does nothing";
    DeletePartial "versions are deleted though one is unknown";
    DeleteWaitsForWriters "deleting a version is refused while a writer is open";
    RevertLeavesKey "revert leaves a key";
    RevertDropsVersion "revert removes the last version";
    RevertKeepsVersions "revert_to keeps the versions above";
    RevertToUnknown "revert_to of an unknown version empties the head";
    RevertAmongWriters "revert is allowed while a writer is open";
    RevertTimestampEarly "revert reports the timestamp before its own";
    RestoreIgnoresRange "restore copies everything";
    RestoreDropsVersions "restore removes the versions above";
    DiffMissesDeletes "diff misses deleted keys";
    DiffSwapped "diff swaps before and after";
    DiffIgnoresRange "diff ignores its range";
    DiffShowsUnchanged "diff shows a key that did not change";
    ChangesIncomplete "changes miss a write";
    ChangesRefused "changes are refused though history is kept";
    ChangesPartial "pruned changes are an empty answer";
    ChangesUnordered "changes are in descending order";
    AsOfReadsHead "read_as_of reads the head";
    AsOfAboveHead "read_as_of a timestamp above the head succeeds";
    AsOfKeptRefused "read_as_of a timestamp that is kept is refused";
    WatcherNeverWoken "a watcher is never woken";
    WatcherNarrow "a watcher hears only of the first key of its range";
    PruneDoesNothing "prune does nothing";
    VerifyFails "verify finds fault with a sound database";
    StatsLeak "statistics count what is gone";
    CloseIgnored "close does nothing";
    CloseOnce "closing twice is an error";
    TornAfterReopen "the last commit is torn after reopening";
    LosesLastAfterReopen "the last commit is gone after reopening";
    UncommittedAfterReopen "an open transaction's writes are there after reopening";
    TimestampsRestart "timestamps are reused after reopening";
    VersionsLostAfterReopen "versions are gone after reopening";
    MetadataLostAfterReopen "metadata is gone after reopening";
    OpensTwice "a database that is open can be opened again";
    WriterReadsLatest "a later commit shows in an open writer's gets";
    WriterRangesReadLatest "a later commit shows in an open writer's ranges";
    WriterDirtyRead "a writer sees what another open one wrote";
    UnknownLosesOld "after an unknown outcome what stood there before is gone";
    RestoreTimestampEarly "restore reports the timestamp before its own";
    LimitNamedAlone "an error about a long key does not say how long it was";
    StatsNoBytes "statistics count no bytes of conflict tracking";
    StatsNoCommits "statistics count no commits";
    ClosedMisnamed "a transaction begun after close is an i/o error";
    WriterTimestampEarly "a writer reports the timestamp before its snapshot's";
    VersionTimestampsEqual "all versions of a set report the first one's timestamp";
    HistoryShort "one commit less of the history is kept than was asked for";
}

faults! {
    /// What a [`BrokenStore`] gets wrong.
    StoreFault:
    PruneIgnoresPins "prune drops a record that a version needs";
    PruneIgnoresSnapshots "prune drops a record that an open snapshot needs";
    PruneIgnoresHistory "prune drops a record that kept history needs";
    PruneDoesNothing "prune removes nothing";
    TombstoneShown "a deleted key shows as empty";
    DeleteLost "a delete is lost";
    EmptyValueDeletes "an empty value deletes";
    LostWrite "the last write of a commit is lost";
    TornCommitVisible "the newest commit shows only in part";
    StaleHead "a commit shows only after the next";
    SnapshotFollowsHead "a snapshot follows the head";
    PastReadsHead "a snapshot of the past is the head";
    WrongTimestamp "a snapshot reports another timestamp";
    PackCuts "a value of several bytes loses the last one as it is packed";
    RangeUnordered "a snapshot's ranges descend";
    RangeEndIncluded "a snapshot's ranges include their end";
    KeysTruncated "keys are cut at 255 bytes";
    TouchedMisses "touched misses a key";
    TouchedIgnoresRange "touched ignores its range";
    ChangesMissWrites "changes miss a write";
    ChangesMissCommits "changes miss a commit";
    CatalogForgotten "the catalog is gone after reopening";
    CatalogRemovalLost "a catalog entry cannot be removed";
    StartsAboveZero "an empty store does not begin at zero";
    VerifyFails "verify finds fault with a sound store";
    CloseOnce "closing a store twice is an error";
    TimestampForgotten "a timestamp is reused after reopening";
    GetsReadHead "a snapshot's gets read the head";
    RangesReadHead "a snapshot's ranges read the head";
    ReverseAscends "a snapshot's reverse ranges ascend";
    RecordEarly "a record carries the timestamp before its own";
    ValuesCut "values are cut at 64 KiB";
    PublishesEarly "a group shows before it is published";
    GroupReversed "the commits of a group are applied in reverse";
    EmptyCommitLost "a commit without writes is not applied";
    KnownPreviousLost "a write whose previous record is known is lost";
    AbsentPreviousLost "a write of a key known to be absent is lost";
    PruneKeepsOldPins "prune keeps what deleted versions needed";
    PruneKeepsTombstones "prune keeps tombstones";
    TouchedRepeats "touched yields a key twice";
    TouchedUnordered "touched descends";
    ChangesUnordered "changes are in descending order";
    ChangesWritesUnordered "the writes of a change are in descending order";
    ChangesBeginEarly "changes include the commit that they begin after";
    CatalogLost "a catalog entry is lost";
    CatalogUnordered "the catalog is in descending order";
    CatalogCut "a catalog value of several bytes loses the last one";
    CatalogShown "the catalog shows among the records";
    VerifyCountsNothing "verify reads nothing";
    SyncFails "sync fails";
}

/// The broken backends of a [`Factory`]: each place breaks one thing.
#[derive(Debug)]
pub struct Broken<F: Factory> {
    factory: F,
    fault: Fault,
    shared: Arc<Shared<F::Connection>>,
}

/// What the parts of one broken database share.
struct Shared<C: Connection> {
    state: Mutex<State<C>>,
}

struct State<C: Connection> {
    /// What open transactions wrote.
    dirty: BTreeMap<Bytes, Option<Bytes>>,
    /// The keys of the last commit with the values that they had before.
    last_commit: Vec<(Bytes, Option<Bytes>)>,
    stale: Option<C::Read>,
    /// The connection that is open.
    open: Option<C>,
    opened: u32,
    timestamps_from: u64,
    closed: bool,
}

impl<C: Connection> Shared<C> {
    fn lock(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Connection> fmt::Debug for Shared<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl<C: Connection> Default for State<C> {
    fn default() -> Self {
        Self {
            dirty: BTreeMap::new(),
            last_commit: Vec::new(),
            stale: None,
            open: None,
            opened: 0,
            timestamps_from: 0,
            closed: false,
        }
    }
}

impl<F: Factory> Broken<F> {
    /// The same backend with this fault.
    #[must_use]
    pub fn new(factory: F, fault: Fault) -> Self {
        Self { factory, fault, shared: Arc::new(Shared { state: Mutex::default() }) }
    }

    fn wrap(&self, db: F::Connection) -> BrokenConnection<F::Connection> {
        BrokenConnection { db, fault: self.fault, shared: self.shared.clone() }
    }

    /// What the fault does to a database that was opened again.
    fn tamper(&self, db: &F::Connection) -> Result<()> {
        use vellum_core::{ConnectionExt, ReadTxn, VersionSet};
        let (last, dirty) = {
            let mut state = self.shared.lock();
            (std::mem::take(&mut state.last_commit), std::mem::take(&mut state.dirty))
        };
        let write = |writes: Vec<(Bytes, Option<Bytes>)>| -> Result<()> {
            let mut txn = db.begin_write()?;
            for (key, value) in writes {
                match value {
                    Some(value) => txn.put(&key, value)?,
                    None => txn.delete(&key)?,
                }
            }
            txn.commit().map(drop)
        };
        match self.fault {
            Fault::TornAfterReopen => write(last.into_iter().skip(1).collect()),
            Fault::LosesLastAfterReopen | Fault::UnknownLosesOld => write(last),
            Fault::UncommittedAfterReopen => write(dirty.into_iter().collect()),
            Fault::TimestampsRestart => {
                self.shared.lock().timestamps_from = db.begin_read()?.read_ts().get();
                Ok(())
            }
            Fault::VersionsLostAfterReopen => {
                let all: Vec<_> = db.versions()?.iter().map(|v| v.version).collect();
                db.delete_versions(&all)
            }
            _ => Ok(()),
        }
    }
}

impl<F: Factory> Factory for Broken<F> {
    type Connection = BrokenConnection<F::Connection>;

    fn capabilities(&self) -> Capabilities {
        self.factory.capabilities()
    }

    fn open(&self, options: &Options) -> Result<Self::Connection> {
        if self.fault == Fault::OpensTwice {
            let state = self.shared.lock();
            if let Some(db) = state.open.as_ref().filter(|_| !state.closed) {
                return Ok(self.wrap(db.clone()));
            }
        }
        let mut options = *options;
        if let (Fault::HistoryShort, History::Commits(n)) = (self.fault, options.history) {
            options = options.history(History::Commits(n.saturating_sub(1)));
        }
        let db = self.factory.open(&options)?;
        let again = {
            let mut state = self.shared.lock();
            state.opened += 1;
            state.closed = false;
            state.stale = None;
            if self.fault == Fault::OpensTwice {
                state.open = Some(db.clone());
            }
            state.opened > 1 || self.fault == Fault::UnknownLosesOld
        };
        if again {
            self.tamper(&db)?;
        }
        Ok(self.wrap(db))
    }

    fn destroy(&self) {
        let old = std::mem::take(&mut *self.shared.lock());
        drop(old);
        self.factory.destroy();
    }

    fn open_failing(
        &self,
        options: &Options,
        failures: &Failures,
    ) -> Option<Result<Self::Connection>> {
        Some(self.factory.open_failing(options, failures)?.map(|db| self.wrap(db)))
    }
}
