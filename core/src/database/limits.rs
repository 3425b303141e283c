//! The checks of the limits, made before anything else sees the input.

use std::fmt::Display;

use crate::{
    Error, ErrorKind, MAX_KEY_LEN, MAX_METADATA_LEN, MAX_VALUE_LEN, Metadata, Result, Timestamp,
};

fn over(what: impl Display, actual: usize, max: usize) -> Error {
    Error::new(ErrorKind::Invalid, format!("{what} of {actual} bytes is over the limit of {max}"))
}

#[inline]
pub(super) fn check_key(key: &[u8]) -> Result<()> {
    match key.len() {
        0 => Err(Error::new(
            ErrorKind::Invalid,
            format!("a key of 0 bytes: keys are 1 to {MAX_KEY_LEN} bytes"),
        )),
        1..=MAX_KEY_LEN => Ok(()),
        len => Err(over("a key", len, MAX_KEY_LEN)),
    }
}

#[inline]
pub(super) fn check_value(value: &[u8]) -> Result<()> {
    if value.len() > MAX_VALUE_LEN {
        return Err(over("a value", value.len(), MAX_VALUE_LEN));
    }
    Ok(())
}

/// The size of a transaction, if it is within its limit.
#[inline]
pub(super) fn check_txn_bytes(bytes: usize, max: usize) -> Result<usize> {
    if bytes > max {
        return Err(over("a transaction", bytes, max));
    }
    Ok(bytes)
}

pub(super) fn check_metadata(metadata: &Metadata) -> Result<()> {
    if metadata.len() > MAX_METADATA_LEN {
        return Err(over("metadata", metadata.len(), MAX_METADATA_LEN));
    }
    Ok(())
}

/// Timestamps end one below the maximum, which means "above every commit".
pub(super) fn next_ts(last: Timestamp) -> Result<Timestamp> {
    let next = last.next();
    if next == Timestamp::MAX {
        return Err(Error::new(ErrorKind::Invalid, "no timestamp is left for another commit"));
    }
    Ok(next)
}
