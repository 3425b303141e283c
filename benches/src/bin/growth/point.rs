//! One point: its database, and what was measured.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use vellum::{Durability, Options};
use vellum_benches::Result;

/// How long a figure is measured for in each of its rounds.
const ROUND: Duration = Duration::from_millis(200);
/// The rounds of a figure: their median counts.
const ROUNDS: usize = 5;

/// Which database is measured.
pub(crate) enum Subject {
    Mem,
    /// In this directory.
    Lsm(PathBuf),
}

/// Commits are handed to the operating system, unless they say otherwise.
pub(crate) const OPTIONS: Options = Options::new().durability(Durability::Buffered);

/// Runs `$body` with `$open`, which opens the database of a subject, whatever
/// its type.
macro_rules! with_subject {
    ($subject:expr, $open:ident => $body:expr) => {
        match $subject {
            $crate::point::Subject::Mem => {
                let $open = || vellum::mem::open($crate::point::OPTIONS);
                $body
            }
            $crate::point::Subject::Lsm(dir) => {
                let $open = || $crate::point::builder(dir).open();
                $body
            }
        }
    };
}
pub(crate) use with_subject;

/// The database on disk, with the cache and the memtable that the comparison
/// gives to every engine.
pub(crate) fn builder(dir: &Path) -> vellum::lsm::Builder {
    vellum::lsm::Builder::new(dir).options(OPTIONS).cache_bytes(256 << 20).memtable_bytes(64 << 20)
}

impl Subject {
    /// Where it keeps its files, if it does.
    pub(crate) fn dir(&self) -> Option<&Path> {
        match self {
            Self::Mem => None,
            Self::Lsm(dir) => Some(dir),
        }
    }
}

/// What was measured of one point.
#[derive(Debug, Default)]
pub(crate) struct Point {
    rows: String,
}

impl Point {
    /// Rows of metric, unit, median, lowest and highest.
    pub(crate) fn rows(&self) -> &str {
        &self.rows
    }

    /// Adds a figure that was measured once.
    pub(crate) fn one(&mut self, metric: &str, unit: &str, value: f64) {
        self.several(metric, unit, vec![value]);
    }

    /// Adds the median and the extremes of several.
    pub(crate) fn several(&mut self, metric: &str, unit: &str, mut values: Vec<f64>) {
        values.sort_by(f64::total_cmp);
        if let (Some(low), Some(median), Some(high)) =
            (values.first(), values.get(values.len() / 2), values.last())
        {
            let _ = writeln!(self.rows, "{metric},{unit},{median:.1},{low:.1},{high:.1}");
        }
    }

    /// Adds the nanoseconds that `work` takes, in rounds.
    pub(crate) fn time(&mut self, metric: &str, mut work: impl FnMut() -> Result) -> Result {
        work()?;
        let mut all = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let (begun, mut times) = (Instant::now(), 0_u64);
            // The clock is looked at now and then only.
            let mut batch = 1;
            while begun.elapsed() < ROUND {
                (0..batch).try_for_each(|_| work())?;
                times += batch;
                batch = (batch * 2).min(256);
            }
            all.push(nanos(begun.elapsed()) / times as f64);
        }
        self.several(metric, "ns", all);
        Ok(())
    }
}

/// Nanoseconds.
pub(crate) fn nanos(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

/// Bytes of memory of this process that files do not back.
pub(crate) fn resident() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).ok_or("no RssAnon")?;
    Ok(kib.parse::<f64>()? * 1024.0)
}

/// Bytes that the files of a directory take on the disk.
pub(crate) fn on_disk(dir: &Path) -> Result<f64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut blocks = 0;
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => dirs.push(entry.path()),
                Ok(meta) => blocks += meta.blocks(),
                // A file that a compaction has just removed.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
    Ok(blocks as f64 * 512.0)
}
