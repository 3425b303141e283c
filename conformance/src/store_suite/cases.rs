//! The cases of a bare store.

use vellum_core::{
    Bytes, CatalogWrite, KeyRange, MAX_KEY_LEN, Previous, Result, Snapshot, Store, Timestamp,
};

use super::StoreCtx;
use super::driver::{Driver, ts};
use crate::check::{holds, same, text};
use crate::{CaseResult, StoreFactory};

pub(crate) fn d6_new_store_is_empty<F: StoreFactory>(cx: &StoreCtx<F>) -> CaseResult {
    let store = cx.factory.open()?;
    let recovered = store.recover()?;
    same("the last timestamp", recovered.last_ts, Timestamp::ZERO)?;
    same("the catalog", recovered.catalog.len(), 0)?;
    let snapshot = store.snapshot()?;
    same("the head", snapshot.ts(), Timestamp::ZERO)?;
    same("its keys", snapshot.range(&KeyRange::all()).count(), 0)?;
    holds(snapshot.get(b"a")?.is_none(), "a is absent")
}

pub(crate) fn t3_group_shows_once_it_is_published<F: StoreFactory>(cx: &StoreCtx<F>) -> CaseResult {
    let mut d = Driver::open(cx)?;
    d.put("a", "1")?;
    d.check_head("after the first")?;
    let before = d.store.snapshot()?;
    let next = d.next(&[(b"a", Some("2")), (b"b", Some("2"))]);
    d.apply(vec![next])?;
    d.check("a snapshot taken before", &before, 1)?;
    d.check("one taken while it is not published", &d.store.snapshot()?, 1)?;
    d.store.publish(ts(2));
    d.check("a snapshot taken before, later", &before, 1)?;
    d.check_head("once it is published")
}

pub(crate) fn t6_group_is_applied_in_order<F: StoreFactory>(cx: &StoreCtx<F>) -> CaseResult {
    let mut d = Driver::open(cx)?;
    d.history = true;
    d.put("a", "0")?;
    let mut group = Vec::new();
    for n in 0..10 {
        let value = n.to_string();
        let a = (n % 3 != 2).then_some(value.as_str());
        group.push(d.next(&[(b"a", a), (b"b", Some(&value))]));
    }
    d.apply(group)?;
    d.store.publish(ts(d.now));
    d.check_head("after the group")?;
    for at in 1..=d.now {
        d.check("a state within the group", &d.store.snapshot_at(ts(at))?, at)?;
    }
    Ok(())
}

pub(crate) fn t1_snapshot_never_changes<F: StoreFactory>(cx: &StoreCtx<F>) -> CaseResult {
    let mut d = Driver::open(cx)?;
    let mut held = Vec::new();
    for n in 0..20u64 {
        let value = n.to_string();
        let k = (n % 4 != 1).then_some(value.as_str());
        d.commit(&[(b"k", k), (format!("k{n}").as_bytes(), Some("x"))])?;
        held.push((d.now, d.store.snapshot()?));
        if n % 3 == 0 {
            let open: Vec<_> = held.iter().map(|(at, _)| *at).collect();
            d.store.prune(&d.keep(&open))?;
        }
        for (at, snapshot) in &held {
            d.check("a snapshot that is held", snapshot, *at)?;
        }
        held.retain(|(at, _)| at % 5 != n % 5);
    }
    Ok(())
}

pub(crate) fn k2_ranges_are_right_from_both_ends<F: StoreFactory>(cx: &StoreCtx<F>) -> CaseResult {
    let mut d = Driver::open(cx)?;
    d.pin()?;
    let keys: [&[u8]; 8] = [b"\0", b"a", b"a\0", b"ab", b"b", b"d", b"d\xff", b"\xff\xff"];
    let all: Vec<_> = keys.iter().map(|k| (*k, Some("x"))).collect();
    d.commit(&all)?;
    d.commit(&[(b"a", Some("y")), (b"ab", None), (b"c", None), (b"\xff", None)])?;
    d.check_head("the head")?;
    let snapshot = d.store.snapshot()?;
    let present: Vec<_> = keys.iter().copied().filter(|k| **k != *b"ab").collect();
    let ends: [&[u8]; 7] = [b"", b"a", b"a\0", b"b", b"c", b"\xff", b"\xff\xff\xff"];
    for start in ends {
        for end in ends.into_iter().map(Some).chain([None]) {
            let range = KeyRange::new(start.to_vec().into(), end.map(|e| e.to_vec().into()));
            let inside = |k: &&[u8]| *k >= start && end.is_none_or(|e| *k < e);
            let want: Vec<_> = present.iter().copied().filter(inside).map(text).collect();
            for pattern in 0..8u32 {
                let mut items = snapshot.range(&range);
                let (mut front, mut back) = (Vec::new(), Vec::new());
                for step in 0.. {
                    let forward = pattern >> (step % 3) & 1 == 0;
                    let item = if forward { items.next() } else { items.next_back() };
                    let Some(item) = item.transpose()? else { break };
                    if forward { front.push(text(&item.0)) } else { back.push(text(&item.0)) }
                }
                front.extend(back.into_iter().rev());
                same(format!("{range} by pattern {pattern}"), &front, &want)?;
            }
        }
    }
    Ok(())
}

