//! Reading at a timestamp: [`LsmSnapshot`] and its range.
//!
//! A snapshot is a native snapshot of fjall and a timestamp. At the timestamp
//! that the native snapshot was taken at, `head` is all there is to read. At an
//! older one, a key shows its record in `head` if that is old enough, and else
//! the newest record in `history` that is.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use fjall::{Guard, Readable};
use vellum_core::{KeyRange, Record, Result, Snapshot, Timestamp};

use crate::ends::Ends;
use crate::error::{corrupted, engine};
use crate::head::HeadRange;
use crate::keyspaces::Keyspaces;
use crate::layout::{self, Past};
use crate::records::Found;
use crate::state::State;

/// The store at one timestamp. It keeps for itself what it sees, whatever is
/// written or pruned, and keeps the files of the database open.
#[derive(Clone)]
pub struct LsmSnapshot {
    state: Arc<State>,
    /// At or below that of the state; there, `head` is all there is.
    ts: Timestamp,
}

impl LsmSnapshot {
    pub(crate) fn new(state: Arc<State>, ts: Timestamp) -> Self {
        Self { state, ts }
    }

    pub(crate) fn native(&self) -> &fjall::Snapshot {
        &self.state.native
    }

    pub(crate) fn keyspaces(&self) -> &Keyspaces {
        &self.state.keyspaces
    }

    fn is_head(&self) -> bool {
        self.ts == self.state.ts
    }

    /// What `key` was at a timestamp at or below this snapshot's, tombstones
    /// included: `None` if nothing is known of it there.
    pub(crate) fn past(&self, key: &[u8], at: Timestamp) -> Result<Option<Past>> {
        match self.keyspaces().records.get(key, at) {
            Found::Exact(Some(record)) => Ok(Some(record.into())),
            found => self.past_beyond(&found, key, at),
        }
    }

    /// The same, where the cache was asked already and has no record.
    fn past_beyond(&self, found: &Found, key: &[u8], at: Timestamp) -> Result<Option<Past>> {
        match found {
            // `head` has what is newer, and what was before is in `history`.
            Found::Newer { since, .. } if *since <= self.state.ts => {}
            // An absence is a tombstone in `history`, or nothing.
            _ => match self.state.read_head(key)? {
                Some(record) if record.ts <= at => return Ok(Some(record.into())),
                _ => {}
            },
        }
        self.newest_in_history(key, at)
    }

    /// The newest record of `key` in `history` at or below a timestamp.
    fn newest_in_history(&self, key: &[u8], at: Timestamp) -> Result<Option<Past>> {
        let (newest, oldest) = layout::history_of(key, at);
        let mut records = self.history((Bound::Included(newest), Bound::Included(oldest)));
        records.next().map(|guard| decode_past(guard).map(|(_, past)| past)).transpose()
    }

    /// A part of `history`; nothing, if the bounds meet.
    fn history(&self, bounds: (Bound<Vec<u8>>, Bound<Vec<u8>>)) -> NativeRange {
        if let (Bound::Excluded(low), Bound::Excluded(high)) = &bounds
            && low >= high
        {
            return None.into_iter().flatten();
        }
        let range = self.native().range::<Vec<u8>, _>(&self.keyspaces().history, bounds);
        Some(range).into_iter().flatten()
    }
}

/// A native range, or nothing.
type NativeRange = std::iter::Flatten<std::option::IntoIter<fjall::Iter>>;

impl Snapshot for LsmSnapshot {
    type Range<'a> = LsmRange;

    fn ts(&self) -> Timestamp {
        self.ts
    }

    fn get(&self, key: &[u8]) -> Result<Option<Record>> {
        if self.is_head() {
            return self.state.head(key);
        }
        let found = match self.keyspaces().records.get(key, self.ts) {
            Found::Exact(record) => return Ok(record),
            found => found,
        };
        self.state.seen(&found, key, self.ts, || {
            let shown = self.past_beyond(&found, key, self.ts)?;
            Ok(shown.and_then(|Past { ts, value }| Some(Record { ts, value: value? })))
        })
    }

    fn range(&self, range: &KeyRange) -> LsmRange {
        if range.is_empty() {
            return LsmRange(Inner::Empty);
        }
        let head = HeadRange::new(&self.state, range);
        if self.is_head() {
            return LsmRange(Inner::Head(head));
        }
        LsmRange(Inner::Past(Box::new(PastRange {
            head: Ends::new(head),
            history: Ends::new(Groups::new(self.clone(), range)),
            at: self.ts,
        })))
    }
}

/// The bounds of a range in `history`.
pub(crate) fn history_range(range: &KeyRange) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let (low, high) = layout::history_bounds(range);
    let high = high.map_or(Bound::Unbounded, Bound::Excluded);
    (Bound::Included(low), high)
}

