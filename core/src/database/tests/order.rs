//! Groups, the gate, and what becomes visible when.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::*;

#[test]
fn commits_that_gather_behind_a_leader_are_applied_as_one_group() -> TestResult {
    let (db, store) = open()?;
    let hold = Arc::new(Mutex::new(()));
    let held = hold.lock().unwrap();
    store.state().hold_apply = Some(hold.clone());
    thread::scope(|scope| {
        let leader = scope.spawn(|| put(&db, "leader", "x"));
        while db.stats()?.commits < 1 {
            thread::yield_now();
        }
        let keys = ["a", "b", "c", "d", "e"];
        let followers: Vec<_> = keys.map(|k| scope.spawn(|| put(&db, k, "x"))).into();
        while db.stats()?.commits < 6 {
            thread::yield_now();
        }
        assert_eq!(
            get(&db.begin_read()?, "leader"),
            None,
            "nothing is visible before it is applied"
        );
        drop(held);
        leader.join().unwrap()?;
        for follower in followers {
            let ts = follower.join().unwrap()?;
            assert!(db.begin_read()?.read_ts() >= ts);
        }
        Ok::<_, Error>(())
    })?;
    assert_eq!(store.state().groups, [(1, Durability::Sync), (5, Durability::Sync)]);
    Ok(())
}

#[test]
fn leader_steps_down_after_its_rounds_and_a_follower_takes_over() -> TestResult {
    const ROUNDS: u64 = 16;
    // Buffered, so that no leader waits for company.
    let (db, store) = open_with(Options::new().durability(Durability::Buffered))?;
    let (permit, permits) = std::sync::mpsc::channel();
    store.state().permits = Some(Arc::new(Mutex::new(permits)));
    let wait_for = |commits| {
        while db.stats().unwrap().commits < commits {
            thread::yield_now();
        }
    };
    let db = &db;
    thread::scope(|scope| {
        let leader = scope.spawn(|| put(db, "leader", "x"));
        let mut followers = Vec::new();
        for n in 1..=ROUNDS {
            // The leader has taken its next group: who comes now is not in it.
            while (store.state().applies as u64) < n {
                thread::yield_now();
            }
            followers.push(scope.spawn(move || {
                let mut txn = db.begin_write()?;
                txn.put(format!("{n}").as_bytes(), "x")?;
                txn.commit()
            }));
            wait_for(n + 1);
            permit.send(()).unwrap();
        }
        // The last of them is still to be applied, and not by the leader.
        assert_eq!(leader.join().unwrap()?, Timestamp::new(1));
        assert_eq!(db.begin_read()?.read_ts(), Timestamp::new(ROUNDS));
        permit.send(()).unwrap();
        for follower in followers {
            follower.join().unwrap()?;
        }
        Ok::<_, Error>(())
    })?;
    assert_eq!(db.begin_read()?.read_ts(), Timestamp::new(ROUNDS + 1));
    assert_eq!(db.stats()?.groups, ROUNDS + 1);
    Ok(())
}

#[test]
fn group_is_as_durable_as_its_most_durable_commit() -> TestResult {
    let (db, store) = open_with(Options::new().durability(Durability::Buffered))?;
    put(&db, "a", "1")?;
    let mut txn = db.begin_write_with(&TxnOptions::new().durability(Durability::Sync))?;
    txn.put(b"a", "2")?;
    txn.commit()?;
    assert_eq!(store.state().groups, [(1, Durability::Buffered), (1, Durability::Sync)]);
    Ok(())
}

#[test]
fn counter_incremented_by_many_threads_loses_nothing() -> TestResult {
    const THREADS: u64 = if cfg!(miri) { 3 } else { 8 };
    const EACH: u64 = if cfg!(miri) { 4 } else { 200 };
    let (db, _) = open()?;
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    let retry = Retry::default().attempts(u32::MAX);
                    db.transact_with(&TxnOptions::new(), &retry, |txn| {
                        let n = get(txn, "n").map_or(0, |n| n.parse::<u64>().unwrap());
                        txn.put(b"n", (n + 1).to_string())
                    })
                    .unwrap();
                }
            });
        }
    });
    assert_eq!(get(&db.begin_read()?, "n"), Some((THREADS * EACH).to_string()));
    Ok(())
}

