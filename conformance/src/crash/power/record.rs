//! Records what a child does to its directory.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use super::content::Change;
use super::disk::{Base, Disk, Event, Image, Ino, Kind, Profile, ROOT};
use super::trace::{self, Call};
use crate::crash::child::{Job, said as said_by_child};
use crate::crash::scene::Scene;
use crate::random::Rng;

/// The events of a run, and what it began with.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) base: Base,
    pub(super) events: Vec<Event>,
}

/// Runs a job in a directory and records it to the end. If `fails` is given, the call of this
/// name and number fails in each thread, and the child may tell so and end.
///
/// # Errors
/// If the child fails, or does what cannot be followed: what the recorded
/// events make of the directory must be what really stands in it.
pub(super) fn record(
    scene: &Scene,
    job: &Job,
    dir: &Path,
    fails: Option<(&str, u64)>,
) -> Result<Recording, String> {
    let failed = |what: &'static str| move |e: std::io::Error| format!("{what}: {e}");
    let root = dir.join("db");
    std::fs::create_dir_all(&root).map_err(failed("creating the directory"))?;
    let root = root.canonicalize().map_err(failed("finding the directory"))?;
    let base = Image::load(&root).map_err(failed("reading the directory"))?.base();
    let file = dir.join("trace");
    let mut options: Vec<OsString> = ["-f", "-y", "-xx", "-s", "99999999", "-e", trace::CALLS]
        .into_iter()
        .map(OsString::from)
        .collect();
    options.extend(["-o".into(), file.clone().into_os_string()]);
    if let Some((call, n)) = fails {
        options.extend(["-e".into(), format!("inject={call}:error=EIO:when={n}").into()]);
    }
    // What the child says goes into a pipe, as it does elsewhere.
    let mut child = scene.traced(&options, job, &root);
    let output = child.stdout(Stdio::piped()).stderr(Stdio::piped()).output();
    let output = output.map_err(failed("running strace"))?;
    let has_told = fails.is_some() && output.status.code() == Some(5);
    if !output.status.success() && !has_told {
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let more = String::from_utf8_lossy(&output.stderr).into_owned();
        let last = said.lines().rev().take(3).chain(more.lines().rev().take(5));
        let last: Vec<_> = last.collect();
        return Err(format!("the recorded child failed ({}): {last:?}", output.status));
    }
    let text = std::fs::read_to_string(&file).map_err(failed("reading the trace"))?;
    let mut follower = Follower::new(&root, &base);
    for call in trace::parse(&text) {
        follower.take(&call)?;
    }
    let recording = Recording { base, events: follower.events };
    recording.check(&root)?;
    Ok(recording)
}

impl Recording {
    /// Whether the events make what really stands there.
    fn check(&self, root: &Path) -> Result<(), String> {
        let mut disk = Disk::new(Profile::Strict, &self.base);
        self.events.iter().for_each(|event| disk.take(event));
        let made = disk.state(Kind::Kill, &mut Rng::new(0)).unwrap_or_default();
        let real = Image::load(root).map_err(|e| format!("reading the directory: {e}"))?;
        match made.difference(&real) {
            None => Ok(()),
            Some(path) => Err(format!(
                "the recorded calls do not make what stands in {}: it is written in a way that \
                 the recorder does not follow",
                path.display()
            )),
        }
    }
}

/// Turns calls with paths and descriptors into events with numbers.
#[derive(Debug)]
struct Follower {
    root: PathBuf,
    names: HashMap<Ino, HashMap<OsString, Ino>>,
    open: HashMap<i64, Open>,
    next: Ino,
    /// How many calls were taken in, and the event that each of them was
    /// followed by.
    calls: Vec<usize>,
    events: Vec<Event>,
}

#[derive(Clone, Debug)]
struct Open {
    ino: Ino,
    at: u64,
    appends: bool,
}

