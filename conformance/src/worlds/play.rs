//! One interleaving, played on a database and on the oracle side by side.

use vellum_core::{
    Bytes, CommitInfo, Connection, ConnectionExt, Error, ErrorKind, Isolation, KeyRange, ReadTxn,
    Result, SaveOptions, TxnOptions, Version, VersionSet, WriteConflicts, WriteTxn,
};

use super::op::{
    Act, Cell, Drive, FOREIGN, KEYS, Key, Kind, Op, Script, Span, World, incremented, key_bytes,
    letter, place, put_value,
};
use super::oracle::{Call, Committed, Items, Oracle, State, Verdict, is_serializable};
use super::seen::{Right, Seen, Step, Wrong, digest, right_call, show, show_call, show_places};
use super::serial;

enum Handle<C: Connection> {
    Write(C::Write),
    Read(C::Read),
}

/// A world on a database, step by step.
pub(super) struct Play<'a, C: Connection> {
    db: &'a C,
    world: &'a World,
    base: u32,
    oracle: Oracle,
    handles: Vec<Option<Handle<C>>>,
    pub(super) steps: Vec<Step>,
    /// The newest timestamp that the database told.
    last_ts: u64,
    right: Right,
}

impl<'a, C: Connection> Play<'a, C> {
    /// `base` begins every key; nothing with it or above was ever written.
    pub(super) fn new(db: &'a C, world: &'a World, base: u32) -> Self {
        Self {
            db,
            world,
            base,
            oracle: Oracle::new(world),
            handles: world.scripts.iter().map(|_| None).collect(),
            steps: Vec::with_capacity(16),
            last_ts: 0,
            right: Right::default(),
        }
    }

    /// Plays it to the end, and clears the versions away.
    pub(super) fn run(&mut self, schedule: &[u8]) -> Result<Right, Wrong> {
        self.set_up()?;
        let mut next = [0usize; 8];
        for who in schedule.iter().copied().map(usize::from) {
            let (Some(script), Some(n)) = (self.world.scripts.get(who), next.get_mut(who)) else {
                continue;
            };
            let seen = self.step(who, script, *n)?;
            self.note(&seen);
            self.steps.push(Step { who, n: *n, seen });
            *n += 1;
        }
        self.finish()
    }

    fn set_up(&mut self) -> Result<(), Wrong> {
        if self.world.initial != 0 {
            let mut txn = self.db.begin_write()?;
            for (key, cell) in self.oracle.head.items() {
                txn.put(&key_bytes(self.base, key), value(cell))?;
            }
            self.last_ts = txn.commit()?.commit_ts.map_or(0, |ts| ts.get());
        }
        if self.world.has_versions() {
            let number = self.db.save_version()?.get();
            if number != 1 {
                return Err(Wrong::new(number.to_string(), "1", "no version is saved (V1)"));
            }
        }
        Ok(())
    }

    fn note(&mut self, seen: &Seen) {
        self.right.digest = digest(self.right.digest, seen);
    }

    fn step(&mut self, who: usize, script: &Script, n: usize) -> Result<Seen, Wrong> {
        match script {
            Script::Act(act) => self.act(who, *act),
            Script::Txn { kind, .. } if n == 0 => self.begin(who, *kind),
            Script::Txn { .. } if !self.oracle.is_open(who) => Ok(Seen::Skipped),
            Script::Txn { ops, commits, .. } => match ops.get(n - 1) {
                Some(op) => self.op(who, n - 1, *op),
                None if *commits => self.commit(who),
                None => Ok(self.discard(who)),
            },
        }
    }

    fn begin(&mut self, who: usize, kind: Kind) -> Result<Seen, Wrong> {
        let options = TxnOptions::new();
        let began = match kind {
            Kind::Serializable => self.db.begin_write_with(&options).map(Handle::Write),
            Kind::Snapshot => {
                self.db.begin_write_with(&options.isolation(Isolation::Snapshot)).map(Handle::Write)
            }
            Kind::Blind => self
                .db
                .begin_write_with(&options.write_conflicts(WriteConflicts::Ignore))
                .map(Handle::Write),
            Kind::Reader => self.db.begin_read().map(Handle::Read),
            Kind::ReaderAt(number) => self.db.read_at(Version::new(number)).map(Handle::Read),
        };
        let exists = self.oracle.begin(who, kind);
        let handle: Handle<C> = match began {
            Err(e) if !exists && e.kind() == ErrorKind::VersionNotFound => {
                return Ok(Seen::Refused(ErrorKind::VersionNotFound));
            }
            Ok(_) if !exists => {
                return Err(Wrong::new(
                    "success",
                    "VersionNotFound",
                    "there is no such version (V3)",
                ));
            }
            began => began?,
        };
        let read_ts = match &handle {
            Handle::Write(txn) => txn.read_ts().get(),
            Handle::Read(txn) => txn.read_ts().get(),
        };
        if read_ts < self.last_ts && !matches!(kind, Kind::ReaderAt(_)) {
            let want = format!("{} or above", self.last_ts);
            let why = "the commit at that timestamp returned before (T6)";
            return Err(Wrong::new(format!("read timestamp {read_ts}"), want, why));
        }
        if let Some(slot) = self.handles.get_mut(who) {
            *slot = Some(handle);
        }
        Ok(Seen::Done)
    }

