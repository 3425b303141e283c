//! A place on disk.

use tempfile::TempDir;
use vellum_conformance::{Capabilities, Factory};
use vellum_core::{Options, Result};
use vellum_lsm::{Builder, LsmDatabase};

/// A directory of its own.
#[derive(Debug)]
pub(crate) struct LsmPlace(TempDir);

impl LsmPlace {
    #[allow(dead_code, reason = "each test program uses what it needs")]
    #[expect(clippy::expect_used, reason = "without a directory there is nothing to test")]
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    /// The same in memory, where the system has such a folder: what is checked
    /// on a disk already need not wait for it again.
    #[allow(dead_code, reason = "each test program uses what it needs")]
    #[expect(clippy::expect_used, reason = "without a directory there is nothing to test")]
    pub(crate) fn quick() -> Self {
        let quick = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self(quick.expect("a temporary directory"))
    }

    pub(crate) fn builder(&self) -> Builder {
        Builder::new(self.0.path().join("db"))
    }

    pub(crate) fn remove(&self) {
        // A missing directory is as good as a removed one.
        let _ = std::fs::remove_dir_all(self.0.path().join("db"));
    }
}

impl Factory for LsmPlace {
    type Connection = LsmDatabase;

    fn capabilities(&self) -> Capabilities {
        Capabilities::full().opens_slowly()
    }

    fn open(&self, options: &Options) -> Result<LsmDatabase> {
        self.builder().options(*options).open()
    }

    fn destroy(&self) {
        self.remove();
    }
}
