//! The `time_travel` example on a small history with everything that git
//! allows, and on histories that are not what was imported.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

#[path = "../examples/time_travel/main.rs"]
#[expect(dead_code, reason = "its main function is not called from here")]
mod time_travel;

use time_travel::Report;

/// A history as `git fast-import` reads it.
#[derive(Default)]
struct History {
    stream: Vec<u8>,
    commits: usize,
}

impl History {
    /// A commit on `parents`; its changes follow.
    fn commit(&mut self, parents: &[usize], message: &[u8]) -> usize {
        self.commits += 1;
        let (n, time) = (self.commits, 1_700_000_000 + self.commits * 60);
        self.line(&format!("commit refs/heads/work{n}\nmark :{n}"));
        self.line(&format!("author Ada Lovelace <ada@example.org> {time} +0130"));
        self.line(&format!("committer C <c@example.org> {time} +0000"));
        self.data(message);
        for (i, parent) in parents.iter().enumerate() {
            self.line(&format!("{} :{parent}", if i == 0 { "from" } else { "merge" }));
        }
        n
    }

    fn put(&mut self, mode: &str, path: &[u8], contents: &[u8]) {
        self.line(&format!("M {mode} inline {}", quoted(path)));
        self.data(contents);
    }

    fn submodule(&mut self, path: &[u8], digit: char) {
        let id = digit.to_string().repeat(40);
        self.line(&format!("M 160000 {id} {}", quoted(path)));
    }

    fn delete(&mut self, path: &[u8]) {
        self.line(&format!("D {}", quoted(path)));
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) {
        self.line(&format!("R {} {}", quoted(from), quoted(to)));
    }

    fn data(&mut self, bytes: &[u8]) {
        self.line(&format!("data {}", bytes.len()));
        self.stream.extend_from_slice(bytes);
        self.stream.push(b'\n');
    }

    fn line(&mut self, line: &str) {
        self.stream.extend_from_slice(line.as_bytes());
        self.stream.push(b'\n');
    }

    /// Writes a bare repository whose HEAD is the newest commit.
    fn write_to(mut self, dir: &Path) {
        let newest = self.commits;
        self.line(&format!("reset refs/heads/main\nfrom :{newest}\n"));
        git(&["init", "-q", "--bare", "-b", "main", dir.to_str().unwrap()], b"");
        git(&["--git-dir", dir.to_str().unwrap(), "fast-import", "--quiet"], &self.stream);
    }
}

fn quoted(path: &[u8]) -> String {
    let octal: String = path.iter().map(|b| format!("\\{b:03o}")).collect();
    format!("\"{octal}\"")
}

fn git(args: &[&str], input: &[u8]) {
    let mut child = Command::new("git").args(args).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    assert!(child.wait().unwrap().success(), "git {args:?}");
}

/// What the newest commit holds, so that one thing of it can be made different.
struct Newest<'a> {
    message: &'a str,
    mode: &'a str,
    path: &'a str,
    contents: &'a str,
}

const NEWEST: Newest<'_> =
    Newest { message: "the newest", mode: "100644", path: "dir/file", contents: "contents" };

