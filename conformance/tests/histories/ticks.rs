//! What timestamps and ticks must be to each other, at the edges: who shares a tick
//! overlaps, and one tick more is one too many.

use vellum_conformance::history::{
    Change, Class, Event, History, Op, Outcome, RangeRead, Span, TxnKind, check,
};
use vellum_core::{KeyRange, Timestamp, Version};

use super::edges::{class, get, put, serial};

fn at(ts: u64) -> Outcome {
    Outcome::Committed(Timestamp::new(ts))
}

fn reads(x: &'static str) -> Vec<Op> {
    vec![get("x", Some(x))]
}

/// A commit at 1 and a reader at this snapshot, which both began at once.
fn commit_and_reader(snapshot: u64, x: &'static str) -> History {
    let commit = (0, vec![put("x", "1")], at(1));
    serial(vec![commit, (snapshot, reads(x), Outcome::ReadOnly)])
}

#[test]
fn histories_hold_each_transaction_to_its_own_timestamps() {
    let put = || vec![put("y", "1")];
    assert_eq!(class(&serial(vec![(3, put(), at(4))])), None);
    for ts in [2, 3] {
        assert_eq!(class(&serial(vec![(3, put(), at(ts))])), Some(Class::Timestamps));
    }
    let mut reader = serial(vec![(0, put(), Outcome::Discarded)]);
    assert_eq!(class(&reader), None);
    reader.txns[0].kind = TxnKind::Read;
    assert_eq!(class(&reader), Some(Class::Timestamps));
    let mut older = serial(vec![(7, vec![], Outcome::ReadOnly), (6, vec![], Outcome::ReadOnly)]);
    older.states[0].ts = Timestamp::new(6);
    assert_eq!(class(&older), None);
    older.states[0].ts = Timestamp::new(7);
    assert_eq!(class(&older), Some(Class::Timestamps));
}

#[test]
fn histories_let_calls_overlap_that_share_a_tick() {
    // A commit that had returned is in every later snapshot.
    let mut history = commit_and_reader(0, "0");
    history.txns[0].ended = Span::new(2, 5);
    for (called, wrong) in [(5, None), (6, Some(Class::RealTime))] {
        history.txns[1].began = Span::new(called, 9);
        assert_eq!(class(&history), wrong, "called at {called}");
    }
    // One that was not yet called is in no snapshot that was there.
    let mut history = commit_and_reader(1, "1");
    history.txns[1].began = Span::new(1, 5);
    for (called, wrong) in [(5, None), (6, Some(Class::FutureRead))] {
        history.txns[0].ended = Span::new(called, 9);
        assert_eq!(class(&history), wrong, "called at {called}");
    }
    // What one snapshot had, a later one has too.
    let mut history = commit_and_reader(1, "1");
    history.txns[0].ended = Span::new(1, 99);
    history.txns.push(history.txns[1].clone());
    history.txns[1].began = Span::new(1, 5);
    history.txns[2].snapshot = Timestamp::new(0);
    history.txns[2].ops = reads("0");
    for (called, wrong) in [(5, None), (6, Some(Class::RealTime))] {
        history.txns[2].began = Span::new(called, 9);
        assert_eq!(class(&history), wrong, "called at {called}");
    }
}

#[test]
fn histories_find_the_late_call_among_earlier_timestamps() {
    // The commit at 1 was called long after the one at 2, and after the reader.
    let commit = |key, ts| (0, vec![put(key, "1")], at(ts));
    let reader = (2, vec![get("x", Some("1")), get("y", Some("1"))], Outcome::ReadOnly);
    let mut history = serial(vec![commit("x", 1), commit("y", 2), reader]);
    history.txns[1].ended = Span::new(2, 99);
    history.txns[2].began = Span::new(3, 4);
    for (called, wrong) in [(4, None), (50, Some(Class::FutureRead))] {
        history.txns[0].ended = Span::new(called, 99);
        assert_eq!(class(&history), wrong, "called at {called}");
    }
    let anomaly = check(&history).expect_err("it saw what was not yet called");
    assert_eq!(anomaly.transactions(), [0, 2]);
    let of = |name: &str| anomaly.story().lines().any(|l| l.trim().starts_with(name));
    assert!(of("T0") && of("T2") && !of("T1"), "{anomaly}");
}

