//! One script over every engine: that an adapter reads what was written, does
//! not lose an update, does not move under a snapshot, and keeps on disk what
//! it says it keeps.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::Result;
use crate::engine::{Durability, Engine, Outcome, Reads, Settings, Unsupported, Writes};

const SETTINGS: Settings = Settings { cache: 16 << 20, memtable: 64 << 20 };
const BUFFERED: Durability = Durability::Buffered;
/// What tells a child process of a test that it is one, and its directory.
const CHILD: &str = "VELLUM_COMPARE_CHILD";

type Records = Vec<(Vec<u8>, Vec<u8>)>;

fn key(i: u64) -> Vec<u8> {
    format!("user{i:012}").into_bytes()
}

/// 100 bytes, the first eight of which are a number.
fn value(n: u64) -> Vec<u8> {
    let mut value = n.to_le_bytes().to_vec();
    value.resize(100, 0xa5);
    value
}

fn number(value: &[u8]) -> u64 {
    u64::from_le_bytes(value.first_chunk().copied().unwrap())
}

fn get(reads: &mut impl Reads, i: u64) -> Option<Vec<u8>> {
    let mut found = None;
    let is_found = reads.get(&key(i), |value| found = Some(value.to_vec())).unwrap();
    assert_eq!(is_found, found.is_some(), "get says whether it showed something");
    found
}

fn scan(reads: &mut impl Reads, from: Option<u64>, is_reverse: bool, limit: usize) -> Records {
    let mut records = Vec::new();
    let from = from.map(key);
    let count = reads
        .scan(from.as_deref(), is_reverse, limit, |key, value| {
            records.push((key.to_vec(), value.to_vec()));
        })
        .unwrap();
    assert_eq!(count, records.len(), "scan counts what it showed");
    records
}

fn expected(ids: impl Iterator<Item = u64>) -> Records {
    ids.map(|i| (key(i), value(i))).collect()
}

/// The value, or nothing if the engine does not offer it.
fn offered<T>(result: Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) if error.is::<Unsupported>() => None,
        Err(error) => panic!("{error}"),
    }
}

/// Sets the ids to values of their own number, four to a transaction.
fn load<E: Engine>(engine: &E, ids: &[u64], durability: Durability) {
    for four in ids.chunks(4) {
        let mut txn = engine.write(durability).unwrap();
        for &i in four {
            assert_eq!(txn.put(&key(i), &value(i)).unwrap(), Outcome::Committed);
        }
        assert_eq!(txn.commit().unwrap(), Outcome::Committed);
    }
}

/// Even ids below 2,000, in no order.
fn shuffled() -> Vec<u64> {
    (0..1000).map(|i| i * 7 % 1000 * 2).collect()
}

#[track_caller]
fn check_reads(reads: &mut impl Reads) {
    assert_eq!(get(reads, 10), Some(value(10)));
    assert_eq!(get(reads, 11), None, "an absent key");
    let evens = |from: u64, to: u64| (from..to).filter(|i| i % 2 == 0);
    assert_eq!(scan(reads, Some(100), false, 10), expected(evens(100, 120)));
    assert_eq!(scan(reads, Some(101), false, 10), expected(evens(102, 122)));
    assert_eq!(scan(reads, Some(100), true, 10), expected(evens(80, 100).rev()));
    assert_eq!(scan(reads, Some(101), true, 10), expected(evens(82, 102).rev()));
    assert_eq!(scan(reads, Some(1990), false, 100), expected(evens(1990, 2000)));
    assert_eq!(scan(reads, Some(10), true, 100), expected(evens(0, 10).rev()));
    assert_eq!(scan(reads, None, false, 3), expected(evens(0, 6)));
    assert_eq!(scan(reads, None, true, 3), expected(evens(1994, 2000).rev()));
    assert_eq!(scan(reads, None, false, usize::MAX), expected(evens(0, 2000)));
    assert_eq!(scan(reads, None, true, usize::MAX), expected(evens(0, 2000).rev()));
}

/// Adds one to a key, again and again until it is committed; `None` if the
/// engine does not offer it.
fn increment<E: Engine>(engine: &E, i: u64) -> Option<()> {
    loop {
        let mut txn = engine.write(BUFFERED).unwrap();
        let mut n = None;
        let outcome = offered(txn.get_for_update(&key(i), |value| n = Some(number(value))))?;
        if outcome == Outcome::Committed
            && txn.put(&key(i), &value(n.unwrap() + 1)).unwrap() == Outcome::Committed
            && txn.commit().unwrap() == Outcome::Committed
        {
            return Some(());
        }
        thread::yield_now();
    }
}

