//! Models of the store's concurrency, for loom: every interleaving of a writer,
//! a reader and a prune, within a bound on preemptions, over the real store
//! (with a lock for the swap of the directory's parts). Run them, and see the table, with
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p vellum-mem --lib models -- --nocapture
//! ```
//!
//! Each model states its invariant, and each has broken twins that loom must
//! catch. Leaves hold four keys here, and parts of the directory three leaves.
#![expect(clippy::unwrap_used, reason = "a model fails by panicking")]

use std::sync::Arc;

use loom::thread::{self, JoinHandle};
use vellum_core::model::{Model, check};
use vellum_core::{
    Bytes, Commit, Durability, Group, KeyRange, Previous, Record, Retention, Snapshot, Store,
    Timestamp, Write,
};

use crate::{MemSnapshot, MemStore};

fn ts(n: u64) -> Timestamp {
    Timestamp::new(n)
}

/// What is retained: these snapshots, and the commits from `horizon` on.
fn keep(snapshots: &[u64], horizon: u64) -> Retention {
    Retention::new(Vec::new(), snapshots.iter().copied().map(ts).collect(), ts(horizon))
}

/// Commits and publishes: a key in lower case is put, with the timestamp as its
/// value; one in upper case is deleted.
fn commit(store: &MemStore, at: u64, keys: &str, retention: &Retention, preserve: Option<u64>) {
    let write = |key: char| {
        let value = key.is_lowercase().then(|| Bytes::from(at.to_string()));
        Write { key: lower(key), value, previous: Previous::Unknown }
    };
    let commits = vec![Commit {
        ts: ts(at),
        writes: keys.chars().map(write).collect(),
        catalog: Vec::new(),
        preserve: preserve.map(ts),
        logged: false,
    }];
    store.apply(Group { commits, durability: Durability::Buffered, retention }).unwrap();
    store.publish(ts(at));
}

fn lower(key: char) -> Bytes {
    key.to_lowercase().collect::<String>().into()
}

fn has(snapshot: &MemSnapshot, key: char) -> bool {
    snapshot.get(&lower(key)).unwrap().is_some()
}

/// The keys of a range, as one word.
fn word<E: std::fmt::Debug>(items: impl Iterator<Item = Result<(Bytes, Record), E>>) -> String {
    items.map(|item| String::from_utf8_lossy(&item.unwrap().0).into_owned()).collect()
}

/// A store with these keys, committed at 1.
fn store_of(keys: &str) -> Arc<MemStore> {
    let store = Arc::new(MemStore::new());
    commit(&store, 1, keys, &Retention::everything(), None);
    store
}

/// Two leaves of one key each at 3, `b` and `d`: what else was there is deleted,
/// and not yet swept.
fn store_to_merge() -> Arc<MemStore> {
    let store = store_of("bdfh");
    let all = Retention::everything();
    // Into the middle, so that the leaf is split there.
    commit(&store, 2, "c", &all, None);
    commit(&store, 3, "CFH", &all, None);
    store
}

fn spawn(store: &Arc<MemStore>, run: impl FnOnce(&MemStore) + 'static) -> JoinHandle<()> {
    let store = Arc::clone(store);
    thread::spawn(move || run(&store))
}

fn prune(store: &MemStore, keep: &Retention) {
    store.prune(keep).unwrap();
}

/// Declares a model and its broken twins as one test.
macro_rules! model {
    ($name:ident, $preemptions:expr, $invariant:literal, broken: [$($mistake:literal),+], $run:expr) => {
        #[test]
        fn $name() {
            check(&Model {
                name: stringify!($name),
                invariant: $invariant,
                preemptions: $preemptions,
                run: $run,
                twins: &[$($mistake),+],
            });
        }
    };
}

