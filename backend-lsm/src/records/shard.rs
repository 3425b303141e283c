//! [`Shard`]: one lock's worth of the cache.

use std::hash::BuildHasher;

use bytes::Bytes;
use foldhash::fast::RandomState;
use vellum_core::{Record, Timestamp};

use super::Found;
use super::index::Index;

/// Entries stand at multiples of this in the ring; places count in it.
const UNIT: usize = 8;

/// `value_len u32 · key_len u16 · flags u16 · since u64 · before u64`, then key and
/// value. A key length of zero fills the ring up to its end.
const HEADER: usize = 24;

/// The value length of a key that is absent.
const ABSENT: u32 = u32::MAX;

/// The entry is no longer found through the index.
const DEAD: u16 = 1;
/// The entry was read since it came in.
const READ: u16 = 2;

/// An entry takes at most this part of a ring, so that one cannot empty it.
const ENTRY_PART: usize = 8;

/// How many entries that were read go round again for one that comes in.
const CHANCES: usize = 8;

/// Stamps of a shard.
const STRIPES: usize = 512;

/// What the head of an entry says.
#[derive(Clone, Copy)]
struct Header {
    value_len: u32,
    key_len: u16,
    flags: u16,
    since: Timestamp,
    /// What wrote the record before this one; zero if that is not known.
    before: Timestamp,
}

impl Header {
    fn before(self) -> Option<Timestamp> {
        (self.before > Timestamp::ZERO).then_some(self.before)
    }

    fn value_len(self) -> usize {
        if self.value_len == ABSENT { 0 } else { self.value_len as usize }
    }

    /// Bytes that the entry takes in the ring.
    fn len(self) -> usize {
        entry_len(usize::from(self.key_len), self.value_len())
    }
}

fn entry_len(key_len: usize, value_len: usize) -> usize {
    (HEADER + key_len + value_len).next_multiple_of(UNIT)
}

pub(super) struct Shard {
    ring: Box<[u8]>,
    /// The oldest entry.
    first: usize,
    /// Where the next entry goes.
    next: usize,
    /// Bytes between them.
    used: usize,
    /// How far the ring was ever written.
    touched: usize,
    index: Index,
    /// For each stripe the newest commit that wrote a key of it.
    stamps: Box<[u64]>,
    /// Marks of keys that were missed once, by hash.
    missed: Box<[u16]>,
    hasher: RandomState,
}

