//! kill -9 at random moments.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::child::{Job, said};
use super::threads::{Reach, THREADS, judge};
use super::{Broken, Scene, Subject};
use crate::random::Rng;

/// Cycles on one directory before a new one is begun.
const CYCLES_A_PLACE: u64 = 40;
/// How long a child may take to open what the one before it left.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many processes are killed, from which seed.
#[derive(Clone, Copy, Debug)]
pub struct Kills {
    /// The seed of the moments, and of what the processes write.
    pub seed: u64,
    /// How many.
    pub cycles: u64,
}

/// What the killed processes had done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Killed {
    /// How many were killed, each followed by a check of everything.
    pub cycles: u64,
    /// Those of them that were killed before they had opened the database.
    pub while_opening: u64,
    /// Transactions that they had committed.
    pub transactions: u64,
}

impl std::fmt::Display for Killed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cycles, while_opening, transactions } = self;
        write!(f, "{cycles} kills ({while_opening} of them while opening), ")?;
        write!(f, "{transactions} transactions, none lost and none torn")
    }
}

/// Kills writers of several threads again and again, on the same directory,
/// and checks after each that nothing acknowledged is missing and nothing is
/// torn (D1, D2).
///
/// # Errors
/// The first thing that is wrong; the directory is left where it is.
pub fn kills<S: Subject>(
    subject: &S,
    scene: &Scene,
    plan: Kills,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Killed, Broken> {
    let mut rng = Rng::new(plan.seed);
    let mut killed = Killed::default();
    while killed.cycles < plan.cycles {
        let dir = scene.dir("kill")?;
        let mut reach = [Reach::default(); THREADS];
        for _ in 0..CYCLES_A_PLACE.min(plan.cycles - killed.cycles) {
            let seed = rng.next_u64();
            let wrong = |what: String| {
                let cycle = killed.cycles;
                scene.broken(format!("cycle {cycle} of seed {}: {what}", plan.seed), dir.path())
            };
            let opened = cycle(scene, dir.path(), seed, &mut rng, &mut reach).map_err(wrong)?;
            let counts = judge(subject, &dir.path().join("db"), &reach).map_err(wrong)?;
            killed.transactions += counts.iter().zip(&reach).map(|(c, r)| c - r.begun).sum::<u64>();
            reach = counts.map(Reach::at);
            killed.cycles += 1;
            killed.while_opening += u64::from(!opened);
            progress(killed.cycles, plan.cycles);
        }
    }
    Ok(killed)
}

/// One child, from its birth to its death; whether it had opened the database.
fn cycle(
    scene: &Scene,
    dir: &Path,
    seed: u64,
    rng: &mut Rng,
    reach: &mut [Reach; THREADS],
) -> Result<bool, String> {
    let failed = |e: std::io::Error| format!("no child process: {e}");
    let mut child = scene.child(&Job::Threads { seed }, &dir.join("db"));
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(failed)?;
    let Some(stdout) = child.stdout.take() else { return Err("no pipe from the child".into()) };
    let (heard, lines) = std::sync::mpsc::channel();
    // Everything that was said before the end is in the pipe, also after it.
    let reader = std::thread::spawn(move || {
        let lines = BufReader::new(stdout).lines().map_while(Result::ok);
        for line in lines.filter_map(|line| said(&line).map(str::to_owned)) {
            if heard.send(line).is_err() {
                return;
            }
        }
    });
    let early = rng.percent(15);
    let mut opened = false;
    let mut listen = |line: String| note(&line, reach, &mut opened);
    if early {
        std::thread::sleep(Duration::from_micros(rng.below(30_000)));
    } else {
        let begun = Instant::now();
        loop {
            match lines.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
                Ok(line) => {
                    let is_open = line == "open";
                    listen(line)?;
                    if is_open {
                        break;
                    }
                }
                Err(_) => {
                    end(&mut child);
                    return Err("the child did not open the database".into());
                }
            }
        }
        std::thread::sleep(Duration::from_micros(rng.below(250_000)));
    }
    end(&mut child);
    for line in lines {
        listen(line)?;
    }
    let _ = reader.join();
    Ok(opened)
}

/// SIGKILL, and wait until it is gone.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Takes in a line of the child.
fn note(line: &str, reach: &mut [Reach; THREADS], opened: &mut bool) -> Result<(), String> {
    let mut words = line.split(' ');
    let (what, thread, n) = (words.next(), words.next(), words.next());
    let thread = thread.and_then(|t| t.parse::<usize>().ok()).and_then(|t| reach.get_mut(t));
    let n = n.and_then(|n| n.parse::<u64>().ok());
    match (what, thread, n) {
        (Some("open"), ..) => *opened = true,
        (Some("try"), Some(reach), Some(n)) => reach.tried = n,
        (Some("ack"), Some(reach), Some(n)) => reach.acked = n,
        (Some("err"), ..) => return Err(format!("the child failed before it was killed: {line}")),
        // The last line may be cut off.
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn what_a_child_says_is_how_far_its_threads_are() {
        let (mut reach, mut opened) = ([Reach::at(7); THREADS], false);
        for line in
            ["try 0 8", "ack 0 8", "try 0 9", "try 2 11", "ack 2 11", "ack 3 5", "try 1", ""]
        {
            note(line, &mut reach, &mut opened).unwrap();
        }
        assert!(!opened);
        note("open", &mut reach, &mut opened).unwrap();
        assert!(opened);
        let far = reach.map(|reach| (reach.begun, reach.acked, reach.tried));
        assert_eq!(far, [(7, 8, 9), (7, 7, 7), (7, 11, 11)]);
        let failed = note("err 1 Io it broke", &mut reach, &mut opened);
        assert_eq!(failed.unwrap_err(), "the child failed before it was killed: err 1 Io it broke");
    }
}
