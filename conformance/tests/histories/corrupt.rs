//! Corruptions of sound histories, each of which changes something that the
//! checker must notice.
//!
//! A corruption is a no-op exactly where it finds no place that fits what it
//! says of itself below; it then answers `false` and leaves the history as it
//! was. Wherever it answers `true`, the history is wrong: values are unique, so
//! that no other explanation is left.

use vellum_conformance::Rng;
use vellum_conformance::history::{Change, History, Op, Outcome, Txn, TxnKind};
use vellum_core::{Bytes, Timestamp};

pub(crate) type Corruption = fn(&mut History, &mut Rng) -> bool;

pub(crate) const ALL: &[(&str, Corruption)] = &[
    ("a get answers another value", flip_get),
    ("a get answers nothing", get_nothing),
    ("a get of nothing answers a value", get_something),
    ("a range misses an item between others", drop_item),
    ("a range repeats an item", repeat_item),
    ("a range shows another value", flip_item),
    ("a range ends early", end_early),
    ("the timestamps of two commits are swapped", swap_timestamps),
    ("a timestamp comes twice", repeat_timestamp),
    ("a write that was read is dropped", drop_write),
    ("a commit that was read is called discarded", discard_commit),
    ("a discarded write is read", resurrect),
    ("a delete that hid a value is dropped", drop_delete),
    ("a snapshot is older than a commit that had returned", stale_snapshot),
    ("a snapshot is newer than its reads", newer_snapshot),
    ("a commit returns before a reader that missed it begins", reorder_time),
    ("a version holds another value", flip_version),
    ("a version is read after its deletion", read_deleted),
    ("an own write is not seen", own_write),
];

/// A place at random among all that fit; `None` if none does.
fn pick<T>(rng: &mut Rng, places: Vec<T>) -> Option<T> {
    let n = usize::try_from(rng.below(places.len() as u64)).ok()?;
    places.into_iter().nth(n)
}

fn ops<'h>(
    history: &'h History,
    fits: impl Fn(&'h Txn, &'h Op, usize) -> bool,
) -> Vec<(usize, usize)> {
    let mut places = Vec::new();
    for (t, txn) in history.txns.iter().enumerate() {
        for (o, op) in txn.ops.iter().enumerate() {
            if fits(txn, op, o) {
                places.push((t, o));
            }
        }
    }
    places
}

/// Any get: the value becomes one that nobody wrote.
fn flip_get(h: &mut History, rng: &mut Rng) -> bool {
    let places = ops(h, |_, op, _| matches!(op, Op::Get { .. }));
    let Some((t, o)) = pick(rng, places) else { return false };
    if let Op::Get { value, .. } = &mut h.txns[t].ops[o] {
        *value = Some("corrupt".into());
    }
    true
}

/// A get that found something.
fn get_nothing(h: &mut History, rng: &mut Rng) -> bool {
    let places = ops(h, |_, op, _| matches!(op, Op::Get { value: Some(_), .. }));
    let Some((t, o)) = pick(rng, places) else { return false };
    if let Op::Get { value, .. } = &mut h.txns[t].ops[o] {
        *value = None;
    }
    true
}

/// A get that found nothing, of a key that somebody wrote.
fn get_something(h: &mut History, rng: &mut Rng) -> bool {
    let places = ops(h, |_, op, _| matches!(op, Op::Get { value: None, .. }));
    let Some((t, o)) = pick(rng, places) else { return false };
    let Op::Get { key, .. } = &h.txns[t].ops[o] else { return false };
    let written = h.txns.iter().flat_map(|t| &t.ops).find_map(|op| match op {
        Op::Put { key: k, value } if k == key => Some(value.clone()),
        _ => None,
    });
    let Some(written) = written else { return false };
    if let Op::Get { value, .. } = &mut h.txns[t].ops[o] {
        *value = Some(written);
    }
    true
}

/// A range that yielded two items from its front: the first one goes.
fn drop_item(h: &mut History, rng: &mut Rng) -> bool {
    let places = ops(h, |_, op, _| matches!(op, Op::Range(r) if r.front.len() > 1));
    let Some((t, o)) = pick(rng, places) else { return false };
    if let Op::Range(read) = &mut h.txns[t].ops[o] {
        read.front.remove(0);
    }
    true
}

