//! Random histories against a model that keeps every record.

use std::collections::BTreeSet;

use super::{Model, Rng, apply, commit, read_mixed, seeds, ts, wrong};
use crate::{MemSnapshot, MemStore};
use vellum_core::{Bytes, Durability, Group, KeyRange, Result, Retention, Snapshot, Store};

/// A history: the store, its model, and what is retained.
struct History {
    rng: Rng,
    store: MemStore,
    model: Model,
    head: u64,
    /// Timestamps of saved versions.
    pins: BTreeSet<u64>,
    snapshots: Vec<MemSnapshot>,
    /// How many commits of history are kept, beyond the head.
    history: u64,
    keys: u64,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut rng = Rng(seed);
        let keys = [6, 40, 400, 3000][rng.below(4) as usize];
        let history = if rng.chance(30) { rng.below(20) } else { 0 };
        let (store, model) = (MemStore::new(), Model::default());
        Self { rng, store, model, head: 0, pins: [].into(), snapshots: vec![], history, keys }
    }

    /// A key: mostly short, sometimes long, sometimes a run of 0xff.
    fn key(&mut self) -> Bytes {
        let n = self.rng.below(self.keys);
        match n % 11 {
            0 => vec![0xff; n as usize % 7 + 1].into(),
            1 => [&[n as u8], &vec![b'x'; n as usize % 3000][..]].concat().into(),
            2 => vec![0; n as usize % 5 + 1].into(),
            _ => format!("k{n:05}").into(),
        }
    }

    fn range(&mut self) -> KeyRange {
        let (a, b) = (self.key(), self.key());
        match self.rng.below(6) {
            0 => KeyRange::all(),
            1 => KeyRange::from(a..),
            2 => KeyRange::from(..=b),
            3 => KeyRange::prefix(&a[..1.min(a.len())]),
            _ => KeyRange::from(a..b),
        }
    }

    fn horizon(&self) -> u64 {
        self.head.saturating_sub(self.history)
    }

    fn retention(&self) -> Retention {
        let pins = self.pins.iter().copied().map(ts).collect();
        let snapshots = self.snapshots.iter().map(|s| s.ts()).collect();
        Retention::new(pins, snapshots, ts(self.horizon()))
    }

    /// The newest retained timestamp below the next one.
    fn preserve(&self, at: u64) -> Option<u64> {
        if self.history > 0 { Some(at - 1) } else { self.pins.range(..at).next_back().copied() }
    }

    fn apply_group(&mut self) -> Result<()> {
        let retention = self.retention();
        let mut commits = vec![];
        for _ in 0..self.rng.below(4) + 1 {
            self.head += 1;
            let writes = (0..self.rng.below(12)).map(|_| {
                let key = self.key();
                let value = format!("{key:?} at {}", self.head);
                let value = if self.rng.chance(5) { String::new() } else { value };
                (key, (!self.rng.chance(30)).then(|| Bytes::from(value)))
            });
            let mut commit = {
                let writes = writes.collect();
                commit(self.head, writes, self.preserve(self.head))
            };
            commit.logged = self.history > 0;
            self.model.add(&commit);
            commits.push(commit);
        }
        let durability = Durability::Buffered;
        self.store.apply(Group { commits, durability, retention: &retention })?;
        self.store.publish(ts(self.head));
        Ok(())
    }

    fn check_reads(&mut self) -> Result<()> {
        let mut snapshots = self.snapshots.clone();
        snapshots.push(self.store.snapshot()?);
        for at in self.pins.iter().copied().chain(self.horizon()..=self.head) {
            snapshots.push(self.store.snapshot_at(ts(at))?);
        }
        let snapshot = &snapshots[self.rng.below(snapshots.len() as u64) as usize];
        for _ in 0..10 {
            let key = self.key();
            assert_eq!(snapshot.get(&key)?, self.model.get(&key, snapshot.ts()), "{key:?}");
        }
        let range = self.range();
        let read = read_mixed(snapshot, &range, &mut self.rng)?;
        assert_eq!(read, self.model.range(&range, snapshot.ts()), "{range}");
        Ok(())
    }

    fn check_touched(&mut self) -> Result<()> {
        let ends: Vec<u64> = self.pins.iter().copied().chain(self.horizon()..=self.head).collect();
        let pick = |rng: &mut Rng| ends[rng.below(ends.len() as u64) as usize];
        let (a, b) = (pick(&mut self.rng), pick(&mut self.rng));
        let (from, to) =
            (self.store.snapshot_at(ts(a.min(b)))?, self.store.snapshot_at(ts(a.max(b)))?);
        let range = self.range();
        let touched: Vec<Bytes> = self.store.touched(&from, &to, &range)?.collect::<Result<_>>()?;
        assert!(touched.is_sorted_by(|a, b| a < b), "touched keys ascend, each once");
        assert!(touched.iter().all(|key| range.contains(key)));
        for key in self.model.touched(from.ts(), to.ts(), &range) {
            let differs = from.get(&key)? != to.get(&key)?;
            let is_known = touched.binary_search(&key).is_ok();
            assert!(is_known || !differs, "{key:?} changed in {:?}..{:?}", from.ts(), to.ts());
            // Where there is a list, not even a change and its undoing is missed.
            let is_listed = self.pins.contains(&a.min(b)) && self.history == 0;
            assert!(is_known || !is_listed, "{key:?} in {:?}..{:?}", from.ts(), to.ts());
        }
        Ok(())
    }

    fn check_changes(&mut self) -> Result<()> {
        if self.history == 0 {
            return Ok(());
        }
        let from = self.horizon() + self.rng.below(self.head - self.horizon() + 1);
        let commits = self.store.changes(ts(from), &self.store.snapshot()?)?;
        let mut at = from;
        for commit in commits {
            let commit = commit?;
            at += 1;
            assert_eq!(commit.commit_ts, ts(at));
            assert!(commit.writes.is_sorted_by(|a, b| a.0 < b.0));
            for (key, value) in commit.writes {
                assert_eq!(self.model.records[&key][&ts(at)], value);
            }
        }
        assert_eq!(at, self.head);
        Ok(())
    }

    fn prune(&mut self) -> Result<()> {
        let keep = self.retention();
        let before = self.store.verify()?;
        let report = self.store.prune(&keep)?;
        let after = self.store.verify()?;
        assert_eq!((after.records, after.bytes), self.model.alive(&keep), "exactly the alive");
        assert_eq!(report.records_removed, before.records - after.records);
        assert_eq!(report.bytes_removed, before.bytes - after.bytes);
        let stats = self.store.stats();
        assert_eq!(stats.records, Some(after.records));
        Ok(())
    }

    fn step(&mut self) -> Result<()> {
        match self.rng.below(100) {
            0..50 => self.apply_group()?,
            50..55 => {
                // A save is a commit of its own.
                self.head += 1;
                let save = commit(self.head, vec![], self.preserve(self.head));
                let mut save = save;
                save.logged = self.history > 0;
                apply(&self.store, save, &self.retention())?;
                self.pins.insert(self.head);
            }
            55..60 => {
                let n = self.rng.below(self.pins.len() as u64 + 1) as usize;
                if let Some(pin) = self.pins.iter().copied().nth(n) {
                    self.pins.remove(&pin);
                }
            }
            60..65 => self.snapshots.push(self.store.snapshot()?),
            65..70 => {
                if !self.snapshots.is_empty() {
                    let n = self.rng.below(self.snapshots.len() as u64) as usize;
                    self.snapshots.swap_remove(n);
                }
            }
            70..75 => self.prune()?,
            75..85 => self.check_touched()?,
            85..88 => self.check_changes()?,
            _ => self.check_reads()?,
        }
        Ok(())
    }
}

