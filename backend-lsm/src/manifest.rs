//! A look at the manifests of fjall's keyspaces before fjall opens them.
//!
//! A manifest lists the tables of a keyspace. fjall writes its checksum into
//! the file `current` beside it and, as of lsm-tree 3.1, never compares it, so
//! that one flipped bit can make records vanish without a word.
//!
//! ```text
//! current   manifest u64 · xxh3 of the file "v<manifest>" u128 · 0, little-endian
//! ```

use std::fs;
use std::path::Path;

use vellum_core::Result;

use crate::error::{corrupted, io};

const KEYSPACES: &str = "keyspaces";
const CURRENT: &str = "current";

/// Checks the manifest of every keyspace of the fjall database in `dir`.
pub(crate) fn inspect(dir: &Path) -> Result<()> {
    let dir = dir.join(KEYSPACES);
    for entry in fs::read_dir(dir).map_err(io("listing the keyspaces"))? {
        let path = entry.map_err(io("listing the keyspaces"))?.path();
        if path.is_dir() && !is_whole(&path)? {
            let name = path.file_name().unwrap_or_default().display();
            return Err(corrupted(format!("the manifest of keyspace number {name}")));
        }
    }
    Ok(())
}

fn is_whole(keyspace: &Path) -> Result<bool> {
    let Some(current) = read(&keyspace.join(CURRENT))? else { return Ok(false) };
    let Some((number, rest)) = current.split_first_chunk() else { return Ok(false) };
    let Some((sum, [0])) = rest.split_first_chunk() else { return Ok(false) };
    let manifest = keyspace.join(format!("v{}", u64::from_le_bytes(*number)));
    let Some(manifest) = read(&manifest)? else { return Ok(false) };
    Ok(xxhash_rust::xxh3::xxh3_128(&manifest) == u128::from_le_bytes(*sum))
}

/// The bytes of a file; `None` if there is none.
fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io(format!("reading {}", path.display()))(e)),
    }
}
