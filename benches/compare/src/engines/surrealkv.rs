//! `surrealkv` and `surrealkv-mem`: surrealkv 1.2.0, a log-structured tree, on
//! disk and on its own file system in memory.
//!
//! - Isolation: snapshot isolation, and `get_for_update` adds a key to what a
//!   commit checks; the same as serializable for a read-modify-write of one key.
//! - Buffered: `Durability::Eventual`, the log handed to the operating system.
//!   Synced: `Durability::Immediate`, a sync for a group of commits.
//! - Settings: block cache and memtable as all; no compression (its default);
//!   `with_wal_preallocation`, which its documentation gives for cheaper syncs.
//! - Commits are futures. Each is run by `Handle::block_on` on the thread that
//!   commits, which costs 50 ns by itself on the machine where this was written
//!   (a `current_thread` runtime's 170); flushes and compactions are run by two
//!   threads of a tokio runtime.
//! - `settle` flushes the memtable; then the files must have come to rest.

use std::path::{Path, PathBuf};

use surrealkv::{
    CompactRangeOptions, Error, FileSystem, LSMIterator, Mode, Options, Transaction, Tree,
    TreeBuilder,
};
use tokio::runtime::{Handle, Runtime};

use crate::Result;
use crate::engine::{Durability, Engine, Outcome, Reads, Settings, Unsupported, Writes};

/// On disk, or in memory.
pub struct Surrealkv<const ON_DISK: bool> {
    tree: Tree,
    dir: PathBuf,
    runtime: Runtime,
}

/// A transaction, for reading.
pub struct Read(Transaction);

/// A transaction, for writing.
pub struct Write<'a> {
    txn: Read,
    handle: &'a Handle,
}

impl<const ON_DISK: bool> Engine for Surrealkv<ON_DISK> {
    type Read<'a> = Read;
    type Write<'a> = Write<'a>;

    fn open(dir: &Path, settings: &Settings) -> Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
        let mut options = Options::new()
            .without_compression()
            .with_path(dir.to_owned())
            .with_max_memtable_size(usize::try_from(settings.memtable)?)
            .with_block_cache_capacity(settings.cache);
        options = if ON_DISK {
            options.with_wal_preallocation(true)
        } else {
            options.with_file_system(FileSystem::memory())
        };
        let tree = runtime.block_on(TreeBuilder::with_options(options).build_async())?;
        Ok(Self { tree, dir: dir.to_owned(), runtime })
    }

    fn read(&self) -> Result<Read> {
        Ok(Read(self.tree.begin_with_mode(Mode::ReadOnly)?))
    }

    fn write(&self, durability: Durability) -> Result<Write<'_>> {
        let durability = match durability {
            Durability::Buffered => surrealkv::Durability::Eventual,
            Durability::Synced if ON_DISK => surrealkv::Durability::Immediate,
            Durability::Synced => return Err(Unsupported("nothing is on disk").into()),
        };
        let txn = self.tree.begin()?.with_durability(durability);
        Ok(Write { txn: Read(txn), handle: self.runtime.handle() })
    }

    fn settle(&self) -> Result<()> {
        let flush = CompactRangeOptions { target_level: Some(0), ..Default::default() };
        let _context = self.runtime.enter();
        self.tree.compact_range(None, None, &flush)?;
        super::rest::wait_for_files(&self.dir)
    }

    fn collect(&self) -> Result<()> {
        let _context = self.runtime.enter();
        Ok(self.tree.compact_range(None, None, &CompactRangeOptions::default())?)
    }

    fn close(self) -> Result<()> {
        Ok(self.runtime.block_on(self.tree.close())?)
    }
}

impl Reads for Read {
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
        let mut options = surrealkv::ReadOptions::new();
        let mut count = 0;
        let from = from.map(<[u8]>::to_vec);
        if is_reverse {
            options.set_iterate_upper_bound(from);
        } else {
            options.set_iterate_lower_bound(from);
        }
        let mut iter = self.0.range_with_options(&options)?;
        let mut is_valid = if is_reverse { iter.seek_last()? } else { iter.seek_first()? };
        while is_valid && count < limit {
            see(iter.key().user_key(), &iter.value_ref()?);
            count += 1;
            is_valid = if is_reverse { iter.prev()? } else { iter.next()? };
        }
        Ok(count)
    }
}

impl Reads for Write<'_> {
    fn get(&mut self, key: &[u8], see: impl FnOnce(&[u8])) -> Result<bool> {
        self.txn.get(key, see)
    }

    fn scan(
        &mut self,
        from: Option<&[u8]>,
        is_reverse: bool,
        limit: usize,
        see: impl FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        self.txn.scan(from, is_reverse, limit, see)
    }
}

impl Writes for Write<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<Outcome> {
        self.txn.0.set(key, value)?;
        Ok(Outcome::Committed)
    }

    fn get_for_update(&mut self, key: &[u8], see: impl FnOnce(&[u8])) -> Result<Outcome> {
        if let Some(value) = self.txn.0.get_for_update(key)? {
            see(&value);
        }
        Ok(Outcome::Committed)
    }

    fn commit(mut self) -> Result<Outcome> {
        match self.handle.block_on(self.txn.0.commit()) {
            Ok(()) => Ok(Outcome::Committed),
            Err(Error::TransactionWriteConflict | Error::TransactionRetry) => Ok(Outcome::Conflict),
            Err(error) => Err(error.into()),
        }
    }
}
