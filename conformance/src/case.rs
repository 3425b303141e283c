//! What a case is, and how one runs.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use vellum_core::{Durability, Options, Pruning, Result};

use crate::{Capabilities, CaseResult, Factory, Failure, Failures, Need};

/// One claim of the contract and the function that checks it on a context of
/// type `X`: a [`Ctx`] or a [`StoreCtx`](crate::StoreCtx).
#[derive(Debug)]
pub struct Case<X> {
    /// What it is called, in test output too.
    pub name: &'static str,
    /// The part of the suite that it stands in.
    pub module: &'static str,
    /// The guarantees that it checks, as numbered in `docs/contract.md`.
    pub guarantees: &'static [&'static str],
    /// What the backend must be able to do.
    pub needs: &'static [Need],
    /// The check.
    pub run: fn(&X) -> CaseResult,
}

impl<X> Case<X> {
    /// What it claims, in words: the name without its number.
    #[must_use]
    pub fn claim(&self) -> String {
        let (_, words) = self.name.split_once('_').unwrap_or(("", self.name));
        words.replace('_', " ")
    }

    /// Whether it takes many steps, keys or threads.
    #[must_use]
    pub fn is_heavy(&self) -> bool {
        matches!(self.module, "model" | "scale" | "threads" | "worlds")
    }
}

/// What became of a case.
#[derive(Debug)]
pub enum Outcome {
    /// It holds.
    Passed,
    /// The backend cannot do what it needs, for this reason.
    Skipped(&'static str),
    /// It does not hold.
    Failed(Failure),
}

/// How long and how far cases go.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Effort {
    /// The seed of every random history.
    pub seed: u64,
    /// Multiplies the number of random histories, in percent.
    pub percent: u32,
    /// How long a case waits for what must happen before it fails.
    pub patience: Duration,
}

impl Effort {
    /// As the environment asks: `VELLUM_CONFORMANCE_SEED` and
    /// `VELLUM_CONFORMANCE_CASES` (in percent of the usual number).
    #[must_use]
    pub fn from_env() -> Self {
        let number = |name| std::env::var(name).ok().and_then(|v| v.trim().parse::<u64>().ok());
        Self {
            seed: number("VELLUM_CONFORMANCE_SEED").unwrap_or(1),
            percent: number("VELLUM_CONFORMANCE_CASES")
                .map_or(100, |n| u32::try_from(n).unwrap_or(u32::MAX)),
            patience: Duration::from_secs(30),
        }
    }

    /// The command that does the same again, for the tests of this name; all if it is empty.
    pub(crate) fn replay(&self, test: &str) -> String {
        let Self { seed, percent, .. } = self;
        let command = format!(
            "replay: VELLUM_CONFORMANCE_SEED={seed} VELLUM_CONFORMANCE_CASES={percent} cargo test"
        );
        format!("{command} {test}").trim_end().to_owned()
    }

    /// Little: to try many broken backends in short time.
    #[must_use]
    pub const fn small() -> Self {
        Self { seed: 1, percent: 25, patience: Duration::from_millis(250) }
    }
}

/// What a case has at hand: one place of its own.
#[derive(Debug)]
pub struct Ctx<F> {
    pub(crate) factory: F,
    pub(crate) effort: Effort,
}

impl<F: Factory> Ctx<F> {
    /// The options of cases that are not about options: nothing is fsynced,
    /// and nothing is pruned unless the case does it.
    pub(crate) fn options() -> Options {
        Options::new().durability(Durability::Buffered).pruning(Pruning::Manual)
    }

    pub(crate) fn open(&self) -> Result<F::Connection> {
        self.open_with(Self::options())
    }

    pub(crate) fn open_with(&self, options: Options) -> Result<F::Connection> {
        self.factory.open(&options)
    }

    #[track_caller]
    pub(crate) fn open_failing(&self, failures: &Failures) -> CaseResult<F::Connection> {
        match self.factory.open_failing(&Self::options(), failures) {
            Some(opened) => Ok(opened?),
            None => Err(Failure::new("Capabilities::failing is claimed without the hook")),
        }
    }

    /// As many random histories as the effort allows of `usual`.
    pub(crate) fn histories(&self, usual: u32) -> u32 {
        let cost = if self.factory.capabilities().opens_quickly { 100 } else { 1000 };
        let histories = u64::from(usual) * u64::from(self.effort.percent) / cost;
        u32::try_from(histories.max(1)).unwrap_or(u32::MAX)
    }
}

