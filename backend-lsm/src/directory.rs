//! The directory of a database: what stands in it, who holds it, how it is
//! created so that a crash at any point leaves nothing that does not open.
//!
//! ```text
//! lock      held, by a file lock, while the database is open
//! fjall/    fjall's own files
//! horizon   how far the journal is known to be durable
//! VELLUM    "vellum-lsm format 2, meta 1\n": written last
//! ```
//!
//! A directory without `VELLUM` in which nothing else stands than what this
//! module puts there was left by a creation that did not finish. Nothing was
//! acknowledged in it, so the next open starts over.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use vellum_core::{ErrorKind, Result};

use crate::error::{corrupted, error, io};
use crate::horizon::{self, Horizon};

/// The one format that this build reads and writes.
pub const FORMAT_VERSION: u32 = 2;

const MARKER: &str = "VELLUM";
const MARKER_NEW: &str = "VELLUM.new";
const LOCK: &str = "vellum.lock";
const FJALL: &str = "fjall";

/// A directory that this process holds.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    lock: File,
    /// The number of fjall's keyspace `meta`; `None` until it is created.
    pub(crate) meta: Option<u64>,
}

impl Drop for Directory {
    /// Unlocks by name: closing the file would leave the lock to a child that
    /// was being forked in this moment, until it executes.
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}

