//! What it costs to begin a transaction and drop it.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first error")]

use std::sync::atomic::{AtomicU64, Ordering};

use criterion::BenchmarkGroup;
use criterion::measurement::WallTime;
use tempfile::TempDir;
use vellum::{Connection, ConnectionExt};
use vellum_benches::{Fjall, LockedMap, Result, configure, key, lsm, mem, records};

fn bench(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, db: &impl Connection) {
    group.bench_function(format!("{name}/read"), |b| b.iter(|| db.begin_read().unwrap()));
    group.bench_function(format!("{name}/write"), |b| b.iter(|| db.begin_write().unwrap()));
}

fn main() -> Result {
    let n = records(1_000);
    let mut criterion = configure();
    let mut group = criterion.benchmark_group("begin");
    let counter = AtomicU64::new(0);
    group.bench_function("floor/atomic add", |b| {
        b.iter(|| counter.fetch_add(std::hint::black_box(1), Ordering::SeqCst));
    });
    let map = LockedMap::loaded(n);
    group.bench_function("floor/lock", |b| b.iter(|| map.get(&key(0))));
    bench(&mut group, "mem", &mem(n)?);
    bench(&mut group, "lsm", &lsm(n)?.db);
    let dir = TempDir::new()?;
    let fjall = Fjall::loaded(dir.path(), n)?;
    group.bench_function("fjall/snapshot", |b| b.iter(|| fjall.snapshot()));
    group.finish();
    criterion.final_summary();
    Ok(())
}
