//! Pins, history, pruning, and what survives a reopen.

use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use super::*;

#[test]
fn prune_keeps_what_a_version_or_a_reader_sees_and_nothing_else() -> TestResult {
    let (db, store) = open()?;
    put(&db, "k", "1")?;
    db.save_version()?;
    put(&db, "k", "2")?;
    put(&db, "k", "3")?;
    let reader = db.begin_read()?;
    put(&db, "k", "4")?;
    put(&db, "k", "5")?;
    assert_eq!(store.records(), 5);
    assert_eq!(db.prune()?.records_removed, 2);
    assert_eq!(get(&db.read_at(Version::new(1))?, "k").as_deref(), Some("1"));
    assert_eq!(get(&reader, "k").as_deref(), Some("3"));
    drop(reader);
    db.delete_version(1)?;
    db.prune()?;
    assert_eq!(store.records(), 1);
    Ok(())
}

#[test]
fn background_thread_prunes_after_a_version_is_deleted() -> TestResult {
    let (db, store) = open_with(Options::new())?;
    put(&db, "k", "1")?;
    db.save_version()?;
    put(&db, "k", "2")?;
    db.delete_version(1)?;
    while store.records() > 1 {
        thread::yield_now();
    }
    Ok(())
}

#[test]
fn background_thread_prunes_after_many_writes() -> TestResult {
    let (db, store) = open_with(Options::new())?;
    let old = db.begin_read()?;
    for _ in 0..63 {
        put(&db, "k", "x")?;
    }
    drop(old);
    assert_eq!(store.records(), 63, "not before");
    put(&db, "k", "y")?;
    // The last writer may be open yet, and see what it superseded.
    while store.records() > 2 {
        thread::yield_now();
    }
    Ok(())
}

#[test]
fn reader_of_a_deleted_version_goes_on() -> TestResult {
    let (db, _) = open()?;
    put(&db, "k", "1")?;
    let v = db.save_version()?;
    put(&db, "k", "2")?;
    let old = db.read_at(v)?;
    db.delete_version(v)?;
    assert_eq!(kind(db.read_at(v)), Some(ErrorKind::VersionNotFound));
    db.prune()?;
    assert_eq!(get(&old, "k").as_deref(), Some("1"));
    Ok(())
}

#[test]
fn history_is_readable_down_to_what_was_promised() -> TestResult {
    let history = Options::new().pruning(Pruning::Manual).history(History::Commits(2));
    let (db, store) = open_with(history)?;
    let stamps = (0..6).map(|_| put(&db, "k", "x")).collect::<Result<Vec<_>>>()?;
    assert_eq!(db.read_as_of(stamps[0])?.read_ts(), stamps[0]);
    assert_eq!(db.changes(Timestamp::ZERO, stamps[5])?.count(), 6);
    db.prune()?;
    let since = db.stats()?.history_since.unwrap();
    assert_eq!(since, stamps[3]);
    assert_eq!(kind(db.read_as_of(stamps[2])), Some(ErrorKind::HistoryPruned));
    assert_eq!(kind(db.changes(stamps[2], stamps[5])), Some(ErrorKind::HistoryPruned));
    assert_eq!(get(&db.read_as_of(stamps[3])?, "k").as_deref(), Some("x"));
    // The promise outlives the process: it is in the catalog.
    let again = Database::open(store.clone(), history)?;
    assert_eq!(again.stats()?.history_since, Some(since));
    // Without the option it ends, also for those who ask for it again later.
    let none = Database::open(store.clone(), Options::new().pruning(Pruning::Manual))?;
    put(&none, "k", "unlogged")?;
    let last = Database::open(store, history)?;
    assert!(last.stats()?.history_since.unwrap() > stamps[5]);
    Ok(())
}

/// Found by reading: the entry of the catalog waited for a commit that did not come.
#[test]
fn prune_without_history_ends_the_promise_of_an_earlier_opening() -> TestResult {
    let options = Options::new().pruning(Pruning::Manual);
    let (db, store) = open_with(options.history(History::All))?;
    let stamps = ["0", "1", "2"].map(|value| put(&db, "k", value).unwrap());
    Database::open(store.clone(), options)?.prune()?;
    let again = Database::open(store, options.history(History::All))?;
    assert_eq!(kind(again.read_as_of(stamps[1])), Some(ErrorKind::HistoryPruned));
    assert_eq!(kind(again.changes(stamps[0], stamps[2])), Some(ErrorKind::HistoryPruned));
    assert_eq!(get(&again.begin_read()?, "k").as_deref(), Some("2"));
    Ok(())
}

