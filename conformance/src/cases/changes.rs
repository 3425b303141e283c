//! C: changes, watchers, and reading at past timestamps.

use std::thread;

use vellum_core::{
    Connection, ConnectionExt, ErrorKind, History, KeyRange, Result, Timestamp, Version,
    VersionSet, WriteTxn,
};

use crate::check::*;
use crate::{CaseResult, Ctx, Factory, Failure};

type Commits = Vec<(Timestamp, Vec<(String, Option<String>)>)>;

/// The commits of an interval that wrote something.
fn changes(db: &impl Connection, from: Timestamp, to: Timestamp) -> Result<Commits> {
    let shown =
        |(k, v): (vellum_core::Bytes, Option<vellum_core::Bytes>)| (text(&k), v.map(|v| text(&v)));
    let all: Result<Commits> = db
        .changes(from, to)?
        .map(|c| c.map(|c| (c.commit_ts, c.writes.into_iter().map(shown).collect())))
        .collect();
    // What a save or the like counts as is a backend's own affair.
    Ok(all?.into_iter().filter(|(_, writes)| !writes.is_empty()).collect())
}

fn kept<F: Factory>(cx: &Ctx<F>, history: History) -> Result<F::Connection> {
    cx.open_with(Ctx::<F>::options().history(history))
}

fn write(key: &str, value: Option<&str>) -> (String, Option<String>) {
    (key.to_owned(), value.map(str::to_owned))
}

/// A history of puts, overwrites and deletes, with a save in it.
fn history(db: &impl Connection) -> CaseResult<Commits> {
    let mut all = Commits::new();
    let ts = commit(db, &[("b", "1"), ("a", "1"), ("c", "")])?;
    all.push((ts, vec![write("a", Some("1")), write("b", Some("1")), write("c", Some(""))]));
    let ts = commit(db, &[("a", "2")])?;
    all.push((ts, vec![write("a", Some("2"))]));
    db.save_version()?;
    let ts = commit_deletes(db, &["b", "never"])?;
    all.push((ts, vec![write("b", None), write("never", None)]));
    let ts = commit(db, &[("a", "2"), ("d", "4")])?;
    all.push((ts, vec![write("a", Some("2")), write("d", Some("4"))]));
    Ok(all)
}

pub(crate) fn c1_changes_yield_the_commits_with_their_writes<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let db = kept(cx, History::All)?;
    let from = db.begin_read()?.read_ts();
    let want = history(&db)?;
    let to = db.begin_read()?.read_ts();
    same("all", &changes(&db, from, to)?, &want)?;
    for (i, (low, _)) in want.iter().enumerate() {
        for (j, (high, _)) in want.iter().enumerate().skip(i) {
            let part = want.get(i + 1..=j).unwrap_or_default();
            same(format!("after {low}, up to {high}"), changes(&db, *low, *high)?, part)?;
        }
    }
    db.prune()?;
    same("after a prune", &changes(&db, from, to)?, &want)?;
    let reverted = db.revert()?.commit_ts.unwrap_or(to);
    let undone = vec![write("b", Some("1")), write("d", None)];
    same("a revert", changes(&db, to, reverted)?, vec![(reverted, undone)])?;
    let above = db.changes(from, Timestamp::new(reverted.get() + 1)).map(drop);
    refused("above the head", above, ErrorKind::Invalid)?;
    same("an inverted interval", changes(&db, to, from)?, vec![])
}

use vellum_core::ReadTxn as _;

