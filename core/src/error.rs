//! One error type, sorted by what the caller should do about it.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

use crate::{KeyRange, Timestamp};

/// The result of every fallible call in Vellum.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, by what the caller should do.
///
/// A kind exists only where a caller would act differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Another transaction committed first. Nothing was written: run the
    /// transaction again ([`transact`](crate::ConnectionExt::transact) does).
    Conflict,
    /// The commit may or may not be durable: the write or the fsync failed
    /// half way. Reopen the database and look.
    CommitUnknown,
    /// There is no such version: it was never saved, or was deleted or
    /// reverted away. Look in [`versions`](crate::Connection::versions).
    VersionNotFound,
    /// This number cannot be given to a version. Take one above the last.
    InvalidVersion,
    /// The call needs that no write transaction is open. Finish them first.
    OpenTransactions,
    /// The history asked for is no longer kept. Read a saved version, or open
    /// the database with a longer [`History`](crate::History).
    HistoryPruned,
    /// The argument is out of its limits. Nothing changed; correct the call.
    Invalid,
    /// The database, or this view of it, cannot be written.
    ReadOnly,
    /// Another handle or process has the database open. Close that one.
    Locked,
    /// The connection was closed. Open it again.
    Closed,
    /// An earlier failure left the outcome of a commit unknown, so this handle
    /// takes no more writes. Reads of what was visible go on; reopen to write.
    Poisoned,
    /// The data at rest is damaged or is not a Vellum database of a format
    /// that this build reads. The message names the place.
    Corrupted,
    /// The operating system failed the call; nothing is in doubt.
    Io,
    /// This backend cannot do that. Its capabilities say so.
    Unsupported,
}

impl ErrorKind {
    const fn describe(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::CommitUnknown => "commit outcome unknown",
            Self::VersionNotFound => "version not found",
            Self::InvalidVersion => "invalid version",
            Self::OpenTransactions => "write transactions are open",
            Self::HistoryPruned => "history pruned",
            Self::Invalid => "invalid argument",
            Self::ReadOnly => "read only",
            Self::Locked => "database is locked",
            Self::Closed => "connection is closed",
            Self::Poisoned => "database is poisoned",
            Self::Corrupted => "corrupted",
            Self::Io => "i/o error",
            Self::Unsupported => "unsupported",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.describe())
    }
}

/// What the loser of a conflict had done to the key that beat it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Observed {
    /// It read the key, or declared it read.
    Key,
    /// It observed this range, and the key lies in it.
    Range(KeyRange),
    /// It wrote the key itself, or declared it written.
    Write,
}

/// Who beat a transaction, and over what.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConflictInfo {
    /// The key that the winner wrote (the start of the range, where the
    /// winner declared a range as written).
    pub key: Bytes,
    /// What the loser had done to that key.
    pub observed: Observed,
    /// The loser's read timestamp.
    pub read_ts: Timestamp,
    /// The winner's commit timestamp, above `read_ts`.
    pub commit_ts: Timestamp,
}

impl ConflictInfo {
    /// The four facts of a conflict, for backends that detect their own.
    #[must_use]
    pub fn new(key: Bytes, observed: Observed, read_ts: Timestamp, commit_ts: Timestamp) -> Self {
        Self { key, observed, read_ts, commit_ts }
    }
}

/// The error of every call: a [kind](ErrorKind) to act on, a message to read,
/// and, where there is one, the backend's name and its own error as source.
///
/// ```
/// use vellum_core::{Error, ErrorKind};
/// let e = Error::new(ErrorKind::VersionNotFound, "version 7 does not exist");
/// assert_eq!(e.kind(), ErrorKind::VersionNotFound);
/// assert_eq!(e.to_string(), "version not found: version 7 does not exist");
/// assert!(!e.is_retryable());
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    backend: Option<&'static str>,
    conflict: Option<ConflictInfo>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of this kind. The message says what was asked and what stood
    /// in the way, without repeating the kind.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        let (backend, conflict, source) = (None, None, None);
        Self(Box::new(Inner { kind, message: message.into(), backend, conflict, source }))
    }

    /// A conflict, with what is known of it.
    #[must_use]
    pub fn from_conflict(info: ConflictInfo) -> Self {
        let what = match &info.observed {
            Observed::Key => "read by this transaction".into(),
            Observed::Range(r) => format!("in the range {r} that this transaction observed"),
            Observed::Write => "written by this transaction".into(),
        };
        let message = format!(
            "key {}, {what} at timestamp {}, was written by the commit at {}",
            crate::range::Escaped(&info.key),
            info.read_ts,
            info.commit_ts
        );
        let mut error = Self::new(ErrorKind::Conflict, message);
        error.0.conflict = Some(info);
        error
    }

    /// The same error with the name of the backend it arose in.
    #[must_use]
    pub fn in_backend(mut self, name: &'static str) -> Self {
        self.0.backend = Some(name);
        self
    }

    /// The same error with the error that caused it.
    #[must_use]
    pub fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What the caller should do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What was asked and what stood in the way.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The backend it arose in, where a backend said so.
    #[must_use]
    pub fn backend(&self) -> Option<&'static str> {
        self.0.backend
    }

    /// Whether running the same transaction again may succeed: true for
    /// conflicts alone. Nothing was written.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.kind == ErrorKind::Conflict
    }

    /// Who won, if this is a conflict that the engine detected.
    #[must_use]
    pub fn conflict(&self) -> Option<&ConflictInfo> {
        self.0.conflict.as_ref()
    }

    /// Whether the commit that gave this error may have happened.
    #[must_use]
    pub fn is_outcome_unknown(&self) -> bool {
        self.0.kind == ErrorKind::CommitUnknown
    }

    pub(crate) fn closed() -> Self {
        Self::new(ErrorKind::Closed, "open the database again to go on")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        write!(f, "{}: {}", inner.kind, inner.message)?;
        if let Some(backend) = inner.backend {
            write!(f, " (backend {backend})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        let mut s = f.debug_struct("Error");
        s.field("kind", &inner.kind).field("message", &inner.message);
        if let Some(backend) = inner.backend {
            s.field("backend", &backend);
        }
        if let Some(conflict) = &inner.conflict {
            s.field("conflict", conflict);
        }
        if let Some(source) = &inner.source {
            s.field("source", source);
        }
        s.finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|e| e as _)
    }
}
