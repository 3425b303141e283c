//! Real threads: readers with open snapshots, a writer and prunes at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, RwLock};
use std::thread;

use super::{Model, Rng, apply, commit, read_mixed, seeds, ts};
use crate::{MemSnapshot, MemStore};
use vellum_core::{Bytes, KeyRange, Result, Retention, Snapshot, Store};

const KEYS: u64 = if cfg!(miri) { 20 } else { 400 };
const COMMITS: u64 = if cfg!(miri) { 12 } else { 1500 };

/// A store with what an engine adds to it: which snapshots are open.
#[derive(Default)]
struct Engine {
    store: MemStore,
    model: RwLock<Model>,
    open: Mutex<BTreeMap<u64, u32>>,
    pin: AtomicU64,
    is_done: AtomicBool,
}

impl Engine {
    /// Takes a snapshot and registers it, as one step.
    fn begin(&self) -> Result<MemSnapshot> {
        let mut open = self.open.lock().unwrap();
        let snapshot = self.store.snapshot()?;
        *open.entry(snapshot.ts().get()).or_default() += 1;
        Ok(snapshot)
    }

    fn end(&self, snapshot: MemSnapshot) {
        let mut open = self.open.lock().unwrap();
        let count = open.entry(snapshot.ts().get()).or_default();
        *count -= 1;
        if *count == 0 {
            open.remove(&snapshot.ts().get());
        }
    }

    fn retention(&self) -> Result<Retention> {
        let open = self.open.lock().unwrap();
        let snapshots = open.keys().copied().map(ts).collect();
        let pin = self.pin.load(Ordering::SeqCst);
        let horizon = self.store.snapshot()?.ts();
        Ok(Retention::new(vec![ts(pin)], snapshots, horizon))
    }

    /// Writes, overwrites and deletes; drains whole stretches of keys too, so
    /// that leaves run empty.
    fn write(&self, seed: u64, commits: u64) -> Result<()> {
        let mut rng = Rng(seed);
        for at in 1..=commits {
            let key = |n: u64| Bytes::from(format!("{n:04}"));
            let value = |at: u64| Some(Bytes::from(at.to_string()));
            let writes = match rng.below(10) {
                0 => {
                    let first = rng.below(KEYS);
                    (first..first + KEYS / 10).map(|n| (key(n), None)).collect()
                }
                1 => {
                    let first = rng.below(KEYS);
                    (first..first + KEYS / 10).map(|n| (key(n), value(at))).collect()
                }
                _ => (0..8)
                    .map(|_| (key(rng.below(KEYS)), value(at).filter(|_| rng.chance(70))))
                    .collect(),
            };
            let commit = commit(at, writes, Some(self.pin.load(Ordering::SeqCst)));
            self.model.write().unwrap().add(&commit);
            apply(&self.store, commit, &self.retention()?)?;
            if rng.chance(1) {
                self.pin.store(at, Ordering::SeqCst);
            }
        }
        Ok(())
    }

    /// Reads snapshots, some of them held for long, and compares each read.
    fn read(&self, seed: u64) -> Result<u64> {
        let mut rng = Rng(seed);
        let mut reads = 0;
        while !self.is_done.load(Ordering::SeqCst) {
            let snapshot = self.begin()?;
            for _ in 0..rng.below(30) {
                let (a, b) = (rng.below(KEYS), rng.below(KEYS));
                let range = KeyRange::from(format!("{a:04}")..format!("{b:04}"));
                let range = if rng.chance(20) { KeyRange::all() } else { range };
                let read = read_mixed(&snapshot, &range, &mut rng)?;
                let model = self.model.read().unwrap().range(&range, snapshot.ts());
                assert_eq!(read, model, "{range} at {}, seed {seed}", snapshot.ts());
                let key = format!("{a:04}");
                let model = self.model.read().unwrap().get(key.as_bytes(), snapshot.ts());
                assert_eq!(snapshot.get(key.as_bytes())?, model, "{key} at {}", snapshot.ts());
                reads += 1;
            }
            self.end(snapshot);
        }
        Ok(reads)
    }

    fn prune(&self) -> Result<u64> {
        let mut removed = 0;
        while !self.is_done.load(Ordering::SeqCst) {
            removed += self.store.prune(&self.retention()?)?.records_removed;
            self.store.verify()?;
        }
        Ok(removed)
    }
}

#[test]
fn readers_see_their_timestamp_while_a_writer_writes_and_prunes_run() {
    for seed in seeds(0..if cfg!(miri) { 1 } else { 4 }) {
        println!("VELLUM_SEED={seed}");
        let engine = Engine::default();
        let (reads, removed) = thread::scope(|scope| {
            let readers = [1, 2, 3].map(|n| {
                scope.spawn({
                    let engine = &engine;
                    move || engine.read(seed ^ (n << 32))
                })
            });
            let pruners = [1, 2].map(|_| scope.spawn(|| engine.prune()));
            let written = engine.write(seed, COMMITS);
            engine.is_done.store(true, Ordering::SeqCst);
            written.unwrap();
            let reads: u64 = readers.into_iter().map(|t| t.join().unwrap().unwrap()).sum();
            let removed: u64 = pruners.into_iter().map(|t| t.join().unwrap().unwrap()).sum();
            (reads, removed)
        });
        let met = reads > 0 && removed > 0;
        assert!(met || cfg!(miri), "the threads met: {reads} reads, {removed} removed");
        let keep = engine.retention().unwrap();
        engine.store.prune(&keep).unwrap();
        let report = engine.store.verify().unwrap();
        let alive = engine.model.read().unwrap().alive(&keep);
        assert_eq!((report.records, report.bytes), alive);
    }
}
