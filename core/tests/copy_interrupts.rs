//! The interrupt remapping table is copied whole, or not at all.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a panic is a red test"
)]

use iopt::PhysAddr;
use iopt::copy::{InterruptsError, interrupts, verify_interrupts};
use iopt::memory::{AllocError, AllocErrorKind, Page, PageAllocator, PhysReader, ReadErrorKind, Slot, SparseMemory};
use iopt::vtd::{InterruptEntry, Irta};

const OLD: u64 = 0x80_0000;

/// A table whose entry i is i * 5 + 1 where it is present, which every third is.
fn table(size: u64, slots: &mut [Slot]) -> (Irta, SparseMemory<'_>) {
    let irta = Irta(OLD | 1 << 11 | size);
    let mut memory = SparseMemory::new(slots);
    for index in 0..u64::from(irta.entry_count()) {
        let present = u64::from(index % 3 == 0);
        memory.write_u64(PhysAddr(OLD + 16 * index), (index * 5) << 16 | present).unwrap();
        memory.write_u64(PhysAddr(OLD + 16 * index + 8), index).unwrap();
    }
    (irta, memory)
}

#[test]
fn tables_of_every_size_are_copied_entry_for_entry() {
    for size in 0..=15 {
        let mut slots = vec![Slot::EMPTY; 512];
        let (irta, old) = table(size, &mut slots);
        let mut slots = vec![Slot::EMPTY; 512];
        let mut pages = SparseMemory::new(&mut slots);
        let mut used = vec![];
        let copied = interrupts(&old, irta, &mut pages, |index, entry| used.push((index, entry.raw()))).unwrap();
        // The same size and mode, at another place.
        assert_eq!((copied.0 & 0xfff, copied.table()), (irta.0 & 0xfff, PhysAddr(0x1000)));
        assert_eq!(used.len(), irta.entry_count().div_ceil(3) as usize);
        assert!(used.iter().all(|(index, raw)| index % 3 == 0 && raw & 1 == 1));
        for index in 0..irta.entry_count() {
            let at = |irta: Irta, memory: &SparseMemory<'_>| {
                let page = memory.lend_page(PhysAddr(irta.table().0 + 16 * u64::from(index))).unwrap();
                InterruptEntry::table(page)[index as usize % 256].raw()
            };
            assert_eq!(at(copied, &pages), at(irta, &old), "size {size}, entry {index}");
        }
        assert_eq!(verify_interrupts(&old, irta, &pages, copied, &mut Page::ZERO.clone()), Ok(()));
    }
}

#[test]
fn an_entry_that_differs_is_told() {
    let mut slots = vec![Slot::EMPTY; 8];
    let (irta, old) = table(8, &mut slots);
    let mut slots = vec![Slot::EMPTY; 8];
    let mut pages = SparseMemory::new(&mut slots);
    let copied = interrupts(&old, irta, &mut pages, |_, _| ()).unwrap();
    for index in [0, 1, 255, 256, 511] {
        let at = PhysAddr(copied.table().0 + 16 * index);
        let word = pages.read_u64(at).unwrap();
        pages.write_u64(at, word ^ 1 << 40).unwrap();
        let found = verify_interrupts(&old, irta, &pages, copied, &mut Page::ZERO.clone());
        let Err(InterruptsError::Differs { index: told, expected, found }) = found else { panic!("{found:?}") };
        assert_eq!((u64::from(told), expected ^ found), (index, 1 << 40));
        pages.write_u64(at, word).unwrap();
    }
    pages.free(copied.table(), 2);
    let gone = verify_interrupts(&old, irta, &pages, copied, &mut Page::ZERO.clone());
    assert!(matches!(gone, Err(InterruptsError::Pages { index: 0, .. })));
}

#[test]
fn what_is_no_table_is_refused_before_anything_is_allocated() {
    let mut slots = [Slot::EMPTY; 2];
    let mut pages = SparseMemory::new(&mut slots);
    let old = SparseMemory::new(&mut []);
    let reserved = interrupts(&old, Irta(0x5010), &mut pages, |_, _| ());
    assert_eq!(reserved, Err(InterruptsError::Reserved { irta: Irta(0x5010), reserved: 0x10 }));
    let end = interrupts(&old, Irta(!0xfff | 0xf), &mut pages, |_, _| ());
    assert!(matches!(end, Err(InterruptsError::BeyondMemory { entries: 65_536, .. })));
    assert_eq!(pages.allocate(2).unwrap(), PhysAddr(0x1000));
}

/// Fails the nth call of those that can.
struct Failing<'p, 's> {
    pages: &'p mut SparseMemory<'s>,
    left: u32,
    balance: usize,
}

impl Failing<'_, '_> {
    fn fail(&mut self) -> Result<(), AllocError> {
        self.left = self.left.wrapping_sub(1);
        if self.left == 0 { Err(AllocError { addr: None, kind: AllocErrorKind::Flush }) } else { Ok(()) }
    }
}

impl PageAllocator for Failing<'_, '_> {
    fn allocate(&mut self, pages: usize) -> Result<PhysAddr, AllocError> {
        self.fail()?;
        self.balance += pages;
        self.pages.allocate(pages)
    }

    fn page(&self, addr: PhysAddr) -> Result<&Page, AllocError> {
        self.pages.page(addr)
    }

    fn page_mut(&mut self, addr: PhysAddr) -> Result<&mut Page, AllocError> {
        self.fail()?;
        self.pages.page_mut(addr)
    }

    fn flush(&mut self, addr: PhysAddr) -> Result<(), AllocError> {
        self.fail()?;
        self.pages.flush(addr)
    }

    fn free(&mut self, addr: PhysAddr, pages: usize) {
        self.balance -= pages;
        self.pages.free(addr, pages);
    }
}

#[test]
fn after_any_failure_all_pages_are_given_back() {
    let mut slots = vec![Slot::EMPTY; 8];
    let (irta, old) = table(9, &mut slots);
    let mut slots = vec![Slot::EMPTY; 8];
    let mut pages = SparseMemory::new(&mut slots);
    // One allocation, and a write and a flush for each of four pages.
    for left in 1..=9 {
        let mut failing = Failing { pages: &mut pages, left, balance: 0 };
        let found = interrupts(&old, irta, &mut failing, |_, _| ());
        assert!(matches!(found, Err(InterruptsError::Pages { .. })), "{found:?}");
        assert_eq!(failing.balance, 0);
    }
    let mut healthy = Failing { pages: &mut pages, left: 10, balance: 0 };
    assert!(interrupts(&old, irta, &mut healthy, |_, _| ()).is_ok());
    assert_eq!(healthy.balance, 4);
}

#[test]
fn a_page_that_is_missing_is_told_with_its_first_entry() {
    let mut slots = vec![Slot::EMPTY; 8];
    let (irta, mut old) = table(9, &mut slots);
    old.free(PhysAddr(OLD + 0x2000), 1);
    let mut slots = vec![Slot::EMPTY; 4];
    let mut pages = SparseMemory::new(&mut slots);
    let found = interrupts(&old, irta, &mut pages, |_, _| ());
    let Err(InterruptsError::Unreadable { index: 512, error }) = found else { panic!("{found:?}") };
    assert_eq!((error.addr, error.kind), (PhysAddr(OLD + 0x2000), ReadErrorKind::Hole));
    // A retry with the page back is a fresh copy.
    old.write_page(PhysAddr(OLD + 0x2000), &Page::ZERO).unwrap();
    assert!(interrupts(&old, irta, &mut pages, |_, _| ()).is_ok());
}
