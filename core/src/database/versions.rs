//! The version table: the public [`Versions`] set, its entries in the catalog,
//! and the checks of version numbers.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    CatalogWrite, Error, ErrorKind, Metadata, Recovered, Result, Timestamp, Version, VersionInfo,
    VersionSet,
};

/// The saved versions of a [`Database`](crate::Database) at one instant.
///
/// Cheap to clone. Numbers and timestamps ascend together, so both are found
/// by binary search.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions(Arc<Vec<VersionInfo>>);

impl VersionSet for Versions {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, version: Version) -> Option<VersionInfo> {
        let i = self.0.binary_search_by_key(&version, |v| v.version).ok()?;
        self.0.get(i).cloned()
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = VersionInfo> + Send + '_ {
        self.0.iter().cloned()
    }
}

impl Versions {
    pub(super) fn commit_ts(&self, version: Version) -> Option<Timestamp> {
        let i = self.0.binary_search_by_key(&version, |v| v.version).ok()?;
        self.0.get(i).map(|v| v.commit_ts)
    }

    pub(super) fn has_pin(&self, ts: Timestamp) -> bool {
        self.0.binary_search_by_key(&ts, |v| v.commit_ts).is_ok()
    }

    pub(super) fn pins(&self) -> Vec<Timestamp> {
        self.0.iter().map(|v| v.commit_ts).collect()
    }

    /// The last version and its timestamp.
    pub(super) fn newest(&self) -> Option<(Version, Timestamp)> {
        self.0.last().map(|v| (v.version, v.commit_ts))
    }

    /// Copies the set only if somebody else holds it.
    pub(super) fn apply(&mut self, change: TableChange) {
        let versions = Arc::make_mut(&mut self.0);
        match change {
            TableChange::Save(info) => versions.push(info),
            TableChange::Delete(gone) => {
                versions.retain(|v| gone.binary_search(&v.version).is_err());
            }
        }
    }
}

/// What a commit does to the version table.
#[derive(Clone, Debug)]
pub(super) enum TableChange {
    /// Adds a version above all others.
    Save(VersionInfo),
    /// Removes these versions, ascending.
    Delete(Vec<Version>),
}

impl TableChange {
    /// The same as entries of the catalog.
    pub(super) fn catalog(&self, out: &mut Vec<CatalogWrite>) {
        match self {
            Self::Save(info) => {
                out.push(CatalogWrite {
                    key: version_key(info.version),
                    value: Some(encode(info)),
                });
            }
            Self::Delete(gone) => {
                out.extend(gone.iter().map(|&v| CatalogWrite { key: version_key(v), value: None }));
            }
        }
    }
}

/// The numbers and timestamps of the versions, as of the last commit that was
/// decided, which the published [`Versions`] follow. New numbers are checked
/// here, and the newest pin is read off here.
#[derive(Debug, Default)]
pub(super) struct Numbers(Vec<(Version, Timestamp)>);

impl Numbers {
    pub(super) fn of(versions: &Versions) -> Self {
        Self(versions.0.iter().map(|v| (v.version, v.commit_ts)).collect())
    }

    pub(super) fn newest_pin(&self) -> Option<Timestamp> {
        self.0.last().map(|&(_, ts)| ts)
    }

    /// The number that a save gets.
    pub(super) fn next(&self, asked: Option<Version>) -> Result<Version> {
        let last = self.0.last().map_or(0, |(v, _)| v.get());
        match asked {
            Some(v) if v.get() > last => Ok(v),
            Some(v) => Err(Error::new(
                ErrorKind::InvalidVersion,
                format!("{v} is not above the last version, {last}"),
            )),
            None => last.checked_add(1).map(Version::new).ok_or_else(|| {
                Error::new(ErrorKind::InvalidVersion, format!("no number is left above {last}"))
            }),
        }
    }

    /// Checks that all of these exist; they come back ascending, each once.
    pub(super) fn check_all(&self, versions: &[Version]) -> Result<Vec<Version>> {
        let mut sorted = versions.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        for &v in &sorted {
            if self.0.binary_search_by_key(&v, |&(v, _)| v).is_err() {
                return Err(not_found(v));
            }
        }
        Ok(sorted)
    }

    /// The versions above this one, ascending.
    pub(super) fn above(&self, version: Version) -> Vec<Version> {
        let first = self.0.partition_point(|&(v, _)| v <= version);
        self.0.iter().skip(first).map(|&(v, _)| v).collect()
    }

    pub(super) fn apply(&mut self, change: &TableChange) {
        match change {
            TableChange::Save(info) => self.0.push((info.version, info.commit_ts)),
            TableChange::Delete(gone) => self.0.retain(|(v, _)| gone.binary_search(v).is_err()),
        }
    }
}

pub(super) fn not_found(version: Version) -> Error {
    Error::new(ErrorKind::VersionNotFound, format!("version {version} does not exist"))
}

