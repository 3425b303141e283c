//! Two doctors are on call, and one must stay. Both ask to leave at the same
//! time; each sees that the other is there. Under snapshot isolation both may
//! go (write skew); under the default, serializable, the second is refused.
//!
//! ```text
//! cargo run --example write_skew_refused
//! ```
#![expect(clippy::print_stdout, reason = "an example tells what it does")]

use vellum::{
    Connection, ConnectionExt, Error, ErrorKind, Isolation, KeyRange, Options, ReadTxnExt, Result,
    TxnOptions, WriteTxn,
};

fn main() -> Result<()> {
    let db = vellum::mem::open(Options::new())?;

    let (first, second) = both_leave(&db, Isolation::Snapshot)?;
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(on_call(&db)?, 0);
    println!("snapshot isolation: both left, nobody is on call");

    let (first, second) = both_leave(&db, Isolation::Serializable)?;
    assert!(first.is_ok());
    assert_eq!(on_call(&db)?, 1);
    match second {
        Err(e) if e.kind() == ErrorKind::Conflict => {
            println!("serializable: one left; then\n  {e}");
        }
        _ => return Err(Error::new(ErrorKind::Corrupted, "both could leave")),
    }
    db.close()
}

/// Puts both on call, and lets both ask to leave before either has left.
fn both_leave(db: &impl Connection, isolation: Isolation) -> Result<(Result<()>, Result<()>)> {
    db.transact(|txn| {
        txn.put(b"on call/ada", "")?;
        txn.put(b"on call/bob", "")
    })?;
    let options = TxnOptions::new().isolation(isolation);
    let (mut ada, mut bob) = (db.begin_write_with(&options)?, db.begin_write_with(&options)?);
    leave(&mut ada, "ada")?;
    leave(&mut bob, "bob")?;
    Ok((ada.commit().map(drop), bob.commit().map(drop)))
}

/// Takes `name` off call if another is there.
fn leave(txn: &mut impl WriteTxn, name: &str) -> Result<()> {
    if txn.count(KeyRange::prefix("on call/"))? > 1 {
        txn.delete(format!("on call/{name}").as_bytes())?;
    }
    Ok(())
}

fn on_call(db: &impl Connection) -> Result<u64> {
    db.begin_read()?.count(KeyRange::prefix("on call/"))
}
