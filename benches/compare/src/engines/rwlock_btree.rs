//! `rwlock-btree`: a `BTreeMap` in a readers-writer lock (std), the floor of
//! the engines in memory.
//!
//! - Isolation: serializable, by one lock. A write transaction holds it alone
//!   from beginning to end; a read transaction holds it with other readers.
//! - Durability: none.
//! - Not offered: versions. A reader that is held stops every writer, so it has
//!   no snapshot to hold; nothing survives the process.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::Result;
use crate::engine::{Durability, Engine, Outcome, Reads, Settings, Unsupported, Writes};

type Bytes = Box<[u8]>;
type Map = BTreeMap<Bytes, Bytes>;

/// The map.
#[derive(Debug, Default)]
pub struct RwLockBTree(RwLock<Map>);

/// The lock, held for reading.
#[derive(Debug)]
pub struct Read<'a>(RwLockReadGuard<'a, Map>);

/// The lock, held for writing, and what is written when it is let go.
#[derive(Debug)]
pub struct Write<'a> {
    map: RwLockWriteGuard<'a, Map>,
    puts: Vec<(Bytes, Bytes)>,
}

impl Engine for RwLockBTree {
    type Read<'a> = Read<'a>;
    type Write<'a> = Write<'a>;

    fn open(_dir: &Path, _settings: &Settings) -> Result<Self> {
        Ok(Self::default())
    }

    fn read(&self) -> Result<Read<'_>> {
        Ok(Read(self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }

    fn snapshot(&self) -> Result<Read<'_>> {
        Err(Unsupported("a reader that is held stops every writer").into())
    }

    fn write(&self, durability: Durability) -> Result<Write<'_>> {
        if durability == Durability::Synced {
            return Err(Unsupported("nothing is on disk").into());
        }
        let map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        Ok(Write { map, puts: Vec::new() })
    }
}

fn scan(
    map: &Map,
    from: Option<&[u8]>,
    is_reverse: bool,
    limit: usize,
    mut see: impl FnMut(&[u8], &[u8]),
) -> usize {
    let mut count = 0;
    let mut each = |(key, value): (&Bytes, &Bytes)| {
        see(key, value);
        count += 1;
    };
    if is_reverse {
        let end = from.map_or(Bound::Unbounded, Bound::Excluded);
        map.range::<[u8], _>((Bound::Unbounded, end)).rev().take(limit).for_each(&mut each);
    } else {
        let start = from.map_or(Bound::Unbounded, Bound::Included);
        map.range::<[u8], _>((start, Bound::Unbounded)).take(limit).for_each(&mut each);
    }
    count
}

impl Reads for Read<'_> {
    fn get(&mut self, key: &[u8], see: impl FnOnce(&[u8])) -> Result<bool> {
        Ok(self.0.get(key).map(|value| see(value)).is_some())
    }

    fn scan(
        &mut self,
        from: Option<&[u8]>,
        is_reverse: bool,
        limit: usize,
        see: impl FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        Ok(scan(&self.0, from, is_reverse, limit, see))
    }
}

impl Reads for Write<'_> {
    fn get(&mut self, key: &[u8], see: impl FnOnce(&[u8])) -> Result<bool> {
        let own = self.puts.iter().rev().find(|(put, _)| **put == *key).map(|(_, value)| value);
        Ok(own.or_else(|| self.map.get(key)).map(|value| see(value)).is_some())
    }

    fn scan(
        &mut self,
        from: Option<&[u8]>,
        is_reverse: bool,
        limit: usize,
        see: impl FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        if !self.puts.is_empty() {
            return Err(Unsupported("a scan does not see the transaction's own writes").into());
        }
        Ok(scan(&self.map, from, is_reverse, limit, see))
    }
}

impl Writes for Write<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<Outcome> {
        self.puts.push((key.into(), value.into()));
        Ok(Outcome::Committed)
    }

    fn commit(mut self) -> Result<Outcome> {
        for (key, value) in self.puts {
            self.map.insert(key, value);
        }
        Ok(Outcome::Committed)
    }
}
