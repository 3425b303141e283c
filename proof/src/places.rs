//! The two backends, and where the proof puts their databases.

use std::path::PathBuf;

use tempfile::TempDir;
use vellum_conformance::{Capabilities, Factory};
use vellum_core::{Options, Result};
use vellum_lsm::{Builder, LsmDatabase};
use vellum_mem::MemDatabase;

use crate::Failure;

/// A backend under proof: where its databases can stand.
pub(crate) trait Backend: Send + Sync {
    /// What it is called on the command line and in the table.
    const NAME: &'static str;
    type Place: Factory;

    /// A new, empty place.
    fn place(&self) -> std::result::Result<Self::Place, Failure>;
}

/// The backend in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mem;

/// The backend on disk, in folders under this one.
#[derive(Clone, Debug)]
pub(crate) struct Lsm {
    pub(crate) scratch: PathBuf,
}

impl Backend for Mem {
    const NAME: &'static str = "mem";
    type Place = MemPlace;

    fn place(&self) -> std::result::Result<MemPlace, Failure> {
        Ok(MemPlace)
    }
}

impl Backend for Lsm {
    const NAME: &'static str = "lsm";
    type Place = LsmPlace;

    fn place(&self) -> std::result::Result<LsmPlace, Failure> {
        let folder = tempfile::Builder::new().prefix("vellum-proof-").tempdir_in(&self.scratch);
        let folder = folder.map_err(|e| {
            let scratch = self.scratch.display();
            format!("no folder for databases in {scratch} ({e}): name another with --scratch")
        })?;
        Ok(LsmPlace(folder))
    }
}

/// A database in memory: every opening makes a new one.
#[derive(Debug)]
pub(crate) struct MemPlace;

impl Factory for MemPlace {
    type Connection = MemDatabase;

    fn capabilities(&self) -> Capabilities {
        Capabilities::in_memory()
    }

    fn open(&self, options: &Options) -> Result<MemDatabase> {
        vellum_mem::open(*options)
    }

    fn destroy(&self) {}
}

/// A folder with a database.
#[derive(Debug)]
pub(crate) struct LsmPlace(TempDir);

impl LsmPlace {
    /// What opens the database there.
    pub(crate) fn builder(&self) -> Builder {
        Builder::new(self.0.path().join("db"))
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
        // A missing folder is as good as a removed one.
        let _ = std::fs::remove_dir_all(self.0.path().join("db"));
    }
}