model!(
    reader_misses_nothing_beside_a_split, 3,
    "who reads up while a leaf is split meets each of its keys once",
    broken: ["a reader takes the leaf that it finds at first"],
    || {
        let store = store_of("bdfh");
        let writer = spawn(&store, |store| commit(store, 2, "c", &keep(&[1], 1), None));
        let snapshot = store.snapshot_at(ts(1)).unwrap();
        assert!(has(&snapshot, 'h'), "a key that moved is missed");
        assert_eq!(word(snapshot.range(&KeyRange::all())), "bdfh");
        writer.join().unwrap();
    }
);

model!(
    reader_going_down_misses_nothing_beside_a_split, 3,
    "who reads down while a leaf is split meets each of its keys once",
    broken: ["a reader that goes down takes the leaf that it finds at first"],
    || {
        let store = store_of("bdfh");
        let writer = spawn(&store, |store| commit(store, 2, "c", &keep(&[1], 1), None));
        let snapshot = store.snapshot_at(ts(1)).unwrap();
        assert_eq!(word(snapshot.range(&KeyRange::all()).rev()), "hfdb");
        writer.join().unwrap();
    }
);

model!(
    reader_misses_nothing_beside_a_division, 2,
    "who reads while a part of the directory is divided finds what is there",
    broken: ["the upper half of a part does not come into the root"],
    || {
        // Four leaves, whose three fences fill a part: `c` splits the first leaf.
        let store = store_of("abdefghijklmn");
        let writer = spawn(&store, |store| commit(store, 2, "c", &keep(&[1], 1), None));
        let snapshot = store.snapshot_at(ts(1)).unwrap();
        assert!(has(&snapshot, 'n') && has(&snapshot, 'e'), "a key that moved is missed");
        writer.join().unwrap();
        assert!(has(&store.snapshot().unwrap(), 'n'), "a key that moved is missed");
    }
);

model!(
    reader_misses_nothing_beside_a_merge, 3,
    "who reads while two leaves are merged meets each of their keys once, and in the end",
    broken: ["a leaf that was merged away does not say so", "a leaf that was merged away can still be found"],
    || {
        let store = store_to_merge();
        let pruner = spawn(&store, |store| prune(store, &keep(&[], 3)));
        let snapshot = store.snapshot().unwrap();
        assert!(has(&snapshot, 'd'), "a key that moved is missed");
        assert_eq!(word(snapshot.range(&KeyRange::all())), "bd");
        assert_eq!(word(snapshot.range(&KeyRange::all()).rev()), "db");
        pruner.join().unwrap();
    }
);

model!(
    published_group_is_whole, 3,
    "a snapshot sees all of a group or nothing, and goes on to see the same",
    broken: ["a group shows before it is published"],
    || {
        let store = store_of("bdfh");
        let writer = spawn(&store, |store| commit(store, 2, "aez", &keep(&[1], 1), None));
        let snapshot = store.snapshot().unwrap();
        let is_after = snapshot.ts() == ts(2);
        for key in ['z', 'a', 'e', 'z'] {
            assert_eq!(has(&snapshot, key), is_after, "a group is seen in part");
        }
        writer.join().unwrap();
    }
);

model!(
    retained_record_stays, 3,
    "neither a commit nor a prune removes what a retained snapshot sees",
    broken: ["a commit trims by the head alone", "a prune sweeps by the head alone"],
    || {
        let store = store_of("bdfh");
        let snapshot = store.snapshot().unwrap();
        let writer = spawn(&store, |store| {
            commit(store, 2, "dH", &keep(&[1], 1), None);
            commit(store, 3, "d", &keep(&[1], 2), None);
        });
        let pruner = spawn(&store, |store| prune(store, &keep(&[1], 1)));
        assert_eq!(word(snapshot.range(&KeyRange::all())), "bdfh");
        assert!(has(&snapshot, 'h') && has(&snapshot, 'd'), "a retained record is gone");
        writer.join().unwrap();
        pruner.join().unwrap();
    }
);

