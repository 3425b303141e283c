//! What is told of histories that were rejected, word for word: who could not have come
//! before whom, through which keys, and what each of them did with these.

use vellum_conformance::history::{
    Change, Class, Event, History, Op, Outcome, RangeRead, Span, Txn, TxnKind, check,
};
use vellum_core::{Bytes, Isolation, KeyRange, Timestamp, Version};

use super::classes::{Deeds, at, nothing_in, of_each_class, together};
use super::edges::{get, put, serial};

/// One transaction after the other is added, all of them open at once.
fn with(mut history: History, txns: Vec<(u64, Deeds)>) -> History {
    for (snapshot, (ops, outcome)) in txns {
        let n = history.txns.len() as u64;
        let isolation = Isolation::Serializable;
        history.txns.push(Txn {
            session: u32::try_from(n).unwrap(),
            kind: TxnKind::Write { isolation, detects_write_conflicts: true },
            began: Span::new(n, 60 + n),
            snapshot: Timestamp::new(snapshot),
            ops,
            ended: Span::new(50, 80 + n),
            outcome,
        });
    }
    history
}

/// `x` = 0, saved as version 1; then `x` and `y` become 1, and what follows at @2.
fn with_event(what: Change, reader: Vec<Op>) -> History {
    let mut history = serial(vec![(0, vec![put("x", "1"), put("y", "1")], at(1))]);
    history.states[0].version = Some(Version::new(1));
    history.events.push(Event { session: 7, span: Span::new(4, 5), what });
    let mut history = with(history, vec![(2, (reader, Outcome::ReadOnly))]);
    let reader = history.txns.last_mut().unwrap();
    (reader.began, reader.ended) = (Span::new(4, 6), Span::new(7, 8));
    history
}

fn range(range: impl Into<KeyRange>, front: &[&str], back: &[&str], ended: bool) -> Op {
    let items = |keys: &[&str]| {
        keys.iter().map(|k| (Bytes::from((*k).to_owned()), Bytes::from("1"))).collect()
    };
    let (front, back) = (items(front), items(back));
    Op::Range(RangeRead { range: range.into(), front, back, ended, validated: true })
}

/// Each with a name.
fn rejected() -> Vec<(String, History)> {
    let mut all: Vec<_> = of_each_class()
        .into_iter()
        .map(|(class, first, second, ..)| (class.name().to_owned(), together([(0, first), second])))
        .collect();
    let mut add = |name: &str, history| all.push((name.to_owned(), history));
    let empty = || serial(vec![]);
    let skew = |reads: &'static str, writes: &'static str, ts| {
        (0, (vec![get(reads, None), put(writes, "1")], at(ts)))
    };
    let ring = || vec![skew("a", "b", 1), skew("b", "c", 2), skew("c", "a", 3)];
    add("a circle of three", with(empty(), ring()));
    let mut more = ring();
    more.insert(1, (0, (vec![get("c", None), put("d", "1")], at(4))));
    more.push((0, (vec![get("d", None), put("a", "2")], at(5))));
    add("the shorter of two circles", with(empty(), more));
    let zero = || get("x", Some("0"));
    let both = |value| (0, (vec![zero(), put("x", value)], at(if value == "1" { 1 } else { 2 })));
    let mut worse = vec![both("1"), both("2")];
    worse.push((2, (vec![get("b", Some("1")), put("a", "1")], at(3))));
    worse.push((2, (vec![get("a", Some("1")), put("b", "1")], at(4))));
    add("two circles, one of them worse", with(empty(), worse));
    // The first to be wrong is on no circle.
    let mut elsewhere = vec![(0, (vec![get("lost", Some("gone"))], Outcome::ReadOnly))];
    elsewhere.extend(ring());
    add("a value that nobody wrote, and a circle", with(empty(), elsewhere));

    let revert = |to: Option<u64>| Change::Revert {
        to: to.map(Version::new),
        source: Some(Timestamp::ZERO),
        ts: Some(Timestamp::new(2)),
    };
    let torn = || vec![zero(), get("y", Some("1"))];
    add("a revert seen in half", with_event(revert(None), torn()));
    add("a revert to a version seen in half", with_event(revert(Some(1)), torn()));
    let restore = Change::Restore {
        source: Timestamp::ZERO,
        range: KeyRange::all(),
        ts: Some(Timestamp::new(2)),
    };
    add("a restore seen in half", with_event(restore, torn()));

    let writes = || {
        let keys = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
        (0, (keys.iter().map(|key| put(key, "1")).collect(), at(1)))
    };
    let all_of_it = range("a".."k", &["a", "b", "c", "d", "e"], &["i", "g", "f"], false);
    add(
        "a range that misses one at its back",
        with(empty(), vec![writes(), (1, (vec![all_of_it], Outcome::ReadOnly))]),
    );
    let (front, back) = (range("a".."c", &["a"], &[], true), range("d".., &[], &["i"], false));
    let halves = vec![front, back, get("c", None), put("x", "2")];
    add("several keys of one other", with(empty(), vec![writes(), (0, (halves, at(2)))]));
    let snapshot = TxnKind::Write { isolation: Isolation::Snapshot, detects_write_conflicts: true };
    let mut lost = with(empty(), vec![both("1"), both("2")]);
    lost.txns[1].kind = snapshot;
    add("an update lost under snapshot isolation", lost);
    let mut often = vec![zero(); 9];
    often.push(put("x", "2"));
    let long: &str =
        "a value of which the story tells only the end, as it is there that they differ";
    let first = (0, (vec![zero(), put("x", long)], at(1)));
    add("many reads, and a long value", with(empty(), vec![first, (0, (often, at(2)))]));
    let forty: &str = "a value of forty bytes, told as a whole.";
    let read = (vec![get("x", Some(forty)), Op::Delete { key: "y".into() }], at(1));
    add("a value as long as is told", with(empty(), vec![(0, read)]));
    let mut of_the_past = with(empty(), vec![both("1"), (1, (vec![zero()], Outcome::ReadOnly))]);
    of_the_past.txns[1].kind = TxnKind::ReadAsOf(Timestamp::new(1));
    add("a reader of the past", of_the_past.clone());
    // A circle that has no part in what was noticed first.
    let ring = [skew("a", "b", 2), skew("b", "c", 3), skew("c", "a", 4)];
    add("a reader of the past, and a circle", with(of_the_past, ring.into()));

    // One after the other in real time, with another in between.
    let nothing = || (0, vec![], Outcome::Discarded);
    let late = (0, vec![zero(), nothing_in(("y"..).into())], Outcome::ReadOnly);
    let first = (0, vec![put("x", "1"), put("y", "1")], at(1));
    let mut chain = serial(vec![first, nothing(), nothing(), late]);
    chain.txns[3].kind = TxnKind::Read;
    add("read too early in real time", chain);
    let nothing = || (1, vec![], Outcome::Discarded);
    let first = (0, vec![put("x", "1")], at(1));
    let mut chain = serial(vec![first, nothing(), nothing(), (1, vec![zero()], Outcome::ReadOnly)]);
    chain.txns[3].kind = TxnKind::Read;
    add("an old value, long after the new one", chain);
    all
}

#[test]
fn what_was_rejected_is_told_word_for_word() {
    let mut told = String::new();
    for (name, history) in rejected() {
        let anomaly = check(&history).expect_err(&name);
        assert_ne!(anomaly.class(), Class::Undecided, "{name}");
        told += &format!("== {name}: {:?}\n{anomaly}\n\n", anomaly.transactions());
    }
    assert!(told == STORIES, "{told}");
}

const STORIES: &str = include_str!("stories.txt");
