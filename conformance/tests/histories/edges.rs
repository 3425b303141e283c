//! What a recording may hold besides commits and conflicts: outcomes that
//! nobody knows, contents from before, and its way into other notations.

use std::collections::{BTreeMap, BTreeSet};

use vellum_conformance::history::{
    Change, Class, ElleFormat, Event, History, Kind, Op, Outcome, Span, State, Txn, TxnKind,
    Workload, check, run,
};
use vellum_core::{Bytes, ConnectionExt, Isolation, Options, Timestamp, WriteTxn};

pub(crate) fn get(key: &'static str, value: Option<&'static str>) -> Op {
    Op::Get { key: key.into(), value: value.map(Bytes::from), validated: true }
}

pub(crate) fn put(key: &'static str, value: &'static str) -> Op {
    Op::Put { key: key.into(), value: value.into() }
}

/// A history of transactions one after another, each of a session of its own,
/// with the snapshots given; it begins with `x` = 0.
pub(crate) fn serial(txns: Vec<(u64, Vec<Op>, Outcome)>) -> History {
    let state = State { items: vec![("x".into(), "0".into())], ..State::default() };
    let mut history = History { states: vec![state], ..History::default() };
    for (n, (snapshot, ops, outcome)) in txns.into_iter().enumerate() {
        let tick = 4 * n as u64;
        let isolation = Isolation::Serializable;
        history.txns.push(Txn {
            session: u32::try_from(n).unwrap(),
            kind: TxnKind::Write { isolation, detects_write_conflicts: true },
            began: Span::new(tick, tick + 1),
            snapshot: Timestamp::new(snapshot),
            ops,
            ended: Span::new(tick + 2, tick + 3),
            outcome,
        });
    }
    history
}

pub(crate) fn class(history: &History) -> Option<Class> {
    check(history).err().map(|anomaly| anomaly.class())
}

#[test]
fn histories_with_an_unknown_outcome_are_judged_by_what_was_seen_of_it() {
    let unknown = || (0, vec![put("x", "1"), put("y", "1")], Outcome::Unknown);
    let reads = |ts, x, y| (ts, vec![get("x", x), get("y", y)], Outcome::ReadOnly);
    let (old, new) = (reads(0, Some("0"), None), reads(1, Some("1"), Some("1")));
    let cases = [
        ("nobody looked", vec![unknown()], true),
        ("seen", vec![unknown(), new.clone()], true),
        ("not seen", vec![unknown(), old.clone()], true),
        ("seen late: it was applied meanwhile", vec![unknown(), old.clone(), new.clone()], true),
        ("seen and then not", vec![unknown(), new.clone(), old], false),
        ("seen in half", vec![unknown(), reads(1, Some("1"), None)], false),
        (
            "seen at two timestamps in turn",
            { vec![unknown(), new, (2, vec![get("x", Some("0"))], Outcome::ReadOnly)] },
            false,
        ),
        (
            "seen by a snapshot from before it",
            vec![unknown(), reads(0, Some("1"), Some("1"))],
            false,
        ),
    ];
    for (name, txns, accepted) in cases {
        let verdict = class(&serial(txns));
        assert_eq!(verdict.is_none(), accepted, "{name}: {verdict:?}");
        assert_ne!(verdict, Some(Class::Undecided), "{name}");
    }
}

#[test]
fn histories_may_not_unsee_a_commit_that_is_still_under_way() {
    // Serializable in the order of timestamps, but not strictly: the second
    // reader begins after the first has seen the commit.
    let commit = (0, vec![put("x", "1")], Outcome::Committed(Timestamp::new(1)));
    let reads = |ts, x| (ts, vec![get("x", Some(x))], Outcome::ReadOnly);
    let mut history = serial(vec![commit, reads(1, "1"), reads(0, "0")]);
    history.txns[0].ended = Span::new(2, 99);
    assert_eq!(class(&history), Some(Class::RealTime));
    // Beside each other they may.
    history.txns[2].began = Span::new(3, 9);
    assert_eq!(class(&history), None);
}

#[test]
fn histories_with_an_unknown_delete_try_both_outcomes() {
    let delete = || (0, vec![Op::Delete { key: "x".into() }], Outcome::Unknown);
    let reads = |ts, x| (ts, vec![get("x", x)], Outcome::ReadOnly);
    assert_eq!(class(&serial(vec![delete(), reads(1, None)])), None);
    assert_eq!(class(&serial(vec![delete(), reads(0, Some("0"))])), None);
    assert!(class(&serial(vec![delete(), reads(1, None), reads(2, Some("0"))])).is_some());
    assert!(class(&serial(vec![delete(), reads(1, Some("2"))])).is_some());
}

