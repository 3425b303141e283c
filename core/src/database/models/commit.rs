//! Beginning, committing, conflicting.

use std::sync::Arc;
use std::time::Duration;

use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

use super::{Db, model, open, put, put_with};
use crate::*;

fn acknowledged_is_visible() {
    let db = open();
    let acknowledged = Arc::new(AtomicU64::new(0));
    let writers = [(&b"a"[..], Durability::Sync), (b"b", Durability::Buffered)];
    let writers = writers.map(|(key, durability)| {
        let (db, acknowledged) = (db.clone(), acknowledged.clone());
        thread::spawn(move || {
            let ts = put_with(&db, &TxnOptions::new().durability(durability), key, b"x").unwrap();
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
    acknowledged_commit_is_visible, 2, acknowledged_is_visible,
    "who begins after a commit was acknowledged sees it whole, and all before it",
    broken: "a committer that finds a leader does not wait for it",
        "a group is published before it is applied"
);

fn own_commit_is_visible() {
    let db = open();
    let commit_and_look = |db: Db, key| {
        move || {
            let buffered = TxnOptions::new().durability(Durability::Buffered);
            let ts = put_with(&db, &buffered, key, b"x").unwrap();
            let read_ts = db.begin_read().unwrap().read_ts();
            assert!(read_ts >= ts, "a committer does not see its commit");
        }
    };
    let other = thread::spawn(commit_and_look(db.clone(), b"a"));
    commit_and_look(db, b"b")();
    other.join().unwrap();
}

model!(
    committer_sees_its_own_commit, 3, own_commit_is_visible,
    "a thread whose commit returned reads at its timestamp or above",
    broken: "a group counts as decided before it is published"
);

fn hand_over() {
    let db = open();
    let threads = [&b"a"[..], b"b"].map(|key| {
        let db = db.clone();
        thread::spawn(move || put(&db, key, b"x").unwrap().get())
    });
    let mut stamps = vec![put(&db, b"c", b"x").unwrap().get()];
    stamps.extend(threads.map(|t| t.join().unwrap()));
    stamps.sort_unstable();
    assert_eq!(stamps, [1, 2, 3], "timestamps have a gap");
}

model!(
    committer_behind_a_leader_returns, 2, hand_over,
    "every committer behind a leader returns, and timestamps have no gap",
    broken: "nobody is woken",
        "a leader that steps down wakes nobody"
);

fn retirement() {
    let db = open();
    let skewing = |db: Db, read: &'static [u8], write: &'static [u8]| {
        move || {
            let mut txn = db.begin_write().unwrap();
            let seen = txn.get(read).unwrap().is_some();
            txn.put(write, "x").unwrap();
            (seen, txn.commit().is_ok())
        }
    };
    let other = thread::spawn(skewing(db.clone(), b"a", b"b"));
    let (saw_b, ok) = skewing(db.clone(), b"b", b"a")();
    let (saw_a, other_ok) = other.join().unwrap();
    let skewed = ok && other_ok && !saw_a && !saw_b;
    assert!(!skewed, "write skew");
}

model!(
    retired_entry_is_needed_by_nobody, 3, retirement,
    "of two that read what the other writes one loses, though the index forgets at once",
    broken: "a write transaction counts as open only after its snapshot",
        "writers are counted before the head is moved"
);

fn losing() {
    let db = open();
    let rival = {
        let db = db.clone();
        thread::spawn(move || put(&db, b"k", b"x").is_ok())
    };
    let ok = match put(&db, b"k", b"y") {
        Ok(_) => true,
        Err(e) => {
            let beaten_by = e.conflict().unwrap().commit_ts;
            let read_ts = db.begin_read().unwrap().read_ts();
            assert!(read_ts >= beaten_by, "a loser was told before the winner is visible");
            false
        }
    };
    assert!(rival.join().unwrap() || ok, "both lost");
}

model!(
    loser_begins_again_above_the_winner, 3, losing,
    "who lost to a commit begins again at its timestamp or above, and never do both lose",
    broken: "a loser is told before the commit that beat it is visible"
);

fn alone() {
    let db = open();
    let rival = {
        let db = db.clone();
        thread::spawn(move || put(&db, b"k", b"x").is_ok())
    };
    // As long as that, no clock has a say.
    let alone = TxnOptions::new().alone_for(Duration::MAX);
    let result = put_with(&db, &alone, b"k", b"y");
    assert!(result.is_ok(), "a transaction that runs alone lost");
    rival.join().unwrap();
    put(&db, b"k", b"z").unwrap();
}

model!(
    who_runs_alone_cannot_lose, 3, alone,
    "a transaction that runs alone commits, and the gate is open again after it",
    broken: "a closed gate keeps nobody out",
        "the gate closes without waiting for what was decided before"
);

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
    watcher_misses_no_commit, 3, watching,
    "a commit that a watcher does not see in the head wakes it",
    broken: "watchers are counted without a fence after publishing"
);
