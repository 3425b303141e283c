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
    use std::sync::Arc;

    use bytes::Bytes;
    use crossbeam_skiplist::SkipMap;

    use crate::fence::Fence;

    /// A concurrent map from keys to shared values, searched by neighbourhood.
    ///
    /// Readers run at any time. Only one thread at a time changes it, and it never
    /// inserts a key that is present: the skip list would take the old entry out
    /// before the new one is in, and a reader between the two would find neither
    /// (crossbeam issue 1023).
    pub(crate) struct Order<T>(SkipMap<Fence, Arc<T>>);

    impl<T: Send + Sync + 'static> Order<T> {
        pub(crate) fn new() -> Self {
            Self(SkipMap::new())
        }

        /// The value of the highest key at or below `key`.
        pub(crate) fn at_or_below(&self, key: &[u8]) -> Option<Arc<T>> {
            self.0.upper_bound(Bound::Included(key)).map(|e| Arc::clone(e.value()))
        }

        /// The value of the highest key below `key`; of the highest, for `None`.
        pub(crate) fn below(&self, key: Option<&[u8]>) -> Option<Arc<T>> {
            let entry = match key {
                Some(key) => self.0.upper_bound(Bound::Excluded(key)),
                None => self.0.back(),
            };
            entry.map(|e| Arc::clone(e.value()))
        }

        /// Inserts a key that is not present.
        pub(crate) fn insert(&self, key: Bytes, value: Arc<T>) {
            self.0.insert(Fence::new(key), value);
        }

        pub(crate) fn remove(&self, key: &[u8]) {
            self.0.remove(key);
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

        pub(crate) fn at_or_below(&self, key: &[u8]) -> Option<Arc<T>> {
            self.highest((Bound::Unbounded, Bound::Included(key)))
        }

        pub(crate) fn below(&self, key: Option<&[u8]>) -> Option<Arc<T>> {
            self.highest((Bound::Unbounded, key.map_or(Bound::Unbounded, Bound::Excluded)))
        }

        fn highest(&self, bounds: (Bound<&[u8]>, Bound<&[u8]>)) -> Option<Arc<T>> {
            let map = self.0.lock();
            map.range::<[u8], _>(bounds).next_back().map(|(_, value)| Arc::clone(value))
        }

        pub(crate) fn insert(&self, key: Bytes, value: Arc<T>) {
            self.0.lock().insert(Fence::new(key), value);
        }

        pub(crate) fn remove(&self, key: &[u8]) {
            self.0.lock().remove(key);
        }
    }
}
