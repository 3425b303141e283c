//! A file system as far as a power loss goes: what is durable, what is not
//! yet, and what may be left.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use super::content::{Change, Content};
use crate::random::Rng;

/// What a file system promises about names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Profile {
    /// As ext4 with a journal: an fsync of anything makes every earlier change
    /// of names durable, in their order.
    Ext4,
    /// As POSIX may be read: a name is durable after an fsync of its directory,
    /// and each directory may keep or lose its changes apart from the others.
    Strict,
}

/// The number of a file or directory.
pub(super) type Ino = usize;

/// The directory that everything is in.
pub(super) const ROOT: Ino = 0;

/// One event of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A directory comes to be, without a name yet.
    Dir(Ino),
    /// A file changes.
    Data(Ino, Change),
    /// A name in a directory comes to mean something, or nothing.
    Name(Ino, OsString, Option<Ino>),
    /// A name moves, within one directory.
    Rename(Ino, OsString, OsString),
    /// What happened to a file or directory before event `.1` is durable.
    Sync(Ino, usize),
    /// An fsync failed: what happened to a file before event `.1` is no longer written by
    /// a later one, as the kernel takes it for written (Rebello and others, "Can
    /// Applications Recover from fsync Failures?", ATC 2020).
    SyncFailed(Ino, usize),
    /// The child said a line.
    Said(String),
}

#[derive(Clone, Debug, Default)]
struct FileState {
    now: Content,
    synced: Content,
    pending: Vec<(usize, Change)>,
}

type Names = BTreeMap<OsString, Ino>;

#[derive(Clone, Debug, Default)]
struct DirState {
    now: Names,
    synced: Names,
    pending: Vec<(usize, NameChange)>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Set(OsString, Option<Ino>),
    Rename(OsString, OsString),
}

impl NameChange {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Set(name, Some(ino)) => drop(names.insert(name.clone(), *ino)),
            Self::Set(name, None) => drop(names.remove(name)),
            Self::Rename(from, to) => {
                if let Some(ino) = names.remove(from) {
                    names.insert(to.clone(), ino);
                }
            }
        }
    }
}

/// How a state is made of what is durable and what is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Everything that happened: a process that was killed.
    Kill,
    /// Only what was synced.
    Min,
    /// Everything, but of the last write only the beginning.
    Torn,
    /// Of each unit of so many bytes that was not synced the old or the new;
    /// of the names, a beginning of the changes.
    Rand(usize),
}

/// A file system that follows a run.
#[derive(Debug)]
pub(super) struct Disk {
    profile: Profile,
    files: HashMap<Ino, FileState>,
    dirs: HashMap<Ino, DirState>,
    events: usize,
    last: Option<(Ino, Change)>,
}

impl Disk {
    /// With nothing but what stands in the image, all of it durable.
    pub(super) fn new(profile: Profile, base: &Base) -> Self {
        let durable =
            |c: &Content| FileState { now: c.clone(), synced: c.clone(), pending: Vec::new() };
        let files = base.files.iter().map(|(ino, content)| (*ino, durable(content))).collect();
        let names = |n: &Names| DirState { now: n.clone(), synced: n.clone(), pending: Vec::new() };
        let dirs = base.dirs.iter().map(|(ino, n)| (*ino, names(n))).collect();
        Self { profile, files, dirs, events: 0, last: None }
    }

    /// Takes in the next event.
    pub(super) fn take(&mut self, event: &Event) {
        let at = self.events;
        self.events += 1;
        self.last = None;
        match event {
            Event::Data(ino, change) => {
                let file = self.files.entry(*ino).or_default();
                file.now.apply(change);
                file.pending.push((at, change.clone()));
                self.last = Some((*ino, change.clone()));
            }
            Event::Name(dir, name, ino) => {
                self.change(*dir, at, NameChange::Set(name.clone(), *ino));
            }
            Event::Rename(dir, from, to) => {
                self.change(*dir, at, NameChange::Rename(from.clone(), to.clone()));
            }
            Event::Dir(ino) => drop(self.dirs.entry(*ino).or_default()),
            Event::Sync(ino, before) => self.sync(*ino, *before),
            Event::SyncFailed(ino, before) => {
                if let Some(file) = self.files.get_mut(ino) {
                    file.pending.retain(|(at, _)| at >= before);
                }
            }
            Event::Said(_) => {}
        }
    }

    fn change(&mut self, dir: Ino, at: usize, change: NameChange) {
        let dir = self.dirs.entry(dir).or_default();
        change.apply(&mut dir.now);
        dir.pending.push((at, change));
    }

    fn sync(&mut self, ino: Ino, before: usize) {
        if let Some(file) = self.files.get_mut(&ino) {
            let synced = &mut file.synced;
            file.pending.retain(|(at, change)| {
                let is_later = *at >= before;
                if !is_later {
                    synced.apply(change);
                }
                is_later
            });
        }
        for (number, dir) in &mut self.dirs {
            if self.profile == Profile::Ext4 || *number == ino {
                let synced = &mut dir.synced;
                dir.pending.retain(|(at, change)| {
                    let is_later = *at >= before;
                    if !is_later {
                        change.apply(synced);
                    }
                    is_later
                });
            }
        }
    }

