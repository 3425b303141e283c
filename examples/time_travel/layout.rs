//! How a git tree lies in the database:
//!
//! ```text
//! commit          the id of the commit, in hexadecimal
//! f/<path>        the mode, six octal digits, and the contents
//! ```
//!
//! Paths and contents are raw bytes. A submodule's contents are the id of its
//! commit.

use vellum::{Bytes, MAX_KEY_LEN};

use super::Result;
use super::git::Mode;

/// The key of the commit's id.
pub(crate) const COMMIT: &[u8] = b"commit";

/// What the keys of files begin with.
pub(crate) const FILES: &[u8] = b"f/";

/// Bytes of a value before the contents.
pub(crate) const MODE_LEN: usize = 6;

/// The key of a file.
pub(crate) fn key(path: &[u8]) -> Result<Bytes> {
    let key = [FILES, path].concat();
    if key.len() > MAX_KEY_LEN {
        let (len, most) = (path.len(), MAX_KEY_LEN - FILES.len());
        return Err(format!("a path of {len} bytes is over the limit of {most}").into());
    }
    Ok(key.into())
}

/// The value of a file.
pub(crate) fn value(mode: Mode, contents: &[u8]) -> Bytes {
    [&mode, contents].concat().into()
}
