//! A snapshot that is held while everything is overwritten.

use std::thread;
use std::time::Instant;

use crate::Result;
use crate::data::counter_of;
use crate::drive::nanoseconds;
use crate::engine::{Engine, Reads};
use crate::histogram::Histogram;
use crate::keys::{Rng, key, load_order};
use crate::ops::{check, set_all};
use crate::protocol::Figures;

/// Puts of a transaction that overwrites.
const A_TXN: usize = 10;
/// Reads of which the latency is taken.
const READS: u64 = 20_000;

/// Overwrites all records twice, the second time under a snapshot, and reads
/// at that in the end. `counter` is one that no record has.
pub fn held<E: Engine>(engine: &E, records: u64, counter: u64) -> Result<Figures> {
    // What is not offered is found out before anything takes time.
    drop(engine.snapshot()?);
    let free = overwrite(engine, records, counter)?;
    let mut snapshot = engine.snapshot()?;
    let held = thread::scope(|scope| {
        let writer = scope.spawn(|| overwrite(engine, records, counter + 1));
        writer.join().unwrap_or_else(|_| Err("a thread panicked".into()))
    })?;
    let old = read(&mut snapshot, records, counter)?;
    drop(snapshot);
    let new = read(&mut engine.read()?, records, counter + 1)?;

    let mut figures = Figures::default();
    figures.set("ops_free", free);
    figures.set("ops", held);
    figures.set("slowdown", free / held);
    for (name, histogram, share) in
        [("p50", &old, 0.5), ("p99", &old, 0.99), ("p50_new", &new, 0.5)]
    {
        if let Some(nanoseconds) = histogram.percentile(share) {
            figures.set(name, nanoseconds as f64);
        }
    }
    Ok(figures)
}

/// Sets every record to this counter; records a second.
fn overwrite<E: Engine>(engine: &E, records: u64, counter: u64) -> Result<f64> {
    let begun = Instant::now();
    set_all(engine, load_order(records), counter, A_TXN)?;
    Ok(records as f64 / begun.elapsed().as_secs_f64())
}

/// Reads random records, all of which have this counter.
fn read(txn: &mut impl Reads, records: u64, counter: u64) -> Result<Histogram> {
    let mut rng = Rng::new(counter);
    let mut histogram = Histogram::default();
    for _ in 0..READS {
        let n = rng.below(records);
        let mut found = None;
        let begun = Instant::now();
        txn.get(&key(n), |value| found = counter_of(value, n))?;
        histogram.record(nanoseconds(begun.elapsed()));
        check(found == Some(counter), || {
            format!("key {n} has {found:?} for {counter} at a snapshot")
        })?;
    }
    Ok(histogram)
}
