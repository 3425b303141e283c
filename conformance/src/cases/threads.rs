//! Real threads: what must hold whatever the scheduler does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use vellum_core::{Connection, ConnectionExt, ReadTxn, Result, WriteTxn};

use crate::check::*;
use crate::{CaseResult, Ctx, Factory, Failure};

const THREADS: u32 = 4;

/// Runs `work` in so many threads and gives what each came to.
fn in_threads<T: Send>(n: u32, work: impl Fn(u32) -> CaseResult<T> + Sync) -> CaseResult<Vec<T>> {
    let work = &work;
    thread::scope(|threads| {
        let handles: Vec<_> = (0..n).map(|i| threads.spawn(move || work(i))).collect();
        let outcomes: Vec<_> = handles.into_iter().map(thread::ScopedJoinHandle::join).collect();
        outcomes.into_iter().map(|o| o.map_err(|_| Failure::new("a thread panicked"))?).collect()
    })
}

fn number(txn: &impl ReadTxn, key: &str) -> Result<u64> {
    Ok(get(txn, key)?.and_then(|v| v.parse().ok()).unwrap_or(0))
}

pub(crate) fn i1_bank_transfers_keep_the_sum<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    let (accounts, each) = (8u32, 100u64);
    let name = |n: u32| format!("account{n}");
    let opening: Vec<_> = (0..accounts).map(|n| (name(n), each.to_string())).collect();
    commit(&db, &opening.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>())?;
    let done = AtomicBool::new(false);
    let total = |txn: &<F::Connection as Connection>::Read| -> Result<u64> {
        let sum = collect(txn.range("account".."accounu"))?;
        Ok(sum.iter().filter_map(|(_, v)| v.parse::<u64>().ok()).sum())
    };
    thread::scope(|threads| {
        let auditor = threads.spawn(|| -> CaseResult<u32> {
            let mut audits = 0;
            while !done.load(Ordering::SeqCst) || audits == 0 {
                let txn = db.begin_read()?;
                same("the sum that an auditor sees", total(&txn)?, each * u64::from(accounts))?;
                audits += 1;
            }
            Ok(audits)
        });
        let work = in_threads(THREADS, |thread| {
            let mut dice = u64::from(thread) + cx.effort.seed;
            for _ in 0..100 {
                dice = dice
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let (from, to) = ((dice >> 33) as u32 % accounts, (dice >> 41) as u32 % accounts);
                let amount = (dice >> 50) % 20;
                db.transact(|txn| {
                    let (have, has) = (number(txn, &name(from))?, number(txn, &name(to))?);
                    if from != to && have >= amount {
                        put(txn, &name(from), &(have - amount).to_string())?;
                        put(txn, &name(to), &(has + amount).to_string())?;
                    }
                    Ok(())
                })?;
            }
            Ok(())
        });
        done.store(true, Ordering::SeqCst);
        let audits = auditor.join().map_err(|_| Failure::new("the auditor panicked"))?;
        work?;
        audits?;
        same("the sum in the end", total(&db.begin_read()?)?, each * u64::from(accounts))
    })
}

pub(crate) fn i8_counters_lose_no_update_and_everyone_gets_through<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let db = cx.open()?;
    let (times, hot) = (100u32, "counter");
    in_threads(THREADS, |_| {
        for _ in 0..times {
            db.transact(|txn| {
                let n = number(txn, hot)?;
                put(txn, hot, &(n + 1).to_string())
            })?;
        }
        Ok(())
    })?;
    same("the counter", number(&db.begin_read()?, hot)?, u64::from(THREADS * times))
}

pub(crate) fn i8_long_transaction_gets_through_among_short_ones<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let db = cx.open()?;
    let done = AtomicBool::new(false);
    for n in 0..50 {
        commit(&db, &[(&format!("k{n:02}"), "0")])?;
    }
    thread::scope(|threads| {
        let shorts: Vec<_> = (0..2u32)
            .map(|thread| {
                let (db, done) = (db.clone(), &done);
                threads.spawn(move || -> CaseResult {
                    let mut n = thread;
                    while !done.load(Ordering::SeqCst) {
                        n = (n + 7) % 50;
                        let key = format!("k{n:02}");
                        db.transact(|txn| {
                            let old = number(txn, &key)?;
                            put(txn, &key, &(old + 1).to_string())
                        })?;
                    }
                    Ok(())
                })
            })
            .collect();
        let long = db.transact(|txn| {
            let mut sum = 0;
            for (_, v) in collect(txn.range("k".."l"))? {
                sum += v.parse::<u64>().unwrap_or(0);
                thread::yield_now();
            }
            put(txn, "sum", &sum.to_string())
        });
        done.store(true, Ordering::SeqCst);
        for short in shorts {
            short.join().map_err(|_| Failure::new("a short one panicked"))??;
        }
        long?;
        holds(get(&db.begin_read()?, "sum")?.is_some(), "the long one committed")
    })
}

