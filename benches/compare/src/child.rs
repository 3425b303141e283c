//! The process of one engine, seen from the run.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::Result;
use crate::engines::Entry;
use crate::protocol::{Reply, Request};

/// How often a wait looks whether it is still wanted.
const GLANCE: Duration = Duration::from_millis(100);

/// A process, which ends with this, and its directory, which outlives it if it
/// is kept.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    replies: Receiver<String>,
    log: PathBuf,
    is_alive: bool,
}

/// How a process is started.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// The engine.
    pub entry: &'static Entry,
    /// Records that it will be asked to load.
    pub records: u64,
    /// Whether it counts the bytes of its heap.
    pub counts: bool,
    /// Where what it says on standard error goes.
    pub logs: &'a Path,
}

impl Child {
    /// Starts one over this directory.
    pub fn start(start: Start<'_>, dir: &TempDir) -> Result<Self> {
        let log = start.logs.join(format!("{}.log", start.entry.name));
        let errors = File::options().create(true).append(true).open(&log)?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["worker", "--engine", start.entry.name])
            .args(["--records", &start.records.to_string()])
            .arg("--dir")
            .arg(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            // Ctrl-C is for the run, which ends its processes itself.
            .process_group(0);
        if start.counts {
            command.arg("--count");
        }
        let mut process = command.spawn()?;
        let output = process.stdout.take().ok_or("a process without output")?;
        let (sender, replies) = channel();
        thread::spawn(move || {
            BufReader::new(output)
                .lines()
                .map_while(|line| line.ok())
                .try_for_each(|line| sender.send(line))
        });
        Ok(Self { process, replies, log, is_alive: true })
    }

    /// Whether it can be asked.
    pub const fn is_alive(&self) -> bool {
        self.is_alive
    }

    /// Asks, and waits for so long. A process that does not answer is ended.
    ///
    /// # Errors
    /// If `is_wanted` says no meanwhile.
    pub fn ask(
        &mut self,
        request: &Request,
        patience: Duration,
        is_wanted: impl Fn() -> bool,
    ) -> Result<Reply> {
        if !self.is_alive {
            return Ok(Reply::Failed("the process has ended".to_owned()));
        }
        let input = self.process.stdin.as_mut().ok_or("a process without input")?;
        if writeln!(input, "{request}").and_then(|()| input.flush()).is_err() {
            return Ok(self.ended());
        }
        let begun = Instant::now();
        loop {
            match self.replies.recv_timeout(GLANCE) {
                Ok(line) => return line.parse(),
                Err(RecvTimeoutError::Disconnected) => return Ok(self.ended()),
                Err(RecvTimeoutError::Timeout) if !is_wanted() => return Err("interrupted".into()),
                Err(RecvTimeoutError::Timeout) if begun.elapsed() > patience => {
                    self.kill();
                    let seconds = patience.as_secs();
                    return Ok(Reply::Failed(format!("{request} took longer than {seconds} s")));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Why it ended by itself.
    fn ended(&mut self) -> Reply {
        self.is_alive = false;
        let status = match self.process.wait() {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let said = log.lines().rev().find(|line| !line.starts_with("note:")).unwrap_or("nothing");
        Reply::Failed(format!("the process ended ({status}) and said: {said}"))
    }

    /// Stops it where it is, threads in the background and all.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        if let (true, Some(pid)) = (self.is_alive, pid) {
            // A process that has just ended is noticed when it is asked.
            let _ = kill_process(pid, signal);
        }
    }

    /// Ends it at once, as a power cut would, but for what the operating system
    /// has.
    pub fn kill(&mut self) {
        self.is_alive = false;
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}
