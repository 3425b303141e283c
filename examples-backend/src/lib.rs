//! A complete backend: a map in a lock, explained in `docs/writing-a-backend.md`.
#![forbid(unsafe_code)]
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vellum_core::*;

/// A multi-version store in a map. Its clones are the same store.
#[derive(Clone, Debug, Default)]
pub struct MapStore(Arc<Mutex<State>>);

/// A key's records, oldest first; `None` is a tombstone.
type Chain = Vec<(Timestamp, Option<Bytes>)>;

#[derive(Debug, Default)]
struct State {
    records: BTreeMap<Bytes, Chain>,
    catalog: BTreeMap<Bytes, Bytes>,
    applied: Timestamp,
    published: Timestamp,
}

impl MapStore {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A view of a [`MapStore`] at one timestamp.
#[derive(Clone, Debug)]
pub struct MapSnapshot(MapStore, Timestamp);

/// The newest record at or below `at`, unless it is a tombstone.
fn visible(chain: &Chain, at: Timestamp) -> Option<Record> {
    let (ts, value) = chain.iter().rev().find(|(ts, _)| *ts <= at)?;
    Some(Record { ts: *ts, value: value.clone()? })
}

impl Snapshot for MapSnapshot {
    type Range<'a> = std::vec::IntoIter<Result<(Bytes, Record)>>;

    fn ts(&self) -> Timestamp {
        self.1
    }

    fn get(&self, key: &[u8]) -> Result<Option<Record>> {
        Ok(self.0.state().records.get(key).and_then(|chain| visible(chain, self.1)))
    }

    fn range(&self, range: &KeyRange) -> Self::Range<'_> {
        if range.is_empty() {
            return Vec::new().into_iter(); // `BTreeMap::range` panics on inverted bounds.
        }
        let state = self.0.state();
        let chains = state.records.range::<[u8], _>(range.as_bounds());
        let shown = chains.filter_map(|(k, chain)| Some(Ok((k.clone(), visible(chain, self.1)?))));
        shown.collect::<Vec<_>>().into_iter()
    }
}

impl Store for MapStore {
    type Snapshot = MapSnapshot;

    fn name(&self) -> &'static str {
        "map"
    }

    fn recover(&self) -> Result<Recovered> {
        let mut state = self.state();
        state.published = state.applied;
        let catalog = state.catalog.clone().into_iter().collect();
        Ok(Recovered { last_ts: state.applied, catalog })
    }

    fn snapshot(&self) -> Result<MapSnapshot> {
        self.snapshot_at(self.state().published)
    }

    fn snapshot_at(&self, ts: Timestamp) -> Result<MapSnapshot> {
        Ok(MapSnapshot(self.clone(), ts))
    }

    fn apply(&self, group: Group<'_>) -> Result<()> {
        let mut state = self.state(); // Held throughout: a group is atomic.
        for commit in group.commits {
            for write in commit.writes {
                state.records.entry(write.key).or_default().push((commit.ts, write.value));
            }
            for CatalogWrite { key, value } in commit.catalog {
                state.catalog.remove(&key);
                state.catalog.extend(value.map(|value| (key, value)));
            }
            state.applied = commit.ts;
        }
        Ok(())
    }

    fn publish(&self, ts: Timestamp) {
        self.state().published = ts;
    }

    fn prune(&self, keep: &Retention) -> Result<PruneReport> {
        let mut removed = 0;
        self.state().records.retain(|_, chain| {
            removed += chain.len() as u64;
            let mut successors = chain.clone().into_iter().skip(1).map(|(ts, _)| ts);
            chain.retain(|(ts, _)| !keep.is_dead(*ts, successors.next()));
            // A first tombstone hides nothing, but `changes` may want it.
            let first = chain.iter().position(|(ts, v)| v.is_some() || *ts > keep.horizon());
            chain.drain(..first.unwrap_or(chain.len()));
            removed -= chain.len() as u64;
            !chain.is_empty()
        });
        Ok(PruneReport::new(removed, 0))
    }

    fn touched(&self, a: &MapSnapshot, b: &MapSnapshot, r: &KeyRange) -> Result<BoxIter<Bytes>> {
        let between = |chain: &Chain| chain.iter().any(|(ts, _)| a.1 < *ts && *ts <= b.1);
        let mut touched = self.state().records.clone();
        touched.retain(|key, chain| r.contains(key) && between(chain));
        Ok(Box::new(touched.into_keys().map(Ok)))
    }

    fn changes(&self, from: Timestamp, to: &MapSnapshot) -> Result<BoxIter<CommittedWrites>> {
        let mut commits = BTreeMap::<_, Vec<_>>::new();
        for (key, chain) in &self.state().records {
            for (ts, value) in chain.iter().filter(|(ts, _)| from < *ts && *ts <= to.1) {
                commits.entry(*ts).or_default().push((key.clone(), value.clone()));
            }
        }
        let commit = |(commit_ts, writes)| Ok(CommittedWrites { commit_ts, writes });
        Ok(Box::new(commits.into_iter().map(commit)))
    }

    fn sync(&self) -> Result<()> {
        Ok(()) // There is nothing below memory to make it survive.
    }

    fn verify(&self) -> Result<VerifyReport> {
        Ok(VerifyReport::new(self.state().records.values().map(|c| c.len() as u64).sum(), 0))
    }

    fn close(&self) -> Result<()> {
        Ok(()) // The engine answers `Closed` from here on.
    }

    fn stats(&self) -> StoreStats {
        StoreStats::new()
    }
}
