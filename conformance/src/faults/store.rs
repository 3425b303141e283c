//! Stores that are wrong.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use vellum_core::{
    BoxIter, Bytes, Commit, CommittedWrites, Error, ErrorKind, Group, KeyRange, Previous,
    PruneReport, Record, Recovered, Result, Retention, Snapshot, Store, StoreStats, Timestamp,
    VerifyReport, Write,
};

use super::StoreFault;
use crate::{Capabilities, StoreFactory};

/// The broken stores of a [`StoreFactory`]: each place breaks one thing.
#[derive(Debug)]
pub struct BrokenStores<F> {
    factory: F,
    fault: StoreFault,
}

impl<F: StoreFactory> BrokenStores<F> {
    /// The same stores with this fault.
    #[must_use]
    pub const fn new(factory: F, fault: StoreFault) -> Self {
        Self { factory, fault }
    }
}

impl<F: StoreFactory> StoreFactory for BrokenStores<F> {
    type Store = BrokenStore<F::Store>;

    fn capabilities(&self) -> Capabilities {
        self.factory.capabilities()
    }

    fn open(&self) -> Result<Self::Store> {
        let store = Arc::new(self.factory.open()?);
        Ok(BrokenStore { store, fault: self.fault, newest: Mutex::default() })
    }

    fn destroy(&self) {
        self.factory.destroy();
    }
}

/// A store that does one thing wrong.
pub struct BrokenStore<S> {
    store: Arc<S>,
    fault: StoreFault,
    newest: Mutex<Newest>,
}

/// What was applied last.
#[derive(Clone, Debug, Default)]
struct Newest {
    ts: Timestamp,
    /// The last key, if there were several.
    last_key: Option<Bytes>,
    published: Timestamp,
    closed: bool,
    /// Every version that a prune was told to spare.
    pins: BTreeSet<Timestamp>,
    tombstones: u64,
}

/// A snapshot of a [`BrokenStore`].
pub struct BrokenSnapshot<S: Store> {
    snapshot: S::Snapshot,
    store: Arc<S>,
    fault: StoreFault,
    ts: Timestamp,
    of_head: bool,
    hidden: Option<(Bytes, Timestamp)>,
}

impl<S: Store> Clone for BrokenSnapshot<S> {
    fn clone(&self) -> Self {
        Self {
            snapshot: self.snapshot.clone(),
            store: self.store.clone(),
            fault: self.fault,
            ts: self.ts,
            of_head: self.of_head,
            hidden: self.hidden.clone(),
        }
    }
}

impl<S: Store> BrokenSnapshot<S> {
    /// The snapshot to read, where `too` does as one that follows the head.
    fn current(&self, too: StoreFault) -> Result<S::Snapshot> {
        let follows = self.fault == StoreFault::SnapshotFollowsHead || self.fault == too;
        if follows && self.of_head { self.store.snapshot() } else { Ok(self.snapshot.clone()) }
    }

    fn shown(&self, mut record: Record) -> Record {
        if self.fault == StoreFault::RecordEarly {
            record.ts = record.ts.prev();
        }
        record
    }

    fn is_hidden(&self, key: &[u8], record: &Record) -> bool {
        self.hidden.as_ref().is_some_and(|(hidden, ts)| *hidden == *key && record.ts == *ts)
    }
}

impl<S: Store> Snapshot for BrokenSnapshot<S> {
    type Range<'a> = BrokenRecords;

    fn ts(&self) -> Timestamp {
        self.ts
    }

    fn get(&self, key: &[u8]) -> Result<Option<Record>> {
        let record = self.current(StoreFault::GetsReadHead)?.get(key)?;
        Ok(record.filter(|record| !self.is_hidden(key, record)).map(|record| self.shown(record)))
    }

    fn range(&self, range: &KeyRange) -> Self::Range<'_> {
        let asked = match self.fault {
            StoreFault::RangeEndIncluded if !range.is_empty() => super::range::with_end(range),
            _ => range.clone(),
        };
        let shown = |item: &Result<(Bytes, Record)>| {
            item.as_ref().map_or(true, |(key, record)| !self.is_hidden(key, record))
        };
        let item = |item: Result<_>| item.map(|(key, record)| (key, self.shown(record)));
        let mut items: Vec<_> = match self.current(StoreFault::RangesReadHead) {
            Ok(snapshot) => snapshot.range(&asked).filter(shown).map(item).collect(),
            Err(e) => vec![Err(e)],
        };
        if self.fault == StoreFault::RangeUnordered {
            items.reverse();
        }
        let ascends = self.fault == StoreFault::ReverseAscends;
        BrokenRecords { items: items.into_iter(), ascends }
    }
}

/// A range of a [`BrokenSnapshot`].
#[derive(Debug)]
pub struct BrokenRecords {
    items: std::vec::IntoIter<Result<(Bytes, Record)>>,
    ascends: bool,
}

impl Iterator for BrokenRecords {
    type Item = Result<(Bytes, Record)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.items.next()
    }
}

impl DoubleEndedIterator for BrokenRecords {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.ascends { self.items.next() } else { self.items.next_back() }
    }
}

