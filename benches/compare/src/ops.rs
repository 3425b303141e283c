//! What the workloads do with an engine, and what they check on the way.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use crate::Result;
use crate::cells::{Loser, Work, Ycsb};
use crate::data::{counter_of, incremented, value};
use crate::drive::{Attempts, Tally};
use crate::engine::{Durability, Engine, Outcome, Reads, Writes};
use crate::keys::{Rng, absent_key, key};
use crate::zipf::Zipf;

/// The engine answered wrongly: reported, and never timed.
#[derive(Clone, Debug)]
pub struct Wrong(pub String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WRONG ANSWER: {}", self.0)
    }
}

impl std::error::Error for Wrong {}

/// `Err(Wrong)`, if it does not hold.
pub fn check(holds: bool, what: impl FnOnce() -> String) -> Result {
    if holds { Ok(()) } else { Err(Wrong(what()).into()) }
}

/// Records of a scan.
pub const SCAN: u64 = 100;

/// What all threads of a cell share.
#[derive(Debug)]
pub struct Data<'a, E> {
    /// The engine.
    pub engine: &'a E,
    /// Records loaded: keys 0 to this.
    pub records: u64,
    /// How often keys are chosen.
    pub zipf: &'a Zipf,
    /// Records after inserts: keys up to this were given out.
    pub next: &'a AtomicU64,
}

impl<E: Engine> Data<'_, E> {
    /// Does the work of a cell until the time is over.
    pub fn work(&self, work: Work, seed: u64, tally: &mut Tally<'_>) -> Result {
        let rng = &mut Rng::new(seed);
        match work {
            Work::Get => tally.repeat(|_| self.get(rng.below(self.records))),
            Work::GetLong => {
                let mut txn = self.engine.read()?;
                tally.repeat(|_| get(&mut txn, rng.below(self.records)))
            }
            Work::GetAbsent => tally.repeat(|_| {
                let n = rng.below(self.records);
                let is_found = self.engine.read()?.get(&absent_key(n), |_| {})?;
                check(!is_found, || format!("absent key {n} was found"))?;
                Ok(1)
            }),
            Work::Scan { is_reverse } => {
                tally.repeat(|_| self.scan(rng.below(self.records), SCAN, is_reverse))
            }
            Work::ScanAll => tally.repeat(|_| {
                let (count, _) = sum(self.engine)?;
                check(count == self.next.load(Relaxed), || format!("a full scan saw {count}"))?;
                Ok(count)
            }),
            Work::Rmw { is_zipfian, loser } => tally.repeat(|attempts| {
                let n = if is_zipfian { self.zipf.scrambled(rng) } else { rng.below(self.records) };
                self.add_one(n, loser, attempts)
            }),
            Work::Put4 { is_synced } => {
                let durability = if is_synced { Durability::Synced } else { Durability::Buffered };
                tally.repeat(|attempts| {
                    let mut four = [0; 4].map(|_: u64| rng.below(self.records));
                    four.sort_unstable();
                    self.put(durability, &four, rng, attempts)
                })
            }
            Work::Ycsb(mix) => tally.repeat(|attempts| self.ycsb(mix, rng, attempts)),
        }
    }

    fn ycsb(&self, mix: Ycsb, rng: &mut Rng, attempts: &mut Attempts<'_>) -> Result<u64> {
        let is_read = rng.below(100)
            < match mix {
                Ycsb::A | Ycsb::F => 50,
                Ycsb::B | Ycsb::D | Ycsb::E => 95,
                Ycsb::C => 100,
            };
        let n = self.zipf.scrambled(rng);
        match mix {
            Ycsb::D if is_read => self.get_new(rng),
            Ycsb::E if is_read => self.scan(n, 1 + rng.below(SCAN), false),
            _ if is_read => self.get(n),
            Ycsb::F => self.add_one(n, Loser::Yields, attempts),
            Ycsb::D | Ycsb::E => {
                let new = self.next.fetch_add(1, Relaxed);
                self.put(Durability::Buffered, &[new], rng, attempts)
            }
            Ycsb::A | Ycsb::B | Ycsb::C => self.put(Durability::Buffered, &[n], rng, attempts),
        }
    }

    fn get(&self, n: u64) -> Result<u64> {
        get(&mut self.engine.read()?, n)
    }

    /// A record that was inserted not long ago. The newest may be on its way.
    fn get_new(&self, rng: &mut Rng) -> Result<u64> {
        let next = self.next.load(Relaxed);
        let n = next.saturating_sub(1 + self.zipf.rank(rng));
        let mut is_right = true;
        let mut txn = self.engine.read()?;
        let is_found = txn.get(&key(n), |value| is_right = counter_of(value, n).is_some())?;
        let must_be_found = n < self.records;
        check(is_right && (is_found || !must_be_found), || format!("key {n} is not as written"))?;
        Ok(1)
    }

    /// `limit` records beside key `n`, which is moved to where so many are.
    fn scan(&self, n: u64, limit: u64, is_reverse: bool) -> Result<u64> {
        let room = self.records.saturating_sub(limit).max(1);
        let n = if is_reverse { n % room + limit } else { n % room };
        let mut is_right = true;
        let mut at = n;
        let mut txn = self.engine.read()?;
        let count = txn.scan(Some(&key(n)), is_reverse, limit as usize, |k, v| {
            if is_reverse {
                at = at.wrapping_sub(1);
            }
            is_right &= k == key(at) && counter_of(v, at).is_some();
            if !is_reverse {
                at += 1;
            }
        })?;
        check(is_right && count as u64 == limit, || {
            format!("a scan of {limit} from key {n} saw {count}, or others")
        })?;
        Ok(1)
    }

    /// Adds one to the counter of a key, however often it loses.
    fn add_one(&self, n: u64, loser: Loser, attempts: &mut Attempts<'_>) -> Result<u64> {
        let key = key(n);
        self.win(Durability::Buffered, loser, attempts, |txn| {
            let mut new = None;
            if txn.get_for_update(&key, |value| new = incremented(value, n))? == Outcome::Conflict {
                return Ok(Outcome::Conflict);
            }
            match new {
                Some(new) => txn.put(&key, &new),
                None => Err(Wrong(format!("key {n} is missing, or not as written")).into()),
            }
        })
    }

    /// Sets these keys, however often it loses.
    fn put(
        &self,
        durability: Durability,
        keys: &[u64],
        rng: &mut Rng,
        attempts: &mut Attempts<'_>,
    ) -> Result<u64> {
        self.win(durability, Loser::Yields, attempts, |txn| {
            for &n in keys {
                if txn.put(&key(n), &value(n, 0, rng))? == Outcome::Conflict {
                    return Ok(Outcome::Conflict);
                }
            }
            Ok(Outcome::Committed)
        })
    }

    /// Does `f` in a write transaction until one commits, and returns 1; or 0, if
    /// the loser gave up.
    fn win(
        &self,
        durability: Durability,
        loser: Loser,
        attempts: &mut Attempts<'_>,
        mut f: impl FnMut(&mut E::Write<'_>) -> Result<Outcome>,
    ) -> Result<u64> {
        loop {
            let mut txn = self.engine.write(durability)?;
            if f(&mut txn)? == Outcome::Committed && txn.commit()? == Outcome::Committed {
                return Ok(1);
            }
            attempts.lost += 1;
            match loser {
                Loser::Yields => thread::yield_now(),
                Loser::Persists if attempts.are_over() => return Ok(0),
                Loser::Persists => {}
            }
        }
    }
}