impl Directory {
    /// Takes hold of the directory, which may be absent or empty if `create`.
    /// A half-created database in it is removed.
    pub(crate) fn acquire(path: &Path, create: bool) -> Result<Self> {
        let names = list(path)?;
        let marker = names.iter().flatten().any(|name| name == MARKER);
        if !marker {
            // The lock comes first, so what stands without it is not ours.
            let locked = names.iter().flatten().any(|name| name == LOCK);
            let is_ours = |name: &&String| locked && OURS.contains(&name.as_str());
            let foreign = names.iter().flatten().find(|name| !is_ours(name));
            if let Some(name) = foreign {
                return Err(corrupted(format!(
                    "{} is not a Vellum database: it holds {name:?} and no file {MARKER}",
                    path.display()
                )));
            }
            if !create {
                refuse_unmarked(path)?;
                let message = format!("there is no database at {}", path.display());
                return Err(error(ErrorKind::Invalid, message));
            }
            create_dir(path)?;
        }
        let lock = lock(path)?;
        // Whoever held it may have finished meanwhile.
        let meta = match fs::read_to_string(path.join(MARKER)) {
            Ok(text) => Some(parse_marker(&text)?),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !marker => None,
            Err(e) if e.kind() == std::io::ErrorKind::InvalidData => {
                return Err(corrupted(format!("file {MARKER} is not text")));
            }
            Err(e) => return Err(io(format!("reading {MARKER}"))(e)),
        };
        let directory = Self { path: path.to_owned(), lock, meta };
        if directory.meta.is_none() {
            sync_dir(path)?;
            directory.clear()?;
        }
        Ok(directory)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn fjall(&self) -> PathBuf {
        self.path.join(FJALL)
    }

    /// Removes what a creation that did not finish left.
    fn clear(&self) -> Result<()> {
        refuse_unmarked(&self.path)?;
        for name in [FJALL, horizon::FILE, MARKER_NEW] {
            let path = self.path.join(name);
            let removed =
                if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            match removed {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(io(format!("removing the unfinished {name}"))(e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes the creation final: everything in the directory is made durable,
    /// its names included, and then the marker.
    pub(crate) fn finish(&mut self, meta: u64) -> Result<()> {
        self.sync_names()?;
        let new = self.path.join(MARKER_NEW);
        let text = marker(meta);
        let mut file = File::create(&new).map_err(io(format!("creating {MARKER}")))?;
        file.write_all(text.as_bytes()).map_err(io(format!("writing {MARKER}")))?;
        file.sync_all().map_err(io(format!("syncing {MARKER}")))?;
        fs::rename(&new, self.path.join(MARKER)).map_err(io(format!("naming {MARKER}")))?;
        sync_dir(&self.path)?;
        self.meta = Some(meta);
        Ok(())
    }

    /// Fsyncs every directory from the parent down, since fjall leaves out
    /// some of its own: a file is durable only if its name is.
    pub(crate) fn sync_names(&self) -> Result<()> {
        if let Some(parent) = self.path.parent().filter(|p| !p.as_os_str().is_empty()) {
            sync_dir(parent)?;
        }
        sync_dirs(&self.path)
    }
}

/// What may stand in a directory whose creation did not finish.
const OURS: [&str; 4] = [LOCK, FJALL, horizon::FILE, MARKER_NEW];

/// A database without marker whose creation finished has lost it.
fn refuse_unmarked(path: &Path) -> Result<()> {
    match Horizon::is_complete(path) {
        true => {
            let path = path.display();
            Err(corrupted(format!("file {MARKER} of the database {path} is missing")))
        }
        false => Ok(()),
    }
}

/// The names in a directory; `None` if it does not exist.
fn list(path: &Path) -> Result<Option<Vec<String>>> {
    let what = || format!("listing {}", path.display());
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => {
            return Err(corrupted(format!("{} is not a directory", path.display())));
        }
        Err(e) => return Err(io(what())(e)),
    };
    let names = entries.map(|e| e.map(|e| e.file_name().to_string_lossy().into_owned()));
    names.collect::<std::io::Result<_>>().map(Some).map_err(io(what()))
}

/// Creates a directory and those above it, and makes their names durable.
fn create_dir(path: &Path) -> Result<()> {
    let new: Vec<_> =
        path.ancestors().take_while(|p| !p.as_os_str().is_empty() && !p.exists()).collect();
    fs::create_dir_all(path).map_err(io(format!("creating {}", path.display())))?;
    for dir in new {
        match dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent)?,
            _ => sync_dir(Path::new("."))?,
        }
    }
    Ok(())
}

fn lock(path: &Path) -> Result<File> {
    let file =
        File::options().read(true).write(true).create(true).truncate(false).open(path.join(LOCK));
    let file = file.map_err(io(format!("opening {LOCK}")))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let message = format!("{} is open, here or in another process", path.display());
            Err(error(ErrorKind::Locked, message))
        }
        Err(TryLockError::Error(e)) => Err(io(format!("locking {LOCK}"))(e)),
    }
}

/// The text of the marker of a database whose keyspace `meta` has this number.
pub(crate) fn marker(meta: u64) -> String {
    format!("vellum-lsm format {FORMAT_VERSION}, meta {meta}\n")
}

/// The number of the keyspace `meta`, if the marker is of our format.
pub(crate) fn parse_marker(text: &str) -> Result<u64> {
    let foreign = || corrupted(format!("file {MARKER} is not one of a Vellum database"));
    let rest = text.strip_prefix("vellum-lsm format ").ok_or_else(foreign)?;
    let (format, rest) = rest.split_once(',').ok_or_else(foreign)?;
    let format: u32 = format.parse().map_err(|_| foreign())?;
    if format != FORMAT_VERSION {
        let other = if format > FORMAT_VERSION { "a newer" } else { "an older" };
        return Err(corrupted(format!(
            "the database has format {format}, and this build reads format {FORMAT_VERSION}: open \
             it with {other} one"
        )));
    }
    let meta = rest.strip_prefix(" meta ").and_then(|rest| rest.strip_suffix('\n'));
    meta.and_then(|meta| meta.parse().ok()).ok_or_else(foreign)
}

fn sync_dir(path: &Path) -> Result<()> {
    let synced = File::open(path).and_then(|dir| dir.sync_all());
    synced.map_err(io(format!("syncing directory {}", path.display())))
}

/// Fsyncs a directory and all directories in it.
fn sync_dirs(path: &Path) -> Result<()> {
    let what = || format!("listing {}", path.display());
    for entry in fs::read_dir(path).map_err(io(what()))? {
        let entry = entry.map_err(io(what()))?;
        if entry.file_type().map_err(io(what()))?.is_dir() {
            sync_dirs(&entry.path())?;
        }
    }
    sync_dir(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(path: &Path) -> Option<(ErrorKind, String)> {
        Directory::acquire(path, true).err().map(|e| (e.kind(), e.message().to_owned()))
    }

    fn temp() -> Result<tempfile::TempDir> {
        tempfile::tempdir().map_err(io("making a directory"))
    }

    #[test]
    fn directory_is_held_by_one_at_a_time() -> Result<()> {
        let dir = temp()?;
        let held = Directory::acquire(dir.path(), true)?;
        assert_eq!(refused(dir.path()).map(|e| e.0), Some(ErrorKind::Locked));
        drop(held);
        assert_eq!(refused(dir.path()), None);
        Ok(())
    }

    #[test]
    fn lock_goes_with_the_directory_though_another_process_inherited_its_file() -> Result<()> {
        let dir = temp()?;
        let held = Directory::acquire(dir.path(), true)?;
        // What a child has that is being forked, until it executes.
        let inherited = held.lock.try_clone().map_err(io("duplicating"))?;
        drop(held);
        assert_eq!(refused(dir.path()), None);
        drop(inherited);
        Ok(())
    }

    #[test]
    fn foreign_directory_is_refused_by_name_and_left_alone() -> Result<()> {
        let dir = temp()?;
        fs::write(dir.path().join("CURRENT"), "x").map_err(io("writing"))?;
        let (kind, message) = refused(dir.path()).unwrap_or((ErrorKind::Io, String::new()));
        assert_eq!(kind, ErrorKind::Corrupted);
        assert!(message.contains("not a Vellum database") && message.contains("CURRENT"));
        assert!(!dir.path().join(LOCK).exists());
        Ok(())
    }

    #[test]
    fn other_format_and_foreign_marker_are_refused() -> Result<()> {
        for (text, says) in [
            (
                "vellum-lsm format 1, meta 1\n",
                "has format 1, and this build reads format 2: open it with an older",
            ),
            ("vellum-lsm format 3, meta 1\n", "format 3"),
            ("vellum-lsm format 99, whatever comes\n", "it with a newer"),
            ("something else", "not one of a Vellum"),
            ("vellum-lsm format 2, meta x\n", "not one of a Vellum"),
        ] {
            let dir = temp()?;
            fs::write(dir.path().join(MARKER), text).map_err(io("writing"))?;
            let (kind, message) = refused(dir.path()).unwrap_or((ErrorKind::Io, String::new()));
            assert_eq!(kind, ErrorKind::Corrupted);
            assert!(message.contains(says), "{message}");
        }
        Ok(())
    }

    #[test]
    fn absent_database_is_created_only_if_asked() -> Result<()> {
        let dir = temp()?;
        let path = dir.path().join("a/b");
        let absent = Directory::acquire(&path, false).err().map(|e| e.kind());
        assert_eq!(absent, Some(ErrorKind::Invalid));
        assert!(!path.exists());
        let mut created = Directory::acquire(&path, true)?;
        assert_eq!(created.meta, None);
        created.finish(7)?;
        drop(created);
        assert_eq!(Directory::acquire(&path, false)?.meta, Some(7));
        Ok(())
    }
}
