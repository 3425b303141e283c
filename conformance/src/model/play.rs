//! Plays a history on a database and on the model, side by side.

use std::ops::Bound;

use vellum_core::{
    At, CommitInfo, Connection, ConnectionExt, ErrorKind, History, Isolation, KeyRange, ReadTxn,
    Result, SaveOptions, Timestamp, TxnOptions, Version, VersionSet, WriteConflicts, WriteTxn,
};

use super::drive::{bounds, drive, short, whole};
use super::{Flavour, Key, Map, Model, Op, Part, Saved, Span, Txn, Writes, key};
use crate::check::{refused, same, text};
use crate::{CaseResult, Ctx, Factory, Failure};

/// What histories may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mode {
    pub(crate) history: bool,
    pub(crate) reopens: bool,
}

type Read<F> = <<F as Factory>::Connection as Connection>::Read;
type Write<F> = <<F as Factory>::Connection as Connection>::Write;

struct Play<'a, F: Factory> {
    cx: &'a Ctx<F>,
    mode: Mode,
    db: F::Connection,
    model: Model,
    writers: [Option<(Write<F>, Txn)>; 3],
    readers: [Option<(Read<F>, Map)>; 3],
}

/// Plays one history from an empty place.
pub(crate) fn play<F: Factory>(cx: &Ctx<F>, mode: Mode, ops: &[Op]) -> CaseResult {
    let db = open(cx, mode)?;
    let none = || [None, None, None];
    let model = Model::default();
    let mut play = Play { cx, mode, db, model, writers: none(), readers: [None, None, None] };
    for (n, op) in ops.iter().enumerate() {
        play.step(op).map_err(|e| Failure::new(format!("step {}, {op:?}: {e}", n + 1)))?;
    }
    play.check_all().map_err(|e| Failure::new(format!("in the end: {e}")))?;
    play.db.close()?;
    drop(play);
    cx.factory.destroy();
    Ok(())
}

fn open<F: Factory>(cx: &Ctx<F>, mode: Mode) -> Result<F::Connection> {
    let kept = if mode.history { History::All } else { History::None };
    cx.open_with(Ctx::<F>::options().history(kept))
}

