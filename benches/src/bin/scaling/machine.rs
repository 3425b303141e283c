//! The simulated machine: cores, lines that move between them, and locks.
//!
//! Time is in whole nanoseconds. What happens at the same time happens in the order
//! in which it was asked for, so that a run is the same every time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// What a core does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Works for so long, on lines that are its own.
    Work(u64),
    /// Reads a line.
    Read(usize),
    /// Writes a line.
    Write(usize),
    /// Takes a lock, with so many lines that move with it.
    Lock(usize, u64),
    /// Lets go of it.
    Unlock(usize),
    /// Something of the path's own.
    Own(u8),
    /// An operation is done.
    Done,
}

/// A line of the caches. It has one owner, or is shared by those that read it.
#[derive(Clone, Copy, Debug)]
struct Line {
    /// One bit a core. Who is alone in it may write.
    holders: u64,
    /// When the last transfer that was asked for is over.
    free_at: u64,
    busy: u64,
}

#[derive(Debug, Default)]
struct Lock {
    holder: Option<usize>,
    /// Who held it last: it need not move there.
    last: Option<usize>,
    waiting: VecDeque<(usize, u64)>,
    since: u64,
    busy: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Core {
    pub(crate) steps: VecDeque<Step>,
    /// Wakes that were planned before it was last planned anew are void.
    plan: u64,
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) now: u64,
    pub(crate) cores: Vec<Core>,
    lines: Vec<Line>,
    locks: Vec<Lock>,
    line_ns: u64,
    events: BinaryHeap<Reverse<(u64, u64, usize, u64)>>,
    asked: u64,
}

impl Machine {
    /// So many cores, at most 64; `owner` says which one has a line at first, if one has.
    pub(crate) fn new(
        cores: usize,
        lines: usize,
        locks: usize,
        line_ns: u64,
        owner: impl Fn(usize) -> Option<usize>,
    ) -> Self {
        let everyone = u64::MAX >> (64 - cores.clamp(1, 64));
        let line = |at| {
            let holders = owner(at).map_or(everyone, |core| 1 << core);
            Line { holders, free_at: 0, busy: 0 }
        };
        Self {
            now: 0,
            cores: (0..cores).map(|_| Core::default()).collect(),
            lines: (0..lines).map(line).collect(),
            locks: (0..locks).map(|_| Lock::default()).collect(),
            line_ns,
            events: BinaryHeap::new(),
            asked: 0,
        }
    }

    /// Has a core go on at this time, and not when it was to before.
    pub(crate) fn plan(&mut self, core: usize, at: u64) {
        self.asked += 1;
        if let Some(one) = self.cores.get_mut(core) {
            one.plan = self.asked;
            self.events.push(Reverse((at, self.asked, core, self.asked)));
        }
    }

    /// Puts steps before those that a core has left, in their order.
    pub(crate) fn first(&mut self, core: usize, steps: &[Step]) {
        if let Some(core) = self.cores.get_mut(core) {
            steps.iter().rev().for_each(|step| core.steps.push_front(*step));
        }
    }

    /// The next core that goes on, at the time that it then is; `None` if all wait.
    pub(crate) fn next_core(&mut self) -> Option<usize> {
        loop {
            let Reverse((at, _, core, plan)) = self.events.pop()?;
            if self.cores.get(core).is_some_and(|core| core.plan == plan) {
                self.now = at;
                return Some(core);
            }
        }
    }

    /// Does what machines know of; gives back any other step.
    pub(crate) fn run(&mut self, core: usize, step: Step) -> Option<Step> {
        match step {
            Step::Work(ns) => self.plan(core, self.now + ns),
            Step::Read(line) => self.touch(core, line, false),
            Step::Write(line) => self.touch(core, line, true),
            Step::Lock(lock, lines) => self.lock(core, lock, lines),
            Step::Unlock(lock) => {
                self.unlock(lock);
                self.plan(core, self.now);
            }
            Step::Own(_) | Step::Done => return Some(step),
        }
        None
    }