impl Shard {
    /// A shard of about so many bytes.
    pub(super) fn new(bytes: usize, hasher: RandomState) -> Self {
        // An eighth is for the index, room for entries of 64 bytes on average.
        let index = Index::new(bytes / 8 / size_of::<u64>());
        let stripes = STRIPES.min(1 << (bytes / 64).max(1).ilog2());
        let missed = 1usize << (bytes / 64).max(1).ilog2();
        let rest = size_of::<u64>() * stripes + size_of::<u16>() * missed + index.bytes();
        let ring = bytes.saturating_sub(rest).min((u32::MAX as usize - 1) * UNIT);
        Self {
            ring: vec![0; ring / UNIT * UNIT].into_boxed_slice(),
            first: 0,
            next: 0,
            used: 0,
            touched: 0,
            index,
            stamps: vec![0; stripes].into_boxed_slice(),
            missed: vec![0; missed].into_boxed_slice(),
            hasher,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let rest = size_of_val(&*self.stamps) + size_of_val(&*self.missed);
        self.touched + self.index.bytes() + rest
    }

    pub(super) fn get(&mut self, hash: u64, key: &[u8], at: Timestamp) -> Found {
        let Some((place, header)) = self.find(hash, key) else { return Found::Unknown };
        if header.since > at {
            return Found::Newer { since: header.since, before: header.before() };
        }
        if header.flags & READ == 0 {
            self.set_header(place, Header { flags: header.flags | READ, ..header });
        }
        if header.value_len == ABSENT {
            return Found::Exact(None);
        }
        let from = place + HEADER + key.len();
        match self.ring.get(from..from + header.value_len()) {
            Some(value) => {
                let value = Bytes::copy_from_slice(value);
                Found::Exact(Some(Record { ts: header.since, value }))
            }
            None => Found::Unknown,
        }
    }

    /// What wrote the record before the one that is known of `key`.
    pub(super) fn before(&self, hash: u64, key: &[u8]) -> Option<Timestamp> {
        self.find(hash, key)?.1.before()
    }

    /// Lets in a record that will not change any more, if there is room.
    pub(super) fn keep(
        &mut self,
        hash: u64,
        key: &[u8],
        record: &Record,
        before: Option<Timestamp>,
    ) {
        let fits = self.fits(entry_len(key.len(), record.value.len()));
        if fits && self.find(hash, key).is_none() {
            let before = before.unwrap_or(Timestamp::ZERO);
            self.insert(hash, key, Some(&record.value), record.ts, before);
        }
    }

    pub(super) fn fill(
        &mut self,
        hash: u64,
        key: &[u8],
        value: Option<&Bytes>,
        since: Timestamp,
        at: Timestamp,
    ) {
        if self.stamp(hash) > at.get() || self.find(hash, key).is_some() {
            return;
        }
        let len = entry_len(key.len(), value.map_or(0, Bytes::len));
        if self.fits(len) || self.was_missed(hash) {
            self.insert(hash, key, value, since, Timestamp::ZERO);
        }
    }

    pub(super) fn write(&mut self, hash: u64, key: &[u8], value: Option<&Bytes>, ts: Timestamp) {
        let stripe = self.stripe(hash);
        if let Some(stamp) = self.stamps.get_mut(stripe) {
            *stamp = ts.get();
        }
        let value_len = value.map_or(0, Bytes::len);
        let Some((place, header)) = self.find(hash, key) else {
            // As long as nothing has to go for it, what is written is let in.
            if value.is_some() && self.fits(entry_len(key.len(), value_len)) {
                self.insert(hash, key, value, ts, Timestamp::ZERO);
            }
            return;
        };
        // An absence may have begun at any time before it was found.
        let is_absent = header.value_len == ABSENT;
        let before = if is_absent { Timestamp::ZERO } else { header.since };
        if entry_len(key.len(), value_len) == header.len() {
            let value_len = value.map_or(ABSENT, |value| narrow(value.len()));
            self.set_header(place, Header { value_len, since: ts, before, ..header });
            self.copy(place + HEADER + key.len(), value.map_or(&[][..], |value| value));
        } else {
            self.forget(hash, place, header);
            self.insert(hash, key, value, ts, before);
        }
    }

    fn stripe(&self, hash: u64) -> usize {
        (hash >> 32) as usize & (self.stamps.len() - 1)
    }

    fn stamp(&self, hash: u64) -> u64 {
        // A stripe that cannot be looked up would let nothing in.
        self.stamps.get(self.stripe(hash)).copied().unwrap_or(u64::MAX)
    }

    /// Whether this is at least the second miss of a key, as far as is known.
    fn was_missed(&mut self, hash: u64) -> bool {
        let at = (hash >> 16) as usize & (self.missed.len() - 1);
        let mark = (hash >> 40) as u16 | 1;
        match self.missed.get_mut(at) {
            Some(of) if *of == mark => true,
            Some(of) => {
                *of = mark;
                false
            }
            None => false,
        }
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<(usize, Header)> {
        let mut found = None;
        self.index.find(hash, |place| {
            let place = place as usize * UNIT;
            let is_it = self.key(place) == Some(key);
            if is_it {
                found = self.header(place).map(|header| (place, header));
            }
            is_it
        })?;
        found
    }

    /// The entry at a place. A damaged one would be none; there are none.
    fn header(&self, place: usize) -> Option<Header> {
        let bytes = self.ring.get(place..)?.first_chunk::<HEADER>()?;
        let (lens, times) = bytes.split_first_chunk::<8>()?;
        let (since, before) = times.split_first_chunk::<8>()?;
        let [a, b, c, d, e, f, g, h] = *lens;
        Some(Header {
            value_len: u32::from_ne_bytes([a, b, c, d]),
            key_len: u16::from_ne_bytes([e, f]),
            flags: u16::from_ne_bytes([g, h]),
            since: Timestamp::new(u64::from_ne_bytes(*since)),
            before: Timestamp::new(u64::from_ne_bytes(before.try_into().ok()?)),
        })
    }

    fn key(&self, place: usize) -> Option<&[u8]> {
        let header = self.header(place)?;
        let from = place + HEADER;
        self.ring.get(from..from + usize::from(header.key_len))
    }

    fn set_header(&mut self, place: usize, header: Header) {
        let mut bytes = [0; HEADER];
        let (lens, times) = bytes.split_at_mut(8);
        let (since, before) = times.split_at_mut(8);
        let (value_len, rest) = lens.split_at_mut(4);
        let (key_len, flags) = rest.split_at_mut(2);
        value_len.copy_from_slice(&header.value_len.to_ne_bytes());
        key_len.copy_from_slice(&header.key_len.to_ne_bytes());
        flags.copy_from_slice(&header.flags.to_ne_bytes());
        since.copy_from_slice(&header.since.get().to_ne_bytes());
        before.copy_from_slice(&header.before.get().to_ne_bytes());
        self.copy(place, &bytes);
    }

    fn copy(&mut self, at: usize, bytes: &[u8]) {
        if let Some(to) = self.ring.get_mut(at..at + bytes.len()) {
            to.copy_from_slice(bytes);
        }
    }

    /// Whether an entry fits without another having to go.
    fn fits(&self, len: usize) -> bool {
        self.touched + len <= self.ring.len() && !self.index.is_full()
    }

    fn insert(
        &mut self,
        hash: u64,
        key: &[u8],
        value: Option<&Bytes>,
        since: Timestamp,
        before: Timestamp,
    ) {
        let len = entry_len(key.len(), value.map_or(0, Bytes::len));
        let (Ok(key_len @ 1..), true) =
            (u16::try_from(key.len()), len <= self.ring.len() / ENTRY_PART)
        else {
            return;
        };
        let mut chances = CHANCES;
        while self.index.is_full() {
            self.evict(&mut chances);
        }
        let Some(place) = self.make_room(len) else { return };
        let value_len = value.map_or(ABSENT, |value| narrow(value.len()));
        self.set_header(place, Header { value_len, key_len, flags: 0, since, before });
        self.copy(place + HEADER, key);
        self.copy(place + HEADER + key.len(), value.map_or(&[][..], |value| value));
        self.index.insert(hash, narrow(place / UNIT));
    }

    /// A place for so many bytes in one piece. Entries do not go over the end of
    /// the ring: what is left there is skipped.
    fn make_room(&mut self, len: usize) -> Option<usize> {
        let mut chances = CHANCES;
        loop {
            let to_end = self.ring.len() - self.next;
            if self.ring.len() - self.used < to_end.min(len) {
                if !self.evict(&mut chances) {
                    return None;
                }
            } else if to_end < len {
                self.skip_to_start(to_end);
            } else {
                return Some(self.take(len));
            }
        }
    }

    fn skip_to_start(&mut self, to_end: usize) {
        if to_end >= HEADER {
            let (since, before) = (Timestamp::ZERO, Timestamp::ZERO);
            let header = Header { value_len: 0, key_len: 0, flags: DEAD, since, before };
            self.set_header(self.next, header);
        }
        self.used += to_end;
        self.next = 0;
    }

    /// The next so many bytes, which are free.
    fn take(&mut self, len: usize) -> usize {
        let place = self.next;
        self.next += len;
        self.used += len;
        self.touched = self.touched.max(self.next);
        place
    }

    /// Frees what the oldest entry takes; false if there is none. If it was read
    /// it goes to the end of the row instead, while there are `chances`.
    fn evict(&mut self, chances: &mut usize) -> bool {
        if self.used == 0 {
            return false;
        }
        let place = self.first;
        let to_end = self.ring.len() - place;
        let header = match self.header(place) {
            Some(header) if header.key_len > 0 => header,
            _ => {
                self.used -= to_end.min(self.used);
                self.first = 0;
                return true;
            }
        };
        let len = header.len();
        self.used -= len.min(self.used);
        self.first += len;
        if header.flags & DEAD != 0 {
            return true;
        }
        let Some(key) = self.key(place) else { return true };
        let hash = self.hasher.hash_one(key);
        if header.flags & READ != 0 && *chances > 0 && self.ring.len() - self.next >= len {
            *chances -= 1;
            let to = self.take(len);
            self.ring.copy_within(place..place + len, to);
            self.set_header(to, Header { flags: header.flags & !READ, ..header });
            self.index.relocate(hash, narrow(place / UNIT), narrow(to / UNIT));
        } else {
            self.index.remove(hash, narrow(place / UNIT));
        }
        true
    }

    /// Takes an entry out of the index; its bytes are freed when it is oldest.
    fn forget(&mut self, hash: u64, place: usize, header: Header) {
        self.index.remove(hash, narrow(place / UNIT));
        self.set_header(place, Header { flags: header.flags | DEAD, ..header });
    }
}

/// What the bounds on a ring keep within 32 bits.
fn narrow(n: usize) -> u32 {
    n as u32
}
