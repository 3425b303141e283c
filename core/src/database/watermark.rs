//! The open snapshots and the open write transactions.
//!
//! A transaction registers the timestamp of its snapshot in a slot of its
//! thread's shard, lines that other threads do not write: it *announces* the
//! timestamp there, and then *looks* at the head once more.
//!
//! ```text
//!  who begins      take a snapshot at t ─► slot := t ─► head ≤ t ? done : take again
//!  who prunes      h := head ─► pins ─► walk the slots      keeps what lives at or above h
//! ```
//!
//! The announcement, the look, the load of `h` and the walk stand in one
//! sequentially consistent order. A walk that misses the announcement comes
//! before it, so that the look comes after the load of `h` and finds the head
//! at `h` or above: then `t ≥ h`, and nothing that the snapshot sees is pruned
//! for want of it; or it takes again. (It is how hazard pointers are set: Michael
//! 2004.) To take again costs who begins a snapshot, and means that somebody
//! committed, so that somebody always gets on.
//!
//! What is read at another state than the head is kept by who looks it up, in a
//! critical section of the version table, and needs no second look.
//!
//! A shard has few slots. Whoever finds them taken, by transactions that stay
//! open or that other threads began there, joins the *crowd*, in a lock: the
//! same protocol, with the count of the crowd for a slot.
//!
//! Write transactions are counted as well, exactly and at one instant, before
//! they take their snapshot. Who finds none, after the head was moved to `h`,
//! knows by the same argument that all to come read at `h` or above.

use std::collections::VecDeque;

use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Mutex, in_one_order, is_broken, thread_number, threads_expected};
use crate::{Result, Timestamp};

/// Slots of each kind in a shard: they fit in one line.
#[cfg(not(loom))]
const SLOTS: usize = 7;
/// So few that a model meets the crowd.
#[cfg(loom)]
const SLOTS: usize = 1;

/// A slot that holds no timestamp: no snapshot is taken there.
const FREE: u64 = Timestamp::MAX.get();

/// The timestamps of open transactions, sharded by thread.
#[derive(Debug)]
pub(super) struct Watermark {
    first: Shard,
    /// With the first, as many as a power of two.
    others: Box<[Shard]>,
    writers: Writers,
}

/// Write transactions that are open, exactly and at one instant.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Writers(AtomicUsize);

/// On cache lines of its own (in pairs, for the prefetcher of x86).
#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    readers: [AtomicU64; SLOTS],
    writers: [AtomicU64; SLOTS],
    /// How many are in the crowd, to look at without its lock.
    crowded: AtomicUsize,
    crowd: Mutex<Crowd>,
}

/// Those that found no free slot.
#[derive(Debug, Default)]
struct Crowd {
    readers: Counts,
    writers: Counts,
}

/// Where a transaction is registered: what [`Watermark::release`] needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    ts: Timestamp,
    shard: u16,
    /// Its place in the shard; [`SLOTS`] is the crowd.
    place: u8,
    writer: bool,
}

/// The place of who is in the crowd.
#[expect(clippy::cast_possible_truncation, reason = "there are few")]
const CROWD: u8 = SLOTS as u8;

impl Slot {
    #[inline]
    pub(super) fn is_writer(&self) -> bool {
        self.writer
    }
}

impl Shard {
    fn new() -> Self {
        let free = || std::array::from_fn(|_| AtomicU64::new(FREE));
        let (crowded, crowd) = (AtomicUsize::new(0), Mutex::default());
        Self { readers: free(), writers: free(), crowded, crowd }
    }

    #[inline]
    fn slots(&self, writer: bool) -> &[AtomicU64; SLOTS] {
        if writer { &self.writers } else { &self.readers }
    }

