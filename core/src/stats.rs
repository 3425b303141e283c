//! What the engine counts.

use std::fmt;

use crate::{StoreStats, Timestamp};

/// Counts and sizes of a database at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The backend's name.
    pub backend: &'static str,
    /// The newest visible commit.
    pub head_ts: Timestamp,
    /// Snapshots that are open, those of write transactions included.
    pub open_snapshots: usize,
    /// Write transactions that are open.
    pub open_writes: usize,
    /// The read timestamp of the oldest open snapshot: what it sees is kept.
    pub oldest_snapshot: Option<Timestamp>,
    /// Saved versions.
    pub versions: usize,
    /// Every timestamp at or above this can be read and its changes followed;
    /// `None` without the [`History`](crate::History) option.
    pub history_since: Option<Timestamp>,
    /// Commits in the window: those that an open write transaction may still
    /// conflict with.
    pub window_commits: usize,
    /// Keys that the conflict index holds for them; one that the last few commits
    /// wrote again counts again.
    pub window_keys: usize,
    /// Bytes of those keys, and of the bounds of ranges that were declared as written.
    pub window_bytes: usize,
    /// Transactions that committed with writes since the database was opened.
    pub commits: u64,
    /// Transactions that conflicted since the database was opened.
    pub conflicts: u64,
    /// Groups that those commits were applied in.
    pub groups: u64,
    /// Whether a failure left an outcome unknown, so that writes are refused.
    pub poisoned: bool,
    /// What the store counts.
    pub store: StoreStats,
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "backend {}  head {}  versions {}", self.backend, self.head_ts, self.versions)?;
        writeln!(
            f,
            "snapshots {}  writers {}  window: {} commits, {} keys, {} bytes",
            self.open_snapshots,
            self.open_writes,
            self.window_commits,
            self.window_keys,
            self.window_bytes
        )?;
        writeln!(
            f,
            "commits {}  conflicts {}  groups {}{}",
            self.commits,
            self.conflicts,
            self.groups,
            if self.poisoned { "  POISONED" } else { "" }
        )?;
        write!(f, "store: {}", self.store)
    }
}
