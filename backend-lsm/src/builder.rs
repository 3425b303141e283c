//! Opening a database on disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use vellum_core::{Database, Options, Result};

use crate::directory::Directory;
use crate::error::{corrupted, engine, in_doubt};
use crate::horizon::Horizon;
use crate::keyspaces::{Keyspaces, Tuning};
use crate::store::LsmStore;
use crate::{LsmDatabase, journal, manifest};

/// The name of the file by which fjall knows a database.
const FJALL_MARKER: &str = "version";

/// Opens the database in a directory, and creates it if there is none, with
/// default options: synced commits, no history, automatic pruning.
///
/// # Errors
/// As [`Builder::open`].
///
/// ```
/// use vellum_core::{Connection, ConnectionExt, ReadTxn, Result};
///
/// # fn main() -> Result<()> {
/// # let dir = tempfile::tempdir().map_err(|e| vellum_core::Error::new(vellum_core::ErrorKind::Io, e.to_string()))?;
/// # let path = dir.path().join("db");
/// let db = vellum_lsm::open(&path)?;
/// db.transact(|txn| vellum_core::WriteTxn::put(txn, b"key", "value"))?;
/// db.close()?;
///
/// let db = vellum_lsm::open(&path)?;
/// assert_eq!(db.begin_read()?.get(b"key")?.as_deref(), Some(&b"value"[..]));
/// # Ok(())
/// # }
/// ```
pub fn open(path: impl AsRef<Path>) -> Result<LsmDatabase> {
    Builder::new(path).open()
}

/// How a database on disk is opened.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    path: PathBuf,
    options: Options,
    create: bool,
    tuning: Tuning,
}

impl Builder {
    /// The smallest journal budget, in bytes (64 MiB).
    pub const MIN_JOURNAL_BYTES: u64 = 64 * 1024 * 1024;

    /// The database in this directory, created if there is none.
    pub fn new(path: impl AsRef<Path>) -> Self {
        let tuning = Tuning {
            cache_bytes: 128 * 1024 * 1024,
            record_cache_bytes: None,
            memtable_bytes: 64 * 1024 * 1024,
            journal_bytes: 512 * 1024 * 1024,
            worker_threads: std::thread::available_parallelism().map_or(2, |n| n.get().min(4)),
        };
        Self { path: path.as_ref().to_owned(), options: Options::new(), create: true, tuning }
    }

    /// Sets the options of the engine: durability, history, pruning, limits.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Whether to create the database if there is none. Default: yes.
    pub fn create_if_missing(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Sets the size of the caches of blocks and of records together, in bytes.
    /// Default: 128 MiB.
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.tuning.cache_bytes = bytes;
        self
    }

    /// Sets how much of [`cache_bytes`](Self::cache_bytes) is for single records,
    /// in bytes; 0 is no such cache, and more than all counts as all. Default: a
    /// half.
    ///
    /// Point reads look there first, except those of a thread that has met nothing
    /// but absent keys for some time; ranges use blocks alone. Besides its key and
    /// its value a record takes some 40 bytes. A quarter is for records that only
    /// saved versions and past timestamps show.
    pub fn record_cache_bytes(mut self, bytes: u64) -> Self {
        self.tuning.record_cache_bytes = Some(bytes);
        self
    }

    /// Sets how much a keyspace gathers in memory before it writes a table, in
    /// bytes, until the database is closed: another opening may have another.
    /// Three more wait to be written at most; then commits wait. Default: 64 MiB.
    pub fn memtable_bytes(mut self, bytes: u64) -> Self {
        self.tuning.memtable_bytes = bytes.max(1);
        self
    }

    /// Sets how much the journals may hold on disk, in bytes; less than
    /// [`MIN_JOURNAL_BYTES`](Self::MIN_JOURNAL_BYTES) counts as that. Default:
    /// 512 MiB.
    pub fn journal_bytes(mut self, bytes: u64) -> Self {
        self.tuning.journal_bytes = bytes.max(Self::MIN_JOURNAL_BYTES);
        self
    }

