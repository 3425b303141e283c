//! More saved versions.

use std::time::Instant;

use vellum::{At, Connection, ConnectionExt, KeyRange, ReadTxn, Version, WriteTxn};
use vellum_benches::{Result, Rng, key, load, value};

use crate::point::{Point, Subject, nanos, on_disk, resident, with_subject};

/// Records, and how many are overwritten between two versions.
const RECORDS: u64 = 100_000;
const CHANGES: u64 = 100;

pub(crate) fn measure(subject: &Subject, n: u64, point: &mut Point) -> Result {
    with_subject!(subject, open => {
        let db = open()?;
        load(&db, RECORDS)?;
        let size = || match subject.dir() {
            None => resident(),
            Some(dir) => on_disk(dir),
        };
        db.sync()?;
        let before = size()?;
        let mut rng = Rng::new(2);
        let mut saves = Vec::new();
        let mut versions = Vec::new();
        for _ in 0..n {
            overwrite(&db, &mut rng)?;
            let begun = Instant::now();
            versions.push(db.save_version()?);
            saves.push(nanos(begun.elapsed()));
        }
        overwrite(&db, &mut rng)?;
        // The last ones, when there are many already.
        point.several("save", "ns", saves.split_off(saves.len().saturating_sub(100)));
        point.one("space of a change", "bytes", (size()? - before) / (n * CHANGES) as f64);
        reads(&db, &versions, point)?;
        changes(&db, &versions, &mut rng, point)?;
        db.close()?;
        Ok(())
    })
}

fn overwrite(db: &impl Connection, rng: &mut Rng) -> Result {
    let mut txn = db.begin_write()?;
    for _ in 0..CHANGES {
        txn.put(&key(rng.below(RECORDS)), value(rng))?;
    }
    txn.commit()?;
    Ok(())
}

fn reads(db: &impl Connection, versions: &[Version], point: &mut Point) -> Result {
    let mut rng = Rng::new(3);
    let current = db.begin_read()?;
    point.time("get", || get(&current, &mut rng))?;
    let (first, newest) = versions.first().zip(versions.last()).ok_or("no version")?;
    let middle = versions.get(versions.len() / 2).unwrap_or(newest);
    let oldest = db.read_at(*first)?;
    point.time("get at the oldest version", || get(&oldest, &mut rng))?;
    let middle = db.read_at(*middle)?;
    point.time("get at the version in the middle", || get(&middle, &mut rng))?;
    let mut turns = versions.iter().cycle();
    point.time("begin at a version", || {
        db.read_at(*turns.next().unwrap_or(newest))?;
        Ok(())
    })
}

fn get(read: &impl ReadTxn, rng: &mut Rng) -> Result {
    let value = read.get(&key(rng.below(RECORDS)))?;
    value.map(drop).ok_or_else(|| "a record is missing".into())
}

fn changes(db: &impl Connection, versions: &[Version], rng: &mut Rng, point: &mut Point) -> Result {
    let newest = *versions.last().ok_or("no version")?;
    if let [.., before, _] = *versions {
        point.time("diff of two neighbours", || {
            let changed = db.diff(before.into(), newest.into(), KeyRange::all())?.count();
            if changed > 0 { Ok(()) } else { Err("no difference".into()) }
        })?;
    }
    let mut reverts = Vec::new();
    for _ in 0..20 {
        overwrite(db, rng)?;
        let begun = Instant::now();
        db.revert_to(newest)?;
        reverts.push(nanos(begun.elapsed()));
    }
    point.several("revert 100 changes", "ns", reverts);
    let left = db.diff(newest.into(), At::Head, KeyRange::all())?.count();
    if left > 0 {
        return Err(format!("{left} differences after a revert").into());
    }
    let begun = Instant::now();
    let gone: Vec<Version> = versions.iter().copied().step_by(2).collect();
    db.delete_versions(&gone)?;
    point.one("delete", "ns", nanos(begun.elapsed()) / gone.len() as f64);
    Ok(())
}
