//! What is kept for others costs those who do not look at it little: readers,
//! beside a reader that was held open over a million overwrites, and writers who
//! overwrite what a saved version keeps.
//!
//! Each ratio is of two databases with the same records, measured by turns.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first error")]
#![expect(clippy::print_stdout, reason = "the ratios are the result")]

use std::hint::black_box;
use std::time::Instant;

use vellum::{Connection, ConnectionExt, ReadTxn, WriteTxn};
use vellum_benches::{Result, Rng, Turns, by_turns, is_smoke, key, lsm, mem, records, value};

/// Keys of a transaction that overwrites.
const KEYS: u64 = 10;

/// So many, or few to see that it runs.
fn often(count: u64) -> u64 {
    if is_smoke() { count.min(20) } else { count }
}

/// Nanoseconds a step, over so many.
fn time(steps: u64, step: impl FnMut(u64)) -> f64 {
    let begun = Instant::now();
    (0..steps).for_each(step);
    begun.elapsed().as_secs_f64() * 1e9 / steps as f64
}

fn say(name: &str, what: &str, (base, other): (&str, &str), turns: Turns, limit: Option<f64>) {
    let (first, second) = turns.times;
    let required =
        limit.map_or(String::new(), |limit| format!(" (at most {limit:.2} is required)"));
    println!(
        "{name}, {what}: {first:.0} ns {base}, {second:.0} ns {other}: ratio {:.2}{required}",
        turns.ratio
    );
}

/// A transaction that overwrites the keys from `first` on.
fn overwrite(db: &impl Connection, rng: &mut Rng, first: u64, n: u64, reads: bool) {
    let mut txn = db.begin_write().unwrap();
    for i in first..first + KEYS {
        let key = key(i % n);
        if reads {
            assert!(txn.get(&key).unwrap().is_some());
        }
        txn.put(&key, value(rng)).unwrap();
    }
    let _ = txn.commit().unwrap();
}

/// Reads beside a reader that was held open over a million overwrites.
fn held_reader<C: Connection>(name: &str, (without, with): (&C, &C), n: u64) -> Result {
    let held = with.begin_read()?;
    for db in [without, with] {
        let mut rng = Rng::new(3);
        for _ in 0..often(1_000_000 / KEYS) {
            let first = rng.below(n);
            overwrite(db, &mut rng, first, n, false);
        }
    }
    let rounds = if is_smoke() { 1 } else { 31 };
    let current = |db: &C, rng: &mut Rng| {
        time(often(20_000), |_| {
            let txn = db.begin_read().unwrap();
            black_box(txn.get(&key(rng.below(n))).unwrap().unwrap());
        })
    };
    let (mut one, mut other) = (Rng::new(4), Rng::new(4));
    let turns = by_turns(rounds, || current(without, &mut one), || current(with, &mut other));
    say(
        name,
        "get beside a reader held over a million overwrites",
        ("without it", "with it"),
        turns,
        Some(1.3),
    );
    let (mut one, mut other) = (Rng::new(5), Rng::new(5));
    let turns = by_turns(
        rounds,
        || current(with, &mut one),
        || {
            time(often(20_000), |_| {
                black_box(held.get(&key(other.below(n))).unwrap().unwrap());
            })
        },
    );
    say(name, "get by the reader that was held", ("fresh", "held"), turns, None);
    Ok(())
}

/// Overwrites of what a saved version keeps. It is the first overwrite of a key
/// after a save that has to keep something, so both are measured: every key ten
/// times between two saves, and once.
fn pinned<C: Connection>(name: &str, (without, with): (&C, &C), n: u64) -> Result {
    for (reads, what, limit) in
        [(true, "overwriting what was read", 1.15), (false, "overwriting blindly", 3.0)]
    {
        for (passes, often_each, limit) in [(10, "ten times", Some(limit)), (1, "once", None)] {
            let batch = often(500) * KEYS;
            let all = |db: &C, rng: &mut Rng, from: &mut u64| {
                let begun = *from;
                *from += batch;
                let txns = batch / KEYS;
                let step = |i| overwrite(db, rng, begun + i % txns * KEYS, n, reads);
                time(passes * txns, step) / KEYS as f64
            };
            let (mut one, mut other) = ((Rng::new(6), 0), (Rng::new(6), 0));
            let turns = by_turns(
                if is_smoke() { 1 } else { 31 },
                || all(without, &mut one.0, &mut one.1),
                || {
                    with.save_version().unwrap();
                    all(with, &mut other.0, &mut other.1)
                },
            );
            let what = format!("{what}, each {often_each} a version");
            say(name, &what, ("without versions", "with them"), turns, limit);
        }
    }
    Ok(())
}

fn main() -> Result {
    let n = records(100_000);
    held_reader("mem", (&mem(n)?, &mem(n)?), n)?;
    pinned("mem", (&mem(n)?, &mem(n)?), n)?;
    held_reader("lsm", (&lsm(n)?.db, &lsm(n)?.db), n)?;
    pinned("lsm", (&lsm(n)?.db, &lsm(n)?.db), n)?;
    Ok(())
}
