//! How long things are measured for, and by how many threads.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use criterion::Criterion;

/// Whether each benchmark runs only once, to see that it does: `--test`.
#[must_use]
pub fn is_smoke() -> bool {
    std::env::args().any(|arg| arg == "--test")
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

/// The median of what `measure` returns in so many runs.
pub fn median(runs: u32, mut measure: impl FnMut() -> f64) -> f64 {
    let mut all: Vec<f64> = (0..runs).map(|_| measure()).collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}
