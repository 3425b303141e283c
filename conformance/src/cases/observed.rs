//! I3, I4, I6: what is observed, and what is not.

use vellum_core::{
    Connection, ConnectionExt, KeyRange, ReadTxn, ReadTxnExt, TxnOptions, WriteConflicts, WriteTxn,
    WriteTxnExt,
};

use super::isolation::{Write, letters, loses, wins};
use crate::check::*;
use crate::{CaseResult, Ctx, Factory};

macro_rules! reads {
    ($($(#[$doc:meta])* $name:ident: $what:literal, $read:expr, $write:expr;)*) => {$(
        $(#[$doc])*
        pub(crate) fn $name<F: Factory>(cx: &Ctx<F>) -> CaseResult {
            loses(cx, $what, $read, $write)
        }
    )*};
}

reads! {
    i3_get_of_an_absent_key_is_a_read: "got x, which is absent; another put it",
        |t| t.get(b"x").map(drop), |t| put(t, "x", "2");
    i3_contains_is_a_read: "asked whether x is there; another put it",
        |t| t.contains(b"x").map(drop), |t| put(t, "x", "2");
    i3_count_is_a_read: "counted [b, e); another put dd",
        |t| t.count("b".."e").map(drop), |t| put(t, "dd", "2");
    i3_first_is_a_read: "asked for the first key from b; another deleted it",
        |t| t.first("b"..).map(drop), |t| t.delete(b"b");
    i3_first_observes_the_gap_before_it: "asked for the first key above b; another put bb",
        |t| t.first("ba"..).map(drop), |t| put(t, "bb", "2");
    i3_last_is_a_read: "asked for the last key below e; another deleted it",
        |t| t.last(.."e").map(drop), |t| t.delete(b"d");
    i3_last_observes_the_gap_after_it: "asked for the last key below e; another put dd",
        |t| t.last(.."e").map(drop), |t| put(t, "dd", "2");
    i3_is_empty_is_a_read: "asked whether [x, z) is empty; another put y",
        |t| t.is_empty("x".."z").map(drop), |t| put(t, "y", "2");
    i3_empty_range_is_a_read: "found [x, z) empty; another put y",
        |t| collect(t.range("x".."z")).map(drop), |t| put(t, "y", "2");
    i3_empty_reverse_range_is_a_read: "found [x, z) empty from the back; another put y",
        |t| collect(t.range("x".."z").rev()).map(drop), |t| put(t, "y", "2");
    i3_range_dropped_half_way_is_a_read: "saw a, b, c and stopped; another wrote b",
        |t| collect(t.range(..).take(3)).map(drop), |t| put(t, "b", "2");
    i3_range_dropped_half_way_observes_its_last_key: "saw a, b, c and stopped; another wrote c",
        |t| collect(t.range(..).take(3)).map(drop), |t| put(t, "c", "2");
    i3_range_dropped_half_way_observes_its_gaps: "saw a, b, c and stopped; another put bb",
        |t| collect(t.range(..).take(3)).map(drop), |t| put(t, "bb", "2");
    i3_range_observes_its_tail: "exhausted [a, z); another put y, after the last key",
        |t| collect(t.range("a".."z")).map(drop), |t| put(t, "y", "2");
    i3_reverse_range_is_a_read: "saw f, e, d from the back; another wrote e",
        |t| collect(t.range(..).rev().take(3)).map(drop), |t| put(t, "e", "2");
    i3_reverse_range_observes_its_gaps: "saw f, e, d from the back; another put dd",
        |t| collect(t.range(..).rev().take(3)).map(drop), |t| put(t, "dd", "2");
    i3_reverse_range_observes_above_its_first: "saw f from the back; another put g",
        |t| collect(t.range(..).rev().take(1)).map(drop), |t| put(t, "g", "2");
    i3_range_from_both_ends_observes_the_front: "saw a, b and f, e; another put ab",
        |t| { let mut r = t.range(..); r.next(); r.next(); r.next_back(); r.next_back(); Ok(()) },
        |t| put(t, "ab", "2");
    i3_range_from_both_ends_observes_the_back: "saw a, b and f, e; another put ee",
        |t| { let mut r = t.range(..); r.next(); r.next(); r.next_back(); r.next_back(); Ok(()) },
        |t| put(t, "ee", "2");
    i3_update_is_a_read: "updated own1 by the absent x; another put x",
        |t| t.update(b"x", |_| None).map(drop), |t| put(t, "x", "2");
    i3_delete_range_is_a_read: "deleted [b, d); another put bb",
        |t| t.delete_range("b".."d").map(drop), |t| put(t, "bb", "2");
}

pub(crate) fn i3_range_of_tombstones_is_a_read<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = letters(cx)?;
    // Somebody still sees them, so the tombstones stay.
    let reader = db.begin_read()?;
    commit_deletes(&db, &["b", "c", "d"])?;
    let mut txn = db.begin_write()?;
    same("what is left in [b, e)", collect(txn.range("b".."e"))?, pairs(&[]))?;
    commit(&db, &[("c", "2")])?;
    put(&mut txn, "own", "1")?;
    conflicted("one that met only tombstones, where another put c", txn.commit())?;
    same("the reader", state(&reader)?.len(), 6)
}

pub(crate) fn i3_range_over_own_deletes_is_a_read<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let own_deletes = |t: &mut Write<F>| {
        t.delete(b"b")?;
        t.delete(b"d")?;
        collect(t.range("b".."e")).map(drop)
    };
    loses(cx, "saw c among its own deletes; another put cc", own_deletes, |t| put(t, "cc", "2"))
}

