//! What each path costs one core, measured through the real engine.

use std::hint::{black_box, spin_loop};
use std::time::{Duration, Instant};

use vellum::{
    Bytes, Commit, Connection, ConnectionExt, Database, Durability, Group, Previous, ReadTxn,
    Retention, Snapshot, Store, Timestamp, TxnOptions, Write, WriteTxn,
};
use vellum_benches::{Result, Rng, key, median, value};

use crate::counts::LOOKS;
use crate::path::Path;

/// How long a figure is measured for in each of its rounds, and how many there are.
const ROUND: Duration = Duration::from_millis(30);
const ROUNDS: usize = 9;
/// The commits of a large group.
const MANY: usize = 32;

/// Nanoseconds of one core on one backend.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Local {
    /// To begin a read and drop it.
    pub(crate) begin_read: u64,
    /// A get in it.
    pub(crate) get: u64,
    /// The same of one key over and over.
    pub(crate) get_hot: u64,
    /// To begin a write and drop it.
    pub(crate) begin_write: u64,
    /// A put, with making its value.
    pub(crate) put: u64,
    /// What a commit takes besides the store's part.
    pub(crate) decide: u64,
    /// The store's part of a group, besides its commits.
    pub(crate) group: u64,
    /// The store's part of a commit of one key.
    pub(crate) apply: u64,
}

/// All that is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Costs {
    pub(crate) memory: Local,
    pub(crate) disk: Local,
    /// What a commit with an fsync takes more than one without.
    pub(crate) fsync: u64,
    /// How long a follower looks before it sleeps, at least.
    pub(crate) spin: u64,
    /// From waking a thread until it runs.
    pub(crate) wake: u64,
    /// What it costs who wakes, each.
    pub(crate) waking: u64,
}

impl Costs {
    pub(crate) fn of(&self, path: Path) -> Local {
        if path.is_on_disk() { self.disk } else { self.memory }
    }

    /// Figures for tests, that can be added up by hand.
    #[cfg(test)]
    pub(crate) fn round() -> Self {
        let memory = Local {
            begin_read: 50,
            get: 200,
            get_hot: 200,
            begin_write: 60,
            put: 100,
            decide: 300,
            group: 400,
            apply: 100,
        };
        Self { memory, disk: memory, fsync: 1_000_000, spin: 4_000, wake: 20_000, waking: 1_000 }
    }
}

/// The median nanoseconds of each of several works, which take turns: what slows the
/// machine for a while then slows them all.
fn times<const N: usize>(mut works: [&mut dyn FnMut() -> Result; N]) -> Result<[f64; N]> {
    let mut all: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
    // The first round is to warm up.
    for round in 0..=ROUNDS {
        for (work, all) in works.iter_mut().zip(&mut all) {
            let (begun, mut times, mut batch) = (Instant::now(), 0_u32, 1);
            while begun.elapsed() < ROUND {
                (0..batch).try_for_each(|_| work())?;
                times += batch;
                batch = (batch * 2).min(64);
            }
            if round > 0 {
                all.push(begun.elapsed().as_secs_f64() * 1e9 / f64::from(times));
            }
        }
    }
    Ok(all.map(median))
}

/// Whole nanoseconds; none is below 1.
#[expect(clippy::cast_possible_truncation, reason = "a time that was measured")]
pub(crate) fn whole(ns: f64) -> u64 {
    ns.round().max(1.0) as u64
}

