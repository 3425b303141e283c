//! The conveniences over the traits, the same with the backend's type hidden,
//! and what is printed.

use std::error::Error as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::*;

/// One use of everything, over any connection: what came out of it, as text.
fn tour<C: Connection>(db: &C) -> Result<String> {
    let mut out = Vec::new();
    let mut txn = db.begin_write()?;
    txn.put(b"a", "1")?;
    txn.put(b"b", "2")?;
    txn.put(b"c", "3")?;
    txn.delete(b"c")?;
    out.push(format!("{:?} {:?}", txn.get(b"a")?, txn.get(b"c")?));
    out.push(format!("{:?}", txn.snapshot_reads().get(b"a")?));
    out.push(format!("{:?}", txn.range(..).rev().collect::<Result<Vec<_>>>()?));
    out.push(format!("{:?} {:?}", txn.read_ts(), txn.commit()?));
    let first = db.save_version_with(SaveOptions::new().metadata(Metadata::new().message("m")))?;
    let set = db.versions()?;
    assert!(set == db.versions()? && !set.is_empty(), "equal by content");

    let mut txn = db.begin_write()?;
    txn.put(b"a", "discarded")?;
    txn.discard();
    out.push(format!("{:?}", db.transact(|txn| txn.put_if_absent(b"a", "9"))?));
    out.push(format!("{:?}", db.transact(|txn| txn.put_if_absent(b"d", "4"))?));
    let add = |old: Option<&Bytes>| Some([old.map_or(&b""[..], |v| v), b"+"].concat().into());
    out.push(format!("{:?}", db.transact(|txn| txn.update(b"a", add))?));
    out.push(format!("{:?}", db.transact(|txn| txn.update(b"b", |_| None))?));
    out.push(format!("{:?}", db.transact(|txn| txn.update(b"b", |_| None))?));
    let second = db.save_version_with(SaveOptions::new().durability(Durability::Buffered))?;
    assert!(set != db.versions()?, "and not equal");
    let infos: Vec<_> = set.iter().collect();
    out.push(format!("{infos:?} {:?}", db.versions()?.get(second)));
    out.push(format!("{} {:?}", db.versions()?.len(), db.versions()?.iter().next_back()));

    for read in [db.read_at(first)?, db.read_at(second)?, db.read_as_of(db.stats()?.head_ts)?] {
        let both_ways = (read.range(..).next(), read.range(..).next_back());
        out.push(format!("{} {:?} {both_ways:?}", read.read_ts(), read.get(b"b")?));
    }
    let diff = db.diff(At::Version(first), At::Head, KeyRange::all())?;
    out.push(format!("{:?}", diff.collect::<Result<Vec<_>>>()?));
    let changes = db.changes(Timestamp::ZERO, db.stats()?.head_ts);
    out.push(format!("{:?}", changes?.count()));
    out.push(format!("{:?}", db.restore(first, KeyRange::key(b"b"))?));
    out.push(format!("{:?}", db.revert_to(first)?));
    out.push(format!("{:?}", db.revert()?));
    let watcher = db.watch(KeyRange::key(b"w"))?;
    out.push(format!("{:?} {:?}", watcher.range(), watcher.poll()?));

    // Declared reads and writes conflict.
    let (mut reader, mut writer) = (db.begin_write()?, db.begin_write()?);
    reader.mark_read(b"x".as_slice()..)?;
    reader.put(b"r", "1")?;
    writer.mark_written("x".."y")?;
    writer.commit()?;
    out.push(format!("{:?}", reader.commit().map_err(|e| e.conflict().cloned())));
    out.push(format!("{:?}", db.verify()?.records > 0));
    db.delete_version(first)?;
    db.sync()?;
    db.prune()?;
    out.push(format!("{:?}", db.begin_read()?.range(..).count()));
    db.close()?;
    out.push(format!("{:?}", kind(db.begin_read())));
    Ok(out.join("\n"))
}

#[test]
fn connection_with_its_type_hidden_says_the_same() -> TestResult {
    let options = Options::new().pruning(Pruning::Manual).history(History::Commits(100));
    let plain = tour(&open_with(options)?.0)?;
    let hidden = tour(&AnyConnection::new(open_with(options)?.0))?;
    assert_eq!(plain, hidden);
    let expected = [
        "Some(b\"1\") None",
        "[(b\"b\", b\"2\"), (b\"a\", b\"1\")]",
        "CommitInfo",
        "\nfalse\ntrue\nSome(b\"1\")\nSome(b\"2\")\nNone\n",
        r#"["w", "w\x00") None"#,
        "Some(Closed)",
    ];
    assert!(expected.iter().all(|line| plain.contains(line)), "{plain}");
    Ok(())
}

