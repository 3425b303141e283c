//! Does one kind of work on disk, so that a profiler can look at it and nothing
//! else: Vellum's transactions, or those of fjall underneath, on the same records.
//!
//! ```text
//! work vellum DIR --op scan      # creates DIR with its records, if it is not there
//! valgrind --tool=callgrind --toggle-collect='*measured*' work vellum DIR --op scan
//! work turns DIR DIR2 --op scan  # wall time, by turns: Vellum in DIR, fjall in DIR2
//! ```
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a report")]

use std::path::Path;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, OptimisticTxDatabase, PersistMode, Readable,
};
use vellum::lsm::LsmDatabase;
use vellum::{Bytes, Connection, ConnectionExt, Durability, Options, ReadTxn, WriteTxn};
use vellum_benches::{Result, Rng, absent_key, by_turns, key, load, load_order, value};

/// Records of a scan.
const SCAN: usize = 100;
/// Writes of a transaction.
const PUTS: usize = 4;

/// Does one kind of work on disk, for a profiler, or by turns for its time.
#[derive(Parser)]
struct Args {
    subject: Subject,
    /// Where the data is, one directory for each subject.
    #[arg(required = true)]
    dirs: Vec<std::path::PathBuf>,
    #[arg(long, default_value = "scan")]
    op: Op,
    /// How often.
    #[arg(long, default_value_t = 200)]
    times: u64,
    #[arg(long, default_value_t = 100_000)]
    records: u64,
    /// Rounds of turns.
    #[arg(long, default_value_t = 31)]
    rounds: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subject {
    Vellum,
    Fjall,
    Optimistic,
    /// Vellum, and fjall's optimistic transactions.
    Turns,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Op {
    /// 100 records from a random key on, in a fresh read transaction each.
    Scan,
    /// The same, downwards.
    Reverse,
    /// The same, upwards in a write transaction that writes nothing.
    ScanWrite,
    /// Only the first of them.
    First,
    /// Every record.
    All,
    /// A key that is there.
    Get,
    /// A key that is not.
    Absent,
    /// Blind writes of four random keys, in order, unsynced.
    Puts,
    /// Blind writes of a thousand keys, in random order, unsynced.
    Load,
}

impl Op {
    fn is_writing(self) -> bool {
        matches!(self, Self::Puts | Self::Load)
    }
}

/// What is done by either.
trait Work {
    fn scan(&self, start: &[u8], is_reverse: bool, limit: usize) -> Result<usize>;
    fn scan_write(&self, start: &[u8], limit: usize) -> Result<usize>;
    fn get(&self, key: &[u8]) -> Result<bool>;
    fn put(&self, records: Vec<([u8; 16], Bytes)>) -> Result;
}

impl Work for LsmDatabase {
    fn scan(&self, start: &[u8], is_reverse: bool, limit: usize) -> Result<usize> {
        let txn = self.begin_read()?;
        let mut bytes = 0;
        let mut each = |item: vellum::Result<vellum::KeyValue>| {
            item.map(|(key, value)| bytes += key.len() + value.len())
        };
        match is_reverse {
            true => txn.range(..start).rev().take(limit).try_for_each(&mut each)?,
            false => txn.range(start..).take(limit).try_for_each(&mut each)?,
        }
        Ok(bytes)
    }

    fn scan_write(&self, start: &[u8], limit: usize) -> Result<usize> {
        let txn = self.begin_write()?;
        let mut bytes = 0;
        txn.range(start..)
            .take(limit)
            .try_for_each(|item| item.map(|(key, value)| bytes += key.len() + value.len()))?;
        txn.commit()?;
        Ok(bytes)
    }

    fn get(&self, key: &[u8]) -> Result<bool> {
        Ok(self.begin_read()?.get(key)?.is_some())
    }

    fn put(&self, records: Vec<([u8; 16], Bytes)>) -> Result {
        let mut txn = self.begin_write()?;
        records.into_iter().try_for_each(|(key, value)| txn.put(&key, value))?;
        txn.commit()?;
        Ok(())
    }
}

fn sum(iter: impl Iterator<Item = fjall::Guard>, limit: usize) -> Result<usize> {
    let mut bytes = 0;
    for guard in iter.take(limit) {
        let (key, value) = guard.into_inner()?;
        bytes += key.len() + value.len();
    }
    Ok(bytes)
}

fn scan_fjall(
    snapshot: &fjall::Snapshot,
    keyspace: &Keyspace,
    start: &[u8],
    is_reverse: bool,
    limit: usize,
) -> Result<usize> {
    match is_reverse {
        true => sum(snapshot.range(keyspace, ..start).rev(), limit),
        false => sum(snapshot.range(keyspace, start..), limit),
    }
}

struct Raw(Database, Keyspace);

impl Work for Raw {
    fn scan(&self, start: &[u8], is_reverse: bool, limit: usize) -> Result<usize> {
        scan_fjall(&self.0.snapshot(), &self.1, start, is_reverse, limit)
    }

    fn scan_write(&self, start: &[u8], limit: usize) -> Result<usize> {
        sum(self.0.snapshot().range(&self.1, start..), limit)
    }

    fn get(&self, key: &[u8]) -> Result<bool> {
        Ok(self.0.snapshot().get(&self.1, key)?.is_some())
    }

    fn put(&self, records: Vec<([u8; 16], Bytes)>) -> Result {
        let mut batch = self.0.batch().durability(Some(PersistMode::Buffer));
        records.into_iter().for_each(|(key, value)| batch.insert(&self.1, key, value));
        Ok(batch.commit()?)
    }
}

struct Optimistic(OptimisticTxDatabase, Keyspace);

impl Work for Optimistic {
    fn scan(&self, start: &[u8], is_reverse: bool, limit: usize) -> Result<usize> {
        scan_fjall(&self.0.read_tx(), &self.1, start, is_reverse, limit)
    }

    fn scan_write(&self, start: &[u8], limit: usize) -> Result<usize> {
        let txn = self.0.write_tx()?;
        let bytes = sum(txn.range(&self.1, start..), limit)?;
        txn.commit()?.map_err(|_| "a conflict")?;
        Ok(bytes)
    }

    fn get(&self, key: &[u8]) -> Result<bool> {
        Ok(self.0.read_tx().get(&self.1, key)?.is_some())
    }

    fn put(&self, records: Vec<([u8; 16], Bytes)>) -> Result {
        let mut txn = self.0.write_tx()?.durability(Some(PersistMode::Buffer));
        records.into_iter().for_each(|(key, value)| txn.insert(&self.1, key, value));
        Ok(txn.commit()?.map_err(|_| "a conflict")?)
    }
}

/// Everything the work touches is made before: this alone is to be looked at.
#[inline(never)]
fn measured(work: &dyn Work, op: Op, keys: &[[u8; 16]], values: Vec<Bytes>) -> Result<usize> {
    let mut sum = 0;
    if op.is_writing() {
        let part = if op == Op::Puts { PUTS } else { 1000 };
        let mut values = values.into_iter();
        for keys in keys.chunks(part) {
            work.put(keys.iter().copied().zip(&mut values).collect())?;
        }
        return Ok(0);
    }
    for key in keys {
        sum += match op {
            Op::Reverse => work.scan(key, true, SCAN)?,
            Op::ScanWrite => work.scan_write(key, SCAN)?,
            Op::First => work.scan(key, false, 1)?,
            Op::All => work.scan(b"", false, usize::MAX)?,
            Op::Get | Op::Absent => usize::from(work.get(key)?),
            _ => work.scan(key, false, SCAN)?,
        };
    }
    Ok(sum)
}

/// The keys of so many operations.
fn keys(op: Op, times: u64, records: u64, rng: &mut Rng) -> Vec<[u8; 16]> {
    let margin = SCAN as u64;
    let inner = |rng: &mut Rng| margin + rng.below(records.saturating_sub(2 * margin));
    match op {
        Op::Absent => (0..times).map(|_| absent_key(rng.below(records))).collect(),
        Op::Load => (0..1000 * times).map(|_| key(rng.below(records))).collect(),
        Op::Puts => (0..times)
            .flat_map(|_| {
                let mut four = [0; PUTS].map(|_: u64| key(rng.below(records)));
                four.sort_unstable();
                four
            })
            .collect(),
        _ => (0..times).map(|_| key(inner(rng))).collect(),
    }
}

fn run(work: &dyn Work, args: &Args, rng: &mut Rng, is_first: bool) -> Result<f64> {
    let keys = keys(args.op, args.times, args.records, rng);
    let writes = if args.op.is_writing() { keys.len() } else { 0 };
    let values = (0..writes).map(|_| value(rng)).collect();
    if is_first && !args.op.is_writing() {
        // So that blocks are in the cache.
        work.scan(b"", false, usize::MAX)?;
    }
    let begun = Instant::now();
    std::hint::black_box(measured(work, args.op, &keys, values)?);
    #[expect(clippy::cast_precision_loss, reason = "a time, to be printed")]
    Ok(begun.elapsed().as_nanos() as f64 / args.times as f64)
}

fn vellum(dir: &Path, records: u64) -> Result<LsmDatabase> {
    let is_new = !dir.exists();
    let options = Options::new().durability(Durability::Buffered);
    let db = vellum::lsm::Builder::new(dir).options(options).open()?;
    if is_new {
        load(&db, records)?;
        db.store().flush()?;
    }
    Ok(db)
}

fn raw(database: Database, is_new: bool, records: u64) -> Result<Raw> {
    let keyspace = database.keyspace("data", KeyspaceCreateOptions::default)?;
    let raw = Raw(database, keyspace);
    if is_new {
        let mut rng = Rng::new(1);
        let order: Vec<u64> = load_order(records).collect();
        for chunk in order.chunks(1000) {
            raw.put(chunk.iter().map(|&i| (key(i), value(&mut rng))).collect())?;
        }
        raw.1.rotate_memtable_and_wait()?;
    }
    Ok(raw)
}

fn optimistic(dir: &Path, records: u64) -> Result<Optimistic> {
    let is_new = !dir.exists();
    let database = OptimisticTxDatabase::builder(dir).open()?;
    let Raw(_, keyspace) = raw(database.inner().clone(), is_new, records)?;
    Ok(Optimistic(database, keyspace))
}

fn main() -> Result {
    let args = Args::parse();
    let dir = |i: usize| args.dirs.get(i).ok_or("a directory for each subject");
    let mut rng = Rng::new(3);
    let ns = match args.subject {
        Subject::Vellum => run(&vellum(dir(0)?, args.records)?, &args, &mut rng, true)?,
        Subject::Fjall => {
            let is_new = !dir(0)?.exists();
            let raw = raw(Database::builder(dir(0)?).open()?, is_new, args.records)?;
            run(&raw, &args, &mut rng, true)?
        }
        Subject::Optimistic => run(&optimistic(dir(0)?, args.records)?, &args, &mut rng, true)?,
        Subject::Turns => {
            let (ours, theirs) =
                (vellum(dir(0)?, args.records)?, optimistic(dir(1)?, args.records)?);
            let mut rngs = (rng.clone(), rng);
            let turns = by_turns(
                args.rounds,
                || run(&theirs, &args, &mut rngs.0, false).unwrap_or(f64::NAN),
                || run(&ours, &args, &mut rngs.1, false).unwrap_or(f64::NAN),
            );
            println!("{:.3} of fjall's time, {:?}", turns.ratio, turns.times);
            return Ok(());
        }
    };
    println!("{ns:.0} ns");
    Ok(())
}
