//! Which commit is which version.

use vellum::Version;

/// The version of the `n`-th commit, counted from 0.
pub(crate) const fn version(n: usize) -> Version {
    Version::new(n as u64 + 1)
}

/// `count` of `total` commits, spread evenly, the first and the last included;
/// all of them, if no count is given.
pub(crate) fn spread(total: usize, count: Option<usize>) -> Vec<usize> {
    let count = count.unwrap_or(total).min(total);
    match (count, total.checked_sub(1)) {
        (0, _) | (_, None) => Vec::new(),
        (1, Some(last)) => vec![last],
        (_, Some(last)) => (0..count).map(|i| i * last / (count - 1)).collect(),
    }
}
