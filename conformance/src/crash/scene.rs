//! Where crashes happen: folders, child processes, the tracer.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use super::child::Job;

/// Where crashes happen.
#[derive(Clone, Debug)]
pub struct Scene {
    scratch: PathBuf,
    arguments: Vec<OsString>,
}

impl Scene {
    /// Databases stand in new folders under `scratch`, which are removed when
    /// all is well; child processes are this program with these arguments.
    pub fn new<A: Into<OsString>>(
        scratch: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        let scratch = scratch.into();
        // As the kernel names it, and so strace.
        let scratch = scratch.canonicalize().unwrap_or(scratch);
        Self { scratch, arguments }
    }

    /// Within a test binary: the child runs the test of this name alone, which
    /// calls [`run_child_if_asked`](super::run_child_if_asked). Databases
    /// stand in memory where the system has `/dev/shm`.
    #[must_use]
    pub fn of_test(name: &str) -> Self {
        let shm = Path::new("/dev/shm");
        let scratch = if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() };
        Self::new(scratch, [name, "--exact", "--nocapture", "--test-threads=1"])
    }

    /// Why system calls cannot be recorded here; `None` if they can.
    #[must_use]
    pub fn cannot_trace() -> Option<String> {
        let tried = Command::new("strace").args(["-f", "-e", "trace=none", "true"]).output();
        match tried {
            Ok(output) if output.status.success() => None,
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let said = said.lines().next().unwrap_or("no reason").to_owned();
                Some(format!("strace is not allowed to trace here: {said}"))
            }
            Err(_) => Some("strace is not installed (apt-get install strace)".to_owned()),
        }
    }

    /// A new folder.
    pub(super) fn dir(&self, what: &str) -> Result<tempfile::TempDir, Broken> {
        let prefix = format!("vellum-{what}-");
        tempfile::Builder::new().prefix(&prefix).tempdir_in(&self.scratch).map_err(|e| {
            let scratch = self.scratch.display();
            Broken { what: format!("no folder for databases in {scratch}: {e}"), left: None }
        })
    }

    /// This program again, for a job in this directory.
    pub(super) fn child(&self, job: &Job, dir: &Path) -> Command {
        let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
        let mut command = Command::new(program);
        self.with_job(&mut command, job, dir);
        command
    }

    /// This program again, under strace with these options.
    pub(super) fn traced(&self, options: &[OsString], job: &Job, dir: &Path) -> Command {
        let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
        let mut command = Command::new("strace");
        command.args(options).arg("--").arg(program);
        self.with_job(&mut command, job, dir);
        command
    }

    fn with_job(&self, command: &mut Command, job: &Job, dir: &Path) {
        let (name, value) = job.variable(dir);
        command.args(&self.arguments).env(name, value);
    }

    /// What is wrong, with a copy of where it can be seen.
    pub(super) fn broken(&self, what: String, dir: &Path) -> Broken {
        let left = tempfile::Builder::new().prefix("vellum-broken-").tempdir_in(&self.scratch);
        let left = left.ok().map(tempfile::TempDir::keep);
        let left = left.filter(|to| copy(dir, to).is_ok());
        Broken { what, left }
    }
}

/// Copies a folder; holes in files become zeros.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let (from, to) = (entry.as_ref().map_or(from.to_owned(), std::fs::DirEntry::path), to);
        let to = to.join(entry?.file_name());
        if from.is_dir() {
            copy(&from, &to)?;
        } else {
            std::fs::copy(&from, &to)?;
        }
    }
    Ok(())
}

/// A promise that was broken.
#[derive(Clone, Debug)]
pub struct Broken {
    pub(super) what: String,
    /// A copy of the directory as it was found.
    pub left: Option<PathBuf>,
}

impl Broken {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), left: None }
    }
}

/// The first of several threads that found something is heard; what another one
/// left is removed.
pub(super) fn keep_first(found: &Mutex<Option<Broken>>, broken: Broken) {
    let Ok(mut found) = found.lock() else { return };
    if found.is_none() {
        *found = Some(broken);
    } else if let Some(left) = broken.left {
        let _ = std::fs::remove_dir_all(left);
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.left {
            Some(left) => write!(f, "\nwhat was left stands in {}", left.display()),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Broken {}
