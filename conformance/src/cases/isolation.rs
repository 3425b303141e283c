//! I: isolation.

use std::sync::mpsc;
use std::time::Duration;

use vellum_core::{
    CommitInfo, Connection, ConnectionExt, Error, ErrorKind, Isolation, KeyRange, Observed,
    ReadTxn, ReadTxnExt, Result, Retry, TxnOptions, WriteConflicts, WriteTxn,
};

use crate::check::*;
use crate::{CaseResult, Ctx, Factory, Failure};

pub(super) type Write<F> = <<F as Factory>::Connection as Connection>::Write;

/// Something that a transaction does.
type Act<F> = fn(&mut Write<F>) -> Result<()>;

/// A database with the keys a to f.
pub(super) fn letters<F: Factory>(cx: &Ctx<F>) -> CaseResult<F::Connection> {
    let db = cx.open()?;
    commit(&db, &[("a", "1"), ("b", "1"), ("c", "1"), ("d", "1"), ("e", "1"), ("f", "1")])?;
    Ok(db)
}

/// One transaction does `first`; another one does `second` and commits; then
/// the first one writes a key of its own and commits. What became of it?
fn overtaken<F: Factory>(
    cx: &Ctx<F>,
    options: TxnOptions,
    first: impl FnOnce(&mut Write<F>) -> Result<()>,
    second: impl FnOnce(&mut Write<F>) -> Result<()>,
) -> CaseResult<Result<CommitInfo>> {
    let db = letters(cx)?;
    let mut loser = db.begin_write_with(&options)?;
    first(&mut loser)?;
    let mut winner = db.begin_write()?;
    second(&mut winner)?;
    committed("the one that commits first", winner.commit())?;
    put(&mut loser, "own", "1")?;
    Ok(loser.commit())
}

pub(super) fn loses<F: Factory>(
    cx: &Ctx<F>,
    what: &str,
    first: impl FnOnce(&mut Write<F>) -> Result<()>,
    second: impl FnOnce(&mut Write<F>) -> Result<()>,
) -> CaseResult {
    let outcome = overtaken(cx, TxnOptions::new(), first, second)?;
    conflicted(what, outcome)?;
    cx.factory.destroy();
    Ok(())
}

pub(super) fn wins<F: Factory>(
    cx: &Ctx<F>,
    what: &str,
    first: impl FnOnce(&mut Write<F>) -> Result<()>,
    second: impl FnOnce(&mut Write<F>) -> Result<()>,
) -> CaseResult {
    let outcome = overtaken(cx, TxnOptions::new(), first, second)?;
    committed(what, outcome)?;
    cx.factory.destroy();
    Ok(())
}

pub(crate) fn i1_read_of_a_key_that_is_overwritten_conflicts<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    loses(cx, "read a, written by another", |t| get(t, "a").map(drop), |t| put(t, "a", "2"))
}

pub(crate) fn i1_read_of_a_key_that_is_deleted_conflicts<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    loses(cx, "read a, deleted by another", |t| get(t, "a").map(drop), |t| t.delete(b"a"))
}

pub(crate) fn i1_range_that_gains_a_key_conflicts<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let all = |t: &mut Write<F>| collect(t.range("b".."e")).map(drop);
    loses(cx, "observed [b, e), another put bb", all, |t| put(t, "bb", "2"))
}

pub(crate) fn i1_range_that_loses_a_key_conflicts<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let all = |t: &mut Write<F>| collect(t.range("b".."e")).map(drop);
    loses(cx, "observed [b, e), another deleted d", all, |t| t.delete(b"d"))
}

pub(crate) fn i1_write_of_a_key_that_is_written_conflicts<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    loses(cx, "both wrote a", |t| put(t, "a", "2"), |t| put(t, "a", "3"))
}

