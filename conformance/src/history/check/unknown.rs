//! Commits whose outcome nobody knows.
//!
//! Such a transaction was committed if a value of it was seen: values are
//! unique. If none was, and it deleted nothing, it does not matter: dropping a
//! commit that nobody saw changes no read. If it deleted something both are
//! tried. Its timestamp is not known either: every one that can make a
//! difference is tried, between the newest commit that had returned before its
//! own was called and the oldest snapshot that saw it.

use std::collections::{BTreeSet, HashMap, HashSet};

use vellum_core::{Bytes, Timestamp};

use super::super::anomaly::{Anomaly, Class, Verified};
use super::super::types::{History, Op, Outcome, Txn};
use super::attempt;

/// How many possibilities are tried before the check gives up.
const TRIED_MAX: usize = 2_000;

/// How many beginnings of such are. They cost little.
const BEGINNINGS_MAX: usize = 100 * TRIED_MAX;

#[derive(Debug, Default)]
struct Tried {
    orders: usize,
    beginnings: usize,
}

impl Tried {
    fn is_enough(&self) -> bool {
        self.orders > TRIED_MAX || self.beginnings > BEGINNINGS_MAX
    }
}

/// Replays the history with each possibility until one explains every read.
pub(super) fn check(history: &History) -> Result<Verified, Box<Anomaly>> {
    let unknown: Vec<usize> = (0..history.txns.len())
        .filter(|i| history.txns.get(*i).is_some_and(|t| t.outcome == Outcome::Unknown))
        .collect();
    if unknown.is_empty() {
        return attempt(history, &[]);
    }
    let seen = seen(history, &unknown);
    let mut choices: Vec<(usize, Vec<Option<Timestamp>>)> = Vec::new();
    for &i in &unknown {
        let Some(txn) = history.txns.get(i) else { continue };
        let deletes = txn.ops.iter().any(|op| matches!(op, Op::Delete { .. }));
        let first_seen = seen.get(&i).copied();
        if first_seen.is_none() && !deletes {
            continue;
        }
        let mut places: Vec<_> = places(history, txn, first_seen, unknown.len());
        if first_seen.is_none() {
            places.insert(0, None);
        }
        choices.push((i, places));
    }
    let mut tried = Tried::default();
    let mut first = None;
    let mut placed = Vec::new();
    match search(history, &choices, &mut placed, &mut tried, &mut first) {
        Some(verified) => Ok(verified),
        None if tried.is_enough() => {
            let story = format!(
                "  {} outcomes are unknown; {TRIED_MAX} possibilities were tried in vain.",
                choices.len()
            );
            Err(Anomaly::new(Class::Undecided, unknown, story))
        }
        None => Err(first.unwrap_or_else(|| {
            let story = "  What was seen of a commit of unknown outcome fits no timestamp.";
            Anomaly::new(Class::Timestamps, unknown, story)
        })),
    }
}

fn search(
    history: &History,
    choices: &[(usize, Vec<Option<Timestamp>>)],
    placed: &mut Vec<(usize, Timestamp)>,
    tried: &mut Tried,
    first: &mut Option<Box<Anomaly>>,
) -> Option<Verified> {
    // Beginnings of an order count too: it may be that none comes to an end.
    tried.beginnings += 1;
    let Some(((i, places), rest)) = choices.split_first() else {
        tried.orders += 1;
        return match attempt(history, placed) {
            Ok(verified) => Some(verified),
            Err(anomaly) => {
                first.get_or_insert(anomaly);
                None
            }
        };
    };
    for place in places {
        if tried.is_enough() {
            return None;
        }
        let before = placed.len();
        match place {
            Some(ts) if placed.iter().any(|(_, taken)| taken == ts) => continue,
            Some(ts) => placed.push((*i, *ts)),
            None => {}
        }
        if let Some(verified) = search(history, rest, placed, tried, first) {
            return Some(verified);
        }
        placed.truncate(before);
    }
    None
}

/// The unknown ones of which a value was seen, each with the lowest timestamp
/// at which it was.
fn seen(history: &History, unknown: &[usize]) -> HashMap<usize, Timestamp> {
    let mut writers: HashMap<(&Bytes, &Bytes), usize> = HashMap::new();
    for &i in unknown {
        for op in history.txns.get(i).into_iter().flat_map(|t| &t.ops) {
            if let Op::Put { key, value } = op {
                writers.insert((key, value), i);
            }
        }
    }
    let mut seen: HashMap<usize, Timestamp> = HashMap::new();
    for (reader, txn) in history.txns.iter().enumerate() {
        let mut note = |key, value| {
            if let Some(&i) = writers.get(&(key, value)).filter(|i| **i != reader) {
                let first = seen.entry(i).or_insert(txn.snapshot);
                *first = txn.snapshot.min(*first);
            }
        };
        for op in &txn.ops {
            match op {
                Op::Get { key, value: Some(value), .. } => note(key, value),
                Op::Range(read) => {
                    read.front.iter().chain(&read.back).for_each(|(k, v)| note(k, v));
                }
                Op::Get { value: None, .. } | Op::Put { .. } | Op::Delete { .. } => {}
            }
        }
    }
    seen
}

/// The timestamps that an unknown commit may have had, newest first.
fn places(
    history: &History,
    txn: &Txn,
    first_seen: Option<Timestamp>,
    unknown: usize,
) -> Vec<Option<Timestamp>> {
    let outcomes = history.txns.iter().filter_map(|t| Some((t.outcome.commit_ts()?, t.ended)));
    let events = history.events.iter().filter_map(|e| Some((e.what.commit_ts()?, e.span)));
    let mut taken: HashSet<Timestamp> = history.states.iter().map(|s| s.ts).collect();
    let mut low = txn.snapshot;
    for (ts, span) in outcomes.chain(events) {
        taken.insert(ts);
        if span.is_before(txn.ended) {
            low = low.max(ts);
        }
    }
    let high = first_seen.unwrap_or(Timestamp::MAX);
    // Just after a commit, and just where a snapshot was taken: between those
    // no read can tell the difference.
    let snapshots = history.txns.iter().map(|t| t.snapshot);
    let mut places: BTreeSet<Timestamp> = snapshots.collect();
    for &ts in taken.iter().chain([&low]) {
        let mut after = ts;
        for _ in 0..unknown.min(64) {
            after = after.next();
            places.insert(after);
        }
    }
    let fits = |ts: &Timestamp| *ts > low && *ts <= high && !taken.contains(ts);
    places.into_iter().rev().filter(fits).map(Some).collect()
}
