//! Calls that fail, one at a time.
//!
//! A child runs a short ledger once to count its system calls. Then it runs
//! again for each of them, and strace makes that one call fail: with an error,
//! with death, or with a lie (the call says that it wrote, and did not). The
//! child must name the failure, read what was visible, and commit nothing after
//! an outcome that is unknown; what it leaves must open, with everything that
//! it was told.
//!
//! After a lie nothing can be promised but this: the answer is right, or it is
//! `Corrupted`.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use vellum_core::ErrorKind;

use super::child::{Job, said};
use super::judge::{Known, judge};
use super::ledger::{Ledger, Step};
use super::power::trace::hex;
use super::{Broken, Scene, Subject};
use crate::random::Rng;

/// The steps of the run whose calls fail.
const STEPS: usize = 30;
/// How long a child may take.
const PATIENCE: Duration = Duration::from_secs(60);

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

/// How many failures, from which seed.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// The seed of the run, and of which calls fail.
    pub seed: u64,
    /// At most so many failures; `u64::MAX` makes every call fail in every way.
    pub failures: u64,
    /// How many children run at the same time.
    pub threads: usize,
}

/// The failures that were endured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endured {
    /// Calls that failed.
    pub failures: u64,
    /// Calls that could have, each in every way that it can.
    pub possible: u64,
    /// Failures that a call of the database named.
    pub named: u64,
    /// Of these, outcomes that were said to be unknown.
    pub unknown: u64,
    /// Lies that were found out as `Corrupted`.
    pub corrupted: u64,
}

impl fmt::Display for Endured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { failures, possible, named, unknown, corrupted } = self;
        write!(
            f,
            "{failures} of {possible} failures: {named} named ({unknown} unknown outcomes), "
        )?;
        write!(f, "{corrupted} lies found out; none looked like success")
    }
}

/// One call that is to fail.
#[derive(Clone, Debug)]
struct Point {
    call: &'static str,
    number: usize,
    fault: &'static str,
}

impl Point {
    fn is_lie(&self) -> bool {
        self.fault == LIE
    }
}

/// Makes the calls of a run fail one by one (D3).
///
/// # Errors
/// The first failure that was not endured; or that nothing can be traced here.
pub fn faults<S: Subject>(
    subject: &S,
    scene: &Scene,
    plan: Faults,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Endured, Broken> {
    if let Some(why) = Scene::cannot_trace() {
        return Err(Broken::new(why));
    }
    let job = Job::Ledger { seed: plan.seed, steps: STEPS };
    let ledger = Ledger::new(plan.seed, STEPS);
    let all = points(scene, &job)?;
    let possible = all.len() as u64;
    let points = choose(all, plan);
    let (next, endured) =
        (AtomicUsize::new(0), Mutex::new(Endured { possible, ..Endured::default() }));
    let (broken, progress) = (Mutex::new(None), Mutex::new(progress));
    std::thread::scope(|scope| {
        for _ in 0..plan.threads.max(1) {
            scope.spawn(|| {
                while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = endure(subject, scene, &job, &ledger, point);
                    let Ok(mut endured) = endured.lock() else { return };
                    match outcome {
                        Ok(one) => endured.add(one),
                        Err(e) => {
                            next.store(points.len(), Ordering::Relaxed);
                            if let Ok(mut broken) = broken.lock() {
                                broken.get_or_insert(e);
                            }
                        }
                    }
                    if let Ok(mut progress) = progress.lock() {
                        progress(endured.failures, points.len() as u64);
                    }
                }
            });
        }
    });
    match broken.into_inner().ok().flatten() {
        Some(broken) => Err(broken),
        None => Ok(endured.into_inner().unwrap_or_default()),
    }
}

impl Endured {
    fn add(&mut self, other: Self) {
        self.failures += other.failures;
        self.named += other.named;
        self.unknown += other.unknown;
        self.corrupted += other.corrupted;
    }
}

/// As many of the points as the plan allows.
fn choose(mut points: Vec<Point>, plan: Faults) -> Vec<Point> {
    Rng::new(plan.seed).shuffle(&mut points);
    let wanted = usize::try_from(plan.failures).unwrap_or(usize::MAX);
    points.truncate(wanted);
    points
}

