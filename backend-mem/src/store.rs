//! [`MemStore`]: the records, the history and the catalog, in memory.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use vellum_core::{
    BoxIter, CommittedWrites, Error, ErrorKind, Group, KeyRange, PruneReport, Recovered, Result,
    Retention, Snapshot, Spread, Store, StoreStats, Timestamp, VerifyReport,
};

use crate::chain::{Chain, Entry};
use crate::history::{Dropped, History};
use crate::index::{Index, Swept};
use crate::leaf::Tally;
use crate::pack::pack;
use crate::queued::Queued;
use crate::snapshot::MemSnapshot;
use crate::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use crate::sync::{Mutex, is_broken};
use crate::verify;

/// The backend's name, in errors and statistics.
const NAME: &str = "mem";
/// A multi-version ordered store in memory. What it holds ends with it.
///
/// Nothing is durable: every [`Durability`](vellum_core::Durability) is taken
/// as it is given and means nothing, and a [`sync`](Store::sync) does nothing.
///
/// Values are handed out as [`Bytes`], without a copy. Those of up to 247 bytes
/// are copied once, as a transaction writes them, to stand beside their reference count; longer
/// ones are kept as the `Bytes` they came in, so that a slice of a far larger
/// buffer keeps all of that in memory: copy it first (`Bytes::copy_from_slice`)
/// where that matters. A key that was handed out by a range keeps a buffer of at
/// most a few KiB.
#[derive(Default)]
pub struct MemStore {
    index: Spread<Index>,
    front: Front,
    /// Held by whoever changes more of the index than the records of one leaf, and
    /// for a look at the rest.
    writer: Queued<Writer>,
    /// Held during a prune, so that each sees all the others' work done.
    prune: Mutex<()>,
    /// What commits added and removed.
    counts: Counts,
    /// What prunes removed.
    pruned: Counts,
}

/// What every snapshot looks at, on a line that a commit writes only to publish
/// (two, for the prefetcher of x86).
#[derive(Default)]
#[repr(align(128))]
struct Front {
    published: AtomicU64,
    is_closed: AtomicBool,
}

#[derive(Default)]
struct Writer {
    history: History,
    catalog: BTreeMap<Bytes, Bytes>,
    last_ts: Timestamp,
}

/// Changed by one thread at a time, read by anyone.
#[derive(Default)]
struct Counts {
    keys: AtomicI64,
    records: AtomicI64,
    bytes: AtomicI64,
}

impl Counts {
    fn add(&self, tally: &Tally) {
        // One thread at a time: no need to lock the line.
        let add = |count: &AtomicI64, n| {
            count.store(count.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
        };
        add(&self.keys, tally.keys);
        add(&self.records, tally.records);
        add(&self.bytes, tally.bytes);
    }
}

impl MemStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing but the head, as if no snapshot were open: a mistake of models.
    fn only_head(&self) -> Retention {
        Retention::new(Vec::new(), Vec::new(), self.writer.lock().last_ts)
    }

    /// One of the counts: a little off, beside a commit or a prune.
    fn count(&self, which: impl Fn(&Counts) -> &AtomicI64) -> u64 {
        let [added, pruned] =
            [&self.counts, &self.pruned].map(|c| which(c).load(Ordering::Relaxed));
        u64::try_from(added.wrapping_add(pruned)).unwrap_or_default()
    }

    /// Sweeps the next leaf from the fence `from` on, and counts what it removed.
    fn sweep_next(&self, from: &[u8], keep: &Retention, removed: &mut (u64, u64)) -> Option<Swept> {
        let mut tally = Tally::default();
        let swept = self.index.sweep_next(from, keep, &mut tally);
        let together = is_broken("a prune counts where commits do");
        (if together { &self.counts } else { &self.pruned }).add(&tally);
        removed.0 += tally.removed.0;
        removed.1 += tally.removed.1;
        swept
    }

    fn check_open(&self) -> Result<()> {
        if self.front.is_closed.load(Ordering::Acquire) {
            let message = "the store in memory was closed";
            return Err(Error::new(ErrorKind::Closed, message).in_backend(NAME));
        }
        Ok(())
    }
}

impl Store for MemStore {
    type Snapshot = MemSnapshot;

