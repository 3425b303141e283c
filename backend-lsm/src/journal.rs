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
//! - group numbers have no gap, within a journal and from one to the next, nor
//!   from the tables to the first journal;
//! - the sequence numbers of the batches ascend, and each group's is the one that
//!   its record says, since fjall leaves them out of its checksums;
//! - the journals that there were when the database was closed are there;
//! - a journal that was sealed was fsynced whole: what cannot be read there is
//!   damage, if another with something in it follows;
//! - what cannot be read in the last journal with something in it is a torn tail, and is
//!   cut off, if no group from there on was durable: neither the horizon nor any group
//!   that can still be read further on says so. Else it is damage.
//!
//! What is left undetected takes a crash and damage at once:
//! - the newest durable groups lost together with the writes of the horizon about
//!   them, by power loss and damage to the journal;
//! - the first sealed journals removed whole after the process died, where the
//!   tables of `meta` are ahead of those of another keyspace.
//!
//! What is refused though nothing is lost takes a torn tail with a value in it that holds
//! the bytes of a journal: nothing tells the groups in there from those of this one.
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
use std::ops::RangeInclusive;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use vellum_core::Result;

use crate::error::{corrupted, io};
use crate::horizon::Horizon;
use crate::layout::{GROUP, GroupRecord};
use crate::reader::Reader;

/// How fjall names its journals.
const EXTENSION: &str = "jnl";

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;

/// Far more than what is written between the reading of fjall's sequence and the
/// batch of a group, or between two batches.
const SEQNO_SLACK: u64 = 1 << 32;

const TRAILER: [u8; 4] = [b'F', b'J', b'L', 3];

/// What the journals hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Journals {
    /// The newest group in them, if there is any.
    pub(crate) newest: Option<GroupRecord>,
    /// The newest group that is known to be durable. It may stand in the tables
    /// alone, which only fjall can tell.
    pub(crate) durable: u64,
    /// Where the newest group stands in fjall's sequence, or a little below; if
    /// there is none in the journals, the newest number in the tables of `meta`.
    pub(crate) seqno: u64,
    /// The sequence number of the last batch.
    batch_seqno: Option<u64>,
}

