//! Random histories against a plain map a commit.
//!
//! A failure prints its seed; `VELLUM_SEED=n` replays that one alone.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::cast_possible_truncation, reason = "the numbers are small")]
#![expect(clippy::print_stdout, reason = "the seed is what replays a failure")]

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use vellum_core::{
    CatalogWrite, Commit, Durability, Group, KeyRange, Previous, Record, Retention, Snapshot,
    Store, Timestamp, Write,
};
use vellum_lsm::{Builder, LsmSnapshot, LsmStore};

type State = BTreeMap<Bytes, Record>;

/// xorshift64* (Vigna 2016).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// Few keys, with the bytes that an escape has to get right.
    fn key(&mut self) -> Bytes {
        let len = 1 + self.below(3);
        (0..len).map(|_| [0x00, 0x01, b'a', 0xff][self.below(4)]).collect()
    }

    fn range(&mut self) -> KeyRange {
        let (a, b) = (self.key(), self.key());
        match self.below(3) {
            0 => KeyRange::all(),
            1 => KeyRange::from(a..),
            _ => KeyRange::from(a..b),
        }
    }
}

fn ts(n: u64) -> Timestamp {
    Timestamp::new(n)
}

struct History {
    random: Random,
    builder: Builder,
    store: LsmStore,
    /// The state after each commit; `states[n]` is that at timestamp `n`.
    states: Vec<State>,
    /// What each commit wrote.
    writes: Vec<Vec<(Bytes, Option<Bytes>)>>,
    pins: BTreeSet<u64>,
    /// With the history option: what came after this is kept and logged.
    since: Option<u64>,
    held: Vec<LsmSnapshot>,
}

impl History {
    fn head(&self) -> u64 {
        self.states.len() as u64 - 1
    }

    fn retention(&self) -> Retention {
        let pins = self.pins.iter().copied().map(ts).collect();
        let snapshots = self.held.iter().map(Snapshot::ts).collect();
        Retention::new(pins, snapshots, ts(self.since.unwrap_or(self.head())))
    }

    fn commit(&mut self) {
        let retention = self.retention();
        let mut commits = Vec::new();
        for _ in 0..1 + self.random.below(3) {
            let now = self.head() + 1;
            let newest_pin = self.pins.range(..now).next_back().copied();
            let preserve = if self.since.is_some() { Some(now - 1) } else { newest_pin };
            let mut state = self.states.last().unwrap().clone();
            let keys: BTreeSet<_> = (0..self.random.below(5)).map(|_| self.random.key()).collect();
            let mut writes = Vec::new();
            for key in keys {
                let previous = match state.get(&key) {
                    _ if self.random.one_in(2) => Previous::Unknown,
                    None => Previous::Absent,
                    Some(record) => Previous::Record(record.clone()),
                };
                let len = if self.random.one_in(20) { 5000 } else { self.random.below(12) };
                let is_delete = self.random.one_in(3);
                let value = (!is_delete).then(|| Bytes::from(vec![now as u8; len]));
                match value.clone() {
                    Some(value) => state.insert(key.clone(), Record { ts: ts(now), value }),
                    None => state.remove(&key),
                };
                writes.push(Write { key, value, previous });
            }
            let catalog =
                CatalogWrite { key: "newest".into(), value: Some(now.to_string().into()) };
            self.writes.push(writes.iter().map(|w| (w.key.clone(), w.value.clone())).collect());
            self.states.push(state);
            let logged = self.since.is_some();
            let preserve = preserve.map(ts);
            commits.push(Commit { ts: ts(now), writes, catalog: vec![catalog], preserve, logged });
        }
        let durability =
            if self.random.one_in(8) { Durability::Sync } else { Durability::Buffered };
        self.store.apply(Group { commits, durability, retention: &retention }).unwrap();
        let published = self.store.snapshot().unwrap().ts().get();
        assert!(published < self.head(), "applied, and not yet published");
        self.store.publish(ts(self.head()));
    }

    fn check(&mut self, snapshot: &LsmSnapshot) {
        let at = snapshot.ts().get() as usize;
        let state = &self.states[at];
        for _ in 0..8 {
            let key = self.random.key();
            assert_eq!(snapshot.get(&key).unwrap().as_ref(), state.get(&key), "{key:?} at {at}");
        }
        let range = self.random.range();
        let mut expected: std::collections::VecDeque<_> =
            state.iter().filter(|(key, _)| range.contains(key)).collect();
        let mut found = snapshot.range(&range);
        let leaning = 1 + self.random.below(4);
        let front = self.random.one_in(2);
        loop {
            let is_front = front ^ self.random.one_in(leaning + 1);
            let (found, expected) = match is_front {
                true => (found.next(), expected.pop_front()),
                false => (found.next_back(), expected.pop_back()),
            };
            let found = found.map(Result::unwrap);
            assert_eq!(found.as_ref().map(|(k, r)| (k, r)), expected, "{range} at {at}");
            if found.is_none() {
                break;
            }
        }
        assert!(found.next().is_none() && found.next_back().is_none());
    }

