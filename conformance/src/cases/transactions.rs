//! T: transactions.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use vellum_core::{
    CommitInfo, Connection, ConnectionExt, ReadTxn, ReadTxnExt, Result, TxnOptions, WriteConflicts,
    WriteTxn,
};

use crate::check::*;
use crate::{CaseResult, Ctx, Factory, Failure, Failures};

pub(crate) fn t1_reader_keeps_its_snapshot_whatever_happens<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    commit(&db, &[("a", "1"), ("b", "1"), ("c", "1")])?;
    let reader = db.begin_read()?;
    let then = state(&reader)?;
    let step = |what: &str| -> CaseResult {
        same(format!("the reader's range after {what}"), &state(&reader)?, &then)?;
        same(format!("the reader's a after {what}"), get(&reader, "a")?, Some("1".to_owned()))?;
        same(format!("the reader's d after {what}"), get(&reader, "d")?, None::<String>)
    };
    commit(&db, &[("a", "2"), ("d", "2")])?;
    step("a later commit")?;
    commit_deletes(&db, &["b"])?;
    step("a later delete")?;
    let v = db.save_version()?;
    commit(&db, &[("a", "3")])?;
    db.prune()?;
    step("a prune")?;
    db.delete_version(v)?;
    db.prune()?;
    step("the deletion of a version and a prune")?;
    db.revert()?;
    step("a revert")?;
    db.prune()?;
    step("a prune after the revert")?;
    same("the head is empty meanwhile", head(&db)?, pairs(&[]))
}

pub(crate) fn t1_open_range_goes_on_in_its_snapshot<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    commit(&db, &[("a", "1"), ("b", "1"), ("c", "1"), ("d", "1")])?;
    let reader = db.begin_read()?;
    let mut range = reader.range(..);
    let first = range.next().transpose()?;
    holds(first.is_some_and(|(k, _)| *k == *b"a"), "the range begins at a")?;
    commit(&db, &[("b", "2"), ("bb", "2"), ("c", "2")])?;
    commit_deletes(&db, &["d"])?;
    db.prune()?;
    same("the rest of the range", collect(range)?, pairs(&[("b", "1"), ("c", "1"), ("d", "1")]))
}

pub(crate) fn t1_many_readers_each_keep_their_own_snapshot<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    let mut readers = Vec::new();
    for n in 0..20 {
        commit(&db, &[("k", &n.to_string())])?;
        readers.push((n, db.begin_read()?));
        if n % 3 == 0 {
            db.prune()?;
        }
    }
    for (n, reader) in &readers {
        same("k in the snapshot it was taken in", get(reader, "k")?, Some(n.to_string()))?;
    }
    Ok(())
}

pub(crate) fn t2_own_writes_are_read_by_key<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    commit(&db, &[("a", "1"), ("b", "1")])?;
    let mut txn = db.begin_write()?;
    put(&mut txn, "a", "2")?;
    put(&mut txn, "n", "new")?;
    txn.delete(b"b")?;
    same("own overwrite", get(&txn, "a")?, Some("2".to_owned()))?;
    same("own new key", get(&txn, "n")?, Some("new".to_owned()))?;
    same("own delete", get(&txn, "b")?, None::<String>)?;
    holds(txn.contains(b"n")? && !txn.contains(b"b")?, "contains sees own writes")?;
    put(&mut txn, "a", "3")?;
    same("the last of own writes", get(&txn, "a")?, Some("3".to_owned()))?;
    committed("the commit", txn.commit())?;
    same("what was committed", head(&db)?, pairs(&[("a", "3"), ("n", "new")]))
}

