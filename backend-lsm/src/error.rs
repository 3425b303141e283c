//! fjall's errors as ours.

use vellum_core::{Error, ErrorKind};

/// The backend's name, in errors and statistics.
pub(crate) const NAME: &str = "lsm";

/// An error of this kind that arose here.
pub(crate) fn error(kind: ErrorKind, message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(kind, message).in_backend(NAME)
}

/// Damage at rest.
pub(crate) fn corrupted(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    error(ErrorKind::Corrupted, message)
}

/// A call of the operating system that failed while doing `what`.
pub(crate) fn io(what: impl std::fmt::Display) -> impl FnOnce(std::io::Error) -> Error {
    move |e| error(ErrorKind::Io, format!("{what}: {e}")).caused_by(e)
}

/// An error of fjall while doing `what`. It is neither a commit nor an fsync,
/// so that nothing is in doubt.
pub(crate) fn engine(what: impl std::fmt::Display) -> impl FnOnce(fjall::Error) -> Error {
    move |e| error(kind_of(&e), format!("{what}: {}", describe(&e))).caused_by(e)
}

/// A commit or an fsync that failed: it may be there after a restart.
pub(crate) fn in_doubt(what: impl std::fmt::Display) -> impl FnOnce(fjall::Error) -> Error {
    move |e| match e {
        // Refused before anything was written.
        fjall::Error::Poisoned => engine(what)(e),
        _ => error(ErrorKind::CommitUnknown, format!("{what}: {}", describe(&e))).caused_by(e),
    }
}

fn kind_of(e: &fjall::Error) -> ErrorKind {
    match e {
        fjall::Error::Io(e) | fjall::Error::Storage(fjall::LsmError::Io(e)) => kind_of_io(e),
        fjall::Error::Poisoned => ErrorKind::Poisoned,
        fjall::Error::Locked => ErrorKind::Locked,
        _ => ErrorKind::Corrupted,
    }
}

/// What is missing or ends too early inside a database is damage, and no
/// failure of the system. A seek to before the start of a file that was cut off
/// is an invalid input.
fn kind_of_io(e: &std::io::Error) -> ErrorKind {
    use std::io::ErrorKind as Io;
    match e.kind() {
        Io::NotFound
        | Io::UnexpectedEof
        | Io::InvalidData
        | Io::InvalidInput
        | Io::AlreadyExists => ErrorKind::Corrupted,
        _ => ErrorKind::Io,
    }
}

fn describe(e: &fjall::Error) -> String {
    match e {
        fjall::Error::Io(e) => e.to_string(),
        fjall::Error::Storage(e) => e.to_string(),
        e => format!("{e:?}"),
    }
}
