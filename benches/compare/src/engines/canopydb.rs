//! `canopydb` and `canopydb-occ`: canopydb 0.2.5, a B+tree with a write-ahead
//! log.
//!
//! - Isolation: `canopydb` takes its exclusive write transactions:
//!   serializable, one at a time, nobody loses. `canopydb-occ` takes the
//!   concurrent ones: snapshot isolation with conflicts by page, so that
//!   neighbours may lose to one another.
//! - Buffered: the log is handed to the operating system at commit. Synced:
//!   the commit waits for an fdatasync of the log.
//! - Settings: page cache as all (1 GiB by default); checkpoints at the size
//!   of the memtable (64 MiB is its default, too). Values above 12 KiB would be
//!   compressed: none are.
//! - `settle` takes a checkpoint.

use std::ops::Bound;
use std::path::Path;

use canopydb::{DbOptions, EnvOptions, Error, RangeIter, ReadTransaction, Tree, WriteTransaction};
use self_cell::self_cell;

use crate::Result;
use crate::engine::{Durability, Engine, Outcome, Reads, Settings, Writes};

const TREE: &[u8] = b"data";

/// A database; its write transactions run at once, or one at a time.
#[derive(Debug)]
pub struct Canopydb<const IS_CONCURRENT: bool>(canopydb::Database);

self_cell!(
    struct ReadTree {
        owner: ReadTransaction,
        #[not_covariant]
        dependent: Tree,
    }
);

self_cell!(
    struct WriteTree {
        owner: WriteTransaction,
        #[not_covariant]
        dependent: Tree,
    }
);

/// A read transaction with its tree, opened once.
pub struct Read(ReadTree);

/// A write transaction with its tree, opened once.
pub struct Write {
    tree: WriteTree,
    is_synced: bool,
}

impl<const IS_CONCURRENT: bool> Engine for Canopydb<IS_CONCURRENT> {
    type Read<'a> = Read;
    type Write<'a> = Write;

    fn open(dir: &Path, settings: &Settings) -> Result<Self> {
        let mut env = EnvOptions::new(dir);
        env.page_cache_size = usize::try_from(settings.cache)?;
        let mut options = DbOptions::new();
        options.checkpoint_target_size = usize::try_from(settings.memtable)?;
        let database = canopydb::Database::with_options(env, options)?;
        let txn = database.begin_write()?;
        drop(txn.get_or_create_tree(TREE)?);
        txn.commit()?;
        Ok(Self(database))
    }

    fn read(&self) -> Result<Read> {
        Ok(Read(ReadTree::try_new(self.0.begin_read()?, tree)?))
    }

    fn write(&self, durability: Durability) -> Result<Write> {
        let txn = self.0.begin_write_with(IS_CONCURRENT)?;
        let tree = WriteTree::try_new(txn, |txn| txn.get_or_create_tree(TREE))?;
        Ok(Write { tree, is_synced: durability == Durability::Synced })
    }

    fn settle(&self) -> Result<()> {
        Ok(self.0.checkpoint()?)
    }
}

fn tree(txn: &ReadTransaction) -> Result<Tree<'_>> {
    txn.get_tree(TREE)?.ok_or_else(|| "the tree is gone".into())
}

fn get(tree: &Tree<'_>, key: &[u8], see: impl FnOnce(&[u8])) -> Result<bool> {
    Ok(tree.get(key)?.map(|value| see(&value)).is_some())
}

fn scan(
    tree: &Tree<'_>,
    from: Option<&[u8]>,
    is_reverse: bool,
    limit: usize,
    mut see: impl FnMut(&[u8], &[u8]),
) -> Result<usize> {
    let range: RangeIter<'_> = match from {
        None => tree.iter()?,
        Some(from) if is_reverse => {
            tree.range::<&[u8]>((Bound::Unbounded, Bound::Excluded(from)))?
        }
        Some(from) => tree.range::<&[u8]>((Bound::Included(from), Bound::Unbounded))?,
    };
    let mut count = 0;
    let mut each = |entry: Result<(canopydb::Bytes, canopydb::Bytes), Error>| {
        let (key, value) = entry?;
        see(&key, &value);
        count += 1;
        Ok::<_, Error>(())
    };
    if is_reverse {
        range.rev().take(limit).try_for_each(&mut each)?;
    } else {
        range.take(limit).try_for_each(&mut each)?;
    }
    Ok(count)
}

impl Reads for Read {
    fn get(&mut self, key: &[u8], see: impl FnOnce(&[u8])) -> Result<bool> {
        self.0.with_dependent(|_, tree| get(tree, key, see))
    }

    fn scan(
        &mut self,
        from: Option<&[u8]>,
        is_reverse: bool,
        limit: usize,
        see: impl FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        self.0.with_dependent(|_, tree| scan(tree, from, is_reverse, limit, see))
    }
}

impl Reads for Write {
    fn get(&mut self, key: &[u8], see: impl FnOnce(&[u8])) -> Result<bool> {
        self.tree.with_dependent(|_, tree| get(tree, key, see))
    }

    fn scan(
        &mut self,
        from: Option<&[u8]>,
        is_reverse: bool,
        limit: usize,
        see: impl FnMut(&[u8], &[u8]),
    ) -> Result<usize> {
        self.tree.with_dependent(|_, tree| scan(tree, from, is_reverse, limit, see))
    }
}

impl Writes for Write {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<Outcome> {
        self.tree.with_dependent_mut(|_, tree| tree.insert(key, value))?;
        Ok(Outcome::Committed)
    }

    fn commit(self) -> Result<Outcome> {
        match self.tree.into_owner().commit_with(self.is_synced) {
            Ok(_) => Ok(Outcome::Committed),
            Err(Error::WriteConflict) => Ok(Outcome::Conflict),
            Err(error) => Err(error.into()),
        }
    }
}