pub(crate) fn t2_own_writes_are_read_in_ranges_both_ways<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    commit(&db, &[("b", "1"), ("d", "1"), ("f", "1")])?;
    let mut txn = db.begin_write()?;
    for key in ["a", "c", "d", "g"] {
        put(&mut txn, key, "2")?;
    }
    txn.delete(b"f")?;
    txn.delete(b"zz")?;
    let want = pairs(&[("a", "2"), ("b", "1"), ("c", "2"), ("d", "2"), ("g", "2")]);
    same("ascending", &collect(txn.range(..))?, &want)?;
    let mut back = collect(txn.range(..).rev())?;
    back.reverse();
    same("descending, turned round", &back, &want)?;
    same("a part", collect(txn.range("b".."d"))?, pairs(&[("b", "1"), ("c", "2")]))?;
    let mut both = txn.range(..);
    let ends = [both.next(), both.next_back(), both.next_back(), both.next(), both.next()];
    let ends = collect(ends.into_iter().flatten())?;
    let met = pairs(&[("a", "2"), ("g", "2"), ("d", "2"), ("b", "1"), ("c", "2")]);
    same("from both ends", ends, met)?;
    holds(both.next().is_none() && both.next_back().is_none(), "the ends met")
}

pub(crate) fn t2_key_deleted_and_put_again_is_present_once<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    commit(&db, &[("a", "1"), ("b", "1"), ("c", "1")])?;
    let mut txn = db.begin_write()?;
    txn.delete(b"b")?;
    same("while deleted", state(&txn)?, pairs(&[("a", "1"), ("c", "1")]))?;
    put(&mut txn, "b", "2")?;
    let want = pairs(&[("a", "1"), ("b", "2"), ("c", "1")]);
    same("put again", &state(&txn)?, &want)?;
    let mut back = collect(txn.range(..).rev())?;
    back.reverse();
    same("put again, from the back", &back, &want)?;
    put(&mut txn, "n", "1")?;
    txn.delete(b"n")?;
    committed("the commit", txn.commit())?;
    same("a new key put and deleted leaves nothing", head(&db)?, want)
}

pub(crate) fn t3_uncommitted_writes_are_seen_by_nobody<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    commit(&db, &[("a", "1"), ("b", "1")])?;
    let before = db.begin_read()?;
    let mut txn = db.begin_write()?;
    put(&mut txn, "a", "2")?;
    put(&mut txn, "n", "2")?;
    txn.delete(b"b")?;
    let want = pairs(&[("a", "1"), ("b", "1")]);
    let other = db.begin_write()?;
    let after = db.begin_read()?;
    same("an older reader", &state(&before)?, &want)?;
    same("a younger reader", &state(&after)?, &want)?;
    same("another writer", &state(&other)?, &want)?;
    same("a younger reader's get", get(&after, "a")?, Some("1".to_owned()))?;
    same("a younger reader's get of a new key", get(&after, "n")?, None::<String>)?;
    other.discard();
    committed("the commit", txn.commit())?;
    same("the same reader after the commit", &state(&after)?, &want)?;
    same("a new reader after the commit", head(&db)?, pairs(&[("a", "2"), ("n", "2")]))
}

pub(crate) fn t3_commit_shows_whole_and_at_one_timestamp<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    commit(&db, &[("gone", "1")])?;
    let mut txn = db.begin_write()?;
    let mut want = Vec::new();
    for n in 0..100 {
        let key = format!("k{n:02}");
        put(&mut txn, &key, "x")?;
        want.push((key, "x".to_owned()));
    }
    txn.delete(b"gone")?;
    let ts = committed("the commit", txn.commit())?;
    let reader = db.begin_read()?;
    holds(reader.read_ts() >= ts, "a reader begun after the commit reads at or above it")?;
    same("all of the commit", state(&reader)?, want)?;
    same("its last key by get", get(&reader, "k99")?, Some("x".to_owned()))
}

