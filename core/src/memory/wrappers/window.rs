use crate::address::{PAGE_SIZE, PhysAddr, PhysRange};
use crate::memory::{Page, PhysReader, ReadError, ReadErrorKind, lend_or_copy};
use core::cell::RefCell;
use zerocopy::IntoBytes;

/// A range of another reader's memory, moved to another address: a guest's memory inside the memory of its host.
///
/// Both are in bytes. Where their distance is whole pages, pages are lent and read as they are; else each is put
/// together from two, which takes two reads and can't be lent. The page for that makes the window larger than 4 KiB.
/// Whatever is not in the window is a hole, and so are pages that are in it in part.
///
/// ```
/// use iopt::memory::{PhysReader, Slot, SparseMemory, Window, ranges};
/// use iopt::{PhysAddr, PhysRange};
///
/// let mut slots = [Slot::EMPTY; 1];
/// let mut host = SparseMemory::new(&mut slots);
/// host.write_u64(PhysAddr(0x4000_1008), 42)?;
/// // The guest's first 1 GiB is the host's second.
/// let guest = Window::new(&host, PhysRange::block(PhysAddr(0x4000_0000), 30), PhysAddr(0)).unwrap();
/// assert_eq!(guest.lend_page(PhysAddr(0x1000)).map(|page| page.word(1)), Some(42));
/// assert_eq!(ranges(&guest).next().unwrap().to_string(), "0x1000-0x1fff");
/// assert!(guest.lend_page(PhysAddr(0x4000_1000)).is_none());
/// # Ok::<(), iopt::memory::MemoryFull>(())
/// ```
#[derive(Debug)]
pub struct Window<R> {
    reader: R,
    /// The window, by its own addresses.
    range: PhysRange,
    /// What to add to an address of the window, modulo 2^64.
    distance: u64,
    half: RefCell<Page>,
}

impl<R> Window<R> {
    /// What `reader` has in `inner`, at the addresses from `first` on. `None` if it would end past the 64-bit space.
    pub fn new(reader: R, inner: PhysRange, first: PhysAddr) -> Option<Self> {
        let behind_first = inner.last().0.wrapping_sub(inner.first().0);
        let range = PhysRange::new(first, first.checked_add(behind_first)?)?;
        let distance = inner.first().0.wrapping_sub(first.0);
        Some(Self { reader, range, distance, half: RefCell::new(Page::ZERO) })
    }

    /// The address in the inner memory, if the page that holds `addr` is in the window as a whole.
    fn inner(&self, addr: PhysAddr) -> Option<PhysAddr> {
        let page = PhysRange::block(addr, 12);
        (self.range.intersection(&page) == Some(page)).then(|| self.moved(addr))
    }

    fn moved(&self, addr: PhysAddr) -> PhysAddr {
        PhysAddr(addr.0.wrapping_add(self.distance))
    }

    fn moved_back(&self, addr: PhysAddr) -> PhysAddr {
        PhysAddr(addr.0.wrapping_sub(self.distance))
    }

    fn is_page_aligned(&self) -> bool {
        self.distance % PAGE_SIZE == 0
    }
}

impl<R: PhysReader> Window<R> {
    /// Reads the bytes from `inner` on, which lie in two pages.
    fn read_halves(&self, inner: PhysAddr, page: &mut Page) -> Result<(), ReadErrorKind> {
        let skip = usize::try_from(inner.0 % PAGE_SIZE).unwrap_or(0);
        let mut bytes = page.as_mut_bytes().iter_mut();
        // Nobody holds it but this function, which a reader has no way to call again.
        let mut half = self.half.try_borrow_mut().map_err(|_| ReadErrorKind::Io(0))?;
        let second = inner.page().checked_add(PAGE_SIZE).ok_or(ReadErrorKind::Hole)?;
        for (addr, skip) in [(inner, skip), (second, 0)] {
            let from = lend_or_copy(&self.reader, addr, &mut half).map_err(|error| error.kind)?;
            from.as_bytes().iter().skip(skip).zip(&mut bytes).for_each(|(from, to)| *to = *from);
        }
        Ok(())
    }
}

impl<R: PhysReader> PhysReader for Window<R> {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        let read = match self.inner(addr.page()) {
            None => Err(ReadErrorKind::Hole),
            Some(inner) if self.is_page_aligned() => self.reader.read_page(inner, page).map_err(|error| error.kind),
            Some(inner) => self.read_halves(inner, page),
        };
        read.map_err(|kind| ReadError::new(addr, kind))
    }

    fn lend_page(&self, addr: PhysAddr) -> Option<&Page> {
        let inner = self.inner(addr).filter(|_| self.is_page_aligned())?;
        self.reader.lend_page(inner)
    }

    fn prefetch(&self, addr: PhysAddr, bytes: usize) {
        let Some(inner) = self.inner(addr) else { return };
        self.reader.prefetch(inner, bytes);
        let in_page = usize::try_from(PAGE_SIZE.wrapping_sub(addr.0 % PAGE_SIZE)).unwrap_or(0);
        let here = usize::try_from(PAGE_SIZE.wrapping_sub(inner.0 % PAGE_SIZE)).unwrap_or(0);
        let rest = bytes.min(in_page).saturating_sub(here);
        if let (1.., Some(second)) = (rest, inner.page().checked_add(PAGE_SIZE)) {
            self.reader.prefetch(second, rest);
        }
    }

    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        if from > self.range.last() {
            return None;
        }
        let [first, from, last] = [self.range.first(), from.max(self.range.first()), self.range.last()];
        let found = self.reader.next_range(self.moved(from))?;
        let visible = found.intersection(&PhysRange::new(self.moved(first), self.moved(last))?)?;
        PhysRange::new(self.moved_back(visible.first()), self.moved_back(visible.last()))
    }
}
