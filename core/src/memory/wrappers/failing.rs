use crate::address::{PhysAddr, PhysRange};
use crate::memory::{Page, PhysReader, ReadError, ReadErrorKind, Word};
use core::cell::Cell;
use core::fmt;

/// Fails chosen reads of another reader (fault injection), for tests of what is built on it.
///
/// A closure gets the number of the access, from 0 on, and its address, and says how it fails, if it does. A page that
/// is lent is one access, and so is a page that is read. One that fails is not lent, and fails when it is read next.
/// The page of a failed read is filled with ones, so that a caller that looks at it all the same gives itself away.
///
/// ```
/// use iopt::PhysAddr;
/// use iopt::memory::{Failing, Page, PhysReader, ReadErrorKind, Slot, SparseMemory};
///
/// let mut slots = [Slot::EMPTY; 1];
/// let mut memory = SparseMemory::new(&mut slots);
/// memory.write_u64(PhysAddr(0x1008), 42)?;
/// // By number: the second access fails. By address: `|_, addr| (addr.page() == bad).then_some(…)`.
/// let failing = Failing::new(&memory, |number, _| (number == 1).then_some(ReadErrorKind::Io(5)));
/// let mut page = Page::ZERO;
/// assert!(failing.read_page(PhysAddr(0x1000), &mut page).is_ok());
/// assert_eq!(failing.read_page(PhysAddr(0x1000), &mut page).unwrap_err().kind, ReadErrorKind::Io(5));
/// assert!(failing.read_page(PhysAddr(0x1000), &mut page).is_ok());
/// # Ok::<(), iopt::memory::MemoryFull>(())
/// ```
pub struct Failing<R, F> {
    reader: R,
    fails: F,
    accesses: Cell<u64>,
    /// The page that was not lent because it fails.
    not_lent: Cell<Option<ReadError>>,
}

impl<R, F: Fn(u64, PhysAddr) -> Option<ReadErrorKind>> Failing<R, F> {
    /// Asks `fails` before each access to `reader`.
    pub const fn new(reader: R, fails: F) -> Self {
        Self { reader, fails, accesses: Cell::new(0), not_lent: Cell::new(None) }
    }

    fn failure(&self, addr: PhysAddr) -> Option<ReadError> {
        let number = self.accesses.get();
        self.accesses.set(number.saturating_add(1));
        (self.fails)(number, addr).map(|kind| ReadError::new(addr, kind))
    }
}

impl<R: PhysReader, F: Fn(u64, PhysAddr) -> Option<ReadErrorKind>> PhysReader for Failing<R, F> {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        let not_lent = self.not_lent.take().filter(|error| error.addr == addr.page());
        match not_lent.or_else(|| self.failure(addr)) {
            Some(error) => {
                page.words_mut().fill(Word::new(u64::MAX));
                Err(error)
            }
            None => self.reader.read_page(addr, page),
        }
    }

    fn lend_page(&self, addr: PhysAddr) -> Option<&Page> {
        // What can't be lent is about to be read.
        let page = self.reader.lend_page(addr)?;
        self.not_lent.set(self.failure(addr));
        self.not_lent.get().is_none().then_some(page)
    }

    fn prefetch(&self, addr: PhysAddr, bytes: usize) {
        self.reader.prefetch(addr, bytes);
    }

    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        self.reader.next_range(from)
    }
}

impl<R: fmt::Debug, F> fmt::Debug for Failing<R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (reader, accesses) = (&self.reader, self.accesses.get());
        f.debug_struct("Failing").field("reader", reader).field("accesses", &accesses).finish_non_exhaustive()
    }
}