    /// Announces a timestamp in a free slot, or else in the crowd.
    #[inline]
    fn announce(&self, writer: bool, ts: Timestamp) -> u8 {
        for (place, slot) in (0..).zip(self.slots(writer)) {
            let is_free = slot.load(Ordering::Relaxed) == FREE;
            let (order, failed) = (Ordering::SeqCst, Ordering::Relaxed);
            if is_free && slot.compare_exchange(FREE, ts.get(), order, failed).is_ok() {
                return place;
            }
        }
        self.join(writer, ts)
    }

    #[cold]
    fn join(&self, writer: bool, ts: Timestamp) -> u8 {
        let mut crowd = self.crowd.lock();
        crowd.counts(writer).add(ts);
        self.crowded.fetch_add(1, Ordering::SeqCst);
        CROWD
    }

    /// Announces another timestamp in the same place.
    fn announce_again(&self, slot: &Slot, ts: Timestamp) {
        match self.slots(slot.writer).get(usize::from(slot.place)) {
            Some(place) => place.store(ts.get(), Ordering::SeqCst),
            None => {
                let mut crowd = self.crowd.lock();
                crowd.counts(slot.writer).remove(slot.ts);
                crowd.counts(slot.writer).add(ts);
            }
        }
    }

    #[inline]
    fn release(&self, slot: &Slot) {
        match self.slots(slot.writer).get(usize::from(slot.place)) {
            Some(place) => place.store(FREE, Ordering::Release),
            None => self.leave(slot),
        }
    }

    #[cold]
    fn leave(&self, slot: &Slot) {
        let mut crowd = self.crowd.lock();
        crowd.counts(slot.writer).remove(slot.ts);
        self.crowded.fetch_sub(1, Ordering::SeqCst);
    }

    /// How many transactions are registered here.
    fn len(&self) -> usize {
        let slots = self.readers.iter().chain(&self.writers);
        let taken = slots.filter(|slot| slot.load(Ordering::SeqCst) != FREE).count();
        taken + self.crowded.load(Ordering::SeqCst)
    }

    /// Gives every timestamp of one kind, some twice.
    fn each(&self, writer: bool, mut f: impl FnMut(Timestamp)) {
        for slot in self.slots(writer) {
            let ts = slot.load(Ordering::SeqCst);
            if ts != FREE {
                f(Timestamp::new(ts));
            }
        }
        let passes_by = is_broken("a walk passes the crowd by");
        if self.crowded.load(Ordering::SeqCst) > 0 && !passes_by {
            let mut crowd = self.crowd.lock();
            crowd.counts(writer).timestamps().for_each(f);
        }
    }
}

impl Crowd {
    fn counts(&mut self, writer: bool) -> &mut Counts {
        if writer { &mut self.writers } else { &mut self.readers }
    }
}

impl Watermark {
    pub(super) fn new() -> Self {
        let others = (1..threads_expected()).map(|_| Shard::new()).collect();
        Self { first: Shard::new(), others, writers: Writers::default() }
    }

    /// Takes a snapshot of the head and registers it, so that it is in every
    /// walk that follows a look at a later head. `head` is what those look at.
    #[inline]
    pub(super) fn register<T>(
        &self,
        writer: bool,
        take: impl FnMut() -> Result<T>,
        ts: impl Fn(&T) -> Timestamp,
        head: impl Fn() -> Timestamp,
    ) -> Result<(T, Slot)> {
        let count_late = is_broken("a write transaction counts as open only after its snapshot");
        if writer && !count_late {
            self.writers.0.fetch_add(1, Ordering::SeqCst);
        }
        let registered = self.register_head(writer, take, ts, head);
        if writer && count_late {
            self.writers.0.fetch_add(1, Ordering::SeqCst);
        }
        if writer && registered.is_err() {
            self.writers.0.fetch_sub(1, Ordering::SeqCst);
        }
        registered
    }

    /// Registers, as a reader, what the caller keeps meanwhile.
    pub(super) fn register_kept(&self, ts: Timestamp) -> Slot {
        let (number, shard) = self.own_shard();
        Slot { ts, shard: number, place: shard.announce(false, ts), writer: false }
    }