fn check_writes<E: Engine>(engine: &E) {
    // Dropped, it leaves no trace.
    let mut txn = engine.write(BUFFERED).unwrap();
    txn.put(&key(10), &value(0)).unwrap();
    drop(txn);
    assert_eq!(get(&mut engine.read().unwrap(), 10), Some(value(10)));
    // The newest value is read by whoever begins after the commit.
    let mut txn = engine.write(BUFFERED).unwrap();
    txn.put(&key(10), &value(77)).unwrap();
    assert_eq!(txn.commit().unwrap(), Outcome::Committed);
    assert_eq!(get(&mut engine.read().unwrap(), 10), Some(value(77)));
    load(engine, &[10], BUFFERED);
    // A write transaction reads.
    check_reads(&mut engine.write(BUFFERED).unwrap());
    // No update is lost: what four threads add is there.
    let before = number(&get(&mut engine.read().unwrap(), 20).unwrap());
    let added = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..250 {
                    if increment(engine, 20).is_some() {
                        added.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let added = added.into_inner();
    assert!(added == 0 || added == 1000);
    assert_eq!(number(&get(&mut engine.read().unwrap(), 20).unwrap()), before + added);
    load(engine, &[20], BUFFERED);
}

/// Of two transactions that read a key for an update and then write it, begun
/// together, one loses. Only for engines whose writers run at once.
fn check_conflict<E: Engine>(engine: &E) {
    let mut one = engine.write(BUFFERED).unwrap();
    let mut two = engine.write(BUFFERED).unwrap();
    let mut outcomes = [Outcome::Committed; 2];
    for (txn, outcome) in [&mut one, &mut two].into_iter().zip(&mut outcomes) {
        *outcome = txn.get_for_update(&key(30), |_| {}).unwrap();
    }
    for ((mut txn, n), outcome) in [(one, 1), (two, 2)].into_iter().zip(&mut outcomes) {
        if *outcome == Outcome::Committed {
            *outcome = txn.put(&key(30), &value(n)).unwrap();
        }
        if *outcome == Outcome::Committed {
            *outcome = txn.commit().unwrap();
        }
    }
    outcomes.sort_by_key(|outcome| *outcome == Outcome::Conflict);
    assert_eq!(outcomes, [Outcome::Committed, Outcome::Conflict]);
    load(engine, &[30], BUFFERED);
}

fn check_snapshot<E: Engine>(engine: &E) {
    let Some(mut held) = offered(engine.snapshot()) else { return };
    assert_eq!(get(&mut held, 40), Some(value(40)));
    thread::scope(|scope| {
        scope.spawn(|| {
            for i in (0..2000).step_by(2) {
                let mut txn = engine.write(BUFFERED).unwrap();
                txn.put(&key(i), &value(i + 5000)).unwrap();
                txn.put(&key(i + 1), &value(1)).unwrap();
                assert_eq!(txn.commit().unwrap(), Outcome::Committed);
            }
            assert_eq!(get(&mut engine.read().unwrap(), 40), Some(value(5040)));
        });
    });
    check_reads(&mut held);
    drop(held);
    engine.collect().unwrap();
    assert_eq!(get(&mut engine.read().unwrap(), 40), Some(value(5040)));
    assert_eq!(get(&mut engine.read().unwrap(), 41), Some(value(1)));
}

/// The script that every engine passes.
fn check<E: Engine>(writers_run_at_once: bool) {
    let dir = tempfile::tempdir().unwrap();
    let engine = E::open(dir.path(), &SETTINGS).unwrap();
    assert_eq!(scan(&mut engine.read().unwrap(), None, false, 10), []);
    load(&engine, &shuffled(), BUFFERED);
    check_reads(&mut engine.read().unwrap());
    engine.settle().unwrap();
    check_reads(&mut engine.read().unwrap());
    check_writes(&engine);
    if writers_run_at_once {
        check_conflict(&engine);
    }
    check_reads(&mut engine.read().unwrap());
    check_snapshot(&engine);
    engine.close().unwrap();
}

/// What engines on disk pass besides: closed and opened again, nothing is
/// missing, buffered or synced; and synced commits, or all if `keeps_buffered`,
/// are there after the process was killed.
fn check_disk<E: Engine>(test: &str, keeps_buffered: bool) {
    if let Ok(dir) = std::env::var(CHILD) {
        return child::<E>(dir.as_ref());
    }
    let dir = tempfile::tempdir().unwrap();
    let mut engine = E::open(dir.path(), &SETTINGS).unwrap();
    let ids = shuffled();
    let (synced, buffered) = ids.split_at(100);
    engine.prepare(Durability::Synced).unwrap();
    load(&engine, synced, Durability::Synced);
    engine.prepare(BUFFERED).unwrap();
    load(&engine, buffered, BUFFERED);
    check_reads(&mut engine.read().unwrap());
    engine.close().unwrap();
    let engine = E::open(dir.path(), &SETTINGS).unwrap();
    check_reads(&mut engine.read().unwrap());
    engine.close().unwrap();

    let dir = tempfile::tempdir().unwrap();
    let killed = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, dir.path())
        .output()
        .unwrap();
    assert!(!killed.status.success(), "the child ends by abort");
    let engine = E::open(dir.path(), &SETTINGS).unwrap();
    let mut read = engine.read().unwrap();
    assert_eq!(get(&mut read, 2), Some(value(2)), "synced");
    assert!(!keeps_buffered || get(&mut read, 1) == Some(value(1)), "buffered");
}

/// A synced commit and then a buffered one, and death at once.
fn child<E: Engine>(dir: &Path) {
    let mut engine = E::open(dir, &SETTINGS).unwrap();
    engine.prepare(Durability::Synced).unwrap();
    load(&engine, &[2], Durability::Synced);
    engine.prepare(BUFFERED).unwrap();
    load(&engine, &[1], BUFFERED);
    std::process::abort();
}

/// A test of the script, for an engine in memory or on disk, whose writers run
/// `at_once` or `by_turns`, and for one on disk whether a buffered commit
/// outlives the process.
macro_rules! scripts {
    ($($(#[$meta:meta])* $name:ident: $engine:ty, $writers:ident $(, $kept:ident)?;)*) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports, reason = "only some of the types are written short")]
            use crate::engines::vellum::{Lsm, Mem, Vellum};

            #[test]
            fn reads_writes_and_isolates() {
                super::check::<$engine>(stringify!($writers) == "at_once");
            }
            $(
                #[test]
                fn keeps_what_it_says() {
                    let test = concat!(module_path!(), "::keeps_what_it_says");
                    let test = test.split_once("::").unwrap().1;
                    super::check_disk::<$engine>(test, stringify!($kept) == "kept");
                }
            )?
        }
    )*};
}

scripts! {
    vellum_mem: Vellum<Mem, true>, at_once;
    vellum_mem_si: Vellum<Mem, false>, at_once;
    vellum_lsm: Vellum<Lsm, true>, at_once, kept;
    vellum_lsm_si: Vellum<Lsm, false>, at_once, kept;
    rwlock_btree: crate::engines::rwlock_btree::RwLockBTree, by_turns;
    #[cfg(feature = "skipdb")]
    skipdb: crate::engines::skipdb::Skipdb, at_once;
    #[cfg(feature = "surrealmx")]
    surrealmx: crate::engines::surrealmx::Surrealmx<false>, at_once;
    #[cfg(feature = "surrealmx")]
    surrealmx_aol: crate::engines::surrealmx::Surrealmx<true>, at_once, kept;
    #[cfg(feature = "surrealkv")]
    surrealkv_mem: crate::engines::surrealkv::Surrealkv<false>, at_once;
    #[cfg(feature = "surrealkv")]
    surrealkv: crate::engines::surrealkv::Surrealkv<true>, at_once, kept;
    #[cfg(feature = "redb")]
    redb_mem: crate::engines::redb::Redb<false>, by_turns;
    #[cfg(feature = "redb")]
    redb: crate::engines::redb::Redb<true>, by_turns, may_be_lost;
    #[cfg(feature = "fjall")]
    fjall_raw: crate::engines::fjall::FjallRaw, by_turns, kept;
    #[cfg(feature = "fjall")]
    fjall_optimistic: crate::engines::fjall::FjallOptimistic, at_once, kept;
    #[cfg(feature = "sled")]
    sled: crate::engines::sled::Sled, at_once, may_be_lost;
    #[cfg(feature = "lmdb")]
    lmdb: crate::engines::lmdb::Lmdb, by_turns, kept;
    #[cfg(feature = "rocksdb")]
    rocksdb: crate::engines::rocksdb::Rocksdb, at_once, kept;
    #[cfg(feature = "canopydb")]
    canopydb: crate::engines::canopydb::Canopydb<false>, by_turns, kept;
    #[cfg(feature = "canopydb")]
    canopydb_occ: crate::engines::canopydb::Canopydb<true>, at_once, kept;
}
