//! [`Spread`]: a shared value that threads hold without meeting.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::sync::{thread_number, threads_expected};

/// A value whose owners count themselves thread by thread.
///
/// A plain [`Arc`] that every transaction clones is one line of memory that
/// all cores write: at some 50 to 100 ns for each time that it changes hands,
/// no more than 10 to 20 million clones a second however many cores there are.
/// Here each thread clones an `Arc` of its own (or one that it shares with few),
/// and those hold the value. Nothing else is different: the value lives until
/// the last [`Held`] and the `Spread` are dropped.
///
/// ```
/// let spread = vellum_core::Spread::new(String::from("shared"));
/// let held = spread.held();
/// drop(spread);
/// assert_eq!(*held, "shared");
/// ```
pub struct Spread<T> {
    value: Arc<T>,
    /// One for each thread that is expected, or a few; a power of two of them.
    lines: Box<[Held<T>]>,
}

/// One hold on the value of a [`Spread`].
pub struct Held<T>(Arc<Line<T>>);

/// Counted on a cache line of its own (two, for the prefetcher of x86): the
/// counts of an `Arc` stand before its value, as far as that is aligned.
#[repr(align(128))]
struct Line<T>(Arc<T>);

impl<T> Spread<T> {
    /// Spreads `value` over as many threads as the machine runs at once.
    pub fn new(value: T) -> Self {
        let value = Arc::new(value);
        let line = |_| Held(Arc::new(Line(value.clone())));
        let lines = (0..threads_expected()).map(line).collect();
        Self { value, lines }
    }

    /// A hold on the value, counted for the calling thread.
    #[must_use]
    #[inline]
    pub fn held(&self) -> Held<T> {
        let line = self.lines.get(thread_number() & (self.lines.len().wrapping_sub(1)));
        line.cloned().unwrap_or_else(|| Held(Arc::new(Line(self.value.clone()))))
    }

    /// The value, for who holds it rarely.
    pub fn shared(&self) -> &Arc<T> {
        &self.value
    }
}

impl<T> Clone for Held<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Held<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0.0
    }
}

impl<T> Deref for Spread<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Default> Default for Spread<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: fmt::Debug> fmt::Debug for Spread<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Spread").field(&self.value).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for Held<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Held").field(&**self).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn value_lives_until_the_last_hold_of_any_thread() {
        let spread = Spread::new(());
        let weak = Arc::downgrade(spread.shared());
        let held: Vec<Held<()>> = (0..20)
            .map(|_| std::thread::scope(|s| s.spawn(|| spread.held()).join()))
            .filter_map(Result::ok)
            .collect();
        assert_eq!(held.len(), 20);
        drop(spread);
        for one in held {
            assert!(weak.upgrade().is_some());
            drop(one);
        }
        assert!(weak.upgrade().is_none());
    }

    #[test]
    fn holds_are_counted_on_lines_of_their_own() {
        let spread = Spread::new(0_u8);
        let mut at: Vec<usize> = spread.lines.iter().map(|h| Arc::as_ptr(&h.0).addr()).collect();
        at.sort_unstable();
        assert!(at.is_sorted_by(|a, b| b - a >= 128) && at.iter().all(|at| at % 128 == 0));
        // And no thread has a line to itself that is none of them.
        let mut used = (0..8 * at.len())
            .map(|_| std::thread::scope(|s| s.spawn(|| spread.held()).join()))
            .filter_map(Result::ok)
            .map(|held| Arc::as_ptr(&held.0).addr());
        assert!(used.all(|line| at.contains(&line)));
    }
}
