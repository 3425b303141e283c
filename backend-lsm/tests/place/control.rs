//! What fjall alone makes of a state.
#![allow(clippy::print_stdout, reason = "says what the control showed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fjall::{KeyspaceCreateOptions, Readable};

use super::copy;

/// The directory that a child process is to work in.
pub(crate) const CHILD_DIR: &str = "VELLUM_TEST_CHILD_DIR";

/// What fjall alone makes of one of our databases: how many of the keys that
/// each commit writes once are in `head`, or why it does not open. In a process
/// of its own, since it may abort.
pub(crate) fn raw(path: &Path) -> Result<usize, String> {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "fjall_alone", "--nocapture"]).env(CHILD_DIR, path);
    let output = child.stderr(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let said = |what: &str| said.split_once(what).and_then(|(_, rest)| rest.lines().next());
    match (said("found "), said("refused ")) {
        (Some(found), _) => Ok(found.parse().unwrap()),
        (None, Some(e)) => Err(e.to_owned()),
        (None, None) => Err(output.status.to_string()),
    }
}

/// What fjall alone does in each of some states, for the output of the test.
/// A fjall in which nothing goes wrong has closed the hole.
pub(crate) fn control(hole: &str, outcomes: Vec<Result<usize, String>>, right: usize) {
    let (all, mut short, mut refused) = (outcomes.len(), 0, Vec::new());
    for outcome in outcomes {
        match outcome {
            Ok(found) => short += usize::from(found != right),
            Err(e) => refused.push(e),
        }
    }
    println!(
        "control, {hole}: of {all} states fjall alone refuses {} and opens {short} with records \
         lost{}",
        refused.len(),
        refused.first().map_or(String::new(), |e| format!(" ({e})")),
    );
    if short + refused.len() == 0 {
        println!("control, {hole}: CLOSED UPSTREAM, see docs/upstream");
    }
}

/// Puts back a copy of a database, with one file changed.
pub(crate) fn with(from: &Path, name: &Path, bytes: &[u8]) -> PathBuf {
    let to = from.with_extension("state");
    let _ = fs::remove_dir_all(&to);
    copy(from, &to);
    fs::write(to.join(name), bytes).unwrap();
    to
}

/// The other end of [`raw`]: the body of a test of the name `fjall_alone`, which
/// every file that calls it must have.
pub(crate) fn be_fjall_alone() {
    let Some(path) = std::env::var_os(CHILD_DIR).map(PathBuf::from) else { return };
    let open = || {
        let db = fjall::Database::builder(path.join("fjall")).worker_threads(1).open()?;
        let head = db.keyspace("head", KeyspaceCreateOptions::default)?;
        Ok::<_, fjall::Error>(db.snapshot().prefix(&head, "key ").count())
    };
    match open() {
        Ok(found) => println!("found {found}"),
        Err(e) => println!("refused {e:?}"),
    }
}
