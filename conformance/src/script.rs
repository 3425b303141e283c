//! Golden scripts: histories told step by step, with the output that every
//! backend must give.
//!
//! A script is prose, commands and their recorded output, in the format of the
//! crate `goldenscript`. Timestamps are shown as `@1`, `@2`, … in the order in
//! which a script meets them, so that they are the same on every backend.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt::Write as _;

use goldenscript::{Argument, Command, Context, Runner};
use vellum_core::{
    At, Bytes, CommitInfo, Connection, ConnectionExt, Error, ErrorKind, History, Isolation,
    KeepRule, KeyRange, Metadata, Observed, ReadTxn, ReadTxnExt, Result, SaveOptions, Timestamp,
    TxnOptions, Version, VersionSet, WriteConflicts, WriteTxn, WriteTxnExt,
};

use crate::{CaseResult, Ctx, Factory, Failure};

type Outcome<T> = std::result::Result<T, Box<dyn StdError>>;

/// Runs a script on the backend and compares its output with what is recorded.
///
/// With `UPDATE_GOLDENFILES=1` it writes what came out to the script's file
/// instead, if the file is there.
pub(crate) fn check<F: Factory>(cx: &Ctx<F>, name: &str, script: &str) -> CaseResult {
    let options = Ctx::<F>::options();
    let kept = cx.factory.capabilities().lacks(crate::Need::History).is_none();
    let kept = kept && script.contains("# This history is kept");
    let db = cx.open_with(if kept { options.history(History::All) } else { options })?;
    let mut stage = Stage { db, open: BTreeMap::new(), seen: Vec::new() };
    let output = goldenscript::generate(&mut stage, script)
        .map_err(|e| Failure::new(format!("{name}: {e}")))?;
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name);
    if std::env::var_os("UPDATE_GOLDENFILES").is_some_and(|v| v == "1") && file.exists() {
        return std::fs::write(&file, output).map_err(|e| Failure::new(e.to_string()));
    }
    match script.lines().zip(output.lines()).enumerate().find(|(_, (want, got))| want != got) {
        Some((n, (want, got))) => Err(Failure::new(format!(
            "{name}, line {}\n  expected {want}\n  got      {got}\nthe whole output:\n{output}",
            n + 1
        ))),
        None if output != script => {
            Err(Failure::new(format!("{name} has another length; the whole output:\n{output}")))
        }
        None => Ok(()),
    }
}

/// An open transaction, which a script names by the prefix of its commands.
enum Actor<C: Connection> {
    Reads(C::Read),
    Writes(C::Write),
}

/// Where a script is played.
struct Stage<C: Connection> {
    db: C,
    open: BTreeMap<String, Actor<C>>,
    /// Timestamps in the order in which they were shown.
    seen: Vec<Timestamp>,
}