/// What the catalog says: the versions, and since when history is kept.
pub(super) fn read_catalog(recovered: &Recovered) -> Result<(Versions, Option<Timestamp>)> {
    let mut versions = Vec::new();
    let mut history_since = None;
    for (key, value) in &recovered.catalog {
        let entry = match key.split_first() {
            Some((b'v', number)) => number.try_into().ok().and_then(|number| {
                decode(Version::new(u64::from_be_bytes(number)), value)
                    .map(|info| versions.push(info))
            }),
            Some((b'h', [])) => value.as_ref().try_into().ok().map(|ts| {
                history_since = Some(Timestamp::new(u64::from_be_bytes(ts)));
            }),
            _ => None,
        };
        if entry.is_none() {
            return Err(corrupted(key, "cannot be read"));
        }
    }
    versions.sort_unstable_by_key(|v| v.version);
    let mut last = (Version::new(0), Timestamp::ZERO);
    for v in &versions {
        if v.version <= last.0 || v.commit_ts <= last.1 || v.commit_ts > recovered.last_ts {
            return Err(corrupted(&version_key(v.version), "is out of order"));
        }
        last = (v.version, v.commit_ts);
    }
    if history_since.is_some_and(|ts| ts > recovered.last_ts) {
        return Err(corrupted(b"h", "is above the last commit"));
    }
    Ok((Versions(Arc::new(versions)), history_since))
}

/// The catalog entry that says since when history is kept.
pub(super) fn history_entry(since: Option<Timestamp>) -> CatalogWrite {
    let value = since.map(|ts| Bytes::copy_from_slice(&ts.get().to_be_bytes()));
    CatalogWrite { key: Bytes::from_static(b"h"), value }
}

fn corrupted(key: &[u8], what: &str) -> Error {
    Error::new(ErrorKind::Corrupted, format!("catalog entry {} {what}", crate::range::Escaped(key)))
}

fn version_key(version: Version) -> Bytes {
    [&b"v"[..], &version.get().to_be_bytes()].concat().into()
}

/// The layout of a version's entry.
const VERSION_FORMAT: u8 = 1;

const HAS_MESSAGE: u8 = 1;
const HAS_AUTHOR: u8 = 2;
const HAS_TIME: u8 = 4;

/// `format u8 · flags u8 · commit_ts u64 · [time_ms i64] · [message] ·
/// [author]`, numbers big-endian, each text with its length in front as u32.
fn encode(info: &VersionInfo) -> Bytes {
    let Metadata { message, author, time_ms } = &info.metadata;
    let flag = |present: bool, flag: u8| if present { flag } else { 0 };
    let flags = flag(message.is_some(), HAS_MESSAGE)
        | flag(author.is_some(), HAS_AUTHOR)
        | flag(time_ms.is_some(), HAS_TIME);
    let mut out = vec![VERSION_FORMAT, flags];
    out.extend(info.commit_ts.get().to_be_bytes());
    out.extend(time_ms.iter().flat_map(|ms| ms.to_be_bytes()));
    for text in [message, author].into_iter().flatten() {
        // Within MAX_METADATA_LEN, which is far below the limit of u32.
        let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
        out.extend(len.to_be_bytes());
        out.extend(text.as_bytes());
    }
    out.into()
}

fn decode(version: Version, mut bytes: &[u8]) -> Option<VersionInfo> {
    let [format, flags] = take(&mut bytes)?;
    if format != VERSION_FORMAT || flags & !(HAS_MESSAGE | HAS_AUTHOR | HAS_TIME) != 0 {
        return None;
    }
    let commit_ts = Timestamp::new(u64::from_be_bytes(take(&mut bytes)?));
    let mut metadata = Metadata::new();
    if flags & HAS_TIME != 0 {
        metadata.time_ms = Some(i64::from_be_bytes(take(&mut bytes)?));
    }
    if flags & HAS_MESSAGE != 0 {
        metadata.message = Some(take_text(&mut bytes)?);
    }
    if flags & HAS_AUTHOR != 0 {
        metadata.author = Some(take_text(&mut bytes)?);
    }
    bytes.is_empty().then(|| VersionInfo::new(version, commit_ts, metadata))
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}

fn take_text(bytes: &mut &[u8]) -> Option<String> {
    let len = usize::try_from(u32::from_be_bytes(take(bytes)?)).ok()?;
    let (text, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).ok()
}