model!(
    garbage_is_found_beside_a_sweep, 3,
    "what dies in a leaf while it is swept is found by the next prune, and counted",
    broken: [
        "a sweep lets go of its leaf before it takes it off the list",
        "a prune counts where commits do"
    ],
    || {
        let store = store_of("bd");
        commit(&store, 2, "b", &Retention::everything(), None);
        let writer = spawn(&store, |store| commit(store, 3, "d", &keep(&[1], 2), None));
        store.prune(&keep(&[], 2)).unwrap();
        writer.join().unwrap();
        store.prune(&keep(&[], 3)).unwrap();
        assert_eq!(store.verify().unwrap().records, 2, "garbage was forgotten");
        assert_eq!(store.stats().records, Some(2), "records were counted wrongly");
    }
);

model!(
    garbage_is_found_beside_a_division, 2,
    "a prune sweeps what it has to while a part of the directory is divided",
    broken: ["a sweep takes the leaf that it finds at first"],
    || {
        // As above: `c` splits the first leaf, and thereby the part.
        let store = store_of("abdefghijklmn");
        commit(&store, 2, "n", &Retention::everything(), None);
        let writer = spawn(&store, |store| commit(store, 3, "c", &keep(&[], 2), None));
        store.prune(&keep(&[], 2)).unwrap();
        writer.join().unwrap();
        store.prune(&keep(&[], 3)).unwrap();
        assert_eq!(store.verify().unwrap().records, 14, "garbage was forgotten");
    }
);

model!(
    garbage_is_found_after_a_split, 3,
    "what dies in a leaf that is split beside a prune is found by the next one",
    broken: ["a split does not list the new leaf to be swept"],
    || {
        let store = store_of("bdfh");
        commit(&store, 2, "h", &Retention::everything(), None);
        let writer = spawn(&store, |store| commit(store, 3, "c", &keep(&[1], 2), None));
        store.prune(&keep(&[1], 2)).unwrap();
        writer.join().unwrap();
        store.prune(&keep(&[], 3)).unwrap();
        assert_eq!(store.verify().unwrap().records, 5, "garbage was forgotten");
        assert_eq!(store.stats().records, Some(5), "records were counted wrongly");
    }
);

model!(
    garbage_is_found_after_a_merge, 3,
    "what dies in a leaf that is merged beside a commit is found by the next prune",
    broken: ["a merge does not list the leaf to be swept"],
    || {
        let store = store_to_merge();
        commit(&store, 4, "d", &Retention::everything(), None);
        let writer = spawn(&store, |store| commit(store, 5, "ef", &keep(&[3], 4), None));
        store.prune(&keep(&[3], 4)).unwrap();
        writer.join().unwrap();
        store.prune(&keep(&[], 5)).unwrap();
        assert_eq!(store.verify().unwrap().records, 4, "garbage was forgotten");
        assert_eq!(store.stats().records, Some(4), "records were counted wrongly");
    }
);

model!(
    prune_sees_all_of_another, 3,
    "after a prune nothing is left that it called dead, though another ran beside it",
    broken: ["two prunes run at once"],
    || {
        let store = store_to_merge();
        commit(&store, 4, "d", &Retention::everything(), None);
        let older = spawn(&store, |store| prune(store, &keep(&[3], 4)));
        store.prune(&keep(&[], 4)).unwrap();
        assert_eq!(store.verify().unwrap().records, 2, "a prune left garbage");
        older.join().unwrap();
    }
);

model!(
    touched_keys_survive_a_prune, 3,
    "no key is forgotten that was written after a retained timestamp, beside a prune",
    broken: ["a prune goes by the last commit before it began"],
    || {
        let store = store_of("bd");
        let retained = || Retention::new(vec![ts(1)], Vec::new(), ts(1));
        let pruner = spawn(&store, move |store| prune(store, &retained()));
        commit(&store, 2, "b", &retained(), Some(1));
        commit(&store, 3, "d", &retained(), Some(1));
        pruner.join().unwrap();
        let (from, to) = (store.snapshot_at(ts(1)).unwrap(), store.snapshot().unwrap());
        let touched = store.touched(&from, &to, &KeyRange::all()).unwrap();
        let touched: Vec<_> = touched.map(|key| key.unwrap()).collect();
        assert_eq!(touched, ["b", "d"], "a key was written and is not listed");
    }
);
