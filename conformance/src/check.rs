//! What the cases say: checks that explain themselves when they fail.

use std::fmt;
use std::panic::Location;

use vellum_core::{
    Bytes, CommitInfo, Connection, ConnectionExt, Error, ErrorKind, ReadTxn, Result, Timestamp,
    WriteTxn,
};

/// Why a case failed, and where.
pub struct Failure {
    message: String,
    at: &'static Location<'static>,
}

/// What a case comes to.
pub type CaseResult<T = ()> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure at the place of the call.
    #[must_use]
    #[track_caller]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), at: Location::caller() }
    }

    /// What went wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl From<Error> for Failure {
    #[track_caller]
    fn from(e: Error) -> Self {
        Self::new(format!("a call failed that must succeed: {e}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  at {}", self.message, self.at)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `claim` must hold.
#[track_caller]
pub(crate) fn holds(it: bool, claim: impl fmt::Display) -> CaseResult {
    if it { Ok(()) } else { Err(Failure::new(format!("does not hold: {claim}"))) }
}

/// `got` must be `want`.
#[track_caller]
pub(crate) fn same<T: PartialEq<U> + fmt::Debug, U: fmt::Debug>(
    what: impl fmt::Display,
    got: T,
    want: U,
) -> CaseResult {
    if got == want {
        return Ok(());
    }
    Err(Failure::new(format!("{what}\n  expected {want:?}\n  got      {got:?}")))
}

/// The call must fail with this kind.
#[track_caller]
pub(crate) fn refused<T>(
    what: impl fmt::Display,
    result: Result<T>,
    kind: ErrorKind,
) -> CaseResult<Error> {
    match result {
        Err(e) if e.kind() == kind => Ok(e),
        Err(e) => Err(Failure::new(format!("{what}\n  expected {kind:?}\n  got      {e:?}"))),
        Ok(_) => Err(Failure::new(format!("{what}\n  expected {kind:?}\n  got      success"))),
    }
}

/// The commit must succeed, with a timestamp.
#[track_caller]
pub(crate) fn committed(
    what: impl fmt::Display,
    result: Result<CommitInfo>,
) -> CaseResult<Timestamp> {
    match result {
        Ok(CommitInfo { commit_ts: Some(ts), .. }) => Ok(ts),
        Ok(_) => Err(Failure::new(format!("{what}: committed writes without a timestamp"))),
        Err(e) => Err(Failure::new(format!("{what}\n  expected a commit\n  got      {e}"))),
    }
}

/// The commit must fail with a conflict.
#[track_caller]
pub(crate) fn conflicted(what: impl fmt::Display, result: Result<CommitInfo>) -> CaseResult<Error> {
    refused(what, result, ErrorKind::Conflict)
}

/// Keys and values, printable.
pub(crate) type Pairs = Vec<(String, String)>;

/// Bytes, printable.
pub(crate) fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// Pairs of literals, to compare with.
pub(crate) fn pairs(of: &[(&str, &str)]) -> Pairs {
    of.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// Collects a range.
pub(crate) fn collect(range: impl Iterator<Item = Result<(Bytes, Bytes)>>) -> Result<Pairs> {
    range.map(|item| item.map(|(k, v)| (text(&k), text(&v)))).collect()
}

/// Everything that a transaction sees.
pub(crate) fn state(txn: &impl ReadTxn) -> Result<Pairs> {
    collect(txn.range(..))
}

/// The head of a database.
pub(crate) fn head(db: &impl Connection) -> Result<Pairs> {
    state(&db.begin_read()?)
}

/// One value, printable.
pub(crate) fn get(txn: &impl ReadTxn, key: &str) -> Result<Option<String>> {
    Ok(txn.get(key.as_bytes())?.map(|v| text(&v)))
}

/// Puts one value.
pub(crate) fn put(txn: &mut impl WriteTxn, key: &str, value: &str) -> Result<()> {
    txn.put(key.as_bytes(), value.to_owned())
}

/// Commits these pairs in one transaction.
#[track_caller]
pub(crate) fn commit(db: &impl Connection, writes: &[(&str, &str)]) -> CaseResult<Timestamp> {
    let mut txn = db.begin_write()?;
    for (key, value) in writes {
        put(&mut txn, key, value)?;
    }
    committed("a transaction that nobody disturbs", txn.commit())
}

/// Commits the delete of these keys in one transaction.
#[track_caller]
pub(crate) fn commit_deletes(db: &impl Connection, keys: &[&str]) -> CaseResult<Timestamp> {
    let mut txn = db.begin_write()?;
    for key in keys {
        txn.delete(key.as_bytes())?;
    }
    committed("a transaction that nobody disturbs", txn.commit())
}
