//! What the entries of page tables mean, by stage.

use super::bits::{self, READ, WRITE};
use super::{Kind, Twin};

/// Which page tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Stage {
    First,
    Second,
}

/// The page tables of a device, and what its unit makes of their entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tables {
    /// First or second stage.
    pub stage: Stage,
    /// The top table.
    pub top: u64,
    /// How many levels.
    pub levels: u8,
    /// How many bits an address may have; in a first stage the highest is the sign, and those above repeat it.
    pub input: u32,
    /// The host address width that entries have to respect.
    pub haw: Option<u8>,
    /// Large leaves that the unit does not support, by level.
    pub lacks_large: [bool; 4],
    /// Whether bit 11 of a leaf of the second stage is reserved.
    pub snoop_reserved: bool,
    /// Whether bit 63 of an entry of the first stage means something, and is not reserved.
    pub nxe: bool,
    /// Whether requests to the first stage are those of a supervisor, and whether R/W counts for these too.
    pub supervisor: bool,
    /// See `supervisor`.
    pub wpe: bool,
    /// Whether hardware sets bit 10 of first-stage entries.
    pub eafe: bool,
}

impl Twin<'_> {
    /// A second stage of this width encoding.
    pub(super) fn second_stage(&self, top: u64, width: u64, snoop_reserved: bool) -> Tables {
        let lacks = |bit: u32| self.cap.is_some_and(|cap| cap >> bit & 1 == 0);
        Tables {
            stage: Stage::Second,
            top,
            levels: width as u8 + 2,
            input: bits::input_width(width, self.cap),
            haw: self.haw,
            // CAP.SSLPS.
            lacks_large: [false, false, lacks(34), lacks(35)],
            snoop_reserved,
            nxe: false,
            supervisor: false,
            wpe: false,
            eafe: false,
        }
    }

    /// A first stage as the third word of a PASID entry describes it.
    pub(super) fn first_stage(&self, word: u64, supervisor: bool, haw: Option<u8>) -> Tables {
        let levels = 4 + (word >> 2 & 3) as u8;
        // CAP.FS1GP.
        let lacks_1_gib = self.cap.is_some_and(|cap| cap >> 56 & 1 == 0);
        Tables {
            stage: Stage::First,
            top: word & bits::POINTER,
            levels,
            input: 12 + 9 * u32::from(levels),
            haw,
            lacks_large: [false, false, false, lacks_1_gib],
            snoop_reserved: false,
            nxe: word >> 5 & 1 == 1,
            supervisor,
            wpe: word >> 4 & 1 == 1,
            eafe: word >> 7 & 1 == 1,
        }
    }
}

impl Tables {
    /// A table of this level.
    pub fn kind(&self, level: u8) -> Kind {
        match self.stage {
            Stage::First => Kind::First(level),
            Stage::Second => Kind::Second(level),
        }
    }

    /// Whether the address is one that the tables are asked about.
    pub fn accepts(&self, iova: u64) -> bool {
        match self.stage {
            Stage::First => {
                let sign = !bits::low(self.input - 1);
                iova & sign == 0 || iova & sign == sign
            }
            Stage::Second => iova & !bits::low(self.input) == 0,
        }
    }

    /// The first address that entry `index` covers, in a table whose own first address is `first`.
    pub fn address_of(&self, first: u64, level: u8, index: u64) -> u64 {
        let address = first | index << bits::entry_shift(level);
        let is_upper_half = level == self.levels && index >= 256;
        if self.stage == Stage::First && is_upper_half { address | !bits::low(self.input) } else { address }
    }

    /// Whether anything is there at all.
    pub fn present(&self, entry: u64) -> bool {
        match self.stage {
            Stage::First => entry & bits::PRESENT != 0,
            Stage::Second => entry & (READ | WRITE) != 0,
        }
    }

    /// Whether a user's privilege suffices; always in a second stage, which knows none.
    pub fn lets_in(&self, entry: u64) -> bool {
        self.stage == Stage::Second || self.supervisor || entry & bits::USER != 0
    }

    /// Whether the entry lets reads through.
    pub fn reads(&self, entry: u64) -> bool {
        match self.stage {
            Stage::First => self.present(entry) && self.lets_in(entry),
            Stage::Second => entry & READ != 0,
        }
    }

    /// Whether the entry lets writes through.
    pub fn writes(&self, entry: u64) -> bool {
        match self.stage {
            Stage::First => self.reads(entry) && (entry & WRITE != 0 || self.supervisor && !self.wpe),
            Stage::Second => entry & WRITE != 0,
        }
    }

    /// Whether a present entry has a reserved bit set, or a page size that the unit lacks.
    pub fn reserved(&self, entry: u64, level: u8) -> bool {
        let leaf = bits::is_leaf(entry, level);
        if level > 1 && leaf && self.lacks_large[usize::from(level)] {
            return true;
        }
        match self.stage {
            Stage::First => bits::first_reserved(entry, level, self.haw, self.nxe),
            Stage::Second => bits::second_reserved(entry, level, self.haw, self.snoop_reserved),
        }
    }

    /// The memory attributes of a leaf: SNP of the second stage; PWT, PCD and PAT of the first, with PAT always at
    /// bit 7.
    pub fn attributes(&self, leaf: u64, level: u8) -> u64 {
        match self.stage {
            Stage::First => {
                let pat = leaf >> if level == 1 { 7 } else { 12 } & 1;
                leaf & 0x18 | pat << 7
            }
            Stage::Second => leaf & bits::SNOOP,
        }
    }
}
