//! `surrealmx` and `surrealmx-aol`: surrealmx 1.1.0, a concurrent radix tree in
//! memory, alone or with its append-only log (all data stays in memory).
//!
//! - Isolation: serializable, optimistic: a write transaction keeps the keys
//!   and ranges that it read, the crate's default.
//! - Buffered: without the log, nothing; with it, `SynchronousOnCommit` and
//!   `FsyncMode::Never`, a write to the operating system. Synced:
//!   `FsyncMode::EveryAppend`, an fsync for a group of commits. A database is
//!   opened for one or the other, so `prepare` opens it again.
//! - Settings: all as they are by default; there is no cache or memtable.
//! - `collect` sweeps old versions and, with the log, takes a snapshot, which
//!   cuts the log.
//! - Not offered: ranges without an end; a key of all ones stands for it.

use std::path::{Path, PathBuf};

use surrealmx::{AolMode, Database, DatabaseOptions, Error, FsyncMode, PersistenceOptions};

use crate::Result;
use crate::engine::{Durability, Engine, Outcome, Reads, Settings, Unsupported, Writes};

/// Greater than every key that is used here.
const END: &[u8] = &[0xff; 32];

/// With a log, or without.
pub struct Surrealmx<const ON_DISK: bool> {
    database: Database,
    dir: PathBuf,
    durability: Durability,
}

/// A transaction, for reading.
pub struct Read(surrealmx::Transaction);

/// A transaction, for writing.
pub struct Write(Read);

fn open(dir: &Path, durability: Durability) -> Result<Database> {
    let fsync = match durability {
        Durability::Buffered => FsyncMode::Never,
        Durability::Synced => FsyncMode::EveryAppend,
    };
    let log = PersistenceOptions::new(dir)
        .with_aol_mode(AolMode::SynchronousOnCommit)
        .with_fsync_mode(fsync);
    Ok(Database::new_with_persistence(DatabaseOptions::default(), log)?)
}

impl<const ON_DISK: bool> Engine for Surrealmx<ON_DISK> {
    type Read<'a> = Read;
    type Write<'a> = Write;

    fn open(dir: &Path, _settings: &Settings) -> Result<Self> {
        let durability = Durability::Buffered;
        let database = if ON_DISK { open(dir, durability)? } else { Database::new() };
        Ok(Self { database, dir: dir.to_owned(), durability })
    }

    fn prepare(&mut self, durability: Durability) -> Result<()> {
        if ON_DISK && self.durability != durability {
            // Close the one before the other is opened: they share the log.
            self.database = Database::new();
            self.database = open(&self.dir, durability)?;
            self.durability = durability;
        }
        Ok(())
    }

    fn read(&self) -> Result<Read> {
        Ok(Read(self.database.transaction(false)))
    }

    fn write(&self, durability: Durability) -> Result<Write> {
        if !ON_DISK && durability == Durability::Synced {
            return Err(Unsupported("nothing is on disk").into());
        }
        if durability != self.durability {
            return Err("not prepared for this durability".into());
        }
        Ok(Write(Read(self.database.transaction(true))))
    }

    fn collect(&self) -> Result<()> {
        self.database.run_cleanup();
        self.database.run_gc();
        if let Some(log) = self.database.persistence() {
            log.snapshot()?;
        }
        Ok(())
    }
}

impl Reads for Read {
    fn get(&mut self, key: &[u8], see: impl FnOnce(&[u8])) -> Result<bool> {
        Ok(self.0.with_value(key, see)?.is_some())
    }

    fn scan(
        &mut self,
        from: Option<&[u8]>,
        is_reverse: bool,
        limit: usize,
        mut see: impl FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        if is_reverse {
            let range = &b""[..]..from.unwrap_or(END);
            let records = self.0.scan_reverse(range, None, Some(limit))?;
            records.iter().for_each(|(key, value)| see(key, value));
            return Ok(records.len());
        }
        let range = from.unwrap_or_default()..END;
        Ok(self.0.scan_with(range, None, Some(limit), |key, value| {
            see(key, value);
            true
        })?)
    }
}

impl Reads for Write {
    fn get(&mut self, key: &[u8], see: impl FnOnce(&[u8])) -> Result<bool> {
        self.0.get(key, see)
    }

    fn scan(
        &mut self,
        from: Option<&[u8]>,
        is_reverse: bool,
        limit: usize,
        see: impl FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        self.0.scan(from, is_reverse, limit, see)
    }
}

impl Writes for Write {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<Outcome> {
        self.0.0.set(key, value)?;
        Ok(Outcome::Committed)
    }

    fn commit(mut self) -> Result<Outcome> {
        match self.0.0.commit() {
            Ok(()) => Ok(Outcome::Committed),
            Err(Error::KeyReadConflict | Error::KeyWriteConflict) => Ok(Outcome::Conflict),
            Err(error) => Err(error.into()),
        }
    }
}
