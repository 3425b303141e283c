//! I9: the anomalies of Adya, after the Hermitage tests of Martin Kleppmann
//! (CC BY 4.0), told again for keys and ranges.
//!
//! Each begins with 1 = 10 and 2 = 20. An optimistic engine may abort whoever
//! is concurrent, so a case judges what is visible in the end. The same through
//! ranges stands in `predicates`, and what snapshot isolation lets through in
//! `skews`.

use vellum_core::{CommitInfo, Connection, Isolation, ReadTxn, Result, TxnOptions, WriteTxn};

use crate::check::*;
use crate::{CaseResult, Ctx, Factory, Failure};

pub(super) const LEVELS: [Isolation; 2] = [Isolation::Serializable, Isolation::Snapshot];

pub(super) type Write<F> = <<F as Factory>::Connection as Connection>::Write;

/// Runs `f` on a fresh database with as many open transactions as it takes, at
/// each level in turn.
pub(super) fn at_each<F: Factory, const N: usize>(
    cx: &Ctx<F>,
    levels: &[Isolation],
    f: impl Fn(&F::Connection, [Write<F>; N], Isolation) -> CaseResult,
) -> CaseResult {
    for &level in levels {
        let db = cx.open()?;
        commit(&db, &[("1", "10"), ("2", "20")])?;
        let options = TxnOptions::new().isolation(level);
        let open = (0..N).map(|_| db.begin_write_with(&options)).collect::<Result<Vec<_>>>()?;
        let Ok(open) = open.try_into() else { return Err(Failure::new("N are open")) };
        f(&db, open, level).map_err(|e| Failure::new(format!("under {level:?}: {e}")))?;
        db.close()?;
        drop(db);
        cx.factory.destroy();
    }
    Ok(())
}

/// Both reads, as one string.
pub(super) fn both(txn: &impl ReadTxn) -> Result<String> {
    Ok(format!("{} {}", value(txn, "1")?, value(txn, "2")?))
}

pub(super) fn value(txn: &impl ReadTxn, key: &str) -> Result<String> {
    Ok(get(txn, key)?.unwrap_or_else(|| "none".to_owned()))
}

pub(super) fn won(outcome: Result<CommitInfo>) -> CaseResult<bool> {
    match outcome {
        Ok(_) => Ok(true),
        Err(e) if e.is_retryable() => Ok(false),
        Err(e) => Err(e.into()),
    }
}

pub(crate) fn i9_g0_no_write_cycles<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    at_each(cx, &LEVELS, |db, [mut a, mut b], _| {
        put(&mut a, "1", "11")?;
        put(&mut b, "1", "12")?;
        put(&mut a, "2", "21")?;
        let a = won(a.commit())?;
        put(&mut b, "2", "22")?;
        let b = won(b.commit())?;
        let end = both(&db.begin_read()?)?;
        // Whoever commits last wrote both.
        let legal = if b { end == "12 22" } else { a && end == "11 21" };
        holds(legal, format!("all of one writer: {end} (a {a}, b {b})"))
    })
}

pub(crate) fn i9_g1a_no_aborted_reads<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    at_each(cx, &LEVELS, |db, [mut a, b], _| {
        put(&mut a, "1", "101")?;
        same("while it is open", value(&b, "1")?, "10")?;
        same("in a reader", value(&db.begin_read()?, "1")?, "10")?;
        a.discard();
        same("after it aborted", value(&b, "1")?, "10")?;
        same("in the end", both(&db.begin_read()?)?, "10 20")
    })
}

pub(crate) fn i9_g1b_no_intermediate_reads<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    at_each(cx, &LEVELS, |db, [mut a, b], _| {
        put(&mut a, "1", "101")?;
        same("while it is open", value(&b, "1")?, "10")?;
        put(&mut a, "1", "11")?;
        holds(won(a.commit())?, "a commits")?;
        same("after it committed", value(&b, "1")?, "10")?;
        same("in the end", both(&db.begin_read()?)?, "11 20")
    })
}

pub(crate) fn i9_g1c_no_circular_information_flow<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    at_each(cx, &LEVELS, |_, [mut a, mut b], _| {
        put(&mut a, "1", "11")?;
        put(&mut b, "2", "22")?;
        let (a_saw, b_saw) = (value(&a, "2")?, value(&b, "1")?);
        let (a, b) = (won(a.commit())?, won(b.commit())?);
        let circle = a && b && a_saw == "22" && b_saw == "11";
        holds(!circle, "not both saw the other's write")?;
        holds(a_saw == "20" && b_saw == "10", "neither saw an open transaction's write")
    })
}

