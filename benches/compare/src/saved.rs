//! Saved versions: saving, reading at one, comparing, reverting, deleting.

use std::time::Instant;

use crate::Result;
use crate::data::counter_of;
use crate::drive::nanoseconds;
use crate::engine::{Engine, Reads, Unsupported, Versions};
use crate::histogram::Histogram;
use crate::keys::{Rng, key};
use crate::ops::{check, set_all, sum};
use crate::protocol::Figures;

/// Keys that change between two versions.
const CHANGED: u64 = 100;
const READS: u64 = 20_000;
const TIMES: u64 = 50;

/// Saves so many versions, 100 keys apart, over records whose counters are 0.
pub fn saved<E: Engine>(engine: &E, records: u64, versions: u64) -> Result<Figures> {
    let Some(store) = engine.versions() else {
        return Err(Unsupported("it has no saved versions").into());
    };
    let mut figures = Figures::default();
    let mut median = |name: &str, histogram: &Histogram| {
        if let Some(nanoseconds) = histogram.percentile(0.5) {
            figures.set(name, nanoseconds as f64);
        }
    };
    let first = store.save()?;
    median("get_at_1", &gets_at(store, first, records, |_| 0)?);

    let mut rng = Rng::new(9);
    let mut counter = 0;
    let mut saves = Histogram::default();
    let mut numbers = vec![first];
    while (numbers.len() as u64) < versions {
        counter += 1;
        change(engine, &mut rng, records, counter)?;
        let begun = Instant::now();
        numbers.push(store.save()?);
        saves.record(nanoseconds(begun.elapsed()));
    }
    median("save", &saves);
    median("get_at_many", &gets_at(store, first, records, |_| 0)?);
    median("get_now", &gets_now(engine, records)?);

    let mut diffs = Histogram::default();
    for pair in numbers.windows(2).rev().take(TIMES as usize) {
        let &[from, to] = pair else { continue };
        let begun = Instant::now();
        let count = store.diff(from, to)?;
        diffs.record(nanoseconds(begun.elapsed()));
        check((CHANGED / 2..=CHANGED).contains(&count), || format!("a diff of {count} keys"))?;
    }
    median("diff", &diffs);

    let mut reverts = Histogram::default();
    for _ in 0..TIMES {
        numbers.push(store.save()?);
        let before = sum(engine)?;
        change(engine, &mut rng, records, counter + 1)?;
        let begun = Instant::now();
        store.revert()?;
        reverts.record(nanoseconds(begun.elapsed()));
        check(sum(engine)? == before, || "a revert left something".into())?;
    }
    median("revert", &reverts);

    let mut deletes = Histogram::default();
    for number in numbers {
        let begun = Instant::now();
        store.delete(number)?;
        deletes.record(nanoseconds(begun.elapsed()));
    }
    median("delete", &deletes);
    Ok(figures)
}

fn change<E: Engine>(engine: &E, rng: &mut Rng, records: u64, counter: u64) -> Result {
    let ids: Vec<u64> = (0..CHANGED).map(|_| rng.below(records)).collect();
    set_all(engine, ids.into_iter(), counter, CHANGED as usize)
}

fn gets_at(
    store: &dyn Versions,
    version: u64,
    records: u64,
    expected: impl Fn(u64) -> u64,
) -> Result<Histogram> {
    let mut rng = Rng::new(7);
    let mut histogram = Histogram::default();
    for _ in 0..READS {
        let n = rng.below(records);
        let mut found = None;
        let begun = Instant::now();
        store.get_at(version, &key(n), &mut |value| found = counter_of(value, n))?;
        histogram.record(nanoseconds(begun.elapsed()));
        check(found == Some(expected(n)), || format!("key {n} has {found:?} at a version"))?;
    }
    Ok(histogram)
}

fn gets_now<E: Engine>(engine: &E, records: u64) -> Result<Histogram> {
    let mut rng = Rng::new(7);
    let mut histogram = Histogram::default();
    for _ in 0..READS {
        let n = rng.below(records);
        let mut is_right = false;
        let begun = Instant::now();
        engine.read()?.get(&key(n), |value| is_right = counter_of(value, n).is_some())?;
        histogram.record(nanoseconds(begun.elapsed()));
        check(is_right, || format!("key {n} is missing, or not as written"))?;
    }
    Ok(histogram)
}
