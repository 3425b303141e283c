//! A transaction's range: the snapshot's records under its own writes.

use bytes::Bytes;

use crate::{Record, Result};

use super::write_set::OwnRange;

/// Merges the records of a snapshot with a transaction's own writes, from both
/// ends: the own write hides the record of the same key, and a delete hides
/// itself too.
///
/// Either end may have taken one item ahead from either side. An end that finds
/// a side exhausted takes over what the other end holds of it, so the ends meet
/// without a gap or a repeat.
pub(super) struct Merge<'a, I: Iterator> {
    base: Side<I>,
    /// `None` if there is nothing of its own, so that there is nothing to look
    /// ahead for.
    own: Option<Side<OwnRange<'a>>>,
}

struct Side<I: Iterator> {
    iter: I,
    front: Option<I::Item>,
    back: Option<I::Item>,
}

impl<I: DoubleEndedIterator> Side<I> {
    fn new(iter: I) -> Self {
        Self { iter, front: None, back: None }
    }

    fn fill_front(&mut self) {
        if self.front.is_none() {
            self.front = self.iter.next().or_else(|| self.back.take());
        }
    }

    fn fill_back(&mut self) {
        if self.back.is_none() {
            self.back = self.iter.next_back().or_else(|| self.front.take());
        }
    }
}

impl<'a, I: DoubleEndedIterator<Item = Result<(Bytes, Record)>>> Merge<'a, I> {
    pub(super) fn new(base: I, own: OwnRange<'a>) -> Self {
        let mut own = Side::new(own);
        own.fill_front();
        let own = own.front.is_some().then_some(own);
        Self { base: Side::new(base), own }
    }

    /// The records alone, if there is nothing of the transaction's own.
    #[inline]
    pub(super) fn alone(&mut self) -> Option<&mut I> {
        if self.own.is_none() { Some(&mut self.base.iter) } else { None }
    }

    #[inline]
    pub(super) fn next(&mut self) -> Option<Result<(Bytes, Bytes)>> {
        match self.own {
            None => self.base.iter.next().map(from_base),
            Some(_) => self.merged_next(),
        }
    }

    fn merged_next(&mut self) -> Option<Result<(Bytes, Bytes)>> {
        let own = self.own.as_mut()?;
        loop {
            self.base.fill_front();
            own.fill_front();
            let Some((own_key, _)) = own.front else {
                return self.base.front.take().map(from_base);
            };
            if let Some(item) = &self.base.front {
                let Ok((base_key, _)) = item else { return self.base.front.take().map(from_base) };
                if base_key < own_key {
                    return self.base.front.take().map(from_base);
                }
                if base_key == own_key {
                    self.base.front = None;
                }
            }
            if let Some(item) = own.front.take().and_then(from_own) {
                return Some(Ok(item));
            }
        }
    }

    #[inline]
    pub(super) fn next_back(&mut self) -> Option<Result<(Bytes, Bytes)>> {
        match self.own {
            None => self.base.iter.next_back().map(from_base),
            Some(_) => self.merged_next_back(),
        }
    }

    fn merged_next_back(&mut self) -> Option<Result<(Bytes, Bytes)>> {
        let own = self.own.as_mut()?;
        loop {
            self.base.fill_back();
            own.fill_back();
            let Some((own_key, _)) = own.back else {
                return self.base.back.take().map(from_base);
            };
            if let Some(item) = &self.base.back {
                let Ok((base_key, _)) = item else { return self.base.back.take().map(from_base) };
                if base_key > own_key {
                    return self.base.back.take().map(from_base);
                }
                if base_key == own_key {
                    self.base.back = None;
                }
            }
            if let Some(item) = own.back.take().and_then(from_own) {
                return Some(Ok(item));
            }
        }
    }
}

#[inline]
fn from_base(item: Result<(Bytes, Record)>) -> Result<(Bytes, Bytes)> {
    item.map(|(key, record)| (key, record.value))
}

fn from_own((key, value): (&Bytes, &Option<Bytes>)) -> Option<(Bytes, Bytes)> {
    value.as_ref().map(|value| (key.clone(), value.clone()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Timestamp;

    #[test]
    fn ends_meet_without_gap_or_repeat_for_every_small_case() {
        // Every assignment of {absent, base, own, base+own, own delete,
        // base + own delete} to four keys, driven by every pattern of ends.
        const KEYS: u32 = if cfg!(miri) { 2 } else { 4 };
        for case in 0..6u32.pow(KEYS) {
            let (mut base, mut own, mut expected) = (vec![], BTreeMap::new(), vec![]);
            for i in 0..KEYS {
                let key = Bytes::from(vec![b'a' + u8::try_from(i).unwrap_or(0)]);
                let kind = case / 6u32.pow(i) % 6;
                let (base_value, own_value) = (Bytes::from("base"), Bytes::from("own"));
                if matches!(kind, 1 | 3 | 5) {
                    let record = Record { ts: Timestamp::new(1), value: base_value.clone() };
                    base.push((key.clone(), record));
                }
                match kind {
                    2 | 3 => drop(own.insert(key.clone(), Some(own_value.clone()))),
                    4 | 5 => drop(own.insert(key.clone(), None)),
                    _ => {}
                }
                match kind {
                    1 => expected.push((key, base_value)),
                    2 | 3 => expected.push((key, own_value)),
                    _ => {}
                }
            }
            for pattern in 0..1u32 << (KEYS + 1) {
                let base = base.clone().into_iter().map(Ok);
                let mut merge = Merge::new(base, OwnRange::Tree(own.range::<[u8], _>(..)));
                let (mut front, mut back) = (vec![], vec![]);
                for step in 0.. {
                    let item = if pattern >> (step % (KEYS + 1)) & 1 == 0 {
                        merge.next().map(|item| front.push(item))
                    } else {
                        merge.next_back().map(|item| back.push(item))
                    };
                    if item.is_none() {
                        break;
                    }
                }
                assert!(merge.next().is_none() && merge.next_back().is_none());
                back.reverse();
                let got: Result<Vec<_>> = front.into_iter().chain(back).collect();
                assert_eq!(got.ok().as_ref(), Some(&expected), "case {case}, pattern {pattern:b}");
            }
        }
    }
}
