//! The three traits by which iopt meets the outside: memory to read, pages to build new tables in, and
//! the allocator of I/O addresses to tell what is in use.
//!
//! | trait | a crash tool has | a kernel has | a test has |
//! |---|---|---|---|
//! | [`PhysReader`] | an image file | the old kernel's memory ([`OldMemory`]) | [`SparseMemory`] |
//! | [`PageAllocator`] | an image to write | its page allocator | [`SparseMemory`] |
//! | [`IovaReserver`] | nothing | its IOVA allocator | a list |
//!
//! And readers that go around any other reader:
//!
//! | | does | lends |
//! |---|---|---|
//! | [`Cached`] | keeps the pages that were read last | what the inner reader lends |
//! | [`Counted`] | counts pages, failures and hints | what the inner reader lends |
//! | [`Traced`] | tells a closure of each access | what the inner reader lends |
//! | [`Failing`] | fails the reads that a closure chooses | what the inner reader lends, unless it fails |
//! | [`Window`] | shows a range at another address | if it moves by whole pages |
//!
//! [`OldMemory`] makes a reader of the function by which a capture kernel copies the memory of the crashed one.

mod page;
mod reservations;
mod sparse;
mod wrappers;

pub use page::{Page, Word};
pub use reservations::Reservations;
pub use sparse::{MemoryFull, Slot, SparseMemory};
pub use wrappers::{CacheSlot, Cached, Counted, Counts, Failing, OldMemory, PageEvent, Traced, Window};

use crate::access::Permissions;
use crate::address::{DomainId, IovaRange, PhysAddr, PhysRange, SourceId};
use core::fmt;
use thiserror::Error;

/// Physical memory, read a page at a time.
///
/// Every method takes any byte address and means the 4 KiB page that holds it: bits 11:0 do not matter, but for
/// [hints](Self::prefetch).
/// The trait is object safe.
pub trait PhysReader {
    /// Reads the whole page that holds `addr` into `page`.
    ///
    /// A read is whole or an error; after an error the contents of `page` mean nothing. Live memory may
    /// change between two reads, so callers decode from the copy and don't ask twice.
    ///
    /// # Errors
    /// [`ReadError`] tells why the page is not there.
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError>;

    /// Lends the page that holds `addr` without copying it, where the memory is mapped and does not change.
    ///
    /// `None` says only that it can't be lent: [`read_page`](Self::read_page) has the page, or the reason
    /// why not. Live memory is never lent.
    fn lend_page(&self, addr: PhysAddr) -> Option<&Page> {
        let _ = addr;
        None
    }

    /// Hints that the `bytes` bytes from `addr` on, as far as they are in its page, will be asked for soon. It
    /// may do nothing, and never fails.
    fn prefetch(&self, addr: PhysAddr, bytes: usize) {
        let _ = (addr, bytes);
    }

    /// The first range of memory that ends at or after `from`; `None` when there is no more.
    ///
    /// Ranges come in ascending order and do not overlap. A page inside a range may still fail to read.
    fn next_range(&self, from: PhysAddr) -> Option<PhysRange>;
}

impl<R: PhysReader + ?Sized> PhysReader for &R {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        (**self).read_page(addr, page)
    }
    fn lend_page(&self, addr: PhysAddr) -> Option<&Page> {
        (**self).lend_page(addr)
    }
    fn prefetch(&self, addr: PhysAddr, bytes: usize) {
        (**self).prefetch(addr, bytes);
    }
    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        (**self).next_range(from)
    }
}

/// All ranges of `memory`, ascending.
///
/// ```
/// use iopt::{PhysAddr, memory::{ranges, Page, Slot, SparseMemory}};
///
/// let mut slots = [Slot::EMPTY; 2];
/// let mut memory = SparseMemory::new(&mut slots);
/// memory.write_page(PhysAddr(0x5000), &Page::ZERO)?;
/// let all: Vec<String> = ranges(&memory).map(|range| range.to_string()).collect();
/// assert_eq!(all, ["0x5000-0x5fff"]);
/// # Ok::<(), iopt::memory::MemoryFull>(())
/// ```
pub fn ranges<R: PhysReader + ?Sized>(memory: &R) -> impl Iterator<Item = PhysRange> {
    let mut from = Some(PhysAddr(0));
    core::iter::from_fn(move || {
        let range = memory.next_range(from?)?;
        from = range.last().checked_add(1);
        Some(range)
    })
}

/// The page that holds `addr`: lent, or copied to `copy`.
#[inline(always)]
pub(crate) fn lend_or_copy<'p, R: PhysReader + ?Sized>(
    reader: &'p R,
    addr: PhysAddr,
    copy: &'p mut Page,
) -> Result<&'p Page, ReadError> {
    match reader.lend_page(addr) {
        Some(page) => Ok(page),
        None => reader.read_page(addr, copy).map(|()| &*copy),
    }
}

/// A page of physical memory could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[error("page {addr} {kind}")]
pub struct ReadError {
    /// The page.
    pub addr: PhysAddr,
    /// Why it is not there.
    pub kind: ReadErrorKind,
}

