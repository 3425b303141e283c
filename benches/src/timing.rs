//! How long things are measured for, and by how many threads.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::Criterion;

use crate::{Result, Rng};

/// Whether each benchmark runs only once, to see that it does: with `--test`, and
/// under `cargo test`, which leaves the `--bench` of `cargo bench` out. Criterion goes
/// by the same.
#[must_use]
pub fn is_smoke() -> bool {
    let has = |name: &str| std::env::args().any(|arg| arg == name);
    has("--test") || !has("--bench")
}

/// Criterion with short measurements: what counts is ratios, and those are as
/// good from more runs as from longer ones.
#[must_use]
pub fn configure() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .without_plots()
        .configure_from_args()
}

/// Runs `work(thread, i)` `total` times in all, by so many threads, and
/// returns how long that took once all had begun.
pub fn in_threads(threads: u64, total: u64, work: impl Fn(u64, u64) + Sync) -> Duration {
    if threads <= 1 {
        let begun = Instant::now();
        (0..total).for_each(|i| work(0, i));
        return begun.elapsed();
    }
    let ready = Barrier::new(usize::try_from(threads).unwrap_or(usize::MAX).saturating_add(1));
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (ready, work) = (&ready, &work);
            scope.spawn(move || {
                ready.wait();
                (thread..total)
                    .step_by(usize::try_from(threads).unwrap_or(1))
                    .for_each(|i| work(thread, i));
            });
        }
        ready.wait();
        Instant::now()
    })
    .elapsed()
}

/// How often so many threads together do `work` in a second, in each of so many
/// rounds; each thread has random numbers of its own, of the same seed in every run.
///
/// # Errors
/// The first that a thread's `work` returns; that a thread panicked.
pub fn rates(
    rounds: u64,
    round_time: Duration,
    threads: u64,
    work: impl Fn(&mut Rng) -> Result + Sync,
) -> Result<Vec<f64>> {
    let mut all = Vec::new();
    for round in 0..rounds {
        let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|thread| {
                    let (stop, done, work) = (&stop, &done, &work);
                    let mut rng = Rng::new(1 + thread + round * threads);
                    scope.spawn(move || -> Result {
                        let mut n = 0;
                        while !stop.load(Ordering::Relaxed) {
                            work(&mut rng)?;
                            n += 1;
                        }
                        done.fetch_add(n, Ordering::Relaxed);
                        Ok(())
                    })
                })
                .collect();
            std::thread::sleep(round_time);
            stop.store(true, Ordering::Relaxed);
            workers
                .into_iter()
                .try_for_each(|worker| worker.join().map_err(|_| "a thread panicked".to_owned())?)
        })?;
        all.push(done.into_inner() as f64 / begun.elapsed().as_secs_f64());
    }
    Ok(all)
}

/// The middle of them; not a number, if there are none.
#[must_use]
pub fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What two ways to do the same took, measured by turns.
#[derive(Clone, Copy, Debug)]
pub struct Turns {
    /// The median nanoseconds of each.
    pub times: (f64, f64),
    /// The median of the ratios of the second to the first, of each round.
    pub ratio: f64,
}

/// Measures `first` and `second`, which return nanoseconds, by turns for so many
/// rounds: what slows the machine for a while then slows both.
pub fn by_turns(
    rounds: u32,
    mut first: impl FnMut() -> f64,
    mut second: impl FnMut() -> f64,
) -> Turns {
    let pairs: Vec<(f64, f64)> = (0..rounds).map(|_| (first(), second())).collect();
    let of = |pick: fn(&(f64, f64)) -> f64| median(pairs.iter().map(pick).collect());
    Turns { times: (of(|pair| pair.0), of(|pair| pair.1)), ratio: of(|pair| pair.1 / pair.0) }
}
