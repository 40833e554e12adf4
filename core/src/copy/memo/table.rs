//! What is remembered of a table, in the value of one slot.

use crate::access::Permissions;
use crate::address::PhysAddr;
use crate::copy::in_use::Below;
use crate::memory::{ReadError, ReadErrorKind};

/// What an old table is read as: the same page can be several of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::copy) enum Role {
    Context,
    ScalableContext,
    /// With this PDTS.
    Directory(u8),
    Pasids,
    /// Of this level, and whether its entries have XD, which is a reserved bit otherwise.
    FirstStage(u8, bool),
    /// Of this level.
    SecondStage(u8),
}

impl Role {
    /// A number of 12 bits.
    pub(super) fn code(self) -> u64 {
        let (role, number) = match self {
            Self::Context => (0, 0),
            Self::ScalableContext => (1, 0),
            Self::Directory(size) => (DIRECTORY, size),
            Self::Pasids => (3, 0),
            Self::FirstStage(level, execute_disable) => (4, level | u8::from(execute_disable) << 7),
            Self::SecondStage(level) => (5, level),
        };
        (role << 8 | u64::from(number)) & OFFSET
    }
}

const DIRECTORY: u64 = 2;
/// The bits of an address within a page: those of a table have none.
pub(super) const OFFSET: u64 = 0xfff;

/// How many pages a table has whose role has this code: 2^(PDTS + 7) entries of 8 bytes, if it is a directory.
pub(super) fn pages(code: u64) -> usize {
    if code >> 8 == DIRECTORY { 1usize.wrapping_shl(u32::try_from(code & 7).unwrap_or(0).saturating_sub(2)) } else { 1 }
}

/// What became of an old table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::copy) enum Known {
    /// Here is its copy, and what is mapped below it.
    Copied(PhysAddr, Below),
    /// It can't be read.
    Lost(ReadError),
}

/// A copy that is remembered.
#[derive(Clone, Copy, Debug)]
pub(in crate::copy) struct Copied {
    pub(in crate::copy) copy: PhysAddr,
    /// Whether its pages were allocated for it.
    pub(in crate::copy) allocated: bool,
    /// Whether an entry was met that leads to it: a page table is copied for its ranges before its entry is.
    pub(in crate::copy) met: bool,
    /// What is mapped below it, to requesters with these rules (a number below 8).
    pub(in crate::copy) below: Below,
    pub(in crate::copy) rules: u8,
}

impl Copied {
    /// One of which nothing is known yet, not even where it is.
    pub(in crate::copy) const NEW: Self =
        Self { copy: PhysAddr(0), allocated: true, met: true, below: Below::Various, rules: 0 };

    pub(super) fn value(&self) -> u64 {
        let below = match self.below {
            Below::Various => 0,
            Below::Nothing | Below::All(Permissions::NONE) => 1,
            Below::All(Permissions::READ) => 2,
            Below::All(Permissions::WRITE) => 3,
            Below::All(_) => 4,
        };
        let allocated = if self.allocated { ALLOCATED } else { 0 };
        let met = if self.met { MET } else { 0 };
        self.copy.page().0 | allocated | met | below << BELOW | u64::from(self.rules & 7) << RULES
    }
}

/// What the value of a table has below the address of its copy.
pub(super) const ALLOCATED: u64 = 1 << 0;
pub(super) const MET: u64 = 1 << 1;
pub(super) const LOST: u64 = 1 << 2;
const BELOW: u32 = 3;
const RULES: u32 = 6;

pub(super) fn known(old: PhysAddr, value: u64, rules: u8) -> Known {
    if value & LOST != 0 {
        let error = u32::try_from(value >> 32).unwrap_or(0);
        let kind = match value >> 12 & 3 {
            0 => ReadErrorKind::Hole,
            1 => ReadErrorKind::Excluded,
            _ => ReadErrorKind::Io(i32::from_ne_bytes(error.to_ne_bytes())),
        };
        return Known::Lost(ReadError::new(old, kind));
    }
    let below = match value >> BELOW & 7 {
        _ if value >> RULES & 7 != u64::from(rules) => Below::Various,
        1 => Below::Nothing,
        2 => Below::All(Permissions::READ),
        3 => Below::All(Permissions::WRITE),
        4 => Below::All(Permissions::READ_WRITE),
        _ => Below::Various,
    };
    Known::Copied(PhysAddr(value & !OFFSET), below)
}

/// The value of a table that can't be read.
pub(super) fn lost(error: ReadError) -> u64 {
    let (kind, number) = match error.kind {
        ReadErrorKind::Hole => (0, 0),
        ReadErrorKind::Excluded => (1, 0),
        ReadErrorKind::Io(number) => (2, number),
    };
    let number = u64::from(u32::from_ne_bytes(number.to_ne_bytes()));
    number << 32 | kind << 12 | LOST
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn a_directory_has_as_many_pages_as_its_entries_fill() {
        let sizes = (0..8).map(|size| pages(Role::Directory(size).code()));
        assert_eq!(sizes.collect::<Vec<_>>(), [1, 1, 1, 2, 4, 8, 16, 32]);
        assert_eq!(pages(Role::SecondStage(7).code()), 1);
    }
}