#[test]
fn update_that_leaves_a_key_absent_writes_nothing() -> TestResult {
    let (db, store) = open()?;
    put(&db, "a", "1")?;
    let (mut keeps, mut removes) = (db.begin_write()?, db.begin_write()?);
    assert_eq!(keeps.update(b"b", |_| None)?, None);
    assert_eq!(removes.update(b"a", |_| None)?, Some("1".into()));
    keeps.commit()?;
    removes.commit()?;
    let writes = store.state().commits.iter().map(|c| c.writes.len()).collect::<Vec<_>>();
    assert_eq!(writes, [1, 1]);
    Ok(())
}

#[test]
fn sets_of_versions_are_equal_if_they_hold_the_same() -> TestResult {
    let (db, _) = open()?;
    let any = AnyConnection::new(db.clone());
    let first = db.save_version()?;
    let (set, hidden) = (db.versions()?, any.versions()?);
    let second = db.save_version()?;
    assert!(set != db.versions()? && hidden != any.versions()?, "one more");
    db.delete_version(first)?;
    assert!(set != db.versions()? && hidden != any.versions()?, "as many, and another");
    assert!(db.versions()? == db.versions()? && any.versions()? == any.versions()?);
    assert_eq!(any.versions()?.iter().map(|info| info.version).collect::<Vec<_>>(), [second]);
    Ok(())
}

#[test]
fn everything_can_be_printed() -> TestResult {
    let (db, _) = open()?;
    put(&db, "a", "1")?;
    let write = db.begin_write()?;
    let (read, range, snapshot) = (db.begin_read()?, write.range(..), write.snapshot_reads());
    for text in [format!("{read:?}"), format!("{write:?}"), format!("{snapshot:?}")] {
        assert!(text.contains("read_ts: @1"), "{text}");
    }
    assert!(format!("{range:?}").contains("done: false"));
    assert!(format!("{db:?}").contains("\"map\""));
    let diff = db.diff(At::Head, At::Head, KeyRange::all())?;
    assert!(format!("{diff:?}").contains("Diff"));
    drop(range);

    let any = AnyConnection::new(db.clone());
    let (read, write) = (any.begin_read()?, any.begin_write()?);
    let set = any.versions()?;
    let shown = format!("{any:?} {read:?} {write:?} {:?} {set:?}", write.range(..));
    let names = ["AnyConnection", "AnyRead", "AnyWrite", "AnyRange", "[]"];
    assert!(names.iter().all(|name| shown.contains(name)), "{shown}");
    drop(write);

    let mut stats = db.stats()?;
    assert_eq!(db.store().name(), stats.backend);
    let shown = stats.to_string();
    assert!(shown.contains("backend map  head 1") && !shown.contains("POISONED"), "{shown}");
    stats.poisoned = true;
    (stats.store.keys, stats.store.disk_bytes) = (Some(3), Some(77));
    let shown = stats.to_string();
    assert!(shown.contains("POISONED") && shown.contains("keys 3  disk bytes 77"), "{shown}");

    assert_eq!(KeyRange::default(), KeyRange::all());
    assert_eq!(format!("{:?}", KeyRange::all()), KeyRange::all().to_string());
    assert_eq!(Options::default(), Options::new());
    assert_eq!(*db.options(), Options::new().pruning(Pruning::Manual));
    let keep = Retention::new(vec![Timestamp::new(2)], vec![Timestamp::new(3)], Timestamp::MAX);
    assert_eq!(keep.pins(), [Timestamp::new(2)]);
    assert_eq!(keep.snapshots(), [Timestamp::new(3)]);
    Ok(())
}