pub(crate) fn i9_otv_no_observed_transaction_vanishes<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    at_each(cx, &LEVELS, |db, [mut a, mut b, c], _| {
        put(&mut a, "1", "11")?;
        put(&mut a, "2", "19")?;
        put(&mut b, "1", "12")?;
        let first = both(&c)?;
        won(a.commit())?;
        same("once a is over", &both(&c)?, &first)?;
        put(&mut b, "2", "18")?;
        same("while b goes on", &both(&c)?, &first)?;
        won(b.commit())?;
        same("once b is over", &both(&c)?, &first)?;
        let legal = ["10 20", "11 19", "12 18"];
        holds(legal.contains(&first.as_str()), format!("{first} is one state"))?;
        let end = both(&db.begin_read()?)?;
        holds(legal.contains(&end.as_str()), format!("{end} is one state"))
    })
}

pub(crate) fn i9_pmp_no_predicate_many_preceders<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    at_each(cx, &LEVELS, |_, [a, mut b], _| {
        same("first", collect(a.range("3"..))?, pairs(&[]))?;
        put(&mut b, "3", "30")?;
        holds(won(b.commit())?, "b commits")?;
        same("again", collect(a.range(..))?, pairs(&[("1", "10"), ("2", "20")]))
    })
}

pub(crate) fn i9_pmp_no_write_predicate_many_preceders<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    at_each(cx, &LEVELS, |db, [mut a, mut b], _| {
        for (key, v) in collect(a.range(..))? {
            put(&mut a, &key, &format!("{}", v.parse::<u32>().unwrap_or(0) + 10))?;
        }
        for (key, v) in collect(b.range(..))? {
            if v == "20" {
                b.delete(key.as_bytes())?;
            }
        }
        let (a, b) = (won(a.commit())?, won(b.commit())?);
        let end = head(db)?;
        let legal = match (a, b) {
            (true, true) => vec![pairs(&[("2", "30")]), pairs(&[("1", "20")])],
            (true, false) => vec![pairs(&[("1", "20"), ("2", "30")])],
            (false, true) => vec![pairs(&[("1", "10")])],
            (false, false) => vec![],
        };
        holds(legal.contains(&end), format!("{end:?} follows from a {a}, b {b}"))
    })
}

pub(crate) fn i9_p4_no_lost_updates<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    at_each(cx, &LEVELS, |db, [mut a, mut b], _| {
        for txn in [&mut a, &mut b] {
            let n: u32 = value(txn, "1")?.parse().unwrap_or(0);
            put(txn, "1", &(n + 1).to_string())?;
        }
        let commits = u32::from(won(a.commit())?) + u32::from(won(b.commit())?);
        holds(commits >= 1, "somebody gets through")?;
        same(
            "10 and one for each commit",
            value(&db.begin_read()?, "1")?,
            (10 + commits).to_string(),
        )
    })
}

pub(crate) fn i9_g_single_no_read_skew<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    at_each(cx, &LEVELS, |_, [a, mut b], _| {
        let first = value(&a, "1")?;
        put(&mut b, "1", "12")?;
        put(&mut b, "2", "18")?;
        holds(won(b.commit())?, "b commits")?;
        let seen = format!("{first} {}", value(&a, "2")?);
        holds(seen == "10 20" || seen == "12 18", format!("{seen} is one state"))
    })
}

pub(crate) fn i9_g_single_no_read_skew_through_predicates<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    at_each(cx, &LEVELS, |_, [a, mut b], _| {
        let divisible = |items: Pairs, by: u32| {
            items.into_iter().filter(|(_, v)| v.parse::<u32>().is_ok_and(|n| n % by == 0)).count()
        };
        same("divisible by 5", divisible(collect(a.range(..))?, 5), 2)?;
        put(&mut b, "1", "12")?;
        holds(won(b.commit())?, "b commits")?;
        same("divisible by 3, in reverse", divisible(collect(a.range(..).rev())?, 3), 0)
    })
}

pub(crate) fn i9_g_single_no_read_skew_through_writes<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    at_each(cx, &LEVELS, |db, [mut a, mut b], _| {
        same("a reads", value(&a, "1")?, "10")?;
        put(&mut b, "1", "12")?;
        put(&mut b, "2", "18")?;
        holds(won(b.commit())?, "b commits")?;
        for (key, v) in collect(a.range(..))? {
            if v == "20" {
                a.delete(key.as_bytes())?;
            }
        }
        won(a.commit())?;
        same("in the end", both(&db.begin_read()?)?, "12 18")
    })
}

pub(crate) fn i9_no_long_fork<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    at_each(cx, &LEVELS, |db, [mut a, mut b], _| {
        put(&mut a, "1", "11")?;
        put(&mut b, "2", "21")?;
        let c = db.begin_read()?;
        holds(won(a.commit())?, "a commits")?;
        let e = db.begin_read()?;
        same("c", both(&c)?, "10 20")?;
        holds(won(b.commit())?, "b commits")?;
        same("e", both(&e)?, "11 20")?;
        same("c again", both(&c)?, "10 20")
    })
}