/// Every special case, one after the other.
fn special_cases(newest: &Newest<'_>) -> History {
    let mut h = History::default();
    let every_byte: Vec<u8> = (0..=255).cycle().take(3 << 20).collect();
    let long = [&[b'l'; 200][..]; 20].join(&b'/');

    let c = h.commit(&[], b"nothing at all");
    let c = h.commit(&[c], b"all kinds of contents");
    h.put("100644", b"text", b"line\nline\n");
    h.put("100644", b"empty", b"");
    h.put("100755", b"program", b"#!/bin/sh\n");
    h.put("120000", b"link", b"text");
    h.put("100644", b"binary", &every_byte);
    h.put("100644", b"no newline at the end", b"\0");
    let c = h.commit(&[c], b"all kinds of names");
    for name in [
        &b"not utf-8 \xff\xfe"[..],
        b"line\nbreak",
        b"tab\t\"quote\" \\",
        b" ",
        b"\x01",
        b"commit",
        b"f/commit",
        b":100644",
        b"END",
        "\u{1f4dc}/\u{e9}".as_bytes(),
        b"dir/-/-f",
        &long,
    ] {
        h.put("100644", name, name);
    }
    let c = h.commit(&[c], b"names that sort by their slash");
    for name in [&b"s-t"[..], b"s.t", b"s/t", b"s0t", b"s/t.u", b"st"] {
        h.put("100644", name, b"s");
    }
    let c = h.commit(&[c], b"modes alone");
    h.put("100755", b"text", b"line\nline\n");
    h.put("100644", b"program", b"#!/bin/sh\n");
    let c = h.commit(&[c], b"kinds");
    h.put("100644", b"link", b"text");
    h.put("120000", b"empty", b"text");
    let c = h.commit(&[c], b"renames and deletions");
    h.rename(b"text", b"deep/er/text");
    h.delete(b"binary");
    h.delete(b"not utf-8 \xff\xfe");
    let c = h.commit(&[c], b"a file becomes a directory");
    h.delete(b"st");
    h.put("100644", b"st/in/side", b"1");
    let c = h.commit(&[c], b"a directory becomes a file");
    h.delete(b"s");
    h.put("100644", b"s", b"2");
    let c = h.commit(&[c], b"submodules");
    h.submodule(b"sub/module", '1');
    h.submodule(b"sub/other", '2');
    let c = h.commit(&[c], b"submodules move, and become files");
    h.submodule(b"sub/module", '3');
    h.delete(b"sub/other");
    h.put("100644", b"sub/other", b"");
    let fork = h.commit(&[c], b"nothing changed");
    let left = h.commit(&[fork], b"left");
    h.put("100644", b"both", b"left");
    h.put("100644", b"left", b"");
    let right = h.commit(&[fork], b"right");
    h.put("100644", b"both", b"right");
    h.delete(b"deep/er/text");
    let merge = h.commit(&[left, right], b"a merge, unlike both");
    h.put("100644", b"both", b"neither");
    let other = h.commit(&[], b"another root");
    h.put("100644", b"from another root", b"");
    let third = h.commit(&[fork], b"third");
    let c = h.commit(&[merge, other, third], b"an octopus of two roots");
    h.put("100644", b"from another root", b"");
    let c = h.commit(&[c], b"");
    h.put("100644", b"no message", b"");
    let c = h.commit(&[c], b"not utf-8 \xff \xc3\n\nbody\n\n");
    let c = h.commit(&[c], &b"long ".repeat(20_000));
    let c = h.commit(&[c], b"everything goes");
    h.line("deleteall");
    let c = h.commit(&[c], newest.message.as_bytes());
    h.put(newest.mode, newest.path.as_bytes(), newest.contents.as_bytes());
    h.put("100644", b"other", b"");
    assert_eq!(c, h.commits);
    h
}

fn travel(path: &Path, args: &[&str]) -> Result<Report, String> {
    let args = args.iter().map(OsString::from).chain([path.as_os_str().to_owned()]);
    time_travel::run(args).map(Option::unwrap).map_err(|e| e.to_string())
}

#[test]
fn every_special_case_of_git_comes_back_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    let history = special_cases(&NEWEST);
    let commits = history.commits;
    history.write_to(&repo);
    for backend in ["lsm", "mem"] {
        for durability in ["buffered", "sync"] {
            let args = ["--all", "--backend", backend, "--durability", durability];
            let report = travel(&repo, &args).unwrap();
            assert!(report.is_clean(), "{report}");
            assert!(report.to_string().contains(&format!("{commits} of {commits} versions")));
        }
    }
}

