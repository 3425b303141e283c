//! The contents of files, from one long-lived `git cat-file --batch`.

use std::collections::HashMap;
use std::io::Write;

use vellum::{Bytes, MAX_VALUE_LEN};

use super::Result;
use super::git::{GITLINK, Object, Repo};
use super::layout::MODE_LEN;
use super::pipe::Pipe;

/// How many objects are asked for before the first answer is read. Their ids
/// fit the pipe, so asking never waits for git while git waits for us.
const WINDOW: usize = 256;

/// Bytes of contents that are remembered; twice as much at most.
const CACHE_BYTES: usize = 128 << 20;

/// Fetches and remembers contents.
#[derive(Debug)]
pub(crate) struct Blobs {
    git: Pipe,
    allow_missing: bool,
    /// Contents asked for of late, and those before them: when the first is
    /// full it becomes the second.
    recent: HashMap<String, Bytes>,
    older: HashMap<String, Bytes>,
    recent_bytes: usize,
}

impl Blobs {
    pub(crate) fn start(repo: &Repo, allow_missing: bool) -> Result<Self> {
        Ok(Self {
            git: Pipe::start(repo.git().args(["cat-file", "--batch"]))?,
            allow_missing,
            recent: HashMap::new(),
            older: HashMap::new(),
            recent_bytes: 0,
        })
    }

    /// What each file holds, in order: a blob's bytes; for a submodule the id
    /// of its commit; likewise the id, where a partial clone lacks the blob
    /// and that was allowed.
    pub(crate) fn contents(&mut self, files: &[&Object]) -> Result<Vec<Bytes>> {
        let mut contents = Vec::with_capacity(files.len());
        for files in files.chunks(WINDOW) {
            let mut asked = Vec::new();
            for file in files {
                if file.mode != GITLINK && self.cached(&file.id).is_none() {
                    writeln!(self.git.stdin, "{}", file.id)?;
                    asked.push(&file.id);
                }
            }
            self.git.stdin.flush()?;
            let mut fetched = HashMap::new();
            for id in asked {
                let blob = self.answer(id)?;
                fetched.insert(id, blob.clone());
                self.remember(id, blob);
            }
            for file in files {
                contents.push(match fetched.get(&file.id) {
                    _ if file.mode == GITLINK => Bytes::copy_from_slice(file.id.as_bytes()),
                    Some(blob) => blob.clone(),
                    // The cache may have let go of it while the rest was fetched.
                    None => match self.cached(&file.id) {
                        Some(blob) => blob,
                        None => self.fetch(&file.id)?,
                    },
                });
            }
        }
        Ok(contents)
    }

    fn fetch(&mut self, id: &str) -> Result<Bytes> {
        writeln!(self.git.stdin, "{id}")?;
        self.git.stdin.flush()?;
        let blob = self.answer(id)?;
        self.remember(id, blob.clone());
        Ok(blob)
    }

    fn answer(&mut self, id: &str) -> Result<Bytes> {
        let head = String::from_utf8_lossy(&self.git.read_until(b'\n')?).into_owned();
        match head.split(' ').collect::<Vec<_>>().as_slice() {
            [of, "blob", size] if *of == id => {
                let size = size.parse::<usize>()?;
                if size > MAX_VALUE_LEN - MODE_LEN {
                    let most = MAX_VALUE_LEN - MODE_LEN;
                    return Err(
                        format!("blob {id} has {size} bytes, over the limit of {most}").into()
                    );
                }
                let blob = self.git.read_exact(size)?;
                self.git.read_until(b'\n')?;
                Ok(blob.into())
            }
            [_, "missing"] if self.allow_missing => Ok(Bytes::copy_from_slice(id.as_bytes())),
            [_, "missing"] => {
                let hint = "a partial clone? --allow-missing records such files by their id";
                Err(format!("git does not have the blob {id} ({hint})").into())
            }
            _ => Err(format!("git cat-file answered {head:?} for {id}").into()),
        }
    }

    fn cached(&self, id: &str) -> Option<Bytes> {
        self.recent.get(id).or_else(|| self.older.get(id)).cloned()
    }

    fn remember(&mut self, id: &str, blob: Bytes) {
        if self.recent_bytes > CACHE_BYTES {
            self.older = std::mem::take(&mut self.recent);
            self.recent_bytes = 0;
        }
        self.recent_bytes += blob.len();
        self.recent.insert(id.into(), blob);
    }
}
