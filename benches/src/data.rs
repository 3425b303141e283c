//! The keys and values, made from numbers.

use vellum::Bytes;

/// SplitMix64 (Steele, Lea and Flood 2014): the same numbers on every run.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The sequence of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0, if `n` is 0.
    pub const fn below(&mut self, n: u64) -> u64 {
        self.next_u64() % if n == 0 { 1 } else { n }
    }
}

/// How many records are loaded: `default`, or what `VELLUM_BENCH_RECORDS`
/// says, or few when the benchmarks are only tried out.
#[must_use]
pub fn records(default: u64) -> u64 {
    if crate::is_smoke() {
        return 1_000;
    }
    let asked = std::env::var("VELLUM_BENCH_RECORDS");
    asked.ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// Key `n` of those that are present, of 16 bytes: `user`, and an even number.
#[must_use]
pub fn key(n: u64) -> [u8; 16] {
    numbered(n * 2)
}

/// Key `n` of those that are not: they lie between the others.
#[must_use]
pub fn absent_key(n: u64) -> [u8; 16] {
    numbered(n * 2 + 1)
}

/// `user%012d`, without the cost of formatting.
fn numbered(mut id: u64) -> [u8; 16] {
    let mut key = *b"user000000000000";
    for digit in key.iter_mut().skip(4).rev() {
        *digit += (id % 10) as u8;
        id /= 10;
    }
    key
}

/// A value of 100 bytes that does not compress.
#[must_use]
pub fn value(rng: &mut Rng) -> Bytes {
    let mut value = Vec::with_capacity(104);
    while value.len() < 100 {
        value.extend_from_slice(&rng.next_u64().to_le_bytes());
    }
    value.truncate(100);
    value.into()
}
