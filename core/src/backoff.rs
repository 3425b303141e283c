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

/// A number in [0, 1), from a sequence that a thread seeds by the standard
/// library's hash keys.
fn unit_random() -> f64 {
    thread_local!(static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0u8) | 1));
    STATE.with(|state| {
        state.set(next_state(state.get()));
        unit(state.get())
    })
}

/// xorshift64* (Vigna 2016): the state, which is never 0, goes on in a cycle of all
/// others.
fn next_state(mut x: u64) -> u64 {
    x ^= x >> 12;
    x ^= x << 25;
    x ^ (x >> 27)
}

/// The upper 53 bits of what the generator makes of a state, as a fraction.
fn unit(state: u64) -> f64 {
    (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::{next_state, unit, unit_random};

    #[test]
    fn random_numbers_lie_in_the_unit_interval_and_differ() {
        let numbers: Vec<f64> =
            (0..if cfg!(miri) { 10 } else { 1000 }).map(|_| unit_random()).collect();
        assert!(numbers.iter().all(|n| (0.0..1.0).contains(n)));
        assert!(numbers.iter().any(|n| *n < 0.1) && numbers.iter().any(|n| *n > 0.9));
    }

    /// The generator as published, worked out outside of this code.
    #[test]
    fn sequence_is_that_of_xorshift64_star() {
        let states = [0x200_0001, 0x4_0040_0080_2801, 0xd_0040_0320_2803];
        assert_eq!([1, states[0], states[1]].map(next_state), states);
        assert_eq!(next_state(0x9e37_79b9_7f4a_7c15), 0x03f7_21df_fe39_b342);
        let numbers = [2_529_537_253_518_747_u64, 6_045_066_965_290_796, 6_537_840_858_852_963];
        let fraction = |n| (n as f64 / 9_007_199_254_740_992.0).to_bits();
        assert_eq!(states.map(|state| unit(state).to_bits()), numbers.map(fraction));
    }
}
