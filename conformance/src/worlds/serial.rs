//! Whether some serial order explains what was seen.
//!
//! This is the definition itself, and knows neither snapshots nor conflicts:
//! run the committed scripts one after another on three cells, in every order
//! that respects real time, and compare each read and the final state.

use super::op::{KEYS, Key, Kind, Op, Script, World, incremented, put_value};
use super::oracle::{State, items};
use super::seen::{Seen, Step};

/// A committed transaction: its steps, and when it began and ended.
struct Committed<'a> {
    who: usize,
    ops: &'a [Op],
    /// What its calls showed, without begin and commit.
    seen: Vec<&'a Seen>,
    began: usize,
    ended: usize,
}

/// Looks for an order of the committed transactions that shows the same, and
/// gives it.
pub(super) fn order(world: &World, steps: &[Step], end: &State) -> Option<Vec<usize>> {
    search(world, steps, end, true)
}

/// Whether there is one if what read transactions saw is left out: then they
/// alone are what cannot be explained.
pub(super) fn explains_writers(world: &World, steps: &[Step], end: &State) -> bool {
    search(world, steps, end, false).is_some()
}

fn search(world: &World, steps: &[Step], end: &State, readers: bool) -> Option<Vec<usize>> {
    let mut left: Vec<_> = world
        .scripts
        .iter()
        .enumerate()
        .filter_map(|(who, script)| committed(who, script, steps))
        .filter(|c| readers || c.writes(world))
        .collect();
    // Commit order is the likely answer.
    left.sort_by_key(|c| c.ended);
    let mut order = Vec::new();
    extend(State::initial(world), &mut left, end, &mut order).then_some(order)
}

fn committed<'a>(who: usize, script: &'a Script, steps: &'a [Step]) -> Option<Committed<'a>> {
    let Script::Txn { ops, .. } = script else { return None };
    let mut mine = steps.iter().enumerate().filter(|(_, step)| step.who == who);
    let (began, _) = mine.next()?;
    let (ended, _) =
        mine.next_back().filter(|(_, last)| matches!(last.seen, Seen::Committed(_)))?;
    Some(Committed { who, ops, seen: mine.map(|(_, step)| &step.seen).collect(), began, ended })
}

impl Committed<'_> {
    fn writes(&self, world: &World) -> bool {
        let Some(Script::Txn { kind, .. }) = world.scripts.get(self.who) else { return false };
        *kind != Kind::Reader && self.ops.iter().any(|op| !op.is_read())
    }

    /// Runs it alone; `None` if it would have seen something else.
    fn run(&self, mut state: State) -> Option<State> {
        for (n, (op, seen)) in self.ops.iter().zip(&self.seen).enumerate() {
            let shows = |key: &Key| **seen == Seen::Value(state.get(*key));
            match op {
                Op::Get(key) if !shows(key) => return None,
                Op::Increment(key) if !shows(key) => return None,
                Op::Range(span, drive) if **seen != Seen::Items(items(&state, *span, *drive)) => {
                    return None;
                }
                Op::Put(key) => state.set(*key, put_value(self.who, n)),
                Op::Delete(key) => state.set(*key, 0),
                Op::Increment(key) => state.set(*key, incremented(self.who, n, state.get(*key))),
                // Nobody promises that a view is of one state with the rest.
                Op::Get(_) | Op::Range(..) | Op::View(_) | Op::MarkRead(_) | Op::MarkWritten(_) => {
                }
            }
        }
        Some(state)
    }
}

fn extend(
    state: State,
    left: &mut Vec<Committed<'_>>,
    end: &State,
    order: &mut Vec<usize>,
) -> bool {
    if left.is_empty() {
        return (0..KEYS).all(|k| state.get(k) == end.get(k));
    }
    for i in 0..left.len() {
        let first = left.get(i).is_some_and(|next| left.iter().all(|c| c.ended >= next.began));
        if !first {
            continue;
        }
        let next = left.remove(i);
        order.push(next.who);
        if next.run(state).is_some_and(|state| extend(state, left, end, order)) {
            return true;
        }
        order.pop();
        left.insert(i, next);
    }
    false
}
