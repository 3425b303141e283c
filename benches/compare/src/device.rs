//! What the device itself takes to make an append durable: the floor of every
//! synced commit.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Result;
use crate::drive::nanoseconds;
use crate::histogram::Histogram;
use crate::protocol::Figures;

/// About what a transaction of four puts writes.
const APPEND: [u8; 500] = [0x5a; 500];

/// Appends and syncs for so long, in a file of this directory.
pub fn fsyncs(dir: &Path, time: Duration) -> Result<Figures> {
    let path = dir.join("device");
    let mut file = File::create(&path)?;
    let mut histogram = Histogram::default();
    let begun = Instant::now();
    let mut count = 0u32;
    while begun.elapsed() < time {
        let begun = Instant::now();
        file.write_all(&APPEND)?;
        file.sync_data()?;
        histogram.record(nanoseconds(begun.elapsed()));
        count += 1;
    }
    let mut figures = Figures::default();
    figures.set("ops", f64::from(count) / begun.elapsed().as_secs_f64());
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        if let Some(nanoseconds) = histogram.percentile(share) {
            figures.set(name, nanoseconds as f64);
        }
    }
    std::fs::remove_file(path)?;
    Ok(figures)
}