#[test]
fn every_difference_from_what_was_imported_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (repo, db) = (dir.path().join("repo"), dir.path().join("db"));
    special_cases(&NEWEST).write_to(&repo);
    assert!(travel(&repo, &["--keep", db.to_str().unwrap()]).unwrap().is_clean());
    let verify = ["--all", "--verify-only", "--keep", db.to_str().unwrap()];
    assert!(travel(&repo, &verify).unwrap().is_clean());

    for (n, (newest, difference)) in [
        (Newest { contents: "conTents", ..NEWEST }, "dir/file differs at byte 3"),
        (Newest { contents: "content", ..NEWEST }, "dir/file differs at byte 7"),
        (Newest { mode: "100755", ..NEWEST }, "dir/file has mode 100644, not 100755"),
        (Newest { path: "dir/fill", ..NEWEST }, "dir/fill is missing"),
        (Newest { path: "dir/fill", ..NEWEST }, "git has no dir/file"),
        (Newest { contents: "conTents", ..NEWEST }, "diff to the next: dir/file differs"),
        (Newest { path: "dir/fill", ..NEWEST }, "diff to the next: dir/file instead of dir/fill"),
        (Newest { path: "other", ..NEWEST }, "diff to the next: dir/file instead of other"),
        (Newest { message: "the latest", ..NEWEST }, "is not its metadata"),
        (Newest { message: "the latest", ..NEWEST }, "not with its commit"),
    ]
    .into_iter()
    .enumerate()
    {
        let other = dir.path().join(format!("other{n}"));
        special_cases(&newest).write_to(&other);
        let report = travel(&other, &verify).unwrap();
        assert!(!report.is_clean(), "{difference}");
        assert!(report.to_string().contains(difference), "{difference} is not in:\n{report}");
    }

    // Versions of commits that are not there, and commits without a version.
    let mut longer = special_cases(&NEWEST);
    let _ = longer.commit(&[longer.commits], b"one more");
    longer.write_to(&dir.path().join("longer"));
    let report = travel(&dir.path().join("longer"), &verify).unwrap().to_string();
    assert!(report.contains("it is not there"), "{report}");
    let fewer = ["--all", "--verify-only", "--commits", "5", "--keep", db.to_str().unwrap()];
    assert!(!travel(&repo, &fewer).unwrap().is_clean());
}

#[test]
fn repository_without_its_whole_history_or_contents_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let clone = |option, name| {
        let url = format!("file://{}", path("repo").display());
        git(&["clone", "-q", "--bare", option, &url, path(name).to_str().unwrap()], b"");
    };
    git(&["init", "-q", "--bare", path("empty").to_str().unwrap()], b"");
    assert!(travel(&path("empty"), &[]).unwrap_err().contains("is the repository empty?"));
    assert!(travel(&path("none"), &[]).unwrap_err().contains("is not in a git repository"));

    special_cases(&NEWEST).write_to(&path("repo"));
    clone("--depth=1", "shallow");
    let report = travel(&path("shallow"), &[]).unwrap();
    assert!(report.is_clean() && report.to_string().contains("a shallow clone: 1 commits"));

    let config = path("repo").join("config");
    git(&["config", "-f", config.to_str().unwrap(), "uploadpack.allowFilter", "true"], b"");
    clone("--filter=blob:none", "partial");
    assert!(travel(&path("partial"), &[]).unwrap_err().contains("does not have the blob"));
    assert!(travel(&path("partial"), &["--allow-missing", "--all"]).unwrap().is_clean());
}

#[test]
fn what_goes_over_a_limit_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut h = History::default();
    let _ = h.commit(&[], b"a path that is too long");
    h.put("100644", &[&[b'p'; 250][..]; 70].join(&b'/'), b"");
    h.write_to(&dir.path().join("path"));
    let error = travel(&dir.path().join("path"), &[]).unwrap_err();
    assert!(error.contains("a path of 17569 bytes is over the limit of 16382"), "{error}");

    let mut h = History::default();
    let _ = h.commit(&[], b"a blob that is too large");
    h.put("100644", b"large", &vec![0; vellum::MAX_VALUE_LEN]);
    h.write_to(&dir.path().join("blob"));
    let error = travel(&dir.path().join("blob"), &[]).unwrap_err();
    assert!(error.contains("has 67108864 bytes, over the limit of 67108858"), "{error}");
}

#[test]
fn wrong_command_line_is_refused() {
    for args in [
        &["--unknown"][..],
        &["--commits"],
        &["--commits", "some"],
        &["--backend", "tape"],
        &["--durability", "eternal"],
        &["--verify-only"],
        &["--backend", "mem", "--keep", "dir"],
        &["one", "two"],
    ] {
        assert!(time_travel::run(args.iter().map(OsString::from)).is_err(), "{args:?}");
    }
    assert!(time_travel::run(["--help".into()]).unwrap().is_none());
}
