//! An allocator and a reserver that keep books, break the test when a rule is broken, and can be told to fail.

use iopt::memory::{
    AllocError, AllocErrorKind, IovaReserver, Page, PageAllocator, PhysReader, ReadError, ReadErrorKind, ReserveError,
    ReserveErrorKind, SparseMemory,
};
use iopt::{DomainId, IovaRange, Permissions, PhysAddr, PhysRange, SourceId};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

/// New memory; the old memory of all tests lies below.
pub const NEW: u64 = 0x20_0000_0000;

/// Lets the n-th call fail; `None` lets none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Failing {
    pub at: Option<u64>,
    pub calls: u64,
}

impl Failing {
    pub fn at(call: u64) -> Self {
        Self { at: Some(call), calls: 0 }
    }

    fn now(&mut self) -> bool {
        self.calls += 1;
        self.at == Some(self.calls - 1)
    }
}

#[derive(Debug)]
struct Kept {
    page: Page,
    /// The first page of the allocation, and how many pages it has.
    block: (u64, usize),
    written: bool,
    flushed: bool,
}

/// New pages. Every rule that [`PageAllocator`] has is checked.
#[derive(Debug)]
pub struct Ledger {
    pages: BTreeMap<u64, Kept>,
    next: u64,
    pub allocations: Failing,
    pub flushes: Failing,
    /// What was flushed, in that order.
    pub order: Vec<u64>,
}

impl Ledger {
    pub fn new() -> Self {
        let (allocations, flushes) = (Failing::default(), Failing::default());
        Self { pages: BTreeMap::new(), next: NEW, allocations, flushes, order: Vec::new() }
    }

    pub fn balance(&self) -> usize {
        self.pages.len()
    }

    pub fn all_flushed(&self) -> bool {
        self.pages.values().all(|kept| kept.flushed)
    }

    pub fn pages(&self) -> impl Iterator<Item = u64> + '_ {
        self.pages.keys().copied()
    }

    pub fn word(&self, addr: u64) -> u64 {
        self.pages[&(addr & !0xfff)].page.word(((addr & 0xfff) / 8) as usize)
    }

    /// Changes a word behind the copy's back.
    pub fn tamper(&mut self, addr: u64, word: u64) {
        let page = &mut self.pages.get_mut(&(addr & !0xfff)).unwrap().page;
        page.words_mut()[((addr & 0xfff) / 8) as usize] = word.into();
    }

    /// Makes another copy of a page behind the copy's back.
    pub fn duplicate(&mut self, addr: u64) -> u64 {
        let page = self.pages[&addr].page.clone();
        let at = self.next;
        self.pages.insert(at, Kept { page, block: (at, 1), written: true, flushed: true });
        self.next += 0x1000;
        at
    }
}

impl PageAllocator for Ledger {
    fn allocate(&mut self, pages: usize) -> Result<PhysAddr, AllocError> {
        if self.allocations.now() {
            return Err(AllocError { addr: None, kind: AllocErrorKind::OutOfPages });
        }
        let first = self.next;
        for page in 0..pages as u64 {
            let kept = Kept { page: Page::ZERO, block: (first, pages), written: false, flushed: false };
            self.pages.insert(first + 0x1000 * page, kept);
        }
        // A hole between any two, so that a step too far is found.
        self.next += 0x1000 * (pages as u64 + 1);
        Ok(PhysAddr(first))
    }

    fn page(&self, addr: PhysAddr) -> Result<&Page, AllocError> {
        let missing = AllocError { addr: Some(addr.page()), kind: AllocErrorKind::NotAllocated };
        self.pages.get(&addr.page().0).map(|kept| &kept.page).ok_or(missing)
    }

    fn page_mut(&mut self, addr: PhysAddr) -> Result<&mut Page, AllocError> {
        let kept = self.pages.get_mut(&addr.page().0).unwrap_or_else(|| panic!("{addr} was not allocated"));
        assert!(!kept.flushed, "{addr} is written behind its flush");
        kept.written = true;
        Ok(&mut kept.page)
    }

    /// What a page points to must be flushed before it: hardware may follow it from now on.
    fn flush(&mut self, addr: PhysAddr) -> Result<(), AllocError> {
        if self.flushes.now() {
            return Err(AllocError { addr: Some(addr), kind: AllocErrorKind::Flush });
        }
        let kept = &self.pages[&addr.0];
        assert!(!kept.flushed && kept.written, "{addr} is flushed too early or too often");
        for word in kept.page.words() {
            let pointer = word.get() & super::ADDRESS;
            if (NEW..NEW + (1 << 32)).contains(&pointer) {
                let child = self.pages.get(&pointer).unwrap_or_else(|| panic!("{addr} points to {pointer:#x}"));
                assert_eq!(child.block.0, pointer, "{addr} points into the middle of a table");
                for page in 0..child.block.1 as u64 {
                    assert!(self.pages[&(pointer + 0x1000 * page)].flushed, "{addr} is flushed before {pointer:#x}");
                }
            }
        }
        self.pages.get_mut(&addr.0).unwrap().flushed = true;
        self.order.push(addr.0);
        Ok(())
    }

