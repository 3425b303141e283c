//! Histories on the backend on disk, closing and opening it too, against the
//! model; it keeps its files in memory, where there is such a place.
#![no_main]

use tempfile::TempDir;
use vellum_conformance::{Capabilities, Factory, fuzzing};
use vellum_core::{Options, Result};
use vellum_lsm::{Builder, LsmDatabase};

struct Directory(TempDir);

impl Directory {
    fn new() -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self(dir.expect("a temporary directory"))
    }
}

impl Factory for Directory {
    type Connection = LsmDatabase;

    fn capabilities(&self) -> Capabilities {
        Capabilities::full()
    }

    fn open(&self, options: &Options) -> Result<LsmDatabase> {
        let builder = Builder::new(self.0.path().join("db"));
        // So small a memory makes tables within one history.
        builder.memtable_bytes(1 << 9).worker_threads(1).options(*options).open()
    }

    fn destroy(&self) {
        let _ = std::fs::remove_dir_all(self.0.path().join("db"));
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Err(e) = fuzzing::play_bytes(Directory::new(), data) {
        panic!("{}{e}", fuzzing::story(data));
    }
});
