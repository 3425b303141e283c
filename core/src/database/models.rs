//! Models of the engine's concurrency, for loom: every interleaving of a few
//! threads, within a bound on preemptions, over the real engine and a locked
//! map. Run them with
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p vellum-core --lib models
//! ```
//!
//! Each model states its invariant, and each has broken twins: the same model
//! over an engine with one step dropped or misplaced, which loom must catch.
//! A model that cannot fail proves nothing.
#![expect(clippy::unwrap_used, reason = "a model fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use loom::thread;

use crate::sync::{Mutation, break_it};
use crate::*;

/// A locked map of records over loom's primitives, with real pruning.
#[derive(Clone)]
struct ModelStore(Arc<Shared>);

struct Shared {
    records: Mutex<Records>,
    published: AtomicU64,
}

type Records = BTreeMap<Bytes, Vec<(Timestamp, Bytes)>>;

#[derive(Clone)]
struct ModelSnapshot(ModelStore, Timestamp);

impl Snapshot for ModelSnapshot {
    type Range<'a> = std::iter::Empty<Result<(Bytes, Record)>>;

    fn ts(&self) -> Timestamp {
        self.1
    }

    fn get(&self, key: &[u8]) -> Result<Option<Record>> {
        let records = self.0.0.records.lock().unwrap();
        let chain = records.get(key).into_iter().flatten();
        let newest = chain.filter(|(ts, _)| *ts <= self.1).next_back();
        Ok(newest.map(|(ts, value)| Record { ts: *ts, value: value.clone() }))
    }

    fn range(&self, _: &KeyRange) -> Self::Range<'_> {
        std::iter::empty()
    }
}

impl Store for ModelStore {
    type Snapshot = ModelSnapshot;

    fn name(&self) -> &'static str {
        "model"
    }

    fn recover(&self) -> Result<Recovered> {
        Ok(Recovered::default())
    }

    fn snapshot(&self) -> Result<ModelSnapshot> {
        self.snapshot_at(Timestamp::new(self.0.published.load(Ordering::Acquire)))
    }

    fn snapshot_at(&self, ts: Timestamp) -> Result<ModelSnapshot> {
        Ok(ModelSnapshot(self.clone(), ts))
    }

    fn apply(&self, group: Group<'_>) -> Result<()> {
        for commit in group.commits {
            for write in commit.writes {
                let mut records = self.0.records.lock().unwrap();
                let value = write.value.unwrap_or_default();
                records.entry(write.key).or_default().push((commit.ts, value));
            }
        }
        Ok(())
    }

    fn publish(&self, ts: Timestamp) {
        self.0.published.store(ts.get(), Ordering::Release);
    }

    fn prune(&self, keep: &Retention) -> Result<PruneReport> {
        for chain in self.0.records.lock().unwrap().values_mut() {
            let successors: Vec<_> = chain.iter().skip(1).map(|(ts, _)| *ts).collect();
            let mut successors = successors.into_iter();
            chain.retain(|(ts, _)| !keep.is_dead(*ts, successors.next()));
        }
        Ok(PruneReport::default())
    }

    fn touched(
        &self,
        _: &ModelSnapshot,
        _: &ModelSnapshot,
        _: &KeyRange,
    ) -> Result<BoxIter<Bytes>> {
        Ok(Box::new(std::iter::empty()))
    }

    fn changes(&self, _: Timestamp, _: &ModelSnapshot) -> Result<BoxIter<CommittedWrites>> {
        Ok(Box::new(std::iter::empty()))
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn verify(&self) -> Result<VerifyReport> {
        Ok(VerifyReport::default())
    }

    fn close(&self) -> Result<()> {
        Ok(())
    }

    fn stats(&self) -> StoreStats {
        StoreStats::new()
    }
}

type Db = Database<ModelStore>;

fn open() -> Db {
    let store = Shared { records: Mutex::new(Records::new()), published: AtomicU64::new(0) };
    let options = Options::new().pruning(Pruning::Manual);
    Database::open(ModelStore(Arc::new(store)), options).unwrap()
}

