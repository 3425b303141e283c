//! Connections that are wrong.

use std::fmt;
use std::sync::Arc;

use vellum_core::{
    At, Changes, CommitInfo, CommittedWrites, Connection, ConnectionExt, Diff, DiffEntry, Error,
    ErrorKind, Isolation, KeyRange, Metadata, PruneReport, ReadTxn, Result, SaveOptions, Stats,
    Timestamp, TxnOptions, VerifyReport, Version, VersionInfo, VersionSet, WatchHub, Watcher,
    WriteConflicts, WriteTxn,
};

use super::{BrokenRead, BrokenWrite, Fault, Shared};

/// A connection that does one thing wrong.
pub struct BrokenConnection<C: Connection> {
    pub(super) db: C,
    pub(super) fault: Fault,
    pub(super) shared: Arc<Shared<C>>,
}

impl<C: Connection> Clone for BrokenConnection<C> {
    fn clone(&self) -> Self {
        Self { db: self.db.clone(), fault: self.fault, shared: self.shared.clone() }
    }
}

impl<C: Connection> fmt::Debug for BrokenConnection<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokenConnection").field("fault", &self.fault).finish_non_exhaustive()
    }
}

/// The versions of a [`BrokenConnection`].
pub struct BrokenVersions<C: Connection> {
    set: C::Versions,
    db: C,
    fault: Fault,
    after_reopen: bool,
}

impl<C: Connection> Clone for BrokenVersions<C> {
    fn clone(&self) -> Self {
        let (set, db) = (self.set.clone(), self.db.clone());
        Self { set, db, fault: self.fault, after_reopen: self.after_reopen }
    }
}

impl<C: Connection> BrokenVersions<C> {
    fn all(&self) -> Vec<VersionInfo> {
        let live = (self.fault == Fault::VersionSetLive).then(|| self.db.versions().ok()).flatten();
        let mut all: Vec<_> = live.as_ref().unwrap_or(&self.set).iter().collect();
        let first = all.first().map(|v| v.commit_ts);
        for info in &mut all {
            match self.fault {
                Fault::VersionTimestampsEqual => info.commit_ts = first.unwrap_or(info.commit_ts),
                Fault::MetadataLost => info.metadata = Metadata::new(),
                Fault::MetadataLostAfterReopen if self.after_reopen => {
                    info.metadata = Metadata::new();
                }
                Fault::MetadataCut => {
                    if let Some(message) = &mut info.metadata.message {
                        *message = message.chars().take(100).collect();
                    }
                }
                Fault::VersionTimestampRepeats => {
                    info.commit_ts = Timestamp::new(info.version.get());
                }
                _ => {}
            }
        }
        if self.fault == Fault::VersionSetUnsorted {
            all.reverse();
        }
        all
    }
}

impl<C: Connection> VersionSet for BrokenVersions<C> {
    fn len(&self) -> usize {
        self.all().len()
    }

    fn get(&self, version: Version) -> Option<VersionInfo> {
        self.all().into_iter().find(|v| v.version == version)
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = VersionInfo> + Send + '_ {
        self.all().into_iter()
    }
}

impl<C: Connection> PartialEq for BrokenVersions<C> {
    fn eq(&self, other: &Self) -> bool {
        self.all() == other.all()
    }
}

impl<C: Connection> fmt::Debug for BrokenVersions<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all()).finish()
    }
}

impl<C: Connection> BrokenConnection<C> {
    fn read(&self, txn: C::Read, at_head: bool) -> BrokenRead<C> {
        let (db, fault, shared) = (self.db.clone(), self.fault, self.shared.clone());
        BrokenRead { txn, db, fault, shared, at_head }
    }

    /// Puts one key back that a revert had taken away.
    fn revert_by(&self, to: At, revert: impl Fn() -> Result<CommitInfo>) -> Result<CommitInfo> {
        let gone = match self.db.diff(to, At::Head, KeyRange::all()) {
            Ok(diff) => diff.flatten().find(|d| d.before.is_none()),
            Err(_) => None,
        };
        let info = revert()?;
        if let Some(DiffEntry { key, after: Some(value), .. }) = gone {
            let mut txn = self.db.begin_write()?;
            txn.put(&key, value)?;
            return txn.commit();
        }
        Ok(info)
    }

