//! The open snapshots and the open write transactions.
//!
//! Beginning a transaction registers its timestamp in the shard of the calling
//! thread, under that shard's lock and no other; taking the snapshot is part
//! of the same critical section. A pruner that loads the head, then the pins,
//! then walks the shards therefore misses no snapshot: one that it does not
//! find in a shard was taken after it left that shard, at or above the head it
//! had loaded before.

use std::collections::VecDeque;

use crate::sync::atomic::{AtomicUsize, Ordering, fence};
use crate::sync::{Mutex, is_broken};
use crate::{Result, Timestamp};

/// More shards than cores take turns to begin; each costs a lock to walk.
#[cfg(not(loom))]
const SHARDS: usize = 16;
#[cfg(loom)]
const SHARDS: usize = 2;

/// Counts of open transactions by timestamp, sharded by thread.
#[derive(Debug)]
pub(super) struct Watermark {
    shards: [Shard; SHARDS],
    /// Write transactions that are open, exactly and at one instant.
    writers: AtomicUsize,
}

/// On a cache line of its own (two, for the prefetcher of x86).
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    /// Of all transactions.
    snapshots: Counts,
    /// Of write transactions alone.
    writers: Counts,
}

/// Where a transaction is registered: what [`Watermark::release`] needs.
#[derive(Debug)]
pub(super) struct Slot {
    shard: usize,
    ts: Timestamp,
    writer: bool,
}

impl Slot {
    pub(super) fn is_writer(&self) -> bool {
        self.writer
    }
}

impl Watermark {
    pub(super) fn new() -> Self {
        Self { shards: Default::default(), writers: AtomicUsize::new(0) }
    }

    /// Takes a snapshot and registers it, in one critical section of the
    /// shard. `take` does no I/O.
    pub(super) fn register<T>(
        &self,
        writer: bool,
        take: impl FnOnce() -> Result<T>,
        ts: impl FnOnce(&T) -> Timestamp,
    ) -> Result<(T, Slot)> {
        let shard = thread_shard();
        let count_late = is_broken("a write transaction counts as open only after its snapshot");
        if writer && !count_late {
            self.writers.fetch_add(1, Ordering::SeqCst);
            // Pairs with the fence after publishing: this transaction is
            // counted, or has seen what was published.
            fence(Ordering::SeqCst);
        }
        let (mut open, taken) =
            if is_broken("the snapshot is taken before the watermark's shard is locked") {
                let taken = take();
                (self.shard(shard).open.lock(), taken)
            } else {
                let open = self.shard(shard).open.lock();
                (open, take())
            };
        if writer && count_late {
            self.writers.fetch_add(1, Ordering::SeqCst);
        }
        match taken {
            Ok(snapshot) => {
                let ts = ts(&snapshot);
                open.snapshots.add(ts);
                if writer {
                    open.writers.add(ts);
                }
                Ok((snapshot, Slot { shard, ts, writer }))
            }
            Err(e) => {
                drop(open);
                if writer {
                    self.writers.fetch_sub(1, Ordering::SeqCst);
                }
                Err(e)
            }
        }
    }

    pub(super) fn release(&self, slot: &Slot) {
        let mut open = self.shard(slot.shard).open.lock();
        open.snapshots.remove(slot.ts);
        if slot.writer {
            open.writers.remove(slot.ts);
            drop(open);
            self.writers.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Write transactions that are open, those that are about to take their
    /// snapshot included. After publishing and a fence, the ones that are not
    /// counted read at what was published or above.
    pub(super) fn open_writers(&self) -> usize {
        self.writers.load(Ordering::SeqCst)
    }

    /// The timestamps of open snapshots, in no order.
    pub(super) fn snapshots(&self) -> Vec<Timestamp> {
        let mut all = Vec::new();
        for shard in &self.shards {
            all.extend(shard.open.lock().snapshots.timestamps());
        }
        all
    }

    /// How many snapshots are open, and the oldest one's timestamp.
    pub(super) fn summary(&self) -> (usize, Option<Timestamp>) {
        let mut count = 0;
        let mut oldest: Option<Timestamp> = None;
        for shard in &self.shards {
            let open = shard.open.lock();
            count += open.snapshots.total;
            oldest = oldest.into_iter().chain(open.snapshots.oldest()).min();
        }
        (count, oldest)
    }

    /// The read timestamp of the oldest open write transaction.
    pub(super) fn oldest_writer(&self) -> Option<Timestamp> {
        self.shards.iter().filter_map(|shard| shard.open.lock().writers.oldest()).min()
    }

    fn shard(&self, i: usize) -> &Shard {
        let [first, ..] = &self.shards;
        self.shards.get(i).unwrap_or(first)
    }
}

/// The calling thread's shard: threads take turns.
#[cfg(loom)]
fn thread_shard() -> usize {
    use std::sync::atomic::AtomicUsize;
    loom::lazy_static!(static ref NEXT: AtomicUsize = AtomicUsize::new(0););
    loom::thread_local!(static SHARD: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS);
    SHARD.with(|shard| *shard)
}

/// The calling thread's shard: threads take turns.
#[cfg(not(loom))]
fn thread_shard() -> usize {
    use std::sync::atomic::AtomicUsize;
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static SHARD: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS);
    SHARD.try_with(|shard| *shard).unwrap_or(0)
}

/// Counts by timestamp. New ones come at or near the back, so a sorted queue
/// serves; entries that fell to zero are dropped from both ends at once, and
/// from the middle when they outnumber the live ones.
#[derive(Debug, Default)]
struct Counts {
    entries: VecDeque<(Timestamp, usize)>,
    /// Entries that are not zero.
    live: usize,
    /// The sum of all counts.
    total: usize,
}

impl Counts {
    fn add(&mut self, ts: Timestamp) {
        self.total += 1;
        match self.entries.back_mut() {
            Some((newest, n)) if *newest == ts => {
                self.live += usize::from(*n == 0);
                *n += 1;
            }
            Some((newest, _)) if *newest > ts => self.add_behind(ts),
            _ => {
                self.live += 1;
                self.entries.push_back((ts, 1));
            }
        }
    }

