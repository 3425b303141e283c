//! Which keys were overwritten so often that ranges suffer, and what to do
//! about it.
//!
//! fjall keeps every overwritten record in its memtable until that is written
//! out as a table, and a range steps over all of them: one key that was written
//! a hundred thousand times makes every range across it a thousand times slower.
//! Two things help:
//! - Ranges go around the keys that were written most often, and look them up
//!   (`head.rs`). The list of them, the *detours*, is short and sorted.
//! - Writing the memtable out lets go of what no snapshot sees, but costs as much
//!   as the memtable is large. So the steps that ranges still lose are added up,
//!   and once they come to as many as there are records to write out, the next
//!   commit or prune has the memtable rotated. Whatever the load, what is lost to
//!   stepping and what is paid for rotating stay within a constant of each other;
//!   a load without ranges pays nothing.
//!
//! Writes are counted by a hash of the key, so the count of a key may be too
//! high by those of others; an even share of all writes is taken off. Counts are
//! of one memtable. When another takes its place, they begin anew; the detours
//! stay until no memtable is left that waits to be written out. Nothing here
//! decides what is read.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use foldhash::fast::{FixedState, RandomState};

const SLOTS: usize = 1 << 14;

/// From so many writes of one slot on, ranges look.
const HOT: u32 = 64;

/// So many steps, and multiples of it, make a key a detour. To begin a native
/// range anew behind it costs about as much.
const DETOUR: u32 = 128;

/// A list so long is searched in no time, and written anew at every addition.
const DETOURS_MAX: usize = 256;

/// So many of this memtable and of those before it are gone around.
const SHOWN_MAX: usize = 4 * DETOURS_MAX;

/// Fewer writes than these are not worth a table.
const WRITES_MIN: u64 = 4096;

/// What was written to a memtable, and what ranges lost to it.
pub(crate) struct Heat {
    slots: Box<[AtomicU32]>,
    writes: AtomicU64,
    /// The memtable that is counted, by number.
    memtable: AtomicU64,
    /// Whether any count is high.
    is_hot: AtomicBool,
    steps: AtomicU64,
    detours: Mutex<Detours>,
    /// Whether there are any.
    has_detours: AtomicBool,
    hasher: FixedState,
}

/// Keys to go around, ascending.
#[derive(Default)]
struct Detours {
    /// Those of this memtable, and those of the ones before it.
    shown: Arc<[Bytes]>,
    /// Those of this memtable alone.
    new: Vec<Bytes>,
}

impl Heat {
    /// Counts for the memtable of this number.
    pub(crate) fn new(memtable: u64) -> Self {
        Self::with_seed(memtable, RandomState::default().hash_one(memtable))
    }

