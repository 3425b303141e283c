//! The report, in words.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use super::Report;

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let commits = n(self.commits as u64);
        let shallow = if self.repo.is_shallow { ", a shallow clone" } else { "" };
        let dir = self.repo.dir().display();
        writeln!(f, "repository  {dir} at {}{shallow}: {commits} commits", self.rev)?;
        if let Some(i) = &self.imported {
            let (put, deleted, bytes) = (n(i.put), n(i.deleted), size(i.bytes));
            writeln!(f, "imported    {put} files put, {deleted} deleted, {bytes}")?;
            let versions = n(self.stats.versions as u64);
            let (conflicts, took) = (n(i.conflicts), secs(i.took));
            writeln!(
                f,
                "            {commits} transactions, {versions} versions, {conflicts} conflicts"
            )?;
            let (rate, bytes) = (per_sec(self.commits as u64, i.took), i.bytes);
            let byte_rate = size(per_sec_count(bytes, i.took));
            writeln!(f, "            {took}: {rate} commits/s, {byte_rate}/s")?;
            let m = &i.meanwhile;
            writeln!(
                f,
                "meanwhile   {} readers compared {} old versions: {} files, {}; {} diffs",
                i.readers,
                n(m.versions),
                n(m.files),
                size(m.bytes),
                n(m.diffs)
            )?;
        }
        if let Some(took) = self.reopened {
            writeln!(f, "reopened    {}", secs(took))?;
        }
        let (records, bytes) = (n(self.stored.records), size(self.stored.bytes));
        writeln!(f, "at rest     {records} records well, {bytes}")?;
        let (t, took) = &self.verified;
        let (versions, files, gets) = (n(t.versions), n(t.files), n(t.gets));
        let bytes = size(t.bytes);
        writeln!(
            f,
            "verified    {versions} of {commits} versions: {files} files, {bytes} compared"
        )?;
        let (diffs, changes) = (n(t.diffs), n(t.changes));
        writeln!(
            f,
            "            {gets} also by get; {diffs} diffs to the next: {changes} changes"
        )?;
        let byte_rate = size(per_sec_count(t.bytes, *took));
        writeln!(
            f,
            "            {}: {} versions/s, {} files/s, {byte_rate}/s",
            secs(*took),
            per_sec(t.versions, *took),
            per_sec(t.files, *took)
        )?;
        if let Some(r) = &self.reverted {
            let removed = n(r.removed as u64);
            let took = secs(r.took);
            writeln!(f, "reverted    to version {}, {removed} above it removed, {took}", r.to)?;
        }
        if let Some(bytes) = self.disk_bytes {
            writeln!(f, "on disk     {} for all; git: {}", size(bytes), size(self.git_bytes))?;
        }
        if let Some(dir) = &self.kept {
            writeln!(f, "kept        {}", dir.display())?;
        }
        for difference in self.findings.first() {
            writeln!(f, "DIFFERENCE  {difference}")?;
        }
        match self.findings.count() {
            0 => write!(f, "result      no difference"),
            count => write!(f, "result      {} differences", n(count as u64)),
        }
    }
}

/// A count with its thousands set apart.
fn n(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

fn secs(took: Duration) -> String {
    format!("{:.3} s", took.as_secs_f64())
}

fn per_sec(count: u64, took: Duration) -> String {
    n(per_sec_count(count, took))
}

fn per_sec_count(count: u64, took: Duration) -> u64 {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
    count.saturating_mul(1_000_000) / micros
}
