//! Drives a bare store as the engine does.

use std::collections::BTreeMap;
use std::fmt;

use vellum_core::{
    Bytes, Commit, Durability, Group, KeyRange, Previous, Record, Result, Retention, Snapshot,
    Store, Timestamp, Write,
};

use super::StoreCtx;
use crate::check::{same, text};
use crate::{CaseResult, StoreFactory};

pub(super) fn ts(n: u64) -> Timestamp {
    Timestamp::new(n)
}

/// Each key with the timestamp of its record and the value.
pub(super) type State = BTreeMap<Vec<u8>, (u64, Vec<u8>)>;

/// Drives a store as the engine does, and remembers what it must show.
pub(super) struct Driver<S: Store> {
    pub(super) store: S,
    pub(super) now: u64,
    pub(super) pins: Vec<u64>,
    /// Whether every timestamp from the first on is retained.
    pub(super) history: bool,
    pub(super) states: BTreeMap<u64, State>,
}

impl<S: Store> Driver<S> {
    pub(super) fn open<F: StoreFactory<Store = S>>(cx: &StoreCtx<F>) -> CaseResult<Self> {
        let store = cx.factory.open()?;
        let now = store.recover()?.last_ts.get();
        let states = BTreeMap::from([(now, BTreeMap::new())]);
        Ok(Self { store, now, pins: Vec::new(), history: false, states })
    }

    pub(super) fn keep(&self, snapshots: &[u64]) -> Retention {
        let horizon = if self.history { 0 } else { self.now };
        let all = |of: &[u64]| of.iter().map(|&n| ts(n)).collect();
        Retention::new(all(&self.pins), all(snapshots), ts(horizon))
    }

    /// The next commit, which is not applied yet.
    pub(super) fn next(&mut self, writes: &[(&[u8], Option<&str>)]) -> Commit {
        let mut state = self.states.get(&self.now).cloned().unwrap_or_default();
        let pin = self.pins.iter().copied().max();
        let preserve = if self.history { Some(self.now) } else { pin };
        self.now += 1;
        let mut sorted: BTreeMap<&[u8], Option<&str>> = BTreeMap::new();
        sorted.extend(writes.iter().copied());
        for (key, value) in &sorted {
            match value {
                Some(v) => drop(state.insert(key.to_vec(), (self.now, v.as_bytes().to_vec()))),
                None => drop(state.remove(*key)),
            }
        }
        self.states.insert(self.now, state);
        let writes = sorted.into_iter().map(|(key, value)| Write {
            key: Bytes::copy_from_slice(key),
            value: value.map(|v| Bytes::copy_from_slice(v.as_bytes())),
            previous: Previous::Unknown,
        });
        Commit {
            ts: ts(self.now),
            writes: writes.collect(),
            catalog: Vec::new(),
            preserve: preserve.map(ts),
            logged: self.history,
        }
    }

    pub(super) fn apply(&self, commits: Vec<Commit>) -> Result<()> {
        // Older than the commits, as the engine's is.
        let retention = Retention::everything();
        let durability = Durability::Buffered;
        self.store.apply(Group { commits, durability, retention: &retention })
    }

    pub(super) fn commit(&mut self, writes: &[(&[u8], Option<&str>)]) -> CaseResult<u64> {
        let commit = self.next(writes);
        self.apply(vec![commit])?;
        self.store.publish(ts(self.now));
        Ok(self.now)
    }

    pub(super) fn put(&mut self, key: &str, value: &str) -> CaseResult<u64> {
        self.commit(&[(key.as_bytes(), Some(value))])
    }

    pub(super) fn pin(&mut self) -> CaseResult<u64> {
        let at = self.commit(&[])?;
        self.pins.push(at);
        Ok(at)
    }

    /// `snapshot` must show what stood at `at`, in every way of reading.
    #[track_caller]
    pub(super) fn check(
        &self,
        what: impl fmt::Display,
        snapshot: &S::Snapshot,
        at: u64,
    ) -> CaseResult {
        let want = self.states.get(&at).cloned().unwrap_or_default();
        let want: Vec<_> = want.into_iter().map(|(k, (n, v))| (text(&k), n, text(&v))).collect();
        let shown = |item: Result<(Bytes, Record)>| {
            item.map(|(k, r)| (text(&k), r.ts.get(), text(&r.value)))
        };
        let all = KeyRange::all();
        let forward: Result<Vec<_>> = snapshot.range(&all).map(shown).collect();
        same(format!("{what}: the records at {at}"), &forward?, &want)?;
        let back: Result<Vec<_>> = snapshot.range(&all).rev().map(shown).collect();
        let mut back = back?;
        back.reverse();
        same(format!("{what}: in reverse, turned round"), &back, &want)?;
        for state in self.states.values() {
            for key in state.keys() {
                let got = snapshot.get(key)?.map(|r| (text(key), r.ts.get(), text(&r.value)));
                let want = want.iter().find(|(k, _, _)| *k == text(key)).cloned();
                same(format!("{what}: get {}", text(key)), got, want)?;
            }
        }
        same(format!("{what}: its timestamp"), snapshot.ts(), ts(at))
    }

    pub(super) fn check_head(&self, what: &str) -> CaseResult {
        self.check(what, &self.store.snapshot()?, self.now)
    }

    pub(super) fn check_pins(&self, what: &str) -> CaseResult {
        for &pin in &self.pins {
            self.check(what, &self.store.snapshot_at(ts(pin))?, pin)?;
        }
        Ok(())
    }
}
