//! Histories as lines of JSON; the form is documented at
//! [`History::write_to`].

use std::io::{self, BufRead, Write};

use serde_json::{Map, Value, json};
use vellum_core::{Bytes, Isolation, KeyRange, Timestamp, Version};

use super::types::{Change, Event, History, Op, Outcome, RangeRead, Span, State, Txn, TxnKind};

const HEADER: &str = "vellum-history";
const FORMAT: u64 = 1;

impl History {
    /// Writes the history as lines of JSON, to keep one that failed and to check
    /// it again.
    ///
    /// The first line is `{"vellum-history":1}`; every other one is an object with
    /// one member, which says what it is:
    ///
    /// ```text
    /// {"state":{"ts":0,"version":null,"items":[]}}
    /// {"txn":{"session":1,"kind":"write","isolation":"serializable","detects":true,
    ///         "began":[0,1],"snapshot":0,"ended":[4,5],"outcome":"committed","ts":1,
    ///         "ops":[["get","k",null,true],["put","k","7"],["delete","j"],
    ///                ["range","a",null,[["k","7"]],[],true,true]]}}
    /// {"save":{"session":1,"span":[6,7],"version":1,"ts":2,"open":false}}
    /// {"revert":{"session":1,"span":[8,9],"to":1,"source":2,"ts":3}}
    /// {"restore":{"session":1,"span":[8,9],"source":2,"start":"a","end":null,"ts":3}}
    /// {"delete":{"session":1,"span":[8,9],"versions":[2]}}
    /// ```
    ///
    /// (A transaction is one line.) `kind` is `read`, `read-at` (with `at`, a
    /// version), `read-as-of` (with `at`, a timestamp) or `write`; `outcome` is
    /// `committed` (with `ts`), `read-only`, `conflict`, `discarded` or `unknown`.
    /// A `get` is key, value, validated; a `range` is start, end (or null), items
    /// from the front, items from the back, whether it ended, validated. Keys and
    /// values are text where they are UTF-8, else `{"hex":"00ff"}`.
    ///
    /// ```
    /// use vellum_conformance::history::History;
    /// let mut text = Vec::new();
    /// History::default().write_to(&mut text)?;
    /// assert_eq!(History::read_from(&text[..])?, History::default());
    /// # std::io::Result::Ok(())
    /// ```
    ///
    /// # Errors
    /// As `out` does.
    pub fn write_to(&self, mut out: impl Write) -> io::Result<()> {
        writeln!(out, "{}", json!({ HEADER: FORMAT }))?;
        for state in &self.states {
            let version = state.version.map(Version::get);
            let items = pairs(&state.items);
            let body = json!({"ts": state.ts.get(), "version": version, "items": items});
            writeln!(out, "{}", json!({ "state": body }))?;
        }
        for txn in &self.txns {
            writeln!(out, "{}", json!({ "txn": txn_to(txn) }))?;
        }
        for event in &self.events {
            writeln!(out, "{}", event_to(event))?;
        }
        out.flush()
    }

    /// Reads what [`write_to`](Self::write_to) wrote.
    ///
    /// # Errors
    /// `InvalidData`, with the number of the line, where it is not of this
    /// format; as `input` does.
    pub fn read_from(input: impl BufRead) -> io::Result<Self> {
        let mut history = Self::default();
        let mut is_begun = false;
        for (n, line) in input.lines().enumerate() {
            let line = line?;
            let bad = |what: &str| {
                io::Error::new(io::ErrorKind::InvalidData, format!("line {}: {what}", n + 1))
            };
            let value: Value = serde_json::from_str(&line).map_err(|e| bad(&e.to_string()))?;
            if !is_begun {
                match value.get(HEADER).and_then(Value::as_u64) {
                    Some(FORMAT) => is_begun = true,
                    Some(_) => return Err(bad("a newer format")),
                    None => return Err(bad("not a history")),
                }
                continue;
            }
            history.add_line(&value).ok_or_else(|| bad("not a part of a history"))?;
        }
        match is_begun {
            true => Ok(history),
            false => Err(io::Error::new(io::ErrorKind::InvalidData, "not a history: it is empty")),
        }
    }

    fn add_line(&mut self, line: &Value) -> Option<()> {
        let (what, body) = line.as_object()?.iter().next()?;
        match what.as_str() {
            "state" => {
                let version = match body.get("version")? {
                    Value::Null => None,
                    n => Some(Version::new(n.as_u64()?)),
                };
                let items = pairs_from(body.get("items")?)?;
                self.states.push(State { ts: ts(body, "ts")?, version, items });
            }
            "txn" => self.txns.push(txn_from(body)?),
            _ => self.events.push(event_from(what, body)?),
        }
        Some(())
    }
}