pub(crate) fn i1_lost_update_is_refused<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = letters(cx)?;
    let (mut one, mut two) = (db.begin_write()?, db.begin_write()?);
    for txn in [&mut one, &mut two] {
        let n = get(txn, "a")?;
        same("what both read", n.as_deref(), Some("1"))?;
        put(txn, "a", "2")?;
    }
    committed("the first", one.commit())?;
    conflicted("the second, whose read is stale", two.commit())?;
    same("a", get(&db.begin_read()?, "a")?, Some("2".to_owned()))
}

pub(crate) fn i1_write_skew_through_points_is_refused<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = letters(cx)?;
    let (mut one, mut two) = (db.begin_write()?, db.begin_write()?);
    for txn in [&one, &two] {
        get(txn, "a")?;
        get(txn, "b")?;
    }
    one.delete(b"a")?;
    two.delete(b"b")?;
    committed("the first", one.commit())?;
    conflicted("the second, which read what the first wrote", two.commit())?;
    holds(get(&db.begin_read()?, "b")?.is_some(), "b stands")
}

pub(crate) fn i1_write_skew_through_ranges_is_refused<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = letters(cx)?;
    let (mut one, mut two) = (db.begin_write()?, db.begin_write()?);
    for txn in [&one, &two] {
        same("how many", txn.count("a".."c")?, 2)?;
    }
    one.delete(b"a")?;
    two.delete(b"b")?;
    committed("the first", one.commit())?;
    conflicted("the second, whose count is stale", two.commit())?;
    Ok(())
}

pub(crate) fn i1_commit_before_begin_is_no_conflict<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = letters(cx)?;
    let old = db.begin_write()?;
    commit(&db, &[("a", "2")])?;
    let mut txn = db.begin_write()?;
    same("a", get(&txn, "a")?, Some("2".to_owned()))?;
    put(&mut txn, "a", "3")?;
    committed("one that began after the other's commit", txn.commit())?;
    old.discard();
    Ok(())
}

pub(crate) fn i1_conflicts_with_every_commit_since_begin<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    // The commit that matters is far back in the window, or right at its end.
    for at in [0, 1, 150, 299] {
        let db = letters(cx)?;
        let mut txn = db.begin_write()?;
        get(&txn, "a")?;
        for n in 0..300 {
            let key = if n == at { "a".to_owned() } else { format!("other{n}") };
            commit(&db, &[(&key, "2")])?;
        }
        put(&mut txn, "own", "1")?;
        conflicted(format!("one overtaken by commit {at} of 300"), txn.commit())?;
        db.close()?;
        cx.factory.destroy();
    }
    Ok(())
}

pub(crate) fn i2_first_committer_wins<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let options = TxnOptions::new().isolation(Isolation::Snapshot);
    let outcome = overtaken(cx, options, |t| put(t, "a", "2"), |t| put(t, "a", "3"))?;
    conflicted("the second committer of a under snapshot isolation", outcome)?;
    Ok(())
}

pub(crate) fn i2_write_skew_is_possible<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = letters(cx)?;
    let options = TxnOptions::new().isolation(Isolation::Snapshot);
    let (mut one, mut two) = (db.begin_write_with(&options)?, db.begin_write_with(&options)?);
    for txn in [&one, &two] {
        get(txn, "a")?;
        collect(txn.range("a".."c"))?;
    }
    one.delete(b"a")?;
    two.delete(b"b")?;
    committed("the first", one.commit())?;
    committed("the second: reads are not validated", two.commit())?;
    same("neither is left", collect(db.begin_read()?.range("a".."c"))?, pairs(&[]))
}

pub(crate) fn i5_blind_writers_never_conflict_and_the_later_wins<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let db = letters(cx)?;
    let blind = TxnOptions::new().write_conflicts(WriteConflicts::Ignore);
    let (mut one, mut two) = (db.begin_write_with(&blind)?, db.begin_write_with(&blind)?);
    put(&mut one, "a", "one")?;
    put(&mut two, "a", "two")?;
    two.delete(b"b")?;
    put(&mut one, "b", "one")?;
    let second = committed("begun second, committed first", two.commit())?;
    let first = committed("begun first, committed second", one.commit())?;
    holds(first > second, "timestamps grow in commit order")?;
    let reader = db.begin_read()?;
    same("a: the later commit wins", get(&reader, "a")?, Some("one".to_owned()))?;
    same("b: the later commit wins", get(&reader, "b")?, Some("one".to_owned()))
}