#[test]
fn random_histories_read_as_the_model_does() {
    for seed in seeds(0..if cfg!(miri) { 2 } else { 60 }) {
        println!("VELLUM_SEED={seed}");
        let mut history = History::new(seed);
        for _ in 0..if cfg!(miri) { 20 } else { 400 } {
            history.step().unwrap();
        }
        history.prune().unwrap();
    }
}

#[test]
fn everything_goes_when_all_is_deleted_and_pruned() {
    let store = MemStore::new();
    const KEYS: u64 = if cfg!(miri) { 60 } else { 5000 };
    let keys = || (0..KEYS).map(|n| Bytes::from(format!("{n:06}")));
    let none = Retention::new(vec![], vec![], ts(0));
    apply(&store, commit(1, keys().map(|k| (k.clone(), Some(k))).collect(), None), &none).unwrap();
    apply(&store, commit(2, keys().map(|k| (k, None)).collect(), None), &none).unwrap();
    let report = store.prune(&Retention::new(vec![], vec![], ts(2))).unwrap();
    assert_eq!(report.records_removed, 2 * KEYS);
    assert_eq!(store.stats().keys, Some(0));
    assert_eq!(store.stats().records, Some(0));
    assert_eq!(store.verify().unwrap().records, 0);
    assert!(store.snapshot().unwrap().range(&KeyRange::all()).next().is_none());
}

