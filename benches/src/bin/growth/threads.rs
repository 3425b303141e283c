//! More threads.

use std::time::Duration;

use vellum::{Connection, ConnectionExt, Durability, ReadTxn, Retry, TxnOptions, WriteTxn};
use vellum_benches::{Result, Rng, key, load, rates, value};

use crate::point::{Point, Subject, with_subject};

const RECORDS: u64 = 100_000;
/// Keys that all threads change, for contention.
const HOT: u64 = 100;
const ROUND: Duration = Duration::from_millis(500);
const ROUNDS: u64 = 5;

pub(crate) fn measure(subject: &Subject, threads: u64, point: &mut Point) -> Result {
    with_subject!(subject, open => {
        let db = open()?;
        load(&db, RECORDS)?;
        rate(point, "get", threads, |rng| {
            let value = db.begin_read()?.get(&key(rng.below(RECORDS)))?;
            value.map(drop).ok_or_else(|| "a record is missing".into())
        })?;
        rate(point, "read-modify-write", threads, |rng| change(&db, rng.below(RECORDS), rng))?;
        rate(point, "the same on 100 hot keys", threads, |rng| {
            change(&db, rng.below(HOT), rng)
        })?;
        rate(point, "4 puts", threads, |rng| put4(&db, Durability::Buffered, rng))?;
        if subject.dir().is_some() {
            rate(point, "4 puts with fsync", threads, |rng| put4(&db, Durability::Sync, rng))?;
        }
        db.close()?;
        Ok(())
    })
}

fn change(db: &impl Connection, n: u64, rng: &mut Rng) -> Result {
    let key = key(n);
    db.transact(|txn| {
        txn.get(&key)?;
        txn.put(&key, value(rng))
    })?;
    Ok(())
}

fn put4(db: &impl Connection, durability: Durability, rng: &mut Rng) -> Result {
    let options = TxnOptions::new().durability(durability);
    db.transact_with(&options, &Retry::default(), |txn| {
        (0..4).try_for_each(|_| txn.put(&key(rng.below(RECORDS)), value(rng)))
    })?;
    Ok(())
}

/// Adds how often all threads together do `work` in a second.
fn rate(
    point: &mut Point,
    metric: &str,
    threads: u64,
    work: impl Fn(&mut Rng) -> Result + Sync,
) -> Result {
    let all = rates(ROUNDS, ROUND, threads, work)?;
    point.several(metric, "per second", all);
    Ok(())
}
