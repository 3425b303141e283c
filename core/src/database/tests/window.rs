//! Validation against the window, and its release.

use super::*;

/// Commits `n` keys that nobody else touches.
fn fill(db: &Database<MapStore>, n: usize) -> TestResult {
    for i in 0..n {
        let mut txn = db.begin_write()?;
        txn.put(format!("fill/{i}").as_bytes(), "x")?;
        txn.commit()?;
    }
    Ok(())
}

#[test]
fn conflict_is_found_in_windows_of_every_size_and_none_is_made_up() -> TestResult {
    // Across the thresholds between the ways of looking.
    let commits: &[_] = if cfg!(miri) { &[0, 3] } else { &[0, 1, 2, 3, 10, 200] };
    let observed: &[_] = if cfg!(miri) { &[1, 10] } else { &[1, 2, 3, 10, 100] };
    for &before in commits {
        for &after in commits {
            for &reads in observed {
                let (db, _) = open()?;
                put(&db, "hit", "0")?;
                let begin = |extra: &str| -> Result<_> {
                    let txn = db.begin_write()?;
                    for i in 0..reads {
                        txn.get(format!("read/{i}").as_bytes())?;
                    }
                    txn.get(extra.as_bytes())?;
                    Ok(txn)
                };
                let (loser, winner) = (begin("hit")?, begin("other")?);
                let range_loser = begin("other")?;
                assert_eq!(range_loser.range("hi".."hj").count(), 1);
                let range_winner = begin("other")?;
                assert_eq!(range_winner.range("hj".."hk").count(), 0);
                let mut write_loser = begin("other")?;
                write_loser.put(b"hit", "x")?;
                fill(&db, before)?;
                let ts = put(&db, "hit", "1")?;
                fill(&db, after)?;
                for (mut txn, own, conflicts) in [
                    (loser, "own1", true),
                    (winner, "own2", false),
                    (range_loser, "own3", true),
                    (range_winner, "own4", false),
                    (write_loser, "own5", true),
                ] {
                    txn.put(own.as_bytes(), "x")?;
                    match txn.commit() {
                        Ok(_) => assert!(!conflicts, "{own}: missed"),
                        Err(e) => {
                            let info = e.conflict().cloned().unwrap();
                            assert!(conflicts, "{own}: made up {info:?}");
                            assert_eq!((&info.key[..], info.commit_ts), (&b"hit"[..], ts));
                        }
                    }
                }
                let stats = db.stats()?;
                assert_eq!(
                    (stats.window_commits, stats.window_keys, stats.window_bytes),
                    (0, 0, 0)
                );
            }
        }
    }
    Ok(())
}

#[test]
fn declared_writes_conflict_with_readers_and_writers_of_their_range() -> TestResult {
    for (touch, conflicts) in [("a", false), ("b", true), ("c", true), ("d", false)] {
        for mode in ["get", "range", "write"] {
            for others in [0, if cfg!(miri) { 4 } else { 50 }] {
                let (db, _) = open()?;
                let mut txn = db.begin_write()?;
                match mode {
                    "get" => drop(txn.get(touch.as_bytes())?),
                    "range" => txn.range(touch..=touch).for_each(drop),
                    _ => txn.put(touch.as_bytes(), "x")?,
                }
                txn.put(b"own", "x")?;
                let mut declarer = db.begin_write()?;
                declarer.mark_written("b".."d")?;
                assert!(declarer.commit()?.commit_ts.is_some());
                fill(&db, others)?;
                assert_eq!(txn.commit().is_err(), conflicts, "{mode} {touch}, {others} others");
            }
        }
    }
    Ok(())
}

#[test]
fn window_follows_the_oldest_writer_and_not_readers_or_versions() -> TestResult {
    let (db, _) = open()?;
    let _reader = db.begin_read()?;
    db.save_version()?;
    const COMMITS: usize = if cfg!(miri) { 40 } else { 500 };
    fill(&db, COMMITS)?;
    assert_eq!(db.stats()?.window_commits, 0);
    let old = db.begin_write()?;
    fill(&db, COMMITS)?;
    assert_eq!(db.stats()?.window_commits, COMMITS);
    let newer = db.begin_write()?;
    drop(old);
    // A short window is left alone while anybody may need it.
    assert!(db.stats()?.window_commits < COMMITS || cfg!(miri));
    drop(newer);
    let stats = db.stats()?;
    assert_eq!((stats.window_commits, stats.window_keys, stats.window_bytes), (0, 0, 0));
    Ok(())
}

#[test]
fn commit_at_the_read_timestamp_is_no_conflict() -> TestResult {
    for own in ["get", "range", "write", "mark"] {
        let (db, _) = open()?;
        // Keeps the window from being forgotten.
        let _older = db.begin_write()?;
        let mut declarer = db.begin_write()?;
        declarer.put(b"k", "1")?;
        declarer.mark_written("m".."n")?;
        declarer.commit()?;
        let mut txn = db.begin_write()?;
        match own {
            "get" => drop((txn.get(b"k")?, txn.get(b"m")?)),
            "range" => txn.range("k".."n").for_each(drop),
            "write" => txn.put(b"k", "2")?,
            _ => txn.mark_written("k".."n")?,
        }
        fill(&db, if cfg!(miri) { 5 } else { 100 })?;
        txn.put(b"own", "x")?;
        txn.commit()?;
    }
    Ok(())
}

