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
    // A save has a timestamp too, which the child does not tell.
    let saved = set.last().map_or(0, |v| v.commit_ts.get());
    let mut txn = db.begin_write().map_err(Wrong::by("begin failed"))?;
    txn.put(AFTER, "judged").map_err(Wrong::by("put failed"))?;
    let info = txn.commit().map_err(Wrong::by("commit failed"))?;
    let ts = info.commit_ts.map_or(0, |ts| ts.get());
    let known = known.ts.max(saved);
    if ts <= known {
        return Err(Wrong::new(format!("the next commit got {ts}, not above {known}")));
    }
    let number = db.save_version().map_err(Wrong::by("save failed"))?;
    if number != Version::new(last + 1) {
        let text = format!("the next version got {number}, and the last was {last}");
        return Err(Wrong::new(text));
    }
    Ok(step)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use vellum_mem::MemDatabase;

    use super::super::child::run;
    use super::super::ledger::Step;
    use super::*;
    use crate::faults::{Broken, Fault};
    use crate::{Capabilities, Factory};

    struct Memory;

    impl Factory for Memory {
        type Connection = MemDatabase;

        fn capabilities(&self) -> Capabilities {
            Capabilities::in_memory()
        }

        fn open(&self, options: &vellum_core::Options) -> Result<MemDatabase> {
            vellum_mem::open(*options)
        }

        fn destroy(&self) {}
    }

    const STEPS: usize = 16;

    /// The newest timestamp that so many steps got on a database.
    fn play<C: Connection>(db: &C, ledger: &Ledger, steps: usize) -> u64 {
        let each = (1..).zip(&ledger.steps).take(steps);
        each.map(|(n, step)| run(db, step, n).unwrap()).max().unwrap_or(0)
    }

    fn played(ledger: &Ledger, steps: usize) -> MemDatabase {
        let db = Memory.open(&options()).unwrap();
        play(&db, ledger, steps);
        db
    }

    fn exactly(step: usize) -> Known {
        Known { at_least: step, at_most: step, ts: 0 }
    }

    /// A ledger whose end has keys and versions, with a save of another head than
    /// the one after it.
    fn ledger() -> Ledger {
        let fits = |l: &Ledger| {
            let end = l.worlds.last().unwrap();
            end.head.len() > 3 && end.versions.values().any(|(_, saved)| *saved != end.head)
        };
        (1..).map(|seed| Ledger::new(seed, STEPS)).find(fits).unwrap()
    }

    #[test]
    fn state_after_each_step_is_told_from_those_of_other_steps() {
        let ledger = ledger();
        for step in 0..=STEPS {
            let db = played(&ledger, step);
            let others = (0..=STEPS).filter(|n| ledger.worlds.get(*n) != ledger.worlds.get(step));
            for other in others {
                let wrong = inspect(&db, &ledger, exactly(other)).unwrap_err();
                assert_eq!(wrong.kind, None);
                assert!(wrong.to_string().contains("it is the state after step"), "{wrong}");
            }
            assert_eq!(inspect(&db, &ledger, exactly(step)), Ok(step));
        }
    }

    #[test]
    fn latest_step_that_fits_is_named_and_none_that_is_not_known() {
        let ledger = Ledger { steps: vec![Step::Sync; 3], worlds: vec![World::default(); 4] };
        let known = |at_least, at_most| Known { at_least, at_most, ts: 0 };
        let judged = |known| inspect(&played(&ledger, 3), &ledger, known);
        assert_eq!(judged(known(0, 2)), Ok(2));
        assert_eq!(judged(known(3, 9)), Ok(3));
        let wrong = judged(known(4, 9)).unwrap_err().to_string();
        assert!(wrong.contains("one of the steps 4 to 9; it is the state after step 0"), "{wrong}");
        assert!(wrong.ends_with(": 0 keys, 0 bytes, versions []"), "{wrong}");
        let db = played(&ledger, 0);
        db.transact(|txn| txn.put(b"k1", "four").and_then(|()| txn.put(b"k2", "x"))).unwrap();
        db.save_version().unwrap();
        let brief = read_all(&db).unwrap().brief();
        assert_eq!(brief, "2 keys, 9 bytes, versions [1]");
    }

    #[test]
    fn state_of_no_step_is_rejected_and_told() {
        type Spoils = fn(&MemDatabase, &[u8]);
        // The same number, with another message.
        let rename = |db: &MemDatabase, message: &str| {
            let last = db.versions().unwrap().last().unwrap().version;
            db.delete_version(last).unwrap();
            let metadata = vellum_core::Metadata::new().message(message);
            let options = vellum_core::SaveOptions::new().number(last.get()).metadata(metadata);
            db.save_version_with(options).unwrap();
        };
        let put = |db: &MemDatabase, key: &[u8]| db.transact(|t| t.put(key, "other")).unwrap();
        let spoils: [Spoils; 5] = [
            |db, _| db.transact(|t| t.put(b"foreign", "")).unwrap(),
            |db, key| db.transact(|t| t.delete(key)).unwrap(),
            |db, key| db.transact(|t| t.put(key, "other")).unwrap(),
            |db, _| db.delete_version(db.versions().unwrap().last().unwrap().version).unwrap(),
            |db, _| db.save_version().map(|_| ()).unwrap(),
        ];
        // The last step saves, so that a save again is of the same state.
        let saves = |l: &Ledger| matches!(l.steps.last(), Some(Step::Save));
        let ledger = (1..).map(|seed| Ledger::new(seed, STEPS)).find(saves).unwrap();
        let key = ledger.worlds.last().unwrap().head.keys().next().unwrap().clone();
        for (n, spoil) in spoils.iter().enumerate() {
            let db = played(&ledger, STEPS);
            spoil(&db, &key);
            let wrong = inspect(&db, &ledger, exactly(STEPS)).unwrap_err();
            assert_eq!(wrong.kind, None, "{n}: {wrong}");
            assert!(wrong.to_string().starts_with("it must be the state after"), "{n}: {wrong}");
        }
        for (message, found) in
            [("saved by step 16", true), ("saved by step 1", false), ("", false)]
        {
            let db = played(&ledger, STEPS);
            rename(&db, message);
            assert_eq!(inspect(&db, &ledger, exactly(STEPS)).is_ok(), found, "{message}");
        }
        // What is written beside the ledger does not count.
        let db = played(&ledger, STEPS);
        put(&db, AFTER);
        assert_eq!(inspect(&db, &ledger, exactly(STEPS)), Ok(STEPS));
    }

    #[test]
    fn version_of_another_state_is_rejected() {
        // What was saved is the state one step early.
        let changes = |l: &Ledger, n: usize| {
            l.worlds.get(n - 1).unwrap().head != l.worlds.get(n).unwrap().head
        };
        let fits = |l: &Ledger| {
            matches!(l.steps.as_slice(), [.., Step::Commit(..), Step::Save])
                && changes(l, STEPS - 1)
        };
        let ledger = (1..).map(|seed| Ledger::new(seed, STEPS)).find(fits).unwrap();
        let db = played(&ledger, STEPS - 2);
        let step = |n: usize| ledger.steps.get(n - 1).unwrap();
        run(&db, step(STEPS), STEPS).unwrap();
        run(&db, step(STEPS - 1), STEPS - 1).unwrap();
        assert!(inspect(&db, &ledger, exactly(STEPS)).is_err());
    }

    #[test]
    fn life_goes_on_above_everything_that_was_acknowledged() {
        let ledger = ledger();
        let judged = |ts| {
            let db = played(&ledger, STEPS);
            inspect(&db, &ledger, Known { ts, ..exactly(STEPS) })
        };
        let db = played(&ledger, STEPS);
        let next = db.begin_read().unwrap().read_ts().get() + 1;
        assert_eq!(judged(next - 1), Ok(STEPS));
        for ts in [next, next + 1] {
            let wrong = judged(ts).unwrap_err().to_string();
            assert_eq!(wrong, format!("the next commit got {next}, not above {ts}"));
        }
    }

    #[test]
    fn broken_databases_are_told_by_what_they_do_next() {
        let judged = |fault, ledger: &Ledger| {
            let db = Broken::new(Memory, fault).open(&options()).unwrap();
            play(&db, ledger, STEPS);
            inspect(&db, ledger, exactly(ledger.steps.len())).unwrap_err()
        };
        let empty = Ledger::new(1, 0);
        let wrong = judged(Fault::NumbersSkip, &empty).to_string();
        assert_eq!(wrong, "the next version got 2, and the last was 0");
        let saves = |l: &Ledger| matches!(l.steps.last(), Some(Step::Save));
        let saved = (1..).map(|seed| Ledger::new(seed, STEPS)).find(saves).unwrap();
        let wrong = judged(Fault::CommitTimestampRepeats, &saved).to_string();
        assert!(
            wrong.starts_with("the next commit got ") && wrong.contains(", not above "),
            "{wrong}"
        );
        let wrong = judged(Fault::VerifyFails, &ledger());
        assert_eq!(wrong.kind, Some(ErrorKind::Corrupted));
        assert!(wrong.to_string().starts_with("verify failed: Corrupted"), "{wrong}");
    }
}
