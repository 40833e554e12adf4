use super::{AllocError, AllocErrorKind, Page, PageAllocator, PhysReader, ReadError, ReadErrorKind, Word};
use crate::address::{PAGE_SIZE, PhysAddr, PhysRange};
use thiserror::Error;

/// Room for one page of a [`SparseMemory`].
#[derive(Clone, Debug)]
pub struct Slot {
    state: State,
    addr: PhysAddr,
    page: Page,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Never used: a search for an address ends here.
    Empty,
    /// Holds the page at `addr`.
    Used,
    /// Given back: a search goes on behind it.
    Freed,
}

impl Slot {
    /// Room for a page, with nothing in it.
    pub const EMPTY: Self = Self { state: State::Empty, addr: PhysAddr(0), page: Page::ZERO };
}

/// A few pages anywhere in the 64-bit physical space, kept in an array that the caller owns.
///
/// For tests and examples: it needs no heap, lends its pages, and hands out new ones as a
/// [`PageAllocator`]. What was never written is a hole.
///
/// ```
/// use iopt::memory::{Page, PhysReader, Slot, SparseMemory};
/// use iopt::PhysAddr;
///
/// let mut slots = [Slot::EMPTY; 8];
/// let mut memory = SparseMemory::new(&mut slots);
/// memory.write_u64(PhysAddr(0x1008), 42)?;
/// assert_eq!(memory.lend_page(PhysAddr(0x1000)).map(|page| page.word(1)), Some(42));
/// assert!(memory.read_page(PhysAddr(0x2000), &mut Page::ZERO.clone()).is_err());
/// # Ok::<(), iopt::memory::MemoryFull>(())
/// ```
#[derive(Debug)]
pub struct SparseMemory<'s> {
    slots: &'s mut [Slot],
    next_allocation: PhysAddr,
}

/// The array behind a [`SparseMemory`] has no slot left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no room for page {addr}: all {slots} slots are in use")]
pub struct MemoryFull {
    /// The page that found no room.
    pub addr: PhysAddr,
    /// How many slots there are.
    pub slots: usize,
}

impl<'s> SparseMemory<'s> {
    /// A memory of the pages that `slots` holds: none, if they are all [`Slot::EMPTY`].
    pub fn new(slots: &'s mut [Slot]) -> Self {
        Self { slots, next_allocation: PhysAddr(PAGE_SIZE) }
    }

    /// Sets where [`PageAllocator::allocate`] starts to look for free addresses; 0x1000 at first.
    pub fn allocate_from(&mut self, addr: PhysAddr) {
        self.next_allocation = addr.page();
    }

    /// Puts `page` at the page that holds `addr`.
    ///
    /// # Errors
    /// [`MemoryFull`] when it is a new page and no slot is left.
    pub fn write_page(&mut self, addr: PhysAddr, page: &Page) -> Result<(), MemoryFull> {
        self.page_or_new(addr)?.clone_from(page);
        Ok(())
    }

    /// Writes a 64-bit word at `addr`, whose bits 2:0 do not matter; the rest of a new page is zero.
    ///
    /// # Errors
    /// [`MemoryFull`] when it is a new page and no slot is left.
    pub fn write_u64(&mut self, addr: PhysAddr, value: u64) -> Result<(), MemoryFull> {
        let index = usize::try_from((addr.0 % PAGE_SIZE) / 8).unwrap_or(0);
        if let Some(word) = self.page_or_new(addr)?.words_mut().get_mut(index) {
            *word = Word::new(value);
        }
        Ok(())
    }

    /// The 64-bit word at `addr`, whose bits 2:0 do not matter; `None` in a hole.
    #[must_use]
    pub fn read_u64(&self, addr: PhysAddr) -> Option<u64> {
        let index = usize::try_from((addr.0 % PAGE_SIZE) / 8).unwrap_or(0);
        Some(self.lend_page(addr)?.word(index))
    }