/// Reads the journals of the fjall database in `dir`, whose keyspace `meta` has
/// this number, and cuts off a torn tail of the last. `durable` is the newest
/// group that the horizon knows to be durable, and `seqno` the newest number of
/// fjall's sequence in the tables of `meta`, where every group writes.
///
/// Returns an error, and changes nothing, where something durable is lost. What
/// only a tail that is cut off says goes into the horizon before.
pub(crate) fn inspect(
    dir: &Path,
    meta: u64,
    horizon: &Horizon,
    durable: u64,
    seqno: u64,
) -> Result<Journals> {
    let mut found = Journals { newest: None, durable, seqno, batch_seqno: None };
    let mut files = list(dir)?;
    if let Some(journals) = horizon.journals()? {
        let is_there = |id: &u64| files.binary_search_by_key(id, |(id, _)| *id).is_ok();
        if let Some(id) = journals.into_iter().find(|id| !is_there(id)) {
            return Err(corrupted(format!("journal {} is missing", name(id))));
        }
    }
    // fjall makes a new one before it removes another.
    let last = take_last_written(&mut files)?;
    let Some((id, path, bytes)) = last else { return Err(corrupted("every journal is missing")) };
    for (id, path) in files {
        let (bytes, name) = (read(&path)?, name(id));
        let end = read_batches(&bytes, meta, &name, &mut found)?;
        if end < bytes.len() {
            return Err(corrupted(format!("sealed journal {name} cannot be read from byte {end}")));
        }
    }
    let name = name(id);
    let end = read_batches(&bytes, meta, &name, &mut found)?;
    let newest = found.newest.map_or(0, |group| group.number);
    if end >= bytes.len() {
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

/// The numbers of the first and the last journal.
pub(crate) fn present(dir: &Path) -> Result<Option<RangeInclusive<u64>>> {
    let files = list(dir)?;
    Ok(files.first().zip(files.last()).map(|((first, _), (last, _))| *first..=*last))
}

/// The journal that is written.
pub(crate) fn newest(dir: &Path) -> Result<Option<PathBuf>> {
    Ok(list(dir)?.pop().map(|(_, path)| path))
}

/// Takes the last journal that has something in it, with its bytes, and those behind it; the
/// first, if none has. A worker may seal a journal after a write to it failed, and begin
/// another, which stays empty: a torn tail is in the last that is not.
fn take_last_written(files: &mut Vec<(u64, PathBuf)>) -> Result<Option<(u64, PathBuf, Vec<u8>)>> {
    while let Some((id, path)) = files.pop() {
        let bytes = read(&path)?;
        if !bytes.is_empty() || files.is_empty() {
            return Ok(Some((id, path, bytes)));
        }
    }
    Ok(None)
}

/// Writes the last journal once more, as it can be read, and fsyncs it: after an fsync of
/// it failed. The kernel takes for written then what was not (Rebello and others, "Can
/// Applications Recover from fsync Failures?", ATC 2020), and so the next fsync has nothing
/// to do. But fjall's workers go on to write memtables into tables, which must not be ahead
/// of the journal: they would show a part of a commit.
pub(crate) fn write_again(dir: &Path) -> Result<()> {
    let Some((_, path, bytes)) = take_last_written(&mut list(dir)?)? else { return Ok(()) };
    let what = || format!("writing {} again", path.display());
    let file = File::options().write(true).open(&path).map_err(io(what()))?;
    file.write_all_at(&bytes, 0).map_err(io(what()))?;
    file.sync_data().map_err(io(what()))
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

/// The bytes of a journal without the zeros at its end: it is allocated ahead by
/// tens of megabytes, which take no memory here, nor time where the file system
/// has nothing there.
fn read(path: &Path) -> Result<Vec<u8>> {
    let what = || format!("reading {}", path.display());
    let file = File::open(path).map_err(io(what()))?;
    let (mut bytes, mut zeros, mut at) = (Vec::new(), 0, 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let Some(start) = next_data(&file, at).map_err(io(what()))? else { return Ok(bytes) };
        zeros += usize::try_from(start - at).unwrap_or(usize::MAX);
        let len = file.read_at(&mut buffer, start).map_err(io(what()))?;
        let read = buffer.get(..len).unwrap_or_default();
        if read.is_empty() {
            return Ok(bytes);
        }
        let blank = blank_tail(read);
        if let Some(used) = read.get(..len - blank).filter(|used| !used.is_empty()) {
            bytes.resize(bytes.len() + zeros, 0);
            bytes.extend_from_slice(used);
            zeros = 0;
        }
        zeros += blank;
        at = start + len as u64;
    }
}

/// Where the file has something at or after `at`; what lies between are zeros.
/// `None` if there are only zeros.
fn next_data(file: &File, at: u64) -> std::io::Result<Option<u64>> {
    #[cfg(any(target_os = "linux", target_os = "freebsd", target_vendor = "apple"))]
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)) {
        Ok(start) => return Ok(Some(start)),
        // At the end, or nothing but a hole up to it.
        Err(rustix::io::Errno::NXIO) => return Ok(None),
        // The file system does not tell.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOTSUP) => {}
        Err(e) => return Err(e.into()),
    }
    Ok((at < file.metadata()?.len()).then_some(at))
}

/// Where the next hole begins at or after `at`; the end of the file if there is none,
/// or if the file system does not tell.
fn next_hole(file: &File, at: u64) -> std::io::Result<u64> {
    #[cfg(any(target_os = "linux", target_os = "freebsd", target_vendor = "apple"))]
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Hole(at)) {
        Ok(start) => return Ok(start),
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOTSUP) => {}
        Err(e) => return Err(e.into()),
    }
    Ok(file.metadata()?.len())
}

/// Where the hole begins that the file ends in, if it ends in one and the file system
/// tells.
pub(crate) fn end_of_data(file: &File) -> std::io::Result<Option<u64>> {
    let mut end = 0;
    while let Some(start) = next_data(file, end)? {
        end = next_hole(file, start)?;
    }
    Ok((end < file.metadata()?.len()).then_some(end))
}

/// How many zeros there are at the end, counted by the block.
fn blank_tail(bytes: &[u8]) -> usize {
    const ZEROS: [u8; 4096] = [0; 4096];
    let blank = bytes.rchunks(ZEROS.len()).take_while(|block| ZEROS.starts_with(block));
    let blank = blank.map(<[u8]>::len).sum();
    let rest = bytes.len().checked_sub(blank).and_then(|len| bytes.get(..len));
    blank + rest.unwrap_or_default().iter().rev().take_while(|&&b| b == 0).count()
}

/// Reads batches up to the first that cannot be read, and returns where that
/// begins.
fn read_batches(bytes: &[u8], meta: u64, name: &str, found: &mut Journals) -> Result<usize> {
    let mut at = 0;
    while let Some(batch) = read_batch(bytes, at, meta) {
        let wrong = |what: String| corrupted(format!("journal {name}, byte {at}: {what}"));
        if found.batch_seqno.is_some_and(|before| before >= batch.seqno) {
            return Err(wrong(format!("a batch numbered {} is out of order", batch.seqno)));
        }
        let (low, high) = match batch.group {
            Some(group) => {
                found.follow(&group).map_err(wrong)?;
                found.newest = Some(group);
                found.seqno = group.seqno;
                (group.seqno, group.seqno)
            }
            // The tables of `meta` may be ahead of the first batch, or behind it.
            None => found.batch_seqno.map_or((0, found.seqno), |before| (before, before)),
        };
        // The checksum leaves the number of the batch out.
        if !(low..high.saturating_add(SEQNO_SLACK)).contains(&batch.seqno) {
            return Err(wrong(format!("a batch is numbered {}", batch.seqno)));
        }
        found.batch_seqno = Some(batch.seqno);
        at = batch.end;
    }
    Ok(at)
}

