//! I9: what snapshot isolation lets through, and serializable does not: the same
//! steps at both, side by side.
//!
//! Then two anomalies of time travel: a version that is read again, and a
//! transaction that is open while the past comes back.

use vellum_core::{
    Connection, ConnectionExt, ErrorKind, Isolation, KeyRange, ReadTxn, TxnOptions, Version,
    WriteTxn,
};

use super::hermitage::{LEVELS, Write, at_each, both, value, won};
use super::predicates::{Way, each_way};
use crate::check::*;
use crate::{CaseResult, Ctx, Factory};

/// Two transactions take these steps and commit, a before b. Under snapshot
/// isolation both commit and leave `skewed`, which neither order of them does;
/// under serializable the later one is refused.
fn skews<F: Factory>(
    cx: &Ctx<F>,
    steps: impl Fn(&mut Write<F>, &mut Write<F>) -> CaseResult,
    skewed: &[(&str, &str)],
) -> CaseResult {
    at_each(cx, &LEVELS, |db, [mut a, mut b], level| {
        steps(&mut a, &mut b)?;
        let (a, b) = (won(a.commit())?, won(b.commit())?);
        match level {
            Isolation::Snapshot => {
                holds(a && b, format!("both commit (a {a}, b {b})"))?;
                same("what they leave", head(db)?, pairs(skewed))
            }
            _ => holds(a && !b, format!("the first commits alone (a {a}, b {b})")),
        }
    })
}

pub(crate) fn i9_g2_item_write_skew_is_for_snapshot_alone<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    skews(
        cx,
        |a, b| {
            same("a reads", both(a)?, "10 20")?;
            same("b reads", both(b)?, "10 20")?;
            put(a, "1", "11")?;
            Ok(put(b, "2", "21")?)
        },
        &[("1", "11"), ("2", "21")],
    )
}

pub(crate) fn i9_g2_item_skew_through_absent_keys_is_for_snapshot_alone<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    skews(
        cx,
        |a, b| {
            same("a reads", value(a, "7")?, "none")?;
            same("b reads", value(b, "8")?, "none")?;
            put(a, "8", "a")?;
            Ok(put(b, "7", "b")?)
        },
        &[("1", "10"), ("2", "20"), ("7", "b"), ("8", "a")],
    )
}

pub(crate) fn i9_g2_item_skew_through_deletes_is_for_snapshot_alone<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    skews(
        cx,
        |a, b| {
            same("a reads", value(a, "1")?, "10")?;
            same("b reads", value(b, "2")?, "20")?;
            a.delete(b"2")?;
            Ok(b.delete(b"1")?)
        },
        &[],
    )
}

/// Both find nothing from 3 on, and put something there.
fn phantoms<F: Factory>(cx: &Ctx<F>, way: Way) -> CaseResult {
    skews(
        cx,
        |a, b| {
            same("a finds nothing", way.from(a, "3")?, pairs(&[]))?;
            same("b finds nothing", way.from(b, "3")?, pairs(&[]))?;
            put(a, "3", "30")?;
            Ok(put(b, "4", "42")?)
        },
        &[("1", "10"), ("2", "20"), ("3", "30"), ("4", "42")],
    )
}

pub(crate) fn i9_g2_phantom_write_skew_is_for_snapshot_alone<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    phantoms(cx, Way::Forward)
}

pub(crate) fn i9_g2_phantom_write_skew_in_reverse_is_for_snapshot_alone<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    phantoms(cx, Way::Reverse)
}

pub(crate) fn i9_g2_skew_between_a_range_and_a_key_is_for_snapshot_alone<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    for way in [Way::Forward, Way::Reverse] {
        skews(
            cx,
            |a, b| {
                same("a counts", way.all(a)?.len(), 2)?;
                same("b reads the count", value(b, "count")?, "none")?;
                put(a, "count", "2")?;
                Ok(put(b, "3", "uncounted")?)
            },
            &[("1", "10"), ("2", "20"), ("3", "uncounted"), ("count", "2")],
        )?;
    }
    Ok(())
}

