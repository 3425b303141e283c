//! A process that is asked on its standard input and answers on its output.

use std::io::{BufRead, BufReader, BufWriter, Read};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::Result;

/// A running process. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Pipe {
    child: Child,
    pub(crate) stdin: BufWriter<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Pipe {
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = BufWriter::new(child.stdin.take().ok_or("no standard input")?);
        let stdout =
            BufReader::with_capacity(1 << 16, child.stdout.take().ok_or("no standard output")?);
        Ok(Self { child, stdin, stdout })
    }

    /// What it prints up to `end`, without it.
    pub(crate) fn read_until(&mut self, end: u8) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.stdout.read_until(end, &mut bytes)?;
        if bytes.pop() != Some(end) {
            return Err("git ended in the middle of an answer".into());
        }
        Ok(bytes)
    }

    /// The next `len` bytes that it prints.
    pub(crate) fn read_exact(&mut self, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.stdout.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// The next byte that it prints, left in place.
    pub(crate) fn peek(&mut self) -> Result<u8> {
        let byte = self.stdout.fill_buf()?.first();
        Ok(*byte.ok_or("git ended in the middle of an answer")?)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // It may be gone already; there is nobody to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