    /// Sets how many threads flush and compact; 0 counts as 1. Default: one a
    /// core, at most 4.
    pub fn worker_threads(mut self, threads: usize) -> Self {
        self.tuning.worker_threads = threads.max(1);
        self
    }

    /// Opens the database.
    ///
    /// # Errors
    /// `Locked` if it is open already, here or in another process; `Corrupted`
    /// if it is damaged, of a newer format, or the directory is not one of a
    /// Vellum database; `Invalid` if there is none and it is not to be created;
    /// `Io`.
    pub fn open(self) -> Result<LsmDatabase> {
        let options = self.options;
        Database::open(self.open_store()?, options)
    }

    /// Opens the store alone, for who puts something of their own between it
    /// and the engine.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_store(&self) -> Result<LsmStore> {
        let directory = Directory::acquire(&self.path, self.create)?;
        // fjall promises no panic on damaged files, and none is to reach the
        // caller.
        let opened = catch_unwind(AssertUnwindSafe(|| match directory.meta {
            None => self.create(directory),
            Some(meta) => self.recover(directory, meta),
        }));
        opened.unwrap_or_else(|_| {
            let path = self.path.display();
            Err(corrupted(format!("the storage engine cannot make sense of the files in {path}")))
        })
    }

    fn database(&self, path: &Path) -> Result<fjall::Database> {
        let opened = fjall::Database::builder(path)
            .cache_size(self.tuning.block_cache_bytes())
            .max_journaling_size(self.tuning.journal_bytes)
            .worker_threads(self.tuning.worker_threads)
            .open();
        opened.map_err(engine("opening the storage engine"))
    }

    fn create(&self, mut directory: Directory) -> Result<LsmStore> {
        let keyspaces = Keyspaces::create(self.database(&directory.fjall())?, &self.tuning)?;
        keyspaces.persist().map_err(in_doubt("creating the database"))?;
        let horizon = Horizon::create(directory.path())?;
        directory.finish(keyspaces.meta.id())?;
        // From here on a directory without its marker has lost it.
        horizon.write(0)?;
        horizon.sync()?;
        let group = keyspaces.group()?;
        LsmStore::new(keyspaces, directory, horizon, group, 0, self.tuning.memtable_bytes)
    }

    fn recover(&self, directory: Directory, meta: u64) -> Result<LsmStore> {
        let fjall = directory.fjall();
        // fjall would create an empty database where its marker is missing.
        if !fjall.join(FJALL_MARKER).is_file() {
            return Err(corrupted("the files of the storage engine are missing"));
        }
        let (horizon, durable) = Horizon::open(directory.path())?;
        let seqno = manifest::inspect(&fjall, meta)?.unwrap_or(0);
        let journals = journal::inspect(&fjall, meta, &horizon, durable, seqno)?;
        // From here on fjall may remove journals.
        horizon.note_journals(None)?;
        horizon.sync()?;
        let keyspaces = Keyspaces::open(self.database(&fjall)?, &self.tuning)?;
        if keyspaces.meta.id() != meta {
            return Err(corrupted("keyspace meta is not the one that the marker names"));
        }
        let group = keyspaces.group()?;
        let known = journals.newest.map_or(0, |group| group.number).max(journals.durable);
        if group.number < known {
            return Err(corrupted(format!(
                "group {known} was durable, and group {} is the newest that is left",
                group.number
            )));
        }
        // fjall synced the journal that it goes on with.
        horizon.write(group.number)?;
        horizon.sync()?;
        directory.sync_names()?;
        let memtable_bytes = self.tuning.memtable_bytes;
        LsmStore::new(keyspaces, directory, horizon, group, journals.seqno, memtable_bytes)
    }
}

impl LsmStore {
    /// Opens the store in a directory, and creates it if there is none, without
    /// the engine over it.
    ///
    /// # Errors
    /// As [`Builder::open`].
    pub fn open_at(path: impl AsRef<Path>) -> Result<Self> {
        Builder::new(path).open_store()
    }
}
