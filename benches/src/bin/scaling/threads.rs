//! What two threads take: of the real engine, of a line, and of a sleep.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use vellum::{Connection, ConnectionExt, Durability, ReadTxn};
use vellum_benches::{Result, Rng, key, median, rates};

use crate::costs::{change, whole};
use crate::path::Path;

const ROUND: Duration = Duration::from_millis(150);
const ROUNDS: u64 = 5;

/// How often so many threads take a path of the real engine, a second.
pub(crate) fn rate(db: &impl Connection, path: Path, keys: u64, threads: u64) -> Result<f64> {
    let work = |rng: &mut Rng| -> Result {
        match path {
            Path::BeginRead => drop(std::hint::black_box(db.begin_read()?)),
            Path::BeginWrite => drop(std::hint::black_box(db.begin_write()?)),
            Path::GetSpread | Path::GetHot => {
                let spread = rng.below(keys);
                let n = if path == Path::GetHot { 0 } else { spread };
                db.begin_read()?.get(&key(n))?.ok_or("a record is missing")?;
            }
            Path::Rmw => change(db, keys, rng, Some(Durability::Buffered))?,
            Path::RmwFsync => change(db, keys, rng, Some(Durability::Sync))?,
        }
        Ok(())
    };
    Ok(median(rates(ROUNDS, ROUND, threads, work)?))
}

/// The nanoseconds in which a line moves from one of two cores to the other: each
/// write that finds the other's is one transfer.
pub(crate) fn line() -> u64 {
    const TURNS: u64 = 20_000;
    let all = (0..ROUNDS).map(|_| {
        let (turn, ready) = (AtomicU64::new(0), Barrier::new(2));
        let play = |me: u64| {
            ready.wait();
            let begun = Instant::now();
            for n in (me..TURNS).step_by(2) {
                let mut looks = 0_u32;
                while turn.load(Ordering::Acquire) != n {
                    looks += 1;
                    // The other may not be running.
                    if looks.is_multiple_of(10_000) {
                        std::thread::yield_now();
                    }
                }
                turn.store(n + 1, Ordering::Release);
            }
            begun.elapsed()
        };
        let took = std::thread::scope(|scope| {
            let other = scope.spawn(|| play(1));
            let mine = play(0);
            other.join().unwrap_or(mine).max(mine)
        });
        took.as_secs_f64() * 1e9 / TURNS as f64
    });
    whole(median(all.collect()))
}

/// Nanoseconds from waking a thread until it runs.
pub(crate) fn wake() -> u64 {
    const TURNS: u64 = 2_000;
    let (turn, changed) = (Mutex::new(0_u64), Condvar::new());
    let play = |me: u64| {
        for n in (me..TURNS).step_by(2) {
            let mut now = turn.lock().unwrap_or_else(PoisonError::into_inner);
            while *now != n {
                now = changed.wait(now).unwrap_or_else(PoisonError::into_inner);
            }
            *now = n + 1;
            drop(now);
            changed.notify_all();
        }
    };
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| play(1));
        play(0);
    });
    whole(begun.elapsed().as_secs_f64() * 1e9 / TURNS as f64)
}

/// Nanoseconds that it takes to wake several threads at once, each.
pub(crate) fn waking() -> u64 {
    const SLEEPERS: usize = 16;
    const TURNS: u64 = 200;
    // The turn, and how many sleep.
    let (state, changed) = (Mutex::new((0_u64, 0_usize)), Condvar::new());
    let lock = || state.lock().unwrap_or_else(PoisonError::into_inner);
    let sleep = || {
        for turn in 1..=TURNS {
            let mut now = lock();
            now.1 += 1;
            while now.0 < turn {
                now = changed.wait(now).unwrap_or_else(PoisonError::into_inner);
            }
        }
    };
    let all = std::thread::scope(|scope| {
        (0..SLEEPERS).for_each(|_| drop(scope.spawn(sleep)));
        let mut all = Vec::new();
        while lock().0 < TURNS {
            let mut now = lock();
            if now.1 < SLEEPERS {
                drop(now);
                std::thread::yield_now();
                continue;
            }
            *now = (now.0 + 1, 0);
            drop(now);
            let begun = Instant::now();
            changed.notify_all();
            all.push(begun.elapsed().as_secs_f64() * 1e9 / SLEEPERS as f64);
        }
        all
    });
    whole(median(all))
}
