//! Cores that run one path over and over on a simulated [`Machine`].

use vellum_benches::{Rng, mix};

use crate::costs::Costs;
use crate::counts::KEYS_IN_A_LEAF;
use crate::group::{self, Pipeline};
use crate::machine::{Machine, Step};
use crate::path::{Path, Variant};

/// Lines that everybody shares. After them come one of each leaf, and two of each
/// key: its records, and the count of its value.
pub(crate) const WRITERS: usize = 0;
pub(crate) const PUBLISHED: usize = 1;
pub(crate) const HEAD: usize = 2;
pub(crate) const WINDOW: usize = 3;
const FIXED: usize = 4;
/// The lock of the pipeline. (Leaves are locked too, but what counts is their line.)
pub(crate) const PIPELINE: usize = 0;

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) path: Path,
    pub(crate) cores: usize,
    /// What it takes to move a line.
    pub(crate) line_ns: u64,
    pub(crate) keys: usize,
    /// How many operations are counted, after a quarter as many that are not.
    pub(crate) operations: u64,
    pub(crate) costs: Costs,
    pub(crate) variant: Variant,
}

/// What came out.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) per_second: f64,
    /// What was busy most, for which share of the time.
    pub(crate) bottleneck: (&'static str, f64),
    /// Commits a group, where there are groups.
    pub(crate) group: f64,
}

pub(crate) struct World {
    pub(crate) setup: Setup,
    pub(crate) machine: Machine,
    pub(crate) pipeline: Pipeline,
    /// The key that each core is at.
    pub(crate) at: Vec<usize>,
    rngs: Vec<Rng>,
    done: u64,
}

/// Runs it.
pub(crate) fn simulate(setup: Setup) -> Outcome {
    let mut world = World::new(setup);
    world.run_until(setup.operations / 4);
    let (begun, from) = (world.machine.now, world.done);
    world.machine.count_anew();
    world.pipeline.count_anew();
    world.run_until(from + setup.operations);
    world.outcome(begun, from)
}

impl World {
    fn new(setup: Setup) -> Self {
        let Setup { cores, keys, line_ns, .. } = setup;
        let leaves = keys.div_ceil(usize::try_from(KEYS_IN_A_LEAF).unwrap_or(1));
        let lines = FIXED + leaves + 2 * keys;
        // Spread lines are where they were used last: anywhere.
        let owner = |line: usize| {
            (line >= FIXED).then(|| usize::try_from(mix(line as u64) % cores as u64).unwrap_or(0))
        };
        let mut machine = Machine::new(cores, lines, 1, line_ns, owner);
        (0..cores).for_each(|core| machine.plan(core, core as u64));
        Self {
            setup,
            machine,
            pipeline: Pipeline::new(cores),
            at: vec![0; cores],
            rngs: (0..cores).map(|core| Rng::new(1 + core as u64)).collect(),
            done: 0,
        }
    }

    fn run_until(&mut self, done: u64) {
        while self.done < done {
            let Some(core) = self.machine.next_core() else { break };
            let step = self.machine.cores.get_mut(core).and_then(|core| core.steps.pop_front());
            let Some(step) = step else {
                self.begin(core);
                continue;
            };
            match self.machine.run(core, step) {
                Some(Step::Own(what)) => group::run(self, core, what),
                Some(_) => {
                    self.done += 1;
                    self.machine.plan(core, self.machine.now);
                }
                None => {}
            }
        }
    }

    /// The next operation of a core.
    fn begin(&mut self, core: usize) {
        let Setup { path, keys, costs, .. } = self.setup;
        let spread = self.rngs.get_mut(core).map_or(0, |rng| rng.below(keys as u64));
        let key = if path == Path::GetHot { 0 } else { usize::try_from(spread).unwrap_or(0) };
        self.at.get_mut(core).into_iter().for_each(|at| *at = key);
        let costs = costs.of(path);
        let begin_read = [Step::Work(costs.begin_read), Step::Read(PUBLISHED), Step::Read(HEAD)];
        let begin_write = [
            Step::Write(WRITERS),
            Step::Work(costs.begin_write),
            Step::Read(PUBLISHED),
            Step::Read(HEAD),
        ];
        let end_write = [Step::Write(WRITERS), Step::Read(WINDOW), Step::Done];
        // Half of a get is before the leaf's lock, half under it.
        let took = if path == Path::GetHot { costs.get_hot } else { costs.get };
        let get = [
            Step::Work(took / 2),
            Step::Write(self.leaf(key)),
            Step::Read(self.records(key)),
            Step::Work(took - took / 2),
            Step::Write(self.count(key)),
            Step::Write(self.leaf(key)),
            Step::Write(self.count(key)),
        ];
        let steps = match path {
            Path::BeginRead => [&begin_read[..], &[Step::Done]].concat(),
            Path::GetSpread | Path::GetHot => [&begin_read[..], &get, &[Step::Done]].concat(),
            Path::BeginWrite => [&begin_write[..], &end_write].concat(),
            Path::Rmw | Path::RmwFsync => {
                let commit = [
                    Step::Work(costs.put),
                    Step::Lock(PIPELINE, self.setup.variant.under_lock()),
                    Step::Work(costs.decide),
                    group::DECIDE,
                ];
                [&begin_write[..], &get, &commit, &end_write].concat()
            }
        };
        self.machine.first(core, &steps);
        self.machine.plan(core, self.machine.now);
    }

