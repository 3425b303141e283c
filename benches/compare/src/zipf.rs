//! Numbers of a Zipfian distribution, as YCSB draws them.
//!
//! The method is that of Gray et al., "Quickly Generating Billion-Record
//! Synthetic Databases" (SIGMOD 1994). Scrambled, the frequent numbers lie
//! scattered over all, not together at the beginning.

use crate::keys::{Rng, mix};

/// The skew that YCSB uses.
const THETA: f64 = 0.99;

/// A distribution over the numbers below `n`.
#[derive(Clone, Debug)]
pub struct Zipf {
    n: u64,
    zeta: f64,
    alpha: f64,
    eta: f64,
}

impl Zipf {
    /// The distribution over the numbers below `n`, at least 1.
    pub fn new(n: u64) -> Self {
        let n = n.max(2);
        let zeta_of = |n: u64| (1..=n).map(|i| (i as f64).powf(-THETA)).sum::<f64>();
        let zeta = zeta_of(n);
        let alpha = 1.0 / (1.0 - THETA);
        let eta = (1.0 - (2.0 / n as f64).powf(1.0 - THETA)) / (1.0 - zeta_of(2) / zeta);
        Self { n, zeta, alpha, eta }
    }

    /// A rank: 0 is the most frequent.
    pub fn rank(&self, rng: &mut Rng) -> u64 {
        let u = (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        let scaled = u * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < 1.0 + 0.5f64.powf(THETA) {
            return 1;
        }
        let rank = self.n as f64 * (self.eta * u - self.eta + 1.0).powf(self.alpha);
        (rank as u64).min(self.n - 1)
    }

    /// A number: the ranks, scattered.
    pub fn scrambled(&self, rng: &mut Rng) -> u64 {
        mix(self.rank(rng)) % self.n
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    const N: u64 = 10_000;
    const DRAWS: u64 = 1_000_000;

    fn counts(mut draw: impl FnMut(&mut Rng) -> u64) -> Vec<u64> {
        let mut rng = Rng::new(5);
        let mut counts = vec![0; usize::try_from(N).unwrap_or(0)];
        for _ in 0..DRAWS {
            counts[usize::try_from(draw(&mut rng)).unwrap_or(usize::MAX)] += 1;
        }
        counts
    }

    #[test]
    fn ranks_are_as_frequent_as_zipf_says() {
        let zipf = Zipf::new(N);
        let counts = counts(|rng| zipf.rank(rng));
        // Ranks 0 and 1 are exact; the others are approximated, so many at a
        // time are compared.
        let share =
            |from: usize, to: usize| counts[from..to].iter().sum::<u64>() as f64 / DRAWS as f64;
        let expected = |from: u64, to: u64| {
            (from..to).map(|i| ((i + 1) as f64).powf(-THETA)).sum::<f64>() / zipf.zeta
        };
        for (from, to) in [(0, 1), (1, 2), (2, 10), (10, 100), (100, 1000), (1000, 10_000)] {
            let (got, want) = (share(from, to), expected(from as u64, to as u64));
            // The approximation is a tenth off where it begins.
            let close = if from == 2 { 0.12 } else { 0.05 };
            assert!((got / want - 1.0).abs() < close, "ranks {from}..{to}: {got} for {want}");
        }
    }

    #[test]
    fn scrambled_numbers_are_scattered_and_as_skewed() {
        let zipf = Zipf::new(N);
        let mut counts = counts(|rng| zipf.scrambled(rng));
        let first_tenth = counts[..1000].iter().sum::<u64>() as f64 / DRAWS as f64;
        assert!(first_tenth < 0.3, "the frequent ones lie together: {first_tenth}");
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let top_tenth = counts[..1000].iter().sum::<u64>() as f64 / DRAWS as f64;
        assert!(top_tenth > 0.7, "{top_tenth}");
    }
}
