//! Random histories against the reference model.

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::case::guarded;
use crate::model::{Mode, ops, play};
use crate::{CaseResult, Ctx, Factory, Failure, Outcome};

fn compare<F: Factory>(cx: &Ctx<F>, usual: u32, mode: Mode) -> CaseResult {
    let config = Config {
        cases: cx.histories(usual),
        failure_persistence: None,
        max_shrink_iters: 4000,
        ..Config::default()
    };
    let mut seed = [0; 32];
    seed.iter_mut().zip(cx.effort.seed.to_be_bytes()).for_each(|(s, b)| *s = b);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let outcome = TestRunner::new_with_rng(config, rng).run(&ops(), |ops| {
        cx.factory.destroy();
        match guarded(|| play(cx, mode, &ops)) {
            Outcome::Failed(failure) => Err(TestCaseError::fail(failure.to_string())),
            Outcome::Passed | Outcome::Skipped(_) => Ok(()),
        }
    });
    match outcome {
        Ok(()) => Ok(()),
        Err(TestError::Abort(reason)) => Err(Failure::new(reason.message().to_string())),
        Err(TestError::Fail(reason, ops)) => {
            let steps: Vec<_> =
                (1..).zip(&ops).map(|(n, op)| format!("  {n:>2}. {op:?}")).collect();
            Err(Failure::new(format!(
                "the smallest history found that the model does not agree with:\n{}\n{}",
                steps.join("\n"),
                reason.message(),
            )))
        }
    }
}

pub(crate) fn i1_random_histories_agree_with_the_model<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let mode = Mode { history: false, reopens: false };
    compare(cx, 800, mode)
}

pub(crate) fn c1_random_histories_with_history_agree_with_the_model<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let mode = Mode { history: true, reopens: false };
    compare(cx, 400, mode)
}

pub(crate) fn d6_random_histories_with_reopening_agree_with_the_model<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let mode = Mode { history: true, reopens: true };
    compare(cx, 40, mode)
}
