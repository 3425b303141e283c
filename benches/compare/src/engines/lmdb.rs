//! `lmdb`: LMDB through heed 0.23.1, a copy-on-write B-tree in a memory map.
//!
//! - Isolation: serializable, by one write transaction at a time. A second one
//!   waits; nobody ever loses.
//! - Buffered: `NO_SYNC`, pages handed to the operating system at commit: it
//!   survives the process, but a crash of the system may damage the file.
//!   Synced: fdatasync of the pages and a synchronous write of the meta page.
//!   The flag belongs to the environment, so `prepare` sets it.
//! - Settings: a map of 64 GiB. It has no cache or memtable: the page cache of
//!   the system serves.
//! - Read transactions are bound to their thread, heed's default, and quicker
//!   than free ones: a thread may hold one at a time.

use std::ops::Bound;
use std::path::Path;

use heed::types::Bytes;
use heed::{
    CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, FlagSetMode, RoTxn, RwTxn, WithTls,
};

use crate::Result;
use crate::engine::{Durability, Engine, Outcome, Reads, Settings, Writes};

const MAP_SIZE: usize = 64 << 30;

type Data = Database<'static, Bytes, Bytes>;

/// An environment and its one database.
pub struct Lmdb {
    env: Env,
    data: Data,
    durability: Durability,
}

/// A read transaction.
pub struct Read<'a> {
    txn: RoTxn<'a, WithTls>,
    data: Data,
}

/// The write transaction.
pub struct Write<'a> {
    txn: RwTxn<'a>,
    data: Data,
}

impl Engine for Lmdb {
    type Read<'a> = Read<'a>;
    type Write<'a> = Write<'a>;

    #[expect(unsafe_code, reason = "nothing else opens or cuts the file while it is mapped")]
    fn open(dir: &Path, _settings: &Settings) -> Result<Self> {
        let mut options = EnvOpenOptions::new();
        options.map_size(MAP_SIZE);
        // SAFETY: the directory belongs to this process alone, which opens it once.
        let env = unsafe { options.flags(EnvFlags::NO_SYNC).open(dir)? };
        let txn = env.write_txn()?;
        let data = env
            .create_databases_and_commit(txn, |opener, txn| {
                opener
                    .create_database::<Bytes, Bytes>(txn, None)
                    .map(CommitOrAbort::<_, ()>::Commit)
            })?
            .unwrap_commit();
        Ok(Self { env, data, durability: Durability::Buffered })
    }

    #[expect(unsafe_code, reason = "the flags of an environment are set by one thread")]
    fn prepare(&mut self, durability: Durability) -> Result<()> {
        if self.durability == durability {
            return Ok(());
        }
        let mode = match durability {
            Durability::Buffered => FlagSetMode::Enable,
            Durability::Synced => FlagSetMode::Disable,
        };
        // SAFETY: `&mut self`, so no other thread sets flags or writes.
        unsafe { self.env.set_flags(EnvFlags::NO_SYNC, mode)? };
        self.env.force_sync()?;
        self.durability = durability;
        Ok(())
    }

    fn read(&self) -> Result<Read<'_>> {
        Ok(Read { txn: self.env.read_txn()?, data: self.data })
    }

    fn write(&self, durability: Durability) -> Result<Write<'_>> {
        if durability != self.durability {
            return Err("not prepared for this durability".into());
        }
        Ok(Write { txn: self.env.write_txn()?, data: self.data })
    }

    fn settle(&self) -> Result<()> {
        Ok(self.env.force_sync()?)
    }

    fn close(self) -> Result<()> {
        self.settle()?;
        self.env.prepare_for_closing().wait();
        Ok(())
    }
}

fn get(txn: &RoTxn<'_>, data: Data, key: &[u8], see: impl FnOnce(&[u8])) -> Result<bool> {
    Ok(data.get(txn, key)?.map(see).is_some())
}

fn scan(
    txn: &RoTxn<'_>,
    data: Data,
    from: Option<&[u8]>,
    is_reverse: bool,
    limit: usize,
    mut see: impl FnMut(&[u8], &[u8]),
) -> Result<usize> {
    let mut count = 0;
    let mut each = |entry: heed::Result<(&[u8], &[u8])>| {
        let (key, value) = entry?;
        see(key, value);
        count += 1;
        Ok::<_, heed::Error>(())
    };
    if is_reverse {
        let end = from.map_or(Bound::Unbounded, Bound::Excluded);
        data.rev_range(txn, &(Bound::Unbounded, end))?.take(limit).try_for_each(&mut each)?;
    } else {
        let start = from.map_or(Bound::Unbounded, Bound::Included);
        data.range(txn, &(start, Bound::Unbounded))?.take(limit).try_for_each(&mut each)?;
    }
    Ok(count)
}

impl Reads for Read<'_> {
    fn get(&mut self, key: &[u8], see: impl FnOnce(&[u8])) -> Result<bool> {
        get(&self.txn, self.data, key, see)
    }

    fn scan(
        &mut self,
        from: Option<&[u8]>,
        is_reverse: bool,
        limit: usize,
        see: impl FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        scan(&self.txn, self.data, from, is_reverse, limit, see)
    }
}

impl Reads for Write<'_> {
    fn get(&mut self, key: &[u8], see: impl FnOnce(&[u8])) -> Result<bool> {
        get(&self.txn, self.data, key, see)
    }

    fn scan(
        &mut self,
        from: Option<&[u8]>,
        is_reverse: bool,
        limit: usize,
        see: impl FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        scan(&self.txn, self.data, from, is_reverse, limit, see)
    }
}

impl Writes for Write<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<Outcome> {
        self.data.put(&mut self.txn, key, value)?;
        Ok(Outcome::Committed)
    }

    fn commit(self) -> Result<Outcome> {
        self.txn.commit()?;
        Ok(Outcome::Committed)
    }
}
