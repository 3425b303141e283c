//! L: limits, misuse, close.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use vellum_core::{
    At, Connection, ConnectionExt, ErrorKind, KeyRange, MAX_KEY_LEN, MAX_METADATA_LEN,
    MAX_VALUE_LEN, Metadata, ReadTxn, SaveOptions, Timestamp, Version, WriteTxn,
};

use crate::check::*;
use crate::{CaseResult, Ctx, Factory, Failure};

pub(crate) fn l1_keys_and_values_out_of_their_limits_are_invalid<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let db = cx.open()?;
    commit(&db, &[("a", "1")])?;
    let long = vec![b'k'; MAX_KEY_LEN + 1];
    let mut txn = db.begin_write()?;
    put(&mut txn, "b", "1")?;
    let invalid = ErrorKind::Invalid;
    let reader = db.begin_read()?;
    for key in [&b""[..], &long] {
        refused("put", txn.put(key, "x"), invalid)?;
        refused("delete", txn.delete(key), invalid)?;
        refused("get in a writer", txn.get(key), invalid)?;
        refused("get in a view", txn.snapshot_reads().get(key), invalid)?;
        refused("get in a reader", reader.get(key), invalid)?;
    }
    let error = refused("a long key", txn.put(&long, "x"), invalid)?;
    let said = error.to_string();
    let names = said.contains(&MAX_KEY_LEN.to_string()) && said.contains(&long.len().to_string());
    holds(names, format!("limit and actual are in {said:?}"))?;
    let value = vec![0; MAX_VALUE_LEN + 1];
    let error = refused("a long value", txn.put(b"v", value), invalid)?;
    let said = error.to_string();
    holds(said.contains(&MAX_VALUE_LEN.to_string()), format!("the limit is in {said:?}"))?;
    put(&mut txn, "c", "1")?;
    same("it is still usable", state(&txn)?, pairs(&[("a", "1"), ("b", "1"), ("c", "1")]))?;
    committed("and commits", txn.commit())?;
    same("the head", head(&db)?, pairs(&[("a", "1"), ("b", "1"), ("c", "1")]))
}

pub(crate) fn l1_transaction_that_grows_too_large_is_invalid<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let db = cx.open_with(Ctx::<F>::options().max_txn_bytes(1000))?;
    let mut txn = db.begin_write()?;
    txn.put(b"a", vec![b'x'; 900])?;
    let error = refused("one too much", txn.put(b"b", vec![b'x'; 900]), ErrorKind::Invalid)?;
    holds(error.to_string().contains("1000"), format!("the limit is in {:?}", error.to_string()))?;
    same("b", txn.get(b"b")?, None)?;
    txn.put(b"a", "less")?;
    txn.put(b"b", vec![b'x'; 900])?;
    // Keys and values count: 5, and 901.
    refused("a byte too much", txn.put(b"c", vec![b'x'; 94]), ErrorKind::Invalid)?;
    txn.put(b"c", vec![b'x'; 93])?;
    committed("just within the limit", txn.commit())?;
    same("b", db.begin_read()?.get(b"b")?.map(|v| v.len()), Some(900))
}

pub(crate) fn l1_metadata_over_its_limit_is_invalid<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    let most = Metadata::new().message("m".repeat(MAX_METADATA_LEN - 1)).author("a");
    db.save_version_with(SaveOptions::new().metadata(most.clone()))?;
    let over = SaveOptions::new().metadata(most.author("aa"));
    refused("one byte more", db.save_version_with(over), ErrorKind::Invalid)?;
    let set = db.versions()?;
    same("the versions", vellum_core::VersionSet::len(&set), 1)
}