/// Runs one case on a place of its own, which it destroys afterwards.
pub fn run<F: Factory>(case: &Case<Ctx<F>>, factory: F, effort: Effort) -> Outcome {
    if let Some(reason) = lacking(case, &factory.capabilities()) {
        return Outcome::Skipped(reason);
    }
    let ctx = Ctx { factory, effort };
    let outcome = guarded(|| (case.run)(&ctx));
    ctx.factory.destroy();
    outcome
}

/// Why this case is skipped by a backend that can do this much.
pub(crate) fn lacking<X>(case: &Case<X>, can: &Capabilities) -> Option<&'static str> {
    case.needs.iter().find_map(|&need| can.lacks(need))
}

/// A panic fails the case like a check does.
pub(crate) fn guarded(run: impl FnOnce() -> CaseResult) -> Outcome {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => Outcome::Passed,
        Ok(Err(failure)) => Outcome::Failed(failure),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
            Outcome::Failed(Failure::new(format!("it panicked: {}", said.unwrap_or("?"))))
        }
    }
}

/// Turns an outcome into what the test runner understands: a panic if the case
/// failed, a line on the real standard error (not the captured one) if it was
/// skipped.
pub(crate) fn report<X>(case: &Case<X>, outcome: Outcome) {
    match outcome {
        Outcome::Passed => {}
        Outcome::Skipped(reason) => say(&format!("SKIPPED {}: {reason}\n", case.name)),
        #[expect(clippy::panic, reason = "this is how a test fails")]
        Outcome::Failed(failure) => panic!(
            "\n{}\n  checks {} of the contract: {}\n\n{failure}\n{}\n",
            case.name,
            case.guarantees.join(", "),
            case.claim(),
            Effort::from_env().replay(case.name)
        ),
    }
}

/// Prints past the capture of the test runner; nothing depends on success.
pub(crate) fn say(line: &str) {
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

/// The cases that a backend skips, each with the reason.
pub(crate) fn skipped<X>(
    cases: &[Case<X>],
    can: Capabilities,
) -> Vec<(&'static str, &'static str)> {
    cases.iter().filter_map(|case| Some((case.name, lacking(case, &can)?))).collect()
}

#[cfg(test)]
mod tests {
    use vellum_core::{AnyConnection, Error, ErrorKind};

    use crate::Support;

    use super::*;

    #[test]
    fn claim_of_a_case_is_its_name_in_words() {
        let of = |name| {
            let (module, guarantees, needs) = ("m", &[][..], &[][..]);
            Case::<()> { name, module, guarantees, needs, run: |()| Ok(()) }.claim()
        };
        assert_eq!(of("t1_reads_see_one_state"), "reads see one state");
        assert_eq!(of("plain"), "plain");
    }

    #[test]
    fn cases_that_a_backend_skips_are_listed_with_its_reason() {
        let of = |name, needs| {
            let (module, guarantees) = ("m", &[][..]);
            Case::<()> { name, module, guarantees, needs, run: |()| Ok(()) }
        };
        let cases = [of("any", &[]), of("two", &[Need::History, Need::Watch])];
        let no = Support::No("it cannot");
        assert_eq!(skipped(&cases, Capabilities::full()), []);
        assert_eq!(skipped(&cases, Capabilities::full().watch(no)), [("two", "it cannot")]);
    }

    /// A place that is never opened.
    struct Place(Capabilities);

    impl Factory for Place {
        type Connection = AnyConnection;

        fn capabilities(&self) -> Capabilities {
            self.0
        }

        fn open(&self, _: &Options) -> Result<AnyConnection> {
            Err(Error::new(ErrorKind::Io, "never opened"))
        }

        fn destroy(&self) {}
    }

    #[test]
    fn histories_follow_the_effort_and_are_a_tenth_where_opening_is_slow() {
        let of = |can, percent| {
            let effort = Effort { percent, ..Effort::small() };
            Ctx { factory: Place(can), effort }.histories(400)
        };
        let (quick, slow) = (Capabilities::full(), Capabilities::full().opens_slowly());
        assert_eq!([1, 100, 250].map(|percent| of(quick, percent)), [4, 400, 1000]);
        assert_eq!([0, 1, 100, 250].map(|percent| of(slow, percent)), [1, 1, 40, 100]);
    }
}
