//! V: saved versions.

use vellum_core::{
    Connection, ConnectionExt, ErrorKind, KeepRule, KeyRange, Metadata, ReadTxn, Result,
    SaveOptions, Timestamp, Version, VersionSet, WriteTxn,
};

use crate::check::*;
use crate::{CaseResult, Ctx, Factory, Failure};

pub(super) fn numbers(set: &impl VersionSet) -> Vec<u64> {
    set.iter().map(|v| v.version.get()).collect()
}

pub(super) fn version(n: u64) -> Version {
    Version::new(n)
}

pub(super) fn at(db: &impl Connection, n: u64) -> Result<Pairs> {
    state(&db.read_at(version(n))?)
}

/// Three versions: 1 with a and b, 2 with a changed, b gone and c new, 3 with
/// d new.
pub(super) fn three<F: Factory>(cx: &Ctx<F>) -> CaseResult<F::Connection> {
    let db = cx.open()?;
    commit(&db, &[("a", "1"), ("b", "1")])?;
    db.save_version()?;
    commit(&db, &[("a", "2"), ("c", "2")])?;
    commit_deletes(&db, &["b"])?;
    db.save_version()?;
    commit(&db, &[("d", "3")])?;
    db.save_version()?;
    Ok(db)
}

pub(super) const FIRST: &[(&str, &str)] = &[("a", "1"), ("b", "1")];
pub(super) const SECOND: &[(&str, &str)] = &[("a", "2"), ("c", "2")];
pub(super) const THIRD: &[(&str, &str)] = &[("a", "2"), ("c", "2"), ("d", "3")];

pub(super) fn check_three(db: &impl Connection, when: &str) -> CaseResult {
    same(format!("version 1 {when}"), at(db, 1)?, pairs(FIRST))?;
    same(format!("version 2 {when}"), at(db, 2)?, pairs(SECOND))?;
    same(format!("version 3 {when}"), at(db, 3)?, pairs(THIRD))
}

pub(crate) fn v1_numbers_count_up_from_one<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    let saved = (0..3).map(|_| db.save_version().map(Version::get)).collect::<Result<Vec<_>>>()?;
    same("the numbers, with no change in between", saved, [1, 2, 3])
}

pub(crate) fn v1_gaps_are_allowed_above_the_last<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    same("the first", db.save_version_as(5)?, version(5))?;
    same("one with a gap", db.save_version_as(9)?, version(9))?;
    same("the next", db.save_version()?, version(10))?;
    same("the set", numbers(&db.versions()?), [5, 9, 10])?;
    refused("a number in a gap", db.read_at(version(7)).map(drop), ErrorKind::VersionNotFound)?;
    Ok(())
}

pub(crate) fn v1_numbers_at_or_below_the_last_are_refused<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    refused("zero on an empty set", db.save_version_as(0), ErrorKind::InvalidVersion)?;
    commit(&db, &[("a", "1")])?;
    db.save_version_as(5)?;
    commit(&db, &[("a", "2")])?;
    let before = db.versions()?;
    for n in [0, 1, 4, 5] {
        refused(format!("number {n}"), db.save_version_as(n), ErrorKind::InvalidVersion)?;
        holds(db.versions()? == before, "the set is unchanged")?;
    }
    same("version 5", at(&db, 5)?, pairs(&[("a", "1")]))?;
    same("the next", db.save_version()?, version(6))
}

pub(crate) fn v1_highest_number_can_be_saved_and_nothing_after_it<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let db = cx.open()?;
    same("the highest", db.save_version_as(u64::MAX)?, version(u64::MAX))?;
    refused("the next", db.save_version(), ErrorKind::InvalidVersion)?;
    same("the set", numbers(&db.versions()?), [u64::MAX])?;
    db.delete_version(u64::MAX)?;
    same("after its deletion", db.save_version()?, version(1))
}

pub(crate) fn v1_saving_changes_no_contents<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    commit(&db, &[("a", "1"), ("b", "")])?;
    let before = head(&db)?;
    let v = db.save_version()?;
    same("the head", &head(&db)?, &before)?;
    same("the version", state(&db.read_at(v)?)?, before)?;
    let empty = {
        cx_again(cx, db)?;
        cx.open()?
    };
    empty.save_version()?;
    same("an empty head", head(&empty)?, pairs(&[]))?;
    same("an empty version", at(&empty, 1)?, pairs(&[]))
}