/// Every call of a whole run that is about its directory, in every way.
fn points(scene: &Scene, job: &Job) -> Result<Vec<Point>, Broken> {
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
    let root = hex(&root);
    let text = std::fs::read_to_string(&file).map_err(failed)?;
    let mut points = Vec::new();
    for (call, faults) in CALLS {
        let begins = format!("{call}(");
        let lines = text.lines().filter_map(|line| {
            let line = line.split_once(' ')?.1.trim_start();
            line.starts_with(&begins).then_some(line)
        });
        for (n, _) in (1..).zip(lines).filter(|(_, line)| line.contains(&root)) {
            for &fault in faults {
                points.push(Point { call, number: n, fault });
            }
        }
    }
    Ok(points)
}

/// One run in which one call fails.
fn endure<S: Subject>(
    subject: &S,
    scene: &Scene,
    job: &Job,
    ledger: &Ledger,
    point: &Point,
) -> Result<Endured, Broken> {
    let Point { call, number, fault } = point;
    let dir = scene.dir("fault")?;
    let root = dir.path().join("db");
    let what = format!("{call} number {number} with {fault}");
    let wrong = |e: String| scene.broken(format!("{what}: {e}"), dir.path());
    let inject = format!("inject={call}:{fault}:when={number}");
    let options = ["-f", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject];
    let options: Vec<OsString> = options.into_iter().map(OsString::from).collect();
    let (status, out, err) = run(scene.traced(&options, job, &root)).map_err(&wrong)?;
    let told = Told::read(&out);
    if err.contains("panicked at") {
        return Err(wrong(format!(
            "a thread panicked: {}",
            err.lines().take(3).collect::<String>()
        )));
    }
    if let Some(text) = &told.wrong {
        return Err(wrong(format!("the child says: {text}")));
    }
    // 0: it ran to an end; 5: it did not open; no code: it was killed.
    if !matches!(status.code(), None | Some(0 | 5 | 137)) {
        return Err(wrong(format!("the child ended with {status}")));
    }
    if let (Some((n, kind)), Some(after)) = (&told.error, &told.after)
        && matches!(kind.as_str(), "CommitUnknown" | "Poisoned")
        && after == "Ok"
    {
        return Err(wrong(format!("step {n} ended with {kind}, and a commit after it succeeded")));
    }
    let mut endured = Endured { failures: 1, ..Endured::default() };
    endured.named = u64::from(told.error.is_some());
    let is_unknown = told.error.as_ref().is_some_and(|(_, kind)| kind == "CommitUnknown");
    endured.unknown = u64::from(is_unknown);
    let known = told.known(ledger, is_unknown || point.is_lie());
    match judge(subject, &root, ledger, known) {
        Ok(_) => Ok(endured),
        Err(e) if point.is_lie() && e.kind == Some(ErrorKind::Corrupted) => {
            endured.corrupted = 1;
            Ok(endured)
        }
        Err(e) => Err(wrong(format!("{e}\nthe child said: {}", told.last))),
    }
}

/// What a child said.
#[derive(Debug, Default)]
struct Told {
    acked: usize,
    tried: usize,
    ts: u64,
    error: Option<(usize, String)>,
    after: Option<String>,
    wrong: Option<String>,
    last: String,
}

impl Told {
    fn read(out: &str) -> Self {
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
    fn known(&self, ledger: &Ledger, is_unknown: bool) -> Known {
        let step = self.error.as_ref().and_then(|(n, _)| ledger.steps.get(n.checked_sub(1)?));
        let is_denied = !is_unknown && step.is_some_and(|step| *step != Step::Reopen);
        let at_most = if is_denied { self.tried.saturating_sub(1) } else { self.tried };
        Known { at_least: self.acked, at_most: at_most.max(self.acked), ts: self.ts }
    }
}

/// Runs a command to its end; what it wrote. One that hangs is killed, with
/// what it started.
fn run(mut command: Command) -> Result<(ExitStatus, String, String), String> {
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
