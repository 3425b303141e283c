//! `fjall-raw` and `fjall-optimistic`: fjall 3.1.13, a log-structured tree.
//!
//! - Isolation: `fjall-optimistic` is serializable, by optimistic transactions
//!   (`OptimisticTxDatabase`). `fjall-raw` has none: atomic batches over a
//!   keyspace, beside snapshots.
//! - Buffered: `PersistMode::Buffer`, the journal handed to the operating
//!   system (without a mode it is not). Synced: `PersistMode::SyncData`, an
//!   fdatasync of the journal.
//! - Settings: block cache and memtable as all; compression is compiled out
//!   (the feature `lz4` of the crate); the rest is fjall's default.
//! - Not offered: a read-modify-write by `fjall-raw`.

use std::ops::Bound;
use std::path::Path;

use fjall::{
    Database, Iter, Keyspace, KeyspaceCreateOptions, OptimisticTxDatabase, OptimisticWriteTx,
    OwnedWriteBatch, PersistMode, Readable, Snapshot,
};

use crate::Result;
use crate::engine::{Durability, Engine, Outcome, Reads, Settings, Unsupported, Writes};

fn mode(durability: Durability) -> PersistMode {
    match durability {
        Durability::Buffered => PersistMode::Buffer,
        Durability::Synced => PersistMode::SyncData,
    }
}

fn options(settings: &Settings) -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default().max_memtable_size(settings.memtable)
}

/// Writes the memtable out, and waits for the compactions that follow.
fn settle(database: &Database, keyspace: &Keyspace) -> Result<()> {
    keyspace.rotate_memtable_and_wait()?;
    super::rest::wait(|| database.outstanding_flushes() + database.active_compactions() > 0)
}

fn scan(
    iter: Iter,
    is_reverse: bool,
    limit: usize,
    mut see: impl FnMut(&[u8], &[u8]),
) -> Result<usize> {
    let mut count = 0;
    let mut each = |guard: fjall::Guard| {
        let (key, value) = guard.into_inner()?;
        see(&key, &value);
        count += 1;
        Ok::<_, fjall::Error>(())
    };
    if is_reverse {
        iter.rev().take(limit).try_for_each(&mut each)?;
    } else {
        iter.take(limit).try_for_each(&mut each)?;
    }
    Ok(count)
}

fn bounds(from: Option<&[u8]>, is_reverse: bool) -> (Bound<&[u8]>, Bound<&[u8]>) {
    match (from, is_reverse) {
        (None, _) => (Bound::Unbounded, Bound::Unbounded),
        (Some(from), false) => (Bound::Included(from), Bound::Unbounded),
        (Some(from), true) => (Bound::Unbounded, Bound::Excluded(from)),
    }
}

/// A keyspace and batches.
pub struct FjallRaw {
    database: Database,
    keyspace: Keyspace,
}

/// The same with optimistic transactions.
pub struct FjallOptimistic {
    database: OptimisticTxDatabase,
    keyspace: Keyspace,
}

/// A snapshot.
pub struct Read<'a> {
    snapshot: Snapshot,
    keyspace: &'a Keyspace,
}

/// A batch, which reads the newest state.
pub struct RawWrite<'a> {
    batch: OwnedWriteBatch,
    keyspace: &'a Keyspace,
}

/// An optimistic transaction.
pub struct OptimisticWrite<'a> {
    txn: OptimisticWriteTx,
    keyspace: &'a Keyspace,
}

impl Engine for FjallRaw {
    type Read<'a> = Read<'a>;
    type Write<'a> = RawWrite<'a>;

    fn open(dir: &Path, settings: &Settings) -> Result<Self> {
        let database = Database::builder(dir).cache_size(settings.cache).open()?;
        let keyspace = database.keyspace("data", || options(settings))?;
        Ok(Self { database, keyspace })
    }

