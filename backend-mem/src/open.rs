//! Opening a database in memory.

use vellum_core::{Database, Options, Result};

use crate::MemStore;

/// A database in memory.
pub type MemDatabase = Database<MemStore>;

/// Opens an empty database in memory. It lives as long as a handle on it or a
/// transaction does, and ends with the last.
///
/// ```
/// use vellum_core::{ConnectionExt, Options, ReadTxn, WriteTxn};
///
/// let db = vellum_mem::open(Options::new())?;
/// db.transact(|txn| txn.put(b"greeting", "hello"))?;
/// let txn = db.begin_write()?;
/// assert_eq!(txn.get(b"greeting")?.as_deref(), Some(&b"hello"[..]));
/// # Ok::<(), vellum_core::Error>(())
/// ```
///
/// # Errors
/// None of its own; those of [`Database::open`].
pub fn open(options: Options) -> Result<MemDatabase> {
    Database::open(MemStore::new(), options)
}
