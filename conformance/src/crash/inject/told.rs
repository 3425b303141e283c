//! A child that is to fail: running it, and what it said.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::crash::child::said;
use crate::crash::judge::Known;
use crate::crash::ledger::{Ledger, Step};

/// How long a child may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a child said.
#[derive(Debug, Default)]
pub(super) struct Told {
    acked: usize,
    tried: usize,
    ts: u64,
    pub(super) error: Option<(usize, String)>,
    pub(super) after: Option<String>,
    pub(super) wrong: Option<String>,
    pub(super) last: String,
}

impl Told {
    pub(super) fn read(out: &str) -> Self {
        let mut told = Self::default();
        for line in out.lines().filter_map(said) {
            let mut words = line.split(' ');
            let (what, first, second) = (words.next(), words.next(), words.next());
            let n = first.and_then(|n| n.parse::<usize>().ok()).unwrap_or(0);
            match what {
                Some("try") => told.tried = n,
                Some("ack") => {
                    told.acked = n;
                    let ts = second.and_then(|ts| ts.parse().ok()).unwrap_or(0);
                    told.ts = told.ts.max(ts);
                }
                Some("err") => {
                    told.error.get_or_insert((n, second.unwrap_or("?").to_owned()));
                }
                Some("after") => told.after = first.map(str::to_owned),
                Some("wrong") => told.wrong = Some(line.to_owned()),
                _ => {}
            }
            if !line.starts_with("try") && !line.starts_with("ack") {
                told.last += &format!("{line}; ");
            }
        }
        told
    }

    /// What must be there: everything acknowledged, since the machine lives;
    /// and what failed only where that was said to be unknown.
    pub(super) fn known(&self, ledger: &Ledger, is_unknown: bool) -> Known {
        let step = self.error.as_ref().and_then(|(n, _)| ledger.steps.get(n.checked_sub(1)?));
        let is_denied = !is_unknown && step.is_some_and(|step| *step != Step::Reopen);
        let at_most = if is_denied { self.tried.saturating_sub(1) } else { self.tried };
        Known { at_least: self.acked, at_most: at_most.max(self.acked), ts: self.ts }
    }
}

/// Runs a command to its end; what it wrote. One that hangs is killed, with
/// what it started.
pub(super) fn run(mut command: Command) -> Result<(ExitStatus, String, String), String> {
    let failed = |e: std::io::Error| format!("running the child: {e}");
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.process_group(0).spawn().map_err(failed)?;
    let out = child.stdout.take().map(reader);
    let err = child.stderr.take().map(reader);
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        if begun.elapsed() > PATIENCE {
            end(&mut child);
            return Err(format!("the child hangs: no end after {} s", PATIENCE.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let text = |thread: Option<std::thread::JoinHandle<String>>| {
        thread.and_then(|thread| thread.join().ok()).unwrap_or_default()
    };
    Ok((status, text(out), text(err)))
}

fn reader(mut from: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Kills a child and its whole process group.
fn end(child: &mut Child) {
    let group = format!("-{}", child.id());
    let _ = Command::new("kill").args(["-9", "--", &group]).status();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crash::ledger::Ledger;

    #[test]
    fn what_a_child_said_is_read_from_its_own_lines() {
        let told = Told::read(
            "test is running @@ try 1\n@@ ack 1 5\n@@ try 2\n@@ ack 2 9\n@@ try 3\n@@ ack 3 0\n\
             @@ try 4\nack 9 99\n@@ err 4 CommitUnknown it broke\n@@ err 5 Io again\n\
             @@ after Poisoned\n@@ wrong key a\n",
        );
        assert_eq!((told.acked, told.tried, told.ts), (3, 4, 9));
        assert_eq!(told.error, Some((4, "CommitUnknown".to_owned())));
        assert_eq!(told.after.as_deref(), Some("Poisoned"));
        assert_eq!(told.wrong.as_deref(), Some("wrong key a"));
        let last = "err 4 CommitUnknown it broke; err 5 Io again; after Poisoned; wrong key a; ";
        assert_eq!(told.last, last);
    }

    /// What failed for certain is not there; what may have happened may be.
    #[test]
    fn a_step_that_failed_is_there_only_if_its_outcome_is_unknown() {
        let ledger =
            Ledger { steps: vec![Step::Sync, Step::Reopen, Step::Save], ..Ledger::new(1, 0) };
        let known = |acked, tried, failed: Option<usize>, is_unknown| {
            let error = failed.map(|n| (n, "Io".to_owned()));
            let told = Told { acked, tried, ts: 4, error, ..Told::default() };
            let known = told.known(&ledger, is_unknown);
            assert_eq!(known.ts, 4);
            (known.at_least, known.at_most)
        };
        assert_eq!(known(2, 3, None, false), (2, 3), "it died within a step");
        assert_eq!(known(2, 3, Some(3), false), (2, 2), "denied");
        assert_eq!(known(2, 3, Some(3), true), (2, 3), "unknown");
        assert_eq!(known(1, 2, Some(2), false), (1, 2), "a reopening changes nothing");
        assert_eq!(known(0, 0, Some(1), false), (0, 0), "it did not open");
        assert_eq!(known(3, 1, None, false), (3, 3), "never below what was acknowledged");
    }
}
