//! Ranges: in order, in reverse, by prefix, from both ends, page by page; and
//! only what was really looked at can conflict.
//!
//! ```text
//! cargo run --example range_scans
//! ```
#![expect(clippy::print_stdout, reason = "an example tells what it does")]

use std::ops::Bound;

use vellum::{
    Bytes, Connection, ConnectionExt, KeyRange, Options, ReadTxn, ReadTxnExt, Result, WriteTxn,
};

fn main() -> Result<()> {
    let db = vellum::mem::open(Options::new())?;
    db.transact(|txn| {
        for day in 1..=30 {
            txn.put(format!("log/2026-06-{day:02}").as_bytes(), format!("entry {day}"))?;
        }
        txn.put(b"other", "")
    })?;
    let txn = db.begin_read()?;

    // Any of Rust's ranges; the end of `..` is excluded, that of `..=` is not.
    assert_eq!(txn.range("log/2026-06-10".."log/2026-06-20").count(), 10);
    assert_eq!(txn.range("log/2026-06-10"..="log/2026-06-20").count(), 11);
    assert_eq!(txn.range("log/2026-06-20".."log/2026-06-10").count(), 0);
    assert_eq!(txn.prefix("log/").count(), 30);

    // In reverse: the last three days.
    let last: Vec<Bytes> =
        txn.prefix("log/").rev().take(3).map(|item| Ok(item?.0)).collect::<Result<_>>()?;
    println!("the last three: {last:?}");
    assert_eq!(last.first().map(|key| &key[..]), Some(&b"log/2026-06-30"[..]));

    // From both ends until they meet.
    let mut range = txn.prefix("log/");
    let mut pairs = 0;
    while let (Some(first), Some(last)) = (range.next(), range.next_back()) {
        assert!(first?.0 < last?.0);
        pairs += 1;
    }
    assert_eq!(pairs, 15);

    // Page by page: each begins after the last key of the one before.
    let end = KeyRange::prefix("log/").end().cloned();
    let (mut after, mut pages) = (Bound::Included(Bytes::from("log/")), 0);
    loop {
        let upto = end.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let page: Vec<_> = txn.range((after, upto)).take(8).collect::<Result<_>>()?;
        let Some((last, _)) = page.last() else { break };
        println!("page {pages}: {} entries to {}", page.len(), last.escape_ascii());
        (after, pages) = (Bound::Excluded(last.clone()), pages + 1);
    }
    assert_eq!(pages, 4);

    // A transaction that looked at the first day does not conflict with one
    // that writes the last.
    let mut writer = db.begin_write()?;
    let first = writer.first(KeyRange::prefix("log/"))?.map(|(key, _)| key);
    writer.put(b"first", first.unwrap_or_default())?;
    db.transact(|txn| txn.delete(b"log/2026-06-30"))?;
    writer.commit()?;
    println!("looking at one corner does not conflict with another");
    db.close()
}