pub(crate) fn l2_after_close_every_call_answers_closed<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    commit(&db, &[("a", "1")])?;
    let v = db.save_version()?;
    let reader = db.begin_read()?;
    let mut writer = db.begin_write()?;
    put(&mut writer, "b", "1")?;
    let idle = db.begin_write()?;
    let other = db.clone();
    db.close()?;
    let closed = ErrorKind::Closed;
    for db in [&db, &other] {
        refused("begin_read", db.begin_read().map(drop), closed)?;
        refused("begin_write", db.begin_write().map(drop), closed)?;
        refused("read_at", db.read_at(v).map(drop), closed)?;
        refused("read_as_of", db.read_as_of(Timestamp::ZERO).map(drop), closed)?;
        refused("versions", db.versions(), closed)?;
        refused("save_version", db.save_version(), closed)?;
        refused("delete_version", db.delete_version(v), closed)?;
        refused("revert", db.revert(), closed)?;
        refused("revert_to", db.revert_to(v), closed)?;
        refused("restore", db.restore(v, KeyRange::all()), closed)?;
        refused("diff", db.diff(v.into(), At::Head, KeyRange::all()).map(drop), closed)?;
        refused("changes", db.changes(Timestamp::ZERO, Timestamp::ZERO).map(drop), closed)?;
        refused("prune", db.prune(), closed)?;
        refused("verify", db.verify(), closed)?;
        refused("sync", db.sync(), closed)?;
        refused("stats", db.stats(), closed)?;
        refused("transact", db.transact(|t| put(t, "c", "1")), closed)?;
    }
    refused("get in an open reader", reader.get(b"a"), closed)?;
    let item = reader.range(..).next();
    match item {
        Some(item) => drop(refused("a range of an open reader", item, closed)?),
        None => {
            return Err(Failure::new("a range after close ended as if the database were empty"));
        }
    }
    refused("put in an open writer", writer.put(b"c", "1"), closed)?;
    refused("delete in an open writer", writer.delete(b"a"), closed)?;
    refused("the commit of an open writer", writer.commit(), closed)?;
    refused("the commit of an idle writer", idle.commit(), closed)?;
    db.close()?;
    other.close()?;
    Ok(())
}

pub(crate) fn l2_watchers_end_when_it_closes<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    let watcher = db.watch(KeyRange::all())?;
    let closing = db.clone();
    let patience = cx.effort.patience;
    let waits = thread::spawn(move || watcher.wait_timeout(patience).map(drop));
    thread::yield_now();
    closing.close()?;
    let end = waits.join().map_err(|_| Failure::new("the watching thread panicked"))?;
    refused("the wait", end, ErrorKind::Closed)?;
    refused("a new watcher", db.watch(KeyRange::all()).map(drop), ErrorKind::Closed)?;
    Ok(())
}

pub(crate) fn l2_nothing_hangs_when_it_closes_under_load<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    commit(&db, &[("k", "0")])?;
    let closed = AtomicBool::new(false);
    thread::scope(|threads| {
        let mut handles = Vec::new();
        for n in 0..4 {
            let (db, closed) = (db.clone(), &closed);
            handles.push(threads.spawn(move || -> CaseResult {
                loop {
                    let was_closed = closed.load(Ordering::SeqCst);
                    let done = db.transact(|txn| {
                        get(txn, "k")?;
                        put(txn, &format!("k{n}"), "x")
                    });
                    match done {
                        Ok(()) => holds(!was_closed, "nothing commits after close returned")?,
                        Err(e) if e.kind() == ErrorKind::Closed => return Ok(()),
                        Err(e) => return Err(e.into()),
                    }
                }
            }));
        }
        let load = (0..100).try_for_each(|_| db.transact(|txn| put(txn, "k", "1")));
        let end = db.close();
        closed.store(true, Ordering::SeqCst);
        load.and(end)?;
        for handle in handles {
            handle.join().map_err(|_| Failure::new("a writer panicked"))??;
        }
        Ok(())
    })
}