    fn add_behind(&mut self, ts: Timestamp) {
        match self.entries.binary_search_by_key(&ts, |&(t, _)| t) {
            Ok(i) => {
                if let Some((_, n)) = self.entries.get_mut(i) {
                    self.live += usize::from(*n == 0);
                    *n += 1;
                }
            }
            Err(i) => {
                self.live += 1;
                self.entries.insert(i, (ts, 1));
            }
        }
    }

    fn remove(&mut self, ts: Timestamp) {
        let Ok(i) = self.entries.binary_search_by_key(&ts, |&(t, _)| t) else { return };
        let Some((_, n)) = self.entries.get_mut(i) else { return };
        *n = n.saturating_sub(1);
        self.total = self.total.saturating_sub(1);
        if *n > 0 {
            return;
        }
        self.live = self.live.saturating_sub(1);
        while self.entries.back().is_some_and(|&(_, n)| n == 0) {
            self.entries.pop_back();
        }
        while self.entries.front().is_some_and(|&(_, n)| n == 0) {
            self.entries.pop_front();
        }
        if self.entries.len() > 2 * self.live + 16 {
            self.entries.retain(|&(_, n)| n > 0);
        }
    }

    fn oldest(&self) -> Option<Timestamp> {
        self.entries.front().map(|&(ts, _)| ts)
    }

    fn timestamps(&self) -> impl Iterator<Item = Timestamp> + '_ {
        self.entries.iter().filter(|&&(_, n)| n > 0).map(|&(ts, _)| ts)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn counts_match_a_plain_map_over_random_adds_and_removes() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move |n: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(seed >> 33).unwrap_or(0) % n
        };
        let (mut counts, mut model) = (Counts::default(), BTreeMap::<u64, usize>::new());
        for step in 0..if cfg!(miri) { 200 } else { 20_000 } {
            let near_head = (step / 8 + random(8)) as u64;
            if random(2) == 0 {
                counts.add(Timestamp::new(near_head));
                *model.entry(near_head).or_default() += 1;
            } else if let Some(&ts) = model.keys().nth(random(model.len().max(1))) {
                counts.remove(Timestamp::new(ts));
                let n = model.get_mut(&ts).map(|n| {
                    *n -= 1;
                    *n
                });
                if n == Some(0) {
                    model.remove(&ts);
                }
            }
            let expected: Vec<_> = model.keys().map(|&ts| Timestamp::new(ts)).collect();
            assert_eq!(counts.timestamps().collect::<Vec<_>>(), expected);
            assert_eq!(counts.oldest(), expected.first().copied());
            assert_eq!(counts.total, model.values().sum::<usize>());
            assert!(counts.entries.len() <= 2 * model.len() + 17);
        }
    }

    #[test]
    fn registered_snapshot_shows_until_released() -> Result<()> {
        let marks = Watermark::new();
        let read = marks.register(false, || Ok(Timestamp::new(3)), |ts| *ts)?.1;
        let write = marks.register(true, || Ok(Timestamp::new(5)), |ts| *ts)?.1;
        assert_eq!(marks.summary(), (2, Some(Timestamp::new(3))));
        assert_eq!(marks.oldest_writer(), Some(Timestamp::new(5)));
        assert_eq!(marks.open_writers(), 1);
        marks.release(&read);
        assert_eq!(marks.snapshots(), [Timestamp::new(5)]);
        marks.release(&write);
        assert_eq!((marks.summary(), marks.open_writers()), ((0, None), 0));
        Ok(())
    }
}
