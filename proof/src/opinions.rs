//! Concurrent workloads of lists, judged by a checker that is not ours.
//!
//! What our own checker looks at are timestamps, which the engine gives. `adya`
//! knows none: it takes the order of the appends from the lists that were read, as
//! Elle does (Kingsbury and Alvaro, VLDB 2020).

use std::path::PathBuf;

use vellum_conformance::history::{ElleFormat, History, Kind, Workload, check, run};
use vellum_conformance::{Factory, Rng};
use vellum_core::{Connection, Durability, Options};

use crate::Failure;
use crate::histories::leave;
use crate::places::Backend;
use crate::tally::Tally;
use crate::task::{Shown, Task};

/// Transactions of one recorded run. Lists grow with it, and so does what is read.
const RUN: u64 = 4_000;

/// Recorded runs on one backend.
#[derive(Debug)]
pub(crate) struct Opinions<B> {
    pub(crate) backend: B,
    /// Where a history is left that is not right.
    pub(crate) scratch: PathBuf,
}

impl<B: Backend> Task for Opinions<B> {
    fn name(&self) -> &'static str {
        "opinions"
    }

    fn round(&self) -> u64 {
        if B::NAME == "mem" { 10 * RUN } else { 3 * RUN }
    }

    fn usual(&self) -> u64 {
        10 * self.round()
    }

    fn run(&self, seed: u64, budget: u64, shown: &Shown<'_>) -> Result<Tally, Failure> {
        let mut rng = Rng::new(seed);
        let mut tally = Tally::default();
        for begun in 0..budget.div_ceil(RUN) {
            let is_snapshot = rng.percent(20);
            let workload = Workload::new()
                .seed(rng.next_u64())
                .kind(Kind::ListAppend)
                .transactions(RUN.min(budget))
                .threads(u32::try_from(rng.pick(&[2, 3, 4, 8], 1)).unwrap_or(4))
                .keys(rng.pick(&[32, 64, 200, 1_000], 1))
                .ranges(rng.pick(&[0, 5, 15], 1))
                .of_one_level(is_snapshot);
            let place = self.backend.place()?;
            let db = place.open(&Options::new().durability(Durability::Buffered))?;
            let history = run(&db, &workload).map_err(|e| format!("{e}, under {workload:?}"))?;
            let wrong = |what: String| format!("{what}\n{}", leave(&self.scratch, &history));
            let verified =
                check(&history).map_err(|e| wrong(format!("{e}\nunder {workload:?}")))?;
            second(&history, is_snapshot).map_err(|e| wrong(format!("{e}\nunder {workload:?}")))?;
            tally.add(&Tally::of("transactions judged twice", verified.transactions));
            db.close()?;
            drop(db);
            place.destroy();
            shown.at((begun + 1) * RUN, &tally.to_string());
        }
        Ok(tally)
    }
}

/// What `adya` has against a history.
fn second(history: &History, is_snapshot: bool) -> Result<(), Failure> {
    let mut json = Vec::new();
    history.write_elle(ElleFormat::Json, &mut json)?;
    let read = adya::History::from_json(std::str::from_utf8(&json)?)
        .map_err(|e| format!("adya cannot read it: {e}"))?;
    let model = if is_snapshot { "strong-snapshot-isolation" } else { "strict-serializable" };
    let opts = adya::Opts { models: vec![model.into()], ..adya::Opts::default() };
    let report = adya::check(&read, adya::Workload::ListAppend, &opts);
    match report.valid {
        adya::Valid::True => Ok(()),
        _ => Err(format!("adya says that it is not {model}: {:?}", report.anomaly_types).into()),
    }
}

#[cfg(test)]
mod tests {
    use vellum_conformance::history::Op;

    use super::*;

    #[test]
    fn history_with_one_list_in_another_order_is_rejected_by_adya() -> Result<(), Failure> {
        let db = vellum_mem::open(Options::new())?;
        let workload = Workload::new().kind(Kind::ListAppend).transactions(300).keys(8);
        let mut history = run(&db, &workload.of_one_level(false))?;
        second(&history, false)?;
        let lists = history.txns.iter_mut().filter(|txn| !txn.outcome.is_aborted());
        let longest = lists
            .flat_map(|txn| &mut txn.ops)
            .filter_map(|op| match op {
                Op::Get { value: Some(value), .. } => Some(value),
                _ => None,
            })
            .max_by_key(|value| value.len())
            .ok_or("nothing was read")?;
        let text = String::from_utf8(longest.to_vec())?;
        let reversed: Vec<_> = text.split(' ').rev().collect();
        *longest = reversed.join(" ").into();
        assert!(second(&history, false).is_err());
        Ok(())
    }
}
