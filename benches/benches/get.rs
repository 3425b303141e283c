//! Point reads of random keys: in a transaction each, in one long transaction,
//! and of keys that are absent.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first error")]

use criterion::BenchmarkGroup;
use criterion::measurement::WallTime;
use tempfile::TempDir;
use vellum::{Connection, ReadTxn};
use vellum_benches::{
    Fjall, LockedMap, Result, Rng, absent_key, configure, key, lsm, mem, records,
};

type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// Measures `get` on present keys and on absent ones.
fn measure(group: &mut Group<'_>, name: &str, n: u64, get: impl Fn(&[u8]) -> bool) {
    for (what, key, is_present) in
        [("present", key as fn(u64) -> [u8; 16], true), ("absent", absent_key, false)]
    {
        let mut rng = Rng::new(2);
        group.bench_function(format!("{name}/{what}"), |b| {
            b.iter(|| assert_eq!(get(&key(rng.below(n))), is_present));
        });
    }
}

fn bench(group: &mut Group<'_>, name: &str, db: &impl Connection, n: u64) {
    let txn = db.begin_read().unwrap();
    measure(group, &format!("{name}/long txn"), n, |key| txn.get(key).unwrap().is_some());
    measure(group, &format!("{name}/fresh txn"), n, |key| {
        db.begin_read().unwrap().get(key).unwrap().is_some()
    });
}

fn main() -> Result {
    let n = records(1_000_000);
    let mut criterion = configure();
    let mut group = criterion.benchmark_group("get");
    let map = LockedMap::loaded(n);
    measure(&mut group, "floor/locked map", n, |key| map.get(key).is_some());
    drop(map);
    bench(&mut group, "mem", &mem(n)?, n);
    bench(&mut group, "lsm", &lsm(n)?.db, n);
    let dir = TempDir::new()?;
    let fjall = Fjall::loaded(dir.path(), n)?;
    measure(&mut group, "fjall", n, |key| fjall.get(key).unwrap().is_some());
    group.finish();
    criterion.final_summary();
    Ok(())
}