/// A key or value as scripts write it: `%NN` for what is not text.
fn bytes(word: &str) -> Bytes {
    let mut out = Vec::new();
    let mut rest = word;
    while let Some(at) = rest.find('%') {
        let (before, after) = rest.split_at(at);
        out.extend_from_slice(before.as_bytes());
        let byte = after.get(1..3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(byte.unwrap_or(b'?'));
        rest = after.get(3..).unwrap_or("");
    }
    out.extend_from_slice(rest.as_bytes());
    out.into()
}

fn shown(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

fn shown_value(value: Option<&Bytes>) -> String {
    value.map_or_else(|| "absent".to_owned(), |v| shown(v))
}

/// `a..c`, `a..=c`, `..`, `a*` (a prefix), or one key.
fn range(word: Option<&str>) -> KeyRange {
    let Some(word) = word else { return KeyRange::all() };
    if let Some(prefix) = word.strip_suffix('*') {
        return KeyRange::prefix(bytes(prefix));
    }
    if let Some((start, end)) = word.split_once("..=") {
        return KeyRange::from(bytes(start)..=bytes(end));
    }
    match word.split_once("..") {
        Some((start, "")) => KeyRange::from(bytes(start)..),
        Some((start, end)) => KeyRange::from(bytes(start)..bytes(end)),
        None => KeyRange::key(bytes(word)),
    }
}

fn list(items: impl Iterator<Item = Result<(Bytes, Bytes)>>) -> Result<String> {
    let mut out = String::new();
    for item in items {
        let (key, value) = item?;
        let _ = writeln!(out, "{} = {}", shown(&key), shown(&value));
    }
    Ok(if out.is_empty() { "nothing\n".to_owned() } else { out })
}

/// The words of a command, and its `key=value` pairs.
fn arguments(command: &Command) -> (Vec<&str>, Vec<(Bytes, Bytes)>) {
    let (mut words, mut pairs) = (Vec::new(), Vec::new());
    for argument in &command.args {
        match argument {
            Argument::Positional(word) => words.push(word.as_str()),
            Argument::KeyValue(key, value) => pairs.push((bytes(key), bytes(value))),
            _ => {}
        }
    }
    (words, pairs)
}

fn bad(message: String) -> Box<dyn StdError> {
    message.into()
}

impl<C: Connection> Stage<C> {
    fn ts(&mut self, ts: Timestamp) -> String {
        let n = self.seen.iter().position(|seen| *seen == ts).unwrap_or_else(|| {
            self.seen.push(ts);
            self.seen.len() - 1
        });
        format!("@{}", n + 1)
    }

    fn known(&self, word: &str) -> Outcome<Timestamp> {
        let n = word.strip_prefix('@').and_then(|n| n.parse::<usize>().ok());
        let ts = n.and_then(|n| self.seen.get(n.checked_sub(1)?));
        ts.copied().ok_or_else(|| bad(format!("{word} was not shown before")))
    }

    /// `head`, `v3` or `@2`.
    fn at(&self, word: &str) -> Outcome<At> {
        match word.strip_prefix('v') {
            _ if word == "head" => Ok(At::Head),
            Some(n) => Ok(At::Version(version(n)?)),
            None => self.known(word).map(At::Timestamp),
        }
    }

    fn info(&mut self, info: CommitInfo) -> String {
        match info.commit_ts {
            Some(ts) => format!("committed {}", self.ts(ts)),
            None => "committed nothing".to_owned(),
        }
    }

    fn failed(&mut self, e: &Error) -> String {
        let Some(conflict) = e.conflict() else { return format!("error: {}", e.kind()) };
        let what = match &conflict.observed {
            Observed::Key => "which it read".to_owned(),
            Observed::Range(r) => format!("in the range {r} that it observed"),
            Observed::Write => "which it wrote".to_owned(),
            other => format!("{other:?}"),
        };
        let (read, won) = (self.ts(conflict.read_ts), self.ts(conflict.commit_ts));
        format!("conflict: {}, {what} at {read}, was written at {won}", shown(&conflict.key))
    }

    fn reader<T>(
        &self,
        actor: Option<&str>,
        reads: impl FnOnce(&C::Read) -> Result<T>,
        writes: impl FnOnce(&C::Write) -> Result<T>,
    ) -> Outcome<Result<T>> {
        match actor {
            None => Ok(self.db.begin_read().and_then(|txn| reads(&txn))),
            Some(name) => match self.open.get(name) {
                Some(Actor::Reads(txn)) => Ok(reads(txn)),
                Some(Actor::Writes(txn)) => Ok(writes(txn)),
                None => Err(bad(format!("{name} has no open transaction"))),
            },
        }
    }

    fn writer(&mut self, actor: Option<&str>) -> Outcome<&mut C::Write> {
        match actor.and_then(|name| self.open.get_mut(name)) {
            Some(Actor::Writes(txn)) => Ok(txn),
            _ => Err(bad("this needs the prefix of an open write transaction".to_owned())),
        }
    }

    fn take(&mut self, actor: Option<&str>) -> Outcome<Actor<C>> {
        let taken = actor.and_then(|name| self.open.remove(name));
        taken.ok_or_else(|| bad("this needs the prefix of an open transaction".to_owned()))
    }

    /// Writes in the actor's transaction, or in one of their own.
    fn write(
        &mut self,
        actor: Option<&str>,
        write: impl Fn(&mut C::Write) -> Result<()>,
    ) -> Outcome<Result<String>> {
        if actor.is_some() {
            return Ok(write(self.writer(actor)?).map(|()| String::new()));
        }
        let outcome = self.db.begin_write().and_then(|mut txn| {
            write(&mut txn)?;
            txn.commit()
        });
        Ok(outcome.map(|info| self.info(info)))
    }

    fn play(&mut self, command: &Command, actor: Option<&str>) -> Outcome<Result<String>> {
        let (words, pairs) = arguments(command);
        let first = words.first().copied();
        let word = || first.ok_or_else(|| bad(format!("{} of what?", command.name)));
        Ok(match command.name.as_str() {
            "begin" | "read" => return self.begin(command, actor),
            "get" => {
                let key = bytes(word()?);
                let value = self.reader(actor, |t| t.get(&key), |t| t.get(&key))?;
                value.map(|v| shown_value(v.as_ref()))
            }
            "range" => {
                let range = range(first.filter(|w| *w != "reverse"));
                let back = words.contains(&"reverse");
                let take = words.iter().find_map(|w| w.strip_prefix("first-")?.parse().ok());
                let take: usize = take.unwrap_or(usize::MAX);
                let all = |items: &mut dyn Iterator<Item = Result<(Bytes, Bytes)>>| {
                    list(items.take(take))
                };
                self.reader(
                    actor,
                    |t| {
                        if back {
                            all(&mut t.range(&range).rev())
                        } else {
                            all(&mut t.range(&range))
                        }
                    },
                    |t| {
                        if back {
                            all(&mut t.range(&range).rev())
                        } else {
                            all(&mut t.range(&range))
                        }
                    },
                )?
            }
            "count" => {
                let range = range(first);
                self.reader(actor, |t| t.count(&range), |t| t.count(&range))?.map(|n| n.to_string())
            }
            "peek" => {
                let key = bytes(word()?);
                let view = self.writer(actor)?.snapshot_reads().get(&key);
                view.map(|v| shown_value(v.as_ref()))
            }
            "put" => self.write(actor, |txn| {
                pairs.iter().try_for_each(|(key, value)| txn.put(key, value.clone()))
            })?,
            "delete" => {
                self.write(actor, |txn| words.iter().try_for_each(|word| txn.delete(&bytes(word))))?
            }
            "delete-range" => {
                let range = range(first);
                self.write(actor, |txn| txn.delete_range(&range).map(drop))?
            }
            "mark-read" => self.writer(actor)?.mark_read(range(first)).map(|()| String::new()),
            "mark-written" => {
                self.writer(actor)?.mark_written(range(first)).map(|()| String::new())
            }
            "commit" => match self.take(actor)? {
                Actor::Writes(txn) => {
                    let outcome = txn.commit();
                    outcome.map(|info| self.info(info))
                }
                Actor::Reads(_) => {
                    return Err(bad("a read transaction has nothing to commit".to_owned()));
                }
            },
            "discard" => {
                match self.take(actor)? {
                    Actor::Writes(txn) => txn.discard(),
                    Actor::Reads(txn) => drop(txn),
                }
                Ok(String::new())
            }
            "save" => self.save(command),
            "versions" => self.db.versions().map(|set| self.versions(&set)),
            "delete-version" => self.db.delete_version(version(word()?)?).map(|()| String::new()),
            "keep" => {
                let n = word()?.parse().map_err(|_| bad("keep how many?".to_owned()))?;
                let gone = self.db.keep_versions(&KeepRule::new().last(n));
                gone.map(|gone| format!("removed {gone:?}"))
            }
            "revert" => {
                let outcome = match first {
                    Some(word) => self.db.revert_to(version(word)?),
                    None => self.db.revert(),
                };
                outcome.map(|info| self.info(info))
            }
            "restore" => {
                let outcome = self.db.restore(version(word()?)?, range(words.get(1).copied()));
                outcome.map(|info| self.info(info))
            }
            "diff" => {
                let (from, to) = (self.at(word()?)?, self.at(words.get(1).unwrap_or(&"head"))?);
                self.db.diff(from, to, range(words.get(2).copied())).and_then(diff)
            }
            "changes" => {
                let (from, to) = (self.known(word()?)?, self.known(words.get(1).unwrap_or(&"@1"))?);
                match self.db.changes(from, to) {
                    Ok(changes) => self.changes(changes),
                    Err(e) => Err(e),
                }
            }
            "prune" => self.db.prune().map(|_| String::new()),
            other => return Err(bad(format!("{other} is no command"))),
        })
    }

    fn begin(&mut self, command: &Command, actor: Option<&str>) -> Outcome<Result<String>> {
        let Some(name) = actor else { return Err(bad("who begins?".to_owned())) };
        let (words, _) = arguments(command);
        let began = if command.name == "read" {
            match words.first() {
                None => self.db.begin_read(),
                Some(word) => match self.at(word)? {
                    At::Head => self.db.begin_read(),
                    At::Version(v) => self.db.read_at(v),
                    At::Timestamp(ts) => self.db.read_as_of(ts),
                },
            }
            .map(|txn| (txn.read_ts(), Actor::Reads(txn)))
        } else {
            let mut options = TxnOptions::new();
            for word in words {
                options = match word {
                    "snapshot" => options.isolation(Isolation::Snapshot),
                    "blind" => options.write_conflicts(WriteConflicts::Ignore),
                    other => return Err(bad(format!("begin {other}?"))),
                };
            }
            self.db.begin_write_with(&options).map(|txn| (txn.read_ts(), Actor::Writes(txn)))
        };
        Ok(began.map(|(_, txn)| {
            self.open.insert(name.to_owned(), txn);
            String::new()
        }))
    }

    fn save(&mut self, command: &Command) -> Result<String> {
        let mut options = SaveOptions::new();
        let mut metadata = Metadata::new();
        let (words, pairs) = arguments(command);
        for word in words {
            options = match word {
                "with-open-writers" => options.with_open_writers(),
                n => options.number(n.parse::<u64>().unwrap_or(0)),
            };
        }
        for (key, text) in pairs {
            let text = String::from_utf8_lossy(&text).into_owned();
            metadata = match &*key {
                b"message" => metadata.message(text),
                b"author" => metadata.author(text),
                _ => metadata.time_ms(text.parse().unwrap_or(0)),
            };
        }
        let saved = self.db.save_version_with(options.metadata(metadata))?;
        Ok(format!("saved v{saved}"))
    }

    fn versions(&mut self, set: &C::Versions) -> String {
        let mut out = String::new();
        for v in set.iter() {
            let m = v.metadata;
            let _ = write!(out, "v{}", v.version);
            for (name, text) in [("message", m.message), ("author", m.author)] {
                if let Some(text) = text {
                    let _ = write!(out, "  {name} {text:?}");
                }
            }
            if let Some(ms) = m.time_ms {
                let _ = write!(out, "  time {ms}");
            }
            out.push('\n');
        }
        if out.is_empty() { "none\n".to_owned() } else { out }
    }

    fn changes(&mut self, changes: vellum_core::Changes) -> Result<String> {
        let mut out = String::new();
        for commit in changes {
            let commit = commit?;
            if commit.writes.is_empty() {
                continue;
            }
            let _ = writeln!(out, "{}", self.ts(commit.commit_ts));
            for (key, value) in &commit.writes {
                let _ = writeln!(out, "  {} = {}", shown(key), shown_value(value.as_ref()));
            }
        }
        Ok(if out.is_empty() { "nothing\n".to_owned() } else { out })
    }
}

fn version(word: &str) -> Outcome<Version> {
    let number = word.strip_prefix('v').unwrap_or(word).parse();
    number.map(Version::new).map_err(|_| bad(format!("{word} is no version number")))
}

fn diff(diff: vellum_core::Diff) -> Result<String> {
    let mut out = String::new();
    for entry in diff {
        let d = entry?;
        let (before, after) = (shown_value(d.before.as_ref()), shown_value(d.after.as_ref()));
        let _ = writeln!(out, "{}: {before} -> {after}", shown(&d.key));
    }
    Ok(if out.is_empty() { "nothing\n".to_owned() } else { out })
}

impl<C: Connection> Runner for Stage<C> {
    type Command = Command;

    fn run(&mut self, command: &Command, context: &Context) -> Outcome<String> {
        let outcome = self.play(command, context.prefix.as_deref())?;
        // What was asked cannot be done is an answer; that it failed is not.
        Ok(match outcome {
            Ok(output) => output,
            Err(e) if matches!(e.kind(), ErrorKind::Io | ErrorKind::Corrupted) => {
                return Err(e.into());
            }
            Err(e) => self.failed(&e),
        })
    }
}

#[cfg(test)]
mod tests;
