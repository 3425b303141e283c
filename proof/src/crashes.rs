//! Crashes of the backend on disk.

use std::path::Path;

use vellum_conformance::crash::{self, Faults, Kills, Power, Scene, Subject};
use vellum_core::{Options, Result};
use vellum_lsm::{Builder, LsmDatabase};

use crate::Failure;
use crate::tally::Tally;
use crate::task::{Shown, Task};

/// The backend on disk, with buffers so small that a short run reaches tables
/// and compactions.
#[derive(Debug)]
pub(crate) struct Small;

impl Subject for Small {
    type Connection = LsmDatabase;

    fn open(&self, dir: &Path, options: &Options) -> Result<LsmDatabase> {
        let builder = Builder::new(dir).memtable_bytes(64 << 10).cache_bytes(1 << 20);
        let builder = builder.journal_bytes(Builder::MIN_JOURNAL_BYTES);
        builder.worker_threads(1).options(*options).open()
    }

    /// Nearly as much as a journal holds.
    fn filling(&self) -> u64 {
        63_400_000
    }
}

/// Which kind of crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Kills,
    Power,
    Faults,
}

/// One kind of crash.
#[derive(Debug)]
pub(crate) struct Crashes {
    pub(crate) kind: Kind,
    pub(crate) scene: Scene,
}

impl Task for Crashes {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Kills => "kills",
            Kind::Power => "power",
            Kind::Faults => "faults",
        }
    }

    fn round(&self) -> u64 {
        match self.kind {
            Kind::Kills => 40,
            Kind::Power => 1_000,
            Kind::Faults => 150,
        }
    }

    fn usual(&self) -> u64 {
        match self.kind {
            Kind::Kills => 2_000,
            Kind::Power => 100_000,
            Kind::Faults => u64::MAX,
        }
    }

    fn run(
        &self,
        seed: u64,
        budget: u64,
        shown: &Shown<'_>,
    ) -> std::result::Result<Tally, Failure> {
        let name = self.name();
        let mut told = |done: u64, of: u64| shown.at(done, &format!("{done} {name} of {of}"));
        let threads = std::thread::available_parallelism().map_or(2, |n| n.get().min(8));
        Ok(match self.kind {
            Kind::Kills => {
                let plan = Kills { seed, cycles: budget };
                let killed = crash::kills(&Small, &self.scene, plan, &mut told)?;
                Tally::of("kills survived", killed.cycles)
                    .and("transactions before kills", killed.transactions)
            }
            Kind::Power => {
                let plan = Power { seed, states: budget, threads };
                let survived = crash::power(&Small, &self.scene, plan, &mut told)?;
                Tally::of("power-loss states", survived.total())
                    .and("power-loss states with a second loss during recovery", survived.twice)
            }
            Kind::Faults => {
                let plan = Faults { seed, failures: budget, threads };
                let endured = crash::faults(&Small, &self.scene, plan, &mut told)?;
                Tally::of("failed calls", endured.failures)
                    .and("calls that were to fail and did not come", endured.missed)
                    .and("failed calls that were named", endured.named)
                    .and("lies of the disk found out", endured.corrupted)
            }
        })
    }
}