fn put(db: &Db, key: &'static [u8], value: &'static [u8]) -> Result<Timestamp> {
    let mut txn = db.begin_write()?;
    txn.put(key, value)?;
    Ok(txn.commit()?.commit_ts.unwrap())
}

fn explore(
    mutation: Option<Mutation>,
    preemptions: usize,
    model: impl Fn() + Send + Sync + 'static,
) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.check(move || {
        break_it(mutation);
        model();
    });
}

/// Declares a model that must hold, and its twins that must not.
macro_rules! model {
    ($name:ident, $preemptions:expr, $model:path, broken: $($twin:ident = $mutation:ident),+) => {
        #[test]
        fn $name() {
            explore(None, $preemptions, $model);
        }

        $(#[test]
        #[should_panic]
        fn $twin() {
            explore(Some(Mutation::$mutation), $preemptions, $model);
        })+
    };
}

/// Who begins after a commit was acknowledged sees it, and all before it.
fn acknowledged_is_visible() {
    let db = open();
    let acknowledged = Arc::new(AtomicU64::new(0));
    let writers = [&b"a"[..], b"b"].map(|key| {
        let (db, acknowledged) = (db.clone(), acknowledged.clone());
        thread::spawn(move || {
            let ts = put(&db, key, b"x").unwrap();
            acknowledged.fetch_max(ts.get(), Ordering::SeqCst);
        })
    });
    let before = acknowledged.load(Ordering::SeqCst);
    let txn = db.begin_read().unwrap();
    assert!(txn.read_ts().get() >= before, "a commit was acknowledged and is not visible");
    let seen = [&b"a"[..], b"b"].iter().filter(|k| txn.get(k).unwrap().is_some()).count() as u64;
    assert_eq!(seen, txn.read_ts().get(), "a commit is visible in part, or out of order");
    drop(txn);
    for writer in writers {
        writer.join().unwrap();
    }
    assert_eq!(db.begin_read().unwrap().read_ts().get(), 2);
}

model!(
    who_begins_after_an_acknowledgement_sees_it, 2, acknowledged_is_visible,
    broken: acknowledging_before_the_leader_is_done_is_caught = AcknowledgeAtOnce,
    publishing_before_applying_is_caught = PublishBeforeApply
);

/// A prune takes nothing that an open snapshot sees.
fn snapshot_survives_prune() {
    let db = open();
    put(&db, b"k", b"old").unwrap();
    let pruner = {
        let db = db.clone();
        thread::spawn(move || {
            put(&db, b"k", b"new").unwrap();
            db.prune().unwrap();
        })
    };
    let txn = db.begin_read().unwrap();
    thread::yield_now();
    assert!(txn.get(b"k").unwrap().is_some(), "a record was pruned under a snapshot");
    drop(txn);
    pruner.join().unwrap();
}

model!(
    prune_takes_nothing_that_a_snapshot_sees, 3, snapshot_survives_prune,
    broken: registering_after_the_snapshot_is_caught = SnapshotBeforeShard
);

/// A prune that runs beside both a writer and a reader keeps to the head that
/// it loaded before it walked.
fn prune_beside_writer_and_reader() {
    let db = open();
    put(&db, b"k", b"old").unwrap();
    let writer = {
        let db = db.clone();
        thread::spawn(move || put(&db, b"k", b"new").unwrap())
    };
    let pruner = {
        let db = db.clone();
        thread::spawn(move || db.prune().unwrap())
    };
    let txn = db.begin_read().unwrap();
    thread::yield_now();
    assert!(txn.get(b"k").unwrap().is_some(), "a record was pruned under a snapshot");
    drop(txn);
    writer.join().unwrap();
    pruner.join().unwrap();
}

model!(
    prune_keeps_to_the_head_before_its_walk, 3, prune_beside_writer_and_reader,
    broken: loading_the_head_after_the_walk_is_caught = HeadAfterWalk
);

