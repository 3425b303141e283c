//! A look at fjall's tables before fjall opens them.
//!
//! Every block of a table has a checksum, which fjall compares when it reads
//! the block. What it does not compare is whether a file is the one that the
//! manifest means: a table of another keyspace under the same name would be
//! read as if it belonged there. So the part that describes a table is read at
//! open (its number, its first and last key, its newest sequence number), and
//! [`verify`](crate::verify) compares the checksum of the whole file with the
//! manifest's.
//!
//! ```text
//! section "meta", a block
//!   "LSM" 3 · type u8 (3) · xxh3 of the items u128 · len u32 · len u32
//!   · lower half of the xxh3 of all before, u32
//!   · item* · 255 · index
//! item   kind u8 · seqno varint · key_len varint · key · value_len varint · value
//! ```

use std::fs::File;
use std::io::Read;
use std::path::Path;

use vellum_core::Result;

use crate::archive::Archive;
use crate::error::{corrupted, io};
use crate::reader::Reader;

const HEADER_LEN: usize = 33;
const BLOCK_META: u8 = 3;
const ITEMS_END: u8 = 255;

/// What a table says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Description {
    /// Its number, which is its name.
    pub(crate) id: u64,
    pub(crate) first_key: Vec<u8>,
    pub(crate) last_key: Vec<u8>,
    /// The newest sequence number in it.
    pub(crate) seqno: u64,
}

/// Reads what the table `what`, in the file `path`, says of itself.
pub(crate) fn describe(path: &Path, what: &str) -> Result<Description> {
    let block = Archive::open(path, what)?.section(b"meta", what)?;
    let description = block.and_then(|block| decode_description(&block));
    description.ok_or_else(|| corrupted(format!("{what}: its description cannot be read")))
}

/// The description in the block that holds it.
pub(crate) fn decode_description(block: &[u8]) -> Option<Description> {
    let mut reader = Reader::new(block);
    let is_meta = reader.take(4)? == b"LSM\x03" && reader.byte()? == BLOCK_META;
    let (sum, len, stored_len) = (reader.u128()?, reader.u32()?, reader.u32()?);
    let head = block.get(..reader.position())?;
    let head_sum = xxhash_rust::xxh3::xxh3_128(head).to_le_bytes();
    let is_whole = head_sum.starts_with(&reader.u32()?.to_le_bytes());
    let items = block.get(HEADER_LEN..)?;
    let len = usize::try_from(len).ok().filter(|_| len == stored_len)?;
    if !is_meta || !is_whole || items.len() != len || xxhash_rust::xxh3::xxh3_128(items) != sum {
        return None;
    }
    decode_items(items)
}

fn decode_items(items: &[u8]) -> Option<Description> {
    let mut reader = Reader::new(items);
    let mut found = Description::default();
    let mut missing = 4;
    while reader.byte()? != ITEMS_END {
        reader.varint()?;
        let key_len = usize::try_from(reader.varint()?).ok()?;
        let key = reader.take(key_len)?;
        let value_len = usize::try_from(reader.varint()?).ok()?;
        let value = reader.take(value_len)?;
        let number = || value.try_into().ok().map(u64::from_le_bytes);
        match key {
            b"table_id" => found.id = number()?,
            b"seqno#max" => found.seqno = number()?,
            b"key#min" => found.first_key = value.to_vec(),
            b"key#max" => found.last_key = value.to_vec(),
            _ => continue,
        }
        missing -= 1;
    }
    (missing == 0).then_some(found)
}

/// A block of these items, with the checksums that they need.
#[cfg(any(test, fuzzing))]
pub(crate) fn as_block(items: &[u8]) -> Vec<u8> {
    let mut block = b"LSM\x03".to_vec();
    block.push(BLOCK_META);
    block.extend(xxhash_rust::xxh3::xxh3_128(items).to_le_bytes());
    let len = u32::try_from(items.len()).unwrap_or(u32::MAX).to_le_bytes();
    block.extend([len, len].concat());
    let sum = xxhash_rust::xxh3::xxh3_128(&block).to_le_bytes();
    block.extend(sum.iter().take(4));
    block.extend(items);
    block
}

/// The checksum of a whole file, as manifests have it.
pub(crate) fn checksum(path: &Path) -> Result<u128> {
    let what = || format!("reading {}", path.display());
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(corrupted(format!("{} is missing", path.display())));
        }
        Err(e) => return Err(io(what())(e)),
    };
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let len = file.read(&mut buffer).map_err(io(what()))?;
        match buffer.get(..len) {
            Some(read) if len > 0 => hasher.update(read),
            _ => return Ok(hasher.digest128()),
        }
    }
}
