//! Threads move money between accounts; a lost race is run again, and no
//! money appears or vanishes, not even for a moment.
//!
//! ```text
//! cargo run --release --example bank_transfer
//! ```
#![expect(clippy::print_stdout, reason = "an example tells what it does")]

use std::thread;

use vellum::{
    Bytes, Connection, ConnectionExt, Error, ErrorKind, Options, ReadTxn, Result, WriteTxn,
};

const ACCOUNTS: u64 = 8;
const THREADS: u64 = 4;
const TRANSFERS: u64 = 5_000;
const OPENING_BALANCE: u64 = 1_000;

fn main() -> Result<()> {
    let db = vellum::mem::open(Options::new())?;
    db.transact(|txn| (0..ACCOUNTS).try_for_each(|n| put(txn, n, OPENING_BALANCE)))?;

    thread::scope(|scope| {
        let db = &db;
        let tellers: Vec<_> = (0..THREADS).map(|n| scope.spawn(move || teller(db, n))).collect();
        // An audit is a snapshot: it sees no transfer half done.
        while tellers.iter().any(|t| !t.is_finished()) {
            assert_eq!(total(&db.begin_read()?)?, ACCOUNTS * OPENING_BALANCE);
        }
        tellers.into_iter().try_for_each(|teller| match teller.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;

    assert_eq!(total(&db.begin_read()?)?, ACCOUNTS * OPENING_BALANCE);
    let stats = db.stats()?;
    println!("{} transfers, {} of them run again", THREADS * TRANSFERS, stats.conflicts);
    println!("{} in {ACCOUNTS} accounts, as in the beginning", ACCOUNTS * OPENING_BALANCE);
    db.close()
}

/// Makes transfers between accounts chosen by a small generator.
fn teller(db: &impl Connection, seed: u64) -> Result<()> {
    let mut random = seed;
    for _ in 0..TRANSFERS {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let (from, to, amount) =
            ((random >> 33) % ACCOUNTS, (random >> 43) % ACCOUNTS, (random >> 53) % 100);
        db.transact(|txn| {
            let balance = get(txn, from)?;
            if from == to || balance < amount {
                return Ok(());
            }
            put(txn, from, balance - amount)?;
            let balance = get(txn, to)?;
            put(txn, to, balance + amount)
        })?;
    }
    Ok(())
}

fn total(txn: &impl ReadTxn) -> Result<u64> {
    (0..ACCOUNTS).try_fold(0, |sum, n| Ok(sum + get(txn, n)?))
}

fn get(txn: &impl ReadTxn, account: u64) -> Result<u64> {
    let balance = txn.get(&account.to_be_bytes())?.unwrap_or_default();
    let bytes = balance[..].try_into();
    bytes.map(u64::from_be_bytes).map_err(|_| Error::new(ErrorKind::Corrupted, "no balance"))
}

fn put(txn: &mut impl WriteTxn, account: u64, balance: u64) -> Result<()> {
    txn.put(&account.to_be_bytes(), Bytes::copy_from_slice(&balance.to_be_bytes()))
}