#[test]
fn error_says_its_kind_its_message_its_backend_and_its_cause() -> TestResult {
    use ErrorKind::{
        Closed, CommitUnknown, Conflict, Corrupted, HistoryPruned, Invalid, InvalidVersion, Io,
        Locked, OpenTransactions, Poisoned, ReadOnly, Unsupported, VersionNotFound,
    };
    let kinds = [
        Conflict,
        CommitUnknown,
        Invalid,
        InvalidVersion,
        VersionNotFound,
        HistoryPruned,
        OpenTransactions,
        ReadOnly,
        Locked,
        Closed,
        Poisoned,
        Corrupted,
        Io,
        Unsupported,
    ];
    let texts: std::collections::BTreeSet<_> = kinds.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), kinds.len(), "{texts:?}");
    let cause = std::io::Error::other("the disk");
    let error = Error::new(Io, "reading").in_backend("map").caused_by(cause);
    assert_eq!(error.to_string(), "i/o error: reading (backend map)");
    assert_eq!(error.backend(), Some("map"));
    assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("the disk"));
    let shown = format!("{error:?}");
    assert!(shown.contains("\"map\"") && shown.contains("the disk"), "{shown}");
    assert!(!error.is_retryable() && !error.is_outcome_unknown());

    // What a failed group left is the cause of what comes after.
    let (db, store) = open()?;
    store.state().fail_apply = Some(CommitUnknown);
    let first = put(&db, "a", "1").unwrap_err();
    assert!(first.is_outcome_unknown());
    let later = put(&db, "a", "1").unwrap_err();
    let cause = later.source().unwrap();
    assert_eq!(cause.to_string(), "commit outcome unknown: as armed");
    assert_eq!(cause.source().unwrap().to_string(), cause.to_string());

    let (db, _) = open()?;
    let (mut one, mut two) = (db.begin_write()?, db.begin_write()?);
    one.put(b"k", "1")?;
    two.put(b"k", "2")?;
    one.commit()?;
    let lost = two.commit().unwrap_err();
    assert!(lost.is_retryable() && format!("{lost:?}").contains("ConflictInfo"));
    Ok(())
}

#[test]
fn loser_is_retried_as_often_as_asked_and_then_runs_alone() -> TestResult {
    // A rival wins while this is not alone; how often it had to be tried.
    let attempts = |retry: &Retry, rivals: u32| -> Result<u32> {
        let (db, _) = open()?;
        let tries = AtomicU32::new(0);
        std::thread::scope(|scope| {
            let outcome = db.transact_with(&TxnOptions::new(), retry, |txn| {
                txn.put(b"k", "x")?;
                if tries.fetch_add(1, Ordering::SeqCst) < rivals {
                    return put(&db, "k", "rival").map(drop);
                }
                // Who comes while it runs alone waits, and loses or is later.
                scope.spawn(|| put(&db, "k", "late"));
                std::thread::sleep(Duration::from_millis(if cfg!(miri) { 0 } else { 10 }));
                Ok(())
            });
            let tries = tries.load(Ordering::SeqCst);
            assert_eq!(outcome.is_ok(), tries > rivals);
            Ok(tries)
        })
    };
    let quick = Retry::default().backoff(Duration::ZERO, Duration::ZERO);
    let never = quick.alone(100, Duration::MAX);
    assert_eq!(attempts(&never.attempts(2), 9)?, 2);
    assert_eq!(attempts(&never.attempts(3), 9)?, 3);
    assert_eq!(attempts(&quick.alone(2, Duration::MAX).attempts(9), 2)?, 3);
    Ok(())
}

#[test]
fn limits_are_what_they_say() -> TestResult {
    assert_eq!((MAX_KEY_LEN, MAX_VALUE_LEN), (16_384, 67_108_864));
    assert_eq!((MAX_TXN_BYTES, MAX_METADATA_LEN), (1_073_741_824, 1_048_576));
    let (db, _) = open()?;
    let text = |len| "x".repeat(len);
    for (message, author, fits) in [
        (MAX_METADATA_LEN, 0, true),
        (MAX_METADATA_LEN, 1, false),
        (1, MAX_METADATA_LEN, false),
        (0, MAX_METADATA_LEN, true),
    ] {
        let metadata = Metadata::new().message(text(message)).author(text(author));
        let saved = db.save_version_with(SaveOptions::new().metadata(metadata));
        assert_eq!(saved.is_ok(), fits, "{message} and {author}");
    }
    let message = Metadata::new().message(text(MAX_METADATA_LEN + 1));
    let saved = db.save_version_with(SaveOptions::new().metadata(message));
    assert_eq!(kind(saved), Some(ErrorKind::Invalid));
    Ok(())
}
