//! The checkers of histories are checked: against verdicts of other projects,
//! brute force, corruptions and another checker. `--nocapture` prints the table.
//!
//! ```text
//! VELLUM_HISTORIES=folder cargo test -p vellum-conformance --test histories -- --nocapture
//! ```
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![expect(clippy::print_stdout, reason = "the table is the point")]

#[path = "histories/brute.rs"]
mod brute;
#[path = "histories/classes.rs"]
mod classes;
#[path = "histories/corrupt.rs"]
mod corrupt;
#[path = "histories/edges.rs"]
mod edges;
#[path = "histories/outside.rs"]
mod outside;
#[path = "histories/recorded.rs"]
mod recorded;
#[path = "histories/stories.rs"]
mod stories;
#[path = "histories/ticks.rs"]
mod ticks;
#[path = "histories/untimed.rs"]
mod untimed;

use std::collections::BTreeMap;

use vellum_conformance::Rng;
use vellum_conformance::history::{
    Class, ElleFormat, History, Kind, Level, Op, Outcome, Span, State, Txn, TxnKind, Untimed,
    UntimedOp, UntimedTxn, Workload, check, check_untimed, run,
};
use vellum_core::{Bytes, Isolation, Options, Timestamp};

const LITERALS: &[(&str, &str)] = &[
    ("Adya, Berenson, Fekete, Hermitage", include_str!("histories/adya.txt")),
    ("PolySI's literals", include_str!("histories/polysi.txt")),
    ("Biswas and Enea, in dbcop", include_str!("histories/dbcop.txt")),
    ("Elle's lists", include_str!("histories/elle.txt")),
    ("Elle's registers", include_str!("histories/elle_registers.txt")),
    ("Knossos", include_str!("histories/knossos.txt")),
    ("Porcupine", include_str!("histories/porcupine.txt")),
];

/// One row of the table.
fn row(corpus: &str, histories: usize, verdicts: usize, note: &str) {
    println!("| {corpus} | {histories} | {verdicts} of {verdicts} | {note} |");
}

fn judge(history: &Untimed, level: Level) -> bool {
    match check_untimed(history, level) {
        Ok(_) => true,
        Err(anomaly) => {
            assert_ne!(anomaly.class(), Class::Undecided, "{history}");
            false
        }
    }
}

