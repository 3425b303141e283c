//! D: durability and recovery, as far as it can be seen without cutting the
//! power: what a backend does under power loss is for its own tests.

use vellum_core::{
    Connection, ConnectionExt, Durability, ErrorKind, Metadata, ReadTxn, SaveOptions, TxnOptions,
    Version, VersionSet, WriteTxn,
};

use crate::check::*;
use crate::{CaseResult, Ctx, Factory, Failure, Failures};

/// Closes the database and opens it again.
fn reopen<F: Factory>(cx: &Ctx<F>, db: F::Connection) -> CaseResult<F::Connection> {
    db.close()?;
    drop(db);
    Ok(cx.open()?)
}

pub(crate) fn d1_acknowledged_commits_are_there_after_reopening<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let mut db = cx.open()?;
    let mut want = Vec::new();
    for (n, durability) in
        [Durability::Sync, Durability::Buffered].into_iter().cycle().take(8).enumerate()
    {
        let mut txn = db.begin_write_with(&TxnOptions::new().durability(durability))?;
        put(&mut txn, &format!("k{n}"), "x")?;
        committed("a commit", txn.commit())?;
        want.push((format!("k{n}"), "x".to_owned()));
        if n == 5 {
            db.sync()?;
        }
        db = reopen(cx, db)?;
        same(format!("after reopening {n} times"), &head(&db)?, &want)?;
    }
    Ok(())
}

pub(crate) fn d1_dropping_every_handle_keeps_what_was_acknowledged<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let db = cx.open()?;
    commit(&db, &[("a", "1")])?;
    db.sync()?;
    commit(&db, &[("b", "1")])?;
    drop(db);
    let db = cx.open()?;
    same("without a close", head(&db)?, pairs(&[("a", "1"), ("b", "1")]))
}

pub(crate) fn d1_sync_succeeds_and_changes_nothing<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    db.sync()?;
    commit(&db, &[("a", "1")])?;
    let mut writer = db.begin_write()?;
    put(&mut writer, "b", "1")?;
    db.sync()?;
    same("the head", head(&db)?, pairs(&[("a", "1")]))?;
    committed("a writer that was open", writer.commit())?;
    db.sync()?;
    same("the head after", head(&db)?, pairs(&[("a", "1"), ("b", "1")]))
}

pub(crate) fn d2_reopening_tears_no_commit<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let mut db = cx.open()?;
    for round in 0..5 {
        for n in 0..4 {
            let value = format!("{round}.{n}");
            commit(
                &db,
                &[("first", &value), ("middle", &value), ("n", &n.to_string()), ("z", &value)],
            )?;
        }
        // The last one is not committed.
        let mut open = db.begin_write()?;
        put(&mut open, "first", "uncommitted")?;
        db.close()?;
        drop(open);
        db = reopen(cx, db)?;
        let value = format!("{round}.3");
        let want = pairs(&[("first", &value), ("middle", &value), ("n", "3"), ("z", &value)]);
        same(format!("after reopening {} times", round + 1), head(&db)?, want)?;
    }
    Ok(())
}

pub(crate) fn d3_write_that_failed_for_certain_is_not_there<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let failures = Failures::default();
    let db = cx.open_failing(&failures)?;
    commit(&db, &[("a", "1")])?;
    let reader = db.begin_read()?;
    let mut txn = db.begin_write()?;
    put(&mut txn, "a", "2")?;
    put(&mut txn, "b", "2")?;
    failures.fail_write();
    match txn.commit() {
        Ok(_) => return Err(Failure::new("a write that failed was reported as a success")),
        Err(e) => holds(!e.is_retryable(), format!("{e:?} is no conflict"))?,
    }
    same("an open reader", state(&reader)?, pairs(&[("a", "1")]))?;
    same("the head", head(&db)?, pairs(&[("a", "1")]))?;
    same("versions can be read", db.versions()?.len(), 0)
}

