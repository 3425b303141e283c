//! Databases to damage: writing them, copying them, reading them back.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::cast_possible_truncation, reason = "the numbers are small")]

pub(crate) mod control;

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tempfile::TempDir;
use vellum_core::{
    Commit, Durability, Group, KeyRange, Previous, Result, Retention, Snapshot, Store, Timestamp,
    Write,
};
use vellum_lsm::{Builder, LsmStore};

/// A directory in memory, if there is one: nothing here depends on fsync.
pub(crate) fn scratch() -> TempDir {
    let shm = Path::new("/dev/shm");
    tempfile::tempdir_in(shm).or_else(|_| tempfile::tempdir()).unwrap()
}

/// Numbers that are the same on every run of one seed (SplitMix64).
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// Bytes that do not compress.
    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// The value that commit `n` writes.
pub(crate) fn value(n: u64, len: usize) -> Bytes {
    Seeded(n).bytes(len).into()
}

/// Commit `n`: a key of its own, and one that every commit overwrites and keeps.
pub(crate) fn commit(store: &LsmStore, n: u64, len: usize, durability: Durability) -> Result<()> {
    let write = |key: String| Write {
        key: key.into(),
        value: Some(value(n, len)),
        previous: Previous::Unknown,
    };
    let commit = Commit {
        ts: Timestamp::new(n),
        writes: vec![write(format!("key {n:04}")), write("same".into())],
        catalog: vec![],
        preserve: (n > 1).then(|| Timestamp::new(n - 1)),
        logged: false,
    };
    let retention = Retention::everything();
    store.apply(Group { commits: vec![commit], durability, retention: &retention })?;
    store.publish(Timestamp::new(n));
    Ok(())
}

/// A database of so many commits with values of `len` bytes.
pub(crate) fn write(path: &Path, commits: u64, len: usize) -> LsmStore {
    let store = Builder::new(path).worker_threads(1).open_store().unwrap();
    for n in 1..=commits {
        commit(&store, n, len, Durability::Sync).unwrap();
    }
    store
}

/// Reads everything, which must be what the first commits wrote; how many.
pub(crate) fn read(path: &Path, len: usize) -> Result<u64> {
    let builder = Builder::new(path).create_if_missing(false).worker_threads(1);
    let store = builder.open_store()?;
    store.verify()?;
    let head = store.snapshot()?;
    let last = store.recover()?.last_ts.get();
    let mut expected = (1..=last).map(|n| (format!("key {n:04}"), n)).collect::<Vec<_>>();
    if last > 0 {
        expected.push(("same".into(), last));
    }
    for (item, (key, n)) in head.range(&KeyRange::all()).zip(&expected) {
        let (found, record) = item?;
        assert_eq!((&found[..], record.ts.get()), (key.as_bytes(), *n));
        assert_eq!(record.value, value(*n, len));
    }
    assert_eq!(head.range(&KeyRange::all()).count(), expected.len());
    for n in 1..=last {
        let then = store.snapshot_at(Timestamp::new(n))?.get(b"same")?;
        assert_eq!(then.map(|record| record.ts.get()), Some(n));
    }
    Ok(last)
}

/// Copies a database, without the zeros that journals are allocated ahead with.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|e| e.unwrap()) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            let mut bytes = fs::read(&from).unwrap();
            if is_journal(&from) {
                bytes.truncate(used(&bytes));
            }
            fs::write(to, bytes).unwrap();
        }
    }
}

/// How many bytes there are before the zeros.
pub(crate) fn used(bytes: &[u8]) -> usize {
    // By the block: most of a journal is zeros.
    let blank = bytes.rchunks(4096).take_while(|block| [0; 4096].starts_with(block));
    let bytes = &bytes[..bytes.len() - blank.map(<[u8]>::len).sum::<usize>()];
    bytes.iter().rposition(|&b| b != 0).map_or(0, |at| at + 1)
}

pub(crate) fn is_journal(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "jnl")
}

/// Every file in a directory, sorted.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(|e| e.unwrap()) {
        match entry.path() {
            path if path.is_dir() => found.extend(files(&path)),
            path => found.push(path),
        }
    }
    found.sort();
    found
}

/// The journal that is written to.
pub(crate) fn journal(dir: &Path) -> PathBuf {
    files(dir).into_iter().rfind(|path| is_journal(path)).unwrap()
}

/// Where each batch of a journal ends.
pub(crate) fn ends(journal: &[u8]) -> Vec<usize> {
    let trailers = journal.windows(4).enumerate().filter(|(_, bytes)| *bytes == b"FJL\x03");
    trailers.map(|(at, _)| at + 4).collect()
}

/// The manifest of a keyspace that is in force.
pub(crate) fn manifest(keyspace: &Path) -> PathBuf {
    let current = fs::read(keyspace.join("current")).unwrap();
    let number = u64::from_le_bytes(current[..8].try_into().unwrap());
    keyspace.join(format!("v{number}"))
}

/// The same bytes with one bit the other way round.
pub(crate) fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

/// The same bytes with some of them lost.
pub(crate) fn zeroed(bytes: &[u8], at: usize, len: usize) -> Vec<u8> {
    let is_lost = |i: usize| (at..at + len).contains(&i);
    bytes.iter().enumerate().map(|(i, b)| if is_lost(i) { 0 } else { *b }).collect()
}
