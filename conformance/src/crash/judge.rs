//! The judge: opens what is left, and says which step it is the state of.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use vellum_core::{
    Connection, ConnectionExt, Error, ErrorKind, KeyRange, ReadTxn, Result, Version, VersionSet,
    WriteTxn,
};

use super::Subject;
use super::child::options;
use super::ledger::{Contents, Ledger, World};

/// A key that no ledger has: what is written beside one.
pub(super) const AFTER: &[u8] = b"after";

/// What the version carries that this step saves.
pub(super) fn message_of(step: usize) -> String {
    format!("saved by step {step}")
}

type Bytes = BTreeMap<Vec<u8>, Vec<u8>>;

/// What stands in a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    head: Bytes,
    /// Each with its message.
    versions: BTreeMap<u64, (String, Bytes)>,
}

/// Reads everything.
pub(super) fn read_all<C: Connection>(db: &C) -> Result<Found> {
    let contents = |txn: &dyn Fn() -> Result<C::Read>| -> Result<Bytes> {
        let items = txn()?;
        let items = items.range(KeyRange::all()).map(|item| {
            let (key, value) = item?;
            Ok((key.to_vec(), value.to_vec()))
        });
        items.filter(|item| !matches!(item, Ok((key, _)) if key == AFTER)).collect()
    };
    let set = db.versions()?;
    let mut found = Found { head: contents(&|| db.begin_read())?, versions: BTreeMap::new() };
    for info in set.iter() {
        let message = info.metadata.message.unwrap_or_default();
        let contents = contents(&|| db.read_at(info.version))?;
        found.versions.insert(info.version.get(), (message, contents));
    }
    Ok(found)
}

impl Found {
    /// Whether it is this world.
    pub(super) fn is(&self, world: &World) -> bool {
        let same = |found: &Bytes, want: &Contents| {
            found.len() == want.len()
                && found
                    .iter()
                    .zip(want)
                    .all(|((k, bytes), (key, value))| k == key && *bytes == value.bytes())
        };
        same(&self.head, &world.head)
            && self.versions.len() == world.versions.len()
            && self.versions.iter().zip(&world.versions).all(|(found, want)| {
                let ((n, (message, found)), (number, (step, want))) = (found, want);
                n == number && *message == message_of(*step) && same(found, want)
            })
    }

    /// A few words about it.
    pub(super) fn brief(&self) -> String {
        let bytes: usize = self.head.iter().map(|(k, v)| k.len() + v.len()).sum();
        let versions: Vec<_> = self.versions.keys().collect();
        format!("{} keys, {bytes} bytes, versions {versions:?}", self.head.len())
    }
}

/// What is known of a run that was cut off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// The state must be that after this step or a later one.
    pub(super) at_least: usize,
    /// And that after this one or an earlier one.
    pub(super) at_most: usize,
    /// The newest acknowledged commit timestamp.
    pub(super) ts: u64,
}

/// What the judge holds against a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// The kind of error that the database gave, if it gave one.
    pub(super) kind: Option<ErrorKind>,
    text: String,
}

impl Wrong {
    fn new(text: String) -> Self {
        Self { kind: None, text }
    }

    fn by(what: &'static str) -> impl FnOnce(Error) -> Self {
        move |e| Self { kind: Some(e.kind()), text: format!("{what}: {:?}: {e}", e.kind()) }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Opens what is left and holds it against what is known; after which step it
/// is.
///
/// # Errors
/// What is wrong.
pub(super) fn judge<S: Subject>(
    subject: &S,
    dir: &Path,
    ledger: &Ledger,
    known: Known,
) -> Result<usize, Wrong> {
    let db = subject.open(dir, &options()).map_err(Wrong::by("it does not open"))?;
    let outcome = inspect(&db, ledger, known);
    let closed = db.close().map_err(Wrong::by("it does not close"));
    outcome.and_then(|step| closed.map(|()| step))
}

fn inspect<C: Connection>(db: &C, ledger: &Ledger, known: Known) -> Result<usize, Wrong> {
    let found = read_all(db).map_err(Wrong::by("reading failed"))?;
    let mut steps = (known.at_least..=known.at_most).rev();
    let is = |step: usize| ledger.worlds.get(step).is_some_and(|world| found.is(world));
    let Some(step) = steps.find(|&step| is(step)) else {
        let near = (0..ledger.worlds.len()).find(|&step| is(step));
        let near = near.map_or("after no step at all".to_owned(), |n| format!("after step {n}"));
        return Err(Wrong::new(format!(
            "it must be the state after one of the steps {} to {}; it is the state {near}: {}",
            known.at_least,
            known.at_most,
            found.brief()
        )));
    };
    db.verify().map_err(Wrong::by("verify failed"))?;
    // Numbers and timestamps go on above all earlier ones.
    let set = db.versions().map_err(Wrong::by("versions failed"))?;
    let last = set.last().map_or(0, |v| v.version.get());
    let mut txn = db.begin_write().map_err(Wrong::by("begin failed"))?;
    txn.put(AFTER, "judged").map_err(Wrong::by("put failed"))?;
    let info = txn.commit().map_err(Wrong::by("commit failed"))?;
    let ts = info.commit_ts.map_or(0, |ts| ts.get());
    if ts <= known.ts {
        let known = known.ts;
        return Err(Wrong::new(format!("the next commit got {ts}, not above {known}")));
    }
    let number = db.save_version().map_err(Wrong::by("save failed"))?;
    if number != Version::new(last + 1) {
        let text = format!("the next version got {number}, and the last was {last}");
        return Err(Wrong::new(text));
    }
    Ok(step)
}
