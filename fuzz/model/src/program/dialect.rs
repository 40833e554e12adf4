//! How the things that a tree is made of are written in the entries of each stage.

use super::draw::mix;
use super::shape::Rights;
use crate::twin::Stage;
use crate::twin::bits::{self, EXECUTE_DISABLE, PAGE_SIZE, PRESENT, READ, SNOOP, USER, WRITE};

/// The stage that a tree is of.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    pub stage: Stage,
    /// Software's bits in leaves of the first stage include XD.
    pub execute_disable: bool,
}

impl Dialect {
    fn is_first(self) -> bool {
        self.stage == Stage::First
    }

    /// What lets everything through.
    pub fn all(self) -> u64 {
        self.rights(Rights(3))
    }

    pub fn rights(self, rights: Rights) -> u64 {
        if self.is_first() { PRESENT | (rights.0 & 1) << 2 | rights.0 & WRITE } else { rights.0 }
    }

    /// The bits of rights.
    pub fn rights_mask(self) -> u64 {
        if self.is_first() { WRITE | USER } else { READ | WRITE }
    }

    /// The bits without which nothing is there.
    pub fn presence(self) -> u64 {
        if self.is_first() { PRESENT } else { READ | WRITE }
    }

    pub fn is_present(self, entry: u64) -> bool {
        entry & self.presence() != 0
    }

    /// A memory attribute of leaves: snoop, or one of PAT, PWT and PCD.
    pub fn attribute(self, which: u16, level: u8) -> u64 {
        match which % 3 {
            _ if !self.is_first() => SNOOP,
            0 if level == 1 => 1 << 7,
            0 => 1 << 12,
            1 => 1 << 3,
            _ => 1 << 4,
        }
    }

    /// Bits that an entry leaves to software or hardware, about a quarter of them set.
    pub fn dress(self, seed: u64, level: u8, leaf: bool) -> u64 {
        let bits = match (self.stage, leaf) {
            // Bit 7 is one of them at level 1.
            (Stage::Second, _) => IGNORED | if level == 1 { 1 << 7 } else { 0 },
            (Stage::First, true) => IGNORED_FIRST | if self.execute_disable { EXECUTE_DISABLE } else { 0 },
            (Stage::First, false) => IGNORED_FIRST | 0x18,
        };
        mix(seed) & mix(seed ^ 0x5555) & bits
    }

    /// One of those bits; in a leaf of the first stage, rarely XD.
    pub fn ignored(self, which: u8) -> u64 {
        const SECOND: [u8; 19] = [2, 3, 4, 5, 6, 8, 9, 10, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 63];
        const FIRST: [u8; 18] = [5, 6, 8, 9, 10, 11, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63];
        let bits: &[u8] = if self.is_first() { &FIRST } else { &SECOND };
        1 << bits[usize::from(which) % bits.len()]
    }

    /// A bit that is reserved in a leaf: always, or where the host address width or NXE says so.
    pub fn reserved_in_leaf(self, which: u8, level: u8) -> u64 {
        let bits = match (self.stage, level) {
            (Stage::Second, 1) => [62, 62, 51, 47],
            (Stage::Second, 2) => [62, 12, 20, 51],
            (Stage::Second, _) => [62, 12, 29, 51],
            (Stage::First, 1) => [63, 51, 51, 47],
            (Stage::First, 2) => [63, 13, 20, 51],
            (Stage::First, _) => [63, 13, 29, 51],
        };
        1 << bits[usize::from(which % 4)]
    }

    /// The same in an entry that points to a table.
    pub fn reserved_in_table(self, which: u8, level: u8) -> u64 {
        // Bit 7 is reserved only where no leaf can be; further down it makes a leaf.
        let bits = match (self.stage, level >= 4) {
            (Stage::Second, true) => [62, 51, 11, 7],
            (Stage::Second, false) => [62, 51, 11, 11],
            (Stage::First, true) => [63, 51, 7, 7],
            (Stage::First, false) => [63, 51, 47, 51],
        };
        1 << bits[usize::from(which % 4)]
    }
}

/// What makes a leaf of an entry.
pub fn large(level: u8) -> u64 {
    if level > 1 { PAGE_SIZE } else { 0 }
}

pub fn index(iova: u64, level: u8) -> u64 {
    (iova >> bits::entry_shift(level)) & 0x1ff
}

/// Bits 63, 61:52, 10:8, 6:3 and X.
const IGNORED: u64 = 0xbff0_0000_0000_077c;
/// Bits 62:52, 11:8, D and A.
const IGNORED_FIRST: u64 = 0x7ff0_0000_0000_0f60;
