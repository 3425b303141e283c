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
