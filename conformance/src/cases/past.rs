//! V6, V7, V9: revert, restore, diff, prune.

use vellum_core::{
    At, Bytes, Connection, ConnectionExt, ErrorKind, KeyRange, ReadTxn, Result, VersionSet,
    WriteTxn,
};

use super::versions::{FIRST, SECOND, THIRD, at, check_three, numbers, three, version};
use crate::check::*;
use crate::{CaseResult, Ctx, Factory};

pub(crate) fn v6_revert_makes_the_head_the_last_version<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = three(cx)?;
    let set = db.versions()?;
    commit(&db, &[("a", "9"), ("b", "9"), ("e", "9")])?;
    commit_deletes(&db, &["c"])?;
    let reader = db.begin_read()?;
    let then = state(&reader)?;
    let before = commit(&db, &[("f", "9")])?;
    let info = db.revert()?;
    holds(info.commit_ts > Some(before), format!("{info:?} is above {before}"))?;
    same("the head", head(&db)?, pairs(THIRD))?;
    same("an open reader", state(&reader)?, then)?;
    holds(db.versions()? == set, "no version is removed")?;
    check_three(&db, "after the revert")?;
    db.revert()?;
    same("reverting again", head(&db)?, pairs(THIRD))?;
    same("the next save", db.save_version()?, version(4))?;
    same("is the head", at(&db, 4)?, pairs(THIRD))
}

pub(crate) fn v6_revert_without_versions_empties_the_head<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    commit(&db, &[("a", "1"), ("b", "1")])?;
    let reader = db.begin_read()?;
    db.revert()?;
    same("the head", head(&db)?, pairs(&[]))?;
    same("an open reader", state(&reader)?, pairs(FIRST))?;
    db.revert()?;
    commit(&db, &[("c", "1")])?;
    same("life goes on", head(&db)?, pairs(&[("c", "1")]))
}

pub(crate) fn v6_revert_to_removes_the_versions_above<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = three(cx)?;
    commit(&db, &[("e", "9"), ("b", "9")])?;
    let old = db.read_at(version(3))?;
    let before = db.begin_read()?.read_ts();
    let info = db.revert_to(version(1))?;
    holds(info.commit_ts > Some(before), "it has a new timestamp")?;
    same("the head", head(&db)?, pairs(FIRST))?;
    same("the set", numbers(&db.versions()?), [1])?;
    db.prune()?;
    same("version 1", at(&db, 1)?, pairs(FIRST))?;
    same("a reader of a version that went", state(&old)?, pairs(THIRD))?;
    same("the next save", db.save_version()?, version(2))?;
    same("version 2", at(&db, 2)?, pairs(FIRST))?;
    db.revert_to(version(2))?;
    same("to the last, with no change", numbers(&db.versions()?), [1, 2])
}

pub(crate) fn v6_revert_to_an_unknown_version_is_refused<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = three(cx)?;
    db.delete_version(2)?;
    commit(&db, &[("e", "9")])?;
    let (before, set) = (head(&db)?, db.versions()?);
    for n in [0, 2, 4] {
        refused(format!("to {n}"), db.revert_to(version(n)), ErrorKind::VersionNotFound)?;
    }
    same("the head", head(&db)?, before)?;
    holds(db.versions()? == set, "the set is unchanged")
}

pub(crate) fn v6_revert_with_an_open_writer_is_refused<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = three(cx)?;
    commit(&db, &[("e", "9")])?;
    let (before, set) = (head(&db)?, db.versions()?);
    let mut writer = db.begin_write()?;
    put(&mut writer, "f", "9")?;
    refused("revert", db.revert(), ErrorKind::OpenTransactions)?;
    refused("revert_to", db.revert_to(version(1)), ErrorKind::OpenTransactions)?;
    same("the head", head(&db)?, before)?;
    holds(db.versions()? == set, "the set is unchanged")?;
    writer.discard();
    let _reader = db.begin_read()?;
    db.revert_to(version(1))?;
    same("once it ended", head(&db)?, pairs(FIRST))
}

