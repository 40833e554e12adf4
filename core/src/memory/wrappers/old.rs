use crate::address::{PAGE_SIZE, PhysAddr, PhysRange};
use crate::memory::{Page, PhysReader, ReadError, ReadErrorKind};
use core::fmt;
use zerocopy::IntoBytes;

/// The memory of a crashed kernel, as the capture kernel has it: behind a function that copies bytes of a page frame
/// (`copy_oldmem_page` in Linux).
///
/// The function gets the number of the frame, the offset in it, and a buffer that does not reach beyond the frame. It
/// returns how many bytes it copied, or an error number, which may be negative as kernels have them. Nothing is lent:
/// the frame is mapped for the time of the copy only.
///
/// An error number is told as [`ReadErrorKind::Io`], positive, whichever it is (`EFAULT` too: the frame should have
/// been there), and a short copy as `Io(0)`. Holes are known by the [memory map](Self::with_ranges) alone.
///
/// ```
/// use iopt::memory::{OldMemory, Page, PhysReader, ReadErrorKind};
/// use iopt::{PhysAddr, PhysRange};
///
/// let copy = |frame: u64, _offset: usize, into: &mut [u8]| match frame {
///     0..=7 => {
///         into.fill(frame as u8);
///         Ok(into.len())
///     }
///     _ => Err(-14),
/// };
/// let map = [PhysRange::block(PhysAddr(0), 16)];
/// let old = OldMemory::new(copy).with_ranges(&map);
/// let mut page = Page::ZERO;
/// old.read_page(PhysAddr(0x2000), &mut page)?;
/// assert_eq!(page.word(0), 0x0202_0202_0202_0202);
/// assert_eq!(old.read_page(PhysAddr(0x8000), &mut page).unwrap_err().kind, ReadErrorKind::Io(14));
/// assert_eq!(old.read_page(PhysAddr(0x1_0000), &mut page).unwrap_err().kind, ReadErrorKind::Hole);
/// # Ok::<(), iopt::memory::ReadError>(())
/// ```
pub struct OldMemory<'m, F> {
    copy: F,
    /// The memory map, if it is known.
    ranges: Option<&'m [PhysRange]>,
}

impl<'m, F: Fn(u64, usize, &mut [u8]) -> Result<usize, i32>> OldMemory<'m, F> {
    /// The memory that `copy` copies, of which no map is known: every frame is asked for, and no range is told.
    pub const fn new(copy: F) -> Self {
        Self { copy, ranges: None }
    }

    /// Only frames that `ranges` has a byte of are asked for, and all else is a hole. Without this, tables that the
    /// crash has spoiled may lead to registers of devices. Ranges may come in any order; they don't overlap.
    #[must_use]
    pub fn with_ranges(self, ranges: &'m [PhysRange]) -> Self {
        Self { copy: self.copy, ranges: Some(ranges) }
    }

    fn has(&self, addr: PhysAddr) -> bool {
        let page = PhysRange::block(addr, 12);
        self.ranges.is_none_or(|ranges| ranges.iter().any(|range| range.intersection(&page).is_some()))
    }
}

impl<F: Fn(u64, usize, &mut [u8]) -> Result<usize, i32>> PhysReader for OldMemory<'_, F> {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        let kind = if self.has(addr) {
            match (self.copy)(addr.0 / PAGE_SIZE, 0, page.as_mut_bytes()) {
                Ok(Page::SIZE) => return Ok(()),
                Ok(_) => ReadErrorKind::Io(0),
                Err(errno) => ReadErrorKind::Io(errno.saturating_abs()),
            }
        } else {
            ReadErrorKind::Hole
        };
        Err(ReadError::new(addr, kind))
    }

    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        let ahead = self.ranges?.iter().filter(|range| range.last() >= from);
        ahead.min_by_key(|range| range.first()).copied()
    }
}

impl<F> fmt::Debug for OldMemory<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OldMemory").field("ranges", &self.ranges).finish_non_exhaustive()
    }
}