impl<S: Store> BrokenStore<S> {
    fn newest(&self) -> std::sync::MutexGuard<'_, Newest> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wrap(&self, snapshot: S::Snapshot, ts: Timestamp, of_head: bool) -> BrokenSnapshot<S> {
        let newest = self.newest();
        let torn = self.fault == StoreFault::TornCommitVisible && newest.ts == ts;
        let hidden = newest.last_key.clone().filter(|_| torn).map(|key| (key, newest.ts));
        drop(newest);
        let (store, fault) = (self.store.clone(), self.fault);
        BrokenSnapshot { snapshot, store, fault, ts, of_head, hidden }
    }

    /// What the fault makes of a commit.
    fn spoil(&self, commit: &mut Commit) {
        match self.fault {
            StoreFault::TombstoneShown => {
                for write in &mut commit.writes {
                    write.value.get_or_insert_default();
                }
            }
            StoreFault::DeleteLost => commit.writes.retain(|w| w.value.is_some()),
            StoreFault::EmptyValueDeletes => {
                for write in &mut commit.writes {
                    write.value.take_if(|v| v.is_empty());
                }
            }
            StoreFault::LostWrite if commit.writes.len() > 1 => drop(commit.writes.pop()),
            StoreFault::KeysTruncated => {
                for write in &mut commit.writes {
                    write.key.truncate(255);
                }
                commit.writes.dedup_by(|a, b| a.key == b.key);
            }
            StoreFault::CatalogRemovalLost => commit.catalog.retain(|c| c.value.is_some()),
            StoreFault::ValuesCut => {
                for value in commit.writes.iter_mut().filter_map(|w| w.value.as_mut()) {
                    value.truncate(65_536);
                }
            }
            StoreFault::KnownPreviousLost => {
                commit.writes.retain(|w| !matches!(w.previous, Previous::Record(_)));
            }
            StoreFault::AbsentPreviousLost => {
                commit.writes.retain(|w| !matches!(w.previous, Previous::Absent));
            }
            StoreFault::CatalogCut => {
                for value in commit.catalog.iter_mut().filter_map(|c| c.value.as_mut()) {
                    value.truncate(value.len().saturating_sub(1).max(1));
                }
            }
            StoreFault::CatalogShown => {
                let shown = commit.catalog.iter().filter(|c| c.value.is_some()).map(|c| Write {
                    key: c.key.clone(),
                    value: c.value.clone(),
                    previous: Previous::Unknown,
                });
                commit.writes.extend(shown);
            }
            _ => {}
        }
        let mut newest = self.newest();
        newest.tombstones += commit.writes.iter().filter(|w| w.value.is_none()).count() as u64;
        newest.ts = commit.ts;
        newest.last_key = commit.writes.last().map(|w| w.key.clone());
        if commit.writes.len() < 2 {
            newest.last_key = None;
        }
    }
}

impl<S: Store> Store for BrokenStore<S> {
    type Snapshot = BrokenSnapshot<S>;

