//! Walking the whole index, leaf by leaf, beside writers and prunes.

use bytes::Bytes;
use vellum_core::{Held, KeyRange, VerifyReport};

use crate::index::Index;
use crate::leaf::State;

/// The keys in `range`, ascending, with any record at all.
pub(crate) fn keys(
    index: Held<Index>,
    range: &KeyRange,
) -> impl Iterator<Item = Bytes> + Send + use<> {
    let range = range.clone();
    let mut next = (!range.is_empty()).then(|| range.start().clone());
    std::iter::from_fn(move || {
        let low = next.take()?;
        let (keys, high) = index.read_at(&low, |state, _| {
            let begin = state.keys.rank(&low);
            let end = range.end().map_or(state.len(), |end| state.keys.rank(end));
            let keys: Vec<Bytes> = (begin..end).map(|i| state.keys.share(i)).collect();
            (keys, state.high.clone())
        });
        next = high.filter(|high| range.end().is_none_or(|end| high < end));
        Some(keys)
    })
    .flatten()
}

/// Checks every leaf; says where something is wrong.
pub(crate) fn verify(index: &Index) -> Result<VerifyReport, String> {
    let (mut records, mut bytes) = (0, 0);
    let mut next = Some(Bytes::new());
    while let Some(low) = next {
        next = index.read_at(&low, |state, fence| {
            let (r, b) = check(state, fence)
                .map_err(|e| format!("{e}, in the leaf from {}", shown(fence)))?;
            records += r;
            bytes += b;
            Ok::<_, String>(state.high.clone())
        })?;
    }
    Ok(VerifyReport::new(records, bytes))
}

fn shown(key: &[u8]) -> impl std::fmt::Display + '_ {
    key.escape_ascii()
}

/// Checks one leaf and counts its records and their bytes.
fn check(state: &State, fence: &Bytes) -> Result<(u64, u64), String> {
    if state.len() != state.keys.len() {
        return Err(format!("{} keys with records of {}", state.keys.len(), state.len()));
    }
    if state.high.as_ref().is_some_and(|high| high <= fence) {
        return Err("it ends before it begins".into());
    }
    let (mut records, mut bytes) = (0, 0);
    let mut last: Option<&[u8]> = None;
    for i in 0..state.len() {
        let key = state.keys.get(i);
        if key < &fence[..] || !state.covers(key) || last.is_some_and(|last| last >= key) {
            return Err(format!("key {} is not where it belongs", shown(key)));
        }
        last = Some(key);
        let mut newest = None;
        for entry in state.chain(i).into_iter().flat_map(|chain| chain.iter()) {
            if newest.is_some_and(|ts| ts >= entry.ts) {
                return Err(format!("the records of key {} are out of order", shown(key)));
            }
            newest = Some(entry.ts);
            records += 1;
            bytes += (key.len() + entry.byte_len()) as u64;
        }
        if newest.is_none() {
            return Err(format!("key {} has no record", shown(key)));
        }
    }
    Ok((records, bytes))
}

#[cfg(test)]
mod tests {
    use vellum_core::{Retention, Timestamp};

    use super::*;
    use crate::chain::Entry;
    use crate::leaf::Tally;

    fn leaf(records: &[(&str, u64)]) -> State {
        let mut state = State::default();
        for &(key, ts) in records {
            let entry = Entry { ts: Timestamp::new(ts), value: Some("x".into()) };
            let keep = Retention::everything();
            state.put(key.as_bytes(), entry, &keep, &mut Tally::default());
        }
        state
    }

    #[test]
    fn damage_to_a_leaf_is_named() {
        let whole = leaf(&[("b", 1), ("d", 2), ("d", 3)]);
        assert_eq!(check(&whole, &"b".into()), Ok((3, 6)));
        let told = |state: &State, fence: &'static str| check(state, &fence.into()).err();
        assert_eq!(told(&whole, "c").as_deref(), Some("key b is not where it belongs"));

        let mut ends = leaf(&[("b", 1), ("d", 2)]);
        ends.high = Some("d".into());
        assert_eq!(told(&ends, "a").as_deref(), Some("key d is not where it belongs"));
        assert_eq!(told(&ends, "d").as_deref(), Some("it ends before it begins"));

        let mut extra = leaf(&[("b", 1)]);
        extra.keys.insert(1, b"c");
        assert_eq!(told(&extra, "a").as_deref(), Some("2 keys with records of 1"));

        let mut order = leaf(&[("b", 1), ("d", 1)]);
        order.keys = crate::keys::Keys::default();
        order.keys.insert(0, b"d");
        order.keys.insert(1, b"b");
        assert_eq!(told(&order, "a").as_deref(), Some("key b is not where it belongs"));

        let newer_first = leaf(&[("d", 3), ("d", 2)]);
        let told = told(&newer_first, "a");
        assert_eq!(told.as_deref(), Some("the records of key d are out of order"));
    }
}