/// After Fekete, O'Neil and O'Neil, "A read-only transaction anomaly under
/// snapshot isolation": a and b alone are serializable, b before a.
pub(crate) fn i9_read_only_anomaly_is_for_snapshot_alone<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    at_each(cx, &LEVELS, |db, [mut a, mut b], level| {
        same("b reads both", both(&b)?, "10 20")?;
        same("a reads one", value(&a, "2")?, "20")?;
        put(&mut a, "2", "40")?;
        holds(won(a.commit())?, "a commits")?;
        same("c sees a and not b", both(&db.begin_read()?)?, "10 40")?;
        put(&mut b, "1", "-1")?;
        let b = won(b.commit())?;
        // b must come before a, and c has seen a without b.
        same("b commits under snapshot alone", b, level == Isolation::Snapshot)
    })
}

pub(crate) fn i9_read_only_anomaly_through_ranges_is_for_snapshot_alone<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    each_way(cx, |db, [mut a, mut b], level, way| {
        same("b reads all", way.all(&b)?.len(), 2)?;
        put(&mut a, "3", "30")?;
        holds(won(a.commit())?, "a commits")?;
        let c = way.all(&db.begin_read()?)?;
        same("c sees a and not b", c, pairs(&[("1", "10"), ("2", "20"), ("3", "30")]))?;
        put(&mut b, "0", "0")?;
        same("b commits under snapshot alone", won(b.commit())?, level == Isolation::Snapshot)
    })
}

pub(crate) fn i9_as_of_reads_are_stable<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    commit(&db, &[("1", "10"), ("2", "20")])?;
    let version = db.save_version()?;
    let open = db.read_at(version)?;
    let stable = |when: &str| -> CaseResult {
        let begun = db.read_at(version)?;
        for way in [Way::Forward, Way::Reverse] {
            let want = || pairs(&[("1", "10"), ("2", "20")]);
            same(format!("{when}, {way:?}"), way.all(&begun)?, want())?;
            same(format!("{when}, {way:?}, begun before"), way.all(&open)?, want())?;
        }
        same(format!("{when}, by key"), both(&begun)?, "10 20")?;
        same(format!("{when}, an absent key"), value(&begun, "3")?, "none")
    };
    stable("at once")?;
    commit(&db, &[("1", "11"), ("3", "30")])?;
    commit_deletes(&db, &["2"])?;
    stable("after later commits")?;
    let later = db.save_version()?;
    commit(&db, &[("2", "22")])?;
    db.prune()?;
    stable("after a prune")?;
    db.delete_version(later)?;
    db.prune()?;
    stable("after a later version was deleted")?;
    db.revert()?;
    commit(&db, &[("1", "12")])?;
    db.prune()?;
    stable("after a revert")
}

pub(crate) fn i9_bringing_the_past_back_is_a_write<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    for level in LEVELS {
        let db = cx.open()?;
        commit(&db, &[("1", "10"), ("2", "20")])?;
        let version: Version = db.save_version()?;
        commit(&db, &[("1", "11")])?;

        let mut a = db.begin_write_with(&TxnOptions::new().isolation(level))?;
        same("a reads", value(&a, "1")?, "11")?;
        refused("a revert under a", db.revert(), ErrorKind::OpenTransactions)?;
        refused("a revert_to under a", db.revert_to(version), ErrorKind::OpenTransactions)?;
        committed("a restore under a", db.restore(version, KeyRange::all()))?;
        same("a reads again", collect(a.range(..))?, pairs(&[("1", "11"), ("2", "20")]))?;
        put(&mut a, "2", "of 11")?;
        // What a read was written back: it must not commit on top of that.
        same("a commits under snapshot alone", won(a.commit())?, level == Isolation::Snapshot)?;

        db.close()?;
        drop(db);
        cx.factory.destroy();
    }
    Ok(())
}
