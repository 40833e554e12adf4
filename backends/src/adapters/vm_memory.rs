use iopt::memory::{Page, PhysReader, ReadError, ReadErrorKind};
use iopt::{PhysAddr, PhysRange};
use std::fmt;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryError, GuestMemoryRegion};
use zerocopy::IntoBytes;

/// The memory of a guest, as a hypervisor of rust-vmm has it: any `GuestMemoryBackend` of vm-memory, version 0.18.
/// Behind the feature `vm-memory`.
///
/// Regions that touch are one range, and a page may lie in several. What no region has is a hole. Nothing is lent,
/// since the guest may write to it at any time; for a picture of one moment, pause the guest.
///
/// ```
/// use iopt::PhysAddr;
/// use iopt::memory::PhysReader;
/// use iopt_backends::VmMemory;
/// use vm_memory::{GuestAddress, GuestMemoryMmap};
///
/// let guest = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), 0x8000), (GuestAddress(0x8000), 0x8000)])?;
/// let range = VmMemory::new(&guest).next_range(PhysAddr(0));
/// assert_eq!(range.map(|range| range.to_string()), Some("0x0-0xffff".to_owned()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct VmMemory<'m, M: ?Sized>(&'m M);

impl<'m, M: GuestMemoryBackend + ?Sized> VmMemory<'m, M> {
    /// The memory of `guest`.
    pub const fn new(guest: &'m M) -> Self {
        Self(guest)
    }

    /// The region that has the byte at `addr`, if there is such an address.
    fn region(&self, addr: Option<u64>) -> Option<&M::R> {
        self.0.find_region(GuestAddress(addr?))
    }
}

impl<M: GuestMemoryBackend + ?Sized> PhysReader for VmMemory<'_, M> {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        let read = self.0.read_slice(page.as_mut_bytes(), GuestAddress(addr.page().0));
        read.map_err(|error| ReadError::new(addr, kind(&error)))
    }

    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        let ahead = self.0.iter().filter(|region| region.last_addr().0 >= from.0);
        let next = ahead.min_by_key(|region| region.start_addr())?;
        let (mut first, mut last) = (next.start_addr().0, next.last_addr().0);
        while let Some(before) = self.region(first.checked_sub(1)) {
            first = before.start_addr().0;
        }
        while let Some(behind) = self.region(last.checked_add(1)) {
            last = behind.last_addr().0;
        }
        PhysRange::new(PhysAddr(first), PhysAddr(last))
    }
}

fn kind(error: &GuestMemoryError) -> ReadErrorKind {
    match error {
        // The second is a page of which a region has the first part only.
        GuestMemoryError::InvalidGuestAddress(_) | GuestMemoryError::PartialBuffer { .. } => ReadErrorKind::Hole,
        GuestMemoryError::IOError(error) => ReadErrorKind::Io(error.raw_os_error().unwrap_or(0)),
        _ => ReadErrorKind::Io(0),
    }
}

impl<M: ?Sized> fmt::Debug for VmMemory<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VmMemory").finish_non_exhaustive()
    }
}
