//! Numbers and the keys made from them. The comparison runner, a workspace of
//! its own, takes this file by its path.

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
        mix(self.0)
    }

    /// A number below `n`; 0, if `n` is 0.
    pub const fn below(&mut self, n: u64) -> u64 {
        self.next_u64() % if n == 0 { 1 } else { n }
    }
}

/// SplitMix64's finalizer: each number to another, as good as random.
#[must_use]
pub const fn mix(n: u64) -> u64 {
    let mut z = n;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
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

/// The numbers 0 to `n`, each once, in an order that is as good as random: the
/// multiples of a large prime.
pub fn load_order(n: u64) -> impl Iterator<Item = u64> {
    const PRIME: u64 = 2_147_483_647;
    (0..n).map(move |i| i.wrapping_mul(PRIME) % n)
}
