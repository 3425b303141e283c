//! Small worlds as cases: a share of what [`worlds`](crate::worlds) can
//! explore, so that every backend goes through some of it.

use crate::check::holds;
use crate::worlds::{Explored, Plan, Section, explore};
use crate::{CaseResult, Ctx, Factory, Failure};

fn explored<F: Factory>(cx: &Ctx<F>, section: Section, usual: u32) -> CaseResult<Explored> {
    let plan = Plan::new(cx.effort.seed, cx.histories(usual).into()).only(section);
    explore(&cx.factory, &plan, &mut |_, _| {}).map_err(|found| Failure::new(found.to_string()))
}

pub(crate) fn i1_orders_of_two_transactions_are_right<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    explored(cx, Section::Pairs, 1_500).map(drop)
}

pub(crate) fn i1_orders_of_three_and_four_are_right<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    explored(cx, Section::Triples, 800)?;
    explored(cx, Section::Quads, 800).map(drop)
}

pub(crate) fn i2_orders_at_every_isolation_are_right<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    explored(cx, Section::Variants, 1_500).map(drop)
}

pub(crate) fn i2_skews_happen_under_snapshot_and_are_refused_else<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let found = explored(cx, Section::Skews, 2_000)?;
    // One in twenty is a skew; a few worlds may have none.
    let few = found.interleavings < 1_000;
    holds(few || found.skews > 0, format!("snapshot isolation lets skews through: {found}"))
}

pub(crate) fn v2_orders_with_versions_are_right<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    explored(cx, Section::Versions, 1_000).map(drop)
}
