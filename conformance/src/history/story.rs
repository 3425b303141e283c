//! The words of a story.

use std::fmt::Write as _;

use vellum_core::{Bytes, Isolation};

use super::timeline::Writer;
use super::types::{Change, History, Op, Outcome, Txn, TxnKind};

/// Bytes as text, cut where they are long: the end of a value is where values
/// of the workloads differ.
pub(super) fn shown(bytes: &[u8]) -> String {
    const SHOWN: usize = 40;
    match bytes.len().checked_sub(SHOWN).and_then(|cut| bytes.get(cut..)) {
        Some(end) if bytes.len() > SHOWN => format!("\"…{}\"", end.escape_ascii()),
        _ => format!("\"{}\"", bytes.escape_ascii()),
    }
}

/// A value, or that there is none.
pub(super) fn value(value: Option<&Bytes>) -> String {
    value.map_or_else(|| "nothing".into(), |v| shown(v))
}

/// What a writer is called.
pub(super) fn name(history: &History, by: Writer) -> String {
    match by {
        Writer::Origin => "the state before the recording".into(),
        Writer::Txn(i) => format!("T{i}"),
        Writer::Event(i) => event_name(history, i),
    }
}

/// What an event is called.
pub(super) fn event_name(history: &History, i: usize) -> String {
    let Some(event) = history.events.get(i) else { return format!("event {i}") };
    match &event.what {
        Change::Save { version, ts, .. } => format!("the save of version {version} at {ts}"),
        Change::Revert { to, ts, .. } => {
            let to = to.map_or_else(|| "the last version".into(), |v| format!("version {v}"));
            match ts {
                Some(ts) => format!("the revert to {to} at {ts}"),
                None => format!("the revert to {to}"),
            }
        }
        Change::Restore { source, range, ts } => {
            let at = ts.map_or_else(String::new, |ts| format!(" at {ts}"));
            format!("the restore of {range} from the version of {source}{at}")
        }
        Change::Delete { versions } => format!("the deletion of {} versions", versions.len()),
    }
}

/// Who, when, and with what outcome.
pub(super) fn describe(history: &History, by: Writer) -> String {
    let Writer::Txn(i) = by else { return name(history, by) };
    let Some(txn) = history.txns.get(i) else { return format!("T{i}") };
    let kind = match txn.kind {
        TxnKind::Read => "a reader".into(),
        TxnKind::ReadAt(version) => format!("a reader of version {version}"),
        TxnKind::ReadAsOf(ts) => format!("a reader of timestamp {ts}"),
        TxnKind::Write { isolation: Isolation::Snapshot, .. } => "a writer under snapshot".into(),
        TxnKind::Write { .. } => "a writer".into(),
    };
    let outcome = match txn.outcome {
        Outcome::Committed(ts) => format!("committed at {ts}"),
        Outcome::ReadOnly => "wrote nothing".into(),
        Outcome::Conflict => "lost and was not committed".into(),
        Outcome::Discarded => "was discarded".into(),
        Outcome::Unknown => "has an unknown outcome".into(),
    };
    format!(
        "T{i}, {kind} of session {}, sees the state at {}, {outcome} (ticks {} to {})",
        txn.session, txn.snapshot, txn.began.called, txn.ended.returned
    )
}

/// What a transaction did with these keys.
pub(super) fn deeds(txn: &Txn, keys: &[&[u8]]) -> String {
    const SHOWN: usize = 8;
    let mut text = String::new();
    let about = |op: &&Op| match op {
        Op::Get { key, .. } | Op::Put { key, .. } | Op::Delete { key } => keys.contains(&&key[..]),
        Op::Range(read) => keys.iter().any(|key| read.range.contains(key)),
    };
    let mut ops = txn.ops.iter().filter(about);
    for op in ops.by_ref().take(SHOWN) {
        if !text.is_empty() {
            text += ", ";
        }
        // Writing to a string cannot fail.
        let _ = match op {
            Op::Get { key, value: v, .. } => {
                write!(text, "read {} = {}", shown(key), value(v.as_ref()))
            }
            Op::Put { key, value } => write!(text, "put {} := {}", shown(key), shown(value)),
            Op::Delete { key } => write!(text, "deleted {}", shown(key)),
            Op::Range(read) => {
                let all = read.front.iter().chain(read.back.iter().rev());
                let items = all.filter(|(key, _)| keys.contains(&&key[..]));
                let items: Vec<_> =
                    items.map(|(k, v)| format!("{} = {}", shown(k), shown(v))).collect();
                let count = read.front.len() + read.back.len();
                let items =
                    if items.is_empty() { "none of these keys".into() } else { items.join(", ") };
                write!(text, "range {} of {count} items: {items}", read.range)
            }
        };
    }
    if ops.next().is_some() {
        text += ", …";
    }
    text
}