#[test]
fn unpublished_commits_do_not_show() {
    let store = MemStore::new();
    let keep = Retention::everything();
    let write = commit(1, vec![("a".into(), Some("1".into()))], None);
    let group = Group { commits: vec![write], durability: Durability::Sync, retention: &keep };
    store.apply(group).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.get(b"a").unwrap(), None);
    store.publish(ts(1));
    assert_eq!(snapshot.get(b"a").unwrap(), None, "nor in a snapshot from before");
    assert!(store.snapshot().unwrap().get(b"a").unwrap().is_some());
}

#[test]
fn closed_store_answers_closed_and_says_which_backend_it_is() {
    let store = MemStore::new();
    store.close().unwrap();
    store.close().unwrap();
    assert_eq!(store.sync().err().and_then(|e| e.backend()), Some(store.name()));
    assert_eq!(store.name(), "mem");
    let kind = vellum_core::ErrorKind::Closed;
    assert_eq!(store.snapshot().err().map(|e| e.kind()), Some(kind));
    assert_eq!(store.sync().err().map(|e| e.kind()), Some(kind));
    let keep = Retention::everything();
    assert_eq!(store.prune(&keep).err().map(|e| e.kind()), Some(kind));
    assert_eq!(apply(&store, commit(1, vec![], None), &keep).err().map(|e| e.kind()), Some(kind));
}

#[test]
fn values_are_shared_and_not_copied() {
    let store = MemStore::new();
    let value = Bytes::from(vec![7; 1000]);
    let write = commit(1, vec![("a".into(), Some(value.clone()))], None);
    apply(&store, write, &Retention::everything()).unwrap();
    let read = store.snapshot().unwrap().get(b"a").unwrap().ok_or(wrong("lost")).unwrap();
    assert_eq!(read.value.as_ptr(), value.as_ptr());
}

#[test]
fn catalog_comes_back() {
    let store = MemStore::new();
    let mut save = commit(1, vec![], None);
    let entry = |key: &'static str, value: Option<&'static str>| vellum_core::CatalogWrite {
        key: key.into(),
        value: value.map(Bytes::from),
    };
    save.catalog = vec![entry("b", Some("2")), entry("a", Some("1"))];
    apply(&store, save, &Retention::everything()).unwrap();
    let mut drop = commit(2, vec![], None);
    drop.catalog = vec![entry("b", None)];
    apply(&store, drop, &Retention::everything()).unwrap();
    let recovered = store.recover().unwrap();
    assert_eq!(recovered.last_ts, ts(2));
    assert_eq!(recovered.catalog, [("a".into(), "1".into())]);
}