    fn leaves(&self) -> usize {
        self.setup.keys.div_ceil(usize::try_from(KEYS_IN_A_LEAF).unwrap_or(1))
    }

    pub(crate) fn leaf(&self, key: usize) -> usize {
        FIXED + key / usize::try_from(KEYS_IN_A_LEAF).unwrap_or(1)
    }

    pub(crate) fn records(&self, key: usize) -> usize {
        FIXED + self.leaves() + 2 * key
    }

    pub(crate) fn count(&self, key: usize) -> usize {
        self.records(key) + 1
    }

    fn outcome(&self, begun: u64, from: u64) -> Outcome {
        let took = self.machine.now.saturating_sub(begun).max(1) as f64;
        let (lines, locks) = self.machine.busy();
        let mut most = ("the cores themselves", 0.5);
        let mut try_it = |name, busy: u64| {
            // The share of a lock that began before what is counted may be off by a hair.
            let share = (busy as f64 / took).min(1.0);
            if share > most.1 {
                most = (name, share);
            }
        };
        for (line, busy) in lines.into_iter().enumerate() {
            let name = match line {
                WRITERS => "the line of the count of open writers",
                PUBLISHED => "the line of what the store published",
                HEAD => "the line of the head",
                WINDOW => "the line of the window's length",
                _ if line < FIXED + self.leaves() => "the line of a leaf's lock",
                _ if (line - FIXED - self.leaves()).is_multiple_of(2) => {
                    "the line of a key's records"
                }
                _ => "the line of a value's count",
            };
            try_it(name, busy);
        }
        locks.into_iter().for_each(|busy| try_it("the pipeline's lock", busy));
        try_it(
            match self.setup.path {
                Path::RmwFsync => "the leader, mostly in its fsync",
                _ => "the leader, applying its group",
            },
            self.pipeline.busy(self.machine.now),
        );
        Outcome {
            per_second: (self.done - from) as f64 / took * 1e9,
            bottleneck: most,
            group: self.pipeline.group(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(path: Path, cores: usize) -> Setup {
        let costs = Costs::round();
        Setup {
            path,
            cores,
            line_ns: 100,
            keys: 10_000,
            operations: 20_000,
            costs,
            variant: Variant::AsItIs,
        }
    }

    fn rate(path: Path, cores: usize) -> f64 {
        simulate(setup(path, cores)).per_second
    }

    #[track_caller]
    fn check_about(found: f64, expected: f64) {
        assert!((found / expected - 1.0).abs() < 0.05, "{found} for {expected}");
    }

    #[test]
    fn one_core_does_what_its_costs_say() {
        // Of the round costs: 50, 50 + 200, 60, and 60 + 200 + 100 + 300 + 400 + 100.
        check_about(rate(Path::BeginRead, 1), 1e9 / 50.0);
        check_about(rate(Path::GetSpread, 1), 1e9 / 250.0);
        check_about(rate(Path::BeginWrite, 1), 1e9 / 60.0);
        check_about(rate(Path::Rmw, 1), 1e9 / 1160.0);
        check_about(rate(Path::RmwFsync, 1), 1e9 / (1160.0 + 1_000_000.0));
    }

    #[test]
    fn what_shares_nothing_grows_with_the_cores() {
        check_about(rate(Path::BeginRead, 64), 64e9 / 50.0);
        let all = simulate(setup(Path::GetSpread, 64));
        assert!(
            all.per_second > 0.9 * 64e9 / (250.0 + 300.0) && all.bottleneck.1 <= 0.5,
            "{all:?}"
        );
    }

    #[test]
    fn one_line_that_all_write_is_the_ceiling_and_is_named() {
        let all = simulate(setup(Path::BeginWrite, 64));
        check_about(all.per_second, 1e9 / 200.0);
        assert_eq!(all.bottleneck.0, "the line of the count of open writers");
        let hot = simulate(setup(Path::GetHot, 64));
        assert!((2.4e6..=5.1e6).contains(&hot.per_second), "{hot:?}");
    }

    #[test]
    fn commits_share_groups_and_all_of_them_come_back() {
        let memory = simulate(setup(Path::Rmw, 64));
        assert!(memory.group > 4.0 && memory.bottleneck.1 > 0.5, "{memory:?}");
        let fsynced = simulate(setup(Path::RmwFsync, 64));
        assert!(fsynced.group > 30.0, "{fsynced:?}");
        assert!(fsynced.per_second > 20.0 * rate(Path::RmwFsync, 1), "{fsynced:?}");
    }

    #[test]
    fn commits_in_memory_wait_for_lines_under_the_lock_and_hardly_for_wakes() {
        let [as_it_is, awake, fewer] = Variant::ALL
            .map(|variant| simulate(Setup { variant, ..setup(Path::Rmw, 64) }).per_second);
        assert!(awake < 1.2 * as_it_is && fewer > 1.2 * awake, "{as_it_is} {awake} {fewer}");
    }

    #[test]
    fn same_setup_gives_the_same_figures() {
        let [a, b] = [(); 2].map(|()| simulate(setup(Path::Rmw, 8)));
        assert_eq!((a.per_second, a.group), (b.per_second, b.group));
    }
}