fn get(txn: &mut impl Reads, n: u64) -> Result<u64> {
    let mut is_right = false;
    txn.get(&key(n), |value| is_right = counter_of(value, n).is_some())?;
    check(is_right, || format!("key {n} is missing, or not as written"))?;
    Ok(1)
}

/// How many records there are, and the sum of their counters.
pub fn sum<E: Engine>(engine: &E) -> Result<(u64, u64)> {
    let mut sum = 0u64;
    let mut is_right = true;
    let count =
        engine.read()?.scan(None, false, usize::MAX, |_, value| {
            match crate::data::counter(value) {
                Some(counter) if value.len() == crate::data::VALUE_LEN => {
                    sum = sum.wrapping_add(counter);
                }
                _ => is_right = false,
            }
        })?;
    check(is_right, || "a value is not as written".into())?;
    Ok((count as u64, sum))
}

/// Sets the records of these numbers to this counter, so many a transaction.
pub fn set_all<E: Engine>(
    engine: &E,
    ids: impl Iterator<Item = u64>,
    counter: u64,
    a_txn: usize,
) -> Result {
    let mut rng = Rng::new(counter.wrapping_add(1));
    let mut ids = ids.peekable();
    let mut chunk = Vec::with_capacity(a_txn);
    while ids.peek().is_some() {
        chunk.clear();
        chunk.extend(ids.by_ref().take(a_txn));
        loop {
            let mut txn = engine.write(Durability::Buffered)?;
            let mut outcome = Outcome::Committed;
            for &n in &chunk {
                outcome = txn.put(&key(n), &value(n, counter, &mut rng))?;
                if outcome == Outcome::Conflict {
                    break;
                }
            }
            if outcome == Outcome::Committed && txn.commit()? == Outcome::Committed {
                break;
            }
            thread::yield_now();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::drive::drive;
    use crate::engine::Settings;

    /// An engine with two records, whose transactions all lose.
    struct Collapsed;

    impl Engine for Collapsed {
        type Read<'a> = Self;
        type Write<'a> = Self;

        fn open(_dir: &Path, _settings: &Settings) -> Result<Self> {
            Ok(Self)
        }

        fn read(&self) -> Result<Self> {
            Ok(Self)
        }

        fn write(&self, _durability: Durability) -> Result<Self> {
            Ok(Self)
        }
    }

    impl Reads for Collapsed {
        fn get(&mut self, of: &[u8], see: impl FnOnce(&[u8])) -> Result<bool> {
            see(&value(u64::from(of != key(0)), 0, &mut Rng::new(1)));
            Ok(true)
        }

        fn scan(
            &mut self,
            _from: Option<&[u8]>,
            _is_reverse: bool,
            _limit: usize,
            _see: impl FnMut(&[u8], &[u8]),
        ) -> Result<usize> {
            Ok(0)
        }
    }

    impl Writes for Collapsed {
        fn put(&mut self, _key: &[u8], _value: &[u8]) -> Result<Outcome> {
            Ok(Outcome::Committed)
        }

        fn commit(self) -> Result<Outcome> {
            Ok(Outcome::Conflict)
        }
    }

    #[test]
    fn losers_that_do_not_yield_end_with_the_cell() {
        let data =
            Data { engine: &Collapsed, records: 1, zipf: &Zipf::new(1), next: &AtomicU64::new(1) };
        for id in ["rmw-no-yield-4", "rmw-no-yield-8"] {
            let cell = crate::cells::cell_of(id).unwrap_or_else(|| unreachable!("{id}"));
            let measured =
                drive(cell.threads, Duration::from_millis(20), false, false, |_, tally| {
                    data.work(cell.work, 1, tally)
                });
            let measured = measured.unwrap_or_else(|error| unreachable!("{error}"));
            // A thread that came too late has not even tried.
            assert_eq!((measured.done, measured.rate), (0, 0.0));
            assert!(measured.lost == 1.0 || measured.lost == 0.0, "{}", measured.lost);
        }
    }
}
