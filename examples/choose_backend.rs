//! The backend is chosen when the program runs; the code that uses it is the
//! same for all.
//!
//! ```text
//! cargo run --example choose_backend -- mem
//! cargo run --example choose_backend -- lsm DIRECTORY
//! ```
#![expect(clippy::print_stdout, reason = "an example tells what it does")]

use vellum::{
    AnyConnection, Connection, ConnectionExt, Error, ErrorKind, Options, ReadTxn, Result,
    WriteTxnExt,
};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let db = match args.as_slice() {
        [] | ["mem"] => AnyConnection::new(vellum::mem::open(Options::new())?),
        ["lsm", path] => AnyConnection::new(vellum::lsm::open(path)?),
        _ => return Err(Error::new(ErrorKind::Invalid, "say mem, or lsm and a directory")),
    };
    count_a_run(&db)?;
    println!("{}", db.stats()?);
    db.close()
}

/// Knows nothing of backends: it would take a `MemDatabase` as well.
fn count_a_run(db: &impl Connection) -> Result<()> {
    let count = |n: Option<&vellum::Bytes>| n.and_then(|n| n.first().copied()).unwrap_or(0);
    db.transact(|txn| txn.update(b"runs", |n| Some(vec![count(n).saturating_add(1)].into())))?;
    let runs = count(db.begin_read()?.get(b"runs")?.as_ref());
    assert!(runs >= 1);
    println!("run number {runs} on this database");
    Ok(())
}
