//! K: keys, values, ranges.

use std::collections::BTreeMap;
use std::ops::Bound;

use vellum_core::{
    Bytes, Connection, ConnectionExt, ErrorKind, KeyRange, MAX_KEY_LEN, ReadTxn, ReadTxnExt,
    Result, WriteTxn,
};

use crate::check::*;
use crate::{CaseResult, Ctx, Factory, Failure};

pub(crate) fn k1_any_bytes_are_a_key_in_bytewise_order<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    let mut keys: Vec<Vec<u8>> = (0..=255u8).map(|b| vec![b]).collect();
    for b in [0, 1, 0x7f, 0x80, 0xfe, 0xff] {
        for c in [0, 1, 0x7f, 0x80, 0xfe, 0xff] {
            keys.push(vec![b, c]);
            keys.push(vec![b, 0, c]);
            keys.push(vec![b, 0xff, c]);
            keys.push(vec![b, c, 0, 0]);
        }
    }
    let mut txn = db.begin_write()?;
    // In an order of no meaning.
    for key in keys.iter().rev().step_by(2).chain(keys.iter().step_by(2)).chain(&keys) {
        txn.put(key, key.clone())?;
    }
    keys.sort();
    keys.dedup();
    let want: Vec<String> = keys.iter().map(|k| text(k)).collect();
    let names = |items: Pairs| items.into_iter().map(|(k, _)| k).collect::<Vec<_>>();
    same("before the commit", &names(state(&txn)?), &want)?;
    committed("the commit", txn.commit())?;
    let reader = db.begin_read()?;
    same("after the commit", &names(state(&reader)?), &want)?;
    for key in &keys {
        same(format!("get {}", text(key)), reader.get(key)?.as_deref(), Some(&key[..]))?;
    }
    Ok(())
}

pub(crate) fn k1_longest_key_and_one_byte_key<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    let longest = vec![b'k'; MAX_KEY_LEN];
    let mut sibling = longest.clone();
    if let Some(last) = sibling.last_mut() {
        *last = b'j';
    }
    let mut txn = db.begin_write()?;
    txn.put(&longest, "longest")?;
    txn.put(&sibling, "sibling")?;
    txn.put(b"k", "shortest")?;
    committed("the commit", txn.commit())?;
    let v = db.save_version()?;
    let mut txn = db.begin_write()?;
    txn.put(&longest, "longest, later")?;
    committed("the overwrite", txn.commit())?;
    for reader in [db.begin_read()?, db.read_at(v)?] {
        let values: Result<Vec<_>> = reader.range(..).map(|i| i.map(|(_, v)| text(&v))).collect();
        let longest_now = reader.get(&longest)?.map(|v| text(&v)).unwrap_or_default();
        same("in order", values?, ["shortest", "sibling", longest_now.as_str()])?;
        same("the sibling", reader.get(&sibling)?.as_deref(), Some(&b"sibling"[..]))?;
    }
    same(
        "the longest at the version",
        db.read_at(v)?.get(&longest)?.as_deref(),
        Some(&b"longest"[..]),
    )?;
    let range = KeyRange::key(&longest);
    same("a range of it alone", db.begin_read()?.range(range).count(), 1)
}

pub(crate) fn k1_empty_value_is_a_value<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    let mut txn = db.begin_write()?;
    put(&mut txn, "empty", "")?;
    put(&mut txn, "full", "x")?;
    same("in its own transaction", get(&txn, "empty")?, Some(String::new()))?;
    let want = pairs(&[("empty", ""), ("full", "x")]);
    same("in its own range", &state(&txn)?, &want)?;
    committed("the commit", txn.commit())?;
    let reader = db.begin_read()?;
    same("get", get(&reader, "empty")?, Some(String::new()))?;
    same("contains", reader.contains(b"empty")?, true)?;
    same("count", reader.count(..)?, 2)?;
    same("a range", &state(&reader)?, &want)?;
    let v = db.save_version()?;
    commit(&db, &[("empty", "x"), ("full", "")])?;
    same("overwritten", head(&db)?, pairs(&[("empty", "x"), ("full", "")]))?;
    same("at the version", state(&db.read_at(v)?)?, want)
}

pub(crate) fn k1_mutating_a_buffer_after_put_changes_nothing<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let db = cx.open()?;
    let mut key = b"key".to_vec();
    let mut value = b"value".to_vec();
    let mut txn = db.begin_write()?;
    txn.put(&key, value.clone())?;
    key.fill(b'x');
    value.fill(b'x');
    same("in the transaction", state(&txn)?, pairs(&[("key", "value")]))?;
    committed("the commit", txn.commit())?;
    same("after it", head(&db)?, pairs(&[("key", "value")]))
}

/// Bounds of every kind at, between and around the keys.
fn all_bounds() -> Vec<Bound<Vec<u8>>> {
    let points: [&[u8]; 9] =
        [b"", b"\0", b"a", b"a\0", b"b", b"c", b"d\xff", b"\xff", b"\xff\xff\xff"];
    let mut bounds = vec![Bound::Unbounded];
    for p in points {
        bounds.push(Bound::Included(p.to_vec()));
        bounds.push(Bound::Excluded(p.to_vec()));
    }
    bounds
}

