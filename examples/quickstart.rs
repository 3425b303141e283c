//! The first steps: open a directory, write, read, close, open again.
//!
//! ```text
//! cargo run --example quickstart
//! ```
#![expect(clippy::print_stdout, reason = "an example tells what it does")]

use vellum::{Connection, ConnectionExt, ReadTxn, ReadTxnExt, Result, WriteTxn};

fn main() -> Result<()> {
    let dir = scratch()?;
    let db = vellum::lsm::open(dir.path())?;

    // A transaction: both keys or none. Run again if it loses to another one.
    db.transact(|txn| {
        txn.put(b"capital/france", "Paris")?;
        txn.put(b"capital/peru", "Lima")
    })?;

    // A snapshot: it stays as it is, whatever is written later.
    let before = db.begin_read()?;
    db.transact(|txn| txn.put(b"capital/kenya", "Nairobi"))?;
    assert!(!before.contains(b"capital/kenya")?);
    println!("{} capitals in the snapshot, one more by now", before.count(..)?);

    // Ranges come in the order of their keys.
    for item in db.begin_read()?.prefix("capital/") {
        let (key, value) = item?;
        println!("{} = {}", key.escape_ascii(), value.escape_ascii());
    }

    // Commits are fsynced unless asked otherwise: they are there after this.
    drop(before);
    db.close()?;
    let db = vellum::lsm::open(dir.path())?;
    assert_eq!(db.begin_read()?.get(b"capital/kenya")?.as_deref(), Some(&b"Nairobi"[..]));
    println!("closed, opened again: {} capitals", db.begin_read()?.count(..)?);
    db.close()
}

fn scratch() -> Result<tempfile::TempDir> {
    tempfile::tempdir()
        .map_err(|e| vellum::Error::new(vellum::ErrorKind::Io, "no directory").caused_by(e))
}
