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

#[cfg(test)]
mod tests {
    use super::super::op::{Drive, Span};
    use super::*;

    fn txn(kind: Kind, ops: &[Op]) -> Script {
        Script::Txn { kind, ops: ops.to_vec(), commits: true }
    }

    /// What was seen, step by step; each begins and ends where it first and last
    /// comes up.
    fn steps(seen: &[(usize, Seen)]) -> Vec<Step> {
        let mut taken = [0; 3];
        let each = seen.iter().map(|(who, seen)| {
            let n = taken.get_mut(*who).map_or(0, |n| std::mem::replace(n, *n + 1));
            Step { who: *who, n, seen: seen.clone() }
        });
        each.collect()
    }

    fn end(cells: &[(Key, u16)]) -> State {
        let mut state = State::default();
        cells.iter().for_each(|(key, cell)| state.set(*key, *cell));
        state
    }

    const BEGUN: Seen = Seen::Done;
    const OVER: Seen = Seen::Committed(None);

    /// Two at once, of two calls each, in turn.
    fn both(kind: Kind, ops: [[Op; 2]; 2], seen: [[Seen; 2]; 2]) -> (World, Vec<Step>) {
        let scripts = ops.iter().map(|ops| txn(kind, ops)).collect();
        let [[a1, a2], [b1, b2]] = seen;
        let seen =
            [(0, BEGUN), (1, BEGUN), (0, a1), (1, b1), (0, a2), (1, b2), (0, OVER), (1, OVER)];
        (World { scripts, initial: 0 }, steps(&seen))
    }

    #[test]
    fn order_is_found_where_there_is_one_and_only_there() {
        let (a, b) = (put_value(0, 1), put_value(1, 1));
        // Each reads nothing where the other writes: write skew.
        let skew = [[Op::Get(0), Op::Put(1)], [Op::Get(1), Op::Put(0)]];
        let nothing = || [Seen::Value(0), Seen::Done];
        let (world, taken) = both(Kind::Serializable, skew, [nothing(), nothing()]);
        assert_eq!(order(&world, &taken, &end(&[(0, b), (1, a)])), None);
        // The second saw the first; and the first the second, who committed later.
        let saw = |cell| [Seen::Value(cell), Seen::Done];
        let (world, taken) = both(Kind::Serializable, skew, [nothing(), saw(a)]);
        assert_eq!(order(&world, &taken, &end(&[(0, b), (1, a)])), Some(vec![0, 1]));
        let (world, taken) = both(Kind::Serializable, skew, [saw(b), nothing()]);
        assert_eq!(order(&world, &taken, &end(&[(0, b), (1, a)])), Some(vec![1, 0]));
        // The end is that of another order.
        assert_eq!(order(&world, &taken, &end(&[(0, b)])), None);
        assert_eq!(order(&world, &taken, &end(&[(0, b), (1, a), (2, a)])), None);
    }

    #[test]
    fn every_kind_of_read_is_held_to_the_order() {
        let all = Op::Range(Span::All, Drive::Forward);
        for (read, right, wrong) in [
            (Op::Get(0), Seen::Value(0), Seen::Value(7)),
            (Op::Increment(0), Seen::Value(0), Seen::Value(7)),
            (all, Seen::Items(vec![None]), Seen::Items(vec![Some((0, 7)), None])),
        ] {
            let world = World { scripts: vec![txn(Kind::Serializable, &[read])], initial: 0 };
            let left = if read == Op::Increment(0) { incremented(0, 0, 0) } else { 0 };
            for (seen, explained) in [(right, Some(vec![0])), (wrong, None)] {
                let taken = steps(&[(0, BEGUN), (0, seen), (0, OVER)]);
                assert_eq!(order(&world, &taken, &end(&[(0, left)])), explained, "{read:?}");
            }
        }
    }

    #[test]
    fn order_respects_real_time() {
        // The reader began after the writer was over, and saw nothing of it.
        let scripts =
            vec![txn(Kind::Serializable, &[Op::Put(0)]), txn(Kind::Reader, &[Op::Get(0)])];
        let world = World { scripts, initial: 0 };
        let put = (0, Seen::Done);
        let end = end(&[(0, put_value(0, 0))]);
        let read = (1, Seen::Value(0));
        let begins = (1, BEGUN);
        let late = [(0, BEGUN), put.clone(), (0, OVER), begins.clone(), read.clone(), (1, OVER)];
        assert_eq!(order(&world, &steps(&late), &end), None);
        let beside = [(0, BEGUN), put, begins, (0, OVER), read, (1, OVER)];
        assert_eq!(order(&world, &steps(&beside), &end), Some(vec![1, 0]));
        // Without the reader there is nothing to explain.
        assert!(explains_writers(&world, &steps(&late), &end));
    }

    #[test]
    fn writers_are_those_who_write_or_declare_and_no_readers() {
        let writes = |kind, op| {
            let world = World { scripts: vec![txn(kind, &[op])], initial: 0 };
            let taken = steps(&[(0, BEGUN), (0, Seen::Value(7)), (0, OVER)]);
            let found = world.scripts.first().and_then(|script| committed(0, script, &taken));
            found.is_some_and(|c| c.writes(&world))
        };
        assert!(writes(Kind::Serializable, Op::Put(0)));
        assert!(!writes(Kind::Serializable, Op::Get(0)));
        assert!(!writes(Kind::Reader, Op::Get(0)));
        assert!(!writes(Kind::Reader, Op::Put(0)), "a reader does not, whatever its script says");
    }
}