/// Measures one backend with records 0 to `keys`. What a commit takes besides the
/// store's part is the engine's, and the same on any backend: it is given where it is
/// known. The store is not fit for use after.
pub(crate) fn local<S: Store>(db: &Database<S>, keys: u64, decide: Option<u64>) -> Result<Local> {
    let rng = || Rng::new(5);
    let (mut spread_rng, mut open_rng, mut change_rng, mut apply_rng) =
        (rng(), rng(), rng(), rng());
    let get = |n: u64| -> Result {
        let found = db.begin_read()?.get(&key(n))?;
        found.map(drop).ok_or_else(|| "a record is missing".into())
    };
    let [begin_read, spread, hot, begin_write, uncommitted, committed] = times([
        &mut || {
            drop(black_box(db.begin_read()?));
            Ok(())
        },
        &mut || get(spread_rng.below(keys)),
        &mut || get(0),
        &mut || {
            drop(black_box(db.begin_write()?));
            Ok(())
        },
        &mut || change(db, keys, &mut open_rng, None),
        &mut || change(db, keys, &mut change_rng, Some(Durability::Buffered)),
    ])?;
    let commit = committed - uncommitted;
    let mut ts = db.begin_read()?.read_ts();
    let one = apply(db.store(), keys, &mut apply_rng, &mut ts, 1)?;
    let many = apply(db.store(), keys, &mut apply_rng, &mut ts, MANY)?;
    let apply = ((many - one) / (MANY - 1) as f64).max(1.0);
    let decide = decide.unwrap_or_else(|| whole(commit - one));
    Ok(Local {
        begin_read: whole(begin_read),
        get: whole(spread - begin_read),
        get_hot: whole(hot - begin_read),
        begin_write: whole(begin_write),
        put: whole(uncommitted - begin_write - (spread - begin_read)),
        decide,
        group: whole(commit - decide as f64 - apply),
        apply: whole(apply),
    })
}

/// A read-modify-write of one key; committed, if it says how.
pub(crate) fn change(
    db: &impl Connection,
    keys: u64,
    rng: &mut Rng,
    durability: Option<Durability>,
) -> Result {
    let key = key(rng.below(keys));
    let options = TxnOptions::new().durability(durability.unwrap_or(Durability::Buffered));
    let mut txn = db.begin_write_with(&options)?;
    txn.get(&key)?.ok_or("a record is missing")?;
    txn.put(&key, value(rng))?;
    if durability.is_some() {
        // One thread has nobody to lose to; of several, one that loses did its work too.
        match txn.commit() {
            Err(e) if e.is_retryable() => {}
            committed => drop(committed?),
        }
    }
    Ok(())
}

/// The nanoseconds that the store takes for a group of so many commits of one key,
/// each key read shortly before, as by a read-modify-write.
fn apply<S: Store>(
    store: &S,
    keys: u64,
    rng: &mut Rng,
    ts: &mut Timestamp,
    commits: usize,
) -> Result<f64> {
    const GROUPS: usize = 200;
    let [clock] = times([&mut || {
        black_box(Instant::now().elapsed());
        Ok(())
    }])?;
    let mut all = Vec::with_capacity(ROUNDS * GROUPS);
    for _ in 0..ROUNDS * GROUPS {
        let (seen, mut group) = (store.snapshot()?, Vec::with_capacity(commits));
        for _ in 0..commits {
            *ts = Timestamp::new(ts.get() + 1);
            let key = Bytes::copy_from_slice(&key(rng.below(keys)));
            seen.get(&key)?.ok_or("a record is missing")?;
            let value = Some(store.pack(value(rng)));
            let writes = vec![Write { key, value, previous: Previous::Unknown }];
            let (catalog, preserve, logged) = (Vec::new(), None, false);
            group.push(Commit { ts: *ts, writes, catalog, preserve, logged });
        }
        drop(seen);
        let retention = Retention::new(Vec::new(), Vec::new(), ts.prev());
        let durability = Durability::Buffered;
        let begun = Instant::now();
        store.apply(Group { commits: group, durability, retention: &retention })?;
        store.publish(*ts);
        all.push(begun.elapsed().as_secs_f64() * 1e9 - clock);
    }
    Ok(median(all))
}

/// What a commit with an fsync takes more than one without.
pub(crate) fn fsync(db: &impl Connection, keys: u64) -> Result<u64> {
    let mut rngs = [Rng::new(6), Rng::new(7)];
    let [synced, buffered] = &mut rngs;
    let [synced, unsynced] =
        times([&mut || change(db, keys, synced, Some(Durability::Sync)), &mut || {
            change(db, keys, buffered, Some(Durability::Buffered))
        }])?;
    Ok(whole(synced - unsynced))
}

/// How long a follower looks before it sleeps, at least: the same loop.
pub(crate) fn spin() -> Result<u64> {
    let [looks] = times([&mut || {
        for look in 1..=black_box(LOOKS.0) {
            if look % 8 == 0 { std::thread::yield_now() } else { spin_loop() }
        }
        Ok(())
    }])?;
    Ok(whole(looks))
}
