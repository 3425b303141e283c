//! Running a [`Workload`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use vellum_core::{
    Bytes, Connection, Error, ErrorKind, Isolation, KeyRange, ReadTxn, Result, SaveOptions,
    Timestamp, TxnOptions, Version, VersionSet, WriteConflicts, WriteTxn,
};

use super::recorder::{Recorded, RecordedRead, Recorder};
use super::types::History;
use super::workload::{Kind, Workload};
use crate::random::Rng;

/// Runs a workload on a database and records it.
///
/// The database may hold anything before; everything that the workload writes
/// has keys that begin with `r` or `l` and a digit. It is left as the workload
/// leaves it, with its versions.
///
/// ```
/// use vellum_conformance::history::{Workload, check, run};
/// # fn main() -> vellum_core::Result<()> {
/// # let db = vellum_mem::open(vellum_core::Options::new())?;
/// let history = run(&db, &Workload::new().seed(3).transactions(200))?;
/// println!("{}", check(&history).expect("serializable"));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Whatever the database reports that a sound one would not: everything but
/// conflicts, versions that another thread removed meanwhile, and open
/// transactions that forbid a save or a revert. A thread stops without an error
/// at `CommitUnknown` and `Poisoned`.
pub fn run<C: Connection>(db: &C, workload: &Workload) -> Result<History> {
    run_with_progress(db, workload, |_| {})
}

/// [`run`], which calls `progress` with the number of transactions done, from
/// the threads of the workload, every hundred transactions or so.
///
/// # Errors
/// As [`run`].
pub fn run_with_progress<C: Connection>(
    db: &C,
    workload: &Workload,
    progress: impl Fn(u64) + Sync,
) -> Result<History> {
    let recorder = Recorder::new(db.clone())?;
    let threads = u64::from(workload.threads.max(1));
    let shared = Shared { done: AtomicU64::new(0), writers: RwLock::new(()) };
    let results: Vec<Result<()>> = std::thread::scope(|scope| {
        let spawned: Vec<_> = (0..threads)
            .map(|n| {
                let share = workload.transactions / threads
                    + u64::from(n < workload.transactions % threads);
                let mut worker = Worker::new(recorder.session(), *workload, n, &shared);
                let progress = &progress;
                scope.spawn(move || worker.run(share, progress))
            })
            .collect();
        let died = || Err(Error::new(ErrorKind::Io, "a thread of the workload panicked"));
        spawned.into_iter().map(|t| t.join().unwrap_or_else(|_| died())).collect()
    });
    results.into_iter().collect::<Result<()>>()?;
    read_everything(&recorder.session())?;
    Ok(recorder.history())
}

/// The head from both ends, and every version.
fn read_everything<C: Connection>(db: &Recorded<C>) -> Result<()> {
    let head = db.begin_read()?;
    for item in head.range(..) {
        item?;
    }
    for item in head.range(..).rev() {
        item?;
    }
    for info in db.versions()?.iter() {
        for item in db.read_at(info.version)?.range(..) {
            item?;
        }
    }
    Ok(())
}

struct Shared {
    done: AtomicU64,
    /// Writers hold it shared; a revert that is to find none holds it alone.
    writers: RwLock<()>,
}

/// One thread.
struct Worker<'a, C: Connection> {
    db: Recorded<C>,
    workload: Workload,
    number: u64,
    rng: Rng,
    shared: &'a Shared,
    /// How many values this thread wrote.
    values: u64,
    /// How many transactions it began.
    begun: u64,
    /// A reader that stays open, and for how many transactions more.
    long: Option<(RecordedRead<C>, u64)>,
}

/// How many appends a list gets, about, before the keys move on.
const LIST_LEN: u64 = 24;

impl<'a, C: Connection> Worker<'a, C> {
    fn new(db: Recorded<C>, workload: Workload, number: u64, shared: &'a Shared) -> Self {
        let rng = Rng::new(Rng::new(workload.seed).next_u64() ^ (number << 32));
        Self { db, workload, number, rng, shared, values: 0, begun: 0, long: None }
    }

    fn run(&mut self, transactions: u64, progress: &(impl Fn(u64) + Sync)) -> Result<()> {
        for n in 0..transactions {
            self.begun = n;
            match self.step() {
                Ok(()) => {}
                Err(e) => match e.kind() {
                    ErrorKind::Conflict
                    | ErrorKind::OpenTransactions
                    | ErrorKind::VersionNotFound
                    | ErrorKind::InvalidVersion
                    | ErrorKind::HistoryPruned => {}
                    ErrorKind::CommitUnknown | ErrorKind::Poisoned => break,
                    _ => return Err(e),
                },
            }
            let done = self.shared.done.fetch_add(1, Ordering::Relaxed) + 1;
            if done.is_multiple_of(100) {
                progress(done);
            }
        }
        self.long = None;
        Ok(())
    }

    fn step(&mut self) -> Result<()> {
        self.long_reader()?;
        if self.rng.below(1_000) < self.workload.versions {
            return self.version();
        }
        if self.rng.percent(self.workload.readers) {
            let txn = self.db.begin_read()?;
            for _ in 0..=self.rng.below(self.workload.ops) {
                self.look(&txn)?;
            }
            if self.long.is_none() && self.rng.percent(20) {
                let lasts = 1 + self.rng.below(60);
                self.long = Some((txn, lasts));
            }
            return Ok(());
        }
        let writers = self.shared.writers.read().unwrap_or_else(PoisonError::into_inner);
        let result = self.write();
        drop(writers);
        result
    }

