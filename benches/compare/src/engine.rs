//! What every engine does, so that one workload runs on all of them.
//!
//! An engine implements [`Engine`], [`Reads`] and [`Writes`] in one file under
//! `engines/`. The traits are static: no boxed transaction or iterator stands
//! between a workload and the engine. Values are shown to a closure where they
//! lie, so that an engine that lends them is not made to copy.

use std::fmt;
use std::path::Path;

use crate::Result;

/// Something that an engine does not offer, and why: its cell stays empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsupported(pub &'static str);

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unsupported: {}", self.0)
    }
}

impl std::error::Error for Unsupported {}

/// What a commit has done when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Handed to the operating system: it survives the end of the process.
    Buffered,
    /// Flushed to the device.
    Synced,
}

/// How an attempt to commit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is visible, and as durable as was asked.
    Committed,
    /// Another transaction won: begin again.
    Conflict,
}

/// How an engine is opened: the same for all, as far as each can say it.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Bytes of block or page cache.
    pub cache: u64,
    /// Bytes of a memtable.
    pub memtable: u64,
}

/// An engine, opened.
pub trait Engine: Sized + Send + Sync + 'static {
    /// A read transaction.
    type Read<'a>: Reads
    where
        Self: 'a;
    /// A write transaction.
    type Write<'a>: Writes
    where
        Self: 'a;

    /// Opens the engine in this directory, or in memory if it has none on disk.
    fn open(dir: &Path, settings: &Settings) -> Result<Self>;

    /// Makes it ready for write transactions of this durability, before the
    /// clock of a cell starts: some engines choose it when they are opened.
    /// Without a call, it is ready for [`Durability::Buffered`].
    fn prepare(&mut self, _durability: Durability) -> Result<()> {
        Ok(())
    }

    /// Begins a read transaction of the newest state.
    fn read(&self) -> Result<Self::Read<'_>>;

    /// Begins a read transaction to be held while others write, on any thread:
    /// it sees nothing of what they commit, and does not stop them.
    fn snapshot(&self) -> Result<Self::Read<'_>> {
        self.read()
    }

    /// Begins a write transaction.
    fn write(&self, durability: Durability) -> Result<Self::Write<'_>>;

    /// Brings background work to rest: memtables flushed, compactions done.
    fn settle(&self) -> Result<()> {
        Ok(())
    }

    /// Collects what no transaction needs, where the engine offers it. No
    /// transaction is open meanwhile: not every engine spares what one reads.
    fn collect(&self) -> Result<()> {
        Ok(())
    }

    /// Its saved versions, where it has such.
    fn versions(&self) -> Option<&dyn Versions> {
        None
    }

    /// Closes it in order.
    fn close(self) -> Result<()> {
        drop(self);
        Ok(())
    }
}

/// Reading at one snapshot.
pub trait Reads {
    /// Shows the value of `key`, and says whether there is one.
    fn get(&mut self, key: &[u8], see: impl FnOnce(&[u8])) -> Result<bool>;

    /// Shows up to `limit` records from `from` on (from the first without it),
    /// ascending, or below `from` (from the last without it), descending, and
    /// returns how many.
    fn scan(
        &mut self,
        from: Option<&[u8]>,
        is_reverse: bool,
        limit: usize,
        see: impl FnMut(&[u8], &[u8]),
    ) -> Result<usize>;
}

/// A transaction that writes. Dropped, it leaves no trace.
pub trait Writes: Reads {
    /// Sets `key` to `value`. An engine that locks may lose here already.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<Outcome>;

    /// Reads `key` for a write to come; where the engine must be told so, it is.
    fn get_for_update(&mut self, key: &[u8], see: impl FnOnce(&[u8])) -> Result<Outcome> {
        self.get(key, see)?;
        Ok(Outcome::Committed)
    }

    /// Tries to commit.
    fn commit(self) -> Result<Outcome>;
}

/// Saved versions: states that stay readable under a number.
pub trait Versions {
    /// Saves the newest state, and returns its number.
    fn save(&self) -> Result<u64>;

    /// Shows the value of `key` at a version, in a read transaction of its own.
    fn get_at(&self, version: u64, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool>;

    /// How many keys differ between two versions; each difference is read.
    fn diff(&self, from: u64, to: u64) -> Result<u64>;

    /// Takes back everything since the newest version.
    fn revert(&self) -> Result<()>;

    /// Deletes a version.
    fn delete(&self, version: u64) -> Result<()>;
}
