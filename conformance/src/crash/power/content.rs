//! What a file holds: pages, shared between the states of a run.

use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use crate::random::Rng;

/// Bytes that are kept together or lost together, at most.
pub(super) const PAGE: usize = 4096;

/// What a disk writes whole, at least.
pub(super) const SECTOR: usize = 512;

/// The bytes of a file; pages that are absent are zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Content {
    len: u64,
    pages: BTreeMap<u64, Arc<Vec<u8>>>,
}

/// One change of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Write(u64, Arc<Vec<u8>>),
    SetLen(u64),
    /// To at least so long.
    Extend(u64),
}

impl Change {
    /// A write cut off after some of its bytes.
    pub(super) fn torn(&self, rng: &mut Rng) -> Option<Self> {
        let Self::Write(at, bytes) = self else { return None };
        let kept = usize::try_from(rng.below(bytes.len() as u64)).ok()?;
        Some(Self::Write(*at, Arc::new(bytes.get(..kept)?.to_vec())))
    }
}

impl Content {
    /// What a file on this machine holds.
    pub(super) fn load(path: &Path) -> io::Result<Self> {
        let mut content = Self::default();
        content.apply(&Change::Write(0, Arc::new(std::fs::read(path)?)));
        Ok(content.without_zeros())
    }

    /// Writes it into a file, with holes where nothing is.
    pub(super) fn store(&self, path: &Path) -> io::Result<()> {
        let file = File::create(path)?;
        file.set_len(self.len)?;
        for (n, page) in &self.pages {
            let at = n * PAGE as u64;
            let len = usize::try_from(self.len.saturating_sub(at)).unwrap_or(PAGE).min(PAGE);
            file.write_all_at(page.get(..len).unwrap_or(page), at)?;
        }
        Ok(())
    }

    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::Extend(len) => self.len = self.len.max(*len),
            Change::SetLen(len) => {
                let last = len / PAGE as u64;
                self.pages.retain(|n, _| *n <= last);
                let within = usize::try_from(len % PAGE as u64).unwrap_or(0);
                if let Some(page) = self.pages.get_mut(&last) {
                    Arc::make_mut(page).iter_mut().skip(within).for_each(|b| *b = 0);
                }
                self.len = *len;
            }
            Change::Write(at, bytes) => {
                let (mut at, mut rest) = (*at, bytes.as_slice());
                while !rest.is_empty() {
                    let (n, within) = (at / PAGE as u64, usize::try_from(at % PAGE as u64));
                    let within = within.unwrap_or(0);
                    let (now, later) = rest.split_at(rest.len().min(PAGE - within));
                    let page = self.pages.entry(n).or_insert_with(|| Arc::new(vec![0; PAGE]));
                    let part = Arc::make_mut(page).iter_mut().skip(within);
                    part.zip(now).for_each(|(to, from)| *to = *from);
                    at += now.len() as u64;
                    rest = later;
                }
                self.len = self.len.max(at);
            }
        }
    }

    /// What a power loss may leave between `self`, which is durable, and `now`:
    /// of each unit that differs the old or the new, and any length between.
    pub(super) fn mix(&self, now: &Self, unit: usize, rng: &mut Rng) -> Self {
        let between = self.len.min(now.len) + rng.below(self.len.abs_diff(now.len) + 1);
        let len = match rng.below(4) {
            0 => self.len,
            1 => between,
            _ => now.len,
        };
        let mut mixed = self.clone();
        let empty = Arc::new(vec![0; PAGE]);
        let changed: Vec<u64> = self.pages.keys().chain(now.pages.keys()).copied().collect();
        for n in changed {
            let (old, new) = (self.pages.get(&n), now.pages.get(&n));
            if old == new {
                continue;
            }
            let mut page = old.unwrap_or(&empty).to_vec();
            let new = new.unwrap_or(&empty);
            for (to, from) in page.chunks_mut(unit).zip(new.chunks(unit)) {
                if rng.percent(50) {
                    to.copy_from_slice(from);
                }
            }
            mixed.pages.insert(n, Arc::new(page));
        }
        mixed.apply(&Change::SetLen(len));
        mixed
    }

    /// The same bytes, with no page that is all zeros.
    pub(super) fn without_zeros(&self) -> Self {
        let mut content = self.clone();
        content.pages.retain(|_, page| page.iter().any(|&b| b != 0));
        content
    }

    /// A number that is another one for other bytes, as good as surely.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = std::hash::DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(at: u64, bytes: &[u8]) -> Change {
        Change::Write(at, Arc::new(bytes.to_vec()))
    }

    #[test]
    fn what_is_cut_off_reads_as_zeros_when_the_file_grows_again() {
        let mut content = Content::default();
        content.apply(&write(4000, &[7; 5000]));
        content.apply(&Change::SetLen(4100));
        content.apply(&Change::SetLen(9000));
        let mut want = Content::default();
        want.apply(&write(4000, &[7; 100]));
        want.apply(&Change::SetLen(9000));
        assert_eq!(content.fingerprint(), want.fingerprint());
    }

    #[test]
    fn a_mixture_keeps_what_is_durable_and_nothing_that_was_never_written() {
        let (mut old, mut new) = (Content::default(), Content::default());
        old.apply(&write(0, &[1; 8192]));
        new.apply(&write(0, &[1; 4096]));
        new.apply(&write(4096, &[2; 4096]));
        let mut seen = std::collections::HashSet::new();
        for seed in 0..64 {
            let mixed = old.mix(&new, PAGE, &mut Rng::new(seed));
            assert!(mixed == old || mixed == new);
            seen.insert(mixed.fingerprint());
        }
        assert_eq!(seen.len(), 2);
    }
}
