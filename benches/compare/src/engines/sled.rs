//! `sled`: sled 1.0.0-alpha.124, a tree of leaves in memory over an object
//! store.
//!
//! - Isolation: none beyond one key. Its transactions are gone from this
//!   version; a read-modify-write of one key is a compare-and-swap, a
//!   transaction of several puts an atomic batch. Reads see the newest state.
//! - Buffered: weaker than what the others do: written in the background every
//!   200 ms (its default), and lost until then if the process ends. Synced:
//!   `flush` after the batch, which fsyncs.
//! - Settings: cache as all (512 MiB by default); zstd cannot be turned off, so
//!   it runs at its cheapest level, -7 (3 by default).
//! - Not offered: snapshots; a read-modify-write of more than one key.

use std::ops::Bound;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use sled::{Batch, Config, Db, InlineArray};
use thread_local::ThreadLocal;

use crate::Result;
use crate::engine::{Durability, Engine, Outcome, Reads, Settings, Unsupported, Writes};

/// The fan-out that sled's documentation uses.
type Tree = Db<1024>;

/// A database. Its handles are cloned, not shared: every thread has its own.
pub struct Sled {
    first: Mutex<Tree>,
    local: ThreadLocal<Tree>,
}

impl Sled {
    fn tree(&self) -> &Tree {
        self.local.get_or(|| self.first.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// The newest state.
#[derive(Debug)]
pub struct Read<'a>(&'a Tree);

/// What will be one batch, or one compare-and-swap.
#[derive(Debug)]
pub struct Write<'a> {
    tree: Read<'a>,
    read: Option<(InlineArray, Option<InlineArray>)>,
    puts: Vec<(InlineArray, InlineArray)>,
    is_synced: bool,
}

impl Engine for Sled {
    type Read<'a> = Read<'a>;
    type Write<'a> = Write<'a>;

    fn open(dir: &Path, settings: &Settings) -> Result<Self> {
        let config = Config::new()
            .path(dir)
            .cache_capacity_bytes(usize::try_from(settings.cache)?)
            .zstd_compression_level(-7);
        Ok(Self { first: Mutex::new(config.open()?), local: ThreadLocal::new() })
    }

    fn read(&self) -> Result<Read<'_>> {
        Ok(Read(self.tree()))
    }

    fn snapshot(&self) -> Result<Read<'_>> {
        Err(Unsupported("it has no snapshots").into())
    }

    fn write(&self, durability: Durability) -> Result<Write<'_>> {
        Ok(Write {
            tree: Read(self.tree()),
            read: None,
            puts: Vec::new(),
            is_synced: durability == Durability::Synced,
        })
    }

    fn settle(&self) -> Result<()> {
        self.tree().flush()?;
        Ok(())
    }
}

impl Reads for Read<'_> {
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
        let mut each = |entry: std::io::Result<(InlineArray, InlineArray)>| {
            let (key, value) = entry?;
            see(&key, &value);
            count += 1;
            Ok::<_, std::io::Error>(())
        };
        if is_reverse {
            let end = from.map_or(Bound::Unbounded, Bound::Excluded);
            let range = self.0.range::<&[u8], _>((Bound::Unbounded, end));
            range.rev().take(limit).try_for_each(&mut each)?;
        } else {
            let start = from.map_or(Bound::Unbounded, Bound::Included);
            let range = self.0.range::<&[u8], _>((start, Bound::Unbounded));
            range.take(limit).try_for_each(&mut each)?;
        }
        Ok(count)
    }
}

impl Reads for Write<'_> {
    fn get(&mut self, key: &[u8], see: impl FnOnce(&[u8])) -> Result<bool> {
        if let Some((_, value)) = self.puts.iter().rev().find(|(put, _)| **put == *key) {
            see(value);
            return Ok(true);
        }
        self.tree.get(key, see)
    }

    fn scan(
        &mut self,
        from: Option<&[u8]>,
        is_reverse: bool,
        limit: usize,
        see: impl FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        if !self.puts.is_empty() {
            return Err(Unsupported("a scan does not see the batch's own writes").into());
        }
        self.tree.scan(from, is_reverse, limit, see)
    }
}

impl Writes for Write<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<Outcome> {
        self.puts.push((key.into(), value.into()));
        Ok(Outcome::Committed)
    }

    fn get_for_update(&mut self, key: &[u8], see: impl FnOnce(&[u8])) -> Result<Outcome> {
        if self.read.is_some() {
            return Err(Unsupported("it compares one key at a time").into());
        }
        let value = self.tree.0.get(key)?;
        if let Some(value) = &value {
            see(value);
        }
        self.read = Some((key.into(), value));
        Ok(Outcome::Committed)
    }

    fn commit(self) -> Result<Outcome> {
        let tree = self.tree.0;
        match (self.read, self.puts.as_slice()) {
            (_, []) => return Ok(Outcome::Committed),
            (Some((key, old)), [(put, new)]) if *put == key => {
                if tree.compare_and_swap(key, old, Some(new.clone()))?.is_err() {
                    return Ok(Outcome::Conflict);
                }
            }
            (Some(_), _) => return Err(Unsupported("it compares one key at a time").into()),
            (None, puts) => {
                let mut batch = Batch::default();
                puts.iter().for_each(|(key, value)| batch.insert(key.clone(), value.clone()));
                tree.apply_batch(batch)?;
            }
        }
        if self.is_synced {
            tree.flush()?;
        }
        Ok(Outcome::Committed)
    }
}