pub(crate) fn i5_by_default_two_blind_writers_conflict<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = letters(cx)?;
    let (mut one, mut two) = (db.begin_write()?, db.begin_write()?);
    put(&mut one, "x", "one")?;
    put(&mut two, "x", "two")?;
    committed("the first", one.commit())?;
    conflicted("the second, which never read x", two.commit())?;
    same("x", get(&db.begin_read()?, "x")?, Some("one".to_owned()))
}

pub(crate) fn i5_ignoring_write_conflicts_still_validates_reads<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let blind = TxnOptions::new().write_conflicts(WriteConflicts::Ignore);
    let outcome = overtaken(cx, blind, |t| get(t, "a").map(drop), |t| put(t, "a", "2"))?;
    conflicted("a reader of a that ignores write conflicts", outcome)?;
    Ok(())
}

pub(crate) fn i5_a_blind_write_beats_those_that_detect<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = letters(cx)?;
    let mut detects = db.begin_write()?;
    get(&detects, "a")?;
    put(&mut detects, "own", "1")?;
    let blind = TxnOptions::new().write_conflicts(WriteConflicts::Ignore);
    let mut txn = db.begin_write_with(&blind)?;
    put(&mut txn, "a", "blind")?;
    committed("the blind writer", txn.commit())?;
    conflicted("the reader that it overtook", detects.commit())?;
    Ok(())
}

pub(crate) fn i7_read_transaction_never_conflicts_nor_disturbs<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let db = letters(cx)?;
    let reader = db.begin_read()?;
    let mut writer = db.begin_write()?;
    state(&reader)?;
    get(&writer, "a")?;
    put(&mut writer, "a", "2")?;
    // While a writer holds the pen, reading begins and goes on.
    let second = db.begin_read()?;
    same("a reader begun meanwhile", get(&second, "a")?, Some("1".to_owned()))?;
    committed("a writer whose keys are being read", writer.commit())?;
    same("the reader", get(&reader, "a")?, Some("1".to_owned()))?;
    db.save_version()?;
    let at = db.read_at(vellum_core::Version::new(1))?;
    commit(&db, &[("a", "3")])?;
    same("a reader of a version", get(&at, "a")?, Some("2".to_owned()))
}

pub(crate) fn i7_reading_goes_on_while_a_transaction_runs_alone<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let db = letters(cx)?;
    let alone = TxnOptions::new().alone_for(Duration::from_secs(3600));
    let mut txn = db.begin_write_with(&alone)?;
    put(&mut txn, "a", "2")?;
    same("a reader begun meanwhile", get(&db.begin_read()?, "a")?, Some("1".to_owned()))?;
    committed("the one that runs alone", txn.commit())?;
    commit(&db, &[("a", "3")])?;
    Ok(())
}

pub(crate) fn i8_conflict_says_which_key_and_who_won<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let what: [(Act<F>, &str, Observed); 3] = [
        (|t| get(t, "a").map(drop), "a", Observed::Key),
        (|t| collect(t.range("b".."e")).map(drop), "c", Observed::Range(KeyRange::from("b".."e"))),
        (|t| put(t, "d", "own"), "d", Observed::Write),
    ];
    for (first, key, observed) in what {
        let db = letters(cx)?;
        let mut txn = db.begin_write()?;
        first(&mut txn)?;
        put(&mut txn, "own", "1")?;
        let read_ts = txn.read_ts();
        commit(&db, &[("unrelated", "2")])?;
        let winner = commit(&db, &[(key, "2")])?;
        let error = conflicted("the overtaken", txn.commit())?;
        holds(error.is_retryable(), "a conflict is retryable")?;
        let Some(info) = error.conflict() else {
            return Err(Failure::new(format!("no details in {error:?}")));
        };
        same("the key", text(&info.key), key)?;
        same("what the loser had done", &info.observed, &observed)?;
        same("the loser's read timestamp", info.read_ts, read_ts)?;
        same("the winner's commit timestamp", info.commit_ts, winner)?;
        db.close()?;
        cx.factory.destroy();
    }
    Ok(())
}

