//! What a history is made of.

use vellum_core::{Bytes, Isolation, KeyRange, Timestamp, Version};

/// Two ticks of the recorder's logical clock: one just before a call, one just
/// after it returned.
///
/// A call that [returned](Self::returned) before another was
/// [called](Self::called) came before it in real time; otherwise the two
/// overlap, and neither came first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The tick before the call.
    pub called: u64,
    /// The tick after it returned.
    pub returned: u64,
}

impl Span {
    /// Between these two ticks.
    #[must_use]
    pub const fn new(called: u64, returned: u64) -> Self {
        Self { called, returned }
    }

    /// Whether this call was over before `later` began.
    #[must_use]
    pub const fn is_before(self, later: Self) -> bool {
        self.returned < later.called
    }
}

/// The whole contents of a database at one timestamp.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// When.
    pub ts: Timestamp,
    /// The saved version that this is, if it is one.
    pub version: Option<Version>,
    /// Every key and its value, ascending.
    pub items: Vec<(Bytes, Bytes)>,
}

/// Everything that was seen and done while a database was recorded.
///
/// The fields are public: a history may come from anywhere, be changed by a
/// test, and be [checked](crate::history::check) again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// What stood in the database when recording began: the versions that had
    /// been saved before, and the head, ascending by timestamp. The last one is
    /// the state that the history starts from.
    pub states: Vec<State>,
    /// The transactions, in the order in which their beginnings were called.
    pub txns: Vec<Txn>,
    /// What was done to versions, in the order of the calls.
    pub events: Vec<Event>,
}

impl History {
    /// How many operations the transactions made.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.txns.iter().map(|t| t.ops.len()).sum()
    }

    /// The timestamp that the history starts from.
    #[must_use]
    pub fn origin(&self) -> Timestamp {
        self.states.last().map_or(Timestamp::ZERO, |s| s.ts)
    }
}

/// What a transaction was begun as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxnKind {
    /// It reads the head of its time.
    Read,
    /// It reads a saved version.
    ReadAt(Version),
    /// It reads the state at a timestamp.
    ReadAsOf(Timestamp),
    /// It reads the head of its time and may write.
    Write {
        /// Which anomalies it may see.
        isolation: Isolation,
        /// Whether a concurrent write of a key that it writes is a conflict.
        detects_write_conflicts: bool,
    },
}

impl TxnKind {
    /// Whether it reads the newest state of the time at which it begins.
    #[must_use]
    pub const fn is_of_the_head(self) -> bool {
        matches!(self, Self::Read | Self::Write { .. })
    }

    /// Whether it is a write transaction.
    #[must_use]
    pub const fn is_write(self) -> bool {
        matches!(self, Self::Write { .. })
    }

    /// Whether its reads must still hold where it commits.
    #[must_use]
    pub fn is_serializable(self) -> bool {
        matches!(self, Self::Write { isolation: Isolation::Serializable, .. })
    }
}

/// One transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Txn {
    /// Who ran it: one handle of the recorder.
    pub session: u32,
    /// What it was begun as.
    pub kind: TxnKind,
    /// The call that began it.
    pub began: Span,
    /// The timestamp that it reads at.
    pub snapshot: Timestamp,
    /// What it did, in order, with what it was answered.
    pub ops: Vec<Op>,
    /// The call that ended it.
    pub ended: Span,
    /// How it ended.
    pub outcome: Outcome,
}

/// One operation and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A point read.
    Get {
        /// The key.
        key: Bytes,
        /// What was answered.
        value: Option<Bytes>,
        /// Whether the read is validated at commit; a read through
        /// `snapshot_reads` is not.
        validated: bool,
    },
    /// A range, as far as it was consumed.
    Range(RangeRead),
    /// A write.
    Put {
        /// The key.
        key: Bytes,
        /// Its new value.
        value: Bytes,
    },
    /// A removal.
    Delete {
        /// The key.
        key: Bytes,
    },
}

/// A range read, as far as it was consumed from either end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeRead {
    /// Its bounds.
    pub range: KeyRange,
    /// What it yielded from the front, in the order in which it did.
    pub front: Vec<(Bytes, Bytes)>,
    /// What it yielded from the back, in the order in which it did: descending.
    pub back: Vec<(Bytes, Bytes)>,
    /// Whether it said that there is no more, from either end.
    pub ended: bool,
    /// As for a [`Get`](Op::Get).
    pub validated: bool,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its writes are visible at this timestamp.
    Committed(Timestamp),
    /// It ended well and had no timestamp: it wrote nothing.
    ReadOnly,
    /// It lost against another one.
    Conflict,
    /// It was discarded or dropped, or its commit failed and said that nothing
    /// was written.
    Discarded,
    /// It may or may not have been committed.
    Unknown,
}

impl Outcome {
    /// The timestamp of its writes.
    #[must_use]
    pub const fn commit_ts(self) -> Option<Timestamp> {
        match self {
            Self::Committed(ts) => Some(ts),
            _ => None,
        }
    }

    /// Whether it is certain that nothing was written.
    #[must_use]
    pub const fn is_aborted(self) -> bool {
        matches!(self, Self::Conflict | Self::Discarded)
    }
}

/// Something that was done to the saved versions and succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Who did it.
    pub session: u32,
    /// The call.
    pub span: Span,
    /// What.
    pub what: Change,
}

/// What an [`Event`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The head was saved.
    Save {
        /// The number that the version was given.
        version: Version,
        /// Its timestamp: the version is the state there.
        ts: Timestamp,
        /// Whether write transactions were allowed to be open.
        with_open_writers: bool,
    },
    /// The head was made equal to the last saved version, or to a named one.
    Revert {
        /// The version that was named, above which all were removed.
        to: Option<Version>,
        /// The timestamp of the version that was reverted to; `None` if there
        /// was none, and the head was emptied.
        source: Option<Timestamp>,
        /// The timestamp of the commit that did it. There always is one; a history without
        /// is rejected.
        ts: Option<Timestamp>,
    },
    /// A part of the head was made equal to that of a version.
    Restore {
        /// The timestamp of that version.
        source: Timestamp,
        /// Which part.
        range: KeyRange,
        /// The timestamp of the commit that did it; `None` if there was
        /// nothing to do.
        ts: Option<Timestamp>,
    },
    /// Versions were deleted.
    Delete {
        /// Their timestamps.
        versions: Vec<Timestamp>,
    },
}

impl Change {
    /// The timestamp that it was given.
    #[must_use]
    pub const fn commit_ts(&self) -> Option<Timestamp> {
        match self {
            Self::Save { ts, .. } => Some(*ts),
            Self::Revert { ts, .. } | Self::Restore { ts, .. } => *ts,
            Self::Delete { .. } => None,
        }
    }
}