/// Compares every range of `txn`, driven in every way, with `want`.
fn compare_all_ranges(txn: &impl ReadTxn, want: &BTreeMap<Vec<u8>, Vec<u8>>) -> CaseResult {
    for start in all_bounds() {
        for end in all_bounds() {
            let inside = |k: &Vec<u8>| {
                let above = match &start {
                    Bound::Included(s) => k >= s,
                    Bound::Excluded(s) => k > s,
                    Bound::Unbounded => true,
                };
                let below = match &end {
                    Bound::Included(e) => k <= e,
                    Bound::Excluded(e) => k < e,
                    Bound::Unbounded => true,
                };
                above && below
            };
            let want: Pairs =
                want.iter().filter(|(k, _)| inside(k)).map(|(k, v)| (text(k), text(v))).collect();
            let range = || txn.range((start.clone(), end.clone()));
            let what = |way: &str| format!("{way} through {start:?} to {end:?}");
            same(what("ascending"), &collect(range())?, &want)?;
            let mut back = collect(range().rev())?;
            back.reverse();
            same(what("descending (turned round)"), &back, &want)?;
            for pattern in 0..8u32 {
                same(
                    what(&format!("from both ends, pattern {pattern}")),
                    &from_both_ends(range(), pattern)?,
                    &want,
                )?;
            }
        }
    }
    Ok(())
}

/// Takes from the front or the back by the bits of `pattern`, over and over.
fn from_both_ends(
    mut range: impl DoubleEndedIterator<Item = Result<(Bytes, Bytes)>>,
    pattern: u32,
) -> CaseResult<Pairs> {
    let (mut front, mut back) = (Vec::new(), Vec::new());
    for step in 0.. {
        let from_front = pattern >> (step % 3) & 1 == 0;
        let item = if from_front { range.next() } else { range.next_back() };
        let Some(item) = item else { break };
        if from_front { front.push(item) } else { back.push(item) }
    }
    if range.next().is_some() || range.next_back().is_some() {
        return Err(Failure::new("a range went on after its end"));
    }
    Ok(collect(front.into_iter().chain(back.into_iter().rev()))?)
}

fn some_keys() -> BTreeMap<Vec<u8>, Vec<u8>> {
    let keys: [&[u8]; 8] = [b"\0", b"a", b"a\0", b"ab", b"b", b"d", b"d\xff", b"\xff\xff"];
    keys.iter().enumerate().map(|(n, k)| (k.to_vec(), n.to_string().into_bytes())).collect()
}

pub(crate) fn k2_ranges_with_all_bounds_from_both_ends<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    let want = some_keys();
    let mut txn = db.begin_write()?;
    for (k, v) in &want {
        txn.put(k, v.clone())?;
    }
    committed("the commit", txn.commit())?;
    compare_all_ranges(&db.begin_read()?, &want)
}

pub(crate) fn k2_ranges_over_own_writes_with_all_bounds_from_both_ends<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let db = cx.open()?;
    let want = some_keys();
    let mut txn = db.begin_write()?;
    for (n, (k, v)) in want.iter().enumerate() {
        if n % 2 == 0 {
            txn.put(k, v.clone())?;
        }
    }
    for gone in [&b"a0"[..], b"c", b"\xff"] {
        txn.put(gone, "gone")?;
    }
    committed("the commit", txn.commit())?;
    let mut txn = db.begin_write()?;
    for (n, (k, v)) in want.iter().enumerate() {
        if n % 2 == 1 || n % 4 == 0 {
            txn.put(k, v.clone())?;
        }
    }
    for gone in [&b"a0"[..], b"c", b"\xff", b"never"] {
        txn.delete(gone)?;
    }
    compare_all_ranges(&txn, &want)
}

pub(crate) fn k2_ranges_over_history_with_all_bounds<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    // Superseded records and tombstones stand between the keys.
    let db = cx.open()?;
    let want = some_keys();
    for round in 0..3 {
        let mut txn = db.begin_write()?;
        for (k, v) in &want {
            let value = if round == 2 { v.clone() } else { b"old".to_vec() };
            txn.put(k, value)?;
            let mut between = k.clone();
            between.push(b'5');
            if round == 0 { txn.put(&between, "gone")? } else { txn.delete(&between)? }
        }
        committed("the commit", txn.commit())?;
        db.save_version()?;
    }
    compare_all_ranges(&db.begin_read()?, &want)
}

pub(crate) fn k2_a_thousand_keys_in_order_both_ways<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    let mut want = Vec::new();
    for chunk in 0..10u32 {
        let mut txn = db.begin_write()?;
        for n in 0..100u32 {
            // Scattered over the chunks.
            let n = (n * 10 + chunk) * 7 % 1000;
            txn.put(format!("k{n:04}").as_bytes(), n.to_string())?;
        }
        committed("the commit", txn.commit())?;
    }
    for n in 0..1000 {
        want.push((format!("k{n:04}"), n.to_string()));
    }
    let reader = db.begin_read()?;
    same("ascending", &state(&reader)?, &want)?;
    let mut back = collect(reader.range(..).rev())?;
    back.reverse();
    same("descending, turned round", &back, &want)?;
    for pattern in 1..7 {
        same(format!("pattern {pattern}"), &from_both_ends(reader.range(..), pattern)?, &want)?;
    }
    Ok(())
}

