//! A backend of one's own: `MapStore`, of the crate in `examples-backend/`, is
//! a map in a lock, and knows nothing of transactions. The engine over it
//! does the rest. `docs/writing-a-backend.md` goes through it line by line.
//!
//! ```text
//! cargo run --example custom_backend
//! ```
#![expect(clippy::print_stdout, reason = "an example tells what it does")]

use vellum::{Connection, ConnectionExt, Database, ErrorKind, Options, ReadTxn, Result, WriteTxn};
use vellum_example_backend::MapStore;

fn main() -> Result<()> {
    let store = MapStore::default();
    let db = Database::open(store.clone(), Options::new())?;

    // Serializable transactions:
    db.transact(|txn| txn.put(b"seats", "1"))?;
    let (mut ada, mut bob) = (db.begin_write()?, db.begin_write()?);
    for (txn, name) in [(&mut ada, "ada"), (&mut bob, "bob")] {
        if txn.get(b"seats")?.as_deref() == Some(b"1") {
            txn.put(b"seats", "0")?;
            txn.put(format!("booked/{name}").as_bytes(), "")?;
        }
    }
    ada.commit()?;
    let refused = bob.commit().map_err(|e| e.kind());
    assert_eq!(refused.err(), Some(ErrorKind::Conflict));
    println!("one seat, two bookings: the second was refused");

    // Versions:
    let booked = db.save_version()?;
    db.transact(|txn| txn.delete(b"booked/ada"))?;
    assert!(db.read_at(booked)?.get(b"booked/ada")?.is_some());
    db.revert_to(booked)?;
    assert!(db.begin_read()?.get(b"booked/ada")?.is_some());
    println!("cancelled by mistake, and reverted to version {booked}");

    // And all of it again after it was closed, as far as the store lasts.
    db.close()?;
    let db = Database::open(store, Options::new())?;
    assert!(db.read_at(booked)?.get(b"booked/ada")?.is_some());
    println!("opened again:\n{}", db.stats()?);
    db.close()
}
