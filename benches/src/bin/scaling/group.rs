//! Group commit, as in `core/src/database/pipeline`: one leader takes the whole
//! queue and applies it, followers look for a while and then sleep.

use crate::counts::{GATHER, LOOK, LOOK_OF, LOOKS, OF_A_COMMIT, OF_THE_STORE, ROUNDS_MAX};
use crate::machine::Step;
use crate::path::Path;
use crate::world::{HEAD, PIPELINE, PUBLISHED, WINDOW, WRITERS, World};

/// Under the lock: it joins the queue.
pub(crate) const DECIDE: Step = Step::Own(0);
/// Under the lock, as the leader: it takes the queue, or waits for company.
const TAKE: Step = Step::Own(1);
/// The same after that.
const TAKEN: Step = Step::Own(2);
/// Under the lock, as the leader: the group is done.
const SETTLE: Step = Step::Own(3);
/// Without the lock, as a follower: it looks for a while.
const SPIN: Step = Step::Own(4);
/// Under the lock, as a follower.
const SEE: Step = Step::Own(5);
/// Its group begins to be applied: for the books alone.
const BEGIN: Step = Step::Own(6);
/// It no longer waits: from here on it cannot be called back.
const UP: Step = Step::Own(7);
/// Without the lock, just woken: it need not take it, if the head says enough.
const GLANCE: Step = Step::Own(8);
const LOOK_AT_IT: [Step; 3] = [UP, Step::Lock(PIPELINE, LOOK), SEE];

/// How a follower waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    No,
    Spins,
    Sleeps,
}

#[derive(Debug)]
pub(crate) struct Pipeline {
    leading: bool,
    queue: Vec<usize>,
    group: Vec<usize>,
    waits: Vec<Wait>,
    is_done: Vec<bool>,
    round: u32,
    last_leader: Option<usize>,
    /// Who waits for company, and for how many.
    gathers: Option<(usize, usize)>,
    committers: usize,
    took: u64,
    begun: Option<u64>,
    /// How long followers look, by what the last group took.
    looks: u64,
    busy: u64,
    groups: u64,
    commits: u64,
}

impl Pipeline {
    pub(crate) fn new(cores: usize) -> Self {
        Self {
            leading: false,
            queue: Vec::new(),
            group: Vec::new(),
            waits: vec![Wait::No; cores],
            is_done: vec![false; cores],
            round: 0,
            last_leader: None,
            gathers: None,
            committers: 0,
            took: 0,
            begun: None,
            looks: 0,
            busy: 0,
            groups: 0,
            commits: 0,
        }
    }

    pub(crate) fn count_anew(&mut self) {
        (self.busy, self.groups, self.commits) = (0, 0, 0);
    }

    /// How long a group was being applied.
    pub(crate) fn busy(&self, now: u64) -> u64 {
        self.busy + self.begun.map_or(0, |begun| now - begun)
    }

    /// Commits a group.
    pub(crate) fn group(&self) -> f64 {
        self.commits as f64 / self.groups as f64
    }

    fn set(&mut self, core: usize, wait: Wait) {
        self.waits.get_mut(core).into_iter().for_each(|slot| *slot = wait);
    }

    fn waits(&self, core: usize) -> Wait {
        self.waits.get(core).copied().unwrap_or(Wait::No)
    }

    fn mark(&mut self, core: usize, is_done: bool) {
        self.is_done.get_mut(core).into_iter().for_each(|slot| *slot = is_done);
    }

    fn is_done(&self, core: usize) -> bool {
        self.is_done.get(core).copied().unwrap_or(false)
    }

    fn lead(&mut self) {
        (self.leading, self.round) = (true, 1);
    }
}

/// Does a step of the pipeline, and plans what comes next.
pub(crate) fn run(world: &mut World, core: usize, what: u8) {
    let syncs = world.setup.path == Path::RmwFsync;
    match Step::Own(what) {
        DECIDE => decide(world, core, syncs),
        TAKE => take(world, core, syncs),
        TAKEN => taken(world, core, syncs),
        SETTLE => settle(world, core, syncs),
        SPIN => spin(world, core),
        SEE => see(world, core),
        GLANCE if world.pipeline.is_done(core) => go_on(world, core, &[]),
        GLANCE => go_on(world, core, &LOOK_AT_IT),
        UP => {
            world.pipeline.set(core, Wait::No);
            world.pipeline.gathers = world.pipeline.gathers.filter(|(leader, _)| *leader != core);
            go_on(world, core, &[]);
        }
        _ => {
            world.pipeline.begun = Some(world.machine.now);
            go_on(world, core, &[]);
        }
    }
}

/// Goes on at once, with these steps first.
fn go_on(world: &mut World, core: usize, steps: &[Step]) {
    world.machine.first(core, steps);
    world.machine.plan(core, world.machine.now);
}

fn decide(world: &mut World, core: usize, syncs: bool) {
    let pipeline = &mut world.pipeline;
    pipeline.mark(core, false);
    pipeline.queue.push(core);
    if !pipeline.leading {
        pipeline.lead();
        return go_on(world, core, &[TAKE]);
    }
    if let Some((leader, _)) = pipeline.gathers.filter(|(_, n)| pipeline.queue.len() >= *n) {
        pipeline.gathers = None;
        world.machine.plan(leader, world.machine.now + world.setup.costs.wake);
    }
    if syncs { sleep(world, core) } else { go_on(world, core, &[Step::Unlock(PIPELINE), SPIN]) }
}

fn sleep(world: &mut World, core: usize) {
    world.pipeline.set(core, Wait::Sleeps);
    world.machine.unlock(PIPELINE);
}