pub(crate) fn d3_write_of_unknown_outcome_poisons<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let failures = Failures::default();
    let db = cx.open_failing(&failures)?;
    commit(&db, &[("a", "1")])?;
    db.save_version()?;
    let reader = db.begin_read()?;
    let mut txn = db.begin_write()?;
    let mut other = db.begin_write()?;
    put(&mut txn, "a", "2")?;
    put(&mut other, "c", "2")?;
    failures.fail_write_unknown();
    let error = refused("the failed commit", txn.commit(), ErrorKind::CommitUnknown)?;
    holds(error.is_outcome_unknown() && !error.is_retryable(), "its outcome is unknown")?;
    refused("an open writer", other.commit(), ErrorKind::Poisoned)?;
    let next = db.begin_write().and_then(|mut t| put(&mut t, "d", "2").and(t.commit().map(drop)));
    refused("a new writer", next, ErrorKind::Poisoned)?;
    refused("a save", db.save_version(), ErrorKind::Poisoned)?;
    refused("a delete of a version", db.delete_version(1), ErrorKind::Poisoned)?;
    refused("a revert", db.revert(), ErrorKind::Poisoned)?;
    same("an open reader", state(&reader)?, pairs(&[("a", "1")]))?;
    same("the head that was visible", head(&db)?, pairs(&[("a", "1")]))?;
    same("the version", state(&db.read_at(Version::new(1))?)?, pairs(&[("a", "1")]))?;
    holds(db.stats()?.poisoned, "the statistics say so")
}

pub(crate) fn d3_failed_fsync_is_never_a_success<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let failures = Failures::default();
    let db = cx.open_failing(&failures)?;
    commit(&db, &[("a", "1")])?;
    failures.fail_sync();
    refused("the sync", db.sync(), ErrorKind::CommitUnknown)?;
    let mut after = match db.begin_write() {
        Ok(txn) => txn,
        Err(e) => return same("a new writer", e.kind(), ErrorKind::Poisoned),
    };
    put(&mut after, "b", "1")?;
    refused("a commit after it", after.commit(), ErrorKind::Poisoned)?;
    refused("a sync after it", db.sync(), ErrorKind::Poisoned)?;
    same("what was visible", head(&db)?, pairs(&[("a", "1")]))
}

pub(crate) fn d3_poisoned_database_is_well_after_reopening<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let failures = Failures::default();
    let db = cx.open_failing(&failures)?;
    commit(&db, &[("a", "1")])?;
    let mut txn = db.begin_write()?;
    put(&mut txn, "a", "2")?;
    failures.fail_write_unknown();
    refused("the failed commit", txn.commit(), ErrorKind::CommitUnknown)?;
    // What closing a poisoned database reports is its own affair; that it ends
    // and lets go is not.
    let _ = db.close();
    drop(db);
    let db = cx.open()?;
    let now = get(&db.begin_read()?, "a")?;
    holds(now == Some("1".into()) || now == Some("2".into()), format!("{now:?} is old or new"))?;
    commit(&db, &[("b", "1")])?;
    Ok(())
}

pub(crate) fn d4_verify_finds_a_sound_database_sound<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    db.verify()?;
    for n in 0..20u32 {
        commit(&db, &[("a", &n.to_string()), (&format!("k{n}"), "x")])?;
        if n % 5 == 0 {
            db.save_version()?;
        }
        if n % 6 == 0 {
            commit_deletes(&db, &["a"])?;
        }
    }
    let before = head(&db)?;
    let report = db.verify()?;
    holds(
        report.records >= before.len() as u64,
        format!("{report:?} covers {} keys", before.len()),
    )?;
    db.prune()?;
    db.verify()?;
    db.revert()?;
    db.verify()?;
    Ok(())
}

