//! A store for the engine's own tests: a locked map of all records, with
//! faults that can be armed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::*;

type Records = BTreeMap<Bytes, Vec<(Timestamp, Option<Bytes>)>>;

#[derive(Clone, Debug, Default)]
pub(super) struct MapStore(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    published: AtomicU64,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) records: Records,
    catalog: BTreeMap<Bytes, Bytes>,
    pub(super) last_ts: Timestamp,
    pub(super) groups: Vec<(usize, Durability)>,
    pub(super) commits: Vec<Commit>,
    /// `apply` fails with this kind,
    pub(super) fail_apply: Option<ErrorKind>,
    /// once so many groups went well.
    pub(super) good_groups: usize,
    pub(super) panic_in_apply: bool,
    pub(super) fail_sync: bool,
    pub(super) fail_snapshot: bool,
    /// Every `get` of a snapshot fails.
    pub(super) fail_get: bool,
    /// `prune` waits for this to be released.
    pub(super) hold_prune: Option<Arc<Mutex<()>>>,
    pub(super) pruning: bool,
    pub(super) closed: bool,
    /// Each `apply` waits for one of these.
    pub(super) permits: Option<Arc<Mutex<Receiver<()>>>>,
    /// How often `apply` was called.
    pub(super) applies: usize,
    /// `apply` waits for this to be released.
    pub(super) hold_apply: Option<Arc<Mutex<()>>>,
}

impl MapStore {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn records(&self) -> usize {
        self.state().records.values().map(Vec::len).sum()
    }
}

#[derive(Clone, Debug)]
pub(super) struct MapSnapshot {
    store: MapStore,
    ts: Timestamp,
}

impl Snapshot for MapSnapshot {
    type Range<'a> = std::vec::IntoIter<Result<(Bytes, Record)>>;

    fn ts(&self) -> Timestamp {
        self.ts
    }

    fn get(&self, key: &[u8]) -> Result<Option<Record>> {
        let state = self.store.state();
        if state.fail_get {
            return Err(Error::new(ErrorKind::Io, "as armed"));
        }
        Ok(state.records.get(key).and_then(|chain| visible(chain, self.ts)))
    }

    fn range(&self, range: &KeyRange) -> Self::Range<'_> {
        if range.is_empty() {
            return Vec::new().into_iter();
        }
        let state = self.store.state();
        let chains = state.records.range::<[u8], _>(range.as_bounds());
        let items =
            chains.filter_map(|(key, chain)| Some(Ok((key.clone(), visible(chain, self.ts)?))));
        items.collect::<Vec<_>>().into_iter()
    }
}

fn visible(chain: &[(Timestamp, Option<Bytes>)], at: Timestamp) -> Option<Record> {
    let (ts, value) = chain.iter().rev().find(|(ts, _)| *ts <= at)?;
    Some(Record { ts: *ts, value: value.clone()? })
}

impl Store for MapStore {
    type Snapshot = MapSnapshot;

