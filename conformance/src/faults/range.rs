//! Ranges that are wrong.

use std::collections::VecDeque;
use std::fmt;

use vellum_core::{Bytes, KeyRange, KeyValue, ReadTxn, Result};

use super::Fault;

/// A range of a broken transaction.
pub struct BrokenRange<'a>(Box<dyn DoubleEndedIterator<Item = Result<KeyValue>> + Send + 'a>);

impl Iterator for BrokenRange<'_> {
    type Item = Result<KeyValue>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

impl DoubleEndedIterator for BrokenRange<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back()
    }
}

impl fmt::Debug for BrokenRange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokenRange").finish_non_exhaustive()
    }
}

/// The end of `range`, included.
pub(super) fn with_end(range: &KeyRange) -> KeyRange {
    let end = range.end().map(|end| [&end[..], b"\0"].concat().into());
    KeyRange::new(range.start().clone(), end)
}

/// What the fault makes of the bounds.
fn reshaped(fault: Fault, range: KeyRange) -> KeyRange {
    match fault {
        Fault::RangeEndIncluded if !range.is_empty() => with_end(&range),
        Fault::InvertedRangeYieldsAll if range.is_empty() => KeyRange::all(),
        Fault::PrefixFfWrong if range.end().is_none() && range.start().ends_with(b"\xff") => {
            // As if the last byte had been raised and had wrapped.
            KeyRange::new(range.start().clone(), Some(range.start().clone()))
        }
        _ => range,
    }
}

impl<'a> BrokenRange<'a> {
    /// Items that were collected.
    pub(super) fn of(items: Vec<Result<KeyValue>>) -> Self {
        Self(Box::new(items.into_iter()))
    }

    /// A range of `txn`, by way of the fault.
    pub(super) fn over<T: ReadTxn>(txn: &'a T, fault: Fault, range: KeyRange) -> Self {
        let start = range.start().clone();
        let items = txn.range(reshaped(fault, range));
        Self(Box::new(Altered { items, fault, start, last: None, front: 0, back: 0, erred: false }))
    }

    /// `items`, tracked by a range of `txn` that follows as the fault lets it.
    pub(super) fn tracked<T: ReadTxn>(
        txn: &'a T,
        items: Vec<Result<KeyValue>>,
        fault: Fault,
        range: KeyRange,
    ) -> Self {
        let mut shadow = txn.range(range);
        if fault == Fault::UnadvancedRangeObserves {
            while shadow.next().is_some() {}
        }
        let keys = items.iter().filter(|_| fault == Fault::PhantomLetThrough);
        let keys = keys.filter_map(|item| item.as_ref().ok());
        let points = keys.map(|(key, _)| txn.range(KeyRange::key(key))).collect();
        Self(Box::new(Tracked { points, items: items.into(), shadow, fault, yielded: 0 }))
    }
}

/// An iterator that does one thing wrong.
struct Altered<I> {
    items: I,
    fault: Fault,
    start: Bytes,
    /// The last item from the front.
    last: Option<KeyValue>,
    front: usize,
    back: usize,
    erred: bool,
}

impl<I: DoubleEndedIterator<Item = Result<KeyValue>>> Altered<I> {
    fn hidden(&self, item: &Result<KeyValue>) -> bool {
        let Ok((key, value)) = item else { return false };
        match self.fault {
            Fault::EmptyValueAbsent => value.is_empty(),
            Fault::RangeStartExcluded => *key == self.start,
            _ => false,
        }
    }

    fn step(&mut self, back: bool) -> Option<Result<KeyValue>> {
        if self.fault == Fault::ReverseSkipsLast && back && self.back == 0 {
            self.items.next_back();
        }
        let gap = self.fault == Fault::EndsGap && back && self.front > 0 && self.back == 0;
        if gap {
            self.items.next();
        }
        loop {
            let from_back = back && self.fault != Fault::ReverseOrderWrong;
            let item = if from_back { self.items.next_back() } else { self.items.next() };
            if item.as_ref().is_some_and(|item| self.hidden(item)) {
                continue;
            }
            return item;
        }
    }

    fn give(&mut self, back: bool) -> Option<Result<KeyValue>> {
        let item = self.step(back);
        match &item {
            Some(Ok(pair)) if !back => {
                self.front += 1;
                self.last = Some(pair.clone());
            }
            Some(Ok(_)) => self.back += 1,
            Some(Err(_)) if self.fault == Fault::EndsSilently => return None,
            Some(Err(_)) => self.erred = true,
            None if self.fault == Fault::ResumesAfterError && self.erred => {
                return self.last.take().map(Ok);
            }
            None if self.fault == Fault::EndsRepeat && self.front > 0 && self.back > 0 => {
                return self.last.take().map(Ok);
            }
            None => {}
        }
        item
    }
}

impl<I: DoubleEndedIterator<Item = Result<KeyValue>>> Iterator for Altered<I> {
    type Item = Result<KeyValue>;

    fn next(&mut self) -> Option<Self::Item> {
        self.give(false)
    }
}

impl<I: DoubleEndedIterator<Item = Result<KeyValue>>> DoubleEndedIterator for Altered<I> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.give(true)
    }
}

/// Items from one place, and a tracked range that is advanced beside them.
struct Tracked<I> {
    items: VecDeque<Result<KeyValue>>,
    shadow: I,
    /// A range for each item alone.
    points: VecDeque<I>,
    fault: Fault,
    yielded: usize,
}

impl<I: DoubleEndedIterator<Item = Result<KeyValue>>> Tracked<I> {
    fn step(&mut self, back: bool) -> Option<Result<KeyValue>> {
        let item = if back { self.items.pop_back() } else { self.items.pop_front() };
        match (self.fault, &item) {
            (Fault::RangeUntracked, _)
            | (Fault::TailUntracked, None)
            | (Fault::PhantomLetThrough, None) => {}
            (Fault::EmptyRangeUntracked, None) if self.yielded == 0 => {}
            (Fault::ReverseUntracked, _) if back => {}
            (Fault::PhantomLetThrough, Some(_)) => {
                let point = if back { self.points.pop_back() } else { self.points.pop_front() };
                point.into_iter().flatten().for_each(drop);
            }
            (Fault::OverObserves, _) => while self.shadow.next().is_some() {},
            _ if back => drop(self.shadow.next_back()),
            _ => drop(self.shadow.next()),
        }
        self.yielded += 1;
        item
    }
}

impl<I: DoubleEndedIterator<Item = Result<KeyValue>>> Iterator for Tracked<I> {
    type Item = Result<KeyValue>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(false)
    }
}

impl<I: DoubleEndedIterator<Item = Result<KeyValue>>> DoubleEndedIterator for Tracked<I> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(true)
    }
}
