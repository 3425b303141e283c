//! What an engine takes of memory and disk.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::alloc;

/// Bytes that a process takes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Space {
    /// Asked for of the allocator, if it counts.
    pub heap: i64,
    /// Resident pages that belong to no file.
    pub anonymous: i64,
    /// Blocks of files.
    pub disk: i64,
}

impl Space {
    /// What this process, and this directory, take.
    pub fn taken(dir: &Path) -> Self {
        Self { heap: alloc::in_use(), anonymous: anonymous(), disk: disk(dir) }
    }
}

/// `RssAnon` of this process; 0 where the system does not say.
fn anonymous() -> i64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<i64>().ok());
    kib.unwrap_or(0) * 1024
}

fn disk(dir: &Path) -> i64 {
    let mut bytes = 0;
    let mut rooms = vec![dir.to_owned()];
    while let Some(room) = rooms.pop() {
        for entry in fs::read_dir(room).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => rooms.push(entry.path()),
                Ok(meta) => bytes += i64::try_from(meta.blocks() * 512).unwrap_or(0),
                // It went away meanwhile.
                Err(_) => {}
            }
        }
    }
    bytes
}