pub(crate) fn c1_pruned_history_is_refused_never_partial<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = kept(cx, History::Commits(5))?;
    let zero = db.begin_read()?.read_ts();
    let mut all = Vec::new();
    for n in 0..40 {
        all.push(commit(&db, &[("k", &n.to_string()), (&format!("k{n}"), "x")])?);
        if n % 10 == 9 {
            db.prune()?;
        }
    }
    let to = db.begin_read()?.read_ts();
    let mut refusals = 0;
    for (i, from) in std::iter::once(zero).chain(all.iter().copied()).enumerate() {
        match changes(&db, from, to) {
            Ok(got) => {
                let want = all.get(i..).unwrap_or_default();
                let got: Vec<_> = got.into_iter().map(|(ts, _)| ts).collect();
                same(format!("the commits after {from}"), got, want)?;
            }
            Err(e) => {
                same("the refusal", e.kind(), ErrorKind::HistoryPruned)?;
                holds(i + 5 < all.len(), "the last five commits are kept")?;
                refusals += 1;
            }
        }
    }
    holds(refusals > 0, "history that nobody asked to keep is let go of")
}

pub(crate) fn c1_without_history_changes_are_refused<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    let from = db.begin_read()?.read_ts();
    let to = commit(&db, &[("a", "1")])?;
    let asked = db.changes(from, to).map(drop);
    refused("no history is kept", asked, ErrorKind::HistoryPruned)?;
    Ok(())
}

pub(crate) fn c1_open_changes_go_on_whatever_is_pruned<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = kept(cx, History::Commits(3))?;
    let from = db.begin_read()?.read_ts();
    let mut want = Vec::new();
    for n in 0..3 {
        want.push(commit(&db, &[("k", &n.to_string())])?);
    }
    let to = db.begin_read()?.read_ts();
    let mut items = db.changes(from, to)?;
    let mut got = vec![items.next().transpose()?.map(|c| c.commit_ts)];
    for n in 0..50 {
        commit(&db, &[("k", &format!("later {n}"))])?;
    }
    db.prune()?;
    for item in items {
        let item = item?;
        let values: Vec<_> = item.writes.iter().map(|(_, v)| v.clone()).collect();
        holds(
            values.iter().all(|v| v.as_ref().is_some_and(|v| !v.starts_with(b"later"))),
            "its own writes",
        )?;
        got.push(Some(item.commit_ts));
    }
    same("the commits", got, want.into_iter().map(Some).collect::<Vec<_>>())
}

pub(crate) fn c1_history_is_there_after_reopening<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = kept(cx, History::All)?;
    let from = db.begin_read()?.read_ts();
    let want = history(&db)?;
    let to = db.begin_read()?.read_ts();
    db.close()?;
    drop(db);
    let db = kept(cx, History::All)?;
    same("the changes", &changes(&db, from, to)?, &want)?;
    for (ts, _) in &want {
        db.read_as_of(*ts)?;
    }
    Ok(())
}

pub(crate) fn v3_any_kept_timestamp_can_be_read<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = kept(cx, History::All)?;
    let mut states = vec![(db.begin_read()?.read_ts(), head(&db)?)];
    for n in 0..30 {
        let key = format!("k{}", n % 4);
        let ts = match n % 5 {
            4 => commit_deletes(&db, &[&key])?,
            _ => commit(&db, &[(&key, &n.to_string())])?,
        };
        states.push((ts, head(&db)?));
        if n % 7 == 0 {
            db.prune()?;
        }
    }
    for (ts, want) in &states {
        let then = db.read_as_of(*ts)?;
        same("its timestamp", then.read_ts(), *ts)?;
        same(format!("the state as of {ts}"), &state(&then)?, want)?;
    }
    let last = states.last().map_or(Timestamp::ZERO, |(ts, _)| *ts);
    let above = db.read_as_of(Timestamp::new(last.get() + 1)).map(drop);
    refused("above the head", above, ErrorKind::Invalid)?;
    Ok(())
}