fn bytes(bytes: &[u8]) -> Value {
    std::str::from_utf8(bytes).map_or_else(
        |_| json!({"hex": bytes.iter().map(|b| format!("{b:02x}")).collect::<String>()}),
        Value::from,
    )
}

fn bytes_from(value: &Value) -> Option<Bytes> {
    if let Some(text) = value.as_str() {
        return Some(Bytes::copy_from_slice(text.as_bytes()));
    }
    let hex = value.get("hex")?.as_str()?;
    let byte = |n: usize| u8::from_str_radix(hex.get(n..n + 2)?, 16).ok();
    (0..hex.len()).step_by(2).map(byte).collect::<Option<Vec<u8>>>().map(Bytes::from)
}

fn maybe_bytes(value: Option<&Bytes>) -> Value {
    value.map_or(Value::Null, |v| bytes(v))
}

fn maybe_bytes_from(value: &Value) -> Option<Option<Bytes>> {
    if value.is_null() { Some(None) } else { bytes_from(value).map(Some) }
}

fn pairs(items: &[(Bytes, Bytes)]) -> Value {
    items.iter().map(|(k, v)| json!([bytes(k), bytes(v)])).collect()
}

fn pairs_from(value: &Value) -> Option<Vec<(Bytes, Bytes)>> {
    let pair = |v: &Value| Some((bytes_from(v.get(0)?)?, bytes_from(v.get(1)?)?));
    value.as_array()?.iter().map(pair).collect()
}

fn ts(body: &Value, member: &str) -> Option<Timestamp> {
    body.get(member)?.as_u64().map(Timestamp::new)
}

fn maybe_ts(body: &Value, member: &str) -> Option<Option<Timestamp>> {
    if body.get(member)?.is_null() { Some(None) } else { ts(body, member).map(Some) }
}

fn span(span: Span) -> Value {
    json!([span.called, span.returned])
}

fn span_from(body: &Value, member: &str) -> Option<Span> {
    let span = body.get(member)?;
    Some(Span::new(span.get(0)?.as_u64()?, span.get(1)?.as_u64()?))
}

fn session_from(body: &Value) -> Option<u32> {
    body.get("session")?.as_u64()?.try_into().ok()
}

fn txn_to(txn: &Txn) -> Value {
    let mut body = Map::new();
    let mut put = |member: &str, value: Value| {
        body.insert(member.to_owned(), value);
    };
    put("session", txn.session.into());
    match txn.kind {
        TxnKind::Read => put("kind", "read".into()),
        TxnKind::ReadAt(v) => {
            put("kind", "read-at".into());
            put("at", v.get().into());
        }
        TxnKind::ReadAsOf(ts) => {
            put("kind", "read-as-of".into());
            put("at", ts.get().into());
        }
        TxnKind::Write { isolation, detects_write_conflicts } => {
            let snapshot = isolation == Isolation::Snapshot;
            put("kind", "write".into());
            put("isolation", if snapshot { "snapshot" } else { "serializable" }.into());
            put("detects", detects_write_conflicts.into());
        }
    }
    put("began", span(txn.began));
    put("snapshot", txn.snapshot.get().into());
    put("ended", span(txn.ended));
    let outcome = match txn.outcome {
        Outcome::Committed(_) => "committed",
        Outcome::ReadOnly => "read-only",
        Outcome::Conflict => "conflict",
        Outcome::Discarded => "discarded",
        Outcome::Unknown => "unknown",
    };
    put("outcome", outcome.into());
    if let Some(ts) = txn.outcome.commit_ts() {
        put("ts", ts.get().into());
    }
    put("ops", txn.ops.iter().map(op_to).collect());
    Value::Object(body)
}

