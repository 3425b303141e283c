//! Failed writes, failed fsyncs, panicking stores, and closing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::map_store::State;
use super::*;

/// What is applied waits until the lock that comes back is free, and then meets what
/// was armed.
fn open_held(
    arm: impl FnOnce(&mut State),
) -> Result<(Database<MapStore>, MapStore, Arc<Mutex<()>>)> {
    let (db, store) = open()?;
    let hold = Arc::new(Mutex::new(()));
    let mut state = store.state();
    state.hold_apply = Some(hold.clone());
    arm(&mut state);
    drop(state);
    Ok((db, store, hold))
}

/// Until so many commits are decided.
fn wait_for(db: &Database<MapStore>, commits: u64) {
    while db.stats().unwrap().commits < commits {
        thread::yield_now();
    }
}

#[test]
fn failed_apply_is_unknown_to_its_group_and_poisons_the_rest() -> TestResult {
    let (db, store) = open()?;
    put(&db, "a", "1")?;
    let hold = Arc::new(Mutex::new(()));
    let held = hold.lock().unwrap();
    {
        let mut state = store.state();
        state.hold_apply = Some(hold.clone());
        state.fail_apply = Some(ErrorKind::CommitUnknown);
    }
    thread::scope(|scope| {
        let leader = scope.spawn(|| put(&db, "a", "2"));
        wait_for(&db, 2);
        let follower = scope.spawn(|| put(&db, "b", "2"));
        wait_for(&db, 3);
        drop(held);
        assert_eq!(kind(leader.join().unwrap()), Some(ErrorKind::CommitUnknown));
        assert_eq!(kind(follower.join().unwrap()), Some(ErrorKind::Poisoned));
    });
    store.state().fail_apply = None;
    assert_eq!(kind(db.begin_write()), Some(ErrorKind::Poisoned));
    assert_eq!(kind(db.save_version()), Some(ErrorKind::Poisoned));
    assert_eq!(kind(db.sync()), Some(ErrorKind::Poisoned));
    assert_eq!(get(&db.begin_read()?, "a").as_deref(), Some("1"), "reads go on");
    assert!(db.stats()?.poisoned);
    db.close()
}

#[test]
fn failed_apply_that_is_certain_says_so() -> TestResult {
    let (db, store) = open()?;
    store.state().fail_apply = Some(ErrorKind::Io);
    assert_eq!(kind(put(&db, "a", "1")), Some(ErrorKind::Io));
    assert_eq!(kind(put(&db, "a", "1")), Some(ErrorKind::Poisoned));
    Ok(())
}

#[test]
fn failed_sync_is_unknown_and_poisons() -> TestResult {
    let (db, store) = open()?;
    store.state().fail_sync = true;
    assert_eq!(kind(db.sync()), Some(ErrorKind::CommitUnknown));
    assert_eq!(kind(db.begin_write()), Some(ErrorKind::Poisoned));
    Ok(())
}

/// Found by model checking: the leader's own commit was called refused.
#[test]
fn leader_whose_second_group_fails_keeps_its_own_commit() -> TestResult {
    let (db, _, hold) = open_held(|state| {
        (state.fail_apply, state.good_groups) = (Some(ErrorKind::CommitUnknown), 1);
    })?;
    let held = hold.lock().unwrap();
    thread::scope(|scope| {
        let leader = scope.spawn(|| put(&db, "a", "1"));
        wait_for(&db, 1);
        let follower = scope.spawn(|| put(&db, "b", "1"));
        wait_for(&db, 2);
        drop(held);
        assert_eq!(leader.join().unwrap().unwrap(), Timestamp::new(1));
        assert_eq!(kind(follower.join().unwrap()), Some(ErrorKind::CommitUnknown));
    });
    assert_eq!(get(&db.begin_read()?, "a").as_deref(), Some("1"));
    assert_eq!(kind(db.begin_write()), Some(ErrorKind::Poisoned));
    Ok(())
}

/// Found by model checking: what waited in the queue was called refused, and
/// then applied.
#[test]
fn commit_that_waits_while_the_fsync_fails_is_refused_and_not_applied() -> TestResult {
    let (db, store, hold) = open_held(|state| state.fail_sync = true)?;
    let held = hold.lock().unwrap();
    thread::scope(|scope| {
        let leader = scope.spawn(|| put(&db, "a", "1"));
        wait_for(&db, 1);
        let follower = scope.spawn(|| put(&db, "b", "1"));
        wait_for(&db, 2);
        assert_eq!(kind(db.sync()), Some(ErrorKind::CommitUnknown));
        assert_eq!(kind(follower.join().unwrap()), Some(ErrorKind::Poisoned));
        drop(held);
        assert_eq!(leader.join().unwrap().unwrap(), Timestamp::new(1));
    });
    assert_eq!(store.state().commits.len(), 1);
    let head = db.begin_read()?;
    assert_eq!((get(&head, "a").as_deref(), get(&head, "b")), (Some("1"), None));
    db.close()
}

