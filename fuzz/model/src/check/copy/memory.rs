//! The new kernel, as a copy sees it: its pages and its allocator of addresses.

use iopt::memory::{
    AllocError, AllocErrorKind, IovaReserver, Page, PageAllocator, PhysReader, ReadError, ReadErrorKind, ReserveError,
    ReserveErrorKind, SparseMemory, ranges,
};
use iopt::{DomainId, IovaRange, Permissions, PhysAddr, PhysRange, SourceId};
use std::collections::{BTreeMap, BTreeSet};

/// Bits 51:12: as far as the pointers of page tables go.
pub const ADDRESS: u64 = 0xf_ffff_ffff_f000;

/// All pages of `memory`, with their addresses.
pub fn pages<'p>(memory: &'p SparseMemory<'_>) -> impl Iterator<Item = (u64, &'p Page)> {
    let all = ranges(memory).flat_map(|range| range.first().0 >> 12..=range.last().0 >> 12);
    all.filter_map(|number| Some((number << 12, memory.lend_page(PhysAddr(number << 12))?)))
}

/// Where new pages can lie in an address space of so many bits, so that nothing in `memory` leads there: what leads to
/// a hole must still do so when there are new pages. `None` if all of it may be led to.
///
/// No leaf is larger than 1 GiB, so even behind a second stage a pointer leads to the GiB that some word is about. A
/// PASID directory goes on for some pages from where its pointer leads, so new pages begin in the middle of theirs.
pub fn place<'p>(memory: impl Iterator<Item = (u64, &'p Page)>, bits: u8) -> Option<u64> {
    let mut taken = BTreeSet::from([0]);
    for (addr, page) in memory {
        taken.insert(addr >> 30);
        let words = page.words().iter().map(|word| word.get()).filter(|word| *word != 0);
        taken.extend(words.map(|word| (word & ADDRESS) >> 30));
    }
    (0..1 << (bits - 30)).find(|gib| !taken.contains(gib)).map(|gib| gib << 30 | 1 << 29)
}

/// New pages, of which each must be flushed once, behind its last write.
#[derive(Debug, Clone)]
pub struct Pages {
    /// Where they begin.
    pub first: u64,
    /// With whether they were flushed.
    pub pages: BTreeMap<u64, (Page, bool)>,
    /// How many were ever handed out.
    pub next: u64,
    /// What was handed out together: the first page, and how many.
    pub blocks: BTreeMap<u64, usize>,
    /// How many pages there are in all, if there is an end.
    pub limit: Option<usize>,
}

impl Pages {
    pub fn new(first: u64) -> Self {
        Self { first, pages: BTreeMap::new(), next: 0, blocks: BTreeMap::new(), limit: None }
    }

    pub fn all_flushed(&self) -> bool {
        self.pages.values().all(|(_, flushed)| *flushed)
    }

    /// Same pages at the same addresses.
    pub fn words(&self) -> Vec<(u64, Vec<u64>)> {
        let words = |page: &Page| page.words().iter().map(|word| word.get()).collect();
        self.pages.iter().map(|(addr, (page, _))| (*addr, words(page))).collect()
    }
}

fn missing(addr: PhysAddr) -> AllocError {
    AllocError { addr: Some(addr), kind: AllocErrorKind::NotAllocated }
}

impl PageAllocator for Pages {
    fn allocate(&mut self, pages: usize) -> Result<PhysAddr, AllocError> {
        if self.limit.is_some_and(|limit| self.pages.len() + pages > limit) {
            return Err(AllocError { addr: None, kind: AllocErrorKind::OutOfPages });
        }
        let first = self.first + self.next * 4096;
        self.next += pages as u64;
        self.pages.extend((0..pages as u64).map(|page| (first + page * 4096, (Page::ZERO, false))));
        self.blocks.insert(first, pages);
        Ok(PhysAddr(first))
    }

    fn page(&self, addr: PhysAddr) -> Result<&Page, AllocError> {
        self.pages.get(&addr.page().0).map(|(page, _)| page).ok_or(missing(addr))
    }

    fn page_mut(&mut self, addr: PhysAddr) -> Result<&mut Page, AllocError> {
        let (page, flushed) = self.pages.get_mut(&addr.page().0).ok_or(missing(addr))?;
        assert!(!*flushed, "{addr} is written after it was flushed");
        Ok(page)
    }

    fn flush(&mut self, addr: PhysAddr) -> Result<(), AllocError> {
        let (_, flushed) = self.pages.get_mut(&addr.page().0).ok_or(missing(addr))?;
        assert!(!std::mem::replace(flushed, true), "{addr} is flushed twice");
        Ok(())
    }

    fn free(&mut self, addr: PhysAddr, pages: usize) {
        assert_eq!(self.blocks.remove(&addr.0), Some(pages), "{addr} is given back as it was handed out");
        for page in 0..pages as u64 {
            self.pages.remove(&(addr.0 + page * 4096));
        }
    }
}

/// Memory in which tables are looked for: the new pages, and behind them what a nested first stage may need.
pub struct New<'a> {
    pub pages: &'a Pages,
    pub old: Option<&'a dyn PhysReader>,
}

impl PhysReader for New<'_> {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        let lent = self.lend_page(addr).ok_or(ReadError::new(addr, ReadErrorKind::Hole))?;
        page.clone_from(lent);
        Ok(())
    }

    fn lend_page(&self, addr: PhysAddr) -> Option<&Page> {
        self.pages.page(addr).ok().or_else(|| self.old?.lend_page(addr))
    }

    fn next_range(&self, _: PhysAddr) -> Option<PhysRange> {
        None
    }
}

/// Which domain of which unit.
pub type Key = (usize, u16);

/// What was told about domains.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Iovas {
    pub widths: BTreeMap<Key, u8>,
    pub ranges: BTreeMap<Key, Vec<(u64, u64)>>,
    pub in_use: BTreeSet<(usize, u16, u16)>,
    /// How many more ranges there is room for, if there is an end.
    pub limit: Option<usize>,
}

impl IovaReserver for Iovas {
    fn open_domain(&mut self, unit: usize, domain: DomainId, width: u8) -> Result<(), ReserveError> {
        assert_eq!(self.widths.insert((unit, domain.0), width), None, "{domain} is opened once");
        Ok(())
    }

    fn reserve(&mut self, unit: usize, domain: DomainId, range: IovaRange, _: Permissions) -> Result<(), ReserveError> {
        assert!(self.widths.contains_key(&(unit, domain.0)), "{domain} is opened before {range} is reserved");
        if let Some(limit) = &mut self.limit {
            *limit = limit.checked_sub(1).ok_or(ReserveError { domain, kind: ReserveErrorKind::Full })?;
        }
        self.ranges.entry((unit, domain.0)).or_default().push((range.first().0, range.last().0));
        Ok(())
    }

    fn note_in_use(&mut self, unit: usize, source: SourceId, domain: DomainId) -> Result<(), ReserveError> {
        assert!(self.widths.contains_key(&(unit, domain.0)), "{domain} is opened before {source} is in use");
        self.in_use.insert((unit, source.0, domain.0));
        Ok(())
    }

    fn forget_domain(&mut self, unit: usize, domain: DomainId) {
        let key = (unit, domain.0);
        assert!(self.widths.remove(&key).is_some(), "{domain} was opened");
        self.ranges.remove(&key);
        self.in_use.retain(|(user, _, used)| (*user, *used) != key);
    }
}

/// The fewest ranges that cover the same.
pub fn union(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (first, last) in ranges {
        match joined.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => joined.push((first, last)),
        }
    }
    joined
}