    #[inline]
    fn register_head<T>(
        &self,
        writer: bool,
        mut take: impl FnMut() -> Result<T>,
        ts: impl Fn(&T) -> Timestamp,
        head: impl Fn() -> Timestamp,
    ) -> Result<(T, Slot)> {
        let (number, shard) = self.own_shard();
        let mut snapshot = take()?;
        let at = ts(&snapshot);
        let place = shard.announce(writer, at);
        let mut slot = Slot { ts: at, shard: number, place, writer };
        while !is_broken("nobody looks at the head after a snapshot was registered") {
            in_one_order();
            let newest = head();
            if newest <= slot.ts {
                break;
            }
            snapshot = match take() {
                Ok(taken) => taken,
                Err(e) => {
                    shard.release(&slot);
                    return Err(e);
                }
            };
            let at = ts(&snapshot);
            shard.announce_again(&slot, at);
            slot.ts = at;
            // A store that does not show what it published breaks its
            // contract; to ask it again and again would not mend that.
            if at < newest {
                break;
            }
        }
        Ok((snapshot, slot))
    }

    #[inline]
    pub(super) fn release(&self, slot: &Slot) {
        self.shard(usize::from(slot.shard)).release(slot);
        if slot.writer {
            self.writers.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Write transactions that are open, those that are about to take their
    /// snapshot included. The ones that are not counted read at the head
    /// that stands now or above.
    #[inline]
    pub(super) fn open_writers(&self) -> usize {
        in_one_order();
        self.writers.0.load(Ordering::SeqCst)
    }

    /// The timestamps of open snapshots, in no order.
    pub(super) fn snapshots(&self) -> Vec<Timestamp> {
        in_one_order();
        let mut all = Vec::new();
        for shard in self.shards() {
            shard.each(false, |ts| all.push(ts));
            shard.each(true, |ts| all.push(ts));
        }
        all
    }

    /// How many snapshots are open, and the oldest one's timestamp.
    pub(super) fn summary(&self) -> (usize, Option<Timestamp>) {
        let count = self.shards().map(Shard::len).sum();
        (count, self.snapshots().into_iter().min())
    }

    /// The read timestamp of the oldest open write transaction.
    pub(super) fn oldest_writer(&self) -> Option<Timestamp> {
        in_one_order();
        let mut oldest = None;
        for shard in self.shards() {
            shard.each(true, |ts| oldest = Some(oldest.map_or(ts, |o: Timestamp| o.min(ts))));
        }
        oldest
    }

    fn shards(&self) -> impl Iterator<Item = &Shard> {
        [&self.first].into_iter().chain(&self.others)
    }

    /// The calling thread's shard, and its number.
    #[inline]
    fn own_shard(&self) -> (u16, &Shard) {
        let number = thread_number() & self.others.len();
        // There are a few hundred at most.
        (u16::try_from(number).unwrap_or(0), self.shard(number))
    }

    #[inline]
    fn shard(&self, i: usize) -> &Shard {
        i.checked_sub(1).and_then(|i| self.others.get(i)).unwrap_or(&self.first)
    }
}

/// Counts by timestamp. New ones come at or near the back, so a sorted queue
/// serves; entries that fell to zero are dropped from both ends at once, and
/// from the middle when they outnumber the live ones.
#[derive(Debug, Default)]
struct Counts {
    entries: VecDeque<(Timestamp, usize)>,
    /// Entries that are not zero.
    live: usize,
}

impl Counts {
    fn add(&mut self, ts: Timestamp) {
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
        let at = self.entries.binary_search_by_key(&ts, |&(t, _)| t);
        let Some((_, n)) = at.ok().and_then(|i| self.entries.get_mut(i)) else { return };
        *n = n.saturating_sub(1);
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

    fn timestamps(&self) -> impl Iterator<Item = Timestamp> + '_ {
        self.entries.iter().filter(|&&(_, n)| n > 0).map(|&(ts, _)| ts)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

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
            assert_eq!(counts.live, model.len());
            assert!(counts.entries.len() <= 2 * model.len() + 17);
        }
    }

    #[test]
    fn every_thread_has_a_shard_that_there_is() {
        let marks = Watermark::new();
        for _ in 0..4 * marks.shards().count() {
            let own = std::thread::scope(|s| s.spawn(|| marks.own_shard().0).join());
            assert!(own.is_ok_and(|own| usize::from(own) < marks.shards().count()));
        }
    }

    fn register(marks: &Watermark, writer: bool, at: u64) -> Result<Slot> {
        let take = || Ok(Timestamp::new(at));
        Ok(marks.register(writer, take, |ts| *ts, || Timestamp::ZERO)?.1)
    }

    #[test]
    fn registered_snapshot_shows_until_released() -> Result<()> {
        let marks = Watermark::new();
        let (read, write) = (register(&marks, false, 3)?, register(&marks, true, 5)?);
        assert_eq!(marks.summary(), (2, Some(Timestamp::new(3))));
        assert_eq!(marks.oldest_writer(), Some(Timestamp::new(5)));
        assert_eq!(marks.open_writers(), 1);
        marks.release(&read);
        assert_eq!(marks.snapshots(), [Timestamp::new(5)]);
        marks.release(&write);
        assert_eq!((marks.summary(), marks.open_writers()), ((0, None), 0));
        Ok(())
    }

    #[test]
    fn snapshots_beyond_the_slots_are_in_the_crowd_and_show_as_well() -> Result<()> {
        let marks = Watermark::new();
        let mut open: Vec<(u64, Slot)> = Vec::new();
        for at in 1..=40 {
            open.push((at, register(&marks, at % 2 == 0, at)?));
        }
        while !open.is_empty() {
            let shown: BTreeSet<u64> = marks.snapshots().iter().map(|ts| ts.get()).collect();
            assert_eq!(shown, open.iter().map(|(at, _)| *at).collect());
            let writers = open.iter().filter(|(_, slot)| slot.is_writer());
            let oldest = writers.clone().map(|(at, _)| Timestamp::new(*at)).min();
            assert_eq!((marks.oldest_writer(), marks.open_writers()), (oldest, writers.count()));
            let (_, slot) = open.swap_remove(open.len() * 7 / 13);
            marks.release(&slot);
        }
        assert!(marks.snapshots().is_empty() && marks.oldest_writer().is_none());
        Ok(())
    }

    #[test]
    fn snapshot_that_was_overtaken_is_taken_again_unless_it_is_kept() -> Result<()> {
        for crowd in [0, 2 * SLOTS] {
            let marks = Watermark::new();
            let mut others = Vec::new();
            for _ in 0..crowd {
                others.push(register(&marks, false, 100)?);
            }
            let mut heads = [1, 3].into_iter().map(Timestamp::new);
            let take = || Ok(heads.next().unwrap_or(Timestamp::ZERO));
            let (ts, slot) = marks.register(false, take, |ts| *ts, || Timestamp::new(3))?;
            assert_eq!((ts.get(), marks.summary().1), (3, Some(Timestamp::new(3))));
            marks.release(&slot);
            let slot = marks.register_kept(Timestamp::new(1));
            assert_eq!(marks.summary().1, Some(Timestamp::new(1)));
            marks.release(&slot);
            let stale = || Ok(Timestamp::new(2));
            let (ts, slot) = marks.register(false, stale, |ts| *ts, || Timestamp::new(3))?;
            assert_eq!(ts.get(), 2, "of a store that does not show its head");
            marks.release(&slot);
            let mut taken = Some(Timestamp::new(1));
            let take = || taken.take().ok_or_else(crate::Error::closed);
            assert!(marks.register(true, take, |ts| *ts, || Timestamp::new(3)).is_err());
            assert_eq!((marks.summary().0, marks.open_writers()), (crowd, 0));
        }
        Ok(())
    }
}