/// Every committer returns, and timestamps have no gap.
fn hand_over() {
    let db = open();
    let threads = [&b"a"[..], b"b"].map(|key| {
        let db = db.clone();
        thread::spawn(move || put(&db, key, b"x").unwrap().get())
    });
    let mut stamps = vec![put(&db, b"c", b"x").unwrap().get()];
    stamps.extend(threads.map(|t| t.join().unwrap()));
    stamps.sort_unstable();
    assert_eq!(stamps, [1, 2, 3]);
}

model!(
    every_committer_behind_a_leader_returns, 2, hand_over,
    broken: leader_that_wakes_nobody_is_caught = WakeNobody
);

/// Of two transactions that read what the other writes, one loses, though the
/// index forgets as soon as nobody needs it.
fn retirement() {
    let db = open();
    let skewed = |db: Db, read: &'static [u8], write: &'static [u8]| {
        move || {
            let mut txn = db.begin_write().unwrap();
            let seen = txn.get(read).unwrap().is_some();
            txn.put(write, "x").unwrap();
            (seen, txn.commit().is_ok())
        }
    };
    let other = thread::spawn(skewed(db.clone(), b"a", b"b"));
    let (saw_b, ok) = skewed(db.clone(), b"b", b"a")();
    let (saw_a, other_ok) = other.join().unwrap();
    assert!(!(ok && other_ok && !saw_a && !saw_b), "write skew");
}

model!(
    retired_entry_is_needed_by_nobody, 3, retirement,
    broken: counting_a_writer_after_its_snapshot_is_caught = CountAfterSnapshot,
    counting_writers_without_a_fence_is_caught = CountWithoutFence
);

/// A version that was found is read in full, though it is deleted and pruned
/// at the same time.
fn version_look_up() {
    let db = open();
    put(&db, b"k", b"old").unwrap();
    let v = db.save_version().unwrap();
    put(&db, b"k", b"new").unwrap();
    let deleter = {
        let db = db.clone();
        thread::spawn(move || {
            db.delete_version(v).unwrap();
            db.prune().unwrap();
        })
    };
    if let Ok(txn) = db.read_at(v) {
        assert_eq!(txn.get(b"k").unwrap().as_deref(), Some(&b"old"[..]));
    }
    deleter.join().unwrap();
}

model!(
    version_that_was_found_is_read_in_full, 2, version_look_up,
    broken: looking_up_without_the_table_is_caught = LookUpWithoutTable
);

/// A watcher that does not see a commit in the head is woken for it.
fn watching() {
    let db = open();
    let writer = {
        let db = db.clone();
        thread::spawn(move || put(&db, b"k", b"x").unwrap())
    };
    let watcher = db.watch(KeyRange::all()).unwrap();
    let seen = db.begin_read().unwrap().read_ts() > Timestamp::ZERO;
    writer.join().unwrap();
    let woken = watcher.poll().unwrap().is_some();
    assert!(seen || woken, "a commit was neither seen nor told of");
}

model!(
    watcher_misses_no_commit_above_the_head_it_saw, 3, watching,
    broken: counting_watchers_without_a_fence_is_caught = CountWithoutFence
);

/// A commit that races with close either is there or was refused.
fn close_beside_commit() {
    let db = open();
    let closed = Arc::new(AtomicBool::new(false));
    let committer = {
        let (db, closed) = (db.clone(), closed.clone());
        thread::spawn(move || match put(&db, b"k", b"x") {
            Ok(_) => true,
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::Closed);
                assert!(closed.load(Ordering::SeqCst) || db.begin_read().is_err());
                false
            }
        })
    };
    db.close().unwrap();
    closed.store(true, Ordering::SeqCst);
    let applied = !db.store().0.records.lock().unwrap().is_empty();
    assert!(committer.join().unwrap() || !applied);
}

#[test]
fn commit_beside_close_is_done_or_refused() {
    explore(None, 3, close_beside_commit);
}
