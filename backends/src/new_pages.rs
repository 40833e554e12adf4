use crate::lime;
use iopt::address::PAGE_SIZE;
use iopt::memory::{AllocError, AllocErrorKind, Page, PageAllocator};
use iopt::{PhysAddr, PhysRange};
use std::io::{self, Write};
use zerocopy::IntoBytes;

/// Pages for new tables, side by side from a base address on, to be written as a memory image.
///
/// Addresses are not handed out again after a page was given back, unless no later page is in use.
///
/// ```
/// use iopt::memory::{PageAllocator, PhysReader};
/// use iopt::PhysAddr;
/// use iopt_backends::{Image, NewPages};
///
/// let mut pages = NewPages::new(PhysAddr(0x4000_0000));
/// let page = pages.allocate(1)?;
/// let mut lime = Vec::new();
/// pages.write_lime(&mut lime)?;
/// assert!(Image::from_bytes(lime)?.lend_page(page).is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct NewPages {
    base: PhysAddr,
    /// The page at `base` and those behind it; `None` where one was given back.
    pages: Vec<Option<Box<Page>>>,
    flushes: u64,
}

impl NewPages {
    /// No pages yet; the first one will be the page that holds `base`.
    #[must_use]
    pub fn new(base: PhysAddr) -> Self {
        Self { base: base.page(), pages: Vec::new(), flushes: 0 }
    }

    /// The allocated pages as few ranges, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = PhysRange> + '_ {
        self.runs().map(|(range, _)| range)
    }

    /// How often a page was flushed.
    #[must_use]
    pub fn flushes(&self) -> u64 {
        self.flushes
    }

    /// Writes the allocated pages as a LiME image; nothing at all if there are none.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write_lime(&self, to: &mut impl Write) -> io::Result<()> {
        for (range, pages) in self.runs() {
            lime::write_header(range, to)?;
            for page in pages.iter().flatten() {
                to.write_all(page.as_bytes())?;
            }
        }
        Ok(())
    }

    /// Pages side by side, and where they are.
    fn runs(&self) -> impl Iterator<Item = (PhysRange, &[Option<Box<Page>>])> {
        let mut next = 0usize;
        self.pages.chunk_by(|one, other| one.is_some() == other.is_some()).filter_map(move |run| {
            let first = next;
            next = first.saturating_add(run.len());
            let range = self.range(first, run.len())?;
            run.first()?.is_some().then_some((range, run))
        })
    }

    /// Where `count` pages lie, of which the first has this number; `None` for no pages, or past the end of memory.
    fn range(&self, first: usize, count: usize) -> Option<PhysRange> {
        let bytes = |pages: usize| u64::try_from(pages).ok()?.checked_mul(PAGE_SIZE);
        let start = self.base.checked_add(bytes(first)?)?;
        PhysRange::new(start, start.checked_add(bytes(count)?.checked_sub(1)?)?)
    }

    /// The number of the page that holds `addr`, counted from the base.
    fn number(&self, addr: PhysAddr) -> Option<usize> {
        let bytes = addr.0.checked_sub(self.base.0)?;
        usize::try_from(bytes >> 12).ok()
    }

    fn missing(addr: PhysAddr) -> AllocError {
        AllocError { addr: Some(addr.page()), kind: AllocErrorKind::NotAllocated }
    }
}

impl PageAllocator for NewPages {
    fn allocate(&mut self, pages: usize) -> Result<PhysAddr, AllocError> {
        let full = AllocError { addr: None, kind: AllocErrorKind::OutOfPages };
        let range = self.range(self.pages.len(), pages).ok_or(full)?;
        self.pages.extend((0..pages).map(|_| Some(Box::new(Page::ZERO))));
        Ok(range.first())
    }

    fn page(&self, addr: PhysAddr) -> Result<&Page, AllocError> {
        let page = self.number(addr).and_then(|number| self.pages.get(number)?.as_deref());
        page.ok_or(Self::missing(addr))
    }

    fn page_mut(&mut self, addr: PhysAddr) -> Result<&mut Page, AllocError> {
        let number = self.number(addr);
        let page = number.and_then(|number| self.pages.get_mut(number)?.as_deref_mut());
        page.ok_or(Self::missing(addr))
    }

    /// There is no hardware that could see the page; it is only counted.
    fn flush(&mut self, addr: PhysAddr) -> Result<(), AllocError> {
        self.page(addr)?;
        self.flushes = self.flushes.saturating_add(1);
        Ok(())
    }

    fn free(&mut self, addr: PhysAddr, pages: usize) {
        let Some(first) = self.number(addr) else { return };
        self.pages.iter_mut().skip(first).take(pages).for_each(|page| *page = None);
        let used = self.pages.iter().rposition(Option::is_some).map_or(0, |last| last.saturating_add(1));
        self.pages.truncate(used);
    }
}
