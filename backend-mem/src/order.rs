//! [`Order`]: the concurrent ordered map under the index, and the one place
//! that knows which it is. The interface is small, so that a map in a lock can
//! stand in for it under a model checker.

#[cfg(loom)]
pub(crate) use locked::Order;
#[cfg(not(loom))]
pub(crate) use skip_list::Order;

#[cfg(not(loom))]
mod skip_list {
    use std::ops::Bound;

    use bytes::Bytes;
    use crossbeam_epoch as epoch;
    use crossbeam_skiplist::SkipList;

    use crate::fence::Fence;

    /// A concurrent map from keys to values, searched by neighbourhood.
    ///
    /// Readers run at any time. Only one thread at a time changes it, and it never
    /// inserts a key that is present: the skip list would take the old entry out
    /// before the new one is in, and a reader between the two would find neither
    /// (crossbeam issue 1023).
    ///
    /// What a search finds is used in place, under the thread's own epoch: it
    /// writes no reference count, which would be a line that all readers of the
    /// neighbourhood share.
    pub(crate) struct Order<T>(SkipList<Fence, T>);

    impl<T: Send + Sync + 'static> Order<T> {
        pub(crate) fn new() -> Self {
            Self(SkipList::new(epoch::default_collector().clone()))
        }

        /// Uses the value of the highest key at or below `key`.
        pub(crate) fn at_or_below<R>(&self, key: &[u8], f: impl FnOnce(Option<&T>) -> R) -> R {
            let guard = &epoch::pin();
            f(self.0.upper_bound(Bound::Included(key), guard).map(|e| e.value()))
        }

        /// Uses the value of the highest key below `key`; of the highest, for
        /// `None`.
        pub(crate) fn below<R>(&self, key: Option<&[u8]>, f: impl FnOnce(Option<&T>) -> R) -> R {
            let guard = &epoch::pin();
            let entry = match key {
                Some(key) => self.0.upper_bound(Bound::Excluded(key), guard),
                None => self.0.back(guard),
            };
            f(entry.map(|e| e.value()))
        }

        /// Inserts a key that is not present.
        pub(crate) fn insert(&self, key: Bytes, value: T) {
            let guard = &epoch::pin();
            self.0.insert(Fence::new(key), value, guard).release(guard);
        }

        pub(crate) fn remove(&self, key: &[u8]) {
            let guard = &epoch::pin();
            if let Some(entry) = self.0.remove(key, guard) {
                entry.release(guard);
            }
        }

        /// Frees what was removed and nobody looks at any more. By itself that
        /// happens in the course of later searches.
        pub(crate) fn free_removed(&self) {
            // What is removed in one epoch is free to go two epochs later.
            (0..3).for_each(|_| epoch::pin().flush());
        }
    }
}

/// The same over a map in a lock: a model checker cannot look into a skip list.
#[cfg(loom)]
mod locked {
    use std::collections::BTreeMap;
    use std::ops::Bound;
    use std::sync::Arc;

    use bytes::Bytes;

    use crate::fence::Fence;
    use crate::sync::Mutex;

    pub(crate) struct Order<T>(Mutex<BTreeMap<Fence, Arc<T>>>);

    impl<T> Order<T> {
        pub(crate) fn new() -> Self {
            Self(Mutex::default())
        }

        pub(crate) fn at_or_below<R>(&self, key: &[u8], f: impl FnOnce(Option<&T>) -> R) -> R {
            f(self.highest((Bound::Unbounded, Bound::Included(key))).as_deref())
        }

        pub(crate) fn below<R>(&self, key: Option<&[u8]>, f: impl FnOnce(Option<&T>) -> R) -> R {
            let end = key.map_or(Bound::Unbounded, Bound::Excluded);
            f(self.highest((Bound::Unbounded, end)).as_deref())
        }

        fn highest(&self, bounds: (Bound<&[u8]>, Bound<&[u8]>)) -> Option<Arc<T>> {
            let map = self.0.lock();
            map.range::<[u8], _>(bounds).next_back().map(|(_, value)| Arc::clone(value))
        }

        pub(crate) fn insert(&self, key: Bytes, value: T) {
            self.0.lock().insert(Fence::new(key), Arc::new(value));
        }

        pub(crate) fn remove(&self, key: &[u8]) {
            self.0.lock().remove(key);
        }

        #[expect(clippy::unused_self, reason = "as the skip list")]
        pub(crate) fn free_removed(&self) {}
    }
}
