//! [`AnyConnection`]: a backend that is chosen at run time.
//!
//! The traits of the API are not object-safe, and should not be: their
//! associated types are what makes calls direct. This module has an
//! object-safe twin of each, implemented for every type that implements the
//! original, and one concrete type over each twin that implements the original
//! again. A call costs a virtual call more, and a range a box.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::{
    At, Changes, CommitInfo, Connection, Diff, KeyRange, KeyValue, PruneReport, ReadTxn, Result,
    SaveOptions, Stats, Timestamp, TxnOptions, VerifyReport, Version, VersionInfo, VersionSet,
    Watcher, WriteTxn,
};

/// A [`Connection`] to a backend that is chosen at run time; itself a
/// `Connection`, with every guarantee of the one inside.
///
/// ```
/// use vellum_core::{AnyConnection, Database, Options, Result, Store};
///
/// fn open(name: &str, small: impl Store, large: impl Store) -> Result<AnyConnection> {
///     Ok(match name {
///         "small" => AnyConnection::new(Database::open(small, Options::new())?),
///         _ => AnyConnection::new(Database::open(large, Options::new())?),
///     })
/// }
/// ```
#[derive(Clone)]
pub struct AnyConnection(Arc<dyn DynConnection>);

/// A read transaction of an [`AnyConnection`].
pub struct AnyRead(Box<dyn DynRead>);

/// A write transaction of an [`AnyConnection`].
pub struct AnyWrite(Box<dyn DynWrite>);

/// The saved versions of an [`AnyConnection`] at one instant.
#[derive(Clone)]
pub struct AnyVersions(Arc<dyn DynVersions>);

/// The unvalidated view of an [`AnyWrite`].
pub struct AnySnapshotReads<'a>(Box<dyn DynRead + 'a>);

/// A range of a transaction of an [`AnyConnection`].
#[must_use]
pub struct AnyRange<'a>(Box<dyn DoubleEndedIterator<Item = Result<KeyValue>> + Send + 'a>);

impl AnyConnection {
    /// Hides the type of a connection.
    pub fn new(connection: impl Connection) -> Self {
        Self(Arc::new(connection))
    }
}

/// Declares an object-safe twin whose methods have the original's names and
/// arguments, implements it for everything that implements the original, and
/// yields the body of the way back. `wrap` turns what a call gives into its
/// erased form.
macro_rules! twin {
    (
        $(#[$doc:meta])*
        trait $twin:ident: $original:ident {
            $(fn $name:ident(&self $(, $arg:ident: $ty:ty)*) -> Result<$out:ty> $(=> $wrap:expr)?;)*
        }
        for $erased:ty
    ) => {
        $(#[$doc])*
        trait $twin: Send + Sync {
            $(fn $name(&self $(, $arg: $ty)*) -> Result<$out>;)*
        }

        impl<T: $original> $twin for T {
            $(fn $name(&self $(, $arg: $ty)*) -> Result<$out> {
                $original::$name(self $(, $arg)*)$(.map($wrap))?
            })*
        }

        impl $original for $erased {
            type Read = AnyRead;
            type Write = AnyWrite;
            type Versions = AnyVersions;

            $(fn $name(&self $(, $arg: $ty)*) -> Result<$out> {
                self.0.$name($($arg),*)
            })*
        }
    };
}

twin! {
    /// The object-safe twin of [`Connection`].
    trait DynConnection: Connection {
        fn begin_read(&self) -> Result<AnyRead> => |txn| AnyRead(Box::new(txn));
        fn read_at(&self, version: Version) -> Result<AnyRead> => |txn| AnyRead(Box::new(txn));
        fn read_as_of(&self, ts: Timestamp) -> Result<AnyRead> => |txn| AnyRead(Box::new(txn));
        fn begin_write_with(&self, options: &TxnOptions) -> Result<AnyWrite>
            => |txn| AnyWrite(Box::new(txn));
        fn versions(&self) -> Result<AnyVersions> => |set| AnyVersions(Arc::new(set));
        fn save_version_with(&self, options: SaveOptions) -> Result<Version>;
        fn delete_versions(&self, versions: &[Version]) -> Result<()>;
        fn revert(&self) -> Result<CommitInfo>;
        fn revert_to(&self, version: Version) -> Result<CommitInfo>;
        fn restore(&self, version: Version, range: KeyRange) -> Result<CommitInfo>;
        fn diff(&self, from: At, to: At, range: KeyRange) -> Result<Diff>;
        fn changes(&self, from: Timestamp, to: Timestamp) -> Result<Changes>;
        fn watch(&self, range: KeyRange) -> Result<Watcher>;
        fn prune(&self) -> Result<PruneReport>;
        fn verify(&self) -> Result<VerifyReport>;
        fn sync(&self) -> Result<()>;
        fn stats(&self) -> Result<Stats>;
        fn close(&self) -> Result<()>;
    }
    for AnyConnection
}

/// The object-safe twin of [`ReadTxn`].
trait DynRead: Send {
    fn dyn_read_ts(&self) -> Timestamp;
    fn dyn_get(&self, key: &[u8]) -> Result<Option<Bytes>>;
    fn dyn_range(&self, range: KeyRange) -> AnyRange<'_>;
}

impl<T: ReadTxn> DynRead for T {
    fn dyn_read_ts(&self) -> Timestamp {
        self.read_ts()
    }

    fn dyn_get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.get(key)
    }

    fn dyn_range(&self, range: KeyRange) -> AnyRange<'_> {
        AnyRange(Box::new(self.range(range)))
    }
}