/// A range that yielded an item from its front: it comes twice.
fn repeat_item(h: &mut History, rng: &mut Rng) -> bool {
    let places = ops(h, |_, op, _| matches!(op, Op::Range(r) if !r.front.is_empty()));
    let Some((t, o)) = pick(rng, places) else { return false };
    if let Op::Range(read) = &mut h.txns[t].ops[o] {
        let first = read.front[0].clone();
        read.front.insert(0, first);
    }
    true
}

/// A range that yielded an item from its back: its value changes.
fn flip_item(h: &mut History, rng: &mut Rng) -> bool {
    let places = ops(h, |_, op, _| matches!(op, Op::Range(r) if !r.back.is_empty()));
    let Some((t, o)) = pick(rng, places) else { return false };
    if let Op::Range(read) = &mut h.txns[t].ops[o] {
        read.back[0].1 = "corrupt".into();
    }
    true
}

/// A range that yielded an item from its front: it is said to have ended just
/// before it.
fn end_early(h: &mut History, rng: &mut Rng) -> bool {
    let places = ops(h, |_, op, _| matches!(op, Op::Range(r) if !r.front.is_empty()));
    let Some((t, o)) = pick(rng, places) else { return false };
    if let Op::Range(read) = &mut h.txns[t].ops[o] {
        read.front.pop();
        read.ended = true;
    }
    true
}

/// Two commits of which the first had returned before the second was called.
fn swap_timestamps(h: &mut History, rng: &mut Rng) -> bool {
    let committed: Vec<usize> =
        (0..h.txns.len()).filter(|t| h.txns[*t].outcome.commit_ts().is_some()).collect();
    let Some(a) = pick(rng, committed.clone()) else { return false };
    let after = |b: &usize| h.txns[a].ended.is_before(h.txns[*b].ended);
    let Some(b) = pick(rng, committed.into_iter().filter(after).collect()) else { return false };
    let outcome = h.txns[a].outcome;
    h.txns[a].outcome = h.txns[b].outcome;
    h.txns[b].outcome = outcome;
    true
}

/// Any two commits.
fn repeat_timestamp(h: &mut History, rng: &mut Rng) -> bool {
    let committed: Vec<usize> =
        (0..h.txns.len()).filter(|t| h.txns[*t].outcome.commit_ts().is_some()).collect();
    let Some(a) = pick(rng, committed.clone()) else { return false };
    let Some(b) = pick(rng, committed.into_iter().filter(|b| *b != a).collect()) else {
        return false;
    };
    h.txns[b].outcome = h.txns[a].outcome;
    true
}

/// Whether another transaction saw this value.
fn is_read(h: &History, by_other_than: usize, key: &Bytes, value: &Bytes) -> bool {
    h.txns.iter().enumerate().filter(|(t, _)| *t != by_other_than).any(|(_, txn)| {
        txn.ops.iter().any(|op| match op {
            Op::Get { key: k, value: Some(v), .. } => k == key && v == value,
            Op::Range(r) => r.front.iter().chain(&r.back).any(|(k, v)| k == key && v == value),
            _ => false,
        })
    })
}

/// A committed put of a value that another transaction saw.
fn drop_write(h: &mut History, rng: &mut Rng) -> bool {
    let Some((t, o)) = read_put(h, rng) else { return false };
    h.txns[t].ops.remove(o);
    true
}

fn read_put(h: &History, rng: &mut Rng) -> Option<(usize, usize)> {
    let committed =
        ops(h, |txn, op, _| txn.outcome.commit_ts().is_some() && matches!(op, Op::Put { .. }));
    for _ in 0..50 {
        let (t, o) = pick(rng, committed.clone())?;
        let Op::Put { key, value } = &h.txns[t].ops[o] else { continue };
        if is_read(h, t, key, value) {
            return Some((t, o));
        }
    }
    None
}