pub(crate) fn k1_extreme_keys_and_values_come_back<F: StoreFactory>(
    cx: &StoreCtx<F>,
) -> CaseResult {
    let mut d = Driver::open(cx)?;
    let long = vec![0xff; MAX_KEY_LEN];
    let almost = vec![0xff; MAX_KEY_LEN - 1];
    let zeros = vec![0; MAX_KEY_LEN];
    let big = "v".repeat(1 << 20);
    d.pin()?;
    d.commit(&[(&long, Some("")), (&almost, Some(&big)), (&zeros, Some("z")), (b"\0", Some(""))])?;
    d.check_head("as written")?;
    d.pin()?;
    d.commit(&[(&long, Some("later")), (&almost, None), (&zeros, Some(""))])?;
    d.check_head("overwritten")?;
    d.check_pins("at the pins")
}

pub(crate) fn v3_preserved_records_stay_readable<F: StoreFactory>(cx: &StoreCtx<F>) -> CaseResult {
    let mut d = Driver::open(cx)?;
    for round in 0..4u32 {
        for n in 0..5u32 {
            let value = format!("{round}.{n}");
            let gone = (n + round) % 3 == 0;
            let key = format!("k{n}");
            d.commit(&[
                (b"hot", Some(&value)),
                (key.as_bytes(), (!gone).then_some(value.as_str())),
            ])?;
        }
        d.pin()?;
        d.check_pins("without a prune")?;
        d.store.prune(&d.keep(&[]))?;
        d.check_pins("after a prune")?;
    }
    while let Some(gone) = (!d.pins.is_empty()).then(|| d.pins.remove(d.pins.len() / 2)) {
        d.store.prune(&d.keep(&[]))?;
        d.check_pins(&format!("without the pin at {gone}"))?;
        d.put("hot", "again")?;
        d.check_pins("after another overwrite")?;
        d.check_head("the head")?;
    }
    Ok(())
}

pub(crate) fn v9_prune_spares_the_retained_whatever_it_is<F: StoreFactory>(
    cx: &StoreCtx<F>,
) -> CaseResult {
    // Every set of pins on a short history of one key that comes and goes.
    for bits in 0..32u32 {
        let mut d = Driver::open(cx)?;
        for n in 0..5u32 {
            let value = n.to_string();
            let k = (n != 2).then_some(value.as_str());
            d.commit(&[(b"k", k), (b"other", Some(&value))])?;
            if bits >> n & 1 == 1 {
                d.pin()?;
            }
        }
        d.put("k", "last")?;
        d.store.prune(&d.keep(&[]))?;
        d.check_pins(&format!("pins {bits:05b}"))?;
        d.check_head(&format!("pins {bits:05b}"))?;
        d.store.close()?;
        drop(d);
        cx.factory.destroy();
    }
    Ok(())
}

pub(crate) fn v9_prune_drops_what_is_dead<F: StoreFactory>(cx: &StoreCtx<F>) -> CaseResult {
    let mut d = Driver::open(cx)?;
    let keys: Vec<_> = (0..10).map(|n| format!("k{n}")).collect();
    let overwrite = |d: &mut Driver<F::Store>| {
        d.commit(&keys.iter().map(|k| (k.as_bytes(), Some("x"))).collect::<Vec<_>>()).map(drop)
    };
    for _ in 0..3 {
        for _ in 0..10 {
            overwrite(&mut d)?;
        }
        d.pin()?;
    }
    overwrite(&mut d)?;
    d.store.prune(&d.keep(&[]))?;
    let most = d.store.verify()?.records;
    holds(most <= 50, format!("three pins and the head need 40 records, not {most}"))?;
    d.pins.clear();
    d.store.prune(&d.keep(&[]))?;
    let least = d.store.verify()?.records;
    holds(least <= 15, format!("the head needs 10 records, not {least}"))?;
    d.check_head("the head")?;
    d.commit(&keys.iter().map(|k| (k.as_bytes(), None)).collect::<Vec<_>>())?;
    d.store.prune(&d.keep(&[]))?;
    let none = d.store.verify()?.records;
    holds(none <= 5, format!("an empty head needs no records, not {none}"))
}

