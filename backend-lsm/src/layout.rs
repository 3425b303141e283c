//! The bytes of keys and values in each keyspace. `docs/on-disk-format.md` has
//! them as tables.

use bytes::{Buf, Bytes};
use vellum_core::{KeyRange, Record, Timestamp};

/// Bytes of a timestamp.
pub(crate) const TS_LEN: usize = 8;

/// Ends an escaped key. A zero byte inside is escaped as `ZERO`.
const END: [u8; 2] = [0x00, 0x01];
const ZERO: [u8; 2] = [0x00, 0xff];

/// A record that was superseded or deleted, as it stands in `history`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Past {
    pub(crate) ts: Timestamp,
    /// `None` is a tombstone.
    pub(crate) value: Option<Bytes>,
}

impl From<Record> for Past {
    fn from(Record { ts, value }: Record) -> Self {
        Self { ts, value: Some(value) }
    }
}

/// The value of a key in `head`: `commit_ts u64 · value`.
pub(crate) fn encode_record(ts: Timestamp, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(TS_LEN + value.len());
    out.extend(ts.get().to_be_bytes());
    out.extend(value);
    out
}

/// The record in a value of `head`. The value shares the buffer.
#[inline]
pub(crate) fn decode_record(mut bytes: Bytes) -> Option<Record> {
    let ts = decode_ts(bytes.get(..TS_LEN)?)?;
    bytes.advance(TS_LEN);
    Some(Record { ts, value: bytes })
}

pub(crate) fn encode_ts(ts: Timestamp) -> [u8; TS_LEN] {
    ts.get().to_be_bytes()
}

#[inline]
pub(crate) fn decode_ts(bytes: &[u8]) -> Option<Timestamp> {
    Some(Timestamp::new(u64::from_be_bytes(bytes.try_into().ok()?)))
}

/// Escapes a key so that whatever follows does not disturb the order, and adds
/// the end mark. `extra` bytes are reserved for what follows.
fn escape(key: &[u8], extra: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + END.len() + extra);
    for part in key.split_inclusive(|&b| b == 0) {
        match part.split_last() {
            Some((0, before)) => {
                out.extend(before);
                out.extend(ZERO);
            }
            _ => out.extend(part),
        }
    }
    out.extend(END);
    out
}

fn unescape(mut escaped: &[u8]) -> Option<Bytes> {
    let mut key = Vec::with_capacity(escaped.len());
    loop {
        let zero = escaped.iter().position(|&b| b == 0)?;
        let (before, rest) = escaped.split_at_checked(zero)?;
        key.extend(before);
        let (mark, rest) = rest.split_first_chunk()?;
        escaped = rest;
        match *mark {
            END => return rest.is_empty().then(|| key.into()),
            ZERO => key.push(0),
            _ => return None,
        }
    }
}

/// A key of `history`: `escaped key · inverted commit_ts u64`, so that the
/// records of a key stand together, the newest first.
pub(crate) fn history_key(key: &[u8], ts: Timestamp) -> Vec<u8> {
    let mut out = escape(key, TS_LEN);
    out.extend((!ts.get()).to_be_bytes());
    out
}

/// The key and the timestamp in a key of `history`.
pub(crate) fn decode_history_key(bytes: &[u8]) -> Option<(Bytes, Timestamp)> {
    let (escaped, ts) = bytes.split_last_chunk::<TS_LEN>()?;
    Some((unescape(escaped)?, Timestamp::new(!u64::from_be_bytes(*ts))))
}

/// The bounds in `history` of the records of a key at or below a timestamp.
pub(crate) fn history_of(key: &[u8], at: Timestamp) -> (Vec<u8>, Vec<u8>) {
    (history_key(key, at), history_key(key, Timestamp::ZERO))
}

/// The bounds in `history` of the keys of a range: included, excluded.
pub(crate) fn history_bounds(range: &KeyRange) -> (Vec<u8>, Option<Vec<u8>>) {
    (escape(range.start(), 0), range.end().map(|end| escape(end, 0)))
}

