//! Range scans: 100 records from a random key, forward and in reverse, and all
//! records.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first error")]

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Throughput};
use tempfile::TempDir;
use vellum::{Connection, ReadTxn};
use vellum_benches::{Fjall, LockedMap, Result, Rng, configure, key, lsm, mem, records};

/// Bytes of a key and a value.
const RECORD: usize = 116;
/// Scans begin where so many records follow, either way.
const LEN: u64 = 100;

/// Measures `scan(start, limit, is_reverse)`, which returns the bytes it read.
fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    n: u64,
    scan: impl Fn(&[u8], usize, bool) -> usize,
) {
    for (what, is_reverse) in [("forward", false), ("reverse", true)] {
        let mut rng = Rng::new(3);
        group.throughput(Throughput::Elements(LEN));
        group.bench_function(format!("{name}/100 {what}"), |b| {
            b.iter(|| {
                let start = key(LEN + rng.below(n - 2 * LEN));
                assert_eq!(scan(&start, 100, is_reverse), 100 * RECORD);
            });
        });
    }
    group.throughput(Throughput::Elements(n)).sample_size(10);
    group.bench_function(format!("{name}/all"), |b| {
        b.iter(|| assert_eq!(scan(&key(0), usize::MAX, false) as u64, n * RECORD as u64));
    });
    group.sample_size(20);
}

fn bench(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, db: &impl Connection, n: u64) {
    let txn = db.begin_read().unwrap();
    let len = |item: vellum::Result<vellum::KeyValue>| {
        let (key, value) = item.unwrap();
        key.len() + value.len()
    };
    measure(group, name, n, |start, limit, is_reverse| {
        if is_reverse {
            txn.range(..start).rev().take(limit).map(len).sum()
        } else {
            txn.range(start..).take(limit).map(len).sum()
        }
    });
}

fn main() -> Result {
    let n = records(1_000_000);
    let mut criterion = configure();
    let mut group = criterion.benchmark_group("range");
    let map = LockedMap::loaded(n);
    measure(&mut group, "floor/locked map", n, |start, limit, is_reverse| {
        map.scan(start, limit, is_reverse)
    });
    drop(map);
    bench(&mut group, "mem", &mem(n)?, n);
    bench(&mut group, "lsm", &lsm(n)?.db, n);
    let dir = TempDir::new()?;
    let fjall = Fjall::loaded(dir.path(), n)?;
    measure(&mut group, "fjall", n, |start, limit, is_reverse| {
        fjall.scan(start, limit, is_reverse).unwrap()
    });
    group.finish();
    criterion.final_summary();
    Ok(())
}