pub(crate) fn i8_retry_starts_from_the_winner<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = letters(cx)?;
    let mut tries = 0;
    let seen = db.transact(|txn| {
        tries += 1;
        let seen = get(txn, "a")?;
        if tries < 4 {
            // Somebody is quicker.
            let mut other = db.begin_write()?;
            put(&mut other, "a", &format!("other{tries}"))?;
            other.commit()?;
        }
        put(txn, "b", "done")?;
        Ok(seen)
    })?;
    same("attempts", tries, 4)?;
    same("a in the last attempt", seen.as_deref(), Some("other3"))?;
    same("b", get(&db.begin_read()?, "b")?, Some("done".to_owned()))
}

pub(crate) fn i8_retry_is_bounded<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = letters(cx)?;
    let retry = Retry::default().attempts(3).alone(u32::MAX, Duration::ZERO);
    let mut tries = 0;
    let lost: Result<()> = db.transact_with(&TxnOptions::new(), &retry, |txn| {
        tries += 1;
        get(txn, "a")?;
        let mut other = db.begin_write()?;
        put(&mut other, "a", &format!("other{tries}"))?;
        other.commit()?;
        put(txn, "b", "never")
    });
    refused("a transaction that always loses", lost, ErrorKind::Conflict)?;
    same("attempts", tries, 3)?;
    same("b", get(&db.begin_read()?, "b")?, Some("1".to_owned()))
}

pub(crate) fn i8_error_of_the_closure_discards_and_is_returned<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let db = letters(cx)?;
    let mut tries = 0;
    let failed: Result<()> = db.transact(|txn| {
        tries += 1;
        put(txn, "a", "never")?;
        Err(Error::new(ErrorKind::Invalid, "the caller's own reason"))
    });
    let error = refused("the closure's error", failed, ErrorKind::Invalid)?;
    same("its message", error.message(), "the caller's own reason")?;
    same("attempts", tries, 1)?;
    same("a", get(&db.begin_read()?, "a")?, Some("1".to_owned()))?;
    db.save_version()?;
    Ok(())
}

pub(crate) fn i8_transaction_that_runs_alone_cannot_lose<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = letters(cx)?;
    let alone = TxnOptions::new().alone_for(Duration::from_secs(3600));
    let mut txn = db.begin_write_with(&alone)?;
    get(&txn, "a")?;
    let (other, (tell, told)) = (db.clone(), mpsc::channel());
    let rival = std::thread::spawn(move || -> CaseResult {
        let mut txn = other.begin_write()?;
        put(&mut txn, "a", "2")?;
        // Nobody listens any more if the case has failed.
        let _ = tell.send("about to commit");
        committed("the rival", txn.commit())?;
        let _ = tell.send("committed");
        Ok(())
    });
    told.recv().map_err(|_| Failure::new("the rival did not get as far as its commit"))?;
    // Long enough for a commit that does not wait; one that waits takes no part.
    let early = told.recv_timeout(Duration::from_millis(250)).is_ok();
    holds(!early, "the rival's commit waits")?;
    put(&mut txn, "b", "2")?;
    committed("the one that runs alone", txn.commit())?;
    rival.join().map_err(|_| Failure::new("the rival panicked"))??;
    same("the rival's a", get(&db.begin_read()?, "a")?, Some("2".to_owned()))
}
