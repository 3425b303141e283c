//! [`Ends`]: looking one item ahead at both ends of an iterator.

/// An iterator with a look ahead at either end. An end that finds the iterator
/// exhausted takes over what the other end holds, so nothing is lost or given
/// twice where the ends meet.
pub(crate) struct Ends<I: Iterator> {
    iter: I,
    front: Option<I::Item>,
    back: Option<I::Item>,
}

impl<I: DoubleEndedIterator> Ends<I> {
    pub(crate) fn new(iter: I) -> Self {
        Self { iter, front: None, back: None }
    }

    pub(crate) fn front(&mut self) -> Option<&I::Item> {
        if self.front.is_none() {
            self.front = self.iter.next().or_else(|| self.back.take());
        }
        self.front.as_ref()
    }

    pub(crate) fn back(&mut self) -> Option<&I::Item> {
        if self.back.is_none() {
            self.back = self.iter.next_back().or_else(|| self.front.take());
        }
        self.back.as_ref()
    }

    pub(crate) fn pop_front(&mut self) -> Option<I::Item> {
        self.front();
        self.front.take()
    }

    pub(crate) fn pop_back(&mut self) -> Option<I::Item> {
        self.back();
        self.back.take()
    }
}