pub(crate) fn v3_timestamps_of_versions_and_the_head_can_be_read<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let db = cx.open()?;
    commit(&db, &[("a", "1")])?;
    let v = db.save_version()?;
    let unkept = commit(&db, &[("a", "2")])?;
    let last = commit(&db, &[("a", "3")])?;
    db.prune()?;
    let Some(saved) = db.versions()?.get(v) else { return Err(Failure::new("no version")) };
    same("as of the save", state(&db.read_as_of(saved.commit_ts)?)?, pairs(&[("a", "1")]))?;
    same("as of the head", state(&db.read_as_of(last)?)?, pairs(&[("a", "3")]))?;
    refused("as of one not kept", db.read_as_of(unkept).map(drop), ErrorKind::HistoryPruned)?;
    let diff = db.diff(saved.commit_ts.into(), last.into(), KeyRange::all())?.count();
    same("a diff between timestamps", diff, 1)?;
    db.delete_version(v)?;
    let gone = db.read_as_of(saved.commit_ts).map(drop);
    refused("as of a deleted version", gone, ErrorKind::HistoryPruned)?;
    refused("the version", db.read_at(Version::new(1)).map(drop), ErrorKind::VersionNotFound)?;
    Ok(())
}

pub(crate) fn c2_watcher_is_woken_by_every_commit_in_its_range<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let db = cx.open()?;
    let watcher = db.watch(KeyRange::from("b".."d"))?;
    let woken = || watcher.wait_timeout(cx.effort.patience);
    let expect = |what: &str, ts: Timestamp| -> CaseResult {
        let at = woken()?;
        holds(at >= Some(ts), format!("{what} at {ts} wakes the watcher, which got {at:?}"))
    };
    expect("a put", commit(&db, &[("b", "1")])?)?;
    expect("an overwrite", commit(&db, &[("a", "1"), ("c", "1"), ("z", "1")])?)?;
    expect("a delete", commit_deletes(&db, &["c"])?)?;
    expect("a delete of an absent key", commit_deletes(&db, &["bb"])?)?;
    commit(&db, &[("a", "2"), ("d", "2")])?;
    same("after a commit outside of its range", watcher.poll()?, None)?;
    db.save_version()?;
    commit(&db, &[("b", "3")])?;
    commit(&db, &[("b", "4")])?;
    let last = commit(&db, &[("b", "5")])?;
    let mut newest = woken()?;
    while newest < Some(last) {
        newest = woken()?;
        holds(newest.is_some(), "wake-ups reach the last of several commits")?;
    }
    let reverted = db.revert()?.commit_ts.unwrap_or(last);
    expect("a revert", reverted)
}

pub(crate) fn c2_watcher_is_never_woken_before_the_commit_is_visible<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let db = cx.open()?;
    let watcher = db.watch(KeyRange::key("k"))?;
    let rounds = 100u64;
    thread::scope(|threads| {
        let writer = threads.spawn(|| -> CaseResult {
            for n in 1..=rounds {
                commit(&db, &[("k", &n.to_string())])?;
            }
            Ok(())
        });
        let mut seen = 0;
        while seen < rounds {
            let Some(ts) = watcher.wait_timeout(cx.effort.patience)? else {
                return Err(Failure::new(format!("no wake-up after {seen} of {rounds} commits")));
            };
            let txn = db.begin_read()?;
            holds(txn.read_ts() >= ts, format!("woken for {ts}, reading at {}", txn.read_ts()))?;
            seen = get(&txn, "k")?.and_then(|v| v.parse().ok()).unwrap_or(0);
        }
        writer.join().map_err(|_| Failure::new("the writer panicked"))?
    })
}

pub(crate) fn c2_dropped_watcher_and_open_transactions_wake_nobody<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let db = cx.open()?;
    let watcher = db.watch(KeyRange::all())?;
    drop(db.watch(KeyRange::all())?);
    let mut txn = db.begin_write()?;
    put(&mut txn, "a", "1")?;
    same("while it is open", watcher.poll()?, None)?;
    txn.discard();
    same("after a discard", watcher.poll()?, None)?;
    db.begin_write()?.commit()?;
    same("after an empty commit", watcher.poll()?, None)?;
    let ts = commit(&db, &[("a", "1")])?;
    let at = watcher.wait_timeout(cx.effort.patience)?;
    holds(at >= Some(ts), format!("a commit at {ts} wakes it, which got {at:?}"))
}
