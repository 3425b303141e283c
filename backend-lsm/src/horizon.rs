//! The horizon: how far the journal is known to be durable, kept outside it.
//!
//! After a group was fsynced, and before it is acknowledged, its number goes
//! into one of two slots of a small file, in turn. That write is not fsynced:
//! it would double the price of a commit. So after the death of the process the
//! horizon is exact, and after power loss it may be older than the truth, never
//! newer: whatever it names was fsynced before it was written. A close makes it
//! exact and fsyncs it.
//!
//! ```text
//! word: the group's number and one; 0 while the database is being created
//! slot (512 bytes, one sector): magic [8] · word u64 · check u64 · zeros
//! ```
//!
//! Two more slots say, from a close to the next open, which journals there are,
//! by the first and the last of their numbers. fjall removes a sealed journal
//! when the tables hold all of it, at any time while the database is open, so
//! that of a missing one nobody could tell whether it was removed or lost. After
//! a close there is nobody who could have removed it.

use std::fs::File;
use std::ops::RangeInclusive;
use std::os::unix::fs::FileExt;
use std::path::Path;

use vellum_core::Result;

use crate::error::{corrupted, io};

/// The file's name in the database directory.
pub(crate) const FILE: &str = "horizon";

/// The word of a database whose creation did not finish.
const INCOMPLETE: u64 = 0;

/// The word of group 0; later groups follow.
const COMPLETE: u64 = 1;

const MAGIC: [u8; 8] = *b"vellumHZ";
const SLOT_LEN: u64 = 512;
const SLOTS: u64 = 4;

/// Where the numbers of the first and the last journal stand.
const JOURNALS: [u64; 2] = [2, 3];

/// The open file.
#[derive(Debug)]
pub(crate) struct Horizon {
    file: File,
}

impl Horizon {
    /// Creates the file, and fsyncs it. It says that the database is not
    /// complete; the first [`write`](Self::write) says that it is.
    pub(crate) fn create(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
        let file = file.map_err(io(format!("creating {FILE}")))?;
        file.set_len(SLOTS * SLOT_LEN).map_err(io(format!("creating {FILE}")))?;
        let horizon = Self { file };
        horizon.write_word(INCOMPLETE)?;
        horizon.sync()?;
        Ok(horizon)
    }

    /// Opens the file and reads the highest number in it.
    pub(crate) fn open(dir: &Path) -> Result<(Self, u64)> {
        let file = File::options().read(true).write(true).open(dir.join(FILE));
        let file = match file {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(corrupted(format!("file {FILE} is missing")));
            }
            Err(e) => return Err(io(format!("opening {FILE}"))(e)),
        };
        match read_words(&file)?.into_iter().max() {
            Some(word) => Ok((Self { file }, word.saturating_sub(COMPLETE))),
            None => Err(corrupted(format!("file {FILE}: neither slot can be read"))),
        }
    }

    /// Whether a file stands there that belongs to a complete database.
    pub(crate) fn is_complete(dir: &Path) -> bool {
        let words = File::open(dir.join(FILE)).map(|file| read_words(&file));
        words.is_ok_and(|words| words.is_ok_and(|words| words.iter().any(|w| *w >= COMPLETE)))
    }

    /// Notes that every group up to `number` is durable.
    pub(crate) fn write(&self, number: u64) -> Result<()> {
        self.write_word(number.saturating_add(COMPLETE))
    }

    fn write_word(&self, word: u64) -> Result<()> {
        self.write_slot(word % 2, &encode(word))
    }

    fn write_slot(&self, slot: u64, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all_at(bytes, slot * SLOT_LEN);
        written.map_err(io(format!("writing {FILE}")))
    }

    /// The numbers of the first and the last journal at the last close; `None`
    /// if the database was not closed, or that cannot be read.
    pub(crate) fn journals(&self) -> Result<Option<RangeInclusive<u64>>> {
        let [first, last] = JOURNALS.map(|slot| read_word(&self.file, slot));
        Ok(first?.zip(last?).map(|(first, last)| first..=last))
    }

    /// Notes which journals there are while nobody removes any; `None` before
    /// somebody may. The caller syncs it.
    pub(crate) fn note_journals(&self, journals: Option<RangeInclusive<u64>>) -> Result<()> {
        let (first, last) = match journals {
            Some(journals) => (encode(*journals.start()), encode(*journals.end())),
            None => ([0; 24], [0; 24]),
        };
        let [first_slot, last_slot] = JOURNALS;
        self.write_slot(first_slot, &first)?;
        self.write_slot(last_slot, &last)
    }

    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_all().map_err(io(format!("syncing {FILE}")))
    }
}

/// What can be read of the two slots of the horizon.
fn read_words(file: &File) -> Result<Vec<u64>> {
    let [first, second] = [0, 1].map(|slot| read_word(file, slot));
    Ok([first?, second?].into_iter().flatten().collect())
}

/// The word in a slot; `None` if there is none that can be read.
fn read_word(file: &File, slot: u64) -> Result<Option<u64>> {
    let mut bytes = [0; 24];
    match file.read_exact_at(&mut bytes, slot * SLOT_LEN) {
        Ok(()) => Ok(decode(&bytes)),
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
        Err(e) => Err(io(format!("reading {FILE}"))(e)),
    }
}

pub(crate) fn encode(word: u64) -> [u8; 24] {
    let mut bytes = [0; 24];
    let parts = [MAGIC, word.to_be_bytes(), check(word).to_be_bytes()];
    for (to, from) in bytes.chunks_exact_mut(8).zip(parts) {
        to.copy_from_slice(&from);
    }
    bytes
}

pub(crate) fn decode(bytes: &[u8; 24]) -> Option<u64> {
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let (word, sum) = rest.split_first_chunk::<8>()?;
    let word = u64::from_be_bytes(*word);
    (*magic == MAGIC && *sum == check(word).to_be_bytes()).then_some(word)
}

/// Tells a word from what a torn or misdirected write would leave.
fn check(word: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64(&word.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn highest_number_comes_back_and_one_damaged_slot_is_survived() -> Result<()> {
        let dir = tempfile::tempdir().map_err(io("making a directory"))?;
        let horizon = Horizon::create(dir.path())?;
        assert_eq!(Horizon::open(dir.path())?.1, 0);
        assert!(!Horizon::is_complete(dir.path()));
        horizon.write(0)?;
        assert!(Horizon::is_complete(dir.path()));
        for number in 1..=5 {
            horizon.write(number)?;
            assert_eq!(Horizon::open(dir.path())?.1, number);
        }
        let damage = |slot: u64| horizon.file.write_all_at(b"x", slot * SLOT_LEN + 9);
        damage(0).map_err(io("damaging"))?;
        assert_eq!(Horizon::open(dir.path())?.1, 4);
        damage(1).map_err(io("damaging"))?;
        assert!(Horizon::open(dir.path()).is_err());
        Ok(())
    }

    #[test]
    fn slot_that_cannot_be_read_is_an_error_and_one_that_is_not_there_is_empty() -> Result<()> {
        let dir = tempfile::tempdir().map_err(io("making a directory"))?;
        let path = dir.path().join("short");
        let file = File::options().write(true).create_new(true).open(&path);
        let unreadable = file.map_err(io("creating"))?;
        let readable = File::open(&path).map_err(io("opening"))?;
        assert_eq!(read_word(&readable, 0)?, None);
        let failed = read_word(&unreadable, 0).map_err(|e| e.kind());
        assert_eq!(failed, Err(vellum_core::ErrorKind::Io));
        Ok(())
    }
}
