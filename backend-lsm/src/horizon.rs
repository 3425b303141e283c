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
//! slot (512 bytes, one sector): magic [8] · number u64 · check u64 · zeros
//! ```

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use vellum_core::Result;

use crate::error::{corrupted, io};

/// The file's name in the database directory.
pub(crate) const FILE: &str = "horizon";

const MAGIC: [u8; 8] = *b"vellumHZ";
const SLOT_LEN: u64 = 512;

/// The open file.
#[derive(Debug)]
pub(crate) struct Horizon {
    file: File,
}

impl Horizon {
    /// Creates the file at group 0, and fsyncs it.
    pub(crate) fn create(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
        let file = file.map_err(io(format!("creating {FILE}")))?;
        file.set_len(2 * SLOT_LEN).map_err(io(format!("creating {FILE}")))?;
        let horizon = Self { file };
        horizon.write(0)?;
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
        let mut slots = Vec::new();
        for slot in 0..2 {
            let mut bytes = [0; 24];
            match file.read_exact_at(&mut bytes, slot * SLOT_LEN) {
                Ok(()) => slots.extend(decode(&bytes)),
                Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {}
                Err(e) => return Err(io(format!("reading {FILE}"))(e)),
            }
        }
        match slots.into_iter().max() {
            Some(number) => Ok((Self { file }, number)),
            None => Err(corrupted(format!("file {FILE}: neither slot can be read"))),
        }
    }

    /// Whether a file stands there that names a group: creation leaves zero.
    pub(crate) fn names_a_group(dir: &Path) -> bool {
        Self::open(dir).is_ok_and(|(_, number)| number > 0)
    }

    /// Notes that every group up to `number` is durable.
    pub(crate) fn write(&self, number: u64) -> Result<()> {
        let slot = number % 2;
        let written = self.file.write_all_at(&encode(number), slot * SLOT_LEN);
        written.map_err(io(format!("writing {FILE}")))
    }

    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_all().map_err(io(format!("syncing {FILE}")))
    }
}

fn encode(number: u64) -> [u8; 24] {
    let mut bytes = [0; 24];
    let parts = [MAGIC, number.to_be_bytes(), check(number).to_be_bytes()];
    for (to, from) in bytes.chunks_exact_mut(8).zip(parts) {
        to.copy_from_slice(&from);
    }
    bytes
}

fn decode(bytes: &[u8; 24]) -> Option<u64> {
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let (number, sum) = rest.split_first_chunk::<8>()?;
    let number = u64::from_be_bytes(*number);
    (*magic == MAGIC && *sum == check(number).to_be_bytes()).then_some(number)
}

/// Tells a number from what a torn or misdirected write would leave.
fn check(number: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64(&number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn highest_number_comes_back_and_one_damaged_slot_is_survived() -> Result<()> {
        let dir = tempfile::tempdir().map_err(io("making a directory"))?;
        let horizon = Horizon::create(dir.path())?;
        assert_eq!(Horizon::open(dir.path())?.1, 0);
        for number in 1..=5 {
            horizon.write(number)?;
            assert_eq!(Horizon::open(dir.path())?.1, number);
        }
        let damage = |slot: u64| horizon.file.write_all_at(b"x", slot * SLOT_LEN + 9);
        damage(1).map_err(io("damaging"))?;
        assert_eq!(Horizon::open(dir.path())?.1, 4);
        damage(0).map_err(io("damaging"))?;
        assert!(Horizon::open(dir.path()).is_err());
        Ok(())
    }
}
