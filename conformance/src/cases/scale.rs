//! What shows only with many keys or long values.

use vellum_core::{Bytes, Connection, ConnectionExt, MAX_VALUE_LEN, ReadTxn, WriteTxn};

use crate::check::*;
use crate::{CaseResult, Ctx, Factory};

pub(crate) fn i4_many_disjoint_keys_never_conflict<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    // Enough keys that a hash of 24 bits, or a filter, would collide. One of 32 bits does
    // with one database in ten: worlds and random histories meet others.
    let db = cx.open()?;
    let mut even = db.begin_write()?;
    for n in 0..20_000u32 {
        even.get(&(2 * n).to_be_bytes())?;
    }
    even.put(b"even", "1")?;
    let mut odd = db.begin_write()?;
    for n in 0..20_000u32 {
        odd.put(&(2 * n + 1).to_be_bytes(), "1")?;
    }
    committed("the writer of odd numbers", odd.commit())?;
    committed("the reader of even numbers", even.commit())?;
    Ok(())
}

pub(crate) fn k1_long_values_come_back_whole<F: Factory>(cx: &Ctx<F>) -> CaseResult {
    let db = cx.open()?;
    let mut all = Vec::new();
    for len in [1usize, 4095, 4096, 4097, 65_535, 65_536, 1 << 20, MAX_VALUE_LEN] {
        let mut value = vec![b'v'; len];
        value.iter_mut().step_by(1021).zip(0u8..=255).for_each(|(b, n)| *b = n);
        let value = Bytes::from(value);
        let mut txn = db.begin_write()?;
        txn.put(&len.to_be_bytes(), value.clone())?;
        committed("the commit", txn.commit())?;
        all.push((len, value));
    }
    let reader = db.begin_read()?;
    for (len, value) in &all {
        let got = reader.get(&len.to_be_bytes())?;
        holds(got.as_ref() == Some(value), format!("a value of {len} bytes comes back"))?;
    }
    let sum = reader.range(..).try_fold(0, |n, item| item.map(|(_, v)| n + v.len()))?;
    same("bytes in a range", sum, all.iter().map(|(len, _)| len).sum::<usize>())
}