impl Follower {
    fn new(root: &Path, base: &Base) -> Self {
        let names = |n: &std::collections::BTreeMap<OsString, Ino>| {
            n.iter().map(|(name, ino)| (name.clone(), *ino)).collect()
        };
        Self {
            root: root.to_owned(),
            names: base.dirs.iter().map(|(ino, n)| (*ino, names(n))).collect(),
            open: HashMap::new(),
            next: base.dirs.keys().chain(base.files.keys()).max().map_or(1, |n| n + 1),
            calls: Vec::new(),
            events: Vec::new(),
        }
    }

    /// The file or directory of a path, if it is in the root.
    fn find(&self, path: &Path) -> Option<Ino> {
        let inside = path.strip_prefix(&self.root).ok()?;
        inside
            .components()
            .try_fold(ROOT, |dir, name| self.names.get(&dir)?.get(name.as_os_str()).copied())
    }

    /// The directory and name of a path that is in the root.
    fn place(&self, path: &Path) -> Option<(Ino, OsString)> {
        Some((self.find(path.parent()?)?, path.file_name()?.to_owned()))
    }

    fn is_inside(&self, path: Option<&PathBuf>) -> bool {
        path.is_some_and(|path| path.starts_with(&self.root))
    }

    fn set(&mut self, (dir, name): (Ino, OsString), ino: Option<Ino>) {
        let names = self.names.entry(dir).or_default();
        match ino {
            Some(ino) => drop(names.insert(name.clone(), ino)),
            None => drop(names.remove(&name)),
        }
        self.events.push(Event::Name(dir, name, ino));
    }

    fn take(&mut self, call: &Call) -> Result<(), String> {
        let is_failed_sync = call.result < 0 && matches!(&*call.name, "fsync" | "fdatasync");
        if call.result >= 0 || is_failed_sync {
            self.follow(call).ok_or_else(|| {
                format!("a call that the recorder cannot follow: {}", call.brief())
            })?;
        }
        self.calls.push(self.events.len());
        Ok(())
    }

    /// `None` where a call on the directory is not understood.
    fn follow(&mut self, call: &Call) -> Option<()> {
        let at = call.name.ends_with("at").then_some(0);
        let of_at = usize::from(at.is_some());
        match call.name.as_str() {
            "open" | "openat" | "creat" => self.opened(call, of_at)?,
            "close" => drop(call.descriptor(0).and_then(|fd| self.open.remove(&fd))),
            "dup" | "dup2" | "dup3" => {
                // Two descriptors with one position are not followed.
                return (!self.is_inside(call.path_of(0).as_ref())).then_some(());
            }
            "lseek" => {
                let position = u64::try_from(call.result).ok()?;
                if let Some(open) = call.descriptor(0).and_then(|fd| self.open.get_mut(&fd)) {
                    open.at = position;
                }
            }
            "write" => self.written(call, call.bytes(1)?, None)?,
            "pwrite64" => self.written(call, call.bytes(1)?, Some(call.number(3)?))?,
            "writev" => self.written(call, call.gathered(), None)?,
            "ftruncate" => self.changed(call, Change::SetLen(call.number(1)?))?,
            "fallocate" => {
                let keeps = call.arguments.get(1)?.contains("KEEP_SIZE");
                let end = call.number(2)? + call.number(3)?;
                if !keeps {
                    self.changed(call, Change::Extend(end))?;
                }
            }
            "mkdir" | "mkdirat" => {
                if let Some(place) = self.place(&call.path(at, of_at)?) {
                    let ino = self.next;
                    self.next += 1;
                    self.names.insert(ino, HashMap::new());
                    self.events.push(Event::Dir(ino));
                    self.set(place, Some(ino));
                }
            }
            "unlink" | "unlinkat" | "rmdir" => {
                if let Some(place) = self.place(&call.path(at, of_at)?) {
                    self.set(place, None);
                }
            }
            "rename" | "renameat" | "renameat2" => self.renamed(call)?,
            "fsync" | "fdatasync" => {
                let path = call.path_of(0)?;
                let open = call.descriptor(0).and_then(|fd| self.open.get(&fd));
                if let Some(ino) = open.map(|open| open.ino).or_else(|| self.find(&path)) {
                    // What was written while it ran may have come too late.
                    let before = match call.begun.checked_sub(1) {
                        Some(last) => self.calls.get(last).copied()?,
                        None => 0,
                    };
                    let event = if call.result < 0 { Event::SyncFailed } else { Event::Sync };
                    self.events.push(event(ino, before));
                }
            }
            // Whatever else could change the directory must not do it there.
            _ => {
                let paths =
                    (0..call.arguments.len()).flat_map(|n| [call.path_of(n), call.path(None, n)]);
                return (!paths.flatten().any(|p| self.is_inside(Some(&p)))).then_some(());
            }
        }
        Some(())
    }