#[test]
fn histories_that_lost_any_one_outcome_are_still_accepted() {
    let db = vellum_mem::open(Options::new()).unwrap();
    let workload = Workload::new().seed(11).transactions(120).keys(8).deletes(25);
    let sound = run(&db, &workload).unwrap();
    let mut lost = 0;
    for n in 0..sound.txns.len() {
        if sound.txns[n].outcome.commit_ts().is_some() {
            let mut history = sound.clone();
            history.txns[n].outcome = Outcome::Unknown;
            check(&history).unwrap_or_else(|anomaly| panic!("transaction {n}: {anomaly}"));
            lost += 1;
        }
    }
    assert!(lost > 20, "{lost}");
}

#[test]
fn histories_may_begin_with_contents_and_are_held_to_them() {
    let db = vellum_mem::open(Options::new()).unwrap();
    let workload = Workload::new().transactions(150).keys(10).deletes(10).versions(40);
    run(&db, &workload.seed(1)).unwrap();
    let mut txn = db.begin_write().unwrap();
    txn.put(b"r0001", "before").unwrap();
    txn.commit().unwrap();

    let sound = run(&db, &workload.seed(2)).unwrap();
    check(&sound).unwrap_or_else(|anomaly| panic!("{anomaly}"));
    assert!(sound.states.len() > 1, "the head and what was saved");
    let head = sound.states.iter().position(|s| s.version.is_none()).unwrap();
    assert!(sound.origin() > Timestamp::new(0) && !sound.states[head].items.is_empty());

    // Without its contents, or with others, its reads have no writer.
    let mut empty = sound.clone();
    empty.states[head].items.clear();
    assert!(check(&empty).is_err());
    let mut other = sound;
    for (_, value) in &mut other.states[head].items {
        *value = "another".into();
    }
    assert!(check(&other).is_err());
}

#[test]
fn histories_with_too_many_unknown_outcomes_are_not_decided() {
    let keys = ["x", "a", "b", "c", "d", "e", "f", "g"];
    let unknown = |key| (0, vec![put(key, "1")], Outcome::Unknown);
    let mut txns: Vec<_> = keys.map(unknown).into();
    // All were seen, at any of many timestamps,
    let all = keys.map(|key| get(key, Some("1"))).into();
    txns.push((30, all, Outcome::ReadOnly));
    assert_eq!(class(&serial(txns.clone())), None);
    // and then the first was not.
    txns.push((31, vec![get("x", Some("0"))], Outcome::ReadOnly));
    assert_eq!(class(&serial(txns)), Some(Class::Undecided));

    // No order comes to an end: what the last one put was there before it.
    let delete = |n: u32| (0, vec![Op::Delete { key: n.to_string().into() }], Outcome::Unknown);
    let mut txns: Vec<_> = (0..13).map(delete).collect();
    txns.push((0, vec![put("x", "9")], Outcome::Unknown));
    txns.push((0, vec![get("x", Some("9"))], Outcome::ReadOnly));
    assert_eq!(class(&serial(txns)), Some(Class::Undecided));
}

#[test]
fn revert_that_changed_nothing_without_a_timestamp_is_rejected() {
    let revert = |ts| {
        let what = Change::Revert { to: None, source: None, ts };
        let mut history = serial(vec![]);
        history.states[0].items.clear();
        history.events.push(Event { session: 0, span: Span::new(10, 11), what });
        class(&history)
    };
    assert_eq!(revert(Some(Timestamp::new(1))), None);
    assert_eq!(revert(None), Some(Class::Versions));
}

#[test]
fn histories_are_not_held_to_a_past_that_nobody_knows() {
    let mut history = serial(vec![(3, vec![get("x", Some("before"))], Outcome::ReadOnly)]);
    history.states[0].ts = Timestamp::new(7);
    history.txns[0].kind = TxnKind::ReadAsOf(Timestamp::new(3));
    let verified = check(&history).unwrap();
    assert_eq!((verified.unchecked, verified.reads), (1, 0));
    // What was captured then is known.
    let captured = State { ts: Timestamp::new(3), ..history.states[0].clone() };
    history.states.insert(0, captured);
    assert_eq!(class(&history), Some(Class::Garbage));
}

