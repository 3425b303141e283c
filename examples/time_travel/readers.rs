//! Readers of old versions, while the import writes new ones.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use vellum::Connection;

use super::verify::Checker;
use super::{Result, history};

/// How long a reader rests between two versions. That old versions read right
/// is tested here, not how fast.
const REST: Duration = Duration::from_millis(5);

/// How far the import is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    saved: AtomicUsize,
    ended: AtomicBool,
}

impl Progress {
    /// So many versions are saved.
    pub(crate) fn save(&self, count: usize) {
        self.saved.store(count, Ordering::SeqCst);
    }

    /// Nothing more will be saved.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Checks old versions until the import has ended; if that fails, ends it.
    pub(crate) fn read_along<C: Connection>(
        &self,
        db: &C,
        reader: usize,
        checker: &mut Checker<'_>,
    ) -> Result<()> {
        self.read(db, reader, checker).inspect_err(|_| self.end())
    }

    /// The version that was read first stays open all the while, and is read
    /// again at the end.
    fn read<C: Connection>(&self, db: &C, reader: usize, checker: &mut Checker<'_>) -> Result<()> {
        let mut first = None;
        let mut pick = reader;
        while !self.has_ended() {
            let saved = self.saved.load(Ordering::SeqCst);
            // Golden-ratio steps spread the picks evenly over what is there.
            pick = pick.wrapping_add(0x9e37_79b9);
            if let Some(n) = pick.checked_rem(saved) {
                let txn = db.read_at(history::version(n))?;
                checker.check_tree(&txn, n)?;
                if n + 1 < saved {
                    checker.check_diff(db, n)?;
                }
                first.get_or_insert((txn, n));
            }
            thread::sleep(REST);
        }
        match first {
            Some((txn, n)) => checker.check_tree(&txn, n),
            None => Ok(()),
        }
    }
}
