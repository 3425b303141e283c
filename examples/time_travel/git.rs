//! A git repository, read through `git` itself: its commits, its trees and the
//! differences between them. Everything that the database is compared with
//! comes from here. `-z` everywhere, so that names are raw bytes.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use vellum::Bytes;

use super::Result;
use super::pipe::Pipe;

/// A file mode as git writes it: six octal digits.
pub(crate) type Mode = [u8; 6];

/// The mode of a submodule: its object is a commit of another repository.
pub(crate) const GITLINK: Mode = *b"160000";

/// What a path names in a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) mode: Mode,
    /// In hexadecimal.
    pub(crate) id: String,
}

/// A path whose object differs between two trees.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) path: Bytes,
    pub(crate) before: Option<Object>,
    pub(crate) after: Option<Object>,
}

/// A commit, as far as it becomes a version.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) id: String,
    pub(crate) tree: String,
    pub(crate) author: String,
    pub(crate) time_ms: i64,
    pub(crate) message: String,
}

/// A repository that `git` can read.
#[derive(Debug)]
pub(crate) struct Repo {
    dir: PathBuf,
    /// The id of the tree without entries.
    pub(crate) empty_tree: String,
    /// Whether history was cut off when the repository was cloned.
    pub(crate) is_shallow: bool,
}

impl Repo {
    /// The repository that `path` lies in.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut find = git();
        let found = run(find.arg("-C").arg(path).args(["rev-parse", "--absolute-git-dir"]))
            .map_err(|e| format!("{} is not in a git repository: {e}", path.display()))?;
        let mut repo =
            Self { dir: line(&found).into(), empty_tree: String::new(), is_shallow: false };
        let empty = run(repo.git().args(["hash-object", "-t", "tree", "--stdin"]))?;
        repo.empty_tree = line(&empty);
        let shallow = run(repo.git().args(["rev-parse", "--is-shallow-repository"]))?;
        repo.is_shallow = line(&shallow) == "true";
        Ok(repo)
    }

    /// Its git directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A `git` command on this repository.
    pub(crate) fn git(&self) -> Command {
        let mut command = git();
        command.arg("--git-dir").arg(&self.dir);
        command
    }

    /// Every commit that can be reached from `rev`, parents before children,
    /// merged branches one after the other.
    pub(crate) fn commits(&self, rev: &str) -> Result<Vec<Commit>> {
        let mut parse = self.git();
        parse.args(["rev-parse", "--verify", "--quiet", "--end-of-options"]);
        let tip = run(parse.arg(format!("{rev}^{{commit}}")))
            .map_err(|_| format!("no commit at {rev}: is the repository empty?"))?;
        let mut list = self.git();
        list.args(["rev-list", "--topo-order", "--reverse", "--encoding=UTF-8"])
            .args(["--no-commit-header", "--format=%H%x00%T%x00%an <%ae>%x00%at%x00%B%x00"]);
        let out = run(list.arg(line(&tip)))?;
        let mut fields = out.split(|&b| b == 0);
        let mut commits = Vec::new();
        while let Some(id) = fields.next().map(<[u8]>::trim_ascii_start).filter(|f| !f.is_empty()) {
            let mut field = || fields.next().map(text).ok_or("git rev-list gave half a commit");
            let (tree, author, time, message) = (field()?, field()?, field()?, field()?);
            // A commit with a damaged date has none.
            let time_ms = time.parse::<i64>().unwrap_or(0).saturating_mul(1000);
            commits.push(Commit { id: text(id), tree, author, time_ms, message });
        }
        Ok(commits)
    }

    /// Every file of a tree, in bytewise order of the paths.
    pub(crate) fn files(&self, tree: &str) -> Result<Vec<(Bytes, Object)>> {
        let out = run(self.git().args(["ls-tree", "-r", "-z", "--full-tree", tree]))?;
        let mut files = Vec::new();
        for entry in out.split(|&b| b == 0).filter(|e| !e.is_empty()) {
            let bad = || format!("git ls-tree gave {:?}", text(entry));
            let tab = entry.iter().position(|&b| b == b'\t').ok_or_else(bad)?;
            let (head, path) = entry.split_at(tab);
            let mut words = head.split(|&b| b == b' ');
            let (mode, _kind, id) = (words.next(), words.next(), words.next());
            let object = object(mode, id).ok_or_else(bad)?;
            files.push((Bytes::copy_from_slice(path.get(1..).unwrap_or_default()), object));
        }
        files.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(files)
    }

    /// Bytes that git takes on disk for its objects.
    pub(crate) fn disk_bytes(&self) -> Result<u64> {
        let out = text(&run(self.git().args(["count-objects", "-v"]))?);
        let kib = |name| {
            let lines = out.lines().filter_map(|l| l.split_once(": "));
            lines
                .filter(|(n, _)| *n == name)
                .filter_map(|(_, v)| v.parse::<u64>().ok())
                .sum::<u64>()
        };
        Ok((kib("size") + kib("size-pack")) * 1024)
    }
}