    fn op(&mut self, who: usize, n: usize, op: Op) -> Result<Seen, Wrong> {
        let base = self.base;
        let Some(Some(handle)) = self.handles.get_mut(who) else { return Ok(Seen::Skipped) };
        let bytes = |key: Key| key_bytes(base, key);
        let seen = match (op, &mut *handle) {
            (Op::Get(key), Handle::Read(txn)) => Seen::Value(cell(txn.get(&bytes(key))?.as_ref())),
            (Op::Get(key), Handle::Write(txn)) => Seen::Value(cell(txn.get(&bytes(key))?.as_ref())),
            (Op::Range(span, drive), Handle::Read(txn)) => range(txn, base, span, drive)?,
            (Op::Range(span, drive), Handle::Write(txn)) => range(txn, base, span, drive)?,
            (Op::View(key), Handle::Write(txn)) => {
                Seen::Value(cell(txn.snapshot_reads().get(&bytes(key))?.as_ref()))
            }
            (Op::Put(key), Handle::Write(txn)) => {
                txn.put(&bytes(key), value(put_value(who, n)))?;
                Seen::Done
            }
            (Op::Delete(key), Handle::Write(txn)) => {
                txn.delete(&bytes(key))?;
                Seen::Done
            }
            (Op::Increment(key), Handle::Write(txn)) => {
                let read = cell(txn.get(&bytes(key))?.as_ref());
                txn.put(&bytes(key), value(incremented(who, n, read)))?;
                Seen::Value(read)
            }
            (Op::MarkRead(span), Handle::Write(txn)) => {
                txn.mark_read(span.bounds(base))?;
                Seen::Done
            }
            (Op::MarkWritten(span), Handle::Write(txn)) => {
                txn.mark_written(span.bounds(base))?;
                Seen::Done
            }
            (_, Handle::Read(_)) => Seen::Skipped,
        };
        let want = self.expected(who, n, op);
        if seen == want || seen == Seen::Skipped {
            return Ok(seen);
        }
        let why =
            "the transaction reads the state it began on, and its own writes over it (T1, T2)";
        Err(Wrong::new(show(&seen), show(&want), why))
    }

    fn expected(&mut self, who: usize, n: usize, op: Op) -> Seen {
        match op {
            Op::Get(key) => return Seen::Value(self.oracle.get(who, key, true)),
            Op::View(key) => return Seen::Value(self.oracle.get(who, key, false)),
            Op::Range(span, drive) => return Seen::Items(self.oracle.range(who, span, drive)),
            Op::Increment(key) => {
                let read = self.oracle.get(who, key, true);
                self.oracle.write(who, key, incremented(who, n, read));
                return Seen::Value(read);
            }
            Op::Put(key) => self.oracle.write(who, key, put_value(who, n)),
            Op::Delete(key) => self.oracle.write(who, key, 0),
            Op::MarkRead(span) => self.oracle.mark_read(who, span),
            Op::MarkWritten(span) => self.oracle.mark_written(who, span),
        }
        Seen::Done
    }

    fn commit(&mut self, who: usize) -> Result<Seen, Wrong> {
        let handle = self.handles.get_mut(who).and_then(Option::take);
        let Some(Handle::Write(txn)) = handle else {
            // A reader commits by being dropped.
            drop(handle);
            self.oracle.end(who);
            return Ok(Seen::Committed(None));
        };
        let read_ts = txn.read_ts().get();
        let outcome = txn.commit();
        let verdict = self.oracle.verdict(who);
        match (&verdict, outcome) {
            (Verdict::Empty, Ok(CommitInfo { commit_ts: None, .. })) => {
                self.oracle.end(who);
                Ok(Seen::Committed(None))
            }
            (Verdict::Wins, Ok(CommitInfo { commit_ts: Some(ts), .. })) => {
                self.newer(ts.get())?;
                self.oracle.commit(who, ts.get());
                self.right.commits += 1;
                Ok(Seen::Committed(Some(ts.get())))
            }
            (Verdict::Loses(to), Err(e)) if e.kind() == ErrorKind::Conflict => {
                self.explained(&e, read_ts, to)?;
                self.oracle.end(who);
                self.right.conflicts += 1;
                Ok(Seen::Refused(ErrorKind::Conflict))
            }
            (_, outcome) => Err(self.wrong_commit(&verdict, outcome)),
        }
    }