/// Found by reading: each prune made a commit, by which the next one moved on.
#[test]
fn prunes_use_up_no_history_by_themselves() -> TestResult {
    let options = Options::new().pruning(Pruning::Manual).history(History::Commits(3));
    let (db, store) = open_with(options)?;
    let stamps = (0..6)
        .map(|_| put(&db, "k", "x").and_then(|ts| db.prune().map(|_| ts)))
        .collect::<Result<Vec<_>>>()?;
    let check = |db: &Database<_>| -> TestResult {
        for _ in 0..5 {
            let before = db.stats()?.head_ts;
            db.prune()?;
            assert_eq!(db.stats()?.head_ts, before, "there is nothing to make known");
        }
        let commits = db.changes(stamps[2], db.stats()?.head_ts)?;
        let commits = commits.collect::<Result<Vec<_>>>()?;
        assert_eq!(commits.iter().filter(|commit| !commit.writes.is_empty()).count(), 3);
        Ok(())
    };
    check(&db)?;
    check(&Database::open(store, options)?)
}

#[test]
fn timestamp_without_history_is_readable_only_at_head_and_pins() -> TestResult {
    let (db, _) = open()?;
    let first = put(&db, "k", "1")?;
    let v = db.save_version()?;
    let pin = db.versions()?.get(v).unwrap().commit_ts;
    let head = put(&db, "k", "2")?;
    assert_eq!(get(&db.read_as_of(pin)?, "k").as_deref(), Some("1"));
    assert_eq!(get(&db.read_as_of(head)?, "k").as_deref(), Some("2"));
    assert_eq!(kind(db.read_as_of(first)), Some(ErrorKind::HistoryPruned));
    assert_eq!(kind(db.read_as_of(head.next())), Some(ErrorKind::Invalid));
    Ok(())
}

#[test]
fn commit_is_told_the_newest_pin_below_it() -> TestResult {
    let (db, store) = open()?;
    put(&db, "k", "1")?;
    let v1 = db.save_version()?;
    put(&db, "k", "2")?;
    db.save_version()?;
    put(&db, "k", "3")?;
    db.delete_version(2)?;
    put(&db, "k", "4")?;
    db.delete_version(v1)?;
    put(&db, "k", "5")?;
    let state = store.state();
    let preserved: Vec<_> =
        state.commits.iter().filter(|c| !c.writes.is_empty()).map(|c| c.preserve).collect();
    let ts = |n| Some(Timestamp::new(n));
    assert_eq!(preserved, [None, ts(2), ts(4), ts(2), None]);
    Ok(())
}

#[test]
fn record_that_was_read_is_handed_down_with_its_overwrite() -> TestResult {
    // The store checks each against what stands there.
    let (db, store) = open()?;
    let read_ts = put(&db, "k", "1")?;
    db.save_version()?;
    let mut txn = db.begin_write()?;
    assert_eq!((get(&txn, "k").as_deref(), get(&txn, "absent")), (Some("1"), None));
    for key in ["k", "absent", "unread"] {
        txn.put(key.as_bytes(), "2")?;
    }
    txn.commit()?;
    let writes = store.state().commits.last().unwrap().writes.clone();
    let previous: Vec<_> = writes.into_iter().map(|w| w.previous).collect();
    let record = Record { ts: read_ts, value: Bytes::from("1") };
    assert_eq!(previous, [Previous::Absent, Previous::Record(record), Previous::Unknown]);
    Ok(())
}

