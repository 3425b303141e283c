//! Random steps beside the reference model, and the cases with threads.

use vellum_conformance::{Effort, Outcome, cases, run};

use crate::Failure;
use crate::places::Backend;
use crate::tally::Tally;
use crate::task::{Shown, Task, seed_of};

/// How many histories the cases of the suite walk at 100 percent.
const USUAL: u64 = 1200;

/// The cases of the suite that are random, with other seeds.
#[derive(Debug)]
pub(crate) struct Walks<B>(pub(crate) B);

impl<B: Backend> Task for Walks<B> {
    fn name(&self) -> &'static str {
        "walks"
    }

    fn round(&self) -> u64 {
        USUAL
    }

    fn usual(&self) -> u64 {
        100 * USUAL
    }

    fn run(&self, seed: u64, budget: u64, shown: &Shown<'_>) -> Result<Tally, Failure> {
        let mut tally = Tally::default();
        let cases = cases::<B::Place>();
        for turn in 0..budget.div_ceil(USUAL) {
            let mut effort = Effort::from_env();
            (effort.seed, effort.percent) = (seed_of(seed, turn), 100);
            for case in cases.iter().filter(|c| matches!(c.module, "model" | "threads")) {
                match run(case, self.0.place()?, effort) {
                    Outcome::Passed => tally.add(&Tally::of("random cases", 1)),
                    Outcome::Skipped(_) => {}
                    Outcome::Failed(failure) => {
                        let name = case.name;
                        return Err(format!("{name}, with seed {}: {failure}", effort.seed).into());
                    }
                }
                shown.at(turn * USUAL, &tally.to_string());
            }
        }
        Ok(tally)
    }
}
