//! Timestamps against each other and against real time.

use std::collections::HashMap;

use vellum_core::Timestamp;

use super::super::anomaly::{Anomaly, Class};
use super::super::story::{describe, event_name};
use super::super::timeline::Writer;
use super::super::types::{Change, History, Op, Outcome, Span};

struct Commit {
    ts: Timestamp,
    span: Span,
    by: Writer,
}

type Checked = Result<(), Box<Anomaly>>;

/// Timestamps are unique, above the origin and in the order of real time; a
/// snapshot holds every commit that had returned when it was asked for, and
/// none that had not been called when it was there.
pub(super) fn check(history: &History) -> Checked {
    let mut commits = commits(history);
    each_txn(history)?;
    unique(history, &commits)?;
    let begins = begins(history);
    commits.sort_by_key(|c| c.span.called);
    let asked: Vec<_> = commits.iter().map(|c| (c.span.called, c.ts, c.by)).collect();
    let mut returned: Vec<&Commit> = commits.iter().collect();
    returned.sort_by_key(|c| c.span.returned);
    after_what_returned(history, &returned, &asked, true)?;
    after_what_returned(history, &returned, &begins, false)?;
    nothing_from_the_future(history, &commits)
}

fn commits(history: &History) -> Vec<Commit> {
    let txns = history.txns.iter().enumerate().filter_map(|(i, txn)| {
        Some(Commit { ts: txn.outcome.commit_ts()?, span: txn.ended, by: Writer::Txn(i) })
    });
    let events = history.events.iter().enumerate().filter_map(|(i, event)| {
        Some(Commit { ts: event.what.commit_ts()?, span: event.span, by: Writer::Event(i) })
    });
    txns.chain(events).collect()
}

/// The beginnings of what reads the head, in the order of the calls.
fn begins(history: &History) -> Vec<(u64, Timestamp, Writer)> {
    let of_the_head = history.txns.iter().enumerate().filter(|(_, t)| t.kind.is_of_the_head());
    let mut begins: Vec<_> =
        of_the_head.map(|(i, t)| (t.began.called, t.snapshot, Writer::Txn(i))).collect();
    begins.sort_by_key(|(called, ..)| *called);
    begins
}

fn each_txn(history: &History) -> Checked {
    for (i, txn) in history.txns.iter().enumerate() {
        let writes = txn.ops.iter().any(|op| matches!(op, Op::Put { .. } | Op::Delete { .. }));
        let wrong = match txn.outcome {
            Outcome::Committed(ts) if ts <= txn.snapshot => {
                Some("its commit is not above its snapshot")
            }
            Outcome::ReadOnly if writes => Some("it wrote, and committed without a timestamp"),
            _ if writes && !txn.kind.is_write() => Some("it only reads, and wrote"),
            _ if txn.kind.is_of_the_head() && txn.snapshot < history.origin() => {
                Some("its snapshot is older than the beginning of the recording")
            }
            _ => None,
        };
        if let Some(wrong) = wrong {
            let story = format!("  {}\n  {wrong}.", describe(history, Writer::Txn(i)));
            return Err(Anomaly::new(Class::Timestamps, vec![i], story));
        }
    }
    Ok(())
}

fn unique(history: &History, commits: &[Commit]) -> Checked {
    let mut seen: HashMap<Timestamp, Writer> = HashMap::with_capacity(commits.len());
    for commit in commits {
        if let Some(other) = seen.insert(commit.ts, commit.by) {
            let why = format!("both have the timestamp {}", commit.ts);
            return Err(pair(history, other, commit.by, &why));
        }
        if commit.ts <= history.origin() {
            let why = format!("its timestamp is not above the origin's, {}", history.origin());
            return Err(pair(history, commit.by, commit.by, &why));
        }
    }
    Ok(())
}

/// Whatever was `asked` for after a commit had returned is at or (if it is a
/// commit itself) above that commit's timestamp.
fn after_what_returned(
    history: &History,
    returned: &[&Commit],
    asked: &[(u64, Timestamp, Writer)],
    above: bool,
) -> Checked {
    let mut returned = returned.iter().peekable();
    let mut newest: Option<&Commit> = None;
    for &(called, ts, by) in asked {
        while let Some(commit) = returned.next_if(|c| c.span.returned < called) {
            if newest.is_none_or(|n| n.ts < commit.ts) {
                newest = Some(commit);
            }
        }
        let Some(newest) = newest else { continue };
        if ts < newest.ts || (above && ts == newest.ts) {
            let what = if above { "committed" } else { "began, with its snapshot" };
            let why = format!(
                "the first had returned with timestamp {} before the second {what} at {ts}",
                newest.ts
            );
            let mut anomaly = pair(history, newest.by, by, &why);
            anomaly.class = if above { Class::Timestamps } else { Class::RealTime };
            return Err(anomaly);
        }
    }
    Ok(())
}