    fn name(&self) -> &'static str {
        self.store.name()
    }

    fn recover(&self) -> Result<Recovered> {
        let mut recovered = self.store.recover()?;
        match self.fault {
            StoreFault::CatalogForgotten => recovered.catalog.clear(),
            StoreFault::StartsAboveZero if recovered.last_ts == Timestamp::ZERO => {
                recovered.last_ts = recovered.last_ts.next();
            }
            StoreFault::TimestampForgotten => recovered.last_ts = recovered.last_ts.prev(),
            StoreFault::CatalogLost if recovered.catalog.len() > 1 => {
                drop(recovered.catalog.pop());
            }
            StoreFault::CatalogUnordered => recovered.catalog.reverse(),
            _ => {}
        }
        self.newest().published = recovered.last_ts;
        Ok(recovered)
    }

    fn snapshot(&self) -> Result<Self::Snapshot> {
        let snapshot = self.store.snapshot()?;
        let ts = snapshot.ts();
        let ts = if self.fault == StoreFault::WrongTimestamp { ts.prev() } else { ts };
        Ok(self.wrap(snapshot, ts, true))
    }

    fn snapshot_at(&self, ts: Timestamp) -> Result<Self::Snapshot> {
        match self.fault {
            StoreFault::PastReadsHead => Ok(self.wrap(self.store.snapshot()?, ts, false)),
            _ => Ok(self.wrap(self.store.snapshot_at(ts)?, ts, false)),
        }
    }

    fn pack(&self, value: Bytes) -> Bytes {
        let value = self.store.pack(value);
        match self.fault {
            StoreFault::PackCuts if value.len() > 1 => value.slice(..value.len() - 1),
            _ => value,
        }
    }

    fn apply(&self, mut group: Group<'_>) -> Result<()> {
        for commit in &mut group.commits {
            self.spoil(commit);
        }
        match self.fault {
            StoreFault::GroupReversed => {
                let mut writes: Vec<_> =
                    group.commits.iter_mut().map(|c| std::mem::take(&mut c.writes)).collect();
                for commit in &mut group.commits {
                    commit.writes = writes.pop().unwrap_or_default();
                }
            }
            StoreFault::EmptyCommitLost => {
                group.commits.retain(|c| !c.writes.is_empty() || !c.catalog.is_empty());
            }
            _ => {}
        }
        let Some(last) = group.commits.last().map(|commit| commit.ts) else { return Ok(()) };
        self.store.apply(group)?;
        if self.fault == StoreFault::PublishesEarly {
            self.store.publish(last);
        }
        Ok(())
    }

    fn publish(&self, ts: Timestamp) {
        let before = std::mem::replace(&mut self.newest().published, ts);
        match self.fault {
            StoreFault::StaleHead => self.store.publish(before),
            _ => self.store.publish(ts),
        }
    }

    fn prune(&self, keep: &Retention) -> Result<PruneReport> {
        let (pins, snapshots) = (keep.pins().to_vec(), keep.snapshots().to_vec());
        let newest = self.newest().published;
        self.newest().pins.extend(&pins);
        let keep = match self.fault {
            StoreFault::PruneDoesNothing => return Ok(PruneReport::default()),
            StoreFault::PruneIgnoresPins => Retention::new(vec![], snapshots, keep.horizon()),
            StoreFault::PruneIgnoresSnapshots => Retention::new(pins, vec![], keep.horizon()),
            StoreFault::PruneKeepsOldPins => {
                let pins = self.newest().pins.iter().copied().collect();
                Retention::new(pins, snapshots, keep.horizon())
            }
            StoreFault::PruneIgnoresHistory => Retention::new(pins, snapshots, newest),
            _ => keep.clone(),
        };
        self.store.prune(&keep)
    }

    fn touched(
        &self,
        from: &Self::Snapshot,
        to: &Self::Snapshot,
        range: &KeyRange,
    ) -> Result<BoxIter<Bytes>> {
        let all = KeyRange::all();
        let ignored = self.fault == StoreFault::TouchedIgnoresRange;
        let range = if ignored { &all } else { range };
        let keys = self.store.touched(&from.snapshot, &to.snapshot, range)?;
        match self.fault {
            StoreFault::TouchedMisses => Ok(Box::new(keys.skip(1))),
            StoreFault::TouchedRepeats => Ok(Box::new(keys.flat_map(|key| match key {
                Ok(key) => vec![Ok(key.clone()), Ok(key)],
                Err(e) => vec![Err(e)],
            }))),
            StoreFault::TouchedUnordered => Ok(reversed(keys)),
            _ => Ok(keys),
        }
    }

    fn changes(&self, from: Timestamp, to: &Self::Snapshot) -> Result<BoxIter<CommittedWrites>> {
        let fault = self.fault;
        let early = fault == StoreFault::ChangesBeginEarly;
        let changes = self.store.changes(if early { from.prev() } else { from }, &to.snapshot)?;
        let skipped = usize::from(fault == StoreFault::ChangesMissCommits);
        let changes: BoxIter<_> = match fault {
            StoreFault::ChangesUnordered => reversed(changes),
            _ => changes,
        };
        Ok(Box::new(changes.skip(skipped).map(move |item| {
            item.map(|mut commit| {
                match fault {
                    StoreFault::ChangesMissWrites if commit.writes.len() > 1 => {
                        drop(commit.writes.pop());
                    }
                    StoreFault::ChangesWritesUnordered => commit.writes.reverse(),
                    _ => {}
                }
                commit
            })
        })))
    }

    fn sync(&self) -> Result<()> {
        match self.fault {
            StoreFault::SyncFails => Err(Error::new(ErrorKind::Io, "nothing is wrong")),
            _ => self.store.sync(),
        }
    }

    fn verify(&self) -> Result<VerifyReport> {
        match self.fault {
            StoreFault::VerifyFails if self.newest().ts > Timestamp::ZERO => {
                Err(Error::new(ErrorKind::Corrupted, "nothing is wrong"))
            }
            StoreFault::VerifyCountsNothing => Ok(VerifyReport::default()),
            StoreFault::PruneKeepsTombstones => {
                let mut report = self.store.verify()?;
                report.records += self.newest().tombstones;
                Ok(report)
            }
            _ => self.store.verify(),
        }
    }

    fn close(&self) -> Result<()> {
        let again = std::mem::replace(&mut self.newest().closed, true);
        match self.fault {
            StoreFault::CloseOnce if again => Err(Error::new(ErrorKind::Closed, "closed before")),
            _ => self.store.close(),
        }
    }

    fn stats(&self) -> StoreStats {
        self.store.stats()
    }
}

/// The items from the last to the first.
fn reversed<T: Send + 'static>(items: BoxIter<T>) -> BoxIter<T> {
    let mut items: Vec<_> = items.collect();
    items.reverse();
    Box::new(items.into_iter())
}

impl<S> fmt::Debug for BrokenStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokenStore").field("fault", &self.fault).finish_non_exhaustive()
    }
}

impl<S: Store> fmt::Debug for BrokenSnapshot<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokenSnapshot").field("fault", &self.fault).finish_non_exhaustive()
    }
}