#[test]
fn versions_revert_and_restore_survive_a_reopen() -> TestResult {
    let (db, store) = open()?;
    put(&db, "a", "1")?;
    let meta = Metadata::new().message("first").time_ms(-5);
    db.save_version_with(SaveOptions::new().number(7).metadata(meta.clone()))?;
    put(&db, "a", "2")?;
    put(&db, "b", "2")?;
    db.save_version()?;
    db.revert_to(Version::new(7))?;
    assert_eq!(db.save_version()?, Version::new(8));
    put(&db, "c", "3")?;
    db.close()?;
    let again = Database::open(store, Options::new())?;
    let versions = again.versions()?;
    assert_eq!(versions.get(Version::new(7)).map(|v| v.metadata), Some(meta));
    assert_eq!((versions.len(), versions.last().unwrap().version), (2, Version::new(8)));
    let head = again.begin_read()?;
    let values = ["a", "b", "c"].map(|k| get(&head, k));
    assert_eq!(values, [Some("1".into()), None, Some("3".into())]);
    again.revert()?;
    assert_eq!(get(&again.begin_read()?, "c"), None);
    assert_eq!(again.save_version()?, Version::new(9), "numbers go on");
    assert_eq!(kind(again.delete_version(6)), Some(ErrorKind::VersionNotFound));
    again.delete_version(7)?;
    Ok(())
}

#[test]
fn revert_counts_its_keys_and_values_against_the_limit_of_a_transaction() -> TestResult {
    let revert = |limit: usize| {
        let options = Options::new().pruning(Pruning::Manual).max_txn_bytes(limit);
        let (db, _) = open_with(options)?;
        put(&db, "a", "12345")?;
        put(&db, "gone", "1")?;
        let version = db.save_version()?;
        put(&db, "a", "2")?;
        let mut txn = db.begin_write()?;
        txn.delete(b"gone")?;
        txn.put(b"new", "3")?;
        txn.commit()?;
        db.revert_to(version)
    };
    // What it puts is "a" with five bytes and "gone" with one; it deletes "new".
    assert_eq!(kind(revert(6 + 5 + 2)), Some(ErrorKind::Invalid));
    assert_eq!(kind(revert(6 + 5 + 3)), None);
    Ok(())
}

#[test]
fn restore_copies_a_range_and_costs_what_changed() -> TestResult {
    let (db, store) = open()?;
    for key in ["a", "b", "c"] {
        put(&db, key, "old")?;
    }
    let v = db.save_version()?;
    for key in ["a", "b", "d"] {
        put(&db, key, "new")?;
    }
    db.restore(v, KeyRange::from("b"..))?;
    let head = db.begin_read()?;
    let values = ["a", "b", "c", "d"].map(|k| get(&head, k));
    assert_eq!(values, [Some("new".into()), Some("old".into()), Some("old".into()), None]);
    assert_eq!(store.state().commits.last().unwrap().writes.len(), 2);
    assert_eq!(db.versions()?.len(), 1);
    Ok(())
}

#[test]
fn rule_that_two_apply_at_once_removes_each_version_once() -> TestResult {
    let (db, store) = open()?;
    for _ in 0..5 {
        db.save_version()?;
    }
    let rule = KeepRule::new().last(1);
    let hold = Arc::new(Mutex::new(()));
    let held = hold.lock().unwrap();
    store.state().hold_apply = Some(hold.clone());
    let (starting, started) = mpsc::channel();
    thread::scope(|scope| {
        let applies = store.state().applies;
        let first = scope.spawn(|| db.keep_versions(&rule));
        while store.state().applies == applies {
            thread::yield_now();
        }
        // It sees the versions that the first one is about to remove.
        let second = scope.spawn(|| {
            starting.send(()).unwrap();
            db.keep_versions(&rule)
        });
        started.recv().unwrap();
        thread::sleep(Duration::from_millis(20));
        drop(held);
        let removed = [first, second].map(|thread| thread.join().unwrap());
        let [first, second] = removed.map(|removed| removed.map(|versions| versions.len()));
        assert_eq!((first? + second?), 4);
        Ok::<_, Error>(())
    })?;
    assert_eq!(db.versions()?.len(), 1);
    Ok(())
}

#[test]
fn rule_whose_removal_fails_says_so() -> TestResult {
    let (db, store) = open()?;
    db.save_version()?;
    store.state().fail_apply = Some(ErrorKind::Io);
    assert_eq!(kind(db.keep_versions(&KeepRule::new())), Some(ErrorKind::Io));
    Ok(())
}
