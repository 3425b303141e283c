//! Pruning beside readers, writers and versions.

use loom::thread;

use super::{model, open, put};
use crate::*;

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
    "a prune takes nothing that an open snapshot sees",
    broken: "nobody looks at the head after a snapshot was registered"
);

fn crowded_snapshot_survives_prune() {
    let db = open();
    put(&db, b"k", b"older").unwrap();
    let _takes_the_slot = db.begin_read().unwrap();
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
    let expected = if txn.read_ts().get() == 2 { &b"old"[..] } else { b"new" };
    let value = txn.get(b"k").unwrap();
    assert_eq!(value.as_deref(), Some(expected), "a record was pruned under a crowded snapshot");
    drop(txn);
    pruner.join().unwrap();
}

model!(
    prune_takes_nothing_that_the_crowd_sees, 3, crowded_snapshot_survives_prune,
    "nor what a snapshot sees that found no slot free",
    broken: "nobody looks at the head after a snapshot was registered",
        "a walk passes the crowd by"
);

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
    "nor does one that runs beside both the writer and the reader",
    broken: "what is retained is computed from the head after the walk"
);

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
    "a version that was found is read in full, though it is deleted and pruned meanwhile",
    broken: "a version's look-up does not hold the table until it is registered"
);

fn save_beside_prune() {
    let db = open();
    put(&db, b"k", b"old").unwrap();
    let pruner = {
        let db = db.clone();
        thread::spawn(move || db.prune().unwrap())
    };
    let v = db.save_version().unwrap();
    put(&db, b"k", b"new").unwrap();
    pruner.join().unwrap();
    let txn = db.read_at(v).unwrap();
    let value = txn.get(b"k").unwrap();
    assert_eq!(value.as_deref(), Some(&b"old"[..]), "a saved record was pruned");
}

model!(
    prune_takes_nothing_that_was_just_saved, 3, save_beside_prune,
    "a version that is saved beside a prune is read in full for ever",
    broken: "what is retained is computed from a table that is older than the head"
);

fn table_and_head() {
    let db = open();
    let saver = {
        let db = db.clone();
        thread::spawn(move || db.save_version().unwrap())
    };
    let head = db.begin_read().unwrap().read_ts();
    let listed = db.versions().unwrap().last();
    assert!(head == Timestamp::ZERO || listed.is_some(), "a save is visible and not listed");
    let head = db.begin_read().unwrap().read_ts();
    assert!(listed.is_none_or(|v| v.commit_ts <= head), "a save is listed and not visible");
    saver.join().unwrap();
}

model!(
    table_and_head_change_as_one, 3, table_and_head,
    "a version is in the table if and only if its save is visible",
    broken: "the version table changes after the commit is visible, not with it"
);
