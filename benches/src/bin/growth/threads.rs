//! More threads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use vellum::{Connection, ConnectionExt, Durability, ReadTxn, Retry, TxnOptions, WriteTxn};
use vellum_benches::{Result, Rng, key, load, value};

use crate::point::{Point, Subject, with_subject};

const RECORDS: u64 = 100_000;
/// Keys that all threads change, for contention.
const HOT: u64 = 100;
const ROUND: Duration = Duration::from_millis(500);
const ROUNDS: usize = 5;

pub(crate) fn measure(subject: &Subject, threads: u64, point: &mut Point) -> Result {
    with_subject!(subject, open => {
        let db = open()?;
        load(&db, RECORDS)?;
        rate(point, "get", threads, |rng| {
            let value = db.begin_read()?.get(&key(rng.below(RECORDS)))?;
            value.map(drop).ok_or_else(|| "a record is missing".into())
        })?;
        rate(point, "read-modify-write", threads, |rng| change(&db, rng.below(RECORDS), rng))?;
        rate(point, "read-modify-write of 100 hot keys", threads, |rng| {
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
    let mut all = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS as u64 {
        let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|thread| {
                    let (stop, done, work) = (&stop, &done, &work);
                    let mut rng = Rng::new(1 + thread + round * threads);
                    scope.spawn(move || -> Result {
                        let mut n = 0;
                        while !stop.load(Ordering::Relaxed) {
                            work(&mut rng)?;
                            n += 1;
                        }
                        done.fetch_add(n, Ordering::Relaxed);
                        Ok(())
                    })
                })
                .collect();
            std::thread::sleep(ROUND);
            stop.store(true, Ordering::Relaxed);
            workers
                .into_iter()
                .try_for_each(|worker| worker.join().map_err(|_| "a thread panicked".to_owned())?)
        })?;
        all.push(done.into_inner() as f64 / begun.elapsed().as_secs_f64());
    }
    point.several(metric, "per second", all);
    Ok(())
}
