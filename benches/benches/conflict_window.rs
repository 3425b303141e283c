//! Whether the cost of a commit follows the transaction's own keys, or the
//! window: the commits since the oldest open write transaction.
//!
//! Two databases with the same records and the same commits; in one of them a
//! write transaction has been open since before those commits. Fresh
//! transactions of one key are timed on both in turn. The printed ratio must
//! stay at or below 1.2.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first error")]
#![expect(clippy::print_stdout, reason = "the ratio is the result")]

use std::time::Instant;

use criterion::BenchmarkGroup;
use criterion::measurement::WallTime;
use vellum::{Connection, ConnectionExt, ReadTxn, WriteTxn};
use vellum_benches::{
    Result, Rng, Turns, by_turns, configure, is_smoke, key, lsm, mem, records, value,
};

/// A fresh transaction that reads and writes one key.
fn commit(db: &impl Connection, rng: &mut Rng, n: u64) {
    let mut txn = db.begin_write().unwrap();
    let key = key(rng.below(n));
    assert!(txn.get(&key).unwrap().is_some());
    txn.put(&key, value(rng)).unwrap();
    let _ = txn.commit().unwrap();
}

/// Nanoseconds a commit, over many.
fn time(db: &impl Connection, rng: &mut Rng, n: u64) -> f64 {
    let commits = if is_smoke() { 10 } else { 5_000 };
    let begun = Instant::now();
    (0..commits).for_each(|_| commit(db, rng, n));
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(commits)
}

fn bench<C: Connection>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    (without, with): (&C, &C),
    n: u64,
) -> Result {
    let window: u32 = if is_smoke() { 100 } else { 100_000 };
    let old = with.begin_write()?;
    for db in [without, with] {
        let mut rng = Rng::new(5);
        (0..window).for_each(|_| commit(db, &mut rng, n));
    }
    let commits = with.stats()?.window_commits;
    assert!(commits >= usize::try_from(window)?, "the window holds {commits} commits");
    let (mut one, mut other) = (Rng::new(6), Rng::new(6));
    let turns = by_turns(
        if is_smoke() { 1 } else { 31 },
        || time(without, &mut one, n),
        || time(with, &mut other, n),
    );
    let (Turns { ratio, times: (none, all) }, mut rng) = (turns, one);
    println!(
        "conflict window, {name}: {none:.0} ns a commit with no commit in the window, \
         {all:.0} ns with {commits}: ratio {ratio:.2} (at most 1.20 is required)"
    );
    for (what, db) in [("empty", without), ("full", with)] {
        group.bench_function(format!("{name}/{what}"), |b| b.iter(|| commit(db, &mut rng, n)));
    }
    old.discard();
    Ok(())
}

fn main() -> Result {
    let n = records(100_000);
    let mut criterion = configure();
    let mut group = criterion.benchmark_group("conflict_window");
    bench(&mut group, "mem", (&mem(n)?, &mem(n)?), n)?;
    bench(&mut group, "lsm", (&lsm(n)?.db, &lsm(n)?.db), n)?;
    group.finish();
    criterion.final_summary();
    Ok(())
}
