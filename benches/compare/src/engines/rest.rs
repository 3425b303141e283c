//! Waiting for background work to come to rest.

use std::thread;
use std::time::{Duration, Instant};

use crate::Result;

/// How long nothing must have been busy.
const QUIET: Duration = Duration::from_millis(200);
/// When to stop waiting and measure anyway: an engine that compacts for ever
/// must not stop the run.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until `is_busy` has said no for a while.
pub(super) fn wait(mut is_busy: impl FnMut() -> bool) -> Result<()> {
    let begun = Instant::now();
    let mut idle_since = begun;
    while idle_since.elapsed() < QUIET && begun.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(10));
        if is_busy() {
            idle_since = Instant::now();
        }
    }
    Ok(())
}

/// Waits until the files of a directory have kept their names and sizes for a
/// while: for engines that do not say what they are doing.
pub(super) fn wait_for_files(dir: &std::path::Path) -> Result<()> {
    let mut seen = listing(dir);
    wait(|| {
        let before = std::mem::replace(&mut seen, listing(dir));
        before != seen
    })
}

/// The files under a directory, with their sizes.
fn listing(dir: &std::path::Path) -> Vec<(std::path::PathBuf, u64)> {
    let mut files = Vec::new();
    let mut rooms = vec![dir.to_owned()];
    while let Some(room) = rooms.pop() {
        for entry in std::fs::read_dir(room).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => rooms.push(entry.path()),
                Ok(meta) => files.push((entry.path(), meta.len())),
                // It went away meanwhile: the next listing differs.
                Err(_) => {}
            }
        }
    }
    files.sort();
    files
}