    fn free(&mut self, addr: PhysAddr, pages: usize) {
        for page in 0..pages as u64 {
            let kept = self.pages.remove(&(addr.0 + 0x1000 * page));
            let kept = kept.unwrap_or_else(|| panic!("{addr} is freed and not allocated"));
            assert_eq!(kept.block, (addr.0, pages), "{addr} is freed in parts");
        }
    }
}

type Domain = (usize, u16);

/// What was reserved. Every rule that [`IovaReserver`] has is checked.
#[derive(Debug, Default)]
pub struct Book {
    pub domains: BTreeMap<Domain, u8>,
    pub ranges: BTreeMap<Domain, Vec<(u64, u64, Permissions)>>,
    pub devices: BTreeSet<(usize, SourceId, u16)>,
    pub calls: Failing,
}

impl Book {
    pub fn is_empty(&self) -> bool {
        self.domains.is_empty() && self.ranges.is_empty() && self.devices.is_empty()
    }

    /// The ranges of a domain of unit 0.
    pub fn of(&self, domain: u16) -> Vec<(u64, u64)> {
        let ranges = self.ranges.get(&(0, domain)).map(Vec::as_slice).unwrap_or_default();
        ranges.iter().map(|(first, last, _)| (*first, *last)).collect()
    }

    fn fail(&mut self, domain: DomainId) -> Result<(), ReserveError> {
        let failed = Err(ReserveError { domain, kind: ReserveErrorKind::Full });
        if self.calls.now() { failed } else { Ok(()) }
    }
}

impl IovaReserver for Book {
    fn open_domain(&mut self, unit: usize, domain: DomainId, width: u8) -> Result<(), ReserveError> {
        self.fail(domain)?;
        assert_eq!(self.domains.insert((unit, domain.0), width), None, "domain {domain} is opened twice");
        Ok(())
    }

    fn reserve(
        &mut self,
        unit: usize,
        domain: DomainId,
        range: IovaRange,
        how: Permissions,
    ) -> Result<(), ReserveError> {
        self.fail(domain)?;
        let width = self.domains[&(unit, domain.0)];
        assert!(width == 64 || range.last().0 >> width == 0, "{range} is outside of domain {domain}: {width} bits");
        self.ranges.entry((unit, domain.0)).or_default().push((range.first().0, range.last().0, how));
        Ok(())
    }

    fn note_in_use(&mut self, unit: usize, source: SourceId, domain: DomainId) -> Result<(), ReserveError> {
        self.fail(domain)?;
        assert!(self.domains.contains_key(&(unit, domain.0)), "domain {domain} is not open");
        self.devices.insert((unit, source, domain.0));
        Ok(())
    }

    fn forget_domain(&mut self, unit: usize, domain: DomainId) {
        assert!(self.domains.remove(&(unit, domain.0)).is_some(), "domain {domain} is forgotten and was not open");
        self.ranges.remove(&(unit, domain.0));
        self.devices.retain(|device| (device.0, device.2) != (unit, domain.0));
    }
}

/// Old memory that counts its reads, fails one of them, and may lend.
pub struct Old<'m, 's> {
    pub memory: &'m SparseMemory<'s>,
    pub lends: bool,
    pub reads: RefCell<Failing>,
    /// The page whose read failed that was to fail.
    pub failed: Cell<Option<PhysAddr>>,
    /// A page that was not lent because it fails, and is going to be asked for again.
    pub not_lent: Cell<Option<PhysAddr>>,
    /// A page that always fails.
    pub broken: Option<PhysAddr>,
}

impl<'m, 's> Old<'m, 's> {
    pub fn new(memory: &'m SparseMemory<'s>, lends: bool) -> Self {
        Self {
            memory,
            lends,
            reads: RefCell::default(),
            failed: Cell::new(None),
            not_lent: Cell::new(None),
            broken: None,
        }
    }
}

impl PhysReader for Old<'_, '_> {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        let failed_to_lend = self.not_lent.take() == Some(addr.page());
        let broken = self.broken == Some(addr.page());
        if failed_to_lend || broken || !self.lends && self.reads.borrow_mut().now() {
            if !broken {
                self.failed.set(Some(addr.page()));
            }
            // What a page holds after an error means nothing.
            page.words_mut().fill(0xdead_beef_0000_0fff.into());
            return Err(ReadError::new(addr, ReadErrorKind::Io(5)));
        }
        self.memory.read_page(addr, page)
    }

    fn lend_page(&self, addr: PhysAddr) -> Option<&Page> {
        if !self.lends || self.broken == Some(addr.page()) {
            return None;
        }
        let fails = self.reads.borrow_mut().now();
        self.not_lent.set(fails.then(|| addr.page()));
        if fails { None } else { self.memory.lend_page(addr) }
    }

    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        self.memory.next_range(from)
    }
}
