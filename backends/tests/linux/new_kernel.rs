//! What a new kernel gives for a copy: pages, and an allocator of I/O addresses. Each call can be made to fail.

use iopt::memory::{
    AllocError, AllocErrorKind, IovaReserver, Page, PageAllocator, PhysReader, ReadError, ReadErrorKind, ReserveError,
    ReserveErrorKind,
};
use iopt::{DomainId, IovaRange, Permissions, PhysAddr, PhysRange, SourceId};
use std::cell::Cell;
use std::collections::BTreeSet;

/// Where new pages are: no capture has memory there.
const FIRST: u64 = 0x40_0000_0000;

/// What can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Read,
    Allocate,
    Flush,
    Reserve,
}

/// One call of a kind, by its number.
pub type Failure = Option<(Call, u64)>;

/// Counts calls of each kind, and lets one of them fail.
#[derive(Default)]
pub struct Counter {
    counts: [Cell<u64>; 4],
    fails: Failure,
}

impl Counter {
    pub fn new(fails: Failure) -> Self {
        Self { fails, ..Self::default() }
    }

    pub fn count(&self, call: Call) -> u64 {
        self.counts[call as usize].get()
    }

    /// Whether this call fails.
    pub fn call(&self, call: Call) -> bool {
        let number = self.count(call);
        self.counts[call as usize].set(number + 1);
        self.fails == Some((call, number))
    }
}

/// New pages, one behind the other.
#[derive(Default)]
pub struct NewPages {
    /// Those that were freed are none.
    pages: Vec<Option<Page>>,
    pub counter: Counter,
}

impl NewPages {
    pub fn new(fails: Failure) -> Self {
        Self { counter: Counter::new(fails), ..Self::default() }
    }

    /// How many there are that were not freed.
    pub fn count(&self) -> u64 {
        self.pages.iter().flatten().count() as u64
    }

    fn number(addr: PhysAddr) -> usize {
        (addr.0.wrapping_sub(FIRST) >> 12) as usize
    }
}

fn missing(addr: PhysAddr) -> AllocError {
    AllocError { addr: Some(addr), kind: AllocErrorKind::NotAllocated }
}

impl PageAllocator for NewPages {
    fn allocate(&mut self, pages: usize) -> Result<PhysAddr, AllocError> {
        if self.counter.call(Call::Allocate) {
            return Err(AllocError { addr: None, kind: AllocErrorKind::OutOfPages });
        }
        let first = FIRST + 4096 * self.pages.len() as u64;
        self.pages.extend((0..pages).map(|_| Some(Page::ZERO)));
        Ok(PhysAddr(first))
    }

    fn page(&self, addr: PhysAddr) -> Result<&Page, AllocError> {
        self.pages.get(Self::number(addr)).and_then(Option::as_ref).ok_or(missing(addr))
    }

    fn page_mut(&mut self, addr: PhysAddr) -> Result<&mut Page, AllocError> {
        self.pages.get_mut(Self::number(addr)).and_then(Option::as_mut).ok_or(missing(addr))
    }

    fn flush(&mut self, addr: PhysAddr) -> Result<(), AllocError> {
        if self.counter.call(Call::Flush) {
            return Err(AllocError { addr: Some(addr), kind: AllocErrorKind::Flush });
        }
        self.page(addr).map(|_| ())
    }

    fn free(&mut self, addr: PhysAddr, pages: usize) {
        for page in &mut self.pages[Self::number(addr)..][..pages] {
            assert!(page.take().is_some(), "{addr} is freed twice");
        }
    }
}

impl PhysReader for NewPages {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        page.clone_from(self.page(addr).map_err(|_| ReadError::new(addr, ReadErrorKind::Hole))?);
        Ok(())
    }

    fn next_range(&self, _: PhysAddr) -> Option<PhysRange> {
        None
    }
}

/// What is reserved.
#[derive(Default)]
pub struct Iovas {
    open: BTreeSet<(usize, u16)>,
    ranges: Vec<(usize, DomainId, IovaRange)>,
    pub counter: Counter,
}

impl Iovas {
    pub fn new(fails: Failure) -> Self {
        Self { counter: Counter::new(fails), ..Self::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.ranges.is_empty()
    }

    fn call(&self, domain: DomainId) -> Result<(), ReserveError> {
        let full = ReserveError { domain, kind: ReserveErrorKind::Full };
        if self.counter.call(Call::Reserve) { Err(full) } else { Ok(()) }
    }
}

impl IovaReserver for Iovas {
    fn open_domain(&mut self, unit: usize, domain: DomainId, _: u8) -> Result<(), ReserveError> {
        self.call(domain)?;
        self.open.insert((unit, domain.0));
        Ok(())
    }

    fn reserve(&mut self, unit: usize, domain: DomainId, range: IovaRange, _: Permissions) -> Result<(), ReserveError> {
        self.call(domain)?;
        self.ranges.push((unit, domain, range));
        Ok(())
    }

    fn note_in_use(&mut self, _: usize, _: SourceId, domain: DomainId) -> Result<(), ReserveError> {
        self.call(domain)
    }

    fn forget_domain(&mut self, unit: usize, domain: DomainId) {
        self.open.remove(&(unit, domain.0));
        self.ranges.retain(|range| (range.0, range.1) != (unit, domain));
    }
}
