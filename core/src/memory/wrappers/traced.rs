use crate::address::{PhysAddr, PhysRange};
use crate::memory::{Page, PhysReader, ReadError};
use core::fmt;

/// What a [`Traced`] reader did. Addresses are those that were asked for, with their bits 11:0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PageEvent {
    /// A page was copied.
    Read(PhysAddr),
    /// A page was lent. One that can't be lent is no event: it is read next.
    Lent(PhysAddr),
    /// The page at an address could not be read.
    Failed(PhysAddr, ReadError),
    /// So many bytes will be asked for soon.
    Prefetched(PhysAddr, usize),
}

impl fmt::Display for PageEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(addr) => write!(f, "read {addr}"),
            Self::Lent(addr) => write!(f, "lent {addr}"),
            Self::Failed(addr, error) => write!(f, "failed {addr}: {error}"),
            Self::Prefetched(addr, bytes) => write!(f, "prefetched {addr} ({bytes} bytes)"),
        }
    }
}

/// Tells a closure what another reader does, for logs and tests, and passes everything on.
///
/// The closure may be called in the middle of a walk, and must not use the same reader.
///
/// ```
/// use iopt::PhysAddr;
/// use iopt::memory::{Page, PhysReader, Slot, SparseMemory, Traced};
/// use std::cell::RefCell;
///
/// let mut slots = [Slot::EMPTY; 1];
/// let mut memory = SparseMemory::new(&mut slots);
/// memory.write_u64(PhysAddr(0x1008), 42)?;
/// let log = RefCell::new(vec![]);
/// let traced = Traced::new(&memory, |event| log.borrow_mut().push(event.to_string()));
/// assert!(traced.lend_page(PhysAddr(0x1008)).is_some());
/// assert!(traced.read_page(PhysAddr(0x2010), &mut Page::ZERO.clone()).is_err());
/// let failed = "failed 0x2010: page 0x2000 is not in the memory image (a hole)";
/// assert_eq!(*log.borrow(), ["lent 0x1008", failed]);
/// # Ok::<(), iopt::memory::MemoryFull>(())
/// ```
pub struct Traced<R, F> {
    reader: R,
    tell: F,
}

impl<R, F: Fn(PageEvent)> Traced<R, F> {
    /// Calls `tell` after each thing that `reader` did.
    pub const fn new(reader: R, tell: F) -> Self {
        Self { reader, tell }
    }
}

impl<R: PhysReader, F: Fn(PageEvent)> PhysReader for Traced<R, F> {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        let read = self.reader.read_page(addr, page);
        (self.tell)(match read {
            Ok(()) => PageEvent::Read(addr),
            Err(error) => PageEvent::Failed(addr, error),
        });
        read
    }

    fn lend_page(&self, addr: PhysAddr) -> Option<&Page> {
        let lent = self.reader.lend_page(addr)?;
        (self.tell)(PageEvent::Lent(addr));
        Some(lent)
    }

    fn prefetch(&self, addr: PhysAddr, bytes: usize) {
        self.reader.prefetch(addr, bytes);
        (self.tell)(PageEvent::Prefetched(addr, bytes));
    }

    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        self.reader.next_range(from)
    }
}

impl<R: fmt::Debug, F> fmt::Debug for Traced<R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traced").field("reader", &self.reader).finish_non_exhaustive()
    }
}
