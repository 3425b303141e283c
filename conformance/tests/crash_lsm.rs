//! The backend on disk survives kills, power losses and failing calls.

use std::path::Path;

use vellum_conformance::crash::Subject;
use vellum_core::{Options, Result};
use vellum_lsm::{Builder, LsmDatabase};

/// With buffers so small that a short run reaches tables and compactions.
struct Small;

impl Subject for Small {
    type Connection = LsmDatabase;

    fn open(&self, dir: &Path, options: &Options) -> Result<LsmDatabase> {
        let builder = Builder::new(dir).memtable_bytes(64 << 10).cache_bytes(1 << 20);
        let builder = builder.journal_bytes(Builder::MIN_JOURNAL_BYTES);
        builder.worker_threads(1).options(*options).open()
    }

    /// Nearly as much as a journal holds.
    fn filling(&self) -> u64 {
        63_400_000
    }
}

vellum_conformance::crash_suite!(Small);