    /// The reader that stays open looks at something, or ends.
    fn long_reader(&mut self) -> Result<()> {
        let Some((txn, left)) = self.long.take() else { return Ok(()) };
        if self.rng.percent(25) {
            self.look(&txn)?;
        }
        self.long = left.checked_sub(1).map(|left| (txn, left));
        Ok(())
    }

    /// A key; lists move on, so that each gets only so many appends.
    fn key(&mut self) -> Bytes {
        let Workload { keys, skew, kind, ops, threads, .. } = self.workload;
        let keys = keys.max(1);
        let among = if self.rng.percent(skew) { keys.div_ceil(10) } else { keys };
        let n = self.rng.below(among);
        match kind {
            Kind::Registers => format!("r{n:04}").into(),
            Kind::ListAppend => {
                let appends = self.begun * u64::from(threads.max(1)) * (ops / 2 + 1) / 2;
                let moved = appends / (LIST_LEN * keys) * keys;
                format!("l{:07}", moved + n).into()
            }
        }
    }

    fn unique(&mut self) -> u64 {
        self.values += 1;
        self.number * 1_000_000_000 + self.values
    }

    /// One read of some kind.
    fn look(&mut self, txn: &impl ReadTxn) -> Result<Option<Bytes>> {
        if self.rng.percent(self.workload.ranges) {
            self.range(txn)?;
            return Ok(None);
        }
        let key = self.key();
        txn.get(&key)
    }

    /// A range from one end, the other or both, to its end or not.
    fn range(&mut self, txn: &impl ReadTxn) -> Result<()> {
        let (a, b) = (self.key(), self.key());
        let mut range = KeyRange::from(a.clone()..b.clone());
        if range.is_empty() && self.rng.percent(95) {
            range = KeyRange::from(b..=a);
        }
        if self.rng.percent(2) {
            range = KeyRange::all();
        }
        let mut items = txn.range(&range);
        let limit = if self.rng.percent(60) { self.rng.below(4) } else { 12 };
        let way = self.rng.below(3);
        for n in 0..limit {
            let item = match way {
                0 => items.next(),
                1 => items.next_back(),
                _ if n % 2 == 0 => items.next(),
                _ => items.next_back(),
            };
            if item.transpose()?.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// A write transaction.
    fn write(&mut self) -> Result<()> {
        let lists = self.workload.kind == Kind::ListAppend;
        let blind = !lists && self.rng.percent(self.workload.blind);
        let mut options = TxnOptions::new();
        if self.rng.percent(self.workload.snapshot) {
            options = options.isolation(Isolation::Snapshot);
        }
        if blind {
            options = options.write_conflicts(WriteConflicts::Ignore);
        }
        let mut txn = self.db.begin_write_with(&options)?;
        for _ in 0..=self.rng.below(self.workload.ops) {
            let what = self.rng.below(100);
            if lists && what < 50 {
                self.append(&mut txn)?;
            } else if blind || (!lists && what < 40) {
                let (key, value) = (self.key(), self.unique().to_string());
                txn.put(&key, value)?;
            } else if !lists && what < 40 + self.workload.deletes {
                let key = self.key();
                txn.delete(&key)?;
            } else if what >= 97 && options.isolation == Isolation::Snapshot {
                self.look(&txn.snapshot_reads())?;
            } else {
                self.look(&txn)?;
            }
        }
        if self.rng.percent(self.workload.discards) {
            txn.discard();
            return Ok(());
        }
        txn.commit().map(drop)
    }

    fn append(&mut self, txn: &mut impl WriteTxn) -> Result<()> {
        let (key, element) = (self.key(), self.unique());
        let list = match txn.get(&key)? {
            Some(list) => format!("{} {element}", String::from_utf8_lossy(&list)),
            None => element.to_string(),
        };
        txn.put(&key, list)
    }

    /// Something that has to do with versions.
    fn version(&mut self) -> Result<()> {
        let versions = self.db.versions()?;
        let nth = usize::try_from(self.rng.below(versions.len() as u64)).unwrap_or(0);
        let some = versions.iter().nth(nth).map(|v| (v.version, v.commit_ts));
        let takes_back = self.workload.kind == Kind::Registers;
        match (self.rng.below(100), some) {
            (0..30, _) | (_, None) => {
                let mut options = SaveOptions::new();
                if self.rng.percent(80) {
                    options = options.with_open_writers();
                }
                self.db.save_version_with(options).map(drop)
            }
            (30..60, Some((version, ts))) => self.look_back(version, ts),
            (60..70, Some((version, _))) => {
                if versions.len() > 8 || self.rng.percent(30) {
                    self.db.delete_versions(&[version])?;
                }
                Ok(())
            }
            (70..85, Some((version, _))) if takes_back => {
                let (a, b) = (self.key(), self.key());
                self.db.restore(version, (a..b).into()).map(drop)
            }
            (85.., Some((version, _))) if takes_back => {
                // Alone half of the time: among writers it is refused.
                let alone = self.rng.percent(50);
                let lock = alone
                    .then(|| self.shared.writers.write().unwrap_or_else(PoisonError::into_inner));
                let reverted = match self.rng.percent(50) {
                    true => self.db.revert(),
                    false => self.db.revert_to(version),
                };
                drop(lock);
                reverted.map(drop)
            }
            _ => Ok(()),
        }
    }

    fn look_back(&mut self, version: Version, ts: Timestamp) -> Result<()> {
        let txn = match self.rng.percent(70) {
            true => self.db.read_at(version)?,
            false => self.db.read_as_of(ts)?,
        };
        for _ in 0..3 {
            self.look(&txn)?;
        }
        if self.rng.percent(10) {
            for item in txn.range(..) {
                item?;
            }
        }
        Ok(())
    }
}