#[test]
fn loser_begins_again_above_the_commit_that_beat_it() -> TestResult {
    let (db, _) = open()?;
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..if cfg!(miri) { 5 } else { 300 } {
                    let mut txn = db.begin_write().unwrap();
                    txn.put(b"hot", "x").unwrap();
                    let Err(e) = txn.commit() else { continue };
                    let beaten_by = e.conflict().unwrap().commit_ts;
                    assert!(db.begin_read().unwrap().read_ts() >= beaten_by);
                }
            });
        }
    });
    Ok(())
}

#[test]
fn transaction_that_runs_alone_cannot_lose() -> TestResult {
    let (db, _) = open()?;
    put(&db, "k", "0")?;
    let stop = AtomicBool::new(false);
    let commits = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let _ = put(&db, "k", "x");
                    commits.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let alone = TxnOptions::new().alone_for(Duration::from_secs(60));
        let result = (0..if cfg!(miri) { 3 } else { 20 }).try_for_each(|_| {
            let mut txn = db.begin_write_with(&alone)?;
            let before = commits.load(Ordering::Relaxed);
            txn.get(b"k")?;
            thread::sleep(Duration::from_millis(1));
            // Each of the two may have been past its commit when the gate closed.
            assert!(commits.load(Ordering::Relaxed) <= before + 2);
            txn.put(b"k", "alone")?;
            txn.commit().map(drop)
        });
        stop.store(true, Ordering::Relaxed);
        result
    })
}

#[test]
fn gate_opens_by_itself_when_its_time_is_up() -> TestResult {
    let (db, _) = open()?;
    let mut alone = db.begin_write_with(&TxnOptions::new().alone_for(Duration::from_millis(5)))?;
    alone.get(b"k")?;
    alone.put(b"k", "alone")?;
    put(&db, "k", "other")?;
    assert_eq!(kind(alone.commit()), Some(ErrorKind::Conflict));
    put(&db, "k", "again")?;
    Ok(())
}

#[test]
fn gate_is_not_opened_by_the_end_of_a_transaction_whose_time_was_up() -> TestResult {
    let (db, _) = open()?;
    let expired = db.begin_write_with(&TxnOptions::new().alone_for(Duration::ZERO))?;
    let mut alone = db.begin_write_with(&TxnOptions::new().alone_for(Duration::MAX))?;
    alone.get(b"k")?;
    alone.put(b"k", "alone")?;
    drop(expired);
    thread::scope(|scope| {
        let rival = scope.spawn(|| put(&db, "k", "rival"));
        // Time for it to get in, if it can.
        thread::sleep(Duration::from_millis(20));
        alone.commit()?;
        let rival = kind(rival.join().unwrap());
        assert!(matches!(rival, None | Some(ErrorKind::Conflict)), "{rival:?}");
        Ok(())
    })
}

#[test]
fn time_alone_that_the_caller_gives_goes_before_that_of_the_retries() -> TestResult {
    let (db, _) = open()?;
    put(&db, "a", "1")?;
    let options = TxnOptions::new().alone_for(Duration::from_secs(60));
    let retry = Retry::default().alone(0, Duration::ZERO);
    let mut attempts = 0;
    thread::scope(|scope| {
        db.transact_with(&options, &retry, |txn| {
            attempts += 1;
            txn.update(b"a", |_| Some("2".into()))?;
            // Lets this one go first, and would overtake it without the gate.
            scope.spawn(|| put(&db, "a", "3"));
            thread::sleep(Duration::from_millis(20));
            Ok::<_, Error>(())
        })
    })?;
    assert_eq!(attempts, 1);
    Ok(())
}

#[test]
fn watcher_is_woken_after_the_commit_is_visible() -> TestResult {
    let (db, _) = open()?;
    let watcher = db.watch(KeyRange::prefix("a"))?;
    put(&db, "b", "x")?;
    assert_eq!(watcher.poll()?, None);
    let ts = put(&db, "ab", "x")?;
    assert_eq!(watcher.poll()?, Some(ts));
    thread::scope(|scope| {
        let woken = scope.spawn(|| {
            let ts = watcher.wait()?;
            Ok::<_, Error>(db.begin_read()?.read_ts() >= ts)
        });
        put(&db, "ac", "x")?;
        assert!(woken.join().unwrap()?);
        Ok(())
    })
}