    fn read(&self) -> Result<Read<'_>> {
        Ok(Read { snapshot: self.database.snapshot(), keyspace: &self.keyspace })
    }

    fn write(&self, durability: Durability) -> Result<RawWrite<'_>> {
        let batch = self.database.batch().durability(Some(mode(durability)));
        Ok(RawWrite { batch, keyspace: &self.keyspace })
    }

    fn settle(&self) -> Result<()> {
        settle(&self.database, &self.keyspace)
    }
}

impl Engine for FjallOptimistic {
    type Read<'a> = Read<'a>;
    type Write<'a> = OptimisticWrite<'a>;

    fn open(dir: &Path, settings: &Settings) -> Result<Self> {
        let database = OptimisticTxDatabase::builder(dir).cache_size(settings.cache).open()?;
        let keyspace = database.keyspace("data", || options(settings))?.inner().clone();
        Ok(Self { database, keyspace })
    }

    fn read(&self) -> Result<Read<'_>> {
        Ok(Read { snapshot: self.database.read_tx(), keyspace: &self.keyspace })
    }

    fn write(&self, durability: Durability) -> Result<OptimisticWrite<'_>> {
        let txn = self.database.write_tx()?.durability(Some(mode(durability)));
        Ok(OptimisticWrite { txn, keyspace: &self.keyspace })
    }

    fn settle(&self) -> Result<()> {
        settle(self.database.inner(), &self.keyspace)
    }
}

impl Reads for Read<'_> {
    fn get(&mut self, key: &[u8], see: impl FnOnce(&[u8])) -> Result<bool> {
        Ok(self.snapshot.get(self.keyspace, key)?.map(|value| see(&value)).is_some())
    }

    fn scan(
        &mut self,
        from: Option<&[u8]>,
        is_reverse: bool,
        limit: usize,
        see: impl FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        let range = self.snapshot.range::<&[u8], _>(self.keyspace, bounds(from, is_reverse));
        scan(range, is_reverse, limit, see)
    }
}

impl Reads for RawWrite<'_> {
    fn get(&mut self, key: &[u8], see: impl FnOnce(&[u8])) -> Result<bool> {
        Ok(self.keyspace.get(key)?.map(|value| see(&value)).is_some())
    }

    fn scan(
        &mut self,
        from: Option<&[u8]>,
        is_reverse: bool,
        limit: usize,
        see: impl FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        let range = self.keyspace.range::<&[u8], _>(bounds(from, is_reverse));
        scan(range, is_reverse, limit, see)
    }
}

impl Writes for RawWrite<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<Outcome> {
        self.batch.insert(self.keyspace, key, value);
        Ok(Outcome::Committed)
    }

    fn get_for_update(&mut self, _key: &[u8], _see: impl FnOnce(&[u8])) -> Result<Outcome> {
        Err(Unsupported("batches isolate nothing").into())
    }

    fn commit(self) -> Result<Outcome> {
        self.batch.commit()?;
        Ok(Outcome::Committed)
    }
}

impl Reads for OptimisticWrite<'_> {
    fn get(&mut self, key: &[u8], see: impl FnOnce(&[u8])) -> Result<bool> {
        Ok(self.txn.get(self.keyspace, key)?.map(|value| see(&value)).is_some())
    }

    fn scan(
        &mut self,
        from: Option<&[u8]>,
        is_reverse: bool,
        limit: usize,
        see: impl FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        let range = self.txn.range::<&[u8], _>(self.keyspace, bounds(from, is_reverse));
        scan(range, is_reverse, limit, see)
    }
}

impl Writes for OptimisticWrite<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<Outcome> {
        self.txn.insert(self.keyspace, key, value);
        Ok(Outcome::Committed)
    }

    fn commit(self) -> Result<Outcome> {
        Ok(match self.txn.commit()? {
            Ok(()) => Outcome::Committed,
            Err(fjall::Conflict) => Outcome::Conflict,
        })
    }
}
