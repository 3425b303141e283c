//! Concurrent workloads, recorded and judged: of every shape by our own checker, or of
//! lists by `adya` too.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};

use vellum_conformance::history::{History, Kind, Verified, Workload, check, run_with_progress};
use vellum_conformance::{Factory, Rng};
use vellum_core::{Connection, Durability, Options, Pruning};

use crate::Failure;
use crate::opinions;
use crate::places::Backend;
use crate::tally::Tally;
use crate::task::{Shown, Task};

/// Who judges what was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judges {
    /// Our checker, which goes by the timestamps.
    Ours,
    /// It, and one that knows none.
    Both,
}

/// Recorded runs on one backend.
#[derive(Debug)]
pub(crate) struct Histories<B> {
    pub(crate) judges: Judges,
    pub(crate) backend: B,
    /// Where a history is left that is not right.
    pub(crate) scratch: PathBuf,
}

impl<B: Backend> Task for Histories<B> {
    fn name(&self) -> &'static str {
        match self.judges {
            Judges::Ours => "histories",
            Judges::Both => "opinions",
        }
    }

    fn round(&self) -> u64 {
        if B::NAME == "mem" { 10 * self.transactions() } else { 3 * self.transactions() }
    }

    fn usual(&self) -> u64 {
        10 * self.round()
    }

    fn run(&self, seed: u64, budget: u64, shown: &Shown<'_>) -> Result<Tally, Failure> {
        let mut rng = Rng::new(seed);
        let mut tally = Tally::default();
        let each = self.transactions();
        for begun in 0..budget.div_ceil(each) {
            let workload = match self.judges {
                Judges::Ours => workload(&mut rng),
                Judges::Both => opinions::workload(&mut rng),
            };
            let workload = workload.transactions(each.min(budget));
            let place = self.backend.place()?;
            // A database that keeps its data is synced now and then only: it is
            // the order that matters here.
            let durability = if rng.percent(5) { Durability::Sync } else { Durability::Buffered };
            let pruning = if rng.percent(50) { Pruning::Automatic } else { Pruning::Manual };
            let options = Options::new().durability(durability).pruning(pruning);
            let db = place.open(&options)?;
            let text = tally.to_string();
            let history = run_with_progress(&db, &workload, |n| shown.at(begun * each + n, &text));
            let history = history.map_err(|e| format!("{e}, under {workload:?}"))?;
            let wrong = |what: String| {
                format!("{what}\nunder {workload:?}\n{}", leave(&self.scratch, &history))
            };
            let verified = check(&history).map_err(|anomaly| wrong(anomaly.to_string()))?;
            if self.judges == Judges::Both {
                opinions::second(&history).map_err(|e| wrong(e.to_string()))?;
            }
            tally.add(&self.tally(&verified));
            db.close()?;
            drop(db);
            place.destroy();
            shown.at((begun + 1) * each, &tally.to_string());
        }
        Ok(tally)
    }
}

impl<B> Histories<B> {
    /// Those of one recorded run.
    fn transactions(&self) -> u64 {
        match self.judges {
            Judges::Ours => 20_000,
            // Lists grow with it, and so does what is read.
            Judges::Both => 4_000,
        }
    }

    fn tally(&self, verified: &Verified) -> Tally {
        if self.judges == Judges::Both {
            return Tally::of("transactions judged twice", verified.transactions);
        }
        Tally::of("transactions replayed", verified.transactions)
            .and("operations", verified.operations)
            .and("reads compared", verified.reads + verified.ranges)
            .and("dependencies", verified.edges)
            .and("reads of the past", verified.past)
    }
}

/// Writes a history where a user can check it again; says where.
fn leave(scratch: &Path, history: &History) -> String {
    let file = tempfile::Builder::new()
        .prefix("vellum-history-")
        .suffix(".jsonl")
        .tempfile_in(scratch)
        .and_then(|file| Ok(file.keep()?));
    let written = file.and_then(|(file, path)| {
        history.write_to(BufWriter::new(file))?;
        Ok(path)
    });
    match written {
        Ok(path) => format!("check it again: {} check {}", crate::COMMAND, path.display()),
        Err(e) => format!("the history could not be written: {e}"),
    }
}

/// A workload of some shape: few keys or many, readers or writers, lists or
/// registers.
fn workload(rng: &mut Rng) -> Workload {
    let pick = |rng: &mut Rng, of: &[u64]| rng.pick(of, 1);
    let kind = if rng.percent(35) { Kind::ListAppend } else { Kind::Registers };
    let threads = u32::try_from(pick(rng, &[2, 3, 4, 8, 16])).unwrap_or(4);
    let workload = Workload::new()
        .seed(rng.next_u64())
        .kind(kind)
        .threads(threads)
        .keys(pick(rng, &[2, 5, 16, 64, 500, 5_000]))
        .skew(pick(rng, &[0, 50, 90]))
        .ops(pick(rng, &[2, 4, 6, 12]))
        .ranges(pick(rng, &[0, 10, 30]))
        .deletes(pick(rng, &[0, 10, 40]))
        .readers(pick(rng, &[0, 10, 40]))
        .discards(pick(rng, &[0, 5, 20]))
        .versions(pick(rng, &[0, 2, 10]));
    let shaped = workload.snapshot(pick(rng, &[0, 0, 20])).blind(pick(rng, &[0, 10]));
    if rng.percent(25) { shaped.of_one_level(rng.percent(30)) } else { shaped }
}

/// Checks a history that stands in a file; whether it is right.
pub(crate) fn check_file(path: &Path) -> Result<bool, Failure> {
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    let history = History::read_from(BufReader::new(File::open(path).map_err(failed)?));
    match check(&history.map_err(failed)?) {
        Ok(verified) => {
            println!("{verified}");
            Ok(true)
        }
        Err(anomaly) => {
            println!("{anomaly}");
            Ok(false)
        }
    }
}