/// The object-safe twin of [`WriteTxn`].
trait DynWrite: DynRead {
    fn dyn_put(&mut self, key: &[u8], value: Bytes) -> Result<()>;
    fn dyn_delete(&mut self, key: &[u8]) -> Result<()>;
    fn dyn_mark_read(&mut self, range: KeyRange) -> Result<()>;
    fn dyn_mark_written(&mut self, range: KeyRange) -> Result<()>;
    fn dyn_snapshot_reads(&self) -> AnySnapshotReads<'_>;
    fn dyn_commit(self: Box<Self>) -> Result<CommitInfo>;
    fn dyn_discard(self: Box<Self>);
}

impl<T: WriteTxn> DynWrite for T {
    fn dyn_put(&mut self, key: &[u8], value: Bytes) -> Result<()> {
        self.put(key, value)
    }

    fn dyn_delete(&mut self, key: &[u8]) -> Result<()> {
        self.delete(key)
    }

    fn dyn_mark_read(&mut self, range: KeyRange) -> Result<()> {
        self.mark_read(range)
    }

    fn dyn_mark_written(&mut self, range: KeyRange) -> Result<()> {
        self.mark_written(range)
    }

    fn dyn_snapshot_reads(&self) -> AnySnapshotReads<'_> {
        AnySnapshotReads(Box::new(self.snapshot_reads()))
    }

    fn dyn_commit(self: Box<Self>) -> Result<CommitInfo> {
        (*self).commit()
    }

    fn dyn_discard(self: Box<Self>) {
        (*self).discard();
    }
}

/// Implements [`ReadTxn`] for a box of a twin.
macro_rules! erased_read {
    ($($name:ident $(<$lifetime:lifetime>)?),*) => {$(
        impl ReadTxn for $name$(<$lifetime>)? {
            type Range<'a> = AnyRange<'a> where Self: 'a;

            fn read_ts(&self) -> Timestamp {
                self.0.dyn_read_ts()
            }

            fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
                self.0.dyn_get(key)
            }

            fn range(&self, range: impl Into<KeyRange>) -> AnyRange<'_> {
                self.0.dyn_range(range.into())
            }
        }

        impl fmt::Debug for $name$(<$lifetime>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut s = f.debug_struct(stringify!($name));
                s.field("read_ts", &self.read_ts()).finish_non_exhaustive()
            }
        }
    )*};
}

erased_read!(AnyRead, AnyWrite, AnySnapshotReads<'_>);

impl WriteTxn for AnyWrite {
    type SnapshotReads<'a> = AnySnapshotReads<'a>;

    fn put(&mut self, key: &[u8], value: impl Into<Bytes>) -> Result<()> {
        self.0.dyn_put(key, value.into())
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.0.dyn_delete(key)
    }

    fn mark_read(&mut self, range: impl Into<KeyRange>) -> Result<()> {
        self.0.dyn_mark_read(range.into())
    }

    fn mark_written(&mut self, range: impl Into<KeyRange>) -> Result<()> {
        self.0.dyn_mark_written(range.into())
    }

    fn snapshot_reads(&self) -> AnySnapshotReads<'_> {
        self.0.dyn_snapshot_reads()
    }

    fn commit(self) -> Result<CommitInfo> {
        self.0.dyn_commit()
    }

    fn discard(self) {
        self.0.dyn_discard();
    }
}

/// The object-safe twin of [`VersionSet`].
trait DynVersions: Send + Sync {
    fn dyn_len(&self) -> usize;
    fn dyn_get(&self, version: Version) -> Option<VersionInfo>;
    fn dyn_iter(&self) -> Box<dyn DoubleEndedIterator<Item = VersionInfo> + Send + '_>;
}

impl<V: VersionSet> DynVersions for V {
    fn dyn_len(&self) -> usize {
        self.len()
    }

    fn dyn_get(&self, version: Version) -> Option<VersionInfo> {
        self.get(version)
    }

    fn dyn_iter(&self) -> Box<dyn DoubleEndedIterator<Item = VersionInfo> + Send + '_> {
        Box::new(self.iter())
    }
}

impl VersionSet for AnyVersions {
    fn len(&self) -> usize {
        self.0.dyn_len()
    }

    fn get(&self, version: Version) -> Option<VersionInfo> {
        self.0.dyn_get(version)
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = VersionInfo> + Send + '_ {
        self.0.dyn_iter()
    }
}

impl PartialEq for AnyVersions {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl fmt::Debug for AnyVersions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Iterator for AnyRange<'_> {
    type Item = Result<KeyValue>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

impl DoubleEndedIterator for AnyRange<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back()
    }
}

impl fmt::Debug for AnyRange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyRange").finish_non_exhaustive()
    }
}

impl fmt::Debug for AnyConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyConnection").finish_non_exhaustive()
    }
}
