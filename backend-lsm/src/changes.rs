//! What changed when: the touched keys, and the log of commits.

use std::collections::BTreeSet;
use std::ops::Bound;

use bytes::Bytes;
use fjall::Readable;
use vellum_core::{BoxIter, CommittedWrites, KeyRange, Result, Snapshot, Timestamp};

use crate::error::{corrupted, engine};
use crate::layout;
use crate::snapshot::LsmSnapshot;

/// The keys in `range` that were written after `from` and at or before `to`,
/// ascending; perhaps others that were written at about that time.
///
/// A label names the newest retained timestamp below a commit, so whatever was
/// written after `from`, which is retained, stands under a label at or above
/// it, and below the commit.
pub(crate) fn touched(
    from: &LsmSnapshot,
    to: &LsmSnapshot,
    range: &KeyRange,
) -> Result<BoxIter<Bytes>> {
    // The older snapshot may have been taken later; the native one that is
    // newer knows of every key up to `to`.
    let (low, high) = (layout::encode_ts(from.ts()), layout::encode_ts(to.ts()));
    let mut keys = BTreeSet::new();
    for guard in to.native().range::<_, _>(&to.keyspaces().touched, low..high) {
        let bytes = Bytes::from(guard.key().map_err(engine("reading touched keys"))?);
        let (_, key) = layout::decode_touched(&bytes)
            .ok_or_else(|| corrupted(format!("key \"{}\" in touched", bytes.escape_ascii())))?;
        if range.contains(&key) {
            keys.insert(key);
        }
    }
    Ok(Box::new(keys.into_iter().map(Ok)))
}

/// The logged commits after `from` and at or before `to`, in order.
pub(crate) fn changes(from: Timestamp, to: LsmSnapshot) -> BoxIter<CommittedWrites> {
    let low = Bound::Excluded(layout::encode_ts(from));
    let high = Bound::Included(layout::encode_ts(to.ts()));
    let commits = to.native().range::<[u8; 8], _>(&to.keyspaces().log, (low, high));
    let mut failed = false;
    Box::new(commits.map_while(move |guard| {
        let commit = (!failed).then(|| read_commit(guard, &to));
        failed = !matches!(commit, Some(Ok(_)));
        commit
    }))
}

fn read_commit(guard: fjall::Guard, to: &LsmSnapshot) -> Result<CommittedWrites> {
    let (key, value) = guard.into_inner().map_err(engine("reading the log"))?;
    let damaged = || corrupted(format!("entry \"{}\" in log", key.escape_ascii()));
    let commit_ts = layout::decode_ts(&key).ok_or_else(damaged)?;
    let keys = layout::decode_log(&Bytes::from(value)).ok_or_else(damaged)?;
    let mut writes = Vec::with_capacity(keys.len());
    for (key, is_put) in keys {
        // History is kept from before this commit, so its own record stands.
        let value = if is_put {
            let record = to.past(&key, commit_ts)?.filter(|past| past.ts == commit_ts);
            Some(record.and_then(|past| past.value).ok_or_else(damaged)?)
        } else {
            None
        };
        writes.push((key, value));
    }
    Ok(CommittedWrites { commit_ts, writes })
}