pub(crate) fn v6_restore_copies_a_range_as_an_ordinary_commit<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let db = three(cx)?;
    commit(&db, &[("bb", "9"), ("e", "9")])?;
    let before = db.begin_read()?.read_ts();
    let info = db.restore(version(1), KeyRange::from("b".."d"))?;
    holds(info.commit_ts > Some(before), format!("{info:?} has a new timestamp"))?;
    let want = pairs(&[("a", "2"), ("b", "1"), ("d", "3"), ("e", "9")]);
    same("the head", head(&db)?, want)?;
    same("no version is removed", numbers(&db.versions()?), [1, 2, 3])?;
    check_three(&db, "after a restore")?;
    let writer = db.begin_write()?;
    db.restore(version(2), KeyRange::all())?;
    same("with a writer open", head(&db)?, pairs(SECOND))?;
    writer.discard();
    let missing = db.restore(version(9), KeyRange::all());
    refused("an unknown version", missing, ErrorKind::VersionNotFound)?;
    refused("zero", db.restore(version(0), KeyRange::all()), ErrorKind::VersionNotFound)?;
    db.restore(version(3), KeyRange::from("x".."b"))?;
    same("an inverted range copies nothing", head(&db)?, pairs(SECOND))
}

pub(crate) fn v6_restore_is_a_write_for_conflicts<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = three(cx)?;
    let (mut reads_a, mut reads_d) = (db.begin_write()?, db.begin_write()?);
    get(&reads_a, "a")?;
    get(&reads_d, "d")?;
    put(&mut reads_a, "own1", "1")?;
    put(&mut reads_d, "own2", "1")?;
    db.restore(version(1), KeyRange::from("a".."d"))?;
    conflicted("who read a key that was restored", reads_a.commit())?;
    committed("who read a key that was not", reads_d.commit())?;
    Ok(())
}

type Entries = Vec<(String, Option<String>, Option<String>)>;

fn diff(db: &impl Connection, from: At, to: At, range: KeyRange) -> Result<Entries> {
    let shown = |v: Option<Bytes>| v.map(|v| text(&v));
    db.diff(from, to, range)?
        .map(|item| item.map(|d| (text(&d.key), shown(d.before), shown(d.after))))
        .collect()
}

fn entries(of: &[(&str, Option<&str>, Option<&str>)]) -> Entries {
    let owned = |v: Option<&str>| v.map(str::to_owned);
    of.iter().map(|&(k, b, a)| (k.to_owned(), owned(b), owned(a))).collect()
}

pub(crate) fn v7_diff_yields_each_key_that_differs_with_both_values<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let db = three(cx)?;
    let (one, two, three) = (At::from(version(1)), At::from(version(2)), At::from(version(3)));
    let all = KeyRange::all;
    let want =
        entries(&[("a", Some("1"), Some("2")), ("b", Some("1"), None), ("c", None, Some("2"))]);
    same("1 to 2", &diff(&db, one, two, all())?, &want)?;
    let back: Entries = want.iter().cloned().map(|(k, b, a)| (k, a, b)).collect();
    same("2 to 1", diff(&db, two, one, all())?, back)?;
    same("2 to 3", diff(&db, two, three, all())?, entries(&[("d", None, Some("3"))]))?;
    same("1 to 1", diff(&db, one, one, all())?, entries(&[]))?;
    same("3 to the head", diff(&db, three, At::Head, all())?, entries(&[]))?;
    same(
        "a part",
        diff(&db, one, two, KeyRange::from("b".."c"))?,
        entries(&[("b", Some("1"), None)]),
    )?;
    same("an inverted part", diff(&db, one, two, KeyRange::from("c".."b"))?, entries(&[]))?;
    let unknown = db.diff(At::from(version(9)), At::Head, all()).map(drop);
    refused("an unknown version", unknown, ErrorKind::VersionNotFound)?;
    Ok(())
}

pub(crate) fn v7_diff_leaves_out_what_came_back<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = three(cx)?;
    // Changed and changed back, written with the same value, put and deleted.
    commit(&db, &[("a", "9"), ("x", "9"), ("d", "3")])?;
    commit(&db, &[("a", "2")])?;
    commit_deletes(&db, &["x", "c"])?;
    commit(&db, &[("e", "")])?;
    let want = entries(&[("c", Some("2"), None), ("e", None, Some(""))]);
    let (three, head) = (At::from(version(3)), At::Head);
    same("3 to the head", &diff(&db, three, head, KeyRange::all())?, &want)?;
    db.prune()?;
    same("after a prune", &diff(&db, three, head, KeyRange::all())?, &want)?;
    db.delete_version(2)?;
    db.prune()?;
    let from_one = entries(&[
        ("a", Some("1"), Some("2")),
        ("b", Some("1"), None),
        ("d", None, Some("3")),
        ("e", None, Some("")),
    ]);
    same(
        "1 to the head, past a deleted version",
        diff(&db, At::from(version(1)), head, KeyRange::all())?,
        from_one,
    )
}

