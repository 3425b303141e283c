//! What an anomaly is called, who has a part in it, and what its story says.

use vellum_conformance::history::{
    Class, History, Op, Outcome, RangeRead, Span, State, Txn, TxnKind, check,
};
use vellum_core::{Isolation, KeyRange, Timestamp};

use super::edges::{get, put};

/// What a transaction did, and how it ended.
pub(crate) type Deeds = (Vec<Op>, Outcome);

/// An anomaly, the deeds of the two, the second's snapshot before them; who has a
/// part in it, and a reason that the story gives.
pub(crate) type Case = (Class, Deeds, (u64, Deeds), &'static [usize], &'static str);

pub(crate) fn nothing_in(range: KeyRange) -> Op {
    let (front, back) = (Vec::new(), Vec::new());
    Op::Range(RangeRead { range, front, back, ended: true, validated: true })
}

pub(crate) fn at(ts: u64) -> Outcome {
    Outcome::Committed(Timestamp::new(ts))
}

/// Two transactions that were open at once, from the state `x` = 0 at @0, with the
/// snapshots given. The first may have committed before the second took its own.
pub(crate) fn together(txns: [(u64, Deeds); 2]) -> History {
    let state = State { items: vec![("x".into(), "0".into())], ..State::default() };
    let mut history = History { states: vec![state], ..History::default() };
    let spans = [(Span::new(0, 1), Span::new(2, 99)), (Span::new(0, 50), Span::new(60, 99))];
    for (session, ((snapshot, (ops, outcome)), (began, ended))) in
        (0..).zip(txns.into_iter().zip(spans))
    {
        history.txns.push(Txn {
            session,
            kind: TxnKind::Write {
                isolation: Isolation::Serializable,
                detects_write_conflicts: true,
            },
            began,
            snapshot: Timestamp::new(snapshot),
            ops,
            ended,
            outcome,
        });
    }
    history
}

/// One of each class that two transactions can have.
pub(crate) fn of_each_class() -> Vec<Case> {
    use Class::{
        FutureRead, G1a, G1b, G1c, G2, G2Item, GSingle, Garbage, Internal, LostUpdate,
        MissedConflict, StaleRead,
    };
    let zero = || get("x", Some("0"));
    let writes_both = || (vec![put("x", "1"), put("y", "1")], at(1));
    vec![
        (
            LostUpdate,
            (vec![zero(), put("x", "1")], at(1)),
            (0, (vec![zero(), put("x", "2")], at(2))),
            &[0, 1],
            "T1 wrote \"x\" over what T0 had written",
        ),
        (
            G2Item,
            (vec![zero(), get("y", None), put("y", "1")], at(1)),
            (0, (vec![zero(), get("y", None), put("x", "1")], at(2))),
            &[0, 1],
            "T1 read \"y\" as it was before T0 changed it",
        ),
        (
            G2,
            (vec![nothing_in(("d".."f").into()), put("a", "1")], at(1)),
            (0, (vec![nothing_in(("a".."c").into()), put("d", "1")], at(2))),
            &[0, 1],
            "T1 read \"a\" in a range as it was before T0 changed it",
        ),
        (
            GSingle,
            writes_both(),
            (0, (vec![zero(), get("y", Some("1")), put("z", "1")], at(2))),
            &[0, 1],
            "T1 read \"y\" as T0 left it",
        ),
        (
            G1c,
            (vec![get("y", Some("1")), put("x", "1")], at(1)),
            (0, (vec![get("x", Some("1")), put("y", "1")], at(2))),
            &[0, 1],
            "T0 read \"y\" as T1 left it",
        ),
        (
            G1a,
            (vec![put("x", "7")], Outcome::Conflict),
            (0, (vec![get("x", Some("7"))], Outcome::ReadOnly)),
            &[1],
            "That value is of T0",
        ),
        (
            G1b,
            (vec![put("x", "7"), put("x", "8")], at(1)),
            (1, (vec![get("x", Some("7"))], Outcome::ReadOnly)),
            &[1],
            "T0 wrote that value, and wrote over it before its commit",
        ),
        (
            Garbage,
            writes_both(),
            (1, (vec![get("x", Some("9"))], Outcome::ReadOnly)),
            &[1],
            "Nobody wrote that value to that key",
        ),
        (
            Internal,
            writes_both(),
            (1, (vec![put("x", "5"), get("x", Some("1"))], at(2))),
            &[1],
            "where it had itself written",
        ),
        (
            MissedConflict,
            (vec![put("x", "1")], at(1)),
            (0, (vec![put("x", "2")], at(2))),
            &[1],
            "one of the two should have lost",
        ),
        (
            StaleRead,
            writes_both(),
            (1, (vec![zero()], Outcome::ReadOnly)),
            &[1],
            "the state of its snapshot, at 1, holds",
        ),
        (
            FutureRead,
            writes_both(),
            (0, (vec![get("x", Some("1"))], Outcome::ReadOnly)),
            &[1],
            "the state of its snapshot, at 0, holds",
        ),
    ]
}

#[test]
fn anomalies_have_their_names_their_transactions_and_their_reasons() {
    for (class, first, second, who, why) in of_each_class() {
        let history = together([(0, first), second]);
        let anomaly = check(&history).expect_err("it is none");
        assert_eq!(anomaly.class(), class, "{anomaly}");
        let mut txns = anomaly.transactions().to_vec();
        txns.sort_unstable();
        assert_eq!(txns, who, "{class}: {anomaly}");
        assert!(anomaly.story().contains(why), "{class}: {why:?} is not in\n{anomaly}");
        // Each of a cycle comes before the next, and the last is what cannot be.
        let steps: Vec<_> =
            anomaly.story().lines().filter(|l| l.contains(" comes before ")).collect();
        let contradicts: Vec<_> = steps.iter().map(|l| l.ends_with(": a contradiction")).collect();
        assert!(steps.is_empty() || contradicts == [false, true], "{class}: {anomaly}");
    }
}

#[test]
fn cycle_through_real_time_says_who_was_over_before_whom() {
    let reader = |snapshot| {
        let reads = (vec![get("x", Some("0"))], Outcome::ReadOnly);
        together([(0, (vec![put("x", "1")], at(1))), (snapshot, reads)])
    };
    assert!(check(&reader(0)).is_ok(), "beside each other");
    for (snapshot, why) in [
        (0, "the first had returned with timestamp 1 before the second began"),
        (1, "T0 was over before T1 began"),
    ] {
        let mut history = reader(snapshot);
        history.txns[0].ended = Span::new(2, 3);
        history.txns[1].began = Span::new(4, 5);
        let anomaly = check(&history).expect_err("one after the other");
        assert_eq!(anomaly.class(), Class::RealTime);
        assert!(anomaly.story().contains(why), "{anomaly}");
        assert_eq!(anomaly.transactions().len(), 2, "{anomaly}");
    }
}
