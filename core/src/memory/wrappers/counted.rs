use crate::address::{PAGE_SIZE, PhysAddr, PhysRange};
use crate::memory::{Page, PhysReader, ReadError};
use core::cell::Cell;

/// What a [`Counted`] reader was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pages that were copied.
    pub pages_read: u64,
    /// Pages that were lent.
    pub pages_lent: u64,
    /// Pages that could not be read. One that can't be lent is no failure: it is read next.
    pub failures: u64,
    /// Hints.
    pub prefetches: u64,
}

impl Counts {
    /// How many bytes were copied.
    #[must_use]
    pub const fn bytes_read(&self) -> u64 {
        self.pages_read.saturating_mul(PAGE_SIZE)
    }

    /// How many bytes were lent.
    #[must_use]
    pub const fn bytes_lent(&self) -> u64 {
        self.pages_lent.saturating_mul(PAGE_SIZE)
    }
}

/// Counts what another reader is asked for, and passes everything on.
///
/// ```
/// use iopt::PhysAddr;
/// use iopt::memory::{Counted, Counts, Page, PhysReader, Slot, SparseMemory};
///
/// let mut slots = [Slot::EMPTY; 1];
/// let mut memory = SparseMemory::new(&mut slots);
/// memory.write_u64(PhysAddr(0x1008), 42)?;
/// let counted = Counted::new(&memory);
/// assert!(counted.lend_page(PhysAddr(0x1000)).is_some());
/// assert!(counted.read_page(PhysAddr(0x2000), &mut Page::ZERO.clone()).is_err());
/// assert_eq!(counted.counts(), Counts { pages_lent: 1, failures: 1, ..Counts::default() });
/// assert_eq!(counted.counts().bytes_lent(), 4096);
/// # Ok::<(), iopt::memory::MemoryFull>(())
/// ```
#[derive(Debug)]
pub struct Counted<R> {
    reader: R,
    counts: Cell<Counts>,
}

impl<R> Counted<R> {
    /// Counts what `reader` is asked for from now on.
    pub const fn new(reader: R) -> Self {
        let nothing = Counts { pages_read: 0, pages_lent: 0, failures: 0, prefetches: 0 };
        Self { reader, counts: Cell::new(nothing) }
    }

    /// What it was asked for so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts.get()
    }

    #[inline]
    fn count(&self, which: impl FnOnce(&mut Counts) -> &mut u64) {
        let mut counts = self.counts.get();
        let count = which(&mut counts);
        *count = count.saturating_add(1);
        self.counts.set(counts);
    }
}

impl<R: PhysReader> PhysReader for Counted<R> {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        let read = self.reader.read_page(addr, page);
        self.count(|counts| if read.is_ok() { &mut counts.pages_read } else { &mut counts.failures });
        read
    }

    #[inline]
    fn lend_page(&self, addr: PhysAddr) -> Option<&Page> {
        let lent = self.reader.lend_page(addr)?;
        self.count(|counts| &mut counts.pages_lent);
        Some(lent)
    }

    #[inline]
    fn prefetch(&self, addr: PhysAddr, bytes: usize) {
        self.count(|counts| &mut counts.prefetches);
        self.reader.prefetch(addr, bytes);
    }

    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        self.reader.next_range(from)
    }
}