fn txn_from(body: &Value) -> Option<Txn> {
    let text = |member: &str| body.get(member).and_then(Value::as_str);
    let kind = match text("kind")? {
        "read" => TxnKind::Read,
        "read-at" => TxnKind::ReadAt(Version::new(body.get("at")?.as_u64()?)),
        "read-as-of" => TxnKind::ReadAsOf(ts(body, "at")?),
        "write" => TxnKind::Write {
            isolation: match text("isolation")? {
                "snapshot" => Isolation::Snapshot,
                "serializable" => Isolation::Serializable,
                _ => return None,
            },
            detects_write_conflicts: body.get("detects")?.as_bool()?,
        },
        _ => return None,
    };
    let outcome = match text("outcome")? {
        "committed" => Outcome::Committed(ts(body, "ts")?),
        "read-only" => Outcome::ReadOnly,
        "conflict" => Outcome::Conflict,
        "discarded" => Outcome::Discarded,
        "unknown" => Outcome::Unknown,
        _ => return None,
    };
    Some(Txn {
        session: session_from(body)?,
        kind,
        began: span_from(body, "began")?,
        snapshot: ts(body, "snapshot")?,
        ops: body.get("ops")?.as_array()?.iter().map(op_from).collect::<Option<_>>()?,
        ended: span_from(body, "ended")?,
        outcome,
    })
}

fn op_to(op: &Op) -> Value {
    match op {
        Op::Get { key, value, validated } => {
            json!(["get", bytes(key), maybe_bytes(value.as_ref()), validated])
        }
        Op::Put { key, value } => json!(["put", bytes(key), bytes(value)]),
        Op::Delete { key } => json!(["delete", bytes(key)]),
        Op::Range(read) => json!([
            "range",
            bytes(read.range.start()),
            maybe_bytes(read.range.end()),
            pairs(&read.front),
            pairs(&read.back),
            read.ended,
            read.validated
        ]),
    }
}

fn op_from(op: &Value) -> Option<Op> {
    let key = || bytes_from(op.get(1)?);
    Some(match op.get(0)?.as_str()? {
        "get" => Op::Get {
            key: key()?,
            value: maybe_bytes_from(op.get(2)?)?,
            validated: op.get(3)?.as_bool()?,
        },
        "put" => Op::Put { key: key()?, value: bytes_from(op.get(2)?)? },
        "delete" => Op::Delete { key: key()? },
        "range" => Op::Range(RangeRead {
            range: KeyRange::new(key()?, maybe_bytes_from(op.get(2)?)?),
            front: pairs_from(op.get(3)?)?,
            back: pairs_from(op.get(4)?)?,
            ended: op.get(5)?.as_bool()?,
            validated: op.get(6)?.as_bool()?,
        }),
        _ => return None,
    })
}

fn event_to(event: &Event) -> Value {
    let (session, span) = (event.session, span(event.span));
    let maybe = |ts: &Option<Timestamp>| ts.map(Timestamp::get);
    match &event.what {
        Change::Save { version, ts, with_open_writers } => json!({"save": {
            "session": session, "span": span, "version": version.get(), "ts": ts.get(),
            "open": with_open_writers
        }}),
        Change::Revert { to, source, ts } => json!({"revert": {
            "session": session, "span": span, "to": to.map(Version::get),
            "source": maybe(source), "ts": maybe(ts)
        }}),
        Change::Restore { source, range, ts } => json!({"restore": {
            "session": session, "span": span, "source": source.get(),
            "start": bytes(range.start()), "end": maybe_bytes(range.end()), "ts": maybe(ts)
        }}),
        Change::Delete { versions } => {
            let versions: Vec<u64> = versions.iter().map(|ts| ts.get()).collect();
            json!({"delete": {"session": session, "span": span, "versions": versions}})
        }
    }
}

fn event_from(what: &str, body: &Value) -> Option<Event> {
    let what = match what {
        "save" => Change::Save {
            version: Version::new(body.get("version")?.as_u64()?),
            ts: ts(body, "ts")?,
            with_open_writers: body.get("open")?.as_bool()?,
        },
        "revert" => Change::Revert {
            to: match body.get("to")? {
                Value::Null => None,
                n => Some(Version::new(n.as_u64()?)),
            },
            source: maybe_ts(body, "source")?,
            ts: maybe_ts(body, "ts")?,
        },
        "restore" => {
            let end = maybe_bytes_from(body.get("end")?)?;
            let range = KeyRange::new(bytes_from(body.get("start")?)?, end);
            Change::Restore { source: ts(body, "source")?, range, ts: maybe_ts(body, "ts")? }
        }
        "delete" => {
            let versions = body.get("versions")?.as_array()?.iter();
            let versions = versions.map(|n| n.as_u64().map(Timestamp::new));
            Change::Delete { versions: versions.collect::<Option<_>>()? }
        }
        _ => return None,
    };
    Some(Event { session: session_from(body)?, span: span_from(body, "span")?, what })
}
