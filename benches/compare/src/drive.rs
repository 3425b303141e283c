//! Threads that do the same until the time is over, and what they count.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::histogram::Histogram;

/// One in so many operations is timed, unless operations take long: reading the
/// clock twice costs as much as a tenth of a quick get.
const TIMED_EVERY: u64 = 8;

/// The attempts of one thread to commit.
#[derive(Debug)]
pub struct Attempts<'a> {
    stop: &'a AtomicBool,
    /// Those that lost.
    pub lost: u64,
}

impl Attempts<'_> {
    /// Whether the time for them is over.
    pub fn are_over(&self) -> bool {
        self.stop.load(Relaxed)
    }
}

/// What one thread has done.
#[derive(Debug)]
pub struct Tally<'a> {
    attempts: Attempts<'a>,
    /// Units done.
    pub done: u64,
    latency: Option<Histogram>,
    timed_every: u64,
}

impl Tally<'_> {
    /// Does `op`, which returns its units, until the time is over.
    pub fn repeat(&mut self, mut op: impl FnMut(&mut Attempts<'_>) -> Result<u64>) -> Result {
        let mut i = 0;
        while !self.attempts.are_over() {
            i += 1;
            let is_timed = i % self.timed_every == 0;
            match self.latency.as_mut().filter(|_| is_timed) {
                None => self.done += op(&mut self.attempts)?,
                Some(latency) => {
                    let begun = Instant::now();
                    self.done += op(&mut self.attempts)?;
                    latency.record(nanoseconds(begun.elapsed()));
                }
            }
        }
        Ok(())
    }
}

/// What all threads have done.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Units a second.
    pub rate: f64,
    /// Units done.
    pub done: u64,
    /// Attempts that lost, as a share of all.
    pub lost: f64,
    /// Latencies of operations, if they were asked for.
    pub latency: Option<Histogram>,
}

/// Runs `work(thread, tally)` in so many threads for so long. A thread's rate
/// counts until its last operation ended.
pub fn drive(
    threads: usize,
    time: Duration,
    has_latency: bool,
    is_slow: bool,
    work: impl Fn(usize, &mut Tally<'_>) -> Result + Sync,
) -> Result<Measured> {
    let stop = AtomicBool::new(false);
    let ready = Barrier::new(threads + 1);
    let done = thread::scope(|scope| {
        let hands: Vec<_> = (0..threads)
            .map(|thread| {
                let (stop, ready, work) = (&stop, &ready, &work);
                scope.spawn(move || {
                    let mut tally = Tally {
                        attempts: Attempts { stop, lost: 0 },
                        done: 0,
                        latency: has_latency.then(Histogram::default),
                        timed_every: if is_slow { 1 } else { TIMED_EVERY },
                    };
                    ready.wait();
                    let begun = Instant::now();
                    let worked = work(thread, &mut tally);
                    let took = begun.elapsed();
                    if worked.is_err() {
                        stop.store(true, Relaxed);
                    }
                    worked.map(|()| (tally, took))
                })
            })
            .collect();
        ready.wait();
        let begun = Instant::now();
        while begun.elapsed() < time && !stop.load(Relaxed) {
            thread::sleep(time.saturating_sub(begun.elapsed()).min(Duration::from_millis(100)));
        }
        stop.store(true, Relaxed);
        let panicked = |_| Err("a thread panicked".into());
        hands
            .into_iter()
            .map(|hand| hand.join().unwrap_or_else(panicked))
            .collect::<Result<Vec<_>>>()
    })?;

    let mut all = Measured { rate: 0.0, done: 0, lost: 0.0, latency: None };
    let mut lost = 0;
    for (tally, took) in done {
        all.rate += tally.done as f64 / took.as_secs_f64().max(1e-9);
        all.done += tally.done;
        lost += tally.attempts.lost;
        if let Some(latency) = tally.latency {
            all.latency.get_or_insert_default().merge(&latency);
        }
    }
    all.lost = lost as f64 / (lost + all.done).max(1) as f64;
    Ok(all)
}

/// A duration in nanoseconds.
pub fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drive_counts_what_every_thread_did() {
        let measured = drive(3, Duration::from_millis(20), true, true, |thread, tally| {
            tally.repeat(|attempts| {
                attempts.lost += u64::from(thread == 0);
                thread::sleep(Duration::from_micros(100));
                Ok(1)
            })
        });
        let measured = measured.unwrap_or_else(|error| unreachable!("{error}"));
        assert!(measured.done >= 3 && measured.rate > 0.0);
        assert!(measured.lost > 0.0 && measured.lost < 0.5);
        let p50 = measured.latency.and_then(|latency| latency.percentile(0.5));
        assert!(p50.is_some_and(|p50| p50 >= 90_000), "{p50:?}");
    }

    #[test]
    fn drive_stops_at_an_error() {
        let failed = drive(2, Duration::from_secs(600), false, false, |thread, tally| {
            tally.repeat(|_| if thread == 0 { Err("no".into()) } else { Ok(1) })
        });
        assert!(failed.is_err_and(|error| error.to_string() == "no"));
    }
}
