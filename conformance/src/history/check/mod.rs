//! The check of a history with timestamps.

mod explain;
mod order;
mod replay;
mod unknown;

use vellum_core::Timestamp;

use super::anomaly::{Anomaly, Verified};
use super::timeline::Timeline;
use super::types::History;

pub(super) use replay::{Fault, FaultKind};

/// Checks a recorded history against what its timestamps and outcomes claim.
///
/// Acceptance proves that the committed serializable transactions are
/// equivalent to running one after another in the order of their timestamps,
/// and that this order respects real time; that those under snapshot isolation
/// and those that were not committed each read one state, that of their
/// snapshot, and lost no update; that saved versions hold what was saved. See
/// the [module](super) for what it does not prove.
///
/// Takes time in proportion to the operations, and the logarithm of the number
/// of keys; a range costs what it passes over, keys that are absent at its
/// timestamp included.
///
/// # Errors
/// The first [`Anomaly`] found, with its class and story; of class
/// [`Undecided`](super::Class::Undecided) where too many unknown outcomes
/// leave too many possibilities.
pub fn check(history: &History) -> Result<Verified, Box<Anomaly>> {
    order::check(history)?;
    order::versions::check(history)?;
    unknown::check(history)
}

/// Replays a history with these unknown outcomes taken as committed.
fn attempt(history: &History, placed: &[(usize, Timestamp)]) -> Result<Verified, Box<Anomaly>> {
    order::snapshots(history, placed)?;
    let line = Timeline::new(history, placed);
    let mut replay = replay::Replay::new(history, &line);
    match replay.run(placed) {
        Ok(()) => Ok(replay.counts),
        Err(fault) => Err(explain::explain(history, &line, &fault)),
    }
}