/// No snapshot holds a commit that was called only after the snapshot was
/// there.
fn nothing_from_the_future(history: &History, commits: &[Commit]) -> Checked {
    let mut by_ts: Vec<&Commit> = commits.iter().collect();
    by_ts.sort_by_key(|c| c.ts);
    let mut latest: Vec<&Commit> = Vec::with_capacity(by_ts.len());
    for &commit in &by_ts {
        let last = latest.last().copied().filter(|l| l.span.called > commit.span.called);
        latest.push(last.unwrap_or(commit));
    }
    for (i, txn) in history.txns.iter().enumerate() {
        let holds = by_ts.partition_point(|c| c.ts <= txn.snapshot);
        let Some(last) = holds.checked_sub(1).and_then(|n| latest.get(n)) else { continue };
        if last.span.called > txn.began.returned {
            let why = format!(
                "the second was there, at {}, before the first was called to commit at {}",
                txn.snapshot, last.ts
            );
            let mut anomaly = pair(history, last.by, Writer::Txn(i), &why);
            anomaly.class = Class::FutureRead;
            return Err(anomaly);
        }
    }
    Ok(())
}

/// No snapshot misses a commit that an earlier one held: one that was there
/// before the second was asked for. The commit itself may still be under way,
/// or never say how it ended; `placed` are the latter.
pub(super) fn snapshots(history: &History, placed: &[(usize, Timestamp)]) -> Checked {
    let mut commits: Vec<Timestamp> = commits(history).iter().map(|c| c.ts).collect();
    commits.extend(placed.iter().map(|(_, ts)| *ts));
    commits.sort_unstable();
    let held = |snapshot: Timestamp| commits.partition_point(|ts| *ts <= snapshot);
    let mut there: Vec<_> = begins(history)
        .into_iter()
        .filter_map(|(_, ts, by)| match by {
            Writer::Txn(i) => Some((history.txns.get(i)?.began.returned, ts, by)),
            _ => None,
        })
        .collect();
    there.sort_by_key(|(returned, ..)| *returned);
    let mut there = there.into_iter().peekable();
    let mut newest: Option<(u64, Timestamp, Writer)> = None;
    for (called, ts, by) in begins(history) {
        while let Some(one) = there.next_if(|(returned, ..)| *returned < called) {
            if newest.is_none_or(|(_, ts, _)| ts < one.1) {
                newest = Some(one);
            }
        }
        if let Some((_, seen, first)) = newest.filter(|(_, seen, _)| held(ts) < held(*seen)) {
            let why = format!(
                "the first had the state at {seen} before the second began, with the older one at \
                 {ts}, and there is a commit between the two"
            );
            let mut anomaly = pair(history, first, by, &why);
            anomaly.class = Class::RealTime;
            return Err(anomaly);
        }
    }
    Ok(())
}

fn pair(history: &History, first: Writer, second: Writer, why: &str) -> Box<Anomaly> {
    let mut story = format!("  {}\n", describe(history, first));
    if first != second {
        story += &format!("  {}\n", describe(history, second));
    }
    story += &format!("  {why}.");
    let txns = [first, second].into_iter().filter_map(|w| match w {
        Writer::Txn(i) => Some(i),
        _ => None,
    });
    Anomaly::new(Class::Timestamps, txns.collect(), story)
}

/// Saves, reverts and what reads versions: the set of versions is what was
/// made of it.
pub(super) mod versions {
    use std::collections::BTreeMap;

    use vellum_core::Version;

    use super::{Anomaly, Change, Checked, Class, History, Span, Timestamp, event_name};
    use crate::history::types::{Event, TxnKind};

    /// When a version came to be, and when it was gone.
    struct Life {
        version: Version,
        saved: Span,
        removed: Option<Span>,
    }

    fn wrong(txns: Vec<usize>, story: String) -> Box<Anomaly> {
        Anomaly::new(Class::Versions, txns, story)
    }