/// The same, of the whole transaction.
fn discard_commit(h: &mut History, rng: &mut Rng) -> bool {
    let Some((t, _)) = read_put(h, rng) else { return false };
    h.txns[t].outcome = Outcome::Discarded;
    true
}

/// A put that was discarded, and a get of its key by another transaction which
/// did not write the key.
fn resurrect(h: &mut History, rng: &mut Rng) -> bool {
    let discarded = ops(h, |txn, op, _| txn.outcome.is_aborted() && matches!(op, Op::Put { .. }));
    let Some((w, o)) = pick(rng, discarded) else { return false };
    let Op::Put { key, value } = h.txns[w].ops[o].clone() else { return false };
    let gets: Vec<_> = ops(h, |_, op, _| matches!(op, Op::Get { key: k, .. } if *k == key))
        .into_iter()
        .filter(|(t, _)| *t != w)
        .collect();
    let Some((t, o)) = pick(rng, gets) else { return false };
    if let Op::Get { value: v, .. } = &mut h.txns[t].ops[o] {
        *v = Some(value);
    }
    true
}

/// A committed transaction that reads a value, deletes the key and does nothing
/// else to it, and another that reads nothing there before anybody else wrote
/// the key.
fn drop_delete(h: &mut History, rng: &mut Rng) -> bool {
    let writes = |txn: &Txn, key: &Bytes| {
        txn.ops
            .iter()
            .any(|op| matches!(op, Op::Put { key: k, .. } | Op::Delete { key: k } if k == key))
    };
    let mut places = Vec::new();
    for (t, o) in
        ops(h, |txn, op, _| txn.outcome.commit_ts().is_some() && matches!(op, Op::Delete { .. }))
    {
        let txn = &h.txns[t];
        let Op::Delete { key } = &txn.ops[o] else { continue };
        let Some(ts) = txn.outcome.commit_ts() else { continue };
        let once = txn.ops.iter().enumerate().all(|(n, op)| {
            n == o || !matches!(op, Op::Put { key: k, .. } | Op::Delete { key: k } if k == key)
        });
        // The newest write before it must have left a value, and nobody may
        // have restored or reverted.
        let before = h
            .txns
            .iter()
            .filter(|w| w.outcome.commit_ts().is_some_and(|c| c < ts) && writes(w, key))
            .max_by_key(|w| w.outcome.commit_ts());
        let held = before.is_some_and(|w| {
            let last = w.ops.iter().rfind(
                |op| matches!(op, Op::Put { key: k, .. } | Op::Delete { key: k } if k == key),
            );
            matches!(last, Some(Op::Put { .. }))
        });
        let next = h
            .txns
            .iter()
            .filter_map(|w| w.outcome.commit_ts().filter(|c| *c > ts && writes(w, key)))
            .min()
            .unwrap_or(Timestamp::MAX);
        let taken_back = h
            .events
            .iter()
            .any(|e| matches!(e.what, Change::Revert { .. } | Change::Restore { .. }));
        let seen = h.txns.iter().any(|r| {
            r.snapshot >= ts
                && r.snapshot < next
                && !writes(r, key)
                && r.ops
                    .iter()
                    .any(|op| matches!(op, Op::Get { key: k, value: None, .. } if k == key))
        });
        if once && held && !taken_back && seen {
            places.push((t, o));
        }
    }
    let Some((t, o)) = pick(rng, places) else { return false };
    h.txns[t].ops.remove(o);
    true
}

/// A reader of the head that began after a commit had returned: its snapshot
/// is set below that commit.
fn stale_snapshot(h: &mut History, rng: &mut Rng) -> bool {
    let of_the_head: Vec<usize> =
        (0..h.txns.len()).filter(|t| h.txns[*t].kind == TxnKind::Read).collect();
    let Some(t) = pick(rng, of_the_head) else { return false };
    let began = h.txns[t].began;
    let newest = h
        .txns
        .iter()
        .filter(|w| w.ended.is_before(began))
        .filter_map(|w| w.outcome.commit_ts())
        .max();
    let Some(newest) = newest else { return false };
    h.txns[t].snapshot = newest.prev();
    true
}