/// A fresh place.
fn cx_again<F: Factory>(cx: &Ctx<F>, db: F::Connection) -> Result<()> {
    db.close()?;
    drop(db);
    cx.factory.destroy();
    Ok(())
}

pub(crate) fn v1_number_comes_again_and_its_timestamp_never<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    let mut seen: Vec<Timestamp> = Vec::new();
    for round in 0..6 {
        commit(&db, &[("a", &round.to_string())])?;
        let v = db.save_version()?;
        same("the number", v, version(1))?;
        let Some(info) = db.versions()?.get(v) else {
            return Err(Failure::new("the version is not in the set"));
        };
        holds(!seen.contains(&info.commit_ts), format!("{} is new", info.commit_ts))?;
        seen.push(info.commit_ts);
        same("its state", state(&db.read_at(v)?)?, pairs(&[("a", &round.to_string())]))?;
        db.delete_version(v)?;
    }
    commit(&db, &[("a", "x")])?;
    db.save_version()?;
    db.save_version()?;
    let gone = db.versions()?.get(version(2)).map(|v| v.commit_ts);
    db.revert_to(version(1))?;
    db.save_version()?;
    let come = db.versions()?.get(version(2)).map(|v| v.commit_ts);
    holds(come > gone, format!("after a revert, {come:?} is above {gone:?}"))
}

pub(crate) fn v2_saving_with_an_open_writer_is_refused<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    commit(&db, &[("a", "1")])?;
    let before = db.versions()?;
    let mut writer = db.begin_write()?;
    refused("with an idle writer open", db.save_version(), ErrorKind::OpenTransactions)?;
    put(&mut writer, "a", "2")?;
    refused("with a writer open", db.save_version_as(7), ErrorKind::OpenTransactions)?;
    holds(db.versions()? == before, "the set is unchanged")?;
    committed("the writer, unharmed", writer.commit())?;
    same("once it ended", db.save_version()?, version(1))?;
    let writer = db.begin_write()?;
    writer.discard();
    same("once another was discarded", db.save_version()?, version(2))?;
    drop(db.begin_write()?);
    same("once another was dropped", db.save_version()?, version(3))
}

pub(crate) fn v2_open_readers_do_not_matter<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    commit(&db, &[("a", "1")])?;
    let _reader = db.begin_read()?;
    let v = db.save_version()?;
    let _at = db.read_at(v)?;
    same("with readers open", db.save_version()?, version(2))
}

pub(crate) fn v2_saving_with_open_writers_by_option<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    commit(&db, &[("a", "1")])?;
    let mut writer = db.begin_write()?;
    put(&mut writer, "a", "2")?;
    put(&mut writer, "b", "2")?;
    let v = db.save_version_with(SaveOptions::new().with_open_writers())?;
    same("the version", state(&db.read_at(v)?)?, pairs(&[("a", "1")]))?;
    committed("the writer, unharmed", writer.commit())?;
    same("the version later", state(&db.read_at(v)?)?, pairs(&[("a", "1")]))?;
    same("the head", head(&db)?, pairs(&[("a", "2"), ("b", "2")]))
}

pub(crate) fn v3_version_is_the_state_at_its_save_for_ever<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = three(cx)?;
    check_three(&db, "after the saves")?;
    commit(&db, &[("a", "9"), ("b", "9"), ("c", "9"), ("d", "9"), ("e", "9")])?;
    check_three(&db, "after a later commit")?;
    db.prune()?;
    check_three(&db, "after a prune")?;
    commit_deletes(&db, &["a", "b", "c", "d", "e"])?;
    db.prune()?;
    check_three(&db, "after deleting everything and a prune")?;
    db.revert()?;
    db.prune()?;
    check_three(&db, "after a revert")?;
    db.restore(version(1), KeyRange::all())?;
    db.prune()?;
    check_three(&db, "after a restore")
}