#[test]
fn histories_come_back_from_their_lines_with_every_outcome() {
    let outcomes = [
        Outcome::Committed(Timestamp::new(1)),
        Outcome::ReadOnly,
        Outcome::Conflict,
        Outcome::Discarded,
        Outcome::Unknown,
    ];
    let ops = || vec![get("x", Some("0")), put("x", "1"), Op::Delete { key: "x".into() }];
    let history = serial(outcomes.into_iter().map(|outcome| (0, ops(), outcome)).collect());
    let mut lines = Vec::new();
    history.write_to(&mut lines).unwrap();
    assert_eq!(History::read_from(&lines[..]).unwrap(), history);
}

fn in_elle(history: &History, format: ElleFormat) -> String {
    let mut out = Vec::new();
    history.write_elle(format, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn histories_of_lists_say_the_same_in_every_notation() {
    let db = vellum_mem::open(Options::new()).unwrap();
    let workload = Workload::new().seed(5).transactions(120).keys(6).kind(Kind::ListAppend);
    let mut history = run(&db, &workload).unwrap();
    let some = history.txns.iter_mut().find(|t| t.outcome.commit_ts().is_some());
    some.unwrap().outcome = Outcome::Unknown;
    let text = |format| in_elle(&history, format);
    let (lines, array, edn) =
        (text(ElleFormat::Json), text(ElleFormat::JsonArray), text(ElleFormat::Edn));
    assert!(array.starts_with('[') && array.trim_end().ends_with(']'));
    let read = [
        adya::History::from_json(&lines).unwrap(),
        adya::History::from_json(&array).unwrap(),
        adya::History::from_edn(&edn).unwrap(),
    ];
    // Numbers of names are given in the order of the text, which is the same.
    let said = |h: &adya::History| {
        let show = |op: &adya::history::Op| (op.kind, op.process, format!("{:?}", op.value));
        h.ops.iter().map(show).collect::<Vec<_>>()
    };
    let of_the_head = history.txns.iter().filter(|t| t.kind.is_of_the_head()).count();
    assert_eq!(read[0].ops.len(), 2 * of_the_head);
    assert!(lines.contains("\"info\"") && edn.contains(":info"));
    assert_eq!(said(&read[0]), said(&read[1]));
    assert_eq!(said(&read[0]), said(&read[2]));
}

#[test]
fn process_in_the_notation_of_elle_has_one_transaction_open_and_none_after_an_unknown_one() {
    let db = vellum_mem::open(Options::new()).unwrap();
    let workload = Workload::new().seed(6).transactions(120).keys(6).kind(Kind::ListAppend);
    // Of each thread, a reader may be open beside the transaction that it runs.
    let open = 2 * workload.threads as usize;
    let mut history = run(&db, &workload).unwrap();
    let committed = history.txns.iter_mut().filter(|t| t.outcome.commit_ts().is_some());
    committed.step_by(10).for_each(|t| t.outcome = Outcome::Unknown);
    let read = adya::History::from_json(&in_elle(&history, ElleFormat::Json)).unwrap();
    let mut of_process = BTreeMap::<String, Vec<String>>::new();
    for op in &read.ops {
        let kinds = of_process.entry(format!("{:?}", op.process)).or_default();
        kinds.push(format!("{:?}", op.kind).to_lowercase());
    }
    let unknown = of_process.values().flatten().filter(|kind| *kind == "info").count();
    assert!(unknown > 5, "{of_process:?}");
    for kinds in of_process.values() {
        assert!(kinds.iter().step_by(2).all(|kind| kind == "invoke"), "{kinds:?}");
        assert!(kinds.iter().skip(1).step_by(2).all(|kind| kind != "invoke"), "{kinds:?}");
        let ends = kinds.iter().position(|kind| kind == "info");
        assert!(ends.is_none_or(|at| at + 1 == kinds.len()), "{kinds:?}");
    }
    assert!(of_process.len() <= unknown + open, "{of_process:?}");
    // From 0 on.
    let numbers: Vec<_> = (0..of_process.len()).map(|n| format!("{n}")).collect();
    let given: BTreeSet<_> =
        of_process.keys().map(|p| p.replace(|c: char| !c.is_ascii_digit(), "")).collect();
    assert_eq!(given, numbers.into_iter().collect());
}