    fn versions_above(&self, version: Version) -> Result<Vec<Version>> {
        let above = |v: VersionInfo| Some(v.version).filter(|v| *v > version);
        Ok(self.db.versions()?.iter().filter_map(above).collect())
    }
}

impl<C: Connection> Connection for BrokenConnection<C> {
    type Read = BrokenRead<C>;
    type Write = BrokenWrite<C>;
    type Versions = BrokenVersions<C>;

    fn begin_read(&self) -> Result<Self::Read> {
        let fresh = self.db.begin_read()?;
        if self.fault == Fault::StaleRead {
            let next = self.db.begin_read()?;
            let stale = self.shared.lock().stale.replace(next);
            return Ok(self.read(stale.unwrap_or(fresh), true));
        }
        Ok(self.read(fresh, true))
    }

    fn read_at(&self, version: Version) -> Result<Self::Read> {
        let head = || self.db.begin_read().map(|txn| self.read(txn, false));
        match (self.fault, self.db.read_at(version)) {
            (Fault::VersionReadsHead, Ok(_)) => head(),
            (Fault::VersionMadeUp, Err(e)) if e.kind() == ErrorKind::VersionNotFound => head(),
            (Fault::VersionHidden, Ok(_)) if self.db.stats()?.open_writes > 0 => {
                Err(Error::new(ErrorKind::VersionNotFound, "it is there all the same"))
            }
            (_, txn) => Ok(self.read(txn?, false)),
        }
    }

    fn read_as_of(&self, ts: Timestamp) -> Result<Self::Read> {
        let head = || self.db.begin_read().map(|txn| self.read(txn, false));
        match (self.fault, self.db.read_as_of(ts)) {
            (Fault::AsOfReadsHead, Ok(_)) => head(),
            (Fault::AsOfAboveHead, Err(e)) if e.kind() == ErrorKind::Invalid => head(),
            (Fault::AsOfKeptRefused, Ok(txn)) if ts < self.db.begin_read()?.read_ts() => {
                drop(txn);
                Err(Error::new(ErrorKind::HistoryPruned, "it is kept all the same"))
            }
            (_, txn) => Ok(self.read(txn?, false)),
        }
    }

    fn begin_write_with(&self, options: &TxnOptions) -> Result<Self::Write> {
        let mut o = *options;
        let serializable = o.isolation == Isolation::Serializable;
        match self.fault {
            Fault::LostUpdate if serializable => {
                o = o.isolation(Isolation::Snapshot).write_conflicts(WriteConflicts::Ignore);
            }
            Fault::WriteSkew => o = o.isolation(Isolation::Snapshot),
            Fault::WriteWriteMissed => o = o.write_conflicts(WriteConflicts::Ignore),
            Fault::BlindWritesConflict => o = o.write_conflicts(WriteConflicts::Detect),
            Fault::IgnoreSkipsReads if o.write_conflicts == WriteConflicts::Ignore => {
                o = o.isolation(Isolation::Snapshot);
            }
            Fault::SnapshotValidatesReads => o = o.isolation(Isolation::Serializable),
            Fault::AloneIgnored => o.alone_for = None,
            _ => {}
        }
        let needs_base = matches!(
            self.fault,
            Fault::OwnWritesMissingInRanges | Fault::OwnWritesMissingInGets | Fault::OwnDeleteShown
        );
        let base = if needs_base { Some(self.db.begin_read()?) } else { None };
        let mut txn = match (self.fault, self.db.begin_write_with(&o)) {
            (_, Ok(txn)) => txn,
            (Fault::ClosedMisnamed, Err(e)) if e.kind() == ErrorKind::Closed => {
                return Err(Error::new(ErrorKind::Io, "something stood in the way"));
            }
            (_, Err(e)) => return Err(e),
        };
        if self.fault == Fault::FalseConflict {
            txn.mark_read(..)?;
        }
        Ok(BrokenWrite {
            txn: Some(txn),
            base,
            db: self.db.clone(),
            fault: self.fault,
            shared: self.shared.clone(),
            writes: std::collections::BTreeMap::new(),
            rewritten: Vec::new(),
            called_out_of_limits: false,
        })
    }

    fn versions(&self) -> Result<Self::Versions> {
        let (set, db, fault) = (self.db.versions()?, self.db.clone(), self.fault);
        let after_reopen = self.shared.lock().opened > 1;
        Ok(BrokenVersions { set, db, fault, after_reopen })
    }