#[test]
fn bounds_of_what_is_declared_count_as_written_bytes() -> TestResult {
    let (db, _) = open_with(Options::new().max_txn_bytes(10))?;
    let mut txn = db.begin_write()?;
    txn.mark_written("a".."bcd")?;
    assert_eq!(kind(txn.mark_written(KeyRange::key("abc"))), Some(ErrorKind::Invalid));
    txn.mark_written(KeyRange::key("ab"))?;
    assert_eq!(kind(txn.put(b"kk", "")), Some(ErrorKind::Invalid));
    txn.commit()?;
    Ok(())
}

#[test]
fn window_is_let_go_up_to_the_oldest_writer_in_many_steps() -> TestResult {
    const OLD: usize = if cfg!(miri) { 270 } else { 600 };
    let (db, _) = open()?;
    let old = db.begin_write()?;
    fill(&db, OLD)?;
    let mut newer = db.begin_write()?;
    newer.get(b"a")?;
    let mut declarer = db.begin_write()?;
    declarer.mark_written("a".."b")?;
    declarer.commit()?;
    put(&db, "after", "x")?;
    drop(old);
    let stats = db.stats()?;
    assert_eq!((stats.window_commits, stats.window_bytes), (2, "after".len() + "ab".len()));
    newer.put(b"own", "x")?;
    assert_eq!(kind(newer.commit()), Some(ErrorKind::Conflict), "what is needed stays");
    let index = format!("{:?}", db.0.pipeline.lock().index);
    assert!(index.contains("log: []") && index.contains("marks: []"), "{index}");
    Ok(())
}

#[test]
fn failed_and_discarded_transactions_enter_no_conflict() -> TestResult {
    let (db, _) = open()?;
    let mut witness = db.begin_write()?;
    witness.get(b"k")?;
    witness.put(b"own", "x")?;
    let mut discarded = db.begin_write()?;
    discarded.put(b"k", "x")?;
    discarded.discard();
    let mut loser = db.begin_write()?;
    loser.get(b"hot")?;
    loser.put(b"k", "x")?;
    put(&db, "hot", "x")?;
    assert_eq!(kind(loser.commit()), Some(ErrorKind::Conflict));
    witness.commit()?;
    Ok(())
}

#[test]
fn partly_consumed_range_observes_only_as_far_as_it_went() -> TestResult {
    for (from_back, written, conflicts) in [
        (false, "a", true),
        (false, "a5", true),
        (false, "b", true),
        (false, "b5", false),
        (false, "e", false),
        (true, "e", true),
        (true, "d", true),
        (true, "c5", false),
    ] {
        let (db, _) = open()?;
        for key in ["a", "b", "c", "d", "e"] {
            put(&db, key, "0")?;
        }
        let mut txn = db.begin_write()?;
        let mut range = txn.range(..);
        for _ in 0..2 {
            if from_back { range.next_back() } else { range.next() }.unwrap()?;
        }
        drop(range);
        txn.put(b"own", "x")?;
        put(&db, written, "1")?;
        assert_eq!(txn.commit().is_err(), conflicts, "{written} from_back={from_back}");
    }
    Ok(())
}

#[test]
fn ranges_that_are_open_at_once_observe_each_what_it_saw() -> TestResult {
    for (key, conflicts) in [("b", true), ("y", false)] {
        let (db, _) = open()?;
        let mut txn = db.begin_write()?;
        {
            let mut read = txn.range("a".."c");
            let unread = txn.range("x".."z");
            assert!(read.next().is_none());
            drop(unread);
        }
        txn.put(b"own", "1")?;
        put(&db, key, "1")?;
        assert_eq!(kind(txn.commit()), conflicts.then_some(ErrorKind::Conflict), "{key}");
    }
    Ok(())
}

#[test]
fn snapshot_reads_and_snapshot_isolation_are_not_validated() -> TestResult {
    let (db, _) = open()?;
    let mut viewed = db.begin_write()?;
    viewed.put(b"own", "1")?;
    assert_eq!(viewed.snapshot_reads().range(..).count(), 1, "own writes show");
    viewed.snapshot_reads().get(b"k")?;
    let mut snapshot = db.begin_write_with(&TxnOptions::new().isolation(Isolation::Snapshot))?;
    snapshot.get(b"k")?;
    snapshot.put(b"own2", "1")?;
    put(&db, "k", "1")?;
    viewed.commit()?;
    snapshot.commit()?;
    Ok(())
}

#[test]
fn blind_writes_do_not_conflict_by_option_and_the_later_commit_wins() -> TestResult {
    let (db, _) = open()?;
    let ignore = TxnOptions::new().write_conflicts(WriteConflicts::Ignore);
    let mut blind = db.begin_write_with(&ignore)?;
    blind.put(b"k", "blind")?;
    let mut reading = db.begin_write_with(&ignore)?;
    reading.get(b"k")?;
    reading.put(b"k", "read")?;
    put(&db, "k", "first")?;
    blind.commit()?;
    assert_eq!(get(&db.begin_read()?, "k").as_deref(), Some("blind"));
    assert_eq!(kind(reading.commit()), Some(ErrorKind::Conflict));
    Ok(())
}