pub(crate) fn i3_read_of_own_write_is_no_read<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = letters(cx)?;
    let blind = TxnOptions::new().write_conflicts(WriteConflicts::Ignore);
    let mut txn = db.begin_write_with(&blind)?;
    put(&mut txn, "a", "own")?;
    txn.delete(b"b")?;
    same("its own a", get(&txn, "a")?, Some("own".to_owned()))?;
    same("its own b", get(&txn, "b")?, None::<String>)?;
    commit(&db, &[("a", "2"), ("b", "2")])?;
    committed("a blind writer that read only its own writes", txn.commit())?;
    same("what stands", get(&db.begin_read()?, "a")?, Some("own".to_owned()))
}

macro_rules! no_conflict {
    ($($name:ident: $what:literal, $read:expr, $write:expr;)*) => {$(
        pub(crate) fn $name<F: Factory>(cx: &Ctx<F>) -> CaseResult {
            wins(cx, $what, $read, $write)
        }
    )*};
}

no_conflict! {
    i4_disjoint_keys_both_commit: "read a and wrote b; another wrote c",
        |t| { get(t, "a")?; put(t, "b", "2") }, |t| { get(t, "b")?; put(t, "c", "2") };
    i4_neighbouring_keys_both_commit: "read a and b; another wrote a\\0, aa and `",
        |t| { get(t, "a")?; get(t, "b").map(drop) },
        |t| { t.put(b"a\0", "2")?; t.put(b"aa", "2")?; t.put(b"`", "2") };
    i4_range_observes_nothing_outside: "observed [b, d); another wrote a, azz, d and e",
        |t| collect(t.range("b".."d")).map(drop),
        |t| { put(t, "a", "2")?; put(t, "azz", "2")?; put(t, "d", "2")?; t.delete(b"e") };
    i4_part_of_a_range_observes_only_that_part: "saw a, b and stopped; another wrote bb, c and y",
        |t| collect(t.range(..).take(2)).map(drop),
        |t| { put(t, "bb", "2")?; put(t, "c", "2")?; put(t, "y", "2") };
    i4_part_of_a_reverse_range_observes_only_that_part: "saw f, e from the back; another wrote a and dd",
        |t| collect(t.range(..).rev().take(2)).map(drop),
        |t| { put(t, "a", "2")?; put(t, "dd", "2")?; t.delete(b"d") };
    i4_middle_of_a_range_from_both_ends_is_not_observed: "saw a and f; another wrote c and d",
        |t| { let mut r = t.range(..); r.next(); r.next_back(); Ok(()) },
        |t| { put(t, "c", "2")?; t.delete(b"d")?; put(t, "aa", "2") };
    i4_range_never_advanced_observes_nothing: "made a range and dropped it; another wrote in it",
        |t| { let _unused = t.range(..); Ok(()) }, |t| put(t, "c", "2");
    i4_inverted_range_observes_nothing: "ran through [d, b); another wrote c",
        |t| collect(t.range("d".."b")).map(drop), |t| put(t, "c", "2");
    i4_first_in_one_corner_spares_the_other: "asked for the first key; another wrote the last",
        |t| t.first(..).map(drop), |t| { put(t, "f", "2")?; put(t, "b", "2") };
    i4_last_in_one_corner_spares_the_other: "asked for the last key; another wrote the first",
        |t| t.last(..).map(drop), |t| { put(t, "a", "2")?; put(t, "e", "2") };
    i4_write_into_a_range_read_by_the_winner_is_no_conflict: "wrote b; the winner had read [a, d)",
        |t| put(t, "b", "2"), |t| { collect(t.range("a".."d"))?; put(t, "own2", "2") };
}