    fn opened(&mut self, call: &Call, of_at: usize) -> Option<()> {
        let Some(path) = call.path.clone().filter(|p| p.starts_with(&self.root)) else {
            return Some(());
        };
        let flags = call.arguments.get(of_at + 1)?;
        let ino = match self.find(&path) {
            Some(ino) => ino,
            None => {
                let ino = self.next;
                self.next += 1;
                let place = self.place(&path)?;
                self.set(place, Some(ino));
                ino
            }
        };
        if flags.contains("O_TRUNC") {
            self.events.push(Event::Data(ino, Change::SetLen(0)));
        }
        let open = Open { ino, at: 0, appends: flags.contains("O_APPEND") };
        self.open.insert(call.result, open);
        Some(())
    }

    fn written(&mut self, call: &Call, mut bytes: Vec<u8>, at: Option<u64>) -> Option<()> {
        let path = call.path_of(0)?;
        if call.name == "writev" && !path.starts_with(&self.root) {
            let said = String::from_utf8_lossy(&bytes);
            let said = said.lines().filter_map(said_by_child);
            self.events.extend(said.map(|line| Event::Said(line.to_owned())));
            return Some(());
        }
        let Some(open) = call.descriptor(0).and_then(|fd| self.open.get_mut(&fd)) else {
            return (!path.starts_with(&self.root)).then_some(());
        };
        bytes.truncate(usize::try_from(call.result).ok()?);
        if open.appends {
            open.at = len_of(&self.events, open.ino);
        }
        let begin = at.unwrap_or(open.at);
        if at.is_none() {
            open.at = begin + bytes.len() as u64;
        }
        self.events.push(Event::Data(open.ino, Change::Write(begin, Arc::new(bytes))));
        Some(())
    }

    fn changed(&mut self, call: &Call, change: Change) -> Option<()> {
        if let Some(open) = call.descriptor(0).and_then(|fd| self.open.get(&fd)) {
            self.events.push(Event::Data(open.ino, change));
        }
        Some(())
    }

    fn renamed(&mut self, call: &Call) -> Option<()> {
        let (from, to) = match call.name.as_str() {
            "rename" => (call.path(None, 0)?, call.path(None, 1)?),
            _ => (call.path(Some(0), 1)?, call.path(Some(2), 3)?),
        };
        if !self.is_inside(Some(&from)) && !self.is_inside(Some(&to)) {
            return Some(());
        }
        let (from, to) = (self.place(&from)?, self.place(&to)?);
        // Between two directories it is two changes, which a crash may part.
        if from.0 != to.0 {
            return None;
        }
        let names = self.names.entry(from.0).or_default();
        let ino = names.remove(&from.1)?;
        names.insert(to.1.clone(), ino);
        self.events.push(Event::Rename(from.0, from.1, to.1));
        Some(())
    }
}

/// How long a file is after these events.
fn len_of(events: &[Event], ino: Ino) -> u64 {
    let changes = events.iter().filter_map(|event| match event {
        Event::Data(of, change) if *of == ino => Some(change),
        _ => None,
    });
    changes.fold(0, |len, change| match change {
        Change::Write(at, bytes) => len.max(at + bytes.len() as u64),
        Change::SetLen(to) => *to,
        Change::Extend(to) => len.max(*to),
    })
}
