//! Reading everything at rest.

use std::path::Path;

use bytes::Bytes;
use fjall::Readable;
use vellum_core::{Result, Snapshot, Timestamp, VerifyReport};

use crate::error::{corrupted, engine};
use crate::layout::{self, GROUP, GroupRecord};
use crate::manifest;
use crate::snapshot::{LsmSnapshot, decode_past};

/// Compares every table with its checksum, reads every keyspace, and checks what
/// must hold between them. `dir` holds fjall's files.
pub(crate) fn verify(snapshot: &LsmSnapshot, dir: &Path) -> Result<VerifyReport> {
    manifest::verify_names(dir)?;
    snapshot.keyspaces().verify_tables()?;
    let (native, keyspaces, newest) = (snapshot.native(), snapshot.keyspaces(), snapshot.ts());
    let (mut records, mut bytes) = (0, 0);
    let mut count = |key: &Bytes, value: Option<&Bytes>| {
        records += 1;
        bytes += (key.len() + value.map_or(0, Bytes::len)) as u64;
    };
    let check_ts =
        |ts: Timestamp, what: &str, key: &[u8]| match ts <= newest && ts > Timestamp::ZERO {
            true => Ok(()),
            false => {
                let key = key.escape_ascii();
                Err(corrupted(format!(
                    "{what} of key \"{key}\" at {ts}, above the last commit {newest}"
                )))
            }
        };
    for item in snapshot.range(&vellum_core::KeyRange::all()) {
        let (key, record) = item?;
        check_ts(record.ts, "the record", &key)?;
        count(&key, Some(&record.value));
    }
    let mut last: Option<(Bytes, Timestamp)> = None;
    for guard in native.iter(&keyspaces.history) {
        let (key, past) = decode_past(guard)?;
        check_ts(past.ts, "history", &key)?;
        let is_newest = last.as_ref().is_none_or(|(of, _)| *of != key);
        if is_newest {
            // What is newest in history is older than what is in head, and a
            // tombstone if there is nothing.
            let head = keyspaces.head_record(native, &key)?;
            if head.as_ref().map_or(past.value.is_some(), |head| head.ts <= past.ts) {
                let key = key.escape_ascii();
                return Err(corrupted(format!("history of key \"{key}\" does not fit its head")));
            }
        }
        count(&key, past.value.as_ref());
        last = Some((key, past.ts));
    }
    for guard in native.iter(&keyspaces.touched) {
        let bytes = Bytes::from(guard.key().map_err(engine("reading touched"))?);
        let label = layout::decode_touched(&bytes).map(|(label, _)| label);
        if label.is_none_or(|label| label >= newest) {
            return Err(corrupted(format!("key \"{}\" in touched", bytes.escape_ascii())));
        }
    }
    for guard in native.iter(&keyspaces.log) {
        let (key, value) = guard.into_inner().map_err(engine("reading log"))?;
        let ts = layout::decode_ts(&key).filter(|ts| *ts <= newest);
        if ts.is_none() || layout::decode_log(&Bytes::from(value)).is_none() {
            return Err(corrupted(format!("entry \"{}\" in log", key.escape_ascii())));
        }
    }
    for guard in native.iter(&keyspaces.meta) {
        let (key, value) = guard.into_inner().map_err(engine("reading meta"))?;
        let key = Bytes::from(key);
        let is_known = match key == GROUP {
            true => GroupRecord::decode(&value).is_some_and(|group| group.last_ts == newest),
            false => layout::decode_catalog_key(&key).is_some(),
        };
        if !is_known {
            return Err(corrupted(format!("key \"{}\" in meta", key.escape_ascii())));
        }
    }
    Ok(VerifyReport::new(records, bytes))
}