pub(crate) fn v3_point_reads_and_ranges_of_a_version_agree<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = three(cx)?;
    commit(&db, &[("a", "9"), ("b", "9"), ("bb", "9")])?;
    db.prune()?;
    let one = db.read_at(version(1))?;
    same("a", get(&one, "a")?, Some("1".to_owned()))?;
    same("bb, which came later", get(&one, "bb")?, None::<String>)?;
    same("c, which came later", get(&one, "c")?, None::<String>)?;
    same("b, in version 2", get(&db.read_at(version(2))?, "b")?, None::<String>)?;
    let mut back = collect(one.range(..).rev())?;
    back.reverse();
    same("in reverse, turned round", back, pairs(FIRST))?;
    same("a part", collect(one.range("aa"..="b"))?, pairs(&[("b", "1")]))?;
    let again = db.read_at(version(1))?;
    same("two readers of one version", state(&one)?, state(&again)?)
}

pub(crate) fn v3_unknown_deleted_and_zero_are_not_found<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = three(cx)?;
    for n in [0, 4, u64::MAX] {
        refused(
            format!("version {n}"),
            db.read_at(version(n)).map(drop),
            ErrorKind::VersionNotFound,
        )?;
    }
    db.delete_version(2)?;
    refused("a deleted version", db.read_at(version(2)).map(drop), ErrorKind::VersionNotFound)?;
    db.revert_to(version(1))?;
    refused("one reverted away", db.read_at(version(3)).map(drop), ErrorKind::VersionNotFound)?;
    Ok(())
}

pub(crate) fn v4_version_set_does_not_change_after_it_was_taken<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let db = three(cx)?;
    let set = db.versions()?;
    let copy = set.clone();
    db.save_version()?;
    same("after a save", numbers(&set), [1, 2, 3])?;
    db.delete_version(2)?;
    same("after a delete", (set.len(), set.contains(version(2))), (3, true))?;
    db.revert_to(version(1))?;
    same("after a revert", numbers(&set), [1, 2, 3])?;
    holds(set == copy, "it equals its copy")?;
    same("a new one", numbers(&db.versions()?), [1])
}

pub(crate) fn v4_version_set_answers_in_full<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    let empty = db.versions()?;
    holds(empty.is_empty() && empty.len() == 0, "no versions")?;
    holds(empty.first().is_none() && empty.last().is_none(), "no first, no last")?;
    holds(!empty.contains(version(0)) && empty == db.versions()?, "empty sets are equal")?;
    for n in [2, 3, 7, 20] {
        db.save_version_as(n)?;
    }
    let set = db.versions()?;
    same("ascending", numbers(&set), [2, 3, 7, 20])?;
    let back: Vec<_> = set.iter().rev().map(|v| v.version.get()).collect();
    same("descending", back, [20, 7, 3, 2])?;
    same("count", set.len(), 4)?;
    same("first", set.first().map(|v| v.version), Some(version(2)))?;
    same("last", set.last().map(|v| v.version), Some(version(20)))?;
    for n in 0..25 {
        let there = [2, 3, 7, 20].contains(&n);
        same(format!("contains {n}"), set.contains(version(n)), there)?;
        same(format!("get {n}"), set.get(version(n)).map(|v| v.version.get()), there.then_some(n))?;
    }
    let times: Vec<_> = set.iter().map(|v| v.commit_ts).collect();
    holds(times.is_sorted_by(|a, b| a < b), format!("timestamps ascend: {times:?}"))?;
    holds(set == db.versions()? && set != empty, "equality is by content")?;
    db.delete_version(7)?;
    holds(set != db.versions()?, "a set without one of them differs")
}

pub(crate) fn v5_deleting_one_version_spares_the_others<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = three(cx)?;
    let (one, two, three) =
        (db.read_at(version(1))?, db.read_at(version(2))?, db.read_at(version(3))?);
    db.delete_version(2)?;
    db.prune()?;
    same("the set", numbers(&db.versions()?), [1, 3])?;
    same("version 1", at(&db, 1)?, pairs(FIRST))?;
    same("version 3", at(&db, 3)?, pairs(THIRD))?;
    for (reader, want) in [(&one, FIRST), (&two, SECOND), (&three, THIRD)] {
        same("a reader that was open", state(reader)?, pairs(want))?;
    }
    commit(&db, &[("a", "9"), ("c", "9")])?;
    db.prune()?;
    same("the reader of the deleted version", state(&two)?, pairs(SECOND))?;
    same("its c", get(&two, "c")?, Some("2".to_owned()))?;
    same("version 1 later", at(&db, 1)?, pairs(FIRST))?;
    same("version 3 later", at(&db, 3)?, pairs(THIRD))
}

