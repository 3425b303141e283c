//! [`Index`]: from the hash of a key to the place of its entry.

/// A table with open addressing. A slot holds the low half of the hash, whose
/// low bits say where the slot would best be, and the place and one; zero is an
/// empty slot. There is always an empty one, so that every search ends.
///
/// Each slot has a *tag*: a byte of the hash, or zero if it is empty. Searches go
/// along the tags, and look at a slot only if its tag is the one. Of a key that is
/// not there, that mostly touches one line of a small table, and none of the large.
pub(super) struct Index {
    slots: Box<[u64]>,
    tags: Box<[u8]>,
    len: usize,
}

impl Index {
    /// An index over so many slots, rounded down to a power of two; at least 8.
    pub(super) fn new(slots: usize) -> Self {
        let slots = 1usize << slots.clamp(8, 1 << 31).ilog2();
        Self {
            slots: vec![0; slots].into_boxed_slice(),
            tags: vec![0; slots].into_boxed_slice(),
            len: 0,
        }
    }

    fn mask(&self) -> usize {
        self.slots.len() - 1
    }

    fn slot(&self, i: usize) -> u64 {
        self.slots.get(i).copied().unwrap_or(0)
    }

    fn tag(&self, i: usize) -> u8 {
        self.tags.get(i).copied().unwrap_or(0)
    }

    /// Whether another entry would make searches long.
    pub(super) fn is_full(&self) -> bool {
        self.len >= self.slots.len() / 8 * 7
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.slots) + size_of_val(&*self.tags)
    }

    /// The place with this hash that `is_it`.
    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut i = hash as usize & self.mask();
        let wanted = tag(hash);
        loop {
            let tag = self.tag(i);
            if tag == wanted {
                let slot = self.slot(i);
                if (slot >> 32) as u32 == hash as u32 {
                    let place = place(slot);
                    if is_it(place) {
                        return Some(place);
                    }
                }
            } else if tag == 0 {
                return None;
            }
            i = (i + 1) & self.mask();
        }
    }

    /// Adds a place that is not there. The caller sees to it that the index is
    /// not full.
    pub(super) fn insert(&mut self, hash: u64, at: u32) {
        let mut i = hash as usize & self.mask();
        while self.tag(i) != 0 {
            i = (i + 1) & self.mask();
        }
        self.set(i, (hash << 32) | (u64::from(at) + 1));
        self.len += 1;
    }

    /// Makes the slot of place `from` point to place `to`.
    pub(super) fn relocate(&mut self, hash: u64, from: u32, to: u32) {
        if let Some(i) = self.position(hash, from) {
            self.set(i, (hash << 32) | (u64::from(to) + 1));
        }
    }

    /// Removes a place, and moves those behind it that were pushed back.
    pub(super) fn remove(&mut self, hash: u64, at: u32) {
        let Some(mut hole) = self.position(hash, at) else { return };
        self.len -= 1;
        let mut i = hole;
        loop {
            i = (i + 1) & self.mask();
            let slot = self.slot(i);
            if slot == 0 {
                break;
            }
            let best = (slot >> 32) as usize & self.mask();
            // It may move to the hole if that is not before its best place.
            if i.wrapping_sub(best) & self.mask() >= i.wrapping_sub(hole) & self.mask() {
                self.set(hole, slot);
                hole = i;
            }
        }
        self.set(hole, 0);
    }

    fn position(&self, hash: u64, at: u32) -> Option<usize> {
        let wanted = (hash << 32) | (u64::from(at) + 1);
        let mut i = hash as usize & self.mask();
        loop {
            match self.slot(i) {
                0 => return None,
                slot if slot == wanted => return Some(i),
                _ => i = (i + 1) & self.mask(),
            }
        }
    }

    fn set(&mut self, i: usize, slot: u64) {
        if let (Some(to), Some(of)) = (self.slots.get_mut(i), self.tags.get_mut(i)) {
            *to = slot;
            *of = if slot == 0 { 0 } else { tag(slot >> 32) };
        }
    }
}

/// Of bits that say little of where a slot would best be, and never zero.
fn tag(hash: u64) -> u8 {
    (hash >> 24) as u8 | 1
}

fn place(slot: u64) -> u32 {
    (slot as u32).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn index_agrees_with_a_map_where_hashes_meet_in_slots_and_tags() {
        let mut seed = 0x5eed_u64;
        let mut next = |n: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % n
        };
        for slots in [8, 16, 64] {
            let mut index = Index::new(slots);
            let mut model = BTreeMap::new();
            for step in 0..4000_u32 {
                // Few slots to be in, two tags, and halves that tell hashes apart.
                let hash = next(4) * 5 % 8 + (next(3) << 8) + (next(2) << 25);
                let of_model = |place: u32| model.get(&place) == Some(&hash);
                assert_eq!(
                    index.find(hash, of_model).is_some(),
                    model.values().any(|of| *of == hash),
                    "step {step} of {slots} slots"
                );
                let gone = model.iter().nth(next(32) as usize).map(|(place, hash)| (*place, *hash));
                match gone {
                    Some((place, hash)) if next(2) == 0 => {
                        index.remove(hash, place);
                        model.remove(&place);
                    }
                    Some((place, hash)) => {
                        index.relocate(hash, place, step);
                        model.remove(&place);
                        model.insert(step, hash);
                    }
                    None if !index.is_full() => {
                        index.insert(hash, step);
                        model.insert(step, hash);
                    }
                    None => {}
                }
                for (&place, &hash) in &model {
                    assert_eq!(index.find(hash, |at| at == place), Some(place), "step {step}");
                }
            }
            let mut tags = index.tags.iter().zip(&index.slots);
            assert!(tags.all(|(tag, slot)| (*tag == 0) == (*slot == 0)));
            assert_eq!(index.len, model.len());
        }
    }
}