    fn page_or_new(&mut self, addr: PhysAddr) -> Result<&mut Page, MemoryFull> {
        let addr = addr.page();
        let full = MemoryFull { addr, slots: self.slots.len() };
        let index = self.find(addr).or_else(|| self.vacant(addr)).ok_or(full)?;
        let slot = self.slots.get_mut(index).ok_or(full)?;
        if slot.state != State::Used {
            *slot = Slot { state: State::Used, addr, page: Page::ZERO };
        }
        Ok(&mut slot.page)
    }

    /// Slot numbers in the order in which a page at `addr` is looked for: open addressing, linear probing.
    fn probe(&self, addr: PhysAddr) -> impl Iterator<Item = usize> + use<> {
        let count = self.slots.len();
        let frame = usize::try_from((addr.0 >> 12) & 0xffff_ffff).unwrap_or(0);
        let home = frame.checked_rem(count).unwrap_or(0);
        (home..count).chain(0..home)
    }

    fn find(&self, addr: PhysAddr) -> Option<usize> {
        let addr = addr.page();
        for index in self.probe(addr) {
            let slot = self.slots.get(index)?;
            match slot.state {
                State::Empty => return None,
                State::Used if slot.addr == addr => return Some(index),
                State::Used | State::Freed => {}
            }
        }
        None
    }

    fn vacant(&self, addr: PhysAddr) -> Option<usize> {
        self.probe(addr).find(|&index| self.slots.get(index).is_some_and(|slot| slot.state != State::Used))
    }

    fn used(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(|slot| slot.state == State::Used)
    }
}

impl PhysReader for SparseMemory<'_> {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        let lent = self.lend_page(addr).ok_or(ReadError::new(addr, ReadErrorKind::Hole))?;
        page.clone_from(lent);
        Ok(())
    }

    fn lend_page(&self, addr: PhysAddr) -> Option<&Page> {
        let index = self.find(addr)?;
        self.slots.get(index).map(|slot| &slot.page)
    }

    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        let first = self.used().map(|slot| slot.addr).filter(|addr| *addr >= from.page()).min()?;
        let mut range = PhysRange::block(first, 12);
        while let Some(next) = range.last().checked_add(1) {
            if self.find(next).is_none() {
                break;
            }
            range = PhysRange::new(first, PhysRange::block(next, 12).last())?;
        }
        Some(range)
    }
}

impl PageAllocator for SparseMemory<'_> {
    fn allocate(&mut self, pages: usize) -> Result<PhysAddr, AllocError> {
        let out = AllocError { addr: None, kind: AllocErrorKind::OutOfPages };
        let vacant = self.slots.len().saturating_sub(self.used().count());
        if pages == 0 || pages > vacant {
            return Err(out);
        }
        let mut first = self.next_allocation;
        let mut found = 0;
        while found < pages {
            let addr = nth_page(first, found).ok_or(out)?;
            if self.find(addr).is_some() {
                first = nth_page(addr, 1).ok_or(out)?;
                found = 0;
            } else {
                found = found.saturating_add(1);
            }
        }
        for page in 0..pages {
            let addr = nth_page(first, page).ok_or(out)?;
            *self.page_or_new(addr).map_err(|_| out)? = Page::ZERO;
        }
        self.next_allocation = nth_page(first, pages).unwrap_or(PhysAddr(PAGE_SIZE));
        Ok(first)
    }

    fn page(&self, addr: PhysAddr) -> Result<&Page, AllocError> {
        self.lend_page(addr).ok_or(AllocError { addr: Some(addr.page()), kind: AllocErrorKind::NotAllocated })
    }

    fn page_mut(&mut self, addr: PhysAddr) -> Result<&mut Page, AllocError> {
        let missing = AllocError { addr: Some(addr.page()), kind: AllocErrorKind::NotAllocated };
        let index = self.find(addr).ok_or(missing)?;
        self.slots.get_mut(index).map(|slot| &mut slot.page).ok_or(missing)
    }

    fn flush(&mut self, addr: PhysAddr) -> Result<(), AllocError> {
        self.page_mut(addr).map(|_| ())
    }

    fn free(&mut self, addr: PhysAddr, pages: usize) {
        for page in 0..pages {
            let slot = nth_page(addr.page(), page).and_then(|addr| self.find(addr));
            if let Some(slot) = slot.and_then(|index| self.slots.get_mut(index)) {
                slot.state = State::Freed;
            }
        }
    }
}