#[test]
fn histories_hold_versions_and_writers_to_the_tick() {
    let event = |span, what| Event { session: 9, span, what };
    let save =
        Change::Save { version: Version::new(1), ts: Timestamp::new(1), with_open_writers: false };
    // A version is read until its deletion has returned.
    let mut history = serial(vec![(1, reads("0"), Outcome::ReadOnly)]);
    history.txns[0].kind = TxnKind::ReadAt(Version::new(1));
    let delete = Change::Delete { versions: vec![Timestamp::new(1)] };
    history.events = vec![event(Span::new(1, 2), save.clone()), event(Span::new(3, 10), delete)];
    for (called, wrong) in [(10, None), (11, Some(Class::Versions))] {
        history.txns[0].began = Span::new(called, 20);
        assert_eq!(class(&history), wrong, "called at {called}");
    }
    // A writer that was open from before a save until after it forbids it.
    let mut history = serial(vec![(0, vec![put("y", "1")], Outcome::Discarded)]);
    history.events = vec![event(Span::new(10, 12), save)];
    for (returned, called, wrong) in [(9, 12, None), (10, 13, None), (9, 13, Some(Class::Versions))]
    {
        history.txns[0].began = Span::new(1, returned);
        history.txns[0].ended = Span::new(called, 20);
        assert_eq!(class(&history), wrong, "open from {returned} to {called}");
    }
}

#[test]
fn histories_give_no_timestamp_to_an_unknown_commit_that_it_cannot_have_had() {
    let unknown = |snapshot, key| (snapshot, vec![put(key, "1")], Outcome::Unknown);
    let commit = |key, ts| (0, vec![put(key, "1")], at(ts));
    let sees = |snapshot, keys: &[&'static str]| {
        let ops = keys.iter().map(|key| get(key, Some("1"))).collect();
        (snapshot, ops, Outcome::ReadOnly)
    };
    // Two of them need two.
    let two = |snapshot| {
        let (x, y) = (unknown(1, "x"), unknown(1, "y"));
        serial(vec![commit("z", 1), x, y, sees(snapshot, &["x", "y", "z"])])
    };
    assert_eq!((class(&two(3)), class(&two(2))), (None, Some(Class::Timestamps)));
    // It is above its own snapshot,
    let own = |snapshot| serial(vec![unknown(3, "x"), sees(snapshot, &["x"])]);
    assert_eq!((class(&own(4)), class(&own(3))), (None, Some(Class::Timestamps)));
    // above what had returned before it was called,
    let mut late = serial(vec![sees(3, &["x"]), commit("z", 5), unknown(0, "x")]);
    late.txns[0].began = Span::new(0, 99);
    late.txns[2].began = Span::new(0, 1);
    assert_eq!(class(&late), Some(Class::Timestamps));
    late.txns[1].ended = Span::new(5, 99);
    assert_eq!(class(&late), None);
    // and nobody else's.
    let beside = |snapshot| {
        let d = (1, vec![put("d", "1")], at(2));
        let mut history =
            serial(vec![commit("z", 1), d, unknown(1, "x"), sees(snapshot, &["d", "x"])]);
        history.txns[1].ended = Span::new(2, 99);
        history
    };
    assert_eq!((class(&beside(3)), class(&beside(2))), (None, Some(Class::Timestamps)));
}

#[test]
fn histories_are_counted_as_they_are_checked() {
    let items = vec![("x".into(), "1".into()), ("y".into(), "1".into())];
    let all = RangeRead {
        range: KeyRange::all(),
        front: items,
        back: vec![],
        ended: true,
        validated: true,
    };
    let mut history = serial(vec![
        (0, vec![get("x", Some("0")), put("x", "1"), put("y", "1")], at(1)),
        (1, reads("1"), Outcome::Conflict),
        (1, vec![], Outcome::Discarded),
        (1, vec![Op::Range(all)], Outcome::ReadOnly),
        (1, reads("1"), Outcome::ReadOnly),
    ]);
    history.txns[4].kind = TxnKind::ReadAsOf(Timestamp::new(1));
    let verified = check(&history).unwrap();
    assert_eq!((verified.transactions, verified.committed, verified.aborted), (5, 1, 2));
    assert_eq!((verified.operations, history.operations()), (6, 6));
    assert_eq!((verified.reads, verified.ranges, verified.past), (5, 1, 1));
    // x twice where it was read before it was written over, once elsewhere; two writes.
    assert_eq!((verified.edges, verified.events, verified.unchecked), (8, 0, 0));
}
