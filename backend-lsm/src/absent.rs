//! Whether a thread looks for keys that are nowhere.
//!
//! Of most absent keys the cache of records knows nothing, and fjall's filters tell as
//! quickly; so to ask the cache first takes nearly as long again, in lines that come from
//! memory. A thread that has met nothing but such keys for some time goes past the
//! cache, until it finds a record, which costs what a miss does. Now and then it asks
//! all the same: of a deleted key the cache may know, and fjall takes long to tell.
//!
//! It is the thread that guesses, as what it did last tells what it does next, and no
//! line is shared with others. A guess changes where a key is looked for, never what is
//! found.

use std::cell::Cell;

/// So many in a row make a thread guess that the next is the same. To guess wrongly
/// costs what some ten right guesses gain, so a row of any length is no loss to speak of.
const ROW: u32 = 64;

thread_local! {
    /// How long the row is that this thread is in; up to two rows.
    static MET: Cell<u32> = const { Cell::new(0) };
}

/// Whether this thread guesses that the next key is absent, and the cache knows nothing.
#[inline]
pub(crate) fn is_likely() -> bool {
    MET.get() > ROW
}

/// Takes note of what this thread met: a key that is absent, of which the cache knew
/// nothing or was not asked; or another.
#[inline]
pub(crate) fn note(is_absent: bool) {
    let met = MET.get();
    MET.set(match is_absent {
        true if met < 2 * ROW => met + 1,
        // Then the cache is asked once.
        true => ROW,
        false => 0,
    });
}

#[cfg(test)]
mod tests {
    use vellum_core::{Connection, ConnectionExt, Options, ReadTxn, Result, WriteTxn};

    use super::*;

    #[test]
    fn thread_that_meets_absent_keys_asks_the_cache_now_and_then() {
        note(false);
        let mut asked = (0..).filter(|_| {
            let asks = !is_likely();
            note(true);
            asks
        });
        assert_eq!(asked.nth(64), Some(64), "while the row is short");
        assert_eq!([asked.next(), asked.next()], [Some(129), Some(194)]);
        note(false);
        assert!(!is_likely());
    }

    #[test]
    fn what_is_found_past_the_cache_is_what_the_cache_would_tell() -> Result<()> {
        let dir = tempfile::tempdir().map_err(crate::error::io("making a directory"))?;
        let options = Options::new().durability(vellum_core::Durability::Buffered);
        let db = crate::Builder::new(dir.path().join("db")).options(options).open()?;
        let write = |value: Option<&'static str>| {
            db.transact(|txn| match value {
                Some(value) => txn.put(b"key", value),
                None => txn.delete(b"key"),
            })
        };
        write(Some("first"))?;
        let held = db.begin_read()?;
        let guess = || -> Result<()> {
            let read = db.begin_read()?;
            while !is_likely() {
                assert_eq!(read.get(b"nothing")?, None);
            }
            Ok(())
        };
        for value in [Some("second"), None, Some("third")] {
            write(value)?;
            // Each kind of snapshot first.
            for _ in 0..2 {
                guess()?;
                assert_eq!(held.get(b"key")?.as_deref(), Some(&b"first"[..]));
                assert_eq!(db.begin_read()?.get(b"key")?.as_deref(), value.map(str::as_bytes));
                guess()?;
                assert_eq!(db.begin_read()?.get(b"key")?.as_deref(), value.map(str::as_bytes));
                assert_eq!(held.get(b"key")?.as_deref(), Some(&b"first"[..]));
            }
        }
        Ok(())
    }

    #[test]
    fn thread_that_meets_deleted_keys_comes_back_to_the_cache() -> Result<()> {
        let dir = tempfile::tempdir().map_err(crate::error::io("making a directory"))?;
        let db = crate::Builder::new(dir.path().join("db")).open()?;
        db.transact(|txn| txn.put(b"key", "value"))?;
        assert!(db.begin_read()?.get(b"key")?.is_some());
        db.transact(|txn| txn.delete(b"key"))?;
        let read = db.begin_read()?;
        while !is_likely() {
            assert_eq!(read.get(b"nothing")?, None);
        }
        let mut guessed = 0;
        for _ in 0..4 * ROW {
            assert_eq!(read.get(b"key")?, None);
            guessed += u32::from(is_likely());
        }
        assert!(guessed <= ROW, "it goes past the cache again and again");
        Ok(())
    }
}