impl fmt::Debug for LsmSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LsmSnapshot").field("ts", &self.ts).finish_non_exhaustive()
    }
}

pub(crate) fn decode_past(guard: Guard) -> Result<(Bytes, Past)> {
    let (key, value) = guard.into_inner().map_err(engine("reading history"))?;
    let (key, value) = (Bytes::from(key), Bytes::from(value));
    layout::decode_history(&key, value)
        .ok_or_else(|| corrupted(format!("record \"{}\" in history", key.escape_ascii())))
}

/// The records of a range in an [`LsmSnapshot`], from both ends.
pub struct LsmRange(Inner);

enum Inner {
    Empty,
    Head(HeadRange),
    Past(Box<PastRange>),
}

// At the head, where most ranges are, a record is decoded into the place where it
// is wanted. What is seldom stands apart, so that no item is moved to meet another.
impl Iterator for LsmRange {
    type Item = Result<(Bytes, Record)>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Inner::Head(head) => head.next(),
            Inner::Empty => None,
            Inner::Past(range) => range.next(),
        }
    }
}

impl DoubleEndedIterator for LsmRange {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Inner::Head(head) => head.next_back(),
            Inner::Empty => None,
            Inner::Past(range) => range.next_back(),
        }
    }
}

impl fmt::Debug for LsmRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LsmRange").finish_non_exhaustive()
    }
}

/// Decodes the items of a native range of `history`.
struct Records(NativeRange);

impl Iterator for Records {
    type Item = Result<(Bytes, Past)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(decode_past)
    }
}

impl DoubleEndedIterator for Records {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(decode_past)
    }
}

/// What each key of `history` shows at one timestamp. A group of records is
/// taken whole by the end that meets it first.
///
/// A key may have very many records. After [`STEPS_MAX`] of them the rest is
/// not stepped over: the one that shows is looked up, and the iterator is made
/// again beyond the key.
struct Groups {
    snapshot: LsmSnapshot,
    records: Ends<Records>,
    /// The bounds of the range, and the keys that were taken from either end.
    bounds: (Bound<Vec<u8>>, Bound<Vec<u8>>),
    taken: (Option<Bytes>, Option<Bytes>),
}

/// A native range costs about as much as so many steps.
const STEPS_MAX: usize = 8;

type Group = Result<(Bytes, Option<Past>)>;

impl Groups {
    fn new(snapshot: LsmSnapshot, range: &KeyRange) -> Self {
        let bounds = history_range(range);
        let records = Ends::new(Records(snapshot.history(bounds.clone())));
        Self { snapshot, records, bounds, taken: (None, None) }
    }

    /// Takes the group whose newest record comes next at the front.
    fn take_front(&mut self) -> Option<Group> {
        let first = self.records.pop_front()?;
        // The newest come first: the first that is old enough is it.
        Some(first.and_then(|(key, past)| {
            let at = self.snapshot.ts;
            let mut shown = (past.ts <= at).then_some(past);
            let mut steps = 0;
            while self.records.front().is_some_and(|item| is_of(item, &key)) {
                if steps == STEPS_MAX {
                    return self.skip(key, shown, true);
                }
                steps += 1;
                let next = self.records.pop_front().transpose()?;
                shown = shown.or(next.map(|(_, past)| past).filter(|past| past.ts <= at));
            }
            self.taken.0 = Some(key.clone());
            Ok((key, shown))
        }))
    }

    /// Takes the group whose oldest record comes next at the back.
    fn take_back(&mut self) -> Option<Group> {
        let last = self.records.pop_back()?;
        // The oldest come first: the last that is old enough is it.
        Some(last.and_then(|(key, past)| {
            let at = self.snapshot.ts;
            let mut shown = (past.ts <= at).then_some(past);
            let mut steps = 0;
            while self.records.back().is_some_and(|item| is_of(item, &key)) {
                if steps == STEPS_MAX {
                    return self.skip(key, None, false);
                }
                steps += 1;
                let next = self.records.pop_back().transpose()?;
                shown = next.map(|(_, past)| past).filter(|past| past.ts <= at).or(shown);
            }
            self.taken.1 = Some(key.clone());
            Ok((key, shown))
        }))
    }

    /// Goes on beyond `key`, whose record is looked up if it is not known.
    fn skip(&mut self, key: Bytes, shown: Option<Past>, is_front: bool) -> Group {
        let taken = if is_front { &mut self.taken.0 } else { &mut self.taken.1 };
        *taken = Some(key.clone());
        // The oldest and the newest record that a key can have bound it.
        let low = self.taken.0.as_ref().map(|key| layout::history_key(key, Timestamp::ZERO));
        let high = self.taken.1.as_ref().map(|key| layout::history_key(key, Timestamp::MAX));
        let low = low.map_or_else(|| self.bounds.0.clone(), Bound::Excluded);
        let high = high.map_or_else(|| self.bounds.1.clone(), Bound::Excluded);
        // What either end had looked ahead at lies between them again.
        self.records = Ends::new(Records(self.snapshot.history((low, high))));
        let shown = match shown {
            Some(past) => Some(past),
            None => self.snapshot.newest_in_history(&key, self.snapshot.ts)?,
        };
        Ok((key, shown))
    }
}