impl ReadError {
    /// The page that holds `addr` is not there, for the reason `kind`.
    #[must_use]
    pub const fn new(addr: PhysAddr, kind: ReadErrorKind) -> Self {
        Self { addr: addr.page(), kind }
    }
}

/// Why a page is not there. Absence in a translation table is none of these: that is no error at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReadErrorKind {
    /// The image has no memory at this address.
    Hole,
    /// The machine had memory here, but the dump's filter left the page out, or put it into another file of the dump.
    Excluded,
    /// The backend failed to deliver a page that it should have; the operating system's error number, or 0.
    Io(i32),
}

impl fmt::Display for ReadErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hole => f.write_str("is not in the memory image (a hole)"),
            Self::Excluded => {
                f.write_str("is not in the image: left out by the dump's filter, or in another file of the dump")
            }
            Self::Io(0) => f.write_str("should be there, but is damaged, cut off or unreadable (I/O error)"),
            Self::Io(errno) => write!(f, "could not be read (I/O error, os error {errno})"),
        }
    }
}

/// Pages for new tables.
///
/// An implementation hands out pages of the memory that the new tables will live in. Whoever asks gives
/// every page back with [`free`](Self::free) when the whole job fails.
pub trait PageAllocator {
    /// Allocates `pages` physically contiguous zeroed pages and returns the address of the first.
    ///
    /// Everything but a PASID directory asks for one.
    ///
    /// # Errors
    /// [`AllocErrorKind::OutOfPages`] when there are not that many.
    fn allocate(&mut self, pages: usize) -> Result<PhysAddr, AllocError>;

    /// The page that holds `addr`, to read.
    ///
    /// # Errors
    /// [`AllocErrorKind::NotAllocated`] for a page that this allocator did not hand out.
    fn page(&self, addr: PhysAddr) -> Result<&Page, AllocError>;

    /// The page that holds `addr`, to write.
    ///
    /// # Errors
    /// [`AllocErrorKind::NotAllocated`] for a page that this allocator did not hand out.
    fn page_mut(&mut self, addr: PhysAddr) -> Result<&mut Page, AllocError>;

    /// Makes the page that holds `addr` visible to hardware that does not snoop processor caches
    /// (ECAP.C = 0). It is called once per page, after the page's last write.
    ///
    /// # Errors
    /// [`AllocErrorKind::NotAllocated`], or [`AllocErrorKind::Flush`] when the hardware refuses.
    fn flush(&mut self, addr: PhysAddr) -> Result<(), AllocError>;

    /// Gives back what one [`allocate`](Self::allocate) of `pages` pages returned.
    fn free(&mut self, addr: PhysAddr, pages: usize);
}

/// A page for a new table could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[error("{kind}")]
pub struct AllocError {
    /// Which page, where one is known.
    pub addr: Option<PhysAddr>,
    /// What went wrong.
    pub kind: AllocErrorKind,
}

/// Why a page for a new table could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum AllocErrorKind {
    /// There are no more pages, or not as many side by side.
    #[error("out of pages for new tables")]
    OutOfPages,
    /// The page was not handed out by this allocator.
    #[error("the page was not allocated here")]
    NotAllocated,
    /// The page could not be made visible to the hardware.
    #[error("the page could not be flushed")]
    Flush,
}

/// The allocators of I/O addresses, which must learn what devices are still using.
///
/// Each unit has domain-ids of its own; `unit` is its place among those that are copied together.
pub trait IovaReserver {
    /// Makes `domain` known, with an address space of `width` bits. Called once, before everything else about it.
    ///
    /// # Errors
    /// [`ReserveErrorKind`] says why not.
    fn open_domain(&mut self, unit: usize, domain: DomainId, width: u8) -> Result<(), ReserveError>;

    /// Marks `range` as in use in `domain`, so that no new mapping is put there. Ranges may overlap, where devices
    /// with different tables share a domain-id: what is in use is their union.
    ///
    /// # Errors
    /// [`ReserveErrorKind`] says why not.
    fn reserve(
        &mut self,
        unit: usize,
        domain: DomainId,
        range: IovaRange,
        permissions: Permissions,
    ) -> Result<(), ReserveError>;

    /// Notes that translations of `source` are in use under `domain`.
    ///
    /// # Errors
    /// [`ReserveErrorKind`] says why not.
    fn note_in_use(&mut self, unit: usize, source: SourceId, domain: DomainId) -> Result<(), ReserveError>;

    /// Forgets everything told about `domain`: the job that told it has failed.
    fn forget_domain(&mut self, unit: usize, domain: DomainId);
}

/// An address range could not be reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[error("domain {domain}: {kind}")]
pub struct ReserveError {
    /// In which domain.
    pub domain: DomainId,
    /// What went wrong.
    pub kind: ReserveErrorKind,
}

/// Why an address range could not be reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum ReserveErrorKind {
    /// The domain was not opened, or the reserver can't hold another one.
    #[error("no such domain here, and no room for it")]
    Domain,
    /// The reserver has no room for another range.
    #[error("no room for another range")]
    Full,
    /// Part of the range does not exist in the domain's address space.
    #[error("the range {0} is outside the domain's address space")]
    Outside(IovaRange),
}
