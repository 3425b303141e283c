//! The suite bites: every broken backend is rejected by a named case, and each case
//! rejects at least those that `broken_backends/rejected.txt` says.
//!
//! Prints which case rejects which:
//! `cargo test -p vellum-conformance --test broken_backends -- --nocapture`
//!
//! With `VELLUM_UPDATE_REJECTED=1` it writes what it found into the record: a line that
//! became shorter means that a case no longer sees what it is there for. With
//! `VELLUM_ONLY_CASE=word` only the cases with this word in their name are asked.
#![expect(clippy::print_stdout, reason = "the table is what this test is for")]
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod lsm_place;
mod map_place;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use lsm_place::LsmPlace;
use map_place::MapPlace;
use vellum_conformance::faults::{Broken, BrokenStores, Fault, StoreFault};
use vellum_conformance::{
    Case, Ctx, Effort, Factory, Outcome, OverStore, StoreCtx, StoreFactory, cases, run, run_store,
    store_cases,
};

/// One thing that is broken, and who noticed.
struct Row {
    fault: String,
    what: &'static str,
    by: Vec<&'static str>,
}

/// Little, but a sound backend is waited for: what a busy machine delays is no failure.
fn patient() -> Effort {
    let mut effort = Effort::small();
    effort.patience = Duration::from_secs(30);
    effort
}

/// Whether this case is to be asked.
fn is_asked<X>(case: &Case<X>) -> bool {
    only().is_none_or(|word| case.name.contains(&word))
}

fn only() -> Option<String> {
    std::env::var("VELLUM_ONLY_CASE").ok()
}

/// The cases that reject the backend of `factory`. Heavy ones are asked only
/// if no other does.
fn rejected_by<F: Factory>(effort: Effort, factory: impl Fn() -> F) -> Vec<&'static str> {
    let mut all = cases::<F>();
    all.retain(is_asked);
    let fails = |case: &&Case<Ctx<F>>| matches!(run(case, factory(), effort), Outcome::Failed(_));
    let by: Vec<_> = all.iter().filter(|c| !c.is_heavy()).filter(fails).map(|c| c.name).collect();
    if !by.is_empty() {
        return by;
    }
    all.iter().filter(|c| c.is_heavy()).filter(fails).take(1).map(|c| c.name).collect()
}

/// The cases of the store suite that reject the store of `factory`.
fn stores_rejected_by<F: StoreFactory>(factory: impl Fn() -> F) -> Vec<&'static str> {
    let mut cases = store_cases::<F>();
    cases.retain(is_asked);
    let failed =
        |case: &&Case<StoreCtx<F>>| matches!(run_store(case, factory()), Outcome::Failed(_));
    cases.iter().filter(failed).map(|case| case.name).collect()
}

/// The cases of one guarantee that reject the backend of `factory`.
fn rejected_by_those_of<F: Factory>(guarantee: &str, factory: impl Fn() -> F) -> Vec<&'static str> {
    let cases = cases::<F>();
    let of = cases.iter().filter(|case| case.guarantees.contains(&guarantee) && is_asked(case));
    let failed =
        |case: &&Case<Ctx<F>>| matches!(run(case, factory(), Effort::small()), Outcome::Failed(_));
    of.filter(failed).map(|case| case.name).collect()
}

/// Row `n` of the table; `None` after the last.
fn row(n: usize) -> Option<Row> {
    if let Some(&fault) = Fault::ALL.get(n) {
        let by = match fault {
            // A map has no lock to break.
            Fault::OpensTwice => rejected_by_those_of("D5", || Broken::new(LsmPlace::new(), fault)),
            _ => {
                rejected_by(Effort::small(), || Broken::new(OverStore(MapPlace::default()), fault))
            }
        };
        return Some(Row { fault: format!("{fault:?}"), what: fault.what(), by });
    }
    let &fault = StoreFault::ALL.get(n - Fault::ALL.len())?;
    let mut by = stores_rejected_by(|| BrokenStores::new(MapPlace::default(), fault));
    by.extend(rejected_by(Effort::small(), || {
        OverStore(BrokenStores::new(MapPlace::default(), fault))
    }));
    Some(Row { fault: format!("store: {fault:?}"), what: fault.what(), by })
}

