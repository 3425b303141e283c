//! Rounds: every task in turn, each with a seed of its own, until the time is
//! over.

use std::time::{Duration, Instant};

use crate::Failure;
use crate::progress::Line;
use crate::tally::Tally;
use crate::task::{Shown, Task, seed_of};

/// What a soak of one backend came to.
#[derive(Debug, Default)]
pub(crate) struct Soaked {
    /// Rounds that ended.
    pub(crate) rounds: u64,
    /// What they did.
    pub(crate) tally: Tally,
}

/// A round that found something.
#[derive(Debug)]
pub(crate) struct Found {
    /// Which.
    pub(crate) round: u64,
    /// What it was to do: with other tasks (without strace there are fewer) a round is
    /// another.
    pub(crate) task: &'static str,
    /// What.
    pub(crate) failure: Failure,
}

/// Runs rounds for this long.
///
/// # Errors
/// The first round that found something.
pub(crate) fn soak(
    tasks: &[Box<dyn Task>],
    seed: u64,
    time: Duration,
    line: &Line,
) -> Result<Soaked, Found> {
    let begun = Instant::now();
    let mut soaked = Soaked::default();
    for (round, task) in (0..).zip(tasks.iter().cycle()) {
        if begun.elapsed() >= time {
            break;
        }
        let name = task.name();
        line.show(begun.elapsed().as_secs(), &format!("{name} · {}", soaked.tally));
        let tally = task.run(seed_of(seed, round), task.round(), &Shown::within(line));
        soaked.tally.add(&tally.map_err(|failure| Found { round, task: name, failure })?);
        soaked.rounds += 1;
    }
    Ok(soaked)
}

/// Runs one round again.
///
/// # Errors
/// What it found.
pub(crate) fn again(
    tasks: &[Box<dyn Task>],
    seed: u64,
    round: u64,
    line: &Line,
) -> Result<Soaked, Found> {
    let at = usize::try_from(round).unwrap_or(usize::MAX) % tasks.len().max(1);
    let Some(task) = tasks.get(at) else { return Ok(Soaked::default()) };
    let tally = task.run(seed_of(seed, round), task.round(), &Shown::within(line));
    let tally = tally.map_err(|failure| Found { round, task: task.name(), failure })?;
    Ok(Soaked { rounds: 1, tally })
}
