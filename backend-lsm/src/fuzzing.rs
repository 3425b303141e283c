//! What must hold of every decoder here, whatever bytes it gets: the bodies of
//! the fuzz targets in `fuzz/`, and of the test that replays their corpora.
//!
//! Each function panics where something does not hold.
#![expect(clippy::unwrap_used, reason = "a fuzz target fails by panicking")]

use bytes::Bytes;
use vellum_core::{KeyRange, Timestamp};

use crate::layout::{self, GroupRecord};
use crate::{archive, directory, horizon, journal, manifest, table};

/// Keys of `history`: what is decoded encodes to the same bytes, what is encoded
/// decodes to the same key, and order is kept.
pub fn keys(data: &[u8]) {
    if let Some((key, ts)) = layout::decode_history_key(data) {
        assert_eq!(layout::history_key(&key, ts), data);
    }
    let Some((ts, data)) = data.split_first_chunk() else { return };
    let ts = Timestamp::new(u64::from_be_bytes(*ts));
    let middle = data.first().map_or(0, |n| usize::from(*n) % data.len());
    let (a, b) = data.split_at(middle);
    for key in [a, b] {
        let encoded = layout::history_key(key, ts);
        assert_eq!(layout::decode_history_key(&encoded), Some((Bytes::copy_from_slice(key), ts)));
        let older = Timestamp::new(ts.get() / 2);
        assert_eq!(layout::history_key(key, older).cmp(&encoded), ts.cmp(&older));
    }
    let encoded = |key| layout::history_key(key, ts);
    assert_eq!(encoded(a).cmp(&encoded(b)), a.cmp(b));
    // A range of keys is a range of their records.
    let range = KeyRange::from(a..b);
    let (low, high) = layout::history_bounds(&range);
    for key in [a, b, data] {
        let inside = low <= encoded(key) && high.as_ref().is_none_or(|end| encoded(key) < *end);
        assert_eq!(inside, range.contains(key));
    }
    let touched = Bytes::from(layout::touched_key(ts, data));
    let decoded = layout::decode_touched(&touched);
    assert_eq!(decoded.map(|(label, key)| (label, key.to_vec())), {
        (!data.is_empty()).then(|| (ts, data.to_vec()))
    });
}

/// Values: records, log entries, group records.
pub fn records(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    if let Some(record) = layout::decode_record(bytes.clone()) {
        assert_eq!(layout::encode_record(record.ts, &record.value), data);
        let key = layout::history_key(b"key", record.ts);
        let (_, past) = layout::decode_history(&key, bytes.clone()).unwrap();
        assert_eq!((past.ts, past.value), (record.ts, Some(record.value)));
        let other = layout::history_key(b"key", Timestamp::new(record.ts.get() ^ 1));
        assert_eq!(layout::decode_history(&other, bytes.clone()), None);
    }
    if let Some(writes) = layout::decode_log(&bytes) {
        let again = layout::encode_log(writes.iter().map(|(key, is_put)| (&key[..], *is_put)));
        assert_eq!(again, data);
    }
    if let Some(group) = GroupRecord::decode(data) {
        assert_eq!(group.encode(), data);
    }
    if let Some(key) = layout::decode_catalog_key(&bytes) {
        assert_eq!(layout::catalog_key(&key), data);
    }
    if let Some(ts) = layout::decode_ts(data) {
        assert_eq!(layout::encode_ts(ts), data);
    }
}

/// A journal: reading ends, at a place inside, and what is behind that place is
/// no part of what was read.
pub fn journal(data: &[u8]) {
    let Some(end) = journal::read_to(data) else { return };
    assert!(end <= data.len());
    let read = data.get(..end).unwrap();
    assert_eq!(journal::read_to(read), Some(end), "what is read is read again without the rest");
}

/// Manifests, and what tables say of themselves.
pub fn tables(data: &[u8]) {
    if let Some(sections) = archive::decode_contents(data) {
        // Each takes 18 bytes and more.
        assert!(sections.len() * 18 <= data.len());
    }
    if let Some(tables) = manifest::decode_tables(data) {
        assert!(tables.len() * 33 <= data.len());
    }
    let _ = manifest::decode_current(data);
    let _ = table::decode_description(data);
    // Behind a header that fits, as the fuzzer cannot guess checksums.
    if let Some(description) = table::decode_description(&table::as_block(data)) {
        let len = description.first_key.len() + description.last_key.len();
        assert!(len <= data.len());
    }
}

/// The marker and the horizon.
pub fn small_files(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(meta) = directory::parse_marker(text)
    {
        assert_eq!(directory::parse_marker(&directory::marker(meta)).ok(), Some(meta));
    }
    if let Some(slot) = data.first_chunk()
        && let Some(word) = horizon::decode(slot)
    {
        assert_eq!(horizon::encode(word), *slot);
    }
    if let Some(word) = data.first_chunk() {
        let word = u64::from_be_bytes(*word);
        assert_eq!(horizon::decode(&horizon::encode(word)), Some(word));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fuzz target: its name and its body.
    type Target = (&'static str, fn(&[u8]));

    const TARGETS: [Target; 5] = [
        ("keys", keys),
        ("records", records),
        ("journal", journal),
        ("tables", tables),
        ("small_files", small_files),
    ];

    #[test]
    fn corpora_of_the_fuzz_targets_hold() {
        let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
        for (name, body) in TARGETS {
            body(b"");
            let files = std::fs::read_dir(corpus.join(name)).unwrap();
            let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
            assert!(!files.is_empty(), "{name} has no corpus");
            for file in files {
                body(&std::fs::read(file).unwrap());
            }
        }
    }
}
