//! Verdicts by brute force: every order, each played from the beginning. Short
//! and slow on purpose, and without any code of the checkers.

use std::collections::BTreeMap;

use vellum_conformance::history::{Level, Untimed, UntimedOp, UntimedTxn};

type State = BTreeMap<String, Vec<String>>;

/// What a transaction leaves, if its reads hold in `state`.
fn play(txn: &UntimedTxn, state: &State) -> Option<State> {
    let mut state = state.clone();
    for op in &txn.ops {
        match op {
            UntimedOp::Read(k, v) => {
                let expected: Vec<String> = v.iter().cloned().collect();
                if state.get(k).cloned().unwrap_or_default() != expected {
                    return None;
                }
            }
            UntimedOp::ReadList(k, v) => {
                if state.get(k).cloned().unwrap_or_default() != *v {
                    return None;
                }
            }
            UntimedOp::Write(k, v) => drop(state.insert(k.clone(), vec![v.clone()])),
            UntimedOp::Append(k, v) => state.entry(k.clone()).or_default().push(v.clone()),
            UntimedOp::Delete(k) => drop(state.remove(k)),
        }
    }
    Some(state)
}

fn writes(txn: &UntimedTxn) -> Vec<&String> {
    txn.ops
        .iter()
        .filter_map(|op| match op {
            UntimedOp::Write(k, _) | UntimedOp::Append(k, _) | UntimedOp::Delete(k) => Some(k),
            UntimedOp::Read(..) | UntimedOp::ReadList(..) => None,
        })
        .collect()
}

/// The committed transactions that are left, and what runs.
struct World<'h> {
    sessions: Vec<&'h [&'h UntimedTxn]>,
    /// By session: what an open transaction leaves, and of which keys.
    open: Vec<Option<(State, Vec<&'h String>)>>,
    state: State,
}

fn explore(world: &World<'_>, level: Level) -> bool {
    if world.sessions.iter().all(|s| s.is_empty()) {
        return true;
    }
    (0..world.sessions.len()).any(|n| {
        let Some((txn, rest)) = world.sessions[n].split_first() else { return false };
        let mut next = World {
            sessions: world.sessions.clone(),
            open: world.open.clone(),
            state: world.state.clone(),
        };
        if let Some((left, keys)) = &world.open[n] {
            for key in keys {
                match left.get(*key) {
                    Some(v) => drop(next.state.insert((*key).clone(), v.clone())),
                    None => drop(next.state.remove(*key)),
                }
            }
            next.open[n] = None;
            next.sessions[n] = rest;
            return explore(&next, level);
        }
        if level == Level::Strict {
            let called = txn.span.map_or(u64::MAX, |(called, _)| called);
            let mut left = world.sessions.iter().flat_map(|s| s.iter());
            if left.any(|t| t.span.is_some_and(|(_, end)| end < called)) && txn.span.is_some() {
                return false;
            }
        }
        let Some(left) = play(txn, &world.state) else { return false };
        let keys = writes(txn);
        if level == Level::Snapshot {
            let taken = world.open.iter().flatten().flat_map(|(_, keys)| keys);
            if taken.into_iter().any(|k| keys.contains(k)) {
                return false;
            }
            next.open[n] = Some((left, keys));
        } else {
            next.state = left;
            next.sessions[n] = rest;
        }
        explore(&next, level)
    })
}

/// Whether some order explains every read; `None` if there are too many.
pub(crate) fn verdict(history: &Untimed, level: Level) -> Option<bool> {
    const TXNS_MAX: usize = 7;
    let txns: Vec<&UntimedTxn> = history.sessions.iter().flatten().collect();
    let unknown = txns.iter().filter(|t| t.committed.is_none()).count();
    if txns.len() > TXNS_MAX || unknown > 3 {
        return None;
    }
    Some((0..1_u32 << unknown).any(|chosen| {
        let mut bit = 0;
        let sessions: Vec<Vec<&UntimedTxn>> = history
            .sessions
            .iter()
            .map(|session| {
                let is_there = |t: &&UntimedTxn| match t.committed {
                    Some(committed) => committed,
                    None => {
                        bit += 1;
                        chosen >> (bit - 1) & 1 == 1
                    }
                };
                session.iter().filter(is_there).collect()
            })
            .collect();
        let open = vec![None; sessions.len()];
        let sessions = sessions.iter().map(Vec::as_slice).collect();
        explore(&World { sessions, open, state: State::new() }, level)
    }))
}
