//! The files that fjall's trees are kept in: an archive of named sections.
//!
//! fjall reserves memory for as many sections as a table of contents claims to
//! have before it compares the checksum, so that one flipped bit can abort the
//! process. What is read here is bounded by the length of the file.
//!
//! The format is that of the crate `sfa` 1, little-endian:
//!
//! ```text
//! section bytes*
//! contents  "TOC!" · count u32 · (pos u64 · len u64 · name_len u16 · name)*
//! trailer   "SFA!" · version 1 · checksum type 0 · xxh3 of the contents u128
//!           · pos of the contents u64 · their len u64
//! ```

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use vellum_core::Result;

use crate::error::{corrupted, io};
use crate::reader::Reader;

const TRAILER_LEN: u64 = 38;

/// One section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) name: Vec<u8>,
    pub(crate) pos: u64,
    pub(crate) len: u64,
}

/// An archive, whose table of contents is as it was written.
#[derive(Debug)]
pub(crate) struct Archive {
    file: File,
    sections: Vec<Section>,
}

impl Archive {
    /// Opens an archive; `what` names it in errors. A missing file is damage.
    pub(crate) fn open(path: &Path, what: &str) -> Result<Self> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(corrupted(format!("{what} is missing")));
            }
            Err(e) => return Err(io(format!("opening {what}"))(e)),
        };
        let len = file.metadata().map_err(io(format!("reading {what}")))?.len();
        let damaged = || corrupted(format!("{what}: its table of contents cannot be read"));
        let at = len.checked_sub(TRAILER_LEN).ok_or_else(damaged)?;
        let trailer = read_part(&file, at, TRAILER_LEN, what)?.ok_or_else(damaged)?;
        let (pos, contents_len, sum) = decode_trailer(&trailer).ok_or_else(damaged)?;
        let contents = read_part(&file, pos, contents_len, what)?
            .filter(|bytes| xxhash_rust::xxh3::xxh3_128(bytes) == sum)
            .ok_or_else(damaged)?;
        let sections = decode_contents(&contents).ok_or_else(damaged)?;
        Ok(Self { file, sections })
    }

    /// The bytes of a section; `None` if there is no such section, or not as long in
    /// the file.
    pub(crate) fn section(&self, name: &[u8], what: &str) -> Result<Option<Vec<u8>>> {
        match self.sections.iter().find(|section| section.name == name) {
            Some(section) => read_part(&self.file, section.pos, section.len, what),
            None => Ok(None),
        }
    }
}

/// A part of a file; `None` if the file ends before.
fn read_part(file: &File, pos: u64, len: u64, what: &str) -> Result<Option<Vec<u8>>> {
    let file_len = file.metadata().map_err(io(format!("reading {what}")))?.len();
    let is_within = pos.checked_add(len).is_some_and(|end| end <= file_len);
    let Some(len) = usize::try_from(len).ok().filter(|_| is_within) else {
        return Ok(None);
    };
    let mut bytes = vec![0; len];
    match file.read_exact_at(&mut bytes, pos) {
        Ok(()) => Ok(Some(bytes)),
        // A position beyond what a file can have is an invalid input.
        Err(e)
            if matches!(
                e.kind(),
                std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidInput
            ) =>
        {
            Ok(None)
        }
        Err(e) => Err(io(format!("reading {what}"))(e)),
    }
}

/// Where the contents begin, how long they are, and their checksum.
fn decode_trailer(bytes: &[u8]) -> Option<(u64, u64, u128)> {
    let mut reader = Reader::new(bytes);
    let is_ours = reader.take(4)? == b"SFA!" && reader.take(2)? == [1, 0];
    let (sum, pos, len) = (reader.u128()?, reader.u64()?, reader.u64()?);
    (is_ours && reader.is_at_end()).then_some((pos, len, sum))
}

/// The sections that a table of contents lists.
pub(crate) fn decode_contents(bytes: &[u8]) -> Option<Vec<Section>> {
    let mut reader = Reader::new(bytes);
    if reader.take(4)? != b"TOC!" {
        return None;
    }
    let count = reader.u32()?;
    let mut sections = Vec::new();
    for _ in 0..count {
        let (pos, len, name_len) = (reader.u64()?, reader.u64()?, reader.u16()?);
        let name = reader.take(usize::from(name_len))?.to_vec();
        sections.push(Section { name, pos, len });
    }
    reader.is_at_end().then_some(sections)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by reading: a list of 31,776 tables is over a mebibyte long.
    #[test]
    fn section_is_read_however_long_it_is_and_never_beyond_the_file() -> Result<()> {
        let dir = tempfile::tempdir().map_err(io("making a directory"))?;
        let path = dir.path().join("archive");
        let section = vec![7; 3 << 20];
        for (claimed, is_read) in [(section.len(), true), (section.len() + 1000, false)] {
            let entry = [&0_u64.to_le_bytes()[..], &(claimed as u64).to_le_bytes()].concat();
            let contents = [b"TOC!", &1_u32.to_le_bytes()[..], &entry, &[1, 0], b"s"].concat();
            let sum = xxhash_rust::xxh3::xxh3_128(&contents).to_le_bytes();
            let at = [section.len(), contents.len()].map(|n| (n as u64).to_le_bytes()).concat();
            let bytes = [&section, &contents, &b"SFA!\x01\0"[..], &sum, &at].concat();
            std::fs::write(&path, bytes).map_err(io("writing"))?;
            let found = Archive::open(&path, "it")?.section(b"s", "it")?;
            assert_eq!(found, is_read.then(|| section.clone()), "{claimed}");
        }
        Ok(())
    }
}
