//! The databases that are measured, with their data.

use tempfile::TempDir;
use vellum::lsm::LsmDatabase;
use vellum::mem::MemDatabase;
use vellum::{Connection, ConnectionExt, Durability, Options, WriteTxn};

use crate::{Result, Rng, key, load_order, value};

/// Commits are handed to the operating system, unless a benchmark asks for an
/// fsync: otherwise it alone would be measured.
const OPTIONS: Options = Options::new().durability(Durability::Buffered);

/// A database in memory with records 0 to `n`.
///
/// # Errors
/// What the database says.
pub fn mem(n: u64) -> Result<MemDatabase> {
    let db = vellum::mem::open(OPTIONS)?;
    load(&db, n)?;
    Ok(db)
}

/// A database on disk, and the directory that goes with it.
#[derive(Debug)]
pub struct Lsm {
    /// The database.
    pub db: LsmDatabase,
    _dir: TempDir,
}

/// A database on disk with records 0 to `n`.
///
/// # Errors
/// What the database or the file system says.
pub fn lsm(n: u64) -> Result<Lsm> {
    let dir = TempDir::new()?;
    let db = vellum::lsm::Builder::new(dir.path().join("db")).options(OPTIONS).open()?;
    load(&db, n)?;
    Ok(Lsm { db, _dir: dir })
}

/// Loads records 0 to `n`, in transactions of a thousand.
///
/// # Errors
/// What the database says.
pub fn load(db: &impl Connection, n: u64) -> Result {
    let mut rng = Rng::new(1);
    let order: Vec<u64> = load_order(n).collect();
    for chunk in order.chunks(1000) {
        let mut txn = db.begin_write()?;
        for &i in chunk {
            txn.put(&key(i), value(&mut rng))?;
        }
        let _ = txn.commit()?;
    }
    Ok(())
}