pub(crate) fn l3_no_input_panics<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    let db = cx.open()?;
    // Longer than what a length of 16 bits says, and of zeros, which some escape.
    let [ones, zeros] = [0xff, 0].map(|byte| vec![byte; 70_000]);
    let keys: [&[u8]; 7] = [b"", b"\0", b"\xff", b"a", b"\xff\xff\xff\xff", &ones, &zeros];
    let mut txn = db.begin_write()?;
    for key in keys {
        // Whatever each says: that it says it is the claim.
        let _ = txn.put(key, "x");
        let _ = txn.put(key, "");
        let _ = txn.get(key);
        let _ = txn.delete(key);
        for other in keys {
            for range in [
                KeyRange::from((Included(key), Included(other))),
                KeyRange::from((Excluded(key), Excluded(other))),
                KeyRange::from((Excluded(key), Unbounded)),
                KeyRange::prefix(key),
            ] {
                for item in txn.range(&range) {
                    item?;
                }
                txn.mark_read(&range)?;
                txn.mark_written(&range)?;
            }
        }
    }
    let _ = txn.commit();
    // The same bounds in the past, where records may be found by other means.
    let first = db.save_version()?;
    let seen = db.begin_read()?;
    commit(&db, &[("a", "2")])?;
    for range in keys.iter().flat_map(|key| [KeyRange::prefix(key), KeyRange::from(..key)]) {
        for txn in [db.read_at(first)?, db.begin_read()?] {
            txn.range(&range).try_for_each(|item| item.map(drop))?;
            txn.range(&range).rev().try_for_each(|item| item.map(drop))?;
        }
        seen.range(&range).try_for_each(|item| item.map(drop))?;
        let _ = db.diff(first.into(), At::Head, range.clone()).map(Iterator::count);
        let _ = db.restore(first, range.clone());
        let _ = db.watch(range).map(drop);
    }
    for n in [0, 1, 2, u64::MAX - 1, u64::MAX] {
        let (v, ts) = (Version::new(n), Timestamp::new(n));
        let _ = db.read_at(v).map(drop);
        let _ = db.read_as_of(ts).map(drop);
        let _ = db.delete_version(v);
        let _ = db.revert_to(v);
        let _ = db.restore(v, KeyRange::from("b".."a"));
        let _ = db.save_version_as(v);
        for m in [0, 1, u64::MAX] {
            let (w, to) = (Version::new(m), Timestamp::new(m));
            let _ = db.diff(v.into(), w.into(), KeyRange::all()).map(Iterator::count);
            let _ = db.diff(ts.into(), to.into(), KeyRange::all()).map(Iterator::count);
            let _ = db.changes(ts, to).map(Iterator::count);
        }
    }
    commit(&db, &[("alive", "1")])?;
    same("it lives", get(&db.begin_read()?, "alive")?, Some("1".to_owned()))
}

pub(crate) fn l4_conflict_tracking_is_released_with_the_oldest_writer<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let db = cx.open()?;
    let before = db.stats()?;
    same("writers at first", before.open_writes, 0)?;
    let old = db.begin_write()?;
    for n in 0..200 {
        commit(&db, &[(&format!("k{n}"), "x")])?;
    }
    let during = db.stats()?;
    same("writers", during.open_writes, 1)?;
    holds(
        during.window_commits >= 200,
        format!("{} commits are in the window", during.window_commits),
    )?;
    holds(during.window_keys >= 200, format!("{} keys are in the window", during.window_keys))?;
    holds(during.window_bytes > 0, "they have bytes")?;
    old.discard();
    commit(&db, &[("last", "x")])?;
    let after = db.stats()?;
    same("writers at last", after.open_writes, 0)?;
    holds(
        after.window_commits <= 64,
        format!("{} commits are in the window", after.window_commits),
    )?;
    holds(after.commits >= before.commits + 201, "the commits are counted")
}

pub(crate) fn l4_forgotten_reader_costs_no_conflict_tracking<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let db = cx.open()?;
    commit(&db, &[("k", "0")])?;
    let reader = db.begin_read()?;
    for n in 0..1000 {
        commit(&db, &[("k", &n.to_string())])?;
    }
    let stats = db.stats()?;
    same("snapshots", stats.open_snapshots, 1)?;
    same("the oldest", stats.oldest_snapshot, Some(reader.read_ts()))?;
    holds(
        stats.window_commits <= 256,
        format!("{} commits are in the window", stats.window_commits),
    )?;
    drop(reader);
    same("snapshots at last", db.stats()?.open_snapshots, 0)
}
