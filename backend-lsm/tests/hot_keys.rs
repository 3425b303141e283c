//! Ranges at old versions over keys that were overwritten very often.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use vellum_core::{
    Bytes, Connection, ConnectionExt, Durability, KeyRange, Options, ReadTxn, Result, Version,
    WriteTxn,
};

/// xorshift64: the seed says it all.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn range_at_any_version_of_hot_keys_is_exact_from_both_ends() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::new().durability(Durability::Buffered);
    let db = vellum_lsm::Builder::new(dir.path().join("db")).options(options).open()?;
    let mut seed = 0x5eed_u64;
    let mut states: Vec<BTreeMap<Vec<u8>, Bytes>> = Vec::new();
    let mut state = BTreeMap::new();
    for round in 0..60 {
        let mut txn = db.begin_write()?;
        for i in 0..8u8 {
            let key = vec![b'k', i, 0, i];
            // Some keys change in every version, others seldom.
            if next(&mut seed).is_multiple_of(u64::from(i) * 4 + 1) {
                if next(&mut seed).is_multiple_of(5) {
                    txn.delete(&key)?;
                    state.remove(&key);
                } else {
                    let value = Bytes::from(format!("{round}/{i}"));
                    txn.put(&key, value.clone())?;
                    state.insert(key, value);
                }
            }
        }
        txn.commit()?;
        db.save_version()?;
        states.push(state.clone());
    }
    for (version, expected) in (1..).zip(&states) {
        let txn = db.read_at(Version::new(version))?;
        for _ in 0..8 {
            let bounds = [next(&mut seed), next(&mut seed)].map(|n| vec![b'k', (n % 9) as u8]);
            let [low, high] = &bounds;
            let range = KeyRange::from(&low[..]..&high[..]);
            let (mut front, mut back) = (Vec::new(), Vec::new());
            let mut items = txn.range(&range);
            let ends = next(&mut seed);
            for step in 0.. {
                let item = match ends >> (step % 64) & 1 {
                    0 => items.next().map(|item| item.map(|item| front.push(item))),
                    _ => items.next_back().map(|item| item.map(|item| back.push(item))),
                };
                if item.transpose()?.is_none() {
                    break;
                }
            }
            back.reverse();
            front.extend(back);
            let expected: Vec<_> = expected
                .iter()
                .filter(|(key, _)| range.contains(key))
                .map(|(key, value)| (Bytes::from(key.clone()), value.clone()))
                .collect();
            assert_eq!(front, expected, "version {version}, {range}, ends {ends:b}");
        }
    }
    db.verify()?;
    Ok(())
}
