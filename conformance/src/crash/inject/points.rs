//! Which calls of a run can fail, and how.
//!
//! strace counts calls a thread at a time, and those of a path alone if it is
//! given one. So a call has a number among the calls of that name, on that path,
//! of its thread: runs differ in how their threads take turns, and hardly in
//! this.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::crash::child::Job;
use crate::crash::power::trace::unhex;
use crate::crash::{Broken, Scene};

/// The call says that it wrote a byte, and wrote none: the caller goes on behind
/// it.
const LIE: &str = "retval=1";

/// The calls that fail, and the errors that each may give.
const CALLS: [(&str, &[&str]); 14] = [
    ("write", &["error=EIO", "error=ENOSPC", "error=EINTR", "signal=SIGKILL", LIE]),
    ("pwrite64", &["error=EIO", "error=ENOSPC", "error=EINTR", "signal=SIGKILL", LIE]),
    ("fsync", &["error=EIO", "error=ENOSPC", "signal=SIGKILL"]),
    ("fdatasync", &["error=EIO", "error=ENOSPC", "signal=SIGKILL"]),
    ("read", &["error=EIO"]),
    ("pread64", &["error=EIO"]),
    ("openat", &["error=EMFILE", "error=EIO", "error=ENOSPC"]),
    ("mkdir", &["error=ENOSPC", "error=EIO"]),
    ("rename", &["error=EIO", "error=ENOSPC", "signal=SIGKILL"]),
    ("renameat", &["error=EIO", "error=ENOSPC", "signal=SIGKILL"]),
    ("unlink", &["error=EIO", "signal=SIGKILL"]),
    ("unlinkat", &["error=EIO", "signal=SIGKILL"]),
    ("ftruncate", &["error=EIO", "error=ENOSPC"]),
    ("fallocate", &["error=EIO", "error=ENOSPC"]),
];

/// One call that is to fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Point {
    call: &'static str,
    /// Within the directory of the database.
    path: PathBuf,
    /// Counts from 1.
    number: usize,
    fault: &'static str,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, path, number, fault } = self;
        write!(f, "{call} number {number} of {:?} with {fault}", path.display())
    }
}

impl Point {
    /// Whether the call claims to have done what it did not do.
    pub(super) fn is_lie(&self) -> bool {
        self.fault == LIE
    }

    /// What strace is to do in a database in `root`; it writes to `file` which
    /// calls it met.
    pub(super) fn options(&self, root: &Path, file: &Path) -> Vec<OsString> {
        let Self { call, path, number, fault } = self;
        let mut options = ["-f", "-o"].map(OsString::from).to_vec();
        options.extend([file.into(), "-P".into(), full(root, path).into_os_string()]);
        let what = [format!("trace={call}"), format!("inject={call}:{fault}:when={number}")];
        options.extend(what.into_iter().flat_map(|what| ["-e".into(), what.into()]));
        options
    }
}

/// A path within a directory; the directory itself if it is empty.
fn full(root: &Path, path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { root.to_owned() } else { root.join(path) }
}

/// Every call of a whole run that is about its directory, in every way.
///
/// # Errors
/// If the run fails though nothing was made to.
pub(super) fn points(scene: &Scene, job: &Job) -> Result<Vec<Point>, Broken> {
    let failed = |e: std::io::Error| Broken::new(format!("counting calls: {e}"));
    let dir = scene.dir("count")?;
    let (root, file) = (dir.path().join("db"), dir.path().join("trace"));
    let names: Vec<_> = CALLS.iter().map(|(name, _)| *name).collect();
    let calls = format!("trace={}", names.join(","));
    let mut options: Vec<OsString> = ["-f", "-y", "-xx", "-s", "512", "-e", &calls, "-o"]
        .into_iter()
        .map(OsString::from)
        .collect();
    options.push(file.clone().into_os_string());
    let output = scene.traced(&options, job, &root).output().map_err(failed)?;
    if !output.status.success() {
        return Err(Broken::new(format!("the run whose calls are counted: {}", output.status)));
    }
    let text = std::fs::read_to_string(&file).map_err(failed)?;
    let counts = count(&text, &root);
    let of_call = |(call, faults): (&'static str, &'static [&'static str])| {
        let paths = counts.iter().filter(move |((of, _), _)| *of == call);
        paths.flat_map(move |((_, path), &most)| {
            let each = move |number| {
                let point = move |fault| Point { call, path: path.clone(), number, fault };
                faults.iter().copied().map(point)
            };
            (1..=most).flat_map(each)
        })
    };
    Ok(CALLS.into_iter().flat_map(of_call).collect())
}

/// How many calls of each name there were on each path, in the thread that made
/// most of them.
fn count(text: &str, root: &Path) -> BTreeMap<(&'static str, PathBuf), usize> {
    let mut of_threads: HashMap<(&str, &'static str, PathBuf), usize> = HashMap::new();
    for line in text.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some((name, arguments)) = rest.trim_start().split_once('(') else { continue };
        let Some((call, _)) = CALLS.into_iter().find(|(call, _)| *call == name) else { continue };
        // What it returned is a path too, where it opened something.
        let arguments = arguments.rsplit_once(" = ").map_or(arguments, |(before, _)| before);
        let paths = arguments.split(['"', '<', '>']).map(unhex).filter_map(|bytes| {
            let path = PathBuf::from(String::from_utf8(bytes).ok()?);
            path.strip_prefix(root).ok().map(Path::to_owned)
        });
        if let Some(path) = paths.into_iter().next() {
            *of_threads.entry((thread, call, path)).or_default() += 1;
        }
    }
    let mut most = BTreeMap::new();
    for ((_, call, path), n) in of_threads {
        let at_most = most.entry((call, path)).or_insert(0);
        *at_most = n.max(*at_most);
    }
    most
}

/// Whether strace says that it made a call fail.
pub(super) fn has_struck(trace: &str) -> bool {
    trace.contains("(INJECTED)") || trace.contains("killed by SIGKILL")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_counted_within_its_thread_and_its_path() {
        let hex = crate::crash::power::trace::hex;
        let (a, b, out) = (hex(Path::new("/r/a")), hex(Path::new("/r/b")), hex(Path::new("/o")));
        let text = format!(
            "1 write(3<{a}>, \"\\x68\", 1) = 1\n\
             1 write(4<{b}>, \"\\x68\", 1 <unfinished ...>\n\
             2 write(3<{a}>, \"\\x68\", 1) = 1\n\
             1 <... write resumed>) = 1\n\
             1 write(5<{out}>, \"\\x68\", 1) = 1\n\
             1 write(3<{a}>, \"\\x68\", 1) = 1\n\
             2 rename(\"{b}\", \"{a}\") = 0\n\
             2 openat(AT_FDCWD<\\x2f>, \"{out}\", O_RDONLY) = 6<{a}>\n"
        );
        let at = |call, path: &str| (call, PathBuf::from(path));
        let want = [(at("write", "a"), 2), (at("write", "b"), 1), (at("rename", "b"), 1)];
        assert_eq!(count(&text, Path::new("/r")), want.into_iter().collect());
    }
}