    fn name(&self) -> &'static str {
        NAME
    }

    fn recover(&self) -> Result<Recovered> {
        self.check_open()?;
        let writer = self.writer.lock();
        let catalog = writer.catalog.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        Ok(Recovered { last_ts: writer.last_ts, catalog })
    }

    fn snapshot(&self) -> Result<MemSnapshot> {
        self.snapshot_at(Timestamp::new(self.front.published.load(Ordering::Acquire)))
    }

    fn snapshot_at(&self, ts: Timestamp) -> Result<MemSnapshot> {
        self.check_open()?;
        Ok(MemSnapshot::new(self.index.held(), ts))
    }

    fn pack(&self, value: Bytes) -> Bytes {
        pack(value)
    }

    fn apply(&self, group: Group<'_>) -> Result<()> {
        self.check_open()?;
        if is_broken("a group shows before it is published") {
            self.publish(group.commits.last().map_or(Timestamp::ZERO, |commit| commit.ts));
        }
        let head = is_broken("a commit trims by the head alone").then(|| self.only_head());
        let keep = head.as_ref().unwrap_or(group.retention);
        let mut tally = Tally::default();
        let mut writer = self.writer.lock();
        let Writer { history, catalog, last_ts } = &mut *writer;
        for commit in group.commits {
            if commit.logged {
                history.log(&commit);
            }
            let ts = commit.ts;
            let mut interval = history.interval(commit.preserve);
            for write in commit.writes {
                let entry = Entry { ts, value: write.value };
                let superseded = self.index.put(&write.key, entry, keep, &mut tally);
                if let Some(interval) = &mut interval {
                    interval.note(&write.key, superseded);
                }
            }
            for write in commit.catalog {
                match write.value {
                    Some(value) => catalog.insert(write.key, value),
                    None => catalog.remove(&write.key),
                };
            }
            *last_ts = ts;
        }
        self.counts.add(&tally);
        Ok(())
    }

    fn publish(&self, ts: Timestamp) {
        self.front.published.store(ts.get(), Ordering::Release);
    }

    fn prune(&self, keep: &Retention) -> Result<PruneReport> {
        self.check_open()?;
        let _one_at_a_time = (!is_broken("two prunes run at once")).then(|| self.prune.lock());
        let head = is_broken("a prune sweeps by the head alone").then(|| self.only_head());
        let keep = head.as_ref().unwrap_or(keep);
        let early = is_broken("a prune goes by the last commit before it began")
            .then(|| self.writer.lock().last_ts);
        let (mut removed, mut from) = ((0, 0), Some(Bytes::new()));
        // Beside the commits: only who wants the leaf that is swept waits for it.
        while let Some(swept) = from.and_then(|key| self.sweep_next(&key, keep, &mut removed)) {
            if let Some(fence) = swept.shrunk.filter(|fence| self.index.fits_below(fence)) {
                let _writer = self.writer.lock_last();
                self.index.merge(&fence);
            }
            from = swept.next;
        }
        let (mut dropped, mut from) = (Dropped::default(), Some(Timestamp::ZERO));
        while let Some(label) = from {
            let mut writer = self.writer.lock_last();
            let last_ts = early.unwrap_or(writer.last_ts);
            from = writer.history.join_next(label, keep, last_ts, &mut dropped);
        }
        self.writer.lock_last().history.drop_log(keep, &mut dropped);
        drop(dropped);
        Ok(PruneReport::new(removed.0, removed.1))
    }

    fn touched(
        &self,
        from: &MemSnapshot,
        to: &MemSnapshot,
        range: &KeyRange,
    ) -> Result<BoxIter<Bytes>> {
        self.check_open()?;
        let touched = self.writer.lock().history.touched(from.ts(), to.ts(), range);
        Ok(match touched {
            Some(keys) => Box::new(keys.into_iter().map(Ok)),
            // Nothing was kept that far back: every key that is there.
            None => Box::new(verify::keys(self.index.held(), range).map(Ok)),
        })
    }

    fn changes(&self, from: Timestamp, to: &MemSnapshot) -> Result<BoxIter<CommittedWrites>> {
        self.check_open()?;
        let changes = self.writer.lock().history.changes(from, to.ts()).ok_or_else(|| {
            let message = format!("the commits after timestamp {from} are not all kept");
            Error::new(ErrorKind::HistoryPruned, message).in_backend(NAME)
        })?;
        Ok(Box::new(changes.into_iter().map(|commit| Ok((*commit).clone()))))
    }

    fn sync(&self) -> Result<()> {
        self.check_open()
    }

    fn verify(&self) -> Result<VerifyReport> {
        self.check_open()?;
        let corrupted = |what: String| Error::new(ErrorKind::Corrupted, what).in_backend(NAME);
        self.writer.lock().history.check().map_err(|what| corrupted(what.into()))?;
        verify::verify(&self.index).map_err(corrupted)
    }

    fn close(&self) -> Result<()> {
        self.front.is_closed.store(true, Ordering::Release);
        Ok(())
    }

    fn stats(&self) -> StoreStats {
        let (keys, records) = (self.count(|c| &c.keys), self.count(|c| &c.records));
        let each = |n: u64, size: usize| n.saturating_mul(size as u64);
        let mut stats = StoreStats::new();
        stats.keys = Some(keys);
        stats.records = Some(records);
        stats.memory_bytes = Some(
            self.count(|c| &c.bytes)
                + each(keys, size_of::<Chain>() + size_of::<u32>())
                + each(records - keys.min(records), size_of::<Entry>())
                + self.writer.lock().history.memory_bytes() as u64,
        );
        stats
    }
}

impl fmt::Debug for MemStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemStore").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