pub(crate) fn v7_diff_stands_whatever_is_committed_meanwhile<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let db = three(cx)?;
    let mut items = db.diff(At::from(version(1)), At::Head, KeyRange::all())?;
    let first = items.next().transpose()?;
    same("the first", first.map(|d| text(&d.key)), Some("a".to_owned()))?;
    commit(&db, &[("b", "9"), ("c", "9"), ("d", "9"), ("e", "9")])?;
    db.delete_versions(&[version(1), version(2)])?;
    db.prune()?;
    let rest: Result<Vec<_>> =
        items.map(|d| d.map(|d| (text(&d.key), d.after.map(|v| text(&v))))).collect();
    let want = [("b", None), ("c", Some("2")), ("d", Some("3"))];
    let want: Vec<_> = want.map(|(k, v)| (k.to_owned(), v.map(str::to_owned))).into();
    same("the rest", rest?, want)
}

pub(crate) fn v9_prune_removes_what_nobody_can_see<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    let keys = 20;
    let overwrite = |round: u32| -> CaseResult {
        let mut txn = db.begin_write()?;
        for n in 0..keys {
            put(&mut txn, &format!("k{n:02}"), &format!("{round}"))?;
        }
        committed("an overwrite", txn.commit()).map(drop)
    };
    let records = || -> Result<u64> { Ok(db.verify()?.records) };
    for round in 0..50 {
        overwrite(round)?;
    }
    db.save_version()?;
    let reader = db.begin_read()?;
    for round in 50..100 {
        overwrite(round)?;
    }
    db.save_version()?;
    for round in 100..150 {
        overwrite(round)?;
    }
    db.prune()?;
    let most = records()?;
    holds(most <= 4 * keys, format!("two versions and the head need {}, not {most}", 3 * keys))?;
    for (n, want) in [(1, "49"), (2, "99")] {
        same(
            format!("k07 at version {n}"),
            get(&db.read_at(version(n))?, "k07")?,
            Some(want.to_owned()),
        )?;
    }
    same("k07 in the reader", get(&reader, "k07")?, Some("49".to_owned()))?;
    db.delete_versions(&[version(1), version(2)])?;
    db.prune()?;
    same("k07 in the reader, its version gone", get(&reader, "k07")?, Some("49".to_owned()))?;
    same("its range", state(&reader)?.len(), 20)?;
    drop(reader);
    db.prune()?;
    let least = records()?;
    holds(least <= keys + keys / 2, format!("the head needs {keys} records, not {least}"))?;
    let all: Vec<_> = (0..keys).map(|n| format!("k{n:02}")).collect();
    commit_deletes(&db, &all.iter().map(String::as_str).collect::<Vec<_>>())?;
    db.prune()?;
    let none = records()?;
    holds(none <= keys / 2, format!("an empty head needs no records, not {none}"))
}

pub(crate) fn v9_prune_spares_what_somebody_can_see<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    let mut held = Vec::new();
    for n in 0..30u64 {
        let value = n.to_string();
        if n % 7 == 3 {
            commit_deletes(&db, &["k"])?;
        } else {
            commit(&db, &[("k", &value)])?;
        }
        let want = (n % 7 != 3).then_some(value);
        match n % 3 {
            0 => {
                db.save_version_as(n + 1)?;
                held.push((db.read_at(version(n + 1))?, want));
            }
            1 => held.push((db.begin_read()?, want)),
            _ => {}
        }
        if n % 4 == 0 {
            db.prune()?;
        }
        if n % 9 == 0 {
            db.delete_version(n + 1)?;
        }
    }
    while !held.is_empty() {
        for (reader, want) in &held {
            same(format!("k in the reader at {}", reader.read_ts()), &get(reader, "k")?, want)?;
        }
        // Every other reader goes, and a prune runs.
        let mut nth = 0;
        held.retain(|_| {
            nth += 1;
            nth % 2 == 0
        });
        db.prune()?;
    }
    for v in db.versions()?.iter() {
        let n = v.version.get() - 1;
        let want = (n % 7 != 3).then(|| n.to_string());
        same(format!("k at version {}", v.version), get(&db.read_at(v.version)?, "k")?, want)?;
    }
    Ok(())
}
