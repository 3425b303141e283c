//! A look at fjall's journals before fjall opens them.
//!
//! fjall replays its journals up to the first byte that it cannot read, cuts
//! them off there and goes on without a word: a bad sector in the middle of a
//! journal silently takes every later commit with it. And where a torn batch
//! kept its end but lost a page before it, fjall refuses to open, with all that
//! was acknowledged. So every group carries its number, the newest group that
//! was durable when it was written, and before fjall sees the journals this
//! module reads them and decides:
//!
//! - group numbers have no gap, within a journal and from one to the next;
//! - a journal that was sealed was fsynced whole: what cannot be read there is
//!   damage;
//! - what cannot be read in the last journal is a torn tail, and is cut off, if
//!   no group from there on was durable: neither the horizon nor any group that
//!   can still be read further on says so. Else it is damage.
//!
//! What is left undetected from here: the loss of the newest durable groups at
//! once with the writes of the horizon about them, by power loss and damage to
//! the journal together.
//!
//! The format is that of fjall 3 (its `src/journal/entry.rs`), little-endian:
//!
//! ```text
//! batch  1 · items u32 · seqno u64 · item* · 3 · xxh3 of the items u64 · "FJL" 3
//! item   2 · type u8 · compression u8 · keyspace u64 · key_len u16
//!          · value_len u32 · stored_len u32 · key · value
//! clear  4 · keyspace u64
//! ```

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use vellum_core::Result;

use crate::error::{corrupted, io};
use crate::horizon::Horizon;
use crate::layout::{GROUP, GroupRecord};

/// How fjall names its journals.
const EXTENSION: &str = "jnl";

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const TRAILER: [u8; 4] = [b'F', b'J', b'L', 3];

/// What the journals hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Journals {
    /// The newest group in them, if there is any.
    pub(crate) newest: Option<GroupRecord>,
    /// The newest group that is known to be durable. It may stand in the tables
    /// alone, which only fjall can tell.
    pub(crate) durable: u64,
}

/// Reads the journals of the fjall database in `dir`, whose keyspace `meta` has
/// this number, and cuts off a torn tail of the last. `durable` is the newest
/// group that the horizon knows to be durable.
///
/// Returns an error, and changes nothing, where something durable is lost. What
/// only a tail that is cut off says goes into the horizon before.
pub(crate) fn inspect(dir: &Path, meta: u64, horizon: &Horizon, durable: u64) -> Result<Journals> {
    let mut found = Journals { newest: None, durable };
    let mut files = list(dir)?;
    let last = files.pop();
    for (id, path) in files {
        let (bytes, name) = (read(&path)?, name(id));
        let end = read_batches(&bytes, meta, &name, &mut found)?;
        if !is_blank(&bytes, end) {
            return Err(corrupted(format!("sealed journal {name} cannot be read from byte {end}")));
        }
    }
    let Some((id, path)) = last else { return Ok(found) };
    let (bytes, name) = (read(&path)?, name(id));
    let end = read_batches(&bytes, meta, &name, &mut found)?;
    let newest = found.newest.map_or(0, |group| group.number);
    if is_blank(&bytes, end) {
        return Ok(found);
    }
    found.durable = durable_further_on(&bytes, end, meta).max(durable);
    // With no group in the journals, those before are in the tables.
    if found.newest.is_some() && found.durable > newest {
        return Err(corrupted(format!(
            "journal {name} cannot be read from byte {end}: groups {} to {} were durable and are \
             lost",
            newest + 1,
            found.durable
        )));
    }
    if found.durable > durable {
        horizon.write(found.durable)?;
        horizon.sync()?;
    }
    let file = File::options().write(true).open(&path).map_err(io(format!("opening {name}")))?;
    file.set_len(end as u64).map_err(io(format!("cutting off the torn tail of {name}")))?;
    file.sync_all().map_err(io(format!("syncing {name}")))?;
    Ok(found)
}

fn name(id: u64) -> String {
    format!("{id}.{EXTENSION}")
}

/// The journals, ascending.
fn list(dir: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(io("listing the journals"))? {
        let path = entry.map_err(io("listing the journals"))?.path();
        if path.extension().is_none_or(|extension| extension != EXTENSION) {
            continue;
        }
        let id = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        match id {
            Some(id) if path.is_file() => files.push((id, path)),
            _ => return Err(corrupted(format!("{} is no journal", path.display()))),
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(io(format!("reading {}", path.display())))
}

/// Journals are allocated ahead, and end in zeros.
fn is_blank(bytes: &[u8], from: usize) -> bool {
    bytes.get(from..).is_none_or(|rest| rest.iter().all(|&b| b == 0))
}

/// Reads batches up to the first that cannot be read, and returns where that
/// begins.
fn read_batches(bytes: &[u8], meta: u64, name: &str, found: &mut Journals) -> Result<usize> {
    let mut at = 0;
    while let Some((group, end)) = read_batch(bytes, at, meta) {
        if let Some(group) = group {
            if let Some(before) = found.newest
                && group.number != before.number + 1
            {
                return Err(corrupted(format!(
                    "journal {name}, byte {at}: group {} follows group {}",
                    group.number, before.number
                )));
            }
            found.newest = Some(group);
        }
        at = end;
    }
    Ok(at)
}

/// The newest group that any batch after `from` says was durable. Batches are
/// looked for at every byte, since nothing says where the next one begins.
fn durable_further_on(bytes: &[u8], from: usize, meta: u64) -> u64 {
    let mut durable = 0;
    let mut at = from;
    while let Some(start) = bytes.get(at..).and_then(|rest| rest.iter().position(|&b| b == START)) {
        at += start;
        match read_batch(bytes, at, meta) {
            Some((group, end)) => {
                durable = group.map_or(durable, |group| durable.max(group.synced));
                at = end;
            }
            None => at += 1,
        }
    }
    durable
}

/// The group record in the batch at `at`, and where the batch ends; `None` if
/// it cannot be read or its checksum is wrong.
fn read_batch(bytes: &[u8], at: usize, meta: u64) -> Option<(Option<GroupRecord>, usize)> {
    let mut reader = Reader { bytes, at };
    if reader.byte()? != START {
        return None;
    }
    let items = reader.u32()?;
    reader.u64()?;
    let begin = reader.at;
    let mut group = None;
    for _ in 0..items {
        match reader.byte()? {
            ITEM => {
                let (kind, compression) = (reader.byte()?, reader.byte()?);
                let keyspace = reader.u64()?;
                let key_len = reader.u16()?;
                let (_, stored_len) = (reader.u32()?, reader.u32()?);
                let key = reader.take(usize::from(key_len))?;
                let value = reader.take(usize::try_from(stored_len).ok()?)?;
                if keyspace == meta && key == GROUP && kind == 0 && compression == 0 {
                    group = GroupRecord::decode(value);
                }
            }
            CLEAR => drop(reader.u64()?),
            _ => return None,
        }
    }
    let sum = xxhash_rust::xxh3::xxh3_64(bytes.get(begin..reader.at)?);
    let is_whole = reader.byte()? == END && reader.u64()? == sum && reader.take(4)? == TRAILER;
    is_whole.then_some((group, reader.at))
}

/// Reads little-endian numbers.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(len)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }
}
