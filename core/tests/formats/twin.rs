use iopt::radix::Entry;
use iopt::{Access, PhysAddr};

/// What a bit of an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bit {
    /// It grants something, or makes the entry present.
    Access,
    /// It tells leaves from pointers to tables.
    Leaf,
    Address,
    Reserved,
    Attribute,
    Ignored,
}

impl Bit {
    pub const ALL: [Self; 6] =
        [Self::Access, Self::Leaf, Self::Address, Self::Reserved, Self::Attribute, Self::Ignored];
}

/// A format written for being right at a glance. Levels count from 1.
pub trait Twin {
    fn levels(&self) -> u8;
    fn input_bits(&self) -> u32;
    /// Whether addresses above the input are its sign.
    fn signed(&self) -> bool;
    fn has_leaves(&self, level: u8) -> bool;
    /// What `bit` is in a present entry, which is a leaf or points to a table.
    fn bit(&self, level: u8, leaf: bool, bit: u32) -> Bit;
    fn present(&self, raw: u64) -> bool;
    fn is_leaf(&self, level: u8, raw: u64) -> bool;
    /// Reads and writes.
    fn permissions(&self, raw: u64) -> (bool, bool);
    /// The attributes of a leaf, as a leaf at level 1 has them.
    fn attributes(&self, level: u8, raw: u64) -> u64;

    /// log2 of what an entry maps: tables have nine bits each.
    fn shift(&self, level: u8) -> u32 {
        3 + 9 * u32::from(level)
    }

    fn entries(&self, level: u8) -> u64 {
        512.min(1 << (self.input_bits() - self.shift(level)).min(9))
    }

    fn mask(&self, level: u8, leaf: bool, kind: Bit) -> u64 {
        (0..64).filter(|bit| self.bit(level, leaf, *bit) == kind).map(|bit| 1 << bit).sum()
    }

    fn decode(&self, level: u8, raw: u64) -> Entry {
        if !self.present(raw) {
            return Entry::Absent;
        }
        let leaf = self.is_leaf(level, raw);
        let (mut reserved, mut address) = (0, 0);
        for bit in (0..64).filter(|bit| raw >> bit & 1 == 1) {
            match self.bit(level, leaf, bit) {
                Bit::Reserved => reserved |= 1 << bit,
                Bit::Address => address |= 1 << bit,
                _ => {}
            }
        }
        match (reserved, leaf) {
            (1.., _) => Entry::Malformed(reserved),
            (0, true) => Entry::Leaf(PhysAddr(address)),
            (0, false) => Entry::Table(PhysAddr(address)),
        }
    }

    /// The kinds of entries at a level: whether they are leaves.
    fn kinds(&self, level: u8) -> Vec<bool> {
        [false, true].into_iter().filter(|leaf| if *leaf { self.has_leaves(level) } else { level > 1 }).collect()
    }

    /// The address at `offset` from the start of the tables, which takes up the bits of the input.
    fn iova(&self, offset: u64) -> u64 {
        let top = self.input_bits() - 1;
        if self.signed() && offset >> top & 1 == 1 && top < 63 { offset | u64::MAX << (top + 1) } else { offset }
    }

    /// The bits of the input in `iova`.
    fn offset(&self, iova: u64) -> u64 {
        iova & u64::MAX >> (64 - self.input_bits())
    }
}

pub fn allows((read, write): (bool, bool), access: Access) -> bool {
    match access {
        Access::Read => read,
        Access::Write => write,
    }
}