    fn check_touched(&mut self, from: &LsmSnapshot, to: &LsmSnapshot) {
        let range = self.random.range();
        let found: Vec<_> =
            self.store.touched(from, to, &range).unwrap().map(Result::unwrap).collect();
        assert!(found.is_sorted_by(|a, b| a < b) && found.iter().all(|key| range.contains(key)));
        let (low, high) = (from.ts().get() as usize, to.ts().get() as usize);
        for (key, _) in self.writes[low + 1..=high].iter().flatten() {
            // What was put and deleted in between shows at neither end.
            let differs = self.states[low].get(key) != self.states[high].get(key);
            if range.contains(key) && differs {
                assert!(found.contains(key), "{key:?} from {low} to {high}");
            }
        }
    }

    fn check_all(&mut self) {
        let head = self.store.snapshot().unwrap();
        assert_eq!(head.ts().get(), self.head());
        let mut at: Vec<u64> = self.pins.iter().copied().collect();
        at.extend(self.since.unwrap_or(self.head())..=self.head());
        let some = self.random.below(at.len());
        let pinned = self.store.snapshot_at(ts(at[some])).unwrap();
        self.check_touched(&pinned, &head);
        for snapshot in [head.clone(), pinned].into_iter().chain(self.held.clone()) {
            self.check(&snapshot);
        }
        if let Some(since) = self.since {
            let changes = self.store.changes(ts(since), &head).unwrap().map(Result::unwrap);
            let found: Vec<_> = changes.map(|c| (c.commit_ts.get(), c.writes)).collect();
            let expected: Vec<_> =
                (since + 1..=self.head()).map(|n| (n, self.writes[n as usize].clone())).collect();
            assert_eq!(found, expected);
        }
        self.store.verify().unwrap();
    }

    fn prune(&mut self) {
        if let Some(since) = &mut self.since {
            *since += self.random.below((self.states.len() as u64 - *since) as usize) as u64;
        }
        self.store.prune(&self.retention()).unwrap();
        let report = self.store.verify().unwrap();
        // Exactly the records that a pin, the horizon or anything above sees.
        let mut alive = BTreeSet::new();
        let from = self.since.unwrap_or(self.head());
        let seen = self.pins.iter().copied().chain(from..=self.head());
        for (key, record) in seen.flat_map(|at| &self.states[at as usize]) {
            alive.insert((key.clone(), record.ts));
        }
        let tombstones = report.records.checked_sub(alive.len() as u64);
        let tombstones = tombstones.expect("an alive record was pruned");
        if self.pins.is_empty() && self.since.is_none() {
            assert_eq!(tombstones, 0, "nothing but the head is left");
        }
    }

    fn reopen(&mut self) {
        self.held.clear();
        if self.random.one_in(2) {
            self.store.close().unwrap();
        }
        // The lock goes with the last handle.
        let path = tempfile::tempdir().unwrap();
        self.store = Builder::new(path.path().join("other")).open_store().unwrap();
        self.store = self.builder.open_store().unwrap();
        let recovered = self.store.recover().unwrap();
        assert_eq!(recovered.last_ts.get(), self.head());
        let newest = Bytes::from(self.head().to_string());
        assert_eq!(recovered.catalog, [(Bytes::from("newest"), newest)]);
    }

    fn step(&mut self) {
        match self.random.below(40) {
            0..20 => self.commit(),
            20..24 => {
                self.commit();
                self.pins.insert(self.head());
            }
            24..27 => {
                let some = self.random.below(self.pins.len().max(1));
                let pin = self.pins.iter().copied().nth(some);
                self.pins.retain(|p| Some(*p) != pin);
            }
            27..30 => self.held.push(self.store.snapshot().unwrap()),
            30..32 if !self.held.is_empty() => {
                self.held.swap_remove(self.random.below(self.held.len()));
            }
            32..35 => self.prune(),
            35 => self.reopen(),
            _ => self.check_all(),
        }
    }
}

fn run(seed: u64, is_logged: bool) {
    let dir = tempfile::tempdir().unwrap();
    let builder = Builder::new(dir.path().join("db")).memtable_bytes(1 << 14);
    // A cache of records that holds all, one that evicts, and none.
    let builder = match seed % 3 {
        0 => builder,
        1 => builder.record_cache_bytes(1000),
        _ => builder.record_cache_bytes(0),
    };
    let store = builder.open_store().unwrap();
    let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let (states, writes) = (vec![State::new()], vec![vec![]]);
    let (pins, held, since) = (BTreeSet::new(), vec![], is_logged.then_some(0));
    let mut h = History { random, builder, store, states, writes, pins, since, held };
    h.commit();
    for _ in 0..250 {
        h.step();
    }
    h.reopen();
    h.check_all();
    h.pins.clear();
    h.since = h.since.map(|_| h.head());
    h.prune();
}

fn each_seed(is_logged: bool) {
    let only = std::env::var("VELLUM_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = only.map_or(1..=4, |seed: u64| seed..=seed);
    for seed in seeds {
        println!("seed {seed}");
        run(seed, is_logged);
    }
}

#[test]
fn pinned_history_reads_as_a_map_a_commit() {
    each_seed(false);
}

#[test]
fn logged_history_reads_as_a_map_a_commit() {
    each_seed(true);
}