pub(crate) fn i4_disjoint_threads_never_conflict<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    in_threads(THREADS, |thread| {
        for n in 0..100 {
            let mut txn = db.begin_write()?;
            let key = format!("{thread}/{n}");
            let mine = format!("{thread}/")..format!("{thread}0");
            same("keys of its own so far", collect(txn.range(mine))?.len(), n)?;
            txn.get(key.as_bytes())?;
            put(&mut txn, &key, "x")?;
            committed("a transaction in a corner of its own", txn.commit())?;
        }
        Ok(())
    })?;
    same("keys", head(&db)?.len(), 400)?;
    same("conflicts", db.stats()?.conflicts, 0)
}

pub(crate) fn t1_readers_see_consistent_states_while_writers_commit<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    let db = cx.open()?;
    let keys: Vec<_> = (0..10).map(|n| format!("k{n}")).collect();
    let write = |value: u64| -> CaseResult {
        let value = value.to_string();
        commit(&db, &keys.iter().map(|k| (k.as_str(), value.as_str())).collect::<Vec<_>>())
            .map(drop)
    };
    write(0)?;
    let done = AtomicBool::new(false);
    thread::scope(|threads| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                threads.spawn(|| -> CaseResult {
                    let mut last = (vellum_core::Timestamp::ZERO, 0);
                    while !done.load(Ordering::SeqCst) {
                        let txn = db.begin_read()?;
                        let first = number(&txn, "k0")?;
                        let all = state(&txn)?;
                        holds(
                            all.len() == 10 && all.iter().all(|(_, v)| *v == first.to_string()),
                            format!("one commit's values and no other's: {all:?}"),
                        )?;
                        same("k9 at the end", number(&txn, "k9")?, first)?;
                        let now = (txn.read_ts(), first);
                        holds(now >= last, format!("time goes on from {last:?} to {now:?}"))?;
                        last = now;
                    }
                    Ok(())
                })
            })
            .collect();
        let writes = (1..=300u64).try_for_each(|n| {
            if n % 50 == 0 {
                db.prune()?;
            }
            write(n)
        });
        done.store(true, Ordering::SeqCst);
        for reader in readers {
            reader.join().map_err(|_| Failure::new("a reader panicked"))??;
        }
        writes
    })
}

pub(crate) fn t6_timestamps_are_unique_among_threads<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    let all = in_threads(THREADS, |thread| {
        let mut mine = Vec::new();
        for n in 0..100 {
            let ts = commit(&db, &[(&format!("{thread}/{n}"), "x")])?;
            let seen = db.begin_read()?.read_ts();
            holds(seen >= ts, format!("its own commit at {ts} is visible at {seen}"))?;
            mine.push(ts);
        }
        holds(mine.is_sorted_by(|a, b| a < b), "timestamps of one thread grow")?;
        Ok(mine)
    })?;
    let mut all: Vec<_> = all.into_iter().flatten().collect();
    let commits = all.len();
    all.sort_unstable();
    all.dedup();
    same("distinct timestamps", all.len(), commits)
}

pub(crate) fn v3_versions_saved_among_writers_never_change<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    use vellum_core::SaveOptions;
    let db = cx.open()?;
    commit(&db, &[("a", "0"), ("b", "0")])?;
    let done = AtomicBool::new(false);
    thread::scope(|threads| {
        let writers: Vec<_> = (0..2)
            .map(|_| {
                threads.spawn(|| -> CaseResult {
                    // So many that they overlap the saves, and no more: on some
                    // backends a version costs what was written since.
                    for _ in 0..500 {
                        if done.load(Ordering::SeqCst) {
                            break;
                        }
                        db.transact(|txn| {
                            let n = number(txn, "a")? + 1;
                            put(txn, "a", &n.to_string())?;
                            put(txn, "b", &n.to_string())
                        })?;
                    }
                    Ok(())
                })
            })
            .collect();
        let saves = (0..40u32).try_for_each(|n| -> CaseResult {
            let v = db.save_version_with(SaveOptions::new().with_open_writers())?;
            let (first, again) = (db.read_at(v)?, db.read_at(v)?);
            let then = state(&first)?;
            same("a and b of one commit", number(&first, "a")?, number(&first, "b")?)?;
            if n % 5 == 4 {
                db.prune()?;
            }
            same("the version again", &state(&again)?, &then)?;
            same("the version from the start", state(&db.read_at(v)?)?, then)
        });
        done.store(true, Ordering::SeqCst);
        for writer in writers {
            writer.join().map_err(|_| Failure::new("a writer panicked"))??;
        }
        saves
    })
}
