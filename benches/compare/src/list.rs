//! The engines and workloads, on the terminal.

use std::io::Write as _;

use crate::Result;
use crate::engines::ENTRIES;
use crate::plan::WORKLOADS;

/// Prints them.
pub fn list() -> Result {
    let mut out = std::io::stdout().lock();
    writeln!(out, "engines:")?;
    for entry in ENTRIES {
        let (group, name, package) = (entry.group.name(), entry.name, entry.package);
        writeln!(out, "  {group:4}  {name:18}  {package:24}  {}", entry.isolation)?;
        if !entry.note.is_empty() {
            writeln!(out, "{:26}  {}", "", entry.note)?;
        }
    }
    writeln!(out, "\nworkloads:")?;
    for (name, title) in WORKLOADS.iter().copied().chain(crate::plan::cells()) {
        writeln!(out, "  {name:18}  {title}")?;
    }
    Ok(())
}
