//! Latencies in logarithmic buckets: 32 to each power of two, so that a
//! percentile is at most 3 % off.

/// Bits of a number that its bucket keeps below the highest one.
const BITS: u32 = 5;
const BUCKETS: usize = 64 << BITS;

/// Counts of nanoseconds.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0 }
    }
}

fn bucket(n: u64) -> usize {
    let shift = (63 - (n | 1).leading_zeros()).saturating_sub(BITS);
    ((u64::from(shift) << BITS) + (n >> shift)) as usize
}

/// The smallest number of a bucket.
fn floor(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 << BITS {
        return bucket;
    }
    let shift = (bucket >> BITS) - 1;
    ((bucket & ((1 << BITS) - 1)) + (1 << BITS)) << shift
}

impl Histogram {
    /// Counts one.
    pub fn record(&mut self, nanoseconds: u64) {
        if let Some(count) = self.counts.get_mut(bucket(nanoseconds)) {
            *count += 1;
            self.total += 1;
        }
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(mine, theirs)| *mine += theirs);
        self.total += other.total;
    }

    /// What this share (0 to 1) of all is at most, in nanoseconds, within 3 %;
    /// nothing if nothing was counted.
    pub fn percentile(&self, share: f64) -> Option<u64> {
        let rank = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let at = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        at.map(floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_three_percent() {
        let mut halves = [Histogram::default(), Histogram::default()];
        for n in 1..=100_000u64 {
            if let Some(half) = halves.get_mut(usize::from(n % 2 == 0)) {
                half.record(n * 10);
            }
        }
        let [mut all, other] = halves;
        all.merge(&other);
        for share in [0.01, 0.5, 0.99, 1.0] {
            let got = all.percentile(share).unwrap_or(0) as f64;
            let want = share * 1_000_000.0;
            assert!((got / want - 1.0).abs() < 0.035, "{share}: {got} for {want}");
        }
        assert_eq!(Histogram::default().percentile(0.5), None);
    }

    #[test]
    fn every_number_has_a_bucket_that_begins_at_or_below_it() {
        for n in (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit]).chain([u64::MAX]) {
            assert!(bucket(n) < BUCKETS);
            assert!(floor(bucket(n)) <= n && n - floor(bucket(n)) <= n / 32 + 1, "{n}");
        }
    }
}