    fn save_version_with(&self, mut options: SaveOptions) -> Result<Version> {
        match self.fault {
            Fault::SaveAmongWriters => options.with_open_writers = true,
            Fault::SaveWaitsForReaders if self.db.stats()?.open_snapshots > 0 => {
                return Err(Error::new(ErrorKind::OpenTransactions, "a reader is open"));
            }
            Fault::NumbersSkip if options.number.is_none() => {
                let last = self.db.versions()?.last().map_or(0, |v| v.version.get());
                options = options.number(last.saturating_add(2));
            }
            Fault::SaveAmongWritersRefused => options.with_open_writers = false,
            Fault::SaveChangesContents => {
                let mut txn = self.db.begin_write()?;
                txn.put(b"\x01saved", "now")?;
                txn.commit()?;
            }
            Fault::MetadataLimitUnchecked => {
                if let Some(message) = &mut options.metadata.message {
                    *message = message.chars().take(500_000).collect();
                }
            }
            _ => {}
        }
        match (self.fault, self.db.save_version_with(options)) {
            (Fault::AnyNumberAccepted, Err(e)) if e.kind() == ErrorKind::InvalidVersion => {
                self.db.save_version()
            }
            (Fault::SaveRefusalMisnamed, Err(e)) if e.kind() == ErrorKind::OpenTransactions => {
                Err(Error::new(ErrorKind::Io, "something stood in the way"))
            }
            (_, saved) => saved,
        }
    }

    fn delete_versions(&self, versions: &[Version]) -> Result<()> {
        match self.fault {
            Fault::DeleteIgnored => Ok(()),
            Fault::DeleteHarmsNeighbour => {
                self.db.delete_versions(versions)?;
                let lowest = versions.iter().min().copied();
                let mut below = self.db.versions()?.iter().map(|v| v.version).collect::<Vec<_>>();
                below.retain(|v| lowest.is_some_and(|lowest| *v < lowest));
                below.pop().map_or(Ok(()), |neighbour| self.db.delete_versions(&[neighbour]))
            }
            Fault::DeletePartial => {
                let set = self.db.versions()?;
                let known: Vec<_> = versions.iter().copied().filter(|v| set.contains(*v)).collect();
                self.db.delete_versions(&known)?;
                if known.len() < versions.len() {
                    self.db.delete_versions(versions)
                } else {
                    Ok(())
                }
            }
            Fault::DeleteWaitsForWriters if self.db.stats()?.open_writes > 0 => {
                Err(Error::new(ErrorKind::OpenTransactions, "a writer is open"))
            }
            _ => self.db.delete_versions(versions),
        }
    }

    fn revert(&self) -> Result<CommitInfo> {
        let last = self.db.versions()?.last().map(|v| v.version);
        match (self.fault, last) {
            (Fault::RevertLeavesKey, Some(last)) => {
                self.revert_by(last.into(), || self.db.revert())
            }
            (Fault::RevertDropsVersion, Some(last)) => {
                let info = self.db.revert()?;
                self.db.delete_version(last)?;
                Ok(info)
            }
            (Fault::RevertAmongWriters, Some(last)) => self.db.restore(last, KeyRange::all()),
            (Fault::RevertTimestampEarly, _) => self.db.revert().map(early),
            _ => self.db.revert(),
        }
    }

    fn revert_to(&self, version: Version) -> Result<CommitInfo> {
        match self.fault {
            Fault::RevertLeavesKey => self.revert_by(version.into(), || self.db.revert_to(version)),
            Fault::RevertKeepsVersions | Fault::RevertAmongWriters => {
                self.db.restore(version, KeyRange::all())
            }
            Fault::RevertToUnknown => match self.db.revert_to(version) {
                Err(e) if e.kind() == ErrorKind::VersionNotFound => Ok(CommitInfo::new(None)),
                outcome => outcome,
            },
            Fault::RevertTimestampEarly => self.db.revert_to(version).map(early),
            _ => self.db.revert_to(version),
        }
    }

    fn restore(&self, version: Version, range: KeyRange) -> Result<CommitInfo> {
        let info = match self.fault {
            Fault::RestoreIgnoresRange => self.db.restore(version, KeyRange::all())?,
            _ => self.db.restore(version, range)?,
        };
        if self.fault == Fault::RestoreDropsVersions {
            self.db.delete_versions(&self.versions_above(version)?)?;
        }
        Ok(if self.fault == Fault::RestoreTimestampEarly { early(info) } else { info })
    }

