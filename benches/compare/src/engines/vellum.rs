//! `vellum-mem` and `vellum-lsm`, and with `-si` the same under snapshot
//! isolation.
//!
//! - Isolation: serializable, optimistic; with `-si` snapshot isolation, where
//!   of two that write one key one loses.
//! - Buffered: in memory nothing; on disk the journal handed to the operating
//!   system. Synced: an fdatasync for a group of commits.
//! - Settings: block cache and memtable as all; the rest as it is by default.
//! - `collect` prunes. `settle` writes the memtables out; then the files must
//!   have come to rest.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use vellum::{
    At, Bytes, Connection, ConnectionExt, Isolation, KeyRange, Options, ReadTxn, TxnOptions,
    Version, WriteTxn,
};

use crate::Result;
use crate::engine::{Durability, Engine, Outcome, Reads, Settings, Unsupported, Versions, Writes};

/// Where the data lies.
pub trait Backend: Send + Sync + 'static {
    /// The database over it.
    type Connection: Connection;
    /// Whether it has a directory.
    const IS_ON_DISK: bool;

    /// Opens it.
    fn open(dir: &Path, settings: &Settings, options: Options) -> Result<Self::Connection>;

    /// Writes out what is gathered in memory, and waits for what follows.
    fn settle(connection: &Self::Connection, dir: &Path) -> Result<()>;
}

/// In memory.
#[derive(Debug)]
pub enum Mem {}

/// On disk.
#[derive(Debug)]
pub enum Lsm {}

impl Backend for Mem {
    type Connection = vellum::mem::MemDatabase;
    const IS_ON_DISK: bool = false;

    fn open(_dir: &Path, _settings: &Settings, options: Options) -> Result<Self::Connection> {
        Ok(vellum::mem::open(options)?)
    }

    fn settle(_connection: &Self::Connection, _dir: &Path) -> Result<()> {
        Ok(())
    }
}

impl Backend for Lsm {
    type Connection = vellum::lsm::LsmDatabase;
    const IS_ON_DISK: bool = true;

    fn open(dir: &Path, settings: &Settings, options: Options) -> Result<Self::Connection> {
        Ok(vellum::lsm::Builder::new(dir.join("vellum"))
            .options(options)
            .cache_bytes(settings.cache)
            .memtable_bytes(settings.memtable)
            .open()?)
    }

    fn settle(connection: &Self::Connection, dir: &Path) -> Result<()> {
        connection.store().flush()?;
        super::rest::wait_for_files(dir)
    }
}

/// A database, and the isolation of its write transactions.
#[derive(Debug)]
pub struct Vellum<B: Backend, const IS_SERIALIZABLE: bool> {
    db: B::Connection,
    dir: PathBuf,
    backend: PhantomData<B>,
}

/// A transaction.
#[derive(Debug)]
pub struct Txn<T>(T);

impl<B: Backend, const IS_SERIALIZABLE: bool> Engine for Vellum<B, IS_SERIALIZABLE>
where
    B::Connection: std::fmt::Debug,
{
    type Read<'a> = Txn<<B::Connection as Connection>::Read>;
    type Write<'a> = Txn<<B::Connection as Connection>::Write>;

    fn open(dir: &Path, settings: &Settings) -> Result<Self> {
        let options = Options::new().durability(vellum::Durability::Buffered);
        let db = B::open(dir, settings, options)?;
        Ok(Self { db, dir: dir.to_owned(), backend: PhantomData })
    }

    fn read(&self) -> Result<Self::Read<'_>> {
        Ok(Txn(self.db.begin_read()?))
    }

    fn write(&self, durability: Durability) -> Result<Self::Write<'_>> {
        let durability = match durability {
            Durability::Buffered => vellum::Durability::Buffered,
            Durability::Synced if B::IS_ON_DISK => vellum::Durability::Sync,
            Durability::Synced => return Err(Unsupported("nothing is on disk").into()),
        };
        let isolation = if IS_SERIALIZABLE { Isolation::Serializable } else { Isolation::Snapshot };
        let options = TxnOptions::new().isolation(isolation).durability(durability);
        Ok(Txn(self.db.begin_write_with(&options)?))
    }

    fn settle(&self) -> Result<()> {
        B::settle(&self.db, &self.dir)
    }

    fn collect(&self) -> Result<()> {
        self.db.prune()?;
        Ok(())
    }

    fn versions(&self) -> Option<&dyn Versions> {
        Some(self)
    }

    fn close(self) -> Result<()> {
        Ok(self.db.close()?)
    }
}

impl<T: ReadTxn> Reads for Txn<T> {
    fn get(&mut self, key: &[u8], see: impl FnOnce(&[u8])) -> Result<bool> {
        Ok(self.0.get(key)?.map(|value| see(&value)).is_some())
    }

    fn scan(
        &mut self,
        from: Option<&[u8]>,
        is_reverse: bool,
        limit: usize,
        mut see: impl FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        let mut count = 0;
        let mut each = |record: vellum::Result<(Bytes, Bytes)>| {
            let (key, value) = record?;
            see(&key, &value);
            count += 1;
            Ok::<_, vellum::Error>(())
        };
        let from = from.map(Bytes::copy_from_slice);
        if is_reverse {
            let range = KeyRange::new(Bytes::new(), from);
            self.0.range(range).rev().take(limit).try_for_each(&mut each)?;
        } else {
            let range = KeyRange::new(from.unwrap_or_default(), None);
            self.0.range(range).take(limit).try_for_each(&mut each)?;
        }
        Ok(count)
    }
}

impl<T: WriteTxn> Writes for Txn<T> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<Outcome> {
        self.0.put(key, Bytes::copy_from_slice(value))?;
        Ok(Outcome::Committed)
    }

    fn commit(self) -> Result<Outcome> {
        match self.0.commit() {
            Ok(_) => Ok(Outcome::Committed),
            Err(error) if error.is_retryable() => Ok(Outcome::Conflict),
            Err(error) => Err(error.into()),
        }
    }
}

impl<B: Backend, const IS_SERIALIZABLE: bool> Versions for Vellum<B, IS_SERIALIZABLE> {
    fn save(&self) -> Result<u64> {
        Ok(self.db.save_version()?.get())
    }

    fn get_at(&self, version: u64, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let txn = self.db.read_at(Version::from(version))?;
        Ok(txn.get(key)?.map(|value| see(&value)).is_some())
    }

    fn diff(&self, from: u64, to: u64) -> Result<u64> {
        let (from, to) = (At::Version(from.into()), At::Version(to.into()));
        let mut count = 0;
        for entry in self.db.diff(from, to, KeyRange::all())? {
            entry?;
            count += 1;
        }
        Ok(count)
    }

    fn revert(&self) -> Result<()> {
        self.db.revert()?;
        Ok(())
    }

    fn delete(&self, version: u64) -> Result<()> {
        Ok(self.db.delete_version(version)?)
    }
}
