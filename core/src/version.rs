//! Saved versions: their numbers, what they carry, and which to keep.

use std::collections::BTreeSet;
use std::fmt;

use crate::Timestamp;

/// The public number of a saved version. Zero is never one.
///
/// (LevelDB and RocksDB call their file layouts versions; here a version is a
/// saved state with a number.)
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

impl Version {
    /// The version with this number.
    #[must_use]
    pub const fn new(n: u64) -> Self {
        Self(n)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl From<u64> for Version {
    fn from(n: u64) -> Self {
        Self(n)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a saved version carries besides its contents: returned as it was given.
///
/// ```
/// use vellum_core::Metadata;
/// let m = Metadata::new().message("before the import").author("Ada").time_ms(1_700_000_000_000);
/// assert_eq!(m.message.as_deref(), Some("before the import"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Metadata {
    /// Why the version was saved.
    pub message: Option<String>,
    /// Who saved it.
    pub author: Option<String>,
    /// When, in milliseconds since the Unix epoch. The engine never reads a
    /// clock: what the caller does not give is not there.
    pub time_ms: Option<i64>,
}

impl Metadata {
    /// None of the three.
    #[must_use]
    pub const fn new() -> Self {
        Self { message: None, author: None, time_ms: None }
    }

    /// With a message.
    #[must_use]
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// With an author.
    #[must_use]
    pub fn author(mut self, author: impl Into<String>) -> Self {
        self.author = Some(author.into());
        self
    }

    /// With a wall-clock time, in milliseconds since the Unix epoch.
    #[must_use]
    pub const fn time_ms(mut self, time_ms: i64) -> Self {
        self.time_ms = Some(time_ms);
        self
    }

    /// Bytes of message and author, for [`MAX_METADATA_LEN`](crate::MAX_METADATA_LEN).
    pub(crate) fn len(&self) -> usize {
        self.message.as_ref().map_or(0, String::len) + self.author.as_ref().map_or(0, String::len)
    }
}

/// One saved version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct VersionInfo {
    /// Its number.
    pub version: Version,
    /// The commit timestamp of the save: unique for ever, also where the
    /// number comes again.
    pub commit_ts: Timestamp,
    /// What was given when it was saved.
    pub metadata: Metadata,
}

impl VersionInfo {
    /// A version, its timestamp and its metadata.
    #[must_use]
    pub const fn new(version: Version, commit_ts: Timestamp, metadata: Metadata) -> Self {
        Self { version, commit_ts, metadata }
    }
}

/// The saved versions at one instant. It does not change after it was taken.
///
/// # Contract
/// Iteration is in ascending order of numbers. Two sets are equal if they hold
/// the same versions with the same timestamps and metadata.
pub trait VersionSet: Clone + PartialEq + fmt::Debug + Send + Sync {
    /// How many versions there are.
    fn len(&self) -> usize;

    /// The version with this number.
    fn get(&self, version: Version) -> Option<VersionInfo>;

    /// All versions in ascending order; `.rev()` for descending.
    fn iter(&self) -> impl DoubleEndedIterator<Item = VersionInfo> + Send + '_;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The lowest version.
    fn first(&self) -> Option<VersionInfo> {
        self.iter().next()
    }

    /// The highest version.
    fn last(&self) -> Option<VersionInfo> {
        self.iter().next_back()
    }

    /// Whether this number is a version.
    fn contains(&self, version: Version) -> bool {
        self.get(version).is_some()
    }
}

/// How to save a version.
///
/// ```
/// use vellum_core::{Metadata, SaveOptions, Version};
/// let o = SaveOptions::new().number(Version::new(10)).metadata(Metadata::new().author("Ada"));
/// assert_eq!(o.number, Some(Version::new(10)));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SaveOptions {
    /// The number to give; `None` takes the last one plus one, or 1.
    pub number: Option<Version>,
    /// What the version carries.
    pub metadata: Metadata,
    /// Save even though write transactions are open. The version is the head
    /// at that instant, and the open transactions are not part of it.
    pub with_open_writers: bool,
    /// How durable the save is when it returns; `None` takes the connection's
    /// default.
    pub durability: Option<crate::Durability>,
}

impl SaveOptions {
    /// The next number, no metadata, no open writers, default durability.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the version this number, which must be above the last one.
    #[must_use]
    pub fn number(mut self, number: impl Into<Version>) -> Self {
        self.number = Some(number.into());
        self
    }

    /// Gives the version this metadata.
    #[must_use]
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// Saves even though write transactions are open.
    #[must_use]
    pub const fn with_open_writers(mut self) -> Self {
        self.with_open_writers = true;
        self
    }

    /// Sets how durable the save is when it returns.
    #[must_use]
    pub const fn durability(mut self, durability: crate::Durability) -> Self {
        self.durability = Some(durability);
        self
    }
}

/// Which versions to keep when old ones are deleted in bulk. A version is kept
/// if any part of the rule keeps it; the empty rule keeps none.
///
/// ```
/// use vellum_core::KeepRule;
/// // The last 10, every 100th, and all since new year 2026.
/// let rule = KeepRule::new().last(10).every(100).newer_than_ms(1_767_225_600_000);
/// # assert_eq!(rule.last, 10);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeepRule {
    /// Keep this many of the highest numbers.
    pub last: usize,
    /// Keep the numbers that this divides; 0 keeps none by this part.
    pub every: u64,
    /// Keep those whose metadata time is at or above this, in milliseconds
    /// since the Unix epoch, and those without a time.
    pub newer_than_ms: Option<i64>,
}

impl KeepRule {
    /// Keeps nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { last: 0, every: 0, newer_than_ms: None }
    }

    /// Keeps the `k` highest numbers.
    #[must_use]
    pub const fn last(mut self, k: usize) -> Self {
        self.last = k;
        self
    }

    /// Keeps the numbers that `m` divides.
    #[must_use]
    pub const fn every(mut self, m: u64) -> Self {
        self.every = m;
        self
    }

    /// Keeps those saved at or after this wall-clock time, in milliseconds
    /// since the Unix epoch, by the time in their metadata; those without a
    /// time are kept too.
    #[must_use]
    pub const fn newer_than_ms(mut self, time_ms: i64) -> Self {
        self.newer_than_ms = Some(time_ms);
        self
    }

    /// The versions of `set` that the rule does not keep, ascending.
    pub fn removes(&self, set: &impl VersionSet) -> Vec<Version> {
        let last: BTreeSet<_> = set.iter().rev().take(self.last).map(|v| v.version).collect();
        let keeps = |v: &VersionInfo| {
            last.contains(&v.version)
                || (self.every != 0 && v.version.get().is_multiple_of(self.every))
                || self.newer_than_ms.is_some_and(|t| v.metadata.time_ms.is_none_or(|ms| ms >= t))
        };
        set.iter().filter(|v| !keeps(v)).map(|v| v.version).collect()
    }
}