    fn wrong_commit(&self, verdict: &Verdict, outcome: Result<CommitInfo>) -> Wrong {
        let unstamped = matches!(outcome, Ok(CommitInfo { commit_ts: None, .. }));
        let got = match outcome {
            Ok(CommitInfo { commit_ts: Some(ts), .. }) => format!("a commit at {ts}"),
            Ok(_) => "a commit without a timestamp".to_owned(),
            Err(e) => e.to_string(),
        };
        let (want, why) = match verdict {
            Verdict::Wins if unstamped => {
                ("a commit with a timestamp", "it wrote something, or declared it".to_owned())
            }
            Verdict::Empty => ("a commit without a timestamp", "it wrote nothing (T7)".to_owned()),
            Verdict::Wins => (
                "a commit",
                "nothing that it observed or writes was written by a commit since it began (I4)"
                    .to_owned(),
            ),
            Verdict::Loses(to) => {
                let by = to.iter().map(|(n, at)| {
                    let by = self.oracle.commits.get(*n).map_or('?', |c| letter(c.by));
                    format!("{by} committed since it began and wrote {}", show_places(*at))
                });
                let by: Vec<_> = by.collect();
                let why = format!("{}, which it observed or writes (I1, I2)", by.join("; "));
                ("a conflict", why)
            }
        };
        Wrong::new(got, want, why)
    }

    /// Timestamps grow in commit order.
    fn newer(&mut self, ts: u64) -> Result<(), Wrong> {
        if ts <= self.last_ts {
            let want = format!("above {}", self.last_ts);
            let why = "timestamps grow strictly in commit order (T6)";
            return Err(Wrong::new(format!("commit timestamp {ts}"), want, why));
        }
        self.last_ts = ts;
        Ok(())
    }

    /// A conflict says what happened (I8).
    fn explained(&self, e: &Error, read_ts: u64, to: &[(usize, u8)]) -> Result<(), Wrong> {
        let why = "a conflict says which key, and who won (I8)";
        let Some(info) = e.conflict() else {
            return Err(Wrong::new(e.to_string(), "a conflict with its details", why));
        };
        let commit = |n: &usize| self.oracle.commits.get(*n).copied();
        let named = |c: Committed| c.ts == info.commit_ts.get() || c.ts == 0;
        let winner = to.iter().any(|(n, _)| commit(n).is_some_and(named));
        let bytes = |k: Key| info.key == key_bytes(self.base, k)[..];
        let lost = |k: Key| to.iter().any(|(_, at)| at & place(k) != 0);
        // Where a declared range won, the key named is that range's start.
        let key = (0..KEYS).any(|k| bytes(k) && lost(k)) || self.world.scripts.iter().any(marks);
        if winner && key && info.read_ts.get() == read_ts {
            return Ok(());
        }
        let want = format!("one that names the winner and the read timestamp {read_ts}");
        Err(Wrong::new(e.to_string(), want, why))
    }

    fn discard(&mut self, who: usize) -> Seen {
        match self.handles.get_mut(who).and_then(Option::take) {
            // Dropping must do the same.
            Some(Handle::Write(txn)) if self.base.is_multiple_of(2) => drop(txn),
            Some(Handle::Write(txn)) => txn.discard(),
            read => drop(read),
        }
        self.oracle.end(who);
        Seen::Done
    }

    fn act(&mut self, who: usize, act: Act) -> Result<Seen, Wrong> {
        let all = || KeyRange::from(Span::All.bounds(self.base));
        let (want, got) = match act {
            Act::Save => (self.oracle.save(false), self.db.save_version().map(saved)),
            Act::SaveAmongWriters => {
                let options = SaveOptions::new().with_open_writers();
                (self.oracle.save(true), self.db.save_version_with(options).map(saved))
            }
            Act::DeleteVersion(n) => {
                let got = self.db.delete_version(n).map(|()| Seen::Done);
                (self.oracle.delete_version(n), got)
            }
            Act::Revert => (self.oracle.revert(who, None), self.db.revert().map(commit)),
            Act::RevertTo(n) => {
                let got = self.db.revert_to(Version::new(n)).map(commit);
                (self.oracle.revert(who, Some(n)), got)
            }
            Act::Restore(n) => {
                let got = self.db.restore(Version::new(n), all()).map(commit);
                (self.oracle.restore(who, n), got)
            }
            Act::Prune => (Call::Fine, self.db.prune().map(|_| Seen::Done)),
            Act::ReadAt(n) => {
                let txn = self.db.read_at(Version::new(n));
                let got = txn.and_then(|txn| range(&txn, self.base, Span::All, Drive::Forward));
                (self.oracle.read_at(n), got)
            }
        };
        let got = match got {
            Ok(seen) => seen,
            Err(e) => Seen::Refused(e.kind()),
        };
        self.right.refused += u64::from(matches!(got, Seen::Refused(_)));
        if let Seen::Committed(Some(ts)) = got {
            self.newer(ts)?;
            self.oracle.stamp(who, ts);
        }
        match right_call(want, &got) {
            true => Ok(got),
            false => Err(Wrong::new(show(&got), show_call(want), "V1 to V6 say so")),
        }
    }

