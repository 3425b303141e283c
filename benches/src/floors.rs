//! The floors: what can be had without transactions or versions.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use vellum::Bytes;

use crate::{Result, Rng, key, load_order, value};

/// A `BTreeMap` in a readers-writer lock: no transactions, no versions, and
/// about as quick as one thread gets.
#[derive(Debug, Default)]
pub struct LockedMap(RwLock<BTreeMap<Box<[u8]>, Bytes>>);

impl LockedMap {
    /// With records 0 to `n`, loaded in the order that every subject is.
    #[must_use]
    pub fn loaded(n: u64) -> Self {
        let map = Self::default();
        let mut rng = Rng::new(1);
        for i in load_order(n) {
            map.put(&key(i), value(&mut rng));
        }
        map
    }

    /// The value of `key`.
    pub fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Sets `key` to `value`.
    pub fn put(&self, key: &[u8], value: Bytes) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(key.into(), value);
    }

    /// Sets all of them, under one lock.
    pub fn put_all(&self, records: impl IntoIterator<Item = ([u8; 16], Bytes)>) {
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        map.extend(records.into_iter().map(|(key, value)| (Box::from(key), value)));
    }

    /// Replaces the value of `key` by what `f` makes of it, under one lock.
    pub fn update(&self, key: &[u8], f: impl FnOnce(&Bytes) -> Bytes) {
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = map.get_mut(key) {
            *value = f(value);
        }
    }

    /// Reads up to `limit` records from `start` on, or below it in descending
    /// order, with their keys, and returns their bytes.
    pub fn scan(&self, start: &[u8], limit: usize, is_reverse: bool) -> usize {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let read =
            |key: &[u8], value: &Bytes| Bytes::copy_from_slice(key).len() + value.clone().len();
        if is_reverse {
            let bounds = (Bound::Unbounded, Bound::Excluded(start));
            map.range::<[u8], _>(bounds).rev().take(limit).map(|(k, v)| read(k, v)).sum()
        } else {
            let bounds = (Bound::Included(start), Bound::Unbounded);
            map.range::<[u8], _>(bounds).take(limit).map(|(k, v)| read(k, v)).sum()
        }
    }
}

/// The engine under the LSM backend, used directly: a keyspace and batches.
#[expect(missing_debug_implementations, reason = "fjall's types have none")]
pub struct Fjall {
    database: Database,
    keyspace: Keyspace,
}

impl Fjall {
    /// In this directory, with the records that every subject has.
    ///
    /// # Errors
    /// What fjall says.
    pub fn loaded(path: &Path, n: u64) -> Result<Self> {
        let database = Database::builder(path).open()?;
        let keyspace = database.keyspace("data", KeyspaceCreateOptions::default)?;
        let fjall = Self { database, keyspace };
        let mut rng = Rng::new(1);
        let order: Vec<u64> = load_order(n).collect();
        for chunk in order.chunks(1000) {
            fjall.put_all(chunk.iter().map(|&i| (key(i), value(&mut rng))), false)?;
        }
        Ok(fjall)
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// What fjall says.
    pub fn get(&self, key: &[u8]) -> Result<Option<fjall::UserValue>> {
        Ok(self.keyspace.get(key)?)
    }

    /// Sets all of them in one batch, which is fsynced or handed to the
    /// operating system.
    ///
    /// # Errors
    /// What fjall says.
    pub fn put_all(
        &self,
        records: impl IntoIterator<Item = ([u8; 16], Bytes)>,
        is_synced: bool,
    ) -> Result {
        let mode = if is_synced { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut batch = self.database.batch().durability(Some(mode));
        for (key, value) in records {
            batch.insert(&self.keyspace, key, value);
        }
        Ok(batch.commit()?)
    }

    /// Takes a snapshot, and drops it.
    pub fn snapshot(&self) {
        drop(self.database.snapshot());
    }

    /// Reads up to `limit` records from `start` on, or below it in descending
    /// order, and returns their bytes.
    ///
    /// # Errors
    /// What fjall says.
    pub fn scan(&self, start: &[u8], limit: usize, is_reverse: bool) -> Result<usize> {
        let mut bytes = 0;
        let mut read = |guard: fjall::Guard| {
            let (key, value) = guard.into_inner()?;
            bytes += key.len() + value.len();
            Ok::<_, fjall::Error>(())
        };
        if is_reverse {
            self.keyspace.range(..start).rev().take(limit).try_for_each(&mut read)?;
        } else {
            self.keyspace.range(start..).take(limit).try_for_each(&mut read)?;
        }
        Ok(bytes)
    }
}
