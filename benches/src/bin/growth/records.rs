//! More records.

use std::time::Instant;

use vellum::{Connection, ConnectionExt, KeyRange, ReadTxn, WriteTxn};
use vellum_benches::{Result, Rng, key, load, value};

use crate::point::{Point, Subject, nanos, on_disk, resident, with_subject};

pub(crate) fn measure(subject: &Subject, n: u64, point: &mut Point) -> Result {
    with_subject!(subject, open => {
        let before = resident()?;
        let db = open()?;
        let begun = Instant::now();
        load(&db, n)?;
        point.one("load", "ns", nanos(begun.elapsed()) / n as f64);
        point.one("memory", "bytes", (resident()? - before) / n as f64);
        reads_and_writes(&db, n, point)?;
        db.close()?;
        drop(db);
        if let Some(dir) = subject.dir() {
            point.one("disk", "bytes", on_disk(dir)? / n as f64);
            let begun = Instant::now();
            let db = open()?;
            point.one("open", "ns", nanos(begun.elapsed()));
            db.close()?;
        }
        Ok(())
    })
}

fn reads_and_writes(db: &impl Connection, n: u64, point: &mut Point) -> Result {
    let mut rng = Rng::new(2);
    point.time("get", || {
        let value = db.begin_read()?.get(&key(rng.below(n)))?;
        value.map(drop).ok_or_else(|| "a record is missing".into())
    })?;
    point.time("scan 100", || {
        let read = db.begin_read()?;
        let from = key(rng.below(n.saturating_sub(100).max(1)));
        let seen = read.range(KeyRange::from(&from[..]..)).take(100).filter(Result::is_ok).count();
        if seen == 100 { Ok(()) } else { Err(format!("{seen} records").into()) }
    })?;
    let mut values = Rng::new(3);
    point.time("read-modify-write", || {
        let key = key(rng.below(n));
        let mut txn = db.begin_write()?;
        txn.get(&key)?.ok_or("a record is missing")?;
        txn.put(&key, value(&mut values))?;
        txn.commit()?;
        Ok(())
    })?;
    let read = db.begin_read()?;
    let begun = Instant::now();
    let seen = read.range(KeyRange::all()).filter(Result::is_ok).count() as u64;
    point.one("full scan", "ns", nanos(begun.elapsed()) / n as f64);
    if seen == n { Ok(()) } else { Err(format!("{seen} of {n} records").into()) }
}