fn leaves_no_trace<C: Connection>(
    db: &C,
    what: &str,
    end: impl FnOnce(C::Write) -> CaseResult,
) -> CaseResult {
    let (before, versions) = (head(db)?, db.versions()?);
    // One that reads what the transaction writes: it must not conflict.
    let mut other = db.begin_write()?;
    same("a", get(&other, "a")?, Some("1".to_owned()))?;
    let mut txn = db.begin_write()?;
    put(&mut txn, "a", "trace")?;
    put(&mut txn, "n", "trace")?;
    txn.delete(b"b")?;
    txn.mark_written("p".."q")?;
    end(txn)?;
    same(format!("the head after {what}"), &head(db)?, &before)?;
    put(&mut other, "a", "1")?;
    put(&mut other, "p5", "1")?;
    committed(format!("a transaction that overlaps one that ended by {what}"), other.commit())?;
    commit_deletes(db, &["p5"])?;
    same(format!("the head later, after {what}"), &head(db)?, &before)?;
    holds(db.versions()? == versions, "the version set is the same")
}

pub(crate) fn t4_discard_leaves_no_trace<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    commit(&db, &[("a", "1"), ("b", "1")])?;
    leaves_no_trace(&db, "discard", |txn| {
        txn.discard();
        Ok(())
    })
}

pub(crate) fn t4_drop_leaves_no_trace<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    commit(&db, &[("a", "1"), ("b", "1")])?;
    leaves_no_trace(&db, "drop", |txn| {
        drop(txn);
        Ok(())
    })
}

pub(crate) fn t4_panic_leaves_no_trace<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    commit(&db, &[("a", "1"), ("b", "1")])?;
    leaves_no_trace(&db, "a panic", |txn| {
        let unwound = catch_unwind(AssertUnwindSafe(move || {
            let _held = txn;
            // Past the panic hook: this panic is the point, not news.
            std::panic::resume_unwind(Box::new("unwinding through a transaction"));
        }));
        holds(unwound.is_err(), "the panic unwound")
    })?;
    db.save_version()?;
    Ok(())
}

pub(crate) fn t4_failed_commit_leaves_no_trace<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    commit(&db, &[("a", "1"), ("b", "1")])?;
    let mut loser = db.begin_write()?;
    get(&loser, "a")?;
    put(&mut loser, "b", "lost")?;
    put(&mut loser, "n", "lost")?;
    let mut other = db.begin_write()?;
    get(&other, "b")?;
    commit(&db, &[("a", "2")])?;
    conflicted("the loser", loser.commit())?;
    let want = pairs(&[("a", "2"), ("b", "1")]);
    same("the head after a failed commit", &head(&db)?, &want)?;
    put(&mut other, "n", "won")?;
    committed("one that overlaps only the failed commit", other.commit())?;
    db.save_version()?;
    Ok(())
}

pub(crate) fn t5_commit_and_discard_consume_the_transaction<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    // That both take the transaction by value is what makes a second use fail
    // to compile; `compile_fail` tests in this crate show the two errors.
    type Write<F> = <<F as Factory>::Connection as Connection>::Write;
    let commit: fn(Write<F>) -> Result<CommitInfo> = <Write<F> as WriteTxn>::commit;
    let discard: fn(Write<F>) = <Write<F> as WriteTxn>::discard;
    let db = cx.open()?;
    let mut txn = db.begin_write()?;
    put(&mut txn, "a", "1")?;
    committed("by the function that consumes", commit(txn))?;
    let mut txn = db.begin_write()?;
    put(&mut txn, "a", "2")?;
    discard(txn);
    same("what stands", head(&db)?, pairs(&[("a", "1")]))
}

pub(crate) fn t6_timestamps_grow_in_commit_order<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    let mut last = db.begin_read()?.read_ts();
    // Begun in one order, committed in the other.
    let mut open = Vec::new();
    for n in 0..5 {
        let mut txn = db.begin_write()?;
        put(&mut txn, &format!("k{n}"), "x")?;
        open.push(txn);
    }
    while let Some(txn) = open.pop() {
        let ts = committed("a disjoint transaction", txn.commit())?;
        holds(ts > last, format!("{ts} is above {last}, which was committed before"))?;
        last = ts;
    }
    let v = db.save_version()?;
    let saved = db.versions()?;
    let saved = vellum_core::VersionSet::get(&saved, v);
    holds(saved.is_some_and(|s| s.commit_ts >= last), "a save is at or above the head")?;
    let next = commit(&db, &[("k", "y")])?;
    holds(next > last, format!("{next} is above {last}"))?;
    let info = db.revert()?;
    holds(info.commit_ts > Some(next), format!("the revert {info:?} is above {next}"))
}

