//! What the benchmarks of Vellum share: the data, the databases, and the
//! floors beside them.
//!
//! Every subject of a group gets the same keys and values, in the same order,
//! from the same seed. See the README for what each group shows.
#![forbid(unsafe_code)]

mod data;
mod floors;
mod keys;
mod subjects;
pub mod svg;
mod timing;

pub use data::{records, value};
pub use floors::{Fjall, LockedMap};
pub use keys::{Rng, absent_key, key, load_order, mix};
pub use subjects::{Lsm, load, lsm, mem};
pub use timing::{Turns, by_turns, configure, in_threads, is_smoke, median, rates};

/// What a benchmark's set-up returns: it stops at the first error.
pub type Result<T = (), E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;