pub(crate) fn k3_inverted_and_empty_bounds_yield_nothing<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    commit(&db, &[("a", "1"), ("b", "1"), ("c", "1")])?;
    let mut writer = db.begin_write()?;
    put(&mut writer, "bb", "own")?;
    let reader = db.begin_read()?;
    let odd = || -> Vec<KeyRange> {
        vec![
            KeyRange::from("c".."a"),
            KeyRange::from("b".."b"),
            KeyRange::from((Bound::Excluded("b"), Bound::Excluded("b"))),
            KeyRange::from((Bound::Included("b"), Bound::Excluded("b"))),
            KeyRange::from((Bound::Excluded("c"), Bound::Included("a"))),
            KeyRange::from(.."".to_owned()),
            KeyRange::from("\u{7f}".."a"),
        ]
    };
    for range in odd() {
        same(format!("{range} in a reader"), collect(reader.range(&range))?, pairs(&[]))?;
        same(format!("{range} in reverse"), collect(reader.range(&range).rev())?, pairs(&[]))?;
        same(format!("{range} in a writer"), collect(writer.range(&range))?, pairs(&[]))?;
    }
    for range in odd() {
        writer.mark_read(range.clone())?;
        writer.mark_written(range)?;
    }
    committed("the writer", writer.commit())?;
    Ok(())
}

pub(crate) fn k3_prefixes_that_end_in_0xff_are_right<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    let keys: [&[u8]; 10] = [
        b"a",
        b"a\xff",
        b"a\xff\0",
        b"a\xff\xff",
        b"b",
        b"\xfe\xff",
        b"\xff",
        b"\xff\0",
        b"\xff\xff",
        b"\xff\xff\xff",
    ];
    let mut txn = db.begin_write()?;
    for key in keys {
        txn.put(key, "x")?;
    }
    committed("the commit", txn.commit())?;
    let reader = db.begin_read()?;
    let prefixes: [&[u8]; 8] =
        [b"", b"a", b"a\xff", b"a\xff\xff", b"\xfe", b"\xff", b"\xff\xff", b"\xff\xff\xff\xff"];
    for prefix in prefixes {
        let want: Vec<_> = keys.iter().filter(|k| k.starts_with(prefix)).map(|k| text(k)).collect();
        let got: Vec<_> = collect(reader.prefix(prefix))?.into_iter().map(|(k, _)| k).collect();
        same(format!("prefix {}", text(prefix)), &got, &want)?;
        let mut back: Vec<_> =
            collect(reader.prefix(prefix).rev())?.into_iter().map(|(k, _)| k).collect();
        back.reverse();
        same(format!("prefix {} in reverse", text(prefix)), back, want)?;
    }
    Ok(())
}

pub(crate) fn k4_range_that_erred_never_resumes<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    commit(&db, &[("a", "1"), ("b", "1"), ("c", "1"), ("d", "1")])?;
    let reader = db.begin_read()?;
    let (mut forward, mut both) = (reader.range(..), reader.range(..));
    holds(matches!(forward.next(), Some(Ok(_))), "the range begins")?;
    holds(matches!(both.next_back(), Some(Ok(_))), "the other begins at the back")?;
    db.close()?;
    // What just ended would be taken for all that there was.
    for (from, item) in [("front", forward.next()), ("back", both.next_back())] {
        let erred = item.is_some_and(|item| item.is_err_and(|e| e.kind() == ErrorKind::Closed));
        holds(erred, format!("a range of a closed database errs once, from the {from}"))?;
    }
    for step in 0..6 {
        for item in [forward.next(), both.next_back(), both.next()] {
            match item {
                None => {}
                Some(Err(e)) => same("the error's kind", e.kind(), ErrorKind::Closed)?,
                Some(Ok((k, _))) => {
                    let k = text(&k);
                    return Err(Failure::new(format!("step {step} after an error yields {k}")));
                }
            }
        }
    }
    Ok(())
}

pub(crate) fn k5_deleting_an_absent_key_is_a_write<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    commit(&db, &[("a", "1")])?;
    let mut reads = db.begin_write()?;
    same("x", get(&reads, "x")?, None::<String>)?;
    put(&mut reads, "own", "1")?;
    let mut writes = db.begin_write()?;
    put(&mut writes, "x", "1")?;
    let ts = commit_deletes(&db, &["x"])?;
    holds(ts > reads.read_ts(), "the delete has a timestamp of its own")?;
    conflicted("who read the absent key", reads.commit())?;
    conflicted("who wrote the absent key", writes.commit())?;
    same("the head", head(&db)?, pairs(&[("a", "1")]))?;
    let mut deletes = db.begin_write()?;
    deletes.delete(b"y")?;
    commit(&db, &[("y", "1")])?;
    conflicted("who deleted an absent key that another put", deletes.commit())?;
    same("y", get(&db.begin_read()?, "y")?, Some("1".to_owned()))
}
