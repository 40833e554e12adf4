use iopt::memory::{Page, PhysReader, ReadError, ReadErrorKind};
use iopt::{PhysAddr, PhysRange};
use memflow::cglue::CTup2;
use memflow::mem::PhysicalMemory;
use memflow::mem::mem_data::{MemOps, ReadData};
use memflow::types::PhysicalAddress;
use std::cell::RefCell;
use std::{fmt, iter};
use zerocopy::IntoBytes;

/// The memory of a machine, as a connector of memflow (version 0.2) reads it: any `PhysicalMemory`, of a running
/// virtual machine or over DMA hardware. Behind the feature `memflow`.
///
/// A connector does not tell why it has no memory at an address: that is a hole. Where it fails altogether, that is an
/// I/O error without number. Nor does it tell its ranges, so all there is to know is the highest address. Nothing is
/// lent.
///
/// ```no_run
/// use iopt_backends::Memflow;
/// # fn walk(connector: impl memflow::mem::PhysicalMemory) -> Result<(), Box<dyn std::error::Error>> {
/// let memory = Memflow::new(connector);
/// let unit = iopt::vtd::Unit::new(iopt::vtd::Rtaddr(0x10_0000))?;
/// for range in unit.ranges(&memory, &mut iopt::walk::Scratch::new()) {
///     println!("{}", range?);
/// }
/// # Ok(())
/// # }
/// ```
pub struct Memflow<T>(RefCell<T>);

impl<T: PhysicalMemory> Memflow<T> {
    /// The memory behind `connector`; `&mut` of one will do, through memflow's `forward_mut`.
    pub const fn new(connector: T) -> Self {
        Self(RefCell::new(connector))
    }

    fn read(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadErrorKind> {
        // Nobody holds it but this function, which a connector has no way to call again.
        let mut connector = self.0.try_borrow_mut().map_err(|_| ReadErrorKind::Io(0))?;
        let mut read = 0_usize;
        let count = &mut |CTup2(_, part): ReadData<'_>| {
            read = read.saturating_add(part.len());
            true
        };
        let wanted = iter::once((PhysicalAddress::from(addr.page().0), page.as_mut_bytes().into()));
        let done = MemOps::with(wanted, Some(&mut count.into()), None, |wanted| connector.phys_read_raw_iter(wanted));
        match done {
            Err(_) => Err(ReadErrorKind::Io(0)),
            Ok(()) if read == Page::SIZE => Ok(()),
            Ok(()) => Err(ReadErrorKind::Hole),
        }
    }
}

impl<T: PhysicalMemory> PhysReader for Memflow<T> {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        self.read(addr, page).map_err(|kind| ReadError::new(addr, kind))
    }

    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        let last = PhysAddr(self.0.try_borrow().ok()?.metadata().max_address.to_umem());
        (from <= last).then(|| PhysRange::new(PhysAddr(0), last)).flatten()
    }
}

impl<T> fmt::Debug for Memflow<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memflow").finish_non_exhaustive()
    }
}