pub(crate) fn t6_transaction_begun_after_a_commit_reads_at_or_above_it<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let db = cx.open()?;
    for n in 0..20 {
        let ts = commit(&db, &[("k", &n.to_string())])?;
        let reader = db.begin_read()?;
        let writer = db.begin_write()?;
        let elsewhere = db.clone();
        let other = thread::spawn(move || -> Result<_> {
            let txn = elsewhere.begin_read()?;
            Ok((txn.read_ts(), get(&txn, "k")?))
        });
        let (other_ts, other_k) =
            other.join().map_err(|_| Failure::new("the reading thread panicked"))??;
        let k = Some(n.to_string());
        holds(reader.read_ts() >= ts && writer.read_ts() >= ts, "both read at or above it")?;
        holds(other_ts >= ts, "another thread reads at or above it")?;
        same("k in a reader", &get(&reader, "k")?, &k)?;
        same("k in a writer", &get(&writer, "k")?, &k)?;
        same("k in another thread", other_k, k)?;
    }
    Ok(())
}

pub(crate) fn t7_empty_write_set_commits_without_timestamp_or_conflict<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let db = cx.open()?;
    commit(&db, &[("a", "1")])?;
    let reading = db.begin_write()?;
    get(&reading, "a")?;
    collect(reading.range(..))?;
    let ts = commit(&db, &[("a", "2")])?;
    let info = reading.commit()?;
    same("the timestamp of an empty commit", info.commit_ts, None)?;
    let info = db.begin_write()?.commit()?;
    same("the timestamp of one that did nothing", info.commit_ts, None)?;
    let info = db.begin_write_with(&TxnOptions::new().write_conflicts(WriteConflicts::Ignore))?;
    same("the timestamp of a blind one", info.commit()?.commit_ts, None)?;
    let after = commit(&db, &[("b", "1")])?;
    holds(after > ts, "timestamps go on")
}

pub(crate) fn t7_empty_write_set_does_no_io<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let failures = Failures::default();
    let db = cx.open_failing(&failures)?;
    commit(&db, &[("a", "1")])?;
    let writes = failures.writes();
    holds(writes > 0, "a commit is a write")?;
    let txn = db.begin_write()?;
    get(&txn, "a")?;
    txn.commit()?;
    same("the writes that an empty commit caused", failures.writes() - writes, 0)
}

pub(crate) fn t8_transactions_move_between_threads_and_outlive_the_handle<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    fn sendable<T: Send + 'static>(_: &T) {}
    fn shared<T: Send + Sync + Clone + 'static>(_: &T) {}
    let db = cx.open()?;
    shared(&db);
    commit(&db, &[("a", "1"), ("b", "1")])?;
    let (reader, mut writer) = (db.begin_read()?, db.begin_write()?);
    let last = db.clone();
    drop(db);
    sendable(&reader);
    sendable(&writer);
    let moved = thread::spawn(move || -> CaseResult<_> {
        same("read in another thread", get(&reader, "a")?, Some("1".to_owned()))?;
        put(&mut writer, "a", "2")?;
        let item = reader.first(..)?;
        sendable(&item);
        Ok((reader, writer, item))
    });
    let moved = moved.join().map_err(|_| Failure::new("the thread panicked"))??;
    let (reader, writer, item) = moved;
    committed("in the first thread again", writer.commit())?;
    same("what stands", head(&last)?, pairs(&[("a", "2"), ("b", "1")]))?;
    drop(last);
    same("read after the last handle went", get(&reader, "b")?, Some("1".to_owned()))?;
    drop(reader);
    same(
        "a value outlives all",
        item.map(|(k, v)| (text(&k), text(&v))),
        pairs(&[("a", "1")]).pop(),
    )
}
