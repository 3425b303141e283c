//! Prints what the benchmarks measured last, as ratios to the floor that does the
//! most similar: `cargo run -p vellum-benches --bin ratios [target/criterion]`.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a report")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use vellum_benches::Result;

fn main() -> Result {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
    let root = std::env::args_os().nth(1).map_or_else(|| target.join("criterion"), PathBuf::from);
    let mut medians = BTreeMap::new();
    find(&root, &mut medians)?;
    for (group, subjects) in &medians {
        println!("\n{group}");
        for (subject, ns) in subjects {
            let floors = subjects.iter().filter(|(name, _)| name.starts_with("floor/"));
            let ratio = match floors.rev().max_by_key(|(name, _)| likeness(name, subject)) {
                Some((name, floor)) => format!("{:10.2} x {name}", ns / floor),
                None => String::new(),
            };
            println!("  {subject:<40} {ns:>14.1} ns {ratio}");
        }
    }
    Ok(())
}

/// How much of what two benchmarks do is the same, by the ends of their names:
/// parts between slashes, and letters of the first part that differs.
fn likeness(a: &str, b: &str) -> (usize, usize) {
    let same = a.rsplit('/').zip(b.rsplit('/')).take_while(|(a, b)| a == b).count();
    let rest = a.rsplit('/').nth(same).zip(b.rsplit('/').nth(same));
    let letters =
        |(a, b): (&str, &str)| a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    (same, rest.map_or(0, letters))
}

/// The benchmarks of each group, and their medians in nanoseconds.
type Medians = BTreeMap<String, Vec<(String, f64)>>;

/// Looks for `new/benchmark.json` and `new/estimates.json` in every directory.
fn find(dir: &Path, medians: &mut Medians) -> Result {
    let new = dir.join("new");
    if let (Ok(benchmark), Ok(estimates)) = (
        std::fs::read_to_string(new.join("benchmark.json")),
        std::fs::read_to_string(new.join("estimates.json")),
    ) {
        let group = text(&benchmark, "group_id").ok_or("no group in benchmark.json")?;
        let name = text(&benchmark, "function_id").ok_or("no name in benchmark.json")?;
        let median = median(&estimates).ok_or("no median in estimates.json")?;
        medians.entry(group.to_owned()).or_default().push((name.to_owned(), median));
        return Ok(());
    }
    let mut entries: Vec<_> =
        std::fs::read_dir(dir)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    entries.sort();
    entries.iter().filter(|path| path.is_dir()).try_for_each(|path| find(path, medians))
}

/// The string after `"name":"`. The two files have no escapes before it.
fn text<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    json.split_once(&format!("\"{name}\":\""))?.1.split('"').next()
}

/// The number after `"point_estimate":` within `"median"`.
fn median(json: &str) -> Option<f64> {
    let median = json.split_once("\"median\":")?.1;
    let number = median.split_once("\"point_estimate\":")?.1;
    number.split([',', '}']).next()?.trim().parse().ok()
}
