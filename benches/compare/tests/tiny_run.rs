//! A whole run, small: every workload, the report, and what is left behind.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn compare(args: &[&str], out: &Path) -> Output {
    let compare = env!("CARGO_BIN_EXE_vellum-compare");
    Command::new(compare).args(args).arg("--out").arg(out).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn tiny_run_measures_everything_and_reports_it() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let options = ["--quick", "--records", "2000", "--cell-ms", "5", "--rounds", "2"];
    let engines = ["--versions", "5", "--engines", "vellum-mem,vellum-lsm,rwlock-btree"];
    let run = compare(&[&["run"], &options[..], &engines[..]].concat(), &out);
    assert!(run.status.success(), "{}", text(&run));
    assert!(!text(&run).contains("WRONG"), "{}", text(&run));

    let raw = fs::read_to_string(out.join("raw.csv")).unwrap();
    let has = |start: &str| raw.lines().any(|line| line.starts_with(start));
    let measured = [
        "load-random,vellum-mem,0,ops,",
        "get-1,rwlock-btree,1,p99,",
        "scan-all,vellum-lsm,0,ops,",
        "rmw-zipf-8,vellum-mem,1,ops,",
        "rmw-no-yield-8,vellum-lsm,1,lost,",
        "put4-sync-8,vellum-lsm,0,p50,",
        "put4-sync-8,device,1,p99,",
        "ycsb-e-4,rwlock-btree,0,ops,",
        "held,vellum-mem,0,slowdown,",
        "space,vellum-lsm,0,overwritten_disk,",
        "open,vellum-lsm,0,killed_open,",
        "versions,vellum-mem,0,revert,",
    ];
    for start in measured {
        assert!(has(start), "no {start} in\n{raw}");
    }
    // What an engine does not offer has a reason.
    assert!(has("held,rwlock-btree,0,-,,not offered:"));
    assert!(!raw.contains("failed:"), "{raw}");
    // Counters that add up were looked at: a lost update is a wrong answer.
    assert!(!raw.contains("WRONG"), "{raw}");

    let report = fs::read_to_string(out.join("report.md")).unwrap();
    for title in ["In memory: operations a second", "On disk: versions", "Without a figure"] {
        assert!(report.contains(title), "no {title} in\n{report}");
    }
    assert!(out.join("compare-threads-disk.svg").exists());
    assert_eq!(fs::read_dir(out.join("data")).unwrap().count(), 0, "engines' data is removed");

    // From the saved results the same report is made, and a page.
    let page = dir.path().join("page.md");
    let begin = "<!-- figures: written by `compare report --docs` -->";
    fs::write(&page, format!("# Page\n\n{begin}\n<!-- end of figures -->\n")).unwrap();
    let again = compare(&["report", "--docs", page.to_str().unwrap()], &out);
    assert!(again.status.success(), "{}", text(&again));
    assert_eq!(fs::read_to_string(out.join("report.md")).unwrap(), report);
    assert!(fs::read_to_string(page).unwrap().contains("records: 2000"));
    let figures = fs::read_to_string(dir.path().join("page-mem.md")).unwrap();
    assert!(figures.contains("*rwlock-btree*"), "{figures}");
    assert!(dir.path().join("img/compare-space-disk.svg").exists());
}

#[test]
fn unknown_names_are_refused_before_anything_runs() {
    let dir = tempfile::tempdir().unwrap();
    for (option, name) in [("--engines", "nosuch"), ("--workloads", "nosuch")] {
        let run = compare(&["run", option, name], &dir.path().join("out"));
        assert!(!run.status.success());
        assert!(text(&run).contains("nosuch: see `list`"), "{}", text(&run));
    }
}
