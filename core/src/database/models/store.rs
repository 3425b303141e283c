//! The store of the models.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use loom::sync::Mutex;
use loom::sync::atomic::AtomicU64;

use crate::*;

/// A locked map of records over loom's primitives, with real pruning.
#[derive(Clone)]
pub(super) struct ModelStore(pub(super) Arc<Shared>);

#[derive(Default)]
pub(super) struct Shared {
    pub(super) records: Mutex<Records>,
    pub(super) published: AtomicU64,
    /// Whether this group, counted from one, fails to apply.
    pub(super) fails_apply: Option<usize>,
    pub(super) fails_sync: bool,
    pub(super) groups: std::sync::atomic::AtomicUsize,
    pub(super) closed: std::sync::atomic::AtomicBool,
}

pub(super) type Records = BTreeMap<Bytes, Vec<(Timestamp, Bytes)>>;

#[derive(Clone)]
pub(super) struct ModelSnapshot(ModelStore, Timestamp);

impl Snapshot for ModelSnapshot {
    type Range<'a> = std::iter::Empty<Result<(Bytes, Record)>>;

    fn ts(&self) -> Timestamp {
        self.1
    }

    fn get(&self, key: &[u8]) -> Result<Option<Record>> {
        let records = self.0.0.records.lock().unwrap();
        let mut chain = records.get(key).into_iter().flatten();
        let newest = chain.rfind(|(ts, _)| *ts <= self.1);
        Ok(newest.map(|(ts, value)| Record { ts: *ts, value: value.clone() }))
    }

    fn range(&self, _: &KeyRange) -> Self::Range<'_> {
        std::iter::empty()
    }
}

impl Store for ModelStore {
    type Snapshot = ModelSnapshot;

    fn name(&self) -> &'static str {
        "model"
    }

    fn recover(&self) -> Result<Recovered> {
        Ok(Recovered::default())
    }

    fn snapshot(&self) -> Result<ModelSnapshot> {
        self.snapshot_at(Timestamp::new(self.0.published.load(Ordering::Acquire)))
    }

    fn snapshot_at(&self, ts: Timestamp) -> Result<ModelSnapshot> {
        Ok(ModelSnapshot(self.clone(), ts))
    }

    fn apply(&self, group: Group<'_>) -> Result<()> {
        assert!(!self.0.closed.load(Ordering::SeqCst), "a group is applied to a closed store");
        let nth = self.0.groups.fetch_add(1, Ordering::SeqCst) + 1;
        if self.0.fails_apply == Some(nth) {
            return Err(Error::new(ErrorKind::CommitUnknown, "the group failed"));
        }
        for commit in group.commits {
            for write in commit.writes {
                let mut records = self.0.records.lock().unwrap();
                let value = write.value.unwrap_or_default();
                records.entry(write.key).or_default().push((commit.ts, value));
            }
        }
        Ok(())
    }

    fn publish(&self, ts: Timestamp) {
        self.0.published.store(ts.get(), Ordering::Release);
    }

    fn prune(&self, keep: &Retention) -> Result<PruneReport> {
        for chain in self.0.records.lock().unwrap().values_mut() {
            let successors: Vec<_> = chain.iter().skip(1).map(|(ts, _)| *ts).collect();
            let mut successors = successors.into_iter();
            chain.retain(|(ts, _)| !keep.is_dead(*ts, successors.next()));
        }
        Ok(PruneReport::default())
    }

    fn touched(
        &self,
        _: &ModelSnapshot,
        _: &ModelSnapshot,
        _: &KeyRange,
    ) -> Result<BoxIter<Bytes>> {
        Ok(Box::new(std::iter::empty()))
    }

    fn changes(&self, _: Timestamp, _: &ModelSnapshot) -> Result<BoxIter<CommittedWrites>> {
        Ok(Box::new(std::iter::empty()))
    }

    fn sync(&self) -> Result<()> {
        match self.0.fails_sync {
            true => Err(Error::new(ErrorKind::Io, "the fsync failed")),
            false => Ok(()),
        }
    }

    fn verify(&self) -> Result<VerifyReport> {
        Ok(VerifyReport::default())
    }

    fn close(&self) -> Result<()> {
        self.0.closed.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn stats(&self) -> StoreStats {
        StoreStats::new()
    }
}

impl Shared {
    /// How many groups it was given.
    pub(super) fn groups(&self) -> usize {
        self.groups.load(Ordering::SeqCst)
    }
}
