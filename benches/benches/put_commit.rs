//! Committing: one put and four puts a transaction, a read-modify-write of one
//! key, by one to eight threads; and four puts with an fsync.
//!
//! The time shown is that of the whole divided by the number of commits of all
//! threads: half of it with two threads is twice the throughput.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first error")]

use std::sync::Mutex;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Throughput};
use tempfile::TempDir;
use vellum::{Bytes, Connection, ConnectionExt, Durability, ReadTxn, Retry, TxnOptions, WriteTxn};
use vellum_benches::{
    Fjall, LockedMap, Result, Rng, configure, in_threads, is_smoke, key, lsm, mem, records, value,
};

const THREADS: [u64; 4] = [1, 2, 4, 8];

type Group<'a> = BenchmarkGroup<'a, WallTime>;
type Put = ([u8; 16], Bytes);

/// Measures `commit` with the random numbers of its thread.
fn measure(group: &mut Group<'_>, name: &str, threads: &[u64], commit: impl Fn(&mut Rng) + Sync) {
    group.throughput(Throughput::Elements(1));
    for &threads in threads {
        let rngs: Vec<_> = (0..threads).map(|t| Mutex::new(Rng::new(4 + t))).collect();
        group.bench_function(format!("{name}/{threads} threads"), |b| {
            b.iter_custom(|total| {
                in_threads(threads, total, |thread, _| {
                    let rng = rngs.get(usize::try_from(thread).unwrap()).unwrap();
                    commit(&mut rng.lock().unwrap());
                })
            });
        });
    }
}

/// `N` puts of random keys.
fn puts<const N: usize>(rng: &mut Rng, n: u64) -> [Put; N] {
    std::array::from_fn(|_| (key(rng.below(n)), value(rng)))
}

fn put_all<const N: usize>(db: &impl Connection, rng: &mut Rng, n: u64, options: &TxnOptions) {
    let puts = puts::<N>(rng, n);
    db.transact_with(options, &Retry::default(), |txn| {
        puts.iter().try_for_each(|(key, value)| txn.put(key, value.clone()))
    })
    .unwrap();
}

fn bench(group: &mut Group<'_>, name: &str, db: &impl Connection, n: u64) {
    let unsynced = TxnOptions::new().durability(Durability::Buffered);
    measure(group, &format!("{name}/put1"), &[1], |rng| put_all::<1>(db, rng, n, &unsynced));
    measure(group, &format!("{name}/put4"), &THREADS, |rng| {
        put_all::<4>(db, rng, n, &unsynced);
    });
    measure(group, &format!("{name}/rmw"), &THREADS, |rng| {
        let (key, new) = (key(rng.below(n)), value(rng));
        db.transact_with(&unsynced, &Retry::default(), |txn| {
            assert!(txn.get(&key)?.is_some());
            txn.put(&key, new.clone())
        })
        .unwrap();
    });
}

fn main() -> Result {
    let n = records(200_000);
    let mut criterion = configure();
    let mut group = criterion.benchmark_group("put_commit");
    let map = LockedMap::loaded(n);
    measure(&mut group, "floor/locked map/put1", &[1], |rng| map.put_all(puts::<1>(rng, n)));
    measure(&mut group, "floor/locked map/put4", &THREADS, |rng| map.put_all(puts::<4>(rng, n)));
    measure(&mut group, "floor/locked map/rmw", &THREADS, |rng| {
        map.update(&key(rng.below(n)), |_| value(rng));
    });
    drop(map);
    bench(&mut group, "mem", &mem(n)?, n);
    let lsm = lsm(n)?;
    bench(&mut group, "lsm", &lsm.db, n);
    let dir = TempDir::new()?;
    let fjall = Fjall::loaded(dir.path(), n)?;
    measure(&mut group, "fjall/put1", &[1], |rng| {
        fjall.put_all(puts::<1>(rng, n), false).unwrap();
    });
    measure(&mut group, "fjall/put4", &THREADS, |rng| {
        fjall.put_all(puts::<4>(rng, n), false).unwrap();
    });
    if !is_smoke() {
        group.sample_size(10);
    }
    let synced = TxnOptions::new().durability(Durability::Sync);
    measure(&mut group, "lsm/put4 sync", &THREADS, |rng| {
        put_all::<4>(&lsm.db, rng, n, &synced);
    });
    measure(&mut group, "fjall/put4 sync", &THREADS, |rng| {
        fjall.put_all(puts::<4>(rng, n), true).unwrap();
    });
    group.finish();
    criterion.final_summary();
    Ok(())
}