pub(crate) fn v5_deleting_the_first_or_the_last_spares_the_others<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let db = three(cx)?;
    commit(&db, &[("a", "9")])?;
    db.delete_version(1)?;
    db.prune()?;
    same("version 2", at(&db, 2)?, pairs(SECOND))?;
    db.delete_version(3)?;
    db.prune()?;
    same("version 2, alone", at(&db, 2)?, pairs(SECOND))?;
    same("the number comes again", db.save_version()?, version(3))?;
    same("version 3 is the head", at(&db, 3)?, head(&db)?)
}

pub(crate) fn v5_deleting_an_unknown_version_is_refused<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = three(cx)?;
    let before = db.versions()?;
    for n in [0, 4, u64::MAX] {
        refused(format!("version {n}"), db.delete_version(n), ErrorKind::VersionNotFound)?;
    }
    let some = [version(1), version(9), version(3)];
    refused("all or none", db.delete_versions(&some), ErrorKind::VersionNotFound)?;
    holds(db.versions()? == before, "the set is unchanged")?;
    check_three(&db, "after all that was refused")?;
    db.delete_versions(&[])?;
    db.delete_versions(&[version(3), version(1), version(1)])?;
    same("in any order, repeated", numbers(&db.versions()?), [2])
}

pub(crate) fn v5_deleting_versions_does_not_wait_for_writers<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let db = three(cx)?;
    let mut writer = db.begin_write()?;
    put(&mut writer, "a", "9")?;
    db.delete_version(1)?;
    committed("the writer", writer.commit())?;
    same("the set", numbers(&db.versions()?), [2, 3])
}

pub(crate) fn v5_retention_rule_says_what_it_removed<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    for n in 1..=20u64 {
        commit(&db, &[("n", &n.to_string())])?;
        let metadata = match n {
            3 => Metadata::new(),
            n => Metadata::new().time_ms(i64::try_from(n).unwrap_or(0) * 1000),
        };
        db.save_version_with(SaveOptions::new().metadata(metadata))?;
    }
    let rule = KeepRule::new().last(3).every(5).newer_than_ms(17_000);
    let removed: Vec<_> = db.keep_versions(&rule)?.into_iter().map(Version::get).collect();
    let kept = [3, 5, 10, 15, 17, 18, 19, 20];
    same("kept", numbers(&db.versions()?), kept)?;
    same("removed", removed, (1..=20).filter(|n| !kept.contains(n)).collect::<Vec<_>>())?;
    db.prune()?;
    for n in kept {
        same(format!("version {n}"), at(&db, n)?, pairs(&[("n", &n.to_string())]))?;
    }
    same("again: nothing", db.keep_versions(&rule)?, vec![])?;
    same("only the last", db.keep_versions(&KeepRule::new().last(1))?.len(), 7)?;
    same("the empty rule keeps none", db.keep_versions(&KeepRule::new())?, [version(20)])
}

pub(crate) fn v8_metadata_comes_back_as_given<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    let long = "long ".repeat(10_000);
    let all = [
        Metadata::new(),
        Metadata::new().message("why").author("who").time_ms(1_700_000_000_000),
        Metadata::new().message(""),
        Metadata::new().author(""),
        Metadata::new().time_ms(0),
        Metadata::new().time_ms(i64::MIN).message("ünïcödé \0 \u{10ffff}"),
        Metadata::new().time_ms(i64::MAX).author("line\nline"),
        Metadata::new().message(long),
    ];
    for metadata in &all {
        db.save_version_with(SaveOptions::new().metadata(metadata.clone()))?;
    }
    let set = db.versions()?;
    let got: Vec<_> = set.iter().map(|v| v.metadata).collect();
    same("by iteration", got, &all[..])?;
    for (n, metadata) in (1..).zip(&all) {
        same("by get", set.get(version(n)).map(|v| v.metadata), Some(metadata.clone()))?;
    }
    Ok(())
}
