//! The cache beside the whole history of what was written.
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use bytes::Bytes;
use vellum_core::{Record, Timestamp};

use super::{Found, Records};

const KEY: &[u8] = b"key";

/// One key's writes, by timestamp; `None` is a delete.
type Writes = BTreeMap<u64, Option<Bytes>>;

fn state(writes: &Writes, at: u64) -> Option<Record> {
    let (ts, value) = writes.range(..=at).next_back()?;
    Some(Record { ts: Timestamp::new(*ts), value: value.clone()? })
}

/// Whether what the cache says of a key is true at a timestamp, and of what was
/// written up to `published`.
fn is_true(found: &Found, writes: &Writes, at: u64, published: u64) -> bool {
    match found {
        Found::Unknown => true,
        Found::Exact(record) => *record == state(writes, at),
        // From there on it is as it is now, as far as anybody may see.
        Found::Newer { since, before } => {
            let since = since.get();
            let is_gapless = before.is_none_or(|before| {
                let before = before.get();
                state(writes, before).is_some_and(|record| record.ts.get() == before)
                    && !writes.keys().any(|ts| before < *ts && *ts < since)
            });
            let is_newest = since > published || state(writes, since) == state(writes, published);
            since > at && is_newest && is_gapless
        }
    }
}

/// What is broken on purpose.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Break {
    Nothing,
    /// A group is published before the cache takes note of it.
    PublishFirst,
    /// What a read found is let in whatever was committed meanwhile.
    FillAnyway,
}

/// One writer that commits `values` from timestamp 2 on, and readers: one that
/// holds the snapshot it began with, and one that takes its own when it is its
/// turn.
struct World<'a> {
    broken: Break,
    records: Records,
    writes: Writes,
    values: &'a [Option<&'static str>],
    published: u64,
    steps: [usize; 3],
    /// Of each reader: its snapshot, and what it read from the store.
    readers: [(u64, Option<Option<Record>>); 2],
}

impl<'a> World<'a> {
    /// A cache with room lets in what is written; a full one only what is read,
    /// at the second miss.
    fn new(
        broken: Break,
        has_room: bool,
        first: Option<&'static str>,
        values: &'a [Option<&'static str>],
    ) -> Self {
        let writes = BTreeMap::from([(1, first.map(Bytes::from))]);
        let (records, begin) = (Records::new(4096), Timestamp::new(1));
        if !has_room {
            // Small ones last, so that not even a small one has room.
            for n in 0..60_u64 {
                let value = if n < 30 { &[7; 100][..] } else { &[] };
                let other = Record { ts: begin, value: Bytes::from_static(value) };
                records.fill(&n.to_be_bytes(), Some(&other), begin);
            }
            records.fill(KEY, state(&writes, 1).as_ref(), begin);
        }
        Self {
            broken,
            records,
            writes,
            values,
            published: 1,
            steps: [0; 3],
            readers: [(1, None), (1, None)],
        }
    }

    /// How many steps each has left.
    fn left(&self) -> [usize; 3] {
        let of = [self.values.len() * 3, 3, 3];
        std::array::from_fn(|i| of[i] - self.steps[i])
    }

    /// The next step of the writer, or of a reader; false if it showed a lie.
    fn step(&mut self, who: usize) -> bool {
        let step = self.steps[who];
        self.steps[who] += 1;
        if who == 0 {
            self.write(2 + step as u64 / 3, self.values[step / 3], step % 3);
            return true;
        }
        self.read(who - 1, step)
    }

    fn write(&mut self, ts: u64, value: Option<&'static str>, step: usize) {
        let value = value.map(Bytes::from);
        let step = match (step, self.broken) {
            (1, Break::PublishFirst) => 2,
            (2, Break::PublishFirst) => 1,
            (step, _) => step,
        };
        match step {
            0 => drop(self.writes.insert(ts, value)),
            1 => self.records.write(KEY, value.as_ref(), Timestamp::new(ts)),
            _ => self.published = ts,
        }
    }

    fn read(&mut self, reader: usize, step: usize) -> bool {
        let (at, read) = &mut self.readers[reader];
        match step {
            0 if reader > 0 => *at = self.published,
            0 => {}
            1 => {
                let found = self.records.get(KEY, Timestamp::new(*at));
                if !matches!(found, Found::Exact(_)) {
                    *read = Some(state(&self.writes, *at));
                }
                return is_true(&found, &self.writes, *at, self.published);
            }
            _ => {
                if let Some(record) = read {
                    // A late timestamp gets past every stamp.
                    let from = match self.broken {
                        Break::FillAnyway => Timestamp::MAX,
                        _ => Timestamp::new(*at),
                    };
                    self.records.fill(KEY, record.as_ref(), from);
                }
            }
        }
        true
    }

    /// Whether the cache is right at everything that was published.
    fn is_right(&self) -> bool {
        (1..=self.published).all(|at| {
            let found = self.records.get(KEY, Timestamp::new(at));
            is_true(&found, &self.writes, at, self.published)
        })
    }
}

