//! A judge that is not ours.
//!
//! What our own checker looks at are timestamps, which the engine gives. `adya`
//! knows none: it takes the order of the appends from the lists that were read, as
//! Elle does (Kingsbury and Alvaro, VLDB 2020).

use vellum_conformance::Rng;
use vellum_conformance::history::{ElleFormat, History, Kind, Txn, TxnKind, Workload};
use vellum_core::Isolation;

use crate::Failure;

/// Lists that `adya` can judge: of serializable transactions alone, or of those under
/// snapshot isolation alone.
pub(crate) fn workload(rng: &mut Rng) -> Workload {
    Workload::new()
        .seed(rng.next_u64())
        .kind(Kind::ListAppend)
        .threads(u32::try_from(rng.pick(&[2, 3, 4, 8], 1)).unwrap_or(4))
        .keys(rng.pick(&[32, 64, 200, 1_000], 1))
        .ranges(rng.pick(&[0, 5, 15], 1))
        .of_one_level(rng.percent(20))
}

/// What `adya` has against a history of one level.
pub(crate) fn second(history: &History) -> Result<(), Failure> {
    let weak =
        |txn: &Txn| matches!(txn.kind, TxnKind::Write { isolation: Isolation::Snapshot, .. });
    let is_snapshot = history.txns.iter().any(weak);
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
    use vellum_conformance::history::{Op, run};
    use vellum_core::Options;

    use super::*;

    #[test]
    fn history_with_one_list_in_another_order_is_rejected_by_adya() -> Result<(), Failure> {
        let db = vellum_mem::open(Options::new())?;
        let workload = Workload::new().kind(Kind::ListAppend).transactions(300).keys(8);
        let mut history = run(&db, &workload.of_one_level(false))?;
        second(&history)?;
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
        assert!(second(&history).is_err());
        Ok(())
    }
}
