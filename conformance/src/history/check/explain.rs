//! From a wrong read to an anomaly with a class and a story.

use vellum_core::Bytes;

use super::super::anomaly::{Anomaly, Class};
use super::super::graph::{Because, Cycle, Graph};
use super::super::story::{deeds, describe, name, shown, value};
use super::super::timeline::{Timeline, Writer};
use super::super::types::{History, Op};
use super::{Fault, FaultKind};

/// What a wrong read means.
pub(super) fn explain(history: &History, line: &Timeline<'_>, fault: &Fault<'_>) -> Box<Anomaly> {
    let reader = Writer::Txn(fault.txn);
    let t = fault.txn;
    let who = describe(history, reader);
    let op = fault.op;
    let plain = |class, why: String| Anomaly::new(class, vec![t], format!("  {who}\n  {why}."));
    match &fault.what {
        FaultKind::Own { key, saw, wrote } => {
            let why = format!(
                "its operation {op} read {} = {}, where it had itself written {}",
                shown(key),
                value(*saw),
                value(*wrote)
            );
            plain(Class::Internal, why)
        }
        FaultKind::Range { key, what } => plain(
            Class::BrokenRange,
            format!("in its operation {op} the key {} {what}", shown(key)),
        ),
        FaultKind::Overwritten { key, by } => {
            let why = format!(
                "T{t} wrote {}, which {} had written at {}, after its snapshot: one of the two \
                 should have lost",
                shown(key),
                name(history, by.by),
                by.ts
            );
            match Graph::new(history, line).cycle(&[reader, by.by]) {
                Some(cycle) => of_cycle(history, line, &cycle, &why),
                None => plain(Class::MissedConflict, why),
            }
        }
        FaultKind::State { key, saw, expected, at, of_commit } => {
            let when = if *of_commit { "just before its commit" } else { "of its snapshot" };
            let holds = expected.map_or_else(
                || "nothing: nobody had written it".into(),
                |w| {
                    let by = name(history, w.by);
                    // Events have their timestamp in their name.
                    let at = if let Writer::Event(_) = w.by {
                        String::new()
                    } else {
                        format!(" at {}", w.ts)
                    };
                    format!("{}, by {by}{at}", value(w.value))
                },
            );
            let why = format!(
                "operation {op} of T{t} read {} = {}, but the state {when}, at {at}, holds {holds}",
                shown(key),
                value(*saw)
            );
            if let Some((class, from)) = saw.and_then(|saw| source(history, line, key, saw)) {
                return plain(class, format!("{why}. {from}"));
            }
            let mut suspects = vec![reader];
            suspects.extend(expected.map(|w| w.by));
            match Graph::new(history, line).cycle(&suspects) {
                Some(cycle) => of_cycle(history, line, &cycle, &why),
                None => plain(age(line, key, *saw, *at), why),
            }
        }
    }
}

/// Where a value came from, if no commit left it.
fn source(
    history: &History,
    line: &Timeline<'_>,
    key: &[u8],
    saw: &Bytes,
) -> Option<(Class, String)> {
    let values = line.id(key).map_or(&[][..], |id| line.values(id));
    if values.iter().any(|w| w.value == Some(saw)) {
        return None;
    }
    let wrote = |op: &Op| matches!(op, Op::Put { key: k, value } if &k[..] == key && value == saw);
    let writer = history.txns.iter().position(|txn| txn.ops.iter().any(wrote));
    Some(match writer.and_then(|i| Some((i, history.txns.get(i)?))) {
        Some((i, txn)) if txn.outcome.commit_ts().is_some() => {
            (Class::G1b, format!("T{i} wrote that value, and wrote over it before its commit"))
        }
        Some((i, _)) => {
            (Class::G1a, format!("That value is of {}", describe(history, Writer::Txn(i))))
        }
        None => (Class::Garbage, "Nobody wrote that value to that key".into()),
    })
}

/// Whether what was seen is older or newer than it should be.
fn age(line: &Timeline<'_>, key: &[u8], saw: Option<&Bytes>, at: vellum_core::Timestamp) -> Class {
    let Some(id) = line.id(key) else { return Class::Garbage };
    let stood = line.place(id, at);
    let values = line.values(id);
    let older = saw.is_none() || values.iter().take(stood).any(|w| w.value == saw);
    if older { Class::StaleRead } else { Class::FutureRead }
}

/// The story of a cycle.
fn of_cycle(history: &History, line: &Timeline<'_>, cycle: &Cycle, noticed: &str) -> Box<Anomaly> {
    let keys: Vec<&[u8]> = cycle
        .steps
        .iter()
        .filter_map(|(_, because)| match because {
            Because::Overwrote(id) | Because::Read(id) => Some(line.key(*id)),
            Because::ReadBefore { key, .. } => Some(line.key(*key)),
            Because::Time => None,
        })
        .collect();
    let mut story = String::new();
    let mut txns = Vec::new();
    for (by, _) in &cycle.steps {
        story += &format!("  {}", describe(history, *by));
        if let Writer::Txn(i) = by
            && let Some(txn) = history.txns.get(*i)
        {
            txns.push(*i);
            story += &format!(":\n    {}", deeds(txn, &keys));
        }
        story.push('\n');
    }
    story += "  In any order of them,\n";
    for (n, (from, because)) in cycle.steps.iter().enumerate() {
        let Some((to, _)) = cycle.steps.get(n + 1).or_else(|| cycle.steps.first()) else { break };
        let (from, to) = (name(history, *from), name(history, *to));
        let why = match because {
            Because::Overwrote(id) => {
                format!("{to} wrote {} over what {from} had written", shown(line.key(*id)))
            }
            Because::Read(id) => {
                format!("{to} read {} as {from} left it", shown(line.key(*id)))
            }
            Because::ReadBefore { key, by_range, .. } => {
                let how = if *by_range { " in a range" } else { "" };
                format!(
                    "{from} read {}{how} as it was before {to} changed it",
                    shown(line.key(*key))
                )
            }
            Because::Time => format!("{from} was over before {to} began"),
        };
        let last = n + 1 == cycle.steps.len();
        let end = if last { ": a contradiction" } else { "," };
        story += &format!("  - {from} comes before {to}, since {why}{end}\n");
    }
    story += &format!("  Noticed where {noticed}.");
    Anomaly::new(cycle.class, txns, story)
}