/// Takes bytes for a catalog: for each entry the length of its key and of its
/// value, a byte each, then both. It is read or refused; what is read encodes to
/// what was there.
#[cfg(any(test, fuzzing))]
pub fn fuzz_catalog(mut data: &[u8]) {
    let last_ts = Timestamp::new(take(&mut data).map_or(0, u64::from_be_bytes));
    let mut catalog = Vec::new();
    while let Some([key_len, value_len]) = take(&mut data) {
        let (key_len, value_len) = (usize::from(key_len), usize::from(value_len));
        let Some((entry, rest)) = data.split_at_checked(key_len + value_len) else { break };
        let (key, value) = entry.split_at(key_len);
        catalog.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
        data = rest;
    }
    // A store has each key once.
    catalog.sort();
    catalog.dedup_by(|a, b| a.0 == b.0);
    let recovered = Recovered { last_ts, catalog };
    let Ok((versions, since)) = read_catalog(&recovered) else { return };
    let mut again: Vec<_> = versions.iter().map(|v| (version_key(v.version), encode(&v))).collect();
    let since = since.map(|ts| history_entry(Some(ts)));
    again.extend(since.and_then(|entry| Some((entry.key, entry.value?))));
    again.sort();
    assert_eq!(again, recovered.catalog);
    assert!(versions.pins().iter().all(|ts| *ts <= last_ts));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(n: u64, metadata: Metadata) -> VersionInfo {
        VersionInfo::new(Version::new(n), Timestamp::new(10 * n), metadata)
    }

    #[test]
    fn metadata_comes_back_as_it_was_given() {
        let texts = [None, Some(String::new()), Some("naïve\0\u{1F600}".to_owned())];
        let times = [None, Some(0), Some(i64::MIN), Some(i64::MAX)];
        for message in &texts {
            for author in &texts {
                for time_ms in times {
                    let (message, author) = (message.clone(), author.clone());
                    let info = info(7, Metadata { message, author, time_ms });
                    assert_eq!(decode(info.version, &encode(&info)), Some(info));
                }
            }
        }
    }

    #[test]
    fn damaged_entry_is_corrupted_and_never_a_panic() {
        let good = encode(&info(1, Metadata::new().message("m").author("a").time_ms(1)));
        let recovered = |value: Bytes| Recovered {
            last_ts: Timestamp::new(10),
            catalog: vec![(version_key(Version::new(1)), value)],
        };
        assert!(read_catalog(&recovered(good.clone())).is_ok());
        for len in 0..good.len() {
            let cut = read_catalog(&recovered(good.slice(..len)));
            assert_eq!(cut.err().map(|e| e.kind()), Some(ErrorKind::Corrupted), "cut to {len}");
        }
        for i in (0..good.len() * 8).step_by(if cfg!(miri) { 7 } else { 1 }) {
            let mut flipped = good.to_vec();
            if let Some(byte) = flipped.get_mut(i / 8) {
                *byte ^= 1 << (i % 8);
            }
            // Whatever it says, it must not panic, and a version above the
            // last commit must not pass.
            if let Ok((versions, _)) = read_catalog(&recovered(flipped.into())) {
                assert!(versions.pins().iter().all(|ts| ts.get() <= 10));
            }
        }
    }

    #[test]
    fn entry_of_another_format_or_with_more_flags_is_not_read() {
        let good = encode(&info(1, Metadata::new()));
        let with = |at: usize, byte: u8| {
            let mut entry = good.to_vec();
            entry.splice(at..=at, [byte]);
            decode(Version::new(1), &entry)
        };
        assert_eq!(with(0, VERSION_FORMAT), Some(info(1, Metadata::new())));
        assert_eq!([with(0, 0), with(0, 2), with(1, 8), with(1, 128)], [None, None, None, None]);
    }

    #[test]
    fn table_that_is_out_of_order_is_corrupted() {
        let at = |number: u64, ts: u64| {
            let info = VersionInfo::new(Version::new(number), Timestamp::new(ts), Metadata::new());
            (version_key(info.version), encode(&info))
        };
        let history = |since: u64| {
            let entry = history_entry(Some(Timestamp::new(since)));
            (entry.key, entry.value.unwrap_or_default())
        };
        let read = |catalog: Vec<(Bytes, Bytes)>| {
            read_catalog(&Recovered { last_ts: Timestamp::new(9), catalog })
        };
        for good in [vec![at(1, 2), at(2, 9)], vec![history(9)], vec![history(0), at(1, 1)]] {
            assert!(read(good).is_ok());
        }
        for bad in [
            vec![at(0, 1)],
            vec![at(1, 0)],
            vec![at(1, 10)],
            vec![at(1, 2), at(2, 2)],
            vec![at(1, 3), at(2, 2)],
            vec![at(1, 1), at(1, 2)],
            vec![history(10)],
        ] {
            assert_eq!(read(bad).err().map(|e| e.kind()), Some(ErrorKind::Corrupted));
        }
    }

    #[test]
    fn unknown_catalog_entry_is_corrupted() {
        for key in ["", "x", "v123", "h1"] {
            let catalog = vec![(Bytes::from(key), Bytes::from_static(&[0; 8]))];
            let recovered = Recovered { last_ts: Timestamp::new(9), catalog };
            assert!(read_catalog(&recovered).is_err(), "{key:?}");
        }
    }

    #[test]
    fn set_does_not_change_after_it_was_taken() {
        let mut set = Versions::default();
        set.apply(TableChange::Save(info(1, Metadata::new())));
        let taken = set.clone();
        set.apply(TableChange::Save(info(2, Metadata::new())));
        set.apply(TableChange::Delete(vec![Version::new(1)]));
        assert_eq!(taken.iter().map(|v| v.version.get()).collect::<Vec<_>>(), [1]);
        assert_eq!(set.iter().map(|v| v.version.get()).collect::<Vec<_>>(), [2]);
        assert_ne!(taken, set);
    }
}
