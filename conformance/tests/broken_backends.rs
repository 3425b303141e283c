//! The suite bites: every broken backend is rejected by a named case.
//!
//! Prints which case rejects which:
//! `cargo test -p vellum-conformance --test broken_backends -- --nocapture`
#![expect(clippy::print_stdout, reason = "the table is what this test is for")]

mod lsm_place;
mod map_place;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

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

/// The cases that reject the backend of `factory`. Heavy ones are asked only
/// if no other does.
fn rejected_by<F: Factory>(factory: impl Fn() -> F) -> Vec<&'static str> {
    let all = cases::<F>();
    let fails =
        |case: &&Case<Ctx<F>>| matches!(run(case, factory(), Effort::small()), Outcome::Failed(_));
    let by: Vec<_> = all.iter().filter(|c| !c.is_heavy()).filter(fails).map(|c| c.name).collect();
    if !by.is_empty() {
        return by;
    }
    all.iter().filter(|c| c.is_heavy()).filter(fails).take(1).map(|c| c.name).collect()
}

/// The cases of the store suite that reject the store of `factory`.
fn stores_rejected_by<F: StoreFactory>(factory: impl Fn() -> F) -> Vec<&'static str> {
    let cases = store_cases::<F>();
    let failed =
        |case: &&Case<StoreCtx<F>>| matches!(run_store(case, factory()), Outcome::Failed(_));
    cases.iter().filter(failed).map(|case| case.name).collect()
}

/// The cases of one guarantee that reject the backend of `factory`.
fn rejected_by_those_of<F: Factory>(guarantee: &str, factory: impl Fn() -> F) -> Vec<&'static str> {
    let cases = cases::<F>();
    let of = cases.iter().filter(|case| case.guarantees.contains(&guarantee));
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
            _ => rejected_by(|| Broken::new(OverStore(MapPlace::default()), fault)),
        };
        return Some(Row { fault: format!("{fault:?}"), what: fault.what(), by });
    }
    let &fault = StoreFault::ALL.get(n - Fault::ALL.len())?;
    let mut by = stores_rejected_by(|| BrokenStores::new(MapPlace::default(), fault));
    by.extend(rejected_by(|| OverStore(BrokenStores::new(MapPlace::default(), fault))));
    Some(Row { fault: format!("store: {fault:?}"), what: fault.what(), by })
}

#[test]
fn every_broken_backend_is_rejected_by_a_named_case() {
    // Cases fail here by the hundred, and some by a panic: that is the point.
    std::panic::set_hook(Box::new(|_| {}));
    let mut sound = rejected_by(|| OverStore(MapPlace::default()));
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
    assert!(missed.is_empty(), "no case rejects {missed:?}");
    let idle = idle(&rows.iter().map(|(_, row)| row).collect::<Vec<_>>());
    assert!(idle.is_empty(), "these cases reject nothing: {idle:?}");
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
    println!("light cases that reject none of them: {:?}", idle(rows));
}
