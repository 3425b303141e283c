//! The wait of the retry helper.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Below this a sleep would be longer than asked: yield instead.
const SHORTEST_SLEEP: Duration = Duration::from_micros(50);

/// Gives the processor away for a random time of up to `bound`. The wait only
/// spreads threads in time; no result depends on it.
pub(crate) fn wait(bound: Duration) {
    let wait = bound.mul_f64(unit_random());
    if wait < SHORTEST_SLEEP {
        std::thread::yield_now();
    } else {
        std::thread::sleep(wait);
    }
}

/// A number in [0, 1): xorshift64* (Vigna 2016), seeded a thread by the
/// standard library's hash keys.
fn unit_random() -> f64 {
    thread_local!(static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0u8) | 1));
    STATE.with(|state| {
        let mut x = state.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        state.set(x);
        let bits = x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
        bits as f64 / (1u64 << 53) as f64
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn random_numbers_lie_in_the_unit_interval_and_differ() {
        let numbers: Vec<f64> =
            (0..if cfg!(miri) { 10 } else { 1000 }).map(|_| super::unit_random()).collect();
        assert!(numbers.iter().all(|n| (0.0..1.0).contains(n)));
        assert!(numbers.iter().any(|n| *n < 0.1) && numbers.iter().any(|n| *n > 0.9));
    }
}
