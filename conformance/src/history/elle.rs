//! Histories in the form that Jepsen's checkers read.
//!
//! A line an event: `invoke` when a transaction was begun, and `ok`, `fail` or
//! `info` (unknown) when it ended, with its operations as `[:append k v]` and
//! `[:r k [v ...]]`. Times go, and so do timestamps: such a checker sees what a
//! client saw. A process runs one transaction at a time there, so overlapping
//! ones get processes of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use vellum_core::Bytes;

use super::types::{History, Op, Outcome, Txn};

/// In which notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ElleFormat {
    /// A line of JSON an event, as `adya` reads it.
    Json,
    /// One array of JSON, as `elle-cli` reads it.
    JsonArray,
    /// A line of EDN an event, as Elle and `elle-cli` read it.
    Edn,
}

enum Step {
    Append(String, String),
    Read(String, Vec<String>),
}

impl History {
    /// Writes a [`ListAppend`](super::Kind::ListAppend) history as Jepsen's
    /// checkers read it: the model `list-append`. Values must be numbers with
    /// spaces between, and every put an append of one to what the transaction
    /// sees. Items of ranges are written as reads; keys that ranges passed over
    /// cannot be said there. Readers of the past are left out: they are not
    /// strict.
    ///
    /// # Errors
    /// `InvalidInput` if a put is not an append, or something was deleted; as
    /// `out` does.
    pub fn write_elle(&self, format: ElleFormat, mut out: impl Write) -> io::Result<()> {
        let mut events = Vec::new();
        for (txn, process) in with_processes(&self.txns) {
            let steps = steps(txn)?;
            let end = match txn.outcome {
                Outcome::Committed(_) | Outcome::ReadOnly => "ok",
                Outcome::Conflict | Outcome::Discarded => "fail",
                Outcome::Unknown => "info",
            };
            events.push((txn.began.called, process, "invoke", show(&steps, format, false)));
            let answered = end == "ok";
            events.push((txn.ended.returned, process, end, show(&steps, format, answered)));
        }
        events.sort_by_key(|(at, ..)| *at);
        let last = events.len().saturating_sub(1);
        if format == ElleFormat::JsonArray {
            out.write_all(b"[")?;
        }
        for (index, (_, process, kind, value)) in events.iter().enumerate() {
            match format {
                ElleFormat::Edn => writeln!(
                    out,
                    "{{:index {index}, :type :{kind}, :process {process}, :f :txn, :value {value}}}"
                )?,
                ElleFormat::Json | ElleFormat::JsonArray => writeln!(
                    out,
                    "{{\"index\":{index},\"type\":\"{kind}\",\"process\":{process},\"f\":\"txn\",\
                     \"value\":{value}}}{}",
                    if format == ElleFormat::JsonArray && index < last { "," } else { "" }
                )?,
            }
        }
        if format == ElleFormat::JsonArray {
            out.write_all(b"]\n")?;
        }
        out.flush()
    }
}

/// The transactions that read the head, each with a process that has no other
/// one open.
fn with_processes(txns: &[Txn]) -> Vec<(&Txn, usize)> {
    let mut of_the_head: Vec<&Txn> = txns.iter().filter(|t| t.kind.is_of_the_head()).collect();
    of_the_head.sort_by_key(|t| t.began.called);
    let mut free = BTreeSet::new();
    let mut busy: BTreeMap<u64, usize> = BTreeMap::new();
    let mut processes = 0;
    let mut with = Vec::with_capacity(of_the_head.len());
    for txn in of_the_head {
        let still = busy.split_off(&txn.began.called);
        free.extend(busy.into_values());
        busy = still;
        let process = free.pop_first().unwrap_or_else(|| {
            processes += 1;
            processes - 1
        });
        // A process of an unknown outcome is never used again.
        let until = if txn.outcome == Outcome::Unknown { u64::MAX } else { txn.ended.returned };
        busy.insert(until, process);
        with.push((txn, process));
    }
    with
}

fn text(bytes: &[u8]) -> io::Result<String> {
    let fine = |c: &u8| c.is_ascii_alphanumeric() || b" _-/".contains(c);
    match bytes.iter().all(fine) {
        true => Ok(String::from_utf8_lossy(bytes).into_owned()),
        false => Err(refused("a key or value is not plain text")),
    }
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("not a history of lists: {why}"))
}

fn list(value: Option<&Bytes>) -> io::Result<Vec<String>> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let text = text(value)?;
    let number = |n: &str| match n.bytes().all(|b| b.is_ascii_digit()) {
        true => Ok(n.to_owned()),
        false => Err(refused("an element is not a number")),
    };
    text.split_ascii_whitespace().map(number).collect()
}

fn steps(txn: &Txn) -> io::Result<Vec<Step>> {
    let mut steps = Vec::new();
    // What the transaction sees, as far as it looked.
    let mut sees: BTreeMap<&[u8], Vec<String>> = BTreeMap::new();
    for op in &txn.ops {
        match op {
            Op::Get { key, value, .. } => {
                let list = list(value.as_ref())?;
                sees.insert(key, list.clone());
                steps.push(Step::Read(text(key)?, list));
            }
            Op::Range(read) => {
                for (key, value) in read.front.iter().chain(&read.back) {
                    let list = list(Some(value))?;
                    sees.insert(key, list.clone());
                    steps.push(Step::Read(text(key)?, list));
                }
            }
            Op::Put { key, value } => {
                let mut new = list(Some(value))?;
                let all = new.clone();
                let element = new.pop().ok_or_else(|| refused("an empty list was put"))?;
                if sees.get(&key[..]).is_some_and(|old| *old != new) {
                    return Err(refused("a put is not an append"));
                }
                sees.insert(key, all);
                steps.push(Step::Append(text(key)?, element));
            }
            Op::Delete { .. } => return Err(refused("something was deleted")),
        }
    }
    Ok(steps)
}

fn show(steps: &[Step], format: ElleFormat, answered: bool) -> String {
    let edn = format == ElleFormat::Edn;
    let comma = if edn { " " } else { "," };
    let (append, read, null) =
        if edn { (":append", ":r", "nil") } else { ("\"append\"", "\"r\"", "null") };
    let step = |step: &Step| match step {
        Step::Append(key, element) => format!("[{append}{comma}\"{key}\"{comma}{element}]"),
        Step::Read(key, list) => {
            let list = if answered { format!("[{}]", list.join(comma)) } else { null.to_owned() };
            format!("[{read}{comma}\"{key}\"{comma}{list}]")
        }
    };
    format!("[{}]", steps.iter().map(step).collect::<Vec<_>>().join(comma))
}
