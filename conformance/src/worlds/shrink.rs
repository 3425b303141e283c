//! Makes a failing interleaving shorter while it still fails.

use super::op::{Drive, Kind, Op, Script, Span, World};
use super::story::Failing;

/// Leaves out transactions, calls and initial values, one at a time, for as
/// long as `fails` still finds something wrong.
pub(super) fn shrink(
    mut failing: Failing,
    mut fails: impl FnMut(&World, &[u8]) -> Option<Failing>,
) -> Failing {
    loop {
        let shorter = shorter(&failing.world, &failing.schedule);
        let found = shorter.into_iter().find_map(|(world, schedule)| fails(&world, &schedule));
        match found {
            Some(found) => failing = found,
            None => return failing,
        }
    }
}

/// Everything that is one thing shorter, the largest first.
fn shorter(world: &World, schedule: &[u8]) -> Vec<(World, Vec<u8>)> {
    let mut all = Vec::new();
    for who in 0..world.scripts.len() {
        let mut less = world.clone();
        less.scripts.remove(who);
        let gone = u8::try_from(who).unwrap_or(u8::MAX);
        let left = schedule.iter().filter(|s| **s != gone);
        all.push((less, left.map(|s| if *s > gone { s - 1 } else { *s }).collect()));
    }
    for (who, script) in world.scripts.iter().enumerate() {
        let Script::Txn { ops, .. } = script else { continue };
        for n in 0..ops.len() {
            let mut less = world.clone();
            if let Some(Script::Txn { ops, .. }) = less.scripts.get_mut(who) {
                ops.remove(n);
            }
            all.push((less, without_step(schedule, who, n + 1)));
        }
    }
    for (who, script) in world.scripts.iter().enumerate() {
        for simple in simpler(script) {
            let mut less = world.clone();
            if let Some(script) = less.scripts.get_mut(who) {
                *script = simple;
            }
            all.push((less, schedule.to_vec()));
        }
    }
    for key in (0..8).filter(|k| world.initial & (1u8 << k) != 0) {
        let less = World { initial: world.initial & !(1 << key), ..world.clone() };
        all.push((less, schedule.to_vec()));
    }
    all
}

/// The same script with one thing that is plainer.
fn simpler(script: &Script) -> Vec<Script> {
    let Script::Txn { kind, ops, commits } = script else { return Vec::new() };
    let mut all = Vec::new();
    if matches!(kind, Kind::Snapshot | Kind::Blind) {
        let (kind, ops) = (Kind::Serializable, ops.clone());
        all.push(Script::Txn { kind, ops, commits: *commits });
    }
    let plain = Op::Range(Span::All, Drive::Forward);
    for (n, _) in
        ops.iter().enumerate().filter(|(_, op)| matches!(op, Op::Range(..)) && **op != plain)
    {
        let mut ops = ops.clone();
        if let Some(op) = ops.get_mut(n) {
            *op = plain;
        }
        all.push(Script::Txn { kind: *kind, ops, commits: *commits });
    }
    all
}

/// The schedule without step `n` of script `who`.
fn without_step(schedule: &[u8], who: usize, n: usize) -> Vec<u8> {
    let mut met = 0;
    let keep = |s: &&u8| {
        let mine = usize::from(**s) == who;
        met += usize::from(mine);
        !mine || met != n + 1
    };
    schedule.iter().filter(keep).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::super::op::Act;
    use super::super::seen::Wrong;
    use super::*;

    fn txn(kind: Kind, ops: &[Op]) -> Script {
        Script::Txn { kind, ops: ops.to_vec(), commits: true }
    }

    const FIRST: Op = Op::Range(Span::UpToB, Drive::First);
    const PLAIN: Op = Op::Range(Span::All, Drive::Forward);

    /// One step shorter in every way, the largest first, and nothing else.
    #[test]
    fn everything_that_is_one_thing_shorter_is_tried_once() {
        let (save, blind) = (Script::Act(Act::Save), txn(Kind::Blind, &[Op::Get(0), FIRST]));
        let reader = txn(Kind::Reader, &[PLAIN]);
        let world = |scripts: &[&Script], initial| World {
            scripts: scripts.iter().map(|s| (*s).clone()).collect(),
            initial,
        };
        let whole = world(&[&save, &blind, &reader], 0b101);
        let schedule = [1, 2, 1, 0, 2, 1, 1, 2];
        let with = |other: Script| world(&[&save, &other, &reader], 0b101);
        let want = [
            (world(&[&blind, &reader], 0b101), vec![0, 1, 0, 1, 0, 0, 1]),
            (world(&[&save, &reader], 0b101), vec![1, 0, 1, 1]),
            (world(&[&save, &blind], 0b101), vec![1, 1, 0, 1, 1]),
            (with(txn(Kind::Blind, &[FIRST])), vec![1, 2, 0, 2, 1, 1, 2]),
            (with(txn(Kind::Blind, &[Op::Get(0)])), vec![1, 2, 1, 0, 2, 1, 2]),
            (world(&[&save, &blind, &txn(Kind::Reader, &[])], 0b101), vec![1, 2, 1, 0, 1, 1, 2]),
            (with(txn(Kind::Serializable, &[Op::Get(0), FIRST])), schedule.to_vec()),
            (with(txn(Kind::Blind, &[Op::Get(0), PLAIN])), schedule.to_vec()),
            (world(&[&save, &blind, &reader], 0b100), schedule.to_vec()),
            (world(&[&save, &blind, &reader], 0b001), schedule.to_vec()),
        ];
        assert_eq!(shorter(&whole, &schedule), want);
    }

    /// What remains fails, and nothing shorter does.
    #[test]
    fn shrinking_ends_where_nothing_shorter_fails() {
        let failing = |world: &World, schedule: &[u8]| Failing {
            world: world.clone(),
            schedule: schedule.to_vec(),
            steps: Vec::new(),
            wrong: Wrong::new("this", "that", "it must be so"),
        };
        let needs = |world: &World| {
            let deletes = |script: &Script| matches!(script, Script::Txn { ops, .. } if ops.contains(&Op::Delete(1)));
            world.scripts.iter().any(deletes) && world.initial & 0b010 != 0
        };
        let long = World {
            scripts: vec![
                txn(Kind::Reader, &[PLAIN]),
                txn(Kind::Snapshot, &[FIRST, Op::Delete(1), Op::Get(2)]),
            ],
            initial: 0b111,
        };
        let schedule = [1, 0, 1, 1, 0, 1, 0, 1];
        let shrunk = shrink(failing(&long, &schedule), |world, schedule| {
            needs(world).then(|| failing(world, schedule))
        });
        let least =
            World { scripts: vec![txn(Kind::Serializable, &[Op::Delete(1)])], initial: 0b010 };
        assert_eq!((shrunk.world, shrunk.schedule), (least, vec![0, 0, 0]));
    }
}
