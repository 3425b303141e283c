//! Reverting, and the comparison of the head with what git says after it.

use std::time::{Duration, Instant};

use vellum::{Connection, ConnectionExt, ErrorKind, ReadTxnExt, Version, VersionSet, WriteTxn};

use super::verify::{Checker, Findings};
use super::{Result, history, layout};

/// What was reverted.
#[derive(Debug)]
pub(crate) struct Reverted {
    pub(crate) to: Version,
    pub(crate) removed: usize,
    pub(crate) took: Duration,
}

/// Spoils the head and reverts it; then reverts to the version in the middle.
/// Leaves a database that ends there.
pub(crate) fn revert<C: Connection>(
    db: &C,
    total: usize,
    checker: &mut Checker<'_>,
    findings: &Findings,
) -> Result<Reverted> {
    let last = total.checked_sub(1).ok_or("there is no version to revert to")?;
    db.transact(|txn| {
        if let Some((key, _)) = txn.first(vellum::KeyRange::prefix(layout::FILES))? {
            txn.delete(&key)?;
        }
        txn.put(b"f/spoilt", "by the test of revert")?;
        txn.put(layout::COMMIT, "none")
    })?;
    let versions = db.versions()?;
    db.revert()?;
    checker.check_tree(&db.begin_read()?, last)?;
    if db.versions()? != versions {
        findings.add("revert changed the set of versions".into());
    }

    let middle = last / 2;
    let to = history::version(middle);
    let begun = Instant::now();
    db.revert_to(to)?;
    let took = begun.elapsed();
    checker.check_tree(&db.begin_read()?, middle)?;
    checker.check_tree(&db.read_at(history::version(0))?, 0)?;
    let left = db.versions()?;
    if left.len() != middle + 1 || left.last().is_none_or(|v| v.version != to) {
        findings.add(format!("revert to {to} leaves the versions {left:?}"));
    }
    if middle < last {
        match db.read_at(history::version(middle + 1)) {
            Err(e) if e.kind() == ErrorKind::VersionNotFound => {}
            _ => findings.add(format!("revert to {to} leaves the version after it")),
        }
    }
    let next = db.save_version()?;
    if next != history::version(middle + 1) {
        findings.add(format!("after the revert to {to} the next version is {next}"));
    }
    checker.check_tree(&db.read_at(next)?, middle)?;
    Ok(Reverted { to, removed: last - middle, took })
}
