//! Hand-made tables, word by word.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a panic is a red test")]

use iopt::memory::{Failing, Page, PhysReader, ReadError, Slot, SparseMemory};
use iopt::vtd::{Rtaddr, Unit};
use iopt::{PhysAddr, PhysRange, SourceId};
use std::collections::BTreeMap;

pub const ROOT: u64 = 0x1000;
pub const CONTEXT: u64 = 0x2000;
pub const TOP: u64 = 0x3000;
/// Bus 1, device 2, function 3.
pub const SOURCE: SourceId = SourceId::new(1, 0x13);
/// Where the entries of [`SOURCE`] are; both are two words.
pub const ROOT_ENTRY: u64 = ROOT + 16;
pub const CONTEXT_ENTRY: u64 = CONTEXT + 16 * 0x13;
/// Page-table entries.
pub const R: u64 = 1;
pub const W: u64 = 2;
pub const RW: u64 = 3;
pub const LARGE: u64 = 1 << 7;
pub const SNOOP: u64 = 1 << 11;

/// Words of memory by their addresses: what no word is in is a hole.
#[derive(Clone, Debug, Default)]
pub struct Words(BTreeMap<u64, u64>);

impl Words {
    pub fn set(&mut self, addr: u64, word: u64) -> &mut Self {
        self.0.insert(addr, word);
        self
    }

    pub fn get(&self, addr: u64) -> u64 {
        self.0.get(&addr).copied().unwrap_or(0)
    }

    /// Takes the page at `addr` out of memory.
    pub fn hole(&mut self, addr: u64) -> &mut Self {
        self.0.retain(|word, _| word & !0xfff != addr);
        self
    }

    /// Whether there is memory at `addr`.
    pub fn holds(&self, addr: u64) -> bool {
        self.0.range(addr & !0xfff..=addr | 0xfff).next().is_some()
    }

    /// Lets `look` see the memory.
    pub fn with<T>(&self, look: impl FnOnce(&SparseMemory<'_>) -> T) -> T {
        let pages = self.0.keys().map(|addr| addr >> 12).collect::<std::collections::BTreeSet<_>>().len();
        let mut slots = vec![Slot::EMPTY; pages];
        let mut memory = SparseMemory::new(&mut slots);
        for (addr, word) in &self.0 {
            memory.write_u64(PhysAddr(*addr), *word).unwrap();
        }
        look(&memory)
    }
}

/// The tables of one device in legacy mode.
#[derive(Clone, Debug)]
pub struct Tables {
    words: Words,
    levels: u8,
    next_table: u64,
}

impl Tables {
    /// The root, context and top table of [`SOURCE`], in domain 7.
    pub fn new(levels: u8) -> Self {
        let mut tables = Self { words: Words::default(), levels, next_table: TOP + 0x1000 };
        tables
            .set(ROOT_ENTRY, CONTEXT | 1)
            .set(CONTEXT_ENTRY, TOP | 1)
            .set(CONTEXT_ENTRY + 8, 7 << 8 | u64::from(levels - 2))
            .set(TOP, 0);
        tables
    }

    pub fn set(&mut self, addr: u64, word: u64) -> &mut Self {
        self.words.set(addr, word);
        self
    }

    /// Takes the page at `addr` out of memory.
    pub fn hole(&mut self, addr: u64) -> &mut Self {
        self.words.hole(addr);
        self
    }

    pub fn get(&self, addr: u64) -> u64 {
        self.words.get(addr)
    }

    /// Where the entry of `iova` at `level` is. Tables on the way are made, and let everything through.
    pub fn at(&mut self, level: u8, iova: u64) -> u64 {
        let mut table = TOP;
        for above in (level..=self.levels).rev() {
            let shift = 3 + 9 * u32::from(above);
            let entry = table + 8 * (iova >> shift & 0x1ff);
            if above == level {
                return entry;
            }
            if self.get(entry) == 0 {
                self.words.set(entry, self.next_table | RW).set(self.next_table, 0);
                self.next_table += 0x1000;
            }
            table = self.get(entry) & 0x000f_ffff_ffff_f000;
        }
        table
    }

    /// Makes `entry` the one of `iova` at `level`.
    pub fn map(&mut self, level: u8, iova: u64, entry: u64) -> &mut Self {
        let at = self.at(level, iova);
        self.set(at, entry)
    }

    pub fn words(&self) -> &Words {
        &self.words
    }

    /// Lets `look` see the memory.
    pub fn with<T>(&self, look: impl FnOnce(&SparseMemory<'_>) -> T) -> T {
        self.words.with(look)
    }
}

/// The unit of these tables, about which nothing is known.
pub fn unit() -> Unit {
    Unit::new(Rtaddr(ROOT)).unwrap()
}

/// A reader that never lends.
pub struct Copying<R>(pub R);

impl<R: PhysReader> PhysReader for Copying<R> {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        self.0.read_page(addr, page)
    }

    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        self.0.next_range(from)
    }
}

/// The memory without the page of an error.
pub fn failing(memory: &SparseMemory<'_>, error: Option<ReadError>) -> impl PhysReader {
    Failing::new(memory, move |_, addr| error.filter(|error| error.addr == addr.page()).map(|error| error.kind))
}