fn nth_page(first: PhysAddr, page: usize) -> Option<PhysAddr> {
    first.checked_add(u64::try_from(page).ok()?.checked_mul(PAGE_SIZE)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::ranges;
    use std::{vec, vec::Vec};

    #[test]
    fn neighbouring_pages_are_one_range_up_to_the_last_page() -> Result<(), MemoryFull> {
        let mut slots = vec![Slot::EMPTY; 5];
        let mut memory = SparseMemory::new(&mut slots);
        for addr in [0x8000, u64::MAX, 0x7000, 0x1234] {
            memory.write_page(PhysAddr(addr), &Page::ZERO)?;
        }
        let all: Vec<_> = ranges(&memory).map(|r| (r.first().0, r.last().0)).collect();
        assert_eq!(all, [(0x1000, 0x1fff), (0x7000, 0x8fff), (u64::MAX - 4095, u64::MAX)]);
        Ok(())
    }

    #[test]
    fn a_full_memory_says_which_page_found_no_room() {
        let mut slots = [Slot::EMPTY];
        let mut memory = SparseMemory::new(&mut slots);
        assert_eq!(memory.write_u64(PhysAddr(0x1000), 1), Ok(()));
        assert_eq!(memory.write_u64(PhysAddr(0x1ff8), 2), Ok(()));
        let full = MemoryFull { addr: PhysAddr(0x2000), slots: 1 };
        assert_eq!(memory.write_u64(PhysAddr(0x2008), 1), Err(full));
        assert_eq!(SparseMemory::new(&mut []).write_u64(PhysAddr(0), 1).map_err(|e| e.slots), Err(0));
    }

    #[test]
    fn a_hole_is_told_with_its_page() {
        let memory = SparseMemory::new(&mut []);
        let error = memory.read_page(PhysAddr(0x1234), &mut Page::ZERO.clone());
        assert_eq!(error, Err(ReadError { addr: PhysAddr(0x1000), kind: ReadErrorKind::Hole }));
    }

    #[test]
    fn contiguous_pages_skip_what_is_taken_and_come_back_zeroed() -> Result<(), AllocError> {
        let mut slots = vec![Slot::EMPTY; 6];
        let mut memory = SparseMemory::new(&mut slots);
        assert_eq!(memory.write_u64(PhysAddr(0x3000), 9), Ok(()));
        assert_eq!(memory.allocate(1)?, PhysAddr(0x1000));
        assert_eq!(memory.allocate(3)?, PhysAddr(0x4000));
        memory.page_mut(PhysAddr(0x5000))?.words_mut()[0] = Word::new(1);
        assert_eq!(memory.allocate(2).map_err(|e| e.kind), Err(AllocErrorKind::OutOfPages));
        memory.free(PhysAddr(0x4000), 3);
        assert_eq!(memory.page_mut(PhysAddr(0x5000)).map_err(|e| e.kind).err(), Some(AllocErrorKind::NotAllocated));
        memory.allocate_from(PhysAddr(0x4000));
        assert_eq!(memory.allocate(2)?, PhysAddr(0x4000));
        assert_eq!(memory.read_u64(PhysAddr(0x5000)), Some(0));
        assert_eq!(memory.read_u64(PhysAddr(0x3000)), Some(9));
        Ok(())
    }
}
