//! Saved versions: saving one, reading at one when 1 and when 1,000 are saved,
//! the diff of two, and a revert. Between two versions, 100 keys change.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first error")]

use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup};
use vellum::{At, Connection, ConnectionExt, KeyRange, ReadTxn, Version, VersionSet, WriteTxn};
use vellum_benches::{LockedMap, Result, Rng, configure, is_smoke, key, lsm, mem, records, value};

/// Keys that change between two versions.
const CHANGED: u64 = 100;

fn change(db: &impl Connection, rng: &mut Rng, n: u64) {
    db.transact(|txn| (0..CHANGED).try_for_each(|_| txn.put(&key(rng.below(n)), value(rng))))
        .unwrap();
}

fn read_at(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    db: &impl Connection,
    version: Version,
    n: u64,
) {
    let saved = db.versions().unwrap().len();
    let mut rng = Rng::new(7);
    group.bench_function(format!("{name}/get at a version of {saved}"), |b| {
        b.iter(|| db.read_at(version).unwrap().get(&key(rng.below(n))).unwrap().unwrap());
    });
}

fn bench(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    db: &impl Connection,
    n: u64,
) -> Result {
    let mut rng = Rng::new(8);
    let first = db.save_version()?;
    change(db, &mut rng, n);
    read_at(group, name, db, first, n);

    let all = if is_smoke() { 10 } else { 1_000 };
    while db.versions()?.len() < all {
        change(db, &mut rng, n);
        db.save_version()?;
    }
    let versions: Vec<Version> = db.versions()?.iter().map(|v| v.version).collect();
    let middle = *versions.get(all / 2).ok_or("no version")?;
    let next = *versions.get(all / 2 + 1).ok_or("no version")?;
    read_at(group, name, db, middle, n);

    group.bench_function(format!("{name}/diff of 100 keys"), |b| {
        b.iter(|| {
            let diff = db.diff(At::Version(middle), At::Version(next), KeyRange::all()).unwrap();
            assert!((80..=CHANGED).contains(&(diff.count() as u64)));
        });
    });
    group.bench_function(format!("{name}/revert of 100 keys"), |b| {
        b.iter_custom(|reverts| {
            let mut took = Duration::ZERO;
            for _ in 0..reverts {
                // A fresh version each time: a revert looks at every key that
                // was written since the last.
                db.save_version().unwrap();
                change(db, &mut rng, n);
                let begun = Instant::now();
                let _ = db.revert().unwrap();
                took += begun.elapsed();
            }
            took
        });
    });
    group.bench_function(format!("{name}/save"), |b| {
        b.iter_batched(
            || db.delete_version(db.versions().unwrap().last().unwrap().version).unwrap(),
            |()| db.save_version().unwrap(),
            BatchSize::PerIteration,
        );
    });
    Ok(())
}

fn main() -> Result {
    let n = records(100_000);
    let mut criterion = configure();
    let mut group = criterion.benchmark_group("version");
    let map = LockedMap::loaded(n);
    let mut rng = Rng::new(7);
    group.bench_function("floor/locked map/get", |b| {
        b.iter(|| map.get(&key(rng.below(n))).unwrap());
    });
    bench(&mut group, "mem", &mem(n)?, n)?;
    bench(&mut group, "lsm", &lsm(n)?.db, n)?;
    group.finish();
    criterion.final_summary();
    Ok(())
}
