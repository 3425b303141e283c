//! I9: the anomalies of `hermitage` in their predicate form: what is read is
//! not a key but a range, forward and in reverse.

use vellum_core::{Connection, Isolation, ReadTxn, Result, WriteTxn, WriteTxnExt};

use super::hermitage::{LEVELS, Write, at_each, won};
use crate::check::*;
use crate::{CaseResult, Ctx, Factory, Failure};

/// Which end a range is read from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    Forward,
    Reverse,
}

impl Way {
    /// The keys from this one on with their values, in ascending order whichever
    /// way they were read.
    pub(super) fn from(self, txn: &impl ReadTxn, start: &str) -> Result<Pairs> {
        match self {
            Self::Forward => collect(txn.range(start..)),
            Self::Reverse => {
                let mut pairs = collect(txn.range(start..).rev())?;
                pairs.reverse();
                Ok(pairs)
            }
        }
    }

    /// Everything.
    pub(super) fn all(self, txn: &impl ReadTxn) -> Result<Pairs> {
        self.from(txn, "0")
    }
}

/// At each level and each way, on a fresh database with 1 = 10 and 2 = 20.
pub(super) fn each_way<F: Factory, const N: usize>(
    cx: &Ctx<F>,
    f: impl Fn(&F::Connection, [Write<F>; N], Isolation, Way) -> CaseResult,
) -> CaseResult {
    for way in [Way::Forward, Way::Reverse] {
        at_each(cx, &LEVELS, |db, open, level| {
            f(db, open, level, way).map_err(|e| Failure::new(format!("{way:?}: {e}")))
        })?;
    }
    Ok(())
}

fn start() -> Pairs {
    pairs(&[("1", "10"), ("2", "20")])
}

pub(crate) fn i9_g0_no_write_cycles_through_ranges<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    each_way(cx, |db, [mut a, mut b], _, way| {
        let of_a = way.all(&a)?;
        let of_b = way.all(&b)?;
        put(&mut a, "1", "a")?;
        for (key, _) in of_b {
            put(&mut b, &key, "b")?;
        }
        for (key, _) in of_a {
            put(&mut a, &key, "a")?;
        }
        let (a, b) = (won(a.commit())?, won(b.commit())?);
        holds(a != b, format!("each wrote what the other did: one commits (a {a}, b {b})"))?;
        let by = if b { "b" } else { "a" };
        same("all of one writer", way.all(&db.begin_read()?)?, pairs(&[("1", by), ("2", by)]))
    })
}

pub(crate) fn i9_g1a_no_aborted_reads_through_ranges<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    each_way(cx, |db, [mut a, b], _, way| {
        put(&mut a, "1", "101")?;
        put(&mut a, "3", "30")?;
        a.delete(b"2")?;
        same("b, while a is open", way.all(&b)?, start())?;
        same("a reader, while a is open", way.all(&db.begin_read()?)?, start())?;
        a.discard();
        same("b, after a aborted", way.all(&b)?, start())?;
        same("in the end", way.all(&db.begin_read()?)?, start())
    })
}

pub(crate) fn i9_g1b_no_intermediate_reads_through_ranges<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    each_way(cx, |db, [mut a, b], _, way| {
        put(&mut a, "3", "1")?;
        same("b, while a is open", way.from(&b, "3")?, pairs(&[]))?;
        put(&mut a, "3", "30")?;
        holds(won(a.commit())?, "a commits")?;
        same("b, after a committed", way.from(&b, "3")?, pairs(&[]))?;
        same("in the end", way.from(&db.begin_read()?, "3")?, pairs(&[("3", "30")]))
    })
}

pub(crate) fn i9_g1c_no_circular_information_flow_through_ranges<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    each_way(cx, |_, [mut a, mut b], level, way| {
        put(&mut a, "3", "a")?;
        put(&mut b, "4", "b")?;
        same("a sees its own alone", way.from(&a, "3")?, pairs(&[("3", "a")]))?;
        same("b sees its own alone", way.from(&b, "3")?, pairs(&[("4", "b")]))?;
        let (a, b) = (won(a.commit())?, won(b.commit())?);
        match level {
            Isolation::Snapshot => holds(a && b, "both commit: neither read the other"),
            _ => holds(a != b, format!("exactly one commits (a {a}, b {b})")),
        }
    })
}

pub(crate) fn i9_otv_no_observed_transaction_vanishes_from_ranges<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    each_way(cx, |db, [mut a, mut b], _, way| {
        let c = db.begin_read()?;
        put(&mut a, "1", "11")?;
        put(&mut a, "2", "19")?;
        put(&mut b, "1", "12")?;
        holds(won(a.commit())?, "a commits")?;
        let d = db.begin_read()?;
        same("c began before a", way.all(&c)?, start())?;
        let of_a = pairs(&[("1", "11"), ("2", "19")]);
        same("d began after a", way.all(&d)?, of_a.clone())?;
        put(&mut b, "2", "18")?;
        holds(!won(b.commit())?, "b wrote what a did: it aborts")?;
        same("c again", way.all(&c)?, start())?;
        same("d again", way.all(&d)?, of_a)
    })
}

pub(crate) fn i9_pmp_no_predicate_many_preceders_for_readers<F: Factory>(
    cx: &Ctx<F>,
) -> CaseResult {
    each_way(cx, |db, [mut b], _, way| {
        let a = db.begin_read()?;
        same("a, first", way.from(&a, "3")?, pairs(&[]))?;
        put(&mut b, "3", "30")?;
        b.delete(b"1")?;
        holds(won(b.commit())?, "b commits")?;
        same("a, again", way.from(&a, "3")?, pairs(&[]))?;
        same("a, all of it", way.all(&a)?, start())
    })
}

pub(crate) fn i9_p4_no_lost_updates_at_the_ends_of_ranges<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    each_way(cx, |db, [mut a, mut b], _, way| {
        // Forward each takes the first of a queue; in reverse each appends.
        for txn in [&mut a, &mut b] {
            match way {
                Way::Forward => {
                    let first = collect(txn.range(..).take(1))?;
                    same("the first", first, pairs(&[("1", "10")]))?;
                    txn.delete(b"1")?;
                }
                Way::Reverse => {
                    let last = collect(txn.range(..).rev().take(1))?;
                    same("the last", last, pairs(&[("2", "20")]))?;
                    put(txn, "3", "30")?;
                }
            }
        }
        let (a, b) = (won(a.commit())?, won(b.commit())?);
        holds(a != b, format!("only one took it (a {a}, b {b})"))?;
        let left = match way {
            Way::Forward => pairs(&[("2", "20")]),
            Way::Reverse => pairs(&[("1", "10"), ("2", "20"), ("3", "30")]),
        };
        same("in the end", head(db)?, left)
    })
}

pub(crate) fn i9_g_single_no_read_skew_between_ranges<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    each_way(cx, |db, [mut b], _, way| {
        let a = db.begin_read()?;
        same("a reads the upper half", way.from(&a, "2")?, pairs(&[("2", "20")]))?;
        same("b empties it", b.delete_range("0"..)?, 2)?;
        put(&mut b, "3", "30")?;
        holds(won(b.commit())?, "b commits")?;
        same("a reads all", way.all(&a)?, start())?;
        same("what begins after", way.all(&db.begin_read()?)?, pairs(&[("3", "30")]))
    })
}