    /// A state that may be found after the power is lost here; `None` if there
    /// is none of this kind.
    pub(super) fn state(&self, kind: Kind, rng: &mut Rng) -> Option<Image> {
        let mut torn = None;
        if kind == Kind::Torn {
            let (ino, change) = self.last.as_ref()?;
            torn = Some((*ino, self.before_last(*ino, &change.torn(rng)?)?));
        }
        // All directories keep the changes before one moment, or each its own.
        let common = rng.below(self.events as u64 + 1);
        let mut image = Image::default();
        let mut open = vec![(ROOT, PathBuf::new())];
        while let Some((number, path)) = open.pop() {
            let Some(dir) = self.dirs.get(&number) else { continue };
            let names = match kind {
                Kind::Kill | Kind::Torn => dir.now.clone(),
                Kind::Min => dir.synced.clone(),
                Kind::Rand(_) => {
                    let own = rng.below(self.events as u64 + 1);
                    let cut = if self.profile == Profile::Ext4 { common } else { own };
                    let mut names = dir.synced.clone();
                    let kept = dir.pending.iter().filter(|(at, _)| (*at as u64) < cut);
                    kept.for_each(|(_, change)| change.apply(&mut names));
                    names
                }
            };
            for (name, ino) in names {
                let path = path.join(name);
                if self.dirs.contains_key(&ino) {
                    image.0.insert(path.clone(), None);
                    open.push((ino, path));
                    continue;
                }
                let nothing = FileState::default();
                let file = self.files.get(&ino).unwrap_or(&nothing);
                let content = match (kind, &torn) {
                    (Kind::Torn, Some((at, content))) if *at == ino => content.clone(),
                    (Kind::Kill | Kind::Torn, _) => file.now.clone(),
                    (Kind::Min, _) => file.synced.clone(),
                    (Kind::Rand(unit), _) => file.synced.mix(&file.now, unit, rng),
                };
                image.0.insert(path, Some(content));
            }
        }
        Some(image)
    }

    /// A file with another last change.
    fn before_last(&self, ino: Ino, instead: &Change) -> Option<Content> {
        let file = self.files.get(&ino)?;
        let (_, earlier) = file.pending.split_last()?;
        let mut content = file.synced.clone();
        earlier.iter().for_each(|(_, change)| content.apply(change));
        content.apply(instead);
        Some(content)
    }
}

/// What a run begins with.
#[derive(Clone, Debug, Default)]
pub(super) struct Base {
    pub(super) files: HashMap<Ino, Content>,
    pub(super) dirs: HashMap<Ino, Names>,
}

/// A directory as it is found: `None` is a directory, the rest are files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Image(BTreeMap<PathBuf, Option<Content>>);

impl Image {
    /// What stands in a directory of this machine.
    pub(super) fn load(root: &Path) -> io::Result<Self> {
        let mut image = Self::default();
        let mut open = vec![PathBuf::new()];
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(root.join(&dir))? {
                let path = dir.join(entry?.file_name());
                let full = root.join(&path);
                if full.is_dir() {
                    image.0.insert(path.clone(), None);
                    open.push(path);
                } else {
                    image.0.insert(path, Some(Content::load(&full)?));
                }
            }
        }
        Ok(image)
    }

    /// Makes it in an empty directory.
    pub(super) fn store(&self, root: &Path) -> io::Result<()> {
        // A directory sorts before what is in it.
        for (path, content) in &self.0 {
            match content {
                None => std::fs::create_dir_all(root.join(path))?,
                Some(content) => content.store(&root.join(path))?,
            }
        }
        Ok(())
    }

    /// The same, by number.
    pub(super) fn base(&self) -> Base {
        let mut base = Base::default();
        base.dirs.insert(ROOT, Names::new());
        let mut numbers = HashMap::from([(PathBuf::new(), ROOT)]);
        for (n, (path, content)) in (1..).zip(&self.0) {
            numbers.insert(path.clone(), n);
            match content {
                None => drop(base.dirs.insert(n, Names::new())),
                Some(content) => drop(base.files.insert(n, content.clone())),
            }
            let parent = path.parent().and_then(|parent| numbers.get(parent));
            let names = parent.and_then(|parent| base.dirs.get_mut(parent));
            if let (Some(names), Some(name)) = (names, path.file_name()) {
                names.insert(name.to_owned(), n);
            }
        }
        base
    }

    /// A number that is another one for another image, as good as surely.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = std::hash::DefaultHasher::new();
        for (path, content) in &self.0 {
            path.hash(&mut hasher);
            content.as_ref().map(Content::fingerprint).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// The first path where two differ.
    pub(super) fn difference(&self, other: &Self) -> Option<PathBuf> {
        let mut paths = self.0.keys().chain(other.0.keys());
        let all_zero = |image: &Self, path: &PathBuf| {
            image.0.get(path).map(|content| content.as_ref().map(Content::without_zeros))
        };
        paths.find(|path| all_zero(self, path) != all_zero(other, path)).cloned()
    }
}