    /// The same, counting alike in every run with this seed.
    fn with_seed(memtable: u64, seed: u64) -> Self {
        Self {
            slots: (0..SLOTS).map(|_| AtomicU32::new(0)).collect(),
            writes: AtomicU64::new(0),
            memtable: AtomicU64::new(memtable),
            is_hot: AtomicBool::new(false),
            steps: AtomicU64::new(0),
            detours: Mutex::default(),
            has_detours: AtomicBool::new(false),
            hasher: FixedState::with_seed(seed),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a part of a hash is cut off")]
    fn slot(&self, key: &[u8]) -> Option<&AtomicU32> {
        self.slots.get(self.hasher.hash_one(key) as usize % SLOTS)
    }

    /// Notes a write. One thread at a time does.
    pub(crate) fn write(&self, key: &Bytes) {
        let Some(slot) = self.slot(key) else { return };
        let count = slot.load(Relaxed).saturating_add(1);
        slot.store(count, Relaxed);
        self.writes.store(self.writes.load(Relaxed) + 1, Relaxed);
        if count == HOT {
            self.is_hot.store(true, Relaxed);
        }
        // Those that share a slot with a hot key seldom come upon a multiple.
        if count.is_multiple_of(DETOUR) && self.beyond_share(count) >= u64::from(DETOUR / 2) {
            self.add_detour(key);
        }
    }

    /// Whether any key may have been overwritten often.
    pub(crate) fn is_hot(&self) -> bool {
        self.is_hot.load(Relaxed) || self.has_detours.load(Relaxed)
    }

    /// The keys that ranges should go around, ascending.
    pub(crate) fn detours(&self) -> Arc<[Bytes]> {
        self.lock().shown.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Detours> {
        self.detours.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add_detour(&self, key: &Bytes) {
        let detours = &mut *self.lock();
        if let Err(at) = detours.new.binary_search(key)
            && detours.new.len() < DETOURS_MAX
        {
            // A copy, as the key may be a part of something large.
            let key = Bytes::copy_from_slice(key);
            detours.new.insert(at, key.clone());
            if detours.shown.len() >= SHOWN_MAX {
                detours.shown = detours.new.clone().into();
            }
            if let Err(at) = detours.shown.binary_search(&key) {
                let (low, high) = detours.shown.split_at(at);
                detours.shown = [low, &[key], high].concat().into();
                self.has_detours.store(true, Relaxed);
            }
        }
    }

    /// About how many overwritten records a range that met `key` stepped over
    /// there.
    pub(crate) fn steps(&self, key: &[u8]) -> u64 {
        let count = self.slot(key).map_or(0, |slot| slot.load(Relaxed));
        if count < HOT { 0 } else { self.beyond_share(count) }
    }

    /// What is left of a count without an even share of all writes.
    fn beyond_share(&self, count: u32) -> u64 {
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

    /// Takes note of the memtable that is written to now, and of how many others
    /// wait to be written out. One thread at a time does.
    pub(crate) fn see_memtables(&self, memtable: u64, waiting: usize) {
        if self.memtable.swap(memtable, Relaxed) != memtable {
            for slot in &self.slots {
                slot.store(0, Relaxed);
            }
            self.writes.store(0, Relaxed);
            self.is_hot.store(false, Relaxed);
            self.steps.store(0, Relaxed);
            self.lock().new.clear();
        }
        if waiting == 0 && self.has_detours.load(Relaxed) {
            let detours = &mut *self.lock();
            if detours.shown.len() > detours.new.len() {
                detours.shown = detours.new.clone().into();
                self.has_detours.store(!detours.new.is_empty(), Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use vellum_core::{Connection, ConnectionExt, Durability, Options, ReadTxn, Result, WriteTxn};

    use super::*;

    #[test]
    fn ranges_over_too_many_hot_keys_have_the_next_commit_rotate_the_memtable() -> Result<()> {
        let dir = tempfile::tempdir().map_err(crate::error::io("making a directory"))?;
        let options = Options::new().durability(Durability::Buffered);
        let db = crate::Builder::new(dir.path().join("db")).options(options).open()?;
        // Each is short of a detour.
        let (keys, each) = (400u32, u64::from(DETOUR) - 28);
        let put_all =
            || db.transact(|txn| (0..keys).try_for_each(|i| txn.put(&i.to_be_bytes(), "value")));
        for _ in 0..each {
            put_all()?;
        }
        let keyspaces = db.store().keyspaces()?;
        let in_memtable =
            || fjall::AbstractTree::active_memtable(&keyspaces.head.tree).len() as u64;
        assert_eq!(in_memtable(), each * u64::from(keys));
        for _ in 0..3 {
            assert_eq!(db.begin_read()?.range(..).count(), keys as usize);
        }
        assert_eq!(in_memtable(), each * u64::from(keys), "a range changes nothing");
        put_all()?;
        assert_eq!(in_memtable(), u64::from(keys));
        assert_eq!(db.begin_read()?.range(..).count(), keys as usize);
        Ok(())
    }

    fn key(i: u32) -> Bytes {
        Bytes::copy_from_slice(&i.to_be_bytes())
    }

    #[test]
    fn memtable_is_due_once_ranges_lost_more_than_it_costs_to_write_it() {
        let heat = Heat::with_seed(1, 5);
        for i in 0..100_000 {
            heat.write(&key(i));
        }
        assert!(!heat.is_hot(), "spread writes are not hot");
        let hot = Bytes::from_static(b"hot");
        for _ in 0..50_000 {
            heat.write(&hot);
        }
        assert!(heat.is_hot() && !heat.is_due(), "nobody suffers yet");
        assert_eq!(heat.steps(&key(7)), 0);
        let mut ranges = 0;
        while !heat.is_due() {
            heat.lose(heat.steps(&hot));
            ranges += 1;
        }
        assert!((3..6).contains(&ranges), "{ranges}");
        heat.see_memtables(2, 0);
        assert!(!heat.is_hot() && !heat.is_due() && heat.steps(&hot) == 0);
    }

    #[test]
    fn detours_are_the_hot_keys_until_their_memtable_is_written_out() {
        let heat = Heat::with_seed(1, 5);
        let hot = [b"a", b"c", b"b"].map(|key| Bytes::from_static(key));
        for i in 0..30_000u32 {
            heat.write(&key(i));
            hot.iter().take(if i < 20_000 { 2 } else { 3 }).for_each(|key| heat.write(key));
        }
        assert_eq!(*heat.detours(), ["a", "b", "c"]);
        heat.see_memtables(2, 1);
        assert!(heat.is_hot(), "the old one is still read");
        (0..DETOUR).for_each(|_| heat.write(&hot[2]));
        assert_eq!(*heat.detours(), ["a", "b", "c"]);
        heat.see_memtables(2, 0);
        assert_eq!(*heat.detours(), ["b"]);
        heat.see_memtables(3, 0);
        assert!(heat.detours().is_empty() && !heat.is_hot());
    }

    #[test]
    fn list_of_detours_ends_at_its_limit() {
        let heat = Heat::with_seed(1, 5);
        for _ in 0..2 * DETOUR {
            (0..).take(2 * DETOURS_MAX).for_each(|i| heat.write(&key(i)));
        }
        assert_eq!(heat.detours().len(), DETOURS_MAX);
        // Nor does it grow where memtables always wait.
        for memtable in 2..8 {
            heat.see_memtables(memtable, 1);
            let first = u32::try_from(memtable).unwrap_or(0) * 1000;
            for _ in 0..2 * DETOUR {
                (first..).take(DETOURS_MAX).for_each(|i| heat.write(&key(i)));
            }
            let shown = heat.detours();
            assert!(shown.len() <= SHOWN_MAX && shown.is_sorted(), "{}", shown.len());
            // Of two that share a slot, one may never come upon a multiple.
            let new: Vec<_> = (first..).take(DETOURS_MAX).map(key).collect();
            let slot = |key: &Bytes| heat.slot(key).map(std::ptr::from_ref);
            let is_alone = |key: &&Bytes| new.iter().filter(|k| slot(k) == slot(key)).count() == 1;
            let alone: Vec<_> = new.iter().filter(is_alone).collect();
            assert!(alone.len() > DETOURS_MAX / 2, "{} have a slot alone", alone.len());
            assert!(alone.iter().all(|key| shown.contains(key)));
        }
    }
}
