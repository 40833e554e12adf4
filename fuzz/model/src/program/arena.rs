use super::shape::Unit;
use crate::twin::bits;
use crate::twin::{Stage, Tables};
use iopt::PhysAddr;
use iopt::memory::{Page, PhysReader, SparseMemory};

/// Bits above any host address, for tables of a unit whose host address width nobody knows.
const TALL: u64 = 0xfff0_0000_0000_0000;

/// Where tables are put, and which there are.
pub struct Arena<'a, 's> {
    memory: &'a mut SparseMemory<'s>,
    next: u64,
    stride: u64,
    tall: bool,
    /// Page tables: address, and the stage and the level they were made for.
    pub tables: Vec<(u64, Stage, u8)>,
    /// All other tables.
    pub others: Vec<u64>,
    /// Addresses of entries that point to a table that others point to.
    pub links: Vec<u64>,
}

impl<'a, 's> Arena<'a, 's> {
    pub fn new(memory: &'a mut SparseMemory<'s>, unit: &Unit) -> Self {
        let next = u64::from(unit.arena & 0x3f_ffff) << 12;
        let stride = [1, 1, 3, 257][usize::from(unit.stride)] << 12;
        let tall = unit.tall && !unit.knows_haw;
        Self { memory, next, stride, tall, tables: vec![], others: vec![], links: vec![] }
    }

    fn page(&mut self, high: u64) -> Option<u64> {
        loop {
            let addr = high | self.next;
            self.next += self.stride;
            if self.read(addr).is_none() {
                self.memory.write_page(PhysAddr(addr), &Page::ZERO).ok()?;
                return Some(addr);
            }
        }
    }

    /// A new table that is no page table; `None` when memory is full.
    pub fn other(&mut self) -> Option<u64> {
        let addr = self.page(if self.tall { TALL } else { 0 })?;
        self.others.push(addr);
        Some(addr)
    }

    /// A new table of `pages` pages side by side, of which only so many are in memory; what follows them is a hole.
    pub fn others(&mut self, pages: u64, there: u64) -> Option<u64> {
        let high = if self.tall { TALL } else { 0 };
        while (0..pages).any(|page| self.read(high | (self.next + (page << 12))).is_some()) {
            self.next += self.stride;
        }
        let first = high | self.next;
        self.next += pages << 12;
        for page in 0..there {
            let addr = first + (page << 12);
            self.memory.write_page(PhysAddr(addr), &Page::ZERO).ok()?;
            self.others.push(addr);
        }
        Some(first)
    }

    /// A new table that a context or PASID entry points to.
    pub fn top(&mut self, stage: Stage, level: u8) -> Option<u64> {
        let addr = self.page(if self.tall { TALL } else { 0 })?;
        // The entries of page tables can't point above bit 51, so nobody can share this one then.
        if !self.tall {
            self.tables.push((addr, stage, level));
        }
        Some(addr)
    }

    /// A new table that a page-table entry points to.
    pub fn table(&mut self, stage: Stage, level: u8) -> Option<u64> {
        let addr = self.page(0)?;
        self.tables.push((addr, stage, level));
        Some(addr)
    }

    /// One of some pages that are not in memory; tables stay below bit 35.
    pub fn nowhere(&self, which: u8) -> u64 {
        1 << 35 | u64::from(which) << 12
    }

    pub fn read(&self, at: u64) -> Option<u64> {
        self.memory.read_u64(PhysAddr(at))
    }

    /// Writes into a page that is there; a page that is not stays absent.
    pub fn write(&mut self, at: u64, word: u64) {
        if self.read(at).is_some() {
            self.memory.write_u64(PhysAddr(at), word).expect("the page has a slot");
        }
    }

    /// Removes the second half of the links; false if there are none.
    pub fn cut_links(&mut self) -> bool {
        let cut = self.links.split_off(self.links.len() / 2);
        for at in &cut {
            self.write(*at, 0);
        }
        !cut.is_empty()
    }

    /// The memory as it is by now.
    pub fn memory(&self) -> &SparseMemory<'s> {
        self.memory
    }

    /// Whether a walk of everything in `of` stays within this many entries and tables; `locate` tells where in memory
    /// its tables are.
    pub fn is_within(
        &self,
        of: &Tables,
        mut entries: usize,
        mut tables: usize,
        locate: impl Fn(u64) -> Option<u64>,
    ) -> bool {
        self.count(of, &locate, of.levels, of.top, &mut vec![], (&mut entries, &mut tables)).is_some()
    }

    fn count(
        &self,
        of: &Tables,
        locate: &impl Fn(u64) -> Option<u64>,
        level: u8,
        table: u64,
        path: &mut Vec<u64>,
        (entries, tables): (&mut usize, &mut usize),
    ) -> Option<()> {
        let Some(table) = locate(table).filter(|table| !path.contains(table)) else { return Some(()) };
        let Some(page) = self.memory.lend_page(PhysAddr(table)) else { return Some(()) };
        *tables = tables.checked_sub(1)?;
        path.push(table);
        for word in &page.words()[..if level == 6 { 128 } else { 512 }] {
            let entry = word.get();
            if of.present(entry) {
                *entries = entries.checked_sub(1)?;
                if !bits::is_leaf(entry, level) {
                    self.count(of, locate, level - 1, entry & bits::ADDRESS, path, (entries, tables))?;
                }
            }
        }
        path.pop();
        Some(())
    }
}
