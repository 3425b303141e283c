//! Commits that are fsynced share the fsyncs: how many groups of them come about a
//! second, by the threads that commit, beside what the device syncs alone.
//!
//! Three things are measured by turns: threads that commit 4 puts a transaction; one
//! thread that commits the puts of a whole group in one transaction, so that nobody
//! waits for anybody; and appends of as many bytes, with an fdatasync each, to a file
//! of the same file system that has room for them.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first error")]
#![expect(clippy::print_stdout, reason = "the figures are the result")]

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use vellum::{Connection, ConnectionExt, Durability, Retry, TxnOptions, WriteTxn};
use vellum_benches::{Result, Rng, in_threads, is_smoke, key, lsm, median, records, value};

const THREADS: [u64; 3] = [1, 8, 32];
/// Puts of a transaction.
const PUTS: u64 = 4;
/// Bytes of a put in the journal, of which 116 are its key and value; and of a group.
const PUT_BYTES: usize = 145;
const GROUP_BYTES: usize = 92;
/// Of what the device alone would allow.
const WANTED: f64 = 0.9;

const SYNCED: TxnOptions = TxnOptions::new().durability(Durability::Sync);

/// A file with room for appends: without, a sync writes down where the file system
/// found some, and takes about twice as long.
struct Device {
    file: File,
    at: usize,
    _dir: TempDir,
}

impl Device {
    const ROOM: usize = 16 << 20;

    fn new() -> Result<Self> {
        let dir = TempDir::new()?;
        let mut file = File::create(dir.path().join("device"))?;
        file.write_all(&vec![0; Self::ROOM])?;
        file.sync_all()?;
        Ok(Self { file, at: Self::ROOM, _dir: dir })
    }

    /// Appends so many bytes at a time and syncs them: syncs a second. At the end of
    /// the room it begins anew.
    fn syncs(&mut self, bytes: usize, time: Duration) -> f64 {
        let append = vec![0x5a; bytes];
        let mut syncs = 0u32;
        let begun = Instant::now();
        while syncs == 0 || begun.elapsed() < time {
            if self.at + bytes > Self::ROOM {
                self.file.rewind().unwrap();
                self.at = 0;
            }
            self.file.write_all(&append).unwrap();
            self.file.sync_data().unwrap();
            self.at += bytes;
            syncs += 1;
        }
        f64::from(syncs) / begun.elapsed().as_secs_f64()
    }
}

/// What threads did in one turn.
struct Turn {
    commits: u64,
    /// Each of them has one fsync: no commit here is without.
    groups: u64,
    took: Duration,
}

impl Turn {
    fn a_second(&self, count: u64) -> f64 {
        count as f64 / self.took.as_secs_f64()
    }

    fn groups_a_second(&self) -> f64 {
        self.a_second(self.groups)
    }
}

/// Commits so many puts a transaction, by so many threads, for so long.
fn commit(
    db: &impl Connection,
    n: u64,
    seed: u64,
    threads: u64,
    puts: u64,
    time: Duration,
) -> Turn {
    let before = db.stats().unwrap();
    let until = Instant::now() + time;
    let took = in_threads(threads, threads, |thread, _| {
        let mut rng = Rng::new(seed + thread);
        loop {
            db.transact_with(&SYNCED, &Retry::default(), |txn| {
                (0..puts).try_for_each(|_| txn.put(&key(rng.below(n)), value(&mut rng)))
            })
            .unwrap();
            if Instant::now() >= until {
                break;
            }
        }
    });
    let after = db.stats().unwrap();
    Turn { commits: after.commits - before.commits, groups: after.groups - before.groups, took }
}

/// What one round gave.
struct Round {
    shared: Turn,
    /// Groups of one thread a second.
    alone: f64,
    /// Syncs of the device a second.
    device: f64,
}

fn main() -> Result {
    let n = records(100_000);
    let lsm = lsm(n)?;
    let mut device = Device::new()?;
    let (rounds, time) =
        if is_smoke() { (1, Duration::ZERO) } else { (11, Duration::from_millis(500)) };
    for threads in THREADS {
        let rounds: Vec<Round> = (0..rounds)
            .map(|round| {
                let seed = 1_000 * (round + 1);
                let shared = commit(&lsm.db, n, seed, threads, PUTS, time);
                let puts = (PUTS * shared.commits).div_ceil(shared.groups);
                let alone = commit(&lsm.db, n, seed + threads, 1, puts, time).groups_a_second();
                let bytes = usize::try_from(puts).unwrap() * PUT_BYTES + GROUP_BYTES;
                Round { shared, alone, device: device.syncs(bytes, time) }
            })
            .collect();
        let who = if threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") };
        let of = |pick: fn(&Round) -> f64| median(rounds.iter().map(pick).collect());
        println!(
            "lsm, {PUTS} puts with an fsync, {who}: {:.0} commits a second, in {:.0} \
             groups of {:.1}; one thread with the puts of a group in a transaction: {:.0}; \
             the device alone: {:.0} syncs",
            of(|round| round.shared.a_second(round.shared.commits)),
            of(|round| round.shared.groups_a_second()),
            of(|round| round.shared.commits as f64 / round.shared.groups as f64),
            of(|round| round.alone),
            of(|round| round.device),
        );
        println!(
            "lsm, {who}: commits a second over transactions of a group times syncs of \
             the device: {:.2} (at least {WANTED:.2} is wanted); one thread: {:.2}",
            of(|round| round.shared.groups_a_second() / round.device),
            of(|round| round.alone / round.device),
        );
    }
    Ok(())
}