impl Journals {
    /// Whether this group comes after those that were found, or else why not.
    fn follow(&self, group: &GroupRecord) -> std::result::Result<(), String> {
        let GroupRecord { number, previous_seqno, .. } = *group;
        match self.newest {
            Some(before) if before.number.checked_add(1) != Some(number) => {
                Err(format!("group {number} follows group {}", before.number))
            }
            None if previous_seqno > self.seqno => Err(format!(
                "group {number} is the first, and the one before it is not in the tables"
            )),
            _ => Ok(()),
        }
    }
}

/// The newest group that any batch after `from` says was durable. Batches are
/// looked for at every byte, since nothing says where the next one begins.
fn durable_further_on(bytes: &[u8], from: usize, meta: u64) -> u64 {
    let mut durable = 0;
    let mut at = from;
    while let Some(start) = bytes.get(at..).and_then(|rest| rest.iter().position(|&b| b == START)) {
        at += start;
        match read_batch(bytes, at, meta) {
            Some(batch) => {
                durable = batch.group.map_or(durable, |group| durable.max(group.synced));
                at = batch.end;
            }
            None => at += 1,
        }
    }
    durable
}

/// A batch that can be read.
struct Batch {
    /// The group record in it; a prune has none.
    group: Option<GroupRecord>,
    seqno: u64,
    end: usize,
}

/// The batch at `at`; `None` if it cannot be read or its checksum is wrong.
fn read_batch(bytes: &[u8], at: usize, meta: u64) -> Option<Batch> {
    let mut reader = Reader::starting_at(bytes, at);
    if reader.byte()? != START {
        return None;
    }
    let (items, seqno) = (reader.u32()?, reader.u64()?);
    let begin = reader.position();
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
    let sum = xxhash_rust::xxh3::xxh3_64(bytes.get(begin..reader.position())?);
    let is_whole = reader.byte()? == END && reader.u64()? == sum && reader.take(4)? == TRAILER;
    is_whole.then_some(Batch { group, seqno, end: reader.position() })
}

/// How far a journal can be read; `None` if its groups do not follow each other.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_to(bytes: &[u8]) -> Option<usize> {
    let mut found = Journals::default();
    let end = read_batches(bytes, 1, "", &mut found).ok()?;
    durable_further_on(bytes, end, 1);
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch of nothing, as a prune's is one without a group.
    fn batch(seqno: u64) -> Vec<u8> {
        let sum = xxhash_rust::xxh3::xxh3_64(&[]).to_le_bytes();
        [&[START][..], &[0; 4], &seqno.to_le_bytes(), &[END], &sum, &TRAILER].concat()
    }

    /// Found by reading: the tables say where the sequence is, if no batch does.
    #[test]
    fn first_batch_of_a_prune_may_have_any_number_that_the_tables_allow() {
        let read = |seqno, first, second| {
            let mut found = Journals { seqno, ..Journals::default() };
            read_batches(&[batch(first), batch(second)].concat(), 1, "", &mut found).is_ok()
        };
        let late = 5 * SEQNO_SLACK;
        assert!(read(late, late + 1, late + 2), "after so many");
        assert!(read(late, late - 1, late + 1) && read(late, 1, 2), "before the tables");
        assert!(!read(0, late, late + 1) && !read(late, late + SEQNO_SLACK, late * 9), "too far");
        assert!(!read(late, late, late) && !read(late, 1, 1 + SEQNO_SLACK), "out of order, far");
    }

    #[test]
    fn journal_is_read_alike_with_and_without_holes() -> Result<()> {
        let dir = tempfile::tempdir().map_err(io("making a directory"))?;
        let path = dir.path().join("0.jnl");
        // Each part ends in a hole, which may be the last of it.
        for parts in [&[][..], &[(0, 5000)], &[(1 << 22, 10)], &[(0, 1), (1 << 21, 70_000)]] {
            let file = File::create(&path).map_err(io("creating"))?;
            file.set_len(1 << 23).map_err(io("allocating"))?;
            let mut expected = Vec::new();
            for &(at, len) in parts {
                expected.resize(at, 0);
                expected.resize(at + len, 7);
                file.write_all_at(&vec![7; len], at as u64).map_err(io("writing"))?;
            }
            assert!(read(&path)? == expected, "{parts:?}");
            // And as a file system would show it that knows no holes.
            expected.resize(1 << 23, 0);
            fs::write(&path, &expected).map_err(io("writing"))?;
            expected.truncate(parts.last().map_or(0, |(at, len)| at + len));
            assert!(read(&path)? == expected, "{parts:?}, filled");
        }
        Ok(())
    }
}