    fn name(&self) -> &'static str {
        "map"
    }

    fn recover(&self) -> Result<Recovered> {
        let mut state = self.state();
        state.closed = false;
        self.0.published.store(state.last_ts.get(), Ordering::SeqCst);
        let catalog = state.catalog.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        Ok(Recovered { last_ts: state.last_ts, catalog })
    }

    fn snapshot(&self) -> Result<MapSnapshot> {
        if self.state().fail_snapshot {
            return Err(Error::new(ErrorKind::Io, "as armed"));
        }
        self.snapshot_at(Timestamp::new(self.0.published.load(Ordering::SeqCst)))
    }

    fn snapshot_at(&self, ts: Timestamp) -> Result<MapSnapshot> {
        Ok(MapSnapshot { store: self.clone(), ts })
    }

    fn apply(&self, group: Group<'_>) -> Result<()> {
        self.state().applies += 1;
        let hold = self.state().hold_apply.clone();
        drop(hold.as_ref().map(|hold| hold.lock()));
        let permits = self.state().permits.clone();
        if let Some(permits) = permits {
            permits.lock().unwrap().recv().unwrap();
        }
        let mut state = self.state();
        assert!(!state.panic_in_apply, "as armed");
        let fails = state.groups.len() >= state.good_groups;
        if let (Some(kind), true) = (state.fail_apply, fails) {
            return Err(Error::new(kind, "as armed"));
        }
        state.groups.push((group.commits.len(), group.durability));
        for commit in group.commits {
            assert!(commit.ts > state.last_ts && commit.writes.is_sorted_by(|a, b| a.key < b.key));
            state.last_ts = commit.ts;
            state.commits.push(commit.clone());
            for write in commit.writes {
                let chain = state.records.entry(write.key).or_default();
                let current = chain
                    .last()
                    .and_then(|(ts, value)| Some(Record { ts: *ts, value: value.clone()? }));
                match write.previous {
                    Previous::Unknown => {}
                    Previous::Absent => assert_eq!(current, None),
                    Previous::Record(record) => assert_eq!(current, Some(record)),
                }
                chain.push((commit.ts, write.value));
            }
            for entry in commit.catalog {
                match entry.value {
                    Some(value) => state.catalog.insert(entry.key, value),
                    None => state.catalog.remove(&entry.key),
                };
            }
        }
        Ok(())
    }

    fn publish(&self, ts: Timestamp) {
        self.0.published.store(ts.get(), Ordering::SeqCst);
    }

    fn prune(&self, keep: &Retention) -> Result<PruneReport> {
        let hold = self.state().hold_prune.clone();
        self.state().pruning = true;
        drop(hold.as_ref().map(|hold| hold.lock()));
        assert!(!self.state().closed, "a prune goes on in a closed store");
        let mut removed = 0;
        self.state().records.retain(|_, chain| {
            let next: Vec<_> =
                chain.iter().skip(1).map(|(ts, _)| Some(*ts)).chain([None]).collect();
            let mut next = next.into_iter();
            chain.retain(|(ts, _)| {
                let dead = keep.is_dead(*ts, next.next().flatten());
                removed += u64::from(dead);
                !dead
            });
            while chain.first().is_some_and(|(_, value)| value.is_none()) {
                chain.remove(0);
                removed += 1;
            }
            !chain.is_empty()
        });
        Ok(PruneReport::new(removed, 0))
    }

    fn touched(
        &self,
        from: &MapSnapshot,
        to: &MapSnapshot,
        range: &KeyRange,
    ) -> Result<BoxIter<Bytes>> {
        let state = self.state();
        // Only what the engine asked to keep counts: a commit that preserved
        // nothing at or above `from` would be missing here.
        let commits = state.commits.iter().filter(|c| c.ts > from.ts && c.ts <= to.ts);
        let keys = commits.filter(|c| c.preserve >= Some(from.ts)).flat_map(|c| &c.writes);
        let keys: std::collections::BTreeSet<_> =
            keys.map(|w| w.key.clone()).filter(|k| range.contains(k)).collect();
        Ok(Box::new(keys.into_iter().map(Ok)))
    }

    fn changes(&self, from: Timestamp, to: &MapSnapshot) -> Result<BoxIter<CommittedWrites>> {
        let state = self.state();
        let commits = state.commits.iter().filter(|c| c.ts > from && c.ts <= to.ts);
        let commits: Vec<_> = commits
            .map(|c| {
                assert!(c.logged);
                let writes = c.writes.iter().map(|w| (w.key.clone(), w.value.clone())).collect();
                Ok(CommittedWrites { commit_ts: c.ts, writes })
            })
            .collect();
        Ok(Box::new(commits.into_iter()))
    }

    fn sync(&self) -> Result<()> {
        if self.state().fail_sync {
            return Err(Error::new(ErrorKind::Io, "as armed"));
        }
        Ok(())
    }

    fn verify(&self) -> Result<VerifyReport> {
        Ok(VerifyReport::new(self.records() as u64, 0))
    }

    fn close(&self) -> Result<()> {
        self.state().closed = true;
        Ok(())
    }

    fn stats(&self) -> StoreStats {
        StoreStats::new()
    }
}