/// Whether an item is a record of `key`. Errors are of every key, so that they
/// are met.
fn is_of(item: &Result<(Bytes, Past)>, key: &Bytes) -> bool {
    item.as_ref().map_or(true, |(of, _)| of == key)
}

impl Iterator for Groups {
    type Item = Group;

    fn next(&mut self) -> Option<Group> {
        self.take_front()
    }
}

impl DoubleEndedIterator for Groups {
    fn next_back(&mut self) -> Option<Group> {
        self.take_back()
    }
}

/// `head` and `history` merged by key.
struct PastRange {
    head: Ends<HeadRange>,
    history: Ends<Groups>,
    at: Timestamp,
}

/// Which side has the next key.
enum Next {
    Head,
    History,
    Both,
}

impl PastRange {
    fn next(&mut self) -> Option<Shown> {
        loop {
            let side = side(self.head.front(), self.history.front(), false)?;
            let head = if side.has_head() { self.head.pop_front() } else { None };
            let past = if side.has_history() { self.history.pop_front() } else { None };
            if let Some(shown) = show(head, past, self.at) {
                return Some(shown);
            }
        }
    }

    fn next_back(&mut self) -> Option<Shown> {
        loop {
            let side = side(self.head.back(), self.history.back(), true)?;
            let head = if side.has_head() { self.head.pop_back() } else { None };
            let past = if side.has_history() { self.history.pop_back() } else { None };
            if let Some(shown) = show(head, past, self.at) {
                return Some(shown);
            }
        }
    }
}

impl Next {
    fn has_head(&self) -> bool {
        matches!(self, Self::Head | Self::Both)
    }

    fn has_history(&self) -> bool {
        matches!(self, Self::History | Self::Both)
    }
}

type HeadItem = Result<(Bytes, Record)>;
type PastItem = Result<(Bytes, Option<Past>)>;
type Shown = Result<(Bytes, Record)>;

/// Which side comes next; errors come first.
fn side(head: Option<&HeadItem>, past: Option<&PastItem>, is_back: bool) -> Option<Next> {
    Some(match (head, past) {
        (None, None) => return None,
        (Some(Ok((head, _))), Some(Ok((past, _)))) => match (head.cmp(past), is_back) {
            (Ordering::Equal, _) => Next::Both,
            (Ordering::Less, false) | (Ordering::Greater, true) => Next::Head,
            _ => Next::History,
        },
        (Some(Err(_)), _) | (_, None) => Next::Head,
        _ => Next::History,
    })
}

/// What one key shows at `at`: its record in `head` if that is old enough, as
/// all in `history` are older; else what `history` has.
fn show(head: Option<HeadItem>, past: Option<PastItem>, at: Timestamp) -> Option<Shown> {
    match (head, past) {
        (Some(Err(e)), _) | (_, Some(Err(e))) => Some(Err(e)),
        (Some(Ok((key, record))), _) if record.ts <= at => Some(Ok((key, record))),
        (_, Some(Ok((key, past)))) => {
            let Past { ts, value } = past?;
            Some(Ok((key, Record { ts, value: value? })))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use vellum_core::{Connection, ConnectionExt, Options, ReadTxn, WriteTxn};

    use super::*;

    #[test]
    fn what_a_held_reader_saw_of_an_overwritten_key_is_cached() -> Result<()> {
        let dir = tempfile::tempdir().map_err(crate::error::io("making a directory"))?;
        let options = Options::new().durability(vellum_core::Durability::Buffered);
        let db = crate::Builder::new(dir.path().join("db")).options(options).open()?;
        db.transact(|txn| txn.put(b"key", "first"))?;
        let held = db.begin_read()?;
        for value in ["second", "third"] {
            db.transact(|txn| txn.put(b"key", value))?;
        }
        let keyspaces = db.store().keyspaces()?;
        let key_at = layout::touched_key(held.read_ts(), b"key");
        assert_eq!(keyspaces.past.get(&key_at, Timestamp::MAX), Found::Unknown);
        for _ in 0..2 {
            assert_eq!(held.get(b"key")?.as_deref(), Some(&b"first"[..]));
            let seen = keyspaces.past.get(&key_at, Timestamp::MAX);
            assert!(matches!(seen, Found::Exact(Some(record)) if record.value == "first"));
        }
        assert_eq!(db.begin_read()?.get(b"key")?.as_deref(), Some(&b"third"[..]));
        Ok(())
    }
}
