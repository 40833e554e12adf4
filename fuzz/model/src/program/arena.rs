use super::draw::mix;
use super::shape::Unit;
use crate::twin::bits::{self, READ, WRITE};
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
    /// Second-stage tables: address, and the level they were made for.
    pub tables: Vec<(u64, u8)>,
    /// Root and context tables.
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

    /// A new root or context table; `None` when memory is full.
    pub fn other(&mut self) -> Option<u64> {
        let addr = self.page(if self.tall { TALL } else { 0 })?;
        self.others.push(addr);
        Some(addr)
    }

    /// A new table that a context entry points to.
    pub fn top(&mut self, level: u8) -> Option<u64> {
        let addr = self.page(if self.tall { TALL } else { 0 })?;
        // The entries of page tables can't point above bit 51, so nobody can share this one then.
        if !self.tall {
            self.tables.push((addr, level));
        }
        Some(addr)
    }

    /// A new table that a page-table entry points to.
    pub fn table(&mut self, level: u8) -> Option<u64> {
        let addr = self.page(0)?;
        self.tables.push((addr, level));
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

    /// Whether a walk of everything under `table` stays within this many entries and tables.
    pub fn is_within(&self, level: u8, table: u64, mut entries: usize, mut tables: usize) -> bool {
        self.count(level, table, &mut vec![], &mut entries, &mut tables).is_some()
    }

    fn count(&self, level: u8, table: u64, path: &mut Vec<u64>, left: &mut usize, tables: &mut usize) -> Option<()> {
        let Some(page) = self.memory.lend_page(PhysAddr(table)) else { return Some(()) };
        *tables = tables.checked_sub(1)?;
        path.push(table);
        for word in &page.words()[..if level == 6 { 128 } else { 512 }] {
            let entry = word.get();
            if entry & (READ | WRITE) != 0 {
                *left = left.checked_sub(1)?;
                let next = entry & bits::ADDRESS;
                if !bits::is_leaf(entry, level) && !path.contains(&next) {
                    self.count(level - 1, next, path, left, tables)?;
                }
            }
        }
        path.pop();
        Some(())
    }
}

/// Bits that an entry leaves to software, about a quarter of them set. Bit 7 is one of them at level 1.
pub fn dress(seed: u64, level: u8) -> u64 {
    mix(seed) & mix(seed ^ 0x5555) & (IGNORED | if level == 1 { 1 << 7 } else { 0 })
}

/// Bits 63, 61:52, 10:8, 6:3 and X.
const IGNORED: u64 = 0xbff0_0000_0000_077c;
