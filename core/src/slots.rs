//! A hash table in an array that the caller owns.

/// Room for one thing that has to be remembered.
#[derive(Clone, Copy, Debug)]
pub struct Slot<V> {
    key: Key,
    value: V,
}

impl<V> Slot<V> {
    /// Room with nothing in it; `value` is not looked at.
    pub(crate) const fn empty(value: V) -> Self {
        Self { key: Key::NOTHING, value }
    }
}

/// What something is remembered by. All but one are free to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) what: u64,
    pub(crate) of: u64,
}

impl Key {
    /// The key of no thing.
    const NOTHING: Self = Self { what: 0, of: u64::MAX };
}

/// There is no room for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full {
    /// How many slots there are.
    pub(crate) slots: usize,
}

/// What is remembered, each by its [`Key`].
#[derive(Debug)]
pub(crate) struct Slots<'s, V> {
    slots: &'s mut [Slot<V>],
    used: usize,
}

impl<'s, V: Copy> Slots<'s, V> {
    pub(crate) fn new(slots: &'s mut [Slot<V>]) -> Self {
        let mut slots = Self { slots, used: 0 };
        slots.clear();
        slots
    }

    pub(crate) fn clear(&mut self) {
        for slot in self.slots.iter_mut() {
            slot.key = Key::NOTHING;
        }
        self.used = 0;
    }

    /// How many slots there are, one more than what they can hold.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn get(&self, key: Key) -> Option<V> {
        self.slots.get(self.find(key)?).filter(|slot| slot.key == key).map(|slot| slot.value)
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut V> {
        let index = self.find(key)?;
        self.slots.get_mut(index).filter(|slot| slot.key == key).map(|slot| &mut slot.value)
    }

    /// Remembers a value, unless there is one already: then that is returned, and kept.
    pub(crate) fn insert(&mut self, key: Key, value: V) -> Result<Option<V>, Full> {
        let full = Full { slots: self.slots.len() };
        // One slot stays empty, so that every search ends.
        let room = self.used.saturating_add(1) < self.slots.len();
        let slot = self.find(key).and_then(|index| self.slots.get_mut(index)).ok_or(full)?;
        if slot.key == key {
            return Ok(Some(slot.value));
        }
        if !room {
            return Err(full);
        }
        *slot = Slot { key, value };
        self.used = self.used.saturating_add(1);
        Ok(None)
    }

    /// All that is remembered, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, V)> + '_ {
        self.slots.iter().filter(|slot| slot.key != Key::NOTHING).map(|slot| (slot.key, slot.value))
    }

    /// Where the search for `key` begins.
    #[inline]
    fn home(&self, key: Key) -> usize {
        usize::try_from(hash(key).wrapping_mul(self.slots.len() as u64) >> 32).unwrap_or(0)
    }

    /// The slot that has `key`, or the empty one that could take it.
    #[inline]
    fn find(&self, key: Key) -> Option<usize> {
        let mut index = self.home(key);
        loop {
            let slot = self.slots.get(index)?;
            if slot.key == key || slot.key == Key::NOTHING {
                return Some(index);
            }
            index = index.wrapping_add(1);
            if index == self.slots.len() {
                index = 0;
            }
        }
    }

    /// How many slots behind the start of its search each thing lies.
    #[cfg(test)]
    pub(crate) fn displacements(&self) -> impl Iterator<Item = usize> + '_ {
        let count = self.slots.len();
        let used = self.slots.iter().enumerate().filter(|(_, slot)| slot.key != Key::NOTHING);
        used.map(move |(index, slot)| (index + count - self.home(slot.key)) % count)
    }
}

/// A number below 2^32. Neighbouring pages must not be neighbours here, or runs of them would pile up: the finaliser of
/// SplitMix64.
fn hash(key: Key) -> u64 {
    let mut hash = key.what.rotate_right(12) ^ key.of.rotate_left(40);
    hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash >> 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    const fn key(what: u64) -> Key {
        Key { what, of: what >> 3 }
    }

    #[test]
    fn what_fills_all_slots_but_one_is_found_and_no_more_is_taken() {
        let mut room = vec![Slot::empty(0); 1001];
        let mut slots = Slots::new(&mut room);
        for number in 0..1000u64 {
            assert_eq!(slots.insert(key(number << 12), number), Ok(None));
        }
        assert_eq!(slots.insert(key(1000 << 12), 0), Err(Full { slots: 1001 }));
        assert_eq!(slots.insert(key(7 << 12), 0), Ok(Some(7)));
        assert!((0..1000).all(|number| slots.get(key(number << 12)) == Some(number)));
        assert_eq!((slots.get(key(1000 << 12)), slots.get_mut(key(1000 << 12))), (None, None));
        let mut all: Vec<u64> = slots.iter().map(|(_, value)| value).collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..1000));
        slots.clear();
        assert_eq!((slots.get(key(7 << 12)), slots.iter().count()), (None, 0));
    }

    #[test]
    fn without_slots_nothing_is_found_or_kept() {
        let mut slots = Slots::<u64>::new(&mut []);
        assert_eq!((slots.get(key(0)), slots.insert(key(0), 1)), (None, Err(Full { slots: 0 })));
    }
}
