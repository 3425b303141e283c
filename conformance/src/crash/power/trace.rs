//! Reads what strace wrote: calls with their arguments, in the order in which
//! they returned.
//!
//! `strace -f -y -xx -o FILE` writes a line a call, with every string in
//! hexadecimal, so that the text has no commas or quotes of its own. A call
//! that is interrupted by one of another thread is split in two lines.

use std::collections::HashMap;
use std::path::PathBuf;

/// The calls that change files, and those without which one cannot follow
/// descriptors.
pub(crate) const CALLS: &str = "trace=open,openat,creat,close,dup,dup2,dup3,lseek,\
    write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,copy_file_range,sendfile,\
    rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,rmdir,mkdir,mkdirat,\
    fsync,fdatasync,sync_file_range,sync,syncfs,msync";

/// One call that returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) arguments: Vec<String>,
    /// What it returned; negative where it failed.
    pub(crate) result: i64,
    /// The path of the descriptor that it returned, if it did.
    pub(crate) path: Option<PathBuf>,
    /// How many calls had returned when it began.
    pub(crate) begun: usize,
}

/// All the calls of a trace that returned.
pub(crate) fn parse(text: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut open: HashMap<&str, (String, usize)> = HashMap::new();
    for line in text.lines() {
        let Some((process, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
            // Its number can be given again before the call is seen to return.
            if begun.starts_with("close(") {
                calls.extend(call(&format!("{}) = 0", begun.trim_end()), calls.len()));
                continue;
            }
            open.insert(process, (begun.trim_end().to_owned(), calls.len()));
            continue;
        }
        let (whole, begun) = match rest.strip_prefix("<... ") {
            None => (rest.to_owned(), calls.len()),
            Some(resumed) => {
                let Some((begun_text, begun)) = open.remove(process) else { continue };
                let Some((_, tail)) = resumed.split_once(" resumed>") else { continue };
                (begun_text + tail, begun)
            }
        };
        calls.extend(call(&whole, begun));
    }
    calls
}

fn call(line: &str, begun: usize) -> Option<Call> {
    let (name, rest) = line.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    let arguments = arguments.trim_end().strip_suffix(')')?;
    let arguments = arguments.split(", ").map(str::to_owned).collect();
    let number = result.split([' ', '<']).next()?;
    let path = result.split_once('<').and_then(|(_, p)| Some(text_of(p.rsplit_once('>')?.0)));
    let (name, path) = (name.to_owned(), path.map(PathBuf::from));
    Some(Call { name, arguments, result: number.parse().ok()?, path, begun })
}

/// The bytes of `\x61\x62…`.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digit = |c: u8| char::from(c).to_digit(16).unwrap_or(0);
    let pairs = text.as_bytes().split(|&b| b == b'\\').filter_map(|part| match part {
        [b'x', a, b, ..] => u8::try_from(digit(*a) * 16 + digit(*b)).ok(),
        _ => None,
    });
    pairs.collect()
}

/// A path as strace writes it.
#[cfg(test)]
pub(crate) fn hex(path: &std::path::Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
}

fn text_of(hex: &str) -> String {
    String::from_utf8_lossy(&unhex(hex)).into_owned()
}

impl Call {
    /// Its name and what it was about.
    pub(crate) fn brief(&self) -> String {
        let paths = (0..self.arguments.len()).filter_map(|n| self.path_of(n));
        format!("{} {:?} = {}", self.name, paths.collect::<Vec<_>>(), self.result)
    }

    /// The descriptor that this argument is.
    pub(crate) fn descriptor(&self, n: usize) -> Option<i64> {
        self.arguments.get(n)?.split('<').next()?.parse().ok()
    }

    /// The path of the descriptor that this argument is.
    pub(crate) fn path_of(&self, n: usize) -> Option<PathBuf> {
        let (_, path) = self.arguments.get(n)?.split_once('<')?;
        Some(text_of(path.split('>').next()?).into())
    }

    /// The bytes that this argument is.
    pub(crate) fn bytes(&self, n: usize) -> Option<Vec<u8>> {
        Some(unhex(self.arguments.get(n)?.split('"').nth(1)?))
    }

    /// The path that this argument names, beside the directory that `at` is.
    pub(crate) fn path(&self, at: Option<usize>, n: usize) -> Option<PathBuf> {
        let name = PathBuf::from(String::from_utf8_lossy(&self.bytes(n)?).into_owned());
        match at.and_then(|at| self.path_of(at)) {
            Some(base) => Some(base.join(name)),
            None => Some(name),
        }
    }

    pub(crate) fn number(&self, n: usize) -> Option<u64> {
        self.arguments.get(n)?.parse().ok()
    }

    /// The bytes of all buffers of a `writev`.
    pub(crate) fn gathered(&self) -> Vec<u8> {
        let buffers = self.arguments.iter().filter(|a| a.contains("iov_base="));
        buffers.flat_map(|a| unhex(a.split('"').nth(1).unwrap_or(""))).collect()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_call_that_was_interrupted_counts_where_it_returned() {
        let text = "7  fsync(3</tmp> <unfinished ...>\n\
                    8  write(4<\\x2f\\x61>, \"\\x68\\x69\", 2) = 2\n\
                    7  <... fsync resumed>)            = 0\n\
                    8  openat(AT_FDCWD<\\x2f>, \"\\x2f\\x62\", O_RDWR|O_CREAT, 0666) = 5<\\x2f\\x62>\n\
                    8  unlink(\"\\x2f\\x63\") = -1 ENOENT (No such file or directory)\n";
        let calls = parse(text);
        let names: Vec<_> = calls.iter().map(|c| (c.name.as_str(), c.begun, c.result)).collect();
        assert_eq!(names, [("write", 0, 2), ("fsync", 0, 0), ("openat", 2, 5), ("unlink", 3, -1)]);
        assert_eq!(calls[0].bytes(1).unwrap(), b"hi");
        assert_eq!(calls[0].path_of(0).unwrap(), PathBuf::from("/a"));
        assert_eq!(calls[2].path(None, 1).unwrap(), PathBuf::from("/b"));
        assert_eq!(calls[2].path, Some(PathBuf::from("/b")));
    }
}
