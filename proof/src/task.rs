//! What a run consists of: tasks, each with a seed and a budget.

use vellum_conformance::Rng;

use crate::Failure;
use crate::progress::Line;
use crate::tally::Tally;

/// One kind of proof on one backend.
pub(crate) trait Task: Send + Sync {
    /// The name of its command.
    fn name(&self) -> &'static str;

    /// How much of it is one round of a soak: some seconds of work.
    fn round(&self) -> u64;

    /// How much of it a command does by itself.
    fn usual(&self) -> u64;

    /// Does about `budget` units of it, and shows on the line that it lives.
    ///
    /// # Errors
    /// What was found wrong: the story, and the seed of it.
    fn run(&self, seed: u64, budget: u64, line: &Shown<'_>) -> Result<Tally, Failure>;
}

/// Where a task shows how far it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a> {
    line: &'a Line,
    /// Whether the task has the line for itself; if not, it only shows life.
    own: bool,
}

impl<'a> Shown<'a> {
    /// On a line of its own.
    pub(crate) fn alone(line: &'a Line) -> Self {
        Self { line, own: true }
    }

    /// On the line of something larger.
    pub(crate) fn within(line: &'a Line) -> Self {
        Self { line, own: false }
    }

    /// So much of it is done.
    pub(crate) fn at(&self, done: u64, text: &str) {
        if self.own {
            self.line.show(done, text);
        } else {
            self.line.alive();
        }
    }
}

/// The seed of one round, unlike that of its neighbours.
pub(crate) fn seed_of(seed: u64, round: u64) -> u64 {
    Rng::new(Rng::new(seed).next_u64().wrapping_add(round)).next_u64()
}