pub(crate) fn v7_touched_names_every_key_written_between<F: StoreFactory>(
    cx: &StoreCtx<F>,
) -> CaseResult {
    let mut d = Driver::open(cx)?;
    d.commit(&[(b"a", Some("1")), (b"b", Some("1")), (b"c", Some("1"))])?;
    let one = d.pin()?;
    d.commit(&[(b"a", Some("2")), (b"n", Some("2")), (b"b", None)])?;
    d.put("n", "3")?;
    let two = d.pin()?;
    d.commit(&[(b"a", Some("4")), (b"n", None)])?;
    d.put("z", "5")?;
    d.store.prune(&d.keep(&[]))?;
    let head = d.now;
    let at = |n: u64| if n == head { d.store.snapshot() } else { d.store.snapshot_at(ts(n)) };
    for (from, to, must) in [
        (one, two, vec!["a", "b", "n"]),
        (two, head, vec!["a", "n", "z"]),
        (one, head, vec!["a", "b", "z"]),
    ] {
        for range in [KeyRange::all(), KeyRange::from("b".."o"), KeyRange::from("q".."b")] {
            let keys: Result<Vec<Bytes>> = d.store.touched(&at(from)?, &at(to)?, &range)?.collect();
            let keys = keys?;
            holds(keys.is_sorted_by(|a, b| a < b), format!("{keys:?} ascend, each once"))?;
            holds(keys.iter().all(|k| range.contains(k)), format!("{keys:?} are in {range}"))?;
            for key in must.iter().filter(|k| range.contains(k.as_bytes())) {
                let named = keys.iter().any(|k| *k == key.as_bytes());
                holds(named, format!("{key} is touched between {from} and {to}: {keys:?}"))?;
            }
        }
    }
    Ok(())
}

pub(crate) fn c1_changes_yield_the_logged_commits<F: StoreFactory>(cx: &StoreCtx<F>) -> CaseResult {
    let mut d = Driver::open(cx)?;
    d.history = true;
    d.commit(&[(b"b", Some("1")), (b"a", Some("1"))])?;
    d.commit(&[(b"a", None), (b"never", None)])?;
    d.commit(&[(b"a", Some(""))])?;
    d.store.prune(&d.keep(&[]))?;
    let want = [
        (1, vec![("a", Some("1")), ("b", Some("1"))]),
        (2, vec![("a", None), ("never", None)]),
        (3, vec![("a", Some(""))]),
    ];
    for from in 0..=3u64 {
        for to in from..=3 {
            let changes = d.store.changes(ts(from), &d.store.snapshot_at(ts(to))?)?;
            let got: Result<Vec<_>> = changes
                .map(|c| {
                    c.map(|c| {
                        let shown =
                            |(k, v): (Bytes, Option<Bytes>)| (text(&k), v.map(|v| text(&v)));
                        (c.commit_ts.get(), c.writes.into_iter().map(shown).collect::<Vec<_>>())
                    })
                })
                .collect();
            let inside = want.iter().filter(|(n, _)| from < *n && *n <= to);
            let want: Vec<_> = inside
                .map(|(n, writes)| {
                    let owned =
                        |(k, v): &(&str, Option<&str>)| ((*k).to_owned(), v.map(str::to_owned));
                    (*n, writes.iter().map(owned).collect::<Vec<_>>())
                })
                .collect();
            same(format!("after {from}, up to {to}"), got?, want)?;
        }
    }
    Ok(())
}

