//! How many records there are, and their values.

use vellum::Bytes;

use crate::Rng;

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