    fn touch(&mut self, core: usize, at: usize, writes: bool) {
        let (mut until, me) = (self.now, 1_u64 << core);
        if let Some(line) = self.lines.get_mut(at) {
            let has = if writes { line.holders == me } else { line.holders & me != 0 };
            if !has {
                until = until.max(line.free_at) + self.line_ns;
                line.free_at = until;
                line.busy += self.line_ns;
                line.holders = if writes { me } else { line.holders | me };
            }
        }
        self.plan(core, until);
    }

    fn lock(&mut self, core: usize, at: usize, lines: u64) {
        let Some(lock) = self.locks.get_mut(at) else { return };
        if lock.holder.is_some() {
            lock.waiting.push_back((core, lines));
        } else {
            self.grant(core, at, lines);
        }
    }

    fn grant(&mut self, core: usize, at: usize, lines: u64) {
        let (now, line_ns) = (self.now, self.line_ns);
        let Some(lock) = self.locks.get_mut(at) else { return };
        let moves = lock.last.is_some_and(|last| last != core);
        (lock.holder, lock.last, lock.since) = (Some(core), Some(core), now);
        self.plan(core, now + if moves { lines * line_ns } else { 0 });
    }

    /// Lets go of a lock: who waits longest has it.
    pub(crate) fn unlock(&mut self, at: usize) {
        let now = self.now;
        let Some(lock) = self.locks.get_mut(at) else { return };
        lock.busy += now.saturating_sub(lock.since);
        lock.holder = None;
        if let Some((core, lines)) = lock.waiting.pop_front() {
            self.grant(core, at, lines);
        }
    }

    /// Counts how long things are busy from now on.
    pub(crate) fn count_anew(&mut self) {
        self.lines.iter_mut().for_each(|line| line.busy = 0);
        let now = self.now;
        for lock in &mut self.locks {
            (lock.busy, lock.since) = (0, now);
        }
    }

    /// How long each line and each lock was busy.
    pub(crate) fn busy(&self) -> (Vec<u64>, Vec<u64>) {
        let held = |lock: &Lock| lock.holder.map_or(0, |_| self.now.saturating_sub(lock.since));
        (
            self.lines.iter().map(|line| line.busy).collect(),
            self.locks.iter().map(|lock| lock.busy + held(lock)).collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When each core is done with its steps.
    fn run(steps: &[&[Step]], owner: Option<usize>) -> Vec<u64> {
        let mut machine = Machine::new(steps.len(), 1, 1, 100, |_| owner);
        let mut ends = vec![0; steps.len()];
        for (core, steps) in steps.iter().enumerate() {
            machine.first(core, steps);
            machine.plan(core, 0);
        }
        while let Some(core) = machine.next_core() {
            let step = machine.cores.get_mut(core).and_then(|core| core.steps.pop_front());
            match step.and_then(|step| machine.run(core, step)) {
                None if step.is_some() => {}
                _ => ends.get_mut(core).into_iter().for_each(|end| *end = machine.now),
            }
        }
        ends
    }

    #[test]
    fn writes_of_one_line_queue_and_those_of_its_owner_are_free() {
        let write: &[Step] = &[Step::Write(0), Step::Write(0), Step::Write(0)];
        assert_eq!(run(&[write], Some(0)), [0]);
        assert_eq!(run(&[write, &[]], Some(1)), [100, 0]);
        let once: &[Step] = &[Step::Write(0)];
        assert_eq!(run(&[once, once, once], Some(0)), [0, 100, 200]);
    }

    #[test]
    fn readers_share_a_line_once_each_has_fetched_it() {
        let read: &[Step] = &[Step::Read(0), Step::Read(0)];
        assert_eq!(run(&[read, read, read], None), [0, 0, 0]);
        assert_eq!(run(&[read, read, read], Some(0)), [0, 100, 200]);
        let late: &[Step] = &[Step::Work(10), Step::Write(0)];
        assert_eq!(run(&[late, read], None), [110, 0], "a line that is shared moves to be written");
    }

    #[test]
    fn lock_goes_to_who_waits_longest_and_moves_its_lines() {
        let hold: &[Step] = &[Step::Lock(0, 2), Step::Work(50), Step::Unlock(0)];
        assert_eq!(run(&[hold, hold, hold], None), [50, 300, 550]);
        let twice = [hold, hold].concat();
        assert_eq!(run(&[&twice], None), [100], "nothing moves where nobody else is");
    }
}