    /// Checks every event against the set of versions as it then was, and
    /// every read of a version against the whole.
    pub(in super::super) fn check(history: &History) -> Checked {
        among_writers(history)?;
        let lives = lives(history)?;
        for (i, txn) in history.txns.iter().enumerate() {
            match txn.kind {
                TxnKind::ReadAt(version) => {
                    let life = lives.get(&txn.snapshot).filter(|l| l.version == version);
                    let is_there = life.is_some_and(|l| {
                        l.saved.called < txn.began.returned
                            && !l.removed.is_some_and(|r| r.is_before(txn.began))
                    });
                    if !is_there {
                        let story = format!(
                            "  T{i} read version {version} and got the state at {}, where no such \
                             version was saved, or not any more.",
                            txn.snapshot
                        );
                        return Err(wrong(vec![i], story));
                    }
                }
                TxnKind::ReadAsOf(ts) if ts != txn.snapshot => {
                    let story = format!("  T{i} asked for {ts} and got {}.", txn.snapshot);
                    return Err(wrong(vec![i], story));
                }
                TxnKind::ReadAsOf(_) | TxnKind::Read | TxnKind::Write { .. } => {}
            }
        }
        Ok(())
    }

    fn lives(history: &History) -> Result<BTreeMap<Timestamp, Life>, Box<Anomaly>> {
        let mut lives = BTreeMap::new();
        let mut live: BTreeMap<Version, Timestamp> = BTreeMap::new();
        for state in &history.states {
            if let Some(version) = state.version {
                lives.insert(state.ts, Life { version, saved: Span::default(), removed: None });
                live.insert(version, state.ts);
            }
        }
        for (i, event) in history.events.iter().enumerate() {
            let fail = |why: String| wrong(vec![], format!("  {}: {why}.", event_name(history, i)));
            let mut remove = |live: &mut BTreeMap<Version, Timestamp>, ts: Timestamp| {
                live.retain(|_, t| *t != ts);
                if let Some(life) = lives.get_mut(&ts) {
                    life.removed = Some(event.span);
                }
            };
            match &event.what {
                Change::Save { version, ts, .. } => {
                    if let Some(other) = live.insert(*version, *ts) {
                        return Err(fail(format!("the number is taken, by the save at {other}")));
                    }
                    let life = Life { version: *version, saved: event.span, removed: None };
                    lives.insert(*ts, life);
                }
                Change::Revert { ts: None, .. } => {
                    return Err(fail("it has no timestamp, and is a commit".into()));
                }
                Change::Revert { to, source, .. } => {
                    let expected = match to {
                        Some(n) => live.get(n),
                        None => live.values().next_back(),
                    };
                    if expected != source.as_ref() {
                        return Err(fail("that is not the version it names".into()));
                    }
                    if let Some(n) = to {
                        let gone = live.iter().filter(|(v, _)| *v > n).map(|(_, ts)| *ts);
                        for ts in gone.collect::<Vec<_>>() {
                            remove(&mut live, ts);
                        }
                    }
                }
                Change::Restore { source, .. } => {
                    if !live.values().any(|ts| ts == source) {
                        return Err(fail("there is no such version".into()));
                    }
                }
                Change::Delete { versions } => {
                    for ts in versions {
                        if !live.values().any(|t| t == ts) {
                            return Err(fail(format!("there is no version of timestamp {ts}")));
                        }
                        remove(&mut live, *ts);
                    }
                }
            }
        }
        Ok(lives)
    }

    /// Nobody saves or reverts while a write transaction is open.
    fn among_writers(history: &History) -> Checked {
        let mut writers: Vec<(usize, Span, Span)> = Vec::new();
        for (i, txn) in history.txns.iter().enumerate() {
            if txn.kind.is_write() {
                writers.push((i, txn.began, txn.ended));
            }
        }
        writers.sort_by_key(|(_, began, _)| began.returned);
        let mut writers = writers.into_iter().peekable();
        let mut last: Option<(usize, u64)> = None;
        let forbids = |e: &&(usize, &Event)| match e.1.what {
            Change::Save { with_open_writers, .. } => !with_open_writers,
            Change::Revert { .. } => true,
            Change::Restore { .. } | Change::Delete { .. } => false,
        };
        let events: Vec<(usize, &Event)> = history.events.iter().enumerate().collect();
        for (n, event) in events.iter().filter(forbids) {
            while let Some((i, _, ended)) =
                writers.next_if(|(_, began, _)| began.returned < event.span.called)
            {
                if last.is_none_or(|(_, open)| open < ended.called) {
                    last = Some((i, ended.called));
                }
            }
            if let Some((i, ended)) = last
                && ended > event.span.returned
            {
                let story = format!(
                    "  {}: the write transaction T{i} was open all the while.",
                    event_name(history, *n)
                );
                return Err(wrong(vec![i], story));
            }
        }
        Ok(())
    }
}
