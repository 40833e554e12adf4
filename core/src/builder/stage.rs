use super::Error;
use crate::access::Permissions;
use crate::address::{Iova, PhysAddr};
use crate::format::{first_stage, second_stage};
use core::fmt;

/// Which stage page tables belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The first one, of 4 or 5 levels.
    First,
    /// The second one, of 2 to 6 levels.
    Second,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "first",
            Self::Second => "second",
        })
    }
}

impl Stage {
    /// The bits of an entry that points to a table, and lets everything through.
    pub(super) const fn table_bits(self) -> u64 {
        match self {
            Self::First => first_stage::PRESENT | first_stage::WRITE | first_stage::USER | first_stage::ACCESSED,
            Self::Second => second_stage::READ | second_stage::WRITE,
        }
    }

    /// The bits of a leaf with these permissions; `None` if there is no such leaf.
    pub(super) fn leaf_bits(self, permissions: Permissions) -> Option<u64> {
        let write = |bit: u64| if permissions.write() { bit } else { 0 };
        match self {
            Self::First => {
                let dirty = write(first_stage::WRITE | first_stage::DIRTY);
                permissions.read().then_some(first_stage::PRESENT | first_stage::USER | first_stage::ACCESSED | dirty)
            }
            Self::Second => {
                let read = if permissions.read() { second_stage::READ } else { 0 };
                Some(read | write(second_stage::WRITE)).filter(|bits| *bits != 0)
            }
        }
    }

    pub(super) const fn large_bit(self) -> u64 {
        match self {
            Self::First => first_stage::PAGE_SIZE_BIT,
            Self::Second => second_stage::PAGE_SIZE_BIT,
        }
    }

    pub(super) const fn levels(self) -> (u8, u8) {
        match self {
            Self::First => (4, 5),
            Self::Second => (2, 6),
        }
    }
}

/// A page table: its top table and what kind it is. Any number of devices, PASIDs and units may use it.
///
/// [`UnitBuilder::first_stage`](super::UnitBuilder::first_stage) and
/// [`second_stage`](super::UnitBuilder::second_stage) make them. One whose `top` is something else makes an entry that
/// points there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageTable {
    /// Which stage it is one of.
    pub stage: Stage,
    /// How many levels it has.
    pub levels: u8,
    /// The top table.
    pub top: PhysAddr,
}

impl PageTable {
    pub(super) fn input_bits(&self) -> u8 {
        u8::try_from(shift(self.levels.saturating_add(1)).min(64)).unwrap_or(64)
    }

    fn accepts(&self, iova: Iova) -> bool {
        let bits = u32::from(self.input_bits());
        match self.stage {
            Stage::First => {
                let sign = bits.saturating_sub(1);
                let above = iova.0.checked_shr(sign).unwrap_or(0);
                above == 0 || above == u64::MAX.checked_shr(sign).unwrap_or(0)
            }
            Stage::Second => iova.0.checked_shr(bits).unwrap_or(0) == 0,
        }
    }

    pub(super) fn check(&self, iova: Iova, level: u8) -> Result<(), Error> {
        if level == 0 || level > self.levels {
            return Err(Error::Level { stage: self.stage, level, least: 1, most: self.levels });
        }
        if !self.accepts(iova) {
            return Err(Error::Iova { iova, bits: self.input_bits(), stage: self.stage });
        }
        Ok(())
    }
}

/// How many bits an address has below the index of this level.
pub(super) fn shift(level: u8) -> u32 {
    u32::from(level).saturating_mul(9).saturating_add(3)
}
