//! The machine that figures are from, as far as it says what it is.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Names and values, in the order in which they are shown.
pub fn describe(data: &Path) -> Vec<(&'static str, String)> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let (file_system, device) = mount(data);
    vec![
        ("cpu", field("/proc/cpuinfo", "model name").unwrap_or_else(unknown)),
        ("cores", cores.to_string()),
        ("memory", memory()),
        ("kernel", line("/proc/sys/kernel/osrelease").unwrap_or_else(unknown)),
        ("file system", format!("{file_system} on {device}")),
        ("load before", load()),
        ("compiler", compiler()),
        ("allocator", "the system's, for all engines".to_owned()),
    ]
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn line(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

/// The value of the first line `name : value` of a file.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// What else kept the machine busy in the minute before the run.
fn load() -> String {
    let load = line("/proc/loadavg").and_then(|line| Some(line.split(' ').next()?.to_owned()));
    load.unwrap_or_else(unknown)
}

fn memory() -> String {
    let kib = field("/proc/meminfo", "MemTotal");
    let kib = kib.and_then(|kib| kib.strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map_or_else(unknown, |kib| format!("{} GiB", (kib + (1 << 19)) >> 20))
}

/// The file system of a directory and its device: the longest mount above it.
fn mount(dir: &Path) -> (String, String) {
    let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mount = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (device, at, kind) = (words.next()?, words.next()?, words.next()?);
            dir.starts_with(at).then_some((at.len(), kind, device))
        })
        .max_by_key(|(len, ..)| *len);
    mount.map_or_else(|| (unknown(), unknown()), |(_, kind, device)| (kind.into(), device.into()))
}

fn compiler() -> String {
    let version = Command::new("rustc").arg("--version").output();
    let version = version.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    version.map_or_else(unknown, |version| version.trim().to_owned())
}
