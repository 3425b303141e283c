//! Every interleaving of small sets of transactions.

use vellum_conformance::Rng;
use vellum_conformance::worlds::{Explored, Plan, Section, explore};

use crate::Failure;
use crate::places::Backend;
use crate::tally::Tally;
use crate::task::{Shown, Task};

/// Interleavings of one plan.
const PLAN: u64 = 500_000;

/// Small worlds on one backend.
#[derive(Debug)]
pub(crate) struct Worlds<B>(pub(crate) B);

impl<B: Backend> Task for Worlds<B> {
    fn name(&self) -> &'static str {
        "worlds"
    }

    fn round(&self) -> u64 {
        if B::NAME == "mem" { PLAN } else { PLAN / 20 }
    }

    fn usual(&self) -> u64 {
        10 * self.round()
    }

    /// A large budget begins with all pairs; what is left goes to the sections
    /// that are too large to be finished, each time with another seed.
    fn run(&self, seed: u64, budget: u64, shown: &Shown<'_>) -> Result<Tally, Failure> {
        let mut rng = Rng::new(seed);
        let mut all = Explored::default();
        let sections = Section::ALL.iter().filter(|section| **section != Section::Pairs);
        let mut sections = sections.copied().cycle().skip(usize::try_from(seed % 5).unwrap_or(0));
        while all.interleavings < budget {
            let left = budget - all.interleavings;
            let plan = Plan::new(rng.next_u64(), left.min(PLAN));
            let plan = match sections.next() {
                _ if all.interleavings == 0 && budget > PLAN => plan.only(Section::Pairs),
                Some(section) => plan.only(section),
                None => plan,
            };
            let before = all.interleavings;
            let mut told = |done: u64, _of: u64| shown.at(before + done, &all.to_string());
            let explored = explore(&self.0.place()?, &plan, &mut told)?;
            all = all.and(explored);
            // A plan may have nothing to play within so small a budget.
            if explored.interleavings == 0 {
                break;
            }
        }
        Ok(Tally::of("interleavings", all.interleavings)
            .and("outcomes that differ", all.outcomes)
            .and("skews seen under snapshot, refused under serializable", all.skews_refused))
    }
}