/// `git diff-tree`, kept running: one question after the other.
#[derive(Debug)]
pub(crate) struct Differ(Pipe);

impl Differ {
    pub(crate) fn start(repo: &Repo) -> Result<Self> {
        let mut command = repo.git();
        command.args(["diff-tree", "--stdin", "-r", "-z", "--raw", "--no-abbrev", "--no-renames"]);
        Ok(Self(Pipe::start(&mut command)?))
    }

    /// The paths that differ between two trees, in bytewise order.
    pub(crate) fn diff(&mut self, from: &str, to: &str) -> Result<Vec<Change>> {
        // What is no pair of trees is echoed and flushed: the end of the answer.
        writeln!(self.0.stdin, "{from} {to}\nEND")?;
        self.0.stdin.flush()?;
        self.0.read_until(b'\n')?;
        let mut changes = Vec::new();
        loop {
            let start = self.0.peek()?;
            if start != b':' {
                break;
            }
            let head = self.0.read_until(0)?;
            let path = self.0.read_until(0)?;
            let mut words = head.get(1..).unwrap_or_default().split(|&b| b == b' ');
            let (old, new) = (words.next(), words.next());
            let (old_id, new_id) = (words.next(), words.next());
            let bad = || format!("git diff-tree gave {:?}", text(&head));
            let before = object(old, old_id).ok_or_else(bad)?;
            let after = object(new, new_id).ok_or_else(bad)?;
            let present = |o: Object| (o.mode != *b"000000").then_some(o);
            changes.push(Change {
                path: path.into(),
                before: present(before),
                after: present(after),
            });
        }
        match self.0.read_until(b'\n')?.as_slice() {
            b"END" => {}
            other => return Err(format!("git diff-tree gave {:?}", text(other)).into()),
        }
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(changes)
    }
}

fn object(mode: Option<&[u8]>, id: Option<&[u8]>) -> Option<Object> {
    Some(Object { mode: mode?.try_into().ok()?, id: text(id?) })
}

/// `git` without what the environment or a work tree could change about its
/// answers: no replaced objects, no fetching, no questions, plain English.
fn git() -> Command {
    let mut command = Command::new("git");
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"] {
        command.env_remove(name);
    }
    for name in ["GIT_NO_REPLACE_OBJECTS", "GIT_NO_LAZY_FETCH"] {
        command.env(name, "1");
    }
    command.env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C").stdin(Stdio::null());
    command
}

/// Runs a command to its end and returns what it printed.
fn run(command: &mut Command) -> Result<Vec<u8>> {
    let out = command.output().map_err(|e| format!("cannot run git: {e}"))?;
    if out.status.success() {
        return Ok(out.stdout);
    }
    Err(format!("{} ({})", text(&out.stderr).trim(), out.status).into())
}

fn line(out: &[u8]) -> String {
    text(out).trim_end_matches('\n').into()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
