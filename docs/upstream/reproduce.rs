//! Reproduces what the pages beside this file report, with fjall 3.1.13 alone.
//!
//! ```text
//! cargo new reproduce && cd reproduce && cargo add fjall@=3.1.13
//! cp …/reproduce.rs src/main.rs && cargo run -- all
//! ```
//!
//! Each name runs in a process of its own, since one of them aborts.
use std::path::{Path, PathBuf};
use std::{env, fs, process::Command};

use fjall::{Database, KeyspaceCreateOptions, PersistMode, Readable};

const NAMES: [&str; 9] = [
    "creation", "torn", "sector", "number", "gap", "keyspace", "manifest", "contents", "tables",
];

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A database of so many synced inserts; values do not compress.
fn write(path: &Path, inserts: u64, len: usize, same_key: bool) -> Result<()> {
    let db = Database::builder(path).open()?;
    for name in ["a", "b"] {
        let keyspace = db.keyspace(name, KeyspaceCreateOptions::default)?;
        for n in 1..=inserts {
            let key = if same_key { 0 } else { n };
            let word = |i: usize| (n * 1_000_003 + i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut value = n.to_be_bytes().to_vec();
            value.extend((0..len).map(|i| (word(i) >> 56) as u8));
            keyspace.insert(key.to_be_bytes(), value)?;
            db.persist(PersistMode::SyncAll)?;
        }
    }
    Ok(())
}

/// What a reopened database holds in keyspace `a`: how many keys, and the number
/// in the value of the last one.
fn read(path: &Path) -> Result<String> {
    let db = Database::builder(path).open()?;
    let a = db.keyspace("a", KeyspaceCreateOptions::default)?;
    let snapshot = db.snapshot();
    let (mut keys, mut last) = (0, 0);
    for guard in snapshot.iter(&a) {
        let value = guard.value()?;
        last = u64::from_be_bytes(value[..8].try_into()?);
        keys += 1;
    }
    Ok(format!("{keys} keys, the last value is number {last}"))
}

/// Writes both keyspaces into tables.
fn flush(path: &Path) -> Result<()> {
    let db = Database::builder(path).open()?;
    for name in ["a", "b"] {
        db.keyspace(name, KeyspaceCreateOptions::default)?.rotate_memtable_and_wait()?;
    }
    Ok(())
}

fn edit(path: PathBuf, how: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
    let mut bytes = fs::read(&path)?;
    how(&mut bytes);
    Ok(fs::write(path, bytes)?)
}

/// Where each batch of a journal ends.
fn ends(journal: &[u8]) -> Vec<usize> {
    let trailers = journal.windows(4).enumerate().filter(|(_, w)| *w == b"FJL\x03");
    trailers.map(|(at, _)| at + 4).collect()
}

fn only_table(path: &Path, keyspace: u64) -> Result<PathBuf> {
    let tables = path.join(format!("keyspaces/{keyspace}/tables"));
    Ok(fs::read_dir(tables)?.next().ok_or("no table")??.path())
}

fn prepare(name: &str, path: &Path) -> Result<()> {
    let journal = path.join("0.jnl");
    match name {
        // A crash right after the journal was made.
        "creation" => {
            fs::create_dir_all(path.join("keyspaces"))?;
            fs::write(path.join("lock"), "")?;
            fs::write(journal, "")?;
        }
        // The last batch was never acknowledged; one of its pages was not written.
        "torn" => {
            write(path, 15, 20_000, false)?;
            edit(journal, |bytes| {
                let page = ends(bytes)[28].next_multiple_of(4096);
                bytes[page..page + 4096].fill(0);
            })?;
        }
        // Everything was acknowledged; one sector has gone bad.
        "sector" => {
            write(path, 30, 100, false)?;
            edit(journal, |bytes| bytes[1024..1536].fill(0))?;
        }
        // The lowest bits of the number of the first batch of thirty.
        "number" => {
            write(path, 30, 100, true)?;
            edit(journal, |bytes| bytes[5 + 2] ^= 1)?;
        }
        // A write in the middle never happened, and the next one stands there.
        "gap" => {
            write(path, 30, 100, false)?;
            edit(journal, |bytes| {
                let ends = ends(bytes);
                bytes.drain(ends[14]..ends[15]);
            })?;
        }
        "keyspace" => {
            write(path, 30, 100, false)?;
            flush(path)?;
            fs::remove_dir_all(path.join("keyspaces/1"))?;
        }
        // The number of levels that the manifest in force claims to have: 39, not 7.
        "manifest" => {
            write(path, 30, 100, false)?;
            flush(path)?;
            let current = fs::read(path.join("keyspaces/1/current"))?;
            let number = u64::from_le_bytes(current[..8].try_into()?);
            edit(path.join(format!("keyspaces/1/v{number}")), |bytes| {
                let at = bytes.iter().position(|b| *b == 7).unwrap_or(0);
                bytes[at] ^= 32;
            })?;
        }
        // How many sections a table claims to have: two billion more.
        "contents" => {
            write(path, 30, 100, false)?;
            flush(path)?;
            edit(only_table(path, 1)?, |bytes| {
                let at = bytes.windows(4).rposition(|w| w == b"TOC!").unwrap_or(0);
                bytes[at + 7] ^= 0x80;
            })?;
        }
        // The table of one keyspace in the place of another's.
        "tables" => {
            write(path, 30, 100, false)?;
            let db = Database::builder(path).open()?;
            let b = db.keyspace("b", KeyspaceCreateOptions::default)?;
            b.insert([0xff], [0xff; 8])?;
            drop((b, db));
            flush(path)?;
            fs::copy(only_table(path, 2)?, only_table(path, 1)?)?;
        }
        _ => return Err("no such name".into()),
    }
    Ok(())
}

fn main() -> Result<()> {
    let name = env::args().nth(1).ok_or("which one?")?;
    if name != "all" {
        let path = env::temp_dir().join(format!("reproduce-{name}"));
        let _ = fs::remove_dir_all(&path);
        prepare(&name, &path)?;
        println!("{name}: {:?}", read(&path));
        return Ok(());
    }
    for name in NAMES {
        let status = Command::new(env::current_exe()?).arg(name).status()?;
        println!("{name}: ended with {status}\n");
    }
    Ok(())
}
