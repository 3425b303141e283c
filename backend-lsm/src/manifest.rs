//! A look at the manifests of fjall's keyspaces, and the tables that they list,
//! before fjall opens them.
//!
//! A manifest lists the tables of a keyspace. fjall writes its checksum into
//! the file `current` beside it and, as of lsm-tree 3.1, never compares it, so
//! that one flipped bit can make records vanish without a word. A keyspace
//! without `current`, or without its directory, it takes for one that was never
//! finished, and removes what is left of it.
//!
//! ```text
//! current   manifest u64 · xxh3 of the file "v<manifest>" u128 · 0, little-endian
//! manifest  an archive; section "tables": levels u8 · level*
//! level     runs u8 · run*
//! run       tables u32 · (table u64 · 0 · xxh3 of its file u128 · seqno u64)*
//! ```

use std::fs;
use std::path::Path;

use vellum_core::Result;

use crate::archive::Archive;
use crate::error::{corrupted, io};
use crate::layout;
use crate::reader::Reader;
use crate::table;

const KEYSPACES: &str = "keyspaces";
const TABLES: &str = "tables";
const CURRENT: &str = "current";
const CURRENT_LEN: usize = 25;

/// fjall's own keyspace, which names the others.
const NAMES: u64 = 0;

/// A table as its manifest lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) id: u64,
    /// Of the whole file.
    pub(crate) checksum: u128,
    /// What the sequence numbers in it count from.
    pub(crate) base_seqno: u64,
}

/// Checks the manifest of every keyspace of the fjall database in `dir`, whose
/// keyspace `meta` has this number, and what every table says of itself.
/// Returns the newest sequence number in the tables of `meta`.
pub(crate) fn inspect(dir: &Path, meta: u64) -> Result<Option<u64>> {
    refuse_strangers(&dir.join(KEYSPACES), fs::FileType::is_dir)?;
    inspect_keyspace(dir, NAMES, |_| true)?;
    let mut newest = None;
    for (id, fits) in (meta..).zip(layout::KEYSPACES.map(|(_, fits)| fits)) {
        let seqno = inspect_keyspace(dir, id, fits)?;
        newest = if id == meta { seqno } else { newest };
    }
    Ok(newest)
}

/// Compares the tables of fjall's own keyspace with their checksums. The other
/// keyspaces change while the database is open, this one does not.
pub(crate) fn verify_names(dir: &Path) -> Result<()> {
    let keyspace = dir.join(KEYSPACES).join(NAMES.to_string());
    for table in listed(&keyspace, NAMES)? {
        let path = keyspace.join(TABLES).join(table.id.to_string());
        if table::checksum(&path)? != table.checksum {
            return Err(corrupted(format!("table {} of keyspace number {NAMES}", table.id)));
        }
    }
    Ok(())
}

fn inspect_keyspace(dir: &Path, id: u64, fits: fn(&[u8]) -> bool) -> Result<Option<u64>> {
    let keyspace = dir.join(KEYSPACES).join(id.to_string());
    let listed = listed(&keyspace, id)?;
    refuse_strangers(&keyspace.join(TABLES), fs::FileType::is_file)?;
    let mut newest = None;
    for listed in listed {
        let what = format!("table {} of keyspace number {id}", listed.id);
        let found = table::describe(&keyspace.join(TABLES).join(listed.id.to_string()), &what)?;
        if found.id != listed.id || !fits(&found.first_key) || !fits(&found.last_key) {
            return Err(corrupted(format!("{what} is another table, number {}", found.id)));
        }
        newest = newest.max(found.seqno.checked_add(listed.base_seqno));
    }
    Ok(newest)
}

/// Everything in this directory must be named by a number. fjall aborts where
/// something is not.
fn refuse_strangers(dir: &Path, fits: fn(&fs::FileType) -> bool) -> Result<()> {
    let what = || format!("listing {}", dir.display());
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(corrupted(format!("{} is missing", dir.display())));
        }
        Err(e) => return Err(io(what())(e)),
    };
    for entry in entries {
        let entry = entry.map_err(io(what()))?;
        let kind = entry.file_type().map_err(io(what()))?;
        let name = entry.file_name();
        if !fits(&kind) || name.to_str().is_none_or(|name| name.parse::<u64>().is_err()) {
            return Err(corrupted(format!("{} does not belong there", entry.path().display())));
        }
    }
    Ok(())
}

/// The tables of a keyspace, from its manifest.
fn listed(keyspace: &Path, id: u64) -> Result<Vec<Listed>> {
    let what = format!("the manifest of keyspace number {id}");
    let damaged = || corrupted(what.clone());
    let current = read(&keyspace.join(CURRENT))?.ok_or_else(damaged)?;
    let (number, sum) = decode_current(&current).ok_or_else(damaged)?;
    let path = keyspace.join(format!("v{number}"));
    let bytes = read(&path)?.filter(|bytes| xxhash_rust::xxh3::xxh3_128(bytes) == sum);
    bytes.ok_or_else(damaged)?;
    let tables = Archive::open(&path, &what)?.section(b"tables", &what)?;
    tables.and_then(|bytes| decode_tables(&bytes)).ok_or_else(damaged)
}

/// The number of the manifest, and its checksum.
pub(crate) fn decode_current(bytes: &[u8]) -> Option<(u64, u128)> {
    let mut reader = Reader::new(bytes);
    let (number, sum, kind) = (reader.u64()?, reader.u128()?, reader.byte()?);
    (kind == 0 && bytes.len() == CURRENT_LEN).then_some((number, sum))
}

/// The tables that a manifest lists, over all levels.
pub(crate) fn decode_tables(bytes: &[u8]) -> Option<Vec<Listed>> {
    let mut reader = Reader::new(bytes);
    let mut tables = Vec::new();
    for _ in 0..reader.byte()? {
        for _ in 0..reader.byte()? {
            for _ in 0..reader.u32()? {
                let id = reader.u64()?;
                if reader.byte()? != 0 {
                    return None;
                }
                let (checksum, base_seqno) = (reader.u128()?, reader.u64()?);
                tables.push(Listed { id, checksum, base_seqno });
            }
        }
    }
    reader.is_at_end().then_some(tables)
}

/// The bytes of a file; `None` if there is none.
fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io(format!("reading {}", path.display()))(e)),
    }
}
