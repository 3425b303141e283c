//! What a failed group leaves behind.

use std::sync::Arc;

use crate::{Error, ErrorKind, Timestamp};

/// What became of the group that failed.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) error: Arc<Error>,
}

impl Failure {
    pub(super) fn poisoned(&self) -> Error {
        let message = "an earlier write failed; reopen the database to go on";
        Error::new(ErrorKind::Poisoned, message).caused_by(SharedError(self.error.clone()))
    }

    /// What the committer at `ts`, above `decided`, is told.
    pub(super) fn outcome(&self, ts: Timestamp) -> Error {
        if ts < self.first || ts > self.last {
            return self.poisoned();
        }
        let message = self.error.message().to_owned();
        Error::new(self.error.kind(), message).caused_by(SharedError(self.error.clone()))
    }
}

/// One error as the source of several.
#[derive(Debug)]
struct SharedError(Arc<Error>);

impl std::fmt::Display for SharedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for SharedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}