#[test]
fn histories_agree_with_published_verdicts() {
    let (mut wrong, mut of_others) = (Vec::new(), 0);
    for (corpus, text) in LITERALS {
        let (mut histories, mut verdicts, mut brute) = (0, 0, 0);
        for case in text.split("\n== ").skip(1) {
            let (header, body) = case.split_once('\n').unwrap();
            let history: Untimed = body.parse().unwrap();
            histories += 1;
            let mut parts = header.split('|').map(str::trim);
            let name = parts.next().unwrap();
            for part in parts {
                let (level, verdict) = part.split_once(' ').unwrap();
                let level = match level {
                    "si" => Level::Snapshot,
                    "ser" => Level::Serializable,
                    _ => Level::Strict,
                };
                let ours = judge(&history, level);
                if verdict != "-" {
                    verdicts += 1;
                    if ours != (verdict == "yes") {
                        wrong.push(format!("{corpus}: {name}: {level:?} is {ours}"));
                    }
                }
                if let Some(theirs) = brute::verdict(&history, level) {
                    brute += 1;
                    assert_eq!(ours, theirs, "brute force: {name}: {level:?}\n{history}");
                }
            }
        }
        // The first is our own, by the definitions.
        of_others += if *corpus == LITERALS[0].0 { 0 } else { histories };
        row(corpus, histories, verdicts, &format!("{brute} of them also by brute force"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(of_others >= 100, "{of_others}");
}

#[test]
fn histories_of_other_projects_get_their_verdicts() {
    let Some(folder) = std::env::var_os("VELLUM_HISTORIES") else {
        println!("SKIPPED: VELLUM_HISTORIES names no folder of recorded histories");
        return;
    };
    let files = outside::files(folder.as_ref());
    let mut verdicts = 0;
    for (name, history, si, ser) in &files {
        let txns: usize = history.sessions.iter().map(Vec::len).sum();
        let mut said = Vec::new();
        for (level, expected) in
            [(Level::Snapshot, *si), (Level::Serializable, *ser), (Level::Strict, None)]
        {
            let answer = check_untimed(history, level);
            said.push(match &answer {
                Ok(_) => format!("{level:?}: yes"),
                Err(anomaly) => format!("{level:?}: no, {}", anomaly.class()),
            });
            if let Some(expected) = expected {
                verdicts += 1;
                assert_eq!(answer.is_ok(), expected, "{name} {level:?}");
            }
        }
        println!("{name}: {txns} transactions: {}", said.join("; "));
    }
    row("Recorded by others", files.len(), verdicts, "in the folder of `VELLUM_HISTORIES`");
}

/// A random small history of registers, most of whose reads are plausible.
fn random(rng: &mut Rng, sessions: u64, txns: u64, keys: u64) -> Untimed {
    let mut history = Untimed { sessions: vec![Vec::new(); usize::try_from(sessions).unwrap()] };
    let total = 1 + rng.below(txns);
    let mut values = 0;
    let mut written: Vec<(String, Option<String>)> = Vec::new();
    for _ in 0..total {
        let mut txn = UntimedTxn { committed: Some(true), ..UntimedTxn::default() };
        for _ in 0..=rng.below(3) {
            let key = format!("k{}", rng.below(keys));
            if rng.percent(50) {
                let seen: Vec<Option<String>> =
                    written.iter().filter(|(k, _)| *k == key).map(|(_, v)| v.clone()).collect();
                let n = usize::try_from(rng.below(seen.len() as u64 + 1)).unwrap();
                txn.ops.push(UntimedOp::Read(key, seen.get(n).cloned().flatten()));
            } else if rng.percent(12) {
                txn.ops.push(UntimedOp::Delete(key));
            } else {
                values += 1;
                written.push((key.clone(), Some(values.to_string())));
                txn.ops.push(UntimedOp::Write(key, values.to_string()));
            }
        }
        let session = usize::try_from(rng.below(sessions)).unwrap();
        history.sessions[session].push(txn);
    }
    history
}

/// The history as if its transactions had committed in this order, all of them
/// overlapping.
fn timed(txns: &[&UntimedTxn], order: &[usize]) -> History {
    let mut history = History { states: vec![State::default()], ..History::default() };
    for (n, txn) in txns.iter().enumerate() {
        let ts = order[n] as u64 + 1;
        let bytes = |text: &String| Bytes::from(text.clone());
        let ops = txn.ops.iter().map(|op| match op {
            UntimedOp::Read(k, v) => {
                Op::Get { key: bytes(k), value: v.as_ref().map(bytes), validated: true }
            }
            UntimedOp::Write(k, v) => Op::Put { key: bytes(k), value: bytes(v) },
            UntimedOp::Delete(k) => Op::Delete { key: bytes(k) },
            UntimedOp::Append(..) | UntimedOp::ReadList(..) => unreachable!("registers only"),
        });
        let isolation = Isolation::Serializable;
        history.txns.push(Txn {
            session: u32::try_from(n).unwrap(),
            kind: TxnKind::Write { isolation, detects_write_conflicts: true },
            began: Span::new(n as u64, 100 + n as u64),
            snapshot: Timestamp::new(ts - 1),
            ops: ops.collect(),
            ended: Span::new(50 + n as u64, 200 + n as u64),
            outcome: Outcome::Committed(Timestamp::new(ts)),
        });
    }
    history
}

fn permutations(n: usize) -> Vec<Vec<usize>> {
    let Some(last) = n.checked_sub(1) else { return vec![Vec::new()] };
    let insert = |p: Vec<usize>| {
        (0..n).map(move |at| {
            let mut p = p.clone();
            p.insert(at, last);
            p
        })
    };
    permutations(last).into_iter().flat_map(insert).collect()
}

#[test]
fn histories_at_random_are_accepted_exactly_where_brute_force_is() {
    let seed = 1;
    let mut rng = Rng::new(seed);
    let (mut histories, mut accepted, mut orders) = (0, [0; 2], 0);
    for n in 0..6_000 {
        let alone = n % 2 == 0;
        let history = if alone {
            // A session each, so that every order is one of the replay's too.
            let mut history = random(&mut rng, 1, 4, 2);
            history.sessions = history.sessions.concat().into_iter().map(|t| vec![t]).collect();
            history
        } else {
            random(&mut rng, 3, 6, 3)
        };
        histories += 1;
        for (i, level) in [Level::Snapshot, Level::Serializable].into_iter().enumerate() {
            let Some(expected) = brute::verdict(&history, level) else { continue };
            let ours = judge(&history, level);
            assert_eq!(ours, expected, "seed {seed}, history {n}, {level:?}\n{history}");
            accepted[i] += usize::from(ours);
            if alone && level == Level::Serializable && n % 8 == 0 {
                // The replay accepts some order of timestamps, just where brute
                // force finds some order.
                let txns: Vec<&UntimedTxn> = history.sessions.iter().flatten().collect();
                let some = permutations(txns.len()).iter().any(|order| {
                    orders += 1;
                    check(&timed(&txns, order)).is_ok()
                });
                assert_eq!(some, expected, "seed {seed}, history {n}, replay\n{history}");
            }
        }
    }
    let [si, ser] = accepted;
    let note = format!("accepted: {si} as snapshots, {ser} as serial; replay in {orders} orders");
    row("Random, of up to 6 transactions", histories, histories * 2, &note);
    assert!(ser * 5 > histories && ser * 10 < histories * 9, "one-sided: {note}");
}

fn recorded(seed: u64) -> History {
    let db = vellum_mem::open(Options::new()).unwrap();
    let workload = Workload::new()
        .seed(seed)
        .transactions(250)
        .keys(10)
        .deletes(25)
        .versions(if seed.is_multiple_of(2) { 120 } else { 0 });
    run(&db, &workload).unwrap()
}

#[test]
fn histories_that_were_corrupted_are_rejected() {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..24 {
        let sound = recorded(seed);
        check(&sound).unwrap_or_else(|anomaly| panic!("seed {seed}: {anomaly}"));
        for (name, corrupt) in corrupt::ALL {
            for attempt in 0..4 {
                let mut rng = Rng::new(seed * 1_000 + attempt);
                let mut history = sound.clone();
                if !corrupt(&mut history, &mut rng) {
                    continue;
                }
                assert!(check(&history).is_err(), "seed {seed}, attempt {attempt}: {name}");
                *counts.entry(name).or_default() += 1;
            }
        }
    }
    let total: usize = counts.values().sum();
    println!("{counts:#?}");
    row("Corrupted", total, total, &format!("{} kinds, all rejected", corrupt::ALL.len()));
    assert_eq!(counts.len(), corrupt::ALL.len(), "a corruption never fits");
}

/// What `adya` says of a history.
fn adya(history: &History, snapshot: bool) -> bool {
    let mut json = Vec::new();
    history.write_elle(ElleFormat::Json, &mut json).unwrap();
    let parsed = adya::History::from_json(std::str::from_utf8(&json).unwrap()).unwrap();
    let model = if snapshot { "strong-snapshot-isolation" } else { "strict-serializable" };
    let opts = adya::Opts { models: vec![model.into()], ..adya::Opts::default() };
    let report = adya::check(&parsed, adya::Workload::ListAppend, &opts);
    assert_ne!(report.valid, adya::Valid::Unknown, "{:?}", report.anomaly_types);
    report.valid == adya::Valid::True
}

#[test]
fn histories_of_lists_get_a_second_opinion() {
    let (mut histories, mut rejected, mut only_ours) = (0, 0, 0);
    for seed in 0..12 {
        let snapshot = seed % 3 == 2;
        let db = vellum_mem::open(Options::new()).unwrap();
        let workload = Workload::new()
            .seed(seed)
            .transactions(400)
            .keys(8)
            .kind(Kind::ListAppend)
            .of_one_level(snapshot);
        let sound = run(&db, &workload).unwrap();
        check(&sound).unwrap_or_else(|anomaly| panic!("seed {seed}: {anomaly}"));
        assert!(adya(&sound, snapshot), "seed {seed}: only adya rejects");
        histories += 1;
        for attempt in 0..6 {
            let mut history = sound.clone();
            if !mutate(&mut history, &mut Rng::new(seed * 100 + attempt), attempt) {
                continue;
            }
            histories += 1;
            let (ours, theirs) = (check(&history).is_ok(), adya(&history, snapshot));
            assert!(!ours, "seed {seed}, attempt {attempt}: accepted");
            rejected += usize::from(!theirs);
            only_ours += usize::from(theirs);
        }
    }
    let note = format!(
        "{rejected} mutants rejected by both, {only_ours} only by the replay, none only by adya"
    );
    row("Second opinion of adya", histories, histories - only_ours, &note);
    assert!(rejected > only_ours);
}

/// Changes what a client saw of a list.
fn mutate(history: &mut History, rng: &mut Rng, how: u64) -> bool {
    let mut places = Vec::new();
    for (t, txn) in history.txns.iter().enumerate() {
        if txn.outcome.is_aborted() || !txn.kind.is_of_the_head() {
            continue;
        }
        for (o, op) in txn.ops.iter().enumerate() {
            let Op::Get { key, value: Some(value), .. } = op else { continue };
            let touched = txn.ops.iter().enumerate().any(|(n, op)| match op {
                Op::Put { key: k, .. } => k == key,
                Op::Get { key: k, .. } => n != o && k == key,
                Op::Range(_) | Op::Delete { .. } => false,
            });
            if value.contains(&b' ') && !touched {
                places.push((t, o));
            }
        }
    }
    let n = usize::try_from(rng.below(places.len() as u64)).unwrap();
    let Some((t, o)) = places.get(n).copied() else { return false };
    let Op::Get { value: Some(value), .. } = &mut history.txns[t].ops[o] else { return false };
    let text = String::from_utf8(value.to_vec()).unwrap();
    let mut list: Vec<&str> = text.split(' ').collect();
    match how % 3 {
        // An older state, an order that never was, an element that nobody
        // appended.
        0 => drop(list.pop()),
        1 => list.swap(0, 1),
        _ => list[0] = "999999999999",
    }
    *value = list.join(" ").into();
    true
}

#[test]
fn histories_are_read_back_as_they_were_written() {
    for seed in 0..4 {
        let history = recorded(seed);
        let mut text = Vec::new();
        history.write_to(&mut text).unwrap();
        assert_eq!(History::read_from(&text[..]).unwrap(), history);
        let cut = &text[..text.len() - 3];
        assert!(History::read_from(cut).is_err());
    }
    let nothing = History::read_from(&b""[..]).map_err(|e| e.to_string());
    assert_eq!(nothing, Err("not a history: it is empty".into()));
    let odd = Bytes::from_static(b"\xff\x00\"\\");
    let items = vec![(odd.clone(), odd)];
    let state = State { items, ..State::default() };
    let history = History { states: vec![state], ..History::default() };
    let mut text = Vec::new();
    history.write_to(&mut text).unwrap();
    assert_eq!(History::read_from(&text[..]).unwrap(), history);
}

/// By the checker alone. A million, which take minutes in a debug build:
/// `VELLUM_TRANSACTIONS=1000000 cargo test --release -p vellum-conformance --test histories
/// -- --nocapture long_histories`.
#[test]
fn long_histories_are_checked_whole() {
    let asked = std::env::var("VELLUM_TRANSACTIONS").ok();
    let transactions = asked.map_or(50_000, |n| n.parse().expect("a number of transactions"));
    let db = vellum_mem::open(Options::new()).unwrap();
    let workload = Workload::new().transactions(transactions).keys(10_000).versions(1);
    let history = run(&db, &workload).unwrap();
    let start = std::time::Instant::now();
    let verified = check(&history).unwrap();
    println!("{verified} in {:?}", start.elapsed());
    assert_eq!(verified.transactions, history.txns.len() as u64);
    assert!(verified.committed > transactions / 4, "{verified}");
}
