//! Recorded histories of other projects, in their own formats, read from the
//! folder that `VELLUM_HISTORIES` names.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use vellum_conformance::history::{Untimed, UntimedOp, UntimedTxn};

/// A line an operation: `r|w(key,value,session,transaction)`. A value that
/// nobody wrote before anybody could have is the initial one: 0 where no such
/// write stands.
pub(crate) fn polysi(text: &str) -> Untimed {
    // Whether it is a write, the key and the value, by transaction.
    type Session = BTreeMap<u64, Vec<(bool, String, String)>>;
    let mut sessions: BTreeMap<u64, Session> = BTreeMap::new();
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        let (what, rest) = line.trim().split_once('(').expect("an operation");
        let parts: Vec<&str> = rest.trim_end_matches(')').split(',').map(str::trim).collect();
        let [key, value, session, txn] = parts[..] else { panic!("four parts: {line}") };
        let at = sessions.entry(session.parse().expect("a number")).or_default();
        let ops = at.entry(txn.parse().expect("a number")).or_default();
        ops.push((what == "w", key.into(), value.into()));
    }
    let written: Vec<(String, String)> = sessions
        .values()
        .flat_map(|s| s.values().flatten())
        .filter(|(w, ..)| *w)
        .map(|(_, k, v)| (k.clone(), v.clone()))
        .collect();
    let op = |(writes, key, value): (bool, String, String)| {
        if writes {
            return UntimedOp::Write(key, value);
        }
        let initial = value == "0" && !written.contains(&(key.clone(), value.clone()));
        UntimedOp::Read(key, (!initial).then_some(value))
    };
    let txn = |ops: Vec<_>| UntimedTxn {
        ops: ops.into_iter().map(op).collect(),
        committed: Some(true),
        span: None,
    };
    Untimed {
        sessions: sessions.into_values().map(|s| s.into_values().map(txn).collect()).collect(),
    }
}

/// Events of Elle in JSON or in the part of EDN that its histories use; each
/// transaction in a session of its own, with its indices as its span.
pub(crate) fn elle(text: &str) -> Untimed {
    let json = if text.contains(":type") { edn_to_json(text) } else { text.to_owned() };
    let json = json.trim();
    let events: Vec<serde_json::Value> = match json.starts_with('[') {
        true => serde_json::from_str(json).expect("an array"),
        false => json.lines().map(|l| serde_json::from_str(l).expect("an object")).collect(),
    };
    let mut called: BTreeMap<String, u64> = BTreeMap::new();
    let mut history = Untimed::default();
    for (n, event) in events.iter().enumerate() {
        let process = event["process"].to_string();
        let at = n as u64;
        let kind = event["type"].as_str().unwrap_or_default();
        if kind == "invoke" {
            called.insert(process, at);
            continue;
        }
        let ops = event["value"].as_array().expect("operations").iter().map(|op| {
            let text = |n: usize| op[n].to_string().trim_matches('"').to_owned();
            match op[0].as_str().unwrap_or_default() {
                "append" => UntimedOp::Append(text(1), text(2)),
                "w" => UntimedOp::Write(text(1), text(2)),
                _ => match &op[2] {
                    serde_json::Value::Array(list) => {
                        let list = list.iter().map(ToString::to_string).collect();
                        UntimedOp::ReadList(text(1), list)
                    }
                    serde_json::Value::Null => UntimedOp::Read(text(1), None),
                    value => UntimedOp::Read(text(1), Some(value.to_string())),
                },
            }
        });
        let committed = match kind {
            "ok" => Some(true),
            "fail" => Some(false),
            _ => None,
        };
        let span = called.remove(&process).map(|called| (called, at));
        history.sessions.push(vec![UntimedTxn { ops: ops.collect(), committed, span }]);
    }
    history
}

/// Tokens with commas and colons put where JSON has them: enough EDN for maps
/// of keywords, lists, numbers and `nil`.
fn edn_to_json(text: &str) -> String {
    let mut out = String::new();
    // For each open bracket: whether it is a map, and how many values it has.
    let mut open: Vec<(bool, usize)> = Vec::new();
    let spaced: String = text.chars().fold(String::new(), |mut all, c| {
        let _ = match c {
            '{' | '}' | '[' | ']' => write!(all, " {c} "),
            ',' => write!(all, " "),
            c => write!(all, "{c}"),
        };
        all
    });
    for token in spaced.split_whitespace() {
        if matches!(token, "}" | "]") {
            open.pop();
            out += token;
        } else {
            if let Some((map, n)) = open.last_mut() {
                out += match (*n, *map) {
                    (0, _) => "",
                    (n, true) if n % 2 == 1 => ":",
                    _ => ",",
                };
                *n += 1;
            }
            match token {
                "{" | "[" => {
                    out += token;
                    open.push((token == "{", 0));
                }
                "nil" => out += "null",
                word => match word.strip_prefix(':') {
                    Some(keyword) => {
                        let _ = write!(out, "\"{keyword}\"");
                    }
                    None => out += word,
                },
            }
        }
        if open.is_empty() {
            out.push('\n');
        }
    }
    out
}

/// Adds what these histories left out: the writers of values that were read and
/// that nobody is recorded to have written, each in a session of its own.
fn supply(mut history: Untimed) -> Untimed {
    let ops = || history.sessions.iter().flatten().flat_map(|t| &t.ops);
    let mut missing: Vec<UntimedOp> = Vec::new();
    for op in ops() {
        if let UntimedOp::Read(key, Some(value)) = op {
            let write = UntimedOp::Write(key.clone(), value.clone());
            if !ops().any(|op| *op == write) && !missing.contains(&write) {
                missing.push(write);
            }
        }
    }
    for write in missing {
        let txn = UntimedTxn { ops: vec![write], committed: Some(true), span: None };
        history.sessions.push(vec![txn]);
    }
    history
}

/// What the source says of a file: whether it holds under snapshot isolation,
/// and serializably; `None` where it does not say.
pub(crate) const FILES: &[(&str, Option<bool>, Option<bool>)] = &[
    ("galera.txt", Some(false), Some(false)),
    ("yugabyte.txt", Some(false), Some(false)),
    ("histories_elle_paper-example.edn", None, Some(false)),
    ("histories_elle_paper-example.json", None, Some(false)),
    ("histories_elle_list-append-gh-30.edn", None, Some(false)),
    ("histories_jepsen_long-fork.edn", Some(false), Some(false)),
    ("histories_elle_rw-register.edn", None, Some(true)),
    ("histories_elle_rw-register.json", None, Some(true)),
];

/// The files that stand in a folder, each with what its source says.
pub(crate) fn files(folder: &Path) -> Vec<(String, Untimed, Option<bool>, Option<bool>)> {
    let file = |&(name, si, ser): &(&str, Option<bool>, Option<bool>)| {
        let text = std::fs::read_to_string(folder.join(name)).ok()?;
        let history = if name.ends_with(".txt") { polysi(&text) } else { elle(&text) };
        Some((name.to_owned(), supply(history), si, ser))
    };
    FILES.iter().filter_map(file).collect()
}