pub(crate) fn v3_what_is_known_of_the_previous_record_is_only_a_hint<F: StoreFactory>(
    cx: &StoreCtx<F>,
) -> CaseResult {
    let mut d = Driver::open(cx)?;
    d.commit(&[(b"known", Some("1")), (b"unknown", Some("1"))])?;
    d.pin()?;
    let before = d.store.snapshot()?;
    let mut commit = d.next(&[(b"known", Some("2")), (b"unknown", Some("2")), (b"new", Some("2"))]);
    for write in &mut commit.writes {
        write.previous = match &write.key[..] {
            b"known" => before.get(b"known")?.map_or(Previous::Absent, Previous::Record),
            b"new" => Previous::Absent,
            _ => Previous::Unknown,
        };
    }
    d.apply(vec![commit])?;
    d.store.publish(ts(d.now));
    d.check_head("the head")?;
    d.check_pins("what was superseded")?;
    d.store.prune(&d.keep(&[]))?;
    d.check_pins("what was superseded, after a prune")
}

/// The catalog as text.
fn catalog(recovered: &vellum_core::Recovered) -> Vec<(String, String)> {
    recovered.catalog.iter().map(|(k, v)| (text(k), text(v))).collect()
}

pub(crate) fn d2_catalog_comes_back_with_its_commit<F: StoreFactory>(
    cx: &StoreCtx<F>,
) -> CaseResult {
    let mut d = Driver::open(cx)?;
    let entry = |key: &[u8], value: Option<&str>| CatalogWrite {
        key: Bytes::copy_from_slice(key),
        value: value.map(|v| Bytes::copy_from_slice(v.as_bytes())),
    };
    let long = [0xff; 64];
    let mut first = d.next(&[(b"a", Some("1"))]);
    first.catalog =
        vec![entry(b"v\0\x01", Some("one")), entry(b"h", Some("")), entry(&long, Some("x"))];
    let mut second = d.next(&[]);
    second.catalog = vec![entry(b"v\0\x02", Some("two")), entry(b"h", None)];
    d.apply(vec![first, second])?;
    d.store.publish(ts(2));
    d.check_head("the catalog is apart from the records")?;
    d.store.close()?;
    let (states, now) = (std::mem::take(&mut d.states), d.now);
    drop(d);
    let store = cx.factory.open()?;
    let recovered = store.recover()?;
    same("the last timestamp", recovered.last_ts, ts(now))?;
    let want = [("v\\x00\\x01", "one"), ("v\\x00\\x02", "two"), (&text(&long), "x")];
    let want: Vec<_> = want.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    same("the catalog, in key order", catalog(&recovered), want)?;
    let d = Driver { store, now, pins: Vec::new(), history: false, states };
    d.check_head("after reopening")
}

pub(crate) fn d6_records_come_back<F: StoreFactory>(cx: &StoreCtx<F>) -> CaseResult {
    let mut d = Driver::open(cx)?;
    for round in 0..4u32 {
        for n in 0..6u32 {
            let value = format!("{round}.{n}");
            let key = format!("k{}", n % 4);
            let gone = (round + n) % 5 == 0;
            d.commit(&[(key.as_bytes(), (!gone).then_some(value.as_str())), (b"e", Some(""))])?;
        }
        d.pin()?;
        if round % 2 == 0 {
            d.store.sync()?;
        }
        d.store.close()?;
        let Driver { store, now, pins, history, states } = d;
        drop(store);
        let store = cx.factory.open()?;
        same("the last timestamp", store.recover()?.last_ts, ts(now))?;
        d = Driver { store, now, pins, history, states };
        d.check_head("after reopening")?;
        d.check_pins("after reopening")?;
        d.store.prune(&d.keep(&[]))?;
        d.check_pins("after reopening and a prune")?;
    }
    Ok(())
}

pub(crate) fn d4_sound_store_is_found_sound<F: StoreFactory>(cx: &StoreCtx<F>) -> CaseResult {
    let mut d = Driver::open(cx)?;
    d.store.verify()?;
    d.pin()?;
    for n in 0..10u32 {
        d.put("k", &n.to_string())?;
    }
    d.commit(&[(b"gone", None)])?;
    let report = d.store.verify()?;
    holds(report.records >= 1, format!("{report:?} covers the head"))?;
    d.store.prune(&d.keep(&[]))?;
    d.store.verify()?;
    Ok(())
}

pub(crate) fn l2_closing_twice_is_fine<F: StoreFactory>(cx: &StoreCtx<F>) -> CaseResult {
    let mut d = Driver::open(cx)?;
    d.put("a", "1")?;
    d.store.close()?;
    d.store.close()?;
    Ok(())
}
