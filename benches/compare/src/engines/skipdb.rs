//! `skipdb`: skipdb 0.2.1, a skip list of versions in memory.
//!
//! - Isolation: serializable, optimistic (`serializable_write`, whose ranges
//!   are checked, too).
//! - Durability: none.
//! - Settings: it has none. Keys are `Arc<[u8]>`, as it asks for keys that are
//!   cheap to clone; values `Box<[u8]>`.
//! - `collect` calls `compact`, without which no version is ever dropped. Not
//!   while a snapshot is held: it drops the older versions of keys written
//!   since, which the snapshot still reads.

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use skipdb::serializable::{SerializableDb, SerializableTransaction};
use txn::BTreeCm;
use txn::error::{TransactionError, WtmError};

use crate::Result;
use crate::engine::{Durability, Engine, Outcome, Reads, Settings, Unsupported, Writes};

type Key = Arc<[u8]>;
type Value = Box<[u8]>;

/// A database.
pub struct Skipdb(SerializableDb<Key, Value>);

/// A read transaction.
pub struct Read(skipdb::ReadTransaction<Key, Value, SerializableDb<Key, Value>, BTreeCm<Key>>);

/// A serializable transaction.
pub struct Write(SerializableTransaction<Key, Value>);

impl Engine for Skipdb {
    type Read<'a> = Read;
    type Write<'a> = Write;

    fn open(_dir: &Path, _settings: &Settings) -> Result<Self> {
        Ok(Self(SerializableDb::new()))
    }

    fn read(&self) -> Result<Read> {
        Ok(Read(self.0.read()))
    }

    fn write(&self, durability: Durability) -> Result<Write> {
        if durability == Durability::Synced {
            return Err(Unsupported("nothing is on disk").into());
        }
        Ok(Write(self.0.serializable_write()))
    }

    fn collect(&self) -> Result<()> {
        self.0.compact();
        Ok(())
    }
}

impl Reads for Read {
    fn get(&mut self, key: &[u8], see: impl FnOnce(&[u8])) -> Result<bool> {
        Ok(self.0.get(key).map(|entry| see(&entry.value())).is_some())
    }

    fn scan(
        &mut self,
        from: Option<&[u8]>,
        is_reverse: bool,
        limit: usize,
        mut see: impl FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        let mut count = 0;
        if is_reverse {
            let end = from.map_or(Bound::Unbounded, Bound::Excluded);
            for entry in self.0.range_rev::<[u8], _>((Bound::Unbounded, end)).take(limit) {
                see(entry.key(), &entry.value());
                count += 1;
            }
        } else {
            let start = from.map_or(Bound::Unbounded, Bound::Included);
            for entry in self.0.range::<[u8], _>((start, Bound::Unbounded)).take(limit) {
                see(entry.key(), &entry.value());
                count += 1;
            }
        }
        Ok(count)
    }
}

impl Reads for Write {
    fn get(&mut self, key: &[u8], see: impl FnOnce(&[u8])) -> Result<bool> {
        Ok(self.0.get(&key.into())?.map(|entry| see(&entry.value())).is_some())
    }

    fn scan(
        &mut self,
        from: Option<&[u8]>,
        is_reverse: bool,
        limit: usize,
        mut see: impl FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        let from = from.map(Key::from);
        let mut count = 0;
        if is_reverse {
            let end = from.map_or(Bound::Unbounded, Bound::Excluded);
            for entry in self.0.range_rev((Bound::Unbounded, end))?.take(limit) {
                see(entry.key(), &entry.value());
                count += 1;
            }
        } else {
            let start = from.map_or(Bound::Unbounded, Bound::Included);
            for entry in self.0.range((start, Bound::Unbounded))?.take(limit) {
                see(entry.key(), &entry.value());
                count += 1;
            }
        }
        Ok(count)
    }
}

impl Writes for Write {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<Outcome> {
        self.0.insert(key.into(), value.into())?;
        Ok(Outcome::Committed)
    }

    fn commit(mut self) -> Result<Outcome> {
        match self.0.commit() {
            Ok(()) => Ok(Outcome::Committed),
            Err(WtmError::Transaction(TransactionError::Conflict)) => Ok(Outcome::Conflict),
            Err(error) => Err(error.into()),
        }
    }
}