/// Goes through every order in which the steps can be taken; the number of
/// orders, and of those in which something was wrong.
fn explore(
    broken: Break,
    has_room: bool,
    first: Option<&'static str>,
    values: &[Option<&'static str>],
) -> (u64, u64) {
    let (mut orders, mut wrong) = (0, 0);
    let mut prefixes = vec![Vec::new()];
    while let Some(prefix) = prefixes.pop() {
        let mut world = World::new(broken, has_room, first, values);
        let mut right = true;
        for &who in &prefix {
            right &= world.step(who) && world.is_right();
        }
        let left = world.left();
        if !right || left == [0; 3] {
            orders += 1;
            wrong += u64::from(!right);
            continue;
        }
        for who in (0..3).filter(|&who| left[who] > 0) {
            prefixes.push([&prefix[..], &[who]].concat());
        }
    }
    (orders, wrong)
}

#[test]
fn every_order_of_steps_shows_what_the_store_holds() {
    for (first, has_room) in
        [(None, true), (Some("first"), true), (None, false), (Some("first"), false)]
    {
        for values in [[None, Some("again")], [Some("new"), None], [Some("a longer value"), first]]
        {
            let (orders, wrong) = explore(Break::Nothing, has_room, first, &values);
            assert_eq!((orders, wrong), (18_480, 0), "{first:?} then {values:?}, {has_room}");
        }
    }
}

#[test]
fn order_in_which_publishing_comes_first_shows_a_lie() {
    let (_, wrong) = explore(Break::PublishFirst, true, Some("first"), &[Some("new")]);
    assert!(wrong > 0);
}

#[test]
fn fill_that_no_stamp_keeps_out_shows_a_lie() {
    for (has_room, value) in [(true, None), (false, Some("new"))] {
        let (_, wrong) = explore(Break::FillAnyway, has_room, Some("first"), &[value]);
        assert!(wrong > 0, "{value:?}");
    }
}

/// xorshift64* (Vigna 2016).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }
}

#[test]
fn small_cache_of_many_keys_tells_no_lie() {
    for seed in 1..40 {
        let mut random = Random(seed);
        let records = Records::new(600 + random.below(8000) as u64);
        let keys: Vec<Bytes> =
            (0..200u8).map(|i| Bytes::from(vec![i; 1 + usize::from(i % 30)])).collect();
        let mut writes = vec![Writes::new(); keys.len()];
        let mut hits = 0;
        for published in 1..4000u64 {
            // The lower numbers are hot.
            let of = random.below(keys.len());
            let which = random.below(of + 1);
            let (key, writes) = (&keys[which], &mut writes[which]);
            if random.below(3) == 0 {
                let len = random.below(120);
                let value = (random.below(4) > 0).then(|| Bytes::from(vec![published as u8; len]));
                records.write(key, value.as_ref(), Timestamp::new(published));
                writes.insert(published, value);
            }
            for _ in 0..2 {
                // Mostly near the head.
                let at =
                    published - random.below(random.0 as usize % published as usize + 1) as u64;
                let found = records.get(key, Timestamp::new(at));
                assert!(
                    is_true(&found, writes, at, published),
                    "seed {seed}: {found:?} of {which} at {at}"
                );
                match found {
                    Found::Exact(_) => hits += 1,
                    _ => records.fill(key, state(writes, at).as_ref(), Timestamp::new(at)),
                }
            }
        }
        assert!(hits > 0, "seed {seed}");
    }
}

#[test]
fn links_lead_from_the_newest_record_to_every_one_before() {
    let (records, past) = (Records::new(1 << 16), Records::new(1 << 16));
    let at = |ts: u64| [&ts.to_be_bytes()[..], KEY].concat();
    let written: Vec<u64> = (1..20).map(|n| 7 * n).collect();
    for &ts in &written {
        if let Some((record, before)) = records.newest(KEY) {
            past.keep(&at(record.ts.get()), &record, before);
        }
        records.write(KEY, Some(&Bytes::from(vec![1; ts as usize])), Timestamp::new(ts));
    }
    let mut link = records.before(KEY);
    for &ts in written.iter().rev().skip(1) {
        assert_eq!(link, Some(Timestamp::new(ts)));
        let value = Bytes::from(vec![1; ts as usize]);
        let record = Record { ts: Timestamp::new(ts), value };
        assert_eq!(past.get(&at(ts), Timestamp::MAX), Found::Exact(Some(record)));
        link = past.before(&at(ts));
    }
    assert_eq!(link, None);
    // What comes after a delete has nothing before it.
    records.write(KEY, None, Timestamp::new(200));
    assert_eq!(records.before(KEY), Some(Timestamp::new(133)));
    records.write(KEY, Some(&Bytes::from("again")), Timestamp::new(201));
    assert_eq!(records.before(KEY), None);
}

#[test]
fn cache_stays_within_its_budget_and_keeps_what_is_read() {
    let records = Records::new(1 << 20);
    let key = |i: u32| i.to_be_bytes();
    let at = Timestamp::new(7);
    let record = Record { ts: Timestamp::new(3), value: Bytes::from(vec![1; 100]) };
    let mut hits = 0;
    for i in 0..50_000u32 {
        // A hundred keys come again and again among many that do not.
        for i in [i % 100, 1000 + i] {
            match records.get(&key(i), at) {
                Found::Exact(found) => {
                    assert_eq!(found.as_ref(), Some(&record));
                    hits += 1;
                }
                _ => records.fill(&key(i), Some(&record), at),
            }
        }
    }
    assert!(records.bytes() <= 1 << 20, "{}", records.bytes());
    assert!(hits > 49_000, "{hits}");
}

#[test]
fn no_cache_knows_nothing() {
    let records = Records::new(0);
    records.write(KEY, None, Timestamp::new(1));
    records.fill(KEY, None, Timestamp::new(2));
    assert_eq!(records.get(KEY, Timestamp::new(3)), Found::Unknown);
    assert_eq!(records.bytes(), 0);
}
