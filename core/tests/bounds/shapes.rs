//! Tables that take next to no memory and have more paths than could ever be followed.

use iopt::PhysAddr;
use iopt::memory::{Slot, SparseMemory};
use iopt::vtd::{Rtaddr, Unit};

/// Where the top table of the device is.
pub const TOP: u64 = 0x3000;
/// Where all the leaves lead.
pub const MEMORY: u64 = 0x8000_0000;

pub fn unit() -> Unit {
    Unit::new(Rtaddr(0x1000)).expect("legacy mode")
}

/// A unit with one device, 00:00.0, whose page table of so many levels starts at [`TOP`] and is made of `words`.
pub fn memory<'s>(slots: &'s mut [Slot], levels: u8, words: impl IntoIterator<Item = (u64, u64)>) -> SparseMemory<'s> {
    let mut memory = SparseMemory::new(slots);
    let unit = [(0x1000, 0x2001), (0x2000, TOP | 1), (0x2008, 0x100 | u64::from(levels - 2))];
    for (addr, word) in unit.into_iter().chain(words) {
        memory.write_u64(PhysAddr(addr), word).expect("there are slots enough");
    }
    memory
}

/// How many entries a table has.
pub fn fan_out(level: u8) -> u64 {
    if level == 6 { 128 } else { 512 }
}

/// All entries of the table at `table` lead to those of `below` in turn.
pub fn full(table: u64, level: u8, below: &[u64]) -> Vec<(u64, u64)> {
    (0..fan_out(level)).zip(below.iter().cycle()).map(|(index, to)| (table + index * 8, to | 3)).collect()
}

/// The address of a table of this level, the left or the right one.
pub fn table(level: u8, side: u64) -> u64 {
    0x10_0000 + u64::from(level) * 0x1_0000 + side * 0x1000
}

/// At each level below the top as many tables as `sides` says, each of them full of those below in turn; in the end all
/// leads to the same page.
pub fn diamonds(levels: u8, sides: u64) -> Vec<(u64, u64)> {
    let mut words = Vec::new();
    for level in (1..=levels).rev() {
        let below: Vec<u64> = match level {
            1 => vec![MEMORY],
            _ => (0..sides).map(|side| table(level - 1, side)).collect(),
        };
        let tables = if level == levels { vec![TOP] } else { (0..sides).map(|side| table(level, side)).collect() };
        words.extend(tables.into_iter().flat_map(|table| full(table, level, &below)));
    }
    words
}
