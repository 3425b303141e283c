//! Floods: threads write as fast as they can, into buffers so small that some are
//! always full. Who waits for whom then is seen nowhere else. Loads of this kind once
//! ended in a hang, of workers that waited for each other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use vellum_conformance::{Factory, Rng};
use vellum_core::{Connection, ConnectionExt, Durability, Options, ReadTxn, SaveOptions, WriteTxn};
use vellum_lsm::LsmDatabase;

use crate::Failure;
use crate::places::{Backend, Lsm};
use crate::tally::Tally;
use crate::task::{Shown, Task};

/// Transactions between two openings, at most.
const FLOOD: u64 = 100_000;

/// Floods of the backend on disk.
#[derive(Debug)]
pub(crate) struct Floods(pub(crate) Lsm);

impl Task for Floods {
    fn name(&self) -> &'static str {
        "floods"
    }

    fn round(&self) -> u64 {
        FLOOD
    }

    fn usual(&self) -> u64 {
        20 * FLOOD
    }

    fn run(&self, seed: u64, budget: u64, shown: &Shown<'_>) -> Result<Tally, Failure> {
        let mut rng = Rng::new(seed);
        let mut tally = Tally::default();
        for n in 0..budget.div_ceil(FLOOD) {
            let shape = Shape::new(&mut rng);
            let text = tally.to_string();
            let done = |transactions| shown.at(n * FLOOD + transactions, &text);
            let found = self.flood(&shape, &done).map_err(|e| format!("{e}\nunder {shape:?}"))?;
            tally.add(&found);
        }
        Ok(tally)
    }
}

/// What a flood is like.
#[derive(Debug)]
struct Shape {
    seed: u64,
    threads: u64,
    /// Keys of each thread, which no other writes.
    keys: u64,
    /// Writes of a transaction.
    writes: u64,
    /// Bytes of a value, at most.
    value_len: u64,
    memtable_bytes: u64,
    workers: usize,
    /// In how many of a hundred looks at the threads a version is saved.
    saves: u64,
}

impl Shape {
    fn new(rng: &mut Rng) -> Self {
        Self {
            seed: rng.next_u64(),
            threads: rng.pick(&[1, 2, 4, 8], 2),
            keys: rng.pick(&[50, 1_000, 100_000], 50),
            writes: rng.pick(&[1, 4, 16], 4),
            value_len: rng.pick(&[10, 100, 1_000], 100),
            memtable_bytes: rng.pick(&[16 << 10, 64 << 10, 512 << 10], 64 << 10),
            workers: rng.pick(&[1, 1, 2], 1),
            saves: rng.pick(&[0, 5, 50], 0),
        }
    }

    /// Those of a thread: fewer, where they are large.
    fn transactions(&self) -> u64 {
        FLOOD * 4 / self.writes.max(4) / self.threads
    }

    fn key(thread: u64, n: u64) -> Vec<u8> {
        format!("{thread}/{n:06}").into_bytes()
    }

    /// What a write of this number leaves: nothing, for every seventh.
    fn value(&self, thread: u64, write: u64) -> Option<Vec<u8>> {
        let mut rng = Rng::new(self.seed ^ (thread << 56) ^ write);
        let len = usize::try_from(rng.below(self.value_len)).unwrap_or_default();
        (!write.is_multiple_of(7)).then(|| {
            let mut value = write.to_be_bytes().to_vec();
            value.resize(8 + len, b'.');
            value
        })
    }

    /// The work of one thread: the last write of each of its keys.
    fn write(
        &self,
        db: &LsmDatabase,
        thread: u64,
        committed: &AtomicU64,
    ) -> Result<Vec<u64>, Failure> {
        let mut rng = Rng::new(self.seed.wrapping_add(thread));
        let mut last = vec![0; usize::try_from(self.keys).unwrap_or_default()];
        for transaction in 0..self.transactions() {
            let mut txn = db.begin_write()?;
            for n in 0..self.writes {
                let write = transaction * self.writes + n + 1;
                let at = rng.index(last.len());
                let key = Self::key(thread, at as u64);
                match self.value(thread, write) {
                    Some(value) => txn.put(&key, value)?,
                    None => txn.delete(&key)?,
                }
                if let Some(last) = last.get_mut(at) {
                    *last = write;
                }
            }
            txn.commit()?;
            committed.fetch_add(1, Ordering::Relaxed);
        }
        Ok(last)
    }

    /// Whether the database has just what was written last; how many records. Says
    /// now and then that it goes on.
    fn check(
        &self,
        db: &LsmDatabase,
        last: &[Vec<u64>],
        goes_on: &dyn Fn(),
    ) -> Result<u64, Failure> {
        let txn = db.begin_read()?;
        let mut there = 0;
        for (thread, last) in (0..).zip(last) {
            for (n, &write) in (0..).zip(last) {
                if n % 1_000 == 0 {
                    goes_on();
                }
                let key = Self::key(thread, n);
                let expected = if write > 0 { self.value(thread, write) } else { None };
                let found = txn.get(&key)?;
                there += u64::from(found.is_some());
                if found.as_deref() != expected.as_deref() {
                    let (key, found) = (key.escape_ascii(), found.map(|value| value.len()));
                    return Err(format!(
                        "key {key} was last written by write {write}; bytes found: {found:?}"
                    )
                    .into());
                }
            }
        }
        let mut all = 0;
        for item in txn.range(..) {
            item?;
            all += 1;
        }
        if all != there {
            return Err(format!("a scan of all finds {all} records, gets find {there}").into());
        }
        Ok(there)
    }
}

impl Floods {
    fn flood(&self, shape: &Shape, done: &dyn Fn(u64)) -> Result<Tally, Failure> {
        let place = self.0.place()?;
        let options = Options::new().durability(Durability::Buffered);
        let small = place.builder().memtable_bytes(shape.memtable_bytes).cache_bytes(1 << 20);
        let db = small.worker_threads(shape.workers).options(options).open()?;
        let committed = AtomicU64::new(0);
        let last = std::thread::scope(|scope| {
            let write = |thread| {
                let (db, committed) = (&db, &committed);
                scope.spawn(move || shape.write(db, thread, committed))
            };
            let threads: Vec<_> = (0..shape.threads).map(write).collect();
            let mut rng = Rng::new(shape.seed);
            let mut seen = 0;
            while !threads.iter().all(std::thread::ScopedJoinHandle::is_finished) {
                std::thread::sleep(Duration::from_millis(5));
                // Who hangs shows no sign of life, nor does this.
                let now = committed.load(Ordering::Relaxed);
                if now > seen {
                    done(now);
                    seen = now;
                }
                if rng.percent(shape.saves) {
                    db.save_version_with(SaveOptions::new().with_open_writers())?;
                }
            }
            threads
                .into_iter()
                .map(|thread| thread.join().map_err(|_| "a thread that writes panicked")?)
                .collect::<Result<Vec<_>, Failure>>()
        })?;
        let transactions = shape.transactions() * shape.threads;
        let goes_on = || done(transactions);
        shape.check(&db, &last, &goes_on)?;
        db.verify()?;
        db.close()?;
        drop(db);
        let db = place.open(&options)?;
        let there = shape.check(&db, &last, &goes_on).map_err(|e| format!("{e}, opened again"))?;
        db.verify()?;
        db.close()?;
        drop(db);
        place.destroy();
        Ok(Tally::of("transactions of floods", transactions)
            .and("records found after floods", there))
    }
}