    fn diff(&self, from: At, to: At, range: KeyRange) -> Result<Diff> {
        let fault = self.fault;
        let asked = if fault == Fault::DiffIgnoresRange { KeyRange::all() } else { range.clone() };
        let diff = self.db.diff(from, to, asked)?;
        let same = match fault {
            Fault::DiffShowsUnchanged if from != to && !range.is_empty() => {
                let head = self.db.begin_read()?;
                let first = head.range(range).flatten().next();
                first.map(|(key, v)| DiffEntry { key, before: Some(v.clone()), after: Some(v) })
            }
            _ => None,
        };
        Ok(Diff::new(same.map(Ok).into_iter().chain(diff.filter_map(move |item| match item {
            Ok(d) if fault == Fault::DiffMissesDeletes && d.after.is_none() => None,
            Ok(DiffEntry { key, before, after }) if fault == Fault::DiffSwapped => {
                Some(Ok(DiffEntry { key, before: after, after: before }))
            }
            item => Some(item),
        }))))
    }

    fn changes(&self, from: Timestamp, to: Timestamp) -> Result<Changes> {
        let changes = match (self.fault, self.db.changes(from, to)) {
            (Fault::ChangesPartial, Err(e)) if e.kind() == ErrorKind::HistoryPruned => {
                return Ok(Changes::new(std::iter::empty()));
            }
            (Fault::ChangesRefused, Ok(_)) => {
                return Err(Error::new(ErrorKind::HistoryPruned, "it is kept all the same"));
            }
            (_, changes) => changes?,
        };
        match self.fault {
            Fault::ChangesUnordered => {
                let mut all: Vec<_> = changes.collect();
                all.reverse();
                Ok(Changes::new(all.into_iter()))
            }
            Fault::ChangesIncomplete => Ok(Changes::new(changes.map(|item| {
                item.map(|CommittedWrites { commit_ts, mut writes }| {
                    if writes.len() > 1 {
                        writes.pop();
                    }
                    CommittedWrites { commit_ts, writes }
                })
            }))),
            _ => Ok(changes),
        }
    }

    fn watch(&self, range: KeyRange) -> Result<Watcher> {
        match self.fault {
            Fault::WatcherNeverWoken => Ok(WatchHub::new().watch(range)),
            Fault::WatcherNarrow => self.db.watch(KeyRange::key(range.start())),
            _ => self.db.watch(range),
        }
    }

    fn prune(&self) -> Result<PruneReport> {
        match self.fault {
            Fault::PruneDoesNothing => self.db.stats().map(|_| PruneReport::default()),
            _ => self.db.prune(),
        }
    }

    fn verify(&self) -> Result<VerifyReport> {
        match self.fault {
            Fault::VerifyFails if !self.db.versions()?.is_empty() => {
                Err(Error::new(ErrorKind::Corrupted, "nothing is wrong"))
            }
            _ => self.db.verify(),
        }
    }

    fn sync(&self) -> Result<()> {
        match (self.fault, self.db.sync()) {
            (Fault::SyncErrorSwallowed, Err(e)) if e.kind() == ErrorKind::CommitUnknown => Ok(()),
            (_, outcome) => outcome,
        }
    }

    fn stats(&self) -> Result<Stats> {
        let mut stats = self.db.stats()?;
        match self.fault {
            Fault::StatsNoBytes => stats.window_bytes = 0,
            Fault::StatsNoCommits => stats.commits = 0,
            _ => {}
        }
        if self.fault == Fault::StatsLeak {
            stats.window_commits = usize::try_from(stats.commits).unwrap_or(usize::MAX);
            stats.open_snapshots += stats.window_commits;
        }
        Ok(stats)
    }

    fn close(&self) -> Result<()> {
        let mut state = self.shared.lock();
        let again = std::mem::replace(&mut state.closed, true);
        // What is held would keep the place open.
        let held = (state.stale.take(), state.open.take());
        drop(state);
        drop(held);
        match self.fault {
            Fault::CloseIgnored => Ok(()),
            Fault::CloseOnce if again => Err(Error::new(ErrorKind::Closed, "closed before")),
            _ => self.db.close(),
        }
    }
}

/// The same commit, at the timestamp before.
fn early(info: CommitInfo) -> CommitInfo {
    CommitInfo::new(info.commit_ts.map(Timestamp::prev))
}