fn put_as(db: &Database<MapStore>, key: &[u8], durability: Durability) -> Result<Timestamp> {
    let mut txn = db.begin_write_with(&TxnOptions::new().durability(durability))?;
    txn.put(key, "1")?;
    Ok(txn.commit()?.commit_ts.unwrap())
}

#[test]
fn leader_that_is_refused_while_it_gathers_says_so_and_applies_nothing() -> TestResult {
    let (db, store) = open()?;
    store.state().fail_sync = true;
    db.0.pipeline.expect_company(2);
    thread::scope(|scope| {
        let leader = scope.spawn(|| put_as(&db, b"a", Durability::Sync));
        // It has the lock until it waits for company.
        wait_for(&db, 1);
        assert_eq!(kind(db.sync()), Some(ErrorKind::CommitUnknown));
        assert_eq!(kind(leader.join().unwrap()), Some(ErrorKind::Poisoned));
    });
    assert!(store.state().commits.is_empty(), "what was refused is applied");
    assert_eq!(get(&db.begin_read()?, "a"), None);
    db.close()
}

#[test]
fn leader_that_gathers_for_others_when_all_is_refused_keeps_its_own_commit() -> TestResult {
    let (db, store, hold) = open_held(|state| state.fail_sync = true)?;
    let held = hold.lock().unwrap();
    db.0.pipeline.expect_company(3);
    thread::scope(|scope| {
        let leader = scope.spawn(|| put_as(&db, b"a", Durability::Buffered));
        wait_for(&db, 1);
        let follower = scope.spawn(|| put_as(&db, b"b", Durability::Sync));
        wait_for(&db, 2);
        drop(held);
        while db.0.pipeline.decided() < Timestamp::new(1) {
            thread::yield_now();
        }
        assert_eq!(kind(db.sync()), Some(ErrorKind::CommitUnknown));
        assert_eq!(leader.join().unwrap().unwrap(), Timestamp::new(1));
        assert_eq!(kind(follower.join().unwrap()), Some(ErrorKind::Poisoned));
    });
    assert_eq!(store.state().commits.len(), 1);
    db.close()
}

#[test]
fn store_that_panics_in_apply_wedges_nobody() -> TestResult {
    let (db, store) = open()?;
    store.state().panic_in_apply = true;
    let unwound = catch_unwind(AssertUnwindSafe(|| put(&db, "a", "1")));
    assert!(unwound.is_err());
    assert_eq!(kind(put(&db, "a", "1")), Some(ErrorKind::Poisoned));
    assert_eq!(db.stats()?.open_snapshots, 0);
    db.close()
}

#[test]
fn who_waits_for_a_commit_that_fails_does_not_wait_for_ever() -> TestResult {
    let (db, _store, hold) = open_held(|state| state.fail_apply = Some(ErrorKind::Io))?;
    let held = hold.lock().unwrap();
    thread::scope(|scope| {
        let commit = scope.spawn(|| put(&db, "a", "1"));
        wait_for(&db, 1);
        let mut rival = db.begin_write().unwrap();
        rival.put(b"a", "2").unwrap();
        // Conflicts with the commit, and waits to see what becomes of it.
        let loser = scope.spawn(move || rival.commit());
        while db.stats().unwrap().conflicts < 1 {
            thread::yield_now();
        }
        let alone = TxnOptions::new().alone_for(Duration::from_secs(600));
        let db = &db;
        let alone = scope.spawn(move || db.begin_write_with(&alone));
        // Time for it to wait; if it comes later, it is told the same.
        thread::sleep(Duration::from_millis(20));
        drop(held);
        assert_eq!(kind(commit.join().unwrap()), Some(ErrorKind::Io));
        assert_eq!(kind(alone.join().unwrap()), Some(ErrorKind::Poisoned));
        assert_eq!(kind(loser.join().unwrap()), Some(ErrorKind::Conflict));
    });
    assert_eq!(db.stats()?.open_writes, 0);
    db.close()
}