impl<F: Factory> Play<'_, F> {
    fn step(&mut self, op: &Op) -> CaseResult {
        match op {
            Op::Begin(slot, flavour) => self.begin(*slot, *flavour),
            Op::Get(slot, n) => self.get(*slot, &key(*n)),
            Op::View(slot, n) => self.view(*slot, &key(*n)),
            Op::Put(slot, n, v) => self.write(*slot, &key(*n), Some(*v)),
            Op::Delete(slot, n) => self.write(*slot, &key(*n), None),
            Op::Range(slot, span) => {
                let Some((txn, model)) = self.writer(*slot) else { return Ok(()) };
                let observed = drive(txn, &model.view(), span, "a range")?;
                if model.validates_reads {
                    model.parts_read.extend(observed);
                }
                Ok(())
            }
            Op::MarkRead(slot, span) => {
                let Some((txn, model)) = self.writer(*slot) else { return Ok(()) };
                txn.mark_read(bounds(span))?;
                if model.validates_reads {
                    model.parts_read.push(Part::of(&bounds(span)));
                }
                Ok(())
            }
            Op::MarkWritten(slot, span) => {
                let Some((txn, model)) = self.writer(*slot) else { return Ok(()) };
                txn.mark_written(bounds(span))?;
                let part = Part::of(&bounds(span));
                if !KeyRange::from(bounds(span)).is_empty() {
                    model.marks.push(part);
                }
                Ok(())
            }
            Op::Commit(slot) => self.commit(*slot),
            Op::Discard(slot) => {
                if let Some((txn, _)) = self.take_writer(*slot) {
                    txn.discard();
                }
                Ok(())
            }
            Op::Rival(n, v) => {
                let (key, value) = (key(*n), v.map(value));
                let mut txn = self.db.begin_write()?;
                match &value {
                    Some(value) => txn.put(&key, value.clone())?,
                    None => txn.delete(&key)?,
                }
                let info = txn.commit()?;
                self.committed(info, Writes::from([(key, value)]), Vec::new())
            }
            Op::ReadKey(slot, n) => {
                let Some(Some((txn, state))) = self.readers.get(usize::from(*slot)) else {
                    return Ok(());
                };
                let key = key(*n);
                if !is_key(&key) {
                    return refused("a get out of limits", txn.get(&key), ErrorKind::Invalid)
                        .map(drop);
                }
                let got = txn.get(&key)?.map(|v| text(&v));
                same("a reader's get", got, state.get(&key).map(|v| text(v)))
            }
            Op::Reader(slot) => {
                let reader = (self.db.begin_read()?, self.model.head());
                if let Some(place) = self.readers.get_mut(usize::from(*slot)) {
                    *place = Some(reader);
                }
                Ok(())
            }
            Op::Read(slot, span) => {
                let Some(Some((txn, state))) = self.readers.get(usize::from(*slot)) else {
                    return Ok(());
                };
                drive(txn, state, span, "a reader's range").map(drop)
            }
            Op::Save(n, open) => self.save(*n, *open),
            Op::DeleteVersion(n) => {
                let v = self.version(*n);
                match self.model.versions.remove(&v) {
                    Some(_) => Ok(self.db.delete_version(v)?),
                    None => unknown("deleting it", self.db.delete_version(v)),
                }
            }
            Op::ReadAt(n, span) => {
                let v = self.version(*n);
                match self.model.versions.get(&v) {
                    Some(saved) => {
                        let txn = self.db.read_at(Version::new(v))?;
                        drive(&txn, &saved.state, span, "a version's range").map(drop)
                    }
                    None => unknown("reading it", self.db.read_at(Version::new(v)).map(drop)),
                }
            }
            Op::Revert => self.revert(None),
            Op::RevertTo(n) => self.revert(Some(self.version(*n))),
            Op::Restore(n, span) => self.restore(self.version(*n), span),
            Op::Diff(a, b, span) => self.diff(self.version(*a), self.version(*b), span),
            Op::AsOf(n) => self.as_of(*n),
            Op::Changes(a, b) => self.changes(*a, *b),
            Op::Prune => {
                self.db.prune()?;
                self.check_readers()
            }
            Op::Reopen => self.reopen(),
        }
    }

    fn writer(&mut self, slot: u8) -> Option<&mut (Write<F>, Txn)> {
        self.writers.get_mut(usize::from(slot))?.as_mut()
    }

    fn take_writer(&mut self, slot: u8) -> Option<(Write<F>, Txn)> {
        self.writers.get_mut(usize::from(slot))?.take()
    }

    fn writers_open(&self) -> bool {
        self.writers.iter().any(Option::is_some)
    }

    /// A version's number: one that exists, or near one.
    fn version(&self, n: u8) -> u64 {
        let numbers: Vec<_> = self.model.versions.keys().copied().collect();
        match usize::from(n).checked_rem(numbers.len() + 1) {
            Some(i) => numbers.get(i).copied().unwrap_or(u64::from(n) % 3 * 7),
            None => 0,
        }
    }

    fn begin(&mut self, slot: u8, flavour: Flavour) -> CaseResult {
        if self.writer(slot).is_some() {
            return Ok(());
        }
        let options = match flavour {
            Flavour::Serializable => TxnOptions::new(),
            Flavour::Snapshot => TxnOptions::new().isolation(Isolation::Snapshot),
            Flavour::Blind => TxnOptions::new().write_conflicts(WriteConflicts::Ignore),
        };
        let reads = !matches!(flavour, Flavour::Snapshot);
        let writes = !matches!(flavour, Flavour::Blind);
        let began = (self.db.begin_write_with(&options)?, self.model.begin(reads, writes));
        let (ts, last) = (began.0.read_ts().get(), self.model.last_ts());
        crate::check::holds(ts >= last, format!("it reads at {ts}, and {last} is committed"))?;
        if let Some(place) = self.writers.get_mut(usize::from(slot)) {
            *place = Some(began);
        }
        Ok(())
    }

    fn get(&mut self, slot: u8, key: &Key) -> CaseResult {
        let Some((txn, model)) = self.writer(slot) else { return Ok(()) };
        if !is_key(key) {
            return refused("a get out of limits", txn.get(key), ErrorKind::Invalid).map(drop);
        }
        let got = txn.get(key)?.map(|v| text(&v));
        same(format!("get {}", short(key)), got, model.view().get(key).map(|v| text(v)))?;
        if model.validates_reads && !model.writes.contains_key(key) {
            model.keys_read.insert(key.clone());
        }
        Ok(())
    }

    fn view(&mut self, slot: u8, key: &Key) -> CaseResult {
        let Some((txn, model)) = self.writer(slot) else { return Ok(()) };
        if !is_key(key) {
            return Ok(());
        }
        let got = txn.snapshot_reads().get(key)?.map(|v| text(&v));
        same(format!("view {}", short(key)), got, model.view().get(key).map(|v| text(v)))
    }

    fn write(&mut self, slot: u8, key: &Key, value: Option<u8>) -> CaseResult {
        let Some((txn, model)) = self.writer(slot) else { return Ok(()) };
        let value = value.map(self::value);
        let wrote = match &value {
            Some(value) => txn.put(key, value.clone()),
            None => txn.delete(key),
        };
        if !is_key(key) {
            return refused("a write out of limits", wrote, ErrorKind::Invalid).map(drop);
        }
        wrote?;
        model.writes.insert(key.clone(), value);
        Ok(())
    }

    fn commit(&mut self, slot: u8) -> CaseResult {
        let Some((txn, model)) = self.take_writer(slot) else { return Ok(()) };
        let outcome = txn.commit();
        if model.writes.is_empty() && model.marks.is_empty() {
            return same("an empty commit", outcome?.commit_ts, None);
        }
        if self.model.loses(&model) {
            return refused("a commit that must lose", outcome, ErrorKind::Conflict).map(drop);
        }
        match outcome {
            Ok(info) => self.committed(info, model.writes, model.marks),
            Err(e) => Err(Failure::new(format!("a commit that must win: {e}"))),
        }
    }

    fn committed(&mut self, info: CommitInfo, writes: Writes, marks: Vec<Part>) -> CaseResult {
        let Some(ts) = info.commit_ts.map(Timestamp::get) else {
            return Err(Failure::new("a commit without a timestamp"));
        };
        let last = self.model.last_ts();
        crate::check::holds(ts > last, format!("{ts} is above {last}, the last commit"))?;
        self.model.commit(ts, writes, marks);
        let head = self.model.head();
        whole(&self.db.begin_read()?, &head, "the head after a commit")
    }

    fn save(&mut self, n: u8, open: bool) -> CaseResult {
        let last = self.model.versions.keys().next_back().copied().unwrap_or(0);
        // 0 asks for the next, 1 for one at or below the last, others leave a gap.
        let (number, want) = match n {
            0 => (None, last + 1),
            1 => (Some(last), last),
            n => (Some(last + u64::from(n)), last + u64::from(n)),
        };
        let mut options = SaveOptions::new();
        options.number = number.map(Version::new);
        options.with_open_writers = open;
        let saved = self.db.save_version_with(options);
        if self.writers_open() && !open {
            return match saved {
                Err(e) if e.kind() == ErrorKind::OpenTransactions => Ok(()),
                Err(e) if n == 1 && e.kind() == ErrorKind::InvalidVersion => Ok(()),
                saved => Err(Failure::new(format!("saved with a writer open: {saved:?}"))),
            };
        }
        if n == 1 {
            return refused("a number not above the last", saved, ErrorKind::InvalidVersion)
                .map(drop);
        }
        same("the number", saved?.get(), want)?;
        let Some(info) = self.db.versions()?.get(Version::new(want)) else {
            return Err(Failure::new("the version is not in the set"));
        };
        let (ts, last) = (info.commit_ts.get(), self.model.last_ts());
        crate::check::holds(ts > last, format!("the save at {ts} is above {last}"))?;
        let state = self.model.head();
        self.model.versions.insert(want, Saved { ts, state });
        self.model.commit(ts, Writes::new(), Vec::new());
        Ok(())
    }

    fn revert(&mut self, to: Option<u64>) -> CaseResult {
        let outcome = match to {
            Some(v) => self.db.revert_to(Version::new(v)),
            None => self.db.revert(),
        };
        let exists = to.is_none_or(|v| self.model.versions.contains_key(&v));
        if self.writers_open() || !exists {
            let kind = outcome.as_ref().map_err(|e| e.kind()).err();
            let open = kind == Some(ErrorKind::OpenTransactions) && self.writers_open();
            let missing = kind == Some(ErrorKind::VersionNotFound) && !exists;
            return crate::check::holds(open || missing, format!("it is refused, not {outcome:?}"));
        }
        let target = match to {
            Some(v) => self.model.versions.get(&v),
            None => self.model.versions.values().next_back(),
        };
        let want = target.map(|saved| saved.state.clone()).unwrap_or_default();
        let all = Part::of(&(Bound::Unbounded, Bound::Unbounded));
        let writes = self.model.writes_to(&want, &all);
        if let Some(v) = to {
            self.model.versions.retain(|n, _| *n <= v);
        }
        self.committed(outcome?, writes, Vec::new())?;
        self.check_versions()
    }

    fn restore(&mut self, v: u64, span: &Span) -> CaseResult {
        let outcome = self.db.restore(Version::new(v), bounds(span).into());
        let Some(saved) = self.model.versions.get(&v) else {
            return unknown("restoring it", outcome);
        };
        let writes = self.model.writes_to(&saved.state.clone(), &Part::of(&bounds(span)));
        match writes.is_empty() {
            true => same("a restore of nothing", outcome?.commit_ts, None),
            false => self.committed(outcome?, writes, Vec::new()),
        }
    }

    /// Number 0 is the head here.
    fn diff(&self, a: u64, b: u64, span: &Span) -> CaseResult {
        let state = |v: u64| match v {
            0 => Some(self.model.head()),
            v => self.model.versions.get(&v).map(|saved| saved.state.clone()),
        };
        let at = |v: u64| if v == 0 { At::Head } else { At::Version(Version::new(v)) };
        let diff = self.db.diff(at(a), at(b), bounds(span).into());
        let (Some(from), Some(to)) = (state(a), state(b)) else {
            return unknown("comparing it", diff.map(drop));
        };
        let part = Part::of(&bounds(span));
        let mut keys: Vec<_> = from.keys().chain(to.keys()).filter(|k| part.holds(k)).collect();
        keys.sort();
        keys.dedup();
        keys.retain(|k| from.get(*k) != to.get(*k));
        let shown = |v: Option<&[u8]>| v.map(text);
        let want: Vec<_> = keys
            .into_iter()
            .map(|k| {
                (short(k), shown(from.get(k).map(|v| &v[..])), shown(to.get(k).map(|v| &v[..])))
            })
            .collect();
        let got: Result<Vec<_>> = diff?
            .map(|d| {
                d.map(|d| (short(&d.key), shown(d.before.as_deref()), shown(d.after.as_deref())))
            })
            .collect();
        same("the difference", got?, want)
    }

    fn as_of(&self, n: u8) -> CaseResult {
        let i = usize::from(n).checked_rem(self.model.commits.len());
        let Some(commit) = i.and_then(|i| self.model.commits.get(i)) else { return Ok(()) };
        // Deleting a version takes a timestamp too, so the head may be above.
        let head = self.db.begin_read()?.read_ts();
        let read = self.db.read_as_of(Timestamp::new(commit.ts));
        let pinned = self.model.versions.values().any(|saved| saved.ts == commit.ts);
        match read {
            Ok(txn) => whole(&txn, &commit.state, "the state as of a timestamp"),
            Err(e) if !self.mode.history && !pinned && commit.ts < head.get() => {
                same("the refusal", e.kind(), ErrorKind::HistoryPruned)
            }
            Err(e) => Err(Failure::new(format!("as of {}, which is kept: {e}", commit.ts))),
        }
    }

    fn changes(&self, a: u8, b: u8) -> CaseResult {
        let ts = |n: u8| {
            let i = usize::from(n).checked_rem(self.model.commits.len())?;
            self.model.commits.get(i).map(|c| c.ts)
        };
        let (Some(from), Some(to)) = (ts(a), ts(b)) else { return Ok(()) };
        let changes = match self.db.changes(Timestamp::new(from), Timestamp::new(to)) {
            Ok(changes) => changes,
            Err(e) if !self.mode.history => {
                return same("the refusal", e.kind(), ErrorKind::HistoryPruned);
            }
            Err(e) => return Err(e.into()),
        };
        let got: Result<Vec<_>> = changes
            .map(|c| {
                c.map(|c| {
                    let writes =
                        c.writes.into_iter().map(|(k, v)| (short(&k), v.map(|v| text(&v))));
                    (c.commit_ts.get(), writes.collect::<Vec<_>>())
                })
            })
            .collect();
        let got: Vec<_> = got?.into_iter().filter(|(_, writes)| !writes.is_empty()).collect();
        let inside = self.model.commits.iter().filter(|c| from < c.ts && c.ts <= to);
        let want: Vec<_> = inside
            .filter(|c| !c.writes.is_empty())
            .map(|c| {
                let writes = c.writes.iter();
                let writes = writes.map(|(k, v)| (short(k), v.as_ref().map(|v| text(v))));
                (c.ts, writes.collect::<Vec<_>>())
            })
            .collect();
        same(format!("the changes after {from} up to {to}"), got, want)
    }

    fn reopen(&mut self) -> CaseResult {
        if !self.mode.reopens {
            return Ok(());
        }
        self.writers = [None, None, None];
        self.readers = [None, None, None];
        self.db.close()?;
        self.db = open(self.cx, self.mode)?;
        self.check_all()
    }

    fn check_readers(&self) -> CaseResult {
        for (txn, state) in self.readers.iter().flatten() {
            whole(txn, state, "an open reader")?;
        }
        for (txn, model) in self.writers.iter().flatten() {
            whole(&txn.snapshot_reads(), &model.view(), "an open writer")?;
        }
        Ok(())
    }

    fn check_versions(&self) -> CaseResult {
        let set = self.db.versions()?;
        let got: Vec<_> = set.iter().map(|v| (v.version.get(), v.commit_ts.get())).collect();
        let want: Vec<_> = self.model.versions.iter().map(|(n, saved)| (*n, saved.ts)).collect();
        same("the versions", got, want)
    }

    fn check_all(&self) -> CaseResult {
        whole(&self.db.begin_read()?, &self.model.head(), "the head")?;
        self.check_readers()?;
        self.check_versions()?;
        for (n, saved) in &self.model.versions {
            let txn = self.db.read_at(Version::new(*n))?;
            whole(&txn, &saved.state, &format!("version {n}"))?;
        }
        Ok(())
    }
}

/// The value of this number: one in eight is empty.
fn value(n: u8) -> Vec<u8> {
    if n.is_multiple_of(8) { Vec::new() } else { format!("v{n}").into_bytes() }
}

fn is_key(key: &[u8]) -> bool {
    !key.is_empty() && key.len() <= vellum_core::MAX_KEY_LEN
}

fn unknown<T>(what: &str, outcome: Result<T>) -> CaseResult {
    refused(what, outcome, ErrorKind::VersionNotFound).map(drop)
}