/// A value of `history`: as in `head`, or empty for a tombstone. The timestamp
/// stands in the key too, and both must agree.
pub(crate) fn decode_history(key: &[u8], value: Bytes) -> Option<(Bytes, Past)> {
    let (user_key, ts) = decode_history_key(key)?;
    let value = match value.is_empty() {
        true => None,
        false => Some(decode_record(value).filter(|record| record.ts == ts)?.value),
    };
    Some((user_key, Past { ts, value }))
}

/// A key of `touched`: `label u64 · key`.
pub(crate) fn touched_key(label: Timestamp, key: &[u8]) -> Vec<u8> {
    [&encode_ts(label)[..], key].concat()
}

pub(crate) fn decode_touched(bytes: &Bytes) -> Option<(Timestamp, Bytes)> {
    let label = decode_ts(bytes.get(..TS_LEN)?)?;
    (bytes.len() > TS_LEN).then(|| (label, bytes.slice(TS_LEN..)))
}

/// A value of `log`: for each write of the commit in key order
/// `kind u8 (0 delete, 1 put) · length u16 · key`.
pub(crate) fn encode_log<'a>(writes: impl Iterator<Item = (&'a [u8], bool)>) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, is_put) in writes {
        out.push(u8::from(is_put));
        // Keys are at most MAX_KEY_LEN, which fits.
        out.extend(u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend(key);
    }
    out
}

pub(crate) fn decode_log(bytes: &Bytes) -> Option<Vec<(Bytes, bool)>> {
    let mut writes = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let [kind, len @ ..] = *bytes.get(at..)?.first_chunk::<3>()?;
        let begin = at + 3;
        at = begin + usize::from(u16::from_be_bytes(len));
        let key = bytes.get(begin..at).map(|_| bytes.slice(begin..at))?;
        writes.push((
            key,
            match kind {
                0 => false,
                1 => true,
                _ => return None,
            },
        ));
    }
    Some(writes)
}

/// The number of a group, what it was written on top of, and what was durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupRecord {
    /// 1, 2, 3, …: without a gap, or something is lost.
    pub(crate) number: u64,
    /// The newest commit in the group.
    pub(crate) last_ts: Timestamp,
    /// The newest group that was fsynced when this one was written.
    pub(crate) synced: u64,
    /// Where this group stands in fjall's sequence: at this number or a little
    /// above, and every group before it below.
    pub(crate) seqno: u64,
    /// The same of the group before; zero if there is none.
    pub(crate) previous_seqno: u64,
}

impl GroupRecord {
    /// `number u64 · last_ts u64 · synced u64 · seqno u64 · previous_seqno u64`
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Self { number, last_ts, synced, seqno, previous_seqno } = *self;
        let words = [number, last_ts.get(), synced, seqno, previous_seqno];
        words.map(u64::to_be_bytes).concat()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (number, rest) = bytes.split_first_chunk()?;
        let (last_ts, rest) = rest.split_first_chunk()?;
        let (synced, rest) = rest.split_first_chunk()?;
        let (seqno, rest) = rest.split_first_chunk()?;
        Some(Self {
            number: u64::from_be_bytes(*number),
            last_ts: Timestamp::new(u64::from_be_bytes(*last_ts)),
            synced: u64::from_be_bytes(*synced),
            seqno: u64::from_be_bytes(*seqno),
            previous_seqno: u64::from_be_bytes(rest.try_into().ok()?),
        })
    }
}