#[test]
fn every_broken_backend_is_rejected_by_a_named_case() {
    // Cases fail here by the hundred, and some by a panic: that is the point.
    std::panic::set_hook(Box::new(|_| {}));
    let mut sound = rejected_by(patient(), || OverStore(MapPlace::default()));
    sound.extend(stores_rejected_by(MapPlace::default));
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|threads| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            threads.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::SeqCst);
                    let Some(row) = row(n) else { break };
                    if let Ok(mut rows) = rows.lock() {
                        rows.push((n, row));
                    }
                }
            });
        }
    });
    drop(std::panic::take_hook());
    let mut rows = rows.into_inner().unwrap_or_default();
    rows.sort_by_key(|(n, _)| *n);
    print(&rows.iter().map(|(_, row)| row).collect::<Vec<_>>());

    let missed: Vec<_> =
        rows.iter().filter(|(_, r)| r.by.is_empty()).map(|(_, r)| &r.fault).collect();
    assert!(sound.is_empty(), "the sound backend is rejected by {sound:?}");
    let rows: Vec<_> = rows.iter().map(|(_, row)| row).collect();
    compare_with_the_record(&rows);
    if only().is_none() {
        assert!(missed.is_empty(), "no case rejects {missed:?}");
        let idle = idle(&rows);
        assert!(idle.is_empty(), "these cases reject nothing: {idle:?}");
    }
}

/// Which broken backends each case rejected when the record was written.
const RECORD: &str = include_str!("broken_backends/rejected.txt");

/// Where threads race, so that a backend is not always rejected.
const RACES: [(&str, &str); 2] = [
    ("c2_watcher_is_never_woken_before_the_commit_is_visible", "StaleRead"),
    ("l2_nothing_hangs_when_it_closes_under_load", "ConflictNotRetryable"),
];

/// A case must still reject what it did: another may cover for it in the table, until
/// that one goes blind as well. That it rejects more is no harm.
fn compare_with_the_record(rows: &[&Row]) {
    // Heavy cases are asked only where no other rejects a backend.
    let heavy = cases::<OverStore<MapPlace>>().into_iter().filter(|case| case.is_heavy());
    let heavy: Vec<_> = heavy.map(|case| case.name).collect();
    let mut now: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for Row { fault, by, .. } in rows {
        let fault = fault.replace(": ", ":");
        for case in by.iter().filter(|case| !heavy.contains(case)) {
            if !RACES.contains(&(case, &fault)) {
                now.entry(case).or_default().insert(fault.clone());
            }
        }
    }
    if std::env::var_os("VELLUM_UPDATE_REJECTED").is_some_and(|v| v == "1") {
        let line = |(case, faults): (_, &BTreeSet<String>)| {
            format!("{case} {}\n", faults.iter().map(String::as_str).collect::<Vec<_>>().join(" "))
        };
        let record: String = now.iter().map(line).collect();
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/broken_backends/rejected.txt");
        std::fs::write(file, record).expect("the record is written");
        return;
    }
    let mut lost = Vec::new();
    let mut recorded = BTreeSet::new();
    for line in RECORD.lines() {
        let mut words = line.split(' ');
        let case = words.next().unwrap_or_default();
        if only().is_some_and(|word| !case.contains(&word)) {
            continue;
        }
        for fault in words {
            recorded.insert(fault);
            if !now.get(case).is_some_and(|faults| faults.contains(fault)) {
                lost.push(format!("{case}: {fault}"));
            }
        }
    }
    assert!(lost.is_empty(), "no longer rejected: {lost:#?}");
    let all = now.values().flatten().filter(|_| only().is_none());
    let new: BTreeSet<_> = all.filter(|fault| !recorded.contains(fault.as_str())).collect();
    assert!(new.is_empty(), "not in the record: {new:?}");
}

/// The light cases that reject no broken backend.
fn idle(rows: &[&Row]) -> Vec<&'static str> {
    let used: BTreeSet<_> = rows.iter().flat_map(|row| &row.by).copied().collect();
    let all = cases::<OverStore<MapPlace>>();
    let light = all.iter().filter(|case| !case.is_heavy()).map(|case| case.name);
    let stores = store_cases::<MapPlace>();
    let all = light.chain(stores.iter().map(|case| case.name));
    all.filter(|name| !used.contains(name)).collect()
}

fn print(rows: &[&Row]) {
    println!("| broken | how | cases that reject it | the first |");
    println!("|---|---|--:|---|");
    for Row { fault, what, by } in rows {
        println!("| {fault} | {what} | {} | {} |", by.len(), by.first().unwrap_or(&"NONE"));
    }
    let (of_stores, cases) =
        (store_cases::<MapPlace>().len(), cases::<OverStore<MapPlace>>().len());
    println!("\n{} broken backends, {cases} cases and {of_stores} of bare stores", rows.len());
    if only().is_none() {
        println!("light cases that reject none of them: {:?}", idle(rows));
    }
}
