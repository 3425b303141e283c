//! The process of one engine: it does what the lines of its input ask.

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use crate::Result;
use crate::alloc;
use crate::args::WorkerArgs;
use crate::cells::{Cell, cell_of};
use crate::data::value;
use crate::drive::{Tally, drive, nanoseconds};
use crate::engine::{Durability, Engine, Outcome, Reads as _, Settings, Writes as _};
use crate::engines::{Visit, dispatch};
use crate::keys::{Rng, key, load_order};
use crate::ops::{Data, check, set_all, sum};
use crate::protocol::{Figures, Reply, Request};
use crate::space::Space;
use crate::zipf::Zipf;

/// The same for all engines.
const SETTINGS: Settings = Settings { cache: 256 << 20, memtable: 64 << 20 };
/// Puts of a transaction that loads.
const A_LOAD: usize = 1000;
/// Transactions between a load and a kill.
const DIRTY: u64 = 10_000;
/// A key above all that the cells know, for the commit before a kill.
const MARK: u64 = 400_000_000_000;

/// Answers until the input ends.
pub fn serve(args: &WorkerArgs) -> Result {
    if args.count {
        alloc::count();
    }
    dispatch(&args.engine, Serve { args })?
}

struct Serve<'a> {
    args: &'a WorkerArgs,
}

impl Visit for Serve<'_> {
    type Output = Result;

    fn visit<E: Engine>(self) -> Result {
        let mut worker = Worker::<E> {
            engine: None,
            dir: self.args.dir.clone(),
            records: self.args.records,
            zipf: Zipf::new(self.args.records),
            next: AtomicU64::new(self.args.records),
            counters: None,
            counter: 0,
            base: Space::taken(&self.args.dir),
        };
        for line in std::io::stdin().lock().lines() {
            let reply = Reply::from(line?.parse().and_then(|request| worker.answer(&request)));
            let mut out = std::io::stdout().lock();
            writeln!(out, "{reply}")?;
            out.flush()?;
        }
        Ok(())
    }
}

struct Worker<E> {
    engine: Option<E>,
    dir: PathBuf,
    records: u64,
    zipf: Zipf,
    next: AtomicU64,
    /// What all counters add up to, while that is known.
    counters: Option<u64>,
    /// The highest counter that was set.
    counter: u64,
    base: Space,
}

impl<E: Engine> Worker<E> {
    fn engine(&mut self) -> Result<&mut E> {
        self.engine.as_mut().ok_or_else(|| "the engine is not open".into())
    }