/// The name of a keyspace, and whether a key could stand in it.
pub(crate) type Named = (&'static str, fn(&[u8]) -> bool);

/// The keyspaces in the order in which they are created, so that their numbers
/// follow each other.
pub(crate) const KEYSPACES: [Named; 5] = [
    ("meta", |key| key == GROUP || key.first() == Some(&CATALOG)),
    ("head", |key| !key.is_empty()),
    ("history", |key| decode_history_key(key).is_some()),
    ("touched", |key| key.len() > TS_LEN),
    ("log", |key| key.len() == TS_LEN),
];

/// The key of the [`GroupRecord`] in `meta`.
pub(crate) const GROUP: &[u8] = b"group";

/// Before the keys of catalog entries in `meta`.
const CATALOG: u8 = b'c';

pub(crate) fn catalog_key(key: &[u8]) -> Vec<u8> {
    [&[CATALOG][..], key].concat()
}

pub(crate) fn decode_catalog_key(bytes: &Bytes) -> Option<Bytes> {
    (bytes.first() == Some(&CATALOG)).then(|| bytes.slice(1..))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys that try the escape: every string of up to 3 of these bytes.
    fn keys() -> Vec<Vec<u8>> {
        let alphabet = [0x00, 0x01, 0x02, 0xfe, 0xff];
        let mut keys = vec![vec![]];
        let mut from = 0;
        for _ in 0..3 {
            let to = keys.len();
            for i in from..to {
                for byte in alphabet {
                    let key = [keys.get(i).cloned().unwrap_or_default(), vec![byte]].concat();
                    keys.push(key);
                }
            }
            from = to;
        }
        keys
    }

    #[test]
    fn history_keys_keep_the_order_of_keys_and_the_newest_first() {
        let stamps = [0, 1, 255, 256, u64::MAX].map(Timestamp::new);
        let mut entries = Vec::new();
        for key in keys() {
            for ts in stamps {
                entries.push((key.clone(), std::cmp::Reverse(ts)));
            }
        }
        entries.sort();
        let encoded: Vec<_> = entries.iter().map(|(key, ts)| history_key(key, ts.0)).collect();
        assert!(encoded.is_sorted_by(|a, b| a < b));
        for ((key, ts), bytes) in entries.iter().zip(&encoded) {
            assert_eq!(decode_history_key(bytes), Some((Bytes::from(key.clone()), ts.0)));
        }
    }

    #[test]
    fn history_bounds_hold_exactly_the_keys_of_the_range() {
        for start in keys() {
            for end in keys() {
                let range = KeyRange::from(&start[..]..&end[..]);
                let (low, high) = history_bounds(&range);
                for key in keys() {
                    let encoded = history_key(&key, Timestamp::new(7));
                    let inside = low <= encoded && high.as_ref().is_none_or(|high| encoded < *high);
                    assert_eq!(inside, range.contains(&key), "{range} {key:?}");
                }
            }
        }
    }

    #[test]
    fn longest_key_stays_within_what_fjall_takes() {
        let zeros = vec![0; vellum_core::MAX_KEY_LEN];
        assert!(history_key(&zeros, Timestamp::ZERO).len() <= 65_535);
    }

    #[test]
    fn damaged_bytes_are_refused_and_never_a_panic() {
        let value = Bytes::from(encode_record(Timestamp::new(9), b"value"));
        let key = history_key(b"a\0b", Timestamp::new(9));
        let log = Bytes::from(encode_log([(&b"k"[..], true), (b"longer", false)].into_iter()));
        let group = GroupRecord {
            number: 1,
            last_ts: Timestamp::new(2),
            synced: 3,
            seqno: 4,
            previous_seqno: 5,
        };
        assert_eq!(GroupRecord::decode(&group.encode()), Some(group));
        assert_eq!(decode_log(&log).map(|l| l.len()), Some(2));
        assert!(decode_history(&key, value.clone()).is_some());
        for len in 0..key.len() {
            assert_eq!(decode_history(key.get(..len).unwrap_or_default(), value.clone()), None);
        }
        for len in 1..8 {
            assert_eq!(decode_history(&key, value.slice(..len)), None);
            assert_eq!(decode_record(value.slice(..len)), None);
        }
        let other = history_key(b"a\0b", Timestamp::new(8));
        assert_eq!(decode_history(&other, value), None, "timestamps disagree");
        for len in [1, 2, 3, 5, 8, 12] {
            assert_eq!(decode_log(&log.slice(..len)), None, "{len}");
        }
        for len in 0..group.encode().len() {
            assert_eq!(GroupRecord::decode(group.encode().get(..len).unwrap_or_default()), None);
        }
        assert_eq!(decode_touched(&Bytes::from_static(&[0; 8])), None);
    }
}
