//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use vellum::Durability;

use super::Result;

pub(crate) const HELP: &str = "\
Imports the history of a git repository into a database, one transaction and
one saved version a commit; then closes it, reopens it, and compares versions,
the differences between neighbours, and a revert with what git says.

time_travel [PATH] [options]

  PATH                 the repository, or a directory in it    (default: .)
  --rev REV            import what REV can reach               (default: HEAD)
  --commits N          import the first N commits only
  --all                verify every version
  --sample N           verify N versions, spread evenly        (default: 100)
  --readers N          threads that check old versions while
                       the import runs                         (default: 2)
  --backend NAME       lsm or mem                              (default: lsm)
  --durability NAME    buffered: commits are handed to the operating system,
                       and one sync at the end makes them durable;
                       sync: each commit is fsynced            (default: buffered)
  --keep DIR           keep the database in DIR, which must not hold one
  --verify-only        do not import: verify the database that --keep made
  --allow-missing      in a partial clone, record files whose contents are not
                       there by the id of their blob
  --help               this text

Exits with 1 on any difference or error.";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Lsm,
    Mem,
}

#[derive(Clone, Debug)]
pub(crate) struct Args {
    pub(crate) path: PathBuf,
    pub(crate) rev: String,
    pub(crate) commits: Option<usize>,
    /// How many versions to verify; `None` is all.
    pub(crate) sample: Option<usize>,
    pub(crate) readers: usize,
    pub(crate) backend: Backend,
    pub(crate) durability: Durability,
    pub(crate) keep: Option<PathBuf>,
    pub(crate) verify_only: bool,
    pub(crate) allow_missing: bool,
}

impl Args {
    /// `None` if help was asked for.
    pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Option<Self>> {
        let mut path = None;
        let mut parsed = Self {
            path: ".".into(),
            rev: "HEAD".into(),
            commits: None,
            sample: Some(100),
            readers: 2,
            backend: Backend::Lsm,
            durability: Durability::Buffered,
            keep: None,
            verify_only: false,
            allow_missing: false,
        };
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let mut value =
                || args.next().ok_or_else(|| format!("{} needs a value", arg.display()));
            match arg.to_str() {
                Some("--help" | "-h") => return Ok(None),
                Some("--rev") => parsed.rev = text(value()?)?,
                Some("--commits") => parsed.commits = Some(text(value()?)?.parse()?),
                Some("--all") => parsed.sample = None,
                Some("--sample") => parsed.sample = Some(text(value()?)?.parse()?),
                Some("--readers") => parsed.readers = text(value()?)?.parse()?,
                Some("--backend") => parsed.backend = backend(&text(value()?)?)?,
                Some("--durability") => parsed.durability = durability(&text(value()?)?)?,
                Some("--keep") => parsed.keep = Some(value()?.into()),
                Some("--verify-only") => parsed.verify_only = true,
                Some("--allow-missing") => parsed.allow_missing = true,
                Some(option) if option.starts_with('-') => {
                    return Err(format!("{option} is no option; see --help").into());
                }
                _ if path.is_none() => path = Some(arg.into()),
                _ => return Err("only one PATH can be given; see --help".into()),
            }
        }
        if parsed.verify_only && (parsed.keep.is_none() || parsed.backend == Backend::Mem) {
            return Err("--verify-only needs --keep DIR and the backend lsm".into());
        }
        if parsed.keep.is_some() && parsed.backend == Backend::Mem {
            return Err("--keep cannot keep what is only in memory".into());
        }
        parsed.path = path.unwrap_or(parsed.path);
        Ok(Some(parsed))
    }
}

fn text(value: OsString) -> Result<String> {
    value.into_string().map_err(|v| format!("{} is not text", v.display()).into())
}

fn backend(name: &str) -> Result<Backend> {
    match name {
        "lsm" => Ok(Backend::Lsm),
        "mem" => Ok(Backend::Mem),
        _ => Err(format!("{name} is no backend: lsm or mem").into()),
    }
}

fn durability(name: &str) -> Result<Durability> {
    match name {
        "buffered" => Ok(Durability::Buffered),
        "sync" => Ok(Durability::Sync),
        _ => Err(format!("{name} is no durability: buffered or sync").into()),
    }
}