/// A reader that did not see a later commit of a key that it read: its snapshot
/// is set to that commit.
fn newer_snapshot(h: &mut History, rng: &mut Rng) -> bool {
    let readers = ops(h, |txn, op, _| txn.kind == TxnKind::Read && matches!(op, Op::Get { .. }));
    for _ in 0..50 {
        let Some((t, o)) = pick(rng, readers.clone()) else { return false };
        let Op::Get { key, .. } = &h.txns[t].ops[o] else { continue };
        let later = h.txns.iter().find_map(|w| {
            let last = w.ops.iter().rfind(
                |op| matches!(op, Op::Put { key: k, .. } | Op::Delete { key: k } if k == key),
            );
            let puts = matches!(last, Some(Op::Put { .. }));
            w.outcome.commit_ts().filter(|ts| puts && *ts > h.txns[t].snapshot)
        });
        if let Some(later) = later {
            h.txns[t].snapshot = later;
            return true;
        }
    }
    false
}

/// A commit above the snapshot of a reader that began while it was under way or
/// before: it is said to have been over before.
fn reorder_time(h: &mut History, rng: &mut Rng) -> bool {
    let readers: Vec<usize> = (0..h.txns.len())
        .filter(|t| h.txns[*t].kind == TxnKind::Read && h.txns[*t].began.called > 2)
        .collect();
    let Some(t) = pick(rng, readers) else { return false };
    let (snapshot, called) = (h.txns[t].snapshot, h.txns[t].began.called);
    let above: Vec<usize> = (0..h.txns.len())
        .filter(|w| h.txns[*w].outcome.commit_ts().is_some_and(|ts| ts > snapshot))
        .collect();
    let Some(w) = pick(rng, above) else { return false };
    h.txns[w].ended.called = called - 2;
    h.txns[w].ended.returned = called - 1;
    true
}

/// A reader of a version, of an item of a range or a get with a value.
fn flip_version(h: &mut History, rng: &mut Rng) -> bool {
    let places = ops(h, |txn, op, _| {
        matches!(txn.kind, TxnKind::ReadAt(_))
            && match op {
                Op::Range(r) => !r.front.is_empty(),
                op => matches!(op, Op::Get { value: Some(_), .. }),
            }
    });
    let Some((t, o)) = pick(rng, places) else { return false };
    match &mut h.txns[t].ops[o] {
        Op::Range(read) => read.front[0].1 = "corrupt".into(),
        Op::Get { value, .. } => *value = Some("corrupt".into()),
        Op::Put { .. } | Op::Delete { .. } => return false,
    }
    true
}

/// A version that was deleted, and a reader of it: moved to the end of time.
fn read_deleted(h: &mut History, rng: &mut Rng) -> bool {
    let deleted: Vec<Timestamp> = h
        .events
        .iter()
        .flat_map(|e| match &e.what {
            Change::Delete { versions } => versions.clone(),
            _ => Vec::new(),
        })
        .collect();
    let readers: Vec<usize> = (0..h.txns.len())
        .filter(|t| {
            matches!(h.txns[*t].kind, TxnKind::ReadAt(_)) && deleted.contains(&h.txns[*t].snapshot)
        })
        .collect();
    let Some(t) = pick(rng, readers) else { return false };
    let end = h.txns.iter().map(|t| t.ended.returned).max().unwrap_or(0);
    h.txns[t].began.called = end + 1;
    h.txns[t].began.returned = end + 2;
    h.txns[t].ended.called = end + 3;
    h.txns[t].ended.returned = end + 4;
    true
}

/// A get after a put of the same key in one transaction.
fn own_write(h: &mut History, rng: &mut Rng) -> bool {
    let places = ops(h, |txn, op, o| {
        let Op::Get { key, value: Some(_), .. } = op else { return false };
        txn.ops.iter().take(o).any(|op| matches!(op, Op::Put { key: k, .. } if k == key))
    });
    let Some((t, o)) = pick(rng, places) else { return false };
    if let Op::Get { value, .. } = &mut h.txns[t].ops[o] {
        *value = None;
    }
    true
}