fn take(world: &mut World, core: usize, syncs: bool) {
    let pipeline = &mut world.pipeline;
    let (part, most, least) = GATHER;
    let is_enough = pipeline.queue.len() >= pipeline.committers || pipeline.took < least;
    if !syncs || is_enough {
        return go_on(world, core, &[TAKEN]);
    }
    pipeline.gathers = Some((core, pipeline.committers));
    let until = world.machine.now + (pipeline.took / part).min(most);
    world.machine.unlock(PIPELINE);
    world.machine.first(core, &[UP, Step::Lock(PIPELINE, LOOK), TAKEN]);
    world.machine.plan(core, until);
}

fn taken(world: &mut World, core: usize, syncs: bool) {
    let (costs, line_ns) = (world.setup.costs, world.setup.line_ns);
    world.pipeline.group = std::mem::take(&mut world.pipeline.queue);
    let mut steps = vec![Step::Unlock(PIPELINE), BEGIN];
    if world.pipeline.last_leader.replace(core).is_some_and(|last| last != core) {
        steps.push(Step::Work(OF_THE_STORE * line_ns));
    }
    let costs_here = costs.of(world.setup.path);
    steps.push(Step::Work(costs_here.group));
    for &member in &world.pipeline.group {
        if member != core {
            steps.push(Step::Work(OF_A_COMMIT * line_ns));
        }
        let key = world.at.get(member).copied().unwrap_or(0);
        steps.extend([
            Step::Write(world.leaf(key)),
            Step::Write(world.records(key)),
            Step::Write(world.count(key)),
            Step::Work(costs_here.apply),
        ]);
    }
    if syncs {
        steps.push(Step::Work(costs.fsync));
    }
    steps.extend([
        Step::Write(PUBLISHED),
        Step::Lock(PIPELINE, LOOK),
        Step::Write(HEAD),
        Step::Write(WINDOW),
        Step::Read(WRITERS),
        SETTLE,
    ]);
    go_on(world, core, &steps);
}

fn settle(world: &mut World, core: usize, syncs: bool) {
    let now = world.machine.now;
    let group = std::mem::take(&mut world.pipeline.group);
    let pipeline = &mut world.pipeline;
    pipeline.groups += 1;
    pipeline.commits += group.len() as u64;
    let took = pipeline.begun.take().map_or(0, |begun| now - begun);
    pipeline.busy += took;
    if syncs {
        (pipeline.took, pipeline.committers) = (took, group.len() + pipeline.queue.len());
    }
    pipeline.looks = took;
    for &member in &group {
        world.pipeline.mark(member, true);
        if world.pipeline.waits(member) == Wait::Spins {
            world.pipeline.set(member, Wait::No);
            drop_look(world, member);
            go_on(world, member, &[Step::Read(HEAD)]);
        }
    }
    let pipeline = &mut world.pipeline;
    let goes_on = !syncs && !pipeline.queue.is_empty() && pipeline.round < ROUNDS_MAX;
    pipeline.round += 1;
    pipeline.leading = goes_on;
    // Those are woken who sleep and are done, and if nobody leads one of the others.
    let sleeps = |member: &usize| pipeline.waits(*member) == Wait::Sleeps;
    let heir = pipeline.queue.iter().copied().find(sleeps).filter(|_| !goes_on);
    let woken: Vec<usize> = group.iter().copied().filter(sleeps).chain(heir).collect();
    let mut spent = 0;
    for other in woken {
        spent += world.setup.costs.waking;
        world.pipeline.set(other, Wait::No);
        world.machine.first(other, &[Step::Read(HEAD), GLANCE]);
        world.machine.plan(other, now + spent + world.setup.costs.wake);
    }
    // Nobody's spins end by themselves then: the first of the queue leads.
    let heir = world.pipeline.queue.first().copied().filter(|_| !goes_on);
    if let Some(heir) = heir.filter(|_| world.setup.variant.never_sleeps())
        && world.pipeline.waits(heir) == Wait::Spins
    {
        world.machine.plan(heir, now);
    }
    let mut steps = vec![Step::Unlock(PIPELINE), Step::Work(spent)];
    if goes_on {
        steps.extend([Step::Lock(PIPELINE, LOOK), TAKE]);
    }
    go_on(world, core, &steps);
}

/// Takes back the look that a follower would have had after its spins.
fn drop_look(world: &mut World, core: usize) {
    if let Some(core) = world.machine.cores.get_mut(core) {
        core.steps.drain(..LOOK_AT_IT.len().min(core.steps.len()));
    }
}

fn spin(world: &mut World, core: usize) {
    if world.pipeline.is_done(core) {
        return go_on(world, core, &[Step::Read(HEAD)]);
    }
    world.pipeline.set(core, Wait::Spins);
    world.machine.first(core, &LOOK_AT_IT);
    let never_sleeps = world.setup.variant.never_sleeps();
    let (fewest, most) = LOOKS;
    let looks = (world.pipeline.looks / LOOK_OF).clamp(fewest, most);
    let spin = if never_sleeps { u64::MAX / 4 } else { world.setup.costs.spin * looks / fewest };
    world.machine.plan(core, world.machine.now + spin);
}

fn see(world: &mut World, core: usize) {
    if world.pipeline.is_done(core) {
        go_on(world, core, &[Step::Unlock(PIPELINE)]);
    } else if world.pipeline.leading {
        sleep(world, core);
    } else {
        world.pipeline.lead();
        go_on(world, core, &[TAKE]);
    }
}
