//! `rocksdb-optimistic`: RocksDB through rocksdb 0.25.0, a log-structured tree
//! in C++.
//!
//! - Isolation: optimistic transactions. `get_for_update` adds a key to what a
//!   commit checks from the transaction's beginning, writes are checked
//!   likewise, and other reads of a write transaction see the newest state;
//!   the same as serializable for a read-modify-write of one key.
//! - Buffered: the log written to the operating system at commit. Synced:
//!   `WriteOptions::set_sync`, an fdatasync for a group of commits.
//! - Settings: block cache and memtable as all; no compression (it is compiled
//!   out); Bloom filters of 10 bits a key, as its tuning guide advises and the
//!   other log-structured trees have by default; two background threads.

use std::path::Path;

use rocksdb::{
    BlockBasedOptions, Cache, DBCompressionType, DBRawIteratorWithThreadMode, ErrorKind,
    OptimisticTransactionDB, OptimisticTransactionOptions, Options, SnapshotWithThreadMode,
    WriteOptions,
};

use crate::Result;
use crate::engine::{Durability, Engine, Outcome, Reads, Settings, Writes};

/// A database.
pub struct Rocksdb(OptimisticTransactionDB);

/// A snapshot.
pub struct Read<'a>(SnapshotWithThreadMode<'a, OptimisticTransactionDB>);

/// An optimistic transaction.
pub struct Write<'a>(rocksdb::Transaction<'a, OptimisticTransactionDB>);

impl Engine for Rocksdb {
    type Read<'a> = Read<'a>;
    type Write<'a> = Write<'a>;

    fn open(dir: &Path, settings: &Settings) -> Result<Self> {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&Cache::new_lru_cache(usize::try_from(settings.cache)?));
        blocks.set_bloom_filter(10.0, false);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_block_based_table_factory(&blocks);
        options.set_compression_type(DBCompressionType::None);
        options.set_write_buffer_size(usize::try_from(settings.memtable)?);
        options.increase_parallelism(2);
        Ok(Self(OptimisticTransactionDB::open(&options, dir)?))
    }

    fn read(&self) -> Result<Read<'_>> {
        Ok(Read(self.0.snapshot()))
    }

    fn write(&self, durability: Durability) -> Result<Write<'_>> {
        let mut write = WriteOptions::default();
        write.set_sync(durability == Durability::Synced);
        let mut txn = OptimisticTransactionOptions::default();
        txn.set_snapshot(true);
        Ok(Write(self.0.transaction_opt(&write, &txn)))
    }

    fn settle(&self) -> Result<()> {
        self.0.flush()?;
        let is = |property| matches!(self.0.property_int_value(property), Ok(Some(n)) if n > 0);
        super::rest::wait(|| {
            is("rocksdb.num-running-compactions") || is("rocksdb.compaction-pending")
        })
    }
}

fn scan<D: rocksdb::DBAccess>(
    mut iter: DBRawIteratorWithThreadMode<'_, D>,
    from: Option<&[u8]>,
    is_reverse: bool,
    limit: usize,
    mut see: impl FnMut(&[u8], &[u8]),
) -> Result<usize> {
    match (from, is_reverse) {
        (None, false) => iter.seek_to_first(),
        (None, true) => iter.seek_to_last(),
        (Some(from), false) => iter.seek(from),
        (Some(from), true) => {
            iter.seek_for_prev(from);
            if iter.key() == Some(from) {
                iter.prev();
            }
        }
    }
    let mut count = 0;
    while count < limit
        && let Some((key, value)) = iter.item()
    {
        see(key, value);
        count += 1;
        if is_reverse { iter.prev() } else { iter.next() }
    }
    iter.status()?;
    Ok(count)
}

impl Reads for Read<'_> {
    fn get(&mut self, key: &[u8], see: impl FnOnce(&[u8])) -> Result<bool> {
        Ok(self.0.get_pinned(key)?.map(|value| see(&value)).is_some())
    }

    fn scan(
        &mut self,
        from: Option<&[u8]>,
        is_reverse: bool,
        limit: usize,
        see: impl FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        scan(self.0.raw_iterator(), from, is_reverse, limit, see)
    }
}

impl Reads for Write<'_> {
    fn get(&mut self, key: &[u8], see: impl FnOnce(&[u8])) -> Result<bool> {
        Ok(self.0.get_pinned(key)?.map(|value| see(&value)).is_some())
    }

    fn scan(
        &mut self,
        from: Option<&[u8]>,
        is_reverse: bool,
        limit: usize,
        see: impl FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        scan(self.0.raw_iterator(), from, is_reverse, limit, see)
    }
}

/// A conflict is an outcome, anything else an error.
fn outcome(result: Result<(), rocksdb::Error>) -> Result<Outcome> {
    match result {
        Ok(()) => Ok(Outcome::Committed),
        Err(error) if matches!(error.kind(), ErrorKind::Busy | ErrorKind::TryAgain) => {
            Ok(Outcome::Conflict)
        }
        Err(error) => Err(error.into()),
    }
}

impl Writes for Write<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<Outcome> {
        outcome(self.0.put(key, value))
    }

    fn get_for_update(&mut self, key: &[u8], see: impl FnOnce(&[u8])) -> Result<Outcome> {
        outcome(self.0.get_pinned_for_update(key, true).map(|value| {
            if let Some(value) = value {
                see(&value);
            }
        }))
    }

    fn commit(self) -> Result<Outcome> {
        outcome(self.0.commit())
    }
}