    /// What stands in the end, and whether it could have come about serially.
    fn finish(&mut self) -> Result<Right, Wrong> {
        self.handles.clear();
        let head = self.oracle.head;
        let got = range(&self.db.begin_read()?, self.base, Span::All, Drive::Forward)?;
        let want = Seen::Items(super::oracle::items(&head, Span::All, Drive::Forward));
        if got != want {
            let why = "the head is what the commits wrote, in their order";
            return Err(Wrong::new(show(&got), show(&want), why));
        }
        self.note(&got);
        if self.world.has_versions() {
            self.finish_versions()?;
        } else {
            self.judge(&head)?;
        }
        Ok(self.right)
    }

    /// Each version is what was saved, to the end; then they are cleared away.
    fn finish_versions(&mut self) -> Result<(), Wrong> {
        let set = self.db.versions()?;
        let got: Vec<_> = set.iter().map(|v| v.version.get()).collect();
        let want: Vec<_> = self.oracle.versions.iter().map(|(n, _)| *n).collect();
        if got != want {
            let why = "these were saved and not deleted (V1, V5, V6)";
            return Err(Wrong::new(format!("versions {got:?}"), format!("{want:?}"), why));
        }
        for (number, state) in &self.oracle.versions {
            let txn = self.db.read_at(Version::new(*number))?;
            let got = range(&txn, self.base, Span::All, Drive::Reverse)?;
            let want = Seen::Items(super::oracle::items(state, Span::All, Drive::Reverse));
            if got != want {
                let why = format!("version {number} is the state at its save (V3)");
                return Err(Wrong::new(show(&got), show(&want), why));
            }
        }
        let all: Vec<_> = want.into_iter().map(Version::new).collect();
        self.db.delete_versions(&all)?;
        Ok(())
    }

    fn judge(&mut self, head: &State) -> Result<(), Wrong> {
        if serial::order(self.world, &self.steps, head).is_some() {
            return Ok(());
        }
        if is_serializable(self.world) {
            let want = "what some serial order of the commits shows";
            let why = "no order of them that respects real time does (I1)";
            return Err(Wrong::new("all of the above", want, why));
        }
        self.right.skew = true;
        self.right.reader_anomaly = serial::explains_writers(self.world, &self.steps, head);
        Ok(())
    }
}

fn marks(script: &Script) -> bool {
    let Script::Txn { ops, .. } = script else { return false };
    ops.iter().any(|op| matches!(op, Op::MarkWritten(_)))
}

fn value(cell: Cell) -> Bytes {
    Bytes::copy_from_slice(&cell.to_be_bytes())
}

fn cell(value: Option<&Bytes>) -> Cell {
    let Some(value) = value else { return 0 };
    <[u8; 2]>::try_from(&value[..]).map_or(FOREIGN, Cell::from_be_bytes)
}

/// Drives a range.
fn range(txn: &impl ReadTxn, base: u32, span: Span, drive: Drive) -> Result<Seen> {
    let mut range = txn.range(span.bounds(base));
    let mut items = Items::new();
    // One that does not end is cut.
    while let Some(back) = drive.pull(items.len()).filter(|_| items.len() < 9) {
        let item = if back { range.next_back() } else { range.next() };
        let Some((key, value)) = item.transpose()? else {
            items.push(None);
            break;
        };
        let key = (0..KEYS).find(|k| key == key_bytes(base, *k)[..]).unwrap_or(KEYS);
        items.push(Some((key, cell(Some(&value)))));
    }
    Ok(Seen::Items(items))
}

fn saved(version: Version) -> Seen {
    Seen::Saved(version.get())
}

fn commit(info: CommitInfo) -> Seen {
    Seen::Committed(info.commit_ts.map(|ts| ts.get()))
}
