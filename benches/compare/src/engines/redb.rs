//! `redb` and `redb-mem`: redb 4.5.0, a copy-on-write B-tree, on disk and on
//! its own memory backend.
//!
//! - Isolation: serializable, by one write transaction at a time. A second one
//!   waits in `begin_write`; nobody ever loses.
//! - Buffered: `Durability::None`, weaker than what the others do: it is lost
//!   when the process ends, unless a synced commit follows. Synced:
//!   `Durability::Immediate`, an fdatasync (one-phase, redb's default).
//! - Settings: page cache as all (1 GiB by default); redb has no memtable.
//! - `settle` makes what was buffered durable, as redb does when it is closed.
//! - Not offered: concurrent writers.

use std::path::Path;

use redb::backends::InMemoryBackend;
use redb::{
    AccessGuard, Builder, Database, ReadOnlyTable, ReadableDatabase, ReadableTable, Table,
    TableDefinition, WriteTransaction,
};
use self_cell::self_cell;

use crate::Result;
use crate::engine::{Durability, Engine, Outcome, Reads, Settings, Unsupported, Writes};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("data");

type Entry<'a> = redb::Result<
    (AccessGuard<'a, &'static [u8]>, AccessGuard<'a, &'static [u8]>),
    redb::StorageError,
>;

/// On disk, or in memory.
#[derive(Debug)]
pub struct Redb<const ON_DISK: bool>(Database);

/// A read transaction, which its table keeps open.
#[derive(Debug)]
pub struct Read(ReadOnlyTable<&'static [u8], &'static [u8]>);

type Open<'a> = Table<'a, &'static [u8], &'static [u8]>;

self_cell!(
    struct Txn {
        owner: WriteTransaction,
        #[not_covariant]
        dependent: Open,
    }
);

/// A write transaction with its table, opened once.
pub struct Write(Txn);

impl<const ON_DISK: bool> Redb<ON_DISK> {
    fn begin(&self, durability: redb::Durability) -> Result<WriteTransaction> {
        let mut txn = self.0.begin_write()?;
        txn.set_durability(durability)?;
        Ok(txn)
    }
}

impl<const ON_DISK: bool> Engine for Redb<ON_DISK> {
    type Read<'a> = Read;
    type Write<'a> = Write;

    fn open(dir: &Path, settings: &Settings) -> Result<Self> {
        let mut builder = Builder::new();
        builder.set_cache_size(usize::try_from(settings.cache)?);
        let database = if ON_DISK {
            builder.create(dir.join("data.redb"))?
        } else {
            builder.create_with_backend(InMemoryBackend::new())?
        };
        let txn = database.begin_write()?;
        txn.open_table(TABLE)?;
        txn.commit()?;
        Ok(Self(database))
    }

    fn read(&self) -> Result<Read> {
        Ok(Read(self.0.begin_read()?.open_table(TABLE)?))
    }

    fn write(&self, durability: Durability) -> Result<Write> {
        let durability = match durability {
            Durability::Buffered => redb::Durability::None,
            Durability::Synced if ON_DISK => redb::Durability::Immediate,
            Durability::Synced => return Err(Unsupported("nothing is on disk").into()),
        };
        Ok(Write(Txn::try_new(self.begin(durability)?, |txn| txn.open_table(TABLE))?))
    }

    fn settle(&self) -> Result<()> {
        Ok(self.begin(redb::Durability::Immediate)?.commit()?)
    }

    fn close(self) -> Result<()> {
        Ok(self.0.close()?)
    }
}

fn scan<'a>(
    range: impl DoubleEndedIterator<Item = Entry<'a>>,
    is_reverse: bool,
    limit: usize,
    mut see: impl FnMut(&[u8], &[u8]),
) -> Result<usize> {
    let mut count = 0;
    let mut each = |entry: Entry<'_>| {
        let (key, value) = entry?;
        see(key.value(), value.value());
        count += 1;
        Ok::<_, redb::StorageError>(())
    };
    if is_reverse {
        range.rev().take(limit).try_for_each(&mut each)?;
    } else {
        range.take(limit).try_for_each(&mut each)?;
    }
    Ok(count)
}

fn scan_table(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    from: Option<&[u8]>,
    is_reverse: bool,
    limit: usize,
    see: impl FnMut(&[u8], &[u8]),
) -> Result<usize> {
    let range = match from {
        None => table.range::<&[u8]>(..)?,
        Some(from) if is_reverse => table.range::<&[u8]>(..from)?,
        Some(from) => table.range::<&[u8]>(from..)?,
    };
    scan(range, is_reverse, limit, see)
}

impl Reads for Read {
    fn get(&mut self, key: &[u8], see: impl FnOnce(&[u8])) -> Result<bool> {
        Ok(self.0.get(key)?.map(|value| see(value.value())).is_some())
    }

    fn scan(
        &mut self,
        from: Option<&[u8]>,
        is_reverse: bool,
        limit: usize,
        see: impl FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        scan_table(&self.0, from, is_reverse, limit, see)
    }
}

impl Reads for Write {
    fn get(&mut self, key: &[u8], see: impl FnOnce(&[u8])) -> Result<bool> {
        self.0.with_dependent(|_, table| {
            Ok(table.get(key)?.map(|value| see(value.value())).is_some())
        })
    }

    fn scan(
        &mut self,
        from: Option<&[u8]>,
        is_reverse: bool,
        limit: usize,
        see: impl FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        self.0.with_dependent(|_, table| scan_table(table, from, is_reverse, limit, see))
    }
}

impl Writes for Write {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<Outcome> {
        self.0.with_dependent_mut(|_, table| table.insert(key, value).map(drop))?;
        Ok(Outcome::Committed)
    }

    fn commit(self) -> Result<Outcome> {
        self.0.into_owner().commit()?;
        Ok(Outcome::Committed)
    }
}