pub(crate) fn d5_opening_twice_is_refused<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    commit(&db, &[("a", "1")])?;
    refused("a second opening", cx.open().map(drop), ErrorKind::Locked)?;
    commit(&db, &[("b", "1")])?;
    same("the first goes on", head(&db)?, pairs(&[("a", "1"), ("b", "1")]))?;
    db.close()?;
    drop(db);
    let db = cx.open()?;
    same("once it was closed", head(&db)?, pairs(&[("a", "1"), ("b", "1")]))
}

pub(crate) fn d6_head_versions_and_metadata_come_back<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let mut db = cx.open()?;
    let mut wants = Vec::new();
    for n in 1..=10u64 {
        commit(&db, &[("n", &n.to_string()), (&format!("k{n:02}"), "x")])?;
        if n > 3 {
            commit_deletes(&db, &[&format!("k{:02}", n - 3)])?;
        }
        let metadata = Metadata::new().message(format!("save {n}")).author("a").time_ms(n as i64);
        db.save_version_with(SaveOptions::new().number(2 * n).metadata(metadata))?;
        wants.push((Version::new(2 * n), head(&db)?));
    }
    db.delete_version(6)?;
    wants.retain(|(v, _)| v.get() != 6);
    commit(&db, &[("n", "dirty")])?;
    let (then, set) = (head(&db)?, db.versions()?);
    for round in 0..2 {
        db = reopen(cx, db)?;
        same(format!("the head, reopened {}", round + 1), &head(&db)?, &then)?;
        let now = db.versions()?;
        same(
            "the versions with timestamps and metadata",
            now.iter().collect::<Vec<_>>(),
            set.iter().collect::<Vec<_>>(),
        )?;
        holds(now == set, "the sets are equal")?;
        for (v, want) in &wants {
            same(format!("version {v}"), &state(&db.read_at(*v)?)?, want)?;
        }
        refused(
            "the deleted one",
            db.read_at(Version::new(6)).map(drop),
            ErrorKind::VersionNotFound,
        )?;
        db.prune()?;
    }
    db.revert()?;
    same("a revert after reopening", Some(&head(&db)?), wants.last().map(|(_, want)| want))?;
    db.revert_to(Version::new(8))?;
    db = reopen(cx, db)?;
    same(
        "the last version after a revert",
        db.versions()?.last().map(|v| v.version.get()),
        Some(8),
    )?;
    let want = wants.iter().find(|(v, _)| v.get() == 8).map(|(_, want)| want);
    same("the head after a revert", Some(&head(&db)?), want)
}

pub(crate) fn d6_timestamps_and_numbers_go_on_above<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let mut db = cx.open()?;
    let mut last = vellum_core::Timestamp::ZERO;
    for round in 0..4u64 {
        let opened = db.begin_read()?.read_ts();
        holds(opened >= last, format!("the head is at {opened}, not below {last}"))?;
        let ts = commit(&db, &[("a", &round.to_string())])?;
        holds(ts > last, format!("{ts} is above {last}, from before reopening"))?;
        let v = db.save_version()?;
        same("the number", v, Version::new(round + 1))?;
        let saved = db.versions()?.get(v).map(|v| v.commit_ts);
        holds(saved >= Some(ts), format!("the save at {saved:?} is not below {ts}"))?;
        last = commit_deletes(&db, &["a"])?;
        db = reopen(cx, db)?;
    }
    db.delete_version(4)?;
    db = reopen(cx, db)?;
    same("the number of a deleted one comes again", db.save_version()?, Version::new(4))
}

pub(crate) fn d6_empty_database_comes_back_empty<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = reopen(cx, cx.open()?)?;
    same("the head", head(&db)?, pairs(&[]))?;
    same("the versions", db.versions()?.len(), 0)?;
    commit(&db, &[("a", "1")])?;
    commit_deletes(&db, &["a"])?;
    db.prune()?;
    let db = reopen(cx, db)?;
    same("a deleted key", db.begin_read()?.get(b"a")?, None)
}