    fn answer(&mut self, request: &Request) -> Result<Figures> {
        let begun = Instant::now();
        let mut figures = Figures::default();
        match request {
            Request::Open => {
                let engine = E::open(&self.dir, &SETTINGS)?;
                engine.read()?.get(&key(0), |_| {})?;
                figures.set("open", nanoseconds(begun.elapsed()) as f64);
                self.engine = Some(engine);
            }
            Request::Load { is_random } => {
                let records = self.records;
                let engine = self.engine()?;
                if *is_random {
                    set_all(engine, load_order(records), 0, A_LOAD)?;
                } else {
                    set_all(engine, 0..records, 0, A_LOAD)?;
                }
                figures.set("ops", records as f64 / begun.elapsed().as_secs_f64());
                self.check()?;
                self.counters = Some(0);
            }
            Request::Settle => {
                self.engine()?.settle()?;
                self.check()?;
            }
            Request::Measure { cell, seed, milliseconds } => {
                let cell = cell_of(cell).ok_or("no such cell")?;
                figures = self.measure(cell, *seed, Duration::from_millis(*milliseconds))?;
            }
            Request::Finish { cell } => {
                let cell = cell_of(cell).ok_or("no such cell")?;
                if let (true, Some(expected)) = (cell.adds_up(), self.counters) {
                    let (_, got) = sum(self.engine()?)?;
                    // What is lost here is not laid to the cells that follow.
                    self.counters = Some(got);
                    check(got == expected, || {
                        format!("updates are lost: counters add up to {got} for {expected}")
                    })?;
                }
                self.engine()?.prepare(Durability::Buffered)?;
            }
            Request::Held => {
                self.counter += 2;
                let (records, counter) = (self.records, self.counter - 1);
                self.counters = None;
                figures = crate::held::held(self.engine()?, records, counter)?;
            }
            Request::Saved { versions } => {
                let records = self.records;
                figures = crate::saved::saved(self.engine()?, records, *versions)?;
            }
            Request::Space => {
                let taken = Space::taken(&self.dir);
                let per_record = |now: i64, then: i64| (now - then) as f64 / self.records as f64;
                figures.set("heap", per_record(taken.heap, self.base.heap));
                figures.set("rss", per_record(taken.anonymous, self.base.anonymous));
                figures.set("disk", per_record(taken.disk, self.base.disk));
            }
            Request::Overwrite => {
                self.counter += 1;
                let (records, counter) = (self.records, self.counter);
                set_all(self.engine()?, load_order(records), counter, A_LOAD)?;
            }
            Request::Collect => self.engine()?.collect()?,
            Request::Dirty => self.dirty()?,
            Request::Check => {
                let records = self.records;
                let mut is_there = false;
                let engine = self.engine()?;
                engine.read()?.get(&key(MARK), |_| is_there = true)?;
                check(is_there, || "a synced commit is gone after a kill".into())?;
                let (count, _) = sum(engine)?;
                check(count == records + 1, || {
                    format!("{count} records after a kill, for {}", records + 1)
                })?;
            }
            Request::Close => {
                if let Some(engine) = self.engine.take() {
                    engine.close()?;
                }
                figures.set("close", nanoseconds(begun.elapsed()) as f64);
            }
        }
        Ok(figures)
    }

    /// That everything is there that was loaded. It warms the caches, too.
    fn check(&mut self) -> Result {
        let records = self.records;
        let (count, _) = sum(self.engine()?)?;
        check(count == records, || format!("{count} records after loading {records}"))
    }

    fn measure(&mut self, cell: &Cell, seed: u64, time: Duration) -> Result<Figures> {
        let engine = self.engine.as_mut().ok_or("the engine is not open")?;
        let durability = if cell.is_synced() { Durability::Synced } else { Durability::Buffered };
        engine.prepare(durability)?;
        if cell.overwrites() {
            self.counters = None;
        } else if cell.adds_up() && self.counters.is_none() {
            self.counters = Some(sum(engine)?.1);
        }
        let data = Data { engine, records: self.records, zipf: &self.zipf, next: &self.next };
        let seed_of = |thread: usize| crate::keys::mix(seed ^ ((thread as u64 + 1) << 32));
        let work =
            |thread: usize, tally: &mut Tally<'_>| data.work(cell.work, seed_of(thread), tally);
        let measured = drive(cell.threads, time, cell.has_latency, cell.is_synced(), work)?;
        if cell.adds_up() {
            self.counters = self.counters.map(|counters| counters.wrapping_add(measured.done));
        }
        let mut figures = Figures::default();
        figures.set("ops", measured.rate);
        figures.set("lost", measured.lost);
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let latency = measured.latency.as_ref();
            if let Some(nanoseconds) = latency.and_then(|latency| latency.percentile(share)) {
                figures.set(name, nanoseconds as f64);
            }
        }
        Ok(figures)
    }

    /// Commits that the engine would lose at most in part, and one that it must
    /// keep.
    fn dirty(&mut self) -> Result {
        self.counter += 1;
        let (records, counter) = (self.records, self.counter);
        let engine = self.engine()?;
        let mut rng = Rng::new(counter);
        let ids = (0..DIRTY * 4).map(|_| rng.below(records));
        set_all(engine, ids, counter, 4)?;
        engine.prepare(Durability::Synced)?;
        let mut txn = engine.write(Durability::Synced)?;
        let put = txn.put(&key(MARK), &value(MARK, counter, &mut Rng::new(counter)))?;
        let is_done = put == Outcome::Committed && txn.commit()? == Outcome::Committed;
        if is_done { Ok(()) } else { Err("a lone commit conflicts".into()) }
    }
}
