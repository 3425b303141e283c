//! Which keys were overwritten so often that ranges suffer, and when to do
//! something about it.
//!
//! fjall keeps every overwritten record in its memtable until that is written
//! out as a table, and a range steps over all of them: one key that was written
//! a hundred thousand times makes every range across it a thousand times slower.
//! Writing the memtable out lets go of what no snapshot sees, but costs as much
//! as the memtable is large. So the steps that ranges lost are added up, and
//! once they come to as many as there are records to write out, the next
//! commit or prune has the memtable rotated. Whatever the load, what is lost to
//! stepping and what is paid for rotating stay within a constant of each other;
//! a load without ranges pays nothing.
//!
//! Writes are counted by a hash of the key, so the count of a key may be too
//! high by those of others; an even share of all writes is taken off. Nothing
//! here decides what is read.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use foldhash::fast::RandomState;

const SLOTS: usize = 1 << 14;

/// From so many writes of one slot on, ranges look.
const HOT: u32 = 64;

/// Fewer writes than these are not worth a table.
const WRITES_MIN: u64 = 4096;

/// What was written to a memtable, and what ranges lost to it.
pub(crate) struct Heat {
    slots: Box<[AtomicU32]>,
    writes: AtomicU64,
    is_hot: AtomicBool,
    steps: AtomicU64,
    hasher: RandomState,
}

impl Heat {
    pub(crate) fn new() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| AtomicU32::new(0)).collect(),
            writes: AtomicU64::new(0),
            is_hot: AtomicBool::new(false),
            steps: AtomicU64::new(0),
            hasher: RandomState::default(),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a part of a hash is cut off")]
    fn slot(&self, key: &[u8]) -> Option<&AtomicU32> {
        self.slots.get(self.hasher.hash_one(key) as usize % SLOTS)
    }

    /// Notes a write. One thread at a time does.
    pub(crate) fn write(&self, key: &[u8]) {
        let Some(slot) = self.slot(key) else { return };
        let count = slot.load(Relaxed).saturating_add(1);
        slot.store(count, Relaxed);
        self.writes.store(self.writes.load(Relaxed) + 1, Relaxed);
        if count == HOT {
            self.is_hot.store(true, Relaxed);
        }
    }

    /// Whether any key may have been overwritten often.
    pub(crate) fn is_hot(&self) -> bool {
        self.is_hot.load(Relaxed)
    }

    /// About how many overwritten records a range that met `key` stepped over
    /// there.
    pub(crate) fn steps(&self, key: &[u8]) -> u64 {
        let count = self.slot(key).map_or(0, |slot| slot.load(Relaxed));
        if count < HOT {
            return 0;
        }
        let share = 4 * self.writes.load(Relaxed) / SLOTS as u64;
        u64::from(count).saturating_sub(share)
    }

    /// Adds up what a range lost.
    pub(crate) fn lose(&self, steps: u64) {
        self.steps.fetch_add(steps, Relaxed);
    }

    /// Whether ranges lost so much that the memtable is better written out.
    pub(crate) fn is_due(&self) -> bool {
        let steps = self.steps.load(Relaxed);
        steps >= self.writes.load(Relaxed).max(WRITES_MIN)
    }

    /// Begins anew with another memtable.
    pub(crate) fn reset(&self) {
        for slot in &self.slots {
            slot.store(0, Relaxed);
        }
        self.writes.store(0, Relaxed);
        self.is_hot.store(false, Relaxed);
        self.steps.store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use vellum_core::{Connection, ConnectionExt, Durability, Options, ReadTxn, Result, WriteTxn};

    use super::*;

    #[test]
    fn ranges_over_a_hot_key_have_the_next_commit_rotate_the_memtable() -> Result<()> {
        let dir = tempfile::tempdir().map_err(crate::error::io("making a directory"))?;
        let options = Options::new().durability(Durability::Buffered);
        let db = crate::Builder::new(dir.path().join("db")).options(options).open()?;
        let put = || db.transact(|txn| txn.put(b"hot", "value"));
        let writes = WRITES_MIN + 1000;
        for _ in 0..writes {
            put()?;
        }
        let keyspaces = db.store().keyspaces()?;
        let in_memtable =
            || fjall::AbstractTree::active_memtable(&keyspaces.head.tree).len() as u64;
        assert_eq!(in_memtable(), writes);
        for _ in 0..3 {
            assert_eq!(db.begin_read()?.range(..).count(), 1);
        }
        assert_eq!(in_memtable(), writes, "a range changes nothing");
        put()?;
        assert_eq!(in_memtable(), 1);
        assert_eq!(db.begin_read()?.range(..).count(), 1);
        Ok(())
    }

    #[test]
    fn memtable_is_due_once_ranges_lost_more_than_it_costs_to_write_it() {
        let heat = Heat::new();
        for i in 0..100_000u32 {
            heat.write(&i.to_be_bytes());
        }
        assert!(!heat.is_hot(), "spread writes are not hot");
        for _ in 0..50_000 {
            heat.write(b"hot");
        }
        assert!(heat.is_hot() && !heat.is_due(), "nobody suffers yet");
        assert_eq!(heat.steps(&7u32.to_be_bytes()), 0);
        let mut ranges = 0;
        while !heat.is_due() {
            heat.lose(heat.steps(b"hot"));
            ranges += 1;
        }
        assert!((3..6).contains(&ranges), "{ranges}");
        heat.reset();
        assert!(!heat.is_hot() && !heat.is_due() && heat.steps(b"hot") == 0);
    }
}