#[test]
fn snapshot_that_fails_leaves_no_transaction_and_no_gate() -> TestResult {
    let (db, store) = open()?;
    let alone = TxnOptions::new().alone_for(Duration::MAX);
    store.state().fail_snapshot = true;
    assert_eq!(kind(db.begin_read()), Some(ErrorKind::Io));
    assert_eq!(kind(db.begin_write()), Some(ErrorKind::Io));
    assert_eq!(kind(db.begin_write_with(&alone)), Some(ErrorKind::Io));
    let stats = db.stats()?;
    assert_eq!((stats.open_snapshots, stats.open_writes), (0, 0));
    store.state().fail_snapshot = false;
    put(&db, "a", "1")?;
    db.save_version()?;
    Ok(())
}

#[test]
fn panic_in_a_transaction_leaves_no_trace() -> TestResult {
    let (db, _) = open()?;
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let mut txn = db.begin_write().unwrap();
        txn.put(b"a", "1").unwrap();
        panic!("in user code");
    }));
    assert!(unwound.is_err());
    let stats = db.stats()?;
    assert_eq!((stats.open_writes, stats.open_snapshots, stats.window_commits), (0, 0, 0));
    assert_eq!(get(&db.begin_read()?, "a"), None);
    Ok(())
}

#[test]
fn after_close_every_call_answers_closed() -> TestResult {
    let (db, _) = open()?;
    put(&db, "a", "1")?;
    let (read, mut write) = (db.begin_read()?, db.begin_write()?);
    write.put(b"a", "2")?;
    let watcher = db.watch(KeyRange::all())?;
    db.close()?;
    db.close()?;
    let closed = Some(ErrorKind::Closed);
    assert_eq!(kind(db.begin_read()), closed);
    assert_eq!(kind(db.begin_write()), closed);
    assert_eq!(kind(db.versions()), closed);
    assert_eq!(kind(db.save_version()), closed);
    assert_eq!(kind(db.revert()), closed);
    assert_eq!(kind(db.stats()), closed);
    assert_eq!(kind(db.prune()), closed);
    assert_eq!(kind(read.get(b"a")), closed);
    assert_eq!(kind(read.range(..).next().unwrap()), closed);
    assert_eq!(kind(write.put(b"a", "3")), closed);
    assert_eq!(kind(watcher.wait()), closed);
    assert_eq!(kind(write.commit()), closed);
    Ok(())
}

#[test]
fn close_waits_for_what_was_decided() -> TestResult {
    let (db, store) = open()?;
    let hold = Arc::new(Mutex::new(()));
    let held = hold.lock().unwrap();
    store.state().hold_apply = Some(hold.clone());
    thread::scope(|scope| {
        let commit = scope.spawn(|| put(&db, "a", "1"));
        wait_for(&db, 1);
        let close = scope.spawn(|| db.close());
        while db.stats().is_ok() {
            thread::yield_now();
        }
        // Time for it to close, if it does not wait.
        thread::sleep(Duration::from_millis(20));
        assert!(!close.is_finished() && !store.state().closed);
        drop(held);
        commit.join().unwrap()?;
        close.join().unwrap()
    })?;
    assert_eq!(store.state().commits.len(), 1);
    Ok(())
}

#[test]
fn close_waits_for_a_prune() -> TestResult {
    let (db, store) = open()?;
    put(&db, "a", "1")?;
    let hold = Arc::new(Mutex::new(()));
    let held = hold.lock().unwrap();
    store.state().hold_prune = Some(hold.clone());
    thread::scope(|scope| {
        let prune = scope.spawn(|| db.prune());
        while !store.state().pruning {
            thread::yield_now();
        }
        let close = scope.spawn(|| db.close());
        while db.stats().is_ok() {
            thread::yield_now();
        }
        // Time for it to close, if it does not wait.
        thread::sleep(Duration::from_millis(20));
        drop(held);
        close.join().unwrap()?;
        prune.join().unwrap().map(drop)
    })
}

#[test]
fn diff_that_failed_never_resumes() -> TestResult {
    let (db, store) = open()?;
    let first = db.save_version()?;
    put(&db, "a", "1")?;
    put(&db, "b", "1")?;
    let mut diff = db.diff(At::Version(first), At::Head, KeyRange::all())?;
    store.state().fail_get = true;
    assert_eq!(diff.next().and_then(kind), Some(ErrorKind::Io));
    store.state().fail_get = false;
    assert!(diff.next().is_none());
    assert_eq!(db.diff(At::Version(first), At::Head, KeyRange::all())?.count(), 2);
    Ok(())
}