pub(crate) fn i4_interleaved_disjoint_writers_all_commit<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    let mut open = Vec::new();
    for n in 0..50 {
        let mut txn = db.begin_write()?;
        let key = format!("k{n:02}");
        txn.get(key.as_bytes())?;
        put(&mut txn, &key, "x")?;
        open.push(txn);
    }
    for txn in open {
        committed("one of fifty disjoint writers", txn.commit())?;
    }
    same("keys", head(&db)?.len(), 50)
}

no_conflict! {
    i6_snapshot_reads_are_not_validated: "read a, x and [b, e) without validation; another wrote all",
        |t| {
            let view = t.snapshot_reads();
            view.get(b"a")?;
            view.get(b"x")?;
            collect(view.range("b".."e")).map(drop)
        },
        |t| { put(t, "a", "2")?; put(t, "c", "2")?; put(t, "x", "2") };
}

pub(crate) fn i6_snapshot_reads_show_the_transaction<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = letters(cx)?;
    let mut txn = db.begin_write()?;
    put(&mut txn, "a", "own")?;
    txn.delete(b"b")?;
    commit(&db, &[("c", "2")])?;
    let view = txn.snapshot_reads();
    same("its timestamp", view.read_ts(), txn.read_ts())?;
    same("own write", get(&view, "a")?, Some("own".to_owned()))?;
    same("own delete", get(&view, "b")?, None::<String>)?;
    same("the snapshot", get(&view, "c")?, Some("1".to_owned()))?;
    let want = pairs(&[("a", "own"), ("c", "1")]);
    same("a range", collect(view.range(.."d"))?, want)
}

reads! {
    i6_key_declared_read_conflicts: "declared x read; another put it",
        |t| t.mark_read(KeyRange::key("x")), |t| put(t, "x", "2");
    i6_range_declared_read_conflicts: "declared [x, z) read; another put y",
        |t| t.mark_read("x".."z"), |t| put(t, "y", "2");
    i6_key_declared_written_by_the_loser_conflicts: "declared x written; another put it",
        |t| t.mark_written(KeyRange::key("x")), |t| put(t, "x", "2");
    i6_range_declared_written_beats_a_reader: "read y; another declared [x, z) written",
        |t| get(t, "y").map(drop), |t| t.mark_written("x".."z");
    i6_range_declared_written_beats_an_observer: "observed [w, yy); another declared [x, z) written",
        |t| collect(t.range("w".."yy")).map(drop), |t| t.mark_written("x".."z");
    i6_range_declared_written_beats_a_writer: "wrote y; another declared [x, z) written",
        |t| put(t, "y", "2"), |t| t.mark_written("x".."z");
    i6_two_that_declare_one_key_written_conflict: "both declared x written",
        |t| t.mark_written(KeyRange::key("x")), |t| t.mark_written("x".."z");
    i6_get_for_update_conflicts_with_its_like: "both got a for update, neither wrote it",
        |t| t.get_for_update(b"a").map(drop), |t| t.get_for_update(b"a").map(drop);
}

no_conflict! {
    i6_declarations_spare_what_is_outside: "declared [a, c) read and [x, y) written; another wrote c, w and y",
        |t| { t.mark_read("a".."c")?; t.mark_written("x".."y") },
        |t| { put(t, "c", "2")?; put(t, "w", "2")?; put(t, "y", "2") };
}

pub(crate) fn i6_declaring_changes_no_contents<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = letters(cx)?;
    let before = head(&db)?;
    let mut txn = db.begin_write()?;
    txn.mark_written("a".."z")?;
    txn.mark_read(..)?;
    same("what the transaction sees", &state(&txn)?, &before)?;
    txn.commit()?;
    same("the head", head(&db)?, before)
}
