//! Tests of the store as a whole, and what they share: a naive model of a store,
//! and seeded random numbers. Leaves are tiny here, so that they split and merge
//! all the time.
//!
//! A failure names its seed: `VELLUM_SEED=<seed> cargo test -p vellum-mem`.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "tests")]
#![expect(clippy::cast_possible_truncation, reason = "small random numbers")]

mod concurrency;
mod model;

use std::collections::BTreeMap;

use crate::{MemSnapshot, MemStore};
use vellum_core::{
    Bytes, Commit, Durability, Error, ErrorKind, Group, KeyRange, Previous, Record, Result,
    Retention, Snapshot, Store, Timestamp, Write,
};

pub(super) fn ts(n: u64) -> Timestamp {
    Timestamp::new(n)
}

/// An error of a test, with what it saw.
pub(super) fn wrong(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupted, what.into())
}

/// SplitMix64 (Steele, Lea and Flood 2014).
pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// The seeds to run: all of `default`, or the one in `VELLUM_SEED`.
pub(super) fn seeds(default: std::ops::Range<u64>) -> Vec<u64> {
    match std::env::var("VELLUM_SEED").ok().and_then(|s| s.parse().ok()) {
        Some(seed) => vec![seed],
        None => default.collect(),
    }
}

/// A commit of these writes.
pub(super) fn commit(
    at: u64,
    writes: Vec<(Bytes, Option<Bytes>)>,
    preserve: Option<u64>,
) -> Commit {
    let previous = Previous::Unknown;
    let writes: BTreeMap<_, _> = writes.into_iter().collect();
    let writes = writes
        .into_iter()
        .map(|(key, value)| Write { key, value, previous: previous.clone() })
        .collect();
    Commit { ts: ts(at), writes, catalog: vec![], preserve: preserve.map(ts), logged: false }
}

/// Applies and publishes one commit.
pub(super) fn apply(store: &MemStore, commit: Commit, retention: &Retention) -> Result<()> {
    let at = commit.ts;
    store.apply(Group { commits: vec![commit], durability: Durability::Buffered, retention })?;
    store.publish(at);
    Ok(())
}

/// Every record that was ever written.
#[derive(Default)]
pub(super) struct Model {
    pub(super) records: BTreeMap<Bytes, BTreeMap<Timestamp, Option<Bytes>>>,
}

impl Model {
    pub(super) fn add(&mut self, commit: &Commit) {
        for write in &commit.writes {
            let chain = self.records.entry(write.key.clone()).or_default();
            chain.insert(commit.ts, write.value.clone());
        }
    }

    pub(super) fn get(&self, key: &[u8], at: Timestamp) -> Option<Record> {
        let (&ts, value) = self.records.get(key)?.range(..=at).next_back()?;
        value.clone().map(|value| Record { ts, value })
    }

    pub(super) fn range(&self, range: &KeyRange, at: Timestamp) -> Vec<(Bytes, Record)> {
        let keys = self.records.keys().filter(|key| range.contains(key));
        keys.filter_map(|key| Some((key.clone(), self.get(key, at)?))).collect()
    }

    /// Keys written after `from`, up to and including `to`.
    pub(super) fn touched(&self, from: Timestamp, to: Timestamp, range: &KeyRange) -> Vec<Bytes> {
        let chains = self.records.iter().filter(|(key, _)| range.contains(key));
        let after = from.next()..to.next();
        let touched = chains.filter(|(_, chain)| chain.range(after.clone()).next().is_some());
        touched.map(|(key, _)| key.clone()).collect()
    }

    /// Records that must be there, by the definition of dead, without
    /// tombstones over nothing: (how many, bytes of keys and values).
    pub(super) fn alive(&self, keep: &Retention) -> (u64, u64) {
        let (mut records, mut bytes) = (0, 0);
        for (key, chain) in &self.records {
            let successors = chain.keys().skip(1).copied().map(Some).chain([None]);
            let alive =
                chain.iter().zip(successors).filter(|&((&at, _), next)| !keep.is_dead(at, next));
            for ((_, value), _) in alive.skip_while(|((_, value), _)| value.is_none()) {
                records += 1;
                bytes += (key.len() + value.as_ref().map_or(0, Bytes::len)) as u64;
            }
        }
        (records, bytes)
    }
}

/// Reads a range from both ends as `rng` has it, and puts the halves together.
pub(super) fn read_mixed(
    snapshot: &MemSnapshot,
    range: &KeyRange,
    rng: &mut Rng,
) -> Result<Vec<(Bytes, Record)>> {
    let (mut front, mut back) = (vec![], vec![]);
    let mut iter = snapshot.range(range);
    let forward = [0, 100, rng.below(101)][rng.below(3) as usize];
    loop {
        let item = if rng.chance(forward) {
            iter.next().map(|item| item.map(|item| front.push(item)))
        } else {
            iter.next_back().map(|item| item.map(|item| back.push(item)))
        };
        match item {
            Some(item) => item?,
            None => break,
        }
    }
    if iter.next().is_some() || iter.next_back().is_some() {
        return Err(wrong("an exhausted range went on"));
    }
    front.extend(back.into_iter().rev());
    Ok(front)
}
